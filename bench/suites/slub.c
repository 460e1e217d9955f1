// SPDX-License-Identifier: MIT
// SLUB against a classic slab: fast paths, caches of one type, many at once, a mixed load and the
// memory it takes, and what several CPUs make of it.
//
// alloc_128 and free_128 are windows of one operation, because a claim is about the worst one: the
// mean of 48 would hide it. A window is then not much longer than the clock's resolution, a few
// ticks, which does not matter for bounds of 99 and 999 ns; what one operation costs in a loop is
// in cycle_128. Misses are among the windows as they come: nothing is given back between
// allocations (or taken between frees) until the pool is used up, so about one in 32 moves a batch.
// The counted pass is another: 48 operations that all hit.
#include "body.h"
#include "compiler.h"
#include "crew.h"
#include "definitions_slub.h"
#include "objects_variants.h"
#include "platform.h"
#include "random.h"
#include "string.h"

#define SIZE_128   128u
#define SIZE_TYPED 192u // of the typed cache: no power of two
#define SIZE_BULK  64u
#define HITS       48u  // of the counted pass of alloc_128 and free_128
#define POOL_HITS  256u // objects held: all batches are used up, the list is empty
#define POOL       232u // objects held: the list has some left, so that frees overflow it soon
#define BULK       1000u
#define TABLE      2500u // steps of `mixed`
#define LIVE       2000u
#define TABLE_CPU  1024u // steps of each CPU in the scale cases
#define LIVE_CPU   64u
#define REGION     (4u << 20) // managed: more would only take longer to prepare and to check
#define REGION_CPU (1u << 20) // for what each CPU keeps

#define SUITE           slub
#define SUITE_MECHANISM objects
#define SUITE_VARIANTS  OBJECTS_VARIANTS

#define SUITE_CASES(X, v)                                                                          \
    X(v, alloc_128, 1, true, 2, HITS, 1, 40, 60,                                                   \
      "one 128 B allocation, misses as they come, frees not timed")                                \
    X(v, free_128, 1, true, 2, HITS, 1, 40, 60,                                                    \
      "one 128 B free, overflows as they come, allocations not timed")                             \
    X(v, cycle_128, 1000, false, 4, 2000, 64, 2, 60, "128 B allocated and freed at once, hot")     \
    X(v, cache_cycle, 1000, false, 4, 2000, 64, 2, 60,                                             \
      "192 B from a cache of one type, allocated and freed at once, hot")                          \
    X(v, bulk_1000, BULK, false, 4, 4 * BULK, BULK, 2, 60,                                         \
      "one of 1000 objects of 64 B, allocated and freed in bulk")                                  \
    X(v, mixed, TABLE, false, 6, 4 * TABLE, TABLE, 2, 60,                                          \
      "one of 2000 live objects freed and replaced, 8 to 2047 B log-uniform")                      \
    X(v, scale_one_cpu, TABLE_CPU, false, 6, 8 * TABLE_CPU, TABLE_CPU, 2, 60,                      \
      "one of 64 live objects freed and replaced, 8 to 1024 B uniform")                            \
    X(v, scale_most_cpus, TABLE_CPU, false, 6, 8 * TABLE_CPU, TABLE_CPU, 2, 120,                   \
      "the same on all CPUs at once, as many operations on each")

struct step {
    uint16_t slot;
    uint16_t size;
};

// A participant's own; in the scale cases each CPU has one over the same state.
struct slub_context {
    void *state;
    void *cache;
    void **objects; // live ones, by slot
    uint16_t *sizes;
    uint32_t *makers; // the step that makes what a slot holds when a turn begins
    struct step *steps;
    uint32_t steps_count, live;
    uint64_t turn_sum;             // checksum of one turn through the steps
    uint64_t at, next;             // objects used of the pool before and after this window
    struct heap_statistics before; // of the counted pass
    uint64_t locked_before;
    struct crew *crew; // of scale_most_cpus; each member runs scale_one_cpu
};

// ---- bodies -------------------------------------------------------------------------------------

ALWAYS_INLINE uint64_t alloc_128(const struct objects_ops *ops, struct slub_context *context,
                                 uint64_t operations)
{
    void **objects = context->objects + context->at;
    uint64_t served = 0;
    for (uint64_t i = 0; i < operations; i++) {
        void *object = ops->allocate(context->state, SIZE_128);
        objects[i] = object;
        served += object != NULL;
        BODY_SETTLE();
    }
    return served;
}

// The objects carry their numbers, which the sum is made of.
ALWAYS_INLINE uint64_t free_128(const struct objects_ops *ops, struct slub_context *context,
                                uint64_t operations)
{
    void **objects = context->objects + context->at;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i++) {
        uint64_t *object = objects[i];
        sum += *object;
        ops->release(context->state, object);
        BODY_SETTLE();
    }
    return sum;
}

ALWAYS_INLINE uint64_t cycle_128(const struct objects_ops *ops, struct slub_context *context,
                                 uint64_t operations)
{
    void *const state = context->state;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i++) {
        uint64_t *object = ops->allocate(state, SIZE_128);
        if (UNLIKELY(object == NULL))
            return BENCH_FAILED;
        object[15] = i;
        BODY_HIDE(object);
        sum += object[15];
        ops->release(state, object);
        BODY_SETTLE();
    }
    return sum;
}

ALWAYS_INLINE uint64_t cache_cycle(const struct objects_ops *ops, struct slub_context *context,
                                   uint64_t operations)
{
    void *const state = context->state;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i++) {
        uint64_t *object = ops->cache_allocate(state, context->cache);
        if (UNLIKELY(object == NULL))
            return BENCH_FAILED;
        object[23] = i;
        BODY_HIDE(object);
        sum += object[23];
        ops->cache_release(state, context->cache, object);
        BODY_SETTLE();
    }
    return sum;
}

ALWAYS_INLINE uint64_t bulk_1000(const struct objects_ops *ops, struct slub_context *context,
                                 uint64_t operations)
{
    uint64_t sum = 0;
    for (uint64_t done = 0; done < operations; done += BULK) {
        if (ops->allocate_bulk(context->state, SIZE_BULK, BULK, context->objects) != BULK)
            return BENCH_FAILED;
        for (uint64_t i = 0; i < BULK; i++)
            *(uint64_t *)context->objects[i] = done + i;
        BODY_SETTLE();
        for (uint64_t i = 0; i < BULK; i++)
            sum += *(uint64_t *)context->objects[i];
        ops->release_bulk(context->state, BULK, context->objects);
        BODY_SETTLE();
    }
    return sum;
}

// The last whole word of an object.
ALWAYS_INLINE uint64_t *last_word(uint64_t *object, uint32_t size)
{
    return object + (size / 8 - 1);
}

// Every object carries the number of the step that made it at both ends; whoever frees it adds them
// up, so that objects that overlap do not go unnoticed.
ALWAYS_INLINE uint64_t mixed(const struct objects_ops *ops, struct slub_context *context,
                             uint64_t operations)
{
    void *const state = context->state;
    void **const objects = context->objects;
    uint16_t *const sizes = context->sizes;
    const uint32_t steps = context->steps_count;
    uint64_t sum = 0;
    for (uint64_t done = 0; done < operations; done += steps) {
        for (uint32_t i = 0; i < steps; i++) {
            const struct step step = context->steps[i];
            uint64_t *object = objects[step.slot];
            sum += *object + *last_word(object, sizes[step.slot]);
            ops->release(state, object);
            object = ops->allocate(state, step.size);
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

#define scale_one_cpu mixed

// The window ends when all are done.
ALWAYS_INLINE uint64_t scale_most_cpus(const struct objects_ops *ops, struct slub_context *context,
                                       uint64_t operations)
{
    if (!crew_begin(context->crew))
        return BENCH_FAILED;
    return crew_sum_with(context->crew, mixed(ops, context, operations));
}

SUITE_TABLES

// ---- preparation --------------------------------------------------------------------------------

static bool is_mixed(size_t which)
{
    return which == CASE_mixed || which == CASE_scale_one_cpu || which == CASE_scale_most_cpus;
}

static uint16_t random_size(size_t which, struct random *random)
{
    if (which != CASE_mixed)
        return (uint16_t)(8 + random_below(random, 1017));
    const uint32_t power = 3 + (uint32_t)random_below(random, 8); // 8 .. 1024
    return (uint16_t)((1u << power) + random_below(random, 1u << power));
}

// Allocates what the first step of each slot will free. Objects start with the number of the step
// that makes them in every later turn, so that all turns have the same checksum.
static bool fill(const struct objects_ops *ops, struct slub_context *context)
{
    for (uint32_t slot = 0; slot < context->live; slot++)
        context->makers[slot] = UINT32_MAX;
    for (uint32_t i = 0; i < context->steps_count; i++)
        context->makers[context->steps[i].slot] = i;
    for (uint32_t slot = 0; slot < context->live; slot++) {
        const uint32_t maker = context->makers[slot];
        const uint16_t size = maker == UINT32_MAX ? 8 : context->steps[maker].size;
        uint64_t *object = ops->allocate(context->state, size);
        if (object == NULL)
            return false;
        *object = maker;
        *last_word(object, size) = maker;
        context->objects[slot] = object;
        context->sizes[slot] = size;
    }
    context->turn_sum = 0;
    for (uint32_t i = 0; i < context->steps_count; i++) {
        context->turn_sum += 2 * (uint64_t)context->makers[context->steps[i].slot];
        context->makers[context->steps[i].slot] = i;
    }
    return true;
}

static void *carve(uint8_t **next, size_t bytes, size_t alignment)
{
    uint8_t *start = (uint8_t *)align_up((uintptr_t)*next, alignment);
    *next = start + bytes;
    return start;
}

static void carve_slots(uint8_t **next, struct slub_context *context)
{
    context->objects = carve(next, LIVE * sizeof(void *), CACHE_LINE);
    context->sizes = carve(next, LIVE * sizeof(uint16_t), CACHE_LINE);
    context->makers = carve(next, LIVE * sizeof(uint32_t), CACHE_LINE);
}

// A turn of the load while it is recorded; then the state is made anew for it.
static bool tune(const struct objects_ops *ops, struct slub_context *context, void *memory,
                 size_t length)
{
    ops->record(context->state);
    if (!fill(ops, context))
        return false;
    for (uint32_t i = 0; i < context->steps_count; i++) {
        const struct step step = context->steps[i];
        ops->release(context->state, context->objects[step.slot]);
        context->objects[step.slot] = ops->allocate(context->state, step.size);
        if (context->objects[step.slot] == NULL)
            return false;
    }
    for (uint32_t slot = 0; slot < context->live; slot++)
        ops->release(context->state, context->objects[slot]);
    return ops->tune(context->state, memory, length) == STATUS_OK;
}

// Of scale_most_cpus; the last one is of a variant that is not in the table.
static struct crew_patience patience[ARRAY_COUNT(variants) + 1];

static void carve_crew(const void *ops, struct slub_context *context, uint8_t **next)
{
    const size_t variant = crew_variant(variants, ARRAY_COUNT(variants), ops);
    const size_t count = platform_cpu_count() - 1;
    bench_body *const body =
        variant < ARRAY_COUNT(variants) ? bodies[variant * CASE_COUNT + CASE_scale_one_cpu] : NULL;
    struct crew *crew = carve(next, sizeof(*crew), CACHE_LINE);
    struct crew_member *members = carve(next, count * sizeof(*members), CACHE_LINE);
    crew_make(crew, members, count, body, NULL, &patience[variant]);
    for (size_t i = 0; i < count; i++) {
        struct slub_context *own = carve(next, sizeof(*own), CACHE_LINE);
        *own = *context;
        carve_slots(next, own);
        members[i].context = own;
    }
    context->crew = crew;
}

static void *prepare(size_t which, const void *ops_, void *memory, size_t length, uint64_t seed)
{
    const struct objects_ops *ops = ops_;
    uint8_t *next = memory;
    crew_rest();
    struct slub_context *context = carve(&next, sizeof(*context), CACHE_LINE);
    memset(context, 0, sizeof(*context));
    context->steps = carve(&next, TABLE * sizeof(struct step), CACHE_LINE);
    context->steps_count = which == CASE_mixed ? TABLE : TABLE_CPU;
    context->live = which == CASE_mixed ? LIVE : LIVE_CPU;
    carve_slots(&next, context);
    context->state = carve(&next, ops->state_bytes, CACHE_LINE);
    if (which == CASE_scale_most_cpus)
        carve_crew(ops, context, &next);
    uint8_t *const region = carve(&next, 0, PAGE_SIZE);
    const size_t used = (size_t)(region - (uint8_t *)memory);
    if (used + (1u << 20) > length)
        return NULL;
    const size_t enough = REGION + platform_cpu_count() * REGION_CPU;
    const size_t rest = min_u64((length - used) / PAGE_SIZE * PAGE_SIZE, enough);
    if (ops->init(context->state, region, rest) != STATUS_OK)
        return NULL;
    struct random random = random_seeded(seed);
    for (uint32_t i = 0; i < context->steps_count; i++)
        context->steps[i] = (struct step){.slot = (uint16_t)random_below(&random, context->live),
                                          .size = random_size(which, &random)};
    if (ops->tune != NULL && !tune(ops, context, region, rest))
        return NULL;
    if (which == CASE_cache_cycle &&
        (context->cache = ops->cache_create(context->state, SIZE_TYPED)) == NULL)
        return NULL;
    if (is_mixed(which) && !fill(ops, context))
        return NULL;
    for (size_t i = 0; context->crew != NULL && i < context->crew->count; i++)
        if (!fill(ops, context->crew->members[i].context))
            return NULL;
    return context;
}

// The next objects of the pool for this window; the first ones again when it is used up, after
// `renew` has said so.
static bool next_of_pool(struct slub_context *context, uint64_t operations, uint64_t pool)
{
    const bool renew = context->next + operations > pool;
    context->at = renew ? 0 : context->next;
    context->next = context->at + operations;
    return renew;
}

static void before_alloc(const struct objects_ops *ops, struct slub_context *context,
                         uint64_t operations)
{
    const uint64_t held = context->next;
    if (operations > 1) { // the counted pass: as many free objects at hand
        for (uint64_t i = 0; i < operations; i++)
            context->objects[i] = ops->allocate(context->state, SIZE_128);
        for (uint64_t i = operations; i-- > 0;)
            ops->release(context->state, context->objects[i]);
        context->at = 0;
    } else if (next_of_pool(context, operations, POOL_HITS)) {
        for (uint64_t i = 0; i < held; i++)
            ops->release(context->state, context->objects[i]);
    }
}

static void before_free(const struct objects_ops *ops, struct slub_context *context,
                        uint64_t operations)
{
    const uint64_t pool = operations > 1 ? POOL_HITS : POOL;
    if (context->next == 0)
        context->next = pool; // nothing was allocated yet
    if (!next_of_pool(context, operations, pool))
        return;
    for (uint64_t i = 0; i < pool; i++) {
        uint64_t *object = ops->allocate(context->state, SIZE_128);
        context->objects[i] = object;
        if (object != NULL)
            *object = i;
    }
}

static void before(size_t which, const void *ops_, void *context_, uint64_t operations)
{
    const struct objects_ops *ops = ops_;
    struct slub_context *context = context_;
    if (which == CASE_alloc_128)
        before_alloc(ops, context, operations);
    else if (which == CASE_free_128)
        before_free(ops, context, operations);
    else if (which == CASE_scale_most_cpus)
        crew_call(context->crew, operations);
    // A window of one operation finds the caches as the last one left them.
    if (operations > 1 && which != CASE_scale_most_cpus) {
        ops->statistics(context->state, &context->before);
        context->locked_before = ops->locked_instructions(context->state);
    }
}

static uint64_t expected(size_t which, const void *context_, uint64_t operations)
{
    const struct slub_context *context = context_;
    uint64_t sum = 0;
    if (is_mixed(which)) {
        const size_t members = context->crew != NULL ? context->crew->count : 0;
        return context->turn_sum * (operations / context->steps_count) * (1 + members);
    }
    if (which == CASE_alloc_128)
        return operations;
    if (which != CASE_free_128)
        return operations * (operations - 1) / 2;
    for (uint64_t i = 0; i < operations; i++)
        sum += context->at + i;
    return sum;
}

static bool applies(size_t which, const void *ops)
{
    if (((const struct objects_ops *)ops)->tune != NULL)
        return which == CASE_mixed;
    return which != CASE_scale_most_cpus || platform_cpu_count() > 1;
}

// ---- counters -----------------------------------------------------------------------------------

// What the live objects take: asked for, rounded to the allocator's sizes, pages, and what outside
// of these describes them.
static void count_memory(const struct objects_ops *ops, const struct slub_context *context,
                         const struct heap_statistics *now, const struct bench_counters *out)
{
    uint64_t asked = 0;
    for (uint32_t slot = 0; slot < context->live; slot++)
        asked += context->sizes[slot];
    const uint64_t rounded = now->bytes_allocated - now->bytes_freed;
    const uint64_t pages = now->pages_taken - now->pages_returned;
    const uint64_t taken = pages << PAGE_SHIFT;
    const uint64_t metadata =
        ops->metadata_bytes != NULL ? ops->metadata_bytes(context->state, pages) : 0;
    out->emit(out->context, "overhead", taken + metadata - asked, asked, "percent");
    if (ops->metadata_bytes != NULL)
        out->emit(out->context, "overhead_metadata", metadata, asked, "percent");
    out->emit(out->context, "overhead_rounding", rounded - asked, asked, "percent");
    out->emit(out->context, "overhead_unrounded", taken - rounded, rounded, "percent");
    out->emit(out->context, "memory", taken, 1, "bytes");
}

static void counters(size_t which, const void *ops_, const void *context_,
                     const struct bench_counters *out)
{
    const struct objects_ops *ops = ops_;
    const struct slub_context *context = context_;
    struct heap_statistics now;
    if (which == CASE_scale_most_cpus) {
        crew_rest();
        out->emit(out->context, "cpus", 1 + context->crew->count, 1, "count");
        return;
    }
    ops->statistics(context->state, &now);
    const uint64_t hits = now.cache_hits - context->before.cache_hits;
    const uint64_t misses = now.cache_misses - context->before.cache_misses;
    if (hits + misses > 0)
        out->emit(out->context, "hit_rate", hits, hits + misses, "percent");
    const uint64_t locked = ops->locked_instructions(context->state) - context->locked_before;
    out->emit(out->context, "locked_instructions", locked, 1, "count");
    if (which == CASE_mixed)
        count_memory(ops, context, &now, out);
}

static bool check(size_t which, const void *ops, const void *context)
{
    (void)which;
    crew_rest();
    const struct objects_ops *objects = ops;
    return objects->check(((const struct slub_context *)context)->state);
}

const struct bench_suite slub_suite = {
    SUITE_MEMBERS, // of the tables
    .what = "SLUB and a classic slab: fast paths, typed caches, bulk, memory, several CPUs",
    .applies = applies,
    .prepare = prepare,
    .before = before,
    .expected = expected,
    .counters = counters,
    .check = check,
};
