// SPDX-License-Identifier: MIT
// Bodies of the heap suite about what a heap does to its memory over time, and to single requests.
#ifndef HEAP_OVER_TIME_H
#define HEAP_OVER_TIME_H

#include "body.h"
#include "compiler.h"
#include "heap.h"
#include "heap_context.h"
#include "random.h"

// The last whole word of an object.
ALWAYS_INLINE uint64_t *last_word(uint64_t *object, uint32_t size)
{
    return object + (size / 8 - 1);
}

// Frees the object of a slot and allocates another one for it. What its words were off is added to
// `wrong`, modulo 2^64, so that objects that overlap or get lost do not go unnoticed. False: there
// is no memory, and the slot is empty.
ALWAYS_INLINE bool replace(const struct heap_ops *ops, struct heap_context *context, uint32_t slot,
                           uint32_t size, uint32_t id, uint64_t *wrong)
{
    void *const heap = context->heap;
    uint64_t *object = context->objects[slot];
    *wrong += *object + *last_word(object, context->sizes[slot]);
    *wrong -= 2 * (uint64_t)context->ids[slot];
    ops->release(heap, object, context->sizes[slot]);
    object = ops->allocate(heap, size);
    if (UNLIKELY(object == NULL))
        return false;
    *object = id;
    *last_word(object, size) = id;
    context->objects[slot] = object;
    context->sizes[slot] = size;
    context->ids[slot] = id;
    BODY_SETTLE();
    return true;
}

// Windows of one operation: random_1000's, timed by itself.
ALWAYS_INLINE uint64_t latency_1000(const struct heap_ops *ops, struct heap_context *context,
                                    uint64_t operations)
{
    uint64_t position = context->position, wrong = 0;
    for (uint64_t i = 0; i < operations; i++) {
        const struct step step = context->steps[position];
        if (UNLIKELY(!replace(ops, context, step.slot, step.size, (uint32_t)position, &wrong)))
            return BENCH_FAILED;
        position = position + 1 < TABLE ? position + 1 : 0;
    }
    context->position = position;
    return operations + wrong;
}

// ---- fragmentation ------------------------------------------------------------------------------

#define FRAGMENTED          256u    // slots, a power of two; one in eight is for long lives
#define FRAGMENTATION_LEAST 100000u // operations of the pass whose memory is looked at
#define PHASE_LENGTH        12500u
#define PHASES_IN_A_PASS    8u

enum { PHASE_SMALL, PHASE_LARGE, PHASE_MIXED, PHASE_KINDS };

// 8 to 256 B; 1 to 8 KB; 8 B to 16 KB log-uniform.
ALWAYS_INLINE uint32_t fragmentation_size(uint64_t phase, uint64_t any)
{
    if (phase == PHASE_SMALL)
        return 8 + (uint32_t)(any * 249 >> 32);
    if (phase == PHASE_LARGE)
        return 1024 + (uint32_t)(any * 7169 >> 32);
    const uint32_t power = 3 + (uint32_t)(any * 11 >> 32);
    return (1u << power) + (uint32_t)(any & ((1u << power) - 1));
}

static NOINLINE void fragmentation_look(const struct heap_ops *ops, struct heap_context *context,
                                        uint64_t point)
{
    struct heap_statistics now;
    ops->statistics(context->heap, &now);
    context->points[point] =
        (struct heap_point){.asked = context->asked,
                            .rounded = now.bytes_allocated - now.bytes_freed,
                            .taken = (now.pages_taken - now.pages_returned) * PAGE_SIZE};
}

// Objects are replaced at random while the sizes change by phases: small, large, mixed, and again.
// A pass long enough is looked at 32 times on the way; a shorter window goes on where the last one
// ended and is not.
ALWAYS_INLINE uint64_t fragmentation(const struct heap_ops *ops, struct heap_context *context,
                                     uint64_t operations)
{
    const bool looked_at = operations >= FRAGMENTATION_LEAST;
    const uint64_t stretches = looked_at ? HEAP_POINTS : 1;
    struct random random = context->random;
    uint64_t wrong = 0;
    for (uint64_t stretch = 0; stretch < stretches; stretch++) {
        for (uint64_t i = 0; i < operations / stretches; i++) {
            const uint64_t any = random_u64(&random);
            uint32_t slot = (uint32_t)any % FRAGMENTED;
            // What lives long is replaced once in 64 times that its turn comes.
            if (slot % 8 == 0 && any >> 10 & 63)
                slot++;
            if (context->phase_left-- == 0) {
                context->phase_left = context->phase_length - 1;
                context->phase = (context->phase + 1) % PHASE_KINDS;
            }
            const uint32_t size = fragmentation_size(context->phase, any >> 32);
            context->asked += size - (uint64_t)context->sizes[slot];
            if (UNLIKELY(!replace(ops, context, slot, size, (uint32_t)++context->position, &wrong)))
                return BENCH_FAILED;
        }
        if (looked_at)
            fragmentation_look(ops, context, stretch);
    }
    context->random = random;
    context->point_operations = operations / stretches;
    return operations + wrong;
}

// ---- exhaustion ---------------------------------------------------------------------------------

#define SIZE_EXHAUSTION  512u
#define EXHAUSTION_BYTES (1u << 20)

// Frees all that a fill allocated. The sum of what stands in them.
ALWAYS_INLINE uint64_t drain(const struct heap_ops *ops, struct heap_context *context, size_t held)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < held; i++) {
        uint64_t *object = context->objects[i];
        sum += object[0] + object[SIZE_EXHAUSTION / 8 - 1];
        ops->release(context->heap, object, SIZE_EXHAUSTION);
        BODY_SETTLE();
    }
    return sum;
}

// Allocates until there is no more, frees all, and again. Each time there must be as many.
ALWAYS_INLINE uint64_t exhaustion(const struct heap_ops *ops, struct heap_context *context,
                                  uint64_t operations)
{
    uint64_t sum = 0;
    size_t held = 0;
    for (uint64_t i = 0; i < operations;) {
        uint64_t *object =
            held < OBJECTS_MOST ? ops->allocate(context->heap, SIZE_EXHAUSTION) : NULL;
        if (object != NULL) {
            object[0] = object[SIZE_EXHAUSTION / 8 - 1] = i++;
            context->objects[held++] = object;
            BODY_SETTLE();
            continue;
        }
        if (UNLIKELY(held == 0))
            return BENCH_FAILED;
        if (context->capacity == 0)
            context->capacity = held;
        context->uneven |= held != context->capacity;
        sum += drain(ops, context, held);
        held = 0;
    }
    return sum + drain(ops, context, held);
}

#endif
