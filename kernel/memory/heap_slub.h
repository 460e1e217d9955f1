// SPDX-License-Identifier: MIT
// SLUB (slub.h) as a heap: one node, a buddy behind a lock, the classes as they are. Any thread on
// any CPU may use it, so the heap is its own handle.
#ifndef HEAP_SLUB_H
#define HEAP_SLUB_H

#include "buddy.h"
#include "heap.h"
#include "heap_trace.h"
#include "slub.h"

#define HEAP_SLUB_ORDER   8
#define HEAP_SLUB_LARGEST (1u << 20) // bytes: a block of the highest order

struct heap_slub_pages {
    struct spinlock lock;
    // Under the lock.
    struct buddy buddy;
    uint64_t locks; // acquisitions
};

struct heap_slub {
    struct slub slub;
    struct heap_slub_pages pages;
    struct slub_depot depots[SLUB_CACHES_MOST];
    struct slub_cpu cpus[CPU_MOST];
} CACHE_ALIGNED;

enum status heap_slub_init(void *heap, void *memory, size_t length);
// The same with other settings than slub_defaults.
enum status heap_slub_init_with(void *heap, void *memory, size_t length,
                                const struct slub_settings *settings);
void heap_slub_statistics(const void *heap, struct heap_statistics *statistics);
bool heap_slub_check(const void *heap);
void *heap_slub_join(void *heap, void *memory);
void heap_slub_leave(void *handle);
size_t heap_slub_trim(void *handle);
size_t heap_slub_refill(void *heap, size_t size);

ALWAYS_INLINE void *heap_slub_allocate(void *heap, size_t size)
{
    heap_trace_allocate(size);
    void *object = slub_take(&((struct heap_slub *)heap)->slub, slub_class(size), size);
    heap_trace_allocated(object, size);
    return object;
}

ALWAYS_INLINE void heap_slub_release(void *heap, void *pointer, size_t size)
{
    (void)size; // but for the trace
    heap_trace_release(size);
    slub_put(&((struct heap_slub *)heap)->slub, pointer, SLUB_ANY);
    heap_trace_released(size);
}

static const struct heap_ops heap_slub_ops = {
    .about = {.name = "slub",
              .what = "per-CPU lists in front of slabs of powers of two; page map, no headers",
              .role = VARIANT_PRODUCT},
    .state_bytes = sizeof(struct heap_slub),
    .largest = HEAP_SLUB_LARGEST,
    .init = heap_slub_init,
    .allocate = heap_slub_allocate,
    .release = heap_slub_release,
    .statistics = heap_slub_statistics,
    .check = heap_slub_check,
    .counts_locked = true,
    .join = heap_slub_join,
    .leave = heap_slub_leave,
    .trim = heap_slub_trim,
    .refill = heap_slub_refill,
};

#endif
