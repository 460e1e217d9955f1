// SPDX-License-Identifier: MIT
// The early-boot heap, alone and adopted by the hybrid heap.
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "compiler.h"
#include "heap_boot.h"
#include "heap_hybrid.h"
#include "run_checks.h"

static struct heap_hybrid heap;
static void *memory;

static void set_up(void)
{
    memory = aligned_alloc(PAGE_SIZE, 1u << 20);
    ck_assert_int_eq(heap_hybrid_init(&heap, memory, 1u << 20), STATUS_OK);
}

static void tear_down(void)
{
    free(memory);
}

static void release(void *object)
{
    heap_hybrid_release(&heap, object, 0);
}

static struct heap_statistics statistics(void)
{
    struct heap_statistics s;
    heap_hybrid_statistics(&heap, &s);
    return s;
}

static _Alignas(16) char boot_region[1024];

START_TEST(the_boot_heap_serves_until_it_is_full_and_starts_over_when_all_is_freed)
{
    struct heap_boot boot;
    ck_assert_int_eq(heap_boot_init(&boot, boot_region, sizeof boot_region), STATUS_OK);
    void *objects[64];
    unsigned count = 0;
    for (void *object; (object = heap_boot_allocate(&boot, 40)) != NULL;) {
        ck_assert_uint_eq((uintptr_t)object % 16, 0);
        memset(object, (int)count, 40);
        objects[count++] = object;
    }
    ck_assert_uint_eq(count, 1024 / (48 + HEAP_BOOT_HEADER));
    ck_assert_uint_eq(boot.failures, 1);
    for (unsigned i = 0; i < count; i++)
        for (unsigned k = 0; k < 40; k++)
            if (((unsigned char *)objects[i])[k] != i)
                ck_abort_msg("object %u was overwritten", i);
    ck_assert_int_eq(heap_boot_release(&boot, objects[count - 1]), STATUS_OK);
    ck_assert_ptr_eq(heap_boot_allocate(&boot, 40), objects[count - 1]);
    for (unsigned i = 0; i < count; i++)
        ck_assert_int_eq(heap_boot_release(&boot, objects[i]), STATUS_OK);
    ck_assert_ptr_nonnull(heap_boot_allocate(&boot, 1000));
    ck_assert_ptr_null(heap_boot_allocate(&boot, 1));
    ck_assert_ptr_null(heap_boot_allocate(&boot, SIZE_MAX));
}
END_TEST

START_TEST(the_boot_heap_tells_wrong_frees)
{
    struct heap_boot boot;
    ck_assert_int_eq(heap_boot_init(&boot, boot_region + 8, 1000), STATUS_INVALID);
    ck_assert_int_eq(heap_boot_init(&boot, boot_region, 32), STATUS_INVALID);
    ck_assert_int_eq(heap_boot_init(&boot, NULL, 1024), STATUS_INVALID);
    memset(boot_region, 0, sizeof boot_region);
    ck_assert_int_eq(heap_boot_init(&boot, boot_region, sizeof boot_region), STATUS_OK);
    char *a = heap_boot_allocate(&boot, 100), *b = heap_boot_allocate(&boot, 100);
    memset(a, 0, 100);
    ck_assert_int_eq(heap_boot_release(&boot, a + 16), STATUS_FOREIGN);
    ck_assert_int_eq(heap_boot_release(&boot, a + 1), STATUS_FOREIGN);
    ck_assert_int_eq(heap_boot_release(&boot, boot_region), STATUS_FOREIGN);
    ck_assert_int_eq(heap_boot_release(&boot, boot_region + 1024), STATUS_FOREIGN);
    ck_assert_int_eq(heap_boot_release(&boot, boot_region + 512), STATUS_FOREIGN);
    ck_assert_int_eq(heap_boot_release(&boot, NULL), STATUS_FOREIGN);
    ck_assert_int_eq(heap_boot_release(&boot, a), STATUS_OK);
    ck_assert_int_eq(heap_boot_release(&boot, a), STATUS_DOUBLE);
    ck_assert_int_eq(heap_boot_release(&boot, b), STATUS_OK);
    ck_assert_int_eq(heap_boot_release(&boot, b), STATUS_DOUBLE);
    ck_assert_uint_eq(boot.frees, 2);
}
END_TEST

START_TEST(early_pointers_are_freed_through_the_heap)
{
    struct heap_boot boot;
    ck_assert_int_eq(heap_boot_init(&boot, boot_region, sizeof boot_region), STATUS_OK);
    void *early[3];
    for (unsigned i = 0; i < 3; i++)
        early[i] = heap_boot_allocate(&boot, 100);
    heap_hybrid_adopt(&heap.pages, &boot);
    void *late = heap_hybrid_allocate(&heap, 100);
    ck_assert_ptr_nonnull(late);
    for (unsigned i = 0; i < 3; i++)
        release(early[i]);
    ck_assert_uint_eq(boot.frees, 3);
    ck_assert_uint_eq(boot.next, boot.start);
    ck_assert_uint_eq(statistics().frees, 0); // those are the boot heap's
    release(late);
    ck_assert_uint_eq(statistics().frees, 1);
    ck_assert(heap_hybrid_check(&heap));
}
END_TEST

START_TEST(an_early_pointer_freed_twice_panics)
{
    struct heap_boot boot;
    heap_boot_init(&boot, boot_region, sizeof boot_region);
    void *a = heap_boot_allocate(&boot, 100);
    heap_hybrid_adopt(&heap.pages, &boot);
    release(a);
    release(a);
}
END_TEST

START_TEST(a_boot_region_inside_the_heap_panics)
{
    struct heap_boot boot;
    heap_boot_init(&boot, (char *)memory + (512u << 10), 4096);
    heap_hybrid_adopt(&heap.pages, &boot);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("heap_boot");
    TCase *tests = tcase_create("boot heap");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, the_boot_heap_serves_until_it_is_full_and_starts_over_when_all_is_freed);
    tcase_add_test(tests, the_boot_heap_tells_wrong_frees);
    tcase_add_test(tests, early_pointers_are_freed_through_the_heap);
    tcase_add_test_raise_signal(tests, an_early_pointer_freed_twice_panics, SIGABRT);
    tcase_add_test_raise_signal(tests, a_boot_region_inside_the_heap_panics, SIGABRT);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
