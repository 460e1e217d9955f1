// SPDX-License-Identifier: MIT
// What the tests of pools share: a pool with its memory and a ring beside it.
#ifndef RING_POOL_SUBJECT_H
#define RING_POOL_SUBJECT_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "ring_fusion_mpmc.h"
#include "ring_fusion_spsc.h"
#include "ring_zero_copy.h"

#define ALICE 1u
#define BOB   2u
#define POOL  7u

static const struct ring_parties alice_to_bob = {ALICE, BOB};

// A pool with its memory, a redzone of the address sanitizer behind each part of it.
struct fixture {
    struct ring_pool pool;
    uint8_t *pages;
    void *shared;
    void *ring;
    void *slots;
};

static inline void *pages_of(size_t bytes)
{
    void *pages = aligned_alloc(PAGE_SIZE, align_up(bytes, PAGE_SIZE));
    ck_assert_ptr_nonnull(pages);
    memset(pages, 0xa5, bytes);
    return pages;
}

static inline struct fixture create(size_t count)
{
    struct fixture f = {.pages = pages_of(count * PAGE_SIZE)};
    f.shared = aligned_alloc(CACHE_LINE, ring_pool_shared_bytes(count));
    memset(f.shared, 0xa5, ring_pool_shared_bytes(count));
    ck_assert_int_eq(ring_pool_init(&f.pool, f.pages, f.shared, count, POOL), STATUS_OK);
    f.ring = pages_of(sizeof(struct ring_fusion_mpmc));
    f.slots = pages_of(64 * sizeof(struct ring_fusion_slot));
    return f;
}

static inline struct fixture create_with_ring(size_t count, const struct ring_ops *ops,
                                              size_t slots)
{
    struct fixture f = create(count);
    ck_assert_int_eq(ops->init(f.ring, f.slots, slots), STATUS_OK);
    return f;
}

static inline struct ring_pool_statistics statistics_of(const struct fixture *f)
{
    struct ring_pool_statistics statistics;
    ring_pool_statistics(&f->pool, &statistics);
    return statistics;
}

static inline void destroy(struct fixture *f)
{
    ck_assert(ring_pool_check(&f->pool));
    free(f->pages);
    free(f->shared);
    free(f->ring);
    free(f->slots);
}

static inline struct ring_descriptor allocate(struct fixture *f, unsigned owner, void **bytes)
{
    struct ring_descriptor descriptor;
    ck_assert_int_eq(ring_pool_allocate(&f->pool, owner, &descriptor, bytes), STATUS_OK);
    return descriptor;
}

#endif
