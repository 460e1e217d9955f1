// SPDX-License-Identifier: MIT
// trace/trace_sched.c: what is recorded of schedulers, and whose the CPUs' other entries are.
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "recording_cpus.h"
#include "run_checks.h"
#include "sched_policy_fifo.h"
#include "sched_subject.h"
#include "sched_trace.h"
#include "seed.h"

// ---- the recorder -------------------------------------------------------------------------------

START_TEST(what_a_scheduler_says_comes_back_from_its_value)
{
    static const uint32_t numbers[] = {0, 1, 0x7ffff, TRACE_NUMBER_MOST};
    for (unsigned i = 0; i < ARRAY_COUNT(numbers); i++) {
        const uint32_t number = numbers[i];
        uint32_t value = trace_value_switch(number, TRACE_LEFT_ENDED, 255);
        ck_assert_uint_eq(trace_value_number(value), number);
        ck_assert_uint_eq(trace_value_left(value), TRACE_LEFT_ENDED);
        ck_assert_uint_eq(trace_value_priority(value), 255);
        value = trace_value_wake(number, 63, true);
        ck_assert_uint_eq(trace_value_number(value), number);
        ck_assert_uint_eq(trace_value_cpu(value), 63);
        ck_assert_uint_eq(trace_value_to(value), 1);
        value = trace_value_migrate(number, 0, 63);
        ck_assert_uint_eq(trace_value_number(value), number);
        ck_assert_uint_eq(trace_value_cpu(value), 0);
        ck_assert_uint_eq(trace_value_to(value), 63);
    }
}
END_TEST

START_TEST(an_entry_that_was_interrupted_stays_its_threads_own)
{
    start_cpus(2, 8192, 1024);
    test_cpu_enter(0);
    trace_stretch(1);
    trace_record(TRACE_PROBE, TRACE_PHASE_INSTANT, 10);
    // trace_record of thread 1, interrupted behind its look at `used`.
    struct trace_buffer *mine = cpu_trace_buffer();
    const uint32_t used = mine->used;
    trace_stretch(2);
    for (uint32_t i = 0; i < 5; i++)
        trace_record(TRACE_PROBE, TRACE_PHASE_INSTANT, 20 + i);
    // Thread 1 goes on on another CPU.
    test_cpu_enter(1);
    trace_stretch(1);
    mine->entries[used] = (struct trace_entry){.event = TRACE_PROBE, .value = 11};
    mine->used = used + 1;
    trace_record(TRACE_PROBE, TRACE_PHASE_INSTANT, 12);
    stop_cpus(2);
    ck_assert_uint_eq(cpus[0].first->used, 0);
    ck_assert_ptr_eq(cpus[0].first->next, mine);
    ck_assert_uint_eq(mine->thread, 1);
    ck_assert_uint_eq(mine->used, 2);
    ck_assert_uint_eq(mine->entries[1].value, 11);
    const struct trace_buffer *second = mine->next;
    ck_assert_uint_eq(second->thread, 2);
    ck_assert_uint_eq(second->used, 5);
    for (uint32_t i = 0; i < 5; i++)
        ck_assert_uint_eq(second->entries[i].value, 20 + i);
    ck_assert_uint_eq(cpus[1].first->next->entries[0].value, 12);
    ck_assert_uint_eq(trace_cpu_used(&cpus[0]) + trace_cpu_used(&cpus[1]), 8);
    ck_assert_uint_eq(trace_cpu_lost(&cpus[0]) + trace_cpu_lost(&cpus[1]), 0);
}
END_TEST

// A thread of the model: its next entry, and one it was interrupted in.
struct model_thread {
    uint32_t said;
    struct trace_buffer *late;
    uint32_t late_used, late_value;
    int cpu; // -1: it waits
};

static void finish_late(struct model_thread *thread)
{
    struct trace_buffer *late = thread->late;
    thread->late = NULL;
    if (late == NULL)
        return;
    late->entries[thread->late_used].value = thread->late_value;
    late->used = thread->late_used + 1;
}

// Somebody else, or nobody, runs on the CPU from now on; the one before may be in the middle.
static void model_switch(struct random *random, struct model_thread *all, unsigned count,
                         unsigned *running, unsigned cpu)
{
    struct model_thread *old = &all[running[cpu]];
    const unsigned next = (unsigned)random_below(random, count);
    if (running[cpu] != 0 && random_below(random, 2) == 0) {
        struct trace_buffer *buffer = cpu_trace_buffer();
        if (buffer->used < buffer->capacity) {
            old->late = buffer;
            old->late_used = buffer->used;
            old->late_value = old->said++;
        }
    }
    old->cpu = -1;
    running[cpu] = 0;
    if (next != 0 && all[next].cpu >= 0)
        return trace_stretch(0);
    running[cpu] = next;
    all[next].cpu = (int)cpu;
    trace_stretch(next);
    if (next != 0)
        finish_late(&all[next]);
}

// Each thread's entries in the order of its words: stretches of all CPUs by when they began.
static uint64_t count_in_order(unsigned cpu_count, unsigned number)
{
    const struct trace_buffer *at[CPUS_MOST];
    uint64_t found = 0, last = 0;
    for (unsigned i = 0; i < cpu_count; i++)
        at[i] = cpus[i].first;
    for (;;) {
        unsigned first = cpu_count;
        for (unsigned i = 0; i < cpu_count; i++)
            if (at[i] != NULL && (first == cpu_count || at[i]->began < at[first]->began))
                first = i;
        if (first == cpu_count)
            return found;
        for (uint32_t k = 0; k < at[first]->used && at[first]->thread == number; k++, found++) {
            ck_assert_uint_ge(at[first]->entries[k].value, last);
            last = at[first]->entries[k].value + 1;
        }
        at[first] = at[first]->next;
    }
}

START_TEST(what_a_thread_records_is_its_own_on_any_cpu_and_losses_are_counted)
{
    struct random random = seeded_for("stretches");
    for (unsigned round = 0; round < 60; round++) {
        struct model_thread all[9] = {0};
        unsigned running[3] = {0};
        uint64_t said = 0, found = 0, lost = 0;
        // Some are too small for all of it, and some far too small.
        const size_t length = 4096u << (round % 6 * 2 > 8 ? 8 : round % 6 * 2);
        start_cpus(3, length, 1024);
        for (unsigned i = 0; i < 9; i++)
            all[i].cpu = -1;
        for (unsigned turn = 0; turn < 3000; turn++) {
            const unsigned cpu = (unsigned)random_below(&random, 3);
            test_cpu_enter(cpu);
            if (random_below(&random, 4) == 0)
                model_switch(&random, all, 9, running, cpu);
            else if (running[cpu] != 0)
                trace_record(TRACE_PROBE, TRACE_PHASE_INSTANT, all[running[cpu]].said++);
        }
        for (unsigned i = 1; i < 9; i++)
            finish_late(&all[i]);
        stop_cpus(3);
        for (unsigned i = 1; i < 9; i++) {
            said += all[i].said;
            found += count_in_order(3, i);
        }
        for (unsigned i = 0; i < 3; i++)
            lost += trace_cpu_lost(&cpus[i]);
        ck_assert_uint_eq(found + lost, said);
        ck_assert(length < (1u << 20) || lost == 0);
        ck_assert(length > 4096 || lost > 0);
    }
}
END_TEST

START_TEST(a_thread_is_told_once_and_numbers_go_on)
{
    start_cpus(1, 8192, 1024);
    ck_assert_uint_eq(trace_threads_before(), 0);
    trace_thread(1, "idle", 1);
    trace_thread(2, "a name that is longer than there is room for", 0);
    trace_thread(THREADS_MOST + 5, "beyond the table", 0);
    ck_assert_uint_eq(trace_threads_before(), THREADS_MOST + 5);
    ck_assert_str_eq(threads->threads[2].name, "a name that is longer t");
    ck_assert_uint_eq(threads->threads[1].idle, 1);
    stop_cpus(1);
    ck_assert_uint_eq(trace_threads_before(), 0);
    trace_thread(3, "nobody records", 0);
    trace_sched_event(TRACE_SCHED_SWITCH, 5, 0);
    trace_stretch(3);
    ck_assert_uint_eq(threads->next, THREADS_MOST + 6);
    ck_assert_uint_eq(cpus[0].events->used, 0);
}
END_TEST

START_TEST(a_memory_without_room_for_an_entry_dies)
{
    trace_threads_init(table, 4);
    trace_cpu_start(&cpus[0], memory[0], 1024 + 96, 1024, threads);
}
END_TEST

START_TEST(events_without_room_for_one_die)
{
    trace_cpu_start(&cpus[0], memory[0], 8192, 48, threads);
}
END_TEST

START_TEST(memory_that_is_not_aligned_dies)
{
    trace_cpu_start(&cpus[0], memory[0] + 8, 8192, 1024, threads);
}
END_TEST

START_TEST(a_number_beyond_a_values_bits_dies)
{
    start_cpus(1, 8192, 1024);
    trace_thread(TRACE_NUMBER_MOST + 1, "x", 0);
}
END_TEST

// ---- a scheduler that says it itself ------------------------------------------------------------

static _Alignas(64) uint8_t stacks[3][65536];
static struct sched_thread live[3];
static struct sched scheduler;

static void tell(void *machine, const struct sched_event *event)
{
    (void)machine;
    sched_trace_event(&scheduler, event);
}

static void sleeper(void *argument)
{
    (void)argument;
    trace_record(TRACE_HEAP_ALLOCATE, TRACE_PHASE_BEGIN, 8);
    sched_sleep_until(&scheduler, alone.now_ns + 1000);
    trace_record(TRACE_HEAP_ALLOCATE, TRACE_PHASE_END, 0);
    sched_block(&scheduler);
}

static void worker(void *argument)
{
    (void)argument;
    trace_record(TRACE_HEAP_RELEASE, TRACE_PHASE_BEGIN, 8);
    sched_pass(&scheduler);
    alone_work(3 * SCHED_QUANTUM_NS);
    trace_record(TRACE_HEAP_RELEASE, TRACE_PHASE_END, 0);
    sched_wake(&scheduler, &live[0]);
}

static void joiner(void *argument)
{
    (void)argument;
    sched_join(&scheduler, &live[1]);
}

static unsigned count_left(enum trace_left left)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < cpus[0].events->used; i++) {
        const struct trace_entry *entry = &cpus[0].events->entries[i];
        count += entry->event == TRACE_SCHED_SWITCH && trace_value_left(entry->value) == left;
    }
    return count;
}

START_TEST(every_way_to_leave_a_cpu_is_told_apart)
{
    static _Alignas(64) uint8_t room[1u << 14];
    static void (*const entries[])(void *) = {sleeper, worker, joiner};
    static const char *const names[] = {"sleeper", "worker", "joiner"};
    struct sched_cpu_ops ops = alone_ops;
    ops.event = tell;
    const struct sched_config config = {
        .cpus = 1, .ops = &ops, .machine = &alone, .policy = &sched_fifo_ops};
    alone = (struct alone){.sched = &scheduler, .timer_ns = SCHED_NEVER};
    start_cpus(1, MEMORY_BYTES, EVENTS_BYTES);
    ck_assert_int_eq(sched_init(&scheduler, &config, room, sizeof(room)), STATUS_OK);
    sched_trace_begin(&scheduler);
    for (unsigned i = 0; i < 3; i++) {
        const struct sched_attributes attributes = {.name = names[i],
                                                    .entry = entries[i],
                                                    .stack = stacks[i],
                                                    .stack_bytes = sizeof(stacks[i])};
        ck_assert_int_eq(sched_create(&scheduler, &live[i], &attributes), STATUS_OK);
        sched_trace_thread(&scheduler, live[i].id, names[i], 0);
        sched_start(&live[i]);
    }
    sched_stop(&scheduler);
    sched_start_cpu(&scheduler);
    sched_trace_leave();
    stop_cpus(1);
    ck_assert_uint_eq(count_left(TRACE_LEFT_ENDED), 3);
    ck_assert_uint_eq(count_left(TRACE_LEFT_SLEEPING), 1);
    ck_assert_uint_eq(count_left(TRACE_LEFT_BLOCKED), 1);
    ck_assert_uint_eq(count_left(TRACE_LEFT_JOINING), 1);
    ck_assert_uint_eq(count_left(TRACE_LEFT_NOBODY), 2);
    // The worker gives way to the joiner by itself; the sleeper's time comes in its quanta.
    unsigned could = 0, yielded = 0, running = 0;
    for (uint32_t i = 0; i < cpus[0].events->used; i++) {
        const struct trace_entry *entry = &cpus[0].events->entries[i];
        const enum trace_left left = trace_value_left(entry->value);
        if (entry->event != TRACE_SCHED_SWITCH)
            continue;
        could += running > 1 && (left == TRACE_LEFT_PREEMPTED || left == TRACE_LEFT_YIELDED);
        yielded += running > 1 && left == TRACE_LEFT_YIELDED;
        running = trace_value_number(entry->value);
    }
    ck_assert_uint_eq(could, scheduler.cpus[0].statistics.preemptions);
    ck_assert_uint_eq(yielded, 1);
    ck_assert_uint_eq(could, 2);
    // What the threads said themselves is theirs, before and after they waited.
    unsigned said[8] = {0};
    for (const struct trace_buffer *at = cpus[0].first; at != NULL; at = at->next)
        said[at->thread] += at->used;
    ck_assert_uint_eq(said[live[0].id], 2);
    ck_assert_uint_eq(said[live[1].id], 2);
    ck_assert_uint_eq(said[0] + said[1] + said[live[2].id], 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trace_sched");
    TCase *trace = tcase_create("trace_sched");
    tcase_set_timeout(trace, 120);
    tcase_add_test(trace, what_a_scheduler_says_comes_back_from_its_value);
    tcase_add_test(trace, an_entry_that_was_interrupted_stays_its_threads_own);
    tcase_add_test(trace, what_a_thread_records_is_its_own_on_any_cpu_and_losses_are_counted);
    tcase_add_test(trace, a_thread_is_told_once_and_numbers_go_on);
    tcase_add_test_raise_signal(trace, a_memory_without_room_for_an_entry_dies, SIGABRT);
    tcase_add_test_raise_signal(trace, events_without_room_for_one_die, SIGABRT);
    tcase_add_test_raise_signal(trace, memory_that_is_not_aligned_dies, SIGABRT);
    tcase_add_test_raise_signal(trace, a_number_beyond_a_values_bits_dies, SIGABRT);
    tcase_add_test(trace, every_way_to_leave_a_cpu_is_told_apart);
    suite_add_tcase(suite, trace);
    return run_checks(suite);
}
