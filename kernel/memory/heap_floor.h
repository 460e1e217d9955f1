// SPDX-License-Identifier: MIT
// The floor: the least code that hands out memory and takes it back. A free list a class, memory
// cut off the end of what is left, the size told by the caller on free; no checks, no counts, no
// memory ever moves between classes. A bound for others, not a heap to use.
#ifndef HEAP_FLOOR_H
#define HEAP_FLOOR_H

#include "compiler.h"
#include "heap.h"
#include "heap_size_class.h"
#include "heap_trace.h"

#define HEAP_FLOOR_LARGEST (64u * 1024)
// Behind the small classes: 4, 8, 16, 32 and 64 KiB.
#define HEAP_FLOOR_CLASSES (HEAP_CLASSES + 5)

struct heap_floor {
    struct heap_object *free[HEAP_FLOOR_CLASSES];
    uintptr_t next, end; // memory nothing was cut from yet
    uintptr_t start;
} CACHE_ALIGNED;

// Class of a size up to HEAP_FLOOR_LARGEST.
ALWAYS_INLINE unsigned heap_floor_class(size_t size)
{
    if (size <= HEAP_CLASS_LARGEST)
        return heap_class_of_words[(size + 7) / 8];
    return HEAP_CLASSES + (log2_u64(size - 1) - log2_u64(HEAP_CLASS_LARGEST));
}

void *heap_floor_cut(struct heap_floor *heap, size_t size);

// A constant size that hits: 5 instructions.
ALWAYS_INLINE void *heap_floor_allocate_untraced(void *heap, size_t size)
{
    struct heap_floor *floor = heap;
    if (UNLIKELY(size > HEAP_FLOOR_LARGEST))
        return NULL;
    const unsigned class = heap_floor_class(size);
    struct heap_object *object = floor->free[class];
    if (UNLIKELY(object == NULL))
        return heap_floor_cut(floor, size);
    floor->free[class] = object->next;
    return object;
}

ALWAYS_INLINE void *heap_floor_allocate(void *heap, size_t size)
{
    heap_trace_allocate(size);
    void *object = heap_floor_allocate_untraced(heap, size);
    heap_trace_allocated(object, size);
    return object;
}

// A constant size: 3 instructions.
ALWAYS_INLINE void heap_floor_release_untraced(void *heap, void *pointer, size_t size)
{
    struct heap_floor *floor = heap;
    struct heap_object *object = pointer;
    const unsigned class = heap_floor_class(size);
    object->next = floor->free[class];
    floor->free[class] = object;
}

ALWAYS_INLINE void heap_floor_release(void *heap, void *pointer, size_t size)
{
    heap_trace_release(size);
    heap_floor_release_untraced(heap, pointer, size);
    heap_trace_released(size);
}

enum status heap_floor_init(void *heap, void *memory, size_t length);
void heap_floor_statistics(const void *heap, struct heap_statistics *statistics);
bool heap_floor_check(const void *heap);

static const struct heap_ops heap_floor_ops = {
    .about = {.name = "floor",
              .what =
                  "least code: a free list a size, sized free, no checks; a bound, not a product",
              .role = VARIANT_FLOOR},
    .state_bytes = sizeof(struct heap_floor),
    .largest = HEAP_FLOOR_LARGEST,
    .init = heap_floor_init,
    .allocate = heap_floor_allocate,
    .release = heap_floor_release,
    .statistics = heap_floor_statistics,
    .check = heap_floor_check,
};

#endif
