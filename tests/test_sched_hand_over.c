// SPDX-License-Identifier: MIT
// sched_hand_over: a thread gives its CPU straight to the one it wakes, over the CPUs of this
// process, and nobody else loses by it.
#include <signal.h>

#include "sched_host_subject.h"

#define POLICIES ((int)ARRAY_COUNT(subject_policies))
#define TURNS    400u

static struct sched_thread *players[2];
static uint64_t turn, wrong, counted;
static uint32_t over;

// Plays every second turn, handing the CPU over in between.
static void play(void *number)
{
    const uint64_t mine = (uintptr_t)number;
    for (uint64_t i = mine; i < TURNS; i += 2) {
        while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) < i)
            sched_block(&subject.sched);
        wrong += turn != i;
        __atomic_store_n(&turn, i + 1, __ATOMIC_RELEASE);
        if (i + 2 < TURNS)
            sched_hand_over(&subject.sched, players[1 - mine]);
        else
            sched_wake(&subject.sched, players[1 - mine]);
    }
    if (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) == TURNS)
        __atomic_store_n(&over, 1, __ATOMIC_RELEASE);
}

static void begin(int policy, unsigned cpus)
{
    subject_begin(subject_policies[policy], cpus, 1000000);
    turn = wrong = counted = 0;
    over = 0;
}

static void add_players(unsigned cpus)
{
    for (uintptr_t i = 0; i < 2; i++)
        players[i] = subject_add(play, (void *)i, cpus == 2 ? 1u << i : 1);
}

START_TEST(two_threads_of_a_cpu_take_turns_with_no_timer_in_between)
{
    begin(_i, 1);
    add_players(1);
    subject_run();
    const struct sched_cpu_statistics *seen = &subject.sched.cpus[0].statistics;
    ck_assert_uint_eq(turn, TURNS);
    ck_assert_uint_eq(wrong, 0);
    ck_assert_uint_ge(seen->switches, TURNS);
    // A wake-up sets one for the waker's slice, which then blocks: as many as turns.
    ck_assert_uint_lt(seen->timers_set, TURNS / 10);
}
END_TEST

static void count_meanwhile(void *unused)
{
    (void)unused;
    while (__atomic_load_n(&over, __ATOMIC_ACQUIRE) == 0) {
        counted++;
        cpu_pause();
        if (!SCHED_HOST_SIGNALS)
            sched_pass(&subject.sched);
    }
}

START_TEST(a_third_thread_that_never_waits_and_the_two_all_get_their_cpu)
{
    begin(_i, 1);
    add_players(1);
    struct sched_thread *third = subject_add(count_meanwhile, NULL, 1);
    subject_run();
    ck_assert_uint_eq(turn, TURNS);
    ck_assert_uint_eq(wrong, 0);
    ck_assert_uint_gt(counted, 0);
    ck_assert_uint_gt(third->statistics.dispatches, 1);
}
END_TEST

START_TEST(to_a_thread_of_another_cpu_it_is_a_wake_up_and_a_wait)
{
    begin(_i, 2);
    add_players(2);
    subject_run();
    ck_assert_uint_eq(turn, TURNS);
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

static uint64_t log_of[4];
static unsigned logged;

static void wait_once(void *unused)
{
    (void)unused;
    sched_block(&subject.sched);
    log_of[logged++] = 2;
}

// With a permit the caller goes on; without one it waits until it is woken.
static void hand_over_with_a_permit(void *unused)
{
    (void)unused;
    sched_wake(&subject.sched, players[0]); // itself
    sched_hand_over(&subject.sched, players[1]);
    log_of[logged++] = 1;
}

START_TEST(a_permit_is_taken_and_the_other_one_is_woken_all_the_same)
{
    begin(_i, 1);
    logged = 0;
    players[1] = subject_add(wait_once, NULL, 1);
    players[0] = subject_add(hand_over_with_a_permit, NULL, 1);
    subject_run();
    ck_assert_uint_eq(logged, 2);
    ck_assert_uint_eq(log_of[0] + log_of[1], 3);
    ck_assert_uint_eq(players[0]->statistics.permits, 1);
    ck_assert_uint_eq(players[1]->statistics.wakeups, 1);
}
END_TEST

static void hand_over_to_who_runs_on(void *unused)
{
    (void)unused;
    sched_hand_over(&subject.sched, players[1]); // is ready: gets a permit
    log_of[logged++] = 1;
}

static void wake_the_other(void *unused)
{
    (void)unused;
    sched_block(&subject.sched); // the permit
    log_of[logged++] = 2;
    sched_wake(&subject.sched, players[0]);
}

START_TEST(who_does_not_wait_gets_a_permit)
{
    begin(_i, 1);
    logged = 0;
    players[0] = subject_add(hand_over_to_who_runs_on, NULL, 1);
    players[1] = subject_add(wake_the_other, NULL, 1);
    subject_run();
    ck_assert_uint_eq(logged, 2);
    ck_assert_uint_eq(log_of[0], 2);
    ck_assert_uint_eq(log_of[1], 1);
}
END_TEST

START_TEST(only_threads_have_a_cpu_to_hand_over)
{
    begin(0, 1);
    sched_hand_over(&subject.sched, &subject.threads[0]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sched_hand_over");
    TCase *tests = tcase_create("host");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, two_threads_of_a_cpu_take_turns_with_no_timer_in_between, 0,
                        POLICIES);
    tcase_add_loop_test(tests, a_third_thread_that_never_waits_and_the_two_all_get_their_cpu, 0,
                        POLICIES);
    tcase_add_loop_test(tests, to_a_thread_of_another_cpu_it_is_a_wake_up_and_a_wait, 0, POLICIES);
    tcase_add_loop_test(tests, a_permit_is_taken_and_the_other_one_is_woken_all_the_same, 0,
                        POLICIES);
    tcase_add_loop_test(tests, who_does_not_wait_gets_a_permit, 0, POLICIES);
    tcase_add_test_raise_signal(tests, only_threads_have_a_cpu_to_hand_over, SIGABRT);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
