// SPDX-License-Identifier: MIT
// bench/framework/crew.h: every member does its part of every window on its own CPU, CPU 0 sees
// what they did, and whoever does not come fails the window within its bound. The suites that have
// crews test what their windows make of that.
#include <check.h>

#include "crew.h"
#include "run_checks.h"
#include "test_platform.h"

#define MEMBERS    3u
#define OPERATIONS 1000u
#define HURRY      (1u << 16) // turns of a wait that is known to be in vain

// What a member works on: plain memory, which only the crew's own order protects.
struct part {
    uint64_t start; // written by CPU 0 in front of the window
    uint64_t calls, result;
    bool fails;
};

static struct crew crew;
static struct crew_member members[MEMBERS];
static struct part parts[MEMBERS];
static struct crew_patience patience;

static uint64_t count_up(void *context, uint64_t operations)
{
    struct part *part = context;
    part->calls++;
    part->result = part->start + operations;
    return part->fails ? BENCH_FAILED : part->result;
}

static void set_up(void)
{
    test_cpu_count = 1 + MEMBERS;
    test_cpu_start = NULL;
    patience = (struct crew_patience){0};
    crew_make(&crew, members, MEMBERS, count_up, NULL, &patience);
    for (size_t i = 0; i < MEMBERS; i++) {
        parts[i] = (struct part){0};
        members[i].context = &parts[i];
    }
}

static void tear_down(void)
{
    crew_rest();
}

START_TEST(every_member_does_its_part_of_every_window_on_its_own_cpu)
{
    for (uint64_t window = 1; window <= 5; window++) {
        uint64_t due = 0;
        for (size_t i = 0; i < MEMBERS; i++) {
            parts[i].start = window * 100 + i;
            due += parts[i].start + OPERATIONS;
        }
        crew_call(&crew, OPERATIONS);
        for (size_t i = 0; i < MEMBERS; i++)
            ck_assert_uint_eq(__atomic_load_n(&members[i].ready, __ATOMIC_ACQUIRE), window);
        ck_assert(crew_begin(&crew));
        ck_assert_uint_eq(crew_sum(&crew), due);
        for (size_t i = 0; i < MEMBERS; i++) {
            ck_assert_uint_eq(parts[i].calls, window);
            ck_assert_uint_eq(parts[i].result, parts[i].start + OPERATIONS);
            ck_assert_uint_eq(members[i].cpu, i + 1);
        }
    }
}
END_TEST

START_TEST(the_window_s_own_part_counts_too)
{
    crew_call(&crew, OPERATIONS);
    ck_assert(crew_begin(&crew));
    ck_assert_uint_eq(crew_sum_with(&crew, 7), MEMBERS * OPERATIONS + 7);
    ck_assert_uint_eq(crew_sum_with(&crew, BENCH_FAILED), BENCH_FAILED);
}
END_TEST

START_TEST(a_part_that_fails_fails_the_window)
{
    parts[_i].fails = true;
    crew_call(&crew, OPERATIONS);
    ck_assert(crew_begin(&crew));
    ck_assert_uint_eq(crew_sum_with(&crew, 7), BENCH_FAILED);
    parts[_i].fails = false;
    crew_call(&crew, OPERATIONS);
    ck_assert(crew_begin(&crew));
    ck_assert_uint_eq(crew_sum(&crew), MEMBERS * OPERATIONS);
}
END_TEST

START_TEST(members_do_nothing_before_the_window_begins_nor_without_it)
{
    crew.turns = HURRY;
    crew_call(&crew, OPERATIONS);
    crew_rest(); // nobody began it
    for (size_t i = 0; i < MEMBERS; i++)
        ck_assert_uint_eq(parts[i].calls, 0);
}
END_TEST

static bool last_refuses(unsigned cpu, void (*function)(void *argument), void *argument)
{
    bool (*const instead)(unsigned, void (*)(void *), void *) = test_cpu_start;
    if (cpu == MEMBERS)
        return false;
    test_cpu_start = NULL;
    const bool started = platform_cpu_start(cpu, function, argument);
    test_cpu_start = instead;
    return started;
}

START_TEST(where_one_cannot_be_started_no_window_begins_and_nobody_works)
{
    test_cpu_start = last_refuses;
    crew_call(&crew, OPERATIONS);
    ck_assert(!crew_begin(&crew));
    crew_rest();
    for (size_t i = 0; i < MEMBERS; i++)
        ck_assert_uint_eq(parts[i].calls, 0);
}
END_TEST

START_TEST(a_crew_without_a_body_fails)
{
    crew_make(&crew, members, MEMBERS, NULL, NULL, &patience);
    crew_call(&crew, OPERATIONS);
    ck_assert(!crew_begin(&crew));
}
END_TEST

START_TEST(a_wait_for_what_never_comes_ends)
{
    const uint64_t word = 4;
    crew.turns = HURRY;
    ck_assert(crew_reaches(&crew, &word, 4));
    ck_assert(!crew_reaches(&crew, &word, 5));
    ck_assert(crew_comes(&crew, &word, 3));
    ck_assert_uint_eq(patience.spent, 0);
    ck_assert(!crew_comes(&crew, &word, 5));
    ck_assert_uint_gt(patience.spent, 0); // which counts for the row
    patience.spent = CREW_PATIENCE;
    crew.turns = UINT32_MAX;
    ck_assert(!crew_comes(&crew, &word, 5));
}
END_TEST

START_TEST(a_variant_is_found_by_its_operations)
{
    static const int ops[3];
    const struct bench_variant variants[] = {{.ops = &ops[0]}, {.ops = &ops[1]}};
    ck_assert_uint_eq(crew_variant(variants, 2, &ops[0]), 0);
    ck_assert_uint_eq(crew_variant(variants, 2, &ops[1]), 1);
    ck_assert_uint_eq(crew_variant(variants, 2, &ops[2]), 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crew");
    TCase *tests = tcase_create("crew");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, every_member_does_its_part_of_every_window_on_its_own_cpu);
    tcase_add_test(tests, the_window_s_own_part_counts_too);
    tcase_add_loop_test(tests, a_part_that_fails_fails_the_window, 0, MEMBERS);
    tcase_add_test(tests, members_do_nothing_before_the_window_begins_nor_without_it);
    tcase_add_test(tests, where_one_cannot_be_started_no_window_begins_and_nobody_works);
    tcase_add_test(tests, a_crew_without_a_body_fails);
    tcase_add_test(tests, a_wait_for_what_never_comes_ends);
    tcase_add_test(tests, a_variant_is_found_by_its_operations);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
