// SPDX-License-Identifier: MIT
// Every heap, one body for all of them: what heap.h promises, against a plain array as the model.
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler.h"
#include "heap_variants.h"
#include "random.h"
#include "run_checks.h"
#include "seed.h"

#define VARIANT_OPS(name) &heap_##name##_ops,
static const struct heap_ops *const variants[] = {HEAP_VARIANTS(VARIANT_OPS)};

// Those that detect a programmer's error: all but bounds.
static const struct heap_ops *checked[ARRAY_COUNT(variants)];
static int checked_count;

struct fixture {
    const struct heap_ops *ops;
    void *heap, *memory;
    size_t length;
};

static struct fixture heap_over(const struct heap_ops *ops, size_t length)
{
    struct fixture f = {.ops = ops, .length = length};
    f.heap = aligned_alloc(CACHE_LINE, align_up(ops->state_bytes, CACHE_LINE));
    // As aligned as any heap's blocks, so that the memory that can be used does not depend on luck.
    f.memory = aligned_alloc(1u << 20, align_up(length, 1u << 20));
    ck_assert(f.heap != NULL && f.memory != NULL);
    // Whatever lay there before must not matter.
    memset(f.heap, 0xee, ops->state_bytes);
    memset(f.memory, 0xee, length);
    ck_assert_int_eq(ops->init(f.heap, f.memory, length), STATUS_OK);
    ck_assert(ops->check(f.heap));
    return f;
}

static void discard(struct fixture *f)
{
    free(f->heap);
    free(f->memory);
}

static struct random seeded(const char *test, const struct heap_ops *ops)
{
    printf("%s, ", ops->about.name);
    return seeded_for(test);
}

static bool is_floor(const struct heap_ops *ops)
{
    return ops->about.role == VARIANT_FLOOR;
}

// ---- the model: live objects in a plain array, each filled with its own pattern -----------------

#define SLOTS 600

struct object {
    unsigned char *pointer; // NULL: the slot is empty
    size_t size;
    unsigned char pattern;
};

struct model {
    struct object objects[SLOTS];
    uint64_t allocations, frees, failures, live_bytes;
};

static void expect_inside(const struct fixture *f, const unsigned char *pointer, size_t size)
{
    const uintptr_t offset = (uintptr_t)pointer - (uintptr_t)f->memory;
    if (offset >= f->length || size > f->length - offset)
        ck_abort_msg("an object of %zu bytes leaves the memory", size);
    if ((uintptr_t)pointer % (size % 16 == 0 && size != 0 ? 16 : 8) != 0)
        ck_abort_msg("an object of %zu bytes at %p is not aligned", size, (const void *)pointer);
}

static void model_allocate(struct fixture *f, struct model *model, struct object *object,
                           size_t size, unsigned char pattern)
{
    object->pointer = f->ops->allocate(f->heap, size);
    if (object->pointer == NULL) {
        model->failures++;
        // A bound never gives memory back to other sizes. Others refuse a request only when much
        // is in use or the request itself is a good part of the memory.
        if (!is_floor(f->ops) && size <= f->ops->largest &&
            4 * (model->live_bytes + 2 * size) < f->length)
            ck_abort_msg("%zu bytes refused while %lu of %zu are in use", size,
                         (unsigned long)model->live_bytes, f->length);
        return;
    }
    expect_inside(f, object->pointer, size);
    object->size = size;
    object->pattern = pattern;
    memset(object->pointer, pattern, size);
    model->allocations++;
    model->live_bytes += size;
}

static void model_release(struct fixture *f, struct model *model, struct object *object)
{
    for (size_t i = 0; i < object->size; i++)
        if (object->pointer[i] != object->pattern)
            ck_abort_msg("byte %zu of an object of %zu bytes was overwritten", i, object->size);
    f->ops->release(f->heap, object->pointer, object->size);
    object->pointer = NULL;
    model->frees++;
    model->live_bytes -= object->size;
}

static void expect_statistics(const struct fixture *f, const struct model *model)
{
    struct heap_statistics s;
    memset(&s, 0xee, sizeof s);
    f->ops->statistics(f->heap, &s);
    if (is_floor(f->ops)) { // counts nothing, and must say so
        const struct heap_statistics none = {0};
        ck_assert_mem_eq(&s, &none, sizeof s);
        return;
    }
    ck_assert_uint_eq(s.allocations, model->allocations);
    ck_assert_uint_eq(s.frees, model->frees);
    ck_assert_uint_eq(s.failures, model->failures);
    ck_assert_uint_ge(s.bytes_allocated - s.bytes_freed, model->live_bytes);
    ck_assert_uint_le(s.cache_hits + s.cache_misses, s.allocations);
    ck_assert_uint_ge(s.pages_taken, s.pages_returned);
    ck_assert_uint_le((s.pages_taken - s.pages_returned) * PAGE_SIZE, f->length);
    ck_assert_uint_le(s.header_bytes, 16);
    if (model->allocations == model->frees)
        ck_assert_uint_eq(s.bytes_allocated, s.bytes_freed);
}

static size_t log_uniform(struct random *random, size_t highest)
{
    const uint64_t bits = random_below(random, log2_u64(highest) + 1);
    return min_u64(highest, (1ull << bits) + random_below(random, 1ull << bits));
}

static void run_model(struct fixture *f, struct random *random, unsigned operations, size_t highest)
{
    struct model *model = calloc(1, sizeof *model);
    for (unsigned i = 0; i < operations; i++) {
        struct object *object = &model->objects[random_below(random, SLOTS)];
        if (object->pointer != NULL)
            model_release(f, model, object);
        else
            model_allocate(f, model, object, log_uniform(random, highest),
                           (unsigned char)random_u64(random));
        if (i % 1000 == 0) {
            if (!f->ops->check(f->heap))
                ck_abort_msg("an invariant is broken after %u operations", i);
            expect_statistics(f, model);
        }
    }
    for (unsigned i = 0; i < SLOTS; i++)
        if (model->objects[i].pointer != NULL)
            model_release(f, model, &model->objects[i]);
    ck_assert(f->ops->check(f->heap));
    expect_statistics(f, model);
    free(model);
}

START_TEST(random_small_requests_keep_their_contents)
{
    struct fixture f = heap_over(variants[_i], 4u << 20);
    struct random random = seeded("small", f.ops);
    run_model(&f, &random, 60000, 2048);
    discard(&f);
}
END_TEST

START_TEST(random_requests_of_all_sizes_keep_their_contents)
{
    struct fixture f = heap_over(variants[_i], 16u << 20);
    struct random random = seeded("all sizes", f.ops);
    run_model(&f, &random, 20000, min_u64(f.ops->largest, 1u << 20));
    discard(&f);
}
END_TEST

START_TEST(random_requests_survive_a_heap_that_is_nearly_full)
{
    struct fixture f = heap_over(variants[_i], 128u << 10);
    struct random random = seeded("nearly full", f.ops);
    run_model(&f, &random, 30000, 4096);
    discard(&f);
}
END_TEST

// ---- sizes and alignment -----------------------------------------------------------------------

START_TEST(every_size_is_aligned_and_writable_to_its_last_byte)
{
    struct fixture f = heap_over(variants[_i], 8u << 20);
    for (size_t size = 0; size <= min_u64(f.ops->largest, 1u << 20);
         size += size < 4200 ? 1 : size / 3) {
        unsigned char *a = f.ops->allocate(f.heap, size), *b = f.ops->allocate(f.heap, size);
        if (a == NULL || b == NULL)
            ck_abort_msg("%zu bytes refused", size);
        expect_inside(&f, a, size);
        expect_inside(&f, b, size);
        memset(a, 0x11, size);
        memset(b, 0x22, size);
        for (size_t i = 0; i < size; i++)
            if (a[i] != 0x11)
                ck_abort_msg("two objects of %zu bytes overlap", size);
        f.ops->release(f.heap, a, size);
        f.ops->release(f.heap, b, size);
    }
    ck_assert(f.ops->check(f.heap));
    discard(&f);
}
END_TEST

START_TEST(a_request_of_no_bytes_gets_memory_of_its_own)
{
    struct fixture f = heap_over(variants[_i], 64u << 10);
    void *a = f.ops->allocate(f.heap, 0), *b = f.ops->allocate(f.heap, 0);
    ck_assert_ptr_nonnull(a);
    ck_assert_ptr_nonnull(b);
    ck_assert_ptr_ne(a, b);
    f.ops->release(f.heap, a, 0);
    f.ops->release(f.heap, b, 0);
    ck_assert(f.ops->check(f.heap));
    discard(&f);
}
END_TEST

START_TEST(a_request_above_the_largest_is_refused_and_counted)
{
    struct fixture f = heap_over(variants[_i], 4u << 20);
    const size_t sizes[] = {f.ops->largest + 1, SIZE_MAX / 2, SIZE_MAX - 15, SIZE_MAX};
    struct model model = {.failures = ARRAY_COUNT(sizes)};
    for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
        // Hidden, so that the compiler does not warn of what is meant.
        size_t size = sizes[i];
        __asm__("" : "+r"(size));
        ck_assert_ptr_null(f.ops->allocate(f.heap, size));
    }
    expect_statistics(&f, &model);
    ck_assert(f.ops->check(f.heap));
    discard(&f);
}
END_TEST

START_TEST(memory_that_breaks_the_rules_is_refused_at_init)
{
    const struct heap_ops *ops = variants[_i];
    struct fixture f = heap_over(ops, 128u << 10);
    ck_assert_int_eq(ops->init(f.heap, f.memory, 60u << 10), STATUS_INVALID);
    ck_assert_int_eq(ops->init(f.heap, f.memory, (64u << 10) + 8), STATUS_INVALID);
    ck_assert_int_eq(ops->init(f.heap, (char *)f.memory + 64, 64u << 10), STATUS_INVALID);
    // The smallest and any multiple of a page above it do.
    ck_assert_int_eq(ops->init(f.heap, f.memory, 64u << 10), STATUS_OK);
    ck_assert_int_eq(ops->init(f.heap, (char *)f.memory + PAGE_SIZE, 68u << 10), STATUS_OK);
    ck_assert_ptr_nonnull(ops->allocate(f.heap, 2048));
    ck_assert(ops->check(f.heap));
    discard(&f);
}
END_TEST

// ---- exhaustion --------------------------------------------------------------------------------

#define EXHAUSTED_BYTES (256u << 10)

static unsigned allocate_all(struct fixture *f, size_t size, void **objects)
{
    unsigned count = 0;
    for (void *object; (object = f->ops->allocate(f->heap, size)) != NULL;)
        objects[count++] = object;
    return count;
}

static void release_shuffled(struct fixture *f, size_t size, void **objects, unsigned count,
                             struct random *random)
{
    for (unsigned left = count; left > 0; left--) {
        const uint64_t i = random_below(random, left);
        f->ops->release(f->heap, objects[i], size);
        objects[i] = objects[left - 1];
    }
}

START_TEST(an_exhausted_heap_recovers_when_all_is_freed)
{
    static const size_t sizes[] = {8, 20, 64, 1536, 2048, 3000, 4096, 20000, 65536};
    struct random random = seeded("exhaustion", variants[_i]);
    void **objects = malloc(EXHAUSTED_BYTES / 8 * sizeof *objects);
    for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
        const size_t size = sizes[i];
        struct fixture f = heap_over(variants[_i], EXHAUSTED_BYTES);
        const unsigned count = allocate_all(&f, size, objects);
        // Half of the memory is usable at any size, but for a page of metadata; the smallest block
        // of the baseline is 32 bytes.
        if (count * max_u64(size, 32) < EXHAUSTED_BYTES / 2 - PAGE_SIZE)
            ck_abort_msg("only %u objects of %zu bytes", count, size);
        ck_assert(f.ops->check(f.heap));
        release_shuffled(&f, size, objects, count, &random);
        ck_assert(f.ops->check(f.heap));
        ck_assert_uint_eq(allocate_all(&f, size, objects), count);
        release_shuffled(&f, size, objects, count, &random);
        struct model model = {.allocations = 2 * count, .frees = 2 * count, .failures = 2};
        expect_statistics(&f, &model);
        discard(&f);
    }
    free(objects);
}
END_TEST

START_TEST(memory_of_small_objects_serves_large_ones_once_they_are_freed)
{
    struct fixture f = heap_over(checked[_i], EXHAUSTED_BYTES);
    struct random random = seeded("reuse", f.ops);
    void **objects = malloc(EXHAUSTED_BYTES / 8 * sizeof *objects);
    const unsigned before = allocate_all(&f, 32768, objects);
    release_shuffled(&f, 32768, objects, before, &random);
    for (size_t size = 8; size <= 2048; size *= 2)
        release_shuffled(&f, size, objects, allocate_all(&f, size, objects), &random);
    ck_assert_uint_eq(allocate_all(&f, 32768, objects), before);
    ck_assert(f.ops->check(f.heap));
    free(objects);
    discard(&f);
}
END_TEST

START_TEST(a_refill_moves_a_batch_and_keeps_every_count)
{
    struct fixture f = heap_over(variants[_i], 1u << 20);
    struct model model = {0};
    struct object objects[48] = {0};
    if (f.ops->refill != NULL) {
        for (unsigned i = 0; i < 48; i++) {
            model_allocate(&f, &model, &objects[i], 64, (unsigned char)i);
            ck_assert_uint_gt(f.ops->refill(f.heap, 64), 0);
            ck_assert_uint_gt(f.ops->refill(f.heap, 1536), 0);
        }
        for (unsigned i = 0; i < 48; i++) {
            model_release(&f, &model, &objects[i]);
            ck_assert_uint_gt(f.ops->refill(f.heap, 64), 0);
        }
        ck_assert_uint_eq(f.ops->refill(f.heap, f.ops->largest + 1), 0);
        expect_statistics(&f, &model);
    }
    ck_assert(f.ops->check(f.heap));
    discard(&f);
}
END_TEST

START_TEST(names_fit_row_ids)
{
    const struct heap_ops *ops = variants[_i];
    ck_assert_uint_eq(strspn(ops->about.name, "abcdefghijklmnopqrstuvwxyz0123456789_"),
                      strlen(ops->about.name));
    ck_assert_uint_gt(strlen(ops->about.what), 0);
    ck_assert_uint_ge(ops->largest, 2048);
}
END_TEST

// ---- programmer's errors: each ends in a panic -------------------------------------------------

static void release_twice(const struct heap_ops *ops, size_t size)
{
    struct fixture f = heap_over(ops, 1u << 20);
    void *a = ops->allocate(f.heap, size), *b = ops->allocate(f.heap, size);
    ck_assert(a != NULL && b != NULL);
    ops->release(f.heap, a, size);
    ops->release(f.heap, a, size);
}

START_TEST(a_small_object_freed_twice_panics)
{
    release_twice(checked[_i], 64);
}
END_TEST

START_TEST(a_large_object_freed_twice_panics)
{
    release_twice(checked[_i], 8192);
}
END_TEST

START_TEST(an_object_freed_twice_with_others_between_panics)
{
    struct fixture f = heap_over(checked[_i], 1u << 20);
    void *objects[100];
    for (unsigned i = 0; i < ARRAY_COUNT(objects); i++)
        objects[i] = f.ops->allocate(f.heap, 64);
    for (unsigned i = 0; i < ARRAY_COUNT(objects); i++)
        f.ops->release(f.heap, objects[i], 64);
    f.ops->release(f.heap, objects[0], 64);
}
END_TEST

START_TEST(a_pointer_from_elsewhere_panics)
{
    struct fixture f = heap_over(checked[_i], 1u << 20);
    unsigned char *elsewhere = aligned_alloc(64, 4096);
    memset(elsewhere, 0, 4096);
    f.ops->release(f.heap, elsewhere + 64, 64);
}
END_TEST

START_TEST(a_null_pointer_panics)
{
    struct fixture f = heap_over(checked[_i], 1u << 20);
    f.ops->release(f.heap, NULL, 64);
}
END_TEST

START_TEST(a_pointer_into_the_middle_of_a_small_object_panics)
{
    struct fixture f = heap_over(checked[_i], 1u << 20);
    char *object = f.ops->allocate(f.heap, 64);
    memset(object, 0xa5, 64);
    f.ops->release(f.heap, object + 16, 64);
}
END_TEST

START_TEST(a_pointer_into_the_middle_of_a_large_object_panics)
{
    struct fixture f = heap_over(checked[_i], 1u << 20);
    char *object = f.ops->allocate(f.heap, 16384);
    memset(object, 0xa5, 16384);
    f.ops->release(f.heap, object + 4096, 16384);
}
END_TEST

START_TEST(memory_never_handed_out_panics)
{
    struct fixture f = heap_over(checked[_i], 1u << 20);
    memset((char *)f.memory + (512u << 10), 0, 4096);
    f.ops->release(f.heap, (char *)f.memory + (512u << 10) + 64, 64);
}
END_TEST

static Suite *heap_suite(void)
{
    Suite *suite = suite_create("heap");
    TCase *all = tcase_create("every heap"), *products = tcase_create("heaps that check");
    const int count = (int)ARRAY_COUNT(variants);
    for (int i = 0; i < count; i++)
        if (!is_floor(variants[i]))
            checked[checked_count++] = variants[i];
    tcase_set_timeout(all, 60);
    tcase_add_loop_test(all, random_small_requests_keep_their_contents, 0, count);
    tcase_add_loop_test(all, random_requests_of_all_sizes_keep_their_contents, 0, count);
    tcase_add_loop_test(all, random_requests_survive_a_heap_that_is_nearly_full, 0, count);
    tcase_add_loop_test(all, every_size_is_aligned_and_writable_to_its_last_byte, 0, count);
    tcase_add_loop_test(all, a_request_of_no_bytes_gets_memory_of_its_own, 0, count);
    tcase_add_loop_test(all, a_request_above_the_largest_is_refused_and_counted, 0, count);
    tcase_add_loop_test(all, memory_that_breaks_the_rules_is_refused_at_init, 0, count);
    tcase_add_loop_test(all, an_exhausted_heap_recovers_when_all_is_freed, 0, count);
    tcase_add_loop_test(all, a_refill_moves_a_batch_and_keeps_every_count, 0, count);
    tcase_add_loop_test(all, names_fit_row_ids, 0, count);
    suite_add_tcase(suite, all);

    tcase_set_timeout(products, 60);
    tcase_add_loop_test(products, memory_of_small_objects_serves_large_ones_once_they_are_freed, 0,
                        checked_count);
#define PANICS(test) tcase_add_loop_test_raise_signal(products, test, SIGABRT, 0, checked_count)
    PANICS(a_small_object_freed_twice_panics);
    PANICS(a_large_object_freed_twice_panics);
    PANICS(a_pointer_from_elsewhere_panics);
    PANICS(a_null_pointer_panics);
    PANICS(a_pointer_into_the_middle_of_a_large_object_panics);
    PANICS(memory_never_handed_out_panics);
    if (CONFIG_ASSERT_SLOW) { // heaps may find these out at once in test builds only
        PANICS(an_object_freed_twice_with_others_between_panics);
        PANICS(a_pointer_into_the_middle_of_a_small_object_panics);
    }
#undef PANICS
    suite_add_tcase(suite, products);
    return suite;
}

int main(void)
{
    return run_checks(heap_suite());
}
