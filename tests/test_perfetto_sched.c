// SPDX-License-Identifier: MIT
// Perfetto's native rows of CPUs, made of what schedulers said. With TICKMARK_TRACES=FOLDER the
// traces are written there, and beside the simulated one what its scheduler counted itself:
// tests/trace/test_sched_decoded.py compares.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recording_cpus.h"
#include "run_checks.h"
#include "sched_policy_predictive.h"
#include "sched_simulator.h"
#include "sched_trace.h"
#include "seed.h"
#include "trace_made.h"

#define BASE 1000000u // ticks before a simulated time of 0

static const struct perfetto_thread bench = {
    .pid = 0x1000, .tid = 0x1001, .process = "sched", .name = "fifo"};

static void open_trace(bool compress)
{
    made_open(compress, 1000000000, CPUS_MOST, 500);
    perfetto_thread(&perfetto, &bench);
}

static void write_row(uint32_t number, uint64_t begin, uint64_t run, uint64_t end, unsigned count)
{
    struct perfetto_recording recordings[CPUS_MOST];
    const struct perfetto_phase phases[2] = {
        {.event = TRACE_BENCH_PREPARE, .begin = begin, .end = run},
        {.event = TRACE_BENCH_RUN, .begin = run, .end = end},
    };
    char name[32];
    snprintf(name, sizeof(name), "sched/row_%u/fifo", number);
    for (unsigned i = 0; i < count; i++)
        recordings[i] = (struct perfetto_recording){.buffer = cpus[i].first,
                                                    .events = cpus[i].events,
                                                    .full = cpus[i].full,
                                                    .cpu = i,
                                                    .thread = bench};
    const struct perfetto_row row = {.number = number,
                                     .name = name,
                                     .what = "what it measures",
                                     .phases = phases,
                                     .phase_count = 2,
                                     .recordings = recordings,
                                     .recording_count = count,
                                     .threads = threads};
    perfetto_row(&perfetto, &row);
}

// What the running CPU says at a time of ours; what there is no room for changes nothing.
static void say_of(uint64_t ticks, enum trace_event event, uint32_t value, uint32_t priority)
{
    struct trace_buffer *events = ((struct trace_cpu *)cpu_local()->trace_cpu)->events;
    const uint32_t used = events->used;
    trace_sched_event(event, value, priority);
    if (events->used > used)
        events->entries[used].ticks = ticks;
    if (event == TRACE_SCHED_SWITCH) {
        trace_stretch(trace_value_number(value));
        ((struct trace_buffer *)cpu_trace_buffer())->began = ticks;
    }
}

static void say(uint64_t ticks, enum trace_event event, uint32_t value)
{
    say_of(ticks, event, value, 0);
}

static void span(uint64_t ticks, enum trace_event event, enum trace_phase phase, uint32_t value)
{
    struct trace_buffer *buffer = cpu_trace_buffer();
    const uint32_t used = buffer->used;
    trace_record(event, phase, value);
    if (buffer->used > used)
        buffer->entries[used].ticks = ticks;
}

static void script_switch(uint64_t ticks, uint32_t next, enum trace_left left)
{
    say(ticks, TRACE_SCHED_SWITCH, trace_value_switch(next, left, next > 2 ? 2 : 0));
}

static void script_wake(uint64_t ticks, uint32_t thread, uint32_t cpu, bool timer)
{
    say_of(ticks, TRACE_SCHED_WAKE, trace_value_wake(thread, cpu, timer), thread > 2 ? 2 : 0);
}

// "ping" is preempted on CPU 0 within an operation and ends it on CPU 1; "pong/1" blocks and
// sleeps; "batch_1" waits for ping's end.
static void script_first(uint64_t at)
{
    script_switch(at + 200, 1, TRACE_LEFT_NOBODY);
    script_wake(at + 210, 3, 0, false);
    script_switch(at + 220, 3, TRACE_LEFT_PREEMPTED);
    span(at + 230, TRACE_HEAP_ALLOCATE, TRACE_PHASE_BEGIN, 64);
    script_wake(at + 240, 4, 1, false);
    script_wake(at + 250, 5, 0, false);
    script_switch(at + 260, 5, TRACE_LEFT_PREEMPTED);
    span(at + 270, TRACE_HEAP_RELEASE, TRACE_PHASE_BEGIN, 32);
    span(at + 275, TRACE_HEAP_BYTES, TRACE_PHASE_ADD, (uint32_t)-32);
    span(at + 280, TRACE_HEAP_RELEASE, TRACE_PHASE_END, 0);
    script_switch(at + 320, 1, TRACE_LEFT_JOINING);
    script_switch(at + 356, 5, TRACE_LEFT_PREEMPTED);
    say(at + 380, TRACE_SCHED_EXIT, 5);
    script_switch(at + 381, 1, TRACE_LEFT_ENDED);
    script_switch(at + 450, 0, TRACE_LEFT_NOBODY);
}

static void script_second(uint64_t at)
{
    script_switch(at + 205, 2, TRACE_LEFT_NOBODY);
    say(at + 206, TRACE_SCHED_IDLE, 1);
    say(at + 245, TRACE_SCHED_IDLE, 0);
    script_switch(at + 246, 4, TRACE_LEFT_PREEMPTED);
    script_switch(at + 285, 2, TRACE_LEFT_BLOCKED);
    say(at + 290, TRACE_SCHED_MIGRATE, trace_value_migrate(3, 0, 1));
    script_switch(at + 295, 3, TRACE_LEFT_PREEMPTED);
    span(at + 310, TRACE_HEAP_REFILL, TRACE_PHASE_BEGIN, 4);
    span(at + 320, TRACE_HEAP_REFILL, TRACE_PHASE_END, 0);
    span(at + 325, TRACE_HEAP_BYTES, TRACE_PHASE_ADD, 64);
    span(at + 330, TRACE_HEAP_ALLOCATE, TRACE_PHASE_END, 0);
    script_wake(at + 340, 4, 1, false);
    say(at + 350, TRACE_SCHED_EXIT, 3);
    script_switch(at + 351, 4, TRACE_LEFT_ENDED);
    script_wake(at + 352, 5, 0, false);
    script_switch(at + 360, 2, TRACE_LEFT_SLEEPING);
    say(at + 361, TRACE_SCHED_IDLE, 1);
    script_wake(at + 400, 4, 1, true);
    say(at + 401, TRACE_SCHED_IDLE, 0);
    script_switch(at + 402, 4, TRACE_LEFT_PREEMPTED);
    say(at + 410, TRACE_SCHED_EXIT, 4);
    script_switch(at + 411, 2, TRACE_LEFT_ENDED);
    script_switch(at + 500, 0, TRACE_LEFT_NOBODY);
}

static void script(uint64_t at, size_t length, size_t events)
{
    static const char *const names[] = {"", "idle", "idle", "ping", "pong/1", "batch_1"};
    start_cpus(2, length, events);
    for (uint32_t i = 1; i < ARRAY_COUNT(names); i++)
        trace_thread(i, names[i], i <= 2 ? i : 0);
    span(at + 110, TRACE_HEAP_PAGES, TRACE_PHASE_BEGIN, 0);
    span(at + 120, TRACE_HEAP_PAGES, TRACE_PHASE_END, 0);
    script_first(at);
    test_cpu_enter(1);
    script_second(at);
    stop_cpus(2);
}

START_TEST(a_schedule_becomes_rows_of_cpus_and_threads_keep_their_operations)
{
    script(1000, 16384, 4096);
    open_trace(false);
    write_row(0, 1000, 1100, 2000, 2);
    perfetto_close(&perfetto);
    made_compare_golden("sched_script");
    ck_assert_uint_eq(perfetto.counts.switches, 10 + 8);
    ck_assert_uint_eq(perfetto.counts.wakings, 6);
    ck_assert_uint_eq(perfetto.counts.lost, 0);
}
END_TEST

START_TEST(later_rows_go_on_where_the_cpus_stand_with_threads_of_their_own)
{
    open_trace(false);
    for (uint32_t row = 0; row < 3; row++) {
        const uint64_t at = 1000 + row * 2000;
        script(at, 16384, 4096);
        write_row(row, at, at + 100, at + 1000, 2);
    }
    perfetto_close(&perfetto);
    made_save("sched_rows");
    // Only the first row begins the CPUs' rows.
    ck_assert_uint_eq(perfetto.counts.switches, 10 + 8 + 2 * (9 + 7));
    ck_assert_uint_eq(perfetto.roles, 3);
    ck_assert_uint_eq(perfetto.tid_before, PERFETTO_TID_SCHEDULED + 3 * 6);
}
END_TEST

START_TEST(what_the_scheduler_said_too_late_is_counted_and_the_row_ends_there)
{
    // Room for 8 of its events on each CPU, and for few stretches.
    script(1000, 1024 + 8 * 16, 48 + 8 * 16);
    const uint64_t lost = trace_cpu_lost(&cpus[0]) + trace_cpu_lost(&cpus[1]);
    ck_assert_uint_gt(lost, 10);
    open_trace(false);
    write_row(0, 1000, 1100, 2000, 2);
    perfetto_close(&perfetto);
    made_compare_golden("sched_lost");
    ck_assert_uint_eq(perfetto.counts.lost, lost);
    ck_assert_uint_eq(perfetto.lost[0], trace_cpu_lost(&cpus[0]));
}
END_TEST

START_TEST(a_cpu_that_waits_when_its_buffer_is_full_waits_no_more_in_the_next_row)
{
    open_trace(false);
    // CPU 1 has room to say that it waits for interrupts, and no more.
    script(1000, 1024 + 2 * 16, 48 + 2 * 16);
    ck_assert_uint_eq(cpus[1].events->used, 2);
    write_row(0, 1000, 1100, 2000, 2);
    script(3000, 16384, 4096);
    write_row(1, 3000, 3100, 4000, 2);
    perfetto_close(&perfetto);
    made_save("idle_cut"); // tests/trace/test_perfetto_check.py: no CPU begins to wait twice
}
END_TEST

// ---- losses of several CPUs ---------------------------------------------------------------------

START_TEST(what_each_cpu_made_is_there_or_counted_as_lost)
{
    static const uint32_t made[CPUS_MOST] = {100, 5000, 12345, 1};
    const uint64_t apart = 20000; // one after the other: they are of one track
    const size_t length = EVENTS_BYTES + 64 * 1024;
    start_cpus(CPUS_MOST, length, EVENTS_BYTES);
    for (unsigned cpu = 0; cpu < CPUS_MOST; cpu++) {
        test_cpu_enter(cpu);
        for (uint32_t i = 0; i < made[cpu]; i++)
            span(1000 + cpu * apart + i, TRACE_PROBE, TRACE_PHASE_INSTANT, i);
    }
    stop_cpus(CPUS_MOST);
    open_trace(true);
    write_row(0, 900, 950, 1000 + CPUS_MOST * apart, CPUS_MOST);
    perfetto_close(&perfetto);
    made_save("lost_by_cpu");
    uint64_t kept = 0, lost = 0;
    for (unsigned cpu = 0; cpu < CPUS_MOST; cpu++) {
        ck_assert_uint_eq(trace_cpu_used(&cpus[cpu]) + trace_cpu_lost(&cpus[cpu]), made[cpu]);
        ck_assert_uint_eq(perfetto.lost[cpu], trace_cpu_lost(&cpus[cpu]));
        kept += trace_cpu_used(&cpus[cpu]);
        lost += perfetto.lost[cpu];
    }
    ck_assert_uint_gt(lost, 0);
    ck_assert_uint_eq(perfetto.counts.lost, lost);
    // Instants that are kept, two phases, and an instant for each CPU that lost some.
    ck_assert_uint_eq(perfetto.counts.events, kept + 4 + 2);
}
END_TEST

// ---- simulated schedules ------------------------------------------------------------------------

#define SIMULATED_THREADS 20u

static uint32_t dispatched[THREADS_MOST]; // by number

// As if the simulator's CPUs recorded: its events at its times. Each thread's operations go from
// one dispatch to the next.
static bool observe(void *context, struct sched_sim *sim, const struct sched_event *event)
{
    enum trace_event which;
    const uint32_t value = sched_trace_value(&sim->sched, event, &which);
    const uint64_t ticks = BASE + event->now_ns;
    (void)context;
    test_cpu_enter(event->cpu); // whose locks are held goes by CPUs
    say_of(ticks, which, value, event->priority);
    const uint32_t number = trace_value_number(value);
    if (which == TRACE_SCHED_SWITCH && number > sim->sched.config.cpus) {
        const bool ends = dispatched[number]++ % 2 != 0;
        span(ticks, TRACE_HEAP_ALLOCATE, ends ? TRACE_PHASE_END : TRACE_PHASE_BEGIN, number);
    }
    test_cpu_enter(0);
    return true;
}

static void write_counts(const struct sched_sim *sim, struct sched_sim_thread *all)
{
    FILE *file = made_create("sched_simulated", "counts");
    if (file == NULL)
        return;
    for (unsigned i = 0; i < CPUS_MOST; i++) {
        const struct sched_cpu_statistics *of = &sim->sched.cpus[i].statistics;
        fprintf(file, "cpu %u %lu %lu %lu %lu\n", i, of->switches, of->busy_ns, of->wakeups,
                of->migrations_in);
    }
    for (unsigned i = 0; i < SIMULATED_THREADS; i++) {
        const struct sched_thread_statistics *of = &all[i].thread.statistics;
        fprintf(file, "thread %u %s %lu %lu %lu %lu %lu\n",
                PERFETTO_TID_SCHEDULED + all[i].thread.id, all[i].thread.name, of->dispatches,
                of->run_ns, of->wakeups, of->migrations, of->preemptions);
    }
    fclose(file);
}

static const struct sched_sim_step interactive_steps[] = {{.op = SCHED_SIM_SLEEP, .ns = 3000000},
                                                          {.op = SCHED_SIM_RANDOM, .ns = 400000},
                                                          {.op = SCHED_SIM_LOOP, .number = 30}};
static const struct sched_sim_step batch_steps[] = {{.op = SCHED_SIM_RANDOM, .ns = 9000000},
                                                    {.op = SCHED_SIM_YIELD},
                                                    {.op = SCHED_SIM_LOOP, .number = 12}};
static const struct sched_sim_step giver_steps[] = {{.op = SCHED_SIM_RANDOM, .ns = 100000},
                                                    {.op = SCHED_SIM_UP, .number = 1},
                                                    {.op = SCHED_SIM_LOOP, .number = 25}};
static const struct sched_sim_step taker_steps[] = {{.op = SCHED_SIM_DOWN, .number = 1},
                                                    {.op = SCHED_SIM_RANDOM, .ns = 50000},
                                                    {.op = SCHED_SIM_LOOP, .number = 25}};
static const struct sched_sim_step joiner_steps[] = {{.op = SCHED_SIM_JOIN, .number = 0}};

static void add_simulated(struct sched_sim *sim, struct sched_sim_thread *thread, unsigned number)
{
    static const struct {
        const char *role;
        const struct sched_sim_step *steps;
        uint32_t count;
    } kinds[] = {{"interactive", interactive_steps, 3},
                 {"batch", batch_steps, 3},
                 {"giver", giver_steps, 3},
                 {"taker", taker_steps, 3},
                 {"joiner", joiner_steps, 1}};
    static char names[SIMULATED_THREADS][TRACE_NAME_MOST + 1];
    const unsigned kind = number < 6 ? 0 : number < 14 ? 1 : number < 16 ? 2 : number < 18 ? 3 : 4;
    snprintf(names[number], sizeof(names[number]), "%s%u", kinds[kind].role, number);
    const struct sched_attributes attributes = {.name = names[number]};
    const uint32_t id = CPUS_MOST + 1 + number;
    trace_thread(id, names[number], 0);
    ck_assert_int_eq(
        sched_sim_add(sim, thread, &attributes, kinds[kind].steps, kinds[kind].count, false),
        STATUS_OK);
    ck_assert_uint_eq(thread->thread.id, id);
}

START_TEST(a_simulated_schedule_of_four_cpus_is_written_whole)
{
    static struct sched_sim sim;
    static struct sched_sim_thread all[SIMULATED_THREADS];
    static _Alignas(64) uint8_t room[1u << 16];
    struct random random = seeded_for("simulated");
    const struct sched_sim_config config = {
        .cpus = CPUS_MOST,
        .policy = &sched_predictive_ops,
        .seed = random_below(&random, UINT64_MAX),
        .costs = {.switch_ns = 1500, .migration_ns = 4000, .kick_ns = 2000, .jitter_ns = 500},
        .events_most = 1000000,
        .observe = observe};
    start_cpus(CPUS_MOST, MEMORY_BYTES, EVENTS_BYTES);
    memset(dispatched, 0, sizeof(dispatched));
    for (uint32_t i = 1; i <= CPUS_MOST; i++)
        trace_thread(i, "idle", i);
    ck_assert_int_eq(sched_sim_init(&sim, &config, SIMULATED_THREADS, room, sizeof(room)),
                     STATUS_OK);
    for (unsigned i = 0; i < SIMULATED_THREADS; i++)
        add_simulated(&sim, &all[i], i);
    ck_assert_int_eq(sched_sim_run(&sim, SCHED_NEVER), SCHED_SIM_DONE);
    sched_sim_settle(&sim);
    for (unsigned i = 0; i < CPUS_MOST; i++) {
        test_cpu_enter(i);
        say(BASE + sim.now_ns, TRACE_SCHED_SWITCH, trace_value_switch(0, TRACE_LEFT_NOBODY, 0));
    }
    stop_cpus(CPUS_MOST);
    open_trace(true);
    write_row(0, BASE - 1000, BASE, BASE + sim.now_ns + 1000, CPUS_MOST);
    perfetto_close(&perfetto);
    made_save("sched_simulated");
    write_counts(&sim, all);
    uint64_t switches = 0;
    for (unsigned i = 0; i < CPUS_MOST; i++)
        switches += sim.sched.cpus[i].statistics.switches;
    // Each CPU's first, and on CPU 0: the row, the join, the leave, the end of the row.
    ck_assert_uint_eq(perfetto.counts.switches, switches + CPUS_MOST + 4);
    ck_assert_uint_eq(perfetto.counts.lost, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("perfetto_sched");
    TCase *trace = tcase_create("perfetto_sched");
    tcase_set_timeout(trace, 120);
    tcase_add_test(trace, a_cpu_that_waits_when_its_buffer_is_full_waits_no_more_in_the_next_row);
    tcase_add_test(trace, a_schedule_becomes_rows_of_cpus_and_threads_keep_their_operations);
    tcase_add_test(trace, what_each_cpu_made_is_there_or_counted_as_lost);
    tcase_add_test(trace, later_rows_go_on_where_the_cpus_stand_with_threads_of_their_own);
    tcase_add_test(trace, what_the_scheduler_said_too_late_is_counted_and_the_row_ends_there);
    tcase_add_test(trace, a_simulated_schedule_of_four_cpus_is_written_whole);
    suite_add_tcase(suite, trace);
    return run_checks(suite);
}
