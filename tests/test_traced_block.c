// SPDX-License-Identifier: MIT
// The block layer's traced flavour over the RAM disk, in each of its modes: every request goes from
// queued to taken in an order that is possible, interrupts find what they say, and what comes out
// is drawn whole. With TICKMARK_TRACES=FOLDER a trace of each mode is written there.
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block_subject.h"
#include "driver_variants.h"
#include "recording_cpus.h"
#include "run_checks.h"
#include "trace_device.h"
#include "trace_made.h"

#define VARIANT_ENTRY(name) &driver_##name##_ops,
static const struct driver_ops *const modes[] = {DRIVER_VARIANTS(VARIANT_ENTRY)};

#define READINGS 24u
#define QUEUES   2u
#define MANY     1600u // more than a mode's threshold in one bucket of the controller

static const struct trace_buffer *events(void)
{
    return cpus[0].events;
}

// Device's entries of one kind, and the sum of their values.
static uint32_t count_of(enum trace_event event, uint64_t *sum)
{
    uint32_t count = 0;
    *sum = 0;
    for (uint32_t i = 0; i < events()->used; i++) {
        if (events()->entries[i].event != event)
            continue;
        count++;
        *sum += events()->entries[i].value;
    }
    return count;
}

static uint32_t count(enum trace_event event)
{
    uint64_t sum;
    return count_of(event, &sum);
}

// The events of one request, in order; 0 behind the last.
static void story_of(const struct block_request *request, enum trace_event story[8])
{
    unsigned length = 0;
    memset(story, 0, 8 * sizeof(story[0]));
    for (uint32_t i = 0; i < events()->used && length < 7; i++) {
        const struct trace_entry *entry = &events()->entries[i];
        const bool of_request = entry->event != TRACE_BLOCK_INTERRUPT &&
                                entry->event < TRACE_BLOCK_BY_INTERRUPT &&
                                trace_is_of_device(entry);
        if (of_request && entry->value == trace_device_key(request))
            story[length++] = (enum trace_event)entry->event;
    }
}

static void expect_story(const struct block_request *request, const enum trace_event *expected,
                         unsigned length)
{
    enum trace_event story[8];
    story_of(request, story);
    for (unsigned i = 0; i < length; i++)
        ck_assert_msg(story[i] == expected[i], "event %u is %d, not %d", i, (int)story[i],
                      (int)expected[i]);
}

// ---- traces -------------------------------------------------------------------------------------

static void write_trace(const char *name)
{
    const struct perfetto_thread thread = {
        .pid = 0x1000, .tid = 0x1001, .process = "drivers", .name = name};
    char made[64];
    made_open(true, 0, 1, 0);
    perfetto_thread(&perfetto, &thread);
    const struct trace_entry *first = &events()->entries[0];
    const struct perfetto_phase phase = {.event = TRACE_BENCH_RUN,
                                         .begin = first->ticks,
                                         .end = events()->entries[events()->used - 1].ticks};
    const struct perfetto_recording recording = {
        .buffer = cpus[0].first, .events = cpus[0].events, .full = cpus[0].full, .thread = thread};
    const struct perfetto_row row = {.name = "drivers/read/mode",
                                     .what = "a RAM disk",
                                     .phases = &phase,
                                     .phase_count = 1,
                                     .recordings = &recording,
                                     .recording_count = 1,
                                     .threads = threads};
    perfetto_row(&perfetto, &row);
    perfetto_close(&perfetto);
    ck_assert_uint_eq(perfetto.counts.lost, 0);
    snprintf(made, sizeof(made), "block_%s", name);
    made_save(made);
}

// ---- modes --------------------------------------------------------------------------------------

static void begin(struct subject *subject, struct reading *readings)
{
    subject_prepare(subject, QUEUES);
    subject_start(subject);
    for (unsigned i = 0; i < READINGS; i++)
        reading_init(&readings[i], (i ^ 1u) * 4, 4); // neighbours, the later one first
    start_cpus(1, MEMORY_BYTES, EVENTS_BYTES);
}

static void finish(struct subject *subject, struct reading *readings)
{
    for (unsigned i = 0; i < READINGS; i++)
        reading_free(&readings[i]);
    subject_free(subject);
}

static void read_all(struct subject *subject, const struct driver_ops *ops,
                     struct reading *readings)
{
    for (unsigned queue = 0; queue < QUEUES; queue++)
        ops->begin(subject->device, queue);
    for (unsigned i = 0; i < READINGS; i++)
        ck_assert_int_eq(ops->submit(subject->device, (i / 4) % QUEUES, &readings[i].request),
                         STATUS_OK);
    for (unsigned queue = 0; queue < QUEUES; queue++)
        ops->flush(subject->device, queue);
    for (unsigned i = 0; i < READINGS; i++) {
        ck_assert_int_eq(ops->wait(subject->device, &readings[i].request, &subject->waiter),
                         STATUS_OK);
        ck_assert(reading_is_right(&readings[i]));
    }
}

START_TEST(every_request_is_seen_from_queued_to_taken)
{
    static const enum trace_event whole[] = {TRACE_BLOCK_QUEUED, TRACE_BLOCK_SUBMITTED,
                                             TRACE_BLOCK_DONE, TRACE_BLOCK_TAKEN};
    const struct driver_ops *ops = modes[_i];
    struct subject subject;
    struct reading readings[READINGS];
    begin(&subject, readings);
    read_all(&subject, ops, readings);
    stop_cpus(1);
    if (ops->about.role == VARIANT_FLOOR) { // it is not the layer's
        ck_assert_uint_eq(count(TRACE_BLOCK_QUEUED), 0);
    } else {
        const struct block_statistics statistics = subject_statistics(&subject);
        uint64_t found;
        for (unsigned i = 0; i < READINGS; i++)
            expect_story(&readings[i].request, whole, ARRAY_COUNT(whole));
        ck_assert_uint_eq(count(TRACE_BLOCK_DONE), READINGS);
        ck_assert_uint_eq(count_of(TRACE_BLOCK_INTERRUPT, &found), 2 * statistics.interrupts);
        ck_assert_uint_le(found, READINGS);
        if (ops->mode == BLOCK_POLLING)
            ck_assert_uint_eq(statistics.interrupts, 0);
        else
            ck_assert_uint_gt(found, 0);
        if (ops->mode == BLOCK_BATCH)
            ck_assert_uint_gt(statistics.merged, 0);
    }
    ck_assert_uint_eq(events()->entries[0].event, TRACE_BLOCK_BY_INTERRUPT + (uint32_t)ops->mode);
    write_trace(ops->about.name);
    finish(&subject, readings);
}
END_TEST

START_TEST(of_requests_that_are_not_told_nothing_is_recorded_and_the_modes_are)
{
    struct subject subject;
    struct reading readings[READINGS];
    begin(&subject, readings);
    for (unsigned i = 0; i < READINGS; i++)
        readings[i].request.untold = i % 4 != 0;
    read_all(&subject, &driver_interrupt_ops, readings);
    driver_polling_ops.begin(subject.device, 0);
    stop_cpus(1);
    for (unsigned i = 0; i < READINGS; i++) {
        static const enum trace_event nothing[4],
            whole[] = {TRACE_BLOCK_QUEUED, TRACE_BLOCK_SUBMITTED, TRACE_BLOCK_DONE,
                       TRACE_BLOCK_TAKEN};
        expect_story(&readings[i].request, i % 4 == 0 ? whole : nothing, ARRAY_COUNT(whole));
    }
    ck_assert_uint_eq(count(TRACE_BLOCK_QUEUED), READINGS / 4);
    ck_assert_uint_ge(count(TRACE_BLOCK_BY_POLLING), 1);
    uint64_t waits = 0;
    for (uint32_t i = 0; i < cpus[0].first->used; i++)
        waits += cpus[0].first->entries[i].event == TRACE_BLOCK_WAIT;
    ck_assert_uint_eq(waits, 2 * (READINGS / 4));
    finish(&subject, readings);
}
END_TEST

START_TEST(of_a_merged_command_that_failed_the_parts_are_queued_again)
{
    static const enum trace_event again[] = {TRACE_BLOCK_QUEUED, TRACE_BLOCK_SUBMITTED,
                                             TRACE_BLOCK_QUEUED, TRACE_BLOCK_SUBMITTED,
                                             TRACE_BLOCK_DONE};
    struct subject subject;
    struct reading readings[READINGS];
    begin(&subject, readings);
    subject.misbehaving.bad_block = 5;
    driver_batch_ops.begin(subject.device, 0);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(driver_batch_ops.submit(subject.device, 0, &readings[i].request),
                         STATUS_OK);
    driver_batch_ops.flush(subject.device, 0);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(
            driver_batch_ops.wait(subject.device, &readings[i].request, &subject.waiter),
            i == 0 ? STATUS_FAILED : STATUS_OK);
    stop_cpus(1);
    expect_story(&readings[0].request, again, ARRAY_COUNT(again));
    expect_story(&readings[1].request, again, ARRAY_COUNT(again));
    write_trace("split");
    finish(&subject, readings);
}
END_TEST

static void do_nothing(struct block_request *request)
{
    (void)request;
}

START_TEST(a_request_with_a_call_is_taken_when_it_is_done_and_a_refused_one_at_once)
{
    struct subject subject;
    struct reading readings[READINGS];
    begin(&subject, readings);
    readings[0].request.done = do_nothing;
    ck_assert_int_eq(block_submit_request(subject.device, 0, &readings[0].request), STATUS_OK);
    while (!block_done(&readings[0].request))
        block_poll(subject.device, 0);
    subject.misbehaving.refuses = STATUS_INVALID;
    ck_assert_int_eq(block_submit_request(subject.device, 0, &readings[1].request), STATUS_INVALID);
    stop_cpus(1);
    const struct trace_entry *entry = &events()->entries[events()->used - 1];
    ck_assert_uint_eq(entry->event, TRACE_BLOCK_DONE);
    ck_assert_uint_eq(trace_device_detail(entry), TRACE_DONE_IS_TAKEN + 5);
    ck_assert_uint_eq(count(TRACE_BLOCK_TAKEN), 0);
    write_trace("called");
    finish(&subject, readings);
}
END_TEST

START_TEST(the_controllers_changes_are_recorded)
{
    struct subject subject;
    struct reading readings[READINGS];
    begin(&subject, readings);
    driver_adaptive_ops.begin(subject.device, 0);
    for (unsigned i = 0; i < MANY; i++) { // in a tenth of a second: polling suits
        if (i == MANY - READINGS)
            subject.time.now += 100 * MILLISECOND;
        struct reading *one = &readings[i % READINGS];
        ck_assert_int_eq(driver_adaptive_ops.submit(subject.device, 0, &one->request), STATUS_OK);
        ck_assert_int_eq(driver_adaptive_ops.wait(subject.device, &one->request, &subject.waiter),
                         STATUS_OK);
    }
    stop_cpus(1);
    ck_assert_int_eq(block_mode(subject.device, 0), BLOCK_POLLING);
    ck_assert_uint_ge(count(TRACE_BLOCK_BY_INTERRUPT), 1);
    ck_assert_uint_eq(count(TRACE_BLOCK_BY_POLLING), 1);
    write_trace("changes");
    // Besides the first, those that took the longest are drawn.
    const uint64_t others = (MANY - PERFETTO_REQUESTS_DRAWN) + (MANY - PERFETTO_LEAVES_DRAWN);
    ck_assert_uint_le(perfetto.counts.left_out, others);
    ck_assert_uint_ge(perfetto.counts.left_out, others - PERFETTO_SLOWEST_DRAWN);
    finish(&subject, readings);
}
END_TEST

START_TEST(what_does_not_fit_is_counted)
{
    start_cpus(1, MEMORY_BYTES, sizeof(struct trace_buffer) + 4 * sizeof(struct trace_entry));
    for (uint32_t i = 0; i < 10; i++)
        trace_device(TRACE_BLOCK_QUEUED, trace_device_lane(3, 63), TRACE_DETAIL_MOST, i);
    stop_cpus(1);
    trace_device(TRACE_BLOCK_QUEUED, 0, 0, 0);
    ck_assert_uint_eq(events()->used, 4);
    ck_assert_uint_eq(events()->lost, 6);
    ck_assert_uint_eq(trace_lane(&events()->entries[3]), TRACE_LANES_MOST - 1);
    ck_assert_uint_eq(trace_device_detail(&events()->entries[3]), TRACE_DETAIL_MOST);
    ck_assert_uint_eq(events()->thread, 0);
}
END_TEST

START_TEST(a_queue_that_there_cannot_be_is_a_mistake)
{
    start_cpus(1, MEMORY_BYTES, EVENTS_BYTES);
    trace_device(TRACE_BLOCK_QUEUED, TRACE_LANES_MOST, 0, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("traced block layer");
    TCase *tests = tcase_create("modes");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, every_request_is_seen_from_queued_to_taken, 0, ARRAY_COUNT(modes));
    tcase_add_test(tests, of_requests_that_are_not_told_nothing_is_recorded_and_the_modes_are);
    tcase_add_test(tests, of_a_merged_command_that_failed_the_parts_are_queued_again);
    tcase_add_test(tests, a_request_with_a_call_is_taken_when_it_is_done_and_a_refused_one_at_once);
    tcase_add_test(tests, the_controllers_changes_are_recorded);
    tcase_add_test(tests, what_does_not_fit_is_counted);
    tcase_add_test_raise_signal(tests, a_queue_that_there_cannot_be_is_a_mistake, SIGABRT);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
