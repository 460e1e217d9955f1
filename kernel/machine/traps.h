// SPDX-License-Identifier: MIT
// Exceptions and interrupts: the way from the CPU's entry to a C function and back.
//
// An exception ends the run with a report, on a stack of its own, so that a broken stack can be
// reported too. Two are answered instead: a machine register that is not there, read by
// trap_try_read_msr, and an NMI that another CPU announced (machine_cpu.h). Interrupts run on the
// interrupted stack (interrupts.h).
#ifndef TRAPS_H
#define TRAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What was interrupted. traps.S builds it: first pushed is last here.
struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector; // 0..255, TRAP_NONE for platform_panic
    uint64_t error;  // the CPU's error code, 0 where it gives none
    uint64_t rip, cs, rflags, rsp, ss;
};

#define TRAP_GATES         256u
#define TRAP_VECTORS       32u // those below are exceptions
#define TRAP_NMI           2u
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

// Reads a machine register that may not exist; false, and 0 in *value, if reading it faults.
bool trap_try_read_msr(uint32_t msr, uint64_t *value);

// "page fault", "divide error"... for 0..31, else "exception".
const char *trap_name(uint64_t vector);

#endif
