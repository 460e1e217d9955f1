// SPDX-License-Identifier: MIT
// Bodies of the heap suite for several CPUs, and the crew they share. A worker runs the body of its
// case as well, over a context of its own, so that its calls are as direct as ours.
#ifndef HEAP_SEVERAL_H
#define HEAP_SEVERAL_H

#include "body.h"
#include "compiler.h"
#include "cpu.h"
#include "heap.h"
#include "heap_context.h"
#include "platform.h"

// ---- crew ---------------------------------------------------------------------------------------

// Waits until the word is `value` or more; false if it never is. Acquire: what the other CPU wrote
// before it stored that value is seen by what comes after the wait.
static bool crew_reaches(const struct heap_crew *crew, const uint64_t *word, uint64_t value)
{
    for (uint32_t turn = 0; turn < crew->turns; turn++) {
        if (__atomic_load_n(word, __ATOMIC_ACQUIRE) >= value)
            return true;
        cpu_pause();
    }
    return false;
}

// The same for CPU 0, whose waits all count for the row.
static bool crew_comes(const struct heap_crew *crew, const uint64_t *word, uint64_t value)
{
    for (uint32_t turn = 0; turn < crew->turns; turn++) {
        if (__atomic_load_n(word, __ATOMIC_ACQUIRE) >= value)
            return true;
        if (!crew_patient(crew->patience, turn))
            return false;
    }
    return false;
}

// What a worker's CPU runs: its part of one window.
static void crew_work(void *argument)
{
    struct heap_worker *worker = argument;
    struct heap_crew *crew = worker->crew;
    const uint64_t window = crew->window;
    worker->cpu = cpu_local()->index;
    // Release: everything of the last window is over for who sees this worker ready for the next.
    __atomic_store_n(&worker->ready, window, __ATOMIC_RELEASE);
    if (!crew_reaches(crew, &crew->go, window))
        return;
    if (__atomic_load_n(&crew->go, __ATOMIC_RELAXED) != window)
        return; // dropped
    worker->sum = worker->body(worker->context, worker->operations);
    // Release: the sum, and all that was done to objects, is there for who sees the part done.
    __atomic_store_n(&worker->done, window, __ATOMIC_RELEASE);
}

// Opens the window for the workers. Release: they see all that CPU 0 has prepared.
ALWAYS_INLINE void crew_begin(struct heap_crew *crew)
{
    __atomic_store_n(&crew->go, crew->window, __ATOMIC_RELEASE);
}

// Waits for all parts of the window; the sum of their sums, or BENCH_FAILED.
static uint64_t crew_sum(const struct heap_crew *crew)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < crew->count; i++) {
        const struct heap_worker *worker = &crew->workers[i];
        if (!crew_comes(crew, &worker->done, crew->window) || worker->sum == BENCH_FAILED)
            return BENCH_FAILED;
        sum += worker->sum;
    }
    return sum;
}

// Workers that a window left, or that no window came for, have ended afterwards.
static void rest_all(void)
{
    for (unsigned cpu = 1; cpu < platform_cpu_count(); cpu++)
        platform_cpu_wait(cpu, CREW_MS);
}

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
    struct heap_crew *const crew = context->crew;
    void *const heap = context->heap;
    uint64_t sum = 0, sent = 0;
    for (uint64_t i = 0; i < operations; i++) {
        if (i == sent) {
            if (UNLIKELY(!crew_reaches(crew, &crew->sent, i + 1)))
                return BENCH_FAILED;
            // Acquire: the messages so far, and what stands in them.
            sent = __atomic_load_n(&crew->sent, __ATOMIC_ACQUIRE);
            if (UNLIKELY(sent == CREW_DROPPED))
                return BENCH_FAILED;
        }
        uint64_t *object = crew->slots[i % STREAM_SLOTS];
        sum += object[0] + object[7];
        ops->release(heap, object, SIZE_SMALL);
        // Release: the slots were read before the producer sees that it may write them.
        if ((i + 1) % STREAM_BATCH == 0)
            __atomic_store_n(&crew->received, i + 1, __ATOMIC_RELEASE);
    }
    return sum;
}

ALWAYS_INLINE uint64_t stream_produce(const struct heap_ops *ops, struct heap_context *context,
                                      uint64_t operations)
{
    struct heap_crew *const crew = context->crew;
    void *const heap = context->heap;
    uint64_t room = STREAM_SLOTS;
    crew_begin(crew);
    for (uint64_t i = 0; i < operations; i++) {
        uint64_t *object = ops->allocate(heap, SIZE_SMALL);
        if (UNLIKELY(object == NULL) ||
            (i == room &&
             UNLIKELY(!crew_comes(crew, &crew->received, i - STREAM_SLOTS + STREAM_BATCH)))) {
            __atomic_store_n(&crew->sent, CREW_DROPPED, __ATOMIC_RELEASE);
            return BENCH_FAILED;
        }
        // Acquire: the consumer has read what is overwritten now.
        if (i == room)
            room = __atomic_load_n(&crew->received, __ATOMIC_ACQUIRE) + STREAM_SLOTS;
        object[0] = object[7] = i;
        crew->slots[i % STREAM_SLOTS] = object;
        // Release: the consumer that sees the count sees the slots and the objects.
        if ((i + 1) % STREAM_BATCH == 0 || i + 1 == operations)
            __atomic_store_n(&crew->sent, i + 1, __ATOMIC_RELEASE);
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
    if (UNLIKELY(context->crew->failed))
        return BENCH_FAILED;
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
    if (UNLIKELY(context->crew->failed))
        return BENCH_FAILED;
    crew_begin(context->crew);
    const uint64_t mine = scale_one_cpu(ops, context, operations);
    const uint64_t theirs = crew_sum(context->crew);
    return mine == BENCH_FAILED || theirs == BENCH_FAILED ? BENCH_FAILED : mine + theirs;
}

#endif
