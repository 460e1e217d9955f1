// SPDX-License-Identifier: MIT
// The invariants of the hybrid heap, walked from end to end.
#include "heap_hybrid_parts.h"

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
           check_list(cache->pages, cache->heads[class], objects, class, NULL);
}

// The slab is in the list if and only if it has objects to give and others out.
static bool check_slab(const struct heap_hybrid_pages *pages, const struct heap_hybrid_slab *slab)
{
    const struct heap_hybrid_cpu *cpu = &pages->cpus[slab->cpu];
    const unsigned capacity = heap_hybrid_slab_capacity(slab);
    const bool spare = cpu->classes[slab->class].spare == slab;
    const bool listed = slab->link.next != &slab->link;
    const bool exhausted = slab->free_count == 0 && slab->carved == capacity;
    if (slab->carved > capacity ||
        !check_list(pages, slab->free, slab->free_count, slab->class, slab))
        return false;
    if (spare)
        return !listed && slab->carved == 0;
    return slab->free_count < slab->carved && listed == !exhausted;
}

// What the pages say. Objects are counted by class, slabs of one CPU or, without one, pages.
struct found {
    uint64_t out[HEAP_CLASSES]; // objects not in a slab's list
    uint64_t slabs[HEAP_CLASSES];
    uint64_t listed[HEAP_CLASSES]; // slabs in the list of their class
    uint64_t slab_pages, large_pages;
};

// A slab starts at `page`, its map says.
static bool check_slab_pages(const struct heap_hybrid_pages *pages, uint64_t page,
                             const struct heap_hybrid_cpu *cpu, struct found *found)
{
    const struct heap_hybrid_slab *slab = &pages->slabs[page];
    const unsigned class = pages->map[page];
    if (class >= HEAP_CLASSES || slab->class != class || slab->cpu >= CPU_MOST ||
        slab->order >= HEAP_HYBRID_SLAB_ORDERS)
        return false;
    if (cpu != NULL && slab->cpu != cpu->index)
        return true;
    for (uint64_t i = 1; i < 1u << slab->order; i++)
        if (page + i >= pages->page_count || pages->map[page + i] != class)
            return false;
    found->out[class] += slab->carved - slab->free_count;
    found->slabs[class]++;
    found->listed[class] += slab->link.next != &slab->link;
    found->slab_pages += 1u << slab->order;
    return cpu != NULL || check_slab(pages, slab);
}

static bool check_pages(const struct heap_hybrid_pages *pages, const struct heap_hybrid_cpu *cpu,
                        struct found *found)
{
    *found = (struct found){.slab_pages = 0};
    for (uint64_t page = 0, step; page < pages->page_count; page += step) {
        const unsigned mark = pages->map[page];
        step = 1;
        if (mark == HEAP_CLASS_NONE)
            continue;
        if (mark >= HEAP_HYBRID_LARGE) {
            if (mark > HEAP_HYBRID_LARGE + HEAP_HYBRID_ORDER)
                return false;
            step = 1u << (mark - HEAP_HYBRID_LARGE);
            found->large_pages += step;
            continue;
        }
        if (!check_slab_pages(pages, page, cpu, found))
            return false;
        step = 1u << pages->slabs[page].order;
    }
    return true;
}

// Adds what is on its way to the CPU to `remote`; the list says no less than that of its bytes,
// unless that is more than it can say.
static bool check_remote(const struct heap_hybrid_pages *pages, const struct heap_hybrid_cpu *cpu,
                         uint64_t remote[HEAP_CLASSES])
{
    uint64_t amount = 0, objects = 0;
    const struct heap_object *object = heap_hybrid_remote_first(pages, cpu->remote);
    for (; object != NULL; object = object->next) {
        const uint64_t page = ((uintptr_t)object - pages->base) >> PAGE_SHIFT;
        if (page >= pages->page_count || pages->map[page] >= HEAP_CLASSES ||
            !in_class(pages, object, pages->map[page]) ||
            ++objects > pages->page_count * (PAGE_SIZE / 8))
            return false;
        remote[pages->map[page]]++;
        amount += heap_class_bytes[pages->map[page]] / 8;
    }
    return heap_hybrid_remote_amount(cpu->remote) <= amount;
}

static bool check_cpu(const struct heap_hybrid_pages *pages, const struct heap_hybrid_cpu *cpu)
{
    struct found found;
    uint64_t slabs = 0;
    if (cpu->claim.held != 0 || !check_pages(pages, cpu, &found))
        return false;
    for (unsigned class = 0; class < HEAP_CLASSES; class ++) {
        uint64_t listed = 0;
        for (const struct list *at = cpu->classes[class].partial.next;
             at != &cpu->classes[class].partial && listed <= found.slabs[class]; at = at->next)
            listed++;
        if (listed != found.listed[class] || found.slabs[class] != cpu->classes[class].slabs)
            return false;
        slabs += found.slabs[class];
    }
    return slabs == cpu->slabs_held;
}

static bool check_cache(const struct heap_hybrid_pages *pages,
                        const struct heap_hybrid_cache *cache)
{
    if (cache->inside || cache->pages != pages || cache->hot_class > HEAP_CLASS_NONE ||
        (cache->hot_class != HEAP_CLASS_NONE && !in_class(pages, cache->hot, cache->hot_class)))
        return false;
    for (unsigned class = 0; class < HEAP_CLASSES; class ++)
        if (!check_bin(cache, class))
            return false;
    uint64_t kept = 0;
    for (unsigned order = 0; order < HEAP_HYBRID_BLOCK_ORDERS; order++) {
        if (cache->block_count[order] > HEAP_HYBRID_BLOCKS)
            return false;
        kept += (uint64_t)cache->block_count[order] << order;
        for (unsigned i = 0; i < cache->block_count[order]; i++)
            if (cache->blocks[order][i] >= pages->page_count ||
                pages->map[cache->blocks[order][i]] != HEAP_CLASS_NONE)
                return false;
    }
    return kept == cache->kept && kept <= cache->kept_most;
}

static const struct heap_hybrid_cache *handle_of(const struct list *link)
{
    return (
        const struct heap_hybrid_cache *)(const void *)((const char *)link -
                                                        offsetof(struct heap_hybrid_cache, link));
}

bool heap_hybrid_check(const void *heap)
{
    const struct heap_hybrid_pages *pages = ((const struct heap_hybrid_cache *)heap)->pages;
    struct found found;
    struct heap_hybrid_totals totals;
    uint64_t remote[HEAP_CLASSES] = {0}, given[HEAP_CLASSES] = {0};
    uint64_t handles = 0, kept_most = 0;
    if (pages->lock.held != 0 || !buddy_check(&pages->buddy) || !check_pages(pages, NULL, &found))
        return false;
    for (const struct list *at = pages->handles.next; at != &pages->handles; at = at->next) {
        if (!check_cache(pages, handle_of(at)))
            return false;
        handles++;
        kept_most += handle_of(at)->kept_most;
    }
    if (handles != pages->handle_count || kept_most + pages->kept_left != pages->kept_budget)
        return false;
    for (unsigned i = 0; i < CPU_MOST; i++) {
        const struct heap_hybrid_cpu *cpu = &pages->cpus[i];
        for (unsigned class = 0; class < HEAP_CLASSES; class ++)
            given[class] += cpu->classes[class].allocations - cpu->classes[class].frees;
        // Those that never had a slab are not worth a walk through all pages.
        if ((cpu->slabs_held != 0 || cpu->claim.held != 0) && !check_cpu(pages, cpu))
            return false;
        if (!check_remote(pages, cpu, remote))
            return false;
    }
    heap_hybrid_total(pages, &totals);
    // Out of the slabs is what the caches moved and what is on its way back, by either side's
    // count.
    for (unsigned class = 0; class < HEAP_CLASSES; class ++)
        if (found.out[class] != totals.moved[class] + remote[class] ||
            found.out[class] != given[class])
            return false;
    const uint64_t taken = totals.statistics.pages_taken - totals.statistics.pages_returned;
    return found.large_pages == totals.large_bytes >> PAGE_SHIFT &&
           taken == found.slab_pages + found.large_pages + totals.block_pages;
}
