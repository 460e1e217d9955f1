// SPDX-License-Identifier: MIT
// bench/suites/switch.c: who takes part is who the case's name says, and every window's switches
// are made.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "run_checks.h"
#include "switch.h"

#define MEMORY_BYTES (14u << 20)
#define SITES        16u
#define FIRST_STACK  4096u

extern const struct bench_suite switch_suite;

// As the suite lays it out, which is what is looked at here.
struct participant {
    uint64_t count;
    struct participant *next, *last;
    uint64_t participants, start;
    bench_body *body;
    uint64_t site;
};

static void *memory;

static void set_up(void)
{
    memory = aligned_alloc(1u << 21, MEMORY_BYTES);
    memset(memory, 0xee, MEMORY_BYTES);
}

static void tear_down(void)
{
    free(memory);
}

static size_t case_of(const char *name)
{
    for (size_t c = 0; c < switch_suite.case_count; c++)
        if (strcmp(switch_suite.cases[c].name, name) == 0)
            return c;
    ck_abort_msg("no case %s", name);
    return 0;
}

static struct participant *first_of(size_t which, uint64_t seed)
{
    return switch_suite.prepare(which, switch_suite.variants[0].ops, memory, MEMORY_BYTES, seed);
}

// Length of the circle that starts here; fails if it takes more than `most`.
static unsigned circle(const struct participant *first, unsigned most)
{
    unsigned length = 0;
    const struct participant *one = first;
    do {
        ck_assert_uint_eq(one->site, length % SITES);
        ck_assert_uint_lt(length, most);
        length++;
        if (one->next == first)
            ck_assert_ptr_eq(first->last, one);
        one = one->next;
    } while (one != first);
    return length;
}

// Of all participants, how many lie behind the one before them in memory.
static unsigned ascending(const struct participant *first, unsigned count)
{
    unsigned found = 0;
    for (unsigned i = 0; i + 1 < count; i++, first = first->next)
        found += first->next > first;
    return found;
}

START_TEST(each_case_is_one_circle_of_as_many_contexts_as_its_name_says)
{
    static const struct {
        const char *name;
        unsigned count;
    } cases[] = {{"yield_inline", 2}, {"yield", 2},         {"pair_jmp", 2}, {"pair_ret", 2},
                 {"live_6", 2},       {"pair_256", 2},      {"ring_16", 16}, {"random_16", 16},
                 {"ring_1000", 1000}, {"random_1000", 1000}};
    ck_assert_uint_eq(sizeof(cases) / sizeof(cases[0]), switch_suite.case_count);
    for (unsigned i = 0; i < switch_suite.case_count; i++) {
        const struct participant *first = first_of(case_of(cases[i].name), 7);
        ck_assert_ptr_nonnull(first);
        ck_assert_uint_eq(first->participants, cases[i].count);
        ck_assert_uint_eq(circle(first, cases[i].count), cases[i].count);
    }
}
END_TEST

START_TEST(the_random_cases_are_in_an_order_of_the_seed_s_and_the_others_in_memory_s)
{
    ck_assert_uint_eq(ascending(first_of(case_of("ring_1000"), 1), 1000), 999);
    const unsigned one = ascending(first_of(case_of("random_1000"), 1), 1000);
    ck_assert(one > 400 && one < 600);
    struct participant *at = first_of(case_of("random_1000"), 1);
    const struct participant *orders[3][20];
    for (unsigned run = 0; run < 3; run++) {
        at = first_of(case_of("random_1000"), run == 2 ? 2 : 1);
        for (unsigned i = 0; i < 20; i++, at = at->next)
            orders[run][i] = at;
    }
    ck_assert_mem_eq(orders[0], orders[1], sizeof(orders[0]));
    ck_assert(memcmp(orders[0], orders[2], sizeof(orders[0])) != 0);
}
END_TEST

START_TEST(memory_that_does_not_suffice_is_no_context)
{
    for (size_t c = 0; c < switch_suite.case_count; c++)
        ck_assert_ptr_null(
            switch_suite.prepare(c, switch_suite.variants[0].ops, memory, FIRST_STACK, 1));
}
END_TEST

START_TEST(every_window_makes_all_its_switches_and_a_lost_one_is_seen)
{
    for (size_t v = 0; v < switch_suite.variant_count; v++) {
        const void *ops = switch_suite.variants[v].ops;
        if (!switch_suite.applies((size_t)_i, ops))
            continue;
        struct participant *first = switch_suite.prepare((size_t)_i, ops, memory, MEMORY_BYTES, 3);
        const uint64_t operations = switch_suite.cases[_i].operations;
        ck_assert_uint_eq(operations % first->participants, 0);
        for (unsigned window = 1; window <= 3; window++) {
            switch_suite.before((size_t)_i, ops, first, operations);
            const uint64_t expected = switch_suite.expected((size_t)_i, first, operations);
            const uint64_t done =
                switch_suite.bodies[v * switch_suite.case_count + (size_t)_i](first, operations);
            ck_assert_uint_eq(done, expected);
            ck_assert_uint_eq(first->count, window * operations / first->participants);
            ck_assert(switch_suite.check((size_t)_i, ops, first));
        }
        first->next->count--;
        ck_assert(!switch_suite.check((size_t)_i, ops, first));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("suites: switch");
    TCase *tests = tcase_create("set-ups and bodies");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, each_case_is_one_circle_of_as_many_contexts_as_its_name_says);
    tcase_add_test(tests,
                   the_random_cases_are_in_an_order_of_the_seed_s_and_the_others_in_memory_s);
    tcase_add_test(tests, memory_that_does_not_suffice_is_no_context);
    tcase_add_loop_test(tests, every_window_makes_all_its_switches_and_a_lost_one_is_seen, 0,
                        (int)switch_suite.case_count);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
