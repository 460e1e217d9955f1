// SPDX-License-Identifier: MIT
// SLUB: caches of one type, and their colours.
#include <check.h>
#include <signal.h>

#include "run_checks.h"
#include "seed.h"
#include "slub_subject.h"

static struct subject s;

static void open_with(const struct slub_settings *settings)
{
    subject_open(&s, 1, 4u << 20, 1, settings, NULL);
}

static void close_all(void)
{
    subject_close(&s);
}

// ---- caches -------------------------------------------------------------------------------------

START_TEST(caches_of_the_same_slots_and_flags_are_one)
{
    open_with(NULL);
    struct slub_cache *first = slub_cache_create(s.slub, "first", 100, 0, 0);
    ck_assert_uint_eq(first->size, 104);
    ck_assert_ptr_eq(slub_cache_create(s.slub, "same", 104, 8, 0), first);
    ck_assert_ptr_eq(slub_cache_create(s.slub, "smaller", 97, 4, 0), first);
    ck_assert_ptr_ne(slub_cache_create(s.slub, "larger", 105, 0, 0), first);
    ck_assert_ptr_ne(slub_cache_create(s.slub, "aligned", 104, 16, 0), first);
    ck_assert_ptr_ne(slub_cache_create(s.slub, "timed", 104, 0, SLUB_PROFILE), first);
    struct slub_cache *alone = slub_cache_create(s.slub, "alone", 104, 0, SLUB_NO_MERGE);
    ck_assert_ptr_ne(alone, first);
    ck_assert_ptr_ne(slub_cache_create(s.slub, "alone", 104, 0, SLUB_NO_MERGE), alone);
    struct slub_cache *checked = slub_cache_create(s.slub, "checked", 104, 0, SLUB_POISON);
    ck_assert_ptr_ne(slub_cache_create(s.slub, "checked", 104, 0, SLUB_POISON), checked);
    ck_assert_str_eq(first->name, "first");
    // One of them ends: the others go on.
    void *object = slub_cache_allocate(first, 0);
    ck_assert_int_eq(slub_cache_destroy(first, NULL), STATUS_OK);
    ck_assert_int_eq(slub_cache_destroy(first, NULL), STATUS_OK);
    ck_assert_int_eq(slub_cache_destroy(first, NULL), STATUS_FULL);
    slub_cache_free(first, object);
    ck_assert_int_eq(slub_cache_destroy(first, NULL), STATUS_OK);
    close_all();
}
END_TEST

START_TEST(a_stricter_alignment_serves_a_looser_one)
{
    open_with(NULL);
    struct slub_cache *strict = slub_cache_create(s.slub, "strict", 128, 64, 0);
    ck_assert_ptr_eq(slub_cache_create(s.slub, "loose", 128, 16, 0), strict);
    close_all();
}
END_TEST

START_TEST(a_cache_with_objects_out_is_not_destroyed_and_says_which)
{
    struct slub_leaks leaks;
    void *objects[20];
    open_with(NULL);
    struct slub_cache *cache = slub_cache_create(s.slub, "busy", 200, 0, SLUB_OWNERS);
    for (unsigned i = 0; i < 20; i++)
        objects[i] = slub_cache_allocate(cache, 0);
    const uint64_t pages = subject_pages(&s);
    ck_assert_int_eq(slub_cache_destroy(cache, &leaks), STATUS_FULL);
    ck_assert_uint_eq(leaks.count, 20);
    ck_assert_uint_eq(leaks.shown, SLUB_REPORT_MOST);
    for (unsigned i = 0; i < SLUB_REPORT_MOST; i++) {
        ck_assert_ptr_eq(leaks.first[i].object, objects[i]);
        ck_assert_ptr_nonnull(leaks.first[i].allocator);
    }
    ck_assert_uint_eq(subject_pages(&s), pages); // nothing happened
    ck_assert_ptr_nonnull(slub_cache_allocate(cache, 0));
    ck_assert(slub_check(s.slub));
    close_all();
}
END_TEST

START_TEST(a_destroyed_cache_gives_all_back_and_its_counts_stay)
{
    struct slub_totals totals;
    struct slub_leaks leaks;
    open_with(NULL);
    struct slub_cache *cache = slub_cache_create(s.slub, "gone", 300, 0, 0);
    for (unsigned i = 0; i < 50; i++)
        slub_cache_free(cache, slub_cache_allocate(cache, 0));
    ck_assert_uint_gt(subject_pages(&s), 0);
    ck_assert_int_eq(slub_cache_destroy(cache, &leaks), STATUS_OK);
    ck_assert_uint_eq(leaks.count, 0);
    ck_assert_uint_eq(subject_pages(&s), 0);
    struct slub_cache *next = slub_cache_create(s.slub, "next", 500, 0, 0);
    ck_assert_uint_eq(next->number, cache->number); // in its place
    slub_cache_free(next, slub_cache_allocate(next, 0));
    slub_statistics(s.slub, &totals);
    ck_assert_uint_eq(totals.objects.allocations, 51);
    ck_assert_uint_eq(totals.objects.frees, 51);
    ck_assert_uint_eq(totals.bytes_allocated, 50 * 304 + 504);
    ck_assert_uint_eq(totals.bytes_freed, totals.bytes_allocated);
    subject_expect_all_back(&s);
    close_all();
}
END_TEST

START_TEST(as_many_caches_as_there_are_and_no_more)
{
    open_with(NULL);
    for (unsigned i = SLUB_CLASSES; i < SLUB_CACHES_MOST; i++)
        ck_assert_ptr_nonnull(slub_cache_create(s.slub, "one", 8 + 8 * i, 0, 0));
    ck_assert_ptr_null(slub_cache_create(s.slub, "too many", 8, 0, 0));
    close_all();
}
END_TEST

START_TEST(arguments_outside_their_ranges_make_no_cache)
{
    open_with(NULL);
    ck_assert_ptr_null(slub_cache_create(s.slub, "x", 0, 0, 0));
    ck_assert_ptr_null(slub_cache_create(s.slub, "x", SLUB_CLASS_LARGEST + 1, 0, 0));
    ck_assert_ptr_null(slub_cache_create(s.slub, "x", 8, 24, 0));
    ck_assert_ptr_null(slub_cache_create(s.slub, "x", 8, 8192, 0));
    ck_assert_ptr_null(slub_cache_create(s.slub, "x", 8, 8, 1u << 20));
    ck_assert_ptr_nonnull(slub_cache_create(s.slub, "a name that is longer than any is kept", 1,
                                            4096, SLUB_CHECKED | SLUB_PROFILE));
    ck_assert_ptr_nonnull(slub_cache_create(s.slub, "", SLUB_CLASS_LARGEST, 4096, SLUB_CHECKED));
    close_all();
}
END_TEST

START_TEST(bulk_calls_give_and_take_what_single_ones_do)
{
    void *objects[1000];
    struct slub_statistics n;
    open_with(NULL);
    struct slub_cache *cache = slub_cache_create(s.slub, "bulk", 72, 0, 0);
    for (unsigned round = 0; round < 3; round++) {
        ck_assert_uint_eq(slub_cache_allocate_bulk(cache, 1000, objects, SLUB_ZERO), 1000);
        for (unsigned i = 0; i < 1000; i++) {
            for (unsigned k = 0; k < 72; k++)
                EXPECT(((char *)objects[i])[k] == 0);
            memset(objects[i], 0xff, 72);
        }
        slub_cache_free_bulk(cache, 1000, objects);
        ck_assert(slub_check(s.slub));
    }
    slub_cache_statistics(cache, &n);
    ck_assert_uint_eq(n.allocations, 3000);
    ck_assert_uint_eq(n.frees, 3000);
    ck_assert_uint_eq(n.cached, 64); // the list's, no more
    ck_assert_int_eq(slub_cache_destroy(cache, NULL), STATUS_OK);
    subject_expect_all_back(&s);
    close_all();
}
END_TEST

static void destroy_a_class(void *unused)
{
    (void)unused;
    slub_cache_destroy(&s.slub->caches[0], NULL);
}

static void destroy_twice(void *cache)
{
    slub_cache_destroy(cache, NULL);
    slub_cache_destroy(cache, NULL);
}

START_TEST(a_class_or_a_cache_that_is_gone_cannot_be_destroyed)
{
    open_with(NULL);
    expect_panic(destroy_a_class, NULL,
                 "assertion failed: cache->number >= SLUB_CLASSES + slub->settings.extra_count");
    expect_panic(destroy_twice, slub_cache_create(s.slub, "twice", 8, 0, 0),
                 "assertion failed: cache->users > 0");
    close_all();
}
END_TEST

// ---- colours ------------------------------------------------------------------------------------

// Offsets of the first objects of 40 slabs of 600 bytes, of which 496 are left over in each.
static unsigned colours(uint32_t range, uint64_t seed, uint16_t offsets[40])
{
    struct slub_settings settings = slub_defaults;
    unsigned different = 0;
    settings.colour_range = range;
    settings.seed = seed;
    settings.bulk_objects = 1;
    open_with(&settings);
    struct slub_cache *cache = slub_cache_create(s.slub, "coloured", 600, 0, 0);
    for (unsigned slab = 0; slab < 40; slab++) {
        char *first = slub_cache_allocate(cache, 0);
        offsets[slab] = (uint16_t)((uintptr_t)first % PAGE_SIZE);
        bool seen = false;
        for (unsigned k = 0; k < slab; k++)
            seen |= offsets[k] == offsets[slab];
        different += !seen;
        for (unsigned i = 1; i < 6; i++) {
            memset(first + 600 * i, 0, 600);
            ck_assert_ptr_eq(slub_cache_allocate(cache, 0), first + 600 * i);
        }
    }
    ck_assert(slub_check(s.slub));
    close_all();
    return different;
}

START_TEST(colours_move_the_first_object_within_their_range_from_a_seeded_start)
{
    uint16_t offsets[40], again[40];
    ck_assert_uint_eq(colours(0, 1, offsets), 1);
    ck_assert_uint_eq(offsets[0], 0);
    ck_assert_uint_eq(colours(64, 1, offsets), 9); // 0, 8, ... 64
    for (unsigned i = 0; i < 40; i++)
        EXPECT(offsets[i] <= 64 && offsets[i] % 8 == 0);
    ck_assert_uint_eq(colours(PAGE_SIZE, 1, offsets), 40);
    for (unsigned i = 0; i < 40; i++)
        EXPECT(offsets[i] <= 496);
    colours(PAGE_SIZE, 1, again);
    ck_assert_mem_eq(offsets, again, sizeof offsets);
    colours(PAGE_SIZE, 2, again);
    ck_assert_mem_ne(offsets, again, sizeof offsets);
}
END_TEST

// ---- emergencies of other CPUs ------------------------------------------------------------------

// Two CPUs; the second one holds 64 objects of 64 bytes.
static void open_with_a_full_list(void)
{
    void *objects[64];
    subject_open(&s, 1, 4u << 20, 2, NULL, NULL);
    test_cpu_enter(1);
    ck_assert_uint_eq(slub_allocate_bulk(s.slub, 64, 64, objects, 0), 64);
    slub_free_bulk(s.slub, 64, objects);
}

static uint64_t held_by_the_second(void)
{
    struct slub_statistics of_class;
    slub_cpu_statistics(s.slub, 1, slub_number(s.slub, 64), &of_class);
    return of_class.cached;
}

// A block of pages: two slow paths of the second CPU, which touch no list.
static void two_slow_paths(void)
{
    test_cpu_enter(1);
    slub_free(s.slub, slub_allocate(s.slub, 20000, 0));
}

START_TEST(a_cpu_serves_others_in_one_of_so_many_slow_paths_however_many_fail)
{
    open_with_a_full_list();
    ck_assert_uint_eq(held_by_the_second(), 64);
    unsigned last = 0, served = 0;
    for (unsigned i = 1; held_by_the_second() > 0; i++) {
        const uint64_t held = held_by_the_second();
        ck_assert_uint_le(i, 10 * SLUB_PAUSE);
        test_cpu_enter(0);
        for (unsigned k = 0; k < 5; k++)
            slub_emergency_shrink(s.slub);
        two_slow_paths();
        if (held_by_the_second() == held)
            continue;
        ck_assert_uint_eq(held_by_the_second(), held / 2);
        ck_assert(served == 0 || 2 * (i - last) >= SLUB_PAUSE);
        last = i;
        served++;
    }
    ck_assert_uint_eq(served, 7);
    // With nothing to give it tries the registry now and then, and takes no depot's lock.
    const uint64_t *const locked = &s.slub->cpus[1]->locked, start = *locked;
    for (unsigned i = 0; i < 10 * SLUB_PAUSE; i++)
        two_slow_paths();
    const uint64_t own = *locked - start;
    for (unsigned i = 0; i < 10 * SLUB_PAUSE; i++) {
        test_cpu_enter(0);
        slub_emergency_shrink(s.slub);
        two_slow_paths();
    }
    ck_assert_uint_ge(*locked - start - 2 * own, 10);
    ck_assert_uint_le(*locked - start - 2 * own, 20);
    ck_assert(slub_check(s.slub));
    close_all();
}
END_TEST

START_TEST(a_cpu_that_is_asked_while_the_registry_is_in_use_goes_on_and_serves_later)
{
    open_with_a_full_list();
    test_cpu_enter(0);
    slub_emergency_shrink(s.slub);
    spinlock_acquire(&s.slub->registry);
    for (unsigned i = 0; i < 3 * SLUB_PAUSE; i++)
        two_slow_paths(); // would wait for ever
    ck_assert_uint_eq(held_by_the_second(), 64);
    test_cpu_enter(0);
    spinlock_release(&s.slub->registry);
    for (unsigned i = 0; i < SLUB_PAUSE; i++)
        two_slow_paths();
    ck_assert_uint_eq(held_by_the_second(), 32);
    close_all();
}
END_TEST

START_TEST(what_a_cpu_holds_comes_to_one_that_fails_as_it_passes_slow_paths)
{
    void *blocks[200];
    open_with_a_full_list();
    for (unsigned i = 0; i < ARRAY_COUNT(blocks); i++)
        blocks[i] = slub_allocate(s.slub, 10000, 0);
    s.sources[0].closed = true;
    unsigned failures = 0, got = 0;
    for (unsigned i = 0; i < ARRAY_COUNT(blocks); i++) {
        test_cpu_enter(0);
        void *const object = slub_allocate(s.slub, 64, 0);
        got += object != NULL;
        failures += object == NULL;
        test_cpu_enter(1);
        slub_free(s.slub, blocks[i]);
    }
    ck_assert_uint_eq(held_by_the_second(), 0);
    ck_assert_uint_ge(got, 64);
    ck_assert_uint_gt(failures, 0);
    close_all();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("slub, caches");
    TCase *tests = tcase_create("caches");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, caches_of_the_same_slots_and_flags_are_one);
    tcase_add_test(tests, a_stricter_alignment_serves_a_looser_one);
    tcase_add_test(tests, a_cache_with_objects_out_is_not_destroyed_and_says_which);
    tcase_add_test(tests, a_destroyed_cache_gives_all_back_and_its_counts_stay);
    tcase_add_test(tests, as_many_caches_as_there_are_and_no_more);
    tcase_add_test(tests, arguments_outside_their_ranges_make_no_cache);
    tcase_add_test(tests, bulk_calls_give_and_take_what_single_ones_do);
    tcase_add_test(tests, a_class_or_a_cache_that_is_gone_cannot_be_destroyed);
    tcase_add_test(tests, colours_move_the_first_object_within_their_range_from_a_seeded_start);
    tcase_add_test(tests, a_cpu_serves_others_in_one_of_so_many_slow_paths_however_many_fail);
    tcase_add_test(tests,
                   a_cpu_that_is_asked_while_the_registry_is_in_use_goes_on_and_serves_later);
    tcase_add_test(tests, what_a_cpu_holds_comes_to_one_that_fails_as_it_passes_slow_paths);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
