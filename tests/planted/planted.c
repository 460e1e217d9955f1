// SPDX-License-Identifier: MIT
// Bodies whose right answer is known, and bodies that cheat: the framework must read the first
// exactly and catch the second.
#include "bench.h"
#include "compiler.h"

#define NOPS_OF(count) __asm__ volatile(".rept " #count "; nop; .endr")

static uint64_t known_1000(void *context, uint64_t operations)
{
    (void)context;
    (void)operations;
    NOPS_OF(1000);
    return 0;
}

static uint64_t known_1001(void *context, uint64_t operations)
{
    (void)context;
    (void)operations;
    NOPS_OF(1001);
    return 0;
}

// What a compiler leaves when it sees through a loop: the right sum, none of the work.
static uint64_t deleted_loop(void *context, uint64_t operations)
{
    (void)context;
    return operations * (operations - 1) / 2;
}

// A loop that works; every third element is left out of the sum.
static uint64_t wrong_sum(void *context, uint64_t operations)
{
    uint64_t sum = 0;
    (void)context;
    for (uint64_t i = 0; i < operations; i++) {
        __asm__ volatile("" : "+r"(sum));
        sum += i % 3 == 0 ? 0 : i;
    }
    return sum;
}

// Takes one instruction more each time: no exact clock may call that exact.
static uint64_t unsteady(void *context, uint64_t operations)
{
    uint64_t *calls = context;
    (void)operations;
    NOPS_OF(1000);
    for (uint64_t i = 0; i < *calls; i++)
        __asm__ volatile("nop");
    ++*calls;
    return 0;
}

static uint64_t calls; // survives `prepare`, so that rounds differ

enum planted_case { KNOWN, DELETED, WRONG, UNSTEADY, CASES };

#define CASE(name_, what_, operations_, least_)                                                    \
    {                                                                                              \
        .name = name_, .what = what_, .operations = operations_, .fixed = true,                    \
        .least_instructions = least_, .samples_exact = 3, .seconds = 10                            \
    }

static const struct bench_case cases[CASES] = {
    [KNOWN] = CASE("known", "a straight run of known length", 1, 1000),
    [DELETED] = CASE("deleted", "a loop the compiler saw through", 100000, 2),
    [WRONG] = CASE("wrong", "a loop that leaves elements out", 1000, 2),
    [UNSTEADY] = CASE("unsteady", "one instruction more at each call", 1, 1000),
};

static const struct variant about[2] = {
    {.name = "base", .what = "the shorter one", .role = VARIANT_BASELINE},
    {.name = "longer", .what = "one instruction more", .role = VARIANT_PRODUCT},
};

static const struct bench_variant variants[2] = {
    {.about = &about[0], .ops = &about[0]},
    {.about = &about[1], .ops = &about[1]},
};

static bench_body *const bodies[2 * CASES] = {
    known_1000, deleted_loop, wrong_sum, unsteady, known_1001, NULL, NULL, NULL,
};

static bool applies(size_t which, const void *ops)
{
    return which == KNOWN || ops == &about[0];
}

static void *prepare(size_t which, const void *ops, void *memory, size_t length, uint64_t seed)
{
    (void)which, (void)ops, (void)memory, (void)length, (void)seed;
    return &calls;
}

static uint64_t expected(size_t which, const void *context, uint64_t operations)
{
    (void)context;
    return which == DELETED || which == WRONG ? operations * (operations - 1) / 2 : 0;
}

static const struct bench_suite planted_suite = {
    .name = "planted",
    .what = "bodies whose answer is known, and bodies that cheat",
    .cases = cases,
    .case_count = CASES,
    .variants = variants,
    .variant_count = ARRAY_COUNT(variants),
    .bodies = bodies,
    .applies = applies,
    .prepare = prepare,
    .expected = expected,
};

const struct bench_suite *const bench_suites[] = {&planted_suite, NULL};
