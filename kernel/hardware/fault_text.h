// SPDX-License-Identifier: MIT
// A page fault in words.
#ifndef FAULT_TEXT_H
#define FAULT_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "stack_table.h"

// Describes the access to `address` that failed with `error` (the CPU's error code). `stack` is the
// one whose memory or guard page holds the address, NULL if none does. Returns the length.
size_t fault_text(char *text, size_t capacity, uint64_t error, uint64_t address,
                  const struct stack *stack);

#endif
