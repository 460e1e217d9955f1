// SPDX-License-Identifier: MIT
// The stacks of single frames: batches, what they keep from others, frames in them that are freed
// again, and threads that are preempted behind any instruction.
#include <signal.h>

#include "frames_subject.h"
#include "random.h"
#include "single_step.h"

#define START (64 * MIB)

static struct frames frames;

static uintptr_t allocate(uint64_t count)
{
    const struct frames_request request = {.count = count};
    uintptr_t address = 1;
    const enum status status = frames_allocate(&frames, &request, &address);
    if (status != STATUS_OK)
        ck_abort_msg("%lu frames: status %d", (unsigned long)count, status);
    return address;
}

static uintptr_t one(void)
{
    uintptr_t address = 1;
    ck_assert_int_eq(frames_allocate_one(&frames, &address), STATUS_OK);
    return address;
}

static enum status ask(uint64_t count)
{
    const struct frames_request request = {.count = count};
    uintptr_t address;
    return frames_allocate(&frames, &request, &address);
}

// ---- misuse
// ---------------------------------------------------------------------------------------

START_TEST(a_frame_in_a_stack_is_caught_on_every_cpu)
{
    plain_frames(&frames, START, 16 * MIB);
    const uintptr_t a = one(), never = a + 20 * PAGE_SIZE; // never handed out: of the same batch
    ck_assert_int_eq(frames_release_one(&frames, never), STATUS_DOUBLE);
    ck_assert_int_eq(frames_release_one(&frames, a), STATUS_OK);
    for (unsigned cpu = 0; cpu < 2; cpu++) {
        test_cpu_enter(cpu);
        ck_assert_int_eq(frames_release_one(&frames, a), STATUS_DOUBLE);
        ck_assert_int_eq(frames_release(&frames, a, 1), STATUS_DOUBLE);
        ck_assert_int_eq(frames_release(&frames, a, 100), STATUS_DOUBLE);
        if (cpu == 1) // with a stack of its own
            one();
        ck_assert_int_eq(frames_release_one(&frames, a), STATUS_DOUBLE);
    }
    ck_assert(frames_check(&frames));
    ck_assert_uint_eq(statistics_of(&frames).releases, 1);
}
END_TEST

// ---- stacks ------------------------------------------------------------------------------------

START_TEST(a_stack_moves_64_at_a_time_and_keeps_at_most_128)
{
    uintptr_t got[1000];
    plain_frames(&frames, START, 16 * MIB);
    for (unsigned i = 0; i < 1000; i++)
        got[i] = one();
    ck_assert_uint_eq(statistics_of(&frames).refills, 16);
    for (unsigned i = 0; i < 1000; i++) {
        ck_assert_int_eq(frames_release_one(&frames, got[i]), STATUS_OK);
        ck_assert_uint_le(statistics_of(&frames).stacked, FRAMES_STACK);
    }
    ck_assert_uint_eq(statistics_of(&frames).drains, 14);
    ck_assert_uint_eq(statistics_of(&frames).free, 4096);
    // One lock: the chunks that were lent.
    ck_assert_uint_eq(statistics_of(&frames).locks, 2);
    expect_all_whole(&frames);
}
END_TEST

START_TEST(another_cpu_s_stack_is_given_on_request_and_when_it_leaves)
{
    plain_frames(&frames, START, 2 * MIB); // one chunk
    uintptr_t got[513], address;
    test_cpu_enter(1);
    one();
    test_cpu_enter(0);
    ck_assert(!frames_cpu_serve(&frames));
    unsigned count = 0;
    while (frames_allocate_one(&frames, &address) == STATUS_OK)
        got[count++] = address;
    ck_assert_uint_eq(count, 512 - 64); // what CPU 1 holds is withheld
    test_cpu_enter(1);
    ck_assert(frames_cpu_serve(&frames)); // it was asked
    ck_assert(!frames_cpu_serve(&frames));
    ck_assert_uint_eq(statistics_of(&frames).stacked, 0);
    test_cpu_enter(0);
    for (unsigned i = 0; i < 63; i++)
        got[count++] = one();
    ck_assert_int_eq(frames_allocate_one(&frames, &address), STATUS_NO_MEMORY);
    for (unsigned i = 0; i < count; i++)
        ck_assert_int_eq(frames_release_one(&frames, got[i]), STATUS_OK);
    ck_assert_uint_gt(statistics_of(&frames).stacked, 0);
    test_cpu_enter(1);
    frames_cpu_leave(&frames, 0);
    ck_assert_uint_eq(statistics_of(&frames).stacked, 0);
    ck_assert(frames_check(&frames));
}
END_TEST

START_TEST(a_large_run_gets_what_stacks_and_bitmap_kept)
{
    plain_frames(&frames, START, 16 * MIB);
    uintptr_t got[600];
    for (unsigned i = 0; i < 600; i++)
        got[i] = one();
    for (unsigned i = 0; i < 600; i++)
        ck_assert_int_eq(frames_release_one(&frames, got[i]), STATUS_OK);
    ck_assert_uint_gt(statistics_of(&frames).lent, 0);
    const uintptr_t all = allocate(4096);
    ck_assert_uint_eq(all, START);
    ck_assert_int_eq(ask(1), STATUS_NO_MEMORY);
    ck_assert_int_eq(frames_release(&frames, all, 4096), STATUS_OK);
    expect_all_whole(&frames);
}
END_TEST

// ---- preemption --------------------------------------------------------------------------------

START_TEST(a_leaf_counts_as_preemption_disabled)
{
    ck_assert_uint_eq(cpu_local()->preempt_count, 0);
    cpu_leaf_enter();
    ck_assert_uint_ne(cpu_local()->preempt_count, 0);
    cpu_preempt_disable(); // an interrupt's
    cpu_preempt_enable();
    ck_assert_uint_ne(cpu_local()->preempt_count, 0);
    cpu_leaf_leave();
    ck_assert_uint_eq(cpu_local()->preempt_count, 0);
    cpu_preempt_disable();
    cpu_leaf_enter();
    cpu_leaf_leave();
    ck_assert_uint_eq(cpu_local()->preempt_count, 1);
    cpu_preempt_enable();
}
END_TEST

// Another thread of the same CPU, which runs behind every single instruction that may be preempted.
static uintptr_t others[200];
static unsigned other_count, preempted, kept;
static bool other_failed;
static struct random other_random;

static void step(int signal)
{
    (void)signal;
    if (cpu_local()->preempt_count != 0) {
        kept++;
        return;
    }
    preempted++;
    if (other_count < ARRAY_COUNT(others) && random_below(&other_random, 2) == 0)
        other_failed |= frames_allocate_one(&frames, &others[other_count++]) != STATUS_OK;
    else if (other_count > 0)
        other_failed |= frames_release_one(&frames, others[--other_count]) != STATUS_OK;
}

START_TEST(a_thread_preempted_behind_any_instruction_and_the_other_share_the_stack)
{
    const struct sigaction action = {.sa_handler = step};
    static uintptr_t mine[200];
    bool failed = false;
    other_random = seeded_for("preempted");
    plain_frames(&frames, START, 16 * MIB);
    ck_assert_int_eq(sigaction(SIGTRAP, &action, NULL), 0);
    for (unsigned turn = 0; turn < 3; turn++) {
        single_step(true);
        for (unsigned i = 0; i < ARRAY_COUNT(mine); i++)
            failed |= frames_allocate_one(&frames, &mine[i]) != STATUS_OK;
        for (unsigned i = 0; i < ARRAY_COUNT(mine); i++)
            failed |= frames_release_one(&frames, mine[i]) != STATUS_OK;
        single_step(false);
    }
    ck_assert(!failed && !other_failed);
    ck_assert_uint_gt(preempted, 1000);
    ck_assert_uint_gt(kept, 1000);
    ck_assert(frames_check(&frames));
    const struct frames_statistics s = statistics_of(&frames);
    ck_assert_uint_eq(s.free, s.present - other_count);
    ck_assert_uint_eq(s.allocations - s.releases, other_count);
    while (other_count > 0)
        ck_assert_int_eq(frames_release_one(&frames, others[--other_count]), STATUS_OK);
    expect_all_whole(&frames);
}
END_TEST

// ---- programmer's errors -----------------------------------------------------------------------

START_TEST(a_cpu_that_there_is_not_panics_when_it_leaves)
{
    plain_frames(&frames, START, 16 * MIB);
    frames_cpu_leave(&frames, 2);
}
END_TEST

START_TEST(a_cpu_that_there_is_not_panics_when_it_allocates)
{
    plain_frames(&frames, START, 16 * MIB);
    test_cpu_enter(2);
    one();
}
END_TEST

START_TEST(a_pool_of_a_node_that_cannot_be_panics)
{
    uint64_t present, available;
    plain_frames(&frames, START, 16 * MIB);
    frames_pool_count(&frames, NUMA_NODES_MOST, FRAMES_ZONE_NORMAL, &present, &available);
}
END_TEST

START_TEST(two_frees_of_one_frame_at_the_same_time_are_caught_when_it_leaves_the_stacks)
{
    // What two CPUs make of it: the frame is in both stacks.
    plain_frames(&frames, START, 16 * MIB);
    const uintptr_t frame = one();
    test_cpu_enter(1);
    const uintptr_t other = one(); // a stack over the same region
    test_cpu_enter(0);
    ck_assert_int_eq(frames_release_one(&frames, frame), STATUS_OK);
    frames.regions[0].map[(frame - START) / PAGE_SIZE] = FRAMES_MAP_HANDED;
    test_cpu_enter(1);
    ck_assert_int_eq(frames_release_one(&frames, frame), STATUS_OK);
    ck_assert_int_eq(frames_release_one(&frames, other), STATUS_OK);
    ck_assert(!frames_check(&frames));
    frames_cpu_leave(&frames, 0);
    frames_cpu_leave(&frames, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("frames_stack");
    TCase *tests = tcase_create("frames_stack");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, NULL, subject_tear_down);
    tcase_add_test(tests, a_frame_in_a_stack_is_caught_on_every_cpu);
    tcase_add_test(tests, a_stack_moves_64_at_a_time_and_keeps_at_most_128);
    tcase_add_test(tests, another_cpu_s_stack_is_given_on_request_and_when_it_leaves);
    tcase_add_test(tests, a_large_run_gets_what_stacks_and_bitmap_kept);
    tcase_add_test(tests, a_leaf_counts_as_preemption_disabled);
    tcase_add_test(tests, a_thread_preempted_behind_any_instruction_and_the_other_share_the_stack);
    tcase_add_test_raise_signal(tests, a_cpu_that_there_is_not_panics_when_it_leaves, SIGABRT);
    tcase_add_test_raise_signal(tests, a_cpu_that_there_is_not_panics_when_it_allocates, SIGABRT);
    tcase_add_test_raise_signal(tests, a_pool_of_a_node_that_cannot_be_panics, SIGABRT);
    tcase_add_test_raise_signal(
        tests, two_frees_of_one_frame_at_the_same_time_are_caught_when_it_leaves_the_stacks,
        SIGABRT);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
