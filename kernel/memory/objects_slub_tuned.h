// SPDX-License-Identifier: MIT
// SLUB after slub_tune has seen the load: extra classes, lists as long as the load's runs.
#ifndef OBJECTS_SLUB_TUNED_H
#define OBJECTS_SLUB_TUNED_H

#include "objects_slub.h"

#define OBJECTS_SLUB_TUNED_EXTRA SLUB_EXTRA_MOST

ALWAYS_INLINE void *objects_slub_tuned_allocate(void *state, size_t size)
{
    heap_trace_allocate(size);
    void *object = slub_allocate(objects_slub_of(state), size, 0);
    heap_trace_allocated(object, size);
    return object;
}

static inline void objects_slub_tuned_record(void *state)
{
    slub_record(objects_slub_of(state), true);
}

static inline enum status objects_slub_tuned_tune(void *state, void *memory, size_t length)
{
    struct slub_settings settings;
    slub_tune(objects_slub_of(state), OBJECTS_SLUB_TUNED_EXTRA, &settings);
    return heap_slub_init_with(state, memory, length, &settings);
}

static const struct objects_ops objects_slub_tuned_ops = {
    .about = {.name = "slub_tuned",
              .what = "the same after slub_tune: 8 extra classes and list lengths for the load",
              .role = VARIANT_PRODUCT},
    .state_bytes = sizeof(struct heap_slub),
    .init = heap_slub_init,
    .allocate = objects_slub_tuned_allocate,
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
    .record = objects_slub_tuned_record,
    .tune = objects_slub_tuned_tune,
};

#endif
