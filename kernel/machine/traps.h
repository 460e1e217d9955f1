// SPDX-License-Identifier: MIT
// Exceptions and interrupts: the way from the CPU's entry to a C function and back.
//
// An exception ends the run with a report, on a stack of its own, so that a broken stack can be
// reported too. Five are answered instead: a machine register that is not there, or does not take
// a value, by trap_try_read_msr and trap_try_write_msr; an NMI that another CPU announced
// (machine_cpu.h); a page fault in a range that somebody handles; the first use of vector registers
// where these are handed over lazily (vectors.h); a step through code that is not to be preempted
// yet (sched_machine.h). Interrupts run on the interrupted stack (interrupts.h).
#ifndef TRAPS_H
#define TRAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

// What was interrupted. traps.S builds it: first pushed is last here.
struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector; // 0..255, TRAP_NONE for platform_panic
    uint64_t error;  // the CPU's error code, 0 where it gives none
    uint64_t rip, cs, rflags, rsp, ss;
};

#define TRAP_GATES         256u
#define TRAP_VECTORS       32u // those below are exceptions
#define TRAP_DEBUG         1u
#define TRAP_NMI           2u
#define TRAP_NO_DEVICE     7u
#define TRAP_DOUBLE_FAULT  8u
#define TRAP_GENERAL       13u
#define TRAP_PAGE_FAULT    14u
#define TRAP_MACHINE_CHECK 18u
#define TRAP_NONE          256u

// Called by traps.S and panic entries with the stack aligned as a C function expects.
_Static_assert(sizeof(struct trap_frame) == 22 * 8, "built by assembly");
_Static_assert(sizeof(struct trap_frame) % 16 == 0, "keeps the stack aligned for the C call");
_Static_assert(offsetof(struct trap_frame, vector) == 15 * 8, "built by assembly");

// From here on every exception calls `report`, which must not return. Once, on the boot CPU, before
// its descriptors are loaded.
void traps_init(void (*report)(const struct trap_frame *frame));

// Called, from then on, on each CPU that stops because another one reports: in its NMI handler.
// What it does must be fit for that. Once, on the boot CPU.
void traps_before_stop(void (*function)(void));

// Reads a machine register that may not exist; false, and 0 in *value, if reading it faults.
bool trap_try_read_msr(uint32_t msr, uint64_t *value);

// Writes one that may not exist, or may not take the value; false, and nothing is changed, if
// writing it faults.
bool trap_try_write_msr(uint32_t msr, uint64_t value);

// Handles a page fault at `address`: true if the interrupted code is to go on as the frame, which
// may be changed, says; the access is tried again if it was not. False: an error like any other. It
// runs with interrupts masked and preemption off, on the stack of faults: it must not fault itself,
// allocate where that could, or wait for who may wait for this CPU but by tlb_poll.
typedef bool trap_fault_handler(void *context, uint64_t address, struct trap_frame *frame);

#define TRAP_FAULT_RANGES 8u

// From now on faults at [start, end) are the handler's, on every CPU. STATUS_FULL: there are
// TRAP_FAULT_RANGES; STATUS_INVALID: no range, or it overlaps another one. One CPU at a time.
enum status trap_handle_faults(uint64_t start, uint64_t end, trap_fault_handler *handler,
                               void *context);

// Takes the handler of the range that begins at `start` away, if there is one. No CPU touches the
// range any more.
void trap_forget_faults(uint64_t start);

// "page fault", "divide error"... for 0..31, else "exception".
const char *trap_name(uint64_t vector);

#endif
