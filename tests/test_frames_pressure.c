// SPDX-License-Identifier: MIT
// What happens when frames become few: the reserve, the marks, call-backs and their order; and
// compaction, which makes chunks whole again.
#include <signal.h>

#include "frames_subject.h"
#include "random.h"

#define START  (64 * MIB)
#define LENGTH (64 * MIB)
#define COUNT  (LENGTH / PAGE_SIZE) // 16384 frames

static struct frames frames;

// ---- marks -------------------------------------------------------------------------------------

static unsigned wakes;

static void wake(void *context)
{
    ck_assert_ptr_eq(context, &wakes);
    ck_assert_uint_eq(cpu_local()->preempt_count, 0);
    wakes++;
}

// low 1024, min 512, critical 384, reserve 256 of 16384 frames
static void marked_frames(void)
{
    struct frames_config config = plain_config(2);
    const struct frames_range range = {.start = START, .length = LENGTH};
    config.marks = (struct frames_marks){.low = 64, .min = 32, .critical = 24, .reserve = 16};
    config.wake = wake;
    config.wake_context = &wakes;
    wakes = 0;
    frames_over(&frames, &config, &range, 1);
}

static int64_t available(void)
{
    uint64_t present, left;
    frames_pool_count(&frames, 0, FRAMES_ZONE_NORMAL, &present, &left);
    return (int64_t)left;
}

static enum status ask(uint64_t count, uint16_t flags, uintptr_t *address)
{
    const struct frames_request request = {.count = count, .flags = flags};
    return frames_allocate(&frames, &request, address);
}

static uintptr_t held[COUNT];
static unsigned held_count;

// Takes frames one by one until `left` are available.
static void take_down_to(int64_t left)
{
    while (available() > left)
        if (ask(1, FRAMES_NO_RECLAIM, &held[held_count++]) != STATUS_OK)
            ck_abort_msg("%ld frames left", (long)available());
}

static uint64_t give_back(uint64_t count)
{
    uint64_t given = 0;
    while (given < count && held_count > 0) {
        ck_assert_int_eq(frames_release(&frames, held[--held_count], 1), STATUS_OK);
        given++;
    }
    return given;
}

START_TEST(only_those_who_may_draw_on_the_reserve)
{
    uintptr_t address;
    marked_frames();
    held_count = 0;
    take_down_to(256);
    ck_assert_int_eq(ask(1, 0, &address), STATUS_NO_MEMORY);
    ck_assert_int_eq(frames_allocate_one(&frames, &address), STATUS_NO_MEMORY);
    ck_assert_int_eq(ask(2, 0, &address), STATUS_NO_MEMORY);
    ck_assert_int_eq(ask(600, FRAMES_RESERVE, &address), STATUS_NO_MEMORY);
    ck_assert_int_eq(available(), 256);
    for (unsigned i = 0; i < 256; i++)
        ck_assert_int_eq(ask(1, FRAMES_RESERVE, &held[held_count++]), STATUS_OK);
    ck_assert_int_eq(ask(1, FRAMES_RESERVE, &address), STATUS_NO_MEMORY);
    give_back(256);
    ck_assert_int_eq(ask(1, 0, &address), STATUS_NO_MEMORY);
    give_back(1);
    ck_assert_int_eq(ask(1, 0, &held[held_count++]), STATUS_OK);
    give_back(COUNT);
    expect_all_whole(&frames);
}
END_TEST

START_TEST(a_refill_leaves_the_reserve_alone)
{
    uintptr_t address;
    marked_frames();
    held_count = 0;
    take_down_to(256 + 10);
    ck_assert_int_eq(frames_allocate_one(&frames, &address), STATUS_OK);
    ck_assert_int_eq(available(), 256);
    ck_assert_uint_eq(statistics_of(&frames).stacked, 9);
}
END_TEST

START_TEST(the_low_mark_wakes_once_until_reclaim_has_run)
{
    marked_frames();
    held_count = 0;
    take_down_to(1024);
    ck_assert_uint_eq(wakes, 0);
    ck_assert_int_eq(frames_level(&frames), FRAMES_ENOUGH);
    take_down_to(1023);
    ck_assert_uint_eq(wakes, 1);
    ck_assert_int_eq(frames_level(&frames), FRAMES_LOW);
    take_down_to(900);
    ck_assert_uint_eq(wakes, 1);
    ck_assert_uint_eq(frames_reclaim(&frames), 0); // nobody has anything
    take_down_to(899);
    ck_assert_uint_eq(wakes, 2);
    take_down_to(511);
    ck_assert_int_eq(frames_level(&frames), FRAMES_MIN);
    take_down_to(383);
    ck_assert_int_eq(frames_level(&frames), FRAMES_CRITICAL);
    ck_assert_uint_eq(statistics_of(&frames).wakes, wakes);
}
END_TEST

// ---- call-backs --------------------------------------------------------------------------------

struct called {
    enum frames_level level;
    uint64_t wanted;
    char who;
};

static struct called calls[1000];
static unsigned call_count;
static bool inside;    // a call-back
static uint64_t frees; // what each call-back frees, but for d, which only listens

static uint64_t called_back(void *context, enum frames_level level, uint64_t wanted)
{
    uintptr_t address;
    ck_assert(!inside);
    ck_assert_uint_eq(cpu_local()->preempt_count, 0);
    inside = true;
    calls[call_count++] = (struct called){level, wanted, *(const char *)context};
    // May allocate and release: neither finds a lock held nor enters here again.
    if (ask(3, FRAMES_RESERVE, &address) == STATUS_OK)
        ck_assert_int_eq(frames_release(&frames, address, 3), STATUS_OK);
    ck_assert(spinlock_try_acquire(&frames.regions[0].lock));
    spinlock_release(&frames.regions[0].lock);
    ck_assert_uint_eq(frames_reclaim(&frames), 0);
    const uint64_t freed = *(const char *)context == 'd' ? 0 : give_back(frees);
    inside = false;
    return freed;
}

static char names[] = "abcd";

static const struct frames_callback callbacks[] = {
    {FRAMES_EVICT, 5, called_back, &names[2]},
    {FRAMES_SHRINK, 1, called_back, &names[0]},
    {FRAMES_PRESSURE, 9, called_back, &names[3]},
    {FRAMES_SHRINK, 5, called_back, &names[1]}, // behind the first of its priority
};

static void with_callbacks(uint64_t each_frees)
{
    marked_frames();
    held_count = call_count = 0;
    frees = each_frees;
    for (unsigned i = 0; i < ARRAY_COUNT(callbacks); i++)
        ck_assert_int_eq(frames_register(&frames, &callbacks[i]), STATUS_OK);
}

static const char *who_was_called(void)
{
    static char text[1001];
    for (unsigned i = 0; i < call_count; i++)
        text[i] = calls[i].who;
    text[call_count] = '\0';
    call_count = 0;
    return text;
}

START_TEST(each_level_calls_what_it_calls_for_by_priority)
{
    with_callbacks(0);
    take_down_to(1000);
    frames_reclaim(&frames);
    ck_assert_uint_eq(calls[0].wanted, 24); // to the low mark
    ck_assert_int_eq(calls[0].level, FRAMES_LOW);
    ck_assert_str_eq(who_was_called(), "abd"); // shrinkers, and the news; eviction only from MIN on
    frames_reclaim(&frames);
    ck_assert_str_eq(who_was_called(), "ab"); // no news
    take_down_to(500);
    ck_assert_str_eq(who_was_called(), ""); // who asks for no reclaim calls nobody
    frames_reclaim(&frames);
    ck_assert_str_eq(who_was_called(), "acbd");
    take_down_to(300);
    frames_reclaim(&frames);
    ck_assert_int_eq(calls[1].level, FRAMES_CRITICAL);
    ck_assert_str_eq(who_was_called(), "acbd");
    give_back(COUNT);
    frames_reclaim(&frames);
    ck_assert_int_eq(calls[0].level, FRAMES_ENOUGH);
    ck_assert_str_eq(who_was_called(), "d");
    ck_assert_uint_eq(statistics_of(&frames).reclaims, 14);
}
END_TEST

START_TEST(a_turn_ends_when_enough_is_freed)
{
    with_callbacks(600);
    take_down_to(500);
    ck_assert_uint_eq(frames_reclaim(&frames), 600); // 524 were wanted
    ck_assert_str_eq(who_was_called(), "add");       // the news of MIN, and that it is over
    ck_assert_int_eq(frames_level(&frames), FRAMES_ENOUGH);
    ck_assert_uint_eq(statistics_of(&frames).reclaimed, 600);
}
END_TEST

START_TEST(below_min_callers_help_and_below_critical_they_reclaim_at_once)
{
    uintptr_t address;
    with_callbacks(30);
    take_down_to(513);
    ck_assert_int_eq(ask(1, 0, &address), STATUS_OK); // still at min
    ck_assert_str_eq(who_was_called(), "");
    ck_assert_int_eq(ask(1, 0, &address), STATUS_OK);
    ck_assert_int_eq(calls[0].level, FRAMES_MIN);
    ck_assert_uint_eq(calls[0].wanted, 64);
    ck_assert_str_eq(who_was_called(), "acbd"); // 30 + 30 + 30 against 64
    take_down_to(384);
    ck_assert_int_eq(ask(1, 0, &address), STATUS_OK);
    ck_assert_int_eq(calls[0].level, FRAMES_CRITICAL);
    ck_assert_uint_eq(calls[0].wanted, 1024);
    ck_assert_str_eq(who_was_called(), "acbd");
    take_down_to(510);
    call_count = 0;
    ck_assert_int_eq(ask(1, FRAMES_NO_RECLAIM, &address), STATUS_OK);
    ck_assert_str_eq(who_was_called(), "");
}
END_TEST

START_TEST(a_request_that_finds_nothing_reclaims_and_is_served)
{
    uintptr_t address;
    with_callbacks(700);
    take_down_to(256);
    ck_assert_int_eq(frames_allocate_one(&frames, &address), STATUS_OK);
    ck_assert_uint_gt(call_count, 0);
    ck_assert_int_eq(calls[0].level, FRAMES_CRITICAL);
    ck_assert_uint_eq(calls[0].wanted, 1);
    take_down_to(256);
    call_count = 0;
    ck_assert_int_eq(ask(1, FRAMES_NO_RECLAIM, &address), STATUS_NO_MEMORY);
    ck_assert_uint_eq(call_count, 0);
    frees = 0;
    ck_assert_int_eq(ask(1, 0, &address), STATUS_NO_MEMORY);
    ck_assert_uint_gt(call_count, 0);
}
END_TEST

START_TEST(an_unregistered_call_back_is_not_called_and_the_table_has_an_end)
{
    with_callbacks(0);
    ck_assert_int_eq(frames_unregister(&frames, &callbacks[1]), STATUS_OK);
    ck_assert_int_eq(frames_unregister(&frames, &callbacks[1]), STATUS_EMPTY);
    take_down_to(300);
    frames_reclaim(&frames);
    ck_assert_str_eq(who_was_called(), "cbd");
    for (unsigned i = 3; i < FRAMES_CALLBACKS; i++)
        ck_assert_int_eq(frames_register(&frames, &callbacks[1]), STATUS_OK);
    ck_assert_int_eq(frames_register(&frames, &callbacks[1]), STATUS_FULL);
    for (unsigned i = 3; i < FRAMES_CALLBACKS; i++)
        ck_assert_int_eq(frames_unregister(&frames, &callbacks[1]), STATUS_OK);
    frames.busy = 1; // somebody is in the call-backs
    ck_assert_int_eq(frames_register(&frames, &callbacks[1]), STATUS_FULL);
    ck_assert_int_eq(frames_unregister(&frames, &callbacks[0]), STATUS_FULL);
    frames.busy = 0;
}
END_TEST

START_TEST(a_call_back_without_a_function_panics)
{
    marked_frames();
    const struct frames_callback none = {.kind = FRAMES_SHRINK};
    frames_register(&frames, &none);
}
END_TEST

// ---- compaction --------------------------------------------------------------------------------

// The owner of movable frames: knows them by address.
static uintptr_t owned[COUNT];
static unsigned owned_count, moves;
static unsigned stubborn; // every so many moves one is refused

static bool move(void *context, uintptr_t from, uintptr_t to)
{
    ck_assert_ptr_eq(context, owned);
    moves++;
    if (stubborn != 0 && moves % stubborn == 0)
        return false;
    for (unsigned i = 0; i < owned_count; i++) {
        if (owned[i] == from) {
            owned[i] = to;
            return true;
        }
    }
    return false;
}

static const struct frames_migration migration = {move, owned};

// An owner that has no use for its frame any more when it is asked.
static bool drop(void *context, uintptr_t from, uintptr_t to)
{
    (void)context, (void)to;
    ck_assert_int_eq(frames_release(&frames, from, 1), STATUS_OK);
    moves++;
    return false;
}

// Every frame is taken, movable, one by one; then all but one in `one_in` are released. No chunk is
// whole then.
static void fragment(uint64_t one_in, uint16_t flags)
{
    static uintptr_t all[COUNT];
    plain_frames(&frames, START, LENGTH);
    owned_count = moves = stubborn = 0;
    for (uint64_t i = 0; i < COUNT; i++)
        ck_assert_int_eq(ask(1, flags, &all[i]), STATUS_OK);
    for (uint64_t i = 0; i < COUNT; i++) {
        if (i % one_in == 7)
            owned[owned_count++] = all[i];
        else
            ck_assert_int_eq(frames_release(&frames, all[i], 1), STATUS_OK);
    }
}

static void release_owned(void)
{
    while (owned_count > 0)
        ck_assert_int_eq(frames_release_one(&frames, owned[--owned_count]), STATUS_OK);
}

START_TEST(compaction_makes_a_huge_frame_available_again)
{
    uintptr_t address;
    struct frames_fragmentation before, after;
    fragment(64, FRAMES_MOVABLE); // 8 in each of 32 chunks
    ck_assert_int_eq(ask(1, FRAMES_HUGE, &address), STATUS_NO_MEMORY);
    frames_fragmentation(&frames, &before);
    ck_assert_uint_lt(before.largest, 512);
    ck_assert_uint_eq(before.free, COUNT - owned_count);
    unsigned made = 0;
    for (unsigned step = 0; step < 32; step++)
        made += frames_compact(&frames, &migration, 4, 64);
    frames_fragmentation(&frames, &after);
    ck_assert_uint_ge(made, 31 - 256 / 64); // 256 frames in use fit in a few chunks
    ck_assert_uint_ge(after.largest, 512 * 16);
    ck_assert_uint_lt(after.external_permille, before.external_permille);
    ck_assert_uint_eq(after.free, before.free);
    ck_assert(frames_check(&frames));
    ck_assert_uint_eq(statistics_of(&frames).compacted, made);
    ck_assert_uint_eq(statistics_of(&frames).migrated, moves);
    for (unsigned i = 0; i < made; i++)
        ck_assert_int_eq(ask(1, FRAMES_HUGE, &held[i]), STATUS_OK);
    for (unsigned i = 0; i < made; i++)
        ck_assert_int_eq(frames_release(&frames, held[i], 512), STATUS_OK);
    release_owned();
    expect_all_whole(&frames);
}
END_TEST

START_TEST(a_step_is_bounded_and_goes_on_where_the_last_one_ended)
{
    fragment(512, FRAMES_MOVABLE); // 1 in each of 32 chunks
    ck_assert_uint_eq(frames_compact(&frames, &migration, 1, 1), 1);
    ck_assert_uint_eq(moves, 1);
    ck_assert_uint_eq(frames.regions[0].compacted_to, 1);
    ck_assert_uint_eq(frames_compact(&frames, &migration, 3, 1), 3);
    ck_assert_uint_eq(frames.regions[0].compacted_to, 4);
    ck_assert_uint_eq(frames_compact(&frames, &migration, 1000, 0), 0);
    ck_assert_uint_eq(frames_compact(&frames, &migration, 0, 512), 0);
    release_owned();
    expect_all_whole(&frames);
}
END_TEST

START_TEST(what_may_not_be_moved_stays)
{
    fragment(64, 0);
    ck_assert_uint_eq(frames_compact(&frames, &migration, 1000, 512), 0);
    ck_assert_uint_eq(moves, 0);
    release_owned();
    // One frame that stays keeps the others from being moved in vain.
    uintptr_t address;
    fragment(512, FRAMES_MOVABLE);
    const struct frames_request first = {.count = 1, .highest = START + 2 * MIB - 1};
    ck_assert_int_eq(frames_allocate(&frames, &first, &address), STATUS_OK);
    ck_assert_uint_eq(frames_compact(&frames, &migration, 1, 512), 0);
    ck_assert_uint_eq(moves, 0);
    plain_frames(&frames, START, LENGTH);
    // A limit that the new place might not keep.
    const struct frames_request low = {
        .count = 1, .highest = START + LENGTH - 1, .flags = FRAMES_MOVABLE};
    ck_assert_int_eq(frames_allocate(&frames, &low, &address), STATUS_OK);
    ck_assert_uint_eq(frames_compact(&frames, &migration, 1000, 512), 0);
    ck_assert_int_eq(frames_release(&frames, address, 1), STATUS_OK);
    expect_all_whole(&frames);
}
END_TEST

START_TEST(a_chunk_becomes_whole_when_its_owners_release_instead)
{
    static const struct frames_migration dropping = {drop, NULL};
    fragment(64, FRAMES_MOVABLE);
    ck_assert_uint_eq(frames_compact(&frames, &dropping, 3, 512), 3);
    ck_assert_uint_eq(moves, 3 * 8);
    ck_assert_uint_eq(statistics_of(&frames).migrated, 0);
    ck_assert_uint_eq(statistics_of(&frames).free, COUNT - owned_count + moves);
    ck_assert(frames_check(&frames));
}
END_TEST

START_TEST(no_whole_chunk_is_broken_for_another_that_becomes_whole)
{
    uintptr_t a, b, c;
    plain_frames(&frames, START, LENGTH);
    owned_count = moves = stubborn = 0;
    ck_assert_int_eq(ask(1, FRAMES_MOVABLE, &a), STATUS_OK);
    ck_assert_int_eq(ask(511, 0, &b), STATUS_OK);
    ck_assert_int_eq(ask(511, 0, &c), STATUS_OK);
    ck_assert_int_eq(frames_release(&frames, b, 511), STATUS_OK);
    ck_assert_int_eq(frames_release(&frames, c, 511), STATUS_OK);
    ck_assert_uint_eq(statistics_of(&frames).lent, 2); // one with a frame in use, one whole
    owned[owned_count++] = a;
    ck_assert_uint_eq(frames_compact(&frames, &migration, 1000, 512), 0);
    ck_assert_uint_eq(moves, 0);
    release_owned();
    expect_all_whole(&frames);
}
END_TEST

START_TEST(a_chunk_whose_owner_refuses_stays_as_it_is)
{
    fragment(64, FRAMES_MOVABLE);
    stubborn = 5;
    unsigned made = frames_compact(&frames, &migration, 1000, 512);
    ck_assert(frames_check(&frames));
    ck_assert_uint_eq(statistics_of(&frames).free, COUNT - owned_count);
    stubborn = 1; // always
    ck_assert_uint_eq(frames_compact(&frames, &migration, 1000, 512), 0);
    ck_assert(frames_check(&frames));
    stubborn = 0;
    for (unsigned i = 0; i < 4; i++)
        made += frames_compact(&frames, &migration, 1000, 512);
    ck_assert_uint_gt(made, 20);
    release_owned();
    expect_all_whole(&frames);
}
END_TEST

// ---- fragmentation over time -------------------------------------------------------------------

START_TEST(huge_frames_stay_available_over_a_long_random_life)
{
    static uintptr_t live[COUNT];
    struct random random = seeded_for("life");
    const unsigned operations = is_soak() ? 10000000 : 100000;
    const unsigned most = (unsigned)(COUNT / 2);
    struct frames_fragmentation f = {0};
    unsigned count = 0;
    plain_frames(&frames, START, LENGTH);
    for (unsigned i = 0; i < operations; i++) {
        if (count < most && (count == 0 || random_below(&random, 100) < 55)) {
            ck_assert(frames_allocate_one(&frames, &live[count++]) == STATUS_OK);
        } else {
            const uint64_t at = random_below(&random, count);
            if (frames_release_one(&frames, live[at]) != STATUS_OK)
                ck_abort_msg("a release fails");
            live[at] = live[--count];
        }
        if (i % (operations / 10) == 0)
            frames_fragmentation(&frames, &f);
        // Half of it is always free, and single frames go where others are: there is a huge one.
        if (i % 1000 == 0 && f.largest < 4096 && f.free > 0)
            ck_abort_msg("the largest free run has %lu frames after %u operations",
                         (unsigned long)f.largest, i);
    }
    while (count > 0)
        ck_assert_int_eq(frames_release_one(&frames, live[--count]), STATUS_OK);
    expect_all_whole(&frames);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("frames_pressure");
    TCase *tests = tcase_create("frames_pressure");
    tcase_set_timeout(tests, is_soak() ? 3600 : 120);
    tcase_add_checked_fixture(tests, NULL, subject_tear_down);
    tcase_add_test(tests, only_those_who_may_draw_on_the_reserve);
    tcase_add_test(tests, a_refill_leaves_the_reserve_alone);
    tcase_add_test(tests, the_low_mark_wakes_once_until_reclaim_has_run);
    tcase_add_test(tests, each_level_calls_what_it_calls_for_by_priority);
    tcase_add_test(tests, a_turn_ends_when_enough_is_freed);
    tcase_add_test(tests, below_min_callers_help_and_below_critical_they_reclaim_at_once);
    tcase_add_test(tests, a_request_that_finds_nothing_reclaims_and_is_served);
    tcase_add_test(tests, an_unregistered_call_back_is_not_called_and_the_table_has_an_end);
    tcase_add_test_raise_signal(tests, a_call_back_without_a_function_panics, SIGABRT);
    tcase_add_test(tests, compaction_makes_a_huge_frame_available_again);
    tcase_add_test(tests, a_step_is_bounded_and_goes_on_where_the_last_one_ended);
    tcase_add_test(tests, what_may_not_be_moved_stays);
    tcase_add_test(tests, a_chunk_becomes_whole_when_its_owners_release_instead);
    tcase_add_test(tests, no_whole_chunk_is_broken_for_another_that_becomes_whole);
    tcase_add_test(tests, a_chunk_whose_owner_refuses_stays_as_it_is);
    tcase_add_test(tests, huge_frames_stay_available_over_a_long_random_life);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
