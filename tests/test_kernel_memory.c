// SPDX-License-Identifier: MIT
// Stacks and rings of the kernel come from kmalloc: threads run on them, messages go through them.
#include <signal.h>

#include "cpu.h"
#include "kernel_memory.h"
#include "kmalloc_subject.h"
#include "ring_variants.h"
#include "run_checks.h"
#include "thread.h"

#define VARIANT_OPS(name) &ring_##name##_ops,
static const struct ring_ops *const rings[] = {RING_VARIANTS(VARIANT_OPS)};

static void set_up(void)
{
    make_heap(16u << 20);
}

// ---- stacks -------------------------------------------------------------------------------------

START_TEST(a_stack_is_whole_pages_above_a_guard_page)
{
    static const size_t sizes[] = {1, 1024, 4096, 4097, 12288, 16384, 65536, (1u << 20) - 4096};
    for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct kernel_stack stack;
        ck_assert_int_eq(kernel_stack_allocate(&heap, sizes[i], &stack), STATUS_OK);
        ck_assert_uint_ge(stack.bytes, sizes[i]);
        ck_assert_uint_eq(stack.bytes % PAGE_SIZE, 0);
        ck_assert_uint_eq((uintptr_t)stack.guard % PAGE_SIZE, 0);
        ck_assert_ptr_eq(stack.start, stack.guard + PAGE_SIZE);
        memset(stack.start, 0x77, stack.bytes);
        expect_sound();
        kernel_stack_free(&heap, &stack);
        ck_assert_ptr_null(stack.start);
    }
    expect_all_back(1);
}
END_TEST

static struct thread boot, worker;
static unsigned depth_reached;

static void go(struct thread *next)
{
    cpu_preempt_disable();
    thread_switch(next);
    cpu_preempt_enable();
}

// Uses most of its stack, switching away at every depth.
static __attribute__((noinline)) void descend(unsigned depth)
{
    volatile unsigned char frame[512];
    frame[0] = frame[511] = (unsigned char)depth;
    depth_reached = depth;
    if (depth < 40) {
        go(&boot);
        descend(depth + 1);
    }
    if (frame[0] != (unsigned char)depth || frame[511] != (unsigned char)depth)
        ck_abort_msg("the stack was overwritten at depth %u", depth);
}

static void run_down(void *argument)
{
    // Allocates on the stack that came from the same heap.
    void *object = kmalloc(argument, 100);
    descend(1);
    kfree(argument, object);
}

START_TEST(a_thread_runs_on_a_stack_of_kmalloc_and_its_memory_comes_back)
{
    struct kernel_stack stack;
    cpu_local()->thread = cpu_local()->idle_thread = NULL;
    thread_adopt(&boot, "boot");
    for (unsigned turn = 0; turn < 3; turn++) {
        ck_assert_int_eq(kernel_stack_allocate(&heap, 60000, &stack), STATUS_OK);
        memset(stack.guard, 0xcc, PAGE_SIZE);
        ck_assert_int_eq(
            thread_create(&worker, "worker", stack.start, stack.bytes, run_down, &heap), STATUS_OK);
        while (worker.state != THREAD_FINISHED)
            go(&worker);
        ck_assert_uint_eq(depth_reached, 40);
        expect_bytes(stack.guard, PAGE_SIZE, 0xcc);
        kernel_stack_free(&heap, &stack);
    }
    expect_all_back(1);
}
END_TEST

START_TEST(a_stack_that_cannot_be_is_a_status)
{
    struct kernel_stack stack = {0}, many[600];
    unsigned count = 0;
    ck_assert_int_eq(kernel_stack_allocate(&heap, 0, &stack), STATUS_INVALID);
    ck_assert_int_eq(kernel_stack_allocate(&heap, KERNEL_STACK_MOST - PAGE_SIZE + 1, &stack),
                     STATUS_INVALID);
    ck_assert_int_eq(kernel_stack_allocate(&heap, SIZE_MAX, &stack), STATUS_INVALID);
    ck_assert_uint_eq(statistics().allocations + statistics().failures, 0);
    while (kernel_stack_allocate(&heap, 28672, &many[count]) == STATUS_OK)
        count++;
    ck_assert_uint_gt(count, 400); // 32 KiB each
    ck_assert_int_eq(kernel_stack_allocate(&heap, 28672, &stack), STATUS_NO_MEMORY);
    ck_assert_ptr_null(stack.start);
    while (count-- > 0)
        kernel_stack_free(&heap, &many[count]);
    expect_all_back(1);
}
END_TEST

START_TEST(a_stack_freed_twice_panics)
{
    struct kernel_stack stack;
    kernel_stack_allocate(&heap, 8192, &stack);
    kernel_stack_free(&heap, &stack);
    kernel_stack_free(&heap, &stack);
}
END_TEST

// ---- rings --------------------------------------------------------------------------------------

START_TEST(every_ring_works_in_memory_of_kmalloc)
{
    const struct ring_ops *ops = rings[_i];
    for (size_t slots = 2; slots <= 4096; slots *= 8) {
        struct kernel_ring ring;
        ck_assert_int_eq(
            kernel_ring_allocate(&heap, ops->state_bytes, slots, ops->slot_bytes, &ring),
            STATUS_OK);
        ck_assert_uint_eq((uintptr_t)ring.object % 4096, 0);
        ck_assert_uint_eq((uintptr_t)ring.slots % 4096, 0);
        ck_assert_uint_ge(kmalloc_usable(&heap, ring.object),
                          (size_t)((char *)ring.slots - (char *)ring.object) +
                              slots * ops->slot_bytes);
        expect_bytes(ring.slots, slots * ops->slot_bytes, 0);
        ck_assert_int_eq(ops->init(ring.object, ring.slots, slots), STATUS_OK);
        for (uint64_t i = 0; i < 3 * slots; i++) {
            uint64_t sent[7] = {i, ~i, 0, 0, 0, 0, i * 3}, got[7];
            size_t length = 0;
            ck_assert_int_eq(ops->send(ring.object, sent, 56), STATUS_OK);
            ck_assert_int_eq(ops->receive(ring.object, got, &length), STATUS_OK);
            ck_assert_mem_eq(sent, got, 56);
        }
        expect_sound();
        kernel_ring_free(&heap, &ring);
        ck_assert_ptr_null(ring.object);
    }
    expect_all_back(1);
}
END_TEST

START_TEST(a_ring_that_cannot_be_is_a_status)
{
    struct kernel_ring ring = {0};
    ck_assert_int_eq(kernel_ring_allocate(&heap, 0, 64, 64, &ring), STATUS_INVALID);
    ck_assert_int_eq(kernel_ring_allocate(&heap, 64, 0, 64, &ring), STATUS_INVALID);
    ck_assert_int_eq(kernel_ring_allocate(&heap, 64, 64, 0, &ring), STATUS_INVALID);
    ck_assert_int_eq(kernel_ring_allocate(&heap, 64, SIZE_MAX / 8, 64, &ring), STATUS_INVALID);
    ck_assert_int_eq(kernel_ring_allocate(&heap, SIZE_MAX - 8, 64, 64, &ring), STATUS_INVALID);
    ck_assert_int_eq(kernel_ring_allocate(&heap, 64, 1u << 17, 64, &ring), STATUS_INVALID);
    ck_assert_uint_eq(statistics().allocations + statistics().failures, 0);
    while (kmalloc(&heap, 65536) != NULL)
        continue;
    ck_assert_int_eq(kernel_ring_allocate(&heap, 64, 1024, 64, &ring), STATUS_NO_MEMORY);
    ck_assert_ptr_null(ring.object);
}
END_TEST

START_TEST(a_ring_freed_twice_panics)
{
    struct kernel_ring ring;
    kernel_ring_allocate(&heap, 64, 64, 64, &ring);
    kernel_ring_free(&heap, &ring);
    kernel_ring_free(&heap, &ring);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kernel_memory");
    TCase *tests = tcase_create("stacks and rings");
    tcase_add_checked_fixture(tests, set_up, drop_heap);
    tcase_add_test(tests, a_stack_is_whole_pages_above_a_guard_page);
    tcase_add_test(tests, a_thread_runs_on_a_stack_of_kmalloc_and_its_memory_comes_back);
    tcase_add_test(tests, a_stack_that_cannot_be_is_a_status);
    tcase_add_test_raise_signal(tests, a_stack_freed_twice_panics, SIGABRT);
    tcase_add_loop_test(tests, every_ring_works_in_memory_of_kmalloc, 0, ARRAY_COUNT(rings));
    tcase_add_test(tests, a_ring_that_cannot_be_is_a_status);
    tcase_add_test_raise_signal(tests, a_ring_freed_twice_panics, SIGABRT);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
