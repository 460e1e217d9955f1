// SPDX-License-Identifier: MIT
// What allocators of objects offer beyond heap.h, so that one benchmark body serves them all:
// caches of one type, many objects at once, the locked instructions they executed.
//
// Rules for callers: those of heap.h, and any thread on any CPU may call. A variant NAME is a
// header objects_NAME.h with `static const struct objects_ops objects_NAME_ops`, over a heap that
// exists.
#ifndef OBJECTS_H
#define OBJECTS_H

#include "heap.h"

struct objects_ops {
    struct variant about;
    size_t state_bytes; // 64-byte aligned by the caller

    enum status (*init)(void *state, void *memory, size_t length);
    void *(*allocate)(void *state, size_t size);
    void (*release)(void *state, void *pointer);
    // A cache for objects of `size` bytes. NULL: there is no room for one more.
    void *(*cache_create)(void *state, size_t size);
    void *(*cache_allocate)(void *state, void *cache);
    void (*cache_release)(void *state, void *cache, void *pointer);
    // Up to `count` objects of `size`; returns how many.
    size_t (*allocate_bulk)(void *state, size_t size, size_t count, void **objects);
    void (*release_bulk)(void *state, size_t count, void **objects);
    void (*statistics)(const void *state, struct heap_statistics *statistics);
    // Locked instructions executed since init, counted where they are. At rest.
    uint64_t (*locked_instructions)(const void *state);
    // Bytes that describe so many pages and lie outside of them. NULL: not known.
    size_t (*metadata_bytes)(const void *state, size_t pages);
    bool (*check)(const void *state);
    // NULL unless the variant tunes itself. First `record`, then the load, then `tune`, which makes
    // the state anew for what was seen; nothing may be out.
    void (*record)(void *state);
    enum status (*tune)(void *state, void *memory, size_t length);
};

#endif
