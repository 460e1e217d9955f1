// SPDX-License-Identifier: MIT
// bench/framework/clock.c: the window, and which clocks the proof believes.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "cpu.h"
#include "run_checks.h"
#include "scripted_ticks.h"
#include "test_platform.h"

#define PAIRS 10000u // of the proof

// Each read of the counter finds it `costs[reads / 2 % 4]` further when it closes a window; the
// window after the last pair is the straight run, which takes `straight` more.
static uint64_t now, reads, straight;
static int64_t costs[4];

static uint64_t read_ticks(void)
{
    if (reads % 2 == 1)
        now += (uint64_t)costs[reads / 2 % 4];
    if (reads == 2 * PAIRS + 1)
        now += straight;
    reads++;
    return now;
}

// The platform's clock: a millisecond each time it is asked, in which the counter takes
// `ticks_a_millisecond`.
static uint64_t nanoseconds, ticks_a_millisecond;

static uint64_t read_nanoseconds(void)
{
    nanoseconds += 1000000;
    now += ticks_a_millisecond;
    return nanoseconds;
}

static struct clock proven;
static char why[512];

static bool prove(enum platform_clock class, uint64_t hz)
{
    test_clock_class = class;
    test_clock_hz = hz;
    test_clock_ns = read_nanoseconds;
    scripted_ticks_set(read_ticks);
    const bool believed = clock_prove(&proven, why, sizeof(why));
    scripted_ticks_set(NULL);
    return believed;
}

static void set_up(void)
{
    now = 1u << 20;
    reads = nanoseconds = 0;
    straight = 100;
    ticks_a_millisecond = 1000000;
    for (unsigned i = 0; i < 4; i++)
        costs[i] = 24;
    memset(why, 0, sizeof(why));
}

static void says(const char *words)
{
    ck_assert_msg(strstr(why, words) != NULL, "%s", why);
    ck_assert_msg(strncmp(why, "clock proof failed: ", 20) == 0, "%s", why);
}

// ---- windows ------------------------------------------------------------------------------------

static uint64_t body_that_takes_500(void *context, uint64_t operations)
{
    now += 500;
    return *(uint64_t *)context + operations;
}

START_TEST(a_window_is_the_body_and_one_pair_of_reads)
{
    const struct clock clock = {.ordered_stop = _i == 1};
    uint64_t context = 40;
    const uint64_t ordered = scripted_ticks_ordered;
    scripted_ticks_set(read_ticks);
    const struct window window = clock_window(&clock, body_that_takes_500, &context, 2);
    scripted_ticks_set(NULL);
    ck_assert_uint_eq(window.ticks, 524);
    ck_assert_uint_eq(window.checksum, 42);
    ck_assert_uint_eq(reads, 2);
    // RDTSCP only where the CPU has it.
    ck_assert_uint_eq(scripted_ticks_ordered - ordered, (uint64_t)_i);
}
END_TEST

// ---- any class ----------------------------------------------------------------------------------

START_TEST(the_overhead_is_the_shortest_of_all_pairs)
{
    const int64_t uneven[] = {60, 24, 36, 84};
    memcpy(costs, uneven, sizeof(costs));
    ck_assert(prove(PLATFORM_CLOCK_EMULATED, 0));
    ck_assert_uint_eq(proven.pair_min, 24);
    ck_assert_uint_eq(proven.pair_max, 84);
    ck_assert_uint_eq(proven.step, 12);
    ck_assert_uint_eq(proven.negative, 0);
    ck_assert_uint_eq(reads, 2 * PAIRS + 2); // and those that measure the frequency
}
END_TEST

// It only limits how long a benchmark takes: without a second source there is no limit, and a run.
START_TEST(an_emulated_clock_s_frequency_is_measured_where_it_can_be)
{
    ticks_a_millisecond = 2500000;
    ck_assert(prove(PLATFORM_CLOCK_EMULATED, 0));
    ck_assert_uint_eq(proven.hz_measured / 1000000, 2500);
    ck_assert_uint_eq(clock_hz(&proven), proven.hz_measured);
    test_clock_stopped = true;
    ck_assert(prove(PLATFORM_CLOCK_EMULATED, 0));
    test_clock_stopped = false;
    ck_assert_uint_eq(clock_hz(&proven), 0);
}
END_TEST

static const enum platform_clock classes[] = {PLATFORM_CLOCK_TSC, PLATFORM_CLOCK_INSN,
                                              PLATFORM_CLOCK_EMULATED};

START_TEST(a_counter_that_runs_backwards_is_refused_whatever_its_class)
{
    costs[2] = -1;
    ck_assert(!prove(classes[_i], 1000000000));
    says("2500 of 10000 pairs ran backwards");
    ck_assert_uint_eq(proven.negative, 2500);
    ck_assert_uint_eq(proven.pair_max, 24);
}
END_TEST

// ---- instructions -------------------------------------------------------------------------------

START_TEST(a_counter_of_instructions_is_believed)
{
    ck_assert_msg(prove(PLATFORM_CLOCK_INSN, 0), "%s", why);
    ck_assert_uint_eq(proven.straight, 100);
    ck_assert_uint_eq(proven.pair_min, 24);
}
END_TEST

START_TEST(a_hundred_instructions_that_read_anything_else_are_refused)
{
    static const uint64_t wrong[] = {0, 99, 101, 124};
    straight = wrong[_i];
    ck_assert(!prove(PLATFORM_CLOCK_INSN, 0));
    says("does not count instructions");
}
END_TEST

START_TEST(pairs_of_different_length_do_not_count_instructions)
{
    costs[3] = 25;
    ck_assert(!prove(PLATFORM_CLOCK_INSN, 0));
    says("an empty pair reads 24 to 25");
}
END_TEST

START_TEST(this_machine_s_own_counter_does_not_count_instructions)
{
    test_clock_class = PLATFORM_CLOCK_INSN;
    ck_assert(!clock_prove(&proven, why, sizeof(why)));
}
END_TEST

// ---- ticks --------------------------------------------------------------------------------------

// What the CPU says about itself cannot be scripted: on one without an invariant counter the class
// is refused for that and nothing else.
static bool invariant(void)
{
    if (cpu_has_invariant_ticks())
        return true;
    ck_assert(!prove(PLATFORM_CLOCK_TSC, 1000000000));
    says("no invariant time stamp counter");
    return false;
}

START_TEST(two_sources_that_agree_on_the_frequency_are_believed)
{
    static const uint64_t agree[] = {1000000, 996000, 1004000};
    if (!invariant())
        return;
    straight = 0;
    ticks_a_millisecond = agree[_i];
    ck_assert_msg(prove(PLATFORM_CLOCK_TSC, 1000000000), "%s", why);
    // The pair of reads around the 50 ms takes 24 ticks itself.
    ck_assert_uint_eq(proven.hz_measured, agree[_i] * 1000 + 24 * 20);
    ck_assert_uint_eq(proven.hz, 1000000000);
    ck_assert_uint_ge(nanoseconds, 51000000); // 50 ms, and the first look
}
END_TEST

START_TEST(two_sources_that_are_more_than_half_a_percent_apart_are_refused)
{
    static const uint64_t apart[] = {994000, 1006000, 500000, 2000000};
    if (!invariant())
        return;
    ticks_a_millisecond = apart[_i];
    ck_assert(!prove(PLATFORM_CLOCK_TSC, 1000000000));
    says("the frequency is 1000000000 Hz and ");
}
END_TEST

START_TEST(a_frequency_from_one_source_only_is_refused)
{
    if (!invariant())
        return;
    test_clock_stopped = _i == 1;
    ck_assert(!prove(PLATFORM_CLOCK_TSC, _i == 1 ? 1000000000 : 0));
    test_clock_stopped = false;
    says("known from one source only");
}
END_TEST

START_TEST(a_trapped_counter_is_refused)
{
    if (!invariant())
        return;
    for (unsigned i = 0; i < 4; i++)
        costs[i] = 200 + _i;
    ck_assert_int_eq(prove(PLATFORM_CLOCK_TSC, 1000000000), _i == 0);
    if (_i == 1)
        says("an empty pair takes 201 ticks; RDTSC is trapped here");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("clock");
    TCase *tests = tcase_create("windows and proof");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, NULL);
    tcase_add_loop_test(tests, a_window_is_the_body_and_one_pair_of_reads, 0, 2);
    tcase_add_test(tests, the_overhead_is_the_shortest_of_all_pairs);
    tcase_add_test(tests, an_emulated_clock_s_frequency_is_measured_where_it_can_be);
    tcase_add_loop_test(tests, a_counter_that_runs_backwards_is_refused_whatever_its_class, 0, 3);
    tcase_add_test(tests, a_counter_of_instructions_is_believed);
    tcase_add_loop_test(tests, a_hundred_instructions_that_read_anything_else_are_refused, 0, 4);
    tcase_add_test(tests, pairs_of_different_length_do_not_count_instructions);
    tcase_add_test(tests, this_machine_s_own_counter_does_not_count_instructions);
    tcase_add_loop_test(tests, two_sources_that_agree_on_the_frequency_are_believed, 0, 3);
    tcase_add_loop_test(tests, two_sources_that_are_more_than_half_a_percent_apart_are_refused, 0,
                        4);
    tcase_add_loop_test(tests, a_frequency_from_one_source_only_is_refused, 0, 2);
    tcase_add_loop_test(tests, a_trapped_counter_is_refused, 0, 2);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
