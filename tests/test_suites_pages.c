// SPDX-License-Identifier: MIT
// bench/suites/pages.c: what each case sets up is what its name says, every variant's bodies do
// their work, and the counters are those of tables that are there.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "compiler.h"
#include "page.h"
#include "run_checks.h"

#define MEMORY_BYTES (4u << 20)

extern const struct bench_suite pages_suite;

static void *memory;

static struct {
    const char *name;
    uint64_t value;
} emitted[8];
static unsigned emitted_count;

static void emit(void *context, const char *name, uint64_t numerator, uint64_t denominator,
                 const char *unit)
{
    (void)context;
    (void)unit;
    ck_assert_uint_lt(emitted_count, ARRAY_COUNT(emitted));
    ck_assert_uint_eq(denominator, 1);
    emitted[emitted_count].name = name;
    emitted[emitted_count++].value = numerator;
}

// The counter; UINT64_MAX if it was not emitted.
static uint64_t counted(const char *name)
{
    for (unsigned i = 0; i < emitted_count; i++) {
        if (strcmp(emitted[i].name, name) == 0)
            return emitted[i].value;
    }
    return UINT64_MAX;
}

static void set_up(void)
{
    memory = aligned_alloc(2u << 20, MEMORY_BYTES);
    ck_assert_ptr_nonnull(memory);
    memset(memory, 0xa6, MEMORY_BYTES); // as another case left it
    emitted_count = 0;
}

static void tear_down(void)
{
    free(memory);
}

static size_t named(const char *name)
{
    for (size_t i = 0; i < pages_suite.case_count; i++) {
        if (strcmp(pages_suite.cases[i].name, name) == 0)
            return i;
    }
    ck_abort_msg("no case %s", name);
    return 0;
}

static const struct page_ops *ops_of(size_t variant)
{
    return pages_suite.variants[variant].ops;
}

static void *prepared(size_t variant, size_t which)
{
    void *context = pages_suite.prepare(which, ops_of(variant), memory, MEMORY_BYTES, 7);
    ck_assert_ptr_nonnull(context);
    return context;
}

static void window(size_t variant, size_t which, void *context)
{
    const uint64_t operations = pages_suite.cases[which].operations;
    pages_suite.before(which, ops_of(variant), context, operations);
    const uint64_t expected = pages_suite.expected(which, context, operations);
    const uint64_t given =
        pages_suite.bodies[variant * pages_suite.case_count + which](context, operations);
    ck_assert_msg(given == expected, "%s of %s", pages_suite.cases[which].name,
                  ops_of(variant)->about.name);
    ck_assert(pages_suite.check(which, ops_of(variant), context));
}

START_TEST(every_variant_s_windows_do_all_their_work)
{
    const struct bench_counters counters = {.emit = emit};
    unsigned rows = 0;
    for (size_t variant = 0; variant < pages_suite.variant_count; variant++) {
        if (!pages_suite.applies((size_t)_i, ops_of(variant)))
            continue;
        void *context = prepared(variant, (size_t)_i);
        for (unsigned k = 0; k < 3; k++)
            window(variant, (size_t)_i, context);
        emitted_count = 0;
        pages_suite.counters((size_t)_i, ops_of(variant), context, &counters);
        ck_assert_uint_gt(counted("tables"), 0);
        ck_assert_uint_lt(counted("tables"), 20);
        rows++;
    }
    ck_assert_uint_eq(rows, strcmp(pages_suite.cases[_i].name, "anonymous_64k") == 0 ? 1 : 3);
}
END_TEST

START_TEST(a_window_that_left_pages_behind_is_found)
{
    const size_t which = named("unmap_4k");
    for (size_t variant = 0; variant < pages_suite.variant_count; variant++) {
        const struct page_ops *ops = ops_of(variant);
        void *context = prepared(variant, which);
        void *const state = *(void *const *)context; // its first member
        window(variant, which, context);
        const struct page_kind kind = {.rights = PAGE_READ};
        ck_assert_int_eq(ops->map(state, PAGE_BASE + 0x5000, 0x1000, PAGE_BYTES_4K, kind),
                         STATUS_OK);
        ck_assert(!pages_suite.check(which, ops, context));
    }
}
END_TEST

static unsigned rights_of(const struct page_ops *ops, const void *state, unsigned page)
{
    return ops->rights(state, PAGE_BASE + page * PAGE_BYTES_4K);
}

START_TEST(every_window_of_protect_changes_the_rights_of_every_page)
{
    const size_t which = named("protect");
    for (size_t variant = 0; variant < pages_suite.variant_count; variant++) {
        const struct page_ops *ops = ops_of(variant);
        void *context = prepared(variant, which);
        void *const state = *(void *const *)context;
        unsigned before = PAGE_READ | PAGE_WRITE;
        for (unsigned k = 0; k < 4; k++) {
            ck_assert_uint_eq(rights_of(ops, state, 0), before);
            window(variant, which, context);
            before = k % 2 == 0 ? PAGE_READ : PAGE_READ | PAGE_WRITE;
            for (unsigned i = 0; i < 1000; i++)
                ck_assert_uint_eq(rights_of(ops, state, i), before);
        }
    }
}
END_TEST

START_TEST(a_window_of_protect_that_left_one_page_out_is_found)
{
    const size_t which = named("protect");
    for (size_t variant = 0; variant < pages_suite.variant_count; variant++) {
        const struct page_ops *ops = ops_of(variant);
        void *context = prepared(variant, which);
        void *const state = *(void *const *)context;
        window(variant, which, context);
        const struct page_kind kind = {.rights = PAGE_READ | PAGE_WRITE};
        ck_assert_int_eq(ops->protect(state, PAGE_BASE + 999 * PAGE_BYTES_4K, kind), STATUS_OK);
        ck_assert(!pages_suite.check(which, ops, context));
    }
}
END_TEST

START_TEST(tables_of_a_gib_are_counted_by_both_page_sizes)
{
    const struct bench_counters counters = {.emit = emit};
    const size_t which = named("map_1000");
    for (size_t variant = 0; variant < pages_suite.variant_count; variant++) {
        void *context = prepared(variant, which);
        emitted_count = 0;
        pages_suite.counters(which, ops_of(variant), context, &counters);
        const bool floor = ops_of(variant)->about.role == VARIANT_FLOOR;
        // root, level 2, level 1; and 512 of level 0
        ck_assert_uint_eq(counted("table_bytes_gib_2m"), floor ? UINT64_MAX : 3 * 4096);
        ck_assert_uint_eq(counted("table_bytes_gib_4k"), floor ? UINT64_MAX : (3 + 512) * 4096);
    }
}
END_TEST

START_TEST(memory_that_does_not_suffice_is_no_context)
{
    for (size_t variant = 0; variant < pages_suite.variant_count; variant++)
        ck_assert_ptr_null(pages_suite.prepare(0, ops_of(variant), memory, 1u << 20, 7));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("suites_pages");
    TCase *tests = tcase_create("set-ups, counters, bodies");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, every_variant_s_windows_do_all_their_work, 0,
                        (int)pages_suite.case_count);
    tcase_add_test(tests, a_window_that_left_pages_behind_is_found);
    tcase_add_test(tests, every_window_of_protect_changes_the_rights_of_every_page);
    tcase_add_test(tests, a_window_of_protect_that_left_one_page_out_is_found);
    tcase_add_test(tests, tables_of_a_gib_are_counted_by_both_page_sizes);
    tcase_add_test(tests, memory_that_does_not_suffice_is_no_context);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
