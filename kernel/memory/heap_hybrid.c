// SPDX-License-Identifier: MIT
// The slow paths of the thread cache.
#include "assert.h"
#include "heap_hybrid_parts.h"

// Objects moved at a time between a cache and the CPU slab: half a bin, less where that would be
// more than 16 KiB.
static const uint8_t batch_objects[HEAP_CLASSES] = {
    32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 16, 16, 8, 8,
};

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
    struct heap_hybrid_cpu *cpu = heap_hybrid_cpu_enter(cache);
    heap_hybrid_cpu_collect(cache, cpu);
    cache->heads[class] =
        heap_hybrid_cpu_take(cache, cpu, class, count, cache->heads[class], &moved);
    heap_hybrid_cpu_leave(cpu);
    cache->moved[class] += moved;
    set_room(cache, class, objects + moved);
    trace_end(TRACE_HEAP_REFILL);
    return moved;
}

static void drain(struct heap_hybrid_cache *cache, unsigned class, size_t count)
{
    const uint64_t objects = heap_hybrid_bin_objects(cache, class);
    trace_begin(TRACE_HEAP_SURPLUS, (uint32_t)count);
    cache->heads[class] = heap_hybrid_give(cache, class, count, cache->heads[class]);
    cache->moved[class] -= count;
    set_room(cache, class, objects - count);
    trace_end(TRACE_HEAP_SURPLUS);
}

static void flush(struct heap_hybrid_cache *cache)
{
    for (unsigned class = 0; class < HEAP_CLASSES; class ++) {
        const uint64_t objects = heap_hybrid_bin_objects(cache, class);
        if (objects != 0)
            drain(cache, class, objects);
    }
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

// The buddy has nothing: gives it what lies idle in the levels above, on every CPU.
static COLD void reclaim(struct heap_hybrid_cache *cache)
{
    flush(cache);
    heap_hybrid_reclaim_all(cache);
    heap_hybrid_blocks_flush(cache);
}

// A request is refused: asks the other handles for what they hold.
static COLD void ask(struct heap_hybrid_cache *cache)
{
    const uint64_t asked =
        __atomic_add_fetch(&cache->pages->asked, HEAP_HYBRID_ONE_REFUSED, __ATOMIC_RELAXED);
    cache->locked++;
    // This one holds nothing, but may not have seen who joined.
    cache->answered = (cache->answered & HEAP_HYBRID_JOINED) | (asked & HEAP_HYBRID_REFUSED);
}

// Others were refused, or joined. Inside a slow path; empties all bins and the hot slot, perhaps.
static COLD void answer(struct heap_hybrid_cache *cache, uint64_t asked)
{
    const uint64_t since = asked ^ cache->answered;
    if ((since & HEAP_HYBRID_JOINED) != 0) {
        if (cache->kept_most != 0)
            heap_hybrid_blocks_to_share(cache);
        cache->answered = (asked & HEAP_HYBRID_JOINED) | (cache->answered & HEAP_HYBRID_REFUSED);
    }
    if ((since & HEAP_HYBRID_REFUSED) != 0 &&
        cache->locked - cache->gave_at >= HEAP_HYBRID_GIVE_AGAIN) {
        flush(cache);
        heap_hybrid_blocks_flush(cache);
        cache->answered = asked;
        cache->gave_at = cache->locked;
    }
}

// Does what is asked of all handles, if anything is.
static inline void look(struct heap_hybrid_cache *cache)
{
    const uint64_t asked = __atomic_load_n(&cache->pages->asked, __ATOMIC_RELAXED);
    if (UNLIKELY(asked != cache->answered))
        answer(cache, asked);
}

static inline void enter_and_look(struct heap_hybrid_cache *cache)
{
    enter(cache);
    look(cache);
}

// Asked when fill() found nothing: the object may lie idle elsewhere, or the pages for it.
static COLD size_t fill_when_short(struct heap_hybrid_cache *cache, unsigned class)
{
    reclaim(cache);
    size_t moved = fill(cache, class, 1);
    // Others may be as short, and adopt what was adopted before it could be used.
    for (unsigned i = 0; i < CPU_MOST && moved == 0 && heap_hybrid_adopt_slab(cache, class); i++)
        moved = fill(cache, class, 1);
    if (moved == 0)
        ask(cache);
    return moved;
}

// The cache keeps no block of the order.
static NOINLINE uintptr_t block_when_out(struct heap_hybrid_cache *cache, unsigned order)
{
    enter_and_look(cache);
    uintptr_t block = heap_hybrid_buddy_take(cache, order);
    if (UNLIKELY(block == 0)) {
        reclaim(cache);
        block = heap_hybrid_buddy_take(cache, order);
        if (block == 0)
            ask(cache);
    }
    leave(cache);
    return block;
}

// buddy_order() of a size above 0, without a branch: large sizes come in no order that could be
// predicted.
ALWAYS_INLINE unsigned order_of(size_t size)
{
    return log2_u64((size - 1) | (PAGE_SIZE - 1)) - (PAGE_SHIFT - 1);
}

// A block that the cache keeps is as much the owner's as an object in a bin: nothing is entered.
NOINLINE void *heap_hybrid_cache_large(struct heap_hybrid_cache *cache, size_t size)
{
    uintptr_t block = 0;
    if (LIKELY(size <= HEAP_HYBRID_LARGEST)) {
        const unsigned order = order_of(size);
        trace_begin(TRACE_HEAP_PAGES, 1u << order);
        block = heap_hybrid_kept_take(cache, order);
        if (UNLIKELY(block == 0))
            block = block_when_out(cache, order);
        trace_end(TRACE_HEAP_PAGES);
        if (LIKELY(block != 0)) {
            cache->map[(block - cache->base) >> PAGE_SHIFT] = (uint8_t)(HEAP_HYBRID_LARGE + order);
            cache->large_allocations[order]++;
            if (CONFIG_ASSERT_SLOW)
                heap_hybrid_assert_idle(cache, (void *)block);
            return (void *)block;
        }
    }
    cache->failures++;
    return NULL;
}

NOINLINE void *heap_hybrid_cache_miss(struct heap_hybrid_cache *cache, unsigned class)
{
    struct heap_object *object = NULL;
    enter_and_look(cache);
    size_t moved = fill(cache, class, batch_objects[class]);
    if (UNLIKELY(moved == 0))
        moved = fill_when_short(cache, class);
    if (LIKELY(moved != 0)) {
        object = cache->heads[class];
        cache->heads[class] = object->next;
        cache->from_bin[class]++;
        cache->misses++;
        cache->refills++;
        if (CONFIG_ASSERT_SLOW)
            heap_hybrid_assert_idle(cache, object);
    } else {
        cache->failures++;
    }
    leave(cache);
    return object;
}

static NOINLINE void block_when_full(struct heap_hybrid_cache *cache, uintptr_t block,
                                     unsigned order)
{
    enter_and_look(cache);
    heap_hybrid_buddy_give(cache, block, order);
    leave(cache);
}

// A pointer of the boot heap, or nobody's.
COLD void heap_hybrid_cache_release_early(struct heap_hybrid_cache *cache, void *pointer)
{
    struct heap_boot *const boot = cache->pages->boot;
    assert(boot != NULL && heap_boot_owns(boot, pointer)); // from elsewhere, else
    enter(cache);
    heap_hybrid_lock(cache);
    const enum status status = heap_boot_release(boot, pointer);
    heap_hybrid_unlock(cache);
    leave(cache);
    assert(status == STATUS_OK);
}

// A large object, if one starts there.
NOINLINE void heap_hybrid_cache_release_large(struct heap_hybrid_cache *cache, void *pointer,
                                              uint64_t page)
{
    const unsigned mark = cache->map[page];
    assert(mark >= HEAP_HYBRID_LARGE && (uintptr_t)pointer % PAGE_SIZE == 0); // not allocated
    const unsigned order = mark - HEAP_HYBRID_LARGE;
    cache->map[page] = HEAP_CLASS_NONE;
    cache->large_frees[order]++;
    trace_begin(TRACE_HEAP_PAGES, 1u << order);
    if (UNLIKELY(!heap_hybrid_kept_give(cache, (uintptr_t)pointer, order)))
        block_when_full(cache, (uintptr_t)pointer, order);
    trace_end(TRACE_HEAP_PAGES);
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
        cool(cache);
        look(cache);
    } else {
        set_room(cache, full, objects);
        cool(cache);
    }
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
    struct heap_hybrid_cache *cache = heap;
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
