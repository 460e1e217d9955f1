// SPDX-License-Identifier: MIT
// bench/suites/kmalloc: what each case sets up and asks for is what its name says; every variant's
// bodies do their work.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "compiler.h"
#include "heap.h"
#include "run_checks.h"

#define MEMORY_BYTES (8u << 20)

extern const struct bench_suite kmalloc_suite;

static void *memory;

static void set_up(void)
{
    memory = aligned_alloc(2u << 20, MEMORY_BYTES);
    ck_assert_ptr_nonnull(memory);
    memset(memory, 0, MEMORY_BYTES);
}

static void tear_down(void)
{
    free(memory);
}

static size_t named(const char *name)
{
    for (size_t i = 0; i < kmalloc_suite.case_count; i++)
        if (strcmp(kmalloc_suite.cases[i].name, name) == 0)
            return i;
    ck_abort_msg("no case %s", name);
    return 0;
}

struct counter {
    char name[32];
    uint64_t numerator, denominator;
};

static struct counter emitted[8];
static unsigned emitted_count;

static void emit(void *context, const char *name, uint64_t numerator, uint64_t denominator,
                 const char *unit)
{
    (void)context;
    (void)unit;
    ck_assert_uint_lt(emitted_count, ARRAY_COUNT(emitted));
    struct counter *counter = &emitted[emitted_count++];
    *counter = (struct counter){.numerator = numerator, .denominator = denominator};
    strncpy(counter->name, name, sizeof(counter->name) - 1);
}

static const struct counter *counted(size_t which, const void *ops, const void *context,
                                     const char *name)
{
    const struct bench_counters out = {.emit = emit};
    emitted_count = 0;
    kmalloc_suite.counters(which, ops, context, &out);
    for (unsigned i = 0; i < emitted_count; i++)
        if (strcmp(emitted[i].name, name) == 0)
            return &emitted[i];
    return NULL;
}

// ---- every variant ------------------------------------------------------------------------------

// Windows in sequence on the same state give the checksum that was expected before each of them.
START_TEST(every_window_of_every_variant_does_its_work)
{
    const size_t which = (size_t)_i;
    const struct bench_case *asked = &kmalloc_suite.cases[which];
    for (size_t v = 0; v < kmalloc_suite.variant_count; v++) {
        const struct heap_ops *ops = kmalloc_suite.variants[v].ops;
        bench_body *const body = kmalloc_suite.bodies[v * kmalloc_suite.case_count + which];
        if (!kmalloc_suite.applies(which, ops))
            continue;
        void *context = kmalloc_suite.prepare(which, ops, memory, MEMORY_BYTES, 5);
        ck_assert_ptr_nonnull(context);
        for (unsigned window = 0; window < 4; window++) {
            kmalloc_suite.before(which, ops, context, asked->operations);
            const uint64_t expected = kmalloc_suite.expected(which, context, asked->operations);
            ck_assert_uint_ne(expected, BENCH_FAILED);
            ck_assert_msg(body(context, asked->operations) == expected, "%s of %s", asked->name,
                          ops->about.name);
            ck_assert(kmalloc_suite.check(which, ops, context));
        }
        const struct counter *served = counted(which, ops, context, "served");
        ck_assert_int_eq(served != NULL, ops->about.role != VARIANT_FLOOR);
        if (served != NULL)
            ck_assert_uint_eq(served->numerator, served->denominator);
    }
}
END_TEST

// The context and the numbers of a case under kmalloc, after one window.
static void *after_a_window(const char *name, struct heap_statistics *statistics,
                            const struct heap_ops **ops)
{
    const size_t which = named(name);
    size_t v = 0;
    while (strcmp(kmalloc_suite.variants[v].about->name, "kmalloc") != 0)
        v++;
    *ops = kmalloc_suite.variants[v].ops;
    void *context = kmalloc_suite.prepare(which, *ops, memory, MEMORY_BYTES, 5);
    ck_assert_ptr_nonnull(context);
    for (unsigned window = 0; window < 2; window++) { // the first one only fills what is behind
        kmalloc_suite.before(which, *ops, context, kmalloc_suite.cases[which].operations);
        (*ops)->statistics(*(void **)context, statistics);
        kmalloc_suite.bodies[v * kmalloc_suite.case_count + which](
            context, kmalloc_suite.cases[which].operations);
    }
    struct heap_statistics after;
    (*ops)->statistics(*(void **)context, &after);
    for (unsigned i = 0; i < sizeof(after) / sizeof(uint64_t); i++)
        ((uint64_t *)statistics)[i] = ((uint64_t *)&after)[i] - ((uint64_t *)statistics)[i];
    return context;
}

START_TEST(a_pair_allocates_its_size_and_hits)
{
    static const struct {
        const char *name;
        uint64_t bytes;
    } pairs[] = {
        {"pair_16", 16}, {"pair_32", 32}, {"pair_64", 64}, {"pair_128", 128}, {"pair_256", 256}};
    struct heap_statistics s;
    const struct heap_ops *ops;
    after_a_window(pairs[_i].name, &s, &ops);
    ck_assert_uint_eq(s.allocations, 5000);
    ck_assert_uint_eq(s.frees, 5000);
    ck_assert_uint_eq(s.bytes_allocated, 5000 * pairs[_i].bytes);
    ck_assert_uint_eq(s.cache_hits, 5000);
}
END_TEST

START_TEST(an_alloc_case_takes_128_objects_and_frees_them_before_the_next_window)
{
    static const struct {
        const char *name;
        uint64_t bytes;
    } allocs[] = {{"alloc_512", 512}, {"alloc_4096", 4096}, {"alloc_8192", 8192}};
    struct heap_statistics s;
    const struct heap_ops *ops;
    void *context = after_a_window(allocs[_i].name, &s, &ops);
    ck_assert_uint_eq(s.allocations, 128);
    ck_assert_uint_eq(s.frees, 0);
    ck_assert_uint_eq(s.bytes_allocated, 128 * allocs[_i].bytes);
    const size_t which = named(allocs[_i].name);
    kmalloc_suite.before(which, ops, context, 128);
    ops->statistics(*(void **)context, &s);
    ck_assert_uint_eq(s.allocations, s.frees);
    // Above 4 KB nothing is cached; below, misses are a part of it.
    ck_assert_int_eq(s.cache_misses > 0, _i < 2);
}
END_TEST

START_TEST(carve_64_takes_eight_pages_that_nothing_was_cut_from)
{
    struct heap_statistics s;
    const struct heap_ops *ops;
    void *context = after_a_window("carve_64", &s, &ops);
    ck_assert_uint_eq(s.allocations, 512);
    ck_assert_uint_eq(s.cache_misses, 16); // batches of 32
    ck_assert_uint_ge(s.pages_taken, 8);   // from the buddy: the stack was empty, too
    ck_assert_uint_eq(s.pages_returned, 0);
    const struct counter *pages = counted(named("carve_64"), ops, context, "pages_taken");
    ck_assert_ptr_nonnull(pages);
    ck_assert_uint_eq(pages->numerator, s.pages_taken);
}
END_TEST

START_TEST(grow_64k_doubles_and_frees)
{
    struct heap_statistics s;
    const struct heap_ops *ops;
    after_a_window("grow_64k", &s, &ops);
    ck_assert_uint_eq(s.allocations, s.frees);
    ck_assert_uint_eq(s.bytes_allocated, s.bytes_freed);
    // At least those that double below a page are copied, at most all.
    ck_assert_uint_ge(s.allocations, 8 * 9);
    ck_assert_uint_le(s.allocations, 8 * 13);
}
END_TEST

// ---- a window that went wrong -------------------------------------------------------------------

START_TEST(an_object_that_was_overwritten_between_windows_breaks_the_row)
{
    struct heap_statistics s;
    const struct heap_ops *ops;
    void *context = after_a_window("alloc_512", &s, &ops);
    const size_t which = named("alloc_512");
    ck_assert(kmalloc_suite.check(which, ops, context));
    uint64_t **objects = ((uint64_t ***)context)[1]; // the second member
    objects[17][0]++;
    kmalloc_suite.before(which, ops, context, 128);
    ck_assert(!kmalloc_suite.check(which, ops, context));
}
END_TEST

START_TEST(a_window_without_memory_fails)
{
    struct heap_statistics s;
    const struct heap_ops *ops;
    void *context = after_a_window("alloc_4096", &s, &ops);
    const size_t which = named("alloc_4096");
    size_t v = 0;
    while (kmalloc_suite.variants[v].ops != ops)
        v++;
    kmalloc_suite.before(which, ops, context, 128);
    while (ops->allocate(*(void **)context, 65536) != NULL)
        continue;
    ck_assert_uint_eq(kmalloc_suite.bodies[v * kmalloc_suite.case_count + which](context, 128),
                      BENCH_FAILED);
}
END_TEST

START_TEST(memory_that_cannot_be_prepared_is_no_context)
{
    const struct heap_ops *ops = kmalloc_suite.variants[0].ops;
    ck_assert_ptr_null(kmalloc_suite.prepare(0, ops, memory, 3u << 20, 5));
    ck_assert_ptr_null(kmalloc_suite.prepare(0, ops, memory, 4096, 5));
    ck_assert_ptr_nonnull(kmalloc_suite.prepare(0, ops, memory, 4u << 20, 5));
}
END_TEST

START_TEST(carving_is_for_heaps_that_give_idle_memory_back)
{
    struct heap_ops ops = *(const struct heap_ops *)kmalloc_suite.variants[0].ops;
    for (size_t which = 0; which < kmalloc_suite.case_count; which++) {
        ops.about.role = VARIANT_PRODUCT;
        ops.trim = NULL;
        ck_assert_int_eq(kmalloc_suite.applies(which, &ops), which != named("carve_64"));
        ops.about.role = VARIANT_BASELINE;
        ck_assert(kmalloc_suite.applies(which, &ops));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("suites_kmalloc");
    TCase *tests = tcase_create("kmalloc");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, every_window_of_every_variant_does_its_work, 0,
                        (int)kmalloc_suite.case_count);
    tcase_add_loop_test(tests, a_pair_allocates_its_size_and_hits, 0, 5);
    tcase_add_loop_test(
        tests, an_alloc_case_takes_128_objects_and_frees_them_before_the_next_window, 0, 3);
    tcase_add_test(tests, carve_64_takes_eight_pages_that_nothing_was_cut_from);
    tcase_add_test(tests, grow_64k_doubles_and_frees);
    tcase_add_test(tests, an_object_that_was_overwritten_between_windows_breaks_the_row);
    tcase_add_test(tests, a_window_without_memory_fails);
    tcase_add_test(tests, memory_that_cannot_be_prepared_is_no_context);
    tcase_add_test(tests, carving_is_for_heaps_that_give_idle_memory_back);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
