// SPDX-License-Identifier: MIT
// The baseline: first fit over an address-ordered free list, coalescing, behind a lock.
// Knuth, The Art of Computer Programming, vol. 1, section 2.5, algorithms A and C.
//
//   block    a header and a payload; blocks tile the memory without gaps
//   header   16 bytes in front of each payload: the block's size, and that of the block before it
//            (a boundary tag), so that both neighbours are found at once
//   hole     a free block; its payload holds the links of the list of holes
//
// Freeing next to a hole joins it in constant time. Freeing between two used blocks walks the
// list to the place the address belongs at, as allocating walks it to the first hole that fits:
// short walks while the heap is fresh, long ones once it is fragmented.
#ifndef HEAP_LINKED_LIST_H
#define HEAP_LINKED_LIST_H

#include "compiler.h"
#include "heap.h"
#include "spinlock.h"

#define HEAP_LINKED_LIST_LARGEST (1u << 30) // bytes; in fact what the memory has room for

struct heap_linked_list_block;

struct heap_linked_list {
    struct spinlock lock;
    // Under the lock, all of it.
    struct heap_linked_list_block *holes; // lowest address first
    uintptr_t start, end;                 // of the blocks; a header without payload lies at `end`
    struct heap_statistics counts;
} CACHE_ALIGNED;

enum status heap_linked_list_init(void *heap, void *memory, size_t length);
void *heap_linked_list_allocate(void *heap, size_t size);
void heap_linked_list_release(void *heap, void *pointer, size_t size);
void heap_linked_list_statistics(const void *heap, struct heap_statistics *statistics);
bool heap_linked_list_check(const void *heap);
void *heap_linked_list_join(void *heap, void *memory);
void heap_linked_list_leave(void *handle);

static const struct heap_ops heap_linked_list_ops = {
    .about = {.name = "linked_list",
              .what = "first fit, address ordered, coalescing, behind a lock: the claims' baseline",
              .role = VARIANT_BASELINE},
    .state_bytes = sizeof(struct heap_linked_list),
    .largest = HEAP_LINKED_LIST_LARGEST,
    .init = heap_linked_list_init,
    .allocate = heap_linked_list_allocate,
    .release = heap_linked_list_release,
    .statistics = heap_linked_list_statistics,
    .check = heap_linked_list_check,
    .counts_locked = true,
    .join = heap_linked_list_join,
    .leave = heap_linked_list_leave,
};

#endif
