// SPDX-License-Identifier: MIT
// Ways to wait for a request, and modes, over a RAM disk in made-up time.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "block_subject.h"
#include "driver_variants.h"
#include "run_checks.h"

static void begin(struct subject *subject)
{
    subject_prepare(subject, 1);
    subject_start(subject);
}

// ---- waiting ------------------------------------------------------------------------------------

START_TEST(polling_looks_and_never_sleeps)
{
    struct subject subject;
    begin(&subject);
    driver_polling_ops.begin(subject.device, 0);
    struct reading reading;
    reading_init(&reading, 3, 1);
    ck_assert_int_eq(block_submit_request(subject.device, 0, &reading.request), STATUS_OK);
    ck_assert(!block_poll_status(subject.device, &reading.request));
    ck_assert_int_eq(driver_polling_ops.wait(subject.device, &reading.request, &subject.waiter),
                     STATUS_OK);
    ck_assert(block_poll_status(subject.device, &reading.request));
    const struct block_statistics statistics = subject_statistics(&subject);
    ck_assert_uint_gt(statistics.polls, 10);
    ck_assert_uint_eq(statistics.sleeps, 0);
    ck_assert_uint_eq(statistics.interrupts, 0);
    ck_assert_uint_eq(subject.sleeper.sleeps, 0);
    reading_free(&reading);
    subject_free(&subject);
}
END_TEST

START_TEST(interrupt_mode_sleeps_once_and_looks_little)
{
    struct subject subject;
    begin(&subject);
    driver_interrupt_ops.begin(subject.device, 0);
    struct reading reading;
    reading_init(&reading, 3, 1);
    ck_assert_int_eq(block_submit_request(subject.device, 0, &reading.request), STATUS_OK);
    const uint64_t before = subject.time.now;
    ck_assert_int_eq(block_wait_interrupt(subject.device, &reading.request, &subject.waiter),
                     STATUS_OK);
    const struct block_statistics statistics = subject_statistics(&subject);
    ck_assert_uint_le(statistics.polls, 2);
    ck_assert_uint_eq(statistics.sleeps, 1);
    ck_assert_uint_eq(statistics.interrupts, 1);
    // Asleep for all of it but what the looks took.
    ck_assert_uint_gt(subject.sleeper.idle_ticks, (subject.time.now - before) * 9 / 10);
    struct block_controller_statistics controller;
    block_queue_controller(subject.device, 0, &controller);
    ck_assert_uint_lt(controller.spent_ticks, 2 * MICROSECOND);
    reading_free(&reading);
    subject_free(&subject);
}
END_TEST

// Latencies on either side of the bound.
START_TEST(hybrid_polls_for_five_microseconds_at_most_then_sleeps)
{
    static const uint64_t latencies[] = {0, 1000, 4000, 6000, 20000, 3000000};
    struct subject subject;
    subject_prepare(&subject, 1);
    subject.disk->latency = latencies[_i];
    subject.disk->command = 0;
    subject_start(&subject);
    driver_hybrid_ops.begin(subject.device, 0);
    struct reading reading;
    reading_init(&reading, 3, 1);
    ck_assert_int_eq(block_submit_request(subject.device, 0, &reading.request), STATUS_OK);
    ck_assert_int_eq(block_hybrid_wait(subject.device, &reading.request, &subject.waiter),
                     STATUS_OK);
    const struct block_statistics statistics = subject_statistics(&subject);
    ck_assert_uint_eq(statistics.sleeps, latencies[_i] > BLOCK_HYBRID_NS);
    struct block_controller_statistics controller;
    block_queue_controller(subject.device, 0, &controller);
    // The bound, and what a look costs on either side.
    ck_assert_uint_lt(controller.spent_ticks, BLOCK_HYBRID_NS + 30 * TICK_A_LOOK);
    // Interrupts are let in for the sleep only.
    ck_assert_uint_eq(subject.misbehaving.arms, 1 + (latencies[_i] > BLOCK_HYBRID_NS));
    ck_assert_uint_eq(subject.misbehaving.disarms, subject.misbehaving.arms);
    reading_free(&reading);
    subject_free(&subject);
}
END_TEST

START_TEST(a_sleeper_without_a_waiter_or_interrupts_polls)
{
    struct subject subject;
    subject_prepare(&subject, 1);
    struct block_facts facts;
    ck_assert_int_eq(ram_disk_ops.identify(subject.disk, &facts), STATUS_OK);
    facts.interrupts = _i == 0;
    subject.misbehaving.facts = &facts;
    subject_start(&subject);
    ck_assert_int_eq(block_mode(subject.device, 0), _i == 0 ? BLOCK_INTERRUPT : BLOCK_POLLING);
    struct reading reading;
    reading_init(&reading, 3, 1);
    ck_assert_int_eq(block_submit_request(subject.device, 0, &reading.request), STATUS_OK);
    ck_assert_int_eq(
        block_wait_interrupt(subject.device, &reading.request, _i == 0 ? NULL : &subject.waiter),
        STATUS_OK);
    ck_assert_uint_eq(subject_statistics(&subject).sleeps, 0);
    ck_assert_uint_eq(subject.misbehaving.arms, _i == 0 ? 1 : 0);
    reading_free(&reading);
    subject_free(&subject);
}
END_TEST

// ---- modes --------------------------------------------------------------------------------------

// Requests at a rate, one at a time, as the adaptive variant handles them.
static void load(struct subject *subject, uint64_t rate, uint64_t milliseconds)
{
    const uint64_t end = subject->time.now + milliseconds * MILLISECOND;
    uint64_t next = subject->time.now;
    for (uint64_t block = 0; next < end; next += 1000000000 / rate) {
        test_time_idle(&subject->time, next);
        struct reading reading;
        reading_init(&reading, block, 1);
        block = (block + 17) % DISK_BLOCKS;
        const struct driver_ops *ops = &driver_adaptive_ops;
        ck_assert_int_eq(ops->submit(subject->device, 0, &reading.request), STATUS_OK);
        ck_assert_int_eq(ops->wait(subject->device, &reading.request, &subject->waiter), STATUS_OK);
        reading_free(&reading);
    }
}

START_TEST(the_adaptive_variant_follows_three_phases)
{
    struct subject subject;
    subject_prepare(&subject, 1);
    subject.disk->latency = MICROSECOND;
    subject_start(&subject);
    driver_adaptive_ops.begin(subject.device, 0);
    load(&subject, 100, 2000);
    ck_assert_int_eq(block_mode(subject.device, 0), BLOCK_INTERRUPT);
    load(&subject, 5000, 1500);
    ck_assert_int_eq(block_mode(subject.device, 0), BLOCK_HYBRID);
    const uint64_t sleeps = subject_statistics(&subject).sleeps;
    load(&subject, 50000, 1200);
    ck_assert_int_eq(block_mode(subject.device, 0), BLOCK_POLLING);
    ck_assert(!subject.device->queues[0].armed);
    // Polling came soon: few of the last phase slept.
    ck_assert_uint_lt(subject_statistics(&subject).sleeps - sleeps, 30000);
    struct block_controller_statistics controller;
    block_queue_controller(subject.device, 0, &controller);
    ck_assert_uint_eq(controller.switches, 2);
    ck_assert_uint_eq(controller.operations, 200 + 7500 + 60000);
    // Nothing comes in: whoever still looks sees it go back.
    subject.time.now += 3000 * MILLISECOND;
    block_poll(subject.device, 0);
    ck_assert_int_eq(block_mode(subject.device, 0), BLOCK_INTERRUPT);
    ck_assert(subject.device->queues[0].armed);
    subject_free(&subject);
}
END_TEST

START_TEST(leaving_batch_mode_flushes_the_batch)
{
    struct subject subject;
    begin(&subject);
    driver_batch_ops.begin(subject.device, 0);
    struct reading reading;
    reading_init(&reading, 3, 1);
    ck_assert_int_eq(block_batch_operation(subject.device, 0, &reading.request), STATUS_OK);
    ck_assert_uint_eq(subject.misbehaving.submits, 0);
    block_set_mode(subject.device, 0, BLOCK_POLLING, false);
    ck_assert_uint_eq(subject.misbehaving.submits, 1);
    ck_assert_uint_eq(subject.misbehaving.rings, 1);
    ck_assert_int_eq(block_poll_wait(subject.device, &reading.request), STATUS_OK);
    reading_free(&reading);
    subject_free(&subject);
}
END_TEST

START_TEST(the_adaptive_variant_gathers_what_goes_on_and_can_wait)
{
    struct subject subject;
    begin(&subject);
    driver_adaptive_ops.begin(subject.device, 0);
    struct reading readings[16];
    uint64_t block = 0;
    for (unsigned turn = 0; turn < 100; turn++) {
        for (unsigned i = 0; i < 16; i++) {
            reading_init(&readings[i], block, 1);
            readings[i].request.tolerant = _i == 0;
            block = (block + 1) % (DISK_BLOCKS - 16);
            ck_assert_int_eq(driver_adaptive_ops.submit(subject.device, 0, &readings[i].request),
                             STATUS_OK);
        }
        driver_adaptive_ops.flush(subject.device, 0);
        for (unsigned i = 0; i < 16; i++) {
            ck_assert_int_eq(
                driver_adaptive_ops.wait(subject.device, &readings[i].request, &subject.waiter),
                STATUS_OK);
            ck_assert(reading_is_right(&readings[i]));
            reading_free(&readings[i]);
        }
        test_time_idle(&subject.time, subject.time.now + 5 * MILLISECOND);
    }
    // Those that cannot wait go at once, however well they would merge.
    ck_assert_int_eq(block_mode(subject.device, 0), _i == 0 ? BLOCK_BATCH : BLOCK_HYBRID);
    const struct block_statistics statistics = subject_statistics(&subject);
    ck_assert_uint_eq(statistics.completed, 1600);
    if (_i == 0)
        ck_assert_uint_lt(statistics.commands, 700);
    else
        ck_assert_uint_eq(statistics.commands, 1600);
    subject_free(&subject);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("block_modes");
    TCase *all = tcase_create("modes");
    tcase_set_timeout(all, 120);
    suite_add_tcase(suite, all);
    tcase_add_test(all, polling_looks_and_never_sleeps);
    tcase_add_test(all, interrupt_mode_sleeps_once_and_looks_little);
    tcase_add_loop_test(all, hybrid_polls_for_five_microseconds_at_most_then_sleeps, 0, 6);
    tcase_add_loop_test(all, a_sleeper_without_a_waiter_or_interrupts_polls, 0, 2);
    tcase_add_test(all, the_adaptive_variant_follows_three_phases);
    tcase_add_test(all, leaving_batch_mode_flushes_the_batch);
    tcase_add_loop_test(all, the_adaptive_variant_gathers_what_goes_on_and_can_wait, 0, 2);
    return run_checks(suite);
}
