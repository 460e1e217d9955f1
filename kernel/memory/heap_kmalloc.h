// SPDX-License-Identifier: MIT
// The kernel's general heap, in three levels by size:
//
//   thread level   <= 256 bytes: classes 16, 32, 64, 128, 256; lists of the handle, inline, no lock
//   CPU slab       <= 4 KiB: classes 512, 1024, 2048 and whole pages; lists of the CPU, preemption
//                  off, no lock
//   page level     above: blocks of a buddy, orders 0..12 (4 KiB to 16 MiB), behind a lock
//
//   class   an object of class c has 16 << c bytes and is aligned to them
//   hot     the object of the thread level freed last, until it is allocated again or the next free
//           moves it on to its bin. Its place is fixed, where a bin's comes out of the page map: an
//           allocation from it waits for nothing that the free had to look up
//   bin     free objects of one class in a handle, last in first out
//   pool    what both lists of a class are filled from, in batches, and emptied to: the pages that
//           were cut into objects of the class. One for all CPUs, behind a lock of its own
//   slab    such a page; described outside of itself. A miss of a list carves a page where the pool
//           has no object left
//   stack   pages in front of the buddy, those of one CPU: a page changes its use without a lock
//   map     one byte a page: what is in it. The size of what is freed comes from there: there are
//           no headers
//
// Rules for callers, beyond those of heap.h
//   remote     what another thread allocated, on whatever CPU, goes to the lists of who frees it,
//              from there to its pool: nothing waits for the allocating thread, dead or alive
//   bound      what lies idle and cannot be had by others: 64 objects a class in a handle (32 KiB),
//              in a CPU 32 of 512 and of 1024 bytes, 16 of 2048 and 32 pages (208 KiB). A request
//              that finds no memory first empties its own handle's and its own CPU's; `trim` on
//              another CPU empties that one's
//   locks      a pool's before the page level's; the list of handles alone. Held with preemption
//              off, on slow paths only. Once a batch, or for each block above 4 KiB
//   checks     a foreign address, a free page, a pointer into a page or block, and the object freed
//              last are caught on every free; any other double free when the bin goes to its pool,
//              or at once with CONFIG_ASSERT_SLOW, on whatever thread
#ifndef HEAP_KMALLOC_H
#define HEAP_KMALLOC_H

#include "buddy.h"
#include "compiler.h"
#include "cpu.h"
#include "heap.h"
#include "heap_size_class.h"
#include "heap_trace.h"
#include "list.h"
#include "spinlock.h"

#define HEAP_KMALLOC_BINS           5 // classes of the thread level: 0..4
#define HEAP_KMALLOC_POOLS          8 // classes that pages are cut into: 0..7
#define HEAP_KMALLOC_CPU_LISTS      (HEAP_KMALLOC_POOLS - HEAP_KMALLOC_BINS)
#define HEAP_KMALLOC_THREAD_LARGEST 256u        // bytes
#define HEAP_KMALLOC_SLAB_LARGEST   2048u       // bytes
#define HEAP_KMALLOC_LARGEST        (16u << 20) // bytes: a block of the highest order
#define HEAP_KMALLOC_ORDER          12
#define HEAP_KMALLOC_BIN_OBJECTS    64 // of a class in a handle, the hot one included
#define HEAP_KMALLOC_STACK_PAGES    32 // of one CPU

// What the map says of a page: the class of the slab that it is, or one of these.
enum heap_kmalloc_page {
    HEAP_KMALLOC_PAGE = HEAP_KMALLOC_POOLS, // an object of 4096 bytes
    HEAP_KMALLOC_BLOCK,                     // the first page of a block above that
    HEAP_KMALLOC_NONE,                      // free, in a stack, inside a block, or the heap's own
};

// Describes the slab in a page; one for each page of the heap, in an array.
struct heap_kmalloc_slab {
    struct list link;         // in its pool's list while it has objects to give; else to itself
    struct heap_object *free; // objects that came back
    uint16_t free_count;
    uint16_t carved; // objects ever cut off the front
    uint8_t class;
};

_Static_assert(sizeof(struct heap_kmalloc_slab) == 32, "two to a cache line");

struct heap_kmalloc_pool {
    struct spinlock lock;
    // Under the lock, all of it. Counts are objects, since init.
    uint64_t locks;                 // but these are acquisitions: a locked instruction each
    struct heap_kmalloc_slab *idle; // one slab with nothing out, kept in the list; or NULL
    struct list partial;            // slabs with objects to give, the one used last in front
    uint64_t slabs;                 // held now
    uint64_t given, taken_back;     // to lists, and from them
} CACHE_ALIGNED;

// What a CPU owns: touched there only, preemption off.
struct heap_kmalloc_cpu {
    struct heap_kmalloc_list {
        struct heap_object *head;    // NULL for whole pages
        uint64_t count;              // of free objects in the list; 0 for whole pages
        uint64_t allocations, frees; // since init
    } lists[HEAP_KMALLOC_CPU_LISTS + 1];
    uint64_t misses, refills, surplus_returns;
    uint64_t page_count; // in the stack
    uintptr_t pages[HEAP_KMALLOC_STACK_PAGES];
} CACHE_ALIGNED;

// Of handles, since init.
struct heap_kmalloc_counts {
    uint64_t allocations, frees, bytes_allocated, bytes_freed;
    uint64_t misses, failures, refills, surplus_returns;
};

// A handle: the thread level of one thread.
struct heap_kmalloc_thread {
    // Read by every free, written at join.
    uintptr_t base;
    uint64_t page_count;
    const uint8_t *map;
    struct heap_kmalloc *heap;

    // Written on the fast paths, by the owner only.
    struct heap_object *hot; // not NULL, unless its class is HEAP_KMALLOC_NONE
    uint32_t hot_class;
    bool inside;                     // a slow path is running
    int32_t room[HEAP_KMALLOC_BINS]; // objects a bin takes without looking at its true length
    struct heap_object *heads[HEAP_KMALLOC_BINS];
    uint64_t from_hot[HEAP_KMALLOC_BINS]; // allocations served, by where from; all other numbers of
    uint64_t from_bin[HEAP_KMALLOC_BINS]; // the fast paths follow from these two and from `room`

    // Written on slow paths, by the owner only.
    uint64_t room_given[HEAP_KMALLOC_BINS]; // all room there ever was
    uint64_t moved[HEAP_KMALLOC_BINS];      // objects that came from the pool minus those sent back
    uint64_t misses, failures, refills, surplus_returns;

    struct list link; // of all handles; under the heap's handles_lock
} CACHE_ALIGNED;

struct heap_kmalloc {
    struct heap_kmalloc_thread first; // what init made is the first handle, too

    // Written at init.
    uintptr_t base; // of the memory handed over, metadata included: page 0
    uint64_t page_count;
    uint8_t *map;                    // [page]; a byte is written by who owns the page
    struct heap_kmalloc_slab *slabs; // [page], valid where the map says that a slab is
    uint64_t *live; // a bit for each 16 bytes, set where an object starts; test builds only, atomic

    struct heap_kmalloc_pool pools[HEAP_KMALLOC_POOLS];
    struct heap_kmalloc_cpu cpus[CPU_MOST]; // by cpu_local()->index

    struct spinlock pages_lock CACHE_ALIGNED;
    // Under pages_lock.
    struct buddy buddy;
    uint64_t block_allocations, block_frees, block_bytes_allocated, block_bytes_freed;
    uint64_t pages_locks; // acquisitions

    struct spinlock handles_lock CACHE_ALIGNED;
    // Under handles_lock.
    uint64_t handles_locks; // acquisitions
    struct list handles;
    struct heap_kmalloc_counts left; // of the handles that are gone
} CACHE_ALIGNED;

_Static_assert(offsetof(struct heap_kmalloc, first) == 0, "the heap is its first handle");

// Class that serves 1 to 4096 bytes. Constant for a constant size.
ALWAYS_INLINE unsigned heap_kmalloc_class(size_t size)
{
    return log2_u64((size - 1) | 15) - 3;
}

ALWAYS_INLINE size_t heap_kmalloc_class_bytes(unsigned class)
{
    return (size_t)16 << class;
}

// Out of line, for the fast paths below only.
void *heap_kmalloc_miss(struct heap_kmalloc_thread *thread, unsigned class);
void heap_kmalloc_release_slow(struct heap_kmalloc_thread *thread, void *pointer, unsigned class);
// All that is not of the thread level: first the lists of the CPU, then the slow paths below these.
void *heap_kmalloc_allocate_other(struct heap_kmalloc_thread *thread, size_t size);
void heap_kmalloc_release_other(struct heap_kmalloc_thread *thread, void *pointer);
void *heap_kmalloc_allocate_other_slow(struct heap_kmalloc_thread *thread, size_t size);
void heap_kmalloc_release_other_slow(struct heap_kmalloc_thread *thread, void *pointer);
void heap_kmalloc_note_allocated(const struct heap_kmalloc_thread *thread, const void *object);
void heap_kmalloc_note_freed(const struct heap_kmalloc_thread *thread, const void *pointer);

// A constant size: 5 instructions out of the hot slot, 8 out of a bin, 1 of them for the
// statistics.
ALWAYS_INLINE void *heap_kmalloc_thread_take(struct heap_kmalloc_thread *thread, size_t size)
{
    if (UNLIKELY(size - 1 >= HEAP_KMALLOC_THREAD_LARGEST)) // 0 as well
        return heap_kmalloc_allocate_other(thread, size);
    const unsigned class = heap_kmalloc_class(size);
    if (LIKELY(thread->hot_class == class)) {
        struct heap_object *const hot = thread->hot;
        thread->hot_class = HEAP_KMALLOC_NONE;
        thread->from_hot[class]++;
        if (hot == NULL)
            __builtin_unreachable(); // so the caller's test for NULL costs nothing here
        return hot;
    }
    struct heap_object *const object = thread->heads[class];
    if (UNLIKELY(object == NULL))
        return heap_kmalloc_miss(thread, class);
    thread->heads[class] = object->next;
    thread->from_bin[class]++;
    return object;
}

ALWAYS_INLINE void *heap_kmalloc_thread_allocate(struct heap_kmalloc_thread *thread, size_t size)
{
    void *const object = heap_kmalloc_thread_take(thread, size);
    if (CONFIG_ASSERT_SLOW && object != NULL)
        heap_kmalloc_note_allocated(thread, object);
    return object;
}

// 14 instructions into an empty hot slot: 5 to find the page and test it, 4 for the class and its
// test, 3 to see that the slot is empty, 2 to store. 9 more to move its object on.
ALWAYS_INLINE void heap_kmalloc_thread_release(struct heap_kmalloc_thread *thread, void *pointer)
{
    const uint64_t page = ((uintptr_t)pointer - thread->base) >> PAGE_SHIFT;
    if (CONFIG_ASSERT_SLOW)
        heap_kmalloc_note_freed(thread, pointer);
    if (UNLIKELY(page >= thread->page_count)) {
        heap_kmalloc_release_other(thread, pointer);
        return;
    }
    const unsigned class = thread->map[page];
    if (UNLIKELY(class >= HEAP_KMALLOC_BINS)) {
        heap_kmalloc_release_other(thread, pointer);
        return;
    }
    const unsigned previous_class = thread->hot_class;
    if (previous_class != HEAP_KMALLOC_NONE) {
        struct heap_object *const previous = thread->hot;
        if (UNLIKELY(previous == pointer) || UNLIKELY(--thread->room[previous_class] < 0)) {
            heap_kmalloc_release_slow(thread, pointer, class);
            return;
        }
        previous->next = thread->heads[previous_class];
        thread->heads[previous_class] = previous;
    }
    thread->hot = pointer;
    thread->hot_class = class;
}

// Objects ever moved from the hot slot into a bin. class < HEAP_KMALLOC_BINS, here and below.
ALWAYS_INLINE uint64_t heap_kmalloc_bin_entries(const struct heap_kmalloc_thread *thread,
                                                unsigned class)
{
    return thread->room_given[class] - (uint64_t)(int64_t)thread->room[class];
}

// Length of a bin, the hot object left out.
ALWAYS_INLINE uint64_t heap_kmalloc_bin_objects(const struct heap_kmalloc_thread *thread,
                                                unsigned class)
{
    return thread->moved[class] + heap_kmalloc_bin_entries(thread, class) - thread->from_bin[class];
}

// The calls beyond heap.h, for any handle; kmalloc.h has their rules. Not traced.
size_t heap_kmalloc_usable(void *handle, const void *pointer);
void *heap_kmalloc_resize(void *handle, void *pointer, size_t size);

// ---- between the files of this heap -------------------------------------------------------------
// Preemption is off in all of them; `cpu` is the running one's.

ALWAYS_INLINE struct heap_kmalloc_cpu *heap_kmalloc_this_cpu(struct heap_kmalloc *heap)
{
    return &heap->cpus[cpu_local()->index];
}

// Moves up to `count` objects of a class in front of `chain`, and says in `moved` how many; the new
// chain.
struct heap_object *heap_kmalloc_pool_take(struct heap_kmalloc *heap, unsigned class,
                                           uint64_t count, struct heap_object *chain,
                                           uint64_t *moved);
// Takes the first `count` objects of a chain back; what follows them.
struct heap_object *heap_kmalloc_pool_give(struct heap_kmalloc *heap, unsigned class,
                                           uint64_t count, struct heap_object *chain);
// Gives the pools' idle slabs to the stack.
void heap_kmalloc_pools_trim(struct heap_kmalloc *heap);
// A page from the stack, 0 if there is none; and back.
uintptr_t heap_kmalloc_page_take(struct heap_kmalloc *heap, struct heap_kmalloc_cpu *cpu);
void heap_kmalloc_page_give(struct heap_kmalloc *heap, struct heap_kmalloc_cpu *cpu,
                            uintptr_t page);
// Empties the lists and the stack of the CPU.
void heap_kmalloc_cpu_flush(struct heap_kmalloc *heap, struct heap_kmalloc_cpu *cpu);
// Objects of 257 to 4096 bytes; NULL if there is no memory.
void *heap_kmalloc_cpu_allocate(struct heap_kmalloc *heap, unsigned class);
void heap_kmalloc_cpu_release(struct heap_kmalloc *heap, unsigned class, void *pointer);
// Moves a batch from the pool to the list and back; how many objects.
uint64_t heap_kmalloc_cpu_refill(struct heap_kmalloc *heap, unsigned class);
// Blocks above 4096 bytes.
void *heap_kmalloc_block_allocate(struct heap_kmalloc *heap, unsigned order);
void heap_kmalloc_block_release(struct heap_kmalloc *heap, void *pointer);
// Makes a block smaller or, where what lies behind it is free, larger; false: as it was. The order
// it has now.
bool heap_kmalloc_block_resize(struct heap_kmalloc *heap, void *pointer, unsigned order);
unsigned heap_kmalloc_block_order(struct heap_kmalloc *heap, const void *pointer);

ALWAYS_INLINE uint64_t heap_kmalloc_page_of(const struct heap_kmalloc *heap, const void *pointer)
{
    return ((uintptr_t)pointer - heap->base) >> PAGE_SHIFT;
}

// True if an object of that slab starts at the address and was ever cut off; the pool's lock held.
ALWAYS_INLINE bool heap_kmalloc_slab_has(const struct heap_kmalloc_slab *slab, const void *object)
{
    const uint64_t offset = (uintptr_t)object % PAGE_SIZE;
    const unsigned class = slab->class;
    return offset % heap_kmalloc_class_bytes(class) == 0 && offset >> (4 + class) < slab->carved;
}

ALWAYS_INLINE unsigned heap_kmalloc_slab_capacity(unsigned class)
{
    return PAGE_SIZE >> (4 + class);
}

// Adds what a handle counted.
void heap_kmalloc_count(const struct heap_kmalloc_thread *thread,
                        struct heap_kmalloc_counts *counts);

// ---- the operations of heap.h -------------------------------------------------------------------

enum status heap_kmalloc_init(void *heap, void *memory, size_t length);
void heap_kmalloc_statistics(const void *heap, struct heap_statistics *statistics);
bool heap_kmalloc_check(const void *heap);
void *heap_kmalloc_join(void *heap, void *memory);
void heap_kmalloc_leave(void *handle);
size_t heap_kmalloc_trim(void *handle);
size_t heap_kmalloc_refill(void *handle, size_t size);
void *heap_kmalloc_resize_traced(void *handle, void *pointer, size_t had, size_t size);

ALWAYS_INLINE void *heap_kmalloc_allocate(void *handle, size_t size)
{
    heap_trace_allocate(size);
    void *object = heap_kmalloc_thread_allocate(handle, size);
    heap_trace_allocated(object, size);
    return object;
}

ALWAYS_INLINE void heap_kmalloc_release(void *handle, void *pointer, size_t size)
{
    (void)size; // but for the trace
    heap_trace_release(size);
    heap_kmalloc_thread_release(handle, pointer);
    heap_trace_released(size);
}

static const struct heap_ops heap_kmalloc_ops = {
    .about = {.name = "kmalloc",
              .what = "thread lists to 256 B, CPU slab to 4 KB, buddy; page map, no headers",
              .role = VARIANT_PRODUCT},
    .state_bytes = sizeof(struct heap_kmalloc),
    .largest = HEAP_KMALLOC_LARGEST,
    .init = heap_kmalloc_init,
    .allocate = heap_kmalloc_allocate,
    .release = heap_kmalloc_release,
    .statistics = heap_kmalloc_statistics,
    .check = heap_kmalloc_check,
    .counts_locked = true,
    .handle_bytes = sizeof(struct heap_kmalloc_thread),
    .join = heap_kmalloc_join,
    .leave = heap_kmalloc_leave,
    .trim = heap_kmalloc_trim,
    .cpu_keeps = true,
    .refill = heap_kmalloc_refill,
    .resize = heap_kmalloc_resize_traced,
};

#endif
