// SPDX-License-Identifier: MIT
// Devices that err, dawdle, lie and vanish: every request ends, within the stated bound.
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "block_subject.h"
#include "driver_variants.h"
#include "random.h"
#include "run_checks.h"
#include "seed.h"
#include "test_platform.h"

static void begin(struct subject *subject)
{
    subject_prepare(subject, 1);
    subject_start(subject);
}

static void submit(struct subject *subject, struct reading *reading, uint64_t first)
{
    reading_init(reading, first, 1);
    ck_assert_int_eq(block_submit_request(subject->device, 0, &reading->request), STATUS_OK);
}

enum way { BY_POLLING, BY_HYBRID, BY_SLEEPING, WAYS };

static enum status wait_by(struct subject *subject, struct reading *reading, enum way way)
{
    if (way == BY_POLLING)
        return block_poll_wait(subject->device, &reading->request);
    if (way == BY_HYBRID)
        return block_hybrid_wait(subject->device, &reading->request, &subject->waiter);
    return block_wait_interrupt(subject->device, &reading->request, &subject->waiter);
}

// Polling with made-up time takes a tick a look; with this much each, the bounds come soon.
static struct subject *hasty;

static uint64_t hasty_ticks(void *context)
{
    (void)context;
    return hasty->time.now += 100 * MICROSECOND;
}

static void hurry(struct subject *subject)
{
    hasty = subject;
    subject->disk->config.clock.ticks = hasty_ticks;
    subject->device->config.clock.ticks = hasty_ticks;
}

START_TEST(the_devices_error_is_the_requests_status)
{
    struct subject subject;
    begin(&subject);
    subject.misbehaving.bad_block = 50;
    struct reading bad, good;
    submit(&subject, &bad, 50);
    submit(&subject, &good, 51);
    ck_assert_int_eq(wait_by(&subject, &bad, _i), STATUS_FAILED);
    ck_assert_uint_eq(bad.request.device_status, DEVICE_WORDS);
    ck_assert_int_eq(wait_by(&subject, &good, _i), STATUS_OK);
    ck_assert(reading_is_right(&good));
    ck_assert_uint_eq(subject_statistics(&subject).failed, 1);
    reading_free(&bad);
    reading_free(&good);
    subject_free(&subject);
}
END_TEST

START_TEST(a_request_that_never_completes_is_aborted)
{
    struct subject subject;
    begin(&subject);
    hurry(&subject);
    subject.misbehaving.swallows = true;
    struct reading reading;
    submit(&subject, &reading, 5);
    const uint64_t start = subject.time.now;
    ck_assert_int_eq(wait_by(&subject, &reading, _i), STATUS_TIMEOUT);
    ck_assert_uint_ge(subject.time.now - start, BLOCK_TIMEOUT_NS);
    ck_assert_uint_lt(subject.time.now - start, BLOCK_TIMEOUT_NS + 2 * BLOCK_SLEEP_NS);
    const struct block_statistics statistics = subject_statistics(&subject);
    ck_assert_uint_eq(statistics.timeouts, 1);
    ck_assert_uint_eq(statistics.aborts, 1);
    ck_assert_uint_eq(subject.misbehaving.reset_count, 0);
    // The device goes on.
    subject.misbehaving.swallows = false;
    reading_free(&reading);
    submit(&subject, &reading, 6);
    ck_assert_int_eq(wait_by(&subject, &reading, _i), STATUS_OK);
    reading_free(&reading);
    subject_free(&subject);
}
END_TEST

// The abort refused, or granted and not carried out; in each way to wait.
START_TEST(a_device_that_does_not_abort_is_reset)
{
    struct subject subject;
    begin(&subject);
    hurry(&subject);
    const enum way way = (enum way)(_i / 2);
    subject.misbehaving.swallows = true;
    subject.misbehaving.abort_fails = _i % 2 == 0;
    subject.misbehaving.ignores_abort = true;
    struct reading late, innocent;
    submit(&subject, &late, 5);
    const uint64_t start = subject.time.now;
    subject.time.now += BLOCK_TIMEOUT_NS / 2;
    submit(&subject, &innocent, 6);
    ck_assert_int_eq(wait_by(&subject, &late, way), STATUS_TIMEOUT);
    ck_assert_uint_le(subject.time.now - start, block_bound_ns(subject.device));
    // Ended by the same reset; it may be tried again, and then it works.
    ck_assert(block_done(&innocent.request));
    ck_assert_int_eq(wait_by(&subject, &innocent, way), STATUS_ABORTED);
    ck_assert_uint_eq(subject.misbehaving.reset_count, 1);
    ck_assert_int_eq(block_device_state(subject.device), BLOCK_DEVICE_RUNNING);
    subject.misbehaving.swallows = false;
    ck_assert_int_eq(block_submit_request(subject.device, 0, &innocent.request), STATUS_OK);
    ck_assert_int_eq(wait_by(&subject, &innocent, way), STATUS_OK);
    ck_assert(reading_is_right(&innocent));
    reading_free(&late);
    reading_free(&innocent);
    subject_free(&subject);
}
END_TEST

static struct subject *in_reset;

static void *flush_and_change_modes(void *unused)
{
    test_cpu_enter(1);
    block_flush_batch(in_reset->device, 0);
    block_set_mode(in_reset->device, 0, BLOCK_INTERRUPT, false);
    block_set_mode(in_reset->device, 0, BLOCK_BATCH, false);
    block_set_mode(in_reset->device, 0, BLOCK_POLLING, false);
    return unused;
}

static void from_another_thread(struct misbehaving *device)
{
    pthread_t thread;
    const unsigned submits = device->submits, arms = device->arms, disarms = device->disarms;
    ck_assert_int_eq(pthread_create(&thread, NULL, flush_and_change_modes, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq(device->submits, submits);
    ck_assert_uint_eq(device->arms, arms);
    ck_assert_uint_eq(device->disarms, disarms);
    // It works again.
    device->swallows = false;
    device->health = BLOCK_HEALTHY;
}

// In each of the modes before the reset, so that interrupts are let in, or not.
START_TEST(a_device_in_reset_is_left_alone_and_gets_the_batch_afterwards)
{
    struct subject subject;
    begin(&subject);
    hurry(&subject);
    in_reset = &subject;
    subject.misbehaving.swallows = true;
    subject.misbehaving.health = BLOCK_NEEDS_RESET;
    subject.misbehaving.meanwhile = from_another_thread;
    block_set_mode(subject.device, 0, (enum block_mode)_i, false);
    struct reading sent, gathered;
    submit(&subject, &sent, 5);
    reading_init(&gathered, 100, 1);
    subject.device->batch_ticks = BLOCK_TIMEOUT_NS; // not by itself
    ck_assert_int_eq(block_batch_operation(subject.device, 0, &gathered.request), STATUS_OK);
    ck_assert_int_eq(block_poll_wait(subject.device, &sent.request), STATUS_ABORTED);
    ck_assert_uint_eq(subject.misbehaving.reset_count, 1);
    ck_assert_uint_eq(subject.device->queues[0].batch_count, 0);
    ck_assert_uint_eq(subject.misbehaving.submits, 2);
    ck_assert_int_eq(block_poll_wait(subject.device, &gathered.request), STATUS_OK);
    ck_assert(reading_is_right(&gathered));
    ck_assert_uint_eq(subject_statistics(&subject).strays, 0);
    reading_free(&sent);
    reading_free(&gathered);
    subject_free(&subject);
}
END_TEST

START_TEST(a_device_that_cannot_be_reset_fails_everything)
{
    struct subject subject;
    begin(&subject);
    hurry(&subject);
    subject.misbehaving.health = BLOCK_NEEDS_RESET;
    subject.misbehaving.swallows = true;
    subject.misbehaving.full_after = 2;
    subject.misbehaving.resets = STATUS_FAILED;
    struct reading readings[12];
    for (unsigned i = 0; i < 6; i++) // two at the device, four in the backlog
        submit(&subject, &readings[i], i);
    for (unsigned i = 6; i < 12; i++) { // in the batch
        reading_init(&readings[i], i, 1);
        ck_assert_int_eq(block_batch_operation(subject.device, 0, &readings[i].request), STATUS_OK);
    }
    for (unsigned i = 0; i < 12; i++) {
        ck_assert_int_eq(wait_by(&subject, &readings[11 - i], _i), STATUS_FAILED);
        reading_free(&readings[11 - i]);
    }
    ck_assert_int_eq(block_device_state(subject.device), BLOCK_DEVICE_FAILED);
    ck_assert_uint_eq(subject.misbehaving.reset_count, 1);
    reading_init(&readings[0], 1, 1);
    ck_assert_int_eq(block_submit_request(subject.device, 0, &readings[0].request), STATUS_FAILED);
    reading_free(&readings[0]);
    subject_free(&subject);
}
END_TEST

START_TEST(a_device_that_vanishes_closes_everything_soon)
{
    struct subject subject;
    begin(&subject);
    struct reading readings[6];
    subject.misbehaving.swallows = true;
    for (unsigned i = 0; i < 4; i++)
        submit(&subject, &readings[i], 2 * i);
    for (unsigned i = 4; i < 6; i++) { // merged
        reading_init(&readings[i], 10 + i, 1);
        ck_assert_int_eq(block_batch_operation(subject.device, 0, &readings[i].request), STATUS_OK);
    }
    block_flush_batch(subject.device, 0);
    subject.misbehaving.health = BLOCK_GONE;
    const uint64_t start = subject.time.now;
    for (unsigned i = 0; i < 6; i++) {
        ck_assert_int_eq(wait_by(&subject, &readings[5 - i], _i), STATUS_CLOSED);
        reading_free(&readings[5 - i]);
    }
    ck_assert_uint_le(subject.time.now - start, BLOCK_SLEEP_NS + 2 * BLOCK_HEALTH_NS);
    ck_assert_int_eq(block_device_state(subject.device), BLOCK_DEVICE_GONE);
    reading_init(&readings[0], 1, 1);
    ck_assert_int_eq(block_submit_request(subject.device, 0, &readings[0].request), STATUS_CLOSED);
    ck_assert_int_eq(block_batch_operation(subject.device, 0, &readings[0].request), STATUS_CLOSED);
    reading_free(&readings[0]);
    const struct block_statistics statistics = subject_statistics(&subject);
    ck_assert_uint_eq(statistics.completed, statistics.submitted);
    subject_free(&subject);
}
END_TEST

#define RESET_NS UINT64_C(3000000000)

static struct test_time *resetting;

static void take_long(struct misbehaving *device)
{
    resetting->now += RESET_NS;
    device->health = BLOCK_HEALTHY;
}

// All that a request can live through, each for as long as it may take: a batch, a reset that
// another queue's request brings about, the backlog, a command of several that fails at the last
// moment, the backlog once more, an abort in vain, a reset.
START_TEST(the_longest_life_of_a_request_is_within_the_bound)
{
    struct subject subject;
    struct reading parts[2], other;
    subject_prepare(&subject, 2);
    struct block_facts facts;
    struct misbehaving *const device = &subject.misbehaving;
    ck_assert_int_eq(ram_disk_ops.identify(subject.disk, &facts), STATUS_OK);
    facts.reset_ns = RESET_NS;
    device->facts = &facts;
    device->meanwhile = take_long;
    resetting = &subject.time;
    subject_start(&subject);
    const uint64_t start = subject.time.now, nearly = BLOCK_TIMEOUT_NS - BLOCK_HEALTH_NS;
    reading_init(&other, 100, 1);
    ck_assert_int_eq(block_submit_request(subject.device, 1, &other.request), STATUS_OK);
    for (unsigned i = 0; i < 2; i++) {
        reading_init(&parts[i], 10 + i, 1);
        ck_assert_int_eq(block_batch_operation(subject.device, 0, &parts[i].request), STATUS_OK);
    }
    device->refuses = STATUS_FULL;
    device->swallows = true;
    device->health = BLOCK_NEEDS_RESET;
    subject.time.now += 2 * BLOCK_HEALTH_NS;
    block_poll(subject.device, 1);
    ck_assert_int_eq(other.request.status, STATUS_ABORTED);
    for (unsigned turn = 0; turn < 2; turn++) {
        subject.time.now += nearly;
        device->refuses = STATUS_OK;
        device->swallows = device->ignores_abort = turn == 1;
        block_poll(subject.device, 0);
        device->bad_block = turn == 0 ? 11 : UINT64_MAX;
        if (turn == 0) {
            subject.time.now += nearly;
            device->refuses = STATUS_FULL;
            block_poll(subject.device, 0);
        }
    }
    ck_assert_uint_eq(subject_statistics(&subject).split, 1);
    hurry(&subject);
    ck_assert_int_eq(wait_by(&subject, &parts[0], BY_POLLING), STATUS_TIMEOUT);
    ck_assert_uint_le(subject.time.now - start, block_bound_ns(subject.device));
    ck_assert_uint_gt(subject.time.now - start, block_bound_ns(subject.device) - RESET_NS);
    ck_assert_uint_eq(device->reset_count, 2);
    ck_assert_int_eq(wait_by(&subject, &parts[1], BY_POLLING), STATUS_TIMEOUT);
    reading_free(&parts[0]);
    reading_free(&parts[1]);
    reading_free(&other);
    subject_free(&subject);
}
END_TEST

START_TEST(a_backlog_that_gets_no_room_times_out)
{
    struct subject subject;
    begin(&subject);
    hurry(&subject);
    subject.misbehaving.refuses = STATUS_FULL;
    struct reading reading;
    submit(&subject, &reading, 3);
    const uint64_t start = subject.time.now;
    ck_assert_int_eq(wait_by(&subject, &reading, _i), STATUS_TIMEOUT);
    ck_assert_uint_le(subject.time.now - start, block_bound_ns(subject.device));
    reading_free(&reading);
    subject_free(&subject);
}
END_TEST

START_TEST(what_the_driver_refuses_is_told_at_once)
{
    struct subject subject;
    begin(&subject);
    subject.misbehaving.refuses = STATUS_REFUSED;
    struct reading readings[3];
    reading_init(&readings[0], 3, 1);
    ck_assert_int_eq(block_submit_request(subject.device, 0, &readings[0].request), STATUS_REFUSED);
    // In a batch, with the flush: a pair that is merged and one that is not.
    for (unsigned i = 0; i < 3; i++) {
        if (i > 0)
            reading_init(&readings[i], i == 1 ? 4 : 9, 1);
        ck_assert_int_eq(block_batch_operation(subject.device, 0, &readings[i].request), STATUS_OK);
    }
    block_flush_batch(subject.device, 0);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(block_poll_wait(subject.device, &readings[i].request), STATUS_REFUSED);
        reading_free(&readings[i]);
    }
    subject_free(&subject);
}
END_TEST

static unsigned told;

static void tell(struct block_request *request)
{
    (void)request;
    told++;
}

START_TEST(a_completion_that_comes_twice_is_counted_and_told_once)
{
    struct subject subject;
    begin(&subject);
    subject.misbehaving.repeats = true;
    struct reading readings[20];
    told = 0;
    for (unsigned i = 0; i < 20; i++) {
        reading_init(&readings[i], 3 * i, 1);
        readings[i].request.done = tell;
        ck_assert_int_eq(block_submit_request(subject.device, 0, &readings[i].request), STATUS_OK);
    }
    subject.time.now += MILLISECOND;
    ck_assert_uint_eq(block_poll(subject.device, 0), 20);
    ck_assert_uint_eq(told, 20);
    ck_assert_uint_eq(subject_statistics(&subject).strays, 20);
    for (unsigned i = 0; i < 20; i++)
        reading_free(&readings[i]);
    subject_free(&subject);
}
END_TEST

START_TEST(a_merged_completion_that_comes_twice_is_told_once_each)
{
    struct subject subject;
    begin(&subject);
    subject.misbehaving.repeats = true;
    struct reading readings[4];
    for (unsigned i = 0; i < 4; i++) {
        reading_init(&readings[i], i, 1);
        ck_assert_int_eq(block_batch_operation(subject.device, 0, &readings[i].request), STATUS_OK);
    }
    block_flush_batch(subject.device, 0);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_int_eq(block_poll_wait(subject.device, &readings[i].request), STATUS_OK);
        ck_assert(reading_is_right(&readings[i]));
        reading_free(&readings[i]);
    }
    ck_assert_uint_eq(subject_statistics(&subject).strays, 1);
    subject_free(&subject);
}
END_TEST

// Faults as they come, in any mode: each request ends, once, within the bound, and nothing is lost
// in the accounts.
START_TEST(whatever_goes_wrong_every_request_ends)
{
    struct random random = seeded_for(__func__);
    struct subject subject;
    begin(&subject);
    hurry(&subject);
    for (unsigned turn = 0; turn < 150; turn++) {
        struct misbehaving *device = &subject.misbehaving;
        device->swallows = random_below(&random, 4) == 0;
        device->abort_fails = random_below(&random, 4) == 0;
        device->ignores_abort = random_below(&random, 2) == 0;
        device->repeats = random_below(&random, 4) == 0;
        device->bad_block = random_below(&random, 100);
        device->full_after = (unsigned)random_below(&random, 10);
        device->health = random_below(&random, 10) == 0 ? BLOCK_NEEDS_RESET : BLOCK_HEALTHY;
        block_set_mode(subject.device, 0, (enum block_mode)random_below(&random, BLOCK_MODES),
                       random_below(&random, 2) == 0);
        struct reading readings[20];
        const uint64_t start = subject.time.now;
        for (unsigned i = 0; i < 20; i++) {
            reading_init(&readings[i], random_below(&random, 100), 1);
            readings[i].request.tolerant = true;
            const enum status status =
                random_below(&random, 2) == 0
                    ? block_start(subject.device, 0, &readings[i].request)
                    : block_batch_operation(subject.device, 0, &readings[i].request);
            ck_assert_int_eq(status, STATUS_OK);
        }
        for (unsigned i = 0; i < 20; i++) {
            const enum status status =
                wait_by(&subject, &readings[i], (enum way)random_below(&random, WAYS));
            ck_assert(status == STATUS_OK || status == STATUS_FAILED || status == STATUS_TIMEOUT ||
                      status == STATUS_ABORTED);
            ck_assert(status != STATUS_OK || reading_is_right(&readings[i]));
            const bool bad = readings[i].request.first == device->bad_block;
            ck_assert(status != STATUS_FAILED || bad);
        }
        // All were on their way at the same time, so one bound holds for all.
        ck_assert_uint_le(subject.time.now - start, 2 * block_bound_ns(subject.device));
        for (unsigned i = 0; i < 20; i++)
            reading_free(&readings[i]);
        const struct block_queue *queue = &subject.device->queues[0];
        ck_assert_uint_eq(queue->outstanding + queue->waiting + queue->batch_count, 0);
        ck_assert_uint_eq(queue->carriers_free, (1u << BLOCK_CARRIERS) - 1);
        ck_assert_uint_eq(queue->sleepers, 0);
        const struct block_statistics statistics = subject_statistics(&subject);
        ck_assert_uint_eq(statistics.submitted, 20 * (turn + 1));
        ck_assert_uint_eq(statistics.completed, 20 * (turn + 1));
    }
    subject_free(&subject);
}
END_TEST

// Opening goes through the device: whatever it fails at keeps the range closed. These tests are
// not built for writing, so even a good range stays so; block_guard's own tests open one.
START_TEST(a_device_is_opened_for_writing_by_programs_built_for_it_only)
{
    struct subject subject;
    begin(&subject);
    const char *reason;
    uint8_t *bytes = subject_pages(BLOCK_PROBE_BYTES);
    const struct block_segment memory = {
        .memory = bytes, .address = (uintptr_t)bytes, .bytes = BLOCK_PROBE_BYTES};
    const struct block_guard_wish wish = {.serial = RAM_DISK_SERIAL, .first = 100, .count = 10};
    ck_assert(block_guard_sign(subject.content + 100 * DISK_BLOCK, &wish));
    ck_assert_int_eq(
        block_open_for_writing(subject.device, &subject.guard, &wish, &memory, &reason),
        STATUS_REFUSED);
    ck_assert(!subject.guard.writable);
    free(bytes);
    subject_free(&subject);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("block_faults");
    TCase *all = tcase_create("faults");
    tcase_set_timeout(all, 60);
    suite_add_tcase(suite, all);
    tcase_add_loop_test(all, the_devices_error_is_the_requests_status, 0, WAYS);
    tcase_add_loop_test(all, a_request_that_never_completes_is_aborted, 0, WAYS);
    tcase_add_loop_test(all, a_device_that_does_not_abort_is_reset, 0, 2 * WAYS);
    tcase_add_loop_test(all, a_device_in_reset_is_left_alone_and_gets_the_batch_afterwards, 0,
                        BLOCK_MODES);
    tcase_add_loop_test(all, a_device_that_cannot_be_reset_fails_everything, 0, WAYS);
    tcase_add_loop_test(all, a_device_that_vanishes_closes_everything_soon, 0, WAYS);
    tcase_add_test(all, the_longest_life_of_a_request_is_within_the_bound);
    tcase_add_loop_test(all, a_backlog_that_gets_no_room_times_out, 0, WAYS);
    tcase_add_test(all, what_the_driver_refuses_is_told_at_once);
    tcase_add_test(all, a_completion_that_comes_twice_is_counted_and_told_once);
    tcase_add_test(all, a_merged_completion_that_comes_twice_is_told_once_each);
    tcase_add_test(all, whatever_goes_wrong_every_request_ends);
    tcase_add_test(all, a_device_is_opened_for_writing_by_programs_built_for_it_only);
    return run_checks(suite);
}
