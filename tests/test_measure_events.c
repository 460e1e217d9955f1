// SPDX-License-Identifier: MIT
// bench/framework: what disturbs samples, and the processor's own counters.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "disturbances.h"
#include "measure_subject.h"
#include "processor.h"
#include "run_checks.h"

// ---- tags ---------------------------------------------------------------------------------------

START_TEST(what_disturbs_a_window_is_the_tag_of_its_sample)
{
    sampled();
    options.rounds = 2;
    options.samples = RECORD_TAGS;
    scripts[0].tagged_from = 3;
    run(1);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < RECORD_TAGS; i++)
            ck_assert_int_eq(round_of(0, round).tags[i], i);
    ck_assert_uint_eq(RECORD_TAG_INTERRUPT | RECORD_TAG_PAGE_FAULT << 4, 1 | 2 << 4);
    ck_assert_uint_eq(RECORD_TAG_MIGRATION | RECORD_TAG_PREEMPTION << 4, 4 | 8 << 4);
    ck_assert_uint_eq(RECORD_TAG_NMI | RECORD_TAG_SMI << 4, 16 | 32 << 4);
    ck_assert_uint_eq(RECORD_TAG_STEAL, 64);
}
END_TEST

START_TEST(what_cannot_be_counted_tags_nothing)
{
    sampled();
    events.known = (RECORD_TAGS - 1) & ~(1u << _i);
    options.rounds = 1;
    options.samples = RECORD_TAGS;
    scripts[0].tagged_from = 3;
    run(1);
    for (unsigned i = 0; i < RECORD_TAGS; i++)
        ck_assert_int_eq(round_of(0, 0).tags[i], i & events.known);
}
END_TEST

static bool of_its_own(size_t which)
{
    return which == 1;
}

START_TEST(interrupts_that_are_the_work_of_a_case_tag_nothing_and_all_else_does)
{
    sampled();
    suite.interrupts = of_its_own;
    options.rounds = 1;
    options.samples = RECORD_TAGS;
    scripts[0].tagged_from = 3;
    run(1);
    for (unsigned i = 0; i < RECORD_TAGS; i++)
        ck_assert_int_eq(round_of(0, 0).tags[i], i & ~RECORD_TAG_INTERRUPT);
}
END_TEST

// The tagged windows take longer: `clean` and `all` differ by exactly those.
START_TEST(clean_and_all_differ_by_exactly_the_tagged_samples)
{
    sampled();
    options.rounds = 3;
    options.samples = 64;
    scripts[0].tagged_from = 3;
    scripts[0].hiccup = 1000; // of windows 1, 3, 5 ...: those with an even tag, 0 among them
    run(1);
    const struct table_line *line = &report.lines[0];
    ck_assert_uint_eq(line->n, 3 * 64);
    ck_assert_uint_eq(line->clean_n, 3); // the one of each round whose tag is 0
    ck_assert_int_eq(line->clean_p50, 1080);
    ck_assert_int_eq(line->min, 80);
    ck_assert_int_eq(line->p50, 80);
    ck_assert_int_eq(line->max, 1080);
    for (unsigned cause = 0; cause < RECORD_TAG_CAUSES; cause++)
        ck_assert_uint_eq(line->tagged[cause], cause < 6 ? 3 * 32 : 0);
    unsigned clean = 0;
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < 64; i++)
            clean += round_of(0, round).tags[i] == 0;
    ck_assert_uint_eq(clean, line->clean_n);
}
END_TEST

START_TEST(tags_of_one_variant_are_not_those_of_another)
{
    sampled();
    options.rounds = 4;
    options.samples = 16;
    scripts[1].tagged_from = 4; // one clean window, then 0, 1, 2 ...
    run(VARIANTS);
    ck_assert_uint_eq(report.lines[0].clean_n, 4 * 16);
    ck_assert_uint_eq(report.lines[1].clean_n, 4 * 2);
    ck_assert_uint_eq(report.lines[2].clean_n, 4 * 16);
}
END_TEST

// ---- facts --------------------------------------------------------------------------------------

static void told(const char *key, const char *value)
{
    size_t at = 0;
    while (at < report.stream.length) {
        char found[RECORD_NAME_MOST + 1], text[RECORD_TEXT_MOST + 1];
        struct record_reader reader;
        const uint8_t *record = report.stream.bytes + at;
        const size_t length = (size_t)(record[1] | record[2] << 8);
        at += RECORD_HEADER_BYTES + length;
        record_reader_init(&reader, record + RECORD_HEADER_BYTES, length);
        if (record[0] != RECORD_FACT)
            continue;
        record_get_text(&reader, found, RECORD_NAME_MOST, true);
        record_get_text(&reader, text, RECORD_TEXT_MOST, false);
        if (strcmp(found, key) != 0)
            continue;
        ck_assert_str_eq(text, value);
        return;
    }
    ck_abort_msg("no fact %s", key);
}

START_TEST(a_run_says_which_causes_it_can_count)
{
    events.known = PLATFORM_KNOWS_PAGE_FAULTS | PLATFORM_KNOWS_SMIS;
    disturbances_report_counted(&report);
    told("events.counted", "page fault, SMI");
    told("events.not_counted", "interrupt, migration, preemption, NMI, steal");
}
END_TEST

START_TEST(a_run_that_counts_everything_or_nothing_says_so)
{
    events.known = _i == 0 ? RECORD_TAGS - 1 : 0;
    disturbances_report_counted(&report);
    const char *const every = "interrupt, page fault, migration, preemption, NMI, SMI, steal";
    told("events.counted", _i == 0 ? every : "nothing");
    told("events.not_counted", _i == 0 ? "nothing" : every);
}
END_TEST

static void read_events_of_run(struct platform_events *out)
{
    *out = events;
    out->known |= PLATFORM_KNOWS_STEAL;
}

START_TEST(totals_are_those_since_the_start_and_zero_is_not_unknown)
{
    static const char *const keys[] = {"events.interrupts_total", "events.page_faults_total",
                                       "events.migrations_total", "events.preemptions_total",
                                       "events.nmis_total",       "events.smis_total",
                                       "events.steal_ns_total"};
    static const char *const values[] = {"1", "not counted here", "3", "0", "5", "6", "70000000"};
    struct platform_events start;
    test_events_of_run = read_events_of_run;
    events = (struct platform_events){
        .known = PLATFORM_KNOWS_INTERRUPTS | PLATFORM_KNOWS_MIGRATIONS |
                 PLATFORM_KNOWS_PREEMPTIONS | PLATFORM_KNOWS_NMIS | PLATFORM_KNOWS_SMIS,
        .interrupts = 100,
        .preemptions = 9};
    read_events_of_run(&start);
    events.interrupts += 1;
    events.page_faults += 2;
    events.migrations += 3;
    events.nmis += 5;
    events.smis += 6;
    events.steal_ns += 70000000;
    disturbances_report_totals(&report, &start);
    for (unsigned i = 0; i < RECORD_TAG_CAUSES; i++)
        told(keys[i], values[i]);
}
END_TEST

// ---- the processor's counters -------------------------------------------------------------------

#define READ_CYCLES       40u // what a pair of reads itself adds
#define READ_INSTRUCTIONS 30u

static uint64_t count_reads;
static uint64_t fails_at; // read that fails, from 1; 0: none
static uint64_t in_pair;

// Cycles are ticks and instructions half as many, more for the reads themselves.
static bool read_counters(struct platform_counters *out)
{
    in_pair++;
    *out = (struct platform_counters){.core_cycles = now + in_pair * READ_CYCLES,
                                      .instructions = now / 2 + in_pair * READ_INSTRUCTIONS};
    return ++count_reads != fails_at;
}

static void with_counters(void)
{
    sampled();
    options.rounds = 2;
    options.samples = 5;
    count_reads = fails_at = in_pair = now = 0;
    test_counters = read_counters;
}

static void counted(uint64_t row, unsigned skip, const char *name, uint64_t numerator,
                    const char *unit)
{
    char text[RECORD_NAME_MOST + 1];
    struct record_reader reader;
    ck_assert(find(RECORD_COUNTER, row, skip, &reader));
    record_get_text(&reader, text, RECORD_NAME_MOST, true);
    ck_assert_str_eq(text, name);
    ck_assert_uint_eq(record_get_u64(&reader), numerator);
    ck_assert_uint_eq(record_get_u64(&reader), 8);
    record_get_text(&reader, text, RECORD_NAME_MOST, true);
    ck_assert_str_eq(text, unit);
    ck_assert(!reader.failed);
}

START_TEST(cycles_and_instructions_of_a_window_stand_beside_its_ticks)
{
    with_counters();
    scripts[1].each = 33;
    scripts[1].cold = 5000; // not warm yet: not counted
    scripts[1].warming = 300;
    run(VARIANTS);
    for (unsigned row = 0; row < VARIANTS; row++) {
        const uint64_t ticks = row == 1 ? 264 : 80;
        ck_assert_uint_eq(count_of(RECORD_COUNTER, row), 2);
        counted(row, 0, "core_cycles", ticks, "cycles");
        counted(row, 1, "instructions", ticks / 2, "instructions");
        ended(row, RECORD_ROW_OK, "");
    }
}
END_TEST

START_TEST(counters_of_a_window_of_which_a_part_is_the_sample_are_not_told)
{
    with_counters();
    suite.ticks = said_ticks;
    run(2);
    ck_assert_uint_eq(count_of(RECORD_COUNTER, 0), 2);
    ck_assert_uint_eq(count_of(RECORD_COUNTER, 1), 0);
    ended(1, RECORD_ROW_OK, "");
    ck_assert_uint_eq(scripts[1].prepared, scripts[1].finished);
}
END_TEST

START_TEST(the_median_window_is_told_so_that_a_disturbed_one_is_not)
{
    with_counters();
    scripts[0].later = 100000; // of window 5, in the round behind the two that are measured
    scripts[0].later_window = 5;
    scripts[0].later_prepare = 1 + 2 + 1;
    run(1);
    counted(0, 0, "core_cycles", 80, "cycles");
}
END_TEST

START_TEST(timed_rounds_are_the_same_with_and_without_counters)
{
    struct reported without[VARIANTS][2];
    with_counters();
    test_counters = NULL;
    scripts[1].hiccup = 77;
    run(VARIANTS);
    const size_t windows = window_count;
    for (unsigned i = 0; i < VARIANTS; i++) {
        ck_assert_uint_eq(count_of(RECORD_COUNTER, i), 0);
        for (unsigned round = 0; round < 2; round++)
            without[i][round] = round_of(i, round);
    }
    tear_down();
    set_up();
    with_counters();
    scripts[1].hiccup = 77;
    run(VARIANTS);
    ck_assert_uint_eq(window_count, windows + VARIANTS * (3 + 5));
    for (unsigned i = 0; i < VARIANTS; i++) {
        for (unsigned round = 0; round < 2; round++) {
            const struct reported with = round_of(i, round);
            ck_assert_uint_eq(with.count, without[i][round].count);
            ck_assert_int_eq(with.cold, without[i][round].cold);
            ck_assert_mem_eq(with.samples, without[i][round].samples,
                             with.count * sizeof(with.samples[0]));
        }
    }
}
END_TEST

START_TEST(the_baseline_s_twin_is_not_counted_again)
{
    with_counters();
    rows[1] = rows[VARIANTS];
    rows[1].index = 1;
    run(2);
    ck_assert_uint_eq(count_of(RECORD_COUNTER, 0), 2);
    ck_assert_uint_eq(count_of(RECORD_COUNTER, 1), 0);
}
END_TEST

// In the first pair, while the overhead is learned, or in the last read of the row.
START_TEST(counters_that_fail_are_left_out_and_the_row_stands)
{
    static const uint64_t reads[] = {1, 2, 50, 1 + 2 * 64 + 2 * 5};
    with_counters();
    fails_at = reads[_i];
    run(1);
    ck_assert_uint_eq(count_of(RECORD_COUNTER, 0), 0);
    ended(0, RECORD_ROW_OK, "");
}
END_TEST

START_TEST(a_counted_window_that_does_not_do_its_work_rejects_the_row)
{
    with_counters();
    scripts[0].wrong_at = 8;
    scripts[0].wrong_prepare = 1 + 2 + 1;
    run(2);
    ended(0, RECORD_ROW_CHECKSUM, "");
    ended(1, RECORD_ROW_OK, "");
    ck_assert_uint_eq(count_of(RECORD_COUNTER, 0), 0);
    ck_assert_uint_eq(count_of(RECORD_COUNTER, 1), 2);
}
END_TEST

START_TEST(a_body_of_nothing_counts_nothing_rather_than_less)
{
    with_counters();
    scripts[0].each = 0;
    struct processor processor;
    int64_t room[2][4];
    processor_open(&processor);
    ck_assert(processor.works);
    ck_assert_int_eq(processor.overhead[0], READ_CYCLES);
    ck_assert_int_eq(processor.overhead[1], READ_INSTRUCTIONS);
    processor.counts[0] = room[0];
    processor.counts[1] = room[1];
    processor.windows = 4;
    processor.overhead[0] += 5; // as if the reads were quicker now
    struct script *script = &scripts[0];
    void *context = &script;
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(processor_window(&processor, body, context, 8), 24);
    rows[0].operations = 8;
    processor_report(&processor, &report, &rows[0], 8);
    counted(0, 0, "core_cycles", 0, "cycles");
}
END_TEST

START_TEST(more_windows_than_there_is_room_for_are_a_panic)
{
    int64_t room[2][1];
    with_counters();
    struct processor processor;
    processor_open(&processor);
    processor.counts[0] = room[0];
    processor.counts[1] = room[1];
    processor.windows = 1;
    struct script *script = &scripts[0];
    void *context = &script;
    processor_window(&processor, body, context, 8);
    processor_window(&processor, body, context, 8);
}
END_TEST

START_TEST(a_cause_that_there_is_not_is_a_panic)
{
    disturbances_name(RECORD_TAG_CAUSES);
}
END_TEST

int main(void)
{
    Suite *checks = suite_create("measured events");
    TCase *tests = tcase_create("tags, facts, the processor's counters");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, what_disturbs_a_window_is_the_tag_of_its_sample);
    tcase_add_loop_test(tests, what_cannot_be_counted_tags_nothing, 0, RECORD_TAG_CAUSES);
    tcase_add_test(tests, interrupts_that_are_the_work_of_a_case_tag_nothing_and_all_else_does);
    tcase_add_test(tests, clean_and_all_differ_by_exactly_the_tagged_samples);
    tcase_add_test(tests, tags_of_one_variant_are_not_those_of_another);
    tcase_add_test(tests, a_run_says_which_causes_it_can_count);
    tcase_add_loop_test(tests, a_run_that_counts_everything_or_nothing_says_so, 0, 2);
    tcase_add_test(tests, totals_are_those_since_the_start_and_zero_is_not_unknown);
    tcase_add_test(tests, cycles_and_instructions_of_a_window_stand_beside_its_ticks);
    tcase_add_test(tests, counters_of_a_window_of_which_a_part_is_the_sample_are_not_told);
    tcase_add_test(tests, the_median_window_is_told_so_that_a_disturbed_one_is_not);
    tcase_add_test(tests, timed_rounds_are_the_same_with_and_without_counters);
    tcase_add_test(tests, the_baseline_s_twin_is_not_counted_again);
    tcase_add_loop_test(tests, counters_that_fail_are_left_out_and_the_row_stands, 0, 4);
    tcase_add_test(tests, a_counted_window_that_does_not_do_its_work_rejects_the_row);
    tcase_add_test(tests, a_body_of_nothing_counts_nothing_rather_than_less);
    tcase_add_test_raise_signal(tests, more_windows_than_there_is_room_for_are_a_panic, SIGABRT);
    tcase_add_test_raise_signal(tests, a_cause_that_there_is_not_is_a_panic, SIGABRT);
    suite_add_tcase(checks, tests);
    return run_checks(checks);
}
