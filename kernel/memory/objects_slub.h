// SPDX-License-Identifier: MIT
// SLUB with its own caches and bulk calls; over heap_slub, whose memory and pages it uses.
#ifndef OBJECTS_SLUB_H
#define OBJECTS_SLUB_H

#include "heap_slub.h"
#include "objects.h"

ALWAYS_INLINE struct slub *objects_slub_of(void *state)
{
    return &((struct heap_slub *)state)->slub;
}

ALWAYS_INLINE void objects_slub_release(void *state, void *pointer)
{
    heap_slub_release(state, pointer, 0);
}

static inline void *objects_slub_cache_create(void *state, size_t size)
{
    return slub_cache_create(objects_slub_of(state), "typed", size, 0, 0);
}

ALWAYS_INLINE void *objects_slub_cache_allocate(void *state, void *cache)
{
    (void)state;
    return slub_cache_allocate(cache, 0);
}

ALWAYS_INLINE void objects_slub_cache_release(void *state, void *cache, void *pointer)
{
    (void)state;
    slub_cache_free(cache, pointer);
}

static inline size_t objects_slub_allocate_bulk(void *state, size_t size, size_t count,
                                                void **objects)
{
    return slub_allocate_bulk(objects_slub_of(state), size, count, objects, 0);
}

static inline void objects_slub_release_bulk(void *state, size_t count, void **objects)
{
    slub_free_bulk(objects_slub_of(state), count, objects);
}

static inline size_t objects_slub_metadata(const void *state, size_t pages)
{
    const struct slub_node *node = &((const struct heap_slub *)state)->slub.nodes[0];
    const struct slub_range range = {
        .start = node->base, .length = pages << PAGE_SHIFT, .pages = node->pages};
    return slub_metadata_bytes(&range, 1);
}

static inline uint64_t objects_slub_locked(const void *state)
{
    struct slub_totals totals;
    slub_statistics(&((const struct heap_slub *)state)->slub, &totals);
    return totals.locked_instructions;
}

static const struct objects_ops objects_slub_ops = {
    .about = {.name = "slub",
              .what = "per-CPU lists in front of slabs, as it comes",
              .role = VARIANT_PRODUCT},
    .state_bytes = sizeof(struct heap_slub),
    .init = heap_slub_init,
    .allocate = heap_slub_allocate,
    .release = objects_slub_release,
    .cache_create = objects_slub_cache_create,
    .cache_allocate = objects_slub_cache_allocate,
    .cache_release = objects_slub_cache_release,
    .allocate_bulk = objects_slub_allocate_bulk,
    .release_bulk = objects_slub_release_bulk,
    .statistics = heap_slub_statistics,
    .locked_instructions = objects_slub_locked,
    .metadata_bytes = objects_slub_metadata,
    .check = heap_slub_check,
};

#endif
