// SPDX-License-Identifier: MIT
// bench/framework/measure.c: order, windows, overhead, calibration.
#include <check.h>
#include <stdlib.h>

#include "measure_subject.h"
#include "run_checks.h"

// ---- order --------------------------------------------------------------------------------------

START_TEST(a_round_runs_in_the_reverse_of_the_one_before)
{
    options.rounds = 2 * VARIANTS;
    options.seed = (uint64_t)_i;
    run(VARIANTS);
    ck_assert_uint_eq(prepared_count, 2 * VARIANTS * VARIANTS);
    for (unsigned round = 0; round < options.rounds; round += 2)
        for (unsigned i = 0; i < VARIANTS; i++)
            ck_assert_int_eq(prepared[round * VARIANTS + i],
                             prepared[(round + 2) * VARIANTS - 1 - i]);
}
END_TEST

START_TEST(each_variant_stands_at_each_place_equally_often)
{
    unsigned stood[VARIANTS][VARIANTS] = {0};
    options.rounds = 2 * VARIANTS;
    options.seed = (uint64_t)_i;
    run(VARIANTS);
    for (unsigned i = 0; i < 2 * VARIANTS * VARIANTS; i++)
        stood[prepared[i] - 'A'][i % VARIANTS]++;
    for (unsigned i = 0; i < VARIANTS * VARIANTS; i++)
        ck_assert_uint_eq(stood[i / VARIANTS][i % VARIANTS], 2);
}
END_TEST

START_TEST(the_seed_decides_who_is_first)
{
    unsigned first[VARIANTS] = {0};
    options.rounds = 1;
    for (options.seed = 0; options.seed < 60; options.seed++) {
        prepared_count = 0;
        run(VARIANTS);
        ck_assert_uint_eq(seeds[0], options.seed);
        first[prepared[0] - 'A']++;
    }
    for (unsigned i = 0; i < VARIANTS; i++)
        ck_assert_uint_gt(first[i], 0);
}
END_TEST

// Where each variant's memory was, over a full turn: on sampled clocks everybody was everywhere,
// on exact ones everybody stays.
START_TEST(memories_take_turns_where_samples_have_noise)
{
    if (_i == 1)
        sampled();
    options.rounds = VARIANTS;
    options.samples = 1;
    run(VARIANTS);
    const size_t start = _i == 1 ? VARIANTS : 0; // behind those of the calibration
    ck_assert_uint_eq(prepared_count, start + VARIANTS * VARIANTS);
    for (size_t a = start; a < prepared_count; a++)
        for (size_t b = start; b < a; b++) {
            if (prepared[a] == prepared[b])
                ck_assert_int_eq(places[a] == places[b], _i == 0);
            else if (a / VARIANTS == b / VARIANTS)
                ck_assert_ptr_ne(places[a], places[b]);
        }
}
END_TEST

// ---- windows ------------------------------------------------------------------------------------

START_TEST(a_sample_is_its_window_less_the_overhead)
{
    static const uint64_t overheads[] = {PAIR, 0, 20, 80};
    if (_i >= 4)
        sampled();
    fake_clock.pair_min = overheads[_i % 4];
    options.rounds = 2;
    options.samples = 5;
    scripts[1].each = 33;
    run(2);
    for (unsigned row = 0; row < 2; row++) {
        const int64_t ticks = (row == 0 ? 80 : 264) + (int64_t)PAIR - (int64_t)overheads[_i % 4];
        for (unsigned round = 0; round < 2; round++) {
            const struct reported got = round_of(row, round);
            ck_assert_int_eq(got.overhead, (int64_t)overheads[_i % 4]);
            ck_assert_uint_eq(got.count, 5);
            ck_assert_int_eq(got.cold, ticks);
            for (unsigned i = 0; i < 5; i++)
                ck_assert_int_eq(got.samples[i], ticks);
        }
        ended(row, RECORD_ROW_OK, "");
    }
}
END_TEST

START_TEST(a_sample_is_what_the_body_says_of_its_window_with_nothing_subtracted)
{
    if (_i == 1)
        sampled();
    suite.ticks = said_ticks;
    options.rounds = 2;
    options.samples = 5;
    run(2);
    for (unsigned row = 0; row < 2; row++) {
        const struct reported got = round_of(row, 1);
        ck_assert_int_eq(got.cold, row == 0 ? 80 : 33);
        for (unsigned i = 0; i < 5; i++)
            ck_assert_int_eq(got.samples[i], row == 0 ? 80 : 33);
        ended(row, RECORD_ROW_OK, "");
    }
}
END_TEST

START_TEST(a_part_of_a_window_in_which_the_work_cannot_be_done_was_no_work)
{
    suite.ticks = said_ticks;
    cases[1].least_instructions = 5; // 8 operations
    run(2);
    ended(0, RECORD_ROW_OK, "");
    ended(1, RECORD_ROW_DELETED, "33");
}
END_TEST

START_TEST(the_first_window_is_cold_and_the_next_two_warm_up)
{
    scripts[0].cold = 5000;
    scripts[0].warming = 300;
    options.rounds = 3;
    run(1);
    for (unsigned round = 0; round < 3; round++) {
        const struct reported got = round_of(0, round);
        ck_assert_int_eq(got.cold, 5080);
        ck_assert_uint_eq(got.count, 3); // samples_exact
        for (unsigned i = 0; i < 3; i++)
            ck_assert_int_eq(got.samples[i], 80);
    }
    ck_assert_uint_eq(window_count, 3 * (1 + 2 + 3));
    ck_assert_uint_eq(scripts[0].before, window_count);
    ck_assert_uint_eq(scripts[0].checked, 3);
}
END_TEST

START_TEST(a_case_whose_windows_take_long_is_warmed_up_by_the_cold_one_alone)
{
    scripts[0].cold = 5000;
    options.rounds = 3;
    cases[1].samples_exact = 0;
    run(1);
    for (unsigned round = 0; round < 3; round++) {
        const struct reported got = round_of(0, round);
        ck_assert_int_eq(got.cold, 5080);
        ck_assert_uint_eq(got.count, 1);
        ck_assert_int_eq(got.samples[0], 80 + (int64_t)scripts[0].warming);
    }
    ck_assert_uint_eq(window_count, 3 * (1 + 1));
}
END_TEST

START_TEST(smoke_runs_each_body_twice_and_calibrates_nothing)
{
    sampled();
    cases[1].fixed = false;
    options.smoke = true;
    options.rounds = options.samples = 9;
    run(2);
    ck_assert_uint_eq(window_count, 4);
    ck_assert_uint_eq(round_of(1, 0).operations, 8);
    ck_assert_uint_eq(round_of(1, 0).count, 1);
    ck_assert_uint_eq(count_of(RECORD_SAMPLES, 1), 1);
}
END_TEST

// ---- how much -----------------------------------------------------------------------------------

START_TEST(operations_double_until_the_fastest_window_is_a_hundred_times_the_timer)
{
    const unsigned fast = (unsigned)_i;
    sampled();
    cases[1].fixed = false;
    options.samples = options.rounds = 2;
    for (unsigned i = 0; i < VARIANTS; i++)
        scripts[i].each = i == fast ? 1 : 4;
    run(VARIANTS);
    // 100 * 24 = 2400 ticks: 2048 operations of one tick are too few.
    for (unsigned i = 0; i < VARIANTS; i++) {
        ck_assert_uint_eq(rows[i].operations, 4096);
        ck_assert_uint_eq(round_of(i, 0).operations, 4096);
        ck_assert_int_eq(round_of(i, 1).samples[1], i == fast ? 4096 : 4 * 4096);
    }
}
END_TEST

START_TEST(a_hiccup_does_not_stop_the_doubling)
{
    sampled();
    cases[1].fixed = false;
    scripts[0].each = 1;
    scripts[0].hiccup = 1u << 20;
    run(1);
    ck_assert_uint_eq(rows[0].operations, 4096);
}
END_TEST

START_TEST(a_body_that_takes_no_time_gets_a_million_operations_and_no_more)
{
    sampled();
    cases[1].fixed = false;
    scripts[0].each = 0;
    run(1);
    ck_assert_uint_eq(rows[0].operations, 1u << 20);
}
END_TEST

START_TEST(fixed_windows_and_exact_clocks_keep_their_operations)
{
    sampled();
    if (_i == 1) {
        fake_clock.class = PLATFORM_CLOCK_INSN;
        cases[1].fixed = false;
    }
    scripts[0].each = 1;
    run(1);
    ck_assert_uint_eq(rows[0].operations, 8);
    ck_assert_uint_eq(round_of(0, 0).operations, 8);
    for (size_t i = 0; i < window_count; i++)
        ck_assert_uint_eq(window_operations[i], 8);
}
END_TEST

// Ticks of the slowest window, options, windows a round. A round has 50 ms, 50 000 000 ticks.
static const struct {
    uint64_t ticks, samples;
    bool full;
    enum platform_clock class;
    uint64_t hz, windows, hz_measured;
} budgets[] = {
    {1000000, 0, false, PLATFORM_CLOCK_TSC, 1000000000, 50, 0},
    {2000000, 0, false, PLATFORM_CLOCK_TSC, 1000000000, 25, 0},
    {2000000, 0, false, PLATFORM_CLOCK_TSC, 2000000000, 50, 0},
    {900000000, 0, false, PLATFORM_CLOCK_TSC, 1000000000, 10, 0},
    {900000000, 40, false, PLATFORM_CLOCK_TSC, 1000000000, 40, 0},
    {900000000, 0, true, PLATFORM_CLOCK_TSC, 1000000000, 50, 0},
    {900000000, 0, false, PLATFORM_CLOCK_INSN, 1000000000, 3, 0},
    {900000000, 0, true, PLATFORM_CLOCK_INSN, 1000000000, 12, 0},
    {900000000, 0, false, PLATFORM_CLOCK_TSC, 0, 50, 0},
    {1000000, 0, false, PLATFORM_CLOCK_EMULATED, 0, 20, 1000000000},
    {4000000, 0, false, PLATFORM_CLOCK_EMULATED, 0, 12, 1000000000},
    {900000000, 0, false, PLATFORM_CLOCK_EMULATED, 0, 5, 1000000000},
    {900000000, 0, false, PLATFORM_CLOCK_EMULATED, 0, 20, 0},
    {900000000, 0, true, PLATFORM_CLOCK_EMULATED, 0, 50, 1000000000},
};

START_TEST(a_slow_variant_shortens_everybody_s_rounds_on_sampled_clocks)
{
    sampled();
    fake_clock.class = budgets[_i].class;
    fake_clock.hz = budgets[_i].hz;
    fake_clock.hz_measured = budgets[_i].hz_measured;
    options.samples = budgets[_i].samples;
    options.full = budgets[_i].full;
    options.rounds = 2;
    scripts[1].each = budgets[_i].ticks / 8;
    run(VARIANTS);
    for (unsigned i = 0; i < VARIANTS; i++)
        ck_assert_uint_eq(round_of(i, 1).count, budgets[_i].windows);
}
END_TEST

START_TEST(rounds_follow_the_clock_unless_they_are_asked_for)
{
    ck_assert_uint_eq(measure_rounds(&options, &fake_clock), 2);
    options.full = true;
    ck_assert_uint_eq(measure_rounds(&options, &fake_clock), 2);
    fake_clock.class = PLATFORM_CLOCK_TSC;
    ck_assert_uint_eq(measure_rounds(&options, &fake_clock), 40);
    options.full = false;
    ck_assert_uint_eq(measure_rounds(&options, &fake_clock), 20);
    fake_clock.class = PLATFORM_CLOCK_EMULATED;
    ck_assert_uint_eq(measure_rounds(&options, &fake_clock), 2);
    options.full = true;
    ck_assert_uint_eq(measure_rounds(&options, &fake_clock), 20);
    options.full = false;
    options.rounds = 7;
    ck_assert_uint_eq(measure_rounds(&options, &fake_clock), 7);
    options.smoke = true;
    ck_assert_uint_eq(measure_rounds(&options, &fake_clock), 1);
    ck_assert_uint_eq(measure_samples(&options, &fake_clock, &cases[1]), 1);
}
END_TEST

// Windows that wait for other CPUs are few where these are emulated; a case that is about its tail
// gets no fewer than it wants on any clock.
START_TEST(windows_follow_the_clock_and_what_the_case_is_about)
{
    static const struct {
        enum platform_clock class;
        bool full;
        uint64_t wanted, given;
    } table[] = {
        {PLATFORM_CLOCK_INSN, false, 2, 2},      {PLATFORM_CLOCK_INSN, true, 2, 8},
        {PLATFORM_CLOCK_INSN, false, 500, 500},  {PLATFORM_CLOCK_TSC, false, 1, 20},
        {PLATFORM_CLOCK_TSC, false, 500, 500},   {PLATFORM_CLOCK_TSC, false, 2, 50},
        {PLATFORM_CLOCK_TSC, true, 1, 50},       {PLATFORM_CLOCK_TSC, true, 49, 50},
        {PLATFORM_CLOCK_EMULATED, false, 1, 5},  {PLATFORM_CLOCK_EMULATED, false, 2, 20},
        {PLATFORM_CLOCK_EMULATED, true, 1, 50},  {PLATFORM_CLOCK_EMULATED, false, 500, 500},
        {PLATFORM_CLOCK_EMULATED, true, 60, 60}, {PLATFORM_CLOCK_INSN, false, 0, 1},
        {PLATFORM_CLOCK_TSC, false, 0, 2},       {PLATFORM_CLOCK_TSC, true, 0, 10},
        {PLATFORM_CLOCK_EMULATED, false, 0, 2},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        fake_clock.class = table[i].class;
        options.full = table[i].full;
        cases[1].samples_exact = table[i].wanted;
        ck_assert_uint_eq(measure_samples(&options, &fake_clock, &cases[1]), table[i].given);
    }
    options.samples = 3;
    ck_assert_uint_eq(measure_samples(&options, &fake_clock, &cases[1]), 3);
}
END_TEST

int main(void)
{
    Suite *checks = suite_create("measure");
    TCase *tests = tcase_create("the measuring loop");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, a_round_runs_in_the_reverse_of_the_one_before, 0, 5);
    tcase_add_loop_test(tests, each_variant_stands_at_each_place_equally_often, 0, 5);
    tcase_add_test(tests, the_seed_decides_who_is_first);
    tcase_add_loop_test(tests, memories_take_turns_where_samples_have_noise, 0, 2);
    tcase_add_loop_test(tests, a_sample_is_its_window_less_the_overhead, 0, 8);
    tcase_add_loop_test(tests, a_sample_is_what_the_body_says_of_its_window_with_nothing_subtracted,
                        0, 2);
    tcase_add_test(tests, a_part_of_a_window_in_which_the_work_cannot_be_done_was_no_work);
    tcase_add_test(tests, the_first_window_is_cold_and_the_next_two_warm_up);
    tcase_add_test(tests, a_case_whose_windows_take_long_is_warmed_up_by_the_cold_one_alone);
    tcase_add_test(tests, smoke_runs_each_body_twice_and_calibrates_nothing);
    tcase_add_loop_test(
        tests, operations_double_until_the_fastest_window_is_a_hundred_times_the_timer, 0, 3);
    tcase_add_test(tests, a_hiccup_does_not_stop_the_doubling);
    tcase_add_test(tests, a_body_that_takes_no_time_gets_a_million_operations_and_no_more);
    tcase_add_loop_test(tests, fixed_windows_and_exact_clocks_keep_their_operations, 0, 2);
    tcase_add_loop_test(tests, a_slow_variant_shortens_everybody_s_rounds_on_sampled_clocks, 0,
                        sizeof(budgets) / sizeof(budgets[0]));
    tcase_add_test(tests, rounds_follow_the_clock_unless_they_are_asked_for);
    tcase_add_test(tests, windows_follow_the_clock_and_what_the_case_is_about);
    suite_add_tcase(checks, tests);
    return run_checks(checks);
}
