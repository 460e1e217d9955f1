// SPDX-License-Identifier: MIT
// bench/suites/ipc: what each case sets up is what its name says, with a ring that only looks at
// what is asked of it, and what is counted of it.
#include "ipc_suite_subject.h"
#include "run_checks.h"

// ---- a ring that counts -------------------------------------------------------------------------

static size_t slots_seen;
static unsigned inits_seen;
static bool ring_refuses, ring_broken;
static const struct ring_statistics ring_numbers = {
    .sent = 31, .received = 30, .fences = 2, .acquires = 3};

static enum status counting_init(void *ring, void *slots, size_t count)
{
    (void)ring;
    ck_assert_uint_eq((uintptr_t)slots % 4096, 0);
    slots_seen = count;
    inits_seen++;
    return ring_refuses ? STATUS_INVALID : STATUS_OK;
}

static void counting_statistics(const void *ring, struct ring_statistics *statistics)
{
    (void)ring;
    *statistics = ring_numbers;
}

static bool counting_check(const void *ring)
{
    (void)ring;
    return !ring_broken;
}

static enum status no_batch(void *ring, const struct ring_message *messages, size_t count,
                            size_t *sent)
{
    (void)ring;
    (void)messages;
    *sent = count;
    return STATUS_OK;
}

static size_t no_slots(const void *ring)
{
    (void)ring;
    return 0;
}

static enum status no_kind(void *ring, const void *payload, size_t length, enum ring_kind kind)
{
    (void)ring;
    (void)payload;
    return length == 0 && kind == RING_INLINE ? STATUS_OK : STATUS_FULL;
}

static const struct ring_ops counting_ring = {
    .about = {"counting", "looks at what is asked of it", VARIANT_PRODUCT},
    .state_bytes = 192,
    .slot_bytes = 64,
    .several = true,
    .init = counting_init,
    .free_slots = no_slots,
    .send_batch = no_batch,
    .send_kind = no_kind,
    .statistics = counting_statistics,
    .check = counting_check,
};

// ---- set-ups ------------------------------------------------------------------------------------

START_TEST(rings_have_4096_slots_where_the_case_does_not_say_64)
{
    for (size_t i = 0; i < ipc_suite.case_count; i++) {
        const bool small = i == named("pair_56_small") || i == named("refused_full") ||
                           i == named("stream_56_small") || i == named("round_trip_56");
        const unsigned rings = begins(i, "round_trip_") ? 2 : 1;
        inits_seen = 0;
        ck_assert_ptr_nonnull(ipc_suite.prepare(i, &counting_ring, memory, MEMORY_BYTES, 5));
        ck_assert_uint_eq(slots_seen, small ? 64 : 4096);
        ck_assert_uint_eq(inits_seen, rings);
        // Not a byte less than all slots.
        ck_assert_ptr_null(
            ipc_suite.prepare(i, &counting_ring, memory, rings * slots_seen * 64, 5));
    }
}
END_TEST

START_TEST(a_ring_that_cannot_be_set_up_is_no_context)
{
    ring_refuses = true;
    for (size_t i = 0; i < ipc_suite.case_count; i++)
        ck_assert_ptr_null(ipc_suite.prepare(i, &counting_ring, memory, MEMORY_BYTES, 5));
}
END_TEST

START_TEST(the_floor_is_a_bound_of_whole_slots_only)
{
    for (size_t i = 0; i < ipc_suite.case_count; i++) {
        const char *name = ipc_suite.cases[i].name;
        // What waiting adds is the same whatever the queue.
        const bool shorter =
            (begins(i, "pair_") && !begins(i, "pair_56") && i != named("pair_few")) ||
            begins(i, "waitable_");
        struct ring_ops ops = counting_ring;
        ck_assert_msg(ipc_suite.applies(i, &ops) == !begins(i, "bounce"), "%s", name);
        ops.about.role = VARIANT_FLOOR;
        ck_assert_msg(ipc_suite.applies(i, &ops) == !shorter, "%s", name);
    }
}
END_TEST

START_TEST(a_queue_is_asked_for_what_it_has)
{
    for (size_t i = 0; i < ipc_suite.case_count; i++) {
        const char *name = ipc_suite.cases[i].name;
        struct ring_ops ops = counting_ring;
        ops.several = false;
        ops.send_batch = NULL;
        ops.send_kind = NULL;
        ops.free_slots = NULL;
        const bool asked = !begins(i, "bounce") && !begins(i, "many_") && !begins(i, "batch_") &&
                           !begins(i, "waitable_") && !begins(i, "zero_copy_") &&
                           !begins(i, "copied_");
        ck_assert_msg(ipc_suite.applies(i, &ops) == asked, "%s", name);
    }
}
END_TEST

START_TEST(what_builds_in_place_is_asked_where_its_other_name_is_not_the_same)
{
    ck_assert(ipc_suite.applies(named("pair_56"), &ring_fusion_spsc_in_place_ops));
    ck_assert(ipc_suite.applies(named("stream_56"), &ring_fusion_spsc_in_place_ops));
    ck_assert(!ipc_suite.applies(named("batch_16"), &ring_fusion_spsc_in_place_ops));
    ck_assert(!ipc_suite.applies(named("refused_full"), &ring_fusion_spsc_in_place_ops));
}
END_TEST

START_TEST(rows_for_two_cpus_want_two_or_the_machine_that_counts_instructions)
{
    for (size_t i = 0; i < ipc_suite.case_count; i++) {
        const char *name = ipc_suite.cases[i].name;
        const bool of_many = begins(i, "many_") && wants_cpus(i);
        test_clock_class = PLATFORM_CLOCK_EMULATED;
        test_cpu_count = 1;
        ck_assert_msg(ipc_suite.applies(i, &ring_floor_ops) <= !wants_cpus(i), "%s", name);
        test_clock_class = PLATFORM_CLOCK_INSN;
        if (wants_cpus(i))
            ck_assert_msg(ipc_suite.applies(i, &ring_floor_ops) == !of_many, "%s", name);
        test_cpu_count = 2;
        if (wants_cpus(i))
            ck_assert_msg(ipc_suite.applies(i, &ring_floor_ops), "%s", name);
    }
}
END_TEST

START_TEST(who_pays_for_the_order_at_a_queue_where_nobody_sleeps_is_as_the_case_says)
{
    const struct ipc_context *context =
        ipc_suite.prepare(named("waitable_56"), &ring_fusion_spsc_ops, memory, MEMORY_BYTES, 5);
    ck_assert_uint_eq(context->wait->sides[RING_RECEIVERS].watch, 0);
    ck_assert_uint_eq(context->wait->sides[RING_SENDERS].watch, 0);
    context = ipc_suite.prepare(named("waitable_56_paid"), &ring_fusion_spsc_ops, memory,
                                MEMORY_BYTES, 5);
    ck_assert_uint_eq(context->wait->sides[RING_RECEIVERS].watch, RING_WATCH_PAYS);
    ck_assert_uint_eq(context->wait->sides[RING_SENDERS].watch, RING_WATCH_PAYS);
    ck_assert(!ipc_suite.applies(named("waitable_56"), &ring_fusion_spsc_in_place_ops));
}
END_TEST

// ---- counters -----------------------------------------------------------------------------------

START_TEST(ring_counters_are_the_ring_s_own)
{
    const size_t batch = named("batch_16");
    struct ring_ops ops = counting_ring;
    const void *context = ipc_suite.prepare(batch, &ops, memory, MEMORY_BYTES, 5);
    count(batch, &ops, context);
    ck_assert_uint_eq(emitted_count, 3);
    counted("messages", 30, 1, "count");
    counted("fences", 2, 1, "count");
    counted("acquires_most", 3, 1, "count");
    count(named("pair_56"), &ops, context);
    ck_assert_uint_eq(emitted_count, 1);
    ops.about.role = VARIANT_FLOOR;
    count(batch, &ops, context);
    ck_assert_uint_eq(emitted_count, 1);
    counted("messages", 30, 1, "count");
    ck_assert(ipc_suite.check(batch, &ops, context));
    ring_broken = true;
    ck_assert(!ipc_suite.check(batch, &ops, context));
}
END_TEST

START_TEST(fairness_is_jain_s_index_of_what_each_had_sent_when_the_first_was_done)
{
    const size_t which = named("many_pairs_cpus");
    struct ipc_context *context = ipc_suite.prepare(which, &counting_ring, memory, MEMORY_BYTES, 5);
    ck_assert_uint_eq(context->senders, CPUS);
    for (unsigned i = 0; i < CPUS; i++)
        context->parts[i].at_first = 7;
    count(which, &counting_ring, context);
    counted("fairness", 1000000, 1000000, "observed");
    counted("cpus", CPUS, 1, "count");
    context->parts[0].at_first = context->parts[2].at_first = 0;
    count(which, &counting_ring, context);
    counted("fairness", 333333, 1000000, "observed");
    context = ipc_suite.prepare(named("many_cpus"), &counting_ring, memory, MEMORY_BYTES, 5);
    ck_assert_uint_eq(context->senders, 1); // of three
    count(named("many_cpus"), &counting_ring, context);
    ck_assert_ptr_null(found("fairness"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("suites: ipc");
    TCase *tests = tcase_create("set-ups and counters");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, rings_have_4096_slots_where_the_case_does_not_say_64);
    tcase_add_test(tests, a_ring_that_cannot_be_set_up_is_no_context);
    tcase_add_test(tests, the_floor_is_a_bound_of_whole_slots_only);
    tcase_add_test(tests, a_queue_is_asked_for_what_it_has);
    tcase_add_test(tests, what_builds_in_place_is_asked_where_its_other_name_is_not_the_same);
    tcase_add_test(tests, rows_for_two_cpus_want_two_or_the_machine_that_counts_instructions);
    tcase_add_test(tests,
                   who_pays_for_the_order_at_a_queue_where_nobody_sleeps_is_as_the_case_says);
    tcase_add_test(tests, ring_counters_are_the_ring_s_own);
    tcase_add_test(tests, fairness_is_jain_s_index_of_what_each_had_sent_when_the_first_was_done);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
