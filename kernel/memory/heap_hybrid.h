// SPDX-License-Identifier: MIT
// The hybrid heap: three levels, each asked only when the one above has nothing.
//
//   thread cache   a hot slot and 16 bins, at most 64 free objects a class; no lock, inline
//   CPU slab       blocks of pages cut into objects of one class; moves batches to and from caches
//   page level     a buddy of orders 0..8 (4 KiB to 1 MiB) and the page map, shared by all
//
//   bin    the free objects of one class that a cache holds, last in first out
//   hot    the object freed last, of any class, until it is allocated again or the next free moves
//          it on to its bin. The slot's address is fixed, where a bin's comes out of the page map:
//          an allocation from it waits for nothing that the free had to look up, which is most of
//          the time of a free followed by an allocation
//   room   objects a bin takes without looking at its true length; at most 63 minus that length,
//          so that bin and hot slot together hold 64
//   slab   1 or 2 pages from the buddy, all of one class; described outside of itself
//   map    one byte a page: the class of the slab it belongs to, HEAP_CLASS_NONE for all others
//
// Rules for callers, beyond those of heap.h
//   owner        a cache belongs to one thread, not to a CPU: preemption between two of its
//                instructions is harmless, since nobody else touches it, and it needs no preempt
//                count. It may be handed over while no call is inside.
//                An interrupt handler has no thread of its own and never calls: a handler that
//                enters a slow path while the thread is inside one is caught by an assertion
//   free         any cache takes any object of the heap: it goes to the bin of who frees it, and
//                from there to the slab it was cut from
//   slab, pages  not locked: caches of one CPU, and all CPUs, are serialised by the caller
//   checks       a foreign address, a free page and the object freed last are caught on every
//                free; any other double free in slow paths, or at once with CONFIG_ASSERT_SLOW
#ifndef HEAP_HYBRID_H
#define HEAP_HYBRID_H

#include "buddy.h"
#include "compiler.h"
#include "heap.h"
#include "heap_boot.h"
#include "heap_size_class.h"
#include "heap_trace.h"
#include "list.h"

#define HEAP_HYBRID_BIN_OBJECTS 64         // of a class in a cache, the hot slot included
#define HEAP_HYBRID_LARGEST     (1u << 20) // bytes: a block of the highest order
#define HEAP_HYBRID_ORDER       8
#define HEAP_HYBRID_SLAB_ORDERS 2 // a slab is a block of order 0 or 1

// Describes the slab that starts at a page; one for each page of the heap, in an array.
struct heap_hybrid_slab {
    struct list link;         // in the CPU's list of slabs that have objects; else to itself
    struct heap_object *free; // objects that came back
    uint16_t free_count;
    uint16_t carved; // objects ever cut off the front
    uint16_t cpu;    // index of the CPU slab it belongs to
    uint8_t class;
    uint8_t order;
};

_Static_assert(sizeof(struct heap_hybrid_slab) == 32, "two to a cache line");

// The page level: one for the whole heap.
struct heap_hybrid_pages {
    uintptr_t base; // of the memory handed over, metadata included: page 0
    uint64_t page_count;
    uint8_t *map;                   // [page]
    struct heap_hybrid_slab *slabs; // [page], valid where the map says that a slab starts
    struct buddy buddy;
    struct heap_boot *boot; // adopted, or NULL
} CACHE_ALIGNED;

// The second level: one for each CPU. Counts are objects, since init.
struct heap_hybrid_cpu {
    struct heap_hybrid_pages *pages;
    uint64_t index;
    struct {
        struct list partial;            // slabs with objects to give, the one used last in front
        struct heap_hybrid_slab *spare; // one slab with nothing out, kept against thrashing
        uint64_t allocations, frees;    // objects given to caches, and taken back
        uint64_t slabs;                 // held now, the spare one included
    } classes[HEAP_CLASSES];
} CACHE_ALIGNED;

// The first level: one for each thread. What there is of each bin lies in an array of its own, so
// that the class indexes it without a multiplication.
struct heap_hybrid_cache {
    // Read by every free, written at attach.
    uintptr_t base;
    uint64_t page_count;
    const uint8_t *map;
    struct heap_hybrid_cpu *cpu;

    // Written on the fast paths, by the owner only.
    struct heap_object *hot; // valid unless its class is HEAP_CLASS_NONE
    uint32_t hot_class;
    bool inside; // a slow path is running
    int32_t room[HEAP_CLASSES];
    struct heap_object *heads[HEAP_CLASSES];
    // Allocations served, by where from; all other numbers of the fast paths follow from these
    // two and from `room`.
    uint64_t from_hot[HEAP_CLASSES];
    uint64_t from_bin[HEAP_CLASSES];

    // Written on slow paths, by the owner only.
    const void *owner;                 // whatever the caller names its threads by
    uint64_t room_given[HEAP_CLASSES]; // all room there ever was; minus `room`: objects moved there
                                       // from the hot slot
    uint64_t moved[HEAP_CLASSES];      // objects that came from the CPU slab minus those sent back
    uint64_t misses, failures, refills, surplus_returns;
    uint64_t large_allocations, large_frees, large_bytes_allocated, large_bytes_freed;
} CACHE_ALIGNED;

// One heap with one thread and one CPU, as heap.h has it.
struct heap_hybrid {
    struct heap_hybrid_cache cache;
    struct heap_hybrid_cpu cpu;
    struct heap_hybrid_pages pages;
} CACHE_ALIGNED;

// The three levels, bottom up. `memory` as for heap.h's init; `index` below 65536. Objects are the
// caller's, zeroed or not, and stay where they are.
enum status heap_hybrid_pages_init(struct heap_hybrid_pages *pages, void *memory, size_t length);
void heap_hybrid_cpu_attach(struct heap_hybrid_cpu *cpu, struct heap_hybrid_pages *pages,
                            unsigned index);
void heap_hybrid_cache_attach(struct heap_hybrid_cache *cache, struct heap_hybrid_cpu *cpu,
                              const void *owner);
// Gives the cache to another thread; `from` must be its owner, and no call inside.
void heap_hybrid_cache_hand_over(struct heap_hybrid_cache *cache, const void *from, const void *to);

// From here on, pointers of `boot` may be freed through the heap. They count in its numbers only.
void heap_hybrid_adopt(struct heap_hybrid_pages *pages, struct heap_boot *boot);

// Out of line, for the fast paths below only.
void *heap_hybrid_cache_miss(struct heap_hybrid_cache *cache, size_t size);
void heap_hybrid_cache_release_slow(struct heap_hybrid_cache *cache, void *pointer, unsigned class);
void heap_hybrid_cache_release_other(struct heap_hybrid_cache *cache, void *pointer);
void heap_hybrid_assert_live(const struct heap_hybrid_cache *cache, const void *pointer);

// A constant size: 5 instructions out of the hot slot, 8 out of a bin, 1 of them for the
// statistics; 5 more for a size known at run time.
ALWAYS_INLINE void *heap_hybrid_cache_allocate(struct heap_hybrid_cache *cache, size_t size)
{
    const unsigned class = heap_size_class(size);
    if (UNLIKELY(class == HEAP_CLASS_NONE))
        return heap_hybrid_cache_miss(cache, size);
    if (cache->hot_class == class) {
        cache->hot_class = HEAP_CLASS_NONE;
        cache->from_hot[class]++;
        return cache->hot;
    }
    struct heap_object *object = cache->heads[class];
    if (UNLIKELY(object == NULL))
        return heap_hybrid_cache_miss(cache, size);
    cache->heads[class] = object->next;
    cache->from_bin[class]++;
    return object;
}

// 14 instructions into an empty hot slot: 5 to find the page and test it, 4 for the class and its
// test, 3 to see that the slot is empty, 2 to store. 9 more to move its object on: 3 to compare it
// with the one freed, 2 for length and statistics at once, 4 to link.
ALWAYS_INLINE void heap_hybrid_cache_release(struct heap_hybrid_cache *cache, void *pointer)
{
    const uint64_t page = ((uintptr_t)pointer - cache->base) >> PAGE_SHIFT;
    if (CONFIG_ASSERT_SLOW)
        heap_hybrid_assert_live(cache, pointer);
    if (UNLIKELY(page >= cache->page_count)) {
        heap_hybrid_cache_release_other(cache, pointer);
        return;
    }
    const unsigned class = cache->map[page];
    if (UNLIKELY(class == HEAP_CLASS_NONE)) {
        heap_hybrid_cache_release_other(cache, pointer);
        return;
    }
    const unsigned previous_class = cache->hot_class;
    if (previous_class != HEAP_CLASS_NONE) {
        struct heap_object *const previous = cache->hot;
        if (UNLIKELY(previous == pointer) || UNLIKELY(--cache->room[previous_class] < 0)) {
            heap_hybrid_cache_release_slow(cache, pointer, class);
            return;
        }
        previous->next = cache->heads[previous_class];
        cache->heads[previous_class] = previous;
    }
    cache->hot = pointer;
    cache->hot_class = class;
}

// Objects ever moved from the hot slot into a bin. class < HEAP_CLASSES.
ALWAYS_INLINE uint64_t heap_hybrid_bin_entries(const struct heap_hybrid_cache *cache,
                                               unsigned class)
{
    return cache->room_given[class] - (uint64_t)(int64_t)cache->room[class];
}

// Length of a bin, the hot slot left out. class < HEAP_CLASSES.
ALWAYS_INLINE uint64_t heap_hybrid_bin_objects(const struct heap_hybrid_cache *cache,
                                               unsigned class)
{
    return cache->moved[class] + heap_hybrid_bin_entries(cache, class) - cache->from_bin[class];
}

// Objects of a class the cache holds. class < HEAP_CLASSES.
ALWAYS_INLINE uint64_t heap_hybrid_cache_objects(const struct heap_hybrid_cache *cache,
                                                 unsigned class)
{
    return heap_hybrid_bin_objects(cache, class) + (cache->hot_class == class);
}

// Moves up to `count` objects of `size` <= 2048 from the CPU slab into the cache, as many as the
// bin has place for and memory allows; returns how many.
size_t heap_hybrid_cache_prefill(struct heap_hybrid_cache *cache, size_t size, size_t count);

// Sends everything the cache holds back to the CPU slab.
void heap_hybrid_cache_flush(struct heap_hybrid_cache *cache);

// Gives spare slabs back to the buddy.
void heap_hybrid_cpu_trim(struct heap_hybrid_cpu *cpu);

// Used between the files of this heap. Moves up to `count` objects of a class in front of `chain`
// and says in `moved` how many; the new chain. Never more than 65535 at a time.
struct heap_object *heap_hybrid_cpu_take(struct heap_hybrid_cpu *cpu, unsigned class, size_t count,
                                         struct heap_object *chain, size_t *moved);
// Takes the first `count` objects of a chain back; returns what follows them.
struct heap_object *heap_hybrid_cpu_give(struct heap_hybrid_cpu *cpu, unsigned class, size_t count,
                                         struct heap_object *chain);
// The slab an object lies in; its page holds objects of a class.
const struct heap_hybrid_slab *heap_hybrid_slab_of(const struct heap_hybrid_pages *pages,
                                                   const void *object);
// True if an object of that slab starts at the address and was ever cut off.
bool heap_hybrid_slab_has(const struct heap_hybrid_pages *pages,
                          const struct heap_hybrid_slab *slab, const void *object);
unsigned heap_hybrid_slab_capacity(const struct heap_hybrid_slab *slab);

// Hits of the first level in a thousandth of its requests, rounded down; 0 if there were none.
ALWAYS_INLINE unsigned heap_hybrid_hit_permille(const struct heap_statistics *statistics)
{
    const uint64_t asked = statistics->cache_hits + statistics->cache_misses;
    return asked == 0 ? 0 : (unsigned)((unsigned __int128)statistics->cache_hits * 1000 / asked);
}

enum status heap_hybrid_init(void *heap, void *memory, size_t length);
void heap_hybrid_statistics(const void *heap, struct heap_statistics *statistics);
bool heap_hybrid_check(const void *heap);
size_t heap_hybrid_refill(void *heap, size_t size);

ALWAYS_INLINE void *heap_hybrid_allocate(void *heap, size_t size)
{
    heap_trace_allocate(size);
    void *object = heap_hybrid_cache_allocate(&((struct heap_hybrid *)heap)->cache, size);
    heap_trace_allocated(object, size);
    return object;
}

ALWAYS_INLINE void heap_hybrid_release(void *heap, void *pointer, size_t size)
{
    (void)size; // but for the trace
    heap_trace_release(size);
    heap_hybrid_cache_release(&((struct heap_hybrid *)heap)->cache, pointer);
    heap_trace_released(size);
}

static const struct heap_ops heap_hybrid_ops = {
    .about = {.name = "hybrid",
              .what = "thread cache with a hot slot, CPU slab, buddy; page map, no headers",
              .role = VARIANT_PRODUCT},
    .state_bytes = sizeof(struct heap_hybrid),
    .largest = HEAP_HYBRID_LARGEST,
    .init = heap_hybrid_init,
    .allocate = heap_hybrid_allocate,
    .release = heap_hybrid_release,
    .statistics = heap_hybrid_statistics,
    .check = heap_hybrid_check,
    .refill = heap_hybrid_refill,
};

#endif
