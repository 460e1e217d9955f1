// SPDX-License-Identifier: MIT
// The buddy: orders, split and coalesce, odd spans, statuses, and a model of every frame.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "buddy.h"
#include "compiler.h"
#include "random.h"
#include "run_checks.h"
#include "seed.h"

#define KIB 1024ull
#define MIB (1024 * KIB)

// The frames are never touched, so any address will do.
#define START (64 * MIB)

static struct buddy buddy;
static void *metadata;

static void empty_buddy_over(uintptr_t start, uint64_t length, unsigned highest_order)
{
    const size_t bytes = buddy_metadata_bytes(start, length, highest_order);
    ck_assert_uint_gt(bytes, 0);
    // Exactly as much as was asked for: the sanitizer sees a byte beyond it.
    metadata = malloc(bytes);
    memset(metadata, 0xee, bytes);
    memset(&buddy, 0xee, sizeof buddy);
    ck_assert_int_eq(buddy_init(&buddy, start, length, highest_order, metadata, bytes), STATUS_OK);
}

static void buddy_over(uintptr_t start, uint64_t length, unsigned highest_order)
{
    empty_buddy_over(start, length, highest_order);
    ck_assert_int_eq(buddy_add(&buddy, start, length), STATUS_OK);
    ck_assert(buddy_check(&buddy));
    ck_assert_uint_eq(buddy_free_frames(&buddy), length / PAGE_SIZE);
}

static void tear_down(void)
{
    free(metadata);
    metadata = NULL;
}

static uintptr_t allocate(unsigned order)
{
    uintptr_t address = 1;
    if (!buddy_allocate(&buddy, order, &address))
        ck_abort_msg("no block of order %u", order);
    if (address % ((uint64_t)PAGE_SIZE << order) != 0)
        ck_abort_msg("a block of order %u at %#lx is not aligned to its size", order,
                     (unsigned long)address);
    return address;
}

static bool nothing_left(unsigned order)
{
    uintptr_t address;
    return !buddy_allocate(&buddy, order, &address);
}

// ---- orders ------------------------------------------------------------------------------------

START_TEST(the_order_of_a_size_is_the_smallest_that_holds_it)
{
    ck_assert_uint_eq(buddy_order(4096), 0);
    ck_assert_uint_eq(buddy_order(5000), 1);
    ck_assert_uint_eq(buddy_order(1 * MIB), 8);
    ck_assert_uint_eq(buddy_order(0), 0);
    ck_assert_uint_eq(buddy_order(1), 0);
    ck_assert_uint_eq(buddy_order(1 * MIB + 1), 9);
    for (unsigned order = 0; order < 40; order++) {
        const uint64_t bytes = (uint64_t)PAGE_SIZE << order;
        ck_assert_uint_eq(buddy_order(bytes), order);
        ck_assert_uint_eq(buddy_order(bytes + 1), order + 1);
    }
}
END_TEST

// ---- split and coalesce ------------------------------------------------------------------------

START_TEST(blocks_of_4_and_8_KiB_are_split_off_and_coalesce_to_the_whole)
{
    buddy_over(START, 1 * MIB, 8);
    ck_assert_uint_eq(buddy_free_blocks(&buddy, 8), 1);
    const uintptr_t small = allocate(buddy_order(4 * KIB)), large = allocate(buddy_order(8 * KIB));
    ck_assert(buddy_check(&buddy));
    ck_assert_uint_eq(buddy_free_frames(&buddy), 256 - 3);
    ck_assert_uint_eq(buddy_free_blocks(&buddy, 8), 0);
    ck_assert_uint_eq(buddy_free_blocks(&buddy, 0), 1); // the buddy of the 4 KiB
    ck_assert_uint_eq(buddy_free_blocks(&buddy, 1), 0); // the 8 KiB took it
    ck_assert_int_eq(buddy_free(&buddy, small, 0), STATUS_OK);
    ck_assert_int_eq(buddy_free(&buddy, large, 1), STATUS_OK);
    ck_assert(buddy_check(&buddy));
    ck_assert_uint_eq(buddy_free_blocks(&buddy, 8), 1);
    ck_assert_uint_eq(buddy_free_frames(&buddy), 256);
    ck_assert_uint_eq(buddy.frames_allocated, 3);
    ck_assert_uint_eq(buddy.frames_freed, 3);
}
END_TEST

START_TEST(two_frames_in_a_row_are_buddies_and_coalesce)
{
    buddy_over(START, 64 * KIB, 4);
    const uintptr_t a = allocate(0), b = allocate(0);
    ck_assert_uint_eq(b, a + PAGE_SIZE);
    ck_assert_uint_eq(a ^ b, PAGE_SIZE);
    ck_assert_int_eq(buddy_free(&buddy, a, 0), STATUS_OK);
    ck_assert_uint_eq(buddy_free_blocks(&buddy, 4), 0);
    ck_assert_int_eq(buddy_free(&buddy, b, 0), STATUS_OK);
    ck_assert_uint_eq(buddy_free_blocks(&buddy, 4), 1);
}
END_TEST

START_TEST(neighbours_that_are_no_buddies_stay_apart)
{
    buddy_over(START, 16 * KIB, 2);
    uintptr_t frames[4];
    for (unsigned i = 0; i < 4; i++)
        frames[i] = allocate(0);
    ck_assert_int_eq(buddy_free(&buddy, frames[1], 0), STATUS_OK);
    ck_assert_int_eq(buddy_free(&buddy, frames[2], 0), STATUS_OK);
    ck_assert_uint_eq(buddy_free_blocks(&buddy, 0), 2);
    ck_assert(nothing_left(1));
    ck_assert(buddy_check(&buddy));
}
END_TEST

START_TEST(a_part_of_a_unit_can_be_freed_and_the_rest_later)
{
    buddy_over(START, 64 * KIB, 4);
    const uintptr_t unit = allocate(4);
    // A run of 11 frames out of 16: the tail goes back, largest block last.
    ck_assert_int_eq(buddy_free(&buddy, unit + 11 * PAGE_SIZE, 0), STATUS_OK);
    ck_assert_int_eq(buddy_free(&buddy, unit + 12 * PAGE_SIZE, 2), STATUS_OK);
    ck_assert(buddy_check(&buddy));
    ck_assert_uint_eq(buddy_free_frames(&buddy), 5);
    ck_assert_int_eq(buddy_free(&buddy, unit + 12 * PAGE_SIZE, 0), STATUS_DOUBLE);
    ck_assert_int_eq(buddy_free(&buddy, unit, 4), STATUS_INVALID);
    // What is left are units of 8, 2 and 1 frames.
    unsigned order = 99;
    ck_assert_int_eq(buddy_free_unit(&buddy, unit, &order), STATUS_OK);
    ck_assert_uint_eq(order, 3);
    ck_assert_int_eq(buddy_free_unit(&buddy, unit + 8 * PAGE_SIZE, &order), STATUS_OK);
    ck_assert_uint_eq(order, 1);
    ck_assert_int_eq(buddy_free_unit(&buddy, unit + 10 * PAGE_SIZE, &order), STATUS_OK);
    ck_assert_uint_eq(order, 0);
    ck_assert_uint_eq(buddy_free_blocks(&buddy, 4), 1);
    ck_assert(buddy_check(&buddy));
}
END_TEST

// ---- odd spans ---------------------------------------------------------------------------------

START_TEST(a_start_and_a_tail_off_the_largest_block_serve_lower_orders)
{
    // 12 KiB before a boundary of 1 MiB, two whole blocks, 20 KiB behind them.
    buddy_over(START - 12 * KIB, 2 * MIB + 32 * KIB, 8);
    ck_assert_uint_eq(buddy_free_blocks(&buddy, 8), 2);
    ck_assert_uint_eq(buddy_free_blocks(&buddy, 2), 1); // the tail's 16 KiB
    ck_assert_uint_eq(buddy_free_blocks(&buddy, 1), 1); // of the start
    ck_assert_uint_eq(buddy_free_blocks(&buddy, 0), 2); // one on either side
    const uintptr_t a = allocate(8), b = allocate(8);
    ck_assert_uint_eq(min_u64(a, b), START);
    ck_assert_uint_eq(max_u64(a, b), START + 1 * MIB);
    ck_assert(nothing_left(3));
    unsigned frames = 0;
    for (uintptr_t address; buddy_allocate(&buddy, 0, &address); frames++)
        ck_assert(address < START || address >= START + 2 * MIB);
    ck_assert_uint_eq(frames, 8);
    ck_assert(buddy_check(&buddy));
}
END_TEST

START_TEST(every_length_at_every_offset_is_used_to_the_last_frame)
{
    for (unsigned offset = 0; offset < 20; offset++) {
        for (unsigned length = 1; length < 40; length++) {
            buddy_over(START + offset * PAGE_SIZE, length * PAGE_SIZE, 3);
            unsigned count = 0;
            for (uintptr_t address; buddy_allocate(&buddy, 0, &address); count++)
                if (address < START + offset * PAGE_SIZE ||
                    address >= START + (offset + length) * PAGE_SIZE)
                    ck_abort_msg("a frame outside the span");
            if (count != length || !buddy_check(&buddy))
                ck_abort_msg("%u of %u frames at offset %u", count, length, offset);
            tear_down();
        }
    }
}
END_TEST

START_TEST(the_three_configurations_serve_their_largest_block)
{
    static const unsigned highest[] = {8, 12, 20};
    const unsigned order = highest[_i];
    const uint64_t block = (uint64_t)PAGE_SIZE << order;
    buddy_over(2 * block, 2 * block, order);
    ck_assert_uint_eq(buddy_free_blocks(&buddy, order), 2);
    const uintptr_t a = allocate(order), frame = allocate(0);
    ck_assert_uint_eq(frame ^ a, block); // the other block was split for it
    for (unsigned i = 0; i < order; i++)
        ck_assert_uint_eq(buddy_free_blocks(&buddy, i), 1);
    ck_assert_int_eq(buddy_free(&buddy, frame, 0), STATUS_OK);
    ck_assert_int_eq(buddy_free(&buddy, a, order), STATUS_OK);
    ck_assert_uint_eq(buddy_free_blocks(&buddy, order), 2);
    ck_assert(nothing_left(order + 1));
    ck_assert_uint_lt(buddy_metadata_bytes(2 * block, 2 * block, order), 2 * block / 100);
}
END_TEST

START_TEST(holes_are_never_handed_out_and_runs_that_meet_are_joined)
{
    empty_buddy_over(START, 1 * MIB, 8);
    ck_assert_uint_eq(buddy_free_frames(&buddy), 0);
    ck_assert(nothing_left(0));
    ck_assert_int_eq(buddy_add(&buddy, START, 400 * KIB), STATUS_OK);
    ck_assert_int_eq(buddy_add(&buddy, START + 404 * KIB, 620 * KIB), STATUS_OK);
    ck_assert(buddy_check(&buddy));
    ck_assert_uint_eq(buddy_free_frames(&buddy), 255);
    ck_assert_int_eq(buddy_free(&buddy, START + 400 * KIB, 0), STATUS_FOREIGN);
    ck_assert_int_eq(buddy_add(&buddy, START + 396 * KIB, 8 * KIB), STATUS_INVALID);
    ck_assert_int_eq(buddy_add(&buddy, START + 400 * KIB, 4 * KIB), STATUS_OK);
    ck_assert_uint_eq(buddy_free_blocks(&buddy, 8), 1);
    ck_assert_int_eq(buddy_add(&buddy, START + 1 * MIB, 4 * KIB), STATUS_FOREIGN);
    ck_assert_int_eq(buddy_add(&buddy, START - 4 * KIB, 4 * KIB), STATUS_FOREIGN);
    ck_assert_int_eq(buddy_add(&buddy, START + 100, 4 * KIB), STATUS_INVALID);
    ck_assert_int_eq(buddy_add(&buddy, START, 0), STATUS_INVALID);
    ck_assert(buddy_check(&buddy));
}
END_TEST

START_TEST(a_bad_span_or_too_little_metadata_is_refused)
{
    uint64_t space[64];
    const size_t bytes = buddy_metadata_bytes(START, 16 * KIB, 2);
    ck_assert_uint_le(bytes, sizeof space);
    ck_assert_int_eq(buddy_init(&buddy, START, 16 * KIB, 2, space, bytes), STATUS_OK);
    ck_assert_int_eq(buddy_init(&buddy, START, 16 * KIB, 2, space, bytes - 1), STATUS_NO_MEMORY);
    ck_assert_int_eq(buddy_init(&buddy, START, 16 * KIB, 2, (char *)space + 4, bytes),
                     STATUS_INVALID);
    ck_assert_int_eq(buddy_init(&buddy, START + 1, 16 * KIB, 2, space, bytes), STATUS_INVALID);
    ck_assert_int_eq(buddy_init(&buddy, START, 16 * KIB + 1, 2, space, bytes), STATUS_INVALID);
    ck_assert_int_eq(buddy_init(&buddy, START, 0, 2, space, bytes), STATUS_INVALID);
    ck_assert_int_eq(buddy_init(&buddy, START, 16 * KIB, BUDDY_ORDERS, space, bytes),
                     STATUS_INVALID);
    ck_assert_uint_eq(buddy_metadata_bytes(START, BUDDY_SPAN_LIMIT + PAGE_SIZE, 2), 0);
    ck_assert_uint_eq(buddy_metadata_bytes(UINTPTR_MAX - 4095, 8 * KIB, 2), 0);
}
END_TEST

// ---- what a caller can do wrong ----------------------------------------------------------------

START_TEST(a_double_free_is_a_status_and_changes_nothing)
{
    buddy_over(START, 64 * KIB, 4);
    unsigned order = 0;
    const uintptr_t a = allocate(1), b = allocate(0);
    ck_assert_int_eq(buddy_free(&buddy, a, 1), STATUS_OK);
    ck_assert_int_eq(buddy_free(&buddy, a, 1), STATUS_DOUBLE);
    ck_assert_int_eq(buddy_free(&buddy, a, 0), STATUS_DOUBLE);
    ck_assert_int_eq(buddy_free(&buddy, a + PAGE_SIZE, 0), STATUS_DOUBLE);
    ck_assert_int_eq(buddy_free_unit(&buddy, a, &order), STATUS_DOUBLE);
    ck_assert_uint_eq(buddy.frames_freed, 2);
    ck_assert_int_eq(buddy_free(&buddy, b, 0), STATUS_OK);
    // Now inside the coalesced whole.
    ck_assert_int_eq(buddy_free(&buddy, b, 0), STATUS_DOUBLE);
    ck_assert_int_eq(buddy_free_unit(&buddy, b, &order), STATUS_DOUBLE);
    ck_assert_uint_eq(buddy.frames_freed, 3);
    ck_assert(buddy_check(&buddy));
}
END_TEST

START_TEST(a_foreign_or_misaligned_address_is_a_status)
{
    buddy_over(START, 64 * KIB, 4);
    unsigned order = 0;
    const uintptr_t a = allocate(1);
    ck_assert_int_eq(buddy_free(&buddy, START - PAGE_SIZE, 0), STATUS_FOREIGN);
    ck_assert_int_eq(buddy_free(&buddy, START + 64 * KIB, 0), STATUS_FOREIGN);
    ck_assert_int_eq(buddy_free(&buddy, 0, 0), STATUS_FOREIGN);
    ck_assert_int_eq(buddy_free(&buddy, UINTPTR_MAX, 0), STATUS_FOREIGN);
    ck_assert_int_eq(buddy_free_unit(&buddy, 8, &order), STATUS_FOREIGN);
    ck_assert_int_eq(buddy_free(&buddy, a + 8, 0), STATUS_INVALID);
    ck_assert_int_eq(buddy_free(&buddy, a + PAGE_SIZE, 1), STATUS_INVALID);
    ck_assert_int_eq(buddy_free(&buddy, a, 5), STATUS_INVALID);
    ck_assert_int_eq(buddy_free(&buddy, a, 64), STATUS_INVALID);
    ck_assert_int_eq(buddy_free(&buddy, a, 2), STATUS_INVALID);
    ck_assert_int_eq(buddy_free_unit(&buddy, a + PAGE_SIZE, &order), STATUS_INVALID);
    ck_assert_uint_eq(buddy.frames_freed, 0);
    ck_assert_int_eq(buddy_free(&buddy, a, 1), STATUS_OK);
    ck_assert(buddy_check(&buddy));
}
END_TEST

START_TEST(an_order_out_of_range_gets_no_block)
{
    buddy_over(START, 1 * MIB, 8);
    ck_assert(nothing_left(9));
    ck_assert(nothing_left(BUDDY_ORDERS));
    ck_assert(nothing_left(32));
    ck_assert(nothing_left(64));
    ck_assert(nothing_left(1000));
    ck_assert_uint_eq(buddy.frames_allocated, 0);
}
END_TEST

// ---- the model: who owns each frame ------------------------------------------------------------

#define MODEL_FRAMES 1000
#define MODEL_UNITS  300

struct unit {
    uintptr_t address;
    unsigned order;
    bool live;
};

static unsigned char taken[MODEL_FRAMES];

static void mark(uintptr_t base, uintptr_t address, unsigned order, unsigned char value)
{
    const uintptr_t from = (address - base) / PAGE_SIZE;
    if (address < base || from + (1u << order) > MODEL_FRAMES)
        ck_abort_msg("a block of order %u leaves the span", order);
    for (unsigned i = 0; i < 1u << order; i++) {
        if (taken[from + i] == value)
            ck_abort_msg("frame %lu is %s twice", (unsigned long)(from + i),
                         value ? "handed out" : "freed");
        taken[from + i] = value;
    }
}

// A live unit goes back whole, or half of it now and the other half stays.
static void release(struct random *random, uintptr_t base, struct unit *unit)
{
    if (unit->order > 0 && random_below(random, 4) == 0) {
        unit->order--;
        const uintptr_t half = unit->address + ((uintptr_t)PAGE_SIZE << unit->order);
        ck_assert_int_eq(buddy_free(&buddy, half, unit->order), STATUS_OK);
        mark(base, half, unit->order, 0);
        return;
    }
    unsigned order = unit->order;
    if (random_below(random, 2) == 0)
        ck_assert_int_eq(buddy_free(&buddy, unit->address, order), STATUS_OK);
    else
        ck_assert_int_eq(buddy_free_unit(&buddy, unit->address, &order), STATUS_OK);
    ck_assert_uint_eq(order, unit->order);
    mark(base, unit->address, order, 0);
    unit->live = false;
}

START_TEST(random_units_never_overlap_and_all_coalesce_in_the_end)
{
    struct random random = seeded_for("buddy");
    static struct unit units[MODEL_UNITS];
    const uintptr_t base = START + random_below(&random, 512) * PAGE_SIZE;
    const unsigned highest = (unsigned)_i;
    buddy_over(base, MODEL_FRAMES * PAGE_SIZE, highest);
    uint64_t before[BUDDY_ORDERS], live = 0, refused = 0;
    for (unsigned order = 0; order < BUDDY_ORDERS; order++)
        before[order] = buddy_free_blocks(&buddy, order);
    for (unsigned i = 0; i < 40000; i++) {
        struct unit *unit = &units[random_below(&random, MODEL_UNITS)];
        if (unit->live) {
            live -= 1u << unit->order;
            release(&random, base, unit);
            live += unit->live ? 1u << unit->order : 0;
        } else {
            const unsigned order = (unsigned)random_below(&random, min_u64(highest, 5) + 1);
            *unit = (struct unit){.order = order};
            unit->live = buddy_allocate(&buddy, order, &unit->address);
            if (unit->live)
                mark(base, unit->address, order, 1);
            live += unit->live ? 1u << order : 0;
            refused += !unit->live;
        }
        if (buddy_free_frames(&buddy) != MODEL_FRAMES - live)
            ck_abort_msg("free frames are miscounted");
        if (i % 500 == 0 && !buddy_check(&buddy))
            ck_abort_msg("an invariant is broken after %u operations", i);
    }
    ck_assert(highest < 5 || refused > 0);
    for (unsigned i = 0; i < MODEL_UNITS; i++)
        if (units[i].live)
            ck_assert_int_eq(buddy_free(&buddy, units[i].address, units[i].order), STATUS_OK);
    ck_assert(buddy_check(&buddy));
    for (unsigned order = 0; order < BUDDY_ORDERS; order++)
        ck_assert_uint_eq(buddy_free_blocks(&buddy, order), before[order]);
    ck_assert_uint_eq(buddy.frames_allocated, buddy.frames_freed);
}
END_TEST

// ---- questions, and blocks below an address ----------------------------------------------------

START_TEST(a_frame_says_what_it_belongs_to)
{
    uintptr_t start = 0;
    unsigned order = 99;
    empty_buddy_over(START, 256 * KIB, 6);
    ck_assert_int_eq(buddy_add(&buddy, START, 128 * KIB), STATUS_OK);
    ck_assert_int_eq(buddy_block(&buddy, START + 128 * KIB, &start, &order), BUDDY_ABSENT);
    ck_assert_int_eq(buddy_block(&buddy, START - 1, &start, &order), BUDDY_ABSENT);
    ck_assert_int_eq(buddy_block(&buddy, START + 256 * KIB, &start, &order), BUDDY_ABSENT);
    const uintptr_t unit = allocate(2);
    for (uint64_t at = 0; at < 16 * KIB; at += 1000) {
        ck_assert_int_eq(buddy_block(&buddy, unit + at, &start, &order), BUDDY_UNIT);
        ck_assert(start == unit && order == 2);
    }
    for (uint64_t at = 64 * KIB; at < 128 * KIB; at += 1000) {
        ck_assert_int_eq(buddy_block(&buddy, START + at, &start, &order), BUDDY_FREE);
        ck_assert(start == START + 64 * KIB && order == 4);
    }
    ck_assert_int_eq(buddy_free(&buddy, unit, 1), STATUS_OK);
    ck_assert_int_eq(buddy_block(&buddy, unit + 8 * KIB, &start, &order), BUDDY_UNIT);
    ck_assert(start == unit + 8 * KIB && order == 1);
}
END_TEST

START_TEST(blocks_below_an_address_are_the_lowest_and_end_there)
{
    uintptr_t address;
    buddy_over(START, 256 * KIB, 6);
    ck_assert(!buddy_allocate_below(&buddy, 0, START - 1, &address));
    ck_assert(!buddy_allocate_below(&buddy, 0, START + 4094, &address));
    ck_assert(!buddy_allocate_below(&buddy, 2, START + 16 * KIB - 2, &address));
    ck_assert(!buddy_allocate_below(&buddy, 7, UINTPTR_MAX, &address));
    ck_assert(!buddy_allocate_below(&buddy, BUDDY_ORDERS, UINTPTR_MAX, &address));
    ck_assert(buddy_allocate_below(&buddy, 2, START + 16 * KIB - 1, &address));
    ck_assert_uint_eq(address, START);
    for (uint64_t i = 4; i < 8; i++) {
        ck_assert(buddy_allocate_below(&buddy, 0, START + 32 * KIB - 1, &address));
        ck_assert_uint_eq(address, START + i * PAGE_SIZE);
    }
    ck_assert(!buddy_allocate_below(&buddy, 0, START + 32 * KIB - 1, &address));
    ck_assert(buddy_check(&buddy));
    ck_assert(buddy_allocate_below(&buddy, 5, UINTPTR_MAX, &address));
    ck_assert_uint_eq(address, START + 128 * KIB);
    ck_assert(buddy_check(&buddy));
}
END_TEST

// ---- the checker itself ------------------------------------------------------------------------

START_TEST(the_check_finds_planted_faults)
{
    buddy_over(START, 256 * KIB, 6);
    const uintptr_t a = allocate(0);
    ck_assert(buddy_check(&buddy));
    buddy.free_bits[3][0] ^= 1;
    ck_assert(!buddy_check(&buddy));
    buddy.free_bits[3][0] ^= 1;
    buddy.nonempty ^= 4;
    ck_assert(!buddy_check(&buddy));
    buddy.nonempty ^= 4;
    buddy.frames_freed++;
    ck_assert(!buddy_check(&buddy));
    buddy.frames_freed--;
    const struct buddy_frame saved = buddy.frames[0];
    buddy.frames[0].next++; // the unit claims to be two frames
    ck_assert(!buddy_check(&buddy));
    buddy.frames[0] = saved;
    ck_assert(buddy_check(&buddy));
    ck_assert_int_eq(buddy_free(&buddy, a, 0), STATUS_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("buddy");
    TCase *tests = tcase_create("buddy");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, NULL, tear_down);
    tcase_add_test(tests, the_order_of_a_size_is_the_smallest_that_holds_it);
    tcase_add_test(tests, blocks_of_4_and_8_KiB_are_split_off_and_coalesce_to_the_whole);
    tcase_add_test(tests, two_frames_in_a_row_are_buddies_and_coalesce);
    tcase_add_test(tests, neighbours_that_are_no_buddies_stay_apart);
    tcase_add_test(tests, a_part_of_a_unit_can_be_freed_and_the_rest_later);
    tcase_add_test(tests, a_start_and_a_tail_off_the_largest_block_serve_lower_orders);
    tcase_add_test(tests, every_length_at_every_offset_is_used_to_the_last_frame);
    tcase_add_loop_test(tests, the_three_configurations_serve_their_largest_block, 0, 3);
    tcase_add_test(tests, holes_are_never_handed_out_and_runs_that_meet_are_joined);
    tcase_add_test(tests, a_bad_span_or_too_little_metadata_is_refused);
    tcase_add_test(tests, a_double_free_is_a_status_and_changes_nothing);
    tcase_add_test(tests, a_foreign_or_misaligned_address_is_a_status);
    tcase_add_test(tests, an_order_out_of_range_gets_no_block);
    tcase_add_loop_test(tests, random_units_never_overlap_and_all_coalesce_in_the_end, 0, 10);
    tcase_add_test(tests, a_frame_says_what_it_belongs_to);
    tcase_add_test(tests, blocks_below_an_address_are_the_lowest_and_end_there);
    tcase_add_test(tests, the_check_finds_planted_faults);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
