// SPDX-License-Identifier: MIT
// Who takes part in a case of the switches, on which stack, in which order; what must come out.
// Included behind SUITE_TABLES, which it uses.
#ifndef SWITCH_PREPARE_H
#define SWITCH_PREPARE_H

#include "random.h"
#include "string.h"
#include "switch_cases.h"

// ---- preparation --------------------------------------------------------------------------------

static const unsigned participant_count[CASE_COUNT] = {
    [CASE_yield_inline] = 2,   [CASE_yield] = 2,       [CASE_pair_jmp] = 2,
    [CASE_pair_ret] = 2,       [CASE_live_6] = 2,      [CASE_pair_256] = 2,
    [CASE_ring_16] = FEW,      [CASE_random_16] = FEW, [CASE_ring_1000] = MANY,
    [CASE_random_1000] = MANY,
};

static void run_for_ever(void *argument)
{
    struct participant *me = argument;
    me->body(me, 0);
}

static bench_body *body_of(size_t which, const void *ops)
{
    for (size_t v = 0; v < ARRAY_COUNT(variants); v++)
        if (variants[v].ops == ops)
            return bodies[v * CASE_COUNT + which];
    return NULL;
}

// Numbers 1 .. count - 1 in a random order (Fisher and Yates); 0 is always first.
static void shuffle(uint16_t *order, unsigned count, uint64_t seed)
{
    struct random random = random_seeded(seed);
    for (unsigned i = count - 1; i > 1; i--) {
        const unsigned other = 1 + (unsigned)random_below(&random, i);
        const uint16_t kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
}

static void *prepare(size_t which, const void *ops_, void *memory, size_t length, uint64_t seed)
{
    const struct switch_ops *ops = ops_;
    const unsigned count = participant_count[which];
    const size_t stride = align_up(CONTEXT_OFFSET + ops->context_bytes, CACHE_LINE);
    const size_t stack_stride = STACK_BYTES + STACK_STAGGER;
    uint8_t *const stacks = (uint8_t *)memory + align_up(count * stride, PAGE_SIZE);
    uint16_t order[MANY];
    if ((size_t)(stacks - (uint8_t *)memory) + count * stack_stride > length)
        return NULL;
    for (unsigned i = 0; i < count; i++)
        order[i] = (uint16_t)i;
    if (which == CASE_random_16 || which == CASE_random_1000)
        shuffle(order, count, seed);
    memset(memory, 0, count * stride);
    struct participant *previous = NULL, *const first = memory;
    for (unsigned i = 0; i < count; i++) {
        struct participant *const one =
            (struct participant *)((uint8_t *)memory + order[i] * stride);
        one->participants = count;
        one->last = one; // never asked for, but for the first's
        one->body = body_of(which, ops);
        one->site = i % SITES;
        if (i > 0) {
            ops->make(context_of(one), stacks + (order[i] + 1) * stack_stride, run_for_ever, one,
                      which == CASE_pair_ret);
            previous->next = one;
        }
        previous = one;
    }
    previous->next = first;
    first->last = previous;
    return memory;
}

static void before(size_t which, const void *ops, void *context, uint64_t operations)
{
    struct participant *first = context;
    (void)which;
    (void)ops;
    (void)operations;
    first->start = first->last->count;
}

static uint64_t expected(size_t which, const void *context, uint64_t operations)
{
    (void)which;
    (void)context;
    return operations;
}

// What is least depends on what is live: with six values, a compiler that saves them one by one
// does more than a switch that saves six registers. So the floor is none there.
static bool applies(size_t which, const void *ops_)
{
    const struct switch_ops *ops = ops_;
    if (which == CASE_live_6 && ops->about.role == VARIANT_FLOOR)
        return false;
    return ops->works == NULL || ops->works();
}

static void counters(size_t which, const void *ops_, const void *context,
                     const struct bench_counters *out)
{
    const struct switch_ops *ops = ops_;
    const size_t lines = align_up(ops->context_bytes, CACHE_LINE) / CACHE_LINE;
    (void)which;
    (void)context;
    if (ops->register_bytes > 0) // 0: not known of other people's
        out->emit(out->context, "register_bytes", ops->register_bytes, 1, "bytes");
    out->emit(out->context, "context_bytes", ops->context_bytes, 1, "bytes");
    out->emit(out->context, "context_lines", lines, 1, "count");
}

// Everybody has switched as often as the first.
static bool check(size_t which, const void *ops, const void *context)
{
    const struct participant *const first = context, *one = first;
    (void)which;
    (void)ops;
    do {
        if (one->count != first->count)
            return false;
        one = one->next;
    } while (one != first);
    return true;
}

#define SWITCH_SUITE                                                                               \
    SUITE_MEMBERS, .what = "context switches", .prepare = prepare, .before = before,               \
                   .expected = expected, .counters = counters, .check = check

#endif
