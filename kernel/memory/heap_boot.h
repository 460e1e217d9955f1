// SPDX-License-Identifier: MIT
// Memory before there is a heap: a bump allocator over a small region of the caller's. What it
// handed out may be freed later through the heap that adopted it, which knows such pointers by
// their address.
//
// Rules for callers
//   threads   none: used while one CPU boots; afterwards only frees, serialised by the caller
//   memory    the region belongs to the object until the caller knows that nothing in it lives
//   reuse     the last allocation freed is cut again at once, everything when all is free;
//             otherwise freed memory lies idle. That is the price of four instructions of logic
#ifndef HEAP_BOOT_H
#define HEAP_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

#define HEAP_BOOT_HEADER 16 // bytes in front of one allocation

struct heap_boot {
    uintptr_t start, end;
    uintptr_t next; // nothing was cut from here on; a multiple of 16
    uint64_t allocations, frees, failures;
};

// `memory` is aligned to 16, `length` at least 64 bytes; else STATUS_INVALID.
enum status heap_boot_init(struct heap_boot *boot, void *memory, size_t length);

// Memory aligned to 16, or NULL if the region has no room. 0 bytes count as 1.
void *heap_boot_allocate(struct heap_boot *boot, size_t size);

// True if the address lies in the region.
static inline bool heap_boot_owns(const struct heap_boot *boot, const void *pointer)
{
    return (uintptr_t)pointer - boot->start < boot->end - boot->start;
}

// STATUS_DOUBLE if it is free already, STATUS_FOREIGN if it was never handed out.
enum status heap_boot_release(struct heap_boot *boot, void *pointer);

#endif
