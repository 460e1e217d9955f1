// SPDX-License-Identifier: MIT
// The traced round: which windows the trace keeps, and that counters stay what they are without the
// others.
#include <check.h>
#include <string.h>

#include "recording_cpus.h"
#include "run_checks.h"
#include "seed.h"
#include "trace_device.h"
#include "trace_round.h"

#define OPERATIONS 3u

struct script {
    int64_t samples[TRACE_ROUND_WINDOWS_MOST];
    uint32_t windows; // so far
    int64_t objects;  // that all of them added
    struct random random;
    bool events; // a device says something, too
    bool wrong;  // a body fails
};

static uint64_t body(void *context, uint64_t operations)
{
    struct script *script = context;
    for (uint64_t i = 0; i < operations; i++) {
        const int32_t change = (int32_t)random_below(&script->random, 5) - 2;
        trace_record(TRACE_HEAP_ALLOCATE, TRACE_PHASE_BEGIN, script->windows);
        trace_record(TRACE_HEAP_OBJECTS, TRACE_PHASE_ADD, (uint32_t)change);
        trace_record(TRACE_HEAP_ALLOCATE, TRACE_PHASE_END, TRACE_END_DONE);
        script->objects += change;
    }
    if (script->events)
        trace_device(TRACE_BLOCK_QUEUED, 0, 0, script->windows);
    script->windows++;
    return script->wrong ? operations + 1 : operations;
}

static uint64_t expected(size_t which, const void *context, uint64_t operations)
{
    (void)which, (void)context;
    return operations;
}

static uint64_t ticks(size_t which, const void *context)
{
    const struct script *script = context;
    (void)which;
    return (uint64_t)script->samples[script->windows - 1];
}

static const struct bench_case bench_case = {.name = "case"};
static const struct variant about = {.name = "variant"};
static const struct bench_variant variant = {.about = &about};
static const struct bench_suite suite = {.name = "suite",
                                         .cases = &bench_case,
                                         .case_count = 1,
                                         .variants = &variant,
                                         .variant_count = 1,
                                         .expected = expected,
                                         .ticks = ticks};
static const struct row row = {.suite = &suite, .bench_case = &bench_case, .variant = &variant};
// Of a clock so quick the round's budget is never used up.
static const struct clock quick = {.class = PLATFORM_CLOCK_TSC, .hz = 1000000000000};
static struct script script;
static struct trace_round round_;

static bool run(bool full, size_t bytes)
{
    start_cpus(1, bytes, EVENTS_BYTES);
    round_ = (struct trace_round){.row = &row,
                                  .body = body,
                                  .context = &script,
                                  .operations = OPERATIONS,
                                  .clock = &quick,
                                  .full = full,
                                  .cpus = cpus};
    const bool whole = trace_round_run(&round_);
    stop_cpus(1);
    return whole;
}

static void write_script(const char *name)
{
    script = (struct script){.random = seeded_for(name)};
    for (unsigned i = 0; i < TRACE_ROUND_WINDOWS_MOST; i++)
        script.samples[i] = (int64_t)(1000 + random_below(&script.random, 500));
}

// The window that `greater` samples of the round are above, the first of equals first.
static uint32_t nth(uint32_t windows, unsigned greater)
{
    for (uint32_t i = 0; i < windows; i++) {
        unsigned above = 0;
        for (uint32_t k = 0; k < windows; k++)
            above += script.samples[k] > script.samples[i] ||
                     (script.samples[k] == script.samples[i] && k < i);
        if (above == greater)
            return i;
    }
    ck_abort();
}

// What is in the buffer is window 0 and what is kept, in order, and changes add up to all there
// were.
static void check_buffer(void)
{
    const struct trace_buffer *buffer = cpus[0].first;
    uint32_t windows[1 + TRACE_ROUND_KEPT] = {0}, count = 1, begins = 0;
    int64_t sum = 0;
    for (size_t i = 0; i < round_.kept_count; i++) {
        if (round_.kept[i].index != 0)
            windows[count++] = round_.kept[i].index;
    }
    for (uint32_t i = 0; i < buffer->used; i++) {
        const struct trace_entry *entry = &buffer->entries[i];
        ck_assert(i == 0 || entry->ticks >= entry[-1].ticks);
        if (entry->phase == TRACE_PHASE_ADD)
            sum += (int32_t)entry->value;
        if (entry->phase == TRACE_PHASE_BEGIN)
            ck_assert_uint_eq(entry->value, windows[begins++ / OPERATIONS]);
    }
    ck_assert_uint_eq(begins, count * OPERATIONS);
    ck_assert_int_eq(sum, script.objects);
    ck_assert_uint_eq(buffer->lost, 0);
    // Nothing is neither there nor counted; what was put in front of windows comes on top.
    const uint64_t made = (uint64_t)round_.windows * OPERATIONS * 3;
    ck_assert_uint_eq(count * OPERATIONS * 3 + round_.dropped, made);
}

START_TEST(a_quick_round_keeps_its_first_and_its_slowest_window)
{
    for (unsigned time = 0; time < 20; time++) {
        write_script("quick");
        ck_assert(run(false, MEMORY_BYTES));
        ck_assert_uint_eq(round_.windows, 64);
        ck_assert_uint_eq(round_.kept_count, 1);
        ck_assert_uint_eq(round_.kept[0].index, nth(64, 0));
        ck_assert_str_eq(trace_round_name(&round_, &round_.kept[0]), "max");
        ck_assert_int_eq(round_.least, script.samples[nth(64, 63)]);
        check_buffer();
    }
}
END_TEST

START_TEST(a_full_round_has_its_maximum_and_its_999th_of_1000)
{
    write_script("full");
    ck_assert(run(true, MEMORY_BYTES));
    ck_assert_uint_eq(round_.windows, 2048);
    ck_assert_uint_eq(round_.kept_count, 3);
    for (unsigned i = 0; i < 3; i++) {
        const struct traced_window *one = &round_.kept[i];
        const unsigned rank = trace_round_rank(&round_, one);
        const char *name = trace_round_name(&round_, one);
        ck_assert_uint_eq(one->index, nth(2048, rank - 1));
        ck_assert_int_eq(one->sample, script.samples[one->index]);
        ck_assert(one->begin >= one->since && one->end >= one->begin);
        // ceil(0.999 * 2048) is 2046: two are above it.
        ck_assert_msg(rank == 2 ? name == NULL : strcmp(name, rank == 1 ? "max" : "p99.9") == 0,
                      "rank %u is %s", rank, name);
    }
    check_buffer();
}
END_TEST

START_TEST(the_first_window_may_be_the_slowest)
{
    write_script("first");
    script.samples[0] = 9999;
    ck_assert(run(false, MEMORY_BYTES));
    ck_assert_uint_eq(round_.kept[0].index, 0);
    check_buffer();
}
END_TEST

START_TEST(a_small_buffer_ends_a_round_before_it_is_full)
{
    write_script("small");
    ck_assert(run(true, EVENTS_BYTES + 1024));
    ck_assert_uint_ge(round_.windows, 1);
    ck_assert_uint_lt(round_.windows, 2048);
    check_buffer();
}
END_TEST

START_TEST(where_a_device_speaks_a_round_is_one_window)
{
    write_script("device");
    script.events = true;
    ck_assert(run(false, MEMORY_BYTES));
    ck_assert_uint_eq(round_.windows, 1);
    ck_assert_uint_eq(round_.dropped, 0);
    ck_assert_uint_eq(round_.kept[0].index, 0);
}
END_TEST

START_TEST(a_body_that_does_not_do_its_work_ends_the_round)
{
    write_script("wrong");
    script.wrong = true;
    ck_assert(!run(false, MEMORY_BYTES));
    ck_assert_uint_eq(round_.windows, 1);
}
END_TEST

int main(void)
{
    Suite *checks = suite_create("traced rounds");
    TCase *rounds = tcase_create("rounds");
    tcase_set_timeout(rounds, 60);
    tcase_add_test(rounds, a_quick_round_keeps_its_first_and_its_slowest_window);
    tcase_add_test(rounds, a_full_round_has_its_maximum_and_its_999th_of_1000);
    tcase_add_test(rounds, the_first_window_may_be_the_slowest);
    tcase_add_test(rounds, a_small_buffer_ends_a_round_before_it_is_full);
    tcase_add_test(rounds, where_a_device_speaks_a_round_is_one_window);
    tcase_add_test(rounds, a_body_that_does_not_do_its_work_ends_the_round);
    suite_add_tcase(checks, rounds);
    return run_checks(checks);
}
