// SPDX-License-Identifier: MIT
// What the tests of the heaps with several handles share: the variants, a heap under test, objects
// that know what they are, and how long to go on.
#ifndef HEAP_SUBJECT_H
#define HEAP_SUBJECT_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler.h"
#include "heap_variants.h"
#include "random.h"
#include "run_checks.h"
#include "seed.h"
#include "soak.h"
#include "test_platform.h"

#define VARIANT_OPS(name) &heap_##name##_ops,
static const struct heap_ops *const variants[] = {HEAP_VARIANTS(VARIANT_OPS)};

// Those that several threads may use, and those that give back what was freed; found by
// find_variants().
static const struct heap_ops *shared[ARRAY_COUNT(variants)], *products[ARRAY_COUNT(variants)];
static int shared_count, product_count;

static inline void find_variants(void)
{
    for (unsigned i = 0; i < ARRAY_COUNT(variants); i++) {
        if (variants[i]->join != NULL)
            shared[shared_count++] = variants[i];
        if (variants[i]->about.role != VARIANT_FLOOR)
            products[product_count++] = variants[i];
    }
}

struct fixture {
    const struct heap_ops *ops;
    void *heap, *memory;
    size_t length;
    uint64_t whole; // blocks of WHOLE bytes that it serves while it is empty
};

#define WHOLE (1u << 20)

static inline size_t whole_bytes(const struct heap_ops *ops)
{
    return min_u64(ops->largest, WHOLE);
}

// Blocks as large as can be that the heap serves now.
static inline uint64_t whole_blocks(const struct fixture *f)
{
    void *blocks[256];
    uint64_t count = 0;
    while (count < ARRAY_COUNT(blocks) &&
           (blocks[count] = f->ops->allocate(f->heap, whole_bytes(f->ops))) != NULL)
        count++;
    for (uint64_t i = count; i-- > 0;)
        f->ops->release(f->heap, blocks[i], whole_bytes(f->ops));
    return count;
}

static inline struct fixture heap_over(const struct heap_ops *ops, size_t length)
{
    struct fixture f = {.ops = ops, .length = length};
    f.heap = aligned_alloc(CACHE_LINE, align_up(ops->state_bytes, CACHE_LINE));
    f.memory = aligned_alloc(2u << 20, align_up(length, 2u << 20));
    ck_assert(f.heap != NULL && f.memory != NULL);
    // Whatever lay there before must not matter.
    memset(f.heap, 0xee, ops->state_bytes);
    memset(f.memory, 0xee, length);
    ck_assert_int_eq(ops->init(f.heap, f.memory, length), STATUS_OK);
    return f;
}

static inline void discard(struct fixture *f)
{
    free(f->heap);
    free(f->memory);
}

static inline void *handle_of(const struct fixture *f)
{
    void *memory = NULL;
    if (f->ops->handle_bytes != 0)
        memory = aligned_alloc(CACHE_LINE, align_up(f->ops->handle_bytes, CACHE_LINE));
    return memory;
}

// All of the memory is free and in one piece again, whatever CPU it was used on; the test's CPUs
// are 0 to `cpus` - 1. The first handle is the only one left.
static inline void expect_all_back(const struct fixture *f, unsigned cpus)
{
    struct heap_statistics s;
    for (unsigned cpu = cpus; cpu-- > 0 && f->ops->trim != NULL;) {
        test_cpu_enter(cpu);
        f->ops->trim(f->heap);
    }
    test_cpu_enter(0);
    ck_assert(f->ops->check(f->heap));
    f->ops->statistics(f->heap, &s);
    ck_assert_uint_eq(s.allocations, s.frees);
    ck_assert_uint_eq(s.bytes_allocated, s.bytes_freed);
    ck_assert_uint_eq(s.pages_taken, s.pages_returned);
    ck_assert_uint_eq(whole_blocks(f), f->whole);
}

// ---- objects that know what they are: their first word says their size and their address, the
// rest follows from that. At least 8 bytes
// ------------------------------------------------------------

static inline uint64_t name_of(const void *object, size_t size)
{
    return (uint64_t)(uintptr_t)object << 21 | size;
}

// The parts of an object that are filled: all of a small one, both ends of a large one.
#define END_BYTES 64u

static inline void fill_object(void *object, size_t size)
{
    const uint64_t name = name_of(object, size);
    const int fill = (int)(name >> 24 & 0xff);
    memset(object, fill, size > 2 * END_BYTES ? END_BYTES : size);
    if (size > 2 * END_BYTES)
        memset((char *)object + size - END_BYTES, fill, END_BYTES);
    memcpy(object, &name, sizeof name);
}

static inline size_t size_of_object(const void *object)
{
    uint64_t name;
    memcpy(&name, object, sizeof name);
    const size_t size = name & ((1u << 21) - 1);
    if (name != name_of(object, size))
        ck_abort_msg("an object was overwritten at its start");
    return size;
}

static inline size_t expect_whole(const void *object)
{
    const size_t size = size_of_object(object);
    const unsigned char *bytes = object;
    const unsigned char fill = (unsigned char)(name_of(object, size) >> 24);
    const size_t front = size > 2 * END_BYTES ? END_BYTES : size;
    bool same = true;
    for (size_t i = sizeof(uint64_t); i < front; i++)
        same = same && bytes[i] == fill;
    for (size_t i = size > 2 * END_BYTES ? size - END_BYTES : size; i < size; i++)
        same = same && bytes[i] == fill;
    if (!same)
        ck_abort_msg("an object of %zu bytes was overwritten", size);
    return size;
}

static inline size_t log_uniform(struct random *random, size_t highest)
{
    const uint64_t bits = 3 + random_below(random, log2_u64(highest) - 2);
    return min_u64(highest, (1ull << bits) + random_below(random, 1ull << bits));
}

// Ordinarily `quick`, with TICKMARK_SOAK=1 `soak`.
static inline unsigned how_many(unsigned quick, unsigned soak)
{
    return soaked(quick, soak);
}

#endif
