// SPDX-License-Identifier: MIT
// bench/suites/slub.c: what each case sets up is what its name says; its counters; every variant's
// windows. The case on all CPUs needs CPUs: the platforms' smoke runs have them.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "objects_variants.h"
#include "run_checks.h"

#define MEMORY_BYTES (8u << 20)
#define LIVE_MOST    4096u

extern const struct bench_suite slub_suite;

static void *memory;

// ---- objects that count -------------------------------------------------------------------------

static struct {
    uint8_t *next; // nothing is ever used twice
    unsigned allocated, released;
    size_t sizes[LIVE_MOST];
    uint64_t asked; // bytes, sum
    struct heap_statistics statistics;
    uint64_t locked;
} seen;

static enum status counting_init(void *state, void *region, size_t length)
{
    (void)state;
    ck_assert_uint_eq((uintptr_t)region % 4096, 0);
    ck_assert_uint_ge(length, 1u << 20);
    seen.next = region;
    return STATUS_OK;
}

static void *counting_allocate(void *state, size_t size)
{
    (void)state;
    if (seen.allocated < LIVE_MOST)
        seen.sizes[seen.allocated] = size;
    seen.asked += size;
    seen.allocated++;
    void *const object = seen.next;
    seen.next += (size + 15) / 16 * 16;
    return object;
}

static void counting_release(void *state, void *pointer)
{
    (void)state;
    (void)pointer;
    seen.released++;
}

static void counting_statistics(const void *state, struct heap_statistics *statistics)
{
    (void)state;
    *statistics = seen.statistics;
}

static uint64_t counting_locked(const void *state)
{
    (void)state;
    return seen.locked;
}

static size_t counting_metadata(const void *state, size_t pages)
{
    (void)state;
    return pages * 9;
}

static const struct objects_ops counting = {
    .about = {"counting", "counts what is asked of it", VARIANT_PRODUCT},
    .state_bytes = 64,
    .init = counting_init,
    .allocate = counting_allocate,
    .release = counting_release,
    .statistics = counting_statistics,
    .locked_instructions = counting_locked,
    .metadata_bytes = counting_metadata,
};

static void set_up(void)
{
    memory = aligned_alloc(2u << 20, MEMORY_BYTES);
    ck_assert_ptr_nonnull(memory);
    memset(memory, 0, MEMORY_BYTES);
    memset(&seen, 0, sizeof(seen));
}

static void tear_down(void)
{
    free(memory);
}

static size_t named(const char *name)
{
    for (size_t i = 0; i < slub_suite.case_count; i++)
        if (strcmp(slub_suite.cases[i].name, name) == 0)
            return i;
    ck_abort_msg("no case %s", name);
    return 0;
}

static size_t named_variant(const char *name)
{
    for (size_t i = 0; i < slub_suite.variant_count; i++)
        if (strcmp(slub_suite.variants[i].about->name, name) == 0)
            return i;
    ck_abort_msg("no variant %s", name);
    return 0;
}

struct counter {
    char name[32], unit[16];
    uint64_t numerator, denominator;
};

static struct counter emitted[8];
static unsigned emitted_count;

static void emit(void *context, const char *name, uint64_t numerator, uint64_t denominator,
                 const char *unit)
{
    ck_assert_ptr_eq(context, emitted);
    ck_assert_uint_lt(emitted_count, 8);
    struct counter *counter = &emitted[emitted_count++];
    *counter = (struct counter){.numerator = numerator, .denominator = denominator};
    strncpy(counter->name, name, sizeof(counter->name) - 1);
    strncpy(counter->unit, unit, sizeof(counter->unit) - 1);
}

static const struct counter *counted(const char *name)
{
    for (unsigned i = 0; i < emitted_count; i++)
        if (strcmp(emitted[i].name, name) == 0)
            return &emitted[i];
    ck_abort_msg("%s was not counted", name);
    return NULL;
}

static void count(size_t which, const void *ops, const void *context)
{
    const struct bench_counters out = {.emit = emit, .context = emitted};
    emitted_count = 0;
    slub_suite.counters(which, ops, context, &out);
}

// ---- set-ups ------------------------------------------------------------------------------------

START_TEST(alloc_128_gives_nothing_back_until_256_are_held)
{
    const size_t which = named("alloc_128");
    void *context = slub_suite.prepare(which, &counting, memory, MEMORY_BYTES, 5);
    ck_assert_uint_eq(slub_suite.cases[which].operations, 1);
    ck_assert(slub_suite.cases[which].fixed);
    for (unsigned window = 0; window < 256; window++) {
        slub_suite.before(which, &counting, context, 1);
        ck_assert_uint_eq(seen.allocated + seen.released, 0);
    }
    slub_suite.before(which, &counting, context, 1);
    ck_assert_uint_eq(seen.released, 256);
    ck_assert_uint_eq(seen.allocated, 0);
}
END_TEST

START_TEST(free_128_has_232_to_free_and_allocates_as_many_again)
{
    const size_t which = named("free_128");
    void *context = slub_suite.prepare(which, &counting, memory, MEMORY_BYTES, 5);
    for (unsigned window = 0; window < 465; window++) {
        slub_suite.before(which, &counting, context, 1);
        ck_assert_uint_eq(seen.allocated, 232 * (1 + window / 232));
        ck_assert_uint_eq(slub_suite.expected(which, context, 1), window % 232);
    }
    ck_assert_uint_eq(seen.released, 0);
    ck_assert_uint_eq(seen.sizes[0], 128);
}
END_TEST

START_TEST(the_mixed_loads_are_as_many_and_as_large_as_they_say)
{
    static const struct {
        const char *name;
        unsigned live;
        size_t most;
    } loads[] = {{"mixed", 2000, 2047}, {"scale_one_cpu", 64, 1024}};
    size_t smallest = SIZE_MAX, largest = 0;
    ck_assert_ptr_nonnull(
        slub_suite.prepare(named(loads[_i].name), &counting, memory, MEMORY_BYTES, 5));
    ck_assert_uint_eq(seen.allocated, loads[_i].live);
    for (unsigned i = 0; i < seen.allocated; i++) {
        smallest = seen.sizes[i] < smallest ? seen.sizes[i] : smallest;
        largest = seen.sizes[i] > largest ? seen.sizes[i] : largest;
    }
    ck_assert_uint_ge(smallest, 8);
    ck_assert_uint_le(smallest, 64);
    ck_assert_uint_le(largest, loads[_i].most);
    ck_assert_uint_gt(largest, loads[_i].most * 3 / 4);
}
END_TEST

START_TEST(memory_counters_are_what_is_taken_over_what_is_asked_for)
{
    const size_t which = named("mixed");
    void *context = slub_suite.prepare(which, &counting, memory, MEMORY_BYTES, 5);
    seen.locked = 7;
    seen.statistics = (struct heap_statistics){.cache_hits = 10, .cache_misses = 1};
    slub_suite.before(which, &counting, context, slub_suite.cases[which].operations);
    const uint64_t asked = seen.asked;
    seen.locked = 19;
    seen.statistics = (struct heap_statistics){.cache_hits = 105,
                                               .cache_misses = 6,
                                               .bytes_allocated = asked + 2000,
                                               .bytes_freed = 1000,
                                               .pages_taken = 1000,
                                               .pages_returned = 400};
    count(which, &counting, context);
    ck_assert_uint_eq(counted("hit_rate")->numerator, 95);
    ck_assert_uint_eq(counted("hit_rate")->denominator, 100);
    ck_assert_uint_eq(counted("locked_instructions")->numerator, 12);
    ck_assert_uint_eq(counted("overhead")->numerator, 600 * 4096 + 600 * 9 - asked);
    ck_assert_uint_eq(counted("overhead_metadata")->numerator, 600 * 9);
    ck_assert_uint_eq(counted("overhead_metadata")->denominator, asked);
    ck_assert_uint_eq(counted("overhead")->denominator, asked);
    ck_assert_uint_eq(counted("overhead_rounding")->numerator, 1000);
    ck_assert_uint_eq(counted("overhead_unrounded")->numerator, 600 * 4096 - asked - 1000);
    ck_assert_uint_eq(counted("overhead_unrounded")->denominator, asked + 1000);
    ck_assert_str_eq(counted("overhead")->unit, "percent");
    ck_assert_uint_eq(counted("memory")->numerator, 600 * 4096);
    ck_assert_str_eq(counted("memory")->unit, "bytes");
}
END_TEST

START_TEST(metadata_beside_the_pages_counts_as_overhead)
{
    const struct objects_ops *const all[] = {&objects_slub_ops, &objects_slub_tuned_ops,
                                             &objects_classic_slab_ops};
    const size_t which = named("mixed");
    void *context = slub_suite.prepare(which, all[_i], memory, MEMORY_BYTES, 5);
    slub_suite.before(which, all[_i], context, slub_suite.cases[which].operations);
    count(which, all[_i], context);
    const struct counter *metadata = counted("overhead_metadata"), *whole = counted("overhead");
    const uint64_t taken = counted("memory")->numerator;
    ck_assert_uint_eq(whole->numerator, taken + metadata->numerator - whole->denominator);
    ck_assert_uint_ge(metadata->numerator, taken / 4096 * 8);
    ck_assert_uint_lt(metadata->numerator, taken / 50);
}
END_TEST

START_TEST(the_tuned_one_is_for_the_mixed_load_and_all_cpus_need_two)
{
    for (size_t i = 0; i < slub_suite.case_count; i++) {
        const bool most = i == named("scale_most_cpus");
        ck_assert_int_eq(slub_suite.applies(i, &objects_slub_ops), !most);
        ck_assert_int_eq(slub_suite.applies(i, &objects_classic_slab_ops), !most);
        ck_assert_int_eq(slub_suite.applies(i, &objects_slub_tuned_ops), i == named("mixed"));
    }
}
END_TEST

START_TEST(memory_that_is_too_short_is_no_context)
{
    ck_assert_ptr_null(slub_suite.prepare(0, &objects_slub_ops, memory, 1u << 20, 5));
}
END_TEST

// ---- windows ------------------------------------------------------------------------------------

static void *windows_of(size_t variant, size_t which, uint64_t operations, unsigned windows)
{
    const void *ops = slub_suite.variants[variant].ops;
    bench_body *const body = slub_suite.bodies[variant * slub_suite.case_count + which];
    void *context = slub_suite.prepare(which, ops, memory, MEMORY_BYTES, 5);
    ck_assert_ptr_nonnull(context);
    for (unsigned window = 0; window < windows; window++) {
        slub_suite.before(which, ops, context, operations);
        const uint64_t expected = slub_suite.expected(which, context, operations);
        ck_assert_uint_ne(expected, BENCH_FAILED);
        ck_assert_uint_eq(body(context, operations), expected);
        ck_assert(slub_suite.check(which, ops, context));
    }
    return context;
}

START_TEST(every_variant_s_windows_do_all_their_operations)
{
    const struct bench_case *which = &slub_suite.cases[_i];
    for (size_t variant = 0; variant < slub_suite.variant_count; variant++) {
        if (!slub_suite.applies((size_t)_i, slub_suite.variants[variant].ops))
            continue;
        windows_of(variant, (size_t)_i, which->operations, which->operations == 1 ? 600 : 4);
        windows_of(variant, (size_t)_i, which->counted_operations, 1);
    }
}
END_TEST

START_TEST(the_counted_operations_of_single_windows_all_hit)
{
    const size_t which = named(_i == 0 ? "alloc_128" : "free_128");
    for (size_t variant = 0; variant < slub_suite.variant_count; variant++) {
        const void *ops = slub_suite.variants[variant].ops;
        if (!slub_suite.applies(which, ops))
            continue;
        count(which, ops, windows_of(variant, which, 48, 1));
        const bool slub = variant == named_variant("slub");
        ck_assert_uint_eq(counted("locked_instructions")->numerator, (slub ? 0 : 48));
        if (slub && _i == 0)
            ck_assert_uint_eq(counted("hit_rate")->numerator, 48);
    }
}
END_TEST

START_TEST(a_round_of_single_windows_has_its_slow_ones)
{
    // 53 windows: the first, two to warm up, and 50 samples.
    const size_t variant = named_variant("slub");
    struct slub_totals totals;
    const size_t which = named(_i == 0 ? "alloc_128" : "free_128");
    const uint8_t *context = windows_of(variant, which, 1, 53);
    // The state is the first member of the context.
    slub_statistics(*(struct slub *const *)(const void *)context, &totals);
    if (_i == 0)
        ck_assert_uint_eq(totals.objects.misses, 2);
    else
        ck_assert_uint_ge(totals.objects.returns, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("suite slub");
    TCase *tests = tcase_create("set-ups, counters, bodies");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, alloc_128_gives_nothing_back_until_256_are_held);
    tcase_add_test(tests, free_128_has_232_to_free_and_allocates_as_many_again);
    tcase_add_loop_test(tests, the_mixed_loads_are_as_many_and_as_large_as_they_say, 0, 2);
    tcase_add_loop_test(tests, metadata_beside_the_pages_counts_as_overhead, 0, 3);
    tcase_add_test(tests, memory_counters_are_what_is_taken_over_what_is_asked_for);
    tcase_add_test(tests, the_tuned_one_is_for_the_mixed_load_and_all_cpus_need_two);
    tcase_add_test(tests, memory_that_is_too_short_is_no_context);
    tcase_add_loop_test(tests, every_variant_s_windows_do_all_their_operations, 0,
                        (int)slub_suite.case_count);
    tcase_add_loop_test(tests, the_counted_operations_of_single_windows_all_hit, 0, 2);
    tcase_add_loop_test(tests, a_round_of_single_windows_has_its_slow_ones, 0, 2);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
