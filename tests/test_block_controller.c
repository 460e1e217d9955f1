// SPDX-License-Identifier: MIT
// The adaptive controller over loads whose times are made up: no clock runs.
#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "block_controller.h"
#include "run_checks.h"
#include "seed.h"

#define HZ     UINT64_C(2500000000)
#define SECOND HZ

static struct block_controller fresh(uint64_t now)
{
    struct block_controller controller;
    block_controller_init(&controller, now, HZ, BLOCK_RATE_LOW, BLOCK_RATE_HIGH);
    return controller;
}

static struct block_controller_statistics statistics_of(const struct block_controller *controller,
                                                        uint64_t now)
{
    struct block_controller_statistics statistics;
    block_controller_statistics(controller, now, &statistics);
    return statistics;
}

enum arrivals { EVENLY, AT_RANDOM, IN_BURSTS, ARRIVALS };

// Time between an operation and the next at so many a second.
static uint64_t gap(struct random *random, enum arrivals arrivals, uint64_t rate, uint64_t number)
{
    if (arrivals == EVENLY)
        return SECOND / rate;
    if (arrivals == IN_BURSTS) // of eight
        return number % 8 == 0 ? 8 * SECOND / rate : 0;
    const double uniform = ((double)(random_u64(random) >> 11) + 0.5) / 9007199254740992.0;
    return (uint64_t)(-log(uniform) * (double)SECOND / (double)rate);
}

// Lets the load run for so many seconds; the time it ends.
static uint64_t run(struct block_controller *controller, struct random *random,
                    enum arrivals arrivals, uint64_t rate, uint64_t seconds, uint64_t now)
{
    const uint64_t end = now + seconds * SECOND;
    for (uint64_t number = 0; now < end; number++) {
        block_controller_record(controller, now, false);
        now += gap(random, arrivals, rate, number);
    }
    return now;
}

START_TEST(modes_rank_by_how_soon_they_answer)
{
    ck_assert_uint_gt(block_mode_priority(BLOCK_POLLING), block_mode_priority(BLOCK_HYBRID));
    ck_assert_uint_gt(block_mode_priority(BLOCK_HYBRID), block_mode_priority(BLOCK_INTERRUPT));
    ck_assert_uint_gt(block_mode_priority(BLOCK_INTERRUPT), block_mode_priority(BLOCK_BATCH));
    ck_assert_str_eq(block_mode_name(BLOCK_INTERRUPT), "interrupt");
    ck_assert_str_eq(block_mode_name(BLOCK_POLLING), "polling");
    ck_assert_str_eq(block_mode_name(BLOCK_HYBRID), "hybrid");
    ck_assert_str_eq(block_mode_name(BLOCK_BATCH), "batch");
}
END_TEST

START_TEST(a_fresh_controller_is_in_mode_interrupt_and_has_counted_nothing)
{
    const struct block_controller controller = fresh(77);
    const struct block_controller_statistics zero = {0};
    const struct block_controller_statistics statistics = statistics_of(&controller, 77);
    ck_assert_int_eq(controller.mode, BLOCK_INTERRUPT);
    ck_assert_mem_eq(&statistics, &zero, sizeof(zero));
    ck_assert_uint_eq(block_controller_rate(&controller, 77), 0);
    ck_assert_uint_eq(block_controller_rate(&controller, 77 + 10 * SECOND), 0);
}
END_TEST

START_TEST(an_operation_is_recorded_in_the_mode_it_came_in)
{
    struct block_controller controller = fresh(0);
    controller.fixed = true;
    for (unsigned i = 0; i < 3; i++)
        block_controller_record(&controller, 10 * i, false);
    block_controller_switch(&controller, BLOCK_POLLING, 100);
    for (unsigned i = 0; i < 5; i++)
        block_controller_record(&controller, 100 + i, false);
    const struct block_controller_statistics statistics = statistics_of(&controller, 150);
    ck_assert_uint_eq(statistics.operations, 8);
    ck_assert_uint_eq(statistics.operations_in[BLOCK_INTERRUPT], 3);
    ck_assert_uint_eq(statistics.operations_in[BLOCK_POLLING], 5);
}
END_TEST

START_TEST(statistics_tell_time_in_each_mode_switches_and_ticks)
{
    struct block_controller controller = fresh(1000);
    controller.fixed = true;
    block_controller_switch(&controller, BLOCK_POLLING, 1300);
    block_controller_switch(&controller, BLOCK_POLLING, 1350); // no other: no switch
    block_controller_switch(&controller, BLOCK_HYBRID, 2000);
    block_controller_spend(&controller, 40);
    block_controller_spend(&controller, 2);
    const struct block_controller_statistics statistics = statistics_of(&controller, 2500);
    ck_assert_uint_eq(statistics.ticks_in[BLOCK_INTERRUPT], 300);
    ck_assert_uint_eq(statistics.ticks_in[BLOCK_POLLING], 700);
    ck_assert_uint_eq(statistics.ticks_in[BLOCK_HYBRID], 500);
    ck_assert_uint_eq(statistics.ticks_in[BLOCK_BATCH], 0);
    ck_assert_uint_eq(statistics.switches, 2);
    ck_assert_uint_eq(statistics.spent_ticks, 42);
}
END_TEST

// The middle of each mode's range and what stands next to its ends, in three kinds of arrivals.
START_TEST(each_constant_load_gets_its_mode)
{
    static const struct {
        uint64_t rate;
        enum block_mode mode;
    } loads[] = {
        {1, BLOCK_INTERRUPT},   {100, BLOCK_INTERRUPT}, {600, BLOCK_INTERRUPT},
        {850, BLOCK_INTERRUPT}, {1150, BLOCK_HYBRID},   {2000, BLOCK_HYBRID},
        {5000, BLOCK_HYBRID},   {9000, BLOCK_HYBRID},   {10500, BLOCK_POLLING},
        {20000, BLOCK_POLLING}, {50000, BLOCK_POLLING}, {200000, BLOCK_POLLING},
    };
    struct random random = seeded_for(__func__);
    const size_t number = (size_t)_i / ARRIVALS;
    const enum arrivals arrivals = (enum arrivals)(_i % ARRIVALS);
    // From nothing, and from either side.
    for (uint64_t before = 0; before < 3; before++) {
        struct block_controller controller = fresh(12345);
        uint64_t now = 12345;
        if (before > 0)
            now = run(&controller, &random, arrivals, before == 1 ? 30 : 30000, 2, now);
        now = run(&controller, &random, arrivals, loads[number].rate, 12, now);
        ck_assert_int_eq(controller.mode, loads[number].mode);
        const uint64_t switches = statistics_of(&controller, now).switches;
        now = run(&controller, &random, arrivals, loads[number].rate, 10, now);
        ck_assert_uint_eq(statistics_of(&controller, now).switches, switches);
    }
}
END_TEST

START_TEST(a_load_at_a_threshold_does_not_flap)
{
    static const uint64_t thresholds[] = {BLOCK_RATE_LOW, BLOCK_RATE_HIGH};
    struct random random = seeded_for(__func__);
    const uint64_t rate = thresholds[_i / ARRIVALS];
    const enum arrivals arrivals = (enum arrivals)(_i % ARRIVALS);
    const uint64_t seconds = rate == BLOCK_RATE_LOW ? 300 : 60;
    struct block_controller controller = fresh(0);
    const uint64_t now = run(&controller, &random, arrivals, rate, seconds, 0);
    // Up to where it belongs, once over the threshold, and perhaps back while it has seen little.
    ck_assert_uint_le(statistics_of(&controller, now).switches, 3);
    ck_assert_uint_le(statistics_of(&controller, now).decisions, 10 * (seconds + 1));
}
END_TEST

START_TEST(three_phases_switch_automatically_within_a_second_each)
{
    static const struct {
        uint64_t rate;
        enum block_mode mode;
    } phases[] = {{100, BLOCK_INTERRUPT},
                  {5000, BLOCK_HYBRID},
                  {50000, BLOCK_POLLING},
                  {5000, BLOCK_HYBRID},
                  {100, BLOCK_INTERRUPT}};
    struct random random = seeded_for(__func__);
    struct block_controller controller = fresh(0);
    uint64_t now = 0;
    for (size_t i = 0; i < ARRAY_COUNT(phases); i++) {
        now = run(&controller, &random, AT_RANDOM, phases[i].rate, 1, now);
        // The window is full of it, but for the bucket that has not ended.
        now = run(&controller, &random, AT_RANDOM, phases[i].rate, 1, now);
        ck_assert_int_eq(controller.mode, phases[i].mode);
        now = run(&controller, &random, AT_RANDOM, phases[i].rate, 3, now);
        ck_assert_int_eq(controller.mode, phases[i].mode);
    }
    const struct block_controller_statistics statistics = statistics_of(&controller, now);
    // Through hybrid at most, where a phase comes in over a second.
    ck_assert_uint_ge(statistics.switches, 4);
    ck_assert_uint_le(statistics.switches, 6);
    uint64_t ticks = 0, operations = 0;
    for (unsigned mode = 0; mode < BLOCK_MODES; mode++) {
        ticks += statistics.ticks_in[mode];
        operations += statistics.operations_in[mode];
    }
    ck_assert_uint_eq(ticks, now);
    ck_assert_uint_eq(operations, statistics.operations);
}
END_TEST

// Beside the times of all operations, from which the rate can be told exactly.
START_TEST(the_rate_is_that_of_the_last_second)
{
    struct random random = seeded_for(__func__);
    static uint64_t times[200000];
    size_t count = 0;
    struct block_controller controller = fresh(0);
    uint64_t now = 0;
    for (unsigned phase = 0; phase < 30; phase++) {
        const uint64_t rate = 1 + random_below(&random, 20000);
        const uint64_t end = now + random_below(&random, SECOND / 2);
        for (; now < end && count < ARRAY_COUNT(times); now += gap(&random, EVENLY, rate, 0)) {
            block_controller_record(&controller, now, false);
            times[count++] = now;
        }
        if (random_below(&random, 4) == 0)
            now += random_below(&random, 3 * SECOND);
        if (now < SECOND)
            continue;
        size_t in_window = 0, in_bucket = 0;
        for (size_t i = 0; i < count; i++) {
            in_window += times[i] > now - SECOND;
            // Of the oldest bucket only a share counts, so that many may be wrong.
            in_bucket += times[i] > now - SECOND - SECOND / 10 && times[i] <= now - SECOND * 9 / 10;
        }
        const uint64_t measured = block_controller_rate(&controller, now);
        // And what is lost in fractions.
        const uint64_t wrong = in_bucket + 2 + in_window / 1024;
        ck_assert_uint_le(measured, in_window + wrong);
        ck_assert_uint_ge(measured + wrong, in_window);
    }
}
END_TEST

START_TEST(a_long_pause_costs_one_decision_and_ends_in_mode_interrupt)
{
    struct random random = seeded_for(__func__);
    struct block_controller controller = fresh(0);
    uint64_t now = run(&controller, &random, EVENLY, 50000, 2, 0);
    ck_assert_int_eq(controller.mode, BLOCK_POLLING);
    const uint64_t decisions = statistics_of(&controller, now).decisions;
    now += UINT64_C(1) << 62; // 58 years
    ck_assert_int_eq(block_controller_turn(&controller, now), BLOCK_INTERRUPT);
    ck_assert_uint_eq(statistics_of(&controller, now).decisions, decisions + 1);
    ck_assert_uint_eq(block_controller_rate(&controller, now), 0);
}
END_TEST

START_TEST(time_that_goes_backwards_changes_nothing)
{
    struct block_controller controller = fresh(10 * SECOND);
    block_controller_switch(&controller, BLOCK_POLLING, 5 * SECOND);
    ck_assert_int_eq(block_controller_record(&controller, 3 * SECOND, false), BLOCK_POLLING);
    const struct block_controller_statistics statistics = statistics_of(&controller, SECOND);
    for (unsigned mode = 0; mode < BLOCK_MODES; mode++)
        ck_assert_uint_eq(statistics.ticks_in[mode], 0);
    ck_assert_uint_eq(block_controller_rate(&controller, SECOND), 10);
}
END_TEST

START_TEST(mergeable_operations_are_batched_until_they_are_few)
{
    struct block_controller controller = fresh(0);
    uint64_t now = 0;
    for (unsigned i = 0; i < 4000; i++, now += SECOND / 2000)
        block_controller_record(&controller, now, i % 4 != 0);
    ck_assert_int_eq(controller.mode, BLOCK_BATCH);
    // Less than half, more than three eighths: it stays.
    for (unsigned i = 0; i < 4000; i++, now += SECOND / 2000)
        block_controller_record(&controller, now, i % 16 < 7);
    ck_assert_int_eq(controller.mode, BLOCK_BATCH);
    for (unsigned i = 0; i < 4000; i++, now += SECOND / 2000)
        block_controller_record(&controller, now, i % 4 == 0);
    ck_assert_int_eq(controller.mode, BLOCK_HYBRID);
    ck_assert_uint_eq(statistics_of(&controller, now).switches, 2);
}
END_TEST

START_TEST(a_few_mergeable_operations_are_no_reason_to_batch)
{
    struct block_controller controller = fresh(0);
    for (unsigned i = 0; i < 60; i++)
        block_controller_record(&controller, i * (SECOND / 10), true);
    ck_assert_int_eq(controller.mode, BLOCK_INTERRUPT);
}
END_TEST

START_TEST(a_fixed_mode_stays_whatever_the_load)
{
    struct random random = seeded_for(__func__);
    struct block_controller controller = fresh(0);
    controller.fixed = true;
    const uint64_t now = run(&controller, &random, EVENLY, 50000, 3, 0);
    ck_assert_int_eq(controller.mode, BLOCK_INTERRUPT);
    ck_assert_uint_eq(statistics_of(&controller, now).decisions, 0);
}
END_TEST

START_TEST(a_clock_that_stands_still_panics)
{
    struct block_controller controller;
    block_controller_init(&controller, 0, 999, BLOCK_RATE_LOW, BLOCK_RATE_HIGH);
}
END_TEST

START_TEST(thresholds_the_wrong_way_round_panic)
{
    struct block_controller controller;
    block_controller_init(&controller, 0, HZ, BLOCK_RATE_HIGH, BLOCK_RATE_LOW);
}
END_TEST

START_TEST(a_mode_that_is_none_panics)
{
    block_mode_name(BLOCK_MODES);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("block_controller");
    TCase *all = tcase_create("controller");
    tcase_set_timeout(all, 60);
    suite_add_tcase(suite, all);
    tcase_add_test(all, modes_rank_by_how_soon_they_answer);
    tcase_add_test(all, a_fresh_controller_is_in_mode_interrupt_and_has_counted_nothing);
    tcase_add_test(all, an_operation_is_recorded_in_the_mode_it_came_in);
    tcase_add_test(all, statistics_tell_time_in_each_mode_switches_and_ticks);
    tcase_add_loop_test(all, each_constant_load_gets_its_mode, 0, 12 * ARRIVALS);
    tcase_add_loop_test(all, a_load_at_a_threshold_does_not_flap, 0, 2 * ARRIVALS);
    tcase_add_test(all, three_phases_switch_automatically_within_a_second_each);
    tcase_add_test(all, the_rate_is_that_of_the_last_second);
    tcase_add_test(all, a_long_pause_costs_one_decision_and_ends_in_mode_interrupt);
    tcase_add_test(all, time_that_goes_backwards_changes_nothing);
    tcase_add_test(all, mergeable_operations_are_batched_until_they_are_few);
    tcase_add_test(all, a_few_mergeable_operations_are_no_reason_to_batch);
    tcase_add_test(all, a_fixed_mode_stays_whatever_the_load);
    tcase_add_test_raise_signal(all, a_clock_that_stands_still_panics, SIGABRT);
    tcase_add_test_raise_signal(all, thresholds_the_wrong_way_round_panic, SIGABRT);
    tcase_add_test_raise_signal(all, a_mode_that_is_none_panics, SIGABRT);
    return run_checks(suite);
}
