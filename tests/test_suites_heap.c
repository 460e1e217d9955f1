// SPDX-License-Identifier: MIT
// bench/suites/heap: the cases about memory over time and single operations set up what their names
// say; and what goes wrong is seen.
#include <check.h>
#include <string.h>

#include "heap_hybrid.h"
#include "heap_linked_list.h"
#include "heap_suite_subject.h"
#include "run_checks.h"

START_TEST(one_cpu_is_enough_for_the_others)
{
    test_cpu_count = 1;
    ck_assert(heap_suite.applies(named(_i == 0   ? "miss_64"
                                       : _i == 1 ? "scale_one_cpu"
                                       : _i == 2 ? "fragmentation"
                                       : _i == 3 ? "exhaustion"
                                                 : "latency_1000"),
                                 &heap_linked_list_ops));
}
END_TEST

// What a slice of a small machine has room for, over all windows of a round and the counted pass.
START_TEST(every_case_does_its_work_in_4_mib)
{
    const struct bench_case *about = &heap_suite.cases[_i];
    FOR_EACH_THAT_HAS(about->name, variant)
    {
        struct subject one = {.which = (size_t)_i, .ops = heap_suite.variants[variant].ops};
        one.body = heap_suite.bodies[variant * heap_suite.case_count + one.which];
        one.context = heap_suite.prepare(one.which, one.ops, memory, 4u << 20, 7);
        ck_assert_ptr_nonnull(one.context);
        for (unsigned i = 0; i < 30; i++) {
            one.operations = i == 29 ? heap_suite.counted(one.which, false) : about->operations;
            if (one.operations == 0)
                break;
            in_front(&one);
            const uint64_t expected = due(&one);
            ck_assert_msg(window(&one) == expected, "%s/%s", about->name, one.ops->about.name);
        }
        ck_assert(whole(&one));
    }
}
END_TEST

// ---- objects in a row ---------------------------------------------------------------------------

START_TEST(miss_64_allocates_4096_in_a_row_that_were_all_free)
{
    FOR_EACH_THAT_HAS("miss_64", variant)
    {
        const struct subject one = prepared("miss_64", variant);
        ck_assert(heap_suite.cases[one.which].fixed);
        for (unsigned round = 0; round < 3; round++) {
            in_front(&one);
            ck_assert_uint_eq(one.context->held, 0);
            ck_assert_uint_eq(window(&one), due(&one));
            ck_assert_uint_eq(one.context->held, 4096);
        }
        ck_assert(whole(&one));
        count(&one);
        // Hits are what a refill brought along, and no more than that.
        if (is_named(&one, "hybrid")) {
            ck_assert_uint_eq(counted("hit_rate")->denominator, 4096);
            ck_assert_uint_ge(counted("hit_rate")->numerator, 4096 - 4096 / 16);
            ck_assert_uint_le(counted("hit_rate")->numerator, 4096 - 4096 / 64);
        }
    }
}
END_TEST

START_TEST(first_64_is_one_allocation_that_misses_from_each_of_7_heaps)
{
    size_t seen = 0;
    FOR_EACH_THAT_HAS("first_64", variant)
    {
        const struct subject one = prepared("first_64", variant);
        ck_assert(heap_suite.cases[one.which].fixed);
        ck_assert_uint_eq(one.operations, 7);
        for (unsigned round = 0; round < 100; round++) { // around the table several times
            struct heap_statistics before[7], after;
            in_front(&one);
            for (unsigned h = 0; h < 7; h++)
                one.ops->statistics(one.context->heaps[h], &before[h]);
            ck_assert_uint_eq(window(&one), due(&one));
            for (unsigned h = 0; h < 7; h++) {
                one.ops->statistics(one.context->heaps[h], &after);
                ck_assert_msg(after.cache_misses == before[h].cache_misses + 1 &&
                                  after.cache_hits == before[h].cache_hits &&
                                  after.frees == before[h].frees,
                              "%s, round %u", one.ops->about.name, round);
            }
        }
        ck_assert(whole(&one));
        count(&one);
        ck_assert_uint_eq(counted("hit_rate")->numerator, 0);
        seen++;
    }
    ck_assert_uint_ge(seen, 3); // who has a second level
}
END_TEST

START_TEST(an_object_that_changed_while_it_was_held_is_noticed)
{
    const struct subject one = prepared("miss_64", 1);
    in_front(&one);
    ck_assert_uint_eq(window(&one), due(&one));
    ck_assert(whole(&one));
    uint64_t *object = one.context->objects[700];
    object[_i % 2 == 0 ? 0 : 7]++;
    in_front(&one);
    ck_assert(!whole(&one));
}
END_TEST

// ---- over time ----------------------------------------------------------------------------------

START_TEST(fragmentation_goes_through_small_large_and_mixed_sizes)
{
    struct subject one = prepared("fragmentation", 0);
    uint32_t largest[3] = {0}, smallest[3] = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    uint32_t seen[256] = {0}, last[256];
    ck_assert_uint_eq(one.context->live, 256);
    memcpy(last, one.context->ids, sizeof(last));
    one.operations = 125;
    for (unsigned i = 0; i < 600; i++) {
        in_front(&one);
        ck_assert_uint_eq(window(&one), one.operations);
        const unsigned phase = i / 100 % 3;
        ck_assert_uint_eq(one.context->phase, phase);
        for (unsigned slot = 0; slot < 256; slot++) {
            const uint32_t size = one.context->sizes[slot];
            if (one.context->ids[slot] == last[slot])
                continue;
            last[slot] = one.context->ids[slot];
            seen[slot]++;
            largest[phase] = size > largest[phase] ? size : largest[phase];
            smallest[phase] = size < smallest[phase] ? size : smallest[phase];
        }
    }
    ck_assert_uint_eq(smallest[0], 8);
    ck_assert_uint_eq(largest[0], 256);
    ck_assert_uint_ge(smallest[1], 1024);
    ck_assert_uint_lt(smallest[1], 1100);
    ck_assert_uint_gt(largest[1], 8000);
    ck_assert_uint_le(largest[1], 8192);
    ck_assert_uint_lt(smallest[2], 16);
    ck_assert_uint_gt(largest[2], 15000);
    ck_assert_uint_lt(largest[2], 16384);
    unsigned lasting = 0, others = 0;
    for (unsigned slot = 0; slot < 256; slot++)
        *(slot % 8 == 0 ? &lasting : &others) += seen[slot];
    ck_assert_uint_gt(lasting, 32 / 2);
    ck_assert_uint_lt(lasting * 7 * 16, others); // an eighth of the slots, replaced far less
}
END_TEST

// The numbers that choose a slot and a size have nothing to do with each other.
START_TEST(a_slot_sees_many_sizes_of_the_mixed_phase)
{
    struct subject one = prepared("fragmentation", 0);
    static uint32_t sizes[256][256];
    uint32_t seen[256] = {0}, last[256];
    memset(sizes, 0, sizeof(sizes));
    one.operations = 10;
    for (unsigned i = 0; i < 3750; i++) { // all three phases once
        in_front(&one);
        memcpy(last, one.context->ids, sizeof(last));
        ck_assert_uint_eq(window(&one), one.operations);
        for (unsigned slot = 0; slot < 256 && one.context->phase == 2; slot++)
            if (one.context->ids[slot] != last[slot] && seen[slot] < 256)
                sizes[slot][seen[slot]++] = one.context->sizes[slot];
    }
    for (unsigned slot = 1; slot < 256; slot++) {
        unsigned powers = 0, offsets = 0; // log2, and the low 3 bits of what is above
        for (unsigned i = 0; i < seen[slot]; i++) {
            powers |= 1u << (31 - __builtin_clz(sizes[slot][i]));
            offsets |= 1u << sizes[slot][i] % 8;
        }
        if (slot % 8 == 0)
            continue; // what lives long
        ck_assert_uint_gt(seen[slot], 20);
        ck_assert_int_ge(__builtin_popcount(powers), 8);  // of 11
        ck_assert_int_ge(__builtin_popcount(offsets), 6); // of 8
    }
}
END_TEST

START_TEST(fragmentation_is_looked_at_32_times_in_the_counted_pass)
{
    FOR_EACH_THAT_HAS("fragmentation", variant)
    {
        struct subject one = prepared("fragmentation", variant);
        one.operations = heap_suite.counted(one.which, false);
        ck_assert_uint_eq(one.operations, 100000);
        in_front(&one);
        ck_assert_uint_eq(window(&one), due(&one));
        ck_assert(whole(&one));
        count(&one);
        if (one.ops->about.role == VARIANT_FLOOR) {
            ck_assert_ptr_null(counted("asked_by_operations@3125"));
            continue; // counts nothing
        }
        uint64_t asked = 0;
        for (unsigned slot = 0; slot < 256; slot++)
            asked += one.context->sizes[slot];
        ck_assert_uint_eq(point("asked_by_operations", 100000)->numerator, asked);
        for (uint64_t x = 3125; x <= 100000; x += 3125) {
            const struct counter *rounded = point("rounded_by_operations", x);
            ck_assert_uint_ge(rounded->numerator, point("asked_by_operations", x)->numerator);
            ck_assert_str_eq(rounded->unit, "bytes");
            ck_assert(one.ops != &heap_hybrid_ops || counted("taken_by_operations@3125") != NULL);
            if (counted("taken_by_operations@3125") == NULL)
                continue; // no page level
            const struct counter *taken = point("taken_by_operations", x);
            const struct counter *ratio = point("taken_over_asked_by_operations", x);
            ck_assert_uint_ge(taken->numerator, rounded->numerator);
            ck_assert_uint_eq(taken->numerator % 4096, 0);
            ck_assert_uint_eq(ratio->numerator, taken->numerator);
            ck_assert_uint_eq(ratio->denominator, point("asked_by_operations", x)->numerator);
        }
        // What the heap says it can serve it serves, and nothing above.
        const size_t largest = counted("largest_now")->numerator;
        void *object = one.ops->allocate(one.context->heap, largest);
        ck_assert_ptr_nonnull(object);
        one.ops->release(one.context->heap, object, largest);
        if (is_named(&one, "linked_list") || is_named(&one, "hybrid"))
            ck_assert_ptr_null(one.ops->allocate(one.context->heap, largest + 4096));
    }
    ck_assert_uint_eq(heap_suite.counted(named("fragmentation"), true), 10000000);
    ck_assert_uint_eq(heap_suite.counted(named("pair_64"), true),
                      heap_suite.cases[named("pair_64")].counted_operations);
}
END_TEST

START_TEST(a_lost_or_overwritten_object_gives_another_checksum)
{
    struct subject one = prepared(_i < 2 ? "fragmentation" : "latency_1000", 1);
    const uint32_t slot = _i < 2 ? 1 : one.context->steps[0].slot;
    uint64_t *object = one.context->objects[slot];
    object[_i % 2 == 0 ? 0 : one.context->sizes[slot] / 8 - 1] += 7;
    in_front(&one);
    ck_assert_uint_ne(window(&one), due(&one));
}
END_TEST

START_TEST(exhaustion_reaches_the_same_count_each_time)
{
    FOR_EACH_THAT_HAS("exhaustion", variant)
    {
        const struct subject one = prepared("exhaustion", variant);
        for (unsigned round = 0; round < 3; round++) {
            in_front(&one);
            ck_assert_uint_eq(window(&one), due(&one));
            ck_assert(whole(&one));
        }
        ck_assert(!one.context->uneven);
        ck_assert_uint_gt(one.context->capacity, 1024);
        ck_assert_uint_le(one.context->capacity, 2048);
        count(&one);
        ck_assert_uint_eq(counted("memory_served")->numerator, one.context->capacity * 512);
        ck_assert_uint_eq(counted("memory_served")->denominator, 1u << 20);
        one.context->capacity--;
        ck_assert_uint_eq(window(&one), due(&one));
        ck_assert(!whole(&one));
    }
}
END_TEST

START_TEST(a_single_operation_is_a_window_and_many_are_wanted)
{
    const struct subject one = prepared("latency_1000", 0);
    const struct bench_case *about = &heap_suite.cases[one.which];
    ck_assert(about->fixed);
    ck_assert_uint_eq(about->operations, 1);
    ck_assert_uint_eq(about->samples_exact, 500);
    ck_assert_uint_eq(one.context->live, 1000);
    // Around the table once: each window goes on where the last one ended.
    for (unsigned i = 0; i < 5000; i++) {
        const struct step step = one.context->steps[i];
        in_front(&one);
        ck_assert_uint_eq(window(&one), 1);
        ck_assert_uint_eq(one.context->sizes[step.slot], step.size);
        ck_assert_uint_eq(one.context->ids[step.slot], i);
    }
    ck_assert_uint_eq(one.context->position, 0);
    ck_assert(whole(&one));
}
END_TEST

// ---- overhead, locked instructions --------------------------------------------------------------

START_TEST(overhead_is_what_the_heap_holds_beyond_what_was_asked_for)
{
    static const char *const mixes[] = {"random_1000", "mixed_100k", "mixed_large"};
    FOR_EACH_THAT_HAS(mixes[_i], variant)
    {
        const struct subject one = prepared(mixes[_i], variant);
        in_front(&one);
        ck_assert_uint_eq(window(&one), due(&one));
        count(&one);
        if (one.ops->about.role == VARIANT_FLOOR) {
            ck_assert_ptr_null(counted("overhead_rounding"));
            continue;
        }
        uint64_t asked = 0;
        for (size_t slot = 0; slot < one.context->live; slot++)
            asked += one.context->sizes[slot];
        const struct counter *rounding = counted("overhead_rounding");
        ck_assert_uint_eq(rounding->denominator, asked);
        const struct counter *overhead = counted("overhead");
        struct heap_statistics held; // a heap without a page level cannot tell
        one.ops->statistics(one.context->heap, &held);
        ck_assert_int_eq(overhead != NULL, held.pages_taken > 0);
        if (overhead != NULL) {
            ck_assert_uint_eq(overhead->denominator, asked);
            ck_assert_uint_ge(overhead->numerator, rounding->numerator);
        }
    }
}
END_TEST

START_TEST(locked_instructions_are_those_of_operations_that_the_first_level_served)
{
    FOR_EACH_THAT_HAS("random_1000", variant)
    {
        const struct subject one = prepared("random_1000", variant);
        in_front(&one);
        ck_assert_uint_eq(window(&one), due(&one));
        count(&one);
        const struct counter *locked = counted("locked_instructions");
        if (!one.ops->counts_locked) {
            ck_assert_ptr_null(locked); // rather than one of 0 that means nothing
            continue;
        }
        const bool each_way = is_named(&one, "linked_list") || is_named(&one, "slob");
        if (each_way) {
            ck_assert_uint_eq(locked->numerator, 2 * 5000);
            ck_assert_uint_eq(locked->denominator, 5000);
        } else if (is_named(&one, "classic_slab")) {
            // The same, and where a slab is made or a page goes back.
            ck_assert_uint_ge(locked->numerator, 2 * 5000);
            ck_assert_uint_lt(locked->numerator, 2 * 5500);
            ck_assert_uint_eq(locked->denominator, 5000);
        } else {
            ck_assert_uint_eq(locked->numerator, 0);
            ck_assert_uint_gt(locked->denominator, 4000);
        }
        ck_assert(whole(&one));
    }
}
END_TEST

// Who counts has some once the second level and the pages were entered.
START_TEST(every_heap_but_the_floor_counts_its_locked_instructions)
{
    FOR_EACH_THAT_HAS("miss_64", variant)
    {
        const struct subject one = prepared("miss_64", variant);
        struct heap_statistics fresh, used;
        one.ops->statistics(one.context->heap, &fresh);
        in_front(&one);
        ck_assert_uint_eq(window(&one), due(&one));
        one.ops->statistics(one.context->heap, &used);
        ck_assert_int_eq(one.ops->counts_locked, one.ops->about.role != VARIANT_FLOOR);
        const uint64_t locked = used.locked_instructions - fresh.locked_instructions;
        if (!one.ops->counts_locked) {
            ck_assert_uint_eq(locked, 0);
            continue;
        }
        ck_assert_uint_ge(locked, 4096 / 64); // a batch each
        if (used.cache_hits > 0)
            ck_assert_uint_lt(locked, 4096 / 4);
        else
            ck_assert_uint_ge(locked, 4096);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("heap suite");
    TCase *tests = tcase_create("objects in a row, over time, single operations");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, one_cpu_is_enough_for_the_others, 0, 5);
    tcase_add_loop_test(tests, every_case_does_its_work_in_4_mib, 0, (int)heap_suite.case_count);
    tcase_add_test(tests, miss_64_allocates_4096_in_a_row_that_were_all_free);
    tcase_add_test(tests, first_64_is_one_allocation_that_misses_from_each_of_7_heaps);
    tcase_add_loop_test(tests, an_object_that_changed_while_it_was_held_is_noticed, 0, 2);
    tcase_add_test(tests, fragmentation_goes_through_small_large_and_mixed_sizes);
    tcase_add_test(tests, a_slot_sees_many_sizes_of_the_mixed_phase);
    tcase_add_test(tests, fragmentation_is_looked_at_32_times_in_the_counted_pass);
    tcase_add_loop_test(tests, a_lost_or_overwritten_object_gives_another_checksum, 0, 4);
    tcase_add_test(tests, exhaustion_reaches_the_same_count_each_time);
    tcase_add_test(tests, a_single_operation_is_a_window_and_many_are_wanted);
    tcase_add_loop_test(tests, overhead_is_what_the_heap_holds_beyond_what_was_asked_for, 0, 3);
    tcase_add_test(tests, locked_instructions_are_those_of_operations_that_the_first_level_served);
    tcase_add_test(tests, every_heap_but_the_floor_counts_its_locked_instructions);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
