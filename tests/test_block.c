// SPDX-License-Identifier: MIT
// The block layer over a RAM disk in made-up time: requests and their completions.
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "block_queue.h"
#include "block_subject.h"
#include "driver_variants.h"
#include "random.h"
#include "run_checks.h"
#include "seed.h"

#define OPS(name) &driver_##name##_ops,
static const struct driver_ops *const variants[] = {DRIVER_VARIANTS(OPS)};

static void begin(struct subject *subject)
{
    subject_prepare(subject, 1);
    subject_start(subject);
}

// ---- every variant ------------------------------------------------------------------------------

START_TEST(a_request_reads_its_blocks_and_nothing_else)
{
    struct random random = seeded_for(__func__);
    const struct driver_ops *ops = variants[_i];
    struct subject subject;
    begin(&subject);
    ops->begin(subject.device, 0);
    for (unsigned turn = 0; turn < 200; turn++) {
        const uint32_t count = (uint32_t)random_below(&random, 16) + 1;
        struct reading reading;
        reading_init(&reading, random_below(&random, DISK_BLOCKS - count), count);
        ck_assert_int_eq(ops->submit(subject.device, 0, &reading.request), STATUS_OK);
        ops->flush(subject.device, 0);
        ck_assert_int_eq(ops->wait(subject.device, &reading.request, &subject.waiter), STATUS_OK);
        ck_assert(block_done(&reading.request));
        ck_assert(reading_is_right(&reading));
        reading_free(&reading);
    }
    ck_assert_uint_eq(subject.misbehaving.submits, 200);
    ck_assert_uint_eq(subject.misbehaving.rings, 200);
    subject_free(&subject);
}
END_TEST

START_TEST(many_requests_on_their_way_all_end_in_any_order_of_waiting)
{
    struct random random = seeded_for(__func__);
    const struct driver_ops *ops = variants[_i];
    struct subject subject;
    begin(&subject);
    ops->begin(subject.device, 0);
    for (unsigned turn = 0; turn < 20; turn++) {
        struct reading readings[RAM_DISK_DEPTH];
        const size_t count = random_below(&random, RAM_DISK_DEPTH) + 1;
        for (size_t i = 0; i < count; i++) {
            reading_init(&readings[i], random_below(&random, DISK_BLOCKS - 4), 4);
            readings[i].request.tolerant = random_below(&random, 2) == 0;
            ck_assert_int_eq(ops->submit(subject.device, 0, &readings[i].request), STATUS_OK);
        }
        ops->flush(subject.device, 0);
        for (size_t i = 0; i < count; i++) {
            struct reading *reading = &readings[turn % 2 == 0 ? i : count - 1 - i];
            ck_assert_int_eq(ops->wait(subject.device, &reading->request, &subject.waiter),
                             STATUS_OK);
        }
        for (size_t i = 0; i < count; i++) {
            ck_assert(reading_is_right(&readings[i]));
            reading_free(&readings[i]);
        }
    }
    subject_free(&subject);
}
END_TEST

START_TEST(no_variant_writes)
{
    const struct driver_ops *ops = variants[_i];
    struct subject subject;
    begin(&subject);
    ops->begin(subject.device, 0);
    struct reading reading;
    reading_init(&reading, 7, 1);
    for (unsigned operation = BLOCK_WRITE; operation < 64; operation++) {
        reading.request.operation = operation;
        reading.request.count = operation == BLOCK_FLUSH ? 0 : 1;
        reading.request.segment_count = operation == BLOCK_FLUSH ? 0 : 1;
        const enum status status = ops->submit(subject.device, 0, &reading.request);
        ck_assert(status == STATUS_REFUSED || status == STATUS_INVALID);
        ck_assert(operation >= BLOCK_OPERATIONS || status == STATUS_REFUSED);
    }
    ck_assert_uint_eq(subject.misbehaving.submits, 0);
    ck_assert(subject_is_untouched(&subject, 0, 0));
    reading_free(&reading);
    subject_free(&subject);
}
END_TEST

START_TEST(variants_are_named_for_row_ids_and_say_their_mode)
{
    static const char *const names[] = {"interrupt", "polling",  "hybrid",
                                        "batch",     "adaptive", "floor"};
    const struct driver_ops *ops = variants[_i];
    struct subject subject;
    begin(&subject);
    ck_assert_str_eq(ops->about.name, names[_i]);
    ck_assert_uint_gt(strlen(ops->about.what), 10);
    ops->begin(subject.device, 0);
    ck_assert_int_eq(block_mode(subject.device, 0), ops->mode);
    ck_assert_int_eq(!subject.device->queues[0].controller.fixed, ops->adaptive);
    subject_free(&subject);
}
END_TEST

// ---- requests -----------------------------------------------------------------------------------

START_TEST(a_fresh_device_has_counted_nothing)
{
    const struct block_statistics zero = {0};
    struct subject subject;
    begin(&subject);
    const struct block_statistics statistics = subject_statistics(&subject);
    ck_assert_mem_eq(&statistics, &zero, sizeof(zero));
    ck_assert_int_eq(block_device_state(subject.device), BLOCK_DEVICE_RUNNING);
    ck_assert_int_eq(block_mode(subject.device, 0), BLOCK_INTERRUPT);
    subject_free(&subject);
}
END_TEST

START_TEST(a_request_that_is_wrong_is_not_taken_and_says_why)
{
    struct subject subject;
    begin(&subject);
    struct reading reading;
    reading_init(&reading, 0, 2);
    const struct block_request good = reading.request;
    struct block_segment halves[2] = {reading.segment, reading.segment};
    halves[0].bytes = halves[1].bytes = DISK_BLOCK;
    static struct block_segment many[BLOCK_CARRIER_SEGMENTS + 1];
    const struct {
        uint64_t first;
        uint32_t count;
        const struct block_segment *segments;
        uint32_t segment_count;
        uint32_t bytes; // of the first segment
        enum status status;
    } wrong[] = {
        {0, 0, &reading.segment, 1, 1024, STATUS_INVALID},
        {DISK_BLOCKS, 2, &reading.segment, 1, 1024, STATUS_INVALID},
        {DISK_BLOCKS - 1, 2, &reading.segment, 1, 1024, STATUS_INVALID},
        {UINT64_MAX, 2, &reading.segment, 1, 1024, STATUS_INVALID},
        {0, 2, &reading.segment, 1, 1023, STATUS_INVALID},
        {0, 2, &reading.segment, 1, 0, STATUS_INVALID},
        {0, 2, &reading.segment, 0, 1024, STATUS_INVALID},
        {0, 257, &reading.segment, 1, 257 * 512, STATUS_TOO_LARGE},
        {0, 2, many, BLOCK_CARRIER_SEGMENTS + 1, 1024, STATUS_TOO_LARGE},
        {0, 3, halves, 2, 1024, STATUS_INVALID},
    };
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        reading.request = good;
        reading.request.first = wrong[i].first;
        reading.request.count = wrong[i].count;
        reading.request.segments = wrong[i].segments;
        reading.request.segment_count = wrong[i].segment_count;
        reading.segment.bytes = wrong[i].bytes;
        ck_assert_int_eq(block_submit_request(subject.device, 0, &reading.request),
                         wrong[i].status);
        ck_assert_int_eq(block_batch_operation(subject.device, 0, &reading.request),
                         wrong[i].status);
        ck_assert_int_eq(block_start(subject.device, 0, &reading.request), wrong[i].status);
        ck_assert_uint_eq(reading.request.state, BLOCK_IDLE);
    }
    ck_assert_uint_eq(subject.misbehaving.submits, 0);
    ck_assert_uint_eq(subject_statistics(&subject).submitted, 0);
    reading_free(&reading);
    subject_free(&subject);
}
END_TEST

START_TEST(segments_that_a_device_cannot_gather_are_invalid)
{
    struct subject subject;
    subject_prepare(&subject, 1);
    struct block_facts facts;
    ck_assert_int_eq(ram_disk_ops.identify(subject.disk, &facts), STATUS_OK);
    facts.scatter = false;
    subject.misbehaving.facts = &facts;
    subject_start(&subject);
    uint8_t *pages = subject_pages(3 * PAGE_SIZE);
    const struct {
        uint32_t offset[2], bytes[2];
        enum status status;
    } shapes[] = {
        {{0, PAGE_SIZE}, {PAGE_SIZE, PAGE_SIZE}, STATUS_OK},
        {{512, PAGE_SIZE}, {PAGE_SIZE - 512, 512}, STATUS_OK},
        {{4, PAGE_SIZE}, {PAGE_SIZE - 4, 4}, STATUS_OK},
        {{0, PAGE_SIZE + 512}, {PAGE_SIZE, 512}, STATUS_INVALID},
        {{0, PAGE_SIZE}, {512, 512}, STATUS_INVALID},
        {{2, PAGE_SIZE}, {PAGE_SIZE - 2, 2}, STATUS_INVALID},
    };
    for (size_t i = 0; i < ARRAY_COUNT(shapes); i++) {
        struct block_segment segments[2];
        for (unsigned half = 0; half < 2; half++)
            segments[half] =
                (struct block_segment){.memory = pages + shapes[i].offset[half],
                                       .address = (uintptr_t)pages + shapes[i].offset[half],
                                       .bytes = shapes[i].bytes[half]};
        struct block_request request;
        const uint32_t bytes = shapes[i].bytes[0] + shapes[i].bytes[1];
        block_request_init(&request, BLOCK_READ, 8, bytes / DISK_BLOCK, segments, 2);
        ck_assert_int_eq(block_submit_request(subject.device, 0, &request), shapes[i].status);
        if (shapes[i].status == STATUS_OK)
            ck_assert_int_eq(block_poll_wait(subject.device, &request), STATUS_OK);
    }
    free(pages);
    subject_free(&subject);
}
END_TEST

START_TEST(times_of_a_request_are_in_order)
{
    struct subject subject;
    begin(&subject);
    struct reading reading;
    reading_init(&reading, 9, 1);
    const uint64_t before = subject.time.now;
    ck_assert_int_eq(block_submit_request(subject.device, 0, &reading.request), STATUS_OK);
    ck_assert_int_eq(block_poll_wait(subject.device, &reading.request), STATUS_OK);
    ck_assert_uint_gt(reading.request.queued_at, before);
    ck_assert_uint_ge(reading.request.submitted_at, reading.request.queued_at);
    ck_assert_uint_ge(reading.request.completed_at,
                      reading.request.submitted_at + 21 * MICROSECOND);
    ck_assert_uint_le(reading.request.completed_at, subject.time.now);
    reading_free(&reading);
    subject_free(&subject);
}
END_TEST

static unsigned told;

static void count_done(struct block_request *request)
{
    ck_assert(block_done(request));
    ck_assert_int_eq(request->status, STATUS_OK);
    told++;
}

START_TEST(a_done_function_is_called_once_by_whoever_looks)
{
    struct subject subject;
    begin(&subject);
    struct reading readings[20];
    for (unsigned i = 0; i < 20; i++) {
        reading_init(&readings[i], 10 * i, 1);
        readings[i].request.done = count_done;
        ck_assert_int_eq(block_submit_request(subject.device, 0, &readings[i].request), STATUS_OK);
    }
    ck_assert_uint_eq(block_poll(subject.device, 0), 0);
    subject.time.now += MILLISECOND;
    told = 0;
    // Half by the interrupt handler's way: both are one look at all that is done.
    if (_i == 0)
        block_interrupt(subject.device, 0);
    else
        ck_assert_uint_eq(block_poll(subject.device, 0), 20);
    ck_assert_uint_eq(told, 20);
    ck_assert_uint_eq(block_poll(subject.device, 0), 0);
    block_interrupt(subject.device, 0);
    ck_assert_uint_eq(told, 20);
    const struct block_statistics statistics = subject_statistics(&subject);
    ck_assert_uint_eq(statistics.submitted, 20);
    ck_assert_uint_eq(statistics.completed, 20);
    ck_assert_uint_eq(statistics.failed, 0);
    ck_assert_uint_eq(statistics.bytes, 20 * DISK_BLOCK);
    ck_assert_uint_eq(statistics.idle_interrupts, 1);
    for (unsigned i = 0; i < 20; i++)
        reading_free(&readings[i]);
    subject_free(&subject);
}
END_TEST

START_TEST(an_interrupt_that_finds_the_lock_held_is_served_when_it_is_opened)
{
    struct subject subject;
    begin(&subject);
    struct reading reading;
    reading_init(&reading, 3, 1);
    reading.request.done = count_done;
    ck_assert_int_eq(block_submit_request(subject.device, 0, &reading.request), STATUS_OK);
    told = 0;
    struct block_queue *queue = block_lock(subject.device, 0);
    subject.time.now += MILLISECOND;
    block_interrupt(subject.device, 0);
    ck_assert_uint_eq(told, 0);
    ck_assert_uint_eq(queue->statistics.interrupts, 0);
    block_unlock(subject.device, queue, NULL);
    ck_assert_uint_eq(told, 1);
    ck_assert_uint_eq(queue->statistics.interrupts, 1);
    reading_free(&reading);
    subject_free(&subject);
}
END_TEST

static struct subject *chained;
static unsigned links;

static void submit_next(struct block_request *request)
{
    request->first++;
    if (++links < 50)
        ck_assert_int_eq(block_submit_request(chained->device, 0, request), STATUS_OK);
}

START_TEST(a_done_function_may_submit_again)
{
    struct subject subject;
    begin(&subject);
    struct reading reading;
    reading_init(&reading, 0, 1);
    reading.request.done = submit_next;
    chained = &subject;
    links = 0;
    ck_assert_int_eq(block_submit_request(subject.device, 0, &reading.request), STATUS_OK);
    for (unsigned turn = 0; links < 50; turn++) {
        ck_assert_uint_lt(turn, 1000);
        subject.time.now += 10 * MICROSECOND;
        block_poll(subject.device, 0);
    }
    ck_assert_uint_eq(subject.misbehaving.submits, 50);
    reading_free(&reading);
    subject_free(&subject);
}
END_TEST

START_TEST(what_the_device_has_no_room_for_waits_in_order)
{
    struct subject subject;
    begin(&subject);
    subject.misbehaving.full_after = 3;
    struct reading readings[40];
    struct block_request *requests[40];
    unsigned taken;
    for (unsigned i = 0; i < 40; i++) {
        reading_init(&readings[i], 4000 - 10 * i, 1);
        requests[i] = &readings[i].request;
    }
    ck_assert_int_eq(block_submit_several(subject.device, 0, requests, 40, &taken), STATUS_OK);
    ck_assert_uint_eq(taken, 40);
    ck_assert_uint_eq(subject.misbehaving.rings, 1);
    for (unsigned i = 0; i < 40; i++)
        ck_assert_int_eq(block_poll_wait(subject.device, requests[i]), STATUS_OK);
    ck_assert_uint_eq(subject.misbehaving.submits, 40);
    for (unsigned i = 0; i < 40; i++) {
        ck_assert_uint_eq(subject.misbehaving.commands[i][0], 4000 - 10 * i);
        ck_assert(reading_is_right(&readings[i]));
        reading_free(&readings[i]);
    }
    ck_assert_uint_eq(subject_statistics(&subject).backlogged, 37);
    subject_free(&subject);
}
END_TEST

START_TEST(a_backlog_as_deep_as_the_queue_is_full)
{
    struct subject subject;
    begin(&subject);
    static struct reading readings[2 * RAM_DISK_DEPTH + 1];
    static struct block_request *requests[2 * RAM_DISK_DEPTH + 1];
    unsigned taken;
    for (unsigned i = 0; i < ARRAY_COUNT(readings); i++) {
        reading_init(&readings[i], i, 1);
        requests[i] = &readings[i].request;
    }
    ck_assert_int_eq(
        block_submit_several(subject.device, 0, requests, ARRAY_COUNT(readings), &taken),
        STATUS_FULL);
    ck_assert_uint_eq(taken, 2 * RAM_DISK_DEPTH);
    for (unsigned i = 0; i < taken; i++)
        ck_assert_int_eq(block_poll_wait(subject.device, requests[i]), STATUS_OK);
    for (unsigned i = 0; i < ARRAY_COUNT(readings); i++)
        reading_free(&readings[i]);
    subject_free(&subject);
}
END_TEST

START_TEST(a_long_read_is_cut_as_the_device_wants_it)
{
    struct subject subject;
    subject_prepare(&subject, 1);
    subject.disk->config.transfer_bytes = 3 * PAGE_SIZE + 512;
    subject_start(&subject);
    uint8_t *bytes = subject_pages(DISK_BLOCKS * DISK_BLOCK);
    const struct block_segment memory = {.memory = bytes, .address = (uintptr_t)bytes};
    ck_assert_int_eq(block_read(subject.device, 0, 5, 1000, &memory), STATUS_OK);
    ck_assert_mem_eq(bytes, subject.content + 5 * DISK_BLOCK, 1000 * DISK_BLOCK);
    ck_assert_uint_eq(subject.misbehaving.submits, 42); // 41 of 24 blocks, one of 16
    ck_assert_int_eq(block_read(subject.device, 0, DISK_BLOCKS - 5, 6, &memory), STATUS_INVALID);
    free(bytes);
    subject_free(&subject);
}
END_TEST

// ---- facts and misuse ---------------------------------------------------------------------------

START_TEST(facts_out_of_range_are_corrupt)
{
    struct subject subject;
    subject_prepare(&subject, 1);
    struct block_facts good, bad;
    ck_assert_int_eq(ram_disk_ops.identify(subject.disk, &good), STATUS_OK);
    subject.misbehaving.facts = &bad;
    const struct block_config config = subject_config(&subject);
    for (unsigned i = 0; i < 13; i++) {
        bad = good;
        uint32_t *const zeroed[] = {&bad.block_bytes, &bad.transfer_bytes, &bad.segments,
                                    &bad.queues, &bad.depth};
        static const uint32_t sizes[] = {256, 520, 8192, 513};
        if (i < 5)
            *zeroed[i] = 0;
        else if (i < 9)
            bad.block_bytes = sizes[i - 5];
        else if (i == 9)
            bad.blocks = 0;
        else if (i == 10)
            bad.blocks = UINT64_MAX / 512 + 1;
        else if (i == 11)
            memset(bad.serial, 'x', sizeof(bad.serial));
        else
            bad.reset_ns = BLOCK_RESET_NS_MOST + 1;
        ck_assert_int_eq(block_init(subject.device, &config, subject.memory, block_bytes(1)),
                         STATUS_CORRUPT);
    }
    bad = good;
    ck_assert_int_eq(block_init(subject.device, &config, subject.memory, block_bytes(1) - 1),
                     STATUS_NO_MEMORY);
    ck_assert_int_eq(block_init(subject.device, &config, subject.memory, block_bytes(1)),
                     STATUS_OK);
    subject_free(&subject);
}
END_TEST

START_TEST(a_request_submitted_twice_panics)
{
    struct subject subject;
    begin(&subject);
    struct reading reading;
    reading_init(&reading, 3, 1);
    ck_assert_int_eq(block_submit_request(subject.device, 0, &reading.request), STATUS_OK);
    block_submit_request(subject.device, 0, &reading.request);
}
END_TEST

START_TEST(a_queue_that_is_none_panics)
{
    struct subject subject;
    begin(&subject);
    struct reading reading;
    reading_init(&reading, 3, 1);
    block_submit_request(subject.device, 1, &reading.request);
}
END_TEST

START_TEST(waiting_for_what_was_never_submitted_panics)
{
    struct subject subject;
    begin(&subject);
    struct reading reading;
    reading_init(&reading, 3, 1);
    block_poll_wait(subject.device, &reading.request);
}
END_TEST

START_TEST(waiting_for_a_request_with_a_done_function_panics)
{
    struct subject subject;
    begin(&subject);
    struct reading reading;
    reading_init(&reading, 3, 1);
    reading.request.done = count_done;
    ck_assert_int_eq(block_submit_request(subject.device, 0, &reading.request), STATUS_OK);
    block_poll_wait(subject.device, &reading.request);
}
END_TEST

START_TEST(more_polling_than_five_microseconds_panics)
{
    struct subject subject;
    subject_prepare(&subject, 1);
    struct block_config config = subject_config(&subject);
    config.hybrid_ns = BLOCK_HYBRID_NS + 1;
    subject_start_with(&subject, &config);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("block");
    TCase *all = tcase_create("block");
    tcase_set_timeout(all, 120);
    suite_add_tcase(suite, all);
    const int count = (int)ARRAY_COUNT(variants);
    tcase_add_loop_test(all, a_request_reads_its_blocks_and_nothing_else, 0, count);
    tcase_add_loop_test(all, many_requests_on_their_way_all_end_in_any_order_of_waiting, 0, count);
    tcase_add_loop_test(all, no_variant_writes, 0, count);
    tcase_add_loop_test(all, variants_are_named_for_row_ids_and_say_their_mode, 0, count);
    tcase_add_test(all, a_fresh_device_has_counted_nothing);
    tcase_add_test(all, a_request_that_is_wrong_is_not_taken_and_says_why);
    tcase_add_test(all, segments_that_a_device_cannot_gather_are_invalid);
    tcase_add_test(all, times_of_a_request_are_in_order);
    tcase_add_loop_test(all, a_done_function_is_called_once_by_whoever_looks, 0, 2);
    tcase_add_test(all, an_interrupt_that_finds_the_lock_held_is_served_when_it_is_opened);
    tcase_add_test(all, a_done_function_may_submit_again);
    tcase_add_test(all, what_the_device_has_no_room_for_waits_in_order);
    tcase_add_test(all, a_backlog_as_deep_as_the_queue_is_full);
    tcase_add_test(all, a_long_read_is_cut_as_the_device_wants_it);
    tcase_add_test(all, facts_out_of_range_are_corrupt);
    tcase_add_test_raise_signal(all, a_request_submitted_twice_panics, SIGABRT);
    tcase_add_test_raise_signal(all, a_queue_that_is_none_panics, SIGABRT);
    tcase_add_test_raise_signal(all, waiting_for_what_was_never_submitted_panics, SIGABRT);
    tcase_add_test_raise_signal(all, waiting_for_a_request_with_a_done_function_panics, SIGABRT);
    tcase_add_test_raise_signal(all, more_polling_than_five_microseconds_panics, SIGABRT);
    return run_checks(suite);
}
