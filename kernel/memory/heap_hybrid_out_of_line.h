// SPDX-License-Identifier: MIT
// The hybrid heap as a caller in another object has it: allocation and free are called through
// pointers that the caller's compiler knows nothing about, as functions of a shared library are.
// Nothing is inlined and no size is folded. The heap is the same: so are owners, limits and errors.
#ifndef HEAP_HYBRID_OUT_OF_LINE_H
#define HEAP_HYBRID_OUT_OF_LINE_H

#include "heap.h"
#include "heap_hybrid.h"

struct heap_hybrid_entry {
    void *(*allocate)(void *heap, size_t size);
    void (*release)(void *heap, void *pointer, size_t size);
};

// Written by nobody; not const, so that no compiler reads it in advance.
extern struct heap_hybrid_entry heap_hybrid_entry;

ALWAYS_INLINE void *heap_hybrid_out_of_line_allocate(void *heap, size_t size)
{
    return heap_hybrid_entry.allocate(heap, size);
}

ALWAYS_INLINE void heap_hybrid_out_of_line_release(void *heap, void *pointer, size_t size)
{
    heap_hybrid_entry.release(heap, pointer, size);
}

static const struct heap_ops heap_hybrid_out_of_line_ops = {
    .about = {.name = "hybrid_out_of_line",
              .what = "the hybrid heap, called through pointers as peers are",
              .role = VARIANT_PRODUCT},
    .state_bytes = sizeof(struct heap_hybrid),
    .largest = HEAP_HYBRID_LARGEST,
    .init = heap_hybrid_init,
    .allocate = heap_hybrid_out_of_line_allocate,
    .release = heap_hybrid_out_of_line_release,
    .statistics = heap_hybrid_statistics,
    .check = heap_hybrid_check,
    .counts_locked = true,
    .handle_bytes = sizeof(struct heap_hybrid_cache),
    .join = heap_hybrid_join,
    .leave = heap_hybrid_leave,
    .trim = heap_hybrid_trim,
};

#endif
