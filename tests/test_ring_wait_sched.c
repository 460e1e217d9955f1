// SPDX-License-Identifier: MIT
// Waiting at rings and calls as threads of the scheduler, over the CPUs of this process; also under
// ThreadSanitizer, where interrupts come at calls of the scheduler only and barriers may not say.
#include <stdio.h>
#include <stdlib.h>

#include "call.h"
#include "ring_fusion_mpmc.h"
#include "ring_fusion_spsc.h"
#include "ring_locked_queue.h"
#include "ring_wait.h"
#include "ring_waiter_sched.h"
#include "sched_host_subject.h"
#include "soak.h"

#define SLOTS   4u
#define CALLERS 3u

static struct ring_wait wait;
static struct ring_waiter waiter;
static struct call_channel channel;
static struct call_seat seats[CALLERS];
static uint64_t messages, good, done, ended;
static uint8_t ring[16 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint8_t slots[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

static const struct ring_ops *const rings[] = {&ring_fusion_spsc_ops, &ring_fusion_mpmc_ops,
                                               &ring_locked_queue_ops};

static void begin(const struct ring_ops *ops, unsigned cpus, enum ring_payer payer)
{
    subject_begin(&sched_fifo_ops, cpus, 1000000);
    ck_assert_uint_le(ops->state_bytes, sizeof(ring));
    ck_assert_int_eq(ops->init(ring, slots, SLOTS), STATUS_OK);
    ring_waiter_sched(&waiter, &subject.sched, payer);
    ring_wait_init(&wait, ops, ring, SLOTS, &waiter);
    good = done = 0;
}

static void send_all(void *unused)
{
    (void)unused;
    for (uint64_t i = 0; i < messages; i++) {
        const uint64_t payload[RING_PAYLOAD_MOST / 8] = {i};
        good += ring_wait_send(wait.ops, &wait, payload, 8, RING_FOREVER) == STATUS_OK;
        if (i % 7 == 0)
            sched_pass(&subject.sched);
        if (i % 64 == 0)
            sched_sleep_until(&subject.sched, subject_now() + 20000);
    }
}

static void receive_all(void *unused)
{
    (void)unused;
    for (uint64_t i = 0; i < messages; i++) {
        uint64_t payload[RING_PAYLOAD_MOST / 8];
        size_t length;
        done += ring_wait_receive(wait.ops, &wait, payload, &length, RING_FOREVER) == STATUS_OK &&
                payload[0] == i;
        if (i % 100 == 0)
            sched_sleep_until(&subject.sched, subject_now() + 20000);
    }
}

// On one CPU; with a CPU each.
static void stream(const struct ring_ops *ops, unsigned cpus, enum ring_payer payer)
{
    struct ring_wait_statistics slept;
    messages = soaked(5000, 1000000);
    begin(ops, cpus, payer);
    subject_add(send_all, NULL, 1);
    subject_add(receive_all, NULL, 1u << (cpus - 1));
    subject_run();
    ck_assert_uint_eq(good, messages);
    ck_assert_uint_eq(done, messages);
    ring_wait_statistics(&wait, RING_RECEIVERS, &slept);
    ck_assert(cpus > 1 || slept.blocks > 0); // with a CPU each, a message may always be there
    ck_assert(ops->check(ring));
}

START_TEST(threads_of_one_cpu_wake_each_other_and_nobody_pays)
{
    stream(rings[_i], 1, RING_USERS_PAY);
    ck_assert_uint_eq(wait.sides[RING_RECEIVERS].watch, 0);
}
END_TEST

START_TEST(threads_of_two_cpus_wake_each_other_whoever_pays)
{
    stream(rings[_i / 2], 2, _i % 2 ? RING_SLEEPERS_PAY : RING_USERS_PAY);
}
END_TEST

static uint32_t timed_out; // atomic

static void wait_in_vain(void *unused)
{
    uint64_t payload[RING_PAYLOAD_MOST / 8];
    size_t length;
    const uint64_t until = subject_now() + 2000000;
    (void)unused;
    good = ring_wait_receive(wait.ops, &wait, payload, &length, until) == STATUS_TIMEOUT &&
           subject_now() >= until;
    __atomic_store_n(&timed_out, 1, __ATOMIC_RELEASE);
    done = ring_wait_receive(wait.ops, &wait, payload, &length, RING_FOREVER) == STATUS_DEAD;
}

// When the other one waits for the second time, or will soon.
static void die(void *unused)
{
    (void)unused;
    do
        sched_sleep_until(&subject.sched, subject_now() + 4000000);
    while (__atomic_load_n(&timed_out, __ATOMIC_ACQUIRE) == 0);
    ring_wait_died(&wait, RING_SENDERS);
}

START_TEST(time_and_death_end_a_wait)
{
    timed_out = 0;
    begin(&ring_fusion_spsc_ops, 2, _i ? RING_SLEEPERS_PAY : RING_USERS_PAY);
    subject_add(wait_in_vain, NULL, 1);
    subject_add(die, NULL, 2);
    subject_run();
    ck_assert_uint_eq(good, 1);
    ck_assert_uint_eq(done, 1);
}
END_TEST

// ---- calls --------------------------------------------------------------------------------------

static void serve(void *unused)
{
    uint64_t words[CALL_PAYLOAD_MOST / 8];
    struct call_ticket ticket;
    size_t length;
    (void)unused;
    while (call_next(&channel, words, &length, &ticket, RING_FOREVER) == STATUS_OK) {
        words[0] ^= 0x5a5a;
        (void)call_answer(&channel, ticket, words, length);
    }
}

static void serve_directly(void *unused)
{
    uint64_t words[CALL_PAYLOAD_MOST / 8], reply[CALL_PAYLOAD_MOST / 8];
    struct call_ticket ticket;
    size_t length;
    enum status status = call_next(&channel, words, &length, &ticket, RING_FOREVER);
    (void)unused;
    while (status == STATUS_OK) {
        const size_t bytes = length;
        memcpy(reply, words, sizeof(reply));
        reply[0] ^= 0x5a5a;
        status = call_answer_and_next(&channel, ticket, reply, bytes, words, &length, &ticket);
    }
    __atomic_add_fetch(&ended, status == STATUS_CLOSED, __ATOMIC_RELAXED);
}

static void ask(void *number)
{
    const uint32_t seat = (uint32_t)(uintptr_t)number;
    for (uint64_t i = 0; i < messages; i++) {
        uint64_t request = i * CALLERS + seat, reply[CALL_PAYLOAD_MOST / 8];
        size_t length;
        const bool came =
            call_ask(&channel, seat, &request, 8, reply, &length, RING_FOREVER) == STATUS_OK &&
            reply[0] == (request ^ 0x5a5a) && length == 8;
        __atomic_add_fetch(&good, came, __ATOMIC_RELAXED);
    }
    if (__atomic_add_fetch(&done, 1, __ATOMIC_ACQ_REL) == CALLERS)
        call_end(&channel, STATUS_CLOSED);
}

START_TEST(calls_on_one_cpu_and_on_two_come_back)
{
    begin(&ring_fusion_mpmc_ops, 1 + (unsigned)_i, RING_USERS_PAY);
    messages = 500;
    ck_assert_int_eq(call_init(&channel, &wait, seats, CALLERS), STATUS_OK);
    subject_add(serve, NULL, 0);
    for (uintptr_t i = 0; i < CALLERS; i++)
        subject_add(ask, (void *)i, 0);
    subject_run();
    ck_assert_uint_eq(good, CALLERS * messages);
}
END_TEST

// Servers, callers, CPUs: with one of each side every call finds its server asleep.
static void call_directly(unsigned servers, unsigned callers, unsigned cpus)
{
    begin(&ring_fusion_mpmc_ops, cpus, RING_USERS_PAY);
    ck_assert_int_eq(waiter.hand_over != NULL, cpus == 1);
    messages = cpus == 1 ? 500 : 100; // where CPUs are shared with others, a turn takes long
    ended = 0;
    done = CALLERS - callers;
    ck_assert_int_eq(call_init(&channel, &wait, seats, CALLERS), STATUS_OK);
    for (unsigned i = 0; i < servers; i++)
        subject_add(serve_directly, NULL, 0);
    for (uintptr_t i = 0; i < callers; i++)
        subject_add(ask, (void *)i, 0);
    subject_run();
    ck_assert_uint_eq(good, callers * messages);
    ck_assert_uint_eq(ended, servers);
}

START_TEST(calls_that_hand_their_cpu_over_come_back)
{
    call_directly(1 + (unsigned)_i % 2, CALLERS, 1 + (unsigned)_i / 2);
}
END_TEST

START_TEST(calls_that_hand_their_cpu_over_set_no_timers)
{
    call_directly(1, 1, 1);
    const struct sched_cpu_statistics *seen = &subject.sched.cpus[0].statistics;
    ck_assert_uint_ge(seen->switches, 2 * messages);
    ck_assert_uint_lt(seen->timers_set, messages / 10);
}
END_TEST

// ---- the barrier --------------------------------------------------------------------------------

static uint64_t answered, looked;

static void make_barriers(void *unused)
{
    (void)unused;
    while (__atomic_load_n(&looked, __ATOMIC_RELAXED) == 0)
        sched_pass(&subject.sched);
    for (unsigned i = 0; i < 50; i++)
        answered += sched_barrier(&subject.sched);
    __atomic_store_n(&done, 1, __ATOMIC_RELEASE);
}

static void spin_meanwhile(void *unused)
{
    (void)unused;
    while (__atomic_load_n(&done, __ATOMIC_ACQUIRE) == 0) {
        __atomic_store_n(&looked, looked + 1, __ATOMIC_RELAXED);
        cpu_pause();
        if (!SCHED_HOST_SIGNALS)
            sched_pass(&subject.sched);
    }
}

START_TEST(barrier_interrupts_a_thread_that_makes_no_calls)
{
    answered = looked = 0;
    begin(&ring_fusion_spsc_ops, 2, RING_SLEEPERS_PAY);
    subject_add(make_barriers, NULL, 1);
    subject_add(spin_meanwhile, NULL, 2);
    subject_run();
    // A processor that others use may not answer in time: never is wrong, sometimes is not.
    ck_assert_uint_gt(answered, 0);
    printf("%lu of 50 barriers were answered, %lu interrupts\n", (unsigned long)answered,
           (unsigned long)subject.sched.cpus[1].statistics.interrupts);
    ck_assert_uint_gt(subject.sched.cpus[1].statistics.interrupts, answered / 2);
}
END_TEST

static void make_barriers_at_once(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < 50; i++)
        __atomic_add_fetch(&answered, sched_barrier(&subject.sched), __ATOMIC_RELAXED);
}

START_TEST(barriers_of_all_cpus_at_once_end)
{
    answered = 0;
    begin(&ring_fusion_spsc_ops, 3, RING_SLEEPERS_PAY);
    for (unsigned i = 0; i < 3; i++)
        subject_add(make_barriers_at_once, NULL, 1u << i);
    subject_run();
    ck_assert_uint_gt(answered, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ring_wait_sched");
    TCase *tests = tcase_create("sched");
    tcase_set_timeout(tests, 300);
    tcase_add_loop_test(tests, threads_of_one_cpu_wake_each_other_and_nobody_pays, 0, 3);
    tcase_add_loop_test(tests, threads_of_two_cpus_wake_each_other_whoever_pays, 0, 6);
    tcase_add_loop_test(tests, time_and_death_end_a_wait, 0, 2);
    tcase_add_loop_test(tests, calls_on_one_cpu_and_on_two_come_back, 0, 2);
    tcase_add_loop_test(tests, calls_that_hand_their_cpu_over_come_back, 0, 3);
    tcase_add_test(tests, calls_that_hand_their_cpu_over_set_no_timers);
    tcase_add_test(tests, barrier_interrupts_a_thread_that_makes_no_calls);
    tcase_add_test(tests, barriers_of_all_cpus_at_once_end);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
