// SPDX-License-Identifier: MIT
// Threads at their lowest level, and locks that know their holder.
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "compiler.h"
#include "run_checks.h"
#include "spinlock.h"
#include "test_platform.h"
#include "thread.h"

static struct thread boot, one, two;
static uint8_t stacks[2][65536] __attribute__((aligned(16)));
static unsigned steps;

static void setup(void)
{
    test_cpu_enter(0);
    cpu_local()->thread = cpu_local()->idle_thread = NULL;
    steps = 0;
    thread_adopt(&boot, "boot");
}

static void go(struct thread *next)
{
    cpu_preempt_disable();
    thread_switch(next);
    cpu_preempt_enable();
}

static void count_to_three(void *argument)
{
    unsigned *steps_seen = argument;
    for (unsigned i = 0; i < 3; i++) {
        ++*steps_seen;
        go(&boot);
    }
}

START_TEST(thread_runs_where_it_left_off_and_ends)
{
    ck_assert_int_eq(
        thread_create(&one, "one", stacks[0], sizeof(stacks[0]), count_to_three, &steps),
        STATUS_OK);
    ck_assert_ptr_eq(thread_current(), &boot);
    for (unsigned i = 1; i <= 3; i++) {
        ck_assert_uint_eq(one.state, THREAD_READY);
        go(&one);
        ck_assert_uint_eq(steps, i);
        ck_assert_ptr_eq(thread_current(), &boot);
        ck_assert_uint_eq(boot.state, THREAD_RUNNING);
    }
    go(&one);
    ck_assert_uint_eq(one.state, THREAD_FINISHED);
    ck_assert_uint_eq(cpu_local()->preempt_count, 0);
}
END_TEST

static void look_around(void *argument)
{
    uint64_t on_stack[4];
    struct thread *self = thread_current();
    *(bool *)argument = self == &one && cpu_local()->preempt_count == 0 &&
                        (uint8_t *)on_stack > stacks[0] &&
                        (uint8_t *)on_stack < stacks[0] + sizeof(stacks[0]) &&
                        // a 16-byte local stands aligned only if the entry was
                        (uintptr_t)__builtin_frame_address(0) % 16 == 0;
}

START_TEST(new_thread_begins_on_its_stack_aligned_and_preemptible)
{
    bool good = false;
    thread_create(&one, "one", stacks[0], sizeof(stacks[0]), look_around, &good);
    go(&one);
    ck_assert(good);
}
END_TEST

static void pass_on(void *argument)
{
    struct thread *next = argument;
    for (unsigned i = 0; i < 1000; i++) {
        steps++;
        go(next);
    }
}

START_TEST(two_threads_take_turns)
{
    thread_create(&one, "one", stacks[0], sizeof(stacks[0]), pass_on, &two);
    thread_create(&two, "two", stacks[1], sizeof(stacks[1]), pass_on, &one);
    go(&one); // back here when `two` ends after `one` passed to it for the last time
    ck_assert_uint_eq(steps, 2000);
}
END_TEST

START_TEST(stack_that_is_too_small_is_refused)
{
    ck_assert_int_eq(
        thread_create(&one, "one", stacks[0], THREAD_STACK_LEAST - 1, count_to_three, &steps),
        STATUS_INVALID);
}
END_TEST

START_TEST(switch_with_preemption_on_panics)
{
    thread_create(&one, "one", stacks[0], sizeof(stacks[0]), count_to_three, &steps);
    thread_switch(&one);
}
END_TEST

START_TEST(switch_to_a_finished_thread_panics)
{
    bool good;
    thread_create(&one, "one", stacks[0], sizeof(stacks[0]), look_around, &good);
    go(&one);
    go(&one);
}
END_TEST

START_TEST(switch_to_itself_panics)
{
    go(&boot);
}
END_TEST

START_TEST(exit_of_the_idle_thread_panics)
{
    cpu_preempt_disable();
    thread_exit();
}
END_TEST

static void overrun(void *argument)
{
    memset(argument, 0, 8);
    go(&boot);
}

START_TEST(overrun_stack_is_noticed_at_the_switch)
{
    thread_create(&one, "one", stacks[0], sizeof(stacks[0]), overrun, stacks[0]);
    go(&one);
}
END_TEST

// ---- locks -------------------------------------------------------------------------------------

static struct spinlock lock;

START_TEST(lock_knows_whether_it_is_held)
{
    spinlock_init(&lock);
    ck_assert(spinlock_try_acquire(&lock));
    test_cpu_enter(1);
    ck_assert(!spinlock_try_acquire(&lock));
    test_cpu_enter(0);
    spinlock_release(&lock);
    ck_assert(spinlock_try_acquire(&lock));
}
END_TEST

START_TEST(taking_a_lock_twice_panics)
{
    spinlock_init(&lock);
    spinlock_acquire(&lock);
    spinlock_acquire(&lock);
}
END_TEST

START_TEST(releasing_the_lock_of_another_cpu_panics)
{
    spinlock_init(&lock);
    spinlock_acquire(&lock);
    test_cpu_enter(1);
    spinlock_release(&lock);
}
END_TEST

START_TEST(releasing_an_open_lock_panics)
{
    spinlock_init(&lock);
    spinlock_release(&lock);
}
END_TEST

static uint64_t shared_count;

static void *add(void *argument)
{
    test_cpu_enter((unsigned)(uintptr_t)argument);
    for (unsigned i = 0; i < 20000; i++) {
        spinlock_acquire(&lock);
        shared_count++;
        spinlock_release(&lock);
    }
    return NULL;
}

START_TEST(lock_lets_one_in_at_a_time)
{
    pthread_t threads[4];
    spinlock_init(&lock);
    for (uintptr_t i = 0; i < ARRAY_COUNT(threads); i++)
        pthread_create(&threads[i], NULL, add, (void *)(i + 1));
    for (unsigned i = 0; i < ARRAY_COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(shared_count, 80000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("thread");
    TCase *tests = tcase_create("threads and locks");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, thread_runs_where_it_left_off_and_ends);
    tcase_add_test(tests, new_thread_begins_on_its_stack_aligned_and_preemptible);
    tcase_add_test(tests, two_threads_take_turns);
    tcase_add_test(tests, stack_that_is_too_small_is_refused);
    tcase_add_test_raise_signal(tests, switch_with_preemption_on_panics, SIGABRT);
    tcase_add_test_raise_signal(tests, switch_to_a_finished_thread_panics, SIGABRT);
    tcase_add_test_raise_signal(tests, switch_to_itself_panics, SIGABRT);
    tcase_add_test_raise_signal(tests, exit_of_the_idle_thread_panics, SIGABRT);
    tcase_add_test_raise_signal(tests, overrun_stack_is_noticed_at_the_switch, SIGABRT);
    tcase_add_test(tests, lock_knows_whether_it_is_held);
    if (CONFIG_ASSERT_SLOW) { // without it a lock does not know its holder
        tcase_add_test_raise_signal(tests, taking_a_lock_twice_panics, SIGABRT);
        tcase_add_test_raise_signal(tests, releasing_the_lock_of_another_cpu_panics, SIGABRT);
        tcase_add_test_raise_signal(tests, releasing_an_open_lock_panics, SIGABRT);
    }
    tcase_add_test(tests, lock_lets_one_in_at_a_time);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
