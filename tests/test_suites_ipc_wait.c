// SPDX-License-Identifier: MIT
// bench/suites/ipc_wait: every window delivers its messages and calls again and again, each case is
// what its name says, and threads that cannot be had are a row that failed.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "ipc_pair.h"
#include "ring_fusion_spsc.h"
#include "run_checks.h"
#include "sched_host.h"
#include "test_platform.h"

#define MEMORY_BYTES  (2u << 20)
#define COUNTERS_MOST 16u

extern const struct bench_suite ipc_wait_suite;

static void *memory;

static void set_up(void)
{
    memory = aligned_alloc(1u << 21, MEMORY_BYTES);
    memset(memory, 0xee, MEMORY_BYTES);
    test_cpu_count = 2;
    test_clock_class = PLATFORM_CLOCK_TSC;
    test_sched = sched_host;
    test_cpu_enter(0);
}

static void tear_down(void)
{
    free(memory);
}

static size_t case_of(const char *name)
{
    for (size_t c = 0; c < ipc_wait_suite.case_count; c++)
        if (strcmp(ipc_wait_suite.cases[c].name, name) == 0)
            return c;
    ck_abort_msg("no case %s", name);
    return 0;
}

static size_t variant_of(const char *name)
{
    for (size_t v = 0; v < ipc_wait_suite.variant_count; v++)
        if (strcmp(ipc_wait_suite.variants[v].about->name, name) == 0)
            return v;
    ck_abort_msg("no variant %s", name);
    return 0;
}

static bool begins(size_t which, const char *prefix)
{
    return strncmp(ipc_wait_suite.cases[which].name, prefix, strlen(prefix)) == 0;
}

static struct ipc_pair *prepared(size_t which, size_t variant)
{
    const void *ops = ipc_wait_suite.variants[variant].ops;
    struct ipc_pair *pair = ipc_wait_suite.prepare(which, ops, memory, MEMORY_BYTES, 3);
    ck_assert_ptr_nonnull(pair);
    return pair;
}

static uint64_t window(size_t which, size_t variant, void *context, uint64_t operations)
{
    return ipc_wait_suite.bodies[variant * ipc_wait_suite.case_count + which](context, operations);
}

static void finish(size_t which, size_t variant, void *context)
{
    ipc_wait_suite.finish(which, ipc_wait_suite.variants[variant].ops, context);
}

static struct {
    char name[32], unit[16];
    uint64_t numerator, denominator;
} emitted[COUNTERS_MOST];
static unsigned emitted_count;

static void emit(void *context, const char *name, uint64_t numerator, uint64_t denominator,
                 const char *unit)
{
    (void)context;
    ck_assert_uint_lt(emitted_count, COUNTERS_MOST);
    strncpy(emitted[emitted_count].name, name, 31);
    strncpy(emitted[emitted_count].unit, unit, 15);
    emitted[emitted_count].numerator = numerator;
    emitted[emitted_count++].denominator = denominator;
}

static void count(size_t which, size_t variant, const void *context)
{
    const struct bench_counters out = {.emit = emit};
    emitted_count = 0;
    memset(emitted, 0, sizeof(emitted));
    ipc_wait_suite.counters(which, ipc_wait_suite.variants[variant].ops, context, &out);
}

// Its place among those emitted; COUNTERS_MOST: it was not.
static unsigned place_of(const char *name)
{
    unsigned i = 0;
    while (i < emitted_count && strcmp(emitted[i].name, name) != 0)
        i++;
    return i < emitted_count ? i : COUNTERS_MOST;
}

static uint64_t counted(const char *name)
{
    ck_assert_msg(place_of(name) < COUNTERS_MOST, "%s was not counted", name);
    return emitted[place_of(name)].numerator;
}

static void share_is_possible(const char *name)
{
    ck_assert_str_eq(emitted[place_of(name)].unit, "observed");
    ck_assert_uint_le(counted(name), emitted[place_of(name)].denominator);
}

// ---- windows ------------------------------------------------------------------------------------

static void three_windows(size_t which, size_t variant)
{
    // Where CPUs are shared with others, a turn may take milliseconds.
    const uint64_t operations = begins(which, "crowd_") ? 128 : 32;
    const void *ops = ipc_wait_suite.variants[variant].ops;
    struct ipc_pair *pair = prepared(which, variant);
    for (unsigned i = 0; i < 3; i++) {
        const uint64_t expected = ipc_wait_suite.expected(which, pair, operations);
        ck_assert_uint_eq(expected, operations);
        ck_assert_msg(window(which, variant, pair, operations) == expected, "%s of %s",
                      ipc_wait_suite.cases[which].name,
                      ipc_wait_suite.variants[variant].about->name);
        const uint64_t ticks = ipc_wait_suite.ticks(which, pair);
        ck_assert(ticks > 0 && ticks != BENCH_WHOLE_WINDOW);
    }
    ck_assert(ipc_wait_suite.interrupts(which));
    ck_assert(ipc_wait_suite.check(which, ops, pair));
    count(which, variant, pair);
    // A pair's messages: half of them go back over the other ring.
    ck_assert_uint_eq(counted("requests"), 3 * operations / (begins(which, "wake_") ? 2 : 1));
    if (pair->producers > 1) {
        share_is_possible("fairness");
        share_is_possible("last_to_first");
        ck_assert_uint_ge(counted("fairness"), 1000000 / pair->producers);
    }
    if (pair->producers == 0)
        ck_assert(counted("sleeps") >= counted("wakes"));
    finish(which, variant, pair);
}

START_TEST(every_window_of_every_row_delivers_all_its_messages)
{
    unsigned seen = 0;
    for (size_t v = 0; v < ipc_wait_suite.variant_count; v++) {
        if (!ipc_wait_suite.applies((size_t)_i, ipc_wait_suite.variants[v].ops))
            continue;
        three_windows((size_t)_i, v);
        seen++;
    }
    ck_assert_uint_ge(seen, 2);
}
END_TEST

START_TEST(with_one_cpu_all_threads_of_a_crowd_share_it)
{
    test_cpu_count = 1;
    if (ipc_wait_suite.applies((size_t)_i, ipc_wait_suite.variants[variant_of("fusion_mpmc")].ops))
        three_windows((size_t)_i, variant_of("fusion_mpmc"));
}
END_TEST

// ---- cases --------------------------------------------------------------------------------------

START_TEST(rows_are_there_where_they_mean_something)
{
    const void *one = &ring_fusion_spsc_ops;
    const void *many = ipc_wait_suite.variants[variant_of("fusion_mpmc")].ops;
    ck_assert(ipc_wait_suite.applies(case_of("call_1_direct"), one));
    ck_assert(!ipc_wait_suite.applies(case_of("crowd_1x1"), one));
    ck_assert(ipc_wait_suite.applies(case_of("crowd_8x8"), many));
    test_cpu_count = 1;
    ck_assert(!ipc_wait_suite.applies(case_of("wake_56_cpus"), one));
    ck_assert(!ipc_wait_suite.applies(case_of("wake_56_cpus_barrier"), one));
    ck_assert(!ipc_wait_suite.applies(case_of("call_2"), one));
    ck_assert(ipc_wait_suite.applies(case_of("wake_56"), one));
    ck_assert(ipc_wait_suite.applies(case_of("crowd_8x8"), many));
    test_cpu_count = 2;
    test_clock_class = PLATFORM_CLOCK_EMULATED;
    ck_assert(!ipc_wait_suite.applies(case_of("wake_56_cpus_barrier"), one));
    ck_assert(ipc_wait_suite.applies(case_of("wake_56_cpus"), one));
    test_sched = NULL;
    for (size_t c = 0; c < ipc_wait_suite.case_count; c++)
        ck_assert(!ipc_wait_suite.applies(c, many));
}
END_TEST

START_TEST(a_crowd_is_as_large_as_its_name_says)
{
    for (size_t c = 0; c < ipc_wait_suite.case_count; c++) {
        const size_t many = variant_of("fusion_mpmc");
        struct ipc_pair *pair = prepared(c, many);
        const char *name = ipc_wait_suite.cases[c].name;
        const unsigned producers = begins(c, "crowd_") ? (unsigned)name[6] - '0' : 0;
        ck_assert_uint_eq(pair->producers, producers);
        ck_assert_uint_eq(pair->consumers, producers > 0 ? (unsigned)name[8] - '0' : 0);
        ck_assert_uint_eq(
            pair->cpus,
            producers > 0 || strstr(name, "cpus") != NULL || strcmp(name, "call_2") == 0 ? 2 : 1);
        ck_assert_int_eq(pair->calls, begins(c, "call_"));
        ck_assert_int_eq(pair->direct, strstr(name, "direct") != NULL);
        ck_assert_int_eq(pair->sleepers_pay, strstr(name, "barrier") != NULL);
        finish(c, many, pair);
    }
}
END_TEST

// Each message and call finds its receiver asleep on one CPU, so a window's blocks are known.
START_TEST(on_one_cpu_each_message_and_each_call_finds_somebody_asleep)
{
    static const char *const names[] = {"wake_56", "call_1", "call_1_direct"};
    const size_t which = case_of(names[_i]), variant = variant_of("fusion_spsc");
    struct ipc_pair *pair = prepared(which, variant);
    ck_assert_uint_eq(window(which, variant, pair, 64), 64);
    count(which, variant, pair);
    ck_assert_uint_ge(counted("sleeps") + 1, 64);
    ck_assert_uint_ge(counted("wakes") + 1, 64);
    finish(which, variant, pair);
}
END_TEST

// Behind one consumer that shares its only CPU with 8 producers, who fills the queue of 8 gives the
// CPU up: of 128 messages the receiver's blocks alone cannot be all.
START_TEST(senders_that_find_no_room_are_counted_among_the_blocks_of_a_crowd)
{
    const size_t which = case_of("crowd_8x1"), variant = variant_of("fusion_mpmc");
    struct ipc_pair_statistics found;
    test_cpu_count = 1;
    struct ipc_pair *pair = prepared(which, variant);
    ck_assert_uint_eq(window(which, variant, pair, 128), 128);
    ipc_wait_threads_statistics(&found);
    count(which, variant, pair);
    ck_assert_uint_gt(found.sender_blocks, 0);
    ck_assert_uint_eq(counted("blocks_a_message"),
                      (found.blocks + found.sender_blocks) * 1000000 / 128);
    finish(which, variant, pair);
}
END_TEST

START_TEST(memory_that_does_not_suffice_is_no_context)
{
    for (size_t c = 0; c < ipc_wait_suite.case_count; c++)
        ck_assert_ptr_null(
            ipc_wait_suite.prepare(c, ipc_wait_suite.variants[0].ops, memory, 4096, 1));
}
END_TEST

// ---- what does not come -------------------------------------------------------------------------

static bool refuses(unsigned cpu, void (*function)(void *argument), void *argument)
{
    (void)cpu;
    (void)function;
    (void)argument;
    return false;
}

START_TEST(without_the_other_cpu_there_is_no_context)
{
    const size_t which = case_of("call_2"), variant = variant_of("fusion_spsc");
    test_cpu_start = refuses;
    ck_assert_ptr_null(ipc_wait_suite.prepare(which, ipc_wait_suite.variants[variant].ops, memory,
                                              MEMORY_BYTES, 3));
}
END_TEST

START_TEST(a_row_that_was_left_open_is_ended_by_the_next_one)
{
    const size_t which = case_of("crowd_4x4"), variant = variant_of("locked_queue");
    struct ipc_pair *pair = prepared(which, variant);
    ck_assert_uint_eq(window(which, variant, pair, 128), 128);
    three_windows(which, variant);
    three_windows(case_of("call_1_direct"), variant);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("suites: ipc, waiting");
    TCase *tests = tcase_create("waiting");
    const int cases = (int)ipc_wait_suite.case_count;
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, every_window_of_every_row_delivers_all_its_messages, 0, cases);
    tcase_add_loop_test(tests, with_one_cpu_all_threads_of_a_crowd_share_it, 0, cases);
    tcase_add_test(tests, rows_are_there_where_they_mean_something);
    tcase_add_test(tests, a_crowd_is_as_large_as_its_name_says);
    tcase_add_loop_test(tests, on_one_cpu_each_message_and_each_call_finds_somebody_asleep, 0, 3);
    tcase_add_test(tests, senders_that_find_no_room_are_counted_among_the_blocks_of_a_crowd);
    tcase_add_test(tests, memory_that_does_not_suffice_is_no_context);
    tcase_add_test(tests, without_the_other_cpu_there_is_no_context);
    tcase_add_test(tests, a_row_that_was_left_open_is_ended_by_the_next_one);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
