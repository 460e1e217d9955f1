// SPDX-License-Identifier: MIT
// The kernel's own stacks. Each lies above an unmapped page, so that an overflow faults instead of
// writing over a neighbour. The memory is reserved in boot.S.
#ifndef STACKS_H
#define STACKS_H

#include <stddef.h>
#include <stdint.h>

// Addresses [bottom, top); the guard page ends at `bottom`.
struct stack {
    const char *name;
    uint8_t *bottom, *top;
};

enum stack_kind {
    STACK_BOOT,  // kernel main, and the benchmarks unless they make their own
    STACK_FAULT, // exceptions: never the interrupted stack, which may be what is broken
    STACK_DOUBLE_FAULT,
    STACK_NMI,
    STACK_MACHINE_CHECK,
    STACK_PANIC, // platform_panic
    STACKS,
};

extern const struct stack stacks[STACKS];

// The stack whose memory or guard page holds `address`; NULL if none does.
const struct stack *stack_at(uint64_t address);

#endif
