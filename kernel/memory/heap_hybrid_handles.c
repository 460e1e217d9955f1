// SPDX-License-Identifier: MIT
// The handles of a hybrid heap: how they come and go, and what they did together.
#include "assert.h"
#include "heap_hybrid_parts.h"
#include "string.h"

void heap_hybrid_cache_attach(struct heap_hybrid_cache *cache, struct heap_hybrid_pages *pages,
                              const void *owner)
{
    assert((uintptr_t)cache % CACHE_LINE == 0);
    memset(cache, 0, sizeof(*cache));
    cache->base = pages->base;
    cache->page_count = pages->page_count;
    cache->map = pages->map;
    cache->pages = pages;
    cache->owner = owner;
    cache->hot_class = HEAP_CLASS_NONE;
    cache->gave_at = 0 - (uint64_t)HEAP_HYBRID_GIVE_AGAIN; // it may at once
    for (unsigned class = 0; class < HEAP_CLASSES; class ++)
        cache->room[class] = cache->room_given[class] = HEAP_HYBRID_BIN_OBJECTS - 1;
    heap_hybrid_lock(cache);
    list_insert_after(&pages->handles, &cache->link);
    pages->handle_count++;
    // Relaxed, as all of `asked`: who sees it late follows it late, and what he gives back goes
    // through the lock.
    cache->answered = __atomic_add_fetch(&pages->asked, HEAP_HYBRID_ONE_JOINED, __ATOMIC_RELAXED);
    cache->locked++;
    heap_hybrid_unlock(cache);
}

void heap_hybrid_cache_hand_over(struct heap_hybrid_cache *cache, const void *from, const void *to)
{
    assert(cache->owner == from);
    assert(!cache->inside);
    cache->owner = to;
}

enum status heap_hybrid_init(void *heap, void *memory, size_t length)
{
    struct heap_hybrid *hybrid = heap;
    if ((uintptr_t)heap % CACHE_LINE != 0)
        return STATUS_INVALID;
    const enum status status = heap_hybrid_pages_init(&hybrid->pages, memory, length);
    if (status != STATUS_OK)
        return status;
    heap_hybrid_cache_attach(&hybrid->cache, &hybrid->pages, NULL);
    hybrid->cache.locked = 0; // counted since init
    return STATUS_OK;
}

void *heap_hybrid_join(void *heap, void *memory)
{
    heap_hybrid_cache_attach(memory, ((struct heap_hybrid_cache *)heap)->pages, NULL);
    return memory;
}

static void add(struct heap_hybrid_totals *totals, const struct heap_hybrid_cache *cache)
{
    struct heap_statistics *const sum = &totals->statistics;
    uint64_t allocations = 0;
    for (unsigned class = 0; class < HEAP_CLASSES; class ++) {
        // Every object that left the hot slot was freed into it, and so was the one inside.
        const uint64_t frees = heap_hybrid_bin_entries(cache, class) + cache->from_hot[class] +
                               (cache->hot_class == class);
        const uint64_t served = cache->from_hot[class] + cache->from_bin[class];
        allocations += served;
        sum->frees += frees;
        sum->bytes_allocated += served * heap_class_bytes[class];
        sum->bytes_freed += frees * heap_class_bytes[class];
        totals->moved[class] += cache->moved[class];
    }
    for (unsigned order = 0; order <= HEAP_HYBRID_ORDER; order++) {
        const uint64_t bytes = (uint64_t)PAGE_SIZE << order;
        sum->allocations += cache->large_allocations[order];
        sum->frees += cache->large_frees[order];
        sum->bytes_allocated += cache->large_allocations[order] * bytes;
        sum->bytes_freed += cache->large_frees[order] * bytes;
        totals->large_bytes +=
            (cache->large_allocations[order] - cache->large_frees[order]) * bytes;
    }
    sum->allocations += allocations;
    sum->failures += cache->failures;
    sum->cache_hits += allocations - cache->misses;
    sum->cache_misses += cache->misses;
    sum->refills += cache->refills;
    sum->surplus_returns += cache->surplus_returns;
    sum->locked_instructions += cache->locked;
    totals->block_pages += cache->kept;
}

void heap_hybrid_leave(void *handle)
{
    struct heap_hybrid_cache *cache = handle;
    struct heap_hybrid_pages *pages = cache->pages;
    assert((void *)pages != (void *)&((struct heap_hybrid *)handle)->pages); // the first handle
    heap_hybrid_cache_flush(cache);
    heap_hybrid_blocks_flush(cache);
    // Whoever calls through it now is caught on his first slow path.
    cache->inside = true;
    heap_hybrid_lock(cache);
    list_remove(&cache->link);
    pages->handle_count--;
    add(&pages->departed, cache);
    heap_hybrid_unlock(cache);
}

size_t heap_hybrid_trim(void *handle)
{
    struct heap_hybrid_cache *cache = handle;
    const uint64_t before = cache->pages_returned;
    heap_hybrid_cache_flush(cache);
    struct heap_hybrid_cpu *cpu = heap_hybrid_cpu_enter(cache);
    heap_hybrid_cpu_collect(cache, cpu);
    heap_hybrid_cpu_trim(cache, cpu);
    heap_hybrid_cpu_leave(cpu);
    heap_hybrid_blocks_flush(cache);
    return (cache->pages_returned - before) << PAGE_SHIFT;
}

void heap_hybrid_total(const struct heap_hybrid_pages *pages, struct heap_hybrid_totals *totals)
{
    *totals = pages->departed;
    for (const struct list *at = pages->handles.next; at != &pages->handles; at = at->next)
        add(totals,
            (const struct heap_hybrid_cache *)(const void *)((const char *)at -
                                                             offsetof(struct heap_hybrid_cache,
                                                                      link)));
    totals->statistics.pages_taken = pages->buddy.frames_allocated;
    totals->statistics.pages_returned = pages->buddy.frames_freed;
}

void heap_hybrid_statistics(const void *heap, struct heap_statistics *statistics)
{
    struct heap_hybrid_totals totals;
    heap_hybrid_total(((const struct heap_hybrid_cache *)heap)->pages, &totals);
    *statistics = totals.statistics;
}
