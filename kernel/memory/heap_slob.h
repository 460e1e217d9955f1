// SPDX-License-Identifier: MIT
// A further baseline: the simple list of blocks that small systems long lived with, as in SLOB of
// Linux 2.6.16 to 6.3 (mm/slob.c, M. Mackall). Compact, and every operation walks.
//
//   unit    2 bytes: sizes and places inside a page are counted in them
//   block   of a page: free ones are listed by address, first fit; a free block keeps its length
//           and the place of the next one in its first two units, one of a single unit the place
//   header  8 bytes in front of each object: its size. It need not begin where a block could
//   lists   pages with free units, in three lists by the size of what put them there: below 256
//           bytes, below 1024, and up to a page. A search begins where the last one ended
//
// What does not fit in a page with its header is whole pages, a power of two of them, from a buddy.
// One lock around everything. Unlike its model it marks its headers, so that a block freed twice or
// a foreign pointer is found out, as every heap here must.
#ifndef HEAP_SLOB_H
#define HEAP_SLOB_H

#include "buddy.h"
#include "compiler.h"
#include "heap.h"
#include "list.h"
#include "spinlock.h"

#define HEAP_SLOB_LISTS   3
#define HEAP_SLOB_ORDER   12
#define HEAP_SLOB_LARGEST (16u << 20) // bytes: a block of the buddy's highest order

// Describes a page; outside of it, as struct page is.
struct heap_slob_page {
    struct list link;    // in one of the lists while it has free units
    uint16_t free_units; // of HEAP_SLOB_PAGE_UNITS
    uint16_t first_free; // where the first free block is, if any
    uint32_t kind;       // enum heap_slob_kind
};

enum heap_slob_kind {
    HEAP_SLOB_UNUSED, // free, inside a run of pages, or the heap's own
    HEAP_SLOB_BLOCKS, // cut into blocks
    HEAP_SLOB_RUN,    // the first of whole pages
};

struct heap_slob {
    uintptr_t base; // of the memory handed over, metadata included: page 0
    uint64_t page_count;

    struct spinlock lock CACHE_ALIGNED;
    // Under the lock, all of it.
    struct heap_slob_page *pages; // [page]
    struct list lists[HEAP_SLOB_LISTS];
    struct buddy buddy;
    struct heap_statistics counts;
    uint64_t run_bytes; // in whole pages now
    uint64_t objects;   // in blocks now
} CACHE_ALIGNED;

enum status heap_slob_init(void *heap, void *memory, size_t length);
void *heap_slob_allocate(void *heap, size_t size);
void heap_slob_release(void *heap, void *pointer, size_t size);
void heap_slob_statistics(const void *heap, struct heap_statistics *statistics);
bool heap_slob_check(const void *heap);
void *heap_slob_join(void *heap, void *memory);
void heap_slob_leave(void *handle);

// The claims' baseline is the linked list: this one takes part as what it was, a product.
static const struct heap_ops heap_slob_ops = {
    .about = {.name = "slob",
              .what = "SLOB-like: first fit in 2-byte units inside pages, three lists, one lock",
              .role = VARIANT_PRODUCT},
    .state_bytes = sizeof(struct heap_slob),
    .largest = HEAP_SLOB_LARGEST,
    .init = heap_slob_init,
    .allocate = heap_slob_allocate,
    .release = heap_slob_release,
    .statistics = heap_slob_statistics,
    .check = heap_slob_check,
    .counts_locked = true,
    .join = heap_slob_join,
    .leave = heap_slob_leave,
};

#endif
