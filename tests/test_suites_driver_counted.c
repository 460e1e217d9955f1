// SPDX-License-Identifier: MIT
// What the suite `driver` counts: what becomes of loads in virtual time and over time, commands,
// shares of a CPU.
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "driver_suite_subject.h"
#include "record.h"
#include "run_checks.h"

#define POINTS_MOST RECORD_POINTS_MOST // a row with more is not taken

static struct counter {
    char name[64], unit[16];
    uint64_t numerator, denominator;
} counted[POINTS_MOST], again[POINTS_MOST];
static unsigned counted_count;

static void emit(void *context, const char *name, uint64_t numerator, uint64_t denominator,
                 const char *unit)
{
    ck_assert_ptr_eq(context, counted);
    ck_assert_uint_lt(counted_count, POINTS_MOST);
    ck_assert_uint_gt(denominator, 0);
    struct counter *const one = &counted[counted_count++];
    *one = (struct counter){.numerator = numerator, .denominator = denominator};
    strncpy(one->name, name, sizeof(one->name) - 1);
    strncpy(one->unit, unit, sizeof(one->unit) - 1);
}

static void count_of(const char *case_name, const char *variant, uint64_t operations)
{
    const struct bench_counters out = {.emit = emit, .context = counted};
    const struct row one = row(case_name, variant);
    ck_assert_uint_gt(operations, 0);
    run_well(&one, operations);
    memset(counted, 0, sizeof(counted));
    counted_count = 0;
    driver_suite.counters(one.which, one.ops, one.context, &out);
    ck_assert(good(&one));
    end(&one);
}

static void count(const char *case_name, const char *variant)
{
    count_of(case_name, variant, driver_suite.cases[case_of(case_name)].counted_operations);
}

static const struct counter *counter(const char *name)
{
    for (unsigned i = 0; i < counted_count; i++)
        if (strcmp(counted[i].name, name) == 0)
            return &counted[i];
    ck_abort_msg("%s was not counted", name);
    return NULL;
}

// In thousandths.
static uint64_t value(const char *name)
{
    return counter(name)->numerator * 1000 / counter(name)->denominator;
}

static uint64_t numerator_at(const char *curve, unsigned ms)
{
    char name[64];
    snprintf(name, sizeof(name), "%s@%u", curve, ms);
    return counter(name)->numerator;
}

// Requests of a slice of the time line that were done, and those left out.
static uint64_t came_until(unsigned ms)
{
    char name[64];
    snprintf(name, sizeof(name), "latency_ns_by_ms@%u", ms);
    return counter(name)->denominator + numerator_at("left_out_by_ms", ms);
}

START_TEST(what_becomes_of_a_load_is_the_same_each_time)
{
    static const char *const rows[][2] = {
        {"sim_load", "adaptive"}, {"sim_depth", "batch"}, {"sim_phases", "adaptive"}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        count(rows[i][0], rows[i][1]);
        const unsigned first = counted_count;
        memcpy(again, counted, sizeof(again));
        ck_assert_uint_gt(first, 10);
        ck_assert_uint_le(first, 140);
        count(rows[i][0], rows[i][1]);
        ck_assert_uint_eq(counted_count, first);
        ck_assert_mem_eq(again, counted, sizeof(again));
    }
}
END_TEST

START_TEST(the_phases_lead_to_interrupt_hybrid_polling_and_interrupt_again)
{
    count("sim_phases", "adaptive");
    ck_assert_uint_eq(value("load_by_ms@1000"), 100 * 1000);
    ck_assert_uint_eq(value("load_by_ms@2000"), 5000 * 1000);
    ck_assert_uint_eq(value("load_by_ms@2400"), 50000 * 1000);
    ck_assert_uint_eq(value("load_by_ms@5000"), 100 * 1000);
    ck_assert_uint_eq(value("mode_priority_by_ms@1000"), 2 * 1000);
    ck_assert_uint_eq(value("mode_priority_by_ms@2000"), 3 * 1000);
    ck_assert_uint_eq(value("mode_priority_by_ms@2400"), 4 * 1000);
    ck_assert_uint_eq(value("mode_priority_by_ms@5000"), 2 * 1000);
    // One who looks is told sooner, and pays.
    ck_assert_uint_lt(value("latency_ns_by_ms@2400"), value("latency_ns_by_ms@1000"));
    ck_assert_uint_gt(value("cpu_percent_by_ms@2400"), 100 * value("cpu_percent_by_ms@1000"));
    const uint64_t all = 5000 * 1000;
    const uint64_t in = value("ms_in_interrupt") + value("ms_in_hybrid") + value("ms_in_polling");
    ck_assert(in <= all && in >= all - 5000);
    ck_assert_uint_eq(value("ms_in_batch"), 0);
}
END_TEST

// Whatever else the computer does.
START_TEST(each_slice_of_a_time_line_has_as_many_requests_as_its_load_asks_for)
{
    const unsigned slices = 10; // up to the highest load
    real_count = 1;
    count_of("phases", "adaptive", slices);
    for (unsigned ms = 100; ms <= slices * 100; ms += 100) {
        const uint64_t asked = ms <= 300 ? 100 : ms <= 800 ? 5000 : 50000;
        ck_assert_uint_eq(numerator_at("asked_by_ms", ms), asked);
        ck_assert_uint_eq(came_until(ms), asked / 10);
        ck_assert_uint_ge(numerator_at("latency_ns_by_ms", ms),
                          numerator_at("device_ns_by_ms", ms));
        ck_assert_uint_gt(numerator_at("device_ns_by_ms", ms), 0);
        ck_assert_uint_eq(
            numerator_at("mode_interrupt_by_ms", ms) + numerator_at("mode_polling_by_ms", ms) +
                numerator_at("mode_hybrid_by_ms", ms) + numerator_at("mode_batch_by_ms", ms),
            1);
    }
    // A window is 20 ms of it.
    count_of("phases", "adaptive", 1);
    ck_assert_uint_eq(came_until(100), 2);
}
END_TEST

START_TEST(the_adaptive_mode_costs_at_each_load_what_the_mode_that_suits_it_costs)
{
    static const char *const fixed[] = {"interrupt", "hybrid", "polling"};
    static const char *const points[] = {"cpu_share_by_load@100", "cpu_share_by_load@5000",
                                         "cpu_share_by_load@50000"};
    uint64_t shares[3];
    for (unsigned i = 0; i < 3; i++) {
        count("sim_load", fixed[i]);
        shares[i] = value(points[i]);
    }
    count("sim_load", "adaptive");
    for (unsigned i = 0; i < 3; i++) {
        // A point may begin with a request more or less.
        const uint64_t found = value(points[i]);
        ck_assert_msg(found * 4 <= shares[i] * 5 + 4 && found * 5 + 5 >= shares[i] * 4,
                      "%s: %lu, fixed %lu", points[i], found, shares[i]);
    }
}
END_TEST

START_TEST(a_deeper_queue_and_larger_requests_bring_more)
{
    count("sim_depth", "polling");
    ck_assert_uint_gt(value("random_by_depth@16"), 4 * value("random_by_depth@1"));
    ck_assert_uint_gt(value("sequential_by_depth@64"), value("sequential_by_depth@4"));
    ck_assert_uint_gt(value("mb_a_second_by_bytes@131072"), 10 * value("mb_a_second_by_bytes@512"));
}
END_TEST

START_TEST(a_batch_of_what_is_in_sequence_is_one_command)
{
    test_clock_class = PLATFORM_CLOCK_INSN;
    count("submit", "batch_simulated");
    ck_assert_uint_eq(value("commands"), 1000 / 32);
    ck_assert_uint_eq(value("merged"), 31000 / 32);
    ck_assert_uint_gt(value("seeks_saved"), 500);
    ck_assert_str_eq(counted[0].unit, "ratio");
    count("submit", "interrupt_simulated");
    ck_assert_uint_eq(value("commands"), 1000);
    ck_assert_uint_eq(value("merged"), 0);
}
END_TEST

START_TEST(shares_of_real_time_are_not_called_exact)
{
    real_count = 1;
    count("share", "interrupt");
    ck_assert_uint_eq(counted_count, 1);
    ck_assert_str_eq(counted[0].unit, "observed");
    ck_assert_uint_le(value("cpu_share"), 1000);
    test_clock_class = PLATFORM_CLOCK_TSC;
    count("cpu_1000", "polling");
    ck_assert_str_eq(counted[0].unit, "observed");
    real_count = 0;
    test_clock_class = PLATFORM_CLOCK_INSN;
    count("cpu_1000", "polling_simulated");
    ck_assert_str_eq(counted[0].unit, "percent");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("suites_driver_counted");
    TCase *tests = tcase_create("driver_counted");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, what_becomes_of_a_load_is_the_same_each_time);
    tcase_add_test(tests, the_phases_lead_to_interrupt_hybrid_polling_and_interrupt_again);
    tcase_add_test(tests, each_slice_of_a_time_line_has_as_many_requests_as_its_load_asks_for);
    tcase_add_test(tests, the_adaptive_mode_costs_at_each_load_what_the_mode_that_suits_it_costs);
    tcase_add_test(tests, a_deeper_queue_and_larger_requests_bring_more);
    tcase_add_test(tests, a_batch_of_what_is_in_sequence_is_one_command);
    tcase_add_test(tests, shares_of_real_time_are_not_called_exact);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
