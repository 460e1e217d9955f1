// SPDX-License-Identifier: MIT
#include "heap_hybrid_out_of_line.h"

static NOINLINE void *allocate(void *heap, size_t size)
{
    return heap_hybrid_ops.allocate(heap, size);
}

static NOINLINE void release(void *heap, void *pointer, size_t size)
{
    heap_hybrid_ops.release(heap, pointer, size);
}

struct heap_hybrid_entry heap_hybrid_entry = {.allocate = allocate, .release = release};
