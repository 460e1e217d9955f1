// SPDX-License-Identifier: MIT
// The hybrid heap: three levels, each asked only when the one above has nothing.
//
//   thread cache   a hot slot and 16 bins, at most 64 free objects a class; a few free blocks of
//                  pages; no lock, inline. One for each handle
//   CPU slab       blocks of pages cut into objects of one class; moves batches to and from caches.
//                  One for each CPU
//   page level     a buddy of orders 0..8 (4 KiB to 1 MiB) and the page map, shared by all
//
//   bin      the free objects of one class that a cache holds, last in first out
//   hot      the object freed last, of any class, until it is allocated again or the next free
//   moves
//            it on to its bin. The slot's address is fixed, where a bin's comes out of the page
//            map: an allocation from it waits for nothing that the free had to look up, which is
//            most of the time of a free followed by an allocation
//   room     objects a bin takes without looking at its true length; at most 63 minus that length,
//            so that bin and hot slot together hold 64
//   block    2^order pages of the buddy. A cache keeps some of orders 0..4, so that neither large
//            objects nor slabs pay for splitting and joining, or for the lock, each time
//   slab     1 or 2 pages, all of one class; described outside of itself; of one CPU at a time
//   remote   objects of a CPU's slabs that caches of other CPUs gave back: a list that anybody adds
//            a batch to with one compare-and-swap and that is taken whole with one exchange
//   map      one byte a page: the class of the slab it belongs to; HEAP_HYBRID_LARGE + order where
//            a large object starts; HEAP_CLASS_NONE for all others
//
// Rules for callers, beyond those of heap.h
//   owner        a cache belongs to one thread, not to a CPU: preemption between two of its
//                instructions is harmless, since nobody else touches it, and it needs no preempt
//                count. It may be handed over while no call is inside.
//                An interrupt handler has no thread of its own and never calls: a handler that
//                enters a slow path while the thread is inside one is caught by an assertion
//   free         any cache takes any object of the heap: it goes to the bin of who frees it, and
//                from there to the slab it was cut from, through `remote` if that is another CPU's
//   CPU          slow paths look up the CPU they run on and keep preemption off while they use its
//                slab; a thread may be on another at its next call
//   claim        who works on a CPU slab has claimed it. In normal operation that is its own CPU,
//   at
//                the cost of one exchange on a line nobody else writes; giving back never waits (a
//                slab that is claimed elsewhere gets its objects through `remote`). Others claim it
//                only to look for memory when there is none, and to empty a `remote` that is over
//                its bound. Only an allocation that comes just then waits, for as long
//   lock order   claims in the order of their CPUs' numbers, then the lock of the page level
//   bounds       `remote` of one CPU: 1/64 of the memory (64 KiB to 64 MiB), and a batch for each
//                sender while a claim lasts. Blocks in all caches together: 1/16 of the memory, in
//                one of them 2.5 MiB at most. Objects in one cache: 64 of each class, 446 KiB; they
//                lie in 1024 slabs at most, which stay slabs so long, and whose other objects
//                anybody gets
//   shortage     before NULL is answered, the own cache, every `remote`, every idle slab and, for
//                small sizes, slabs of all other CPUs have been used, whether those CPUs still run
//                or not. What other handles hold nobody can take. NULL asks them for it: each gives
//                back all it holds on its next slow path (an allocation that misses, a free that
//                finds 64 objects, a page taken or given), but not again before 64 locked
//                instructions. One that never calls again keeps what it has, within the bounds
//                above, until somebody trims it or leaves in its place
//   checks       a foreign address, a free page and the object freed last are caught on every
//                free; any other double free in slow paths, or at once with CONFIG_ASSERT_SLOW,
//                on whatever thread
#ifndef HEAP_HYBRID_H
#define HEAP_HYBRID_H

#include "buddy.h"
#include "compiler.h"
#include "cpu.h"
#include "heap.h"
#include "heap_boot.h"
#include "heap_size_class.h"
#include "heap_trace.h"
#include "list.h"
#include "spinlock.h"

#define HEAP_HYBRID_BIN_OBJECTS  64         // of a class in a cache, the hot slot included
#define HEAP_HYBRID_LARGEST      (1u << 20) // bytes: a block of the highest order
#define HEAP_HYBRID_ORDER        8
#define HEAP_HYBRID_SLAB_ORDERS  2                     // a slab is a block of order 0 or 1
#define HEAP_HYBRID_BLOCK_ORDERS 5                     // a cache keeps blocks of orders 0..4
#define HEAP_HYBRID_BLOCKS       64                    // of an order, at most
#define HEAP_HYBRID_LARGE        (HEAP_CLASS_NONE + 1) // in the map: + order

// Describes the slab that starts at a page; one for each page of the heap, in an array.
struct heap_hybrid_slab {
    // Under the claim of its CPU.
    struct list link;         // in the CPU's list of slabs that have objects; else to itself
    struct heap_object *free; // objects that came back
    uint16_t free_count;
    uint16_t carved; // objects ever cut off the front
    // Read atomically by whoever gives an object back; written under both CPUs' claims.
    uint16_t cpu; // index of the CPU slab it belongs to
    // Written before the first object is handed out.
    uint8_t class;
    uint8_t order;
};

_Static_assert(sizeof(struct heap_hybrid_slab) == 32, "two to a cache line");

// The second level: one for each CPU. Counts are objects, since init.
struct heap_hybrid_cpu {
    struct spinlock claim;
    uint32_t index;
    // Under the claim; `slabs_held` is read by others as a hint.
    uint64_t slabs_held;
    struct {
        struct list partial;            // slabs with objects to give, the one used last in front
        struct heap_hybrid_slab *spare; // one slab with nothing out, kept against thrashing
        uint64_t allocations, frees;    // objects given to caches, and taken back
        uint64_t slabs;                 // held now, the spare one included
    } classes[HEAP_CLASSES];
    // Written by any CPU, by compare-and-swap or exchange: what is in the list, in 8 bytes, in the
    // upper 24 bits; its first object in the others (heap_hybrid_slab.c).
    uint64_t remote CACHE_ALIGNED;
} CACHE_ALIGNED;

// What several handles did.
struct heap_hybrid_totals {
    struct heap_statistics statistics;
    uint64_t moved[HEAP_CLASSES]; // as in a cache
    uint64_t large_bytes;         // live, modulo 2^64
    uint64_t block_pages;         // idle in caches
};

// The page level: one for the whole heap.
struct heap_hybrid_pages {
    // Written at init.
    uintptr_t base; // of the memory handed over, metadata included: page 0
    uint64_t page_count;
    uint8_t *map;                   // [page]
    struct heap_hybrid_slab *slabs; // [page], valid where the map says that a slab starts
    uint64_t *live;                 // with CONFIG_ASSERT_SLOW: a bit for each 8 bytes, set where an
                                    // object that is handed out starts
    uint64_t remote_limit;          // of `remote`, in 8 bytes
    uint64_t kept_budget;           // pages that all caches together may keep as blocks
    struct heap_boot *boot;         // adopted, or NULL; its frees are under the lock
    // NULL, or asked before a block is taken from the buddy: false and there is none. For quotas,
    // and tests. Preemption is off in it and CPU slabs may be claimed: it does not call the heap.
    bool (*gate)(void *context, unsigned order);
    void *gate_context;
    // Written atomically by anybody, seldom; read by all on slow paths. Lower half: requests that
    // were refused, for which caches give back what they hold; upper half: handles that joined,
    // for which caches give back what is over their share of the budget.
    uint64_t asked;

    struct spinlock lock CACHE_ALIGNED;
    // Under the lock.
    struct buddy buddy;
    struct list handles;                // caches
    uint64_t handle_count;              // of them
    uint64_t kept_left;                 // of the budget: what no cache may keep yet
    struct heap_hybrid_totals departed; // of those that left

    struct heap_hybrid_cpu cpus[CPU_MOST];
} CACHE_ALIGNED;

// The first level: one for each thread. What there is of each bin lies in an array of its own, so
// that the class indexes it without a multiplication.
struct heap_hybrid_cache {
    // Read by every free, written at attach.
    uintptr_t base;
    uint64_t page_count;
    uint8_t *map;
    struct heap_hybrid_pages *pages;

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
    uint8_t block_count[HEAP_HYBRID_BLOCK_ORDERS];
    uint32_t kept, kept_most; // pages of all these blocks; and what it may keep of the budget
    uint32_t blocks[HEAP_HYBRID_BLOCK_ORDERS][HEAP_HYBRID_BLOCKS]; // pages they start at
    const void *owner;                 // whatever the caller names its threads by
    uint64_t room_given[HEAP_CLASSES]; // all room there ever was; minus `room`: objects moved there
                                       // from the hot slot
    uint64_t moved[HEAP_CLASSES];      // objects that came from CPU slabs minus those sent back
    uint64_t misses, failures, refills, surplus_returns;
    uint64_t large_allocations[HEAP_HYBRID_ORDER + 1], large_frees[HEAP_HYBRID_ORDER + 1];
    uint64_t locked;         // locked instructions executed: slow paths are all that has some
    uint64_t pages_returned; // to the buddy
    uint64_t answered;       // what `asked` said when this cache followed it
    uint64_t gave_at;        // `locked` when it gave back what it held

    struct list link; // in the page level's handles, under its lock
} CACHE_ALIGNED;

// The heap, as heap.h has it: its first handle is its cache. A further handle is a cache only.
struct heap_hybrid {
    struct heap_hybrid_cache cache;
    struct heap_hybrid_pages pages;
} CACHE_ALIGNED;

_Static_assert(offsetof(struct heap_hybrid, cache) == 0, "every handle is a cache");

// `memory` as for heap.h's init. The object stays where it is.
enum status heap_hybrid_pages_init(struct heap_hybrid_pages *pages, void *memory, size_t length);
// A cache of one thread, a handle from then on.
void heap_hybrid_cache_attach(struct heap_hybrid_cache *cache, struct heap_hybrid_pages *pages,
                              const void *owner);
// Gives the cache to another thread; `from` must be its owner, and no call inside.
void heap_hybrid_cache_hand_over(struct heap_hybrid_cache *cache, const void *from, const void *to);

// From here on, pointers of `boot` may be freed through the heap. They count in its numbers only.
void heap_hybrid_adopt(struct heap_hybrid_pages *pages, struct heap_boot *boot);

// Out of line, for the fast paths below only.
void *heap_hybrid_cache_miss(struct heap_hybrid_cache *cache, unsigned class);
void *heap_hybrid_cache_large(struct heap_hybrid_cache *cache, size_t size);
void heap_hybrid_cache_release_slow(struct heap_hybrid_cache *cache, void *pointer, unsigned class);
void heap_hybrid_cache_release_large(struct heap_hybrid_cache *cache, void *pointer, uint64_t page);
void heap_hybrid_cache_release_early(struct heap_hybrid_cache *cache, void *pointer);
// In test builds: the object was not handed out, now it is; it was, now it is not.
void heap_hybrid_assert_idle(const struct heap_hybrid_cache *cache, const void *object);
void heap_hybrid_assert_live(const struct heap_hybrid_cache *cache, const void *pointer);

// A constant size: 5 instructions out of the hot slot, 8 out of a bin, 1 of them for the
// statistics; 5 more for a size known at run time.
ALWAYS_INLINE void *heap_hybrid_cache_allocate(struct heap_hybrid_cache *cache, size_t size)
{
    const unsigned class = heap_size_class(size);
    if (UNLIKELY(class == HEAP_CLASS_NONE))
        return heap_hybrid_cache_large(cache, size);
    if (cache->hot_class == class) {
        cache->hot_class = HEAP_CLASS_NONE;
        cache->from_hot[class]++;
        if (CONFIG_ASSERT_SLOW)
            heap_hybrid_assert_idle(cache, cache->hot);
        return cache->hot;
    }
    struct heap_object *object = cache->heads[class];
    if (UNLIKELY(object == NULL))
        return heap_hybrid_cache_miss(cache, class);
    cache->heads[class] = object->next;
    cache->from_bin[class]++;
    if (CONFIG_ASSERT_SLOW)
        heap_hybrid_assert_idle(cache, object);
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
        heap_hybrid_cache_release_early(cache, pointer);
        return;
    }
    const unsigned class = cache->map[page];
    if (UNLIKELY(class >= HEAP_CLASS_NONE)) {
        heap_hybrid_cache_release_large(cache, pointer, page);
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

// Sends the objects the cache holds back to their slabs, or on their way there.
void heap_hybrid_cache_flush(struct heap_hybrid_cache *cache);

// Hits of the first level in a thousandth of its requests, rounded down; 0 if there were none.
ALWAYS_INLINE unsigned heap_hybrid_hit_permille(const struct heap_statistics *statistics)
{
    const uint64_t asked = statistics->cache_hits + statistics->cache_misses;
    return asked == 0 ? 0 : (unsigned)((unsigned __int128)statistics->cache_hits * 1000 / asked);
}

enum status heap_hybrid_init(void *heap, void *memory, size_t length);
void heap_hybrid_statistics(const void *heap, struct heap_statistics *statistics);
bool heap_hybrid_check(const void *heap);
void *heap_hybrid_join(void *heap, void *memory);
void heap_hybrid_leave(void *handle);
size_t heap_hybrid_trim(void *handle);
size_t heap_hybrid_refill(void *heap, size_t size);

ALWAYS_INLINE void *heap_hybrid_allocate(void *heap, size_t size)
{
    heap_trace_allocate(size);
    void *object = heap_hybrid_cache_allocate(heap, size);
    heap_trace_allocated(object, size);
    return object;
}

ALWAYS_INLINE void heap_hybrid_release(void *heap, void *pointer, size_t size)
{
    (void)size; // but for the trace
    heap_trace_release(size);
    heap_hybrid_cache_release(heap, pointer);
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
    .counts_locked = true,
    .handle_bytes = sizeof(struct heap_hybrid_cache),
    .join = heap_hybrid_join,
    .leave = heap_hybrid_leave,
    .trim = heap_hybrid_trim,
    .refill = heap_hybrid_refill,
};

#endif
