// SPDX-License-Identifier: MIT
// SLUB: objects of any size, against a plain array as the model; exhaustion, refused pages,
// settings and statistics.
#include <check.h>
#include <signal.h>

#include "run_checks.h"
#include "seed.h"
#include "slub_subject.h"

// ---- short sequences, all of them ---------------------------------------------------------------

#define TINY_DEPTH 6u
#define TINY_DEEDS 6u
#define TINY_HOLDS 4u // objects of 2048 bytes in two pages

static struct subject tiny;

static void tiny_step(unsigned deed, void **held, unsigned *count)
{
    struct slub *slub = tiny.slub;
    test_cpu_enter(deed == 5 ? 1 : 0);
    if (deed == 0 || deed == 5) {
        void *object = slub_allocate(slub, 2048, 0);
        // Only what another CPU keeps may be missing.
        if (object == NULL && *count < TINY_HOLDS) {
            slub_flush(slub);
            object = slub_allocate(slub, 2048, 0);
        }
        EXPECT((object != NULL) == (*count < TINY_HOLDS));
        for (unsigned i = 0; i < *count; i++)
            EXPECT(held[i] != object);
        if (object != NULL)
            held[(*count)++] = object;
    } else if (deed == 1 && *count > 0) {
        slub_free(slub, held[--*count]);
    } else if (deed == 2 && *count > 0) {
        slub_free(slub, held[0]);
        for (unsigned i = 1; i < *count; i++)
            held[i - 1] = held[i];
        --*count;
    } else if (deed == 3) {
        slub_trim(slub);
    } else if (deed == 4) {
        slub_emergency_shrink(slub);
    }
}

START_TEST(every_short_sequence_on_two_pages_gives_what_there_is)
{
    const struct slub_settings settings = {.per_cpu_objects = 2,
                                           .bulk_objects = 1,
                                           .release_percent = 50,
                                           .empty_percent = 50,
                                           .emergency_percent = 50};
    unsigned sequences = 1;
    for (unsigned i = 0; i < TINY_DEPTH; i++)
        sequences *= TINY_DEEDS;
    subject_open(&tiny, 1, 2 * PAGE_SIZE, 2, &settings, NULL);
    for (unsigned sequence = 0; sequence < sequences; sequence++) {
        void *held[TINY_HOLDS];
        unsigned count = 0, rest = sequence;
        for (unsigned i = 0; i < TINY_DEPTH; i++, rest /= TINY_DEEDS)
            tiny_step(rest % TINY_DEEDS, held, &count);
        EXPECT(slub_check(tiny.slub));
        while (count > 0)
            slub_free(tiny.slub, held[--count]);
        subject_expect_all_back(&tiny); // and the next begins with all memory free
    }
    subject_close(&tiny);
}
END_TEST

// ---- pages that are refused ---------------------------------------------------------------------

#define SCRIPT_OBJECTS 300u

// Everything that may want pages, on two nodes. Returns how many requests were refused.
static uint64_t script(struct subject *s)
{
    static const size_t sizes[] = {8, 100, 1000, 5000, 8192, 20000};
    void *objects[SCRIPT_OBJECTS] = {0}, *bulk[60];
    uint64_t refused = 0;
    for (unsigned i = 0; i < SCRIPT_OBJECTS; i++) {
        objects[i] = slub_allocate(s->slub, sizes[i % ARRAY_COUNT(sizes)], 0);
        refused += objects[i] == NULL;
    }
    const size_t got = slub_allocate_bulk(s->slub, 700, 60, bulk, SLUB_ZERO);
    refused += got < 60;
    struct slub_cache *cache = slub_cache_create(s->slub, "script", 3000, 0, 0);
    void *typed = slub_cache_allocate(cache, 0);
    refused += typed == NULL;
    void *aligned = slub_allocate_aligned(s->slub, 100, 16384, 0);
    refused += aligned == NULL;
    EXPECT(slub_check(s->slub));
    slub_free_bulk(s->slub, got, bulk);
    for (unsigned i = 0; i < SCRIPT_OBJECTS; i++)
        if (objects[i] != NULL)
            slub_free(s->slub, objects[i]);
    if (typed != NULL)
        slub_cache_free(cache, typed);
    if (aligned != NULL)
        slub_free(s->slub, aligned);
    EXPECT(slub_cache_destroy(cache, NULL) == STATUS_OK);
    return refused;
}

static void expect_failures(struct subject *s, uint64_t refused)
{
    struct slub_totals totals;
    slub_statistics(s->slub, &totals);
    EXPECT(totals.objects.failures == refused);
    subject_expect_all_back(s);
}

START_TEST(each_refused_page_is_survived_once_and_for_good)
{
    struct subject s;
    subject_open(&s, 2, 8u << 20, 1, NULL, NULL);
    EXPECT(script(&s) == 0);
    const uint64_t calls = s.sources[0].calls;
    expect_failures(&s, 0);
    subject_close(&s);
    ck_assert_uint_gt(calls, 100);
    for (uint64_t n = 0; n < calls; n++) {
        for (unsigned good = 0; good < 2; good++) {
            subject_open(&s, 2, 8u << 20, 1, NULL, NULL);
            s.sources[0].fail_at = n;
            s.sources[0].fail_for_good = good;
            // The other node has enough, unless it is closed as well.
            s.sources[1].closed = good;
            const uint64_t refused = script(&s);
            if (!good)
                EXPECT(refused == 0);
            else if (n == 0)
                EXPECT(refused == SCRIPT_OBJECTS + 3);
            expect_failures(&s, refused);
            subject_close(&s);
        }
    }
}
END_TEST

START_TEST(a_small_slab_does_where_a_large_one_is_not_to_be_had)
{
    // A class of 8192 bytes would like four to a slab: 8 pages. Here only pairs are left.
    struct subject s;
    uintptr_t pages[64];
    subject_open(&s, 1, 64 * PAGE_SIZE, 1, NULL, NULL);
    struct buddy *buddy = &s.sources[0].buddy;
    for (unsigned i = 0; i < 64; i++)
        ck_assert(buddy_allocate(buddy, 0, &pages[i]));
    for (unsigned i = 0; i < 64; i++)
        if ((pages[i] - (uintptr_t)s.arena) / PAGE_SIZE % 4 < 2)
            ck_assert_int_eq(buddy_free(buddy, pages[i], 0), STATUS_OK);
    for (unsigned i = 0; i < 16; i++)
        ck_assert_ptr_nonnull(slub_allocate(s.slub, 8192, 0));
    ck_assert_ptr_null(slub_allocate(s.slub, 8192, 0));
    ck_assert_uint_eq(s.slub->nodes[0].depots[10].slabs, 16);
    subject_close(&s);
}
END_TEST

// ---- what one call does -------------------------------------------------------------------------

START_TEST(a_size_is_served_by_the_smallest_class_that_holds_it)
{
    struct subject s;
    subject_open(&s, 1, 8u << 20, 1, NULL, NULL);
    for (size_t size = 0; size <= SLUB_CLASS_LARGEST; size++) {
        const unsigned class = slub_class(size);
        EXPECT(class < SLUB_CLASSES);
        EXPECT(8u << class >= size);
        EXPECT(class == 0 || 4u << class < size);
        EXPECT(slub_number(s.slub, size) == class);
    }
    EXPECT(slub_class(SLUB_CLASS_LARGEST + 1) == SLUB_NONE);
    EXPECT(slub_number(s.slub, SIZE_MAX) == SLUB_NONE);
    subject_close(&s);
}
END_TEST

START_TEST(what_was_freed_last_is_handed_out_first)
{
    struct subject s;
    void *objects[10];
    subject_open(&s, 1, 1u << 20, 1, NULL, NULL);
    for (unsigned i = 0; i < 10; i++)
        objects[i] = slub_allocate(s.slub, 100, 0);
    for (unsigned i = 0; i < 10; i++)
        slub_free(s.slub, objects[i]);
    for (unsigned i = 10; i-- > 0;)
        ck_assert_ptr_eq(slub_allocate(s.slub, 100, 0), objects[i]);
    subject_close(&s);
}
END_TEST

START_TEST(an_aligned_request_is_aligned_and_a_crooked_one_refused)
{
    struct subject s;
    subject_open(&s, 1, 16u << 20, 1, NULL, NULL);
    for (size_t align = 1; align <= 1u << 20; align *= 2)
        for (size_t size = 1; size <= 20000; size = size * 3 + 1) {
            char *object = slub_allocate_aligned(s.slub, size, align, SLUB_ZERO);
            ck_assert_ptr_nonnull(object);
            ck_assert_uint_eq((uintptr_t)object % align, 0);
            ck_assert_int_eq(object[size - 1], 0);
            slub_free(s.slub, object);
        }
    ck_assert_ptr_null(slub_allocate_aligned(s.slub, 8, 0, 0));
    ck_assert_ptr_null(slub_allocate_aligned(s.slub, 8, 24, 0));
    ck_assert_ptr_null(slub_allocate_aligned(s.slub, 8, 1ull << 40, 0));
    subject_expect_all_back(&s);
    subject_close(&s);
}
END_TEST

START_TEST(a_request_above_all_memory_is_refused_and_counted)
{
    struct subject s;
    struct slub_totals totals;
    subject_open(&s, 1, 1u << 20, 1, NULL, NULL);
    ck_assert_ptr_null(slub_allocate(s.slub, 2u << 20, 0));
    ck_assert_ptr_null(slub_allocate(s.slub, SIZE_MAX, SLUB_ZERO));
    ck_assert_uint_eq(slub_allocate_bulk(s.slub, SLUB_CLASS_LARGEST + 1, 3, NULL, 0), 0);
    slub_statistics(s.slub, &totals);
    ck_assert_uint_eq(totals.objects.failures, 2);
    ck_assert_uint_eq(totals.objects.allocations, 0);
    subject_close(&s);
}
END_TEST

START_TEST(every_number_is_exact)
{
    struct subject s;
    struct slub_statistics n;
    struct slub_totals totals;
    void *objects[70];
    subject_open(&s, 1, 1u << 20, 2, NULL, NULL);
    for (unsigned i = 0; i < 70; i++) // three batches of 32
        objects[i] = slub_allocate(s.slub, 64, 0);
    slub_cpu_statistics(s.slub, 0, 3, &n);
    const struct slub_statistics after_allocations = {
        .allocations = 70, .hits = 67, .misses = 3, .refills = 3, .cached = 26};
    ck_assert_mem_eq(&n, &after_allocations, sizeof n);
    for (unsigned i = 0; i < 70; i++) // 26 + 38 fit; the next gives 16 back, then 16 more fit
        slub_free(s.slub, objects[i]);
    slub_cache_statistics(&s.slub->caches[3], &n);
    const struct slub_statistics after_frees = {.allocations = 70,
                                                .frees = 70,
                                                .hits = 67,
                                                .misses = 3,
                                                .refills = 3,
                                                .returns = 2,
                                                .cached = 64,
                                                .slabs = 2,
                                                .slab_bytes = 2 * PAGE_SIZE};
    // 96 objects were cut off; 32 went back.
    ck_assert_uint_eq(n.returns, after_frees.returns);
    ck_assert_mem_eq(&n, &after_frees, sizeof n);
    slub_statistics(s.slub, &totals);
    ck_assert_uint_eq(totals.bytes_allocated, 70 * 64);
    ck_assert_uint_eq(totals.bytes_freed, 70 * 64);
    ck_assert_uint_eq(totals.pages_taken, 2);
    ck_assert_uint_eq(totals.pages_returned, 0);
    // A lock for each batch out of what is there, another where a slab was made, and each return.
    ck_assert_uint_eq(totals.locked_instructions, 3 + 2 + 2);
    slub_cpu_statistics(s.slub, 1, 3, &n);
    const struct slub_statistics none = {0};
    ck_assert_mem_eq(&n, &none, sizeof n);
    subject_close(&s);
}
END_TEST

START_TEST(preemption_is_enabled_again_after_every_call)
{
    struct subject s;
    void *bulk[100];
    subject_open(&s, 1, 1u << 20, 1, NULL, NULL);
    void *small = slub_allocate(s.slub, 8, 0), *large = slub_allocate(s.slub, 20000, 0);
    ck_assert_uint_eq(cpu_local()->preempt_count, 0);
    slub_free(s.slub, small);
    slub_free(s.slub, large);
    slub_free_bulk(s.slub, slub_allocate_bulk(s.slub, 64, 100, bulk, 0), bulk);
    ck_assert_ptr_null(slub_allocate(s.slub, 4u << 20, 0));
    slub_emergency_shrink(s.slub);
    slub_flush(s.slub);
    slub_balance(s.slub);
    slub_record(s.slub, true);
    slub_free(s.slub, slub_allocate(s.slub, 8, 0));
    slub_record(s.slub, false);
    struct slub_cache *cache = slub_cache_create(s.slub, "preempt", 24, 0, 0);
    slub_cache_destroy(cache, NULL);
    ck_assert_uint_eq(cpu_local()->preempt_count, 0);
    subject_close(&s);
}
END_TEST

// ---- memory back --------------------------------------------------------------------------------

START_TEST(a_shrink_says_exactly_what_went_back)
{
    struct random random = seeded_for("shrink");
    struct subject s;
    void *objects[600];
    for (unsigned round = 0; round < 40; round++) {
        struct slub_settings settings = slub_defaults;
        settings.emergency_percent = 1 + (uint32_t)random_below(&random, 100);
        settings.empty_percent = (uint32_t)random_below(&random, 101);
        subject_open(&s, 2, 4u << 20, 2, &settings, NULL);
        for (unsigned i = 0; i < 600; i++)
            objects[i] = slub_allocate(s.slub, 8 + random_below(&random, 3000), 0);
        for (unsigned i = 0; i < 600; i++)
            if (random_below(&random, 4) > 0) {
                slub_free(s.slub, objects[i]);
                objects[i] = NULL;
            }
        for (unsigned turn = 0; turn < 4; turn++) {
            const uint64_t before = subject_pages(&s);
            const size_t said = turn == 2   ? slub_balance(s.slub)
                                : turn == 3 ? slub_trim(s.slub)
                                            : slub_emergency_shrink(s.slub);
            ck_assert_uint_eq(said, (before - subject_pages(&s)) * PAGE_SIZE);
            ck_assert(slub_check(s.slub));
        }
        ck_assert_uint_eq(slub_trim(s.slub), 0);
        for (unsigned i = 0; i < 600; i++)
            if (objects[i] != NULL)
                slub_free(s.slub, objects[i]);
        subject_expect_all_back(&s);
        subject_close(&s);
    }
}
END_TEST

START_TEST(another_cpu_gives_back_what_it_keeps_on_its_next_slow_path)
{
    struct subject s;
    struct slub_settings settings = slub_defaults;
    struct slub_statistics n;
    settings.emergency_percent = 100;
    subject_open(&s, 1, 1u << 20, 2, &settings, NULL);
    test_cpu_enter(1);
    slub_free(s.slub, slub_allocate(s.slub, 64, 0));
    test_cpu_enter(0);
    slub_emergency_shrink(s.slub);
    slub_cpu_statistics(s.slub, 1, 3, &n);
    ck_assert_uint_eq(n.cached, 32); // nobody else may touch them
    test_cpu_enter(1);
    slub_free(s.slub, slub_allocate(s.slub, 1024, 0)); // misses
    slub_cpu_statistics(s.slub, 1, 3, &n);
    ck_assert_uint_eq(n.cached, 0);
    test_cpu_enter(0);
    subject_expect_all_back(&s);
    subject_close(&s);
}
END_TEST

static void beyond(void *slub)
{
    test_cpu_enter(5);
    slub_allocate(slub, 8, 0);
}

static void beyond_free(void *slub)
{
    void *object = slub_allocate(slub, 8, 0);
    test_cpu_enter(5);
    slub_free(slub, object);
}

static void reenter(void *slub)
{
    ((struct slub *)slub)->cpus[0]->inside = 1; // a slow path was interrupted
    slub_allocate(slub, 8, 0);
}

START_TEST(calls_that_break_the_rules_panic)
{
    struct subject s;
    subject_open(&s, 1, 1u << 20, 2, NULL, NULL);
    expect_panic(beyond, s.slub, "assertion failed: index < slub->cpu_count");
    expect_panic(beyond_free, s.slub, "assertion failed: index < slub->cpu_count");
    expect_panic(reenter, s.slub, "assertion failed: !cpu->inside");
    subject_close(&s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("slub");
    TCase *tests = tcase_create("objects of any size");
    tcase_set_timeout(tests, 1200);
    tcase_add_test(tests, every_short_sequence_on_two_pages_gives_what_there_is);
    tcase_add_test(tests, each_refused_page_is_survived_once_and_for_good);
    tcase_add_test(tests, a_small_slab_does_where_a_large_one_is_not_to_be_had);
    tcase_add_test(tests, a_size_is_served_by_the_smallest_class_that_holds_it);
    tcase_add_test(tests, what_was_freed_last_is_handed_out_first);
    tcase_add_test(tests, an_aligned_request_is_aligned_and_a_crooked_one_refused);
    tcase_add_test(tests, a_request_above_all_memory_is_refused_and_counted);
    tcase_add_test(tests, every_number_is_exact);
    tcase_add_test(tests, preemption_is_enabled_again_after_every_call);
    tcase_add_test(tests, a_shrink_says_exactly_what_went_back);
    tcase_add_test(tests, another_cpu_gives_back_what_it_keeps_on_its_next_slow_path);
    tcase_add_test(tests, calls_that_break_the_rules_panic);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
