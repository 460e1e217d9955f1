// SPDX-License-Identifier: MIT
// The NVMe driver over a controller that does what the specification says: what it makes of the
// controller's properties, and what it asks of it.
#include "nvme_subject.h"

#include "random.h"
#include "run_checks.h"
#include "seed.h"
#include "soak.h"

// ---- what the controller is ---------------------------------------------------------------------

START_TEST(facts_are_the_controllers_and_the_namespaces)
{
    struct subject subject;
    subject_begin(&subject);
    const struct block_facts *facts = &subject.device->facts;
    ck_assert_str_eq(facts->serial, "SN-4711");
    ck_assert_str_eq(facts->model, "A model?of a controller");
    ck_assert_uint_eq(facts->block_bytes, 512);
    ck_assert_uint_eq(facts->blocks, 4096);
    ck_assert_uint_eq(facts->transfer_bytes, NVME_TRANSFER_BYTES);
    ck_assert_uint_eq(facts->queues, 2);
    ck_assert_uint_eq(facts->depth, NVME_SLOTS);
    ck_assert(facts->interrupts && !facts->scatter && !facts->read_only);
    // 2 s for each of three waits, and the commands
    ck_assert_uint_eq(facts->reset_ns, 3 * 2000000000ull + NVME_COMMANDS_NS);
    ck_assert_uint_eq(subject.nvme->facts.aborts_most, 4);
    subject_free(&subject);
}
END_TEST

// MDTS 0 is no limit; others count in the controller's least pages.
static const struct {
    uint8_t mdts;
    unsigned page_least;
    uint32_t transfer_bytes;
} transfers[] = {
    {0, 0, NVME_TRANSFER_BYTES},
    {1, 0, 8192},
    {4, 0, 65536},
    {6, 0, NVME_TRANSFER_BYTES},
    {200, 0, NVME_TRANSFER_BYTES},
    {1, 2, 32768},
    {0, 2, NVME_TRANSFER_BYTES},
    {255, 4, NVME_TRANSFER_BYTES},
    {2, 4, NVME_TRANSFER_BYTES},
};

START_TEST(a_transfer_is_as_long_as_the_controller_takes)
{
    struct subject subject;
    subject_prepare(&subject);
    subject.fake->mdts = transfers[_i].mdts;
    subject.fake->cap |= (uint64_t)transfers[_i].page_least << 48;
    subject_start(&subject);
    ck_assert_uint_eq(subject.device->facts.transfer_bytes, transfers[_i].transfer_bytes);
    struct reading reading;
    reading_init(&subject, &reading, 8, transfers[_i].transfer_bytes / 512);
    ck_assert_int_eq(block_submit_request(subject.device, 0, &reading.request), STATUS_OK);
    ck_assert_int_eq(block_poll_wait(subject.device, &reading.request), STATUS_OK);
    ck_assert(reading_is_right(&subject, &reading));
    reading_free(&subject, &reading);
    subject_free(&subject);
}
END_TEST

START_TEST(doorbells_lie_where_the_stride_says)
{
    struct subject subject;
    subject_prepare(&subject);
    subject.fake->cap |= (uint64_t)_i << 32;
    subject.fake->length = NVME_DOORBELLS + 6 * (4ull << _i); // of the admin queue and two more
    subject_start(&subject);
    ck_assert_uint_eq(subject.device->facts.queues, 2);
    for (unsigned queue = 0; queue < 2; queue++)
        ck_assert_int_eq(subject_read(&subject, queue, 7), STATUS_OK);
    subject_free(&subject);
}
END_TEST

START_TEST(blocks_have_the_size_of_the_format)
{
    struct subject subject;
    subject_prepare(&subject);
    subject.fake->block_log = (uint8_t)_i;
    subject.fake->formats = 4;
    subject.fake->format = 3;
    const enum status status = subject_try(&subject);
    if (_i < 9 || _i > 12) {
        ck_assert_int_eq(status, STATUS_EMPTY);
        ck_assert_ptr_nonnull(strstr(subject.nvme->facts.namespaces[0].unusable, "512"));
    } else {
        ck_assert_int_eq(status, STATUS_OK);
        ck_assert_uint_eq(subject.device->facts.block_bytes, 1u << _i);
        ck_assert_int_eq(subject_read(&subject, 1, 4095), STATUS_OK);
    }
    subject_free(&subject);
}
END_TEST

START_TEST(what_cannot_be_a_disk_is_left_alone_and_said)
{
    static const struct {
        uint64_t blocks;
        uint16_t metadata;
        uint8_t format;
        const char *word;
    } namespaces[] = {
        {0, 0, 0, "active"},
        {4096, 8, 0, "metadata"},
        {4096, 0, 1, "format"},
        {UINT64_MAX, 0, 0, "bytes"},
    };
    struct subject subject;
    subject_prepare(&subject);
    subject.fake->blocks = namespaces[_i].blocks;
    subject.fake->metadata = namespaces[_i].metadata;
    subject.fake->format = namespaces[_i].format;
    ck_assert_int_eq(subject_try(&subject), STATUS_EMPTY);
    ck_assert_ptr_nonnull(strstr(subject.nvme->facts.namespaces[0].unusable, namespaces[_i].word));
    ck_assert(!subject.fake->enabled && !subject.fake->master);
    subject_free(&subject);
}
END_TEST

static void only_even_ones(void *context, unsigned what, uint8_t *page)
{
    static const uint64_t none;
    unsigned *looked_at = context;
    if (what != NVME_IDENTIFY_NAMESPACE)
        return;
    if ((*looked_at)++ % 2 == 0)
        memcpy(page + NVME_NAMESPACE_BLOCKS, &none, sizeof(none));
}

START_TEST(the_nth_usable_namespace_is_found)
{
    struct subject subject;
    unsigned looked_at = 0;
    subject_prepare(&subject);
    memcpy(subject.fake->namespaces, (uint32_t[]){3, 5, 9, 12}, 16);
    subject.fake->mangle = only_even_ones;
    subject.fake->mangle_context = &looked_at;
    subject.config = fake_config(subject.fake);
    subject.config.guard = &subject.guard;
    subject.config.number = (unsigned)_i;
    const enum status status = subject_try_with(&subject);
    ck_assert_int_eq(status, _i < 2 ? STATUS_OK : STATUS_EMPTY);
    ck_assert_uint_eq(subject.nvme->facts.namespaces_usable, 2);
    if (_i < 2)
        ck_assert_uint_eq(subject.nvme->chosen->id, _i == 0 ? 5 : 12);
    subject_free(&subject);
}
END_TEST

START_TEST(an_old_controllers_namespaces_have_the_first_numbers)
{
    struct subject subject;
    subject_prepare(&subject);
    subject.fake->version = 0x00010000; // the fake insists: no list is asked for
    subject.fake->namespaces_most = 20;
    subject_start(&subject);
    ck_assert_uint_eq(subject.nvme->facts.namespace_count, NVME_NAMESPACES_MOST);
    ck_assert_uint_eq(subject.nvme->facts.namespaces_left_out, 4);
    ck_assert_uint_eq(subject.nvme->chosen->id, 1);
    subject_free(&subject);
}
END_TEST

START_TEST(queues_are_as_many_as_all_allow)
{
    // wanted, the controller's, vectors, memory for (pages), connects, doorbells for, expected
    static const unsigned rows[][7] = {
        {2, 4, 9, 1024, 99, 8, 2}, {6, 4, 9, 1024, 99, 8, 4},       {6, 1, 9, 1024, 99, 8, 1},
        {6, 7, 4, 1024, 99, 8, 3}, {6, 7, 1, 1024, 99, 8, 1},       {6, 7, 0, 1024, 99, 8, 6},
        {6, 7, 2, 1024, 99, 8, 1}, {6, 7, 9, 4 + 3 * 19, 99, 8, 3}, {6, 7, 9, 1024, 2, 8, 2},
        {6, 7, 9, 1024, 99, 5, 5},
    };
    const unsigned *row = rows[_i];
    struct subject subject;
    subject_prepare(&subject);
    subject.fake->queues_most = row[1];
    subject.fake->vectors = row[2];
    subject.fake->pages_most = row[3];
    subject.fake->connects_most = row[4];
    subject.fake->length = NVME_DOORBELLS + 8 * (1ull + row[5]);
    subject.config = fake_config(subject.fake);
    subject.config.guard = &subject.guard;
    subject.config.device = subject.device;
    subject.config.queues = row[0];
    ck_assert_int_eq(subject_try_with(&subject), STATUS_OK);
    ck_assert_uint_eq(subject.device->facts.queues, row[6]);
    ck_assert_int_eq(subject.device->facts.interrupts, row[2] > 0);
    for (unsigned queue = 0; queue < row[6]; queue++)
        ck_assert_int_eq(subject_read(&subject, queue, queue), STATUS_OK);
    subject_free(&subject);
}
END_TEST

START_TEST(without_a_vector_or_somebody_to_tell_it_is_polled)
{
    struct subject subject;
    subject_prepare(&subject);
    subject.fake->connects_most = 0;
    subject.config = fake_config(subject.fake);
    subject.config.guard = &subject.guard;
    subject.config.device = _i == 0 ? subject.device : NULL;
    ck_assert_int_eq(subject_try_with(&subject), STATUS_OK);
    ck_assert(!subject.device->facts.interrupts);
    ck_assert_int_eq(block_mode(subject.device, 0), BLOCK_POLLING);
    ck_assert_int_eq(subject_read(&subject, 1, 3), STATUS_OK);
    subject_free(&subject);
}
END_TEST

START_TEST(a_small_queue_is_filled_and_no_more)
{
    struct subject subject;
    subject_prepare(&subject);
    subject.fake->cap = (subject.fake->cap & ~UINT64_C(0xffff)) | (uint64_t)_i;
    subject_start(&subject);
    const unsigned depth = (unsigned)_i; // MQES is one less than the entries, one stays free
    ck_assert_uint_eq(subject.device->facts.depth, depth);
    struct reading readings[2 * 3];
    for (unsigned round = 0; round < 5; round++) { // several turns of the queue
        for (unsigned i = 0; i < 2 * depth; i++)
            reading_submit(&subject, &readings[i], 0, 10 * round + i);
        ck_assert_uint_eq(subject.device->queues[0].outstanding, depth);
        for (unsigned i = 0; i < 2 * depth; i++) {
            ck_assert_int_eq(block_poll_wait(subject.device, &readings[i].request), STATUS_OK);
            ck_assert(reading_is_right(&subject, &readings[i]));
            reading_free(&subject, &readings[i]);
        }
    }
    subject_free(&subject);
}
END_TEST

// ---- requests -----------------------------------------------------------------------------------

START_TEST(memory_of_any_place_and_length_is_told_page_by_page)
{
    struct random random = seeded_for("memory_of_any_place_and_length_is_told_page_by_page");
    struct subject subject;
    subject_prepare(&subject);
    subject.fake->cap |= (uint64_t)_i << 48; // pages of 4 KiB to 64 KiB
    subject_start(&subject);
    const uint32_t most = subject.device->facts.transfer_bytes / 512;
    // Pieces of memory meet at pages of 4 KiB, which is not enough for larger ones.
    ck_assert_uint_eq(subject.device->facts.segments, _i == 0 ? NVME_LIST_ENTRIES + 1 : 1);
    for (unsigned i = 0; i < 60; i++) {
        const uint32_t count = 1 + (uint32_t)random_below(&random, i % 2 == 0 ? most : 20);
        const uint32_t offset = 4 * (uint32_t)random_below(&random, 1024);
        struct reading reading;
        reading_init_at(&subject, &reading, random_below(&random, 4096 - count), count, offset);
        ck_assert_int_eq(block_submit_request(subject.device, 0, &reading.request), STATUS_OK);
        ck_assert_int_eq(block_poll_wait(subject.device, &reading.request), STATUS_OK);
        ck_assert(reading_is_right(&subject, &reading));
        reading_free(&subject, &reading);
    }
    ck_assert_uint_gt(subject.fake->prp_lists, 5);
    subject_free(&subject);
}
END_TEST

START_TEST(blocks_beyond_32_bits_are_found)
{
    struct subject subject;
    subject_prepare(&subject);
    subject.fake->blocks = UINT64_C(1) << 40;
    subject_start(&subject);
    for (unsigned shift = 31; shift < 40; shift++)
        ck_assert_int_eq(subject_read(&subject, 0, (UINT64_C(1) << shift) + 5), STATUS_OK);
    ck_assert_int_eq(subject_read(&subject, 0, subject.fake->blocks - 1), STATUS_OK);
    subject_free(&subject);
}
END_TEST

START_TEST(several_pieces_of_memory_are_one_command)
{
    struct subject subject;
    subject_begin(&subject);
    uint8_t *memory = subject_pages(&subject, 64 * PAGE_SIZE);
    const uint64_t address = fake_region(subject.fake, memory, 64 * PAGE_SIZE);
    // The first ends and the last begins at a page; those between are whole, in any order.
    struct block_segment segments[20];
    const unsigned count = ARRAY_COUNT(segments);
    for (unsigned i = 0; i < count; i++) {
        const uint64_t offset = (uint64_t)(i * 7 % 61) * PAGE_SIZE + (i == 0 ? 3584 : 0);
        segments[i] = (struct block_segment){
            .memory = memory + offset, .address = address + offset, .bytes = PAGE_SIZE};
    }
    segments[0].bytes = 512;
    segments[count - 1].bytes = 1536;
    const uint32_t blocks = (512 + 18 * PAGE_SIZE + 1536) / 512;
    struct block_request request;
    block_request_init(&request, BLOCK_READ, 100, blocks, segments, count);
    ck_assert_int_eq(block_submit_request(subject.device, 0, &request), STATUS_OK);
    ck_assert_int_eq(block_poll_wait(subject.device, &request), STATUS_OK);
    ck_assert_uint_eq(subject.fake->reads, 1);
    uint64_t at = 100 * 512;
    for (unsigned i = 0; i < count; i++) {
        for (uint32_t j = 0; j < segments[i].bytes; j++, at++)
            ck_assert_uint_eq(((uint8_t *)segments[i].memory)[j], nvme_fake_pattern(at));
    }
    // One that does not lie so is no command.
    segments[2].address += 4;
    ck_assert_int_eq(block_submit_request(subject.device, 0, &request), STATUS_INVALID);
    ck_assert_int_eq(nvme_ops.submit(subject.nvme, 0, &request), STATUS_INVALID);
    ck_assert_uint_eq(subject.nvme->queues[0].free_count, NVME_SLOTS);
    free(memory);
    subject_free(&subject);
}
END_TEST

START_TEST(sleepers_are_woken_by_their_queues_interrupt)
{
    struct subject subject;
    subject_begin(&subject);
    struct reading reading;
    reading_submit(&subject, &reading, 1, 5);
    ck_assert_int_eq(block_wait_interrupt(subject.device, &reading.request, &subject.waiter),
                     STATUS_OK);
    ck_assert(reading_is_right(&subject, &reading));
    ck_assert_uint_eq(subject.fake->vector[2].count, 1);
    ck_assert_uint_eq(subject.fake->vector[2].cpu, 1);
    ck_assert_uint_eq(subject.fake->vector[0].count + subject.fake->vector[1].count, 0);
    // Polling lets none in.
    block_set_mode(subject.device, 1, BLOCK_POLLING, false);
    ck_assert(subject.fake->vector[2].masked);
    ck_assert_int_eq(subject_read(&subject, 1, 6), STATUS_OK);
    ck_assert_uint_eq(subject.fake->vector[2].count, 1);
    reading_free(&subject, &reading);
    subject_free(&subject);
}
END_TEST

START_TEST(random_requests_on_all_queues_are_answered_rightly)
{
    struct random random = seeded_for("random_requests_on_all_queues_are_answered_rightly");
    struct subject subject;
    subject_begin(&subject);
    subject.fake->latency_ns = 3000;
    struct reading readings[40];
    const unsigned rounds = (unsigned)soaked(60, 4000);
    for (unsigned round = 0; round < rounds; round++) {
        const unsigned count = 1 + (unsigned)random_below(&random, ARRAY_COUNT(readings));
        for (unsigned i = 0; i < count; i++) {
            const uint32_t blocks = 1 + (uint32_t)random_below(&random, 30);
            reading_init(&subject, &readings[i], random_below(&random, 4000), blocks);
            ck_assert_int_eq(block_submit_request(subject.device, i % 2, &readings[i].request),
                             STATUS_OK);
        }
        for (unsigned i = 0; i < count; i++) {
            const struct block_waiter *waiter = random_below(&random, 2) ? &subject.waiter : NULL;
            ck_assert_int_eq(block_wait_interrupt(subject.device, &readings[i].request, waiter),
                             STATUS_OK);
            ck_assert(reading_is_right(&subject, &readings[i]));
            reading_free(&subject, &readings[i]);
        }
    }
    const struct nvme_anomalies none = {0}, found = subject_statistics(&subject).anomalies;
    ck_assert_mem_eq(&none, &found, sizeof(none));
    subject_free(&subject);
}
END_TEST

// ---- writing ------------------------------------------------------------------------------------

START_TEST(a_default_run_reads_and_sets_up_and_nothing_else)
{
    struct subject subject;
    subject_begin(&subject);
    ck_assert_int_eq(subject_read(&subject, 0, 1), STATUS_OK);
    ck_assert_int_eq(nvme_ops.reset(subject.nvme), STATUS_OK);
    ck_assert_uint_eq(subject.fake->io_opcodes, 1u << NVME_READ);
    ck_assert_uint_eq(subject.fake->admin_opcodes, 1u << NVME_IDENTIFY | 1u << NVME_SET_FEATURES |
                                                       1u << NVME_CREATE_CQ | 1u << NVME_CREATE_SQ);
    ck_assert_uint_eq(subject.fake->written, 0);
    subject_free(&subject);
}
END_TEST

// Behind the block layer's back: the driver asks the guard itself.
START_TEST(the_driver_refuses_to_write_by_itself)
{
    struct subject subject;
    subject_begin(&subject);
    struct reading reading;
    reading_init(&subject, &reading, 10, 2);
    reading.request.operation = _i == 0 ? BLOCK_WRITE : BLOCK_FLUSH;
    ck_assert_int_eq(block_submit_request(subject.device, 0, &reading.request),
                     _i == 0 ? STATUS_REFUSED : STATUS_INVALID);
    ck_assert_int_eq(nvme_ops.submit(subject.nvme, 0, &reading.request), STATUS_REFUSED);
    // With a guard for other blocks too.
    subject.guard = (struct block_guard){.writable = true, .first = 11, .count = 100};
    if (_i == 0) {
        ck_assert_int_eq(nvme_ops.submit(subject.nvme, 0, &reading.request), STATUS_REFUSED);
        reading.request.first = 110;
        ck_assert_int_eq(nvme_ops.submit(subject.nvme, 0, &reading.request), STATUS_REFUSED);
    }
    nvme_ops.ring(subject.nvme, 0);
    ck_assert_uint_eq(subject.fake->reads, 0);
    ck_assert_uint_eq(subject.nvme->queues[0].free_count, NVME_SLOTS);
    reading_free(&subject, &reading);
    subject_free(&subject);
}
END_TEST

START_TEST(an_opened_range_is_written_and_flushed)
{
    struct subject subject;
    subject_begin(&subject);
    subject.guard = (struct block_guard){.writable = true, .first = 10, .count = 2};
    struct reading reading;
    reading_init(&subject, &reading, 10, 2);
    reading.request.operation = BLOCK_WRITE;
    ck_assert_int_eq(block_submit_request(subject.device, 0, &reading.request), STATUS_OK);
    ck_assert_int_eq(block_poll_wait(subject.device, &reading.request), STATUS_OK);
    ck_assert_uint_eq(subject.fake->written, 1024);
    struct block_request flush;
    block_request_init(&flush, BLOCK_FLUSH, 0, 0, NULL, 0);
    ck_assert_int_eq(block_submit_request(subject.device, 0, &flush), STATUS_OK);
    ck_assert_int_eq(block_poll_wait(subject.device, &flush), STATUS_OK);
    ck_assert_uint_eq(subject.fake->io_opcodes, 1u << NVME_WRITE | 1u << NVME_FLUSH);
    reading_free(&subject, &reading);
    subject_free(&subject);
}
END_TEST

START_TEST(a_protected_namespace_is_read_only)
{
    struct subject subject;
    subject_prepare(&subject);
    subject.fake->attributes = 1;
    subject_start(&subject);
    ck_assert(subject.device->facts.read_only);
    subject_free(&subject);
}
END_TEST

// No code but those on the list gets into a queue, and no feature but the number of queues is set.
START_TEST(a_queue_takes_no_command_that_is_not_on_the_list)
{
    struct subject subject;
    subject_begin(&subject);
    for (unsigned code = 0; code < 256; code++) {
        const struct nvme_command command = {.opcode = (uint8_t)code, .words = {1}};
        for (unsigned admin = 0; admin < 2; admin++) {
            struct nvme_queue *queue = admin ? &subject.nvme->admin : &subject.nvme->queues[0];
            const uint32_t slot = nvme_queue_claim(queue, &subject);
            const bool known =
                admin ? code <= 0xc && code != 3 && code != 7 && code != 9 && code != 0xb
                      : code == NVME_READ;
            ck_assert_int_eq(nvme_queue_put(queue, slot, &command),
                             known ? STATUS_OK : STATUS_REFUSED);
            if (known)
                nvme_queue_release(queue, slot);
        }
    }
    const uint32_t slot = nvme_queue_claim(&subject.nvme->admin, &subject);
    const struct nvme_command saved = {.opcode = NVME_SET_FEATURES,
                                       .words = {NVME_FEATURE_QUEUES | 1u << 31}};
    ck_assert_int_eq(nvme_queue_put(&subject.nvme->admin, slot, &saved), STATUS_REFUSED);
    subject_free(&subject);
}
END_TEST

// ---- preconditions
// -------------------------------------------------------------------------------

START_TEST(no_queues_panic)
{
    struct subject subject;
    subject_prepare(&subject);
    struct nvme_config config = fake_config(subject.fake);
    config.queues = _i == 0 ? 0 : BLOCK_QUEUES_MOST + 1;
    nvme_init(subject.nvme, &config);
}
END_TEST

START_TEST(a_clock_out_of_range_panics)
{
    struct subject subject;
    subject_prepare(&subject);
    struct nvme_config config = fake_config(subject.fake);
    config.clock.hz = _i == 0 ? 999 : DEVICE_HZ_MOST + 1;
    nvme_init(subject.nvme, &config);
}
END_TEST

START_TEST(a_queue_of_one_entry_panics)
{
    struct subject subject;
    subject_begin(&subject);
    struct nvme_queue_config config = subject.nvme->queues[0].config;
    config.entries = _i == 0 ? 1 : NVME_ENTRIES_MOST + 1;
    nvme_queue_init(&subject.nvme->queues[0], &config);
}
END_TEST

START_TEST(a_queue_without_doorbells_panics)
{
    struct subject subject;
    subject_begin(&subject);
    struct nvme_queue_config config = subject.nvme->queues[0].config;
    config.registers.length = NVME_DOORBELLS + 8;
    nvme_queue_init(&subject.nvme->queues[0], &config);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("nvme");
    TCase *cases = tcase_create("controller");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, facts_are_the_controllers_and_the_namespaces);
    tcase_add_loop_test(cases, a_transfer_is_as_long_as_the_controller_takes, 0,
                        ARRAY_COUNT(transfers));
    tcase_add_loop_test(cases, doorbells_lie_where_the_stride_says, 0, 16);
    tcase_add_loop_test(cases, blocks_have_the_size_of_the_format, 0, 20);
    tcase_add_loop_test(cases, what_cannot_be_a_disk_is_left_alone_and_said, 0, 4);
    tcase_add_loop_test(cases, the_nth_usable_namespace_is_found, 0, 3);
    tcase_add_test(cases, an_old_controllers_namespaces_have_the_first_numbers);
    tcase_add_loop_test(cases, queues_are_as_many_as_all_allow, 0, 10);
    tcase_add_loop_test(cases, without_a_vector_or_somebody_to_tell_it_is_polled, 0, 2);
    tcase_add_loop_test(cases, a_small_queue_is_filled_and_no_more, 1, 4);
    tcase_add_loop_test(cases, memory_of_any_place_and_length_is_told_page_by_page, 0, 5);
    tcase_add_test(cases, blocks_beyond_32_bits_are_found);
    tcase_add_test(cases, several_pieces_of_memory_are_one_command);
    tcase_add_test(cases, sleepers_are_woken_by_their_queues_interrupt);
    tcase_add_test(cases, random_requests_on_all_queues_are_answered_rightly);
    tcase_add_test(cases, a_default_run_reads_and_sets_up_and_nothing_else);
    tcase_add_loop_test(cases, the_driver_refuses_to_write_by_itself, 0, 2);
    tcase_add_test(cases, an_opened_range_is_written_and_flushed);
    tcase_add_test(cases, a_protected_namespace_is_read_only);
    tcase_add_test(cases, a_queue_takes_no_command_that_is_not_on_the_list);
    tcase_add_loop_test_raise_signal(cases, no_queues_panic, 6, 0, 2);
    tcase_add_loop_test_raise_signal(cases, a_clock_out_of_range_panics, 6, 0, 2);
    tcase_add_loop_test_raise_signal(cases, a_queue_of_one_entry_panics, 6, 0, 2);
    tcase_add_test_raise_signal(cases, a_queue_without_doorbells_panics, 6);
    suite_add_tcase(suite, cases);
    return run_checks(suite);
}
