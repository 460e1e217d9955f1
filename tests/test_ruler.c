// SPDX-License-Identifier: MIT
// kernel/hardware/ruler in a world whose time is made here: rulers that wrap, stand still, crawl,
// run backwards and jump, and interruptions of any length.
#include <check.h>
#include <signal.h>
#include <stdlib.h>

#include "compiler.h"
#include "ruler.h"
#include "run_checks.h"
#include "seed.h"

#define PS_PER_SECOND 1000000000000u
#define PS_PER_US     1000000u
#define PS_PER_MS     1000000000u
#define DIRT          0xabcd // above the bits of a counter

// One counter of the world.
struct hand {
    uint64_t hz;
    uint64_t start;   // its count at time 0
    uint32_t cost_ps; // of a read: the value is that of half of it
    unsigned bits;
    unsigned reads;
    // At read `at` (0: never), and at every `every`th from there on (0: never again):
    unsigned at, every;
    uint64_t away_ps; // the CPU is away before the read
    int64_t jump;     // the counter alone moves
    int64_t moved;
};

static struct {
    uint64_t ps;
    struct hand ruler, ticks;
} world;

static uint64_t read_hand(void *context)
{
    struct hand *hand = context;
    hand->reads++;
    const bool event = hand->at > 0 && hand->reads >= hand->at &&
                       (hand->reads == hand->at ||
                        (hand->every > 0 && (hand->reads - hand->at) % hand->every == 0));
    if (event) {
        world.ps += hand->away_ps;
        hand->moved += hand->jump;
    }
    world.ps += hand->cost_ps / 2;
    const uint64_t count =
        (uint64_t)((unsigned __int128)world.ps * hand->hz / PS_PER_SECOND) + hand->start;
    world.ps += hand->cost_ps - hand->cost_ps / 2;
    const uint64_t value = count + (uint64_t)hand->moved;
    return hand->bits == 64 ? value
                            : (value & ((1ul << hand->bits) - 1)) | (uint64_t)DIRT << hand->bits;
}

static struct ruler ruler_of_world(void)
{
    return (struct ruler){
        .counter = {.name = "world",
                    .context = &world.ruler,
                    .read = read_hand,
                    .bits = world.ruler.bits},
        .hz_numerator = world.ruler.hz,
        .hz_denominator = 1,
    };
}

static enum status run(unsigned windows, uint32_t us, struct calibration *result)
{
    const struct ruler ruler = ruler_of_world();
    const struct counter ticks = {
        .name = "ticks", .context = &world.ticks, .read = read_hand, .bits = world.ticks.bits};
    const struct calibration_plan plan = {.windows = windows, .window_us = us};
    return calibrate(&ruler, &ticks, plan, result);
}

static const struct {
    uint64_t hz;
    unsigned bits;
    uint32_t cost_ps;
} rulers[] = {
    {14318180, 64, 500000}, {100000000, 32, 70000}, {10000000, 32, 900000},
    {3579545, 24, 1000000}, {3579545, 32, 5000000}, {1193182, 16, 3000000},
};

static void set_world(unsigned ruler, uint64_t ticks_hz, unsigned ticks_bits)
{
    world.ps = 0;
    world.ruler = (struct hand){
        .hz = rulers[ruler].hz, .bits = rulers[ruler].bits, .cost_ps = rulers[ruler].cost_ps};
    world.ticks = (struct hand){.hz = ticks_hz, .bits = ticks_bits, .cost_ps = 10000};
}

static void check_result(const struct calibration *result, uint64_t hz, uint32_t error_most)
{
    const uint64_t apart = result->hz > hz ? result->hz - hz : hz - result->hz;
    ck_assert_msg((unsigned __int128)apart * 1000000 <= (unsigned __int128)hz * result->error_ppm,
                  "%lu Hz is not %lu Hz to %u ppm", (unsigned long)result->hz, (unsigned long)hz,
                  result->error_ppm);
    ck_assert_uint_le(result->error_ppm, error_most);
}

// ---- calibration --------------------------------------------------------------------------------

START_TEST(each_ruler_finds_each_frequency_within_its_error)
{
    static const uint64_t frequencies[] = {20000000, 1000000000, 2399998123, 5700000000};
    struct calibration result;
    for (unsigned i = 0; i < ARRAY_COUNT(frequencies); i++) {
        set_world((unsigned)_i, frequencies[i], 64);
        ck_assert_int_eq(run(5, 10000, &result), STATUS_OK);
        check_result(&result, frequencies[i], 800);
        ck_assert_uint_eq(result.windows, 5);
        ck_assert_str_eq(result.ruler, "world");
    }
}
END_TEST

START_TEST(counters_may_wrap_in_the_middle)
{
    struct random random = seeded_for("counters_may_wrap_in_the_middle");
    struct calibration result;
    for (unsigned i = 0; i < 40; i++) {
        set_world((unsigned)_i, 1000000000, 32);
        // A turn within the 10 ms of one of three windows.
        world.ruler.start = -random_below(&random, rulers[_i].hz * 3 / 100);
        world.ticks.start = -random_below(&random, 30000000);
        ck_assert_int_eq(run(3, 10000, &result), STATUS_OK);
        check_result(&result, 1000000000, 800);
        ck_assert_uint_eq(result.windows, 3);
    }
}
END_TEST

START_TEST(a_longer_window_is_more_exact)
{
    struct calibration brief, lengthy;
    set_world((unsigned)_i, 2400000000, 64);
    ck_assert_int_eq(run(1, 1000, &brief), STATUS_OK);
    ck_assert_int_eq(run(1, 100000, &lengthy), STATUS_OK);
    check_result(&brief, 2400000000, 10000);
    check_result(&lengthy, 2400000000, 100);
    ck_assert_uint_lt(10 * lengthy.error_ppm, brief.error_ppm);
}
END_TEST

START_TEST(a_window_costs_little_more_than_its_length)
{
    struct calibration result;
    set_world((unsigned)_i, 2400000000, 64);
    ck_assert_int_eq(run(4, 5000, &result), STATUS_OK);
    ck_assert_uint_ge(world.ps, 20ul * PS_PER_MS);
    ck_assert_uint_le(world.ps, 21ul * PS_PER_MS);
}
END_TEST

START_TEST(a_ruler_that_stands_still_ends_at_once)
{
    struct calibration result;
    set_world((unsigned)_i, 2400000000, 64);
    world.ruler.hz = 0;
    const struct ruler ruler = {
        .counter = {"still", &world.ruler, read_hand, world.ruler.bits}, 1000000, 1};
    const struct counter ticks = {"ticks", &world.ticks, read_hand, 64};
    const struct calibration_plan plan = {.windows = 5, .window_us = 10000};
    ck_assert_int_eq(calibrate(&ruler, &ticks, plan, &result), STATUS_EMPTY);
    ck_assert_uint_eq(result.hz + result.windows + result.error_ppm, 0);
    ck_assert_uint_le(world.ruler.reads, RULER_STILL_MOST + 20);
    world.ruler.reads = 0;
    ck_assert_int_eq(ruler_wait(&ruler, 10), STATUS_EMPTY);
    ck_assert_uint_le(world.ruler.reads, RULER_STILL_MOST + 20);
}
END_TEST

START_TEST(a_ruler_that_stops_in_the_middle_ends_the_call)
{
    struct calibration result;
    set_world(0, 2400000000, 64);
    world.ruler.at = 100; // from there on each read takes back what time gives
    world.ruler.every = 1;
    world.ruler.cost_ps = 1000000000000u / 14318180u; // a tick
    world.ticks.cost_ps = 0;
    world.ruler.jump = -1;
    ck_assert_int_ne(run(5, 10000, &result), STATUS_OK);
    ck_assert_uint_le(world.ruler.reads, RULER_READS_MOST + 20);
}
END_TEST

START_TEST(a_ruler_that_crawls_is_given_up)
{
    struct calibration result;
    set_world(0, 2400000000, 64);
    const struct ruler ruler = {.counter = {"crawls", &world.ruler, read_hand, 64}, 14318180, 1};
    world.ruler.hz = 1431; // a tick in 1400 reads
    const struct counter ticks = {"ticks", &world.ticks, read_hand, 64};
    const struct calibration_plan plan = {.windows = 5, .window_us = 10000};
    ck_assert_int_eq(calibrate(&ruler, &ticks, plan, &result), STATUS_FULL);
    ck_assert_uint_eq(result.hz, 0);
    ck_assert_uint_le(world.ruler.reads, 2 * RULER_READS_MOST + 20);
    world.ruler.reads = 0;
    ck_assert_int_eq(ruler_wait(&ruler, 5000), STATUS_FULL);
    ck_assert_uint_le(world.ruler.reads, RULER_READS_MOST + 20);
}
END_TEST

START_TEST(ticks_that_stand_still_are_reported)
{
    struct calibration result;
    set_world((unsigned)_i, 0, 64);
    ck_assert_int_eq(run(5, 10000, &result), STATUS_EMPTY);
    ck_assert_uint_eq(result.hz, 0);
}
END_TEST

START_TEST(a_ruler_that_runs_backwards_is_refused)
{
    struct calibration result;
    set_world((unsigned)_i, 2400000000, 64);
    world.ruler.at = 20;
    world.ruler.every = 5;
    world.ruler.jump = -100;
    ck_assert_int_eq(run(3, 1000, &result), STATUS_CORRUPT);
    ck_assert_uint_eq(result.hz, 0);
}
END_TEST

START_TEST(ticks_that_run_backwards_spoil_their_window_only)
{
    struct calibration result;
    set_world((unsigned)_i, 2400000000, 64);
    world.ticks.at = 50;
    world.ticks.jump = -1000000;
    ck_assert_int_eq(run(3, 1000, &result), STATUS_OK);
    ck_assert_uint_eq(result.windows, 2);
    check_result(&result, 2400000000, 10000);
}
END_TEST

START_TEST(a_ruler_that_jumps_in_one_window_is_outvoted)
{
    struct calibration result;
    for (unsigned at = 30; at < 2000; at += 401) {
        set_world((unsigned)_i, 2400000000, 64);
        world.ruler.at = at;
        world.ruler.jump = (int64_t)rulers[_i].hz / 1000; // 1 ms in 10
        ck_assert_int_eq(run(5, 10000, &result), STATUS_OK);
        check_result(&result, 2400000000, 800);
    }
}
END_TEST

START_TEST(ticks_that_jump_in_one_window_are_outvoted)
{
    // The window has more ticks, so its error seems less.
    struct calibration result;
    set_world((unsigned)_i, 2400000000, 64);
    world.ticks.at = 1000;
    world.ticks.jump = 5000000;
    ck_assert_int_eq(run(5, 10000, &result), STATUS_OK);
    ck_assert_uint_eq(result.windows, 5);
    check_result(&result, 2400000000, 800);
}
END_TEST

START_TEST(a_tick_of_the_ruler_counts_as_error)
{
    // Reads take no time to speak of: all the error is in where a tick of 1 us began.
    struct calibration result;
    for (unsigned i = 0; i < 20; i++) {
        set_world(0, 1000000000, 64);
        world.ruler = (struct hand){.hz = 1000000, .bits = 64, .cost_ps = 10000};
        world.ps = i * 50000;
        ck_assert_int_eq(run(1, 1000, &result), STATUS_OK);
        check_result(&result, 1000000000, 1100);
    }
}
END_TEST

START_TEST(a_count_too_large_to_scale_is_refused)
{
    struct calibration result;
    set_world(0, 1000000000, 64);
    world.ruler.hz = 10000000;
    world.ruler.at = 100;
    world.ruler.jump = 1l << 60;
    const struct ruler ruler = {
        .counter = {"jumps", &world.ruler, read_hand, 64}, 1000000000000000, 100000000};
    const struct counter ticks = {"ticks", &world.ticks, read_hand, 64};
    const struct calibration_plan plan = {.windows = 1, .window_us = 10000};
    ck_assert_int_eq(calibrate(&ruler, &ticks, plan, &result), STATUS_CORRUPT);
}
END_TEST

START_TEST(time_away_never_spoils_the_result)
{
    // Of any length, turns of the ruler included, at any read of either counter.
    struct random random = seeded_for("time_away_never_spoils_the_result");
    struct calibration result;
    unsigned good = 0;
    for (unsigned i = 0; i < 60; i++) {
        set_world((unsigned)_i, 2400000000, 64);
        struct hand *hand = random_below(&random, 2) == 0 ? &world.ruler : &world.ticks;
        hand->at = 2 + (unsigned)random_below(&random, 1500);
        hand->every = random_below(&random, 2) == 0 ? 0 : 2000;
        hand->away_ps = random_below(&random, 700ul * PS_PER_MS);
        if (run(5, 10000, &result) == STATUS_OK) {
            check_result(&result, 2400000000, 900);
            good++;
        }
    }
    ck_assert_uint_ge(good, 10); // one interruption in all spoils nothing: half the runs
}
END_TEST

START_TEST(a_turn_of_the_ruler_nobody_saw_spoils_its_window_only)
{
    static const uint64_t away_us[] = {54925, 60000, 109900, 549000};
    struct calibration result;
    for (unsigned i = 0; i < ARRAY_COUNT(away_us); i++) {
        set_world(5, 2400000000, 64); // 16 bits: 54925 us a turn
        world.ruler.at = 200;
        world.ruler.away_ps = away_us[i] * PS_PER_US;
        ck_assert_int_eq(run(2, 10000, &result), STATUS_OK);
        ck_assert_uint_eq(result.windows, 1);
        check_result(&result, 2400000000, 800);
    }
}
END_TEST

START_TEST(an_interruption_between_two_reads_widens_no_result)
{
    // In the first bracket, and in the last.
    struct calibration result;
    set_world(0, 2400000000, 64);
    ck_assert_int_eq(run(1, 10000, &result), STATUS_OK);
    const unsigned reads = world.ruler.reads;
    const uint32_t error = result.error_ppm;
    const unsigned at[] = {2, reads - 7};
    for (unsigned i = 0; i < 2; i++) {
        set_world(0, 2400000000, 64);
        world.ruler.at = at[i];
        world.ruler.away_ps = 300 * PS_PER_US;
        ck_assert_int_eq(run(1, 10000, &result), STATUS_OK);
        check_result(&result, 2400000000, error + 1);
    }
}
END_TEST

// ---- waits --------------------------------------------------------------------------------------

START_TEST(a_wait_is_as_long_as_asked_or_little_longer)
{
    static const uint32_t waits[] = {0, 1, 10, 200, 10000, 1000000};
    for (unsigned i = 0; i < ARRAY_COUNT(waits); i++) {
        set_world((unsigned)_i, 1000, 64);
        world.ruler.start = (uint64_t)-20;
        const struct ruler ruler = ruler_of_world();
        ck_assert_int_eq(ruler_wait(&ruler, waits[i]), STATUS_OK);
        ck_assert_uint_ge(world.ps, (uint64_t)waits[i] * PS_PER_US);
        ck_assert_uint_le(world.ps, (waits[i] + 16ul) * PS_PER_US);
    }
}
END_TEST

START_TEST(a_wait_that_begins_at_the_end_of_a_tick_is_no_shorter)
{
    set_world((unsigned)_i, 1000, 64);
    world.ruler.cost_ps = 1000;
    const struct ruler ruler = ruler_of_world();
    const uint64_t start = world.ps = PS_PER_SECOND / world.ruler.hz - 600;
    ck_assert_int_eq(ruler_wait(&ruler, 100), STATUS_OK);
    ck_assert_uint_ge(world.ps - start, 100ul * PS_PER_US);
}
END_TEST

START_TEST(a_step_backwards_makes_no_wait_shorter)
{
    set_world(0, 1000, 64);
    world.ruler.at = 10;
    world.ruler.every = 10;
    world.ruler.jump = -1000;
    const struct ruler ruler = ruler_of_world();
    ck_assert_int_eq(ruler_wait(&ruler, 1000), STATUS_OK);
    ck_assert_uint_ge(world.ps, 1000ul * PS_PER_US);
}
END_TEST

// ---- preconditions ------------------------------------------------------------------------------

START_TEST(a_broken_precondition_panics)
{
    struct calibration result;
    set_world(0, 1000000, 64);
    struct ruler ruler = ruler_of_world();
    switch (_i) {
    case 0:
        run(0, 1000, &result);
        break;
    case 1:
        run(RULER_WINDOWS_MOST + 1, 1000, &result);
        break;
    case 2:
        run(1, 0, &result);
        break;
    case 3:
        run(1, 1000001, &result);
        break;
    case 4:
        ruler_scale(1, 1, 0);
        break;
    case 5:
        ruler.counter.bits = 15;
        ruler_wait(&ruler, 1);
        break;
    case 6:
        ruler.counter.bits = 65;
        ruler_wait(&ruler, 1);
        break;
    case 7:
        ruler.hz_numerator = 0;
        ruler_wait(&ruler, 1);
        break;
    case 8:
        ruler.hz_denominator = 0;
        ruler_wait(&ruler, 1);
        break;
    default:
        ruler.hz_denominator = UINT64_MAX / 1000000 + 1;
        ruler_wait(&ruler, 1);
    }
}
END_TEST

#define EACH_RULER(test) tcase_add_loop_test(cases, test, 0, ARRAY_COUNT(rulers))

static Suite *suite(void)
{
    Suite *suite = suite_create("ruler");
    TCase *cases = tcase_create("ruler");
    suite_add_tcase(suite, cases);
    tcase_set_timeout(cases, 60);
    EACH_RULER(each_ruler_finds_each_frequency_within_its_error);
    EACH_RULER(counters_may_wrap_in_the_middle);
    EACH_RULER(a_longer_window_is_more_exact);
    EACH_RULER(a_window_costs_little_more_than_its_length);
    EACH_RULER(a_ruler_that_stands_still_ends_at_once);
    tcase_add_test(cases, a_ruler_that_stops_in_the_middle_ends_the_call);
    tcase_add_test(cases, a_ruler_that_crawls_is_given_up);
    EACH_RULER(ticks_that_stand_still_are_reported);
    EACH_RULER(a_ruler_that_runs_backwards_is_refused);
    EACH_RULER(ticks_that_run_backwards_spoil_their_window_only);
    EACH_RULER(a_ruler_that_jumps_in_one_window_is_outvoted);
    EACH_RULER(ticks_that_jump_in_one_window_are_outvoted);
    tcase_add_test(cases, a_tick_of_the_ruler_counts_as_error);
    tcase_add_test(cases, a_count_too_large_to_scale_is_refused);
    EACH_RULER(time_away_never_spoils_the_result);
    tcase_add_test(cases, a_turn_of_the_ruler_nobody_saw_spoils_its_window_only);
    tcase_add_test(cases, an_interruption_between_two_reads_widens_no_result);
    EACH_RULER(a_wait_is_as_long_as_asked_or_little_longer);
    EACH_RULER(a_wait_that_begins_at_the_end_of_a_tick_is_no_shorter);
    tcase_add_test(cases, a_step_backwards_makes_no_wait_shorter);
    tcase_add_loop_test_raise_signal(cases, a_broken_precondition_panics, SIGABRT, 0, 10);
    return suite;
}

int main(void)
{
    return run_checks(suite());
}
