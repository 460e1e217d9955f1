// SPDX-License-Identifier: MIT
#ifndef SORT_H
#define SORT_H

#include <stddef.h>
#include <stdint.h>

// Sorts in place, ascending; heapsort: no memory, no recursion, O(n log n) in the worst case.
void sort_i64(int64_t *values, size_t count);

#endif
