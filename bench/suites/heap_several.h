// SPDX-License-Identifier: MIT
// Bodies of the heap suite for several CPUs. A worker, a member of the crew, runs the body of its
// case as well, over a context of its own, so that its calls are as direct as ours.
#ifndef HEAP_SEVERAL_H
#define HEAP_SEVERAL_H

#include "body.h"
#include "compiler.h"
#include "crew.h"
#include "heap.h"
#include "heap_context.h"

// ---- objects in a row ---------------------------------------------------------------------------

// Allocates objects and keeps them, each with a mark of its own at both ends.
ALWAYS_INLINE uint64_t take_in_a_row(const struct heap_ops *ops, struct heap_context *context,
                                     uint64_t operations)
{
    void *const heap = context->heap;
    void **const objects = context->objects;
    uint64_t sum = 0, mark = context->mark;
    for (uint64_t i = 0; i < operations; i++, mark++) {
        uint64_t *object = ops->allocate(heap, SIZE_SMALL);
        if (UNLIKELY(object == NULL)) {
            context->held = i;
            return BENCH_FAILED;
        }
        object[0] = object[7] = mark;
        objects[i] = object;
        BODY_HIDE(object);
        sum += object[7];
        BODY_SETTLE();
    }
    context->held = operations;
    return sum;
}

#define miss_64 take_in_a_row

// A worker allocated the objects; they are freed here.
ALWAYS_INLINE uint64_t remote_free(const struct heap_ops *ops, struct heap_context *context,
                                   uint64_t operations)
{
    if (context->is_worker)
        return take_in_a_row(ops, context, operations);
    if (UNLIKELY(context->crew->failed))
        return BENCH_FAILED;
    void *const heap = context->heap;
    void **const objects = context->objects;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i++) {
        const uint64_t *object = objects[i];
        sum += object[0] + object[7];
        ops->release(heap, objects[i], SIZE_SMALL);
        BODY_SETTLE();
    }
    context->held = 0;
    return sum;
}

// A worker allocated the objects and they were freed here; now as many are allocated here.
ALWAYS_INLINE uint64_t remote_reuse(const struct heap_ops *ops, struct heap_context *context,
                                    uint64_t operations)
{
    if (!context->is_worker && UNLIKELY(context->crew->failed))
        return BENCH_FAILED;
    return take_in_a_row(ops, context, operations);
}

// ---- stream -------------------------------------------------------------------------------------

ALWAYS_INLINE uint64_t stream_consume(const struct heap_ops *ops, struct heap_context *context,
                                      uint64_t operations)
{
    struct crew *const crew = context->crew;
    struct heap_stream *const queue = context->stream;
    void *const heap = context->heap;
    uint64_t sum = 0, sent = 0;
    for (uint64_t i = 0; i < operations; i++) {
        if (i == sent) {
            if (UNLIKELY(!crew_reaches(crew, &queue->sent, i + 1)))
                return BENCH_FAILED;
            // Acquire: the messages so far, and what stands in them.
            sent = __atomic_load_n(&queue->sent, __ATOMIC_ACQUIRE);
            if (UNLIKELY(sent == CREW_DROPPED))
                return BENCH_FAILED;
        }
        uint64_t *object = queue->slots[i % STREAM_SLOTS];
        sum += object[0] + object[7];
        ops->release(heap, object, SIZE_SMALL);
        // Release: the slots were read before the producer sees that it may write them.
        if ((i + 1) % STREAM_BATCH == 0)
            __atomic_store_n(&queue->received, i + 1, __ATOMIC_RELEASE);
    }
    return sum;
}

ALWAYS_INLINE uint64_t stream_produce(const struct heap_ops *ops, struct heap_context *context,
                                      uint64_t operations)
{
    struct crew *const crew = context->crew;
    struct heap_stream *const queue = context->stream;
    void *const heap = context->heap;
    uint64_t room = STREAM_SLOTS;
    if (!crew_begin(crew))
        return BENCH_FAILED;
    for (uint64_t i = 0; i < operations; i++) {
        uint64_t *object = ops->allocate(heap, SIZE_SMALL);
        if (UNLIKELY(object == NULL) ||
            (i == room &&
             UNLIKELY(!crew_comes(crew, &queue->received, i - STREAM_SLOTS + STREAM_BATCH)))) {
            __atomic_store_n(&queue->sent, CREW_DROPPED, __ATOMIC_RELEASE);
            return BENCH_FAILED;
        }
        // Acquire: the consumer has read what is overwritten now.
        if (i == room)
            room = __atomic_load_n(&queue->received, __ATOMIC_ACQUIRE) + STREAM_SLOTS;
        object[0] = object[7] = i;
        queue->slots[i % STREAM_SLOTS] = object;
        // Release: the consumer that sees the count sees the slots and the objects.
        if ((i + 1) % STREAM_BATCH == 0 || i + 1 == operations)
            __atomic_store_n(&queue->sent, i + 1, __ATOMIC_RELEASE);
    }
    return crew_sum(crew);
}

// Messages are allocated here and freed on another CPU, over a plain queue for one of each; from
// the first allocation to the last free.
ALWAYS_INLINE uint64_t stream(const struct heap_ops *ops, struct heap_context *context,
                              uint64_t operations)
{
    if (context->is_worker)
        return stream_consume(ops, context, operations);
    return stream_produce(ops, context, operations);
}

// ---- scale --------------------------------------------------------------------------------------

#define SCALE_HALF 32u // pairs, and objects last in first out, in turn

// Pairs of 64 B, then as many objects of 16 to 1024 B, last in first out.
ALWAYS_INLINE uint64_t scale_one_cpu(const struct heap_ops *ops, struct heap_context *context,
                                     uint64_t operations)
{
    void *const heap = context->heap;
    void **const objects = context->objects;
    uint64_t sum = 0;
    for (uint64_t done = 0; done < operations; done += 2 * SCALE_HALF) {
        for (uint64_t k = 0; k < SCALE_HALF; k++) {
            uint64_t *object = ops->allocate(heap, SIZE_SMALL);
            if (UNLIKELY(object == NULL))
                return BENCH_FAILED;
            object[7] = done + k;
            BODY_HIDE(object);
            sum += object[7];
            ops->release(heap, object, SIZE_SMALL);
            BODY_SETTLE();
        }
        for (uint64_t k = 0; k < SCALE_HALF; k++) {
            uint64_t *object = ops->allocate(heap, 16u << k % 7);
            if (UNLIKELY(object == NULL))
                return BENCH_FAILED;
            object[0] = done + k;
            objects[k] = object;
            BODY_SETTLE();
        }
        for (uint64_t k = SCALE_HALF; k-- > 0;) {
            uint64_t *object = objects[k];
            BODY_HIDE(object);
            sum += object[0];
            ops->release(heap, object, 16u << k % 7);
            BODY_SETTLE();
        }
    }
    return sum;
}

// The same on all CPUs at once: from the barrier's release to the last one's end.
ALWAYS_INLINE uint64_t scale_most_cpus(const struct heap_ops *ops, struct heap_context *context,
                                       uint64_t operations)
{
    if (context->is_worker)
        return scale_one_cpu(ops, context, operations);
    if (!crew_begin(context->crew))
        return BENCH_FAILED;
    return crew_sum_with(context->crew, scale_one_cpu(ops, context, operations));
}

#endif
