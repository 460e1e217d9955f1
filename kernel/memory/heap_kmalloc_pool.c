// SPDX-License-Identifier: MIT
// The pools: pages cut into objects of one class. A slab is in its pool's list while it has objects
// to give, and nowhere while all are out. One with nothing out stays in the list, if it is the only
// one there; a second one's page goes to the stack.
#include "assert.h"
#include "heap_kmalloc.h"

static inline uintptr_t slab_start(const struct heap_kmalloc *heap,
                                   const struct heap_kmalloc_slab *slab)
{
    return heap->base + ((uintptr_t)(slab - heap->slabs) << PAGE_SHIFT);
}

_Static_assert(offsetof(struct heap_kmalloc_slab, link) == 0, "a link is its slab");

static struct heap_kmalloc_slab *slab_create(struct heap_kmalloc *heap, unsigned class)
{
    struct heap_kmalloc_pool *pool = &heap->pools[class];
    const uintptr_t start = heap_kmalloc_page_take(heap, heap_kmalloc_this_cpu(heap));
    if (start == 0)
        return NULL;
    const uint64_t page = (start - heap->base) >> PAGE_SHIFT;
    struct heap_kmalloc_slab *slab = &heap->slabs[page];
    *slab = (struct heap_kmalloc_slab){.class = (uint8_t) class};
    list_insert_after(&pool->partial, &slab->link);
    heap->map[page] = (uint8_t) class;
    pool->slabs++;
    return slab;
}

// The slab is in its pool's list, with nothing out.
static void slab_destroy(struct heap_kmalloc *heap, struct heap_kmalloc_slab *slab)
{
    const uintptr_t start = slab_start(heap, slab);
    list_remove(&slab->link);
    heap->pools[slab->class].slabs--;
    heap->map[slab - heap->slabs] = HEAP_KMALLOC_NONE;
    heap_kmalloc_page_give(heap, heap_kmalloc_this_cpu(heap), start);
}

// Moves up to `wanted` of the objects that came back in front of the chain.
static struct heap_object *take_returned(struct heap_kmalloc_slab *slab, uint64_t wanted,
                                         struct heap_object *chain, uint64_t *moved)
{
    const uint64_t count = min_u64(wanted, slab->free_count);
    if (count == 0)
        return chain;
    struct heap_object *const first = slab->free, *last = first;
    for (uint64_t i = 1; i < count; i++)
        last = last->next;
    slab->free = last->next;
    slab->free_count = (uint16_t)(slab->free_count - count);
    last->next = chain;
    *moved += count;
    return first;
}

// Carves up to `wanted` new objects; the lowest is the first to be handed out.
static struct heap_object *take_new(const struct heap_kmalloc *heap, struct heap_kmalloc_slab *slab,
                                    uint64_t wanted, struct heap_object *chain, uint64_t *moved)
{
    const unsigned class = slab->class;
    const uint64_t count =
        min_u64(wanted, heap_kmalloc_slab_capacity(class) - (uint64_t)slab->carved);
    const size_t bytes = heap_kmalloc_class_bytes(class);
    uintptr_t at = slab_start(heap, slab) + (slab->carved + count) * bytes;
    for (uint64_t i = 0; i < count; i++) {
        at -= bytes;
        ((struct heap_object *)at)->next = chain;
        chain = (struct heap_object *)at;
    }
    slab->carved = (uint16_t)(slab->carved + count);
    *moved += count;
    return chain;
}

struct heap_object *heap_kmalloc_pool_take(struct heap_kmalloc *heap, unsigned class,
                                           uint64_t count, struct heap_object *chain,
                                           uint64_t *moved)
{
    struct heap_kmalloc_pool *pool = &heap->pools[class];
    uint64_t done = 0;
    spinlock_acquire(&pool->lock);
    pool->locks++;
    while (done < count) {
        struct heap_kmalloc_slab *slab =
            list_empty(&pool->partial) ? slab_create(heap, class) : (void *)pool->partial.next;
        if (slab == NULL)
            break;
        if (slab == pool->idle)
            pool->idle = NULL;
        chain = take_returned(slab, count - done, chain, &done);
        chain = take_new(heap, slab, count - done, chain, &done);
        if (slab->free_count == 0 && slab->carved == heap_kmalloc_slab_capacity(class)) {
            list_remove(&slab->link);
            list_init(&slab->link);
        }
    }
    pool->given += done;
    spinlock_release(&pool->lock);
    *moved = done;
    return chain;
}

// Nothing of the slab, which is in the list, is out any more.
static NOINLINE void retire(struct heap_kmalloc *heap, struct heap_kmalloc_slab *slab)
{
    struct heap_kmalloc_pool *pool = &heap->pools[slab->class];
    if (slab->link.next != slab->link.previous) { // both the list's head: it is the only one
        slab_destroy(heap, slab);
        return;
    }
    // Carving it anew is cheaper than walking the list of what came back, and in order.
    slab->free = NULL;
    slab->free_count = 0;
    slab->carved = 0;
    pool->idle = slab;
}

struct heap_object *heap_kmalloc_pool_give(struct heap_kmalloc *heap, unsigned class,
                                           uint64_t count, struct heap_object *chain)
{
    struct heap_kmalloc_pool *pool = &heap->pools[class];
    const unsigned capacity = heap_kmalloc_slab_capacity(class);
    spinlock_acquire(&pool->lock);
    pool->locks++;
    for (uint64_t i = 0; i < count; i++) {
        struct heap_object *const object = chain;
        struct heap_kmalloc_slab *const slab = &heap->slabs[heap_kmalloc_page_of(heap, object)];
        chain = object->next;
        // A pointer into the middle of an object, or an object freed twice, else.
        assert(heap_kmalloc_slab_has(slab, object) && slab->free_count < slab->carved);
        assert(slab->class == class);
        if (slab->free_count == 0 && slab->carved == capacity)
            list_insert_after(&pool->partial, &slab->link);
        object->next = slab->free;
        slab->free = object;
        if (++slab->free_count == slab->carved)
            retire(heap, slab);
    }
    pool->taken_back += count;
    spinlock_release(&pool->lock);
    return chain;
}

void heap_kmalloc_pools_trim(struct heap_kmalloc *heap)
{
    for (unsigned class = 0; class < HEAP_KMALLOC_POOLS; class ++) {
        struct heap_kmalloc_pool *pool = &heap->pools[class];
        spinlock_acquire(&pool->lock);
        pool->locks++;
        if (pool->idle != NULL)
            slab_destroy(heap, pool->idle);
        pool->idle = NULL;
        spinlock_release(&pool->lock);
    }
}
