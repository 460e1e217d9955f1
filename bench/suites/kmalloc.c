// SPDX-License-Identifier: MIT
// kmalloc: the sizes of each of its levels, a page that is carved, and objects that grow.
#include "body.h"
#include "compiler.h"
#include "definitions_kmalloc.h"
#include "heap_variants.h"
#include "string.h"

#define IN_A_ROW    128u // allocations of the alloc cases
#define CARVED      512u // objects of 64 bytes: 8 pages
#define GROWN       65536u
#define GROWN_FIRST 16u
#define GROWN_WORDS 14u // that one growth writes: the first, and the last of each of 13 sizes
#define HEAP_BYTES  (2u << 20)

#define SUITE           kmalloc
#define SUITE_MECHANISM heap
#define SUITE_VARIANTS(X)                                                                          \
    X(linked_list)                                                                                 \
    X(kmalloc)                                                                                     \
    X(hybrid)                                                                                      \
    X(floor)

#define SUITE_CASES(X, v)                                                                          \
    X(v, pair_16, 5000, false, 4, 10000, 64, 2, 30, "16 B allocated and freed at once, hot")       \
    X(v, pair_32, 5000, false, 4, 10000, 64, 2, 30, "32 B allocated and freed at once, hot")       \
    X(v, pair_64, 5000, false, 4, 10000, 64, 2, 30, "64 B allocated and freed at once, hot")       \
    X(v, pair_128, 5000, false, 4, 10000, 64, 2, 30, "128 B allocated and freed at once, hot")     \
    X(v, pair_256, 5000, false, 4, 10000, 64, 2, 30, "256 B allocated and freed at once, hot")     \
    X(v, alloc_512, IN_A_ROW, true, 2, IN_A_ROW, IN_A_ROW, 4, 30,                                  \
      "512 B allocated 128 times in a row, misses included, frees not timed")                      \
    X(v, alloc_4096, IN_A_ROW, true, 2, IN_A_ROW, IN_A_ROW, 4, 30,                                 \
      "4 KB allocated 128 times in a row, misses included, frees not timed")                       \
    X(v, alloc_8192, IN_A_ROW, true, 2, IN_A_ROW, IN_A_ROW, 4, 30,                                 \
      "8 KB allocated 128 times in a row, frees not timed")                                        \
    X(v, carve_64, CARVED, true, 2, CARVED, 64, 4, 30,                                             \
      "64 B allocated 512 times in a row after all idle memory was given back: carves 8 pages")    \
    X(v, grow_64k, 8, false, 100, 8, 2, 2, 30,                                                     \
      "16 B doubled 12 times to 64 KB, contents kept, then freed")

// A participant's own: everything a body needs, in front of the heap's memory.
struct kmalloc_context {
    void *heap;
    uint64_t **objects;            // what the last window left allocated
    size_t held;                   // of them
    size_t size;                   // of each
    bool broken;                   // one of them was not as the window had left it
    struct heap_statistics before; // at the last `before`
};

// ---- bodies -------------------------------------------------------------------------------------

ALWAYS_INLINE uint64_t pair(const struct heap_ops *ops, struct kmalloc_context *context,
                            uint64_t operations, size_t size)
{
    void *const heap = context->heap;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i++) {
        uint64_t *object = ops->allocate(heap, size);
        if (UNLIKELY(object == NULL))
            return BENCH_FAILED;
        object[1] = i;
        BODY_HIDE(object);
        sum += object[1];
        ops->release(heap, object, size);
        BODY_SETTLE();
    }
    return sum;
}

ALWAYS_INLINE uint64_t pair_16(const struct heap_ops *ops, struct kmalloc_context *context,
                               uint64_t operations)
{
    return pair(ops, context, operations, 16);
}

ALWAYS_INLINE uint64_t pair_32(const struct heap_ops *ops, struct kmalloc_context *context,
                               uint64_t operations)
{
    return pair(ops, context, operations, 32);
}

ALWAYS_INLINE uint64_t pair_64(const struct heap_ops *ops, struct kmalloc_context *context,
                               uint64_t operations)
{
    return pair(ops, context, operations, 64);
}

ALWAYS_INLINE uint64_t pair_128(const struct heap_ops *ops, struct kmalloc_context *context,
                                uint64_t operations)
{
    return pair(ops, context, operations, 128);
}

ALWAYS_INLINE uint64_t pair_256(const struct heap_ops *ops, struct kmalloc_context *context,
                                uint64_t operations)
{
    return pair(ops, context, operations, 256);
}

// Each object carries its number, which `before` looks for when it frees it.
ALWAYS_INLINE uint64_t in_a_row(const struct heap_ops *ops, struct kmalloc_context *context,
                                uint64_t operations, size_t size)
{
    void *const heap = context->heap;
    uint64_t **const objects = context->objects;
    uint64_t served = 0;
    for (uint64_t i = 0; i < operations; i++) {
        uint64_t *object = ops->allocate(heap, size);
        objects[i] = object;
        if (UNLIKELY(object == NULL))
            break;
        object[0] = i;
        served++;
        BODY_SETTLE();
    }
    context->held = served;
    context->size = size;
    return served == operations ? served : BENCH_FAILED;
}

ALWAYS_INLINE uint64_t alloc_512(const struct heap_ops *ops, struct kmalloc_context *context,
                                 uint64_t operations)
{
    return in_a_row(ops, context, operations, 512);
}

ALWAYS_INLINE uint64_t alloc_4096(const struct heap_ops *ops, struct kmalloc_context *context,
                                  uint64_t operations)
{
    return in_a_row(ops, context, operations, 4096);
}

ALWAYS_INLINE uint64_t alloc_8192(const struct heap_ops *ops, struct kmalloc_context *context,
                                  uint64_t operations)
{
    return in_a_row(ops, context, operations, 8192);
}

ALWAYS_INLINE uint64_t carve_64(const struct heap_ops *ops, struct kmalloc_context *context,
                                uint64_t operations)
{
    return in_a_row(ops, context, operations, 64);
}

// krealloc, or what a caller does where a heap has none.
ALWAYS_INLINE uint64_t *twice(const struct heap_ops *ops, void *heap, uint64_t *object, size_t size)
{
    if (ops->resize != NULL)
        return ops->resize(heap, object, size, 2 * size);
    uint64_t *const larger = ops->allocate(heap, 2 * size);
    if (larger == NULL)
        return NULL;
    memcpy(larger, object, size);
    ops->release(heap, object, size);
    return larger;
}

// The last word of each size is written when the object has it, and must be there in the end.
ALWAYS_INLINE uint64_t grow_64k(const struct heap_ops *ops, struct kmalloc_context *context,
                                uint64_t operations)
{
    void *const heap = context->heap;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i++) {
        uint64_t *object = ops->allocate(heap, GROWN_FIRST);
        if (UNLIKELY(object == NULL))
            return BENCH_FAILED;
        object[0] = object[GROWN_FIRST / 8 - 1] = i;
        for (size_t size = GROWN_FIRST; size < GROWN; size *= 2) {
            object = twice(ops, heap, object, size);
            if (UNLIKELY(object == NULL))
                return BENCH_FAILED;
            object[2 * size / 8 - 1] = i;
        }
        BODY_HIDE(object);
        sum += object[0];
        for (size_t size = GROWN_FIRST; size <= GROWN; size *= 2)
            sum += object[size / 8 - 1];
        ops->release(heap, object, GROWN);
        BODY_SETTLE();
    }
    return sum;
}

SUITE_TABLES

// ---- preparation --------------------------------------------------------------------------------

static bool is_in_a_row(size_t which)
{
    return which == CASE_alloc_512 || which == CASE_alloc_4096 || which == CASE_alloc_8192 ||
           which == CASE_carve_64;
}

static void *carve(uint8_t **next, size_t bytes, size_t alignment)
{
    uint8_t *start = (uint8_t *)align_up((uintptr_t)*next, alignment);
    *next = start + bytes;
    return start;
}

static void *prepare(size_t which, const void *ops_, void *memory, size_t length, uint64_t seed)
{
    const struct heap_ops *ops = ops_;
    uint8_t *next = memory;
    (void)which;
    (void)seed;
    struct kmalloc_context *context = carve(&next, sizeof(*context), CACHE_LINE);
    memset(context, 0, sizeof(*context));
    context->objects = carve(&next, CARVED * sizeof(void *), CACHE_LINE);
    context->heap = carve(&next, ops->state_bytes, CACHE_LINE);
    // Aligned to its length, so that no heap's blocks lie otherwise on another day: what grows in
    // place, and what must be copied, depends on that.
    uint8_t *const region = carve(&next, HEAP_BYTES, HEAP_BYTES);
    if ((size_t)(next - (uint8_t *)memory) > length)
        return NULL;
    if (ops->init(context->heap, region, HEAP_BYTES) != STATUS_OK)
        return NULL;
    return context;
}

// Gives back what the last window took; before carve_64 also what is idle, so that no list has an
// object and no page is cut.
static void before(size_t which, const void *ops_, void *context_, uint64_t operations)
{
    const struct heap_ops *ops = ops_;
    struct kmalloc_context *context = context_;
    (void)operations;
    for (size_t i = context->held; i-- > 0;) {
        context->broken |= context->objects[i][0] != i;
        ops->release(context->heap, context->objects[i], context->size);
    }
    context->held = 0;
    if (which == CASE_carve_64 && ops->trim != NULL)
        ops->trim(context->heap);
    ops->statistics(context->heap, &context->before);
}

static uint64_t expected(size_t which, const void *context, uint64_t operations)
{
    (void)context;
    if (is_in_a_row(which))
        return operations;
    const uint64_t once = operations * (operations - 1) / 2;
    return which == CASE_grow_64k ? GROWN_WORDS * once : once;
}

// Only who can give all idle memory back carves each time; the baseline stands beside it.
static bool applies(size_t which, const void *ops_)
{
    const struct heap_ops *ops = ops_;
    // Growing in place is less than the floor, which copies, can do.
    if (which == CASE_grow_64k && ops->about.role == VARIANT_FLOOR)
        return false;
    return which != CASE_carve_64 || ops->trim != NULL || ops->about.role == VARIANT_BASELINE;
}

static void counters(size_t which, const void *ops_, const void *context_,
                     const struct bench_counters *out)
{
    const struct heap_ops *ops = ops_;
    const struct kmalloc_context *context = context_;
    struct heap_statistics now;
    ops->statistics(context->heap, &now);
    const uint64_t hits = now.cache_hits - context->before.cache_hits;
    const uint64_t misses = now.cache_misses - context->before.cache_misses;
    const uint64_t served = now.allocations - context->before.allocations;
    const uint64_t failed = now.failures - context->before.failures;
    const uint64_t pages = now.pages_taken - context->before.pages_taken;
    if (hits + misses > 0)
        out->emit(out->context, "hit_rate", hits, hits + misses, "percent");
    if (served + failed > 0)
        out->emit(out->context, "served", served, served + failed, "percent");
    if (is_in_a_row(which) && pages > 0)
        out->emit(out->context, "pages_taken", pages, 1, "count");
    out->emit(out->context, "header_bytes", now.header_bytes, 1, "bytes");
}

static bool check(size_t which, const void *ops, const void *context_)
{
    const struct kmalloc_context *context = context_;
    (void)which;
    return !context->broken && ((const struct heap_ops *)ops)->check(context->heap);
}

const struct bench_suite kmalloc_suite = {
    SUITE_MEMBERS, // of the tables
    .what = "the kernel's general heap by its levels: thread lists, CPU slab, buddy",
    .applies = applies,
    .prepare = prepare,
    .before = before,
    .expected = expected,
    .counters = counters,
    .check = check,
};
