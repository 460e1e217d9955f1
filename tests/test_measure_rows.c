// SPDX-License-Identifier: MIT
// bench/framework/measure.c: rows that fail, counters, definitions.
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "measure_subject.h"
#include "run_checks.h"

// ---- rows that do not count ---------------------------------------------------------------------

// The second of three variants fails in its own way; the others must not notice.
static void fails_alone(enum record_row_status status, const char *words, unsigned rounds)
{
    options.rounds = 4;
    run(VARIANTS);
    ended(0, RECORD_ROW_OK, "");
    ended(1, status, words);
    ended(2, RECORD_ROW_OK, "");
    ck_assert_uint_eq(count_of(RECORD_SAMPLES, 0), 4);
    ck_assert_uint_eq(count_of(RECORD_SAMPLES, 1), rounds);
    ck_assert_uint_eq(count_of(RECORD_SAMPLES, 2), 4);
    ck_assert_uint_eq(report.rows_failed, 1);
}

START_TEST(a_body_that_could_not_do_its_work_has_failed)
{
    scripts[1].failed_at = 8;
    scripts[1].broken = true; // the first failure is the one that is told
    fails_alone(RECORD_ROW_FAILED, "memory, room, or another CPU", 1);
}
END_TEST

START_TEST(a_wrong_checksum_is_told_with_both)
{
    scripts[1].wrong_at = 8;
    fails_alone(RECORD_ROW_CHECKSUM, "checksum 19, the work gives 18", 1); // hexadecimal
}
END_TEST

START_TEST(work_that_takes_too_few_instructions_was_deleted)
{
    cases[1].least_instructions = 10;
    scripts[1].each = 9;
    fails_alone(RECORD_ROW_DELETED, "72 for 8 operations of at least 10", 1);
}
END_TEST

START_TEST(work_of_32_instructions_a_tick_is_possible_and_faster_is_deleted)
{
    sampled();
    cases[1].least_instructions = 320;
    scripts[1].each = 9;
    fails_alone(RECORD_ROW_DELETED, "of at least 320", 0); // found while it was calibrated
}
END_TEST

START_TEST(a_variant_that_cannot_be_prepared_has_failed)
{
    scripts[1].unprepared = true;
    fails_alone(RECORD_ROW_FAILED, "could not be prepared", 0);
}
END_TEST

START_TEST(an_invariant_broken_after_a_round_fails_the_row)
{
    scripts[1].broken = true;
    fails_alone(RECORD_ROW_FAILED, "an invariant is broken", 1);
}
END_TEST

// Whichever recorded window differs.
START_TEST(what_was_prepared_is_finished_before_it_is_prepared_again)
{
    if (_i == 1) {
        sampled();
        cases[1].fixed = false;
    }
    cases[1].counted_operations = 5;
    run(VARIANTS);
    for (unsigned i = 0; i < VARIANTS; i++) {
        ended(i, RECORD_ROW_OK, "");
        ck_assert_uint_gt(scripts[i].finished, 2);
        ck_assert_uint_eq(scripts[i].finished, scripts[i].prepared);
        ck_assert_uint_eq(scripts[i].unfinished, 1);
    }
}
END_TEST

START_TEST(what_failed_is_not_finished)
{
    scripts[1].wrong_at = 8;
    scripts[2].unprepared = true;
    run(VARIANTS);
    ck_assert_uint_eq(scripts[0].finished, scripts[0].prepared);
    ck_assert_uint_gt(scripts[1].prepared, 0);
    ck_assert_uint_eq(scripts[1].finished, 0);
    ck_assert_uint_eq(scripts[2].finished, 0);
}
END_TEST

START_TEST(a_suite_may_have_nothing_to_finish)
{
    suite.finish = NULL;
    run(VARIANTS);
    suite.finish = finish;
    for (unsigned i = 0; i < VARIANTS; i++)
        ended(i, RECORD_ROW_OK, "");
}
END_TEST

START_TEST(an_exact_clock_repeats_every_window_in_every_round)
{
    scripts[1].later = 1;
    scripts[1].later_window = 3 + (unsigned)_i;
    scripts[1].later_prepare = 2;
    fails_alone(RECORD_ROW_UNSTEADY, "took 80 in the first round, then 81", 2);
    ck_assert_int_eq(rows[1].detail[strlen("window ")], '0' + _i);
}
END_TEST

START_TEST(a_sampled_clock_need_not_repeat_itself)
{
    sampled();
    scripts[0].later = 1;
    scripts[0].later_window = 4;
    scripts[0].later_prepare = 3; // the first was for the calibration
    run(1);
    ck_assert_int_eq(round_of(0, 0).samples[1], 80);
    ck_assert_int_eq(round_of(0, 1).samples[1], 81);
    ended(0, RECORD_ROW_OK, "");
}
END_TEST

START_TEST(samples_without_memory_are_a_panic)
{
    memory_length = 2u << 20;
    run(1);
}
END_TEST

// ---- counters, one window -----------------------------------------------------------------------

START_TEST(counters_come_from_a_pass_of_their_own_length)
{
    char text[RECORD_NAME_MOST + 1];
    struct record_reader reader;
    cases[1].counted_operations = 123;
    rows[1] = rows[VARIANTS]; // the twin of the first
    rows[1].index = 1;
    run(2);
    ck_assert_uint_eq(window_operations[window_count - 1], 123);
    ck_assert_uint_ne(window_operations[window_count - 2], 123);
    ck_assert_uint_eq(count_of(RECORD_COUNTER, 0), 1);
    ck_assert_uint_eq(count_of(RECORD_COUNTER, 1), 0);
    ck_assert(find(RECORD_COUNTER, 0, 0, &reader));
    record_get_text(&reader, text, RECORD_NAME_MOST, true);
    ck_assert_str_eq(text, "windows");
    ck_assert_uint_eq(record_get_u64(&reader), 1); // made anew for this pass
    ck_assert_uint_eq(record_get_u64(&reader), 7);
}
END_TEST

static uint64_t scripted_counted(size_t which, bool full)
{
    ck_assert_uint_eq(which, 1);
    return full ? 4321 : 1234;
}

START_TEST(a_suite_may_say_how_long_the_counted_pass_is_at_either_size)
{
    cases[1].counted_operations = 123;
    options.full = _i == 1;
    options.rounds = 2;
    suite.counted = scripted_counted;
    run(1);
    suite.counted = NULL;
    ck_assert_uint_eq(window_operations[window_count - 1], _i == 1 ? 4321 : 1234);
    ck_assert_uint_eq(count_of(RECORD_COUNTER, 0), 1);
}
END_TEST

START_TEST(a_counted_pass_that_does_not_do_its_work_rejects_the_row)
{
    cases[1].counted_operations = 123;
    if (_i == 0)
        scripts[0].wrong_at = 123;
    else
        scripts[0].failed_at = 123;
    run(2);
    ended(0, _i == 0 ? RECORD_ROW_CHECKSUM : RECORD_ROW_FAILED, "");
    ended(1, RECORD_ROW_OK, "");
    ck_assert_uint_eq(count_of(RECORD_COUNTER, 0), 0);
    ck_assert_uint_eq(count_of(RECORD_COUNTER, 1), 1);
}
END_TEST

// ---- definitions --------------------------------------------------------------------------------

START_TEST(a_definition_changes_with_what_a_number_depends_on)
{
    struct bench_case other = cases[1];
    struct bench_variant mine = variants[0];
    const uint64_t same = measure_definition(&cases[1], &mine, 1);
    ck_assert_uint_eq(measure_definition(&other, &mine, 1), same);
    ck_assert_uint_ne(measure_definition(&other, &mine, 2), same);
    other.source_hash++;
    ck_assert_uint_ne(measure_definition(&other, &mine, 1), same);
    other = cases[1];
    other.operations++;
    ck_assert_uint_ne(measure_definition(&other, &mine, 1), same);
    other = cases[1];
    other.fixed = true;
    ck_assert_uint_ne(measure_definition(&other, &mine, 1), same);
    other = cases[1];
    other.samples_exact = 0; // no windows that warm up
    ck_assert_uint_ne(measure_definition(&other, &mine, 1), same);
    other = cases[1];
    other.name = "seconD";
    ck_assert_uint_ne(measure_definition(&other, &mine, 1), same);
    mine.source_hash++;
    ck_assert_uint_ne(measure_definition(&cases[1], &mine, 1), same);
}
END_TEST

START_TEST(the_upper_half_of_a_definition_is_the_question_and_the_lower_one_who_answers)
{
    struct bench_case other = cases[1];
    const uint64_t first = measure_definition(&cases[1], &variants[0], 1);
    const uint64_t second = measure_definition(&cases[1], &variants[1], 1);
    other.source_hash++;
    const uint64_t asked_differently = measure_definition(&other, &variants[0], 1);
    ck_assert_uint_eq(first >> 32, second >> 32);
    ck_assert_uint_ne((uint32_t)first, (uint32_t)second);
    ck_assert_uint_ne(first >> 32, asked_differently >> 32);
    ck_assert_uint_eq((uint32_t)first, (uint32_t)asked_differently);
}
END_TEST

START_TEST(a_definition_does_not_change_with_what_is_said_about_a_number)
{
    struct bench_case other = cases[1];
    struct bench_variant mine = variants[0];
    const struct variant renamed = {.name = "A", .what = "said differently"};
    char name[] = "second"; // the same name elsewhere
    const uint64_t same = measure_definition(&cases[1], &variants[0], 1);
    mine.about = &renamed;
    other.name = name;
    other.what = "said differently";
    other.seconds = 99;
    other.samples_exact = 99;
    other.counted_operations = 99;
    other.least_instructions = 2;
    ck_assert_uint_eq(measure_definition(&other, &mine, 1), same);
}
END_TEST

extern const struct bench_suite heap_suite, ipc_suite;

START_TEST(every_case_and_every_variant_has_a_hash_of_its_own_sources)
{
    const struct bench_suite *const real = _i == 0 ? &heap_suite : &ipc_suite;
    for (size_t c = 0; c < real->case_count; c++) {
        ck_assert_uint_ne(real->cases[c].source_hash, 0);
        for (size_t other = 0; other < c; other++)
            ck_assert_uint_ne(real->cases[c].source_hash, real->cases[other].source_hash);
    }
    for (size_t v = 0; v < real->variant_count; v++) {
        ck_assert_uint_ne(real->variants[v].source_hash, 0);
        for (size_t other = 0; other < v; other++)
            ck_assert_uint_ne(real->variants[v].source_hash, real->variants[other].source_hash);
    }
}
END_TEST

int main(void)
{
    Suite *checks = suite_create("measured rows");
    TCase *tests = tcase_create("failures, counters, definitions");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_body_that_could_not_do_its_work_has_failed);
    tcase_add_test(tests, a_wrong_checksum_is_told_with_both);
    tcase_add_test(tests, work_that_takes_too_few_instructions_was_deleted);
    tcase_add_test(tests, work_of_32_instructions_a_tick_is_possible_and_faster_is_deleted);
    tcase_add_test(tests, a_variant_that_cannot_be_prepared_has_failed);
    tcase_add_test(tests, an_invariant_broken_after_a_round_fails_the_row);
    tcase_add_loop_test(tests, what_was_prepared_is_finished_before_it_is_prepared_again, 0, 2);
    tcase_add_test(tests, what_failed_is_not_finished);
    tcase_add_test(tests, a_suite_may_have_nothing_to_finish);
    tcase_add_loop_test(tests, an_exact_clock_repeats_every_window_in_every_round, 0, 3);
    tcase_add_test(tests, a_sampled_clock_need_not_repeat_itself);
    tcase_add_test_raise_signal(tests, samples_without_memory_are_a_panic, SIGABRT);
    tcase_add_test(tests, counters_come_from_a_pass_of_their_own_length);
    tcase_add_loop_test(tests, a_suite_may_say_how_long_the_counted_pass_is_at_either_size, 0, 2);
    tcase_add_loop_test(tests, a_counted_pass_that_does_not_do_its_work_rejects_the_row, 0, 2);
    tcase_add_test(tests, a_definition_changes_with_what_a_number_depends_on);
    tcase_add_test(tests,
                   the_upper_half_of_a_definition_is_the_question_and_the_lower_one_who_answers);
    tcase_add_test(tests, a_definition_does_not_change_with_what_is_said_about_a_number);
    tcase_add_loop_test(tests, every_case_and_every_variant_has_a_hash_of_its_own_sources, 0, 2);
    suite_add_tcase(checks, tests);
    return run_checks(checks);
}
