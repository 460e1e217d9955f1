// SPDX-License-Identifier: MIT
// kernel/hardware/tsc_sync between two threads of the host. Their counters are made: one shared
// count that every read moves on, plus what the second one is off, so that results are known
// whatever the machine does. Also built with ThreadSanitizer.
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "compiler.h"
#include "ruler.h"
#include "run_checks.h"
#include "tsc_sync.h"

#define ROUNDS  2000u
#define LONG_NS 60000000000u

static struct tsc_sync sync_area;
static uint64_t shared_ticks;

struct side {
    struct tsc_sync_party party;
    int64_t offset; // of its counter
    int64_t drift;  // more of it with each read
    unsigned reads;
    unsigned looks;   // at the clock
    unsigned back_at; // the read at which it steps back by `back`, for good
    int64_t back;
    uint32_t rounds;
    enum status status;
};

static uint64_t read_shared(void *context)
{
    struct side *side = context;
    side->reads++;
    if (side->reads == side->back_at)
        side->offset -= side->back;
    side->offset += side->drift;
    // A read each tick at least; relaxed, but in one order for all.
    return __atomic_add_fetch(&shared_ticks, 1, __ATOMIC_RELAXED) + (uint64_t)side->offset;
}

static uint64_t now_ns(void *context)
{
    struct timespec now;
    ((struct side *)context)->looks++;
    clock_gettime(CLOCK_MONOTONIC, &now);
    sched_yield(); // one CPU may have both threads
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void *answer(void *context)
{
    struct side *side = context;
    side->status = tsc_sync_answer(&sync_area, &side->party, side->rounds);
    return NULL;
}

static struct side make_side(void)
{
    return (struct side){
        .party = {.ticks = read_shared, .now_ns = now_ns, .wait_most_ns = LONG_NS},
        .rounds = ROUNDS,
    };
}

static struct tsc_sync_result result;

static void measure(struct side *asks, struct side *answers)
{
    pthread_t thread;
    shared_ticks = 1000000;
    tsc_sync_init(&sync_area);
    asks->party.context = asks;
    answers->party.context = answers;
    ck_assert_int_eq(pthread_create(&thread, NULL, answer, answers), 0);
    asks->status = tsc_sync_ask(&sync_area, &asks->party, asks->rounds, &result);
    pthread_join(thread, NULL);
}

START_TEST(an_offset_lies_between_its_bounds)
{
    static const int64_t offsets[] = {0, 1, -1, 12345, -12345, 1l << 62, -(1l << 62)};
    for (unsigned i = 0; i < ARRAY_COUNT(offsets); i++) {
        struct side asks = make_side(), answers = make_side();
        answers.offset = offsets[i];
        measure(&asks, &answers);
        ck_assert_int_eq(asks.status, STATUS_OK);
        ck_assert_int_eq(answers.status, STATUS_OK);
        ck_assert_uint_eq(result.rounds, ROUNDS);
        // Only three reads happen in a round: it takes two ticks, the answer is the one between.
        ck_assert_uint_eq(result.round_trip, 2);
        ck_assert_int_eq(result.offset_low, offsets[i] - 1);
        ck_assert_int_eq(result.offset_high, offsets[i] + 1);
    }
}
END_TEST

START_TEST(counters_in_step_show_no_warp)
{
    struct side asks = make_side(), answers = make_side();
    measure(&asks, &answers);
    ck_assert_uint_eq(result.warps, 0);
    ck_assert_uint_eq(result.warp_most, 0);
}
END_TEST

START_TEST(a_counter_ahead_or_behind_warps_in_every_round)
{
    for (int64_t offset = -500; offset <= 500; offset += 1000) {
        struct side asks = make_side(), answers = make_side();
        answers.offset = offset;
        measure(&asks, &answers);
        ck_assert_uint_eq(result.warps, ROUNDS);
        ck_assert_uint_eq(result.warp_most, 499);
    }
}
END_TEST

START_TEST(offsets_within_a_round_are_no_warp)
{
    for (int64_t offset = -1; offset <= 1; offset++) {
        struct side asks = make_side(), answers = make_side();
        answers.offset = offset;
        measure(&asks, &answers);
        ck_assert_uint_eq(result.warps, 0);
        ck_assert(result.offset_low <= offset && offset <= result.offset_high);
    }
}
END_TEST

START_TEST(the_round_of_a_step_back_is_counted)
{
    // The one that asks reads twice a round: its step falls between the answer and the arrival.
    struct side asks = make_side(), answers = make_side();
    asks.back_at = 200;
    asks.back = 1;
    measure(&asks, &answers);
    ck_assert_uint_eq(result.warps, 0); // from then on the other is ahead by one: within bounds
    asks = make_side();
    answers = make_side();
    answers.back_at = ROUNDS;
    answers.back = 70;
    measure(&asks, &answers);
    ck_assert_uint_eq(result.warps, 1);
    ck_assert_uint_eq(result.warp_most, 69);
}
END_TEST

START_TEST(a_counter_that_drifts_shows_its_worst)
{
    struct side asks = make_side(), answers = make_side();
    answers.drift = 1;
    measure(&asks, &answers);
    ck_assert_uint_eq(result.warps, ROUNDS - 1);
    ck_assert_uint_eq(result.warp_most, ROUNDS - 1);
}
END_TEST

static uint64_t slow_ticks[3 * 8];
static unsigned slow_reads;

static uint64_t read_slow(void *context)
{
    (void)context;
    return slow_ticks[slow_reads++];
}

START_TEST(the_shortest_round_is_the_one_that_counts)
{
    static const uint64_t lengths[8] = {900, 300, 40, 700, 41, 60, 5000, 100};
    uint64_t now = 77;
    for (unsigned i = 0; i < 8; i++) {
        slow_ticks[3 * i] = now;
        slow_ticks[3 * i + 1] = now + lengths[i] / 4 + 3;
        slow_ticks[3 * i + 2] = now += lengths[i];
    }
    struct side asks = make_side(), answers = make_side();
    asks.rounds = answers.rounds = 8;
    asks.party.ticks = answers.party.ticks = read_slow; // in turn, as the protocol orders them
    measure(&asks, &answers);
    ck_assert_uint_eq(slow_reads, 24);
    ck_assert_uint_eq(result.round_trip, 40);
    ck_assert_int_eq(result.offset_low, -27);
    ck_assert_int_eq(result.offset_high, 13);
    ck_assert_uint_eq(result.rounds, 8);
}
END_TEST

START_TEST(the_machines_own_counters_give_bounds_that_hold)
{
    // Two threads anywhere: the offset is not known, but the bounds have their order.
    struct side asks = make_side(), answers = make_side();
    asks.party.ticks = answers.party.ticks = counter_tsc.read;
    measure(&asks, &answers);
    ck_assert_int_le(result.offset_low, result.offset_high);
    ck_assert_int_eq(asks.status, STATUS_OK);
    ck_assert_uint_gt(result.round_trip, 0);
    ck_assert_uint_eq((uint64_t)(result.offset_high - result.offset_low), result.round_trip);
}
END_TEST

// ---- one of the two is missing ------------------------------------------------------------------

START_TEST(nobody_answers)
{
    struct side asks = make_side();
    asks.party.wait_most_ns = 1000000;
    asks.party.context = &asks;
    tsc_sync_init(&sync_area);
    ck_assert_int_eq(tsc_sync_ask(&sync_area, &asks.party, 5, &result), STATUS_CLOSED);
    ck_assert_uint_eq(result.rounds, 0);
    // Who comes late does not wait at all.
    struct side answers = make_side();
    answers.party.context = &answers;
    ck_assert_int_eq(tsc_sync_answer(&sync_area, &answers.party, 5), STATUS_CLOSED);
    ck_assert_uint_eq(answers.reads, 0);
}
END_TEST

START_TEST(nobody_asks)
{
    struct side answers = make_side();
    answers.party.wait_most_ns = 1000000;
    answers.party.context = &answers;
    tsc_sync_init(&sync_area);
    ck_assert_int_eq(tsc_sync_answer(&sync_area, &answers.party, 5), STATUS_CLOSED);
    // Who comes late does not wait.
    struct side asks = make_side();
    asks.party.context = &asks;
    ck_assert_int_eq(tsc_sync_ask(&sync_area, &asks.party, 5, &result), STATUS_CLOSED);
    ck_assert_uint_eq(result.rounds, 0);
    ck_assert_uint_eq(asks.looks, 0);
}
END_TEST

START_TEST(the_rounds_done_count_when_the_other_stops)
{
    struct side asks = make_side(), answers = make_side();
    asks.party.wait_most_ns = 100000000;
    answers.rounds = 3;
    answers.offset = 50;
    measure(&asks, &answers);
    ck_assert_int_eq(answers.status, STATUS_OK);
    ck_assert_int_eq(asks.status, STATUS_CLOSED);
    ck_assert_uint_eq(result.rounds, 3);
    ck_assert_int_eq(result.offset_low, 49);
}
END_TEST

static uint64_t no_clock(void *context)
{
    (void)context;
    return 0;
}

START_TEST(without_a_clock_the_count_ends_the_wait)
{
    struct side asks = make_side();
    asks.party.now_ns = no_clock;
    asks.party.wait_most_ns = 1;
    asks.party.context = &asks;
    tsc_sync_init(&sync_area);
    ck_assert_int_eq(tsc_sync_ask(&sync_area, &asks.party, 1, &result), STATUS_CLOSED);
}
END_TEST

START_TEST(a_broken_precondition_panics)
{
    struct side side = make_side();
    if (_i == 0)
        tsc_sync_ask(&sync_area, &side.party, 0, &result);
    else
        tsc_sync_answer(&sync_area, &side.party, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("tsc_sync");
    TCase *cases = tcase_create("tsc_sync");
    suite_add_tcase(suite, cases);
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, an_offset_lies_between_its_bounds);
    tcase_add_test(cases, counters_in_step_show_no_warp);
    tcase_add_test(cases, a_counter_ahead_or_behind_warps_in_every_round);
    tcase_add_test(cases, offsets_within_a_round_are_no_warp);
    tcase_add_test(cases, the_round_of_a_step_back_is_counted);
    tcase_add_test(cases, a_counter_that_drifts_shows_its_worst);
    tcase_add_test(cases, the_shortest_round_is_the_one_that_counts);
    tcase_add_test(cases, the_machines_own_counters_give_bounds_that_hold);
    tcase_add_test(cases, nobody_answers);
    tcase_add_test(cases, nobody_asks);
    tcase_add_test(cases, the_rounds_done_count_when_the_other_stops);
    tcase_add_test(cases, without_a_clock_the_count_ends_the_wait);
    tcase_add_loop_test_raise_signal(cases, a_broken_precondition_panics, SIGABRT, 0, 2);
    return suite;
}

int main(void)
{
    return run_checks(suite());
}
