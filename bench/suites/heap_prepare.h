// SPDX-License-Identifier: MIT
// What stands behind the cases of heap_cases.h: what prepares them, what comes before a window, and
// what they must give. Included behind the tables, since it names cases.
#ifndef HEAP_PREPARE_H
#define HEAP_PREPARE_H

#include "compiler.h"
#include "heap.h"
#include "heap_cases.h"
#include "heap_counters.h"
#include "platform.h"
#include "random.h"
#include "string.h"

// For what a case keeps live, however it is rounded; alloc_64's heaps share it.
#define LEAST_BYTES (3u << 20)
#define FEW_BYTES   (128u << 10) // of each of several heaps

static bool has_crew(size_t which)
{
    return which == CASE_remote_free || which == CASE_remote_reuse || which == CASE_stream ||
           which == CASE_scale_most_cpus;
}

static uint32_t random_size(size_t which, struct random *random)
{
    static const uint16_t bins[] = {8,   16,  24,  32,  48,  64,   96,   128,
                                    192, 256, 384, 512, 768, 1024, 1536, 2048};
    if (which == CASE_random_1000 || which == CASE_latency_1000)
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

// The same for the cases that know by `ids` what stands in an object.
static bool occupy(size_t which, const struct heap_ops *ops, struct heap_context *context)
{
    for (uint32_t slot = 0; slot < context->live; slot++) {
        const uint32_t size = which == CASE_fragmentation ? SIZE_SMALL : context->steps[slot].size;
        uint64_t *object = ops->allocate(context->heap, size);
        if (object == NULL)
            return false;
        *object = *last_word(object, size) = slot;
        context->objects[slot] = object;
        context->sizes[slot] = size;
        context->ids[slot] = slot;
        context->asked += size;
    }
    return true;
}

static void *carve(uint8_t **next, size_t bytes, size_t alignment)
{
    uint8_t *start = (uint8_t *)align_up((uintptr_t)*next, alignment);
    *next = start + bytes;
    return start;
}

// ---- crew ---------------------------------------------------------------------------------------

// Of each row; the last ones are of a variant that is not in the table.
static struct crew_patience patience[(ARRAY_COUNT(variants) + 1) * CASE_COUNT];

static size_t workers_of(size_t which)
{
    const size_t others = platform_cpu_count() - 1;
    return which == CASE_scale_most_cpus ? others : 1;
}

static void carve_crew(size_t which, const struct heap_ops *ops, struct heap_context *context,
                       uint8_t **next)
{
    const size_t variant = crew_variant(variants, ARRAY_COUNT(variants), ops);
    const size_t row = variant * CASE_COUNT + which, count = workers_of(which);
    bench_body *const body = variant < ARRAY_COUNT(variants) ? bodies[row] : NULL;
    context->crew = carve(next, sizeof(struct crew), CACHE_LINE);
    context->stream = carve(next, sizeof(struct heap_stream), CACHE_LINE);
    struct crew_member *members = carve(next, count * sizeof(*members), CACHE_LINE);
    crew_make(context->crew, members, count, body, NULL, &patience[row]);
    for (size_t i = 0; i < count; i++) {
        struct heap_context *own = carve(next, sizeof(*own), CACHE_LINE);
        *own = (struct heap_context){.crew = context->crew,
                                     .stream = context->stream,
                                     .is_worker = true,
                                     .objects = context->objects};
        if (which == CASE_scale_most_cpus)
            own->objects = carve(next, SCALE_HALF * sizeof(void *), CACHE_LINE);
        own->heap = carve(next, ops->handle_bytes, CACHE_LINE);
        members[i].context = own;
    }
}

static bool join_crew(const struct heap_ops *ops, const struct heap_context *context)
{
    for (size_t i = 0; i < context->crew->count; i++) {
        struct heap_context *one = context->crew->members[i].context;
        one->heap = ops->join(context->heap, one->heap);
        if (one->heap == NULL)
            return false;
    }
    return true;
}

// ---- in front of a window -----------------------------------------------------------------------

// Frees what the last window left allocated, in the order it was allocated in.
static void give_back(const struct heap_ops *ops, struct heap_context *context)
{
    for (size_t i = 0; i < context->held; i++) {
        const uint64_t *object = context->objects[i];
        const uint64_t mark = context->mark + i;
        context->damaged |= object[0] != mark || object[7] != mark;
        ops->release(context->heap, context->objects[i], SIZE_SMALL);
    }
    context->held = 0;
}

// Marks for the next so many objects, which no object of the last window has.
static uint32_t next_marks(struct heap_context *context, uint64_t count)
{
    const uint32_t mark = (uint32_t)context->position;
    context->position = context->position + count < UINT32_MAX / 2 ? context->position + count : 0;
    return mark;
}

static uint64_t misses_of(const struct heap_ops *ops, const void *heap)
{
    struct heap_statistics now;
    ops->statistics(heap, &now);
    return now.cache_misses;
}

// first_64: the last heap lives through what the others do, one allocation ahead of them. When it
// misses, the next allocation of each of the others will. What the window took counts as held; all
// of it is freed before there is no place for two more batches.
static void use_up(const struct heap_ops *ops, struct heap_context *context)
{
    void *const ahead = context->heaps[FIRSTS];
    void **const its = context->objects + (size_t)FIRSTS * FIRSTS_HELD;
    if (context->held > FIRSTS_HELD / 2) {
        for (size_t h = 0; h < HEAPS; h++)
            for (size_t i = 0; i < context->held; i++)
                ops->release(context->heaps[h], context->objects[h * FIRSTS_HELD + i], SIZE_SMALL);
        context->held = 0;
    }
    const uint64_t misses = misses_of(ops, ahead);
    size_t i = context->held;
    while (i + 1 < FIRSTS_HELD && misses_of(ops, ahead) == misses)
        its[i++] = ops->allocate(ahead, SIZE_SMALL);
    for (; context->held + 1 < i; context->held++)
        for (size_t h = 0; h < FIRSTS; h++)
            context->objects[h * FIRSTS_HELD + context->held] =
                ops->allocate(context->heaps[h], SIZE_SMALL);
}

// A worker allocates, alone, and has ended when this returns.
static void allocate_elsewhere(struct heap_context *context, uint64_t operations)
{
    struct crew *const crew = context->crew;
    struct heap_context *const other = crew->members[0].context;
    other->mark = next_marks(context, operations);
    crew_call(crew, operations);
    if (!crew_begin(crew))
        return;
    crew->failed = crew_sum(crew) == BENCH_FAILED;
    crew_rest();
    context->mark = other->mark;
    context->held = crew->failed ? 0 : operations;
}

static void before_crew(size_t which, const struct heap_ops *ops, struct heap_context *context,
                        uint64_t operations)
{
    if (which == CASE_stream || which == CASE_scale_most_cpus) {
        crew_rest(); // the last window's, in the queue
        context->stream->sent = context->stream->received = 0;
        crew_call(context->crew, operations);
        return;
    }
    give_back(ops, context);
    allocate_elsewhere(context, operations);
    if (which == CASE_remote_reuse) {
        give_back(ops, context);
        context->mark = next_marks(context, operations);
    }
}

static size_t live_of(size_t which)
{
    if (which == CASE_fragmentation)
        return FRAGMENTED;
    return which == CASE_random_1000 || which == CASE_latency_1000 ? LIVE_MOST : 100;
}

static void *prepare(size_t which, const void *ops_, void *memory, size_t length, uint64_t seed)
{
    const struct heap_ops *ops = ops_;
    uint8_t *next = memory;
    crew_rest();
    struct heap_context *context = carve(&next, sizeof(*context), CACHE_LINE);
    memset(context, 0, sizeof(*context));
    context->objects = carve(&next, OBJECTS_MOST * sizeof(void *), CACHE_LINE);
    context->sizes = carve(&next, OBJECTS_MOST * sizeof(uint32_t), CACHE_LINE);
    context->ids = carve(&next, OBJECTS_MOST * sizeof(uint32_t), CACHE_LINE);
    context->steps = carve(&next, TABLE * sizeof(struct step), CACHE_LINE);
    const size_t heaps = which == CASE_alloc_64 || which == CASE_first_64 ? HEAPS : 1;
    for (size_t i = 0; i < heaps; i++)
        context->heaps[i] = carve(&next, ops->state_bytes, CACHE_LINE);
    context->heap = context->heaps[0];
    if (has_crew(which))
        carve_crew(which, ops, context, &next);
    uint8_t *const region = carve(&next, 0, PAGE_SIZE);
    const size_t used = (size_t)(region - (uint8_t *)memory);
    const size_t least = heaps > 1 ? heaps * FEW_BYTES : LEAST_BYTES;
    if (used + least > length)
        return NULL;
    const size_t each = which == CASE_exhaustion ? EXHAUSTION_BYTES
                        : heaps > 1              ? FEW_BYTES
                                                 : (length - used) / PAGE_SIZE * PAGE_SIZE;
    for (size_t i = 0; i < heaps; i++)
        if (ops->init(context->heaps[i], region + i * each, each) != STATUS_OK)
            return NULL;
    if (context->crew != NULL && !join_crew(ops, context))
        return NULL;

    struct random random = random_seeded(seed);
    context->live = live_of(which);
    for (uint32_t i = 0; i < TABLE; i++)
        context->steps[i] = (struct step){.slot = (uint16_t)random_below(&random, context->live),
                                          .size = random_size(which, &random)};
    if (is_mixed(which) && !fill(ops, context))
        return NULL;
    if ((which == CASE_latency_1000 || which == CASE_fragmentation) && !occupy(which, ops, context))
        return NULL;
    context->random = random;
    context->phase = PHASE_KINDS - 1; // ends with the first operation
    context->phase_length = PHASE_LENGTH;
    return context;
}

// Of what size the untimed pass is that the counters come from.
static uint64_t counted(size_t which, bool full)
{
    if (which == CASE_fragmentation && full)
        return 100 * (uint64_t)FRAGMENTATION_LEAST;
    return cases[which].counted_operations;
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
    if (has_crew(which)) {
        before_crew(which, ops, context, operations);
    } else if (which == CASE_first_64) {
        use_up(ops, context);
    } else if (which == CASE_miss_64) {
        give_back(ops, context);
        context->mark = next_marks(context, operations);
    } else if (which == CASE_fragmentation && operations >= FRAGMENTATION_LEAST) {
        context->phase_length = operations / PHASES_IN_A_PASS;
    }
    ops->statistics(context->heap, &context->before);
}

// What stands in the objects of one CPU: 0 to 31, twice, then 64 to 95...
static uint64_t scale_sum(uint64_t operations)
{
    const uint64_t turns = operations / (2 * SCALE_HALF);
    const uint64_t starts = turns * (turns - 1) / 2 * 2 * SCALE_HALF;
    return 2 * (starts * SCALE_HALF + turns * (SCALE_HALF * (SCALE_HALF - 1) / 2));
}

static uint64_t expected(size_t which, const void *context_, uint64_t operations)
{
    const struct heap_context *context = context_;
    if (is_mixed(which))
        return context->turn_sum * (operations / TABLE);
    if (which == CASE_alloc_64 || which == CASE_first_64 || which == CASE_refill)
        return operations;
    if (which == CASE_latency_1000 || which == CASE_fragmentation)
        return operations;
    const uint64_t once = operations * (operations - 1) / 2;
    const uint64_t marked = once + operations * context->mark;
    switch (which) {
    case CASE_miss_64:
    case CASE_remote_reuse:
        return marked;
    case CASE_remote_free:
        return 2 * marked;
    case CASE_lifo_64:
    case CASE_stream:
    case CASE_exhaustion:
        return 2 * once;
    case CASE_scale_one_cpu:
        return scale_sum(operations);
    case CASE_scale_most_cpus:
        return scale_sum(operations) * (1 + context->crew->count);
    default:
        return once;
    }
}

static bool applies(size_t which, const void *ops_)
{
    const struct heap_ops *ops = ops_;
    if (has_crew(which))
        return ops->join != NULL && platform_cpu_count() > 1;
    // Of the others nobody knows when they miss.
    return (which != CASE_refill && which != CASE_first_64) || ops->refill != NULL;
}

// Gives back what prepare and the last window left allocated. For heaps whose objects lie somewhere
// else than in their memory.
static inline void finish(size_t which, const void *ops_, void *context_)
{
    const struct heap_ops *ops = ops_;
    struct heap_context *context = context_;
    crew_rest();
    if (which == CASE_alloc_64)
        for (; context->held > 0; context->held--)
            ops->release(context->heaps[(context->held - 1) / HITS],
                         context->objects[context->held - 1], SIZE_SMALL);
    give_back(ops, context);
    if (is_mixed(which) || which == CASE_latency_1000 || which == CASE_fragmentation)
        for (size_t slot = 0; slot < context->live; slot++)
            ops->release(context->heap, context->objects[slot], context->sizes[slot]);
}

static bool check(size_t which, const void *ops, const void *context_)
{
    const struct heap_context *context = context_;
    crew_rest();
    if (which == CASE_alloc_64 || which == CASE_first_64)
        for (size_t h = 1; h < HEAPS; h++)
            if (!((const struct heap_ops *)ops)->check(context->heaps[h]))
                return false;
    return !context->damaged && !context->uneven &&
           ((const struct heap_ops *)ops)->check(context->heap);
}

// What there is of the suite besides who is asked.
#define HEAP_SUITE                                                                                 \
    SUITE_MEMBERS, .what = "allocators for objects of any size", .prepare = prepare,               \
                   .before = before, .expected = expected, .counted = counted,                     \
                   .counters = counters, .check = check

#endif
