// SPDX-License-Identifier: MIT
// bench/suites/sched.c: every window does its work, schedules repeat, their counters say what they
// must, and a scheduler that is stuck is a row that failed.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "run_checks.h"
#include "sched_host.h"
#include "sched_policy_variants.h"
#include "test_platform.h"

#define MEMORY_BYTES  (14u << 20)
#define COUNTERS_MOST 128u

extern const struct bench_suite sched_suite;

static void *memory;

static void set_up(void)
{
    memory = aligned_alloc(1u << 21, MEMORY_BYTES);
    memset(memory, 0xee, MEMORY_BYTES);
    test_cpu_count = 2;
    test_sched = sched_host;
    test_cpu_enter(0);
}

static void tear_down(void)
{
    free(memory);
}

static size_t case_of(const char *name)
{
    for (size_t c = 0; c < sched_suite.case_count; c++)
        if (strcmp(sched_suite.cases[c].name, name) == 0)
            return c;
    ck_abort_msg("no case %s", name);
    return 0;
}

static size_t variant_of(const char *name)
{
    for (size_t v = 0; v < sched_suite.variant_count; v++)
        if (strcmp(sched_suite.variants[v].about->name, name) == 0)
            return v;
    ck_abort_msg("no variant %s", name);
    return 0;
}

// One window; its sample, if the body says one.
static uint64_t window(size_t which, size_t variant, void *context, uint64_t operations)
{
    const void *ops = sched_suite.variants[variant].ops;
    sched_suite.before(which, ops, context, operations);
    const uint64_t expected = sched_suite.expected(which, context, operations);
    const uint64_t done =
        sched_suite.bodies[variant * sched_suite.case_count + which](context, operations);
    ck_assert_msg(done == expected, "%s/%s: %lu, expected %lu", sched_suite.cases[which].name,
                  sched_suite.variants[variant].about->name, (unsigned long)done,
                  (unsigned long)expected);
    return sched_suite.ticks(which, context);
}

static void *prepared(size_t which, size_t variant, uint64_t seed)
{
    void *context =
        sched_suite.prepare(which, sched_suite.variants[variant].ops, memory, MEMORY_BYTES, seed);
    ck_assert_ptr_nonnull(context);
    return context;
}

START_TEST(every_window_of_every_row_does_its_work_again_and_again)
{
    const size_t which = (size_t)_i;
    const struct bench_case *one = &sched_suite.cases[which];
    // Where real CPUs are shared with others, a turn may take milliseconds.
    const uint64_t operations = one->operations < 64 ? one->operations : 64;
    for (size_t v = 0; v < sched_suite.variant_count; v++) {
        const void *ops = sched_suite.variants[v].ops;
        if (!sched_suite.applies(which, ops))
            continue;
        for (unsigned round = 0; round < 2; round++) {
            void *context = prepared(which, v, 3 + round);
            for (unsigned i = 0; i < 3; i++) {
                const uint64_t ticks = window(which, v, context, operations);
                ck_assert(ticks > 0);
                ck_assert_int_eq(ticks != BENCH_WHOLE_WINDOW,
                                 sched_suite.interrupts(which) &&
                                     sched_suite.variants[v].about->role != VARIANT_FLOOR);
            }
            ck_assert(sched_suite.check(which, ops, context));
            sched_suite.finish(which, ops, context);
        }
    }
}
END_TEST

START_TEST(rows_are_there_where_they_mean_something)
{
    const void *fifo = sched_suite.variants[variant_of("fifo")].ops;
    const void *floor = sched_suite.variants[variant_of("floor")].ops;
    ck_assert(sched_suite.applies(case_of("interactive_wakeup"), fifo));
    ck_assert(!sched_suite.applies(case_of("interactive_wakeup"), floor));
    ck_assert(sched_suite.applies(case_of("pass_pair"), floor));
    ck_assert(!sched_suite.applies(case_of("ema"), fifo));
    ck_assert(!sched_suite.applies(case_of("refill_moved"), fifo));
    test_cpu_count = 1;
    ck_assert(!sched_suite.applies(case_of("affinity"), fifo));
    ck_assert(!sched_suite.applies(case_of("refill_moved"), floor));
    test_sched = NULL;
    ck_assert(!sched_suite.applies(case_of("wake_pair"), fifo));
    ck_assert(sched_suite.applies(case_of("next_10"), fifo));
    ck_assert(sched_suite.applies(case_of("sim_wakeup"), fifo));
}
END_TEST

START_TEST(memory_that_does_not_suffice_is_no_context)
{
    const void *ops = sched_suite.variants[variant_of("predictive")].ops;
    static const char *const names[] = {"next_1000", "next_10000", "sim_wakeup"};
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++)
        ck_assert_ptr_null(sched_suite.prepare(case_of(names[i]), ops, memory, 8192, 1));
}
END_TEST

START_TEST(a_window_of_a_wake_up_is_shorter_than_the_pause_before_it)
{
    // Outside, a world stands still: what passes there is no part of a wait.
    const size_t which = case_of("short_wakeup"), v = variant_of("predictive");
    void *context = prepared(which, v, 5);
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < 8; i++) {
        const uint64_t start = cpu_ticks();
        while (cpu_ticks() - start < 100000000)
            cpu_pause();
        const uint64_t ticks = window(which, v, context, 1);
        least = ticks < least ? ticks : least;
    }
    ck_assert_uint_lt(least, 50000000);
    sched_suite.finish(which, sched_suite.variants[v].ops, context);
}
END_TEST

// ---- counters -----------------------------------------------------------------------------------

struct kept {
    unsigned count;
    struct {
        char name[64];
        uint64_t numerator, denominator;
    } counters[COUNTERS_MOST];
};

static void keep(void *context, const char *name, uint64_t numerator, uint64_t denominator,
                 const char *unit)
{
    struct kept *kept = context;
    ck_assert_uint_lt(kept->count, COUNTERS_MOST);
    ck_assert_uint_gt(denominator, 0);
    if (strcmp(unit, "percent") == 0 || strncmp(name, "jain", 4) == 0)
        ck_assert_msg(numerator <= denominator, "%s is more than all", name);
    snprintf(kept->counters[kept->count].name, 64, "%s", name);
    kept->counters[kept->count].numerator = numerator;
    kept->counters[kept->count++].denominator = denominator;
}

static void count(struct kept *kept, const char *name, const char *policy, uint64_t seed)
{
    const size_t which = case_of(name), v = variant_of(policy);
    const struct bench_counters out = {.emit = keep, .context = kept};
    void *context = prepared(which, v, seed);
    memset(kept, 0, sizeof(*kept));
    window(which, v, context, sched_suite.cases[which].counted_operations);
    sched_suite.counters(which, sched_suite.variants[v].ops, context, &out);
}

static double value(const struct kept *kept, const char *name)
{
    for (unsigned i = 0; i < kept->count; i++)
        if (strcmp(kept->counters[i].name, name) == 0)
            return (double)kept->counters[i].numerator / (double)kept->counters[i].denominator;
    ck_abort_msg("no counter %s", name);
    return 0;
}

static struct kept fifo, predictive, deadline;

START_TEST(schedules_of_the_simulator_repeat_and_another_seed_is_another_one)
{
    static const char *const names[] = {"sim_wakeup", "sim_throughput", "sim_deadlines"};
    static const char *const policies[] = {"fifo", "predictive", "deadline"};
    for (unsigned n = 0; n < ARRAY_COUNT(names); n++)
        for (unsigned p = 0; p < ARRAY_COUNT(policies); p++) {
            count(&fifo, names[n], policies[p], 11);
            memset(memory, 0x55, MEMORY_BYTES);
            count(&predictive, names[n], policies[p], 11);
            ck_assert_mem_eq(&fifo, &predictive, sizeof(fifo));
        }
    count(&fifo, "sim_wakeup", "fifo", 12);
    count(&predictive, "sim_wakeup", "fifo", 11);
    ck_assert(memcmp(&fifo, &predictive, sizeof(fifo)) != 0);
}
END_TEST

START_TEST(short_runs_first_means_short_waits_and_unequal_shares)
{
    count(&fifo, "sim_wakeup", "fifo", 1);
    count(&predictive, "sim_wakeup", "predictive", 1);
    ck_assert(value(&predictive, "wait_p99_us") < value(&fifo, "wait_p99_us"));
    ck_assert(value(&fifo, "wait_p50_us_by_batch_threads@32") >
              value(&fifo, "wait_p50_us_by_batch_threads@1"));
    count(&fifo, "sim_fairness", "fifo", 1);
    count(&predictive, "sim_fairness", "predictive", 1);
    count(&deadline, "sim_fairness", "deadline", 1);
    // Threads that yield count as short ones: the others get what ageing leaves them.
    ck_assert(value(&predictive, "jain") < value(&fifo, "jain"));
    ck_assert(value(&deadline, "jain") > 0.99);
    ck_assert(value(&deadline, "jain_by_nice_values") > 0.99);
    ck_assert(value(&fifo, "jain_by_nice_values") < 0.9);
    ck_assert(value(&predictive, "least_share") > 0);
    ck_assert(value(&fifo, "jain_of_equal_threads") > 0.99);
}
END_TEST

START_TEST(classes_are_right_in_the_end_and_wrong_at_first)
{
    count(&predictive, "sim_classes", "predictive", 1);
    ck_assert(value(&predictive, "right") == 1);
    ck_assert(value(&predictive, "right_by_ms@100") < 1);
    ck_assert(value(&predictive, "picked_hot") + value(&predictive, "picked_normal") +
                  value(&predictive, "picked_cold") >
              0.999);
}
END_TEST

START_TEST(switches_cost_work_and_load_makes_periods_late)
{
    count(&fifo, "sim_throughput", "fifo", 1);
    count(&predictive, "sim_throughput", "predictive", 1);
    ck_assert(value(&predictive, "switches") > value(&fifo, "switches"));
    ck_assert(value(&predictive, "work") > 0.9 && value(&predictive, "work") < 1);
    ck_assert(value(&fifo, "work") > 0.9 && value(&fifo, "work") < 1);
    count(&fifo, "sim_deadlines", "fifo", 1);
    count(&predictive, "sim_deadlines", "predictive", 1);
    ck_assert(value(&fifo, "missed") > value(&predictive, "missed"));
    ck_assert(value(&predictive, "missed_by_percent_of_load@20") <
              value(&fifo, "missed_by_percent_of_load@20"));
}
END_TEST

// ---- a scheduler that is stuck ------------------------------------------------------------------

static struct sched_cpu_ops broken;
static bool timers_work;

static void set_timer_or_not(void *machine, uint64_t at_ns)
{
    void *same;
    if (timers_work || at_ns == SCHED_NEVER)
        sched_host(&same)->set_timer(machine, at_ns);
}

static const struct sched_cpu_ops *broken_sched(void **machine)
{
    broken = *sched_host(machine);
    broken.set_timer = set_timer_or_not;
    return &broken;
}

START_TEST(a_stuck_scheduler_is_a_window_that_failed_and_the_next_one_works)
{
    const size_t which = case_of("interactive_wakeup"), v = variant_of("predictive");
    const void *ops = sched_suite.variants[v].ops;
    test_sched = broken_sched;
    timers_work = false;
    void *context = prepared(which, v, 1);
    sched_suite.before(which, ops, context, 1);
    bench_body *const body = sched_suite.bodies[v * sched_suite.case_count + which];
    ck_assert_uint_eq(body(context, 1), BENCH_FAILED);
    ck_assert_uint_eq(body(context, 1), BENCH_FAILED); // at once
    ck_assert(!sched_suite.check(which, ops, context));
    timers_work = true;
    context = prepared(which, v, 1);
    window(which, v, context, 1);
    ck_assert(sched_suite.check(which, ops, context));
    sched_suite.finish(which, ops, context);
}
END_TEST

START_TEST(what_a_row_leaves_behind_is_ended_by_the_next_one)
{
    const size_t which = case_of("hackbench"), v = variant_of("deadline");
    for (unsigned i = 0; i < 3; i++) {
        void *context = prepared(which, v, i);
        if (i > 0)
            window(which, v, context, 64);
    }
    void *context = prepared(case_of("next_10"), v, 1);
    window(case_of("next_10"), v, context, 16);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("suites: sched");
    TCase *tests = tcase_create("set-ups and bodies");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, every_window_of_every_row_does_its_work_again_and_again, 0,
                        (int)sched_suite.case_count);
    tcase_add_test(tests, rows_are_there_where_they_mean_something);
    tcase_add_test(tests, memory_that_does_not_suffice_is_no_context);
    tcase_add_test(tests, a_window_of_a_wake_up_is_shorter_than_the_pause_before_it);
    tcase_add_test(tests, schedules_of_the_simulator_repeat_and_another_seed_is_another_one);
    tcase_add_test(tests, short_runs_first_means_short_waits_and_unequal_shares);
    tcase_add_test(tests, classes_are_right_in_the_end_and_wrong_at_first);
    tcase_add_test(tests, switches_cost_work_and_load_makes_periods_late);
    tcase_add_test(tests, a_stuck_scheduler_is_a_window_that_failed_and_the_next_one_works);
    tcase_add_test(tests, what_a_row_leaves_behind_is_ended_by_the_next_one);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
