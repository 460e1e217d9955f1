// SPDX-License-Identifier: MIT
// What the heap suite counts: exact, from the untimed pass. Included behind the tables, since it
// names cases. Where a heap has no notion of a number there is no counter.
#ifndef HEAP_COUNTERS_H
#define HEAP_COUNTERS_H

#include "compiler.h"
#include "heap.h"
#include "heap_cases.h"

static bool is_mixed(size_t which)
{
    return which == CASE_random_1000 || which == CASE_mixed_100k || which == CASE_mixed_large;
}

// The point x of a curve. By hand: what the host links beside the portable object cannot format.
static void emit_point(const struct bench_counters *out, const char *curve, uint64_t x,
                       uint64_t numerator, uint64_t denominator, const char *unit)
{
    char name[64];
    size_t end = 0;
    for (; end < 40 && curve[end] != '\0'; end++)
        name[end] = curve[end];
    name[end++] = '@';
    size_t digits = 1;
    for (uint64_t rest = x; rest > 9; rest /= 10)
        digits++;
    name[end + digits] = '\0';
    for (; digits > 0; x /= 10)
        name[end + --digits] = (char)('0' + x % 10);
    out->emit(out->context, name, numerator, denominator, unit);
}

static void count_fragmentation(const struct heap_context *context,
                                const struct bench_counters *out)
{
    for (size_t i = 0; i < HEAP_POINTS; i++) {
        const struct heap_point *point = &context->points[i];
        const uint64_t x = (i + 1) * context->point_operations;
        if (point->rounded == 0)
            return; // no statistics
        emit_point(out, "asked_by_operations", x, point->asked, 1, "bytes");
        emit_point(out, "rounded_by_operations", x, point->rounded, 1, "bytes");
        if (point->taken == 0)
            continue; // no page level
        emit_point(out, "taken_by_operations", x, point->taken, 1, "bytes");
        emit_point(out, "taken_over_asked_by_operations", x, point->taken, point->asked, "ratio");
    }
}

// The largest request, to a page, that would be served now, found by asking.
static uint64_t largest_now(const struct heap_ops *ops, void *heap)
{
    uint64_t served = 0, refused = ops->largest / PAGE_SIZE + 1; // pages
    while (refused - served > 1) {
        const uint64_t pages = served + (refused - served) / 2;
        void *object = ops->allocate(heap, pages * PAGE_SIZE);
        if (object != NULL)
            ops->release(heap, object, pages * PAGE_SIZE);
        served = object != NULL ? pages : served;
        refused = object != NULL ? refused : pages;
    }
    return served * PAGE_SIZE;
}

// What the heap holds of the page level beyond what was asked for, and what rounding alone makes.
static void count_overhead(const struct heap_context *context, const struct heap_statistics *now,
                           const struct bench_counters *out)
{
    const uint64_t rounded = now->bytes_allocated - now->bytes_freed;
    const uint64_t taken = (now->pages_taken - now->pages_returned) * PAGE_SIZE;
    uint64_t asked = 0;
    for (size_t slot = 0; slot < context->live; slot++)
        asked += context->sizes[slot];
    if (taken > asked)
        out->emit(out->context, "overhead", taken - asked, asked, "ratio");
    if (rounded >= asked)
        out->emit(out->context, "overhead_rounding", rounded - asked, asked, "ratio");
}

static bool entered_second_level(const struct heap_statistics *a, const struct heap_statistics *b)
{
    return a->cache_misses != b->cache_misses || a->refills != b->refills ||
           a->surplus_returns != b->surplus_returns || a->failures != b->failures;
}

// One more turn through the steps, one by one, each between two looks at the statistics: the locked
// instructions of those that the first level served alone, frees and allocations.
static void count_locked(const struct heap_ops *ops, const struct heap_context *context,
                         const struct bench_counters *out)
{
    struct heap_statistics last, now;
    uint64_t hits = 0, locked = 0;
    ops->statistics(context->heap, &last);
    for (uint32_t i = 0; i < TABLE; i++) {
        const struct step step = context->steps[i];
        ops->release(context->heap, context->objects[step.slot], context->sizes[step.slot]);
        uint64_t *object = ops->allocate(context->heap, step.size);
        context->objects[step.slot] = object;
        context->sizes[step.slot] = step.size;
        if (object == NULL)
            return;
        *object = *last_word(object, step.size) = i;
        ops->statistics(context->heap, &now);
        if (!entered_second_level(&last, &now)) {
            hits++;
            locked += now.locked_instructions - last.locked_instructions;
        }
        last = now;
    }
    if (hits > 0)
        out->emit(out->context, "locked_instructions", locked, hits, "count");
}

static void counters(size_t which, const void *ops_, const void *context_,
                     const struct bench_counters *out)
{
    const struct heap_ops *ops = ops_;
    const struct heap_context *context = context_;
    struct heap_statistics now;
    crew_rest();
    ops->statistics(context->heap, &now);
    const uint64_t hits = now.cache_hits - context->before.cache_hits;
    const uint64_t misses = now.cache_misses - context->before.cache_misses;
    const uint64_t served = now.allocations - context->before.allocations;
    const uint64_t failed = now.failures - context->before.failures;
    const bool counts = now.allocations > 0;
    // Who comes first where several CPUs allocate at once is another story each time.
    const bool exact = which != CASE_stream && which != CASE_scale_most_cpus;
    if (hits + misses > 0 && exact)
        out->emit(out->context, "hit_rate", hits, hits + misses, "percent");
    if (served + failed > 0)
        out->emit(out->context, "served", served, served + failed, "percent");
    if (ops->about.role != VARIANT_PEER) // whose inside nobody knows
        out->emit(out->context, "header_bytes", now.header_bytes, 1, "bytes");
    if (which == CASE_scale_one_cpu || which == CASE_scale_most_cpus)
        out->emit(out->context, "cpus", context->crew != NULL ? 1 + context->crew->count : 1, 1,
                  "count");
    if (which == CASE_exhaustion && context->capacity > 0)
        out->emit(out->context, "memory_served", context->capacity * SIZE_EXHAUSTION,
                  EXHAUSTION_BYTES, "percent");
    if (is_mixed(which) && counts)
        count_overhead(context, &now, out);
    if (which == CASE_fragmentation)
        count_fragmentation(context, out);
    if (which == CASE_fragmentation && counts)
        out->emit(out->context, "largest_now", largest_now(ops, context->heap), 1, "bytes");
    if (which == CASE_random_1000 && counts && ops->counts_locked)
        count_locked(ops, context, out);
}

#endif
