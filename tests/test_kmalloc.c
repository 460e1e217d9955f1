// SPDX-License-Identifier: MIT
// kmalloc: its levels and the ways between them, its statistics, and what panics.
#include <signal.h>

#include "kmalloc_subject.h"
#include "run_checks.h"

#define MEMORY_BYTES (4u << 20)

static void set_up(void)
{
    make_heap(MEMORY_BYTES);
}

static void *allocate(size_t size)
{
    void *object = kmalloc(&heap, size);
    if (object == NULL)
        ck_abort_msg("%zu bytes refused", size);
    memset(object, 0x5a, size);
    return object;
}

// ---- sizes --------------------------------------------------------------------------------------

START_TEST(kmalloc_of_64_bytes_gives_64_aligned_bytes_of_its_own)
{
    unsigned char *a = kmalloc(&heap, 64), *b = kmalloc(&heap, 64);
    ck_assert(a != NULL && b != NULL && a != b);
    ck_assert_uint_eq((uintptr_t)a % 64, 0);
    ck_assert_uint_eq(kmalloc_usable(&heap, a), 64);
    memset(a, 1, 64);
    memset(b, 2, 64);
    expect_bytes(a, 64, 1);
    kfree(&heap, a);
    ck_assert_ptr_eq(kmalloc(&heap, 64), a); // the object freed last is the first
    kfree(&heap, a);
    kfree(&heap, b);
    expect_sound();
}
END_TEST

START_TEST(every_size_falls_into_the_next_power_of_two)
{
    for (size_t size = 1; size <= 4096; size++) {
        unsigned expected = 0;
        while ((size_t)16 << expected < size)
            expected++;
        if (heap_kmalloc_class(size) != expected)
            ck_abort_msg("%zu bytes: class %u, not %u", size, heap_kmalloc_class(size), expected);
    }
}
END_TEST

START_TEST(each_level_serves_its_sizes_up_to_the_last_byte)
{
    static const struct {
        size_t size, usable;
    } cases[] = {{0, 16},          {1, 16},      {16, 16},     {17, 32},      {32, 32},
                 {33, 64},         {65, 128},    {129, 256},   {256, 256},    {257, 512},
                 {512, 512},       {513, 1024},  {1025, 2048}, {2048, 2048},  {2049, 4096},
                 {4096, 4096},     {4097, 8192}, {8192, 8192}, {8193, 16384}, {1u << 20, 1u << 20},
                 {65537, 1u << 17}};
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct heap_statistics before = statistics();
        unsigned char *a = allocate(cases[i].size), *b = allocate(cases[i].size);
        ck_assert_uint_eq(kmalloc_usable(&heap, a), cases[i].usable);
        ck_assert_uint_eq((uintptr_t)a % cases[i].usable, 0);
        memset(a, 0x11, cases[i].usable);
        memset(b, 0x22, cases[i].usable);
        expect_bytes(a, cases[i].usable, 0x11);
        const struct heap_statistics after = statistics();
        ck_assert_uint_eq(after.bytes_allocated - before.bytes_allocated, 2 * cases[i].usable);
        kfree(&heap, a);
        kfree(&heap, b);
        expect_sound();
    }
    expect_all_back(1);
}
END_TEST

START_TEST(the_largest_block_is_served_and_one_byte_more_is_not)
{
    drop_heap();
    make_heap(40u << 20);
    size_t sizes[] = {HEAP_KMALLOC_LARGEST + 1, SIZE_MAX / 2, SIZE_MAX - 15, SIZE_MAX};
    for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
        __asm__("" : "+r"(sizes[i])); // so that the compiler does not warn of what is meant
        ck_assert_ptr_null(kmalloc(&heap, sizes[i]));
        ck_assert_ptr_null(kzalloc(&heap, sizes[i]));
    }
    ck_assert_uint_eq(statistics().failures, 2 * ARRAY_COUNT(sizes));
    void *largest = kmalloc(&heap, HEAP_KMALLOC_LARGEST);
    ck_assert_ptr_nonnull(largest);
    ck_assert_uint_eq(kmalloc_usable(&heap, largest), HEAP_KMALLOC_LARGEST);
    ck_assert_ptr_null(krealloc(&heap, largest, sizes[0]));
    kfree(&heap, largest);
    expect_all_back(1);
}
END_TEST

START_TEST(kzalloc_zeroes_what_was_asked_for)
{
    static const size_t sizes[] = {0, 1, 16, 100, 256, 257, 2048, 4096, 4097, 65536};
    for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
        kfree(&heap, allocate(sizes[i]));
        unsigned char *object = kzalloc(&heap, sizes[i]);
        ck_assert_ptr_nonnull(object);
        expect_bytes(object, sizes[i], 0);
        kfree(&heap, object);
    }
}
END_TEST

// ---- the way between the levels -----------------------------------------------------------------

START_TEST(all_statistics_are_0_at_first)
{
    const struct heap_statistics s = statistics(), none = {0};
    ck_assert_mem_eq(&s, &none, sizeof s);
    expect_sound();
}
END_TEST

START_TEST(a_miss_of_the_thread_level_carves_a_page)
{
    for (unsigned class = 0; class < HEAP_KMALLOC_BINS; class ++) {
        const size_t size = heap_kmalloc_class_bytes(class);
        const struct heap_statistics before = statistics();
        const char *first = allocate(size);
        ck_assert_uint_eq(statistics().cache_misses - before.cache_misses, 1);
        ck_assert_uint_eq(heap.pools[class].given, 32);
        ck_assert_uint_eq(heap.pools[class].slabs, (32 * size + PAGE_SIZE - 1) / PAGE_SIZE);
        const struct heap_kmalloc_slab *slab =
            &heap.slabs[((uintptr_t)first - heap.base) / PAGE_SIZE];
        ck_assert_uint_eq(slab->class, class);
        // The next 31 are hits, in order through the page.
        for (unsigned i = 1; i < 32; i++) {
            const char *next = allocate(size);
            if (i % (PAGE_SIZE / size) != 0)
                ck_assert_ptr_eq(next, first + i % (PAGE_SIZE / size) * size);
            else
                first = next;
        }
        ck_assert_uint_eq(statistics().cache_misses - before.cache_misses, 1);
        ck_assert_uint_eq(statistics().cache_hits - before.cache_hits, 31);
        expect_sound();
    }
}
END_TEST

START_TEST(the_65th_object_sends_the_surplus_back_and_none_is_lost)
{
    const unsigned class = (unsigned)_i;
    const size_t size = heap_kmalloc_class_bytes(class);
    void *objects[65];
    for (unsigned i = 0; i < 65; i++)
        objects[i] = allocate(size);
    heap_kmalloc_trim(&heap);
    ck_assert_uint_eq(heap_kmalloc_bin_objects(&heap.first, class), 0);
    for (unsigned i = 0; i < 64; i++)
        kfree(&heap, objects[i]);
    ck_assert_uint_eq(heap_kmalloc_bin_objects(&heap.first, class), 63); // and the hot one
    ck_assert_uint_eq(statistics().surplus_returns, 0);
    kfree(&heap, objects[64]);
    ck_assert_uint_eq(statistics().surplus_returns, 1);
    ck_assert_uint_eq(heap_kmalloc_bin_objects(&heap.first, class), 63 - 32 + 1);
    ck_assert_uint_eq(heap.pools[class].given - heap.pools[class].taken_back, 65 - 32);
    ck_assert_uint_eq(statistics().frees, 65);
    expect_all_back(1);
}
END_TEST

START_TEST(the_cpu_slab_keeps_what_it_takes_back_and_only_there)
{
    static const size_t sizes[] = {512, 1024, 2048, 4096};
    for (unsigned i = 0; i < 4; i++) {
        void *object = allocate(sizes[i]);
        kfree(&heap, object);
        test_cpu_enter(1);
        void *other = allocate(sizes[i]);
        ck_assert_ptr_ne(other, object);
        kfree(&heap, other);
        ck_assert_ptr_eq(allocate(sizes[i]), other);
        test_cpu_enter(0);
        ck_assert_ptr_eq(allocate(sizes[i]), object);
        // Freed elsewhere it is that CPU's.
        test_cpu_enter(1);
        kfree(&heap, object);
        ck_assert_ptr_eq(allocate(sizes[i]), object);
        kfree(&heap, object);
        kfree(&heap, other);
        expect_sound();
        test_cpu_enter(0);
    }
    expect_all_back(2);
}
END_TEST

START_TEST(no_sequence_of_frees_overfills_what_a_cpu_keeps)
{
    static void *objects[4][200];
    static const size_t sizes[] = {512, 1024, 2048, 4096};
    for (unsigned turn = 0; turn < 3; turn++) {
        for (unsigned i = 0; i < 4; i++)
            for (unsigned k = 0; k < 100; k++)
                objects[i][k] = allocate(sizes[i]);
        for (unsigned i = 0; i < 4; i++)
            for (unsigned k = 0; k < 100; k++)
                kfree(&heap, objects[i][k]);
        ck_assert_uint_le(heap.cpus[0].lists[0].count, 32);
        ck_assert_uint_le(heap.cpus[0].lists[1].count, 32);
        ck_assert_uint_le(heap.cpus[0].lists[2].count, 16);
        ck_assert_uint_le(heap.cpus[0].page_count, HEAP_KMALLOC_STACK_PAGES);
        expect_sound();
    }
    ck_assert_uint_gt(statistics().surplus_returns, 0);
    expect_all_back(1);
}
END_TEST

START_TEST(empty_pages_go_back_and_join_their_neighbours)
{
    const uint64_t largest = buddy_free_blocks(&heap.buddy, 9);
    static void *objects[20000];
    ck_assert_uint_gt(largest, 0);
    for (size_t size = 16; size <= 8192; size *= 2) {
        const unsigned count = (unsigned)min_u64((1u << 20) / size, ARRAY_COUNT(objects));
        for (unsigned i = 0; i < count; i++)
            objects[i] = allocate(size);
        ck_assert_uint_ge((statistics().pages_taken - statistics().pages_returned) * PAGE_SIZE,
                          count * size);
        for (unsigned i = 0; i < count; i++)
            kfree(&heap, objects[i]);
        expect_sound();
        ck_assert_uint_gt(heap_kmalloc_trim(&heap) + (size > 4096), 0);
        ck_assert_uint_eq(heap_kmalloc_trim(&heap), 0); // nothing is left to give
        ck_assert_uint_eq(buddy_free_blocks(&heap.buddy, 9), largest);
    }
    expect_all_back(1);
}
END_TEST

START_TEST(memory_idle_in_the_lists_serves_a_large_request)
{
    static void *pages[2048];
    unsigned count = 0;
    for (void *page; (page = kmalloc(&heap, 4096)) != NULL;)
        pages[count++] = page;
    for (unsigned i = 0; i < count; i++)
        kfree(&heap, pages[i]);
    // An object of each class breaks the blocks, and waits in a list.
    for (size_t size = 16; size <= 4096; size *= 2)
        kfree(&heap, allocate(size));
    unsigned blocks = 0;
    while (kmalloc(&heap, 1u << 20) != NULL)
        blocks++;
    ck_assert_uint_eq(blocks, 3); // of the 4 MiB one is cut by the metadata
    expect_sound();
}
END_TEST

START_TEST(what_another_cpu_keeps_comes_back_by_a_trim_there)
{
    static void *pages[2048];
    unsigned count = 0, again = 0;
    while ((pages[count] = kmalloc(&heap, 4096)) != NULL)
        count++;
    test_cpu_enter(1);
    for (unsigned i = 0; i < count; i++)
        kfree(&heap, pages[i]);
    const uint64_t kept = heap.cpus[1].page_count;
    ck_assert_uint_gt(kept, 0);
    ck_assert_uint_le(kept, HEAP_KMALLOC_STACK_PAGES); // the bound
    test_cpu_enter(0);
    while ((pages[again] = kmalloc(&heap, 4096)) != NULL)
        again++;
    ck_assert_uint_eq(again, count - kept);
    test_cpu_enter(1);
    ck_assert_uint_eq(heap_kmalloc_trim(&heap), kept * PAGE_SIZE);
    test_cpu_enter(0);
    while ((pages[again] = kmalloc(&heap, 4096)) != NULL)
        again++;
    ck_assert_uint_eq(again, count);
    expect_sound();
}
END_TEST

START_TEST(a_further_handle_takes_and_leaves)
{
    static struct heap_kmalloc_thread second;
    void *objects[100];
    struct heap_kmalloc_thread *handle = heap_kmalloc_join(&heap, &second);
    ck_assert_ptr_eq(handle, &second);
    for (unsigned i = 0; i < 100; i++)
        objects[i] = allocate(64);
    for (unsigned i = 0; i < 100; i++)
        kfree(handle, objects[i]);
    void *kept = kmalloc(handle, 128);
    ck_assert_uint_eq(statistics().allocations, 101);
    ck_assert_uint_eq(statistics().frees, 100);
    expect_sound();
    const struct heap_statistics before = statistics();
    heap_kmalloc_leave(handle);
    memset(&second, 0xee, sizeof second);
    const struct heap_statistics after = statistics();
    ck_assert_uint_eq(after.allocations, before.allocations);
    ck_assert_uint_eq(after.frees, before.frees);
    ck_assert_uint_eq(after.cache_hits, before.cache_hits);
    ck_assert_uint_eq(heap.pools[2].given - heap.pools[2].taken_back, // 64 bytes: all are back
                      heap_kmalloc_bin_objects(&heap.first, 2));
    kfree(&heap, kept); // objects live on
    expect_all_back(1);
}
END_TEST

START_TEST(the_preempt_count_is_as_it_was_after_every_call)
{
    static const size_t sizes[] = {0, 16, 300, 4096, 10000, SIZE_MAX};
    for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
        size_t size = sizes[i];
        __asm__("" : "+r"(size));
        void *object = kmalloc(&heap, size);
        ck_assert_uint_eq(cpu_local()->preempt_count, 0);
        if (object != NULL)
            object = krealloc(&heap, object, 2 * size + 1);
        ck_assert_uint_eq(cpu_local()->preempt_count, 0);
        if (object != NULL)
            kfree(&heap, object);
        heap_kmalloc_refill(&heap, 64);
        heap_kmalloc_trim(&heap);
        ck_assert_uint_eq(cpu_local()->preempt_count, 0);
    }
}
END_TEST

// ---- the checker, and what panics ---------------------------------------------------------------

START_TEST(the_check_finds_planted_faults)
{
    allocate(64);
    char *a = allocate(64), *b = allocate(64), *c = allocate(512), *page = allocate(4096);
    kfree(&heap, a);
    kfree(&heap, b);
    kfree(&heap, c);
    expect_sound();
#define BREAKS(plant, mend)                                                                        \
    do {                                                                                           \
        plant;                                                                                     \
        if (heap_kmalloc_check(&heap))                                                             \
            ck_abort_msg("not found: %s", #plant);                                                 \
        mend;                                                                                      \
        expect_sound();                                                                            \
    } while (0)
    BREAKS(heap.first.from_bin[2]++, heap.first.from_bin[2]--);
    BREAKS(heap.pools[2].given++, heap.pools[2].given--);
    BREAKS(heap.pools[2].slabs++, heap.pools[2].slabs--);
    BREAKS(heap.first.hot = (void *)(b + 8), heap.first.hot = (void *)b);
    BREAKS(heap.first.inside = true, heap.first.inside = false);
    struct heap_object *const head = heap.first.heads[2];
    BREAKS(heap.first.heads[2] = head->next, heap.first.heads[2] = head);
    BREAKS(heap.cpus[0].lists[0].count++, heap.cpus[0].lists[0].count--);
    BREAKS(heap.cpus[0].page_count--, heap.cpus[0].page_count++);
    BREAKS(heap.map[heap.page_count - 1] ^= 1, heap.map[heap.page_count - 1] ^= 1);
    uint8_t *const kind = &heap.map[heap_kmalloc_page_of(&heap, page)];
    BREAKS(*kind = HEAP_KMALLOC_NONE, *kind = HEAP_KMALLOC_PAGE);
    BREAKS(heap.block_allocations++, heap.block_allocations--);
#undef BREAKS
}
END_TEST

START_TEST(an_object_of_any_level_freed_twice_panics)
{
    static const size_t sizes[] = {16, 256, 512, 2048, 4096, 8192};
    void *object = allocate(sizes[_i]), *between = allocate(sizes[_i]);
    kfree(&heap, object);
    kfree(&heap, between);
    kfree(&heap, object);
}
END_TEST

START_TEST(an_object_of_any_level_freed_here_and_on_another_cpu_panics)
{
    static const size_t sizes[] = {16, 256, 512, 2048, 4096, 8192};
    static struct heap_kmalloc_thread second;
    void *object = allocate(sizes[_i]);
    kfree(&heap, object);
    test_cpu_enter(1);
    kfree(heap_kmalloc_join(&heap, &second), object);
}
END_TEST

START_TEST(a_pointer_into_an_object_of_any_level_panics)
{
    static const size_t sizes[] = {32, 256, 512, 2048, 4096, 8192};
    kfree(&heap, (char *)allocate(sizes[_i]) + 16);
}
END_TEST

START_TEST(a_pointer_to_a_later_page_of_a_block_panics)
{
    kfree(&heap, (char *)allocate(16384) + 8192);
}
END_TEST

START_TEST(null_panics)
{
    kfree(&heap, NULL);
}
END_TEST

START_TEST(metadata_freed_panics)
{
    kfree(&heap, memory);
}
END_TEST

START_TEST(resizing_what_was_freed_panics)
{
    static const size_t sizes[] = {16, 512, 4096, 8192};
    void *object = allocate(sizes[_i]);
    kfree(&heap, object);
    krealloc(&heap, object, 100);
}
END_TEST

START_TEST(an_interrupt_handler_inside_a_slow_path_panics)
{
    static const size_t sizes[] = {64, 512, 8192};
    heap.first.inside = true; // the thread that was interrupted
    kmalloc(&heap, sizes[_i]);
}
END_TEST

START_TEST(leaving_with_the_first_handle_panics)
{
    heap_kmalloc_leave(&heap);
}
END_TEST

START_TEST(a_handle_that_is_no_cache_line_panics)
{
    static struct heap_kmalloc_thread second[2];
    heap_kmalloc_join(&heap, (char *)second + 16);
}
END_TEST

// Without the bits of test builds: a slab counts what comes back.
START_TEST(an_object_freed_twice_is_found_when_its_bin_goes_to_the_pool)
{
    struct heap_object *a = allocate(256), *b = allocate(256);
    a->next = b;
    b->next = a;
    heap_kmalloc_pool_give(&heap, 4, 3, a);
    heap_kmalloc_pool_give(&heap, 4, 30, a);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kmalloc");
    TCase *tests = tcase_create("kmalloc"), *panics = tcase_create("panics");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, drop_heap);
    tcase_add_test(tests, kmalloc_of_64_bytes_gives_64_aligned_bytes_of_its_own);
    tcase_add_test(tests, every_size_falls_into_the_next_power_of_two);
    tcase_add_test(tests, each_level_serves_its_sizes_up_to_the_last_byte);
    tcase_add_test(tests, the_largest_block_is_served_and_one_byte_more_is_not);
    tcase_add_test(tests, kzalloc_zeroes_what_was_asked_for);
    tcase_add_test(tests, all_statistics_are_0_at_first);
    tcase_add_test(tests, a_miss_of_the_thread_level_carves_a_page);
    tcase_add_loop_test(tests, the_65th_object_sends_the_surplus_back_and_none_is_lost, 0,
                        HEAP_KMALLOC_BINS);
    tcase_add_test(tests, the_cpu_slab_keeps_what_it_takes_back_and_only_there);
    tcase_add_test(tests, no_sequence_of_frees_overfills_what_a_cpu_keeps);
    tcase_add_test(tests, empty_pages_go_back_and_join_their_neighbours);
    tcase_add_test(tests, memory_idle_in_the_lists_serves_a_large_request);
    tcase_add_test(tests, what_another_cpu_keeps_comes_back_by_a_trim_there);
    tcase_add_test(tests, a_further_handle_takes_and_leaves);
    tcase_add_test(tests, the_preempt_count_is_as_it_was_after_every_call);
    tcase_add_test(tests, the_check_finds_planted_faults);
    suite_add_tcase(suite, tests);

    tcase_add_checked_fixture(panics, set_up, drop_heap);
#define PANICS(test, count) tcase_add_loop_test_raise_signal(panics, test, SIGABRT, 0, count)
    PANICS(an_object_of_any_level_freed_twice_panics, 6);
    PANICS(an_object_of_any_level_freed_here_and_on_another_cpu_panics, 6);
    PANICS(a_pointer_into_an_object_of_any_level_panics, 6);
    PANICS(a_pointer_to_a_later_page_of_a_block_panics, 1);
    PANICS(null_panics, 1);
    PANICS(metadata_freed_panics, 1);
    PANICS(resizing_what_was_freed_panics, 4);
    PANICS(an_interrupt_handler_inside_a_slow_path_panics, 3);
    PANICS(leaving_with_the_first_handle_panics, 1);
    PANICS(a_handle_that_is_no_cache_line_panics, 1);
    PANICS(an_object_freed_twice_is_found_when_its_bin_goes_to_the_pool, 1);
#undef PANICS
    suite_add_tcase(suite, panics);
    return run_checks(suite);
}
