// SPDX-License-Identifier: MIT
// The traced flavour of the suite `driver`: which requests of a time line are recorded, and that
// the others are told.
#include <check.h>

#include "driver_context.h"
#include "driver_suite_subject.h"
#include "run_checks.h"
#include "trace_sched.h"

#define SLICES       10u // two of the highest load
#define CALM         3u  // 100 requests a second, all of them recorded
#define THREADS_MOST 8u

static struct trace_cpu cpu;
static _Alignas(64) uint8_t room[4u << 20];
static _Alignas(64) uint8_t table[1u << 12];

static void record_slices(const struct row *one)
{
    ck_assert_uint_le(trace_threads_bytes(THREADS_MOST), sizeof(table));
    struct trace_threads *const threads = trace_threads_init(table, THREADS_MOST);
    test_cpu_enter(0);
    trace_cpu_start(&cpu, room, sizeof(room), sizeof(room) / 2, threads);
    run_well(one, SLICES);
    trace_cpu_stop();
}

static uint64_t count(enum trace_event event, uint64_t *sum)
{
    uint64_t count = 0;
    *sum = 0;
    for (uint32_t i = 0; i < cpu.events->used; i++) {
        if (cpu.events->entries[i].event == event) {
            count++;
            *sum += cpu.events->entries[i].value;
        }
    }
    return count;
}

// On a busy computer fewer are handed in than the load asks for: what is told is held against those
// that were.
START_TEST(of_a_time_line_the_requests_told_and_those_left_out_are_those_that_came)
{
    real_count = 1;
    const struct row one = row("phases", "adaptive");
    record_slices(&one);
    const struct driver_slice *const line = ((const struct driver_context *)one.context)->line;
    uint64_t all = 0, least = 0, most = 0, left_out, unused;
    for (unsigned i = 0; i < SLICES; i++) {
        // Each of the lowest load; of others every so manieth, wherever that begins.
        const bool thin = i >= CALM;
        const uint64_t one_in = thin ? line[i].asked / DRIVER_TOLD : 1;
        all += line[i].requests;
        least += line[i].requests / one_in;
        most += line[i].requests / one_in + thin;
    }
    const uint64_t told = count(TRACE_BLOCK_QUEUED, &unused);
    ck_assert_uint_le(count(TRACE_BLOCK_LEFT_OUT, &left_out), SLICES - CALM);
    ck_assert_uint_gt(left_out, 0);
    ck_assert_uint_eq(told + left_out, all);
    ck_assert_uint_ge(told, least);
    ck_assert_uint_le(told, most);
    ck_assert_uint_eq(count(TRACE_BLOCK_DONE, &unused), told);
    ck_assert(good(&one));
    end(&one);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("traced_driver");
    TCase *tests = tcase_create("time line");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, of_a_time_line_the_requests_told_and_those_left_out_are_those_that_came);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
