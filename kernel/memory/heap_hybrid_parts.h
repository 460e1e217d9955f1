// SPDX-License-Identifier: MIT
// What the files of the hybrid heap offer each other. Not for callers of the heap.
#ifndef HEAP_HYBRID_PARTS_H
#define HEAP_HYBRID_PARTS_H

#include "heap_hybrid.h"

// ---- page level (heap_hybrid_pages.c) -----------------------------------------------------------

// A block from the buddy, 0 if there is none; and back. Take the lock.
uintptr_t heap_hybrid_buddy_take(struct heap_hybrid_cache *cache, unsigned order);
void heap_hybrid_buddy_give(struct heap_hybrid_cache *cache, uintptr_t block, unsigned order);
// Gives all blocks that the cache keeps back to the buddy, and its part of the budget with them;
// or what is over the share that is left for each handle.
void heap_hybrid_blocks_flush(struct heap_hybrid_cache *cache);
void heap_hybrid_blocks_to_share(struct heap_hybrid_cache *cache);

// Preemption off, and the lock taken; and back.
void heap_hybrid_lock(struct heap_hybrid_cache *cache);
void heap_hybrid_unlock(struct heap_hybrid_cache *cache);

// A block of 2^order pages that the cache keeps, 0 if it has none.
ALWAYS_INLINE uintptr_t heap_hybrid_kept_take(struct heap_hybrid_cache *cache, unsigned order)
{
    if (UNLIKELY(order >= HEAP_HYBRID_BLOCK_ORDERS || cache->block_count[order] == 0))
        return 0;
    const unsigned last = --cache->block_count[order];
    cache->kept -= 1u << order;
    return cache->base + ((uintptr_t)cache->blocks[order][last] << PAGE_SHIFT);
}

// Keeps a block; false if there is no place for it.
ALWAYS_INLINE bool heap_hybrid_kept_give(struct heap_hybrid_cache *cache, uintptr_t block,
                                         unsigned order)
{
    const uint32_t kept = cache->kept + (1u << order);
    if (UNLIKELY(order >= HEAP_HYBRID_BLOCK_ORDERS || kept > cache->kept_most ||
                 cache->block_count[order] == HEAP_HYBRID_BLOCKS))
        return false;
    const unsigned end = cache->block_count[order]++;
    cache->kept = kept;
    cache->blocks[order][end] = (uint32_t)((block - cache->base) >> PAGE_SHIFT);
    return true;
}

// A block from the cache or the buddy, 0 if there is none; and back.
ALWAYS_INLINE uintptr_t heap_hybrid_block_take(struct heap_hybrid_cache *cache, unsigned order)
{
    trace_begin(TRACE_HEAP_PAGES, 1u << order);
    uintptr_t block = heap_hybrid_kept_take(cache, order);
    if (UNLIKELY(block == 0))
        block = heap_hybrid_buddy_take(cache, order);
    trace_end(TRACE_HEAP_PAGES);
    return block;
}

ALWAYS_INLINE void heap_hybrid_block_give(struct heap_hybrid_cache *cache, uintptr_t block,
                                          unsigned order)
{
    trace_begin(TRACE_HEAP_PAGES, 1u << order);
    if (UNLIKELY(!heap_hybrid_kept_give(cache, block, order)))
        heap_hybrid_buddy_give(cache, block, order);
    trace_end(TRACE_HEAP_PAGES);
}

// ---- CPU slabs (heap_hybrid_slab.c) -------------------------------------------------------------

// The running CPU's slab: preemption off, and claimed; and back. Waits while another CPU looks for
// memory in it.
struct heap_hybrid_cpu *heap_hybrid_cpu_enter(struct heap_hybrid_cache *cache);
void heap_hybrid_cpu_leave(struct heap_hybrid_cpu *cpu);

// Moves up to `count` objects of a class in front of `chain` and says in `moved` how many; the new
// chain. Never more than 65535 at a time. The slab is entered.
struct heap_object *heap_hybrid_cpu_take(struct heap_hybrid_cache *cache,
                                         struct heap_hybrid_cpu *cpu, unsigned class, size_t count,
                                         struct heap_object *chain, size_t *moved);
// Takes the first `count` objects of a chain of one class back, whosever they are; returns what
// follows them. Never waits. Nothing is entered.
struct heap_object *heap_hybrid_give(struct heap_hybrid_cache *cache, unsigned class, size_t count,
                                     struct heap_object *chain);

// Takes in what came from other CPUs. The slab is claimed, by whomever. Returns how many objects
// were sent on, to a CPU that has adopted their slab.
size_t heap_hybrid_cpu_collect(struct heap_hybrid_cache *cache, struct heap_hybrid_cpu *cpu);
// Gives up spare slabs. The slab is claimed.
void heap_hybrid_cpu_trim(struct heap_hybrid_cache *cache, struct heap_hybrid_cpu *cpu);

// Takes in everything that came back to the slabs of any CPU and lets go what is empty of them, to
// the cache's blocks. Nothing is entered.
void heap_hybrid_reclaim_all(struct heap_hybrid_cache *cache);
// Moves a slab that has objects to give from another CPU to this one; false if none has one.
bool heap_hybrid_adopt_slab(struct heap_hybrid_cache *cache, unsigned class);

// The slab an object lies in; its page holds objects of a class.
const struct heap_hybrid_slab *heap_hybrid_slab_of(const struct heap_hybrid_pages *pages,
                                                   const void *object);
// True if an object of that slab starts at the address and was ever cut off.
bool heap_hybrid_slab_has(const struct heap_hybrid_pages *pages,
                          const struct heap_hybrid_slab *slab, const void *object);
unsigned heap_hybrid_slab_capacity(const struct heap_hybrid_slab *slab);

// First object of what `remote` said, NULL if none; and what it said of the bytes, in 8.
struct heap_object *heap_hybrid_remote_first(const struct heap_hybrid_pages *pages, uint64_t word);
uint64_t heap_hybrid_remote_amount(uint64_t word);

// ---- handles (heap_hybrid_handles.c) ------------------------------------------------------------

// The halves of `asked`.
#define HEAP_HYBRID_REFUSED     0xffffffffull
#define HEAP_HYBRID_JOINED      (~HEAP_HYBRID_REFUSED)
#define HEAP_HYBRID_ONE_REFUSED 1ull
#define HEAP_HYBRID_ONE_JOINED  (HEAP_HYBRID_REFUSED + 1)
// Locked instructions of a cache between giving back all it holds and doing so again: so slow paths
// cost about twice as much at most, however often others are refused.
#define HEAP_HYBRID_GIVE_AGAIN 64u

// Adds up what the handles did, those that left included. All at rest.
void heap_hybrid_total(const struct heap_hybrid_pages *pages, struct heap_hybrid_totals *totals);

#endif
