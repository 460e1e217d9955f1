// SPDX-License-Identifier: MIT
// A unit of the buddy that grows where it stands.
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "buddy.h"
#include "compiler.h"
#include "run_checks.h"

#define START  (64ull << 20)
#define FRAMES 16u

static struct buddy buddy;
static void *metadata;

static void set_up(void)
{
    const size_t bytes = buddy_metadata_bytes(START, FRAMES * PAGE_SIZE, 12);
    metadata = malloc(bytes);
    memset(metadata, 0xee, bytes);
    ck_assert_int_eq(buddy_init(&buddy, START, FRAMES * PAGE_SIZE, 12, metadata, bytes), STATUS_OK);
    ck_assert_int_eq(buddy_add(&buddy, START, FRAMES * PAGE_SIZE), STATUS_OK);
}

static void tear_down(void)
{
    free(metadata);
}

static uintptr_t page(unsigned number)
{
    return START + number * PAGE_SIZE;
}

START_TEST(a_lower_half_grows_over_its_free_buddy_up_to_the_whole)
{
    uintptr_t address = 0;
    unsigned order = 0;
    ck_assert(buddy_allocate(&buddy, 0, &address));
    ck_assert_uint_eq(address, page(0));
    for (unsigned k = 0; k < 4; k++) {
        ck_assert(buddy_extend(&buddy, address, k));
        ck_assert(buddy_unit_order(&buddy, address, &order));
        ck_assert_uint_eq(order, k + 1);
        ck_assert_uint_eq(buddy_free_frames(&buddy), FRAMES - (2u << k));
        ck_assert(buddy_check(&buddy));
    }
    ck_assert(!buddy_extend(&buddy, address, 4)); // there is no larger block
    ck_assert_int_eq(buddy_free_unit(&buddy, address, &order), STATUS_OK);
    ck_assert_uint_eq(order, 4);
    ck_assert_uint_eq(buddy_free_blocks(&buddy, 4), 1);
    ck_assert(buddy_check(&buddy));
}
END_TEST

START_TEST(an_upper_half_and_one_whose_buddy_is_used_or_split_do_not_grow)
{
    uintptr_t units[4];
    for (unsigned i = 0; i < 4; i++)
        ck_assert(buddy_allocate(&buddy, 0, &units[i]));
    ck_assert(!buddy_extend(&buddy, page(1), 0)); // upper
    ck_assert(!buddy_extend(&buddy, page(0), 0)); // its buddy is used
    ck_assert_int_eq(buddy_free(&buddy, page(1), 0), STATUS_OK);
    ck_assert(buddy_extend(&buddy, page(0), 0));
    ck_assert_int_eq(buddy_free(&buddy, page(3), 0), STATUS_OK);
    ck_assert(!buddy_extend(&buddy, page(0), 1)); // half of its buddy is used
    ck_assert(buddy_check(&buddy));
    ck_assert_int_eq(buddy_free(&buddy, page(2), 0), STATUS_OK);
    ck_assert(buddy_extend(&buddy, page(0), 1));
    // A part of what grew goes back, and what is left is a unit again.
    unsigned order = 9;
    ck_assert_int_eq(buddy_free(&buddy, page(2), 1), STATUS_OK);
    ck_assert(buddy_unit_order(&buddy, page(0), &order));
    ck_assert_uint_eq(order, 1);
    ck_assert(buddy_check(&buddy));
}
END_TEST

START_TEST(only_where_a_unit_starts_is_an_order)
{
    uintptr_t address = 0;
    unsigned order = 9;
    ck_assert(buddy_allocate(&buddy, 1, &address));
    ck_assert(buddy_unit_order(&buddy, address, &order));
    ck_assert_uint_eq(order, 1);
    ck_assert(!buddy_unit_order(&buddy, address + PAGE_SIZE, &order)); // inside
    ck_assert(!buddy_unit_order(&buddy, address + 8, &order));
    ck_assert(!buddy_unit_order(&buddy, page(8), &order));      // free
    ck_assert(!buddy_unit_order(&buddy, page(FRAMES), &order)); // foreign
    ck_assert(!buddy_unit_order(&buddy, 0, &order));
    ck_assert_uint_eq(order, 1);
}
END_TEST

START_TEST(growing_what_is_no_unit_of_that_order_panics)
{
    uintptr_t address = 0;
    buddy_allocate(&buddy, 1, &address);
    buddy_extend(&buddy, address, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("buddy_extend");
    TCase *tests = tcase_create("extend");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_lower_half_grows_over_its_free_buddy_up_to_the_whole);
    tcase_add_test(tests, an_upper_half_and_one_whose_buddy_is_used_or_split_do_not_grow);
    tcase_add_test(tests, only_where_a_unit_starts_is_an_order);
    tcase_add_test_raise_signal(tests, growing_what_is_no_unit_of_that_order_panics, SIGABRT);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
