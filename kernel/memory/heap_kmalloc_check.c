// SPDX-License-Identifier: MIT
// The invariants of the kmalloc heap, walked from end to end while all is at rest.
#include "assert.h"
#include "heap_kmalloc.h"

// The map says that the object lies in a slab of the class.
static bool in_class(const struct heap_kmalloc *heap, const void *object, unsigned class)
{
    const uint64_t page = heap_kmalloc_page_of(heap, object);
    if (page >= heap->page_count)
        return false;
    return heap->map[page] == class && heap->slabs[page].class == class &&
           heap_kmalloc_slab_has(&heap->slabs[page], object);
}

// A list holds exactly `count` objects of one class, and of one slab where one is given.
static bool check_list(const struct heap_kmalloc *heap, const struct heap_object *object,
                       uint64_t count, unsigned class, const struct heap_kmalloc_slab *slab)
{
    for (; object != NULL && count > 0; count--) {
        if (!in_class(heap, object, class))
            return false;
        if (slab != NULL && &heap->slabs[heap_kmalloc_page_of(heap, object)] != slab)
            return false;
        object = object->next;
    }
    return object == NULL && count == 0;
}

struct totals {
    uint64_t out[HEAP_KMALLOC_POOLS]; // objects not in a slab's list
    uint64_t slabs[HEAP_KMALLOC_POOLS], listed[HEAP_KMALLOC_POOLS], idle[HEAP_KMALLOC_POOLS];
    uint64_t pages;  // of slabs
    uint64_t single; // objects of 4096 bytes
    uint64_t blocks;
};

static bool check_slab(const struct heap_kmalloc *heap, const struct heap_kmalloc_slab *slab,
                       struct totals *totals)
{
    const unsigned class = slab->class, capacity = heap_kmalloc_slab_capacity(class);
    const bool idle = heap->pools[class].idle == slab;
    const bool listed = slab->link.next != &slab->link;
    const bool exhausted = slab->free_count == 0 && slab->carved == capacity;
    totals->out[class] += (uint64_t)slab->carved - slab->free_count;
    totals->slabs[class]++;
    totals->listed[class] += listed;
    totals->idle[class] += idle;
    totals->pages++;
    return slab->carved <= capacity && listed == !exhausted &&
           (idle ? slab->carved == 0 : slab->free_count < slab->carved) &&
           check_list(heap, slab->free, slab->free_count, class, slab);
}

static bool check_pages(const struct heap_kmalloc *heap, struct totals *totals)
{
    for (uint64_t page = 0; page < heap->page_count; page++) {
        const unsigned kind = heap->map[page];
        if (kind == HEAP_KMALLOC_PAGE)
            totals->single++;
        else if (kind == HEAP_KMALLOC_BLOCK)
            totals->blocks++;
        else if (kind != HEAP_KMALLOC_NONE &&
                 (kind >= HEAP_KMALLOC_POOLS || heap->slabs[page].class != kind ||
                  !check_slab(heap, &heap->slabs[page], totals)))
            return false;
    }
    return true;
}

static bool check_thread(const struct heap_kmalloc *heap, const struct heap_kmalloc_thread *thread)
{
    const unsigned hot_class = thread->hot_class;
    if (thread->inside || thread->heap != heap || thread->base != heap->base ||
        thread->page_count != heap->page_count || thread->map != heap->map)
        return false;
    if (hot_class != HEAP_KMALLOC_NONE &&
        (hot_class >= HEAP_KMALLOC_BINS || !in_class(heap, thread->hot, hot_class)))
        return false;
    for (unsigned class = 0; class < HEAP_KMALLOC_BINS; class ++) {
        const uint64_t objects = heap_kmalloc_bin_objects(thread, class);
        if (objects >= HEAP_KMALLOC_BIN_OBJECTS || thread->room[class] < 0 ||
            (uint64_t)thread->room[class] >= HEAP_KMALLOC_BIN_OBJECTS - objects ||
            !check_list(heap, thread->heads[class], objects, class, NULL))
            return false;
    }
    return true;
}

static bool check_cpu(const struct heap_kmalloc *heap, const struct heap_kmalloc_cpu *cpu)
{
    if (cpu->page_count > HEAP_KMALLOC_STACK_PAGES)
        return false;
    for (uint64_t i = 0; i < cpu->page_count; i++) {
        const uint64_t page = (cpu->pages[i] - heap->base) >> PAGE_SHIFT;
        if (page >= heap->page_count || heap->map[page] != HEAP_KMALLOC_NONE)
            return false;
    }
    for (unsigned i = 0; i < HEAP_KMALLOC_CPU_LISTS; i++)
        if (!check_list(heap, cpu->lists[i].head, cpu->lists[i].count, HEAP_KMALLOC_BINS + i, NULL))
            return false;
    return true;
}

static bool check_pool(const struct heap_kmalloc_pool *pool, const struct totals *totals,
                       unsigned class)
{
    uint64_t listed = 0;
    for (const struct list *at = pool->partial.next;
         at != &pool->partial && listed <= totals->slabs[class]; at = at->next)
        listed++;
    return listed == totals->listed[class] && pool->slabs == totals->slabs[class] &&
           totals->idle[class] == (pool->idle != NULL) &&
           totals->out[class] == pool->given - pool->taken_back;
}

bool heap_kmalloc_check(const void *heap_)
{
    const struct heap_kmalloc *heap = heap_;
    struct totals totals = {0};
    struct heap_statistics statistics;
    uint64_t stacked = 0, single = 0;
    if (!buddy_check(&heap->buddy) || !check_pages(heap, &totals))
        return false;
    for (const struct list *at = heap->handles.next; at != &heap->handles; at = at->next)
        if (!check_thread(heap, (const void *)((const char *)at -
                                               offsetof(struct heap_kmalloc_thread, link))))
            return false;
    for (unsigned i = 0; i < CPU_MOST; i++) {
        const struct heap_kmalloc_cpu *cpu = &heap->cpus[i];
        if (!check_cpu(heap, cpu))
            return false;
        stacked += cpu->page_count;
        single += cpu->lists[HEAP_KMALLOC_CPU_LISTS].allocations -
                  cpu->lists[HEAP_KMALLOC_CPU_LISTS].frees;
    }
    for (unsigned class = 0; class < HEAP_KMALLOC_POOLS; class ++)
        if (!check_pool(&heap->pools[class], &totals, class))
            return false;
    heap_kmalloc_statistics(heap, &statistics);
    const uint64_t block_bytes = heap->block_bytes_allocated - heap->block_bytes_freed;
    return single == totals.single &&
           totals.blocks == heap->block_allocations - heap->block_frees &&
           statistics.pages_taken - statistics.pages_returned ==
               totals.pages + single + stacked + (block_bytes >> PAGE_SHIFT);
}

// ---- test builds: a bit for each object, whoever allocates and frees it -------------------------

static uint64_t live_bit(const struct heap_kmalloc *heap, const void *object, uint64_t **word)
{
    const uint64_t place = ((uintptr_t)object - heap->base) / 16;
    *word = &heap->live[place / 64];
    return 1ull << (place % 64);
}

// Relaxed, both: only the bit itself matters. What the object holds its users order.
void heap_kmalloc_note_allocated(const struct heap_kmalloc_thread *thread, const void *object)
{
    uint64_t *word;
    const uint64_t bit = live_bit(thread->heap, object, &word);
    const uint64_t before = __atomic_fetch_or(word, bit, __ATOMIC_RELAXED);
    assert((before & bit) == 0); // handed out twice
}

void heap_kmalloc_note_freed(const struct heap_kmalloc_thread *thread, const void *pointer)
{
    uint64_t *word;
    if (heap_kmalloc_page_of(thread->heap, pointer) >= thread->page_count)
        return; // the slow path knows
    const uint64_t bit = live_bit(thread->heap, pointer, &word);
    const uint64_t before = __atomic_fetch_and(word, ~bit, __ATOMIC_RELAXED);
    assert((uintptr_t)pointer % 16 == 0);
    assert((before & bit) != 0); // freed twice, or not where an object starts
}
