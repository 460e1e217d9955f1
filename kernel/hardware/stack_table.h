// SPDX-License-Identifier: MIT
// Which stack an address belongs to. Fixed size; found without locks, so that a panic can ask
// whatever else is going on.
//
// Rules for callers
//   threads   any CPU may add, remove and find at any time
//   stacks    the page below `bottom` is the stack's guard and counts as its own
#ifndef STACK_TABLE_H
#define STACK_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"

#define STACK_NAME_BYTES 24u
#define STACK_NO_CPU     UINT32_MAX // a thread's: it runs on any CPU
// Six of each of 64 CPUs, and 1024 threads.
#define STACK_TABLE_MOST (64u * 6u + 1024u)

// Addresses [bottom, top), multiples of 4 KiB. The name is terminated.
struct stack {
    uint64_t bottom, top;
    uint64_t cpu;
    char name[STACK_NAME_BYTES];
};
#define STACK_WORDS (sizeof(struct stack) / sizeof(uint64_t))
_Static_assert(sizeof(struct stack) % sizeof(uint64_t) == 0, "copied by words");

// `version` is odd while the words are a stack. All zero is an empty table.
struct stack_table {
    struct {
        uint32_t claimed, version;
        uint64_t words[STACK_WORDS];
    } slots[STACK_TABLE_MOST];
};

// STATUS_DOUBLE if it overlaps one that is there, guard pages included; STATUS_FULL without a free
// slot; STATUS_INVALID if it is no stack. The name is cut to fit.
enum status stack_table_add(struct stack_table *table, uint64_t bottom, uint64_t top, uint64_t cpu,
                            const char *name);

// STATUS_EMPTY if no stack begins at `bottom`. Removing one stack twice at once is a mistake that
// may pass unnoticed.
enum status stack_table_remove(struct stack_table *table, uint64_t bottom);

// The stack whose memory or guard page holds `address`. Bounded; one that is being added or removed
// is found or not.
bool stack_table_find(const struct stack_table *table, uint64_t address, struct stack *found);

// True if `address` lies in the stack or its guard page.
bool stack_holds(const struct stack *stack, uint64_t address);

#endif
