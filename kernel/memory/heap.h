// SPDX-License-Identifier: MIT
// The interface every heap offers, so that one test body and one benchmark body serve them all.
//
// Rules for callers
//   handles    what init made is the heap and its first handle. A handle belongs to one thread at a
//              time; `join` makes more of them for other threads, on the same CPU or others. Any
//              handle takes back what any other handed out. Calls through different handles of one
//              heap may run at once; statistics and check want all of them at rest
//   CPU        a thread may migrate between two calls, not inside one: slow paths that use what a
//              CPU owns keep preemption off. Heaps are never called from interrupt handlers
//   memory     all of it is handed over at init and never returned; nothing else is allocated
//   pointers   aligned to 8 bytes, and to 16 when the request is a multiple of 16; a request of 0
//              bytes is served as the smallest size
//   failure    NULL when the request cannot be served now or ever; freeing a foreign pointer or a
//              free one is a programmer's error
//
// A variant NAME is two files, heap_NAME.h and heap_NAME.c, and two lines in heap_variants.h. It
// defines `static const struct heap_ops heap_NAME_ops` in its header, with the fast paths inline,
// so that a body that is inlined over the table calls them directly.
#ifndef HEAP_H
#define HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"
#include "variant.h"

// Counted exactly since init. A field a heap has no notion of stays 0.
struct heap_statistics {
    uint64_t allocations; // served
    uint64_t frees;
    uint64_t failures;        // requests answered with NULL
    uint64_t bytes_allocated; // sum of what was handed out, after rounding to the heap's sizes
    uint64_t bytes_freed;     // the same measure
    uint64_t cache_hits;      // served by the first level without entering the second
    uint64_t cache_misses;    // requests of the first level's sizes that had to be refilled
    uint64_t refills;         // batches moved from the second level to the first
    uint64_t surplus_returns; // batches sent back because the first level was full
    uint64_t pages_taken;     // 4 KiB pages taken from the page level, since init
    uint64_t pages_returned;  // of those, given back
    uint64_t header_bytes;    // bytes in front of one allocation
    // Executed by the heap; while a CPU waits for a lock, attempts are not counted. Nothing is said
    // here unless counts_locked is true of the heap.
    uint64_t locked_instructions;
};

struct heap_ops {
    struct variant about;
    size_t state_bytes; // of the heap object, 64-byte aligned by the caller
    size_t largest;     // largest request that can ever be served, in bytes

    // `memory` is page aligned, `length` a multiple of the page size of at least 64 KiB.
    enum status (*init)(void *heap, void *memory, size_t length);
    void *(*allocate)(void *heap, size_t size);
    // `size` is what was asked for: a bound may use it, a product must not need it.
    void (*release)(void *heap, void *pointer, size_t size);
    void (*statistics)(const void *heap, struct heap_statistics *statistics);
    // Walks all invariants; false if one is broken. Slow.
    bool (*check)(const void *heap);
    // A further handle, made in `memory`: handle_bytes of it, 64-byte aligned, the heap's until
    // `leave`. handle_bytes 0: `memory` is not used, one handle may serve all threads. NULL if
    // there is no memory for what it needs. `join` is NULL where a heap is for one thread only.
    size_t handle_bytes;
    void *(*join)(void *heap, void *memory);
    // The handle's thread is done, or is gone for good while outside of all calls: what the handle
    // still holds becomes free for the others, and its counts stay in the heap's. Not for the
    // first handle. Objects handed out live on. Any thread may call it.
    void (*leave)(void *handle);
    // Gives back to the page level what lies idle in the handle and in what its CPU owns. Returns
    // the bytes given. NULL where a heap keeps nothing.
    size_t (*trim)(void *handle);
    bool counts_locked; // statistics have the locked instructions; false: 0 means nothing
    bool cpu_keeps;     // what lies idle in a CPU comes back by `trim` there, not from elsewhere
    // Moves one batch of objects of `size` from the second level into the first and back again;
    // NULL where a heap has no such levels. Returns the objects moved one way.
    size_t (*refill)(void *heap, size_t size);
    // An object of `size` bytes with the contents of the old one as far as both reach; the old
    // pointer, for which `had` bytes were asked, is gone then. NULL: no memory, the old one stands;
    // never when it shrinks. A pointer NULL (`had` 0) is an allocation. NULL where a heap has none.
    void *(*resize)(void *handle, void *pointer, size_t had, size_t size);
};

#endif
