// SPDX-License-Identifier: MIT
// The kernel's stacks: six for each CPU, and those of threads. Each lies above an unmapped page, so
// that an overflow faults instead of writing over a neighbour. The boot CPU's memory is reserved in
// boot.S; that of the others and of threads is handed over.
#ifndef STACKS_H
#define STACKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu.h"
#include "stack_table.h"

enum stack_kind {
    STACK_KERNEL, // what the CPU starts on; the boot CPU's is called "boot"
    STACK_FAULT,  // exceptions: never the interrupted stack, which may be what is broken
    STACK_DOUBLE_FAULT,
    STACK_NMI,
    STACK_MACHINE_CHECK,
    STACK_PANIC, // platform_panic
    STACKS,
};

// What stacks_make needs: 32 KiB and five times 16 KiB, each with its guard page.
#define STACKS_BYTES ((size_t)(32 + 5 * 16 + STACKS * 4) * 1024)

// Unmaps the pages below the boot CPU's stacks. Called by kernel_map_build.
enum status stacks_guard(void);

// Makes the stacks of CPU `cpu`, 1 to CPU_MOST - 1, in memory that is theirs for good:
// mapped, aligned to 4 KiB, STACKS_BYTES long. STATUS_INVALID if it is not, or the CPU has some
// already; statuses of kernel_map_guard and stack_table_add. Serialised with all changes of the
// map.
enum status stacks_make(unsigned cpu, void *memory, size_t length);

// The address above a CPU's stack, 16-aligned; 0 if it has none yet. The boot CPU, 0, always has.
uint64_t stack_top(unsigned cpu, enum stack_kind kind);

// Makes a thread's stack in memory of the caller's (4 KiB aligned, at least two pages): its lowest
// page becomes the guard. Removing gives that page back as memory; the stack is in use no more
// then. Serialised with all changes of the map.
enum status stacks_add_thread(const char *name, void *memory, size_t length);
enum status stacks_remove_thread(void *memory);

// The stack whose memory or guard page holds `address`. Bounded, no locks, any context.
bool stack_at(uint64_t address, struct stack *found);

#endif
