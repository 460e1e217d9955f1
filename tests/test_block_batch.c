// SPDX-License-Identifier: MIT
// Batches against a plain model: what reaches the device, in which order, and who gets what.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "block_subject.h"
#include "random.h"
#include "run_checks.h"
#include "seed.h"

static void begin(struct subject *subject)
{
    subject_prepare(subject, 1);
    subject_start(subject);
    block_set_mode(subject->device, 0, BLOCK_BATCH, false);
}

static void gather(struct subject *subject, struct reading *reading, uint64_t first, uint32_t count)
{
    reading_init(reading, first, count);
    ck_assert_int_eq(block_batch_operation(subject->device, 0, &reading->request), STATUS_OK);
}

static void finish(struct subject *subject, struct reading *readings, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        ck_assert_int_eq(block_poll_wait(subject->device, &readings[i].request), STATUS_OK);
        ck_assert(reading_is_right(&readings[i]));
        reading_free(&readings[i]);
    }
}

// ---- the model ----------------------------------------------------------------------------------

struct range {
    uint64_t first;
    uint32_t count;
};

static int by_first(const void *a, const void *b)
{
    const struct range *one = a, *other = b;
    return one->first < other->first ? -1 : one->first > other->first;
}

// The commands that a batch becomes: sorted, joined where they touch, up to so many blocks and
// requests each, and so many joined ones. Says how many.
static unsigned commands_of(struct range *ranges, unsigned count, uint32_t most_blocks,
                            unsigned most_requests, struct range *commands)
{
    unsigned made = 0, joined = 0, carriers = 0;
    qsort(ranges, count, sizeof(*ranges), by_first);
    for (unsigned i = 0; i < count; i++) {
        struct range *last = made > 0 ? &commands[made - 1] : NULL;
        const bool touches = last != NULL && last->first + last->count == ranges[i].first &&
                             last->count + ranges[i].count <= most_blocks &&
                             joined < most_requests && (joined > 1 || carriers < BLOCK_CARRIERS);
        if (touches) {
            last->count += ranges[i].count;
            carriers += joined == 1;
            joined++;
        } else {
            commands[made++] = ranges[i];
            joined = 1;
        }
    }
    return made;
}

START_TEST(batches_reach_the_device_as_the_model_says)
{
    struct random random = seeded_for(__func__);
    struct subject subject;
    subject_prepare(&subject, 1);
    struct block_facts facts;
    ck_assert_int_eq(ram_disk_ops.identify(subject.disk, &facts), STATUS_OK);
    subject.misbehaving.facts = &facts;
    for (unsigned turn = 0; turn < 300; turn++) {
        facts.transfer_bytes = (uint32_t)(DISK_BLOCK * (4 + random_below(&random, 60)));
        facts.segments = (uint32_t)random_below(&random, 12) + 1;
        subject_start(&subject);
        block_set_mode(subject.device, 0, BLOCK_BATCH, false);
        subject.misbehaving.submits = 0;
        // Blocks of a small part of the disk, each once: a batch that reads one twice may keep
        // either in front.
        const unsigned count = (unsigned)random_below(&random, BLOCK_BATCH_MOST - 1) + 1;
        struct reading readings[BLOCK_BATCH_MOST];
        struct range ranges[BLOCK_BATCH_MOST], commands[BLOCK_BATCH_MOST];
        bool used[256] = {false};
        unsigned made = 0;
        while (made < count) {
            const uint64_t first = random_below(&random, 252);
            const uint32_t blocks = (uint32_t)random_below(&random, 4) + 1;
            bool free = true;
            for (uint32_t i = 0; i < blocks; i++)
                free = free && !used[first + i];
            // When little is free, single blocks are found before long.
            if (!free)
                continue;
            memset(used + first, true, blocks);
            ranges[made] = (struct range){first, blocks};
            gather(&subject, &readings[made++], first, blocks);
        }
        ck_assert_uint_eq(subject.misbehaving.submits, 0);
        ck_assert_uint_eq(block_flush_batch(subject.device, 0), count);
        const unsigned expected =
            commands_of(ranges, count, facts.transfer_bytes / DISK_BLOCK, facts.segments, commands);
        ck_assert_uint_eq(subject.misbehaving.submits, expected);
        for (unsigned i = 0; i < expected; i++) {
            ck_assert_uint_eq(subject.misbehaving.commands[i][0], commands[i].first);
            ck_assert_uint_eq(subject.misbehaving.commands[i][1], commands[i].count);
        }
        finish(&subject, readings, count);
        const struct block_statistics statistics = subject_statistics(&subject);
        ck_assert_uint_eq(statistics.merged, count - expected);
        ck_assert_uint_eq(statistics.commands, expected);
        ck_assert_uint_eq(statistics.batched, count);
        ck_assert_uint_eq(statistics.batches, 1);
        ck_assert_uint_eq(statistics.doorbells, 1);
    }
    subject_free(&subject);
}
END_TEST

// ---- accumulation and flush ---------------------------------------------------------------------

START_TEST(a_batch_accumulates_until_it_is_full)
{
    struct subject subject;
    begin(&subject);
    struct reading readings[BLOCK_BATCH_MOST];
    for (unsigned i = 0; i < BLOCK_BATCH_MOST; i++) {
        ck_assert_uint_eq(subject.misbehaving.submits, 0);
        gather(&subject, &readings[i], 100 + i, 1);
    }
    ck_assert_uint_eq(subject.misbehaving.submits, 1);
    ck_assert_uint_eq(subject.misbehaving.rings, 1);
    ck_assert_uint_eq(block_flush_batch(subject.device, 0), 0);
    finish(&subject, readings, BLOCK_BATCH_MOST);
    subject_free(&subject);
}
END_TEST

START_TEST(a_batch_is_flushed_when_asked_to)
{
    struct subject subject;
    begin(&subject);
    struct reading readings[3];
    for (unsigned i = 0; i < 3; i++)
        gather(&subject, &readings[i], 500 - 100 * i, 1);
    ck_assert_uint_eq(block_flush_batch(subject.device, 0), 3);
    ck_assert_uint_eq(subject.misbehaving.submits, 3);
    ck_assert_uint_eq(subject.misbehaving.rings, 1);
    ck_assert_uint_eq(subject.misbehaving.commands[0][0], 300);
    finish(&subject, readings, 3);
    subject_free(&subject);
}
END_TEST

// By a look, by another request, by a waiter that sleeps and by one that polls.
START_TEST(a_batch_is_flushed_when_its_time_is_over)
{
    struct subject subject;
    begin(&subject);
    struct reading readings[2];
    gather(&subject, &readings[0], 7, 1);
    const uint64_t start = subject.time.now;
    block_poll(subject.device, 0);
    ck_assert_uint_eq(subject.misbehaving.submits, 0);
    if (_i < 2)
        subject.time.now += BLOCK_BATCH_NS;
    if (_i == 0)
        block_poll(subject.device, 0);
    if (_i == 1)
        gather(&subject, &readings[1], 8, 1);
    if (_i == 2)
        ck_assert_int_eq(
            block_wait_interrupt(subject.device, &readings[0].request, &subject.waiter), STATUS_OK);
    if (_i == 3)
        ck_assert_int_eq(block_poll_wait(subject.device, &readings[0].request), STATUS_OK);
    ck_assert_uint_eq(subject.misbehaving.submits, 1);
    ck_assert_uint_ge(subject.time.now - start, BLOCK_BATCH_NS - TICK_A_LOOK);
    ck_assert_uint_lt(subject.time.now - start, BLOCK_BATCH_NS + 40 * MICROSECOND);
    finish(&subject, readings, _i == 1 ? 2 : 1);
    subject_free(&subject);
}
END_TEST

START_TEST(reversed_neighbours_save_seeks)
{
    struct subject subject;
    begin(&subject);
    struct reading readings[10];
    for (unsigned i = 0; i < 10; i++)
        gather(&subject, &readings[i], 100 - i, 1);
    block_flush_batch(subject.device, 0);
    const struct block_statistics statistics = subject_statistics(&subject);
    ck_assert_uint_eq(statistics.seeks_saved, 9);
    ck_assert_uint_eq(statistics.merged, 9);
    ck_assert_uint_eq(statistics.commands, 1);
    finish(&subject, readings, 10);
    subject_free(&subject);
}
END_TEST

// 16 pairs and 8 carriers: the rest goes alone, and carriers are used again.
START_TEST(without_a_free_carrier_requests_go_unmerged)
{
    struct subject subject;
    begin(&subject);
    for (unsigned turn = 0; turn < 5; turn++) {
        struct reading readings[BLOCK_BATCH_MOST];
        for (unsigned i = 0; i < BLOCK_BATCH_MOST; i++)
            gather(&subject, &readings[i], 10 * (i / 2) + i % 2, 1);
        ck_assert_uint_eq(subject.misbehaving.submits, (turn + 1) * (8 + 16));
        finish(&subject, readings, BLOCK_BATCH_MOST);
    }
    subject_free(&subject);
}
END_TEST

START_TEST(pieces_that_meet_inside_a_page_are_merged_only_by_devices_that_scatter)
{
    struct subject subject;
    subject_prepare(&subject, 1);
    struct block_facts facts;
    ck_assert_int_eq(ram_disk_ops.identify(subject.disk, &facts), STATUS_OK);
    facts.scatter = _i % 2 == 0;
    subject.misbehaving.facts = &facts;
    subject_start(&subject);
    // Next to each other in memory too, or not.
    const bool together = _i / 2 == 0;
    uint8_t *bytes = subject_pages(2 * PAGE_SIZE);
    struct block_segment segments[2];
    struct block_request requests[2];
    for (unsigned i = 0; i < 2; i++) {
        uint8_t *at = bytes + i * (together ? DISK_BLOCK : PAGE_SIZE);
        segments[i] =
            (struct block_segment){.memory = at, .address = (uintptr_t)at, .bytes = DISK_BLOCK};
        block_request_init(&requests[i], BLOCK_READ, 40 + i, 1, &segments[i], 1);
        ck_assert_int_eq(block_batch_operation(subject.device, 0, &requests[i]), STATUS_OK);
    }
    block_flush_batch(subject.device, 0);
    ck_assert_uint_eq(subject.misbehaving.submits, together || facts.scatter ? 1 : 2);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(block_poll_wait(subject.device, &requests[i]), STATUS_OK);
        for (unsigned byte = 0; byte < DISK_BLOCK; byte++)
            ck_assert_uint_eq(((uint8_t *)segments[i].memory)[byte],
                              pattern_at((40 + i) * DISK_BLOCK + byte));
    }
    free(bytes);
    subject_free(&subject);
}
END_TEST

START_TEST(a_bad_block_fails_the_one_request_that_holds_it)
{
    struct subject subject;
    begin(&subject);
    subject.misbehaving.bad_block = 113;
    struct reading readings[10];
    for (unsigned i = 0; i < 10; i++)
        gather(&subject, &readings[i], 100 + 2 * i, 2);
    block_flush_batch(subject.device, 0);
    ck_assert_uint_eq(subject.misbehaving.submits, 1);
    for (unsigned i = 0; i < 10; i++) {
        const bool bad = i == 6;
        ck_assert_int_eq(
            block_wait_interrupt(subject.device, &readings[i].request, &subject.waiter),
            bad ? STATUS_FAILED : STATUS_OK);
        ck_assert_uint_eq(readings[i].request.device_status, bad ? DEVICE_WORDS : 0);
        ck_assert(bad || reading_is_right(&readings[i]));
        reading_free(&readings[i]);
    }
    const struct block_statistics statistics = subject_statistics(&subject);
    ck_assert_uint_eq(statistics.split, 1);
    ck_assert_uint_eq(statistics.failed, 1);
    ck_assert_uint_eq(statistics.completed, 10);
    ck_assert_uint_eq(statistics.commands, 11);
    subject_free(&subject);
}
END_TEST

START_TEST(a_flush_sends_the_batch_before_it)
{
    struct subject subject;
    begin(&subject);
    subject.guard = (struct block_guard){.writable = true, .first = 0, .count = 1};
    struct reading reading;
    gather(&subject, &reading, 7, 1);
    struct block_request flush;
    block_request_init(&flush, BLOCK_FLUSH, 0, 0, NULL, 0);
    ck_assert_int_eq(block_batch_operation(subject.device, 0, &flush), STATUS_OK);
    ck_assert_uint_eq(subject.misbehaving.submits, 2);
    ck_assert_uint_eq(subject.misbehaving.commands[0][0], 7);
    ck_assert_int_eq(block_poll_wait(subject.device, &flush), STATUS_OK);
    finish(&subject, &reading, 1);
    subject_free(&subject);
}
END_TEST

// Writes of a batch: merged too, and only inside the range.
START_TEST(writes_stay_inside_the_open_range_when_merged)
{
    struct subject subject;
    begin(&subject);
    subject.guard = (struct block_guard){.writable = true, .first = 100, .count = 8};
    struct reading writings[10];
    for (unsigned i = 0; i < 10; i++) {
        reading_init(&writings[i], 99 + i, 1);
        writings[i].request.operation = BLOCK_WRITE;
        const bool inside = i > 0 && i < 9;
        ck_assert_int_eq(block_batch_operation(subject.device, 0, &writings[i].request),
                         inside ? STATUS_OK : STATUS_REFUSED);
    }
    block_flush_batch(subject.device, 0);
    ck_assert_uint_eq(subject.misbehaving.submits, 1);
    for (unsigned i = 1; i < 9; i++)
        ck_assert_int_eq(block_poll_wait(subject.device, &writings[i].request), STATUS_OK);
    ck_assert(subject_is_untouched(&subject, 100, 8));
    for (unsigned i = 0; i < 8 * DISK_BLOCK; i++)
        ck_assert_uint_eq(subject.content[100 * DISK_BLOCK + i], 0xa5);
    ck_assert_uint_eq(subject_statistics(&subject).refused, 2);
    for (unsigned i = 0; i < 10; i++)
        reading_free(&writings[i]);
    subject_free(&subject);
}
END_TEST

// Whoever scribbles over a request that waits does not get a write out of it.
START_TEST(a_request_that_became_a_write_while_it_waited_is_refused)
{
    struct subject subject;
    begin(&subject);
    struct reading reading;
    gather(&subject, &reading, 7, 1);
    reading.request.operation = BLOCK_WRITE;
    // The driver, which would refuse it too, is not even asked.
    subject.misbehaving.refuses = STATUS_CORRUPT;
    block_flush_batch(subject.device, 0);
    ck_assert_int_eq(block_poll_wait(subject.device, &reading.request), STATUS_REFUSED);
    ck_assert_uint_eq(subject.misbehaving.submits, 0);
    ck_assert(subject_is_untouched(&subject, 0, 0));
    reading_free(&reading);
    subject_free(&subject);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("block_batch");
    TCase *all = tcase_create("batch");
    tcase_set_timeout(all, 60);
    suite_add_tcase(suite, all);
    tcase_add_test(all, batches_reach_the_device_as_the_model_says);
    tcase_add_test(all, a_batch_accumulates_until_it_is_full);
    tcase_add_test(all, a_batch_is_flushed_when_asked_to);
    tcase_add_loop_test(all, a_batch_is_flushed_when_its_time_is_over, 0, 4);
    tcase_add_test(all, reversed_neighbours_save_seeks);
    tcase_add_test(all, without_a_free_carrier_requests_go_unmerged);
    tcase_add_loop_test(all, pieces_that_meet_inside_a_page_are_merged_only_by_devices_that_scatter,
                        0, 4);
    tcase_add_test(all, a_bad_block_fails_the_one_request_that_holds_it);
    tcase_add_test(all, a_flush_sends_the_batch_before_it);
    tcase_add_test(all, a_request_that_became_a_write_while_it_waited_is_refused);
    tcase_add_test(all, writes_stay_inside_the_open_range_when_merged);
    return run_checks(suite);
}
