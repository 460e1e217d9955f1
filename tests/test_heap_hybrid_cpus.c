// SPDX-License-Identifier: MIT
// The hybrid heap's own where CPUs and handles meet: the way of objects back to the CPU they came
// from, what an idle CPU has, blocks that caches keep, failing pages, preemption and interrupts.
// One thread, which is on one CPU after the other: every step is known.
#include <signal.h>

#include "heap_hybrid_parts.h"
#include "heap_subject.h"

#define MEMORY_BYTES (8u << 20)

static struct heap_hybrid heap;
static struct heap_hybrid_cache second;
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

static uint64_t pages_out(void)
{
    return statistics().pages_taken - statistics().pages_returned;
}

static void expect_sound(void)
{
    if (!heap_hybrid_check(&heap))
        ck_abort_msg("an invariant is broken");
}

// All that CPUs 0 to 7 hold is given back.
static void expect_nothing_out(void)
{
    for (unsigned cpu = 8; cpu-- > 0;) {
        test_cpu_enter(cpu);
        heap_hybrid_trim(&second);
        heap_hybrid_trim(&heap);
    }
    expect_sound();
    ck_assert_uint_eq(pages_out(), 0);
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

static uint64_t remote_bytes(unsigned cpu)
{
    return 8 * heap_hybrid_remote_amount(heap.pages.cpus[cpu].remote);
}

// ---- objects go home
// -----------------------------------------------------------------------------

START_TEST(a_batch_of_another_cpu_goes_home_with_one_locked_instruction)
{
    void *objects[65];
    allocate_on(1, &second, 64, objects, 65);
    release_on(0, &heap, objects, 64);
    const uint64_t before = statistics().locked_instructions;
    ck_assert_uint_eq(remote_bytes(1), 0);
    release_on(0, &heap, &objects[64], 1);
    ck_assert_uint_eq(statistics().surplus_returns, 1);
    ck_assert_uint_eq(remote_bytes(1), 32 * 64);
    // One claims the slab of the CPU that frees, one sends.
    ck_assert_uint_eq(statistics().locked_instructions - before, 2);
    expect_sound();
    // The owner takes the list on its next slow path.
    test_cpu_enter(1);
    ck_assert_uint_gt(heap_hybrid_refill(&second, 8), 0);
    ck_assert_uint_eq(heap.pages.cpus[1].remote, 0);
    expect_nothing_out();
}
END_TEST

START_TEST(objects_of_many_cpus_in_one_bin_all_go_home)
{
    void *objects[8][8];
    for (unsigned cpu = 0; cpu < 8; cpu++) {
        allocate_on(cpu, &second, 128, objects[cpu], 8);
        heap_hybrid_cache_flush(&second);
    }
    for (unsigned i = 0; i < 8; i++)
        for (unsigned cpu = 0; cpu < 8; cpu++)
            release_on(0, &heap, &objects[cpu][i], 1);
    heap_hybrid_cache_flush(&heap.cache);
    expect_sound();
    for (unsigned cpu = 1; cpu < 8; cpu++)
        ck_assert_uint_eq(remote_bytes(cpu), 8 * 128);
    ck_assert_uint_eq(remote_bytes(0), 0);
    expect_nothing_out();
}
END_TEST

// 1/64 of the memory is 128 KiB.
START_TEST(what_waits_for_a_cpu_that_never_calls_is_bounded)
{
    static void *objects[60000];
    const uint64_t limit = MEMORY_BYTES / 64;
    ck_assert_uint_eq(heap.pages.remote_limit * 8, limit);
    allocate_on(1, &second, 64, objects, 60000);
    const uint64_t held = heap.pages.cpus[1].slabs_held;
    uint64_t most = 0;
    for (unsigned i = 0; i < 60000; i++) {
        release_on(0, &heap, &objects[i], 1);
        most = max_u64(most, remote_bytes(1));
    }
    ck_assert_uint_le(most, limit);
    ck_assert_uint_gt(most, limit / 2);
    // Its pages went back to the buddy without it.
    ck_assert_uint_lt(heap.pages.cpus[1].slabs_held, held / 10);
    ck_assert_uint_lt(pages_out(), held / 10 + 64);
    expect_nothing_out();
}
END_TEST

START_TEST(giving_back_does_not_wait_for_a_claimed_slab)
{
    void *objects[200];
    allocate_on(0, &heap, 64, objects, 200);
    heap.pages.cpus[0].claim.held = 1 + 5; // CPU 5 looks for memory here
    release_on(0, &heap, objects, 200);
    ck_assert_uint_ge(remote_bytes(0), (200 - 64) * 64);
    heap.pages.cpus[0].claim.held = 0;
    expect_sound();
    expect_nothing_out();
}
END_TEST

// ---- memory is short
// -----------------------------------------------------------------------------

// Takes all blocks, so that only slabs have something left.
static unsigned take_all_pages(void **blocks)
{
    unsigned count = 0;
    for (size_t size = HEAP_HYBRID_LARGEST; size >= PAGE_SIZE; size /= 2)
        while ((blocks[count] = heap_hybrid_allocate(&heap, size)) != NULL)
            count++;
    return count;
}

START_TEST(a_slab_of_a_cpu_that_is_gone_is_adopted)
{
    static void *blocks[MEMORY_BYTES / PAGE_SIZE];
    void *objects[10];
    allocate_on(1, &second, 64, objects, 10);
    heap_hybrid_leave(&second);
    test_cpu_enter(0);
    const unsigned count = take_all_pages(blocks);
    const struct heap_hybrid_slab *slab = heap_hybrid_slab_of(&heap.pages, objects[0]);
    ck_assert_uint_eq(slab->cpu, 1);
    void *rest[64];
    for (unsigned i = 0; i < 64 - 10; i++) {
        rest[i] = heap_hybrid_allocate(&heap, 64);
        ck_assert_ptr_nonnull(rest[i]);
        fill_object(rest[i], 64);
        ck_assert_ptr_eq(heap_hybrid_slab_of(&heap.pages, rest[i]), slab);
    }
    ck_assert_uint_eq(slab->cpu, 0);
    ck_assert_ptr_null(heap_hybrid_allocate(&heap, 64));
    ck_assert_uint_eq(heap.pages.cpus[1].slabs_held, 0);
    expect_sound();
    // Now they go home to CPU 0.
    heap_hybrid_join(&heap, &second);
    release_on(1, &second, objects, 10);
    heap_hybrid_cache_flush(&second);
    ck_assert_uint_eq(remote_bytes(0), 10 * 64);
    release_on(0, &heap, rest, 64 - 10);
    for (unsigned i = 0; i < count; i++)
        heap_hybrid_release(&heap, blocks[i], 0);
    expect_nothing_out();
}
END_TEST

START_TEST(an_object_sent_to_the_cpu_its_slab_had_before_is_sent_on)
{
    void *objects[64]; // a whole slab
    allocate_on(0, &heap, 64, objects, 64);
    struct heap_hybrid_slab *slab =
        &heap.pages.slabs[heap_hybrid_slab_of(&heap.pages, objects[0]) - heap.pages.slabs];
    slab->cpu = 1; // what a sender read just before CPU 0 adopted it
    release_on(2, &second, objects, 10);
    heap_hybrid_cache_flush(&second);
    slab->cpu = 0;
    ck_assert_uint_eq(remote_bytes(1), 10 * 64);
    expect_sound();
    test_cpu_enter(1);
    heap_hybrid_refill(&second, 8); // finds them in its list
    ck_assert_uint_eq(heap.pages.cpus[1].remote, 0);
    ck_assert_uint_eq(remote_bytes(0), 10 * 64);
    expect_sound();
    // The same while memory is looked for, which has seen CPU 0 by then.
    slab->cpu = 1;
    release_on(2, &second, objects + 10, 10);
    heap_hybrid_cache_flush(&second);
    slab->cpu = 0;
    heap_hybrid_reclaim_all(&heap.cache);
    ck_assert_uint_eq(heap.pages.cpus[1].remote, 0);
    ck_assert_uint_eq(heap.pages.cpus[0].remote, 0);
    ck_assert_uint_eq(slab->free_count, 20);
    release_on(0, &heap, objects + 20, 44);
    expect_nothing_out();
}
END_TEST

START_TEST(a_block_of_1_MiB_is_made_of_what_all_cpus_and_this_cache_keep)
{
    static void *objects[8][2000];
    for (unsigned cpu = 0; cpu < 8; cpu++)
        allocate_on(cpu, &second, 256, objects[cpu], 2000);
    for (unsigned cpu = 0; cpu < 8; cpu++)
        release_on((cpu + 3) % 8, &second, objects[cpu], 2000);
    heap_hybrid_leave(&second);
    test_cpu_enter(5);
    void *blocks[8];
    unsigned count = 0;
    while ((blocks[count] = heap_hybrid_allocate(&heap, HEAP_HYBRID_LARGEST)) != NULL)
        count++;
    ck_assert_uint_eq(count, MEMORY_BYTES / HEAP_HYBRID_LARGEST - 1);
    for (unsigned i = 0; i < count; i++)
        heap_hybrid_release(&heap, blocks[i], HEAP_HYBRID_LARGEST);
    heap_hybrid_join(&heap, &second);
    expect_nothing_out();
}
END_TEST

// ---- blocks that a cache keeps
// -------------------------------------------------------------------

START_TEST(a_cache_keeps_a_16th_of_the_memory_at_most_and_trim_gives_it_back)
{
    void *blocks[100];
    for (size_t size = PAGE_SIZE; size <= 64u << 10; size *= 2) {
        const unsigned count = (unsigned)min_u64(100, (4u << 20) / size);
        allocate_on(0, &heap, size, blocks, count);
        release_on(0, &heap, blocks, count);
    }
    const uint64_t kept = pages_out();
    ck_assert_uint_gt(kept, 0);
    ck_assert_uint_le(kept * PAGE_SIZE, MEMORY_BYTES / 16);
    expect_sound();
    ck_assert_uint_eq(heap_hybrid_trim(&heap), kept * PAGE_SIZE);
    ck_assert_uint_eq(heap_hybrid_trim(&heap), 0);
    ck_assert_uint_eq(pages_out(), 0);
    expect_sound();
}
END_TEST

START_TEST(blocks_in_use_again_take_no_lock)
{
    void *block = heap_hybrid_allocate(&heap, 8192);
    heap_hybrid_release(&heap, block, 8192);
    const uint64_t before = statistics().locked_instructions;
    for (unsigned i = 0; i < 100; i++)
        heap_hybrid_release(&heap, heap_hybrid_allocate(&heap, 8192), 8192);
    ck_assert_uint_eq(statistics().locked_instructions, before);
}
END_TEST

START_TEST(hits_execute_no_locked_instruction)
{
    for (unsigned class = 0; class < HEAP_CLASSES; class ++)
        heap_hybrid_cache_prefill(&heap.cache, heap_class_bytes[class], 8);
    const struct heap_statistics before = statistics();
    for (size_t size = 0; size <= HEAP_CLASS_LARGEST; size++) {
        void *objects[4];
        for (unsigned i = 0; i < 4; i++)
            objects[i] = heap_hybrid_allocate(&heap, size);
        for (unsigned i = 0; i < 4; i++)
            heap_hybrid_release(&heap, objects[i], size);
    }
    const struct heap_statistics after = statistics();
    ck_assert_uint_eq(after.cache_hits - before.cache_hits, 4 * (HEAP_CLASS_LARGEST + 1));
    ck_assert_uint_eq(after.locked_instructions, before.locked_instructions);
    ck_assert_uint_gt(after.locked_instructions, 0); // the prefills
}
END_TEST

// ---- pages that fail
// -----------------------------------------------------------------------------

struct denial {
    unsigned asked, at; // the call that is refused
    bool for_good;
};

static bool deny(void *context, unsigned order)
{
    struct denial *denial = context;
    (void)order;
    ck_assert_uint_ge(cpu_local()->preempt_count, 1);
    const unsigned now = denial->asked++;
    return !(now == denial->at || (denial->for_good && now > denial->at));
}

// Something of everything, on two CPUs and through three handles; whatever is refused is left out.
static void use_everything(void)
{
    static const size_t sizes[] = {8, 64, 1536, 2048, 2049, 8192, 100000, 512u << 10};
    static struct heap_hybrid_cache third;
    void *handles[3] = {&heap, &second, heap_hybrid_join(&heap, &third)};
    void *objects[3][ARRAY_COUNT(sizes)][3];
    for (unsigned h = 0; h < 3; h++) {
        test_cpu_enter(h % 2);
        for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++)
            for (unsigned k = 0; k < 3; k++) {
                objects[h][i][k] = heap_hybrid_allocate(handles[h], sizes[i]);
                if (objects[h][i][k] != NULL)
                    fill_object(objects[h][i][k], sizes[i]);
            }
        heap_hybrid_cache_prefill(handles[h], 384, 40);
        heap_hybrid_refill(handles[h], 24);
        heap_hybrid_trim(handles[h]);
        ck_assert_uint_eq(cpu_local()->preempt_count, 0);
    }
    for (unsigned h = 0; h < 3; h++)
        for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++)
            for (unsigned k = 0; k < 3; k++)
                if (objects[h][i][k] != NULL)
                    release_on((h + 1) % 2, handles[(h + k) % 3], &objects[h][i][k], 1);
    heap_hybrid_leave(&third);
}

// Every page the heap asks for is refused once, by number; then that one and all that follow.
START_TEST(any_page_may_be_refused_once_or_for_good)
{
    unsigned asked = 1;
    for (unsigned at = 0; at < asked; at++) {
        struct denial denial = {.at = at, .for_good = _i == 1};
        heap.pages.gate_context = &denial;
        heap.pages.gate = deny;
        const struct heap_statistics before = statistics();
        use_everything();
        const struct heap_statistics after = statistics();
        ck_assert_uint_eq(after.allocations - before.allocations, after.frees - before.frees);
        if (!denial.for_good) // the second try brings the memory
            ck_assert_uint_eq(after.failures, before.failures);
        else if (at == 0)
            ck_assert_uint_eq(after.failures - before.failures, 72);
        heap.pages.gate = NULL;
        expect_nothing_out();
        asked = at == 0 && !denial.for_good ? denial.asked : (unsigned)max_u64(asked, denial.asked);
    }
    ck_assert_uint_gt(asked, 20);
}
END_TEST

// ---- preemption and interrupts
// -------------------------------------------------------------------

START_TEST(preemption_is_off_while_pages_are_taken_and_on_after_every_call)
{
    struct denial never = {.at = UINT32_MAX};
    heap.pages.gate_context = &never;
    heap.pages.gate = deny; // asserts that it is off
    for (unsigned i = 0; i < 20; i++)
        use_everything(); // asserts that it is on
    ck_assert_uint_gt(never.asked, 100);
}
END_TEST

static bool interrupt(void *context, unsigned order)
{
    (void)order;
    heap_hybrid_allocate(context, 1000);
    return true;
}

START_TEST(a_handler_that_allocates_inside_a_slow_path_panics)
{
    heap.pages.gate_context = &heap;
    heap.pages.gate = interrupt;
    heap_hybrid_allocate(&heap, 64);
}
END_TEST

START_TEST(the_first_handle_cannot_leave)
{
    heap_hybrid_leave(&heap);
}
END_TEST

START_TEST(a_call_through_a_handle_that_left_panics)
{
    heap_hybrid_leave(&second);
    heap_hybrid_allocate(&second, 64);
}
END_TEST

START_TEST(a_handle_that_is_not_aligned_panics)
{
    static char place[2 * sizeof(struct heap_hybrid_cache)] CACHE_ALIGNED;
    heap_hybrid_join(&heap, place + 8);
}
END_TEST

START_TEST(the_check_finds_faults_planted_between_cpus)
{
    void *objects[100];
    allocate_on(1, &second, 64, objects, 100);
    release_on(0, &heap, objects, 100);
    heap_hybrid_cache_flush(&heap.cache);
    expect_sound();
    struct heap_hybrid_cpu *cpu = &heap.pages.cpus[1];
    const uint64_t word = cpu->remote;
    cpu->remote = 0; // a batch is lost
    ck_assert(!heap_hybrid_check(&heap));
    cpu->remote = word + (1ull << 40); // says more than there is
    ck_assert(!heap_hybrid_check(&heap));
    cpu->remote = word;
    cpu->slabs_held++;
    ck_assert(!heap_hybrid_check(&heap));
    cpu->slabs_held--;
    cpu->claim.held = 1; // somebody never came out
    ck_assert(!heap_hybrid_check(&heap));
    cpu->claim.held = 0;
    second.inside = true;
    ck_assert(!heap_hybrid_check(&heap));
    second.inside = false;
    heap.pages.departed.moved[0]++;
    ck_assert(!heap_hybrid_check(&heap));
    heap.pages.departed.moved[0]--;
    test_cpu_enter(0);
    void *block = heap_hybrid_allocate(&heap, 4096);
    heap_hybrid_release(&heap, block, 4096);
    heap.cache.block_count[0]--; // a page is lost
    ck_assert(!heap_hybrid_check(&heap));
    heap.cache.block_count[0]++;
    expect_sound();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("heap_hybrid_cpus");
    TCase *tests = tcase_create("CPUs"), *panics = tcase_create("panics");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_batch_of_another_cpu_goes_home_with_one_locked_instruction);
    tcase_add_test(tests, objects_of_many_cpus_in_one_bin_all_go_home);
    tcase_add_test(tests, what_waits_for_a_cpu_that_never_calls_is_bounded);
    tcase_add_test(tests, giving_back_does_not_wait_for_a_claimed_slab);
    tcase_add_test(tests, a_slab_of_a_cpu_that_is_gone_is_adopted);
    tcase_add_test(tests, an_object_sent_to_the_cpu_its_slab_had_before_is_sent_on);
    tcase_add_test(tests, a_block_of_1_MiB_is_made_of_what_all_cpus_and_this_cache_keep);
    tcase_add_test(tests, a_cache_keeps_a_16th_of_the_memory_at_most_and_trim_gives_it_back);
    tcase_add_test(tests, blocks_in_use_again_take_no_lock);
    tcase_add_test(tests, hits_execute_no_locked_instruction);
    tcase_add_loop_test(tests, any_page_may_be_refused_once_or_for_good, 0, 2);
    tcase_add_test(tests, preemption_is_off_while_pages_are_taken_and_on_after_every_call);
    tcase_add_test(tests, the_check_finds_faults_planted_between_cpus);
    suite_add_tcase(suite, tests);

    tcase_add_checked_fixture(panics, set_up, tear_down);
#define PANICS(test) tcase_add_test_raise_signal(panics, test, SIGABRT)
    PANICS(a_handler_that_allocates_inside_a_slow_path_panics);
    PANICS(the_first_handle_cannot_leave);
    PANICS(a_call_through_a_handle_that_left_panics);
    PANICS(a_handle_that_is_not_aligned_panics);
#undef PANICS
    suite_add_tcase(suite, panics);
    return run_checks(suite);
}
