// SPDX-License-Identifier: MIT
// The classic slab as a baseline of SLUB. It has classes and no lists of many: a typed cache is the
// class its objects fit in, and many objects are one after the other.
#ifndef OBJECTS_CLASSIC_SLAB_H
#define OBJECTS_CLASSIC_SLAB_H

#include "heap_classic_slab.h"
#include "objects.h"

static inline void objects_classic_slab_release(void *state, void *pointer)
{
    heap_classic_slab_release(state, pointer, 0);
}

static inline void *objects_classic_slab_cache_create(void *state, size_t size)
{
    (void)state;
    return (void *)(uintptr_t)size;
}

static inline void *objects_classic_slab_cache_allocate(void *state, void *cache)
{
    return heap_classic_slab_allocate(state, (uintptr_t)cache);
}

static inline void objects_classic_slab_cache_release(void *state, void *cache, void *pointer)
{
    heap_classic_slab_release(state, pointer, (uintptr_t)cache);
}

static inline size_t objects_classic_slab_allocate_bulk(void *state, size_t size, size_t count,
                                                        void **objects)
{
    size_t done = 0;
    while (done < count && (objects[done] = heap_classic_slab_allocate(state, size)) != NULL)
        done++;
    return done;
}

static inline void objects_classic_slab_release_bulk(void *state, size_t count, void **objects)
{
    for (size_t i = 0; i < count; i++)
        heap_classic_slab_release(state, objects[i], 0);
}

// The table that finds a page's slab; heads and bufctls are inside the pages.
static inline size_t objects_classic_slab_metadata(const void *state, size_t pages)
{
    (void)state;
    return pages * sizeof(struct heap_classic_slab_head *);
}

static const struct objects_ops objects_classic_slab_ops = {
    .about = {.name = "classic_slab",
              .what = "Bonwick 1994: bufctls, full, partial, empty lists, a lock a class",
              .role = VARIANT_BASELINE},
    .state_bytes = sizeof(struct heap_classic_slab),
    .init = heap_classic_slab_init,
    .allocate = heap_classic_slab_allocate,
    .release = objects_classic_slab_release,
    .cache_create = objects_classic_slab_cache_create,
    .cache_allocate = objects_classic_slab_cache_allocate,
    .cache_release = objects_classic_slab_cache_release,
    .allocate_bulk = objects_classic_slab_allocate_bulk,
    .release_bulk = objects_classic_slab_release_bulk,
    .statistics = heap_classic_slab_statistics,
    .locked_instructions = heap_classic_slab_locked,
    .metadata_bytes = objects_classic_slab_metadata,
    .check = heap_classic_slab_check,
};

#endif
