// SPDX-License-Identifier: MIT
// SLUB: every misuse dies with one exact line; leaks and reports.
#include <check.h>

#include "format.h"
#include "run_checks.h"
#include "slub_subject.h"

static struct subject s;
static struct slub_cache *cache;

#define SIZE 40u

static void open_with(uint32_t flags)
{
    subject_open(&s, 1, 1u << 20, 1, NULL, NULL);
    cache = slub_cache_create(s.slub, "inode", SIZE, 0, flags);
    ck_assert_ptr_nonnull(cache);
}

static void close_all(void)
{
    subject_close(&s);
}

// Where these two were called from is what owners are: addresses inside of them.
static NOINLINE void *allocate_here(void)
{
    void *object = slub_cache_allocate(cache, 0);
    __asm__ volatile("" ::: "memory");
    return object;
}

static NOINLINE void free_here(void *object)
{
    slub_cache_free(cache, object);
    __asm__ volatile("" ::: "memory");
}

// The return addresses that the notes of an object hold, by the layout slub_debug.c describes.
static const void *const *notes_of(const void *object)
{
    return (const void *const *)((uintptr_t)object - cache->before + cache->slot - 32);
}

static void expect_line(void (*deed)(void *argument), void *argument, const char *what,
                        const void *at, const void *object)
{
    char line[200];
    if (object != NULL)
        format(line, sizeof line, "slub inode: %s at 0x%lx, allocated by 0x%lx, freed by 0x%lx",
               what, (uint64_t)(uintptr_t)at, (uint64_t)(uintptr_t)notes_of(object)[0],
               (uint64_t)(uintptr_t)notes_of(object)[1]);
    else
        format(line, sizeof line, "slub inode: %s at 0x%lx, owners unknown", what,
               (uint64_t)(uintptr_t)at);
    expect_panic(deed, argument, line);
}

static void free_it(void *object)
{
    slub_cache_free(cache, object);
}

static void free_any(void *object)
{
    slub_free(s.slub, object);
}

static void use_again(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < 1000; i++)
        slub_cache_allocate(cache, 0);
}

// ---- checked caches -----------------------------------------------------------------------------

START_TEST(owners_are_who_allocated_and_who_freed)
{
    open_with(SLUB_OWNERS);
    char *object = allocate_here();
    const uintptr_t allocator = (uintptr_t)notes_of(object)[0];
    ck_assert_uint_gt(allocator, (uintptr_t)allocate_here);
    ck_assert_uint_lt(allocator, (uintptr_t)allocate_here + 4096);
    ck_assert_ptr_null(notes_of(object)[1]);
    free_here(object);
    const uintptr_t freer = (uintptr_t)notes_of(object)[1];
    ck_assert_uint_gt(freer, (uintptr_t)free_here);
    ck_assert_uint_lt(freer, (uintptr_t)free_here + 4096);
    close_all();
}
END_TEST

START_TEST(a_double_free_names_both_owners_whatever_came_between)
{
    open_with(SLUB_OWNERS);
    void *object = allocate_here(), *other = allocate_here();
    free_here(object);
    expect_line(free_it, object, "double free", object, object);
    free_here(other);
    expect_line(free_it, object, "double free", object, object);
    expect_line(free_any, object, "double free", object, object);
    close_all();
}
END_TEST

START_TEST(an_address_inside_an_object_is_a_misaligned_free)
{
    open_with(SLUB_STATES);
    char *object = allocate_here();
    expect_line(free_it, object + 8, "misaligned free", object + 8, NULL);
    expect_line(free_it, object - 8, "misaligned free", object - 8, NULL);
    close_all();
}
END_TEST

START_TEST(a_slot_that_was_never_handed_out_is_a_wild_free)
{
    open_with(SLUB_STATES);
    char *object = allocate_here();
    // The next slot: memory of the slab that nothing was cut from.
    expect_line(free_it, object + cache->slot, "wild free", object + cache->slot, NULL);
    close_all();
}
END_TEST

START_TEST(a_write_around_an_object_is_found_when_it_is_freed)
{
    open_with(SLUB_RED_ZONES | SLUB_OWNERS);
    char *object = allocate_here();
    // Every byte of both zones; the first eight of the slot are the link.
    for (int at = -8; at < 0; at++) {
        object[at] ^= 1;
        expect_line(free_it, object, "write in front of an object", object + at, object);
        object[at] ^= 1;
    }
    for (size_t at = SIZE; at < cache->slot - cache->before - 32; at++) {
        object[at] ^= 1;
        expect_line(free_it, object, "write behind an object", object + at, object);
        object[at] ^= 1;
    }
    memset(object, 0, SIZE); // all of it is the caller's
    slub_cache_free(cache, object);
    ck_assert(slub_check(s.slub));
    close_all();
}
END_TEST

START_TEST(a_write_to_a_free_object_is_found_when_it_is_used_again)
{
    open_with(SLUB_POISON | SLUB_OWNERS);
    char *object = allocate_here();
    memset(object, 0x5a, SIZE);
    free_here(object);
    for (size_t at = 0; at < SIZE; at++) {
        object[at] ^= 1;
        expect_line(use_again, NULL, "write after free", object + at, object);
        object[at] ^= 1;
    }
    ck_assert_ptr_eq(slub_cache_allocate(cache, 0), object);
    close_all();
}
END_TEST

START_TEST(each_check_is_made_only_where_it_was_asked_for)
{
    open_with(SLUB_POISON);
    char *object = slub_cache_allocate(cache, 0);
    object[SIZE] ^= 1;
    object[-1] ^= 1;
    slub_cache_free(cache, object); // no red zones
    close_all();
    open_with(SLUB_RED_ZONES);
    object = slub_cache_allocate(cache, 0);
    slub_cache_free(cache, object);
    object[0] ^= 1;
    ck_assert_ptr_eq(slub_cache_allocate(cache, 0), object); // no poison
    ck_assert_ptr_null(notes_of(object)[0]);                 // no owners
    close_all();
}
END_TEST

START_TEST(a_checked_cache_keeps_its_alignment_and_its_contents)
{
    for (size_t align = 8; align <= 4096; align *= 2) {
        subject_open(&s, 1, 1u << 20, 1, NULL, NULL);
        cache = slub_cache_create(s.slub, "aligned", 100, align, SLUB_CHECKED);
        for (unsigned i = 0; i < 8; i++) {
            char *object = slub_cache_allocate(cache, SLUB_ZERO);
            ck_assert_uint_eq((uintptr_t)object % align, 0);
            ck_assert_int_eq(object[99], 0);
        }
        ck_assert(slub_check(s.slub));
        close_all();
    }
}
END_TEST

// ---- any cache ----------------------------------------------------------------------------------

START_TEST(an_object_of_another_cache_is_refused)
{
    open_with(SLUB_NO_MERGE);
    struct slub_cache *other = slub_cache_create(s.slub, "dentry", SIZE, 0, SLUB_NO_MERGE);
    void *object = slub_cache_allocate(other, 0);
    expect_line(free_it, object, "free of another cache's object", object, NULL);
    object = slub_allocate(s.slub, SIZE, 0);
    expect_line(free_it, object, "free of another cache's object", object, NULL);
    close_all();
}
END_TEST

static void free_as_64(void *object)
{
    slub_free_sized(s.slub, object, 64);
}

START_TEST(a_free_with_the_wrong_size_is_refused)
{
    char line[160];
    open_with(0);
    void *object = slub_allocate(s.slub, 100, 0);
    format(line, sizeof line,
           "slub size-64: free of another cache's object at 0x%lx, owners unknown",
           (uint64_t)(uintptr_t)object);
    expect_panic(free_as_64, object, line);
    slub_free_sized(s.slub, object, 65); // the same class
    close_all();
}
END_TEST

START_TEST(an_address_from_elsewhere_is_a_wild_free)
{
    char line[160];
    uint64_t elsewhere[8];
    open_with(0);
    expect_line(free_it, elsewhere, "wild free", elsewhere, NULL);
    format(line, sizeof line, "slub pages: wild free at 0x%lx, owners unknown",
           (uint64_t)(uintptr_t)elsewhere);
    expect_panic(free_any, elsewhere, line);
    expect_panic(free_any, NULL, "slub pages: wild free at 0x0, owners unknown");
    // Memory of its own that nobody was given.
    void *unused = s.arena + (512u << 10);
    expect_line(free_it, unused, "wild free", unused, NULL);
    close_all();
}
END_TEST

START_TEST(a_block_of_pages_is_freed_once_and_at_its_start)
{
    char line[160];
    open_with(0);
    char *block = slub_allocate(s.slub, 40000, 0);
    format(line, sizeof line, "slub pages: wild free at 0x%lx, owners unknown",
           (uint64_t)(uintptr_t)block + 4096);
    expect_panic(free_any, block + 4096, line);
    format(line, sizeof line, "slub pages: wild free at 0x%lx, owners unknown",
           (uint64_t)(uintptr_t)block + 8);
    expect_panic(free_any, block + 8, line);
    slub_free(s.slub, block);
    format(line, sizeof line, "slub pages: wild free at 0x%lx, owners unknown",
           (uint64_t)(uintptr_t)block);
    expect_panic(free_any, block, line);
    close_all();
}
END_TEST

START_TEST(a_plain_object_freed_twice_in_a_row_is_found_at_once)
{
    open_with(0);
    void *object = slub_cache_allocate(cache, 0);
    slub_cache_free(cache, object);
    expect_line(free_it, object, "double free", object, NULL);
    close_all();
}
END_TEST

static void free_bulk_twice(void *object)
{
    void *objects[] = {object, object};
    slub_cache_free_bulk(cache, 2, objects);
}

START_TEST(a_bulk_free_finds_the_same)
{
    open_with(0);
    void *object = slub_cache_allocate(cache, 0);
    expect_line(free_bulk_twice, object, "double free", object, NULL);
    close_all();
    open_with(SLUB_OWNERS);
    object = slub_cache_allocate(cache, 0);
    char line[200];
    format(line, sizeof line, "double free at 0x%lx", (uint64_t)(uintptr_t)object);
    void *objects[] = {object};
    slub_cache_free_bulk(cache, 1, objects);
    expect_line(free_it, object, "double free", object, object);
    close_all();
}
END_TEST

// ---- leaks and reports --------------------------------------------------------------------------

static char lines[32][200];
static unsigned line_count;

static void collect(void *context, const char *text)
{
    ck_assert_ptr_eq(context, lines);
    ck_assert_uint_lt(line_count, 32);
    strncpy(lines[line_count++], text, sizeof lines[0] - 1);
}

START_TEST(the_leak_report_names_what_is_out_and_who_has_it)
{
    char line[200];
    open_with(SLUB_OWNERS);
    slub_leak_report(s.slub, collect, lines);
    ck_assert_uint_eq(line_count, 0);
    void *objects[3];
    for (unsigned i = 0; i < 3; i++)
        objects[i] = allocate_here();
    slub_cache_free(cache, objects[1]);
    void *plain = slub_allocate(s.slub, 500, 0);
    slub_free(s.slub, slub_allocate(s.slub, 30, 0)); // in a list, not out
    slub_leak_report(s.slub, collect, lines);
    ck_assert_uint_eq(line_count, 5);
    ck_assert_str_eq(lines[0], "size-512: 1 objects of 512 bytes are out");
    format(line, sizeof line, "size-512: 0x%lx", (uint64_t)(uintptr_t)plain);
    ck_assert_str_eq(lines[1], line);
    ck_assert_str_eq(lines[2], "inode: 2 objects of 40 bytes are out");
    for (unsigned i = 0; i < 2; i++) {
        format(line, sizeof line, "inode: 0x%lx, allocated by 0x%lx",
               (uint64_t)(uintptr_t)objects[2 * i],
               (uint64_t)(uintptr_t)notes_of(objects[2 * i])[0]);
        ck_assert_str_eq(lines[3 + i], line);
    }
    close_all();
}
END_TEST

START_TEST(leaks_of_a_plain_cache_are_those_that_are_in_no_list)
{
    struct slub_leaks leaks;
    void *objects[200];
    open_with(0);
    for (unsigned i = 0; i < 200; i++)
        objects[i] = slub_cache_allocate(cache, 0);
    for (unsigned i = 0; i < 200; i++)
        if (i != 7 && i != 150)
            slub_cache_free(cache, objects[i]);
    slub_leaks(cache, &leaks);
    ck_assert_uint_eq(leaks.count, 2);
    ck_assert_uint_eq(leaks.shown, 2);
    ck_assert((leaks.first[0].object == objects[7] && leaks.first[1].object == objects[150]) ||
              (leaks.first[1].object == objects[7] && leaks.first[0].object == objects[150]));
    ck_assert_ptr_null(leaks.first[0].allocator);
    close_all();
}
END_TEST

START_TEST(the_usage_report_tells_hot_from_cold)
{
    open_with(SLUB_PROFILE);
    void *objects[70];
    for (unsigned i = 0; i < 70; i++)
        objects[i] = slub_cache_allocate(cache, 0);
    for (unsigned i = 0; i < 69; i++)
        slub_cache_free(cache, objects[i]);
    slub_usage_report(s.slub, collect, lines);
    ck_assert_uint_eq(line_count, 2);
    ck_assert_str_eq(lines[0],
                     "inode: 1 of 40 bytes in use, 63 in lists, 1 slabs (0 empty) of 4096 bytes");
    struct slub_statistics n;
    char line[200];
    slub_cache_statistics(cache, &n);
    ck_assert_uint_gt(n.refill_ticks, 0);
    ck_assert_uint_gt(n.return_ticks, 0);
    format(line, sizeof line,
           "inode: hot 67, cold 3, failed 0; 3 refills in %lu ticks, %lu returns in %lu ticks",
           n.refill_ticks, n.returns, n.return_ticks);
    ck_assert_str_eq(lines[1], line);
    close_all();
    open_with(0);
    slub_cache_allocate(cache, 0);
    slub_cache_statistics(cache, &n);
    ck_assert_uint_eq(n.refill_ticks, 0); // nobody asked for ticks
    close_all();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("slub, checked");
    TCase *tests = tcase_create("misuse and reports");
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, owners_are_who_allocated_and_who_freed);
    tcase_add_test(tests, a_double_free_names_both_owners_whatever_came_between);
    tcase_add_test(tests, an_address_inside_an_object_is_a_misaligned_free);
    tcase_add_test(tests, a_slot_that_was_never_handed_out_is_a_wild_free);
    tcase_add_test(tests, a_write_around_an_object_is_found_when_it_is_freed);
    tcase_add_test(tests, a_write_to_a_free_object_is_found_when_it_is_used_again);
    tcase_add_test(tests, each_check_is_made_only_where_it_was_asked_for);
    tcase_add_test(tests, a_checked_cache_keeps_its_alignment_and_its_contents);
    tcase_add_test(tests, an_object_of_another_cache_is_refused);
    tcase_add_test(tests, a_free_with_the_wrong_size_is_refused);
    tcase_add_test(tests, an_address_from_elsewhere_is_a_wild_free);
    tcase_add_test(tests, a_block_of_pages_is_freed_once_and_at_its_start);
    tcase_add_test(tests, a_plain_object_freed_twice_in_a_row_is_found_at_once);
    tcase_add_test(tests, a_bulk_free_finds_the_same);
    tcase_add_test(tests, the_leak_report_names_what_is_out_and_who_has_it);
    tcase_add_test(tests, leaks_of_a_plain_cache_are_those_that_are_in_no_list);
    tcase_add_test(tests, the_usage_report_tells_hot_from_cold);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
