// SPDX-License-Identifier: MIT
// NVMe controllers that err, lie and dawdle: every request and every call ends, within the
// stated bound, and no memory is touched that is not the device's (nvme_fake.h insists).
#include "nvme_subject.h"

#include "nvme_parts.h"
#include "run_checks.h"

// ---- statuses -----------------------------------------------------------------------------------

// Type and code of each status that the specification has for reads and for set-up (base 1.4,
// 4.6.1.2), some that nobody has, and what is to become of them.
static const struct {
    uint16_t raw;
    enum status status;
} statuses[] = {
    {0x001, STATUS_FAILED},  {0x002, STATUS_FAILED},  {0x003, STATUS_FAILED},
    {0x004, STATUS_FAILED},  {0x005, STATUS_ABORTED}, {0x006, STATUS_FAILED},
    {0x007, STATUS_ABORTED}, {0x008, STATUS_ABORTED}, {0x009, STATUS_FAILED},
    {0x00a, STATUS_FAILED},  {0x00b, STATUS_FAILED},  {0x00c, STATUS_FAILED},
    {0x00d, STATUS_FAILED},  {0x00e, STATUS_FAILED},  {0x00f, STATUS_FAILED},
    {0x010, STATUS_FAILED},  {0x011, STATUS_FAILED},  {0x012, STATUS_FAILED},
    {0x013, STATUS_FAILED},  {0x014, STATUS_FAILED},  {0x015, STATUS_FAILED},
    {0x016, STATUS_FAILED},  {0x018, STATUS_FAILED},  {0x019, STATUS_FAILED},
    {0x01a, STATUS_FAILED},  {0x01b, STATUS_ABORTED}, {0x01c, STATUS_FAILED},
    {0x01d, STATUS_ABORTED}, {0x01e, STATUS_FAILED},  {0x01f, STATUS_FAILED},
    {0x020, STATUS_FAILED},  {0x021, STATUS_ABORTED}, {0x022, STATUS_ABORTED},
    {0x080, STATUS_FAILED},  {0x081, STATUS_FAILED},  {0x082, STATUS_ABORTED},
    {0x083, STATUS_FAILED},  {0x084, STATUS_ABORTED}, {0x0ff, STATUS_FAILED},
    {0x100, STATUS_FAILED},  {0x103, STATUS_FAILED},  {0x180, STATUS_FAILED},
    {0x181, STATUS_FAILED},  {0x182, STATUS_FAILED},  {0x1ff, STATUS_FAILED},
    {0x280, STATUS_FAILED},  {0x281, STATUS_FAILED},  {0x282, STATUS_FAILED},
    {0x283, STATUS_FAILED},  {0x284, STATUS_FAILED},  {0x285, STATUS_FAILED},
    {0x286, STATUS_FAILED},  {0x287, STATUS_FAILED},  {0x300, STATUS_ABORTED},
    {0x301, STATUS_FAILED},  {0x302, STATUS_FAILED},  {0x303, STATUS_ABORTED},
    {0x360, STATUS_ABORTED}, {0x370, STATUS_ABORTED}, {0x371, STATUS_ABORTED},
    {0x4aa, STATUS_FAILED},  {0x5aa, STATUS_FAILED},  {0x6aa, STATUS_FAILED},
    {0x700, STATUS_FAILED},  {0x7ff, STATUS_FAILED},
};

START_TEST(each_status_reaches_the_request_and_has_words)
{
    struct subject subject;
    subject_begin(&subject);
    subject.fake->bad_block = 50;
    for (unsigned i = 0; i < ARRAY_COUNT(statuses); i++) {
        for (unsigned final = 0; final < 2; final++) {
            const uint16_t raw = (uint16_t)(statuses[i].raw | (final ? NVME_STATUS_FINAL : 0));
            struct reading reading;
            subject.fake->read_status = raw;
            reading_submit(&subject, &reading, 0, 50);
            // What passes may be tried again, unless the controller says no.
            ck_assert_int_eq(block_poll_wait(subject.device, &reading.request),
                             final ? STATUS_FAILED : statuses[i].status);
            ck_assert_uint_eq(reading.request.device_status, raw);
            ck_assert_uint_gt(strlen(nvme_status_text(raw)), 8);
            ck_assert_str_ne(nvme_status_text(raw), "success");
            reading_free(&subject, &reading);
            ck_assert_int_eq(subject_read(&subject, 0, 51), STATUS_OK);
        }
    }
    ck_assert_uint_eq(subject_statistics(&subject).failed, 2 * ARRAY_COUNT(statuses));
    ck_assert_uint_eq(subject.fake->resets, 0);
    subject_free(&subject);
}
END_TEST

START_TEST(all_32768_statuses_have_a_meaning)
{
    for (uint32_t raw = 0; raw < 1u << 15; raw++) {
        const enum status status = nvme_status(raw);
        ck_assert(status == STATUS_OK || status == STATUS_FAILED || status == STATUS_ABORTED);
        ck_assert_int_eq(status == STATUS_OK, (raw & NVME_STATUS_CODE) == 0);
        ck_assert_ptr_nonnull(nvme_status_text(raw));
    }
    ck_assert_str_eq(nvme_status_text(0), "success");
}
END_TEST

// ---- completions that make no sense -------------------------------------------------------------

START_TEST(a_completion_of_nothing_is_counted_and_its_request_ends_by_the_timeout)
{
    static const enum fake_deed deeds[] = {FAKE_UNKNOWN_ID, FAKE_IDLE_ID, FAKE_WRONG_QUEUE,
                                           FAKE_STALE_PHASE, FAKE_SILENT};
    struct subject subject;
    subject_prepare(&subject);
    subject.fake->abort = FAKE_ABORT_REFUSED; // the command is not there any more
    subject_start(&subject);
    subject_hurry(&subject);
    subject.fake->deed = deeds[_i];
    subject.fake->deeds = 1;
    struct reading reading;
    reading_submit(&subject, &reading, 0, 9);
    const uint64_t start = subject.fake->now;
    ck_assert_int_eq(block_poll_wait(subject.device, &reading.request), STATUS_TIMEOUT);
    ck_assert_uint_le(subject.fake->now - start, block_bound_ns(subject.device));
    reading_free(&subject, &reading);
    const struct nvme_anomalies found = subject_statistics(&subject).anomalies;
    ck_assert_uint_eq(found.unknown, deeds[_i] == FAKE_UNKNOWN_ID);
    ck_assert_uint_eq(found.repeated, deeds[_i] == FAKE_IDLE_ID);
    ck_assert_uint_eq(found.misplaced, deeds[_i] == FAKE_WRONG_QUEUE);
    ck_assert_uint_eq(subject_statistics(&subject).not_aborted, 1);
    ck_assert_uint_eq(subject.fake->resets, 1);
    for (unsigned queue = 0; queue < 2; queue++)
        ck_assert_int_eq(subject_read(&subject, queue, 9), STATUS_OK);
    subject_free(&subject);
}
END_TEST

START_TEST(a_completion_that_comes_twice_counts_once)
{
    struct subject subject;
    subject_begin(&subject);
    subject.fake->deed = FAKE_TWICE;
    subject.fake->deeds = 300; // more than two turns of the queue
    for (unsigned i = 0; i < 300; i++)
        ck_assert_int_eq(subject_read(&subject, 1, i), STATUS_OK);
    ck_assert_uint_ge(subject_statistics(&subject).anomalies.repeated, 299);
    ck_assert_uint_eq(subject.device->queues[1].statistics.strays, 0);
    ck_assert_uint_eq(subject.fake->resets, 0);
    subject_free(&subject);
}
END_TEST

START_TEST(a_head_outside_of_the_queue_is_counted_and_not_believed)
{
    struct subject subject;
    subject_begin(&subject);
    subject.fake->deed = FAKE_WRONG_HEAD;
    subject.fake->deeds = 5;
    for (unsigned i = 0; i < 10; i++)
        ck_assert_int_eq(subject_read(&subject, 0, i), STATUS_OK);
    ck_assert_uint_eq(subject_statistics(&subject).anomalies.heads, 5);
    subject_free(&subject);
}
END_TEST

// A late completion must not end the request that has its slot now.
START_TEST(a_completion_from_long_ago_ends_no_other_request)
{
    struct subject subject;
    subject_prepare(&subject);
    subject.fake->cap &= ~UINT64_C(0xfffe); // two entries: one slot
    subject_start(&subject);
    struct reading reading;
    reading_submit(&subject, &reading, 0, 1);
    const uint16_t old = (uint16_t)reading.request.driver[0];
    ck_assert_int_eq(block_poll_wait(subject.device, &reading.request), STATUS_OK);
    reading_free(&subject, &reading);
    reading_submit(&subject, &reading, 0, 2);
    fake_post(subject.fake, 1, old, 0, 0, FAKE_GOOD);
    block_poll(subject.device, 0);
    ck_assert(!block_done(&reading.request));
    ck_assert_uint_eq(subject_statistics(&subject).anomalies.repeated, 1);
    ck_assert_int_eq(block_poll_wait(subject.device, &reading.request), STATUS_OK);
    ck_assert(reading_is_right(&subject, &reading));
    reading_free(&subject, &reading);
    subject_free(&subject);
}
END_TEST

// ---- lateness -----------------------------------------------------------------------------------

START_TEST(what_is_late_is_aborted_and_the_others_go_on)
{
    struct subject subject;
    subject_begin(&subject);
    subject_hurry(&subject);
    subject.fake->latency_ns = UINT64_MAX / 2;
    struct reading late;
    reading_submit(&subject, &late, 0, 5);
    subject.fake->latency_ns = 1000;
    ck_assert_int_eq(subject_read(&subject, 0, 6), STATUS_OK);
    ck_assert_int_eq(block_poll_wait(subject.device, &late.request), STATUS_TIMEOUT);
    ck_assert_uint_eq(late.request.device_status, 7);
    ck_assert(reading_is_untouched(&late));
    ck_assert_int_eq(nvme_ops.health(subject.nvme), BLOCK_HEALTHY); // takes the abort's answer
    ck_assert_uint_eq(subject_statistics(&subject).aborted, 1);
    ck_assert_uint_eq(subject.fake->resets, 0);
    ck_assert_int_eq(subject_read(&subject, 0, 7), STATUS_OK);
    // One after the other, more than it takes at a time.
    subject.fake->latency_ns = UINT64_MAX / 2;
    for (unsigned i = 0; i < 6; i++)
        ck_assert_int_eq(subject_read(&subject, i % 2, i), STATUS_TIMEOUT);
    ck_assert_uint_eq(subject.fake->resets, 0);
    reading_free(&subject, &late);
    subject_free(&subject);
}
END_TEST

START_TEST(aborts_that_are_of_no_use_end_in_a_reset)
{
    struct subject subject;
    subject_begin(&subject);
    subject_hurry(&subject);
    subject.fake->latency_ns = UINT64_MAX / 2;
    subject.fake->abort = (enum fake_abort)_i;
    struct reading late, innocent;
    reading_submit(&subject, &late, 0, 5);
    const uint64_t start = subject.fake->now;
    subject.fake->now += BLOCK_TIMEOUT_NS / 2;
    reading_submit(&subject, &innocent, 1, 6);
    ck_assert_int_eq(block_poll_wait(subject.device, &late.request), STATUS_TIMEOUT);
    ck_assert_uint_le(subject.fake->now - start, block_bound_ns(subject.device));
    ck_assert_int_eq(block_poll_wait(subject.device, &innocent.request), STATUS_ABORTED);
    ck_assert_uint_eq(subject.fake->resets, 1);
    ck_assert_uint_eq(subject.fake->aborts_seen, 1);
    // After the reset nothing of it is left: the memory is the caller's.
    reading_free(&subject, &late);
    reading_free(&subject, &innocent);
    subject.fake->latency_ns = 1000;
    for (unsigned queue = 0; queue < 2; queue++) {
        struct reading again;
        reading_submit(&subject, &again, queue, 5);
        ck_assert_int_eq(block_wait_interrupt(subject.device, &again.request, &subject.waiter),
                         STATUS_OK);
        ck_assert(reading_is_right(&subject, &again));
        reading_free(&subject, &again);
    }
    subject_free(&subject);
}
END_TEST

// More at a time than the controller takes aborts: they are not queued up, it is reset.
START_TEST(too_many_aborts_are_a_reset)
{
    struct subject subject;
    subject_prepare(&subject);
    subject.fake->acl = 0;
    subject.fake->abort = FAKE_ABORT_SILENT;
    subject_start(&subject);
    subject_hurry(&subject);
    subject.fake->latency_ns = UINT64_MAX / 2;
    struct reading readings[5];
    for (unsigned i = 0; i < 5; i++)
        reading_submit(&subject, &readings[i], i % 2, i);
    for (unsigned i = 0; i < 5; i++) {
        const enum status status = block_poll_wait(subject.device, &readings[i].request);
        ck_assert(status == STATUS_TIMEOUT || status == STATUS_ABORTED);
        reading_free(&subject, &readings[i]);
    }
    ck_assert_uint_eq(subject.fake->resets, 1);
    ck_assert_uint_eq(subject.fake->aborts_seen, 1);
    // A reset has ended the abort too: there may be another.
    ck_assert_int_eq(subject_read(&subject, 0, 1), STATUS_TIMEOUT);
    ck_assert_uint_eq(subject.fake->aborts_seen, 2);
    subject_free(&subject);
}
END_TEST

START_TEST(a_fatal_status_is_a_reset)
{
    struct subject subject;
    subject_begin(&subject);
    subject.fake->latency_ns = UINT64_MAX / 2;
    struct reading reading;
    reading_submit(&subject, &reading, 0, 5);
    subject.fake->fatal = true;
    const uint64_t start = subject.fake->now;
    ck_assert_int_eq(block_poll_wait(subject.device, &reading.request), STATUS_ABORTED);
    ck_assert_uint_lt(subject.fake->now - start, 10 * MILLISECOND);
    ck_assert_uint_eq(subject.fake->resets, 1);
    reading_free(&subject, &reading);
    subject.fake->latency_ns = 1000;
    ck_assert_int_eq(subject_read(&subject, 0, 5), STATUS_OK);
    subject_free(&subject);
}
END_TEST

// Nothing of before is taken for new.
START_TEST(queues_begin_anew_after_a_reset)
{
    struct subject subject;
    subject_begin(&subject);
    for (unsigned i = 0; i < 10 + 40 * (unsigned)_i; i++) // within the first turn, and the second
        ck_assert_int_eq(subject_read(&subject, 0, i), STATUS_OK);
    ck_assert_int_eq(nvme_ops.reset(subject.nvme), STATUS_OK);
    for (unsigned i = 0; i < 200; i++)
        ck_assert_int_eq(subject_read(&subject, i % 2, i), STATUS_OK);
    const struct nvme_anomalies none = {0}, found = subject_statistics(&subject).anomalies;
    ck_assert_mem_eq(&none, &found, sizeof(none));
    ck_assert_uint_eq(subject.fake->resets, 1);
    subject_free(&subject);
}
END_TEST

START_TEST(another_disk_after_a_reset_is_not_used)
{
    struct subject subject;
    subject_begin(&subject);
    subject.fake->blocks += _i == 0 ? 1 : 0;
    subject.fake->block_log = _i == 1 ? 12 : 9;
    subject.fake->metadata = _i == 2 ? 8 : 0;
    subject.fake->admin_status[NVME_IDENTIFY] = _i == 3 ? 0x0b : 0;
    ck_assert_int_eq(nvme_ops.reset(subject.nvme), _i == 3 ? STATUS_FAILED : STATUS_CORRUPT);
    ck_assert(!subject.fake->master);
    subject_free(&subject);
}
END_TEST

// It is disabled by itself, as after a reset that somebody else made.
START_TEST(a_controller_that_is_not_ready_any_more_is_a_reset)
{
    struct subject subject;
    subject_begin(&subject);
    subject.fake->latency_ns = UINT64_MAX / 2;
    struct reading reading;
    reading_submit(&subject, &reading, 0, 5);
    fake_configure(subject.fake, subject.fake->configuration & ~NVME_CC_ENABLE);
    ck_assert_int_eq(block_poll_wait(subject.device, &reading.request), STATUS_ABORTED);
    reading_free(&subject, &reading);
    subject.fake->latency_ns = 1000;
    ck_assert_int_eq(subject_read(&subject, 1, 5), STATUS_OK);
    subject_free(&subject);
}
END_TEST

// ---- resets that fail ---------------------------------------------------------------------------

enum trouble {
    STAYS_ENABLED,
    STAYS_UNREADY,
    FATAL_AGAIN,
    NO_QUEUES,
    FEWER_QUEUES,
    NO_COMPLETION_QUEUE,
    NO_SUBMISSION_QUEUE,
    MUTE,
    TROUBLES
};

static void make_trouble(struct nvme_fake *fake, enum trouble trouble)
{
    fake->never_disabled = trouble == STAYS_ENABLED;
    fake->never_ready = trouble == STAYS_UNREADY;
    fake->fatal_when_enabled = trouble == FATAL_AGAIN;
    fake->admin_status[NVME_SET_FEATURES] = trouble == NO_QUEUES ? 2 : 0;
    fake->queues_most = trouble == FEWER_QUEUES ? 1 : 4;
    fake->admin_status[NVME_CREATE_CQ] = trouble == NO_COMPLETION_QUEUE ? 0x102 : 0;
    fake->admin_status[NVME_CREATE_SQ] = trouble == NO_SUBMISSION_QUEUE ? 0x101 : 0;
    fake->admin_silent[NVME_CREATE_CQ] = trouble == MUTE;
}

START_TEST(a_reset_that_fails_ends_in_time_and_cuts_the_controller_off)
{
    struct subject subject;
    subject_begin(&subject);
    subject_hurry(&subject);
    subject.fake->latency_ns = 3ull * BLOCK_TIMEOUT_NS; // when all is over, it tries
    struct reading reading;
    reading_submit(&subject, &reading, 0, 5);
    subject.fake->fatal = true;
    make_trouble(subject.fake, (enum trouble)_i);
    const uint64_t start = subject.fake->now;
    ck_assert_int_eq(block_poll_wait(subject.device, &reading.request), STATUS_FAILED);
    ck_assert_uint_le(subject.fake->now - start, subject.device->facts.reset_ns + BLOCK_SLEEP_NS);
    ck_assert_int_eq(block_device_state(subject.device), BLOCK_DEVICE_FAILED);
    ck_assert_ptr_nonnull(subject.nvme->problem);
    ck_assert(!subject.fake->master);
    // What it still does, it does without memory.
    subject.fake->now += 10ull * BLOCK_TIMEOUT_NS;
    fake_turn(subject.fake);
    ck_assert(reading_is_untouched(&reading));
    if (_i == STAYS_ENABLED)
        ck_assert_uint_gt(subject.fake->lost, 0);
    ck_assert_int_eq(block_submit_request(subject.device, 0, &reading.request), STATUS_FAILED);
    reading_free(&subject, &reading);
    subject_free(&subject);
}
END_TEST

START_TEST(a_controller_that_cannot_be_brought_up_is_left_disabled)
{
    static const enum status expected[TROUBLES] = {
        [STAYS_ENABLED] = STATUS_TIMEOUT,
        [STAYS_UNREADY] = STATUS_TIMEOUT,
        [FATAL_AGAIN] = STATUS_FAILED,
        [NO_QUEUES] = STATUS_FAILED,
        [FEWER_QUEUES] = STATUS_OK,
        [NO_COMPLETION_QUEUE] = STATUS_FAILED,
        [NO_SUBMISSION_QUEUE] = STATUS_FAILED,
        [MUTE] = STATUS_TIMEOUT,
    };
    struct subject subject;
    subject_prepare(&subject);
    subject_hurry(&subject);
    make_trouble(subject.fake, (enum trouble)_i);
    const uint64_t start = subject.fake->now;
    ck_assert_int_eq(subject_try(&subject), expected[_i]);
    ck_assert_uint_le(subject.fake->now - start, BLOCK_RESET_NS_MOST);
    if (expected[_i] != STATUS_OK) {
        ck_assert_ptr_nonnull(subject.nvme->problem);
        ck_assert(!subject.fake->enabled && !subject.fake->master);
    }
    subject_free(&subject);
}
END_TEST

// It lists more namespaces than there are slots, and says nothing from the first of them on.
static void fail_at_a_namespace(void *context, unsigned what, uint8_t *page)
{
    struct nvme_fake *fake = context;
    for (uint32_t id = 1; what == NVME_IDENTIFY_LIST && id <= NVME_NAMESPACES_MOST; id++)
        memcpy(page + 4 * (id - 1), &id, sizeof(id));
    if (what == NVME_IDENTIFY_NAMESPACE)
        fake->fatal = fake->admin_silent[NVME_IDENTIFY] = true;
}

START_TEST(a_controller_that_fails_at_a_namespace_is_not_asked_for_the_others)
{
    struct subject subject;
    subject_prepare(&subject);
    subject.fake->namespaces_most = NVME_NAMESPACES_MOST;
    subject.fake->mangle = fail_at_a_namespace;
    subject.fake->mangle_context = subject.fake;
    ck_assert_int_eq(subject_try(&subject), STATUS_FAILED);
    ck_assert_str_eq(subject.nvme->problem, "it failed fatally");
    ck_assert_uint_eq(subject.nvme->admin.free_count, NVME_ADMIN_ENTRIES - 2);
    ck_assert(!subject.fake->enabled && !subject.fake->master);
    subject_free(&subject);
}
END_TEST

START_TEST(an_answer_to_an_earlier_command_is_not_the_next_ones)
{
    struct subject subject;
    subject_begin(&subject);
    struct nvme *nvme = subject.nvme;
    const struct nvme_command command = {.opcode = NVME_IDENTIFY,
                                         .nsid = nvme->chosen->id,
                                         .prp1 = nvme->page.address,
                                         .words = {NVME_IDENTIFY_NAMESPACE}};
    const uint32_t slot = nvme_queue_claim(&nvme->admin, &nvme->answer);
    ck_assert_int_eq(nvme_queue_put(&nvme->admin, slot, &command), STATUS_OK);
    subject.fake->admin_status[NVME_IDENTIFY] = 0x0b;
    nvme_queue_ring(&nvme->admin);
    fake_turn(subject.fake);
    subject.fake->admin_status[NVME_IDENTIFY] = 0;
    ck_assert_int_eq(nvme_identify_again(nvme, UINT64_MAX), STATUS_OK);
    ck_assert_uint_eq(nvme->admin.free_count, NVME_ADMIN_ENTRIES - 1);
    subject_free(&subject);
}
END_TEST

// Firmware leaves it enabled, and not ready yet, as often as not.
START_TEST(a_controller_found_running_is_disabled_first)
{
    struct subject subject;
    subject_prepare(&subject);
    subject.fake->enabled = true;
    subject.fake->configuration = 0x00460001;
    subject.fake->ready_at = subject.fake->now + (_i == 0 ? 0 : 50 * MILLISECOND);
    subject_start(&subject);
    ck_assert_uint_eq(subject.fake->resets, 1);
    if (_i == 1)
        ck_assert_uint_ge(subject.fake->now, 51 * MILLISECOND); // not before it was ready
    ck_assert_int_eq(subject_read(&subject, 0, 1), STATUS_OK);
    subject_free(&subject);
}
END_TEST

START_TEST(a_controller_that_asks_for_no_time_gets_some)
{
    struct subject subject;
    subject_prepare(&subject);
    subject.fake->cap &= ~(UINT64_C(0xff) << 24);
    subject.fake->ready_ns = 400 * MILLISECOND;
    subject_start(&subject);
    ck_assert_int_eq(subject_read(&subject, 0, 1), STATUS_OK);
    subject_free(&subject);
}
END_TEST

// The longest time a controller may ask for is 127 s; nobody waits as long.
START_TEST(a_controller_that_asks_for_minutes_is_given_up)
{
    struct subject subject;
    subject_prepare(&subject);
    subject_hurry(&subject);
    subject.fake->cap |= UINT64_C(0xff) << 24;
    subject.fake->never_ready = true;
    const uint64_t start = subject.fake->now;
    ck_assert_int_eq(subject_try(&subject), STATUS_TIMEOUT);
    ck_assert_uint_ge(subject.fake->now - start, BLOCK_RESET_NS_MOST);
    ck_assert_uint_lt(subject.fake->now - start, BLOCK_RESET_NS_MOST + MILLISECOND);
    subject_free(&subject);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("nvme_faults");
    TCase *cases = tcase_create("faults");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, each_status_reaches_the_request_and_has_words);
    tcase_add_test(cases, all_32768_statuses_have_a_meaning);
    tcase_add_loop_test(
        cases, a_completion_of_nothing_is_counted_and_its_request_ends_by_the_timeout, 0, 5);
    tcase_add_test(cases, a_completion_that_comes_twice_counts_once);
    tcase_add_test(cases, a_head_outside_of_the_queue_is_counted_and_not_believed);
    tcase_add_test(cases, a_completion_from_long_ago_ends_no_other_request);
    tcase_add_test(cases, what_is_late_is_aborted_and_the_others_go_on);
    tcase_add_loop_test(cases, aborts_that_are_of_no_use_end_in_a_reset, FAKE_ABORT_REFUSED,
                        FAKE_ABORT_SILENT + 1);
    tcase_add_test(cases, too_many_aborts_are_a_reset);
    tcase_add_test(cases, a_fatal_status_is_a_reset);
    tcase_add_loop_test(cases, queues_begin_anew_after_a_reset, 0, 6);
    tcase_add_loop_test(cases, another_disk_after_a_reset_is_not_used, 0, 4);
    tcase_add_test(cases, a_controller_that_is_not_ready_any_more_is_a_reset);
    tcase_add_loop_test(cases, a_reset_that_fails_ends_in_time_and_cuts_the_controller_off, 0,
                        TROUBLES);
    tcase_add_loop_test(cases, a_controller_that_cannot_be_brought_up_is_left_disabled, 0,
                        TROUBLES);
    tcase_add_test(cases, a_controller_that_fails_at_a_namespace_is_not_asked_for_the_others);
    tcase_add_test(cases, an_answer_to_an_earlier_command_is_not_the_next_ones);
    tcase_add_loop_test(cases, a_controller_found_running_is_disabled_first, 0, 2);
    tcase_add_test(cases, a_controller_that_asks_for_no_time_gets_some);
    tcase_add_test(cases, a_controller_that_asks_for_minutes_is_given_up);
    suite_add_tcase(suite, cases);
    return run_checks(suite);
}
