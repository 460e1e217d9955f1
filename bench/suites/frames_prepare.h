// SPDX-License-Identifier: MIT
// What stands behind the cases of frames_cases.h: what prepares them, what comes before a window,
// and what they must give. Included behind the tables, since it names cases.
#ifndef FRAMES_PREPARE_H
#define FRAMES_PREPARE_H

#include "compiler.h"
#include "format.h"
#include "frame.h"
#include "frames_cases.h"
#include "frames_machine.h"
#include "platform.h"
#include "random.h"
#include "string.h"

// ---- what a case works on -----------------------------------------------------------------------

static bool has_pieces(size_t which)
{
    return which == CASE_alloc_4k || which == CASE_free_4k;
}

// Half of the range is in use, by runs of all sizes the case has.
static bool is_populated(size_t which)
{
    return which == CASE_alloc_under_512 || which == CASE_alloc_from_512 ||
           which == CASE_alloc_any || which == CASE_free_full || which == CASE_free_64th;
}

static uint64_t range_of(size_t which, const struct frame_ops *ops)
{
    // A bound keeps frames and runs apart: it has a range for each.
    if (ops->about.role == VARIANT_FLOOR)
        return 2 * SMALL;
    // Every CPU may keep frames to itself.
    if ((which == CASE_scale_one_cpu || which == CASE_scale_most_cpus) && !ops->touches_frames)
        return FULL / 64;
    if (has_pieces(which))
        return PIECE;
    if (which == CASE_free_64th || which == CASE_churn)
        return FULL / 64;
    return which == CASE_free_full ? FULL : is_populated(which) ? LARGE : SMALL;
}

// Log-uniform: each power of two is as likely as any other. Both are powers of two; the result is
// from `low` to `high` - 1.
static uint64_t log_uniform(struct random *random, uint64_t low, uint64_t high)
{
    const uint64_t power = low << random_below(random, log2_u64(high / low));
    return power + random_below(random, power);
}

static uint64_t random_count(size_t which, struct random *random)
{
    if (which == CASE_alloc_from_512)
        return log_uniform(random, 512, 4096);
    return log_uniform(random, 1, which == CASE_alloc_any ? 4096 : 512);
}

// What links its free frames in themselves needs memory for its range; runs of any length need
// more than a bound has.
static bool applies(size_t which, const void *ops_)
{
    const struct frame_ops *ops = ops_;
    if (of_machine(which))
        return applies_to_machine(which, ops);
    if (which == CASE_scale_most_cpus && (ops->one_thread || platform_cpu_count() < 2))
        return false;
    if (ops->about.role == VARIANT_FLOOR)
        return which == CASE_pair_4k || which == CASE_pair_huge || which == CASE_thousand_alloc ||
               which == CASE_thousand_free || which == CASE_scale_one_cpu;
    if (has_pieces(which) && ops->metadata_bytes(NOWHERE, PIECE) == 0)
        return false;
    // A scan from the first frame on takes seconds to fill much memory.
    if (string_equal(ops->about.name, "bitmap_scan") && range_of(which, ops) > SMALL &&
        which != CASE_free_64th && which != CASE_scale_one_cpu && which != CASE_scale_most_cpus)
        return false;
    return !ops->touches_frames || range_of(which, ops) == SMALL;
}

// ---- preparation --------------------------------------------------------------------------------

static bool take(const struct frame_ops *ops, struct frames_context *context, struct run *run,
                 uint64_t count)
{
    run->count = ops->allocate(context->state, count, &run->address) ? count : 0;
    return run->count > 0;
}

// Three quarters of the range are filled, then runs are freed at random until half is in use: there
// are holes everywhere.
static bool populate(size_t which, const struct frame_ops *ops, struct frames_context *context)
{
    const uint64_t frames = context->range / PAGE_SIZE;
    uint64_t used = 0;
    for (; 4 * used < 3 * frames && context->slots < RUNS_MOST; context->slots++) {
        struct run *const run = &context->live[context->slots];
        if (!take(ops, context, run, random_count(which, &context->random)))
            return false;
        used += run->count;
    }
    while (2 * used > frames) {
        struct run *const run = &context->live[random_below(&context->random, context->slots)];
        if (ops->release(context->state, run->address, run->count) != STATUS_OK)
            return false;
        used -= run->count;
        *run = context->live[--context->slots];
    }
    return true;
}

static void *carve(uint8_t **next, size_t bytes, size_t alignment)
{
    uint8_t *start = (uint8_t *)align_up((uintptr_t)*next, alignment);
    *next = start + bytes;
    return start;
}

// The allocators behind `next`, each over its range. False if they do not fit in front of `end`.
static bool set_up(const struct frame_ops *ops, struct frames_context *context, uint8_t *next,
                   const uint8_t *end)
{
    uintptr_t start = context->starts[0];
    for (uint64_t i = 0; i < context->pieces; i++) {
        const size_t bytes = ops->metadata_bytes(start, context->range);
        context->starts[i] = start;
        context->states[i] = carve(&next, ops->state_bytes, CACHE_LINE);
        void *const metadata = carve(&next, bytes, PAGE_SIZE);
        if (next > end ||
            ops->init(context->states[i], start, context->range, metadata, bytes) != STATUS_OK)
            return false;
        start += context->range;
    }
    context->state = context->states[0];
    return true;
}

// Of scale_most_cpus; the last one is of a variant that is not in the table.
static struct crew_patience patience[ARRAY_COUNT(variants) + 1];

static void carve_crew(const void *ops, struct frames_context *context, uint8_t **next)
{
    const size_t variant = crew_variant(variants, ARRAY_COUNT(variants), ops);
    const size_t count = platform_cpu_count() - 1;
    bench_body *const body = variant < ARRAY_COUNT(variants)
                                 ? bodies[variant * CASE_COUNT + CASE_scale_most_cpus]
                                 : NULL;
    struct crew_member *members = carve(next, count * sizeof(*members), CACHE_LINE);
    crew_make(&context->crew, members, count, body, context, &patience[variant]);
}

static void *prepare(size_t which, const void *ops_, void *memory, size_t length, uint64_t seed)
{
    const struct frame_ops *ops = ops_;
    uint8_t *next = memory;
    const uint8_t *const end = next + length;
    uintptr_t start = NOWHERE;
    crew_rest();
    if (ops->touches_frames) // in front: aligned as the memory is
        start = (uintptr_t)carve(&next, range_of(which, ops), PAGE_SIZE);
    if (next + sizeof(struct frames_context) > end)
        return NULL;
    struct frames_context *context = carve(&next, sizeof(*context), CACHE_LINE);
    memset(context, 0, sizeof(*context));
    context->starts[0] = start;
    context->pieces = has_pieces(which) ? PIECES : 1;
    context->range = range_of(which, ops);
    context->random = random_seeded(seed);
    context->window = carve(&next, ALL * sizeof(struct run), CACHE_LINE);
    context->live = carve(&next, RUNS_MOST * sizeof(struct run), CACHE_LINE);
    context->steps = carve(&next, TABLE * sizeof(struct step), CACHE_LINE);
    context->marks = carve(&next, context->pieces * context->range / PAGE_SIZE / 8, CACHE_LINE);
    if (which == CASE_scale_most_cpus)
        carve_crew(ops, context, &next);
    if (next > end || !(of_machine(which) ? set_up_machine(which, context, next, end)
                                          : set_up(ops, context, next, end)))
        return NULL;
    for (uint64_t i = 0; i < ALL; i++)
        context->window[i].count =
            which == CASE_machine_map ? random_count(which, &context->random) : 1;
    if (is_populated(which) && !populate(which, ops, context))
        return NULL;
    for (uint32_t i = 0; which == CASE_churn && i < TABLE; i++)
        context->steps[i] =
            (struct step){.slot = (uint32_t)random_below(&context->random, CHURN_RUNS),
                          .count = (uint32_t)random_count(which, &context->random)};
    for (; which == CASE_churn && context->slots < CHURN_RUNS; context->slots++)
        take(ops, context, &context->live[context->slots], random_count(which, &context->random));
    return context;
}

// ---- before a window ----------------------------------------------------------------------------

static void give_back(const struct frame_ops *ops, struct frames_context *context)
{
    for (uint64_t i = 0; i < context->held; i++) {
        const uint64_t piece = context->pieces > 1 ? i : 0;
        ops->release(context->states[piece], context->window[i].address, context->window[i].count);
    }
    context->held = 0;
}

// One frame each: from each piece, or all from one range.
static void take_singles(const struct frame_ops *ops, struct frames_context *context,
                         uint64_t operations)
{
    for (; context->held < operations; context->held++) {
        const uint64_t piece = context->pieces > 1 ? context->held : 0;
        struct run *const run = &context->window[context->held];
        if (!ops->allocate(context->states[piece], 1, &run->address))
            return; // the window then frees too few
    }
}

// As many live runs as the last window freed are made anew; then others are chosen for the next.
static void choose(size_t which, const struct frame_ops *ops, struct frames_context *context,
                   uint64_t operations)
{
    for (uint64_t i = 0; i < context->missing; i++)
        if (take(ops, context, &context->live[context->slots],
                 random_count(which, &context->random)))
            context->slots++;
    context->missing = min_u64(operations, context->slots);
    for (; context->held < context->missing; context->held++) {
        struct run *const run = &context->live[random_below(&context->random, context->slots)];
        context->window[context->held] = *run;
        *run = context->live[--context->slots];
    }
}

// What the last window allocated is freed; of alloc_any, it takes the place of a live run, so that
// every window finds another state. The sizes for the next window are drawn.
static void draw(size_t which, const struct frame_ops *ops, struct frames_context *context,
                 uint64_t operations)
{
    if (which == CASE_alloc_any && context->held > 0) {
        struct run *const run = &context->live[random_below(&context->random, context->slots)];
        const struct run old = *run;
        *run = context->window[0];
        context->window[0] = old;
    }
    give_back(ops, context);
    for (uint64_t i = 0; i < operations; i++)
        context->window[i].count = random_count(which, &context->random);
}

static void before(size_t which, const void *ops_, void *context_, uint64_t operations)
{
    const struct frame_ops *ops = ops_;
    struct frames_context *context = context_;
    if (of_machine(which))
        return;
    switch (which) {
    case CASE_thousand_alloc:
    case CASE_alloc_4k:
        give_back(ops, context);
        break;
    case CASE_thousand_free:
    case CASE_free_4k:
        take_singles(ops, context, operations);
        break;
    case CASE_alloc_under_512:
    case CASE_alloc_from_512:
    case CASE_alloc_any:
        draw(which, ops, context, operations);
        break;
    case CASE_free_full:
    case CASE_free_64th:
        choose(which, ops, context, operations);
        break;
    case CASE_scale_most_cpus:
        crew_call(&context->crew, operations / (1 + context->crew.count));
        break;
    }
    // They may take a walk over all frames: not in front of every window. The counted one is the
    // first.
    if (!context->counted)
        ops->statistics(context->state, &context->before);
    context->counted = true;
}

static uint64_t expected(size_t which, const void *context, uint64_t operations)
{
    (void)which;
    (void)context;
    return operations;
}

// ---- counters -----------------------------------------------------------------------------------

static void emit_point(const struct bench_counters *out, const char *curve, uint64_t x,
                       uint64_t numerator, uint64_t denominator, const char *unit)
{
    char name[48];
    format(name, sizeof(name), "%s@%lu", curve, x);
    out->emit(out->context, name, numerator, denominator, unit);
}

static uint64_t age_operations(void)
{
    char size[8];
    string_option(platform_arguments(), "size", size, sizeof(size));
    return string_equal(size, "full") ? AGE_FULL : AGE_QUICK;
}

// Goes on with random replacements, and looks at the free memory now and then: the curves of
// fragmentation over time.
static void age(const struct frame_ops *ops, const struct frames_context *context,
                const struct bench_counters *out)
{
    struct random random = context->random;
    const uint64_t most = age_operations();
    uint64_t refused = 0;
    for (uint64_t i = 1; i <= most; i++) {
        struct run *const run = &context->live[random_below(&random, CHURN_RUNS)];
        if (run->count > 0)
            ops->release(context->state, run->address, run->count);
        run->count = random_count(CASE_churn, &random);
        if (!ops->allocate(context->state, run->count, &run->address)) {
            run->count = 0;
            refused++;
        }
        if (i % (most / AGE_POINTS) != 0)
            continue;
        struct frame_statistics now;
        ops->statistics(context->state, &now);
        const uint64_t free = max_u64(now.free, 1);
        emit_point(out, "external_by_operations", i, now.free - now.largest_run, free, "percent");
        emit_point(out, "largest_run_by_operations", i, now.largest_run, 1, "count");
        emit_point(out, "average_run_by_operations", i, now.free, max_u64(now.free_runs, 1),
                   "count");
    }
    out->emit(out->context, "refused", refused, most, "percent");
}

static void counters(size_t which, const void *ops_, const void *context_,
                     const struct bench_counters *out)
{
    const struct frame_ops *ops = ops_;
    const struct frames_context *context = context_;
    struct frame_statistics now;
    if (which == CASE_machine_map)
        count_map(context, out);
    else if (of_machine(which))
        count_wanted(context, out);
    if (of_machine(which) || ops->about.role == VARIANT_FLOOR) // a floor counts nothing
        return;
    crew_rest();
    ops->statistics(context->state, &now);
    if (which == CASE_scale_most_cpus) {
        // The rest depends on who came first, and counters are the same in every boot.
        out->emit(out->context, "cpus", 1 + context->crew.count, 1, "count");
        return;
    }
    const uint64_t served = now.allocations - context->before.allocations;
    const uint64_t failed = now.failures - context->before.failures;
    out->emit(out->context, "locks", now.locks - context->before.locks, 1, "count");
    if (served + failed > 0)
        out->emit(out->context, "served", served, served + failed, "percent");
    out->emit(out->context, "metadata_share", now.metadata_bytes, now.present * PAGE_SIZE,
              "percent");
    if (which == CASE_exhaust)
        out->emit(out->context, "recovered", now.largest_run, now.present, "percent");
    if (which == CASE_churn)
        age(ops, context, out);
}

// ---- the census ---------------------------------------------------------------------------------

// Marks the frames of a run; false if one of them is marked already or lies outside, or if the run
// is not aligned as it must be.
static bool mark(const struct frames_context *context, const struct run *run)
{
    const uint64_t frames = context->pieces * context->range / PAGE_SIZE;
    const uint64_t first = (run->address - context->starts[0]) / PAGE_SIZE;
    const uint64_t alignment =
        (run->count & (run->count - 1)) == 0 ? run->count * PAGE_SIZE : PAGE_SIZE;
    if (run->address < context->starts[0] || first >= frames || run->count > frames - first ||
        run->address % alignment != 0)
        return false;
    for (uint64_t frame = first; frame < first + run->count; frame++) {
        if (context->marks[frame / 64] >> frame % 64 & 1)
            return false;
        context->marks[frame / 64] |= 1ull << frame % 64;
    }
    return true;
}

// Everything that is live, and some frames more that are taken for it: no two share a frame.
static bool census(const struct frame_ops *ops, const struct frames_context *context)
{
    struct run more[CENSUS];
    uint64_t taken = 0;
    bool sound = true;
    memset(context->marks, 0, context->pieces * context->range / PAGE_SIZE / 8);
    for (uint64_t i = 0; i < context->slots; i++)
        sound = (context->live[i].count == 0 || mark(context, &context->live[i])) && sound;
    for (uint64_t i = 0; i < context->held; i++)
        sound = mark(context, &context->window[i]) && sound;
    for (; taken < CENSUS && ops->allocate(context->state, 1, &more[taken].address); taken++) {
        more[taken].count = 1;
        sound = mark(context, &more[taken]) && sound;
    }
    while (taken-- > 0)
        sound = ops->release(context->state, more[taken].address, 1) == STATUS_OK && sound;
    return sound;
}

static bool check(size_t which, const void *ops_, const void *context_)
{
    const struct frame_ops *ops = ops_;
    const struct frames_context *context = context_;
    if (of_machine(which))
        return check_machine(context);
    crew_rest();
    bool sound = census(ops, context);
    for (uint64_t i = 0; i < context->pieces; i++)
        sound = ops->check(context->states[i]) && sound;
    return sound;
}

#endif
