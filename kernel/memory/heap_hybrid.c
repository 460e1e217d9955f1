// SPDX-License-Identifier: MIT
// The slow paths of the thread cache, the page level, and the operations of heap.h.
#include "heap_hybrid.h"

#include "assert.h"
#include "string.h"

// Objects moved at a time between a cache and the CPU slab: half a bin, less where that would be
// more than 16 KiB.
static const uint8_t batch_objects[HEAP_CLASSES] = {
    32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 16, 16, 8, 8,
};

enum status heap_hybrid_pages_init(struct heap_hybrid_pages *pages, void *memory, size_t length)
{
    const uintptr_t base = (uintptr_t)memory;
    if (base == 0 || base % PAGE_SIZE != 0 || length % PAGE_SIZE != 0 || length < 64 * 1024 ||
        length > BUDDY_SPAN_LIMIT)
        return STATUS_INVALID;
    const uint64_t page_count = length >> PAGE_SHIFT;
    const size_t slabs_bytes = page_count * sizeof(struct heap_hybrid_slab);
    const size_t buddy_bytes = buddy_metadata_bytes(base, length, HEAP_HYBRID_ORDER);
    const size_t map_bytes = page_count;
    const size_t metadata_bytes = align_up(slabs_bytes + buddy_bytes + map_bytes, PAGE_SIZE);
    *pages = (struct heap_hybrid_pages){
        .base = base,
        .page_count = page_count,
        .slabs = memory,
        .map = (uint8_t *)memory + slabs_bytes + buddy_bytes,
    };
    memset(pages->map, HEAP_CLASS_NONE, map_bytes);
    const enum status status = buddy_init(&pages->buddy, base, length, HEAP_HYBRID_ORDER,
                                          (char *)memory + slabs_bytes, buddy_bytes);
    if (status != STATUS_OK)
        return status;
    return buddy_add(&pages->buddy, base + metadata_bytes, length - metadata_bytes);
}

void heap_hybrid_adopt(struct heap_hybrid_pages *pages, struct heap_boot *boot)
{
    assert(boot->end <= pages->base ||
           boot->start >= pages->base + (pages->page_count << PAGE_SHIFT));
    pages->boot = boot;
}

// The cache's slow paths are not entered twice: not by a second thread, not by an interrupt.
static inline void enter(struct heap_hybrid_cache *cache)
{
    assert(!cache->inside);
    cache->inside = true;
}

static inline void leave(struct heap_hybrid_cache *cache)
{
    cache->inside = false;
}

// The hot slot may hold one more.
#define BIN_LIMIT (HEAP_HYBRID_BIN_OBJECTS - 1)

// To be called when a bin has another length than the fast paths made it, or its room is used up.
static void set_room(struct heap_hybrid_cache *cache, unsigned class, uint64_t objects)
{
    assert(objects <= BIN_LIMIT);
    const int32_t room = BIN_LIMIT - (int32_t)objects;
    cache->room_given[class] += (uint64_t)(int64_t)(room - cache->room[class]);
    cache->room[class] = room;
}

// Moves the object in the hot slot to its bin, which has room.
static void cool(struct heap_hybrid_cache *cache)
{
    const unsigned class = cache->hot_class;
    cache->hot->next = cache->heads[class];
    cache->heads[class] = cache->hot;
    cache->room[class]--;
    cache->hot_class = HEAP_CLASS_NONE;
}

static size_t fill(struct heap_hybrid_cache *cache, unsigned class, size_t count)
{
    size_t moved = 0;
    const uint64_t objects = heap_hybrid_bin_objects(cache, class);
    trace_begin(TRACE_HEAP_REFILL, (uint32_t)count);
    cache->heads[class] =
        heap_hybrid_cpu_take(cache->cpu, class, count, cache->heads[class], &moved);
    cache->moved[class] += moved;
    set_room(cache, class, objects + moved);
    trace_end(TRACE_HEAP_REFILL);
    return moved;
}

static void drain(struct heap_hybrid_cache *cache, unsigned class, size_t count)
{
    const uint64_t objects = heap_hybrid_bin_objects(cache, class);
    trace_begin(TRACE_HEAP_SURPLUS, (uint32_t)count);
    cache->heads[class] = heap_hybrid_cpu_give(cache->cpu, class, count, cache->heads[class]);
    cache->moved[class] -= count;
    set_room(cache, class, objects - count);
    trace_end(TRACE_HEAP_SURPLUS);
}

static void flush(struct heap_hybrid_cache *cache)
{
    for (unsigned class = 0; class < HEAP_CLASSES; class ++)
        drain(cache, class, heap_hybrid_bin_objects(cache, class));
    const unsigned class = cache->hot_class;
    if (class != HEAP_CLASS_NONE) {
        cool(cache);
        drain(cache, class, 1);
    }
}

void heap_hybrid_cache_flush(struct heap_hybrid_cache *cache)
{
    enter(cache);
    flush(cache);
    leave(cache);
}

// The buddy has nothing: gives it what lies idle in the levels above.
static COLD void reclaim(struct heap_hybrid_cache *cache)
{
    flush(cache);
    heap_hybrid_cpu_trim(cache->cpu);
}

static void *allocate_large(struct heap_hybrid_cache *cache, size_t size)
{
    uintptr_t address = 0;
    if (size <= HEAP_HYBRID_LARGEST) {
        struct buddy *buddy = &cache->cpu->pages->buddy;
        const unsigned order = buddy_order(size);
        trace_begin(TRACE_HEAP_PAGES, 1u << order);
        if (UNLIKELY(!buddy_allocate(buddy, order, &address))) {
            reclaim(cache);
            if (!buddy_allocate(buddy, order, &address))
                address = 0;
        }
        trace_end(TRACE_HEAP_PAGES);
        if (address != 0) {
            cache->large_allocations++;
            cache->large_bytes_allocated += (uint64_t)PAGE_SIZE << order;
            return (void *)address;
        }
    }
    cache->failures++;
    return NULL;
}

NOINLINE void *heap_hybrid_cache_miss(struct heap_hybrid_cache *cache, size_t size)
{
    const unsigned class = heap_size_class(size);
    void *result = NULL;
    enter(cache);
    if (class == HEAP_CLASS_NONE) {
        result = allocate_large(cache, size);
    } else {
        size_t moved = fill(cache, class, batch_objects[class]);
        if (UNLIKELY(moved == 0)) {
            reclaim(cache);
            moved = fill(cache, class, 1);
        }
        if (moved != 0) {
            struct heap_object *object = cache->heads[class];
            cache->heads[class] = object->next;
            cache->from_bin[class]++;
            cache->misses++;
            cache->refills++;
            result = object;
        } else {
            cache->failures++;
        }
    }
    leave(cache);
    return result;
}

// A block of the buddy, a pointer of the boot heap, or nobody's.
NOINLINE void heap_hybrid_cache_release_other(struct heap_hybrid_cache *cache, void *pointer)
{
    struct heap_hybrid_pages *pages = cache->cpu->pages;
    unsigned order = 0;
    enter(cache);
    if (UNLIKELY(pages->boot != NULL && heap_boot_owns(pages->boot, pointer))) {
        const enum status status = heap_boot_release(pages->boot, pointer);
        assert(status == STATUS_OK);
    } else {
        trace_begin(TRACE_HEAP_PAGES, 0);
        const enum status status = buddy_free_unit(&pages->buddy, (uintptr_t)pointer, &order);
        trace_end(TRACE_HEAP_PAGES);
        assert(status != STATUS_DOUBLE);
        assert(status != STATUS_FOREIGN);
        assert(status == STATUS_OK); // inside a block, not at its start
        cache->large_frees++;
        cache->large_bytes_freed += (uint64_t)PAGE_SIZE << order;
    }
    leave(cache);
}

// The hot slot's object could not move on: it is this one, or its bin's room is used up.
NOINLINE void heap_hybrid_cache_release_slow(struct heap_hybrid_cache *cache, void *pointer,
                                             unsigned class)
{
    const unsigned full = cache->hot_class;
    assert(cache->hot != pointer); // freed twice
    enter(cache);
    cache->room[full]++; // the fast path counted a move that has not happened yet
    const uint64_t objects = heap_hybrid_bin_objects(cache, full);
    if (objects >= BIN_LIMIT) {
        drain(cache, full, batch_objects[full]);
        cache->surplus_returns++;
    } else {
        set_room(cache, full, objects);
    }
    cool(cache);
    cache->hot = pointer;
    cache->hot_class = class;
    leave(cache);
}

size_t heap_hybrid_cache_prefill(struct heap_hybrid_cache *cache, size_t size, size_t count)
{
    const unsigned class = heap_size_class(size);
    if (class == HEAP_CLASS_NONE)
        return 0;
    enter(cache);
    const uint64_t place = BIN_LIMIT - heap_hybrid_bin_objects(cache, class);
    const size_t moved = fill(cache, class, min_u64(count, place));
    leave(cache);
    return moved;
}

size_t heap_hybrid_refill(void *heap, size_t size)
{
    struct heap_hybrid_cache *cache = &((struct heap_hybrid *)heap)->cache;
    const unsigned class = heap_size_class(size);
    if (class == HEAP_CLASS_NONE)
        return 0;
    enter(cache);
    const size_t batch = batch_objects[class];
    // A bin without place for a batch sends one away first; either way it ends as it began.
    const bool full = heap_hybrid_bin_objects(cache, class) + batch > BIN_LIMIT;
    if (full)
        drain(cache, class, batch);
    const size_t moved = fill(cache, class, batch);
    if (!full)
        drain(cache, class, moved);
    if (moved != 0)
        cache->refills++;
    leave(cache);
    return moved;
}

void heap_hybrid_cache_attach(struct heap_hybrid_cache *cache, struct heap_hybrid_cpu *cpu,
                              const void *owner)
{
    *cache = (struct heap_hybrid_cache){
        .base = cpu->pages->base,
        .page_count = cpu->pages->page_count,
        .map = cpu->pages->map,
        .cpu = cpu,
        .owner = owner,
        .hot_class = HEAP_CLASS_NONE,
    };
    for (unsigned class = 0; class < HEAP_CLASSES; class ++)
        set_room(cache, class, 0);
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
    heap_hybrid_cpu_attach(&hybrid->cpu, &hybrid->pages, 0);
    heap_hybrid_cache_attach(&hybrid->cache, &hybrid->cpu, NULL);
    return STATUS_OK;
}

void heap_hybrid_statistics(const void *heap, struct heap_statistics *statistics)
{
    const struct heap_hybrid *hybrid = heap;
    const struct heap_hybrid_cache *cache = &hybrid->cache;
    uint64_t small = 0;
    *statistics = (struct heap_statistics){
        .allocations = cache->large_allocations,
        .frees = cache->large_frees,
        .failures = cache->failures,
        .bytes_allocated = cache->large_bytes_allocated,
        .bytes_freed = cache->large_bytes_freed,
        .cache_misses = cache->misses,
        .refills = cache->refills,
        .surplus_returns = cache->surplus_returns,
        .pages_taken = hybrid->pages.buddy.frames_allocated,
        .pages_returned = hybrid->pages.buddy.frames_freed,
    };
    for (unsigned class = 0; class < HEAP_CLASSES; class ++) {
        // Every object that left the hot slot was freed into it, and so was the one inside.
        const uint64_t frees = heap_hybrid_bin_entries(cache, class) + cache->from_hot[class] +
                               (cache->hot_class == class);
        const uint64_t allocations = cache->from_hot[class] + cache->from_bin[class];
        small += allocations;
        statistics->frees += frees;
        statistics->bytes_allocated += allocations * heap_class_bytes[class];
        statistics->bytes_freed += frees * heap_class_bytes[class];
    }
    statistics->allocations += small;
    statistics->cache_hits = small - cache->misses;
}
