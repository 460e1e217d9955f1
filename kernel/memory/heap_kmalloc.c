// SPDX-License-Identifier: MIT
// The handles: slow paths of the thread level, and the operations of heap.h.
#include "heap_kmalloc.h"

#include "assert.h"
#include "string.h"

// Objects moved at a time between a bin and its pool: half a bin.
#define BATCH 32u

// The hot slot may hold one more.
#define BIN_LIMIT (HEAP_KMALLOC_BIN_OBJECTS - 1)

enum status heap_kmalloc_init(void *heap_, void *memory, size_t length)
{
    struct heap_kmalloc *heap = heap_;
    const uintptr_t base = (uintptr_t)memory;
    if (base == 0 || base % PAGE_SIZE != 0 || length % PAGE_SIZE != 0 || length < 64 * 1024 ||
        length > BUDDY_SPAN_LIMIT || (uintptr_t)heap % CACHE_LINE != 0)
        return STATUS_INVALID;
    const uint64_t page_count = length >> PAGE_SHIFT;
    const size_t slabs_bytes = page_count * sizeof(struct heap_kmalloc_slab);
    const size_t buddy_bytes = buddy_metadata_bytes(base, length, HEAP_KMALLOC_ORDER);
    const size_t live_bytes = CONFIG_ASSERT_SLOW ? page_count * (PAGE_SIZE / 16 / 8) : 0;
    const size_t metadata_bytes =
        align_up(slabs_bytes + buddy_bytes + live_bytes + page_count, PAGE_SIZE);
    if (buddy_bytes == 0 || metadata_bytes >= length)
        return STATUS_INVALID;
    memset(heap, 0, sizeof(*heap));
    heap->base = base;
    heap->page_count = page_count;
    heap->slabs = memory;
    heap->live = (void *)((char *)memory + slabs_bytes + buddy_bytes);
    heap->map = (uint8_t *)memory + slabs_bytes + buddy_bytes + live_bytes;
    memset(heap->live, 0, live_bytes);
    memset(heap->map, HEAP_KMALLOC_NONE, page_count);
    const enum status status = buddy_init(&heap->buddy, base, length, HEAP_KMALLOC_ORDER,
                                          (char *)memory + slabs_bytes, buddy_bytes);
    if (status != STATUS_OK)
        return status;
    for (unsigned class = 0; class < HEAP_KMALLOC_POOLS; class ++)
        list_init(&heap->pools[class].partial);
    list_init(&heap->handles);
    heap_kmalloc_join(heap, &heap->first);
    heap->handles_locks = 0; // counted since init
    return buddy_add(&heap->buddy, base + metadata_bytes, length - metadata_bytes);
}

// ---- slow paths ---------------------------------------------------------------------------------

// They are not entered twice: not by a second thread, not by an interrupt.
static inline void enter(struct heap_kmalloc_thread *thread)
{
    assert(!thread->inside);
    thread->inside = true;
    cpu_preempt_disable();
}

static inline void leave(struct heap_kmalloc_thread *thread)
{
    cpu_preempt_enable();
    thread->inside = false;
}

// To be called when a bin has another length than the fast paths made it, or its room is used up.
static void set_room(struct heap_kmalloc_thread *thread, unsigned class, uint64_t objects)
{
    assert(objects <= BIN_LIMIT);
    const int32_t room = BIN_LIMIT - (int32_t)objects;
    thread->room_given[class] += (uint64_t)(int64_t)(room - thread->room[class]);
    thread->room[class] = room;
}

// Moves the hot object to its bin, which has room.
static void cool(struct heap_kmalloc_thread *thread)
{
    const unsigned class = thread->hot_class;
    thread->hot->next = thread->heads[class];
    thread->heads[class] = thread->hot;
    thread->room[class]--;
    thread->hot_class = HEAP_KMALLOC_NONE;
}

static uint64_t fill(struct heap_kmalloc_thread *thread, unsigned class, uint64_t count)
{
    uint64_t moved = 0;
    const uint64_t objects = heap_kmalloc_bin_objects(thread, class);
    trace_begin(TRACE_HEAP_REFILL, (uint32_t)count);
    thread->heads[class] =
        heap_kmalloc_pool_take(thread->heap, class, count, thread->heads[class], &moved);
    thread->moved[class] += moved;
    set_room(thread, class, objects + moved);
    trace_end(TRACE_HEAP_REFILL);
    return moved;
}

static void drain(struct heap_kmalloc_thread *thread, unsigned class, uint64_t count)
{
    const uint64_t objects = heap_kmalloc_bin_objects(thread, class);
    trace_begin(TRACE_HEAP_SURPLUS, (uint32_t)count);
    thread->heads[class] = heap_kmalloc_pool_give(thread->heap, class, count, thread->heads[class]);
    thread->moved[class] -= count;
    set_room(thread, class, objects - count);
    trace_end(TRACE_HEAP_SURPLUS);
}

static void flush(struct heap_kmalloc_thread *thread)
{
    for (unsigned class = 0; class < HEAP_KMALLOC_BINS; class ++) {
        const uint64_t objects = heap_kmalloc_bin_objects(thread, class);
        if (objects != 0)
            drain(thread, class, objects);
        if (thread->hot_class == class) {
            set_room(thread, class, 0); // its last free may have used it up
            cool(thread);
            drain(thread, class, 1);
        }
    }
}

// The buddy has nothing: gives it what lies idle above, as far as it may be touched from here.
static COLD void reclaim(struct heap_kmalloc_thread *thread)
{
    flush(thread);
    heap_kmalloc_cpu_flush(thread->heap, heap_kmalloc_this_cpu(thread->heap));
}

NOINLINE void *heap_kmalloc_miss(struct heap_kmalloc_thread *thread, unsigned class)
{
    void *result = NULL;
    enter(thread);
    uint64_t moved = fill(thread, class, BATCH);
    if (UNLIKELY(moved == 0)) {
        reclaim(thread);
        moved = fill(thread, class, 1);
    }
    if (moved != 0) {
        struct heap_object *object = thread->heads[class];
        thread->heads[class] = object->next;
        thread->from_bin[class]++;
        thread->misses++;
        thread->refills++;
        result = object;
    } else {
        thread->failures++;
    }
    leave(thread);
    return result;
}

static void *allocate_other(struct heap_kmalloc_thread *thread, size_t size)
{
    if (size <= PAGE_SIZE)
        return heap_kmalloc_cpu_allocate(thread->heap, heap_kmalloc_class(size));
    return heap_kmalloc_block_allocate(thread->heap, buddy_order(size));
}

// The CPU slab, the page level, or no bytes at all.
NOINLINE void *heap_kmalloc_allocate_other_slow(struct heap_kmalloc_thread *thread, size_t size)
{
    if (size == 0)
        return heap_kmalloc_thread_take(thread, 1);
    void *result = NULL;
    enter(thread);
    if (size <= HEAP_KMALLOC_LARGEST) {
        result = allocate_other(thread, size);
        if (UNLIKELY(result == NULL)) {
            reclaim(thread);
            result = allocate_other(thread, size);
        }
    }
    if (UNLIKELY(result == NULL))
        thread->failures++;
    leave(thread);
    return result;
}

NOINLINE void heap_kmalloc_release_other_slow(struct heap_kmalloc_thread *thread, void *pointer)
{
    struct heap_kmalloc *heap = thread->heap;
    const uint64_t page = heap_kmalloc_page_of(heap, pointer);
    assert(page < heap->page_count); // not this heap's
    const unsigned kind = heap->map[page];
    assert(kind != HEAP_KMALLOC_NONE); // nothing that is allocated starts in this page, else
    enter(thread);
    if (kind == HEAP_KMALLOC_BLOCK)
        heap_kmalloc_block_release(heap, pointer);
    else
        heap_kmalloc_cpu_release(heap, kind, pointer);
    leave(thread);
}

// The hot object could not move on: it is this one, or its bin's room is used up.
NOINLINE void heap_kmalloc_release_slow(struct heap_kmalloc_thread *thread, void *pointer,
                                        unsigned class)
{
    const unsigned full = thread->hot_class;
    assert(thread->hot != pointer); // freed twice
    enter(thread);
    thread->room[full]++; // the fast path counted a move that has not happened yet
    const uint64_t objects = heap_kmalloc_bin_objects(thread, full);
    if (objects >= BIN_LIMIT) {
        drain(thread, full, BATCH);
        thread->surplus_returns++;
    } else {
        set_room(thread, full, objects);
    }
    cool(thread);
    thread->hot = pointer;
    thread->hot_class = class;
    leave(thread);
}

// ---- handles ------------------------------------------------------------------------------------

void *heap_kmalloc_join(void *handle, void *memory)
{
    struct heap_kmalloc *heap = ((struct heap_kmalloc_thread *)handle)->heap;
    if (heap == NULL) // init: the handle is the heap itself
        heap = handle;
    struct heap_kmalloc_thread *thread = memory;
    assert((uintptr_t)memory % CACHE_LINE == 0);
    *thread = (struct heap_kmalloc_thread){.base = heap->base,
                                           .page_count = heap->page_count,
                                           .map = heap->map,
                                           .heap = heap,
                                           .hot_class = HEAP_KMALLOC_NONE};
    for (unsigned class = 0; class < HEAP_KMALLOC_BINS; class ++)
        set_room(thread, class, 0);
    cpu_preempt_disable();
    spinlock_acquire(&heap->handles_lock);
    heap->handles_locks++;
    list_insert_after(&heap->handles, &thread->link);
    spinlock_release(&heap->handles_lock);
    cpu_preempt_enable();
    return thread;
}

void heap_kmalloc_leave(void *handle)
{
    struct heap_kmalloc_thread *thread = handle;
    struct heap_kmalloc *heap = thread->heap;
    assert(thread != &heap->first);
    enter(thread);
    flush(thread);
    spinlock_acquire(&heap->handles_lock);
    heap->handles_locks++;
    heap_kmalloc_count(thread, &heap->left);
    list_remove(&thread->link);
    spinlock_release(&heap->handles_lock);
    leave(thread);
    thread->heap = NULL; // a call after this one is found out
}

size_t heap_kmalloc_trim(void *handle)
{
    struct heap_kmalloc_thread *thread = handle;
    struct heap_kmalloc *heap = thread->heap;
    enter(thread);
    spinlock_acquire(&heap->pages_lock);
    heap->pages_locks++;
    const uint64_t before = heap->buddy.frames_freed;
    spinlock_release(&heap->pages_lock);
    reclaim(thread);
    spinlock_acquire(&heap->pages_lock);
    heap->pages_locks++;
    const uint64_t after = heap->buddy.frames_freed;
    spinlock_release(&heap->pages_lock);
    leave(thread);
    return (after - before) << PAGE_SHIFT;
}

size_t heap_kmalloc_refill(void *handle, size_t size)
{
    struct heap_kmalloc_thread *thread = handle;
    if (size > HEAP_KMALLOC_SLAB_LARGEST)
        return 0;
    const unsigned class = heap_kmalloc_class(size > 0 ? size : 1);
    uint64_t moved = 0;
    enter(thread);
    if (class >= HEAP_KMALLOC_BINS) {
        moved = heap_kmalloc_cpu_refill(thread->heap, class);
    } else {
        // A bin without place for a batch sends one away first; either way it ends as it began.
        const bool full = heap_kmalloc_bin_objects(thread, class) + BATCH > BIN_LIMIT;
        if (full)
            drain(thread, class, BATCH);
        moved = fill(thread, class, BATCH);
        if (!full)
            drain(thread, class, moved);
        if (moved != 0)
            thread->refills++;
    }
    leave(thread);
    return moved;
}

// ---- statistics ---------------------------------------------------------------------------------

void heap_kmalloc_count(const struct heap_kmalloc_thread *thread,
                        struct heap_kmalloc_counts *counts)
{
    for (unsigned class = 0; class < HEAP_KMALLOC_BINS; class ++) {
        const size_t bytes = heap_kmalloc_class_bytes(class);
        // Every object that left the hot slot was freed into it, and so was the one inside.
        const uint64_t frees = heap_kmalloc_bin_entries(thread, class) + thread->from_hot[class] +
                               (thread->hot_class == class);
        const uint64_t allocations = thread->from_hot[class] + thread->from_bin[class];
        counts->allocations += allocations;
        counts->frees += frees;
        counts->bytes_allocated += allocations * bytes;
        counts->bytes_freed += frees * bytes;
    }
    counts->misses += thread->misses;
    counts->failures += thread->failures;
    counts->refills += thread->refills;
    counts->surplus_returns += thread->surplus_returns;
}

static void count_cpu(const struct heap_kmalloc_cpu *cpu, struct heap_kmalloc_counts *counts)
{
    for (unsigned i = 0; i <= HEAP_KMALLOC_CPU_LISTS; i++) {
        const size_t bytes = heap_kmalloc_class_bytes(HEAP_KMALLOC_BINS + i);
        counts->allocations += cpu->lists[i].allocations;
        counts->frees += cpu->lists[i].frees;
        counts->bytes_allocated += cpu->lists[i].allocations * bytes;
        counts->bytes_freed += cpu->lists[i].frees * bytes;
    }
    counts->misses += cpu->misses;
    counts->refills += cpu->refills;
    counts->surplus_returns += cpu->surplus_returns;
}

// All is at rest: no locks.
void heap_kmalloc_statistics(const void *heap_, struct heap_statistics *statistics)
{
    const struct heap_kmalloc *heap = heap_;
    struct heap_kmalloc_counts counts = heap->left;
    for (const struct list *at = heap->handles.next; at != &heap->handles; at = at->next) {
        const void *thread = (const char *)at - offsetof(struct heap_kmalloc_thread, link);
        heap_kmalloc_count(thread, &counts);
    }
    uint64_t locks = heap->pages_locks + heap->handles_locks;
    for (unsigned class = 0; class < HEAP_KMALLOC_POOLS; class ++)
        locks += heap->pools[class].locks;
    for (unsigned i = 0; i < CPU_MOST; i++)
        count_cpu(&heap->cpus[i], &counts);
    *statistics = (struct heap_statistics){
        .allocations = counts.allocations + heap->block_allocations,
        .frees = counts.frees + heap->block_frees,
        .failures = counts.failures,
        .bytes_allocated = counts.bytes_allocated + heap->block_bytes_allocated,
        .bytes_freed = counts.bytes_freed + heap->block_bytes_freed,
        .cache_hits = counts.allocations - counts.misses,
        .cache_misses = counts.misses,
        .refills = counts.refills,
        .surplus_returns = counts.surplus_returns,
        .pages_taken = heap->buddy.frames_allocated,
        .pages_returned = heap->buddy.frames_freed,
        .locked_instructions = locks,
    };
}
