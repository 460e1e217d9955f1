// SPDX-License-Identifier: MIT
// bench/suites/driver: which rows there are on which devices, and that every one of them does its
// work. RAM disks stand in for real ones.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "block_pattern.h"
#include "driver_suite_subject.h"
#include "random.h"
#include "run_checks.h"
#include "seed.h"

START_TEST(without_a_disk_every_row_of_one_says_that_it_is_simulated)
{
    for (unsigned exact = 0; exact < 2; exact++) {
        test_clock_class = exact ? PLATFORM_CLOCK_INSN : PLATFORM_CLOCK_TSC;
        for (size_t which = 0; which < driver_suite.case_count; which++)
            for (size_t i = 0; i < driver_suite.variant_count; i++) {
                const char *name = driver_suite.cases[which].name;
                const char *variant = driver_suite.variants[i].about->name;
                const bool of_none = strcmp(name, "decide") == 0 || strcmp(name, "record") == 0 ||
                                     strcmp(name, "window") == 0;
                if (driver_suite.applies(which, driver_suite.variants[i].ops) && !of_none)
                    ck_assert_msg(ends_with(variant, "_simulated") || strncmp(name, "sim_", 4) == 0,
                                  "%s/%s", name, variant);
            }
        ck_assert_uint_gt(run_all(), 70);
    }
}
END_TEST

START_TEST(rows_of_a_real_disk_bear_the_ids_that_claims_name)
{
    static const char *const ids[][2] = {
        {"request", "interrupt"},    {"request", "polling"},       {"request", "hybrid"},
        {"request", "batch"},        {"share", "interrupt"},       {"share", "polling"},
        {"share", "hybrid"},         {"cpu_100", "interrupt"},     {"cpu_100", "polling"},
        {"sequential", "batch"},     {"sequential", "interrupt"},  {"decide", "adaptive"},
        {"mode_switch", "adaptive"}, {"record", "adaptive"},       {"window", "adaptive"},
        {"submit", "polling"},       {"cpu_100", "polling_always"}};
    real_count = 1;
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++)
        ck_assert_msg(there_is(ids[i][0], ids[i][1]), "%s/%s", ids[i][0], ids[i][1]);
    ck_assert(!there_is("request", "polling_simulated"));
    ck_assert(!there_is("request", "polling_virtio"));
    ck_assert(there_is("submit", "polling_simulated"));
    real_count = 2;
    ck_assert(there_is("request", "polling_virtio"));
    ck_assert(!there_is("random_1", "polling_virtio"));
}
END_TEST

START_TEST(every_row_of_real_disks_reads_what_stands_on_them)
{
    real_count = 2;
    ck_assert_uint_gt(run_all(), 80);
    ck_assert_uint_eq(block_device_state(&reals[0]->device), BLOCK_DEVICE_RUNNING);
    ck_assert_uint_eq(block_device_state(&reals[1]->device), BLOCK_DEVICE_RUNNING);
}
END_TEST

START_TEST(a_platform_s_simulated_device_is_no_real_one)
{
    real_count = 2;
    real_simulated = true;
    ck_assert(!there_is("request", "polling"));
    ck_assert(!there_is("request", "polling_virtio"));
    ck_assert(there_is("request", "polling_simulated"));
}
END_TEST

START_TEST(instructions_are_counted_on_the_simulated_disk_alone)
{
    real_count = 2;
    test_clock_class = PLATFORM_CLOCK_INSN;
    ck_assert(!there_is("request", "polling"));
    ck_assert(!there_is("submit", "polling"));
    ck_assert(there_is("request", "polling_simulated"));
}
END_TEST

START_TEST(a_disk_whose_threads_nothing_puts_to_sleep_has_no_rows)
{
    real_count = 1;
    without_waiter = true;
    ck_assert(!there_is("request", "interrupt"));
    ck_assert(!there_is("cpu_100", "interrupt"));
    ck_assert(there_is("decide", "adaptive"));
}
END_TEST

START_TEST(a_disk_that_is_too_small_or_takes_too_little_has_no_such_rows)
{
    struct block_facts *const facts = &reals[0]->device.facts;
    real_count = 1;
    facts->transfer_bytes = 16u << 10;
    ck_assert(there_is("size_16k", "polling"));
    ck_assert(!there_is("size_128k", "polling"));
    facts->block_bytes = 4096;
    ck_assert(there_is("request", "polling"));
    ck_assert(!there_is("size_512", "polling"));
    facts->blocks = 63;
    ck_assert(!there_is("request", "polling"));
}
END_TEST

START_TEST(memory_that_is_too_small_is_no_context)
{
    const size_t which = case_of("request");
    const void *ops = driver_suite.variants[variant_of("polling_simulated")].ops;
    ck_assert_ptr_null(driver_suite.prepare(which, ops, memory, 1u << 20, SEED));
}
END_TEST

// ---- what is read -------------------------------------------------------------------------------

START_TEST(another_word_on_the_disk_is_another_checksum)
{
    real_count = 1;
    const struct row one = row("request", "polling");
    run_well(&one, 64);
    for (unsigned piece = 0; piece < REAL_BYTES / 4096; piece++)
        reals[0]->content[piece * 4096]++;
    driver_suite.before(one.which, one.ops, one.context, 64);
    const uint64_t expected = driver_suite.expected(one.which, one.context, 64);
    ck_assert_uint_ne(run(&one, 64), expected);
}
END_TEST

START_TEST(a_generation_is_known_by_its_first_word)
{
    struct random random = seeded_for(__func__);
    for (unsigned i = 0; i < 10000; i++) {
        const uint64_t generation = random_u64(&random);
        ck_assert_uint_eq(block_pattern_generation(block_pattern_word(generation, 0)), generation);
    }
}
END_TEST

// On a disk with the pattern each byte is looked at, though the sum is of first words: one that is
// wrong in the middle of a piece; a request that read another place; an older generation.
START_TEST(a_byte_of_a_patterned_disk_that_is_wrong_fails_the_row)
{
    uint64_t *const words = (uint64_t *)reals[0]->content;
    real_count = 1;
    for (uint64_t i = 0; i < REAL_BYTES / 8; i++)
        words[i] = block_pattern_word(4711, i);
    const struct row one = row("random_4", "interrupt");
    run_well(&one, 64);
    ck_assert(good(&one));
    for (unsigned piece = 0; piece < REAL_BYTES / 4096; piece++)
        for (unsigned i = 1; i < 512; i++)
            words[piece * 512 + i] = _i == 0   ? words[piece * 512 + i] ^ (i == 300 ? 1 << 20 : 0)
                                     : _i == 1 ? block_pattern_word(4711, i)
                                               : block_pattern_word(4710, piece * 512 + i);
    // Piece 0 of the second case is right; no other is.
    run_well(&one, 64);
    ck_assert(!good(&one));
}
END_TEST

START_TEST(another_run_s_disk_and_one_without_the_pattern_are_refused)
{
    real_count = 1;
    real_generation = 4711;
    ck_assert_ptr_null(row("request", "polling").context);
    for (uint64_t generation = 4710; generation <= 4711; generation++) {
        for (uint64_t i = 0; i < REAL_BYTES / 8; i++)
            ((uint64_t *)reals[0]->content)[i] = block_pattern_word(generation, i);
        const struct row one = row("request", "polling");
        ck_assert((one.context != NULL) == (generation == real_generation));
    }
}
END_TEST

// Reads something else each time, as a disk that leaves memory as it was does (QEMU's null-co).
static unsigned fickle_poll(void *driver, unsigned queue, struct block_request **done,
                            unsigned most)
{
    static uint64_t reads;
    const unsigned found = misbehaving_poll(driver, queue, done, most);
    for (unsigned i = 0; i < found; i++)
        for (uint32_t at = 0; at < done[i]->segments[0].bytes; at += 512)
            *(uint64_t *)((char *)done[i]->segments[0].memory + at) = reads++;
    return found;
}

START_TEST(a_disk_that_reads_nothing_is_counted_by_its_requests)
{
    static struct block_device_ops fickle;
    fickle = misbehaving_ops;
    fickle.poll = fickle_poll;
    reals[0]->device.config.ops = &fickle;
    real_count = 1;
    const struct row one = row("random_4", "interrupt");
    run_well(&one, 64);
    driver_suite.before(one.which, one.ops, one.context, 64);
    ck_assert_uint_eq(driver_suite.expected(one.which, one.context, 64), 64);
    ck_assert(good(&one));
}
END_TEST

START_TEST(a_disk_that_is_the_same_everywhere_is_counted_by_its_requests)
{
    memset(reals[0]->content, 0, REAL_BYTES);
    real_count = 1;
    const struct row one = row("random_4", "interrupt");
    run_well(&one, 64);
    driver_suite.before(one.which, one.ops, one.context, 64);
    ck_assert_uint_eq(driver_suite.expected(one.which, one.context, 64), 64);
}
END_TEST

START_TEST(a_round_at_random_or_in_sequence_reads_every_place_once)
{
    static const char *const names[] = {"random_64", "ordered_64", "sequential"};
    uint64_t all = 0;
    real_count = 1;
    for (uint64_t piece = 0; piece < REAL_BYTES / 4096; piece++)
        all += *(const uint64_t *)&reals[0]->content[piece * 4096];
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        const struct row one = row(names[i], "polling");
        ck_assert_uint_eq(run(&one, REAL_BYTES / 4096), all);
        end(&one);
    }
}
END_TEST

START_TEST(a_request_that_fails_fails_its_window_and_its_row)
{
    real_count = 1;
    const struct row one = row("random_16", "polling");
    run_well(&one, 64);
    ck_assert(good(&one));
    reals[0]->before.bad_block = 4 * 8;
    uint64_t sum = 0;
    for (unsigned i = 0; i < 16 && sum != BENCH_FAILED; i++)
        sum = run(&one, 64);
    ck_assert(sum == BENCH_FAILED);
    ck_assert(!good(&one));
}
END_TEST

START_TEST(a_disk_that_refuses_fails_the_window)
{
    real_count = 1;
    static const char *const names[] = {"request", "cpu_5000", "sequential", "submit"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        reals[0]->before.refuses = STATUS_OK;
        const struct row one = row(names[i], "interrupt");
        run_well(&one, 4);
        reals[0]->before.refuses = STATUS_CLOSED;
        ck_assert_msg(run(&one, 4) == BENCH_FAILED, "%s", names[i]);
    }
}
END_TEST

START_TEST(what_a_failed_window_has_left_on_its_way_ends_before_the_next_row)
{
    static struct block_request request;
    const struct block_segment segment = {
        .memory = reals[0]->memory, .address = (uintptr_t)reals[0]->memory, .bytes = 512};
    real_count = 1;
    block_request_init(&request, BLOCK_READ, 1, 1, &segment, 1);
    ck_assert_int_eq(block_submit_request(&reals[0]->device, 0, &request), STATUS_OK);
    const struct row one = row("request", "interrupt");
    ck_assert(block_done(&request));
    run_well(&one, 4);
}
END_TEST

START_TEST(a_disk_that_never_comes_to_rest_is_asked_nothing_more)
{
    static struct block_request request;
    const struct block_segment segment = {
        .memory = reals[0]->memory, .address = (uintptr_t)reals[0]->memory, .bytes = 512};
    real_count = 1;
    reals[0]->before.swallows = true;
    block_request_init(&request, BLOCK_READ, 1, 1, &segment, 1);
    ck_assert_int_eq(block_submit_request(&reals[0]->device, 0, &request), STATUS_OK);
    ck_assert_ptr_null(row("request", "interrupt").context);
    reals[0]->before.swallows = false;
    ck_assert_ptr_null(row("request", "polling").context);
    ck_assert_ptr_nonnull(row("request", "polling_simulated").context);
}
END_TEST

START_TEST(nothing_more_is_asked_of_a_disk_that_failed_who_goes_around_the_layer)
{
    real_count = 1;
    const struct row one = row("request", "floor");
    run_well(&one, 4);
    reals[0]->before.swallows = true;
    ck_assert(run(&one, 1) == BENCH_FAILED);
    end(&one);
    reals[0]->before.swallows = false;
    ck_assert_ptr_null(row("request", "polling").context);
}
END_TEST

START_TEST(a_row_leaves_no_interrupts_behind)
{
    real_count = 1;
    const struct row one = row("request", "interrupt");
    run_well(&one, 4);
    ck_assert(reals[0]->device.queues[0].armed);
    end(&one);
    ck_assert(!reals[0]->device.queues[0].armed);
}
END_TEST

// ---- time ---------------------------------------------------------------------------------------

START_TEST(who_sleeps_takes_less_of_its_cpu_than_who_looks)
{
    const struct row sleeps = row("cpu_1000", "interrupt_simulated");
    const uint64_t asleep = least_ticks(&sleeps, 16);
    const struct row looks = row("cpu_1000", "polling_simulated");
    // 10 us of latency are looked at, of a thousand.
    const uint64_t busy = least_ticks(&looks, 16);
    ck_assert_uint_ge(busy, 16 * 10 * (HZ / 1000000));
    ck_assert_uint_lt(asleep * 2, busy);
}
END_TEST

START_TEST(a_share_is_what_a_thread_is_awake_for_of_all_that_passes)
{
    const struct row sleeps = row("share", "interrupt_simulated");
    // What it is asleep for is in the whole and not in the part.
    const uint64_t asleep = least_ticks(&sleeps, 16);
    const struct row looks = row("share", "polling_simulated");
    const uint64_t all = least_ticks(&looks, 16);
    ck_assert_uint_eq(all, 16 * 10000);
    ck_assert_uint_gt(asleep, 0);
    ck_assert_uint_lt(asleep, all);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("suites_driver");
    TCase *tests = tcase_create("driver");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, without_a_disk_every_row_of_one_says_that_it_is_simulated);
    tcase_add_test(tests, rows_of_a_real_disk_bear_the_ids_that_claims_name);
    tcase_add_test(tests, every_row_of_real_disks_reads_what_stands_on_them);
    tcase_add_test(tests, a_platform_s_simulated_device_is_no_real_one);
    tcase_add_test(tests, instructions_are_counted_on_the_simulated_disk_alone);
    tcase_add_test(tests, a_disk_whose_threads_nothing_puts_to_sleep_has_no_rows);
    tcase_add_test(tests, a_disk_that_is_too_small_or_takes_too_little_has_no_such_rows);
    tcase_add_test(tests, memory_that_is_too_small_is_no_context);
    tcase_add_test(tests, another_word_on_the_disk_is_another_checksum);
    tcase_add_test(tests, a_generation_is_known_by_its_first_word);
    tcase_add_loop_test(tests, a_byte_of_a_patterned_disk_that_is_wrong_fails_the_row, 0, 3);
    tcase_add_test(tests, another_run_s_disk_and_one_without_the_pattern_are_refused);
    tcase_add_test(tests, a_disk_that_reads_nothing_is_counted_by_its_requests);
    tcase_add_test(tests, a_disk_that_is_the_same_everywhere_is_counted_by_its_requests);
    tcase_add_test(tests, a_round_at_random_or_in_sequence_reads_every_place_once);
    tcase_add_test(tests, a_request_that_fails_fails_its_window_and_its_row);
    tcase_add_test(tests, a_disk_that_refuses_fails_the_window);
    tcase_add_test(tests, what_a_failed_window_has_left_on_its_way_ends_before_the_next_row);
    tcase_add_test(tests, a_disk_that_never_comes_to_rest_is_asked_nothing_more);
    tcase_add_test(tests, nothing_more_is_asked_of_a_disk_that_failed_who_goes_around_the_layer);
    tcase_add_test(tests, a_row_leaves_no_interrupts_behind);
    tcase_add_test(tests, who_sleeps_takes_less_of_its_cpu_than_who_looks);
    tcase_add_test(tests, a_share_is_what_a_thread_is_awake_for_of_all_that_passes);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
