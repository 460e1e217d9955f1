// SPDX-License-Identifier: MIT
// The invariants of the hybrid heap, walked from end to end.
#include "assert.h"
#include "heap_hybrid.h"

static bool in_class(const struct heap_hybrid_pages *pages, const void *object, unsigned class)
{
    const uint64_t page = ((uintptr_t)object - pages->base) >> PAGE_SHIFT;
    return page < pages->page_count && pages->map[page] == class &&
           heap_hybrid_slab_has(pages, heap_hybrid_slab_of(pages, object), object);
}

// A list holds exactly `count` objects of one class, and of one slab where one is given.
static bool check_list(const struct heap_hybrid_pages *pages, const struct heap_object *object,
                       uint64_t count, unsigned class, const struct heap_hybrid_slab *slab)
{
    for (; object != NULL && count > 0; count--) {
        if (!in_class(pages, object, class))
            return false;
        if (slab != NULL && heap_hybrid_slab_of(pages, object) != slab)
            return false;
        object = object->next;
    }
    return object == NULL && count == 0;
}

static bool check_bin(const struct heap_hybrid_cache *cache, unsigned class)
{
    const uint64_t objects = heap_hybrid_bin_objects(cache, class);
    return objects < HEAP_HYBRID_BIN_OBJECTS && cache->room[class] >= 0 &&
           (uint64_t)cache->room[class] < HEAP_HYBRID_BIN_OBJECTS - objects &&
           check_list(cache->cpu->pages, cache->heads[class], objects, class, NULL);
}

// The slab is in the list if and only if it has objects to give and others out.
static bool check_slab(const struct heap_hybrid_cpu *cpu, const struct heap_hybrid_slab *slab)
{
    const unsigned capacity = heap_hybrid_slab_capacity(slab);
    const bool spare = cpu->classes[slab->class].spare == slab;
    const bool listed = slab->link.next != &slab->link;
    const bool exhausted = slab->free_count == 0 && slab->carved == capacity;
    if (slab->carved > capacity || slab->cpu != cpu->index ||
        !check_list(cpu->pages, slab->free, slab->free_count, slab->class, slab))
        return false;
    if (spare)
        return !listed && slab->carved == 0;
    return slab->free_count < slab->carved && listed == !exhausted;
}

struct totals {
    uint64_t out[HEAP_CLASSES]; // objects not in a slab's list
    uint64_t slabs[HEAP_CLASSES];
    uint64_t listed[HEAP_CLASSES]; // slabs in the list of their class
    uint64_t pages;
};

static bool check_pages(const struct heap_hybrid_cpu *cpu, struct totals *totals)
{
    const struct heap_hybrid_pages *pages = cpu->pages;
    for (uint64_t page = 0, step; page < pages->page_count; page += step) {
        const unsigned class = pages->map[page];
        step = 1;
        if (class == HEAP_CLASS_NONE)
            continue;
        const struct heap_hybrid_slab *slab = &pages->slabs[page];
        if (class >= HEAP_CLASSES || slab->class != class || !check_slab(cpu, slab))
            return false;
        step = 1u << slab->order;
        for (uint64_t i = 1; i < step; i++)
            if (page + i >= pages->page_count || pages->map[page + i] != class)
                return false;
        totals->out[class] += slab->carved - slab->free_count;
        totals->slabs[class]++;
        totals->listed[class] += slab->link.next != &slab->link;
        totals->pages += step;
    }
    return true;
}

bool heap_hybrid_check(const void *heap)
{
    const struct heap_hybrid *hybrid = heap;
    const struct heap_hybrid_cache *cache = &hybrid->cache;
    const struct heap_hybrid_cpu *cpu = &hybrid->cpu;
    struct totals totals = {0};
    struct heap_statistics statistics;
    if (!buddy_check(&hybrid->pages.buddy) || !check_pages(cpu, &totals))
        return false;
    if (cache->inside)
        return false;
    if (cache->hot_class > HEAP_CLASS_NONE ||
        (cache->hot_class != HEAP_CLASS_NONE &&
         !in_class(&hybrid->pages, cache->hot, cache->hot_class)))
        return false;
    for (unsigned class = 0; class < HEAP_CLASSES; class ++) {
        uint64_t listed = 0;
        for (const struct list *at = cpu->classes[class].partial.next;
             at != &cpu->classes[class].partial && listed <= totals.slabs[class]; at = at->next)
            listed++;
        if (!check_bin(cache, class) || listed != totals.listed[class] ||
            totals.slabs[class] != cpu->classes[class].slabs)
            return false;
        // Out of the slabs is what the cache moved, by the counts of either side.
        if (totals.out[class] != cache->moved[class] ||
            totals.out[class] != cpu->classes[class].allocations - cpu->classes[class].frees)
            return false;
    }
    heap_hybrid_statistics(heap, &statistics);
    const uint64_t large_bytes = cache->large_bytes_allocated - cache->large_bytes_freed;
    return statistics.pages_taken - statistics.pages_returned ==
           totals.pages + (large_bytes >> PAGE_SHIFT);
}

// A free in a test build: looks for the object among all that are free.
void heap_hybrid_assert_live(const struct heap_hybrid_cache *cache, const void *pointer)
{
    const struct heap_hybrid_pages *pages = cache->cpu->pages;
    const uint64_t page = ((uintptr_t)pointer - pages->base) >> PAGE_SHIFT;
    if (page >= pages->page_count || pages->map[page] == HEAP_CLASS_NONE)
        return; // the slow path knows
    const struct heap_hybrid_slab *slab = heap_hybrid_slab_of(pages, pointer);
    assert(heap_hybrid_slab_has(pages, slab, pointer)); // not the start of an object, else
    assert(cache->hot_class == HEAP_CLASS_NONE || cache->hot != pointer); // freed twice
    const struct heap_object *free = cache->heads[slab->class];
    for (; free != NULL; free = free->next)
        assert(free != pointer); // freed twice
    for (free = slab->free; free != NULL; free = free->next)
        assert(free != pointer); // freed twice
}
