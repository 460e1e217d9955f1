// SPDX-License-Identifier: MIT
// Virtio disks that do as they should: what they are, what is read, interrupts, what is refused.
#include <check.h>
#include <signal.h>

#include "random.h"
#include "run_checks.h"
#include "seed.h"
#include "virtio_subject.h"

// Which of the two features about queues a test's disk has.
#define SHAPES 4

static void shape(struct virtio_subject *subject, int number)
{
    if ((number & 1) != 0)
        subject->fake.offered &= ~VIRTIO_FEATURE_INDIRECT;
    if ((number & 2) != 0)
        subject->fake.offered &= ~VIRTIO_FEATURE_EVENT;
}

static void begin(struct virtio_subject *subject, int number)
{
    virtio_prepare(subject);
    shape(subject, number);
    ck_assert_int_eq(virtio_begin(subject), STATUS_OK);
}

static enum status poll(struct virtio_subject *subject, unsigned queue,
                        struct virtio_reading *reading)
{
    ck_assert_int_eq(block_submit_request(subject->device, queue, &reading->request), STATUS_OK);
    return block_poll_wait(subject->device, &reading->request);
}

// ---- what it is ---------------------------------------------------------------------------------

START_TEST(the_disk_is_what_its_registers_say)
{
    struct virtio_subject subject;
    begin(&subject, _i);
    const struct block_facts *facts = &subject.device->facts;
    ck_assert_uint_eq(facts->block_bytes, 512);
    ck_assert_uint_eq(facts->blocks, FAKE_SECTORS);
    ck_assert_uint_eq(facts->queues, FAKE_QUEUES);
    ck_assert_str_eq(facts->serial, "a serial number of 2");
    ck_assert_uint_eq(facts->transfer_bytes, VIRTIO_BLOCK_TRANSFER);
    ck_assert(facts->interrupts && facts->scatter && !facts->read_only);
    ck_assert(!virtio_block_ops.simulated);
    // What it offers and the driver does not know stays unaccepted.
    ck_assert_uint_eq(subject.fake.accepted & (VIRTIO_FEATURE(34) | VIRTIO_FEATURE(13)), 0);
    ck_assert_uint_eq(subject.fake.isolated, 0);
    virtio_end(&subject);
}
END_TEST

// 5.2.4: sizes are in sectors of 512 bytes, whatever a block has.
START_TEST(blocks_of_4096_bytes_are_eight_sectors)
{
    struct virtio_subject subject;
    struct virtio_reading reading;
    virtio_prepare(&subject);
    subject.fake.block_bytes = 4096;
    ck_assert_int_eq(virtio_begin(&subject), STATUS_OK);
    ck_assert_uint_eq(subject.device->facts.blocks, FAKE_SECTORS / 8);
    virtio_reading_make(&subject, &reading, 2 * PAGE_SIZE);
    virtio_reading_set(&subject, &reading, FAKE_SECTORS / 8 - 2, 2, 1);
    ck_assert_int_eq(poll(&subject, 0, &reading), STATUS_OK);
    ck_assert(virtio_reading_is_right(&subject, &reading));
    virtio_end(&subject);
}
END_TEST

START_TEST(limits_of_the_disk_are_limits_of_requests)
{
    struct virtio_subject subject;
    virtio_prepare(&subject);
    subject.fake.offered |= VIRTIO_BLOCK_SIZE_MAX;
    subject.fake.segments = 3;
    subject.fake.segment_bytes = 5000;
    ck_assert_int_eq(virtio_begin(&subject), STATUS_OK);
    ck_assert_uint_eq(subject.device->facts.segments, 3);
    ck_assert_uint_eq(subject.device->facts.transfer_bytes, 4608);
    virtio_end(&subject);
}
END_TEST

// 5.2.3: features that are not there leave one segment and blocks of 512 bytes.
START_TEST(a_disk_without_features_has_one_queue_and_one_segment)
{
    struct virtio_subject subject;
    struct virtio_reading reading;
    virtio_prepare(&subject);
    subject.fake.offered = VIRTIO_FEATURE_VERSION_1;
    subject.fake.block_bytes = 4096;
    ck_assert_int_eq(virtio_begin(&subject), STATUS_OK);
    ck_assert_uint_eq(subject.device->facts.block_bytes, 512);
    ck_assert_uint_eq(subject.device->facts.segments, 1);
    ck_assert_uint_eq(subject.device->queue_count, 1);
    virtio_reading_make(&subject, &reading, PAGE_SIZE);
    virtio_reading_set(&subject, &reading, 9, 8, 1);
    ck_assert_int_eq(poll(&subject, 0, &reading), STATUS_OK);
    ck_assert(virtio_reading_is_right(&subject, &reading));
    virtio_end(&subject);
}
END_TEST

// ---- reading ------------------------------------------------------------------------------------

#define AT_A_TIME 80u

START_TEST(many_reads_at_a_time_bring_what_stands_there)
{
    static struct virtio_reading readings[AT_A_TIME];
    struct virtio_subject subject;
    struct random random = seeded_for("test_virtio");
    begin(&subject, _i);
    const unsigned segments = subject.device->facts.segments;
    subject.fake.slow = true;
    for (unsigned i = 0; i < AT_A_TIME; i++)
        virtio_reading_make(&subject, &readings[i], 2 * PAGE_SIZE);
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned i = 0; i < AT_A_TIME; i++) {
            const uint32_t count = 1 + (uint32_t)random_below(&random, 16);
            const unsigned pieces = 1 + (unsigned)random_below(&random, min_u64(count, segments));
            virtio_reading_set(&subject, &readings[i], random_below(&random, FAKE_SECTORS - count),
                               count, pieces);
            // More than a queue has slots: the rest waits in the layer.
            ck_assert_int_eq(
                block_submit_request(subject.device, round % FAKE_QUEUES, &readings[i].request),
                i < 2 * subject.device->facts.depth ? STATUS_OK : STATUS_FULL);
        }
        for (unsigned i = 0; i < min_u64(AT_A_TIME, 2 * subject.device->facts.depth); i++) {
            while (!block_poll_status(subject.device, &readings[i].request))
                fake_work(&subject.fake);
            ck_assert_int_eq(readings[i].request.status, STATUS_OK);
            ck_assert(virtio_reading_is_right(&subject, &readings[i]));
        }
    }
    ck_assert_uint_gt(subject.fake.longest, 1);
    ck_assert_uint_eq(virtio_statistics(&subject).strays, 0);
    virtio_end(&subject);
}
END_TEST

// Counters of 16 bits, and the event's comparison (2.7.10).
START_TEST(counters_wrap_around)
{
    struct virtio_subject subject;
    struct virtio_reading reading;
    begin(&subject, _i);
    virtio_reading_make(&subject, &reading, PAGE_SIZE);
    for (unsigned i = 0; i < 70000; i++) {
        virtio_reading_set(&subject, &reading, i % FAKE_SECTORS, 1, 1);
        ck_assert_int_eq(poll(&subject, 0, &reading), STATUS_OK);
    }
    ck_assert(virtio_reading_is_right(&subject, &reading));
    virtio_end(&subject);
}
END_TEST

START_TEST(a_batch_is_told_once)
{
    struct virtio_subject subject;
    struct virtio_reading readings[8];
    begin(&subject, _i);
    subject.fake.slow = true;
    for (unsigned i = 0; i < 8; i++) {
        virtio_reading_make(&subject, &readings[i], PAGE_SIZE);
        virtio_reading_set(&subject, &readings[i], 10 * i, 1, 1);
        ck_assert_int_eq(block_batch_operation(subject.device, 0, &readings[i].request), STATUS_OK);
    }
    const uint64_t before = subject.fake.doorbells;
    block_flush_batch(subject.device, 0);
    ck_assert_uint_eq(subject.fake.doorbells - before, 1);
    fake_work(&subject.fake);
    for (unsigned i = 0; i < 8; i++)
        ck_assert_int_eq(block_poll_wait(subject.device, &readings[i].request), STATUS_OK);
    virtio_end(&subject);
}
END_TEST

// With events, a disk that has not come to the last one does not want to hear of the next.
START_TEST(a_disk_at_work_is_not_told_again)
{
    struct virtio_subject subject;
    struct virtio_reading readings[8];
    begin(&subject, 0);
    subject.fake.slow = true;
    const uint64_t before = subject.fake.doorbells;
    for (unsigned i = 0; i < 8; i++) {
        virtio_reading_make(&subject, &readings[i], PAGE_SIZE);
        virtio_reading_set(&subject, &readings[i], 10 * i, 1, 1);
        ck_assert_int_eq(block_submit_request(subject.device, 0, &readings[i].request), STATUS_OK);
    }
    ck_assert_uint_eq(subject.fake.doorbells - before, 1);
    fake_work(&subject.fake);
    for (unsigned i = 0; i < 8; i++)
        ck_assert_int_eq(block_poll_wait(subject.device, &readings[i].request), STATUS_OK);
    virtio_end(&subject);
}
END_TEST

// ---- interrupts ---------------------------------------------------------------------------------

START_TEST(sleepers_are_woken_by_their_queues_vector)
{
    struct virtio_subject subject;
    struct virtio_reading reading;
    begin(&subject, _i);
    const struct block_waiter waiter = virtio_waiter(&subject);
    subject.fake.slow = true;
    virtio_reading_make(&subject, &reading, PAGE_SIZE);
    for (unsigned i = 0; i < 40; i++) {
        const uint64_t interrupts = subject.fake.interrupts, start = subject.fake.now;
        virtio_reading_set(&subject, &reading, i, 2, 1);
        ck_assert_int_eq(block_submit_request(subject.device, i % FAKE_QUEUES, &reading.request),
                         STATUS_OK);
        ck_assert_int_eq(block_wait_interrupt(subject.device, &reading.request, &waiter),
                         STATUS_OK);
        ck_assert(virtio_reading_is_right(&subject, &reading));
        ck_assert_uint_eq(subject.fake.interrupts - interrupts, 1);
        ck_assert_uint_lt(subject.fake.now - start, BLOCK_SLEEP_NS);
        ck_assert_uint_eq(subject.fake.lines[i % FAKE_QUEUES].cpu, i % FAKE_QUEUES);
    }
    virtio_end(&subject);
}
END_TEST

START_TEST(nothing_interrupts_while_polling)
{
    struct virtio_subject subject;
    struct virtio_reading reading;
    begin(&subject, _i);
    block_set_mode(subject.device, 0, BLOCK_POLLING, false);
    virtio_reading_make(&subject, &reading, PAGE_SIZE);
    const uint64_t before = subject.fake.interrupts;
    for (unsigned i = 0; i < 1000; i++) {
        virtio_reading_set(&subject, &reading, i, 1, 1);
        ck_assert_int_eq(poll(&subject, 0, &reading), STATUS_OK);
    }
    ck_assert_uint_eq(subject.fake.interrupts - before, 0);
    virtio_end(&subject);
}
END_TEST

START_TEST(without_vectors_the_disk_is_polled)
{
    struct virtio_subject subject;
    struct virtio_reading reading;
    virtio_prepare(&subject);
    subject.fake.no_vectors = _i == 1; // the disk has none left
    ck_assert_int_eq(virtio_begin_with(&subject, FAKE_QUEUES, _i == 1 ? FAKE_QUEUES : 0),
                     STATUS_OK);
    ck_assert(!subject.device->facts.interrupts);
    ck_assert_uint_eq(subject.device->queue_count, FAKE_QUEUES);
    for (unsigned i = 0; i < FAKE_QUEUES; i++)
        ck_assert_ptr_null(subject.fake.lines[i].handler);
    virtio_reading_make(&subject, &reading, PAGE_SIZE);
    virtio_reading_set(&subject, &reading, 3, 4, 1);
    const struct block_waiter waiter = virtio_waiter(&subject);
    ck_assert_int_eq(block_submit_request(subject.device, 1, &reading.request), STATUS_OK);
    ck_assert_int_eq(block_wait_interrupt(subject.device, &reading.request, &waiter), STATUS_OK);
    ck_assert_uint_eq(subject.fake.interrupts, 0);
    virtio_end(&subject);
}
END_TEST

START_TEST(there_are_as_many_queues_as_cpus_and_vectors)
{
    struct virtio_subject subject;
    virtio_prepare(&subject);
    const unsigned wanted = _i < 4 ? (unsigned)_i + 1 : FAKE_QUEUES;
    const unsigned vectors = _i < 4 ? FAKE_QUEUES : (unsigned)_i - 3;
    ck_assert_int_eq(virtio_begin_with(&subject, wanted, vectors), STATUS_OK);
    ck_assert_uint_eq(subject.device->queue_count, min_u64(wanted, vectors));
    virtio_end(&subject);
}
END_TEST

START_TEST(memory_for_fewer_queues_is_enough)
{
    struct virtio_subject subject;
    virtio_prepare(&subject);
    subject.fake.pages_most = (size_t)_i;
    const enum status status = virtio_begin(&subject);
    if (status == STATUS_OK) {
        ck_assert_uint_gt(subject.device->queue_count, 0);
        ck_assert_uint_lt(subject.device->queue_count, FAKE_QUEUES);
    } else {
        ck_assert_int_eq(status, STATUS_NO_MEMORY);
        ck_assert_uint_eq(subject.fake.isolated, 1);
        ck_assert_int_lt(_i, 12);
    }
    virtio_end(&subject);
}
END_TEST

// ---- writing ------------------------------------------------------------------------------------

static enum status write_block(struct virtio_subject *subject, struct virtio_reading *reading,
                               uint64_t first, bool past_the_layer)
{
    virtio_reading_set(subject, reading, first, 1, 1);
    reading->request.operation = BLOCK_WRITE;
    if (past_the_layer)
        return virtio_block_ops.submit(subject->driver, 0, &reading->request);
    const enum status status = block_submit_request(subject->device, 0, &reading->request);
    return status == STATUS_OK ? block_poll_wait(subject->device, &reading->request) : status;
}

START_TEST(nothing_is_written_unless_the_guard_is_open)
{
    struct virtio_subject subject;
    struct virtio_reading reading;
    begin(&subject, 0);
    virtio_reading_make(&subject, &reading, PAGE_SIZE);
    const bool past = _i == 1;
    ck_assert_int_eq(write_block(&subject, &reading, 7, past), STATUS_REFUSED);
    reading.request = (struct block_request){.operation = BLOCK_FLUSH};
    ck_assert_int_eq(past ? virtio_block_ops.submit(subject.driver, 0, &reading.request)
                          : block_submit_request(subject.device, 0, &reading.request),
                     STATUS_REFUSED);
    reading.request.operation = BLOCK_OPERATIONS;
    ck_assert_int_eq(virtio_block_ops.submit(subject.driver, 0, &reading.request), STATUS_REFUSED);
    virtio_block_ring(subject.driver, 0);
    ck_assert_uint_eq(subject.fake.written, 0);
    // Only there, when it is.
    subject.guard = (struct block_guard){.writable = true, .first = 100, .count = 10};
    ck_assert_int_eq(write_block(&subject, &reading, 99, past), STATUS_REFUSED);
    ck_assert_int_eq(write_block(&subject, &reading, 110, past), STATUS_REFUSED);
    ck_assert_uint_eq(subject.fake.written, 0);
    ck_assert_int_eq(write_block(&subject, &reading, 109, false), STATUS_OK);
    ck_assert_uint_eq(subject.fake.written, 1);
    ck_assert_uint_eq(subject.fake.content[109 * 512], 0xee);
    virtio_end(&subject);
}
END_TEST

START_TEST(a_read_only_disk_is_not_written_whatever_the_guard_says)
{
    struct virtio_subject subject;
    struct virtio_reading reading;
    virtio_prepare(&subject);
    subject.fake.offered |= VIRTIO_BLOCK_RO;
    subject.guard = (struct block_guard){.writable = true, .first = 0, .count = 1000};
    ck_assert_int_eq(virtio_begin(&subject), STATUS_OK);
    ck_assert(subject.device->facts.read_only);
    virtio_reading_make(&subject, &reading, PAGE_SIZE);
    ck_assert_int_eq(write_block(&subject, &reading, 7, _i == 1), STATUS_REFUSED);
    virtio_block_ring(subject.driver, 0);
    ck_assert_uint_eq(subject.fake.written, 0);
    virtio_end(&subject);
}
END_TEST

START_TEST(a_disk_that_has_nothing_to_flush_gets_no_command_for_it)
{
    struct virtio_subject subject;
    virtio_prepare(&subject);
    subject.guard = (struct block_guard){.writable = true, .first = 0, .count = 1000};
    if (_i == 0)
        subject.fake.offered &= ~VIRTIO_BLOCK_FLUSH;
    ck_assert_int_eq(virtio_begin(&subject), STATUS_OK);
    struct block_request request = {.operation = BLOCK_FLUSH};
    const enum status status = block_submit_request(subject.device, 0, &request);
    ck_assert_int_eq(status, _i == 0 ? STATUS_INVALID : STATUS_OK);
    if (status == STATUS_OK)
        ck_assert_int_eq(block_poll_wait(subject.device, &request), STATUS_OK);
    virtio_end(&subject);
}
END_TEST

// ---- queues -------------------------------------------------------------------------------------

START_TEST(a_queue_has_the_slots_and_links_that_the_device_has_room_for)
{
    static const struct {
        uint16_t offered, size, depth, links;
        bool indirect;
    } shapes[] = {
        {1024, 64, 64, 36, true}, {64, 64, 64, 36, true},     {33, 32, 32, 36, true},
        {1, 1, 1, 36, true},      {1024, 256, 16, 16, false}, {256, 256, 16, 16, false},
        {64, 64, 16, 4, false},   {32, 32, 10, 3, false},     {4, 4, 1, 3, false},
    };
    struct virtio_fake fake;
    struct virtio_queue queue;
    fake_init(&fake);
    const struct virtio_queue_config config = {.dma = {.context = &fake, .allocate = fake_allocate},
                                               .size = shapes[_i].offered,
                                               .indirect = shapes[_i].indirect};
    ck_assert_int_eq(virtio_queue_init(&queue, &config), STATUS_OK);
    ck_assert_uint_eq(queue.size, shapes[_i].size);
    ck_assert_uint_eq(queue.depth, shapes[_i].depth);
    ck_assert_uint_eq(queue.links, shapes[_i].links);
    ck_assert_uint_le(queue.indirect ? queue.depth : queue.depth * queue.links, queue.size);
    struct virtio_chain chain;
    for (unsigned i = 0; i < queue.depth; i++) {
        ck_assert(virtio_queue_begin(&queue, &chain));
        virtio_chain_add(&chain, FAKE_BASE, 1, 0);
        virtio_queue_put(&queue, &chain, &queue);
    }
    ck_assert(!virtio_queue_begin(&queue, &chain));
    fake_free(&fake);
}
END_TEST

// ---- preconditions ------------------------------------------------------------------------------

static struct virtio_subject dead;

START_TEST(a_driver_for_no_queues_is_a_mistake)
{
    virtio_prepare(&dead);
    virtio_begin_with(&dead, 0, 0);
}
END_TEST

START_TEST(registers_that_are_too_short_are_a_mistake)
{
    virtio_prepare(&dead);
    struct virtio_block_config config = fake_config(&dead.fake, 1, 1);
    config.interrupted = virtio_interrupted;
    config.registers.common.length = VIRTIO_COMMON_BYTES - 1;
    virtio_block_init(dead.driver, &config);
}
END_TEST

START_TEST(a_driver_without_a_way_to_isolate_is_a_mistake)
{
    virtio_prepare(&dead);
    struct virtio_block_config config = fake_config(&dead.fake, 1, 1);
    config.interrupted = virtio_interrupted;
    config.isolate = NULL;
    virtio_block_init(dead.driver, &config);
}
END_TEST

START_TEST(to_identify_twice_is_a_mistake)
{
    struct block_facts facts;
    begin(&dead, 0);
    virtio_block_identify(dead.driver, &facts);
}
END_TEST

START_TEST(to_release_a_free_slot_is_a_mistake)
{
    begin(&dead, 0);
    virtio_queue_release(&dead.driver->queues[0].ring, 5);
}
END_TEST

START_TEST(to_put_a_chain_without_links_is_a_mistake)
{
    struct virtio_chain chain;
    begin(&dead, 0);
    ck_assert(virtio_queue_begin(&dead.driver->queues[0].ring, &chain));
    virtio_queue_put(&dead.driver->queues[0].ring, &chain, &dead);
}
END_TEST

START_TEST(to_put_a_chain_of_nobody_is_a_mistake)
{
    struct virtio_chain chain;
    begin(&dead, 0);
    ck_assert(virtio_queue_begin(&dead.driver->queues[0].ring, &chain));
    virtio_chain_add(&chain, FAKE_BASE, 1, 0);
    virtio_queue_put(&dead.driver->queues[0].ring, &chain, NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("virtio");
    TCase *good = tcase_create("virtio"), *bad = tcase_create("preconditions");
    tcase_add_loop_test(good, the_disk_is_what_its_registers_say, 0, SHAPES);
    tcase_add_test(good, blocks_of_4096_bytes_are_eight_sectors);
    tcase_add_test(good, limits_of_the_disk_are_limits_of_requests);
    tcase_add_test(good, a_disk_without_features_has_one_queue_and_one_segment);
    tcase_add_loop_test(good, many_reads_at_a_time_bring_what_stands_there, 0, SHAPES);
    tcase_add_loop_test(good, counters_wrap_around, 0, SHAPES);
    tcase_add_loop_test(good, a_batch_is_told_once, 0, SHAPES);
    tcase_add_test(good, a_disk_at_work_is_not_told_again);
    tcase_add_loop_test(good, sleepers_are_woken_by_their_queues_vector, 0, SHAPES);
    tcase_add_loop_test(good, nothing_interrupts_while_polling, 0, SHAPES);
    tcase_add_loop_test(good, without_vectors_the_disk_is_polled, 0, 2);
    tcase_add_loop_test(good, there_are_as_many_queues_as_cpus_and_vectors, 0, 7);
    tcase_add_loop_test(good, memory_for_fewer_queues_is_enough, 0, 30);
    tcase_add_loop_test(good, nothing_is_written_unless_the_guard_is_open, 0, 2);
    tcase_add_loop_test(good, a_read_only_disk_is_not_written_whatever_the_guard_says, 0, 2);
    tcase_add_loop_test(good, a_disk_that_has_nothing_to_flush_gets_no_command_for_it, 0, 2);
    tcase_add_loop_test(good, a_queue_has_the_slots_and_links_that_the_device_has_room_for, 0, 9);
    tcase_add_test_raise_signal(bad, a_driver_for_no_queues_is_a_mistake, SIGABRT);
    tcase_add_test_raise_signal(bad, registers_that_are_too_short_are_a_mistake, SIGABRT);
    tcase_add_test_raise_signal(bad, a_driver_without_a_way_to_isolate_is_a_mistake, SIGABRT);
    tcase_add_test_raise_signal(bad, to_identify_twice_is_a_mistake, SIGABRT);
    tcase_add_test_raise_signal(bad, to_release_a_free_slot_is_a_mistake, SIGABRT);
    tcase_add_test_raise_signal(bad, to_put_a_chain_without_links_is_a_mistake, SIGABRT);
    tcase_add_test_raise_signal(bad, to_put_a_chain_of_nobody_is_a_mistake, SIGABRT);
    suite_add_tcase(suite, good);
    suite_add_tcase(suite, bad);
    return run_checks(suite);
}
