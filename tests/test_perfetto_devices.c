// SPDX-License-Identifier: MIT
// Tracks of devices, made of what drivers said. With TICKMARK_TRACES=FOLDER the traces are written
// there; tests/trace/test_devices_decoded.py reads them.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recording_cpus.h"
#include "run_checks.h"
#include "seed.h"
#include "trace_device.h"
#include "trace_made.h"

// A row from `begin` on, whose run begins in the middle.
static void write_trace(const char *name, bool compress, uint64_t begin, uint64_t middle,
                        uint64_t end, unsigned count)
{
    const struct perfetto_phase phases[2] = {
        {.event = TRACE_BENCH_PREPARE, .begin = begin, .end = middle},
        {.event = TRACE_BENCH_RUN, .begin = middle, .end = end},
    };
    struct perfetto_recording recordings[CPUS_MOST];
    for (unsigned i = 0; i < count; i++)
        recordings[i] = (struct perfetto_recording){
            .buffer = cpus[i].first,
            .events = cpus[i].events,
            .full = cpus[i].full,
            .cpu = i,
            .thread = {
                .pid = 0x1000, .tid = 0x1001 + i, .process = "drivers", .name = "interrupt"}};
    const struct perfetto_row row = {.number = 3,
                                     .name = "drivers/read/interrupt",
                                     .what = "what it measures",
                                     .phases = phases,
                                     .phase_count = 2,
                                     .recordings = recordings,
                                     .recording_count = count,
                                     .threads = threads};
    made_open(compress, 1000000000, CPUS_MOST, 500);
    for (unsigned i = 0; i < count; i++)
        perfetto_thread(&perfetto, &recordings[i].thread);
    perfetto_row(&perfetto, &row);
    perfetto_close(&perfetto);
    made_save(name);
}

// What CPU `cpu` says at a time of ours.
static void say(unsigned cpu, uint64_t ticks, enum trace_event event, uint32_t queue,
                uint32_t detail, uint32_t value)
{
    test_cpu_enter(cpu);
    struct trace_buffer *events = cpus[cpu].events;
    const uint32_t used = events->used;
    trace_device(event, queue, detail, value);
    if (events->used > used)
        events->entries[used].ticks = ticks;
}

// ---- a story ------------------------------------------------------------------------------------

enum { A = 0xa000, B = 0xb000, C = 0xc000, D = 0xd000, E = 0xe000 }; // requests

// Queue 0 by interrupts, seen to by CPU 1: A and B at once, and B once more. Queue 1 is polled by
// CPU 0, but one handler of it comes while CPU 1 is in that of queue 0. D was never taken. Of one
// handler the interrupt is there as well that the CPU got, and of CPU 0 one of its timer.
static void tell(void)
{
    say(0, 1010, TRACE_BLOCK_BY_INTERRUPT, 0, 0, 0);
    say(0, 1020, TRACE_BLOCK_BY_POLLING, 1, 0, 0);
    say(0, 1100, TRACE_BLOCK_QUEUED, 0, 0, A);
    say(0, 1110, TRACE_BLOCK_SUBMITTED, 0, 0, A);
    say(0, 1120, TRACE_BLOCK_QUEUED, 0, 0, B);
    say(0, 1140, TRACE_BLOCK_SUBMITTED, 0, 0, B);
    say(0, 1150, TRACE_BLOCK_QUEUED, 1, 0, C);
    say(0, 1160, TRACE_BLOCK_SUBMITTED, 1, 0, C);
    say(1, 1195, TRACE_INTERRUPT, TRACE_INTERRUPT_DEVICE, 1, 0x41);
    say(1, 1200, TRACE_BLOCK_INTERRUPT, 0, 1, 0);
    say(1, 1210, TRACE_BLOCK_DONE, 0, 0, A);
    say(1, 1215, TRACE_BLOCK_INTERRUPT, 1, 1, 0);
    say(1, 1218, TRACE_BLOCK_INTERRUPT, 1, 0, 0);
    say(1, 1220, TRACE_BLOCK_QUEUED, 0, 0, B);
    say(1, 1225, TRACE_BLOCK_SUBMITTED, 0, 0, B);
    say(1, 1230, TRACE_BLOCK_INTERRUPT, 0, 0, 1);
    say(1, 1235, TRACE_INTERRUPT, TRACE_INTERRUPT_DEVICE, 0, 0x41);
    say(0, 1236, TRACE_INTERRUPT, TRACE_INTERRUPT_TIMER, 1, 0x40);
    say(0, 1238, TRACE_INTERRUPT, TRACE_INTERRUPT_TIMER, 0, 0x40);
    say(0, 1240, TRACE_BLOCK_DONE, 1, 0, C);
    say(0, 1250, TRACE_BLOCK_TAKEN, 1, 0, C);
    say(0, 1260, TRACE_BLOCK_TAKEN, 0, 0, A);
    say(0, 1270, TRACE_BLOCK_QUEUED, 0, 0, D);
    say(0, 1275, TRACE_BLOCK_DONE, 0, 14 | TRACE_DONE_IS_TAKEN, D);
    say(1, 1300, TRACE_BLOCK_INTERRUPT, 0, 1, 0);
    say(1, 1310, TRACE_BLOCK_DONE, 0, 11 | TRACE_DONE_IS_TAKEN, B);
    say(1, 1320, TRACE_BLOCK_INTERRUPT, 0, 0, 1);
    say(0, 1330, TRACE_BLOCK_BY_HYBRID, 0, 0, 0);
    say(0, 1340, TRACE_BLOCK_TAKEN, 0, 0, 0x9999); // of nobody
    // Queue 0 of another device, while queue 0 of the first one goes on: tracks of its own.
    const uint32_t other = trace_device_lane(1, 0);
    say(0, 1342, TRACE_BLOCK_BY_INTERRUPT, other, 0, 0);
    say(0, 1344, TRACE_BLOCK_QUEUED, other, 0, E);
    say(0, 1346, TRACE_BLOCK_SUBMITTED, other, 0, E);
    say(1, 1350, TRACE_BLOCK_INTERRUPT, other, 1, 0);
    say(1, 1352, TRACE_BLOCK_DONE, other, TRACE_DONE_IS_TAKEN, E);
    say(1, 1354, TRACE_BLOCK_INTERRUPT, other, 0, 1);
}

START_TEST(requests_queues_and_interrupts_become_tracks)
{
    start_cpus(2, MEMORY_BYTES, EVENTS_BYTES);
    tell();
    stop_cpus(2);
    write_trace("devices", false, 1000, 1050, 1400, 2);
    made_compare_golden("devices");
    ck_assert_uint_eq(perfetto.counts.left_out, 0);
}
END_TEST

// ---- many ---------------------------------------------------------------------------------------

START_TEST(of_many_requests_the_first_of_each_phase_are_drawn_and_the_others_counted)
{
    start_cpus(1, MEMORY_BYTES, EVENTS_BYTES);
    uint64_t at = 2000;
    const uint32_t each = 300, phases = 2;
    say(0, at, TRACE_BLOCK_BY_POLLING, 0, 0, 0);
    for (uint32_t i = 0; i < phases * each; i++, at += 40) {
        say(0, at, TRACE_BLOCK_QUEUED, 0, 0, i);
        say(0, at + 10, TRACE_BLOCK_SUBMITTED, 0, 0, i);
        say(0, at + 20, TRACE_BLOCK_DONE, 0, 0, i);
        say(0, at + 30, TRACE_BLOCK_TAKEN, 0, 0, i);
    }
    stop_cpus(1);
    write_trace("devices_many", true, 2000, 2000 + each * 40, at, 1);
    ck_assert_uint_eq(perfetto.counts.left_out, phases * (each - PERFETTO_REQUESTS_DRAWN));
    ck_assert_uint_gt(out.chunks, 3);
}
END_TEST

START_TEST(requests_that_nobody_recorded_are_counted_with_those_that_are_not_drawn)
{
    start_cpus(1, MEMORY_BYTES, EVENTS_BYTES);
    say(0, 2000, TRACE_BLOCK_BY_HYBRID, 0, 0, 0);
    say(0, 2010, TRACE_BLOCK_LEFT_OUT, 0, 0, 70);
    say(0, 2110, TRACE_BLOCK_LEFT_OUT, 0, 0, 4000);
    say(0, 2120, TRACE_BLOCK_BY_POLLING, 0, 0, 0);
    stop_cpus(1);
    write_trace("devices_left_out", false, 2000, 2100, 2200, 1);
    ck_assert_uint_eq(perfetto.counts.left_out, 4070);
}
END_TEST

// What one chunk has to begin with is bounded, however many queues there are.
START_TEST(queues_of_all_devices_have_no_more_modes_than_a_chunk_takes)
{
    start_cpus(1, MEMORY_BYTES, EVENTS_BYTES);
    uint64_t at = 2000;
    for (uint32_t turn = 0; turn < 8; turn++)
        for (uint32_t lane = 0; lane < TRACE_LANES_MOST; lane++, at += 10)
            say(0, at, TRACE_BLOCK_BY_INTERRUPT + turn % 2, lane, 0, 0);
    stop_cpus(1);
    write_trace("devices_lanes", true, 2000, 2010, at, 1);
    ck_assert_uint_gt(out.chunks, 1);
}
END_TEST

// Requests in any order that is possible, on all CPUs and in many at a time.
static void storm(struct random *random)
{
    static enum trace_event states[100];
    static bool handling[CPUS_MOST];
    uint64_t at = 2000;
    memset(states, 0, sizeof(states));
    memset(handling, 0, sizeof(handling));
    for (unsigned step = 0; step < 9000; step++) {
        const uint32_t i = (uint32_t)random_below(random, 100), cpu = i % 4, queue = cpu;
        at += 1 + random_below(random, 50);
        if (random_below(random, 4) == 0) {
            say(cpu, at, TRACE_BLOCK_INTERRUPT, queue, !handling[cpu], 0);
            handling[cpu] = !handling[cpu];
        } else if (states[i] == 0) {
            states[i] = TRACE_BLOCK_QUEUED;
        } else if (states[i] == TRACE_BLOCK_QUEUED) {
            states[i] = TRACE_BLOCK_SUBMITTED;
        } else if (states[i] == TRACE_BLOCK_SUBMITTED) {
            states[i] = random_below(random, 5) == 0 ? TRACE_BLOCK_QUEUED : TRACE_BLOCK_DONE;
        } else {
            states[i] = TRACE_BLOCK_TAKEN;
        }
        if (states[i] != 0)
            say(cpu, at, states[i], queue, 0, i);
        if (states[i] == TRACE_BLOCK_TAKEN)
            states[i] = 0;
        if (random_below(random, 500) == 0)
            say(cpu, at, TRACE_BLOCK_BY_INTERRUPT + (uint32_t)random_below(random, 4), queue, 0, 0);
    }
    for (uint32_t i = 0; i < 100; i++) {
        if (states[i] != 0 && states[i] != TRACE_BLOCK_DONE)
            say(i % 4, ++at, TRACE_BLOCK_DONE, i % 4, 0, i);
    }
}

START_TEST(whatever_is_possible_is_drawn_soundly)
{
    struct random random = seeded_for("devices");
    start_cpus(CPUS_MOST, MEMORY_BYTES, EVENTS_BYTES);
    storm(&random);
    stop_cpus(CPUS_MOST);
    write_trace("devices_storm", true, 2000, 100000, 400000, CPUS_MOST);
    ck_assert_uint_gt(perfetto.counts.left_out, 100);
}
END_TEST

START_TEST(what_was_recorded_too_late_is_told)
{
    start_cpus(1, MEMORY_BYTES, sizeof(struct trace_buffer) + 5 * sizeof(struct trace_entry));
    say(0, 2000, TRACE_BLOCK_BY_POLLING, 0, 0, 0);
    for (uint32_t i = 0; i < 10; i++)
        say(0, 2010 + i, TRACE_BLOCK_QUEUED, 0, 0, i);
    stop_cpus(1);
    write_trace("devices_lost", false, 2000, 2001, 2100, 1);
    ck_assert_uint_eq(perfetto.counts.lost, 6);
}
END_TEST

START_TEST(a_scheduler_and_a_device_share_a_buffer)
{
    start_cpus(1, MEMORY_BYTES, EVENTS_BYTES);
    trace_thread(1, "idle", 1);
    trace_thread(2, "reader", 0);
    say(0, 2000, TRACE_BLOCK_QUEUED, 0, 0, A);
    ck_assert_uint_eq(cpus[0].events->thread, 0);
    trace_sched_event(TRACE_SCHED_SWITCH, trace_value_switch(1, TRACE_LEFT_NOBODY, 0), 0);
    ck_assert_uint_eq(cpus[0].events->thread, 1);
    cpus[0].events->entries[1].ticks = 2005;
    trace_sched_event(TRACE_SCHED_SWITCH, trace_value_switch(2, TRACE_LEFT_PREEMPTED, 0), 0);
    cpus[0].events->entries[2].ticks = 2010;
    say(0, 2020, TRACE_BLOCK_SUBMITTED, 0, 0, A);
    say(0, 2030, TRACE_BLOCK_DONE, 0, TRACE_DONE_IS_TAKEN, A);
    trace_sched_event(TRACE_SCHED_SWITCH, trace_value_switch(0, TRACE_LEFT_NOBODY, 0), 0);
    cpus[0].events->entries[5].ticks = 2040;
    stop_cpus(1);
    write_trace("devices_scheduled", false, 1990, 1995, 2100, 1);
    ck_assert_uint_gt(perfetto.counts.switches, 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("perfetto_devices");
    TCase *tests = tcase_create("devices");
    tcase_add_test(tests, requests_queues_and_interrupts_become_tracks);
    tcase_add_test(tests,
                   of_many_requests_the_first_of_each_phase_are_drawn_and_the_others_counted);
    tcase_add_test(tests, requests_that_nobody_recorded_are_counted_with_those_that_are_not_drawn);
    tcase_add_test(tests, queues_of_all_devices_have_no_more_modes_than_a_chunk_takes);
    tcase_add_test(tests, whatever_is_possible_is_drawn_soundly);
    tcase_add_test(tests, what_was_recorded_too_late_is_told);
    tcase_add_test(tests, a_scheduler_and_a_device_share_a_buffer);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
