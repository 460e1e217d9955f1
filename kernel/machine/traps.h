// SPDX-License-Identifier: MIT
// Exceptions: descriptor tables and the way from the CPU's entry to one C function.
//
// This kernel handles no exception: each ends the run with a report, on a stack of its own, so
// that a broken stack can be reported too. Interrupts stay masked; what comes nonetheless is an
// NMI or a machine check, and is reported alike.
#ifndef TRAPS_H
#define TRAPS_H

#include <stddef.h>
#include <stdint.h>

// What was interrupted. traps.S builds it: first pushed is last here.
struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector; // 0..31, TRAP_NONE for platform_panic
    uint64_t error;  // the CPU's error code, 0 where it gives none
    uint64_t rip, cs, rflags, rsp, ss;
};

#define TRAP_VECTORS       32u
#define TRAP_PAGE_FAULT    14u
#define TRAP_MACHINE_CHECK 18u
#define TRAP_NONE          256u

// Called by traps.S and panic entries with the stack aligned as a C function expects.
_Static_assert(sizeof(struct trap_frame) == 22 * 8, "built by assembly");
_Static_assert(sizeof(struct trap_frame) % 16 == 0, "keeps the stack aligned for the C call");
_Static_assert(offsetof(struct trap_frame, vector) == 15 * 8, "built by assembly");

// Loads GDT, TSS and IDT of the boot CPU. From here on every exception calls `report`, which must
// not return. Once, before anything that may fault.
void traps_init(void (*report)(const struct trap_frame *frame));

// "page fault", "divide error"... for 0..31, else "exception".
const char *trap_name(uint64_t vector);

#endif
