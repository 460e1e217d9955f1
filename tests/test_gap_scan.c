// SPDX-License-Identifier: MIT
// kernel/hardware/gap_scan and bench/framework/core_ratio: what a machine loses, and how fast it
// runs, from counts that a test writes.
#include <signal.h>
#include <string.h>

#include "compiler.h"
#include "core_ratio.h"
#include "gap_scan.h"
#include "options.h"
#include "run_checks.h"
#include "seed.h"
#include "test_platform.h"

static struct gap_scan scan;

START_TEST(gaps_are_counted_and_the_largest_is_kept)
{
    static const uint64_t steps[] = {20, 3000, 20, 2999, 90000, 20, 3001};
    char text[128];
    uint64_t now = 1000;
    gap_scan_init(&scan, 3000000000u, 1000);
    gap_scan_add(&scan, now);
    for (unsigned i = 0; i < ARRAY_COUNT(steps); i++)
        gap_scan_add(&scan, now += steps[i]);
    ck_assert_uint_eq(scan.gaps, 3);
    ck_assert_uint_eq(scan.largest, 90000);
    ck_assert_uint_eq(scan.reads, 8);
    ck_assert_uint_eq(gap_scan_ns(&scan, scan.largest), 30000);
    gap_scan_text(&scan, text, sizeof(text));
    ck_assert_str_eq(text,
                     "largest 30000 ns; 3 gaps of 1000 ns or more, 32000 ns together, in 0 ms");
}
END_TEST

START_TEST(steps_backwards_are_no_gaps)
{
    gap_scan_init(&scan, 1000000000u, 1000);
    gap_scan_add(&scan, 500000);
    gap_scan_add(&scan, 499999);
    gap_scan_add(&scan, 500010);
    ck_assert_uint_eq(scan.backwards, 1);
    ck_assert_uint_eq(scan.gaps, 0);
    ck_assert_uint_eq(scan.largest, 11);
    ck_assert_uint_eq(gap_scan_span(&scan), 10);
}
END_TEST

START_TEST(a_counter_behind_its_beginning_has_come_no_way)
{
    char text[128];
    gap_scan_init(&scan, 1000000000u, 1000);
    ck_assert_uint_eq(gap_scan_span(&scan), 0);
    gap_scan_add(&scan, 500000);
    gap_scan_add(&scan, 20);
    ck_assert_uint_eq(gap_scan_span(&scan), 0);
    gap_scan_text(&scan, text, sizeof(text));
    ck_assert_str_eq(text, "largest 0 ns; 0 gaps of 1000 ns or more, 0 ns together, in 0 ms");
}
END_TEST

START_TEST(random_steps_add_up)
{
    struct random random = seeded_for("random_steps_add_up");
    uint64_t now = random_below(&random, UINT32_MAX), sum = 0, count = 0, most = 0;
    gap_scan_init(&scan, 2000000000u, 500); // 1000 ticks
    gap_scan_add(&scan, now);
    for (unsigned i = 0; i < 10000; i++) {
        const uint64_t step = random_below(&random, 2000);
        gap_scan_add(&scan, now += step);
        most = max_u64(most, step);
        sum += step >= 1000 ? step : 0;
        count += step >= 1000;
    }
    ck_assert(scan.gaps == count && scan.gap_sum == sum && scan.largest == most);
}
END_TEST

START_TEST(a_clock_without_frequency_dies)
{
    gap_scan_init(&scan, 0, 1000);
}
END_TEST

// ---- how fast the core runs ---------------------------------------------------------------------

static uint64_t core, reference;
static unsigned asked, refuse_from; // from 1; 0: never

static bool tell(uint64_t *core_out, uint64_t *reference_out)
{
    *core_out = core;
    *reference_out = reference;
    return ++asked < refuse_from || refuse_from == 0;
}

static void round_of(struct core_ratio *ratio, uint64_t core_cycles, uint64_t reference_cycles)
{
    core_ratio_begin(ratio);
    core += core_cycles;
    reference += reference_cycles;
    core_ratio_end(ratio);
}

START_TEST(the_slowest_and_the_fastest_round_are_kept)
{
    struct core_ratio ratio = {.rounds = 0};
    test_core_clock = tell;
    core = UINT64_MAX - 1500; // it wraps around
    round_of(&ratio, 1000, 1000);
    round_of(&ratio, 3000, 2000);
    round_of(&ratio, 0, 0); // it slept
    round_of(&ratio, (uint64_t)7 << 40, (uint64_t)10 << 40);
    ck_assert_uint_eq(ratio.rounds, 3);
    ck_assert_uint_eq(ratio.least.core, (uint64_t)7 << 40);
    ck_assert_uint_eq(ratio.most.core, 3000);
    ck_assert_uint_eq(ratio.most.reference, 2000);
    ck_assert_uint_eq(ratio.all.core, 4000 + ((uint64_t)7 << 40));
    ck_assert_uint_eq(ratio.all.reference, 3000 + ((uint64_t)10 << 40));
}
END_TEST

START_TEST(a_platform_that_cannot_tell_is_asked_once)
{
    struct core_ratio ratio = {.rounds = 0};
    test_core_clock = NULL;
    round_of(&ratio, 1, 1);
    ck_assert(ratio.failed);
    test_core_clock = tell;
    round_of(&ratio, 1, 1);
    ck_assert_uint_eq(asked, 0);
    // At the end of a round.
    ratio = (struct core_ratio){.rounds = 0};
    refuse_from = 2;
    round_of(&ratio, 1, 1);
    ck_assert(ratio.failed && ratio.rounds == 0);
}
END_TEST

START_TEST(the_row_has_three_counters_where_it_is_known)
{
    static uint8_t memory[1 << 20];
    static const struct options options = {.output = OUTPUT_TEXT};
    static const struct clock clock = {.class = PLATFORM_CLOCK_TSC};
    static struct report report;
    const struct row row = {.index = 0};
    struct core_ratio ratio = {.rounds = 0};
    report_open(&report, &options, &clock, memory, sizeof(memory));
    core_ratio_report(&ratio, &report, &row);
    ck_assert_uint_eq(report.stream.length, 0);
    test_core_clock = tell;
    round_of(&ratio, 1500, 1000);
    core_ratio_report(&ratio, &report, &row);
    unsigned found = 0;
    for (size_t i = 0; i + 18 <= report.stream.length; i++)
        found += memcmp(report.stream.bytes + i, "core_per_reference", 18) == 0;
    ck_assert_uint_eq(found, 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gap_scan");
    TCase *tests = tcase_create("gaps");
    tcase_add_test(tests, gaps_are_counted_and_the_largest_is_kept);
    tcase_add_test(tests, steps_backwards_are_no_gaps);
    tcase_add_test(tests, a_counter_behind_its_beginning_has_come_no_way);
    tcase_add_test(tests, random_steps_add_up);
    tcase_add_test_raise_signal(tests, a_clock_without_frequency_dies, SIGABRT);
    tcase_add_test(tests, the_slowest_and_the_fastest_round_are_kept);
    tcase_add_test(tests, a_platform_that_cannot_tell_is_asked_once);
    tcase_add_test(tests, the_row_has_three_counters_where_it_is_known);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
