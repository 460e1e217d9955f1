// SPDX-License-Identifier: MIT
// Virtio disks that err, lie, dawdle and vanish: what the device says is never more than a claim.
#include <check.h>

#include "random.h"
#include "run_checks.h"
#include "seed.h"
#include "soak.h"
#include "virtio_storm.h"

#define SHAPES 4 // tables of their own or not, events or not

static void prepare(struct virtio_subject *subject, int shape)
{
    virtio_prepare(subject);
    subject->fake.step = STORM_STEP_NS;
    if ((shape & 1) != 0)
        subject->fake.offered &= ~VIRTIO_FEATURE_INDIRECT;
    if ((shape & 2) != 0)
        subject->fake.offered &= ~VIRTIO_FEATURE_EVENT;
}

static void begin(struct virtio_subject *subject, int shape)
{
    prepare(subject, shape);
    ck_assert_int_eq(virtio_begin(subject), STATUS_OK);
}

static void submit(struct virtio_subject *subject, struct virtio_reading *reading, uint64_t first)
{
    virtio_reading_set(subject, reading, first, 2, 1);
    ck_assert_int_eq(block_submit_request(subject->device, 0, &reading->request), STATUS_OK);
}

static enum status wait(struct virtio_subject *subject, struct virtio_reading *reading, bool asleep)
{
    const struct block_waiter waiter = virtio_waiter(subject);
    return asleep ? block_wait_interrupt(subject->device, &reading->request, &waiter)
                  : block_poll_wait(subject->device, &reading->request);
}

// ---- one misdeed --------------------------------------------------------------------------------

static const struct {
    enum misdeed misdeed;
    enum status status;
    bool resets;
    // Where it is counted.
    uint64_t jumps, ids, strays, unanswered, answers, lengths;
} outcomes[] = {
    {FAKE_WELL, STATUS_OK, false, 0, 0, 0, 0, 0, 0},
    {FAKE_ERROR, STATUS_FAILED, false, 0, 0, 0, 0, 0, 0},
    {FAKE_UNSUPPORTED, STATUS_FAILED, false, 0, 0, 0, 0, 0, 0},
    {FAKE_ODD_ANSWER, STATUS_CORRUPT, false, 0, 0, 0, 0, 1, 0},
    {FAKE_LONG, STATUS_CORRUPT, false, 0, 0, 0, 0, 0, 1},
    {FAKE_SHORT, STATUS_CORRUPT, false, 0, 0, 0, 0, 0, 1},
    {FAKE_SILENT, STATUS_TIMEOUT, true, 0, 0, 0, 0, 0, 0},
    {FAKE_NO_ANSWER, STATUS_ABORTED, true, 0, 0, 0, 1, 0, 0},
    {FAKE_WILD_ID, STATUS_ABORTED, true, 0, 1, 0, 0, 0, 0},
    {FAKE_LAST_ID, STATUS_ABORTED, true, 0, 1, 0, 0, 0, 0},
    {FAKE_FREE_ID, STATUS_ABORTED, true, 0, 0, 1, 0, 0, 0},
    {FAKE_TWICE, STATUS_ABORTED, true, 1, 0, 0, 0, 0, 0},
    {FAKE_FAR, STATUS_ABORTED, true, 1, 0, 0, 0, 0, 0},
    {FAKE_BACK, STATUS_ABORTED, true, 1, 0, 0, 0, 0, 0},
    {FAKE_NEEDS_RESET, STATUS_ABORTED, true, 0, 0, 0, 0, 0, 0},
    {FAKE_RESETS_ITSELF, STATUS_ABORTED, true, 0, 0, 0, 0, 0, 0},
};
#define OUTCOMES ((int)ARRAY_COUNT(outcomes))

static void check_counts(const struct virtio_subject *subject, int i)
{
    const struct virtio_block_queue *queue = &subject->driver->queues[0];
    ck_assert_uint_eq(queue->ring.faults.jumps, outcomes[i].jumps);
    ck_assert_uint_eq(queue->ring.faults.ids, outcomes[i].ids);
    ck_assert_uint_eq(queue->ring.faults.strays, outcomes[i].strays);
    ck_assert_uint_eq(queue->faults.unanswered, outcomes[i].unanswered);
    ck_assert_uint_eq(queue->faults.answers, outcomes[i].answers);
    ck_assert_uint_eq(queue->faults.lengths, outcomes[i].lengths);
}

START_TEST(a_misdeed_is_counted_and_ends_the_request_in_time)
{
    struct virtio_subject subject;
    struct virtio_reading reading;
    const int shape = _i % SHAPES, i = _i / SHAPES % OUTCOMES;
    const bool asleep = _i >= SHAPES * OUTCOMES;
    begin(&subject, shape);
    virtio_reading_make(&subject, &reading, PAGE_SIZE);
    subject.fake.misdeed = outcomes[i].misdeed;
    subject.fake.odd = (uint8_t)(_i * 37);
    const uint64_t start = subject.fake.now;
    submit(&subject, &reading, 20);
    ck_assert_int_eq(wait(&subject, &reading, asleep), outcomes[i].status);
    ck_assert_uint_le(subject.fake.now - start, block_bound_ns(subject.device));
    ck_assert_uint_eq(subject.device->resets, outcomes[i].resets);
    ck_assert_int_eq(block_device_state(subject.device), BLOCK_DEVICE_RUNNING);
    check_counts(&subject, i);
    // And then it goes on.
    subject.fake.misdeed = FAKE_WELL;
    submit(&subject, &reading, 30);
    ck_assert_int_eq(wait(&subject, &reading, asleep), STATUS_OK);
    ck_assert(virtio_reading_is_right(&subject, &reading));
    ck_assert_uint_eq(subject.fake.isolated, 0);
    virtio_end(&subject);
}
END_TEST

START_TEST(the_devices_words_are_the_requests)
{
    struct virtio_subject subject;
    struct virtio_reading reading;
    begin(&subject, 0);
    virtio_reading_make(&subject, &reading, PAGE_SIZE);
    subject.fake.misdeed = _i == 1 ? FAKE_ERROR : FAKE_UNSUPPORTED;
    submit(&subject, &reading, 20);
    ck_assert_int_eq(wait(&subject, &reading, false), STATUS_FAILED);
    ck_assert_uint_eq(reading.request.device_status, (unsigned)_i);
    virtio_end(&subject);
}
END_TEST

START_TEST(a_disk_that_vanishes_closes)
{
    struct virtio_subject subject;
    struct virtio_reading readings[5];
    begin(&subject, _i % SHAPES);
    subject.fake.misdeed = _i / SHAPES % 2 == 0 ? FAKE_VANISHES_ONES : FAKE_VANISHES_ZEROS;
    subject.fake.after = subject.fake.requests + 2;
    subject.fake.slow = true;
    for (unsigned i = 0; i < 5; i++) {
        virtio_reading_make(&subject, &readings[i], PAGE_SIZE);
        submit(&subject, &readings[i], 10 * i);
    }
    fake_work(&subject.fake);
    const uint64_t start = subject.fake.now;
    for (unsigned i = 0; i < 5; i++)
        ck_assert_int_eq(wait(&subject, &readings[i], _i >= 2 * SHAPES),
                         i < 2 ? STATUS_OK : STATUS_CLOSED);
    ck_assert_uint_le(subject.fake.now - start, block_bound_ns(subject.device));
    ck_assert_int_eq(block_device_state(subject.device), BLOCK_DEVICE_GONE);
    virtio_reading_set(&subject, &readings[0], 1, 1, 1);
    ck_assert_int_eq(block_submit_request(subject.device, 0, &readings[0].request), STATUS_CLOSED);
    virtio_end(&subject);
}
END_TEST

// ---- from the start -----------------------------------------------------------------------------

START_TEST(a_disk_that_cannot_be_used_is_kept_from_memory)
{
    static const enum status says[FAKE_DEFECTS] = {
        [FAKE_SOUND] = STATUS_OK,
        [FAKE_NEVER_READY] = STATUS_TIMEOUT,
        [FAKE_NO_VERSION_1] = STATUS_FAILED,
        [FAKE_REFUSES_FEATURES] = STATUS_FAILED,
        [FAKE_NEEDS_RESET_AT_START] = STATUS_FAILED,
        [FAKE_DOES_NOT_START] = STATUS_FAILED,
        [FAKE_NO_QUEUES] = STATUS_CORRUPT,
        [FAKE_NO_CONFIG_QUEUES] = STATUS_CORRUPT,
        [FAKE_QUEUE_EMPTY] = STATUS_INVALID,
        [FAKE_QUEUE_SMALL] = STATUS_INVALID,
        [FAKE_QUEUE_REFUSED] = STATUS_FAILED,
        [FAKE_DOORBELL_FAR] = STATUS_CORRUPT,
        [FAKE_NO_CAPACITY] = STATUS_CORRUPT,
        [FAKE_CAPACITY_WILD] = STATUS_CORRUPT,
        [FAKE_BLOCK_ODD] = STATUS_CORRUPT,
        [FAKE_BLOCK_LARGE] = STATUS_CORRUPT,
        [FAKE_BLOCK_NONE] = STATUS_CORRUPT,
        [FAKE_SEGMENT_SMALL] = STATUS_CORRUPT,
        [FAKE_RESTLESS] = STATUS_CORRUPT,
        [FAKE_SHORT_CONFIG] = STATUS_INVALID,
        [FAKE_DEAF] = STATUS_TIMEOUT,
    };
    struct virtio_subject subject;
    prepare(&subject, 0);
    fake_set_defect(&subject.fake, (enum defect)_i);
    const uint64_t start = subject.fake.now;
    ck_assert_int_eq(virtio_begin(&subject), says[_i]);
    ck_assert_uint_eq(subject.fake.isolated, says[_i] != STATUS_OK);
    ck_assert_uint_le(subject.fake.now - start, 2 * VIRTIO_BLOCK_RESET_NS);
    for (unsigned i = 0; says[_i] != STATUS_OK && i < FAKE_QUEUES; i++)
        ck_assert_ptr_null(subject.fake.lines[i].handler);
    virtio_end(&subject);
}
END_TEST

// ---- resets that fail ---------------------------------------------------------------------------

START_TEST(a_disk_that_a_reset_does_not_mend_fails_everything)
{
    struct virtio_subject subject;
    struct virtio_reading readings[3];
    begin(&subject, 0);
    for (unsigned i = 0; i < 3; i++)
        virtio_reading_make(&subject, &readings[i], PAGE_SIZE);
    subject.fake.misdeed = FAKE_NEEDS_RESET;
    fake_set_defect(&subject.fake, (enum defect)_i);
    const uint64_t start = subject.fake.now;
    for (unsigned i = 0; i < 3; i++)
        submit(&subject, &readings[i], i);
    // What it does not ask for again it does not notice; then it goes on.
    const bool unnoticed = _i == FAKE_SOUND || _i == FAKE_NO_CONFIG_QUEUES ||
                           _i == FAKE_SHORT_CONFIG || _i == FAKE_DEAF;
    const enum status first = wait(&subject, &readings[0], false);
    ck_assert_int_eq(first, _i == FAKE_DEAF        ? STATUS_TIMEOUT
                            : _i == FAKE_NO_QUEUES ? STATUS_CLOSED
                            : unnoticed            ? STATUS_ABORTED
                                                   : STATUS_FAILED);
    ck_assert_int_eq(block_device_state(subject.device), unnoticed ? BLOCK_DEVICE_RUNNING
                                                         : _i == FAKE_NO_QUEUES
                                                             ? BLOCK_DEVICE_GONE
                                                             : BLOCK_DEVICE_FAILED);
    // Of those who are not answered, the first was late, and the others were in its way.
    for (unsigned i = 1; i < 3; i++)
        ck_assert_int_eq(wait(&subject, &readings[i], false),
                         _i == FAKE_DEAF ? STATUS_ABORTED : first);
    ck_assert_uint_le(subject.fake.now - start, block_bound_ns(subject.device));
    if (_i != FAKE_NO_QUEUES) // which is gone: the next start finds it out of order, or not
        ck_assert_uint_eq(subject.fake.isolated, !unnoticed);
    virtio_end(&subject);
}
END_TEST

START_TEST(a_disk_that_is_another_one_after_a_reset_is_lost)
{
    struct virtio_subject subject;
    struct virtio_reading reading;
    begin(&subject, 0);
    virtio_reading_make(&subject, &reading, PAGE_SIZE);
    subject.fake.misdeed = FAKE_NEEDS_RESET;
    if (_i == 0)
        subject.fake.sectors /= 2;
    else if (_i == 1)
        subject.fake.block_bytes = 4096;
    else if (_i == 2)
        subject.fake.offered &= ~VIRTIO_FEATURE_INDIRECT;
    else
        subject.fake.queue_most = 32;
    submit(&subject, &reading, 3);
    ck_assert_int_eq(wait(&subject, &reading, false), STATUS_FAILED);
    ck_assert_int_eq(block_device_state(subject.device), BLOCK_DEVICE_FAILED);
    ck_assert_uint_eq(subject.fake.isolated, 1);
    virtio_end(&subject);
}
END_TEST

START_TEST(a_reset_gives_all_slots_back)
{
    static struct virtio_reading readings[VIRTIO_QUEUE_DEPTH];
    struct virtio_subject subject;
    begin(&subject, _i);
    const unsigned depth = subject.device->facts.depth;
    for (unsigned i = 0; i < depth; i++)
        virtio_reading_make(&subject, &readings[i], PAGE_SIZE);
    for (unsigned round = 0; round < 5; round++) {
        subject.fake.misdeed = round % 2 == 0 ? FAKE_SILENT : FAKE_WELL;
        for (unsigned i = 0; i < depth; i++)
            submit(&subject, &readings[i], i);
        ck_assert_uint_eq(virtio_statistics(&subject).backlogged, 0);
        for (unsigned i = 0; i < depth; i++)
            ck_assert_int_eq(wait(&subject, &readings[i], false) == STATUS_OK, round % 2 == 1);
    }
    virtio_end(&subject);
}
END_TEST

// ---- all of it ----------------------------------------------------------------------------------

START_TEST(whatever_a_disk_does_every_request_ends_in_time)
{
    struct random random = seeded_for("whatever_a_disk_does");
    const unsigned rounds = (unsigned)soaked(150, 20000);
    static uint8_t script[600];
    for (unsigned round = 0; round < rounds; round++) {
        for (size_t i = 0; i < sizeof(script); i++)
            script[i] = (uint8_t)random_u64(&random);
        virtio_storm(script, random_below(&random, sizeof(script)));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("virtio_faults");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 3600);
    tcase_add_loop_test(all, a_misdeed_is_counted_and_ends_the_request_in_time, 0,
                        2 * SHAPES * OUTCOMES);
    tcase_add_loop_test(all, the_devices_words_are_the_requests, 1, 3);
    tcase_add_loop_test(all, a_disk_that_vanishes_closes, 0, 4 * SHAPES);
    tcase_add_loop_test(all, a_disk_that_cannot_be_used_is_kept_from_memory, 0, FAKE_DEFECTS);
    tcase_add_loop_test(all, a_disk_that_a_reset_does_not_mend_fails_everything, 0, FAKE_DEFECTS);
    tcase_add_loop_test(all, a_disk_that_is_another_one_after_a_reset_is_lost, 0, 4);
    tcase_add_loop_test(all, a_reset_gives_all_slots_back, 0, SHAPES);
    tcase_add_test(all, whatever_a_disk_does_every_request_ends_in_time);
    suite_add_tcase(suite, all);
    return run_checks(suite);
}
