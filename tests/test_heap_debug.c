// SPDX-License-Identifier: MIT
// Debug mode around every heap: what is right passes, and what is in use is told.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "heap_debug_subject.h"
#include "random.h"
#include "run_checks.h"
#include "seed.h"

// ---- what is right ------------------------------------------------------------------------------

#define SLOTS 100

// False for a heap that only ever cuts new memory: a variant of somebody's may be one. Empties it.
static bool uses_memory_twice(struct fixture *f)
{
    void *last = NULL;
    for (void *object; (object = heap_debug_allocate(f->handle, 2000)) != NULL;)
        last = object;
    if (last != NULL)
        heap_debug_release(f->handle, last, 2000);
    heap_debug_flush(f->handle);
    return last != NULL && heap_debug_allocate(f->handle, 2000) != NULL;
}

START_TEST(random_requests_pass_and_every_object_is_told_until_it_is_freed)
{
    struct fixture f;
    struct random random = seeded_for("debug model");
    struct {
        uint8_t *pointer;
        size_t size;
    } slots[SLOTS] = {{0}};
    uint64_t live = 2, refused = 0;
    open_over(&f, variants[_i], DEPTH);
    for (unsigned i = 0; i < 5000; i++) {
        const unsigned slot = (unsigned)random_below(&random, SLOTS);
        if (slots[slot].pointer != NULL) {
            heap_debug_release(f.handle, slots[slot].pointer, slots[slot].size);
            slots[slot].pointer = NULL;
            live--;
        } else {
            const size_t size = random_below(&random, 1000);
            uint8_t *pointer = heap_debug_allocate(f.handle, size);
            if (pointer == NULL) { // a heap of somebody's that uses no memory twice
                refused++;
                continue;
            }
            ck_assert_uint_eq((uintptr_t)pointer % (size % 16 == 0 ? 16 : 8), 0);
            bool filled = true;
            for (size_t k = 0; k < size; k++)
                filled = filled && pointer[k] == HEAP_DEBUG_NEW;
            ck_assert(filled);
            memset(pointer, (int)i, size);
            slots[slot].pointer = pointer;
            slots[slot].size = size;
            live++;
        }
        if (i % 500 == 0)
            ck_assert(heap_debug_check(&f.debug));
    }
    ck_assert_uint_eq(heap_debug_leaks(&f.debug, NULL, NULL), live);
    ck_assert(heap_debug_check(&f.debug));
    struct heap_statistics statistics;
    heap_debug_statistics(&f.debug, &statistics);
    ck_assert_uint_eq(statistics.allocations - statistics.frees, live);
    ck_assert_uint_eq(statistics.failures, refused);
    ck_assert(refused == 0 || !uses_memory_twice(&f));
    discard(&f);
}
END_TEST

struct seen {
    struct heap_debug_object objects[8];
    unsigned count;
};

static void see(void *context, const struct heap_debug_object *object)
{
    struct seen *seen = context;
    ck_assert_uint_lt(seen->count, ARRAY_COUNT(seen->objects));
    seen->objects[seen->count++] = *object;
}

static NOINLINE void *allocate_here(struct fixture *f, size_t size)
{
    void *object = heap_debug_allocate(f->handle, size);
    __asm__ volatile("" ::: "memory"); // no tail call: this function is the owner
    return object;
}

START_TEST(a_leak_is_told_with_its_size_and_who_allocated_it)
{
    struct fixture f;
    struct seen seen = {.count = 0};
    open_over(&f, variants[_i], DEPTH);
    heap_debug_release(f.handle, f.object, SIZE);
    heap_debug_release(f.handle, f.other, SIZE);
    const void *leaked = allocate_here(&f, 321);
    ck_assert_uint_eq(heap_debug_leaks(&f.debug, see, &seen), 1);
    ck_assert_ptr_eq(seen.objects[0].pointer, leaked);
    ck_assert_uint_eq(seen.objects[0].size, 321);
    const uintptr_t owner = (uintptr_t)seen.objects[0].owner, here = (uintptr_t)allocate_here;
    ck_assert(owner > here && owner < here + 512);
    discard(&f);
}
END_TEST

START_TEST(memory_that_waits_serves_a_request_that_nothing_else_could)
{
    struct fixture f;
    void *objects[LENGTH / 16];
    unsigned count = 0;
    open_over(&f, variants[_i], DEPTH);
    const bool twice = uses_memory_twice(&f);
    discard(&f);
    if (!twice)
        return;
    open_over(&f, variants[_i], DEPTH);
    for (void *object; (object = heap_debug_allocate(f.handle, 2000)) != NULL;)
        objects[count++] = object;
    ck_assert_uint_gt(count, 2 * DEPTH);
    for (unsigned i = 0; i < DEPTH; i++)
        heap_debug_release(f.handle, objects[i], 2000);
    ck_assert_uint_eq(f.debug.waiting, DEPTH);
    ck_assert_ptr_nonnull(heap_debug_allocate(f.handle, 2000));
    ck_assert_uint_eq(f.debug.waiting, 0);
    discard(&f);
}
END_TEST

START_TEST(a_request_too_large_is_refused_and_counted)
{
    struct fixture f;
    struct heap_statistics statistics;
    open_over(&f, variants[_i], 0);
    const size_t sizes[] = {variants[_i]->largest, variants[_i]->largest - 1, SIZE_MAX,
                            SIZE_MAX - HEAP_DEBUG_FRONT};
    for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
        size_t size = sizes[i];
        __asm__("" : "+r"(size)); // hidden from a compiler that would warn
        ck_assert_ptr_null(heap_debug_allocate(f.handle, size));
    }
    heap_debug_statistics(&f.debug, &statistics);
    ck_assert_uint_eq(statistics.failures, ARRAY_COUNT(sizes));
    ck_assert(heap_debug_check(&f.debug));
    discard(&f);
}
END_TEST

START_TEST(memory_that_breaks_the_rules_is_refused)
{
    struct fixture f;
    const struct heap_ops *ops = variants[_i];
    open_over(&f, ops, 0);
    ck_assert_int_eq(
        heap_debug_init(&f.debug, ops, f.inner, f.memory, LENGTH, HEAP_DEBUG_QUARANTINE_MOST + 1),
        STATUS_INVALID);
    ck_assert_int_eq(heap_debug_init(&f.debug, ops, f.inner, f.memory + 64, LENGTH / 2, 0),
                     STATUS_INVALID);
    ck_assert_int_eq(heap_debug_init(&f.debug, ops, f.inner, f.memory, LENGTH / 2 + 8, 0),
                     STATUS_INVALID);
    ck_assert_int_eq(heap_debug_init(&f.debug, ops, f.inner, f.memory, 64 * 1024, 0),
                     STATUS_INVALID);
    discard(&f);
}
END_TEST

START_TEST(an_object_passes_between_two_handles)
{
    struct fixture f;
    struct heap_debug_handle second;
    const struct heap_ops *ops = variants[_i];
    void *memory = aligned_alloc(CACHE_LINE, align_up(ops->handle_bytes + 1, CACHE_LINE));
    open_over(&f, ops, DEPTH);
    if (heap_debug_join(&f.debug, &second, memory)) {
        for (unsigned i = 0; i < 200; i++) {
            void *object = heap_debug_allocate(&second, 64);
            heap_debug_release(f.handle, object, 64);
            object = heap_debug_allocate(f.handle, 64);
            heap_debug_release(&second, object, 64);
        }
        heap_debug_flush(&second);
        heap_debug_leave(&second);
        ck_assert_uint_eq(heap_debug_leaks(&f.debug, NULL, NULL), 2);
        ck_assert(heap_debug_check(&f.debug));
    } else {
        ck_assert_ptr_null(ops->join);
    }
    free(memory);
    discard(&f);
}
END_TEST

static Suite *debug_suite(void)
{
    Suite *suite = suite_create("heap_debug");
    TCase *right = tcase_create("what is right");
    const int count = (int)ARRAY_COUNT(variants);
    tcase_set_timeout(right, 60);
    tcase_add_loop_test(right, random_requests_pass_and_every_object_is_told_until_it_is_freed, 0,
                        count);
    tcase_add_loop_test(right, a_leak_is_told_with_its_size_and_who_allocated_it, 0, count);
    tcase_add_loop_test(right, memory_that_waits_serves_a_request_that_nothing_else_could, 0,
                        count);
    tcase_add_loop_test(right, a_request_too_large_is_refused_and_counted, 0, count);
    tcase_add_loop_test(right, memory_that_breaks_the_rules_is_refused, 0, count);
    tcase_add_loop_test(right, an_object_passes_between_two_handles, 0, count);
    suite_add_tcase(suite, right);
    return suite;
}

int main(void)
{
    return run_checks(debug_suite());
}
