// SPDX-License-Identifier: MIT
// Heaps: what one allocation and one free cost, in the situations that tell heaps apart.
#include "body.h"
#include "compiler.h"
#include "heap_variants.h"
#include "random.h"
#include "string.h"

#define SIZE_SMALL   64u
#define DEPTH        64u        // of the LIFO case: what a thread cache may hold
#define HITS         48u        // allocations in a row that a filled cache serves
#define HEAPS        8u         // that take turns in alloc_64
#define HEAP_BYTES   (1u << 20) // of each of them
#define TABLE        5000u      // steps of the mixed cases; 100 000 = 20 turns
#define LIVE_MOST    1000u
#define POLLUTION    500u
#define POLLUTED     1000u // pairs after the pollution
#define OBJECTS_MOST 1024u

#define SUITE           heap
#define SUITE_MECHANISM heap
#define SUITE_VARIANTS  HEAP_VARIANTS

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
      "one batch of 64 B moved from the slab to the cache and back")

struct step {
    uint16_t slot;
    uint16_t unused;
    uint32_t size;
};

// A participant's own: everything a body needs, in front of the heap's memory.
struct heap_context {
    void *heap;
    void *heaps[HEAPS];            // of alloc_64; the first is `heap`
    void **objects;                // live ones, by slot
    uint32_t *sizes;               // what was asked for, by slot
    struct step *steps;            // TABLE of them
    uint64_t turn_sum;             // checksum of one turn through the steps
    size_t live;                   // slots of the mixed cases
    size_t held;                   // objects the last window left allocated
    struct heap_statistics before; // at the last `before`
};

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

// The last whole word of an object.
ALWAYS_INLINE uint64_t *last_word(uint64_t *object, uint32_t size)
{
    return object + (size / 8 - 1);
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

SUITE_TABLES

// ---- preparation --------------------------------------------------------------------------------

static bool is_mixed(size_t which)
{
    return which == CASE_random_1000 || which == CASE_mixed_100k || which == CASE_mixed_large;
}

static uint32_t random_size(size_t which, struct random *random)
{
    static const uint16_t bins[] = {8,   16,  24,  32,  48,  64,   96,   128,
                                    192, 256, 384, 512, 768, 1024, 1536, 2048};
    if (which == CASE_random_1000)
        return 8 + (uint32_t)random_below(random, 2041);
    if (which == CASE_mixed_large) {
        const uint32_t power = 3 + (uint32_t)random_below(random, 13); // 8 .. 32768
        return (1u << power) + (uint32_t)random_below(random, (1u << power) + 1);
    }
    return bins[random_below(random, ARRAY_COUNT(bins))];
}

// Allocates what the first step of each slot will free. Objects start with the number of the step
// that makes them in every later turn, so that all turns have the same checksum.
static bool fill(const struct heap_ops *ops, struct heap_context *context)
{
    uint32_t maker[LIVE_MOST];
    for (uint32_t slot = 0; slot < context->live; slot++)
        maker[slot] = UINT32_MAX;
    for (uint32_t i = 0; i < TABLE; i++)
        maker[context->steps[i].slot] = i;
    for (uint32_t slot = 0; slot < context->live; slot++) {
        context->sizes[slot] = maker[slot] == UINT32_MAX ? 8 : context->steps[maker[slot]].size;
        uint64_t *object = ops->allocate(context->heap, context->sizes[slot]);
        if (object == NULL)
            return false;
        *object = maker[slot];
        *last_word(object, context->sizes[slot]) = maker[slot];
        context->objects[slot] = object;
    }
    context->turn_sum = 0;
    for (uint32_t i = 0; i < TABLE; i++) {
        context->turn_sum += 2 * (uint64_t)maker[context->steps[i].slot];
        maker[context->steps[i].slot] = i;
    }
    return true;
}

static void *carve(uint8_t **next, size_t bytes, size_t alignment)
{
    uint8_t *start = (uint8_t *)align_up((uintptr_t)*next, alignment);
    *next = start + bytes;
    return start;
}

static void *prepare(size_t which, const void *ops_, void *memory, size_t length, uint64_t seed)
{
    const struct heap_ops *ops = ops_;
    uint8_t *next = memory;
    struct heap_context *context = carve(&next, sizeof(*context), CACHE_LINE);
    memset(context, 0, sizeof(*context));
    context->objects = carve(&next, OBJECTS_MOST * sizeof(void *), CACHE_LINE);
    context->sizes = carve(&next, OBJECTS_MOST * sizeof(uint32_t), CACHE_LINE);
    context->steps = carve(&next, TABLE * sizeof(struct step), CACHE_LINE);
    const size_t heaps = which == CASE_alloc_64 ? HEAPS : 1;
    for (size_t i = 0; i < heaps; i++)
        context->heaps[i] = carve(&next, ops->state_bytes, CACHE_LINE);
    context->heap = context->heaps[0];
    uint8_t *const region = carve(&next, 0, PAGE_SIZE);
    const size_t used = (size_t)(region - (uint8_t *)memory);
    if (used + HEAPS * HEAP_BYTES > length)
        return NULL;
    const size_t each = heaps > 1 ? HEAP_BYTES : (length - used) / PAGE_SIZE * PAGE_SIZE;
    for (size_t i = 0; i < heaps; i++)
        if (ops->init(context->heaps[i], region + i * each, each) != STATUS_OK)
            return NULL;

    struct random random = random_seeded(seed);
    context->live = which == CASE_random_1000 ? LIVE_MOST : 100;
    for (uint32_t i = 0; i < TABLE; i++)
        context->steps[i] = (struct step){.slot = (uint16_t)random_below(&random, context->live),
                                          .size = random_size(which, &random)};
    if (is_mixed(which) && !fill(ops, context))
        return NULL;
    return context;
}

// alloc_64: gives back what the last window took, which leaves the first level filled.
// pollution: allocates mixed objects and frees them all.
static void before(size_t which, const void *ops_, void *context_, uint64_t operations)
{
    const struct heap_ops *ops = ops_;
    struct heap_context *context = context_;
    if (which == CASE_alloc_64) {
        for (; context->held < operations; context->held++)
            context->objects[context->held] =
                ops->allocate(context->heaps[context->held / HITS], SIZE_SMALL);
        for (size_t i = context->held; i-- > 0;)
            ops->release(context->heaps[i / HITS], context->objects[i], SIZE_SMALL);
        context->held = operations;
    }
    if (which == CASE_pollution) {
        for (uint32_t i = 0; i < POLLUTION; i++)
            context->objects[i] = ops->allocate(context->heap, context->steps[i].size);
        for (uint32_t i = 0; i < POLLUTION; i++)
            ops->release(context->heap, context->objects[i], context->steps[i].size);
    }
    ops->statistics(context->heap, &context->before);
}

static uint64_t expected(size_t which, const void *context_, uint64_t operations)
{
    const struct heap_context *context = context_;
    if (is_mixed(which))
        return context->turn_sum * (operations / TABLE);
    if (which == CASE_alloc_64 || which == CASE_refill)
        return operations;
    const uint64_t once = operations * (operations - 1) / 2;
    return which == CASE_lifo_64 ? 2 * once : once;
}

static bool applies(size_t which, const void *ops)
{
    return which != CASE_refill || ((const struct heap_ops *)ops)->refill != NULL;
}

static void counters(size_t which, const void *ops_, const void *context_,
                     const struct bench_counters *out)
{
    const struct heap_ops *ops = ops_;
    const struct heap_context *context = context_;
    struct heap_statistics now;
    (void)which;
    ops->statistics(context->heap, &now);
    const uint64_t hits = now.cache_hits - context->before.cache_hits;
    const uint64_t misses = now.cache_misses - context->before.cache_misses;
    const uint64_t served = now.allocations - context->before.allocations;
    const uint64_t failed = now.failures - context->before.failures;
    if (hits + misses > 0)
        out->emit(out->context, "hit_rate", hits, hits + misses, "percent");
    if (served + failed > 0)
        out->emit(out->context, "served", served, served + failed, "percent");
    out->emit(out->context, "header_bytes", now.header_bytes, 1, "bytes");
}

static bool check(size_t which, const void *ops, const void *context)
{
    (void)which;
    return ((const struct heap_ops *)ops)->check(((const struct heap_context *)context)->heap);
}

const struct bench_suite heap_suite = {
    SUITE_MEMBERS, // of the tables
    .what = "allocators for objects of any size",
    .applies = applies,
    .prepare = prepare,
    .before = before,
    .expected = expected,
    .counters = counters,
    .check = check,
};
