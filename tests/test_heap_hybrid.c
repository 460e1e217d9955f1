// SPDX-License-Identifier: MIT
// The hybrid heap's own: its classes and bins, the way between its levels, its statistics, and the
// assertions of its slow paths.
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "compiler.h"
#include "heap_hybrid_parts.h"
#include "random.h"
#include "run_checks.h"
#include "seed.h"

static struct heap_hybrid heap;
static void *memory;

#define MEMORY_BYTES (4u << 20)

static void set_up(void)
{
    memory = aligned_alloc(2u << 20, MEMORY_BYTES);
    memset(memory, 0xee, MEMORY_BYTES);
    memset(&heap, 0xee, sizeof heap);
    ck_assert_int_eq(heap_hybrid_init(&heap, memory, MEMORY_BYTES), STATUS_OK);
}

static void tear_down(void)
{
    free(memory);
}

static void *allocate(size_t size)
{
    void *object = heap_hybrid_allocate(&heap, size);
    if (object == NULL)
        ck_abort_msg("%zu bytes refused", size);
    memset(object, 0x5a, size);
    return object;
}

static void release(void *object)
{
    heap_hybrid_release(&heap, object, 0); // the size is not needed
}

static struct heap_statistics statistics(void)
{
    struct heap_statistics s;
    heap_hybrid_statistics(&heap, &s);
    return s;
}

static uint64_t cached(size_t size)
{
    return heap_hybrid_cache_objects(&heap.cache, heap_size_class(size));
}

static void expect_sound(void)
{
    if (!heap_hybrid_check(&heap))
        ck_abort_msg("an invariant is broken");
}

// ---- classes -----------------------------------------------------------------------------------

START_TEST(sizes_fall_into_the_bins_of_the_design)
{
    ck_assert_uint_eq(heap_size_class(8), 0);
    ck_assert_uint_eq(heap_size_class(20), 2);
    ck_assert_uint_eq(heap_size_class(2048), 15);
    ck_assert_uint_eq(heap_size_class(3000), HEAP_CLASS_NONE);
    static const unsigned design[] = {8,   16,  24,  32,  48,  64,   96,   128,
                                      192, 256, 384, 512, 768, 1024, 1536, 2048};
    ck_assert_uint_eq(ARRAY_COUNT(design), HEAP_CLASSES);
    for (size_t size = 0; size <= 2100; size++) {
        unsigned expected = 0;
        while (expected < HEAP_CLASSES && design[expected] < size)
            expected++;
        if (heap_size_class(size) != expected)
            ck_abort_msg("%zu bytes: class %u, not %u", size, heap_size_class(size), expected);
    }
    ck_assert_uint_eq(heap_size_class(SIZE_MAX), HEAP_CLASS_NONE);
}
END_TEST

START_TEST(large_sizes_take_a_block_of_their_order)
{
    static const struct {
        size_t size, pages;
    } cases[] = {{2049, 1},
                 {4095, 1},
                 {4096, 1},
                 {4097, 2},
                 {5000, 2},
                 {8192, 2},
                 {8193, 4},
                 {65536, 16},
                 {65537, 32},
                 {(512u << 10), 128},
                 {(512u << 10) + 1, 256},
                 {1u << 20, 256}};
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct heap_statistics before = statistics();
        void *object = allocate(cases[i].size);
        const struct heap_statistics after = statistics();
        ck_assert_uint_eq(after.pages_taken - before.pages_taken, cases[i].pages);
        ck_assert_uint_eq(after.bytes_allocated - before.bytes_allocated,
                          cases[i].pages * PAGE_SIZE);
        ck_assert_uint_eq((uintptr_t)object % (cases[i].pages * PAGE_SIZE), 0);
        release(object);
        heap_hybrid_trim(&heap);
        ck_assert_uint_eq(statistics().pages_returned, statistics().pages_taken);
    }
    ck_assert_uint_eq(statistics().cache_hits + statistics().cache_misses, 0);
    expect_sound();
}
END_TEST

START_TEST(structures_are_aligned_to_cache_lines)
{
    ck_assert_uint_eq(_Alignof(struct heap_hybrid_cache), 64);
    ck_assert_uint_eq(_Alignof(struct heap_hybrid_cpu), 64);
    ck_assert_uint_eq(_Alignof(struct heap_hybrid_pages), 64);
    ck_assert_uint_eq(sizeof(struct heap_hybrid_cache) % 64, 0);
    ck_assert_int_eq(heap_hybrid_init((char *)&heap + 8, memory, MEMORY_BYTES), STATUS_INVALID);
}
END_TEST

// The slabs' reciprocals divide every offset exactly; wrong objects of a slab are told from right.
START_TEST(only_starts_of_objects_that_were_cut_off_belong_to_a_slab)
{
    for (unsigned class = 0; class < HEAP_CLASSES; class ++) {
        const unsigned slot = heap_class_bytes[class];
        char *object = allocate(heap_class_bytes[class]);
        const struct heap_hybrid_slab *slab = heap_hybrid_slab_of(&heap.pages, object);
        const char *start = (char *)heap.pages.base + (slab - heap.pages.slabs) * PAGE_SIZE;
        ck_assert_uint_eq(slab->class, class);
        const unsigned bytes = PAGE_SIZE << slab->order;
        // Not more than an eighth is lost at the end of a slab, the reason for two-page ones.
        ck_assert_uint_le(bytes - heap_hybrid_slab_capacity(slab) * slot, bytes / 8);
        for (unsigned offset = 0; offset < bytes; offset++) {
            const bool expected = offset % slot == 0 && offset / slot < slab->carved;
            if (heap_hybrid_slab_has(&heap.pages, slab, start + offset) != expected)
                ck_abort_msg("class %u, offset %u", class, offset);
        }
        release(object);
    }
}
END_TEST

// ---- statistics --------------------------------------------------------------------------------

START_TEST(all_statistics_and_the_hit_rate_are_0_at_first)
{
    const struct heap_statistics s = statistics(), none = {0};
    ck_assert_mem_eq(&s, &none, sizeof s);
    ck_assert_uint_eq(heap_hybrid_hit_permille(&s), 0);
    expect_sound();
}
END_TEST

START_TEST(hits_80_and_misses_20_are_80_percent)
{
    // An empty cache misses; what was freed, or prefilled, hits.
    for (unsigned i = 0; i < 20; i++) {
        void *objects[5];
        for (unsigned k = 0; k < 5; k++)
            objects[k] = allocate(64); // 1 miss, 4 hits
        for (unsigned k = 0; k < 5; k++)
            release(objects[k]);
        heap_hybrid_cache_flush(&heap.cache);
    }
    const struct heap_statistics s = statistics();
    ck_assert_uint_eq(s.cache_hits, 80);
    ck_assert_uint_eq(s.cache_misses, 20);
    ck_assert_uint_eq(s.refills, 20);
    ck_assert_uint_eq(heap_hybrid_hit_permille(&s), 800);
    expect_sound();
}
END_TEST

START_TEST(the_hit_rate_does_not_overflow)
{
    const struct heap_statistics many = {.cache_hits = 3ull << 61, .cache_misses = 1ull << 61};
    ck_assert_uint_eq(heap_hybrid_hit_permille(&many), 750);
    const struct heap_statistics all = {.cache_hits = UINT64_MAX};
    ck_assert_uint_eq(heap_hybrid_hit_permille(&all), 1000);
}
END_TEST

START_TEST(bytes_are_counted_in_the_sizes_of_the_bins)
{
    void *a = allocate(20), *b = allocate(65), *c = allocate(1);
    ck_assert_uint_eq(statistics().bytes_allocated, 24 + 96 + 8);
    release(b);
    ck_assert_uint_eq(statistics().bytes_freed, 96);
    release(a);
    release(c);
    ck_assert_uint_eq(statistics().bytes_freed, 24 + 96 + 8);
    ck_assert_uint_eq(statistics().frees, 3);
    ck_assert_uint_eq(statistics().header_bytes, 0);
}
END_TEST

// ---- the way between the levels ----------------------------------------------------------------

START_TEST(prefilled_10_objects_of_8_bytes_serve_10_allocations)
{
    ck_assert_uint_eq(heap_hybrid_cache_prefill(&heap.cache, 8, 10), 10);
    ck_assert_uint_eq(cached(8), 10);
    void *objects[10];
    for (unsigned i = 0; i < 10; i++)
        objects[i] = allocate(8);
    ck_assert_uint_eq(statistics().cache_hits, 10);
    ck_assert_uint_eq(statistics().cache_misses, 0);
    ck_assert_uint_eq(cached(8), 0);
    for (unsigned i = 0; i < 10; i++)
        for (unsigned k = 0; k < i; k++)
            ck_assert_ptr_ne(objects[i], objects[k]);
    release(allocate(8));
    ck_assert_uint_eq(statistics().cache_misses, 1);
    expect_sound();
}
END_TEST

START_TEST(a_prefill_stops_at_what_a_bin_holds)
{
    ck_assert_uint_le(heap_hybrid_cache_prefill(&heap.cache, 64, 1000), 64);
    ck_assert_uint_le(cached(64), HEAP_HYBRID_BIN_OBJECTS);
    ck_assert_uint_eq(heap_hybrid_cache_prefill(&heap.cache, 64, 1000), 0);
    ck_assert_uint_eq(heap_hybrid_cache_prefill(&heap.cache, 2049, 10), 0);
    expect_sound();
}
END_TEST

START_TEST(the_65th_object_sends_the_surplus_back_and_none_is_lost)
{
    static const size_t sizes[] = {8, 64, 1536, 2048};
    const size_t size = sizes[_i];
    void *objects[65];
    for (unsigned i = 0; i < 65; i++)
        objects[i] = allocate(size);
    heap_hybrid_cache_flush(&heap.cache);
    ck_assert_uint_eq(cached(size), 0);
    for (unsigned i = 0; i < 64; i++)
        release(objects[i]);
    ck_assert_uint_eq(cached(size), 64);
    ck_assert_uint_eq(statistics().surplus_returns, 0);
    const uint64_t held = heap.pages.cpus[0].classes[heap_size_class(size)].frees;
    release(objects[64]);
    ck_assert_uint_eq(statistics().surplus_returns, 1);
    ck_assert_uint_le(cached(size), 64);
    // 65 objects were out; what is not in the cache went to the slab, every one.
    const uint64_t sent = heap.pages.cpus[0].classes[heap_size_class(size)].frees - held;
    ck_assert_uint_eq(cached(size) + sent, 65);
    ck_assert_uint_eq(statistics().frees, 65);
    expect_sound();
}
END_TEST

START_TEST(no_sequence_of_frees_overfills_a_bin)
{
    struct random random = random_seeded(7);
    static void *objects[2][400];
    for (unsigned turn = 0; turn < 20; turn++) {
        for (unsigned i = 0; i < 400; i++) {
            objects[0][i] = allocate(64);
            objects[1][i] = allocate(96);
        }
        unsigned left[2] = {400, 400};
        while (left[0] + left[1] > 0) {
            unsigned which = (unsigned)random_below(&random, 2);
            which = left[which] > 0 ? which : !which;
            release(objects[which][--left[which]]);
            if (cached(64) > HEAP_HYBRID_BIN_OBJECTS || cached(96) > HEAP_HYBRID_BIN_OBJECTS)
                ck_abort_msg("a cache holds more than 64 objects of a class");
        }
        expect_sound();
    }
    ck_assert_uint_gt(statistics().surplus_returns, 0);
}
END_TEST

START_TEST(empty_pages_return_to_the_buddy)
{
    static void *objects[20000];
    for (unsigned class = 0; class < HEAP_CLASSES; class ++) {
        const size_t size = heap_class_bytes[class];
        const unsigned count = (unsigned)min_u64((1u << 20) / size, ARRAY_COUNT(objects));
        for (unsigned i = 0; i < count; i++)
            objects[i] = allocate(size);
        ck_assert_uint_ge((statistics().pages_taken - statistics().pages_returned) * PAGE_SIZE,
                          count * size);
        for (unsigned i = 0; i < count; i++)
            release(objects[i]);
        // What a cache of 64 objects can pin, and the slab kept in reserve.
        const struct heap_hybrid_cpu *cpu = &heap.pages.cpus[0];
        ck_assert_uint_le(cpu->classes[class].slabs, 64 + 1);
        heap_hybrid_cache_flush(&heap.cache);
        ck_assert_uint_eq(cpu->classes[class].slabs, 1);
        expect_sound();
    }
    heap_hybrid_trim(&heap);
    ck_assert_uint_eq(statistics().pages_taken, statistics().pages_returned);
    expect_sound();
}
END_TEST

START_TEST(memory_idle_in_caches_and_slabs_serves_a_large_request)
{
    // Every block of 1 MiB is broken by a page that only a bin holds.
    static void *pages[1024];
    unsigned count = 0;
    void *small[16];
    for (void *page; (page = heap_hybrid_allocate(&heap, 4096)) != NULL;)
        pages[count++] = page;
    ck_assert_uint_eq(statistics().failures, 1);
    for (unsigned i = 0; i < count; i += 64)
        release(pages[i]);
    for (unsigned i = 0; i < 16 && i * 64 < count; i++)
        small[i] = heap_hybrid_allocate(&heap, heap_class_bytes[i]);
    for (unsigned i = 0; i < count; i++)
        if (i % 64 != 0)
            release(pages[i]);
    for (unsigned i = 0; i < 16 && i * 64 < count; i++)
        if (small[i] != NULL)
            release(small[i]);
    unsigned blocks = 0;
    while (heap_hybrid_allocate(&heap, 1u << 20) != NULL)
        blocks++;
    ck_assert_uint_eq(blocks, 3); // of the 4 MiB one is cut by the metadata
    expect_sound();
}
END_TEST

START_TEST(the_last_object_freed_is_the_first_allocated)
{
    for (unsigned class = 0; class < HEAP_CLASSES; class ++) {
        void *a = allocate(heap_class_bytes[class]), *b = allocate(heap_class_bytes[class]);
        release(a);
        release(b);
        ck_assert_ptr_eq(allocate(heap_class_bytes[class]), b);
        ck_assert_ptr_eq(allocate(heap_class_bytes[class]), a);
        release(a);
        release(b);
    }
}
END_TEST

// ---- cycles ------------------------------------------------------------------------------------

START_TEST(mixed_20_cycles_balance)
{
    for (unsigned i = 0; i < 20; i++) {
        const size_t size = heap_class_bytes[i % HEAP_CLASSES];
        release(allocate(size));
        expect_sound();
    }
    ck_assert_uint_eq(statistics().allocations, 20);
    ck_assert_uint_eq(statistics().frees, 20);
    ck_assert_uint_eq(statistics().bytes_allocated, statistics().bytes_freed);
    ck_assert_uint_eq(statistics().cache_misses, HEAP_CLASSES);
}
END_TEST

START_TEST(mixed_100000_cycles_balance_and_hit)
{
    struct random random = seeded_for("cycles");
    static unsigned char *objects[100];
    static size_t sizes[100];
    for (unsigned i = 0; i < 100000; i++) {
        const uint64_t slot = random_below(&random, 100);
        if (objects[slot] != NULL) {
            if (objects[slot][0] != slot || objects[slot][sizes[slot] - 1] != slot)
                ck_abort_msg("an object was overwritten");
            release(objects[slot]);
        }
        sizes[slot] = heap_class_bytes[random_below(&random, HEAP_CLASSES)];
        objects[slot] = allocate(sizes[slot]);
        objects[slot][0] = objects[slot][sizes[slot] - 1] = (unsigned char)slot;
        if (i % 5000 == 0)
            expect_sound();
    }
    for (unsigned i = 0; i < 100; i++)
        if (objects[i] != NULL)
            release(objects[i]);
    const struct heap_statistics s = statistics();
    ck_assert_uint_eq(s.allocations, 100000);
    ck_assert_uint_eq(s.frees, 100000);
    ck_assert_uint_eq(s.failures, 0);
    ck_assert_uint_eq(s.bytes_allocated, s.bytes_freed);
    ck_assert_uint_eq(s.cache_hits + s.cache_misses, 100000);
    ck_assert_uint_ge(heap_hybrid_hit_permille(&s), 850);
    expect_sound();
}
END_TEST

// ---- more than one cache -----------------------------------------------------------------------

START_TEST(a_second_cache_takes_what_the_first_handed_out)
{
    static struct heap_hybrid_cache second;
    heap_hybrid_cache_attach(&second, &heap.pages, &second);
    void *objects[100];
    for (unsigned i = 0; i < 100; i++)
        objects[i] = allocate(64);
    for (unsigned i = 0; i < 100; i++)
        heap_hybrid_cache_release(&second, objects[i]);
    ck_assert_uint_le(heap_hybrid_cache_objects(&second, heap_size_class(64)), 64);
    heap_hybrid_cache_flush(&second);
    heap_hybrid_cache_flush(&heap.cache);
    const unsigned class = heap_size_class(64);
    ck_assert_uint_eq(heap.pages.cpus[0].classes[class].allocations,
                      heap.pages.cpus[0].classes[class].frees);
    heap_hybrid_trim(&heap);
    heap_hybrid_trim(&second);
    ck_assert_uint_eq(heap.pages.buddy.frames_allocated, heap.pages.buddy.frames_freed);
    ck_assert(buddy_check(&heap.pages.buddy));
}
END_TEST

START_TEST(a_cache_changes_hands)
{
    const int first = 1, second = 2;
    static struct heap_hybrid_cache cache;
    heap_hybrid_cache_attach(&cache, &heap.pages, &first);
    heap_hybrid_cache_release(&cache, heap_hybrid_cache_allocate(&cache, 64));
    heap_hybrid_cache_hand_over(&cache, &first, &second);
    ck_assert_ptr_eq(cache.owner, &second);
    ck_assert_ptr_nonnull(heap_hybrid_cache_allocate(&cache, 64));
}
END_TEST

// ---- the checker, and what panics --------------------------------------------------------------

START_TEST(the_check_finds_planted_faults)
{
    char *a = allocate(64), *b = allocate(64);
    release(a);
    release(b);
    expect_sound();
    const unsigned class = heap_size_class(64);
    heap.cache.from_bin[class]++; // a count that does not fit the list
    ck_assert(!heap_hybrid_check(&heap));
    heap.cache.from_bin[class]--;
    heap.pages.cpus[0].classes[class].frees++;
    ck_assert(!heap_hybrid_check(&heap));
    heap.pages.cpus[0].classes[class].frees--;
    heap.cache.hot = (struct heap_object *)(void *)(b + 8); // not the start of an object
    ck_assert(!heap_hybrid_check(&heap));
    heap.cache.hot = (struct heap_object *)(void *)b;
    struct heap_object *const head = heap.cache.heads[class];
    heap.cache.heads[class] = head->next; // an object is lost
    ck_assert(!heap_hybrid_check(&heap));
    heap.cache.heads[class] = head;
    heap.pages.map[heap.pages.page_count - 1] ^= 1; // a page nobody took claims to be a slab
    ck_assert(!heap_hybrid_check(&heap));
    heap.pages.map[heap.pages.page_count - 1] ^= 1;
    expect_sound();
}
END_TEST

START_TEST(an_interrupt_handler_inside_a_slow_path_panics)
{
    heap.cache.inside = true; // the thread that was interrupted
    heap_hybrid_allocate(&heap, 64);
}
END_TEST

START_TEST(a_hand_over_by_another_than_the_owner_panics)
{
    const int other = 0;
    heap_hybrid_cache_hand_over(&heap.cache, &other, &other);
}
END_TEST

START_TEST(metadata_freed_panics)
{
    release(memory);
}
END_TEST

// Without the walk of test builds: a slab counts what comes back.
START_TEST(an_object_freed_twice_is_found_when_the_cache_sends_it_back)
{
    struct heap_object *a = allocate(2048), *b = allocate(2048);
    heap_hybrid_cache_flush(&heap.cache);
    a->next = b;
    b->next = a;
    heap_hybrid_give(&heap.cache, heap_size_class(2048), 3, a);
}
END_TEST

START_TEST(a_pointer_into_the_middle_is_found_when_the_cache_sends_it_back)
{
    char *a = allocate(64);
    struct heap_object *middle = (struct heap_object *)(void *)(a + 16);
    middle->next = NULL;
    heap_hybrid_give(&heap.cache, heap_size_class(64), 1, middle);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("heap_hybrid");
    TCase *tests = tcase_create("hybrid"), *panics = tcase_create("panics");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, sizes_fall_into_the_bins_of_the_design);
    tcase_add_test(tests, large_sizes_take_a_block_of_their_order);
    tcase_add_test(tests, structures_are_aligned_to_cache_lines);
    tcase_add_test(tests, only_starts_of_objects_that_were_cut_off_belong_to_a_slab);
    tcase_add_test(tests, all_statistics_and_the_hit_rate_are_0_at_first);
    tcase_add_test(tests, hits_80_and_misses_20_are_80_percent);
    tcase_add_test(tests, the_hit_rate_does_not_overflow);
    tcase_add_test(tests, bytes_are_counted_in_the_sizes_of_the_bins);
    tcase_add_test(tests, prefilled_10_objects_of_8_bytes_serve_10_allocations);
    tcase_add_test(tests, a_prefill_stops_at_what_a_bin_holds);
    tcase_add_loop_test(tests, the_65th_object_sends_the_surplus_back_and_none_is_lost, 0, 4);
    tcase_add_test(tests, no_sequence_of_frees_overfills_a_bin);
    tcase_add_test(tests, empty_pages_return_to_the_buddy);
    tcase_add_test(tests, memory_idle_in_caches_and_slabs_serves_a_large_request);
    tcase_add_test(tests, the_last_object_freed_is_the_first_allocated);
    tcase_add_test(tests, mixed_20_cycles_balance);
    tcase_add_test(tests, mixed_100000_cycles_balance_and_hit);
    tcase_add_test(tests, a_second_cache_takes_what_the_first_handed_out);
    tcase_add_test(tests, a_cache_changes_hands);
    tcase_add_test(tests, the_check_finds_planted_faults);
    suite_add_tcase(suite, tests);

    tcase_add_checked_fixture(panics, set_up, tear_down);
#define PANICS(test) tcase_add_test_raise_signal(panics, test, SIGABRT)
    PANICS(an_interrupt_handler_inside_a_slow_path_panics);
    PANICS(a_hand_over_by_another_than_the_owner_panics);
    PANICS(metadata_freed_panics);
    PANICS(an_object_freed_twice_is_found_when_the_cache_sends_it_back);
    PANICS(a_pointer_into_the_middle_is_found_when_the_cache_sends_it_back);
#undef PANICS
    suite_add_tcase(suite, panics);
    return run_checks(suite);
}
