// SPDX-License-Identifier: MIT
// The SLOB-like heap's own: units, first fit by address, its lists, whole pages, headers.
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "compiler.h"
#include "heap_slob.h"
#include "random.h"
#include "run_checks.h"
#include "seed.h"
#include "test_platform.h"

#define MEMORY_BYTES (1u << 20)

static struct heap_slob heap;
static void *memory;

static void set_up(void)
{
    memory = aligned_alloc(2u << 20, 2u << 20);
    memset(memory, 0xee, MEMORY_BYTES);
    memset(&heap, 0xee, sizeof heap);
    ck_assert_int_eq(heap_slob_init(&heap, memory, MEMORY_BYTES), STATUS_OK);
}

static void tear_down(void)
{
    free(memory);
}

static char *allocate(size_t size)
{
    char *object = heap_slob_allocate(&heap, size);
    if (object == NULL)
        ck_abort_msg("%zu bytes refused", size);
    memset(object, 0x5a, size);
    return object;
}

static void release(void *object)
{
    heap_slob_release(&heap, object, 0); // the size is not needed
}

static void expect_sound(void)
{
    if (!heap_slob_check(&heap))
        ck_abort_msg("an invariant is broken");
}

static struct heap_slob_page *page_of(const void *object)
{
    return &heap.pages[((uintptr_t)object - heap.base) / PAGE_SIZE];
}

static uint64_t pages_used(void)
{
    return heap.buddy.frames_allocated - heap.buddy.frames_freed;
}

// ---- blocks -------------------------------------------------------------------------------------

START_TEST(a_block_takes_its_bytes_and_a_header_of_8_in_units_of_2)
{
    // Those that need no place of 16 stand behind each other as close as 8 allows.
    char *a = allocate(10);
    ck_assert_uint_eq(page_of(a)->free_units, 2048 - 9);
    char *b = allocate(11);
    ck_assert_uint_eq(page_of(a)->free_units, 2048 - 9 - 10);
    ck_assert_ptr_eq(b, a + 24); // 10 + 8, to the next 8
    char *c = allocate(3);       // a gap of 6 bytes between a and b is too short for it
    ck_assert(c > b);
    struct heap_statistics s;
    heap_slob_statistics(&heap, &s);
    ck_assert_uint_eq(s.bytes_allocated, 10 + 12 + 4);
    ck_assert_uint_eq(s.header_bytes, 8);
    expect_sound();
    release(b);
    expect_sound();
    release(a);
    expect_sound();
    release(c);
    ck_assert_uint_eq(pages_used(), 0);
    expect_sound();
}
END_TEST

START_TEST(the_first_hole_that_fits_is_taken)
{
    char *objects[6];
    for (unsigned i = 0; i < 6; i++)
        objects[i] = allocate(100);
    release(objects[1]);
    release(objects[3]);
    release(objects[4]); // 3 and 4 are one hole
    expect_sound();
    ck_assert_ptr_eq(allocate(200), objects[3]);
    ck_assert_ptr_eq(allocate(100), objects[1]);
    expect_sound();
}
END_TEST

START_TEST(a_hole_joins_what_is_free_above_and_below)
{
    char *objects[5];
    for (unsigned i = 0; i < 5; i++)
        objects[i] = allocate(56);
    release(objects[1]);
    release(objects[3]);
    release(objects[2]);
    expect_sound();
    ck_assert_ptr_eq(allocate(3 * 64 - 8), objects[1]);
    expect_sound();
}
END_TEST

START_TEST(objects_of_multiples_of_16_stand_at_16_and_what_lies_in_front_is_used)
{
    char *first = allocate(16), *second = allocate(32);
    ck_assert_uint_eq((uintptr_t)first % 16, 0);
    ck_assert_uint_eq((uintptr_t)second % 16, 0);
    ck_assert_uint_eq((uintptr_t)first % PAGE_SIZE, 16); // 8 bytes in front of its header
    // 16 + 8 + 16 bytes: the second one's header may follow at 40 or 56, as 48 - 8 or 64 - 8.
    ck_assert_uint_eq((uintptr_t)second % PAGE_SIZE, 48);
    expect_sound();
    release(first);
    release(second);
    ck_assert_uint_eq(pages_used(), 0);
}
END_TEST

START_TEST(small_medium_and_large_objects_have_pages_of_their_own)
{
    static const size_t sizes[] = {16, 247, 248, 1015, 1016, 4080};
    char *objects[6];
    for (unsigned i = 0; i < 6; i++)
        objects[i] = allocate(sizes[i]);
    ck_assert_ptr_eq(page_of(objects[0]), page_of(objects[1]));
    ck_assert_ptr_ne(page_of(objects[1]), page_of(objects[2])); // 256 with its header
    ck_assert_ptr_eq(page_of(objects[2]), page_of(objects[3]));
    ck_assert_ptr_ne(page_of(objects[3]), page_of(objects[4])); // 1024
    ck_assert_ptr_ne(page_of(objects[4]), page_of(objects[5])); // does not fit there
    ck_assert_uint_eq(pages_used(), 4);
    expect_sound();
    for (unsigned i = 0; i < 6; i++)
        release(objects[i]);
    ck_assert_uint_eq(pages_used(), 0);
    expect_sound();
}
END_TEST

START_TEST(a_search_begins_where_the_last_one_ended)
{
    // Two pages, full but for a hole in each; the first in the list is the second page.
    char *objects[2][4];
    for (unsigned p = 0; p < 2; p++)
        for (unsigned i = 0; i < 4; i++)
            objects[p][i] = allocate(1013); // 1021 of 1024 bytes
    ck_assert_ptr_ne(page_of(objects[0][3]), page_of(objects[1][0]));
    release(objects[0][1]);
    release(objects[1][2]);
    char *first = allocate(1013);
    const unsigned p = page_of(first) == page_of(objects[1][0]);
    release(objects[p][3]); // both have a hole again
    char *second = allocate(1013);
    ck_assert_ptr_eq(page_of(second), page_of(first));
    expect_sound();
}
END_TEST

START_TEST(what_does_not_fit_in_a_page_is_whole_pages)
{
    static const struct {
        size_t size, pages;
    } cases[] = {{4081, 1}, {4096, 1}, {4097, 2}, {20000, 8}, {1u << 18, 64}};
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        char *object = allocate(cases[i].size);
        ck_assert_uint_eq(pages_used(), cases[i].pages);
        ck_assert_uint_eq((uintptr_t)object % PAGE_SIZE, 0);
        expect_sound();
        release(object);
        ck_assert_uint_eq(pages_used(), 0);
    }
    expect_sound();
}
END_TEST

START_TEST(all_pages_go_back_when_all_is_free_whatever_the_order)
{
    static char *objects[400];
    struct random random = seeded_for("slob");
    for (unsigned turn = 0; turn < 20; turn++) {
        for (unsigned i = 0; i < 400; i++)
            objects[i] = allocate(1 + random_below(&random, 1500));
        expect_sound();
        for (unsigned left = 400; left > 0; left--) {
            const uint64_t i = random_below(&random, left);
            release(objects[i]);
            objects[i] = objects[left - 1];
            if (left % 40 == 0)
                expect_sound();
        }
        ck_assert_uint_eq(pages_used(), 0);
    }
}
END_TEST

// ---- several threads ----------------------------------------------------------------------------

static void *work(void *argument)
{
    struct random random = random_seeded((uintptr_t)argument);
    void *handle = heap_slob_join(&heap, NULL);
    test_cpu_enter((unsigned)(uintptr_t)argument);
    unsigned char *objects[20] = {0};
    size_t sizes[20];
    for (unsigned i = 0; i < 5000; i++) {
        const uint64_t k = random_below(&random, 20);
        if (objects[k] != NULL) {
            for (size_t b = 0; b < sizes[k]; b++)
                if (objects[k][b] != (unsigned char)(k + (uintptr_t)argument))
                    ck_abort_msg("an object was overwritten");
            heap_slob_release(handle, objects[k], sizes[k]);
        }
        sizes[k] = random_below(&random, 2000);
        objects[k] = heap_slob_allocate(handle, sizes[k]);
        if (objects[k] != NULL)
            memset(objects[k], (int)(k + (uintptr_t)argument), sizes[k]);
    }
    for (unsigned k = 0; k < 20; k++)
        if (objects[k] != NULL)
            heap_slob_release(handle, objects[k], sizes[k]);
    heap_slob_leave(handle);
    return NULL;
}

START_TEST(threads_share_it_through_the_lock)
{
    pthread_t threads[3];
    for (uintptr_t i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, (void *)(i + 1)), 0);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    expect_sound();
    ck_assert_uint_eq(pages_used(), 0);
}
END_TEST

// ---- the checker, and what panics ---------------------------------------------------------------

START_TEST(the_check_finds_planted_faults)
{
    char *a = allocate(100), *b = allocate(100);
    allocate(100);
    release(a);
    expect_sound();
    struct heap_slob_page *page = page_of(b);
    page->free_units++;
    ck_assert(!heap_slob_check(&heap));
    page->free_units--;
    int16_t *hole = (int16_t *)(void *)(a - 8);
    const int16_t units = hole[0];
    hole[0] = (int16_t)(units + 1); // longer than it is
    ck_assert(!heap_slob_check(&heap));
    hole[0] = units;
    const int16_t next = hole[1];
    hole[1] = (int16_t)((a - 8 - (char *)((uintptr_t)a & ~4095ul)) / 2); // a cycle
    ck_assert(!heap_slob_check(&heap));
    hole[1] = next;
    heap.objects++;
    ck_assert(!heap_slob_check(&heap));
    heap.objects--;
    heap.buddy.frames_freed++;
    ck_assert(!heap_slob_check(&heap));
    heap.buddy.frames_freed--;
    expect_sound();
}
END_TEST

START_TEST(a_block_freed_twice_panics_wherever_it_was_joined_to)
{
    char *objects[3];
    for (unsigned i = 0; i < 3; i++)
        objects[i] = allocate(64);
    allocate(64);
    for (unsigned i = 0; i < 3; i++)
        release(objects[i]);
    release(objects[_i]);
}
END_TEST

START_TEST(an_overrun_header_panics)
{
    char *below = allocate(24), *object = allocate(24);
    memset(below, 0, (size_t)(object - below));
    release(object);
}
END_TEST

START_TEST(a_pointer_into_a_run_of_pages_panics)
{
    release(allocate(20000) + (_i == 0 ? 64 : 4096));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("slob");
    TCase *tests = tcase_create("slob"), *panics = tcase_create("panics");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_block_takes_its_bytes_and_a_header_of_8_in_units_of_2);
    tcase_add_test(tests, the_first_hole_that_fits_is_taken);
    tcase_add_test(tests, a_hole_joins_what_is_free_above_and_below);
    tcase_add_test(tests, objects_of_multiples_of_16_stand_at_16_and_what_lies_in_front_is_used);
    tcase_add_test(tests, small_medium_and_large_objects_have_pages_of_their_own);
    tcase_add_test(tests, a_search_begins_where_the_last_one_ended);
    tcase_add_test(tests, what_does_not_fit_in_a_page_is_whole_pages);
    tcase_add_test(tests, all_pages_go_back_when_all_is_free_whatever_the_order);
    tcase_add_test(tests, threads_share_it_through_the_lock);
    tcase_add_test(tests, the_check_finds_planted_faults);
    suite_add_tcase(suite, tests);
    tcase_add_checked_fixture(panics, set_up, tear_down);
    tcase_add_loop_test_raise_signal(panics, a_block_freed_twice_panics_wherever_it_was_joined_to,
                                     SIGABRT, 0, 3);
    tcase_add_test_raise_signal(panics, an_overrun_header_panics, SIGABRT);
    tcase_add_loop_test_raise_signal(panics, a_pointer_into_a_run_of_pages_panics, SIGABRT, 0, 2);
    suite_add_tcase(suite, panics);
    return run_checks(suite);
}
