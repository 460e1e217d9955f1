// SPDX-License-Identifier: MIT
// bench/suites: what each case sets up is what its name says. A mechanism that counts what is asked
// of it stands in for the variants; then every variant's bodies do their work.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "heap.h"
#include "run_checks.h"

#define MEMORY_BYTES (14u << 20)
#define HEAPS_MOST   16u
#define LIVE_MOST    2048u

extern const struct bench_suite heap_suite;

static void *memory;

// ---- a heap that counts -------------------------------------------------------------------------

struct object {
    uint8_t *start;
    size_t size;
    unsigned heap;
};

static struct {
    void *heaps[HEAPS_MOST];
    unsigned heap_count;
    uint8_t *next; // nothing is ever used twice
    struct object live[LIVE_MOST];
    unsigned live_count, live_most;
    unsigned allocated[HEAPS_MOST], released[HEAPS_MOST];
    size_t smallest, largest;
    unsigned large;           // requests above 2 KB
    unsigned sizes[1u << 16]; // how often each was asked for, up to 64 KB - 1
    uint64_t refuse_after;    // allocations, 0: never
    bool refuse_init, broken;
    struct heap_statistics statistics;
} seen;

// The first objects that were allocated, in order.
static struct object taken[LIVE_MOST];

static unsigned heap_number(const void *heap)
{
    for (unsigned i = 0; i < seen.heap_count; i++)
        if (seen.heaps[i] == heap)
            return i;
    ck_abort_msg("a heap that was not made");
    return 0;
}

static unsigned sum(const unsigned *counts)
{
    unsigned all = 0;
    for (unsigned i = 0; i < HEAPS_MOST; i++)
        all += counts[i];
    return all;
}

static enum status counting_init(void *heap, void *region, size_t length)
{
    ck_assert_uint_lt(seen.heap_count, HEAPS_MOST);
    ck_assert_uint_eq((uintptr_t)region % 4096, 0);
    ck_assert_uint_eq(length % 4096, 0);
    seen.heaps[seen.heap_count++] = heap;
    if (seen.next == NULL)
        seen.next = region;
    return seen.refuse_init ? STATUS_INVALID : STATUS_OK;
}

static void *counting_allocate(void *heap, size_t size)
{
    const unsigned number = heap_number(heap);
    if (seen.refuse_after != 0 && sum(seen.allocated) == seen.refuse_after)
        return NULL;
    ck_assert_uint_lt(seen.live_count, LIVE_MOST);
    ck_assert_uint_le((size_t)(seen.next - (uint8_t *)memory) + size, MEMORY_BYTES);
    seen.live[seen.live_count] = (struct object){seen.next, size, number};
    if (sum(seen.allocated) < LIVE_MOST)
        taken[sum(seen.allocated)] = seen.live[seen.live_count];
    seen.live_count++;
    if (seen.live_count > seen.live_most)
        seen.live_most = seen.live_count;
    seen.allocated[number]++;
    seen.smallest = size < seen.smallest ? size : seen.smallest;
    seen.largest = size > seen.largest ? size : seen.largest;
    seen.large += size > 2048;
    if (size < sizeof(seen.sizes) / sizeof(seen.sizes[0]))
        seen.sizes[size]++;
    uint8_t *const start = seen.next;
    seen.next += (size + 15) / 16 * 16;
    return start;
}

static void counting_release(void *heap, void *pointer, size_t size)
{
    const unsigned number = heap_number(heap);
    unsigned i = 0;
    while (i < seen.live_count && seen.live[i].start != pointer)
        i++;
    ck_assert_msg(i < seen.live_count, "what is freed was not allocated");
    ck_assert_uint_eq(seen.live[i].size, size);
    ck_assert_uint_eq(seen.live[i].heap, number);
    seen.live[i] = seen.live[--seen.live_count];
    seen.released[number]++;
}

static void counting_statistics(const void *heap, struct heap_statistics *statistics)
{
    heap_number(heap);
    *statistics = seen.statistics;
}

static bool counting_check(const void *heap)
{
    return heap_number(heap) == 0 && !seen.broken;
}

static size_t no_refill(void *heap, size_t size)
{
    return heap_number(heap) * size;
}

static const struct heap_ops counting_heap = {
    .about = {"counting", "counts what is asked of it", VARIANT_PRODUCT},
    .state_bytes = 64,
    .largest = 1u << 20,
    .init = counting_init,
    .allocate = counting_allocate,
    .release = counting_release,
    .statistics = counting_statistics,
    .check = counting_check,
};

// ---- cases and counters -------------------------------------------------------------------------

static void set_up(void)
{
    memory = aligned_alloc(2u << 20, 16u << 20);
    ck_assert_ptr_nonnull(memory);
    memset(memory, 0, MEMORY_BYTES);
    memset(&seen, 0, sizeof(seen));
    seen.smallest = SIZE_MAX;
}

static void tear_down(void)
{
    free(memory);
}

static size_t named(const struct bench_suite *suite, const char *name)
{
    for (size_t i = 0; i < suite->case_count; i++)
        if (strcmp(suite->cases[i].name, name) == 0)
            return i;
    ck_abort_msg("no case %s", name);
    return 0;
}

// The context of a case of the heap suite over the heap that counts, prepared and brought in front
// of its first window.
static void *in_front(const char *name)
{
    const size_t which = named(&heap_suite, name);
    void *context = heap_suite.prepare(which, &counting_heap, memory, MEMORY_BYTES, 5);
    ck_assert_ptr_nonnull(context);
    heap_suite.before(which, &counting_heap, context, heap_suite.cases[which].operations);
    return context;
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

static void count(const struct bench_suite *suite, size_t which, const void *ops,
                  const void *context)
{
    const struct bench_counters out = {.emit = emit, .context = emitted};
    emitted_count = 0;
    suite->counters(which, ops, context, &out);
}

static void counted(const char *name, uint64_t numerator, uint64_t denominator, const char *unit)
{
    const struct counter *found = emitted;
    while (found < emitted + emitted_count && strcmp(found->name, name) != 0)
        found++;
    ck_assert_msg(found < emitted + emitted_count, "%s was not counted", name);
    ck_assert_uint_eq(found->numerator, numerator);
    ck_assert_uint_eq(found->denominator, denominator);
    ck_assert_str_eq(found->unit, unit);
}

// ---- heap ---------------------------------------------------------------------------------------

START_TEST(pollution_is_500_mixed_objects_allocated_and_all_freed_before_1000_pairs)
{
    const size_t which = named(&heap_suite, "pollution");
    unsigned different = 0;
    void *context = heap_suite.prepare(which, &counting_heap, memory, MEMORY_BYTES, 5);
    ck_assert_uint_eq(sum(seen.allocated), 0);
    for (unsigned window = 1; window <= 3; window++) {
        heap_suite.before(which, &counting_heap, context, 1000);
        ck_assert_uint_eq(seen.allocated[0], 500 * window);
        ck_assert_uint_eq(seen.released[0], 500 * window);
        ck_assert_uint_eq(seen.live_most, 500);
        ck_assert_uint_eq(seen.live_count, 0);
    }
    for (unsigned i = 0; i < 2049; i++)
        different += seen.sizes[i] > 0;
    ck_assert_uint_gt(different, 10);
    ck_assert_uint_eq(heap_suite.cases[which].operations, 1000);
    ck_assert_uint_eq(heap_suite.cases[which].counted_operations, 1000);
    ck_assert(heap_suite.cases[which].fixed);
}
END_TEST

START_TEST(alloc_64_finds_48_free_objects_in_each_of_8_heaps)
{
    const size_t which = named(&heap_suite, "alloc_64");
    void *context = in_front("alloc_64");
    ck_assert_uint_eq(heap_suite.cases[which].operations, 48 * 8);
    ck_assert(heap_suite.cases[which].fixed);
    ck_assert_uint_eq(seen.heap_count, 8);
    for (unsigned i = 0; i < 8; i++) {
        ck_assert_uint_eq(seen.allocated[i], 48);
        ck_assert_uint_eq(seen.released[i], 48);
    }
    ck_assert_uint_eq(seen.live_most, 48 * 8);
    ck_assert_uint_eq(seen.sizes[64], 48 * 8);
    // A window takes them again, each from its heap; all come back in front of the next one, and
    // nothing else is allocated. The window is a variant's own, so it is played by hand: the same
    // objects, live again.
    for (unsigned i = 0; i < 48 * 8; i++)
        seen.live[i] = taken[i];
    seen.live_count = 48 * 8;
    heap_suite.before(which, &counting_heap, context, 48 * 8);
    ck_assert_uint_eq(seen.live_count, 0);
    for (unsigned i = 0; i < 8; i++) {
        ck_assert_uint_eq(seen.allocated[i], 48);
        ck_assert_uint_eq(seen.released[i], 96);
    }
}
END_TEST

START_TEST(the_mixed_cases_keep_as_many_objects_live_as_their_names_say)
{
    static const struct {
        const char *name;
        unsigned live;
        size_t least, most;
    } mixes[] = {{"random_1000", 1000, 8, 2048},
                 {"mixed_100k", 100, 8, 2048},
                 {"mixed_large", 100, 8, 65536}};
    in_front(mixes[_i].name);
    ck_assert_uint_eq(seen.heap_count, 1);
    ck_assert_uint_eq(seen.live_count, mixes[_i].live);
    ck_assert_uint_eq(sum(seen.allocated), mixes[_i].live);
    ck_assert_uint_eq(sum(seen.released), 0);
    ck_assert_uint_ge(seen.smallest, mixes[_i].least);
    ck_assert_uint_le(seen.largest, mixes[_i].most);
    ck_assert_uint_gt(seen.largest, mixes[_i].most / 2);
    if (_i == 2)
        ck_assert_uint_gt(seen.large, 20); // log-uniform: 5 of 13 powers are above 2 KB
}
END_TEST

START_TEST(sizes_are_uniform_or_those_of_the_bins)
{
    static const unsigned bins[] = {8,   16,  24,  32,  48,  64,   96,   128,
                                    192, 256, 384, 512, 768, 1024, 1536, 2048};
    unsigned in_bins = 0;
    in_front(_i == 0 ? "random_1000" : "mixed_100k");
    for (unsigned i = 0; i < 16; i++)
        in_bins += seen.sizes[bins[i]];
    if (_i == 0)
        ck_assert_uint_lt(in_bins, 100);
    else
        ck_assert_uint_eq(in_bins, 100);
}
END_TEST

START_TEST(the_hot_cases_start_with_nothing_allocated)
{
    static const char *const names[] = {"pair_64", "lifo_64", "refill"};
    in_front(names[_i]);
    ck_assert_uint_eq(seen.heap_count, 1);
    ck_assert_uint_eq(sum(seen.allocated), 0);
}
END_TEST

START_TEST(a_heap_that_cannot_be_set_up_is_no_context)
{
    const size_t which = named(&heap_suite, "random_1000");
    ck_assert_ptr_null(heap_suite.prepare(which, &counting_heap, memory, 3u << 20, 5));
    ck_assert_uint_eq(seen.heap_count, 0);
    seen.refuse_after = 999;
    ck_assert_ptr_null(heap_suite.prepare(which, &counting_heap, memory, MEMORY_BYTES, 5));
    seen.refuse_init = true;
    ck_assert_ptr_null(heap_suite.prepare(which, &counting_heap, memory, MEMORY_BYTES, 5));
}
END_TEST

START_TEST(heap_counters_are_what_happened_since_the_last_before)
{
    seen.statistics = (struct heap_statistics){.allocations = 200,
                                               .failures = 1,
                                               .cache_hits = 100,
                                               .cache_misses = 10,
                                               .header_bytes = 16};
    void *context = in_front("pair_64");
    seen.statistics.allocations = 300;
    seen.statistics.failures = 3;
    seen.statistics.cache_hits = 190;
    seen.statistics.cache_misses = 20;
    count(&heap_suite, named(&heap_suite, "pair_64"), &counting_heap, context);
    ck_assert_uint_eq(emitted_count, 3);
    counted("hit_rate", 90, 100, "percent");
    counted("served", 100, 102, "percent");
    counted("header_bytes", 16, 1, "bytes");
}
END_TEST

START_TEST(a_heap_without_a_cache_has_no_hit_rate_and_a_broken_one_is_found)
{
    void *context = in_front("pair_64");
    seen.statistics.header_bytes = 8;
    count(&heap_suite, named(&heap_suite, "pair_64"), &counting_heap, context);
    ck_assert_uint_eq(emitted_count, 1);
    counted("header_bytes", 8, 1, "bytes");
    ck_assert(heap_suite.check(0, &counting_heap, context));
    seen.broken = true;
    ck_assert(!heap_suite.check(0, &counting_heap, context));
}
END_TEST

START_TEST(refill_is_for_heaps_that_have_levels)
{
    struct heap_ops levels = counting_heap;
    levels.refill = no_refill;
    const size_t which = named(&heap_suite, "refill");
    ck_assert(!heap_suite.applies(which, &counting_heap));
    ck_assert(heap_suite.applies(which, &levels));
    ck_assert(heap_suite.applies(named(&heap_suite, "pair_64"), &counting_heap));
}
END_TEST

// ---- bodies -------------------------------------------------------------------------------------

// Windows in sequence on the same state give the checksum that was expected before each of them. A
// bound that is not ours may run out of memory.
static void windows_of(const struct bench_suite *suite, size_t variant, size_t which)
{
    const void *ops = suite->variants[variant].ops;
    const struct variant *about = suite->variants[variant].about;
    const uint64_t operations = suite->cases[which].operations;
    bench_body *const body = suite->bodies[variant * suite->case_count + which];
    void *context = suite->prepare(which, ops, memory, MEMORY_BYTES, 5);
    ck_assert_ptr_nonnull(context);
    for (unsigned window = 0; window < 4; window++) {
        if (suite->before != NULL)
            suite->before(which, ops, context, operations);
        const uint64_t expected = suite->expected(which, context, operations);
        ck_assert_uint_ne(expected, BENCH_FAILED);
        const uint64_t given = body(context, operations);
        if (given == BENCH_FAILED && about->role == VARIANT_FLOOR && strcmp(about->name, "floor"))
            return;
        ck_assert_msg(given == expected, "%s of %s", suite->cases[which].name, about->name);
        ck_assert(suite->check(which, ops, context));
    }
    count(suite, which, ops, context);
}

START_TEST(every_heap_s_windows_serve_all_their_operations)
{
    for (size_t variant = 0; variant < heap_suite.variant_count; variant++) {
        const struct heap_ops *ops = heap_suite.variants[variant].ops;
        if (!heap_suite.applies((size_t)_i, ops))
            continue;
        windows_of(&heap_suite, variant, (size_t)_i);
        const struct bench_case *which = &heap_suite.cases[_i];
        if (ops->about.role == VARIANT_FLOOR || strcmp(which->name, "refill") == 0 ||
            strcmp(which->name, "exhaustion") == 0 || strcmp(which->name, "first_64") == 0)
            continue;
        const uint64_t served = strcmp(which->name, "alloc_64") == 0 ? 48 : which->operations;
        counted("served", served, served, "percent");
    }
}
END_TEST

START_TEST(alloc_64_is_served_by_the_first_level_alone)
{
    const size_t which = named(&heap_suite, "alloc_64");
    unsigned caches = 0;
    for (size_t variant = 0; variant < heap_suite.variant_count; variant++) {
        const struct heap_ops *ops = heap_suite.variants[variant].ops;
        if (ops->refill == NULL)
            continue;
        windows_of(&heap_suite, variant, which);
        counted("hit_rate", 48, 48, "percent");
        caches++;
    }
    ck_assert_uint_gt(caches, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("suites");
    TCase *tests = tcase_create("set-ups, counters, bodies");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, pollution_is_500_mixed_objects_allocated_and_all_freed_before_1000_pairs);
    tcase_add_test(tests, alloc_64_finds_48_free_objects_in_each_of_8_heaps);
    tcase_add_loop_test(tests, the_mixed_cases_keep_as_many_objects_live_as_their_names_say, 0, 3);
    tcase_add_loop_test(tests, sizes_are_uniform_or_those_of_the_bins, 0, 2);
    tcase_add_loop_test(tests, the_hot_cases_start_with_nothing_allocated, 0, 3);
    tcase_add_test(tests, a_heap_that_cannot_be_set_up_is_no_context);
    tcase_add_test(tests, heap_counters_are_what_happened_since_the_last_before);
    tcase_add_test(tests, a_heap_without_a_cache_has_no_hit_rate_and_a_broken_one_is_found);
    tcase_add_test(tests, refill_is_for_heaps_that_have_levels);
    tcase_add_loop_test(tests, every_heap_s_windows_serve_all_their_operations, 0,
                        (int)heap_suite.case_count);
    tcase_add_test(tests, alloc_64_is_served_by_the_first_level_alone);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
