// SPDX-License-Identifier: MIT
// Waiting at rings, over futexes and threads of the process; also under ThreadSanitizer.
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "random.h"
#include "ring_futex.h"
#include "ring_subject.h"
#include "ring_wait.h"
#include "run_checks.h"
#include "seed.h"
#include "soak.h"
#include "test_platform.h"

#define THREADS_MOST 8u
#define MS           1000000u

static struct ring_wait wait;
static struct ring_waiter waiter;
static struct subject subject;

static void begin(const struct ring_ops *ops, size_t slots, bool sleepers_pay, uint32_t looks)
{
    test_cpu_enter(0);
    subject = create(ops, slots);
    (void)ring_futex(&waiter, sleepers_pay);
    waiter.looks = looks;
    ring_wait_init(&wait, ops, subject.ring, slots, &waiter);
}

static enum status receive(uint64_t *payload, uint64_t until_ns)
{
    size_t length;
    return ring_wait_receive(wait.ops, &wait, payload, &length, until_ns);
}

static enum status send(uint64_t number, uint64_t until_ns)
{
    const uint64_t payload[RING_PAYLOAD_MOST / 8] = {number};
    return ring_wait_send(wait.ops, &wait, payload, 8, until_ns);
}

static uint64_t in_ms(uint64_t ms)
{
    return waiter.now_ns(waiter.place) + ms * MS;
}

static struct ring_wait_statistics statistics(enum ring_side side)
{
    struct ring_wait_statistics found;
    ring_wait_statistics(&wait, side, &found);
    return found;
}

// Until so many have said that they sleep; then a moment for them to do it.
static void await_sleepers(enum ring_side side, uint64_t count)
{
    while (statistics(side).sleeps < count)
        usleep(100);
    usleep(1000);
}

// Nobody is left in a list.
static void end(void)
{
    for (unsigned side = 0; side < RING_SIDES; side++) {
        ck_assert_uint_lt(wait.sides[side].watch, RING_WATCH_ONE);
        ck_assert(list_empty(&wait.sides[side].list));
    }
    destroy(&subject);
}

// ---- threads ------------------------------------------------------------------------------------

struct worker {
    pthread_t thread;
    unsigned number;
    uint64_t seed, first, count; // messages to send, or received
    uint64_t sum;
    bool pauses;
    enum status status;
};

static struct worker workers[THREADS_MOST];

static void start(unsigned number, void *(*program)(void *))
{
    workers[number].number = number;
    ck_assert_int_eq(pthread_create(&workers[number].thread, NULL, program, &workers[number]), 0);
}

static void join(unsigned number)
{
    ck_assert_int_eq(pthread_join(workers[number].thread, NULL), 0);
}

// Now and then a moment of another length, so that each side comes first again and again.
static void pause_a_while(struct random *random)
{
    const uint64_t draw = random_below(random, 512);
    if (draw == 0)
        usleep((unsigned)random_below(random, 200));
    else if (draw < 16)
        sched_yield();
    else
        for (uint64_t i = random_below(random, draw); i > 0; i--)
            cpu_pause();
}

static void *sending(void *worker)
{
    struct worker *self = worker;
    struct random random = random_seeded(self->seed + self->number);
    test_cpu_enter(self->number + 1);
    self->status = STATUS_OK;
    for (uint64_t i = 0; i < self->count && self->status == STATUS_OK; i++) {
        if (self->pauses)
            pause_a_while(&random);
        self->status = send(self->first + i, RING_FOREVER);
    }
    return NULL;
}

// Until the ring is closed; numbers of one sender must grow.
static void *receiving(void *worker)
{
    struct worker *self = worker;
    struct random random = random_seeded(self->seed + self->number);
    uint64_t payload[RING_PAYLOAD_MOST / 8];
    test_cpu_enter(self->number + 1);
    self->count = self->sum = 0;
    while ((self->status = receive(payload, RING_FOREVER)) == STATUS_OK) {
        self->count++;
        self->sum += payload[0];
        if (self->pauses)
            pause_a_while(&random);
    }
    return NULL;
}

// `senders` senders, `receivers` receivers, all with pauses; every message arrives once.
static void traffic(const struct ring_ops *ops, size_t slots, bool sleepers_pay, uint32_t looks,
                    unsigned senders, unsigned receivers, uint64_t messages)
{
    struct random random = seeded_for("traffic");
    const uint64_t seed = random_u64(&random), each = messages / senders;
    uint64_t count = 0, sum = 0;
    begin(ops, slots, sleepers_pay, looks);
    for (unsigned i = 0; i < senders + receivers; i++) {
        const bool sends = i < senders;
        workers[i] = (struct worker){.number = i,
                                     .seed = seed,
                                     .first = i * each,
                                     .count = sends ? each : 0,
                                     .pauses = true};
        start(i, sends ? sending : receiving);
    }
    for (unsigned i = 0; i < senders; i++) {
        join(i);
        ck_assert_int_eq(workers[i].status, STATUS_OK);
    }
    // The last messages are taken by who wakes for them, with nobody left who sends.
    for (unsigned turn = 0; turn < 100000 && ops->free_slots(subject.ring) < slots; turn++)
        usleep(100);
    ck_assert_msg(ops->free_slots(subject.ring) == slots, "%s: a receiver sleeps beside a message",
                  NAME(ops));
    ring_wait_close(&wait);
    for (unsigned i = senders; i < senders + receivers; i++) {
        join(i);
        ck_assert_int_eq(workers[i].status, STATUS_CLOSED);
        count += workers[i].count;
        sum += workers[i].sum;
    }
    const uint64_t sent = each * senders;
    ck_assert_uint_eq(count, sent);
    ck_assert_uint_eq(sum, sent * (sent - 1) / 2);
    const struct ring_wait_statistics slept = statistics(RING_RECEIVERS);
    printf("%s, %u to %u: %lu sleeps, %lu blocks, %lu wakes of receivers\n", NAME(ops), senders,
           receivers, (unsigned long)slept.sleeps, (unsigned long)slept.blocks,
           (unsigned long)slept.wakes);
    ck_assert_uint_gt(slept.blocks, 0);
    end();
}

static const struct ring_ops *const waited_at[] = {&ring_fusion_spsc_ops, &ring_fusion_stream_ops,
                                                   &ring_fusion_mpmc_ops, &ring_locked_queue_ops};

START_TEST(messages_arrive_whoever_pauses)
{
    const uint64_t messages = is_soak() ? 100000000 : 1000000; // over all variants
    traffic(waited_at[_i / 2], 64, _i % 2, 32, 1, 1, messages / 16);
}
END_TEST

START_TEST(no_wake_up_is_lost_in_a_storm_of_sleeps)
{
    // Nobody looks twice, and two slots are full or empty all the time.
    traffic(waited_at[_i / 2], 2, _i % 2, 0, 1, 1, is_soak() ? 10000000 : 4000);
}
END_TEST

START_TEST(several_receivers_and_senders_share_the_wake_ups)
{
    const struct ring_ops *const many[] = {&ring_fusion_mpmc_ops, &ring_locked_queue_ops};
    traffic(many[_i / 2], 4, _i % 2, 0, 3, 3, is_soak() ? 10000000 : 6000);
}
END_TEST

// One wake-up for a batch, handed on.
START_TEST(batch_wakes_as_many_receivers_as_it_has_messages)
{
    struct ring_message batch[4] = {{.length = 8, .payload = {1}},
                                    {.length = 8, .payload = {2}},
                                    {.length = 8, .payload = {3}},
                                    {.length = 8, .payload = {4}}};
    size_t sent;
    begin(&ring_fusion_mpmc_ops, 8, false, 0);
    for (unsigned i = 0; i < 4; i++) {
        workers[i] = (struct worker){.number = i};
        start(i, receiving);
    }
    await_sleepers(RING_RECEIVERS, 4);
    ck_assert_int_eq(ring_wait_send_batch(wait.ops, &wait, batch, 4, &sent), STATUS_OK);
    ck_assert_uint_eq(sent, 4);
    for (unsigned turn = 0; turn < 100000 && wait.ops->free_slots(subject.ring) < 8; turn++)
        usleep(100);
    ck_assert_uint_eq(wait.ops->free_slots(subject.ring), 8);
    ring_wait_close(&wait);
    for (unsigned i = 0; i < 4; i++)
        join(i);
    end();
}
END_TEST

// ---- time, end, death ---------------------------------------------------------------------------

START_TEST(wait_ends_when_its_time_is_up)
{
    uint64_t payload[RING_PAYLOAD_MOST / 8];
    begin(waited_at[_i], 2, true, 4);
    const uint64_t until = in_ms(5);
    ck_assert_int_eq(receive(payload, until), STATUS_TIMEOUT);
    ck_assert_uint_ge(waiter.now_ns(waiter.place), until);
    ck_assert_uint_gt(statistics(RING_RECEIVERS).blocks, 0);
    ck_assert_int_eq(send(1, in_ms(5)), STATUS_OK);
    ck_assert_int_eq(send(2, in_ms(5)), STATUS_OK);
    const uint64_t full_until = in_ms(5);
    ck_assert_int_eq(send(3, full_until), STATUS_TIMEOUT);
    ck_assert_uint_ge(waiter.now_ns(waiter.place), full_until);
    ck_assert_int_eq(receive(payload, 1), STATUS_OK); // past: what is there is taken
    ck_assert_uint_eq(payload[0], 1);
    end();
}
END_TEST

START_TEST(time_of_zero_never_sleeps)
{
    uint64_t payload[RING_PAYLOAD_MOST / 8];
    begin(waited_at[_i], 2, false, 4);
    ck_assert_int_eq(receive(payload, 0), STATUS_TIMEOUT);
    ck_assert_uint_eq(statistics(RING_RECEIVERS).sleeps, 0);
    end();
}
END_TEST

START_TEST(close_wakes_all_who_wait)
{
    begin(&ring_fusion_mpmc_ops, 2, _i, 0);
    for (unsigned i = 0; i < 4; i++) {
        workers[i] = (struct worker){.number = i};
        start(i, receiving);
    }
    await_sleepers(RING_RECEIVERS, 4);
    ring_wait_close(&wait);
    for (unsigned i = 0; i < 4; i++) {
        join(i);
        ck_assert_int_eq(workers[i].status, STATUS_CLOSED);
    }
    ck_assert_uint_eq(statistics(RING_RECEIVERS).wakes, 4);
    end();
}
END_TEST

START_TEST(close_ends_the_wait_for_room)
{
    begin(waited_at[_i], 2, false, 0);
    workers[0] = (struct worker){.number = 0, .count = 5};
    start(0, sending);
    await_sleepers(RING_SENDERS, 1);
    ring_wait_close(&wait);
    join(0);
    ck_assert_int_eq(workers[0].status, STATUS_CLOSED);
    end();
}
END_TEST

START_TEST(what_was_sent_before_the_end_is_received_after_it)
{
    uint64_t payload[RING_PAYLOAD_MOST / 8];
    begin(waited_at[_i], 4, false, 0);
    ck_assert_int_eq(send(7, 0), STATUS_OK);
    ring_wait_died(&wait, RING_SENDERS);
    ck_assert_int_eq(receive(payload, RING_FOREVER), STATUS_OK);
    ck_assert_uint_eq(payload[0], 7);
    ck_assert_int_eq(receive(payload, RING_FOREVER), STATUS_DEAD);
    ring_wait_close(&wait); // the first end stays
    const enum status status = receive(payload, RING_FOREVER);
    ck_assert(status == STATUS_DEAD || (wait.ops->close != NULL && status == STATUS_CLOSED));
    end();
}
END_TEST

START_TEST(death_of_the_peer_ends_the_wait)
{
    begin(waited_at[_i], 2, true, 0);
    workers[0] = (struct worker){.number = 0};
    start(0, receiving);
    await_sleepers(RING_RECEIVERS, 1);
    ring_wait_died(&wait, RING_SENDERS);
    join(0);
    ck_assert_int_eq(workers[0].status, STATUS_DEAD);
    workers[1] = (struct worker){.number = 1, .count = 5};
    start(1, sending);
    await_sleepers(RING_SENDERS, 1);
    ring_wait_died(&wait, RING_RECEIVERS);
    join(1);
    ck_assert_int_eq(workers[1].status, STATUS_DEAD);
    end();
}
END_TEST

// ---- fast path, misuse --------------------------------------------------------------------------

START_TEST(nobody_sleeps_and_nobody_pays_where_there_is_a_barrier)
{
    uint64_t payload[RING_PAYLOAD_MOST / 8];
    begin(waited_at[_i], 4, true, 0);
    ck_assert_uint_eq(wait.sides[RING_RECEIVERS].watch, waiter.barrier != NULL ? 0 : 1);
    for (unsigned i = 0; i < 100; i++) {
        ck_assert_int_eq(send(i, 0), STATUS_OK);
        ck_assert_int_eq(receive(payload, 0), STATUS_OK);
        ck_assert_uint_eq(payload[0], i);
    }
    ck_assert_uint_eq(statistics(RING_RECEIVERS).sleeps, 0);
    ck_assert_uint_eq(statistics(RING_RECEIVERS).wakes, 0);
    end();
}
END_TEST

START_TEST(statuses_of_the_ring_pass_through)
{
    const uint64_t payload[8] = {0};
    begin(waited_at[_i], 4, false, 0);
    ck_assert_int_eq(ring_wait_send(wait.ops, &wait, payload, RING_PAYLOAD_MOST + 1, RING_FOREVER),
                     STATUS_TOO_LARGE);
    end();
}
END_TEST

// A barrier that cannot say: sleeps are short, and end with a look.
static bool cannot_say(void *place)
{
    (void)place;
    return false;
}

static void never_wake(void *place, void *who)
{
    (void)place;
    (void)who;
}

static void *send_late(void *worker)
{
    struct worker *self = worker;
    test_cpu_enter(self->number + 1);
    usleep(3000);
    self->status = send(9, 0);
    return NULL;
}

START_TEST(sleep_without_a_barrier_ends_by_itself)
{
    uint64_t payload[RING_PAYLOAD_MOST / 8];
    begin(&ring_fusion_spsc_ops, 4, false, 0);
    waiter.barrier = cannot_say;
    waiter.wake = never_wake;
    ring_wait_init(&wait, subject.ops, subject.ring, 4, &waiter);
    workers[0] = (struct worker){.number = 0};
    start(0, send_late);
    ck_assert_int_eq(receive(payload, RING_FOREVER), STATUS_OK);
    ck_assert_uint_eq(payload[0], 9);
    join(0);
    end();
}
END_TEST

START_TEST(waiter_that_is_none_panics)
{
    begin(&ring_fusion_spsc_ops, 4, false, 0);
    ring_wait_init(&wait, subject.ops, subject.ring, 4, NULL);
}
END_TEST

START_TEST(side_that_is_none_panics)
{
    begin(&ring_fusion_spsc_ops, 4, false, 0);
    ring_wait_died(&wait, RING_SIDES);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ring_wait");
    TCase *tests = tcase_create("wait");
    const int kinds = (int)ARRAY_COUNT(waited_at);
    tcase_set_timeout(tests, is_soak() ? 7200 : 300);
    tcase_add_loop_test(tests, messages_arrive_whoever_pauses, 0, 2 * kinds);
    tcase_add_loop_test(tests, no_wake_up_is_lost_in_a_storm_of_sleeps, 0, 2 * kinds);
    tcase_add_loop_test(tests, several_receivers_and_senders_share_the_wake_ups, 0, 4);
    tcase_add_test(tests, batch_wakes_as_many_receivers_as_it_has_messages);
    tcase_add_loop_test(tests, wait_ends_when_its_time_is_up, 0, kinds);
    tcase_add_loop_test(tests, time_of_zero_never_sleeps, 0, kinds);
    tcase_add_loop_test(tests, close_wakes_all_who_wait, 0, 2);
    tcase_add_loop_test(tests, close_ends_the_wait_for_room, 0, kinds);
    tcase_add_loop_test(tests, what_was_sent_before_the_end_is_received_after_it, 0, kinds);
    tcase_add_loop_test(tests, death_of_the_peer_ends_the_wait, 0, kinds);
    tcase_add_loop_test(tests, nobody_sleeps_and_nobody_pays_where_there_is_a_barrier, 0, kinds);
    tcase_add_loop_test(tests, statuses_of_the_ring_pass_through, 0, kinds);
    tcase_add_test(tests, sleep_without_a_barrier_ends_by_itself);
    tcase_add_test_raise_signal(tests, waiter_that_is_none_panics, SIGABRT);
    tcase_add_test_raise_signal(tests, side_that_is_none_panics, SIGABRT);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
