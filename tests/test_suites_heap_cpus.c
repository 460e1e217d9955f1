// SPDX-License-Identifier: MIT
// bench/suites/heap: the cases for several CPUs run their workers there, objects really cross, and
// a worker that does not come fails its window within its bound.
#include <check.h>
#include <string.h>

#include "cpu.h"
#include "heap_linked_list.h"
#include "heap_suite_subject.h"
#include "run_checks.h"

static const char *const crewed[] = {"remote_free", "remote_reuse", "stream", "scale_most_cpus"};

// ---- who takes part -----------------------------------------------------------------------------

START_TEST(several_cpus_want_a_second_one_and_a_heap_that_others_may_join)
{
    const size_t which = named(crewed[_i]);
    struct heap_ops alone = heap_linked_list_ops;
    alone.join = NULL;
    ck_assert(heap_suite.applies(which, &heap_linked_list_ops));
    ck_assert(!heap_suite.applies(which, &alone));
    test_cpu_count = 2;
    ck_assert(heap_suite.applies(which, &heap_linked_list_ops));
    test_cpu_count = 1;
    ck_assert(!heap_suite.applies(which, &heap_linked_list_ops));
}
END_TEST

// ---- several CPUs -------------------------------------------------------------------------------

// Every variant, three windows.
START_TEST(workers_run_on_other_cpus_and_every_window_does_its_work)
{
    size_t seen = 0;
    FOR_EACH_THAT_HAS(crewed[_i], variant)
    {
        const struct subject one = prepared(crewed[_i], variant);
        const struct crew *crew = one.context->crew;
        ck_assert_uint_eq(crew->count, strcmp(crewed[_i], "scale_most_cpus") == 0 ? 2 : 1);
        for (unsigned round = 1; round <= 3; round++) {
            in_front(&one);
            const uint64_t expected = due(&one);
            ck_assert_uint_eq(window(&one), expected);
            ck_assert(whole(&one));
            for (size_t i = 0; i < crew->count; i++) {
                ck_assert_uint_eq(crew->members[i].cpu, i + 1);
                ck_assert_uint_eq(crew->members[i].done, round);
                ck_assert(((const struct heap_context *)crew->members[i].context)->is_worker);
            }
        }
        seen++;
    }
    ck_assert_uint_ge(seen, 2);
}
END_TEST

START_TEST(what_a_remote_window_frees_was_allocated_by_the_worker)
{
    FOR_EACH_THAT_HAS("remote_free", variant)
    {
        const struct subject one = prepared("remote_free", variant);
        const struct heap_context *other = one.context->crew->members[0].context;
        uint32_t last = 0;
        for (unsigned round = 0; round < 3; round++) {
            struct heap_statistics statistics;
            in_front(&one);
            ck_assert_uint_eq(other->held, 1024);
            ck_assert_uint_eq(one.context->held, 1024);
            ck_assert(round == 0 || one.context->mark != last);
            last = one.context->mark;
            for (uint64_t i = 0; i < 1024; i++) {
                const uint64_t *object = one.context->objects[i];
                ck_assert_uint_eq(object[0], other->mark + i);
                ck_assert_uint_eq(object[7], other->mark + i);
            }
            ck_assert_uint_eq(window(&one), due(&one));
            ck_assert_uint_eq(one.context->held, 0);
            one.ops->statistics(one.context->heap, &statistics);
            ck_assert_uint_eq(statistics.allocations, 1024 * (round + 1));
            ck_assert_uint_eq(statistics.frees, 1024 * (round + 1));
        }
    }
}
END_TEST

START_TEST(what_a_reuse_window_allocates_comes_after_as_many_were_freed_here)
{
    FOR_EACH_THAT_HAS("remote_reuse", variant)
    {
        const struct subject one = prepared("remote_reuse", variant);
        struct heap_statistics statistics;
        in_front(&one);
        one.ops->statistics(one.context->heap, &statistics);
        ck_assert_uint_eq(statistics.allocations, 1024);
        ck_assert_uint_eq(statistics.frees, 1024);
        ck_assert_uint_eq(one.context->held, 0);
        ck_assert_uint_eq(window(&one), due(&one));
        ck_assert_uint_eq(one.context->held, 1024);
        in_front(&one); // those, and another 1024, are back
        one.ops->statistics(one.context->heap, &statistics);
        ck_assert_uint_eq(statistics.allocations, 3 * 1024);
        ck_assert_uint_eq(statistics.frees, 3 * 1024);
        ck_assert(whole(&one));
    }
}
END_TEST

START_TEST(every_message_of_a_stream_is_freed_on_the_other_cpu)
{
    FOR_EACH_THAT_HAS("stream", variant)
    {
        struct subject one = prepared("stream", variant);
        one.operations = 5000; // around the queue many times, and not a whole batch at the end
        struct heap_statistics statistics;
        in_front(&one);
        ck_assert_uint_eq(window(&one), due(&one));
        ck_assert_uint_eq(one.context->crew->members[0].sum, 5000ull * 4999);
        ck_assert(whole(&one));
        one.ops->statistics(one.context->heap, &statistics);
        ck_assert_uint_eq(statistics.allocations, 5000);
        ck_assert_uint_eq(statistics.frees, 5000);
        count(&one);
        ck_assert_ptr_null(counted("hit_rate")); // not the same each time
    }
}
END_TEST

START_TEST(the_cpus_of_the_scale_cases_are_counted)
{
    test_cpu_count = 2 + (unsigned)_i;
    const struct subject one = prepared("scale_most_cpus", 0);
    in_front(&one);
    ck_assert_uint_eq(window(&one), due(&one));
    count(&one);
    ck_assert_uint_eq(counted("cpus")->numerator, test_cpu_count);
    const uint64_t all = due(&one);
    const struct subject alone = prepared("scale_one_cpu", 0);
    in_front(&alone);
    ck_assert_uint_eq(window(&alone), due(&alone));
    ck_assert_uint_eq(all, due(&alone) * test_cpu_count);
    count(&alone);
    ck_assert_uint_eq(counted("cpus")->numerator, 1);
}
END_TEST

// ---- workers that do not come -------------------------------------------------------------------

static bool refuses(unsigned cpu, void (*function)(void *argument), void *argument)
{
    (void)cpu;
    (void)function;
    (void)argument;
    return false;
}

static bool never_runs(unsigned cpu, void (*function)(void *argument), void *argument)
{
    (void)cpu;
    (void)function;
    (void)argument;
    return true;
}

// Says that it is ready and is not heard of again.
static bool goes_away(unsigned cpu, void (*function)(void *argument), void *argument)
{
    struct crew_member *worker = argument;
    (void)cpu;
    (void)function;
    __atomic_store_n(&worker->ready, worker->crew->window, __ATOMIC_RELEASE);
    return true;
}

static bool (*const bad[])(unsigned, void (*)(void *), void *) = {refuses, never_runs, goes_away};

START_TEST(a_worker_that_does_not_come_fails_the_window)
{
    const struct subject one = prepared(crewed[_i / 3], 1);
    test_cpu_start = bad[_i % 3];
    one.context->crew->turns = 1u << 20;
    in_front(&one);
    ck_assert_uint_eq(window(&one), BENCH_FAILED);
    // The next one finds its workers.
    test_cpu_start = NULL;
    const struct subject next = prepared(crewed[_i / 3], 1);
    in_front(&next);
    ck_assert_uint_eq(window(&next), due(&next));
    ck_assert(whole(&next));
}
END_TEST

// Each wait of the row's windows ends within its own bound; all of them together have one, too.
START_TEST(a_row_that_has_waited_long_enough_fails_from_there_on)
{
    struct subject one = prepared(crewed[_i], 1);
    in_front(&one);
    ck_assert_uint_eq(window(&one), due(&one));
    one.context->crew->patience->spent = CREW_PATIENCE - 1; // nearly used up by earlier windows
    test_cpu_start = goes_away;
    in_front(&one);
    ck_assert_uint_eq(window(&one), BENCH_FAILED);
    ck_assert_uint_ge(one.context->crew->patience->spent, CREW_PATIENCE);
    ck_assert_uint_lt(one.context->crew->patience->spent, CREW_PATIENCE + CREW_PATIENCE / 16);
    const struct crew_patience *spent = one.context->crew->patience;
    one = prepared(crewed[_i], 1); // its next round
    ck_assert_ptr_eq(one.context->crew->patience, spent);
    one = prepared(crewed[_i], 2); // another row has its own
    ck_assert_uint_eq(one.context->crew->patience->spent, 0);
}
END_TEST

static void nothing(void *argument)
{
    (void)argument;
}

START_TEST(a_window_that_does_not_come_ends_the_workers)
{
    const struct subject one = prepared(_i == 0 ? "stream" : "scale_most_cpus", 0);
    one.context->crew->turns = 1u << 20;
    in_front(&one);
    const struct subject next = prepared("pair_64", 0); // in the same memory
    in_front(&next);
    ck_assert_uint_eq(window(&next), due(&next));
    ck_assert(platform_cpu_start(1, nothing, NULL)); // they are at rest
    platform_cpu_wait(1, 1000);
}
END_TEST

START_TEST(an_object_that_changed_on_its_way_gives_another_checksum)
{
    const struct subject one = prepared("remote_free", 1);
    in_front(&one);
    ((uint64_t *)one.context->objects[1023])[_i == 0 ? 0 : 7]++;
    ck_assert_uint_ne(window(&one), due(&one));
}
END_TEST

START_TEST(an_object_that_changed_while_it_was_held_is_noticed)
{
    const struct subject one = prepared("remote_reuse", 1);
    in_front(&one);
    ck_assert_uint_eq(window(&one), due(&one));
    ck_assert(whole(&one));
    ((uint64_t *)one.context->objects[700])[_i == 0 ? 0 : 7]++;
    in_front(&one);
    ck_assert(!whole(&one));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("heap suite, several CPUs");
    TCase *tests = tcase_create("crews");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, several_cpus_want_a_second_one_and_a_heap_that_others_may_join, 0,
                        4);
    tcase_add_loop_test(tests, workers_run_on_other_cpus_and_every_window_does_its_work, 0, 4);
    tcase_add_test(tests, what_a_remote_window_frees_was_allocated_by_the_worker);
    tcase_add_test(tests, what_a_reuse_window_allocates_comes_after_as_many_were_freed_here);
    tcase_add_test(tests, every_message_of_a_stream_is_freed_on_the_other_cpu);
    tcase_add_loop_test(tests, the_cpus_of_the_scale_cases_are_counted, 0, 3);
    tcase_add_loop_test(tests, a_worker_that_does_not_come_fails_the_window, 0, 12);
    tcase_add_loop_test(tests, a_row_that_has_waited_long_enough_fails_from_there_on, 0, 4);
    tcase_add_loop_test(tests, a_window_that_does_not_come_ends_the_workers, 0, 2);
    tcase_add_loop_test(tests, an_object_that_changed_on_its_way_gives_another_checksum, 0, 2);
    tcase_add_loop_test(tests, an_object_that_changed_while_it_was_held_is_noticed, 0, 2);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
