// SPDX-License-Identifier: MIT
// bench/suites/driver on a device whose completions interrupt: its reader is a thread of the
// scheduler's. Where a CPU waits for an interrupt, this one waits for the disk, too.
#include "driver_suite_subject.h"
#include "run_checks.h"
#include "sched.h"
#include "sched_host.h"

#define SLOW_US 50u

static struct sched_cpu_ops ops;
static void (*wait_for_signal)(void *machine);
static bool deaf; // interrupts of the disk do not come
static bool slow; // what serves them takes SLOW_US
static bool served;
static uint64_t interrupts_seen;

static unsigned slow_poll(void *driver, unsigned queue, struct block_request **done, unsigned most)
{
    const uint64_t start = cpu_ticks();
    while (slow && served && cpu_ticks() - start < SLOW_US * (HZ / 1000000))
        cpu_pause();
    return misbehaving_poll(driver, queue, done, most);
}

// As a machine does: what comes first, the scheduler's interrupt or the disk's.
static void wait_for_either(void *machine)
{
    struct ram_disk_queue *const queue = &reals[0]->disk.queues[0];
    if (deaf || queue->next_ready == UINT64_MAX || queue->armed == 0) {
        wait_for_signal(machine);
        return;
    }
    while (cpu_ticks() < queue->next_ready)
        cpu_pause();
    interrupts_seen++;
    served = true;
    cpu_preempt_disable();
    block_raise(&reals[0]->device, 0);
    served = false; // the thread that was woken goes on behind it
    cpu_preempt_enable();
}

static const struct sched_cpu_ops *sched_with_disk(void **machine)
{
    ops = *sched_host(machine);
    wait_for_signal = ops.idle;
    ops.idle = wait_for_either;
    return &ops;
}

static void set_up_threads(void)
{
    set_up();
    test_sched = sched_with_disk;
    without_waiter = true;
    real_count = 1;
    deaf = slow = served = false;
    interrupts_seen = 0;
}

START_TEST(a_device_that_interrupts_has_the_rows_of_one_that_brings_a_waiter)
{
    without_waiter = false;
    unsigned rows = 0;
    for (size_t which = 0; which < driver_suite.case_count; which++) {
        for (size_t i = 0; i < driver_suite.variant_count; i++) {
            const bool by_itself = driver_suite.applies(which, driver_suite.variants[i].ops);
            without_waiter = true;
            ck_assert(driver_suite.applies(which, driver_suite.variants[i].ops) == by_itself);
            without_waiter = false;
            rows += by_itself;
        }
    }
    ck_assert_uint_gt(rows, 70);
}
END_TEST

START_TEST(threads_of_the_scheduler_read_in_every_row)
{
    ck_assert_uint_gt(run_all(), 70);
    ck_assert_uint_gt(interrupts_seen, 100);
}
END_TEST

START_TEST(the_idle_thread_has_the_cpu_while_the_reader_sleeps)
{
    const struct row sleeps = row("share", "interrupt");
    // 5 us of latency each; the copy and the ways there and back are not idle.
    ck_assert_uint_lt(least_ticks(&sleeps, 64), 64 * 9000);
    ck_assert_uint_gt(interrupts_seen, 32);
    ck_assert(good(&sleeps));
    end(&sleeps);
    const struct row looks = row("share", "polling");
    run_well(&looks, 64);
    ck_assert_uint_eq(driver_suite.ticks(looks.which, looks.context), 64 * 10000);
    end(&looks);
}
END_TEST

// To the scheduler it is a part of the idle thread's time.
START_TEST(a_handler_that_interrupts_the_idle_thread_is_no_idle_time)
{
    static struct block_device_ops slowly;
    slowly = misbehaving_ops;
    slowly.poll = slow_poll;
    reals[0]->device.config.ops = &slowly;
    slow = true;
    const struct row one = row("share", "interrupt");
    uint64_t most = 0;
    // This thread may be off its CPU while it is idle.
    for (unsigned i = 0; i < 8; i++) {
        run_well(&one, 64);
        most = max_u64(most, driver_suite.ticks(one.which, one.context));
    }
    ck_assert_uint_gt(interrupts_seen, 64);
    // Idle for 5 us of latency at the most, of some SLOW_US and more.
    ck_assert_uint_gt(most, 64 * 8000);
    end(&one);
}
END_TEST

START_TEST(a_reader_sleeps_between_requests_that_come_at_their_time)
{
    const struct row one = row("cpu_1000", "interrupt");
    const uint64_t start = platform_clock_ns();
    const uint64_t ticks = least_ticks(&one, 4);
    // The clock's frequency is what the test says, not what it is: some ms in any case.
    ck_assert_uint_gt(platform_clock_ns() - start, 8 * 1500000);
    ck_assert_uint_lt(ticks, 4 * (HZ / 1000));
    end(&one);
}
END_TEST

START_TEST(an_interrupt_that_does_not_come_is_only_late)
{
    deaf = true;
    const struct row one = row("request", "interrupt");
    run_well(&one, 2);
    ck_assert(good(&one));
    end(&one);
}
END_TEST

START_TEST(a_disk_that_never_answers_fails_its_row_and_those_behind_it)
{
    const struct row one = row("request", "interrupt");
    run_well(&one, 4);
    reals[0]->before.swallows = true;
    reals[0]->before.ignores_abort = true;
    reals[0]->before.resets = STATUS_FAILED;
    ck_assert(run(&one, 1) == BENCH_FAILED);
    ck_assert(!good(&one));
    ck_assert_ptr_null(row("request", "polling").context);
    ck_assert_ptr_nonnull(row("request", "polling_simulated").context);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("suites_driver_threads");
    TCase *tests = tcase_create("driver_threads");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up_threads, tear_down);
    tcase_add_test(tests, a_device_that_interrupts_has_the_rows_of_one_that_brings_a_waiter);
    tcase_add_test(tests, threads_of_the_scheduler_read_in_every_row);
    tcase_add_test(tests, the_idle_thread_has_the_cpu_while_the_reader_sleeps);
    tcase_add_test(tests, a_handler_that_interrupts_the_idle_thread_is_no_idle_time);
    tcase_add_test(tests, a_reader_sleeps_between_requests_that_come_at_their_time);
    tcase_add_test(tests, an_interrupt_that_does_not_come_is_only_late);
    tcase_add_test(tests, a_disk_that_never_answers_fails_its_row_and_those_behind_it);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
