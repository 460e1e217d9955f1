// SPDX-License-Identifier: MIT
// The lock-free bitmap: loans, runs over words, searches, counts, and a model of every frame. What
// several CPUs do to it at once is in test_frames_races.c.
#include <signal.h>

#include "frame_bitmap.h"
#include "frames_subject.h"
#include "random.h"
#include "single_step.h"

#define CHUNKS 130u // three words of a summary, the last one short

static struct frame_bitmap bitmap;
static void *metadata;

static void set_up(void)
{
    const size_t bytes = frame_bitmap_metadata_bytes(CHUNKS);
    metadata = aligned_alloc(CACHE_LINE, bytes);
    memset(metadata, 0xee, bytes);
    memset(&bitmap, 0xee, sizeof bitmap);
    frame_bitmap_init(&bitmap, CHUNKS, metadata);
}

static void tear_down(void)
{
    free(metadata);
}

static struct frame_bitmap_request run_of(uint32_t count, uint32_t alignment)
{
    return (struct frame_bitmap_request){
        .count = count, .alignment = alignment, .limit = UINT32_MAX, .tries = UINT32_MAX};
}

static uint32_t allocate(uint32_t count, uint32_t alignment)
{
    const struct frame_bitmap_request request = run_of(count, alignment);
    uint32_t number = 0;
    if (!frame_bitmap_allocate(&bitmap, &request, &number))
        ck_abort_msg("no run of %u aligned to %u", count, alignment);
    return number;
}

static bool none(uint32_t count, uint32_t alignment)
{
    const struct frame_bitmap_request request = run_of(count, alignment);
    uint32_t number;
    return !frame_bitmap_allocate(&bitmap, &request, &number);
}

static bool release(uint32_t number, uint32_t count)
{
    bool emptied = false;
    ck_assert_uint_eq(frame_bitmap_release(&bitmap, number, count, &emptied), count);
    return emptied;
}

// ---- loans -------------------------------------------------------------------------------------

START_TEST(nothing_is_there_before_a_chunk_is_lent)
{
    uint32_t numbers[8], chunk;
    ck_assert(none(1, 1));
    ck_assert_uint_eq(frame_bitmap_allocate_batch(&bitmap, 8, numbers), 0);
    ck_assert_uint_eq(frame_bitmap_free_frames(&bitmap), 0);
    ck_assert(!frame_bitmap_free_chunk(&bitmap, 0, &chunk));
    ck_assert(!frame_bitmap_take_back(&bitmap, 5));
    ck_assert(frame_bitmap_check(&bitmap));
}
END_TEST

START_TEST(a_lent_chunk_gives_its_512_frames_and_counts_from_the_first_call)
{
    frame_bitmap_lend(&bitmap, 129);
    ck_assert_uint_eq(frame_bitmap_free_frames(&bitmap), 512);
    ck_assert_int_eq(bitmap.free_chunks, 1);
    for (uint32_t i = 0; i < 512; i++) {
        ck_assert_uint_eq(allocate(1, 1), 129 * 512 + i);
        ck_assert_uint_eq(frame_bitmap_count(&bitmap, 129), 511 - i);
    }
    ck_assert(none(1, 1));
    ck_assert(frame_bitmap_check(&bitmap));
    for (uint32_t i = 0; i < 512; i++)
        ck_assert(release(129 * 512 + i, 1) == (i == 511));
    ck_assert_int_eq(bitmap.free_chunks, 1);
    ck_assert(frame_bitmap_check(&bitmap));
}
END_TEST

START_TEST(only_a_chunk_that_is_all_free_is_taken_back)
{
    uint32_t chunk = 77;
    frame_bitmap_lend(&bitmap, 64);
    const uint32_t number = allocate(3, 1);
    ck_assert(!frame_bitmap_take_back(&bitmap, 64));
    ck_assert(!frame_bitmap_free_chunk(&bitmap, 0, &chunk));
    ck_assert_uint_eq(frame_bitmap_free_frames(&bitmap), 509);
    ck_assert(release(number, 3));
    ck_assert(frame_bitmap_free_chunk(&bitmap, 0, &chunk) && chunk == 64);
    ck_assert(!frame_bitmap_free_chunk(&bitmap, 65, &chunk));
    ck_assert(frame_bitmap_take_back(&bitmap, 64));
    ck_assert(!frame_bitmap_is_lent(&bitmap, 64));
    ck_assert(!frame_bitmap_take_back(&bitmap, 64));
    ck_assert(none(1, 1));
    frame_bitmap_lend(&bitmap, 64);
    ck_assert_uint_eq(allocate(1, 1), 64 * 512);
    ck_assert(frame_bitmap_check(&bitmap));
}
END_TEST

START_TEST(what_is_held_serves_nobody_until_it_is_given_back)
{
    uint64_t held[FRAME_BITMAP_WORDS] = {0};
    frame_bitmap_lend(&bitmap, 3);
    const uint32_t number = allocate(100, 1);
    ck_assert_uint_eq(frame_bitmap_hold(&bitmap, 3, held), 412);
    ck_assert(none(1, 1));
    release(number, 100);
    ck_assert_uint_eq(frame_bitmap_count(&bitmap, 3), 100);
    ck_assert_uint_eq(frame_bitmap_hold(&bitmap, 3, held), 100);
    for (unsigned word = 0; word < FRAME_BITMAP_WORDS; word++)
        ck_assert_uint_eq(held[word], ~0ull);
    frame_bitmap_unhold(&bitmap, 3, held);
    ck_assert_int_eq(bitmap.free_chunks, 1);
    ck_assert(frame_bitmap_check(&bitmap));
}
END_TEST

// ---- runs --------------------------------------------------------------------------------------

START_TEST(every_run_at_every_alignment_fits_and_is_aligned)
{
    frame_bitmap_lend(&bitmap, 0);
    for (uint32_t alignment = 1; alignment <= 512; alignment *= 2) {
        for (uint32_t count = 1; count < 512; count++) {
            release(allocate(1, 1), 1);
            const uint32_t first = allocate(1, 1); // place 0 is taken
            const uint32_t expected = alignment == 1 ? 1 : alignment;
            if (expected + count > 512) {
                ck_assert(none(count, alignment));
            } else {
                const uint32_t number = allocate(count, alignment);
                if (number != expected)
                    ck_abort_msg("%u aligned to %u at %u", count, alignment, number);
                release(number, count);
            }
            release(first, 1);
        }
    }
    ck_assert(frame_bitmap_check(&bitmap));
    ck_assert_uint_eq(frame_bitmap_free_frames(&bitmap), 512);
}
END_TEST

START_TEST(a_run_takes_the_first_gap_that_holds_it_also_over_words)
{
    frame_bitmap_lend(&bitmap, 0);
    uint32_t all[512];
    ck_assert_uint_eq(frame_bitmap_allocate_batch(&bitmap, 512, all), 512);
    release(10, 5);
    release(60, 70); // 60..129: three words
    release(200, 69);
    ck_assert_uint_eq(allocate(70, 1), 60);
    ck_assert(none(70, 1));
    ck_assert_uint_eq(allocate(5, 1), 10);
    ck_assert_uint_eq(allocate(64, 1), 200);
    ck_assert_uint_eq(allocate(5, 1), 264);
    ck_assert(none(1, 1));
    ck_assert(frame_bitmap_check(&bitmap));
}
END_TEST

START_TEST(a_limit_keeps_runs_below_it)
{
    frame_bitmap_lend(&bitmap, 0);
    frame_bitmap_lend(&bitmap, 1);
    struct frame_bitmap_request request = run_of(10, 1);
    uint32_t number;
    request.limit = 515;
    for (unsigned i = 0; i < 51; i++)
        ck_assert(frame_bitmap_allocate(&bitmap, &request, &number) && number == i * 10);
    ck_assert(!frame_bitmap_allocate(&bitmap, &request, &number)); // 510, 511 | 512..514
    request.count = 3;
    ck_assert(frame_bitmap_allocate(&bitmap, &request, &number) && number == 512);
    ck_assert(!frame_bitmap_allocate(&bitmap, &request, &number));
    request.limit = 0;
    ck_assert(!frame_bitmap_allocate(&bitmap, &request, &number));
}
END_TEST

// ---- searches ----------------------------------------------------------------------------------

START_TEST(a_search_goes_on_where_the_last_one_ended_and_turns_once)
{
    for (uint32_t chunk = 0; chunk < CHUNKS; chunk++)
        frame_bitmap_lend(&bitmap, chunk);
    bitmap.hint = 100;
    const uint32_t start = allocate(300, 1);
    ck_assert_uint_eq(start, 100 * 512);
    for (uint32_t i = 1; i < CHUNKS; i++) // no chunk has room for two
        ck_assert_uint_eq(allocate(300, 1), (100 + i) % CHUNKS * 512);
    ck_assert(none(300, 1));
    release(start, 300);
    ck_assert_uint_eq(allocate(300, 1), start);
}
END_TEST

START_TEST(chunks_in_use_are_preferred_and_a_sparing_search_leaves_whole_ones_alone)
{
    frame_bitmap_lend(&bitmap, 2);
    frame_bitmap_lend(&bitmap, 9);
    bitmap.hint = 9;
    const uint32_t one = allocate(1, 1);
    ck_assert_uint_eq(one, 9 * 512);
    bitmap.hint = 2;
    ck_assert_uint_eq(allocate(1, 1), 9 * 512 + 1);
    ck_assert_int_eq(bitmap.free_chunks, 1);
    struct frame_bitmap_request request = run_of(511, 1);
    uint32_t number;
    request.sparing = true;
    ck_assert(!frame_bitmap_allocate(&bitmap, &request, &number));
    request.sparing = false;
    ck_assert(frame_bitmap_allocate(&bitmap, &request, &number) && number == 2 * 512);
}
END_TEST

START_TEST(a_search_gives_up_after_its_tries_and_a_thorough_one_trusts_no_summary)
{
    uint32_t all[3 * 512], number;
    for (uint32_t chunk = 0; chunk < 3; chunk++)
        frame_bitmap_lend(&bitmap, chunk);
    ck_assert_uint_eq(frame_bitmap_allocate_batch(&bitmap, 3 * 512, all), 3 * 512);
    for (uint32_t i = 0; i < 3 * 512; i += 2) // 256 free in each, no two beside each other
        release(i, 1);
    release(2 * 512 + 1, 1); // one run of 3 in the last
    struct frame_bitmap_request request = run_of(3, 1);
    bitmap.hint = 0;
    request.tries = 2;
    ck_assert(!frame_bitmap_allocate(&bitmap, &request, &number));
    request.tries = 3;
    ck_assert(frame_bitmap_allocate(&bitmap, &request, &number) && number == 2 * 512);
    release(number, 3);
    bitmap.some[0] = 0;
    request.tries = UINT32_MAX;
    ck_assert(!frame_bitmap_allocate(&bitmap, &request, &number));
    request.thorough = true;
    ck_assert(frame_bitmap_allocate(&bitmap, &request, &number) && number == 2 * 512);
}
END_TEST

START_TEST(a_frame_released_twice_is_not_counted_again)
{
    bool emptied;
    frame_bitmap_lend(&bitmap, 0);
    const uint32_t number = allocate(8, 1);
    ck_assert_uint_eq(frame_bitmap_release(&bitmap, number + 2, 3, &emptied), 3);
    ck_assert_uint_eq(frame_bitmap_release(&bitmap, number, 8, &emptied), 5);
    ck_assert(emptied);
    ck_assert_uint_eq(frame_bitmap_release(&bitmap, number, 8, &emptied), 0);
    ck_assert(!emptied);
    ck_assert_uint_eq(frame_bitmap_free_frames(&bitmap), 512);
    ck_assert(frame_bitmap_check(&bitmap));
}
END_TEST

// ---- two calls at once --------------------------------------------------------------------------

// Another thread's whole call, behind one instruction of this thread's.
static struct {
    unsigned steps, at; // instructions so far; behind which of them
    uint32_t number;    // what it releases
    bool done, broken;
} other;

static void step(int signal)
{
    bool emptied;
    (void)signal;
    if (other.steps++ != other.at)
        return;
    other.broken |= frame_bitmap_release(&bitmap, other.number, 1, &emptied) != 1;
    other.done = true;
}

// Takes all that is free of a chunk while another call frees one frame more: wherever that comes in
// between, the frame is taken too or found afterwards by a search, which trusts the summaries.
START_TEST(a_frame_freed_behind_any_instruction_of_who_takes_the_last_one_is_not_lost)
{
    const struct sigaction action = {.sa_handler = step};
    const struct frame_bitmap_request request = run_of(1, 1);
    uint32_t number = 0, numbers[512];
    ck_assert_int_eq(sigaction(SIGTRAP, &action, NULL), 0);
    frame_bitmap_lend(&bitmap, 65);
    ck_assert_uint_eq(frame_bitmap_allocate_batch(&bitmap, 512, numbers), 512);
    unsigned taken_too = 0, found = 0;
    other.number = numbers[300];
    for (other.at = 0;; other.at++) {
        uint64_t held[FRAME_BITMAP_WORDS] = {0};
        bool emptied;
        other.steps = 0;
        other.done = false;
        if (frame_bitmap_release(&bitmap, numbers[7], 1, &emptied) != 1)
            ck_abort_msg("frame 7 was free");
        single_step(true);
        const unsigned count = frame_bitmap_hold(&bitmap, 65, held);
        single_step(false);
        if (!other.done)
            break; // all instructions were seen
        if (other.broken || !frame_bitmap_check(&bitmap))
            ck_abort_msg("freed behind instruction %u", other.at);
        if (count == 2)
            taken_too++;
        else if (frame_bitmap_allocate(&bitmap, &request, &number) && number == other.number)
            found++;
        else
            ck_abort_msg("lost when freed behind instruction %u", other.at);
    }
    ck_assert_uint_gt(taken_too, 10);
    ck_assert_uint_gt(found, 20);
    ck_assert_uint_eq(taken_too + found, other.at);
}
END_TEST

// ---- the model ---------------------------------------------------------------------------------

#define RUNS 600
struct run {
    uint32_t number, count;
};
static bool used[CHUNKS * 512];

// A run that the bitmap says it has not.
static bool model_has(uint32_t count, uint32_t alignment)
{
    for (uint32_t chunk = 0; chunk < CHUNKS; chunk++) {
        if (!frame_bitmap_is_lent(&bitmap, chunk))
            continue;
        for (uint32_t place = 0; place + count <= 512; place += alignment) {
            uint32_t i = 0;
            while (i < count && !used[chunk * 512 + place + i])
                i++;
            if (i == count)
                return true;
        }
    }
    return false;
}

static void model_allocate(struct run *run, uint32_t count, uint32_t alignment)
{
    const struct frame_bitmap_request request = run_of(count, alignment);
    if (!frame_bitmap_allocate(&bitmap, &request, &run->number)) {
        if (model_has(count, alignment))
            ck_abort_msg("a run of %u aligned to %u is there", count, alignment);
        return;
    }
    run->count = count;
    if (run->number % alignment != 0 || run->number / 512 != (run->number + count - 1) / 512)
        ck_abort_msg("%u frames at %u", count, run->number);
    for (uint32_t i = 0; i < count; i++) {
        if (used[run->number + i])
            ck_abort_msg("frame %u was handed out twice", run->number + i);
        used[run->number + i] = true;
    }
}

START_TEST(random_runs_never_overlap_and_none_is_said_only_when_there_is_none)
{
    struct random random = seeded_for("bitmap");
    static struct run runs[RUNS];
    const unsigned operations = is_soak() ? 3000000 : 60000;
    memset(used, 0, sizeof used);
    for (uint32_t chunk = 0; chunk < CHUNKS; chunk += 1 + (chunk % 3))
        frame_bitmap_lend(&bitmap, chunk);
    const uint64_t lent = frame_bitmap_free_frames(&bitmap);
    for (unsigned i = 0; i < operations; i++) {
        struct run *run = &runs[random_below(&random, RUNS)];
        if (run->count == 0) {
            const uint32_t count = 1 + (uint32_t)random_below(&random, 511);
            model_allocate(run, count, 1u << random_below(&random, 6));
        } else {
            const uint32_t part = 1 + (uint32_t)random_below(&random, run->count);
            release(run->number, part);
            memset(&used[run->number], 0, part);
            run->number += part;
            run->count -= part;
        }
        if (i % 5000 == 0)
            ck_assert(frame_bitmap_check(&bitmap));
    }
    for (unsigned i = 0; i < RUNS; i++)
        if (runs[i].count > 0)
            release(runs[i].number, runs[i].count);
    ck_assert_uint_eq(frame_bitmap_free_frames(&bitmap), lent);
    ck_assert_uint_eq((uint64_t)bitmap.free_chunks * 512, lent);
    ck_assert(frame_bitmap_check(&bitmap));
}
END_TEST

START_TEST(the_check_finds_planted_faults)
{
    frame_bitmap_lend(&bitmap, 1);
    allocate(7, 1);
    ck_assert(frame_bitmap_check(&bitmap));
    bitmap.chunks[1].words[3] ^= 1;
    ck_assert(!frame_bitmap_check(&bitmap));
    bitmap.chunks[1].words[3] ^= 1;
    bitmap.counts[1]++;
    ck_assert(!frame_bitmap_check(&bitmap));
    bitmap.counts[1]--;
    bitmap.some[0] ^= 2;
    ck_assert(!frame_bitmap_check(&bitmap));
    bitmap.some[0] ^= 2;
    bitmap.lent[0] ^= 2;
    ck_assert(!frame_bitmap_check(&bitmap));
    bitmap.lent[0] ^= 2;
    bitmap.free_chunks++;
    ck_assert(!frame_bitmap_check(&bitmap));
    bitmap.free_chunks--;
    ck_assert(frame_bitmap_check(&bitmap));
}
END_TEST

START_TEST(a_bitmap_has_a_size)
{
    ck_assert_uint_eq(frame_bitmap_metadata_bytes(0), 0);
    ck_assert_uint_eq(frame_bitmap_metadata_bytes(FRAME_BITMAP_CHUNKS + 1), 0);
    ck_assert_uint_eq(frame_bitmap_metadata_bytes(1), 5 * 64);
    for (uint32_t chunks = 1; chunks < 3000; chunks++)
        ck_assert_uint_eq(frame_bitmap_metadata_bytes(chunks) % CACHE_LINE, 0);
}
END_TEST

// ---- programmer's errors -----------------------------------------------------------------------

START_TEST(a_chunk_lent_twice_panics)
{
    frame_bitmap_lend(&bitmap, 4);
    frame_bitmap_lend(&bitmap, 4);
}
END_TEST

START_TEST(a_run_of_no_frames_panics)
{
    none(0, 1);
}
END_TEST

START_TEST(a_run_of_a_whole_chunk_panics)
{
    none(512, 1);
}
END_TEST

START_TEST(an_alignment_that_is_no_power_of_two_panics)
{
    none(3, 3);
}
END_TEST

START_TEST(a_release_over_the_end_of_a_chunk_panics)
{
    bool emptied;
    frame_bitmap_lend(&bitmap, 4);
    frame_bitmap_release(&bitmap, 4 * 512 + 500, 13, &emptied);
}
END_TEST

START_TEST(the_end_of_a_loan_that_there_is_not_panics)
{
    frame_bitmap_end_loan(&bitmap, 4);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("frame_bitmap");
    TCase *tests = tcase_create("frame_bitmap");
    tcase_set_timeout(tests, is_soak() ? 3600 : 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, nothing_is_there_before_a_chunk_is_lent);
    tcase_add_test(tests, a_lent_chunk_gives_its_512_frames_and_counts_from_the_first_call);
    tcase_add_test(tests, only_a_chunk_that_is_all_free_is_taken_back);
    tcase_add_test(tests, what_is_held_serves_nobody_until_it_is_given_back);
    tcase_add_test(tests, every_run_at_every_alignment_fits_and_is_aligned);
    tcase_add_test(tests, a_run_takes_the_first_gap_that_holds_it_also_over_words);
    tcase_add_test(tests, a_limit_keeps_runs_below_it);
    tcase_add_test(tests, a_search_goes_on_where_the_last_one_ended_and_turns_once);
    tcase_add_test(tests, chunks_in_use_are_preferred_and_a_sparing_search_leaves_whole_ones_alone);
    tcase_add_test(tests, a_search_gives_up_after_its_tries_and_a_thorough_one_trusts_no_summary);
    tcase_add_test(tests, a_frame_released_twice_is_not_counted_again);
    tcase_add_test(tests,
                   a_frame_freed_behind_any_instruction_of_who_takes_the_last_one_is_not_lost);
    tcase_add_test(tests, random_runs_never_overlap_and_none_is_said_only_when_there_is_none);
    tcase_add_test(tests, the_check_finds_planted_faults);
    tcase_add_test(tests, a_bitmap_has_a_size);
    tcase_add_test_raise_signal(tests, a_chunk_lent_twice_panics, SIGABRT);
    tcase_add_test_raise_signal(tests, a_run_of_no_frames_panics, SIGABRT);
    tcase_add_test_raise_signal(tests, a_run_of_a_whole_chunk_panics, SIGABRT);
    tcase_add_test_raise_signal(tests, an_alignment_that_is_no_power_of_two_panics, SIGABRT);
    tcase_add_test_raise_signal(tests, a_release_over_the_end_of_a_chunk_panics, SIGABRT);
    tcase_add_test_raise_signal(tests, the_end_of_a_loan_that_there_is_not_panics, SIGABRT);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
