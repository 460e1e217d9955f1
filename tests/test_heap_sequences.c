// SPDX-License-Identifier: MIT
// Every heap that gives memory back: all short sequences of calls over very little memory, and
// sizes at every boundary.
#include "heap_subject.h"

#define TINY (64u << 10)

// ---- all sequences of a length
// ------------------------------------------------------------------- An operation is an allocation
// of one of these sizes, or the free of the oldest or the newest object. 32 KiB is half of all
// there is: what was freed has to come together again.

static const size_t sizes[] = {8, 2048, 4096, 32768};

#define OPERATIONS  (ARRAY_COUNT(sizes) + 2)
#define LENGTH_MOST 8u

struct sequence {
    const struct fixture *f;
    void *live[LENGTH_MOST];
    unsigned count;
};

static void release_one(struct sequence *s, unsigned i)
{
    void *const object = s->live[i];
    s->f->ops->release(s->f->heap, object, expect_whole(object));
    s->count--;
    for (; i < s->count; i++)
        s->live[i] = s->live[i + 1];
}

// Small objects are never refused here: a few of each size fit many times.
static void allocate_one(struct sequence *s, size_t size)
{
    void *object = s->f->ops->allocate(s->f->heap, size);
    if (object == NULL) {
        if (size <= 2048)
            ck_abort_msg("%zu bytes refused", size);
        return;
    }
    for (unsigned i = 0; i < s->count; i++)
        expect_whole(s->live[i]);
    fill_object(object, size);
    s->live[s->count++] = object;
}

static void run_sequence(const struct fixture *f, uint64_t number, unsigned length)
{
    struct sequence s = {.f = f};
    for (unsigned i = 0; i < length; i++, number /= OPERATIONS) {
        const unsigned what = number % OPERATIONS;
        if (what < ARRAY_COUNT(sizes))
            allocate_one(&s, sizes[what]);
        else if (s.count > 0)
            release_one(&s, what == ARRAY_COUNT(sizes) ? 0 : s.count - 1);
    }
    while (s.count > 0)
        release_one(&s, s.count - 1);
}

// Each sequence begins with what the one before left in caches and slabs: nothing is live, and that
// is all that may be relied upon.
START_TEST(all_short_sequences_of_calls_keep_every_object_and_lose_no_memory)
{
    struct fixture f = heap_over(products[_i], TINY);
    const unsigned length = how_many(7, 8);
    uint64_t sequences = 1;
    for (unsigned i = 0; i < length; i++)
        sequences *= OPERATIONS;
    void *large = f.ops->allocate(f.heap, 32768);
    ck_assert_ptr_nonnull(large);
    f.ops->release(f.heap, large, 32768);
    for (uint64_t number = 0; number < sequences; number++) {
        run_sequence(&f, number, length);
        if (number % 64 != 0)
            continue;
        if (!f.ops->check(f.heap))
            ck_abort_msg("an invariant is broken after sequence %lu", (unsigned long)number);
        large = f.ops->allocate(f.heap, 32768);
        if (large == NULL)
            ck_abort_msg("memory is missing after sequence %lu", (unsigned long)number);
        f.ops->release(f.heap, large, 32768);
    }
    discard(&f);
}
END_TEST

// ---- sizes
// ---------------------------------------------------------------------------------------

START_TEST(sizes_at_every_boundary_are_served_or_refused)
{
    struct fixture f = heap_over(products[_i], 8u << 20);
    static const size_t tried[] = {0,
                                   1,
                                   7,
                                   8,
                                   9,
                                   2047,
                                   2048,
                                   2049,
                                   4095,
                                   4096,
                                   4097,
                                   (1u << 20) - 1,
                                   1u << 20,
                                   (1u << 20) + 1,
                                   SIZE_MAX / 2,
                                   SIZE_MAX - 4095,
                                   SIZE_MAX};
    uint64_t served = 0, refused = 0;
    struct heap_statistics s;
    for (unsigned i = 0; i < ARRAY_COUNT(tried); i++) {
        size_t size = tried[i];
        __asm__("" : "+r"(size)); // the compiler warns of what is meant
        unsigned char *object = f.ops->allocate(f.heap, size);
        if (size > f.ops->largest) {
            ck_assert_ptr_null(object);
            refused++;
            continue;
        }
        if (object == NULL && size <= 1u << 20)
            ck_abort_msg("%zu bytes refused", size);
        if (object == NULL) { // what it could serve had it more memory
            refused++;
            continue;
        }
        memset(object, 0x77, size);
        f.ops->release(f.heap, object, size);
        served++;
    }
    f.ops->statistics(f.heap, &s);
    ck_assert_uint_eq(s.allocations, served);
    ck_assert_uint_eq(s.failures, refused);
    ck_assert_uint_eq(s.bytes_allocated, s.bytes_freed);
    ck_assert(f.ops->check(f.heap));
    discard(&f);
}
END_TEST

// ---- a long random walk against a plain array
// ----------------------------------------------------

#define SLOTS 400u

static void walk(const struct heap_ops *ops, size_t length, size_t highest, unsigned operations)
{
    struct fixture f = heap_over(ops, length);
    struct random random = seeded_for(ops->about.name);
    static void *objects[SLOTS];
    uint64_t allocations = 0, frees = 0, failures = 0;
    struct heap_statistics s;
    memset(objects, 0, sizeof objects);
    for (unsigned i = 0; i < operations; i++) {
        void **slot = &objects[random_below(&random, SLOTS)];
        if (*slot != NULL) {
            ops->release(f.heap, *slot, expect_whole(*slot));
            *slot = NULL;
            frees++;
            continue;
        }
        const size_t size = log_uniform(&random, highest);
        *slot = ops->allocate(f.heap, size);
        if (*slot != NULL)
            fill_object(*slot, size);
        allocations += *slot != NULL;
        failures += *slot == NULL;
        if (i % 10000 == 0 && !ops->check(f.heap))
            ck_abort_msg("an invariant is broken after %u operations", i);
    }
    for (unsigned i = 0; i < SLOTS; i++)
        if (objects[i] != NULL) {
            ops->release(f.heap, objects[i], expect_whole(objects[i]));
            frees++;
        }
    ck_assert(ops->check(f.heap));
    ops->statistics(f.heap, &s);
    ck_assert_uint_eq(s.allocations, allocations);
    ck_assert_uint_eq(s.frees, frees);
    ck_assert_uint_eq(s.failures, failures);
    discard(&f);
}

START_TEST(a_long_walk_over_all_sizes_keeps_every_object_and_count)
{
    walk(products[_i], 16u << 20, 65536, how_many(100000, 10000000));
}
END_TEST

START_TEST(a_long_walk_with_too_little_memory_keeps_every_object_and_count)
{
    walk(products[_i], 256u << 10, 16384, how_many(100000, 10000000));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("heap_sequences");
    TCase *all = tcase_create("heaps that give back");
    find_variants();
    tcase_set_timeout(all, 900);
    tcase_add_loop_test(all, all_short_sequences_of_calls_keep_every_object_and_lose_no_memory, 0,
                        product_count);
    tcase_add_loop_test(all, sizes_at_every_boundary_are_served_or_refused, 0, product_count);
    tcase_add_loop_test(all, a_long_walk_over_all_sizes_keeps_every_object_and_count, 0,
                        product_count);
    tcase_add_loop_test(all, a_long_walk_with_too_little_memory_keeps_every_object_and_count, 0,
                        product_count);
    suite_add_tcase(suite, all);
    return run_checks(suite);
}
