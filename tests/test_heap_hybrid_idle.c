// SPDX-License-Identifier: MIT
// What handles of the hybrid heap keep while they do nothing, how much that is of the memory, and
// how those who need it get it. One thread, which is on one CPU after the other.
#include "heap_hybrid_parts.h"
#include "heap_subject.h"

#define MEMORY_BYTES (8u << 20)
#define IDLE         15u

static struct heap_hybrid heap;
static struct heap_hybrid_cache second, idle[IDLE];
static void *memory;

static void set_up(void)
{
    memory = aligned_alloc(2u << 20, MEMORY_BYTES);
    memset(memory, 0xee, MEMORY_BYTES);
    memset(&heap, 0xee, sizeof heap);
    memset(&second, 0xee, sizeof second);
    ck_assert_int_eq(heap_hybrid_init(&heap, memory, MEMORY_BYTES), STATUS_OK);
    ck_assert_ptr_eq(heap_hybrid_join(&heap, &second), &second);
}

static void tear_down(void)
{
    test_cpu_enter(0);
    ck_assert_uint_eq(cpu_local()->preempt_count, 0);
    free(memory);
}

static struct heap_statistics statistics(void)
{
    struct heap_statistics s;
    heap_hybrid_statistics(&heap, &s);
    return s;
}

static void expect_sound(void)
{
    if (!heap_hybrid_check(&heap))
        ck_abort_msg("an invariant is broken");
}

// All that all CPUs hold is given back.
static void expect_nothing_out(void)
{
    for (unsigned cpu = IDLE + 1; cpu-- > 0;) {
        test_cpu_enter(cpu);
        heap_hybrid_trim(&second);
        heap_hybrid_trim(&heap);
    }
    expect_sound();
    ck_assert_uint_eq(statistics().pages_taken, statistics().pages_returned);
    ck_assert_uint_eq(buddy_free_blocks(&heap.pages.buddy, HEAP_HYBRID_ORDER),
                      MEMORY_BYTES / HEAP_HYBRID_LARGEST - 1); // the metadata lies in one
}

static void allocate_on(unsigned cpu, void *handle, size_t size, void **objects, unsigned count)
{
    test_cpu_enter(cpu);
    for (unsigned i = 0; i < count; i++) {
        objects[i] = heap_hybrid_allocate(handle, size);
        ck_assert_ptr_nonnull(objects[i]);
        fill_object(objects[i], size);
    }
}

static void release_on(unsigned cpu, void *handle, void **objects, unsigned count)
{
    test_cpu_enter(cpu);
    for (unsigned i = 0; i < count; i++)
        heap_hybrid_release(handle, objects[i], expect_whole(objects[i]));
}

// Each on a CPU of its own. They take up to `most` objects of a size each, then free them.
static void idle_after_use(size_t size, unsigned most)
{
    static void *objects[IDLE][MEMORY_BYTES / 64];
    unsigned counts[IDLE];
    for (unsigned i = 0; i < IDLE; i++) {
        test_cpu_enter(i + 1);
        ck_assert_ptr_nonnull(heap_hybrid_join(&heap, &idle[i]));
    }
    for (unsigned i = 0; i < IDLE; i++) {
        test_cpu_enter(i + 1);
        unsigned count = 0;
        while (count < most && (objects[i][count] = heap_hybrid_allocate(&idle[i], size)) != NULL)
            count++;
        ck_assert_uint_gt(count, 0);
        counts[i] = count;
    }
    for (unsigned i = 0; i < IDLE; i++) {
        test_cpu_enter(i + 1);
        for (unsigned k = 0; k < counts[i]; k++)
            heap_hybrid_release(&idle[i], objects[i][k], size);
        // Whatever number it was: the last free finds place.
        heap_hybrid_release(&idle[i], heap_hybrid_allocate(&idle[i], size), size);
    }
    test_cpu_enter(0);
    expect_sound();
}

static uint64_t idle_kept(void)
{
    uint64_t kept = 0;
    for (unsigned i = 0; i < IDLE; i++)
        kept += idle[i].kept;
    return kept;
}

static void all_leave(void)
{
    for (unsigned i = 0; i < IDLE; i++)
        heap_hybrid_leave(&idle[i]);
    expect_nothing_out();
}

// Bytes that the first handle gets in pieces of a size; and gives back again.
static uint64_t bytes_for_the_first(size_t size)
{
    static void *objects[MEMORY_BYTES / 64];
    unsigned count = 0;
    test_cpu_enter(0);
    while ((objects[count] = heap_hybrid_allocate(&heap, size)) != NULL)
        count++;
    for (unsigned i = 0; i < count; i++)
        heap_hybrid_release(&heap, objects[i], size);
    return count * size;
}

// Whatever sizes of blocks: 15/16 of the memory is for the handle that works.
START_TEST(idle_handles_keep_a_16th_of_the_memory_in_blocks_all_together)
{
    const size_t size = (size_t)PAGE_SIZE << _i;
    const uint64_t empty = bytes_for_the_first(size);
    heap_hybrid_trim(&heap);
    idle_after_use(size, (unsigned)(MEMORY_BYTES / size * 9 / 10 / IDLE));
    ck_assert_uint_gt(idle_kept(), 0);
    ck_assert_uint_le(idle_kept(), MEMORY_BYTES / PAGE_SIZE / 16);
    ck_assert_uint_ge(bytes_for_the_first(size), empty - MEMORY_BYTES / 16);
    ck_assert_uint_ge(bytes_for_the_first(size), MEMORY_BYTES * 13 / 16); // metadata is the rest
    all_leave();
}
END_TEST

// What the header says: 64 objects of each class, which pin so many slabs; pages for the rest.
START_TEST(idle_handles_keep_their_bins_and_no_more_of_small_objects)
{
    static const size_t sizes[] = {64, 256, 1024, 2048};
    const size_t size = sizes[_i];
    const uint64_t empty = bytes_for_the_first(size);
    heap_hybrid_trim(&heap);
    idle_after_use(size, (unsigned)(MEMORY_BYTES / size * 8 / 10 / IDLE));
    ck_assert_uint_ge(bytes_for_the_first(size), empty - MEMORY_BYTES / 16 - IDLE * 64 * size);
    all_leave();
}
END_TEST

START_TEST(a_cache_keeps_at_most_64_objects_of_each_class_446_KiB)
{
    static void *objects[200];
    uint64_t bytes = 0;
    for (unsigned class = 0; class < HEAP_CLASSES; class ++) {
        allocate_on(0, &heap, heap_class_bytes[class], objects, 200);
        release_on(0, &heap, objects, 200);
    }
    for (unsigned class = 0; class < HEAP_CLASSES; class ++) {
        ck_assert_uint_le(heap_hybrid_cache_objects(&heap.cache, class), 64);
        bytes += 64 * heap_class_bytes[class];
    }
    ck_assert_uint_eq(bytes >> 10, 446);
    expect_nothing_out();
}
END_TEST

// A refused request asks; every handle gives back bins and blocks on its next slow path.
START_TEST(who_was_refused_gets_what_others_keep_as_soon_as_they_call)
{
    const uint64_t empty = bytes_for_the_first(HEAP_HYBRID_LARGEST);
    heap_hybrid_trim(&heap);
    idle_after_use(512, 200);
    for (unsigned i = 0; i < IDLE; i++) {
        void *block = heap_hybrid_allocate(&idle[i], PAGE_SIZE);
        heap_hybrid_release(&idle[i], block, PAGE_SIZE);
        ck_assert_uint_ge(heap_hybrid_cache_objects(&idle[i], heap_size_class(512)), 32);
        ck_assert_uint_ge(idle[i].kept, 1);
    }
    ck_assert_uint_lt(bytes_for_the_first(HEAP_HYBRID_LARGEST), empty); // asks
    static const size_t slow_paths[] = {8, 512, 8192};
    for (unsigned i = 0; i < IDLE; i++) {
        void *objects[80];
        const size_t size = slow_paths[i % 3];
        const unsigned count = size == 512 ? 80 : 1; // more than a bin
        test_cpu_enter(i + 1);
        // A new object of 8 bytes: a miss; 8192: no block; 80 of 512: a miss, a surplus.
        for (unsigned k = 0; k < count; k++)
            objects[k] = heap_hybrid_allocate(&idle[i], size);
        ck_assert_uint_eq(idle[i].answered, heap.pages.asked);
        ck_assert_uint_eq(idle[i].kept, 0);
        ck_assert_uint_le(heap_hybrid_cache_objects(&idle[i], heap_size_class(512)), 31);
        for (unsigned k = 0; k < count; k++)
            heap_hybrid_release(&idle[i], objects[k], size);
        heap_hybrid_cache_flush(&idle[i]); // what this test itself allocated
        heap_hybrid_blocks_flush(&idle[i]);
    }
    expect_sound();
    ck_assert_uint_eq(bytes_for_the_first(HEAP_HYBRID_LARGEST), empty);
    all_leave();
}
END_TEST

// The free that finds no room, too; it keeps count of every object.
START_TEST(a_free_without_room_gives_back_what_was_asked_for)
{
    static void *objects[128];
    allocate_on(1, &second, 64, objects, 128);
    release_on(1, &second, objects, 64); // the bin and the hot slot are full
    ck_assert_uint_eq(heap_hybrid_cache_objects(&second, heap_size_class(64)), 64);
    heap.pages.asked += HEAP_HYBRID_ONE_REFUSED;
    release_on(1, &second, &objects[64], 1);
    ck_assert_uint_eq(heap_hybrid_cache_objects(&second, heap_size_class(64)), 1);
    ck_assert_uint_eq(second.answered, heap.pages.asked);
    expect_sound();
    // Not again at once: others that are refused all the time do not empty the bins each time.
    release_on(1, &second, &objects[65], 63);
    heap.pages.asked += HEAP_HYBRID_ONE_REFUSED;
    ck_assert_ptr_nonnull(objects[0] = heap_hybrid_allocate(&second, 8));
    ck_assert_uint_eq(heap_hybrid_cache_objects(&second, heap_size_class(64)), 64);
    ck_assert_uint_ne(second.answered, heap.pages.asked);
    second.locked += HEAP_HYBRID_GIVE_AGAIN; // later
    ck_assert_ptr_nonnull(objects[1] = heap_hybrid_allocate(&second, 16));
    ck_assert_uint_eq(heap_hybrid_cache_objects(&second, heap_size_class(64)), 0);
    heap_hybrid_release(&second, objects[0], 8);
    heap_hybrid_release(&second, objects[1], 16);
    expect_nothing_out();
}
END_TEST

START_TEST(who_has_more_than_his_share_gives_it_up_after_others_joined)
{
    void *blocks[100];
    allocate_on(0, &heap, PAGE_SIZE * 4, blocks, 100);
    release_on(0, &heap, blocks, 100);
    const uint64_t budget = heap.pages.kept_budget;
    ck_assert_uint_eq(budget, MEMORY_BYTES / PAGE_SIZE / 16);
    const uint64_t share = max_u64(budget / (IDLE + 2), 16); // or one block of the largest order
    ck_assert_uint_gt(heap.cache.kept_most, share);
    for (unsigned i = 0; i < IDLE; i++)
        heap_hybrid_join(&heap, &idle[i]);
    void *object = heap_hybrid_allocate(&heap, 8); // a slow path
    ck_assert_uint_le(heap.cache.kept_most, share);
    ck_assert_uint_le(heap.cache.kept, heap.cache.kept_most);
    expect_sound();
    heap_hybrid_release(&heap, object, 8);
    all_leave();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("heap_hybrid_idle");
    TCase *tests = tcase_create("idle handles");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, idle_handles_keep_a_16th_of_the_memory_in_blocks_all_together, 0,
                        HEAP_HYBRID_BLOCK_ORDERS);
    tcase_add_loop_test(tests, idle_handles_keep_their_bins_and_no_more_of_small_objects, 0, 4);
    tcase_add_test(tests, a_cache_keeps_at_most_64_objects_of_each_class_446_KiB);
    tcase_add_test(tests, who_was_refused_gets_what_others_keep_as_soon_as_they_call);
    tcase_add_test(tests, a_free_without_room_gives_back_what_was_asked_for);
    tcase_add_test(tests, who_has_more_than_his_share_gives_it_up_after_others_joined);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
