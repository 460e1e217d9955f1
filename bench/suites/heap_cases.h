// SPDX-License-Identifier: MIT
// The cases of the suite `heap`: what is asked, the same of our heaps and of everybody else's. The
// file that includes it has named its variants (SUITE_VARIANTS of body.h). A new case that other
// people's heaps can answer is listed in peers/heap.c, too.
#ifndef HEAP_CASES_H
#define HEAP_CASES_H

#include "body.h"
#include "compiler.h"
#include "definitions_heap.h"
#include "heap.h"
#include "heap_context.h"
#include "heap_over_time.h"
#include "heap_several.h"

#define SUITE           heap
#define SUITE_MECHANISM heap

#define SUITE_CASES(X, v)                                                                          \
    X(v, pair_64, 5000, false, 4, 10000, 64, 4, 30, "64 B allocated and freed at once, hot")       \
    X(v, lifo_64, 4096, false, 4, 8192, 2 * DEPTH, 4, 30,                                          \
      "64 B, 64 deep, freed last in first out")                                                    \
    X(v, alloc_64, HITS *HEAPS, true, 2, HITS *HEAPS, HITS *HEAPS, 8, 30,                          \
      "64 B allocated 48 times in a row from each of 8 heaps, frees not timed")                    \
    X(v, random_1000, TABLE, false, 6, 100000, TABLE, 2, 60,                                       \
      "one of 1000 live objects freed and replaced, 8 to 2048 B uniform")                          \
    X(v, mixed_100k, TABLE, false, 6, 100000, TABLE, 2, 60,                                        \
      "one of 100 live objects freed and replaced, 8 to 2048 B uniform over the bins")             \
    X(v, mixed_large, TABLE, false, 6, 100000, TABLE, 2, 60,                                       \
      "one of 100 live objects freed and replaced, 8 B to 64 KB log-uniform")                      \
    X(v, pollution, POLLUTED, true, 4, POLLUTED, 100, 4, 30,                                       \
      "1000 pairs after 500 mixed objects were allocated and all freed")                           \
    X(v, refill, 1, true, 16, 1, 1, 8, 30,                                                         \
      "one batch of 64 B moved from the slab to the cache and back")                               \
    X(v, miss_64, MISSES, true, 2, MISSES, 256, 2, 30,                                             \
      "64 B allocated 4096 times in a row, which no cache holds, frees not timed")                 \
    X(v, first_64, FIRSTS, true, 2, FIRSTS, FIRSTS, 8, 30,                                         \
      "64 B allocated once from each of 7 heaps whose cache of that size has just run empty")      \
    X(v, remote_free, REMOTE, true, 2, REMOTE, 64, 1, 240,                                         \
      "64 B freed here that another CPU allocated, allocations not timed")                         \
    X(v, remote_reuse, REMOTE, true, 2, REMOTE, 64, 1, 240,                                        \
      "64 B allocated here after as many of another CPU were freed here")                          \
    X(v, stream, 512, false, 4, 512, 64, 1, 240,                                                   \
      "64 B allocated here and freed on another CPU, over a queue, to the last free")              \
    X(v, scale_one_cpu, 2048, false, 4, 2048, 64, 2, 30,                                           \
      "pairs of 64 B and 32 of 16 to 1024 B last in first out, one CPU")                           \
    X(v, scale_most_cpus, 2048, false, 4, 2048, 64, 1, 240,                                        \
      "the same on all CPUs at once, operations of one of them, to the last one's end")            \
    X(v, fragmentation, 3200, true, 6, FRAGMENTATION_LEAST, 256, 2, 60,                            \
      "one of 256 objects replaced while sizes change by phases: small, large, mixed")             \
    X(v, exhaustion, 8192, true, 4, 8192, 256, 2, 30,                                              \
      "512 B allocated from 1 MB until there is no more, all freed, and again")                    \
    X(v, latency_1000, 1, true, 6, 0, 64, 500, 60,                                                 \
      "one step of random_1000 timed by itself, for its tail: the timer's step is in its median")

// ---- bodies -------------------------------------------------------------------------------------
// Each writes to the object and reads it back through a pointer the compiler knows nothing about,
// so that neither the allocation nor the accesses can go away.

ALWAYS_INLINE uint64_t pair_64(const struct heap_ops *ops, struct heap_context *context,
                               uint64_t operations)
{
    void *const heap = context->heap;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i++) {
        uint64_t *object = ops->allocate(heap, SIZE_SMALL);
        if (UNLIKELY(object == NULL))
            return BENCH_FAILED;
        object[7] = i;
        BODY_HIDE(object);
        sum += object[7];
        ops->release(heap, object, SIZE_SMALL);
        BODY_SETTLE();
    }
    return sum;
}

ALWAYS_INLINE uint64_t lifo_64(const struct heap_ops *ops, struct heap_context *context,
                               uint64_t operations)
{
    void *const heap = context->heap;
    void **const objects = context->objects;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i += DEPTH) {
        for (uint64_t k = 0; k < DEPTH; k++) {
            uint64_t *object = ops->allocate(heap, SIZE_SMALL);
            if (UNLIKELY(object == NULL))
                return BENCH_FAILED;
            object[0] = object[7] = i + k;
            objects[k] = object;
            BODY_SETTLE();
        }
        for (uint64_t k = DEPTH; k-- > 0;) {
            uint64_t *object = objects[k];
            BODY_HIDE(object);
            sum += object[0] + object[7];
            ops->release(heap, object, SIZE_SMALL);
            BODY_SETTLE();
        }
    }
    return sum;
}

// From each of several heaps as many as its first level holds: one heap's alone would be over
// before the clock has ticked often enough.
ALWAYS_INLINE uint64_t alloc_64(const struct heap_ops *ops, struct heap_context *context,
                                uint64_t operations)
{
    void **objects = context->objects;
    uint64_t served = 0;
    for (uint64_t h = 0; h < operations / HITS; h++) {
        void *const heap = context->heaps[h];
        for (uint64_t i = 0; i < HITS; i++) {
            void *object = ops->allocate(heap, SIZE_SMALL);
            *objects++ = object;
            served += object != NULL;
            BODY_SETTLE();
        }
    }
    return served;
}

// The allocation that misses, and no other: `before` has used up what each cache held.
ALWAYS_INLINE uint64_t first_64(const struct heap_ops *ops, struct heap_context *context,
                                uint64_t operations)
{
    void **objects = context->objects + context->held;
    uint64_t served = 0;
    for (uint64_t h = 0; h < operations; h++) {
        void *object = ops->allocate(context->heaps[h], SIZE_SMALL);
        objects[h * FIRSTS_HELD] = object;
        served += object != NULL;
        BODY_SETTLE();
    }
    context->held++;
    return served;
}

// Every object carries the number of the step that made it at both ends; whoever frees it adds them
// up, so that objects that overlap do not go unnoticed.
ALWAYS_INLINE uint64_t mixed(const struct heap_ops *ops, struct heap_context *context,
                             uint64_t operations)
{
    void *const heap = context->heap;
    void **const objects = context->objects;
    uint32_t *const sizes = context->sizes;
    uint64_t sum = 0;
    for (uint64_t done = 0; done < operations; done += TABLE) {
        for (uint32_t i = 0; i < TABLE; i++) {
            const struct step step = context->steps[i];
            uint64_t *object = objects[step.slot];
            sum += *object + *last_word(object, sizes[step.slot]);
            ops->release(heap, object, sizes[step.slot]);
            object = ops->allocate(heap, step.size);
            if (UNLIKELY(object == NULL))
                return BENCH_FAILED;
            *object = i;
            *last_word(object, step.size) = i;
            objects[step.slot] = object;
            sizes[step.slot] = step.size;
            BODY_SETTLE();
        }
    }
    return sum;
}

#define random_1000 mixed
#define mixed_100k  mixed
#define mixed_large mixed

ALWAYS_INLINE uint64_t pollution(const struct heap_ops *ops, struct heap_context *context,
                                 uint64_t operations)
{
    void *const heap = context->heap;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i++) {
        const uint32_t size = context->steps[i].size;
        uint64_t *object = ops->allocate(heap, size);
        if (UNLIKELY(object == NULL))
            return BENCH_FAILED;
        *last_word(object, size) = i;
        BODY_HIDE(object);
        sum += *last_word(object, size);
        ops->release(heap, object, size);
        BODY_SETTLE();
    }
    return sum;
}

ALWAYS_INLINE uint64_t refill(const struct heap_ops *ops, struct heap_context *context,
                              uint64_t operations)
{
    uint64_t complete = 0;
    for (uint64_t i = 0; i < operations; i++)
        complete += ops->refill(context->heap, SIZE_SMALL) > 0;
    return complete;
}

#endif
