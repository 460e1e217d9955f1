// SPDX-License-Identifier: MIT
// The scheduler on CPUs of this process: real threads, interrupted by signals.
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "host_time.h"
#include "random.h"
#include "sched_host_subject.h"
#include "seed.h"
#include "single_step.h"

#define PASS_STRIDE 397u // all of two switches, one by one, would take too long
#define POLICIES    ((int)ARRAY_COUNT(subject_policies))

static uint32_t flags[4];
static bool good;

static void setup(void)
{
    memset(flags, 0, sizeof(flags));
    good = true;
}

// ---- preemption ---------------------------------------------------------------------------------

START_TEST(thread_that_never_yields_is_preempted)
{
    subject_begin(subject_policies[_i], 1, 2000000);
    struct sched_thread *spinner = subject_add(spin_until_up, &flags[0], 0);
    subject_add(raise_flag, &flags[0], 0);
    subject_run();
    ck_assert_uint_ge(spinner->statistics.preemptions, 1);
}
END_TEST

START_TEST(threads_that_never_yield_share_a_cpu_until_the_last_has_started)
{
    subject_begin(subject_policies[_i], 2, 1000000);
    for (unsigned i = 0; i < 6; i++)
        subject_add(spin_until_up, &flags[0], 0);
    subject_add(raise_flag, &flags[0], 0);
    subject_run();
}
END_TEST

static uint64_t interrupts_seen;

// Works on while the timer has gone off, without letting anybody in; then lets them in.
static void insist(void *leaf)
{
    const uint64_t before = subject_interrupts();
    if (leaf != NULL)
        cpu_leaf_enter();
    else
        cpu_preempt_disable();
    while (subject_interrupts() == before)
        cpu_pause();
    good = good && !flag_is_up(&flags[0]);
    if (leaf != NULL) {
        cpu_leaf_leave();
        spin_until_up(&flags[0]); // no test at a leaf's end: interrupted again a little later
    } else {
        cpu_preempt_enable();
        good = good && flag_is_up(&flags[0]);
    }
}

START_TEST(preemption_waits_until_it_is_enabled_and_comes_then)
{
    subject_begin(&sched_fifo_ops, 1, 1000000);
    subject_add(insist, NULL, 0);
    subject_add(raise_flag, &flags[0], 0);
    subject_run();
    ck_assert(good);
}
END_TEST

START_TEST(preemption_in_a_leaf_comes_a_little_later)
{
    subject_begin(&sched_fifo_ops, 1, 1000000);
    subject_add(insist, &flags[0], 0);
    subject_add(raise_flag, &flags[0], 0);
    subject_run();
    ck_assert(good);
}
END_TEST

static void look_at_kicks(void *unused)
{
    const struct sched_cpu_ops *ops = subject.ops;
    (void)unused;
    const uint64_t before = subject_interrupts();
    const bool let_in = ops->mask(subject.machine);
    const bool again = ops->mask(subject.machine);
    ops->kick(subject.machine, 0);
    ops->kick(subject.machine, 0);
    ops->unmask(subject.machine, again);
    good = good && let_in && !again && subject_interrupts() == before;
    ops->unmask(subject.machine, let_in);
    good = good && subject_interrupts() == before + 1;
    ops->kick(subject.machine, 0);
    ops->unmask(subject.machine, ops->mask(subject.machine)); // where there are no signals
    good = good && subject_interrupts() == before + 2;
}

START_TEST(kicks_wait_while_masked_and_arrive_as_one)
{
    subject_begin(&sched_fifo_ops, 1, 0);
    subject_add(look_at_kicks, NULL, 0);
    subject_run();
    ck_assert(good);
}
END_TEST

static void work_alone(void *unused)
{
    (void)unused;
    const uint64_t until = subject_now() + 50000000;
    while (subject_now() < until)
        cpu_pause();
    interrupts_seen = subject_interrupts();
}

START_TEST(thread_alone_is_not_interrupted)
{
    subject_begin(subject_policies[_i], 1, 1000000);
    subject_add(work_alone, NULL, 0);
    subject_run();
    ck_assert_uint_eq(interrupts_seen, 0);
    ck_assert_uint_eq(subject.sched.cpus[0].statistics.timers_set, 0);
}
END_TEST

// ---- at every instruction -----------------------------------------------------------------------

static struct {
    unsigned count, kick_at, first; // instructions
} steps;

static void on_step(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    if (steps.count++ != steps.kick_at)
        return;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~0x100; // the rest goes at full speed
    subject.ops->kick(subject.machine, 0);
}

static void mask_and_unmask(void)
{
    subject.ops->unmask(subject.machine, subject.ops->mask(subject.machine));
}

static void pass(void)
{
    sched_pass(&subject.sched);
}

// A kick behind each of the function's instructions in turn, or every `stride`th; each must have
// been answered when the function has returned.
static void kick_at_each(void (*function)(void), unsigned first, unsigned stride)
{
    bool kicked = true;
    for (steps.kick_at = first; kicked; steps.kick_at += stride) {
        const uint64_t before = subject_interrupts();
        steps.count = 0;
        single_step(true);
        function();
        single_step(false);
        kicked = steps.count > steps.kick_at;
        good = good && (!kicked || subject_interrupts() > before);
    }
}

static void be_stepped(void *unused)
{
    (void)unused;
    kick_at_each(mask_and_unmask, 0, 1);
    kick_at_each(pass, steps.first, PASS_STRIDE);
    raise_flag(&flags[0]);
}

static void pass_until_up(void *flag)
{
    while (!flag_is_up(flag))
        sched_pass(&subject.sched);
}

START_TEST(kick_behind_any_instruction_is_answered)
{
    struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
    struct random random = seeded_for("kick_behind_any_instruction_is_answered");
    steps.first = (unsigned)random_below(&random, PASS_STRIDE);
    ck_assert_int_eq(sigaction(SIGTRAP, &action, NULL), 0);
    // Stepped, a slice of the usual length would be over before its thread has begun.
    subject_begin(&sched_fifo_ops, 1, 3600000000000u);
    subject_add(be_stepped, NULL, 0);
    subject_add(pass_until_up, &flags[0], 0);
    subject_run();
    ck_assert(good);
    ck_assert_uint_gt(steps.kick_at, 100);
}
END_TEST

// ---- waiting ------------------------------------------------------------------------------------

static struct {
    uint32_t turn, rounds;
} ball;

// Two threads; it is the turn of number 0 when `turn` is even.
static void play(void *number)
{
    const uint32_t me = number != NULL;
    for (;;) {
        const uint32_t turn = __atomic_load_n(&ball.turn, __ATOMIC_ACQUIRE);
        if (turn >= ball.rounds)
            break;
        if (turn % 2 != me) {
            sched_block(&subject.sched);
            continue;
        }
        __atomic_store_n(&ball.turn, turn + 1, __ATOMIC_RELEASE);
        sched_wake(&subject.sched, &subject.threads[!me]);
    }
    sched_wake(&subject.sched, &subject.threads[!me]);
}

START_TEST(two_threads_wake_each_other_across_cpus)
{
    // Both on one CPU, each on its own, anywhere.
    static const uint64_t where[][2] = {{1, 1}, {1, 2}, {0, 0}};
    subject_begin(subject_policies[_i % POLICIES], 2, 0);
    ball.turn = 0;
    ball.rounds = 4000;
    // A thread that has finished still lives: it may be woken.
    subject_create(0, play, NULL, where[_i / POLICIES][0]);
    subject_create(1, play, &ball, where[_i / POLICIES][1]);
    subject.count = 2;
    sched_start(&subject.threads[0]);
    sched_start(&subject.threads[1]);
    subject_run();
    ck_assert_uint_ge(ball.turn, ball.rounds);
}
END_TEST

static struct {
    uint64_t seed, most_late_ns;
    unsigned early;
} naps;

static void nap(void *argument)
{
    struct random random = random_seeded(naps.seed + (uintptr_t)argument);
    for (unsigned i = 0; i < 40; i++) {
        const uint64_t at = subject_now() + random_below(&random, 3000000);
        sched_sleep_until(&subject.sched, at);
        const uint64_t now = subject_now();
        if (now < at)
            __atomic_add_fetch(&naps.early, 1, __ATOMIC_RELAXED);
        else if (now - at > __atomic_load_n(&naps.most_late_ns, __ATOMIC_RELAXED))
            __atomic_store_n(&naps.most_late_ns, now - at, __ATOMIC_RELAXED);
    }
}

static void nap_while_others_work(void *argument)
{
    nap(argument);
    raise_flag(&flags[0]);
}

// The computer is shared with others: late is bounded by hours of patience only.
START_TEST(sleep_is_never_short)
{
    naps.seed = seeded_for("sleep_is_never_short").state;
    naps.most_late_ns = naps.early = 0;
    subject_begin(subject_policies[_i / 2], 2, 1000000);
    for (uintptr_t i = 0; i < 3; i++)
        subject_add(nap, (void *)i, 0);
    subject_add(nap_while_others_work, (void *)3, 0);
    if (_i % 2 != 0 && SCHED_HOST_SIGNALS) {
        for (unsigned i = 0; i < 3; i++)
            subject_add(spin_until_up, &flags[0], 0);
    }
    subject_run();
    ck_assert_uint_eq(naps.early, 0);
    ck_assert_uint_lt(naps.most_late_ns, 5000000000u);
}
END_TEST

static void sleep_long(void *unused)
{
    (void)unused;
    sched_sleep_until(&subject.sched, subject_now() + 3600000000000u);
    raise_flag(&flags[0]);
}

static void wake_sleeper(void *unused)
{
    (void)unused;
    sched_sleep_until(&subject.sched, subject_now() + 1000000);
    sched_wake(&subject.sched, &subject.threads[0]);
}

START_TEST(sleeper_is_woken_before_its_time)
{
    subject_begin(&sched_fifo_ops, 2, 0);
    subject_add(sleep_long, NULL, 1);
    subject_add(wake_sleeper, NULL, 2);
    subject_run();
    ck_assert(flag_is_up(&flags[0]));
}
END_TEST

// ---- the end of threads -------------------------------------------------------------------------

static uint64_t results[SUBJECT_THREADS];

static void leave_result(void *argument)
{
    const uintptr_t index = (uintptr_t)argument;
    if (index % 3 == 0)
        sched_pass(&subject.sched);
    if (index % 3 == 1)
        sched_sleep_until(&subject.sched, subject_now() + 100000);
    results[index] = index + 1000;
    sched_exit(&subject.sched);
    good = false; // does not return
}

// Makes each thread several times over: a stack is free when a join of it has returned.
static void make_and_join(void *unused)
{
    (void)unused;
    for (unsigned round = 0; round < 50; round++) {
        memset(results, 0, sizeof(results));
        for (uintptr_t i = 1; i < 8; i++) {
            good = good && subject_create((unsigned)i, leave_result, (void *)i, 0) == STATUS_OK;
            sched_start(&subject.threads[i]);
        }
        for (unsigned i = 1; i < 8; i++) {
            sched_join(&subject.sched, &subject.threads[i]);
            good = good && results[i] == i + 1000 && sched_finished(&subject.threads[i]);
        }
    }
}

START_TEST(join_returns_when_a_thread_has_left_its_stack)
{
    subject_begin(subject_policies[_i], 3, 0);
    subject.reused = true;
    subject_add(make_and_join, NULL, 0);
    subject_run();
    ck_assert(good);
}
END_TEST

// ---- before and after ---------------------------------------------------------------------------

// proc(5): a paragraph for each timer of the process, where the kernel has the file.
static unsigned timers_of_process(void)
{
    char line[256];
    unsigned found = 0;
    FILE *file = fopen("/proc/self/timers", "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        found += strncmp(line, "ID:", 3) == 0;
    if (file != NULL)
        fclose(file);
    return found;
}

START_TEST(nothing_is_left_when_the_last_cpu_has_left_and_the_next_scheduler_begins)
{
    const unsigned before = timers_of_process();
    for (unsigned round = 0; round < 5; round++) {
        subject_begin(subject_policies[round % POLICIES], 1 + round % SUBJECT_CPUS, 1000000);
        flags[0] = 0;
        for (unsigned i = 0; i < 3 && SCHED_HOST_SIGNALS; i++)
            subject_add(spin_until_up, &flags[0], 0);
        subject_add(raise_flag, &flags[0], 0);
        subject_run();
        ck_assert_uint_eq(timers_of_process(), before);
        const uint64_t interrupts = subject_interrupts();
        for (unsigned cpu = 0; cpu < SUBJECT_CPUS; cpu++)
            subject.ops->kick(subject.machine, cpu); // all have left
        usleep(3000);
        ck_assert_uint_eq(subject_interrupts(), interrupts);
        ck_assert_ptr_null(cpu_local()->preempt_wanted);
    }
}
END_TEST

START_TEST(scheduler_without_threads_ends_at_once)
{
    for (unsigned cpus = 1; cpus <= SUBJECT_CPUS; cpus++) {
        subject_begin(&sched_fifo_ops, cpus, 0);
        subject_run();
    }
}
END_TEST

static void *stop_from_outside(void *unused)
{
    (void)unused;
    usleep(20000);
    sched_stop(&subject.sched);
    return NULL;
}

// CPU 1 is no CPU of the platform's here, or does not come: what could run there is pulled.
START_TEST(cpus_that_do_not_join_run_nothing)
{
    pthread_t stopper;
    subject_begin(&sched_fifo_ops, 3, 0);
    for (unsigned i = 0; i < 6; i++)
        subject_add(raise_flag, &flags[i % 4], 0);
    pthread_create(&stopper, NULL, stop_from_outside, NULL);
    sched_start_cpu(&subject.sched);
    pthread_join(stopper, NULL);
    for (unsigned i = 0; i < subject.count; i++)
        ck_assert(sched_finished(&subject.threads[i]));
    ck_assert_uint_eq(subject.sched.cpus[1].statistics.switches, 0);
    ck_assert_uint_eq(subject.sched.cpus[2].statistics.switches, 0);
}
END_TEST

START_TEST(clock_never_goes_back_and_agrees_with_the_kernels)
{
    // As the platform would know it; the first time without.
    if (_i == 1) {
        const uint64_t ticks = cpu_ticks_start(), start = host_time_of_kernel_ns();
        while (host_time_of_kernel_ns() < start + 50000000)
            continue;
        test_clock_hz = (cpu_ticks_start() - ticks) * 20;
    }
    subject.ops = sched_host(&subject.machine);
    ck_assert(_i == 1 || !host_time.by_ticks);
    const uint64_t start_kernel = host_time_of_kernel_ns(), start = subject_now();
    uint64_t last = start;
    for (unsigned i = 0; i < 200000; i++) {
        const uint64_t now = subject_now();
        ck_assert_uint_ge(now, last);
        last = now;
    }
    const uint64_t ns = last - start, kernel_ns = host_time_of_kernel_ns() - start_kernel;
    // Only from above: this test may have been away in between.
    ck_assert_uint_le(ns, kernel_ns + kernel_ns / 5 + 1000000);
}
END_TEST

START_TEST(stack_without_room_for_a_signal_panics)
{
    static uint8_t stack[SCHED_STACK_LEAST];
    struct sched_attributes attributes = {
        .name = "small", .stack = stack, .stack_bytes = sizeof(stack), .entry = raise_flag};
    subject_begin(&sched_fifo_ops, 1, 0);
    ck_assert_uint_gt(sched_host_stack_bytes(), sizeof(stack));
    sched_create(&subject.sched, &subject.threads[0], &attributes);
}
END_TEST

START_TEST(cpu_that_joins_twice_panics)
{
    subject_begin(&sched_fifo_ops, 1, 0);
    sched_join_cpu(&subject.sched);
    sched_join_cpu(&subject.sched);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sched_host");
    TCase *tests = tcase_create("host"), *stepped = tcase_create("steps");
    tcase_set_timeout(tests, 300);
    tcase_set_timeout(stepped, 300);
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_checked_fixture(stepped, setup, NULL);
    if (SCHED_HOST_SIGNALS) {
        tcase_add_loop_test(tests, thread_that_never_yields_is_preempted, 0, POLICIES);
        tcase_add_loop_test(tests, threads_that_never_yield_share_a_cpu_until_the_last_has_started,
                            0, POLICIES);
        tcase_add_test(tests, preemption_waits_until_it_is_enabled_and_comes_then);
        tcase_add_test(tests, preemption_in_a_leaf_comes_a_little_later);
        tcase_add_test(stepped, kick_behind_any_instruction_is_answered);
        tcase_add_test_raise_signal(tests, stack_without_room_for_a_signal_panics, SIGABRT);
        tcase_add_test_raise_signal(tests, cpu_that_joins_twice_panics, SIGABRT);
    }
    tcase_add_test(tests, kicks_wait_while_masked_and_arrive_as_one);
    tcase_add_loop_test(tests, thread_alone_is_not_interrupted, 0, POLICIES);
    tcase_add_loop_test(tests, two_threads_wake_each_other_across_cpus, 0, 3 * POLICIES);
    tcase_add_loop_test(tests, sleep_is_never_short, 0, 2 * POLICIES);
    tcase_add_test(tests, sleeper_is_woken_before_its_time);
    tcase_add_loop_test(tests, join_returns_when_a_thread_has_left_its_stack, 0, POLICIES);
    tcase_add_test(tests, nothing_is_left_when_the_last_cpu_has_left_and_the_next_scheduler_begins);
    tcase_add_test(tests, scheduler_without_threads_ends_at_once);
    tcase_add_test(tests, cpus_that_do_not_join_run_nothing);
    tcase_add_loop_test(tests, clock_never_goes_back_and_agrees_with_the_kernels, 0, 2);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, stepped);
    return run_checks(suite);
}
