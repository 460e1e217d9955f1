// SPDX-License-Identifier: MIT
// bench/suites/ipc: every variant's windows do their work, on one CPU and on several; a message
// that is lost or one too many is seen, and so is a CPU that does not come.
#include "ipc_suite_subject.h"
#include "run_checks.h"
#include "soak.h"

// ---- windows ------------------------------------------------------------------------------------

struct subject {
    size_t which;
    const struct ring_ops *ops;
    bench_body *body;
    struct ipc_context *context;
    uint64_t operations;
};

static struct subject prepared(size_t which, size_t variant)
{
    struct subject one = {.which = which, .ops = ipc_suite.variants[variant].ops};
    one.body = ipc_suite.bodies[variant * ipc_suite.case_count + which];
    one.operations = ipc_suite.cases[which].operations;
    // More tells no more, and takes time: CPUs that wait; a sanitiser of threads.
    if (wants_cpus(which) || (SOAK_RACES_PART > 1 && !begins(which, "depth_")))
        one.operations = min_u64(one.operations, 64);
    one.context = ipc_suite.prepare(which, one.ops, memory, MEMORY_BYTES, 5);
    ck_assert_ptr_nonnull(one.context);
    return one;
}

static void in_front(const struct subject *one)
{
    ipc_suite.before(one->which, one->ops, one->context, one->operations);
}

static uint64_t window(const struct subject *one)
{
    return one->body(one->context, one->operations);
}

// How many messages one operation takes.
static unsigned messages_of(size_t which)
{
    const char *name = ipc_suite.cases[which].name;
    if (begins(which, "refused_") || begins(which, "bounce"))
        return 0;
    if (strcmp(name, "copied_16384") == 0)
        return 4; // a page each
    if (strcmp(name, "zero_copy_65536") == 0)
        return 3; // 6, 6 and 4 pages
    return strcmp(name, "copied_65536") == 0 ? 16 : 1;
}

// What is copied of the payload of one operation.
static uint64_t bytes_copied(size_t which)
{
    return begins(which, "copied_") ? 2 * strtoull(ipc_suite.cases[which].name + 7, NULL, 10) : 0;
}

static void three_windows(size_t which, size_t variant)
{
    const struct subject one = prepared(which, variant);
    const char *name = ipc_suite.cases[which].name;
    for (unsigned i = 1; i <= 3; i++) {
        in_front(&one);
        const uint64_t expected = ipc_suite.expected(which, one.context, one.operations);
        ck_assert_uint_ne(expected, BENCH_FAILED);
        ck_assert_msg(window(&one) == expected, "%s of %s", name, one.ops->about.name);
        ck_assert_msg(ipc_suite.check(which, one.ops, one.context), "%s of %s", name,
                      one.ops->about.name);
    }
    count(which, one.ops, one.context);
    if (messages_of(which) > 0)
        counted("messages", 3 * one.operations * messages_of(which), 1, "count");
    if (one.context->pool != NULL)
        counted("payload_bytes_copied", 3 * one.operations * bytes_copied(which), 1, "bytes");
    if (wants_cpus(which))
        counted("cpus", one.context->cpus, 1, "count");
}

START_TEST(every_ring_s_windows_deliver_all_their_messages)
{
    unsigned seen = 0;
    for (size_t variant = 0; variant < ipc_suite.variant_count; variant++) {
        if (!ipc_suite.applies((size_t)_i, ipc_suite.variants[variant].ops))
            continue;
        three_windows((size_t)_i, variant);
        seen++;
    }
    ck_assert_uint_ge(seen, 1);
}
END_TEST

START_TEST(where_one_cpu_plays_both_sides_the_windows_deliver_as_much)
{
    test_cpu_count = 1;
    test_clock_class = PLATFORM_CLOCK_INSN;
    for (size_t variant = 0; variant < ipc_suite.variant_count; variant++)
        if (wants_cpus((size_t)_i) &&
            ipc_suite.applies((size_t)_i, ipc_suite.variants[variant].ops))
            three_windows((size_t)_i, variant);
}
END_TEST

START_TEST(other_cpus_do_their_part_of_the_window)
{
    static const char *const names[] = {"bounce", "round_trip_56", "stream_56", "many_cpus",
                                        "many_pairs_cpus"};
    const size_t which = named(names[_i]);
    for (size_t variant = 0; variant < ipc_suite.variant_count; variant++) {
        if (!ipc_suite.applies(which, ipc_suite.variants[variant].ops))
            continue;
        const struct subject one = prepared(which, variant);
        const struct crew *crew = one.context->crew;
        ck_assert_uint_eq(crew->count, _i < 3 ? 1 : 2);
        in_front(&one);
        ck_assert_uint_eq(window(&one), ipc_suite.expected(which, one.context, one.operations));
        crew_rest();
        for (size_t i = 0; i < crew->count; i++) {
            ck_assert_uint_eq(crew->members[i].done, 1);
            ck_assert_uint_eq(crew->members[i].cpu, i + 1);
        }
    }
}
END_TEST

START_TEST(a_message_too_many_shows_in_the_sum)
{
    static const char *const names[] = {"pair_56", "depth_16", "stream_56", "round_trip_56"};
    const size_t which = named(names[_i]);
    const uint64_t stray[7] = {0, 0, 0, 0, 0, 0, 1u << 20};
    for (size_t variant = 0; variant < ipc_suite.variant_count; variant++) {
        const struct ring_ops *ops = ipc_suite.variants[variant].ops;
        if (!ipc_suite.applies(which, ops))
            continue;
        const struct subject one = prepared(which, variant);
        ck_assert_int_eq(ops->send(one.context->ring, stray, sizeof(stray)), STATUS_OK);
        in_front(&one);
        ck_assert_uint_ne(window(&one), ipc_suite.expected(which, one.context, one.operations));
        crew_rest();
    }
}
END_TEST

START_TEST(refusals_are_of_a_ring_that_is_full_or_empty)
{
    const size_t full = named("refused_full"), empty = named("refused_empty");
    for (size_t variant = 0; variant < ipc_suite.variant_count; variant++) {
        const struct ring_ops *ops = ipc_suite.variants[variant].ops;
        if (!ipc_suite.applies(full, ops))
            continue;
        struct subject one = prepared(full, variant);
        in_front(&one);
        ck_assert_uint_eq(ops->free_slots(one.context->ring), 0);
        ck_assert_uint_eq(window(&one), one.operations);
        ck_assert_uint_eq(ops->free_slots(one.context->ring), 0);
        one = prepared(empty, variant);
        in_front(&one);
        ck_assert_uint_eq(window(&one), one.operations);
        ck_assert_uint_eq(ops->free_slots(one.context->ring), 4096);
    }
}
END_TEST

START_TEST(any_length_from_none_to_56_is_drawn_alike)
{
    const struct subject one = prepared(named("pair_any"), 0);
    unsigned drawn[57] = {0};
    uint64_t sum = 0;
    for (size_t i = 0; i < LENGTHS; i++) {
        ck_assert_uint_le(one.context->lengths[i], 56);
        drawn[one.context->lengths[i]]++;
        sum += one.context->lengths[i];
    }
    ck_assert_uint_eq(sum, one.context->lengths_sum);
    for (size_t length = 0; length <= 56; length++)
        ck_assert(drawn[length] > 3 && drawn[length] < 50); // 18 on average
    // Also windows that end in the middle of a turn, as traced ones do.
    struct subject some = one;
    some.operations = LENGTHS + 64;
    in_front(&some);
    ck_assert_uint_eq(window(&some), ipc_suite.expected(some.which, some.context, LENGTHS + 64));
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

START_TEST(without_the_other_cpus_a_window_fails)
{
    test_cpu_start = refuses;
    for (size_t i = 0; i < ipc_suite.case_count; i++) {
        if (!wants_cpus(i))
            continue;
        for (size_t variant = 0; variant < ipc_suite.variant_count; variant++) {
            if (!ipc_suite.applies(i, ipc_suite.variants[variant].ops))
                continue;
            const struct subject one = prepared(i, variant);
            in_front(&one);
            ck_assert_uint_eq(window(&one), BENCH_FAILED);
        }
    }
}
END_TEST

static void leaves_at_once(void *argument)
{
    struct crew_member *member = argument;
    // As if it began, but did nothing.
    __atomic_store_n(&member->ready, member->crew->window, __ATOMIC_RELEASE);
}

static bool goes_away(unsigned cpu, void (*function)(void *argument), void *argument)
{
    (void)function;
    test_cpu_start = NULL;
    const bool started = platform_cpu_start(cpu, leaves_at_once, argument);
    test_cpu_start = goes_away;
    return started;
}

// The patience of the row is nearly used up, so that the test need not be patient either.
START_TEST(a_cpu_that_goes_away_fails_the_window_within_a_bound)
{
    for (size_t i = 0; i < ipc_suite.case_count; i++) {
        if (!wants_cpus(i))
            continue;
        const size_t variant = 0; // the locked queue, or, of the bounce, whoever has it
        size_t one_that_has = variant;
        while (!ipc_suite.applies(i, ipc_suite.variants[one_that_has].ops))
            one_that_has++;
        const struct subject one = prepared(i, one_that_has);
        test_cpu_start = goes_away;
        in_front(&one);
        one.context->crew->patience->spent = CREW_PATIENCE - 1000;
        ck_assert_uint_eq(window(&one), BENCH_FAILED);
        test_cpu_start = NULL;
        crew_rest();
    }
}
END_TEST

START_TEST(a_window_that_never_comes_leaves_nobody_behind)
{
    const struct subject one = prepared(named("stream_56"), 0);
    one.context->crew->turns = 1u << 16; // the test is in a hurry
    in_front(&one);
    in_front(&one); // when the members of the first call have ended
    crew_rest();
    ck_assert_uint_eq(one.context->crew->members[0].done, 0);
}
END_TEST

START_TEST(whether_two_cpus_are_one_core_is_told_where_ticks_are_counted)
{
    const size_t stream = named("stream_56");
    const struct subject one = prepared(stream, 0);
    count(stream, one.ops, one.context);
    ck_assert_ptr_null(found("one_core")); // nobody can know by an emulator's clock
    test_clock_class = PLATFORM_CLOCK_TSC;
    count(stream, one.ops, one.context);
    const struct counter *told = found("one_core");
    ck_assert_ptr_nonnull(told);
    ck_assert_uint_le(told->numerator, 1);
    ck_assert_uint_eq(told->denominator, 1);
    ck_assert_str_eq(told->unit, "observed");
    count(named("pair_56"), one.ops, one.context);
    ck_assert_ptr_null(found("one_core"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("suites: ipc, windows");
    TCase *tests = tcase_create("windows");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, every_ring_s_windows_deliver_all_their_messages, 0,
                        (int)ipc_suite.case_count);
    tcase_add_loop_test(tests, where_one_cpu_plays_both_sides_the_windows_deliver_as_much, 0,
                        (int)ipc_suite.case_count);
    tcase_add_loop_test(tests, other_cpus_do_their_part_of_the_window, 0, 5);
    tcase_add_loop_test(tests, a_message_too_many_shows_in_the_sum, 0, 4);
    tcase_add_test(tests, refusals_are_of_a_ring_that_is_full_or_empty);
    tcase_add_test(tests, any_length_from_none_to_56_is_drawn_alike);
    tcase_add_test(tests, without_the_other_cpus_a_window_fails);
    tcase_add_test(tests, a_cpu_that_goes_away_fails_the_window_within_a_bound);
    tcase_add_test(tests, a_window_that_never_comes_leaves_nobody_behind);
    tcase_add_test(tests, whether_two_cpus_are_one_core_is_told_where_ticks_are_counted);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
