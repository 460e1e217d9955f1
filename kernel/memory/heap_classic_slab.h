// SPDX-License-Identifier: MIT
// A further baseline: the slab allocator as it was first described, without anything per CPU.
// Bonwick, "The Slab Allocator: An Object-Caching Kernel Memory Allocator", USENIX Summer 1994.
//
//   slab      1 or 2 pages of one class, with a head: how many objects are out, and the bufctls
//   bufctl    what there is of each object beside itself: the number of the next free one. Objects
//             are not written to while they are free
//   head      at the end of the slab for objects below an eighth of a page; from the class it fits
//             in for larger ones, so that a slab is not spoiled by it
//   lists     full, partial, empty slabs of a class, behind one lock. Empty slabs stay until pages
//             run out or a trim reaps them
//   colour    the first object of each new slab begins a line further on, as far as there is room
//
// A page finds its slab through a table, one pointer a page, in place of the hash of the paper.
#ifndef HEAP_CLASSIC_SLAB_H
#define HEAP_CLASSIC_SLAB_H

#include "buddy.h"
#include "compiler.h"
#include "heap.h"
#include "list.h"
#include "spinlock.h"

#define HEAP_CLASSIC_SLAB_CLASSES 11u // 8, 16, ... 8192 bytes
#define HEAP_CLASSIC_SLAB_LARGEST (1u << 20)
#define HEAP_CLASSIC_SLAB_ORDER   8

struct heap_classic_slab_head;

struct heap_classic_slab_class {
    struct spinlock lock;
    // Under the lock, all of it.
    uint32_t colour; // of the next slab, in lines
    struct list full, partial, empty;
    uint64_t allocations, frees, failures;
    uint64_t locks; // acquisitions: a locked instruction each
    uint64_t heads; // objects out that are heads of other slabs; not in the numbers above
} CACHE_ALIGNED;

struct heap_classic_slab {
    struct heap_classic_slab_class classes[HEAP_CLASSIC_SLAB_CLASSES];
    uintptr_t base;
    uint64_t page_count;
    struct heap_classic_slab_head **slab_of; // [page], NULL: no slab; written before a slab is used
    struct spinlock lock;
    // Under the lock; never held together with another.
    struct buddy buddy;
    uint64_t locks; // acquisitions
    uint64_t large_allocations, large_frees, large_failures;
    uint64_t large_bytes_allocated, large_bytes_freed;
} CACHE_ALIGNED;

enum status heap_classic_slab_init(void *heap, void *memory, size_t length);
void *heap_classic_slab_allocate(void *heap, size_t size);
void heap_classic_slab_release(void *heap, void *pointer, size_t size);
void heap_classic_slab_statistics(const void *heap, struct heap_statistics *statistics);
bool heap_classic_slab_check(const void *heap);
void *heap_classic_slab_join(void *heap, void *memory);
void heap_classic_slab_leave(void *handle);
size_t heap_classic_slab_trim(void *handle);
// Locked instructions executed since init. At rest.
uint64_t heap_classic_slab_locked(const void *heap);

// In the list of heaps a product: their baseline is the linked list.
static const struct heap_ops heap_classic_slab_ops = {
    .about = {.name = "classic_slab",
              .what = "Bonwick 1994: bufctls, full, partial, empty lists, a lock a class",
              .role = VARIANT_PRODUCT},
    .state_bytes = sizeof(struct heap_classic_slab),
    .largest = HEAP_CLASSIC_SLAB_LARGEST,
    .init = heap_classic_slab_init,
    .allocate = heap_classic_slab_allocate,
    .release = heap_classic_slab_release,
    .statistics = heap_classic_slab_statistics,
    .check = heap_classic_slab_check,
    .counts_locked = true,
    .join = heap_classic_slab_join,
    .leave = heap_classic_slab_leave,
    .trim = heap_classic_slab_trim,
};

#endif
