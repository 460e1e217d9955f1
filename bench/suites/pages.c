// SPDX-License-Identifier: MIT
// Page tables: what one change or one look costs, on simulated physical memory. No CPU walks these
// tables, so no translation is dropped here: what that costs is what bench/suites/machine/paging.c
// measures.
#include "anonymous.h"
#include "body.h"
#include "compiler.h"
#include "definitions_pages.h"
#include "page_variants.h"
#include "random.h"
#include "string.h"

#define SMALL     1000u // pages of 4 KiB from PAGE_BASE on
#define HUGE      256u  // pages of 2 MiB from PAGE_BASE_HUGE on
#define STEPS     4096u // looks in a turn
#define FRAMES    600u  // of the simulated memory: tables, and those of the anonymous case
#define LAST      1023u // one more page, which keeps the last table from ever being empty
#define PHYSICAL  ((uint64_t)4 << 30) // what is mapped: never touched
#define ANONYMOUS (64u << 10)         // bytes mapped and unmapped
#define AREAS     4u

#define SUITE           pages
#define SUITE_MECHANISM page
#define SUITE_VARIANTS  PAGE_VARIANTS

#define SUITE_CASES(X, v)                                                                          \
    X(v, map_4k, SMALL, true, 8, SMALL, 64, 2, 30, "a page of 4 KiB mapped, its tables there")     \
    X(v, unmap_4k, SMALL, true, 6, SMALL, SMALL, 2, 30, "a page of 4 KiB unmapped")                \
    X(v, translate, STEPS, false, 8, STEPS, STEPS, 2, 30,                                          \
      "an address looked up, one of 1000 pages of 4 KiB")                                          \
    X(v, map_2m, HUGE, true, 6, HUGE, 64, 2, 30, "a page of 2 MiB mapped, its tables there")       \
    X(v, protect, SMALL, false, 6, SMALL, SMALL, 2, 30,                                            \
      "rights of a page of 4 KiB changed, one after the other of 1000: writable, and not")         \
    X(v, split_merge, 4, false, 1024, 4, 1, 2, 30,                                                 \
      "a page of 2 MiB made 512 of 4 KiB, and one again")                                          \
    X(v, map_1000, 1, true, 1000, 1, 1, 2, 30, "1000 pages of 4 KiB mapped by one call")           \
    X(v, anonymous_64k, 4, false, 8192, 4, 1, 2, 30,                                               \
      "64 KiB of anonymous memory mapped and unmapped, zeroed, in an address space")

static const struct page_kind data = {.rights = PAGE_READ | PAGE_WRITE};
static const struct page_kind constant = {.rights = PAGE_READ};

struct pages_context {
    void *state;
    struct page_memory memory;
    uint64_t next, end, free;    // frames, by their distance from memory.direct
    uint64_t small, huge;        // pages that are mapped now, from the bases on
    bool constant;               // what protect made of the small ones last: not writable
    uint64_t bytes_4k, bytes_2m; // of tables that map a GiB; 0: not measured
    uint64_t turn_sum;           // of one turn through the steps
    uint32_t steps[STEPS];       // offsets from PAGE_BASE
    // Of the anonymous case.
    struct address_spaces spaces;
    struct address_space space;
    struct anonymous anonymous;
    struct anonymous_area areas[AREAS];
};

// ---- bodies -------------------------------------------------------------------------------------

ALWAYS_INLINE uint64_t map_4k(const struct page_ops *ops, struct pages_context *context,
                              uint64_t operations)
{
    uint64_t done = 0;
    for (uint64_t i = 0; i < operations; i++) {
        done += ops->map(context->state, PAGE_BASE + i * PAGE_BYTES_4K,
                         PHYSICAL + i * PAGE_BYTES_4K, PAGE_BYTES_4K, data) == STATUS_OK;
        BODY_SETTLE();
    }
    context->small = operations;
    return done;
}

ALWAYS_INLINE uint64_t unmap_4k(const struct page_ops *ops, struct pages_context *context,
                                uint64_t operations)
{
    uint64_t done = 0;
    for (uint64_t i = 0; i < operations; i++) {
        done +=
            ops->unmap(context->state, PAGE_BASE + i * PAGE_BYTES_4K, PAGE_BYTES_4K) == STATUS_OK;
        BODY_SETTLE();
    }
    context->small = 0;
    return done;
}

ALWAYS_INLINE uint64_t translate(const struct page_ops *ops, struct pages_context *context,
                                 uint64_t operations)
{
    uint64_t sum = 0;
    for (uint64_t done = 0; done < operations; done += STEPS) {
        for (uint32_t i = 0; i < STEPS; i++) {
            uint64_t physical;
            if (UNLIKELY(!ops->translate(context->state, PAGE_BASE + context->steps[i], &physical)))
                return BENCH_FAILED;
            sum += physical;
            BODY_SETTLE();
        }
    }
    return sum;
}

ALWAYS_INLINE uint64_t map_2m(const struct page_ops *ops, struct pages_context *context,
                              uint64_t operations)
{
    uint64_t done = 0;
    for (uint64_t i = 0; i < operations; i++) {
        done += ops->map(context->state, PAGE_BASE_HUGE + i * PAGE_BYTES_2M,
                         PHYSICAL + i * PAGE_BYTES_2M, PAGE_BYTES_2M, data) == STATUS_OK;
        BODY_SETTLE();
    }
    context->huge = operations;
    return done;
}

ALWAYS_INLINE uint64_t protect(const struct page_ops *ops, struct pages_context *context,
                               uint64_t operations)
{
    uint64_t done = 0;
    for (uint64_t turn = 0; turn < operations; turn += SMALL) {
        // Each turn takes back what the last one gave, whichever window that was in.
        context->constant = !context->constant;
        const struct page_kind kind = context->constant ? constant : data;
        for (uint64_t i = 0; i < SMALL; i++) {
            done += ops->protect(context->state, PAGE_BASE + i * PAGE_BYTES_4K, kind) == STATUS_OK;
            BODY_SETTLE();
        }
    }
    return done;
}

ALWAYS_INLINE uint64_t split_merge(const struct page_ops *ops, struct pages_context *context,
                                   uint64_t operations)
{
    uint64_t done = 0;
    for (uint64_t i = 0; i < operations; i++) {
        done += ops->split(context->state, PAGE_BASE_HUGE) == STATUS_OK;
        BODY_SETTLE();
        done += ops->merge(context->state, PAGE_BASE_HUGE) == STATUS_OK;
        BODY_SETTLE();
    }
    return done;
}

ALWAYS_INLINE uint64_t map_1000(const struct page_ops *ops, struct pages_context *context,
                                uint64_t operations)
{
    uint64_t done = 0;
    for (uint64_t i = 0; i < operations; i++)
        done += ops->map_range(context->state, PAGE_BASE, PHYSICAL, SMALL * PAGE_BYTES_4K, data) ==
                STATUS_OK;
    context->small = SMALL;
    return done;
}

ALWAYS_INLINE uint64_t anonymous_64k(const struct page_ops *ops, struct pages_context *context,
                                     uint64_t operations)
{
    uint64_t sum = 0;
    (void)ops;
    for (uint64_t i = 0; i < operations; i++) {
        uint64_t address = 0;
        if (anonymous_map(&context->anonymous, &address, ANONYMOUS,
                          ANONYMOUS_READ | ANONYMOUS_WRITE, 0) != STATUS_OK)
            return BENCH_FAILED;
        sum += address - PAGE_BASE + context->anonymous.counts.resident_bytes;
        if (anonymous_unmap(&context->anonymous, address, ANONYMOUS) != STATUS_OK)
            return BENCH_FAILED;
        sum += context->anonymous.counts.resident_bytes;
        BODY_SETTLE();
    }
    return sum;
}

SUITE_TABLES

// ---- simulated physical memory
// -------------------------------------------------------------------

static uint64_t allocate(void *context_)
{
    struct pages_context *context = context_;
    uint64_t frame = context->free;
    if (frame != 0)
        context->free = *(uint64_t *)(context->memory.direct + frame);
    else if (context->next < context->end)
        frame = context->next, context->next += PAGE_SIZE;
    else
        return 0;
    memset((void *)(context->memory.direct + frame), 0, PAGE_SIZE);
    return frame;
}

static void release(void *context_, uint64_t frame)
{
    struct pages_context *context = context_;
    *(uint64_t *)(context->memory.direct + frame) = context->free;
    context->free = frame;
}

static void drop_nothing(void *context, uint64_t address, uint64_t length)
{
    (void)context;
    (void)address;
    (void)length;
}

// No CPU ever uses the space: these are not called.
static void invalidate_page(void *context, uint64_t address)
{
    (void)context;
    (void)address;
}

static void poll(void *context)
{
    (void)context;
}

static const struct tlb_ops no_cpus = {.invalidate_page = invalidate_page, .poll = poll};

// ---- preparation
// ---------------------------------------------------------------------------------

static void *carve(uint8_t **next, size_t bytes, size_t alignment)
{
    uint8_t *start = (uint8_t *)align_up((uintptr_t)*next, alignment);
    *next = start + bytes;
    return start;
}

static bool prepare_anonymous(struct pages_context *context)
{
    const struct anonymous_range range = {.start = PAGE_BASE, .end = PAGE_BASE_HUGE};
    const struct page_limits limits = {.physical_bits = 46};
    return address_spaces_init(&context->spaces, &no_cpus, 0, 0, 32) == STATUS_OK &&
           address_space_init(&context->space, &context->spaces, &context->memory, limits) ==
               STATUS_OK &&
           anonymous_init(&context->anonymous, &context->space, &context->memory, range,
                          context->areas, AREAS) == STATUS_OK;
}

// Bytes of tables that a GiB takes, the root and the two that lead there among them: by pages of
// 4 KiB, of which one in each table makes all tables, then by pages of 2 MiB. It all goes again.
static bool measure_tables(const struct page_ops *ops, struct pages_context *context)
{
    void *const state = context->state;
    bool done = true;
    for (uint64_t at = 0; at < PAGE_BYTES_1G && done; at += PAGE_BYTES_2M)
        done = ops->map(state, PAGE_BASE + at, PHYSICAL, PAGE_BYTES_4K, data) == STATUS_OK;
    context->bytes_4k = ops->tables(state) * PAGE_SIZE;
    for (uint64_t at = 0; at < PAGE_BYTES_1G && done; at += PAGE_BYTES_2M)
        done = ops->unmap(state, PAGE_BASE + at, PAGE_BYTES_4K) == STATUS_OK;
    for (uint64_t at = 0; at < PAGE_BYTES_1G && done; at += PAGE_BYTES_2M)
        done =
            ops->map(state, PAGE_BASE_HUGE + at, PHYSICAL + at, PAGE_BYTES_2M, data) == STATUS_OK;
    context->bytes_2m = ops->tables(state) * PAGE_SIZE;
    for (uint64_t at = 0; at < PAGE_BYTES_1G && done; at += PAGE_BYTES_2M)
        done = ops->unmap(state, PAGE_BASE_HUGE + at, PAGE_BYTES_2M) == STATUS_OK;
    return done && ops->tables(state) == 1;
}

// The pages that keep tables alive: one in each.
static bool map_anchors(const struct page_ops *ops, struct pages_context *context)
{
    return ops->map(context->state, PAGE_BASE + LAST * PAGE_BYTES_4K, PHYSICAL, PAGE_BYTES_4K,
                    data) == STATUS_OK &&
           ops->map(context->state, PAGE_BASE_HUGE + 511 * PAGE_BYTES_2M, PHYSICAL, PAGE_BYTES_2M,
                    data) == STATUS_OK &&
           ops->map_range(context->state, PAGE_BASE, PHYSICAL, SMALL * PAGE_BYTES_4K, data) ==
               STATUS_OK &&
           ops->map(context->state, PAGE_BASE_HUGE, PHYSICAL, PAGE_BYTES_2M, data) == STATUS_OK;
}

static void *prepare(size_t which, const void *ops_, void *memory, size_t length, uint64_t seed)
{
    const struct page_ops *ops = ops_;
    uint8_t *next = memory;
    struct pages_context *context = carve(&next, sizeof(*context), CACHE_LINE);
    memset(context, 0, sizeof(*context));
    context->state = carve(&next, ops->state_bytes, CACHE_LINE);
    // Frame 0 is none.
    uint8_t *const frames = carve(&next, FRAMES * (size_t)PAGE_SIZE, PAGE_SIZE);
    if ((size_t)(next - (uint8_t *)memory) > length)
        return NULL;
    context->memory = (struct page_memory){.context = context,
                                           .allocate = allocate,
                                           .release = release,
                                           .direct = (uintptr_t)frames,
                                           .invalidate = drop_nothing};
    context->next = PAGE_SIZE;
    context->end = FRAMES * (uint64_t)PAGE_SIZE;
    if (which == CASE_anonymous_64k)
        return prepare_anonymous(context) ? context : NULL;
    if (ops->init(context->state, &context->memory) != STATUS_OK)
        return NULL;
    if (which == CASE_map_1000 && ops->about.role != VARIANT_FLOOR && !measure_tables(ops, context))
        return NULL;
    if (!map_anchors(ops, context))
        return NULL;
    context->small = SMALL;
    context->huge = 1;
    struct random random = random_seeded(seed);
    for (uint32_t i = 0; i < STEPS; i++) {
        context->steps[i] = (uint32_t)random_below(&random, SMALL * PAGE_SIZE);
        context->turn_sum += PHYSICAL + context->steps[i];
    }
    return context;
}

// Leaves mapped what the next window works on, and nothing of what it maps.
static void before(size_t which, const void *ops_, void *context_, uint64_t operations)
{
    const struct page_ops *ops = ops_;
    struct pages_context *context = context_;
    const bool map = which == CASE_map_4k || which == CASE_map_1000;
    (void)operations;
    if (which == CASE_anonymous_64k)
        return;
    for (uint64_t i = 0; i < context->small && map; i++)
        (void)ops->unmap(context->state, PAGE_BASE + i * PAGE_BYTES_4K, PAGE_BYTES_4K);
    for (uint64_t i = context->small; i < SMALL && !map; i++)
        (void)ops->map(context->state, PAGE_BASE + i * PAGE_BYTES_4K, PHYSICAL + i * PAGE_BYTES_4K,
                       PAGE_BYTES_4K, data);
    context->small = map ? 0 : SMALL;
    for (uint64_t i = 0; i < context->huge && which == CASE_map_2m; i++)
        (void)ops->unmap(context->state, PAGE_BASE_HUGE + i * PAGE_BYTES_2M, PAGE_BYTES_2M);
    context->huge = which == CASE_map_2m ? 0 : 1;
}

static uint64_t expected(size_t which, const void *context_, uint64_t operations)
{
    const struct pages_context *context = context_;
    if (which == CASE_translate)
        return context->turn_sum * (operations / STEPS);
    if (which == CASE_anonymous_64k)
        return operations * ANONYMOUS; // always at the same place, and nothing stays
    return which == CASE_split_merge ? 2 * operations : operations;
}

static bool applies(size_t which, const void *ops)
{
    return which != CASE_anonymous_64k ||
           ((const struct page_ops *)ops)->about.role == VARIANT_PRODUCT;
}

static void counters(size_t which, const void *ops_, const void *context_,
                     const struct bench_counters *out)
{
    const struct page_ops *ops = ops_;
    const struct pages_context *context = context_;
    const uint64_t tables =
        which == CASE_anonymous_64k ? context->space.map.tables : ops->tables(context->state);
    out->emit(out->context, "tables", tables, 1, "count");
    if (context->bytes_4k != 0) {
        out->emit(out->context, "table_bytes_gib_4k", context->bytes_4k, 1, "bytes");
        out->emit(out->context, "table_bytes_gib_2m", context->bytes_2m, 1, "bytes");
    }
}

// Every page of 4 KiB is where the last window left it, with the rights that protect gave last.
static bool check(size_t which, const void *ops_, const void *context_)
{
    const struct page_ops *ops = ops_;
    const struct pages_context *context = context_;
    const unsigned rights = (context->constant ? constant : data).rights;
    if (which == CASE_anonymous_64k)
        return context->anonymous.counts.mapped_bytes == 0 && context->space.map.tables == 1;
    for (uint64_t i = 0; i < SMALL; i++) {
        uint64_t physical;
        const uint64_t address = PAGE_BASE + i * PAGE_BYTES_4K;
        const bool there = ops->translate(context->state, address, &physical);
        if (there != (i < context->small) || (there && physical != PHYSICAL + i * PAGE_BYTES_4K) ||
            ops->rights(context->state, address) != (there ? rights : 0))
            return false;
    }
    return true;
}

const struct bench_suite pages_suite = {
    SUITE_MEMBERS, // of the tables
    .what = "page tables, on simulated physical memory",
    .applies = applies,
    .prepare = prepare,
    .before = before,
    .expected = expected,
    .counters = counters,
    .check = check,
};
