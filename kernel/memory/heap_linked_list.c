// SPDX-License-Identifier: MIT
#include "heap_linked_list.h"

#include "assert.h"
#include "heap_trace.h"

#define USED 1u // in block.size; sizes are multiples of 16

struct heap_linked_list_block {
    size_t size;     // of the block, header included, + USED
    size_t previous; // size of the block below, without the mark; 0 in the first block
    // Of a hole only; what the last owner of the memory stored there may be of any type.
    struct heap_linked_list_block *next, *before; // holes above and below, by address
} __attribute__((may_alias));

#define HEADER   offsetof(struct heap_linked_list_block, next)
#define SMALLEST sizeof(struct heap_linked_list_block)

_Static_assert(HEADER == 16, "payloads are aligned to 16");
_Static_assert(SMALLEST == 32, "a block that is freed has room for the links");

typedef struct heap_linked_list_block block;

static inline size_t size_of(const block *at)
{
    return at->size & ~(size_t)USED;
}

static inline bool used(const block *at)
{
    return at->size & USED;
}

static inline block *block_above(block *at)
{
    return (block *)(void *)((char *)at + size_of(at));
}

static inline block *block_below(block *at)
{
    return (block *)(void *)((char *)at - at->previous);
}

enum status heap_linked_list_init(void *heap, void *memory, size_t length)
{
    struct heap_linked_list *list = heap;
    if (length < 64 * 1024 || length % PAGE_SIZE != 0 || (uintptr_t)memory % PAGE_SIZE != 0)
        return STATUS_INVALID;
    *list = (struct heap_linked_list){
        .start = (uintptr_t)memory, .end = (uintptr_t)memory + length - HEADER, .holes = memory};
    spinlock_init(&list->lock);
    list->holes->size = length - HEADER;
    list->holes->previous = 0;
    list->holes->next = list->holes->before = NULL;
    // A header that is always used ends the tiling: nothing coalesces beyond it.
    block *last = block_above(list->holes);
    last->size = HEADER | USED;
    last->previous = length - HEADER;
    return STATUS_OK;
}

// Puts a hole in the place of another one, whose neighbours in the list it takes over.
static inline void replace_hole(struct heap_linked_list *list, block *next, block *before,
                                block *hole)
{
    hole->next = next;
    hole->before = before;
    if (next != NULL)
        next->before = hole;
    if (before != NULL)
        before->next = hole;
    else
        list->holes = hole;
}

static inline void remove_hole(struct heap_linked_list *list, const block *hole)
{
    if (hole->next != NULL)
        hole->next->before = hole->before;
    if (hole->before != NULL)
        hole->before->next = hole->next;
    else
        list->holes = hole->next;
}

static size_t block_bytes(size_t size)
{
    return max_u64(align_up(size + HEADER, 16), SMALLEST);
}

// Takes `bytes` off the front of a hole that has them.
static void take(struct heap_linked_list *list, block *hole, size_t bytes)
{
    const size_t rest = hole->size - bytes;
    if (rest < SMALLEST) {
        remove_hole(list, hole);
        hole->size |= USED;
        return;
    }
    block *const next = hole->next, *const before = hole->before;
    hole->size = bytes | USED;
    block *const remainder = block_above(hole);
    remainder->size = rest;
    remainder->previous = bytes;
    replace_hole(list, next, before, remainder);
    block_above(remainder)->previous = rest;
}

void *heap_linked_list_allocate(void *heap, size_t size)
{
    struct heap_linked_list *list = heap;
    block *hole = NULL;
    heap_trace_allocate(size);
    spinlock_acquire(&list->lock);
    if (size <= HEAP_LINKED_LIST_LARGEST) {
        const size_t bytes = block_bytes(size);
        for (hole = list->holes; hole != NULL && hole->size < bytes;)
            hole = hole->next;
        if (hole != NULL)
            take(list, hole, bytes);
    }
    if (hole != NULL) {
        list->counts.allocations++;
        list->counts.bytes_allocated += size_of(hole) - HEADER;
    } else {
        list->counts.failures++;
    }
    spinlock_release(&list->lock);
    heap_trace_allocated(hole, size);
    return hole == NULL ? NULL : (char *)hole + HEADER;
}

// Inserts a hole with no hole beside it where its address belongs.
static void insert_hole(struct heap_linked_list *list, block *hole)
{
    block *next = list->holes, *before = NULL;
    while (next != NULL && next < hole) {
        before = next;
        next = next->next;
    }
    replace_hole(list, next, before, hole);
}

void heap_linked_list_release(void *heap, void *pointer, size_t size)
{
    struct heap_linked_list *list = heap;
    (void)size; // but for the trace
    heap_trace_release(size);
    assert((uintptr_t)pointer % 16 == 0);
    assert((uintptr_t)pointer > list->start && (uintptr_t)pointer < list->end);
    block *freed = (block *)(void *)((char *)pointer - HEADER);
    spinlock_acquire(&list->lock);
    assert(used(freed)); // a double free, else
    assert(size_of(freed) >= SMALLEST && size_of(freed) <= list->end - (uintptr_t)freed);
    block *const above = block_above(freed);
    assert(above->previous == size_of(freed)); // a foreign pointer or an overrun, else
    list->counts.frees++;
    list->counts.bytes_freed += size_of(freed) - HEADER;
    freed->size = size_of(freed);
    block *const below = freed->previous == 0 ? NULL : block_below(freed);
    const bool join_above = !used(above), join_below = below != NULL && !used(below);
    if (join_above && join_below)
        remove_hole(list, above);
    else if (join_above)
        replace_hole(list, above->next, above->before, freed);
    else if (!join_below)
        insert_hole(list, freed);
    if (join_above)
        freed->size += above->size;
    if (join_below) {
        below->size += freed->size;
        freed = below;
    }
    block_above(freed)->previous = freed->size;
    spinlock_release(&list->lock);
    heap_trace_released(size);
}

// The lock lets any thread in: one handle serves all.
void *heap_linked_list_join(void *heap, void *memory)
{
    (void)memory;
    return heap;
}

void heap_linked_list_leave(void *handle)
{
    (void)handle;
}

void heap_linked_list_statistics(const void *heap, struct heap_statistics *statistics)
{
    const struct heap_linked_list *list = heap;
    *statistics = list->counts;
    statistics->header_bytes = HEADER;
    // The lock, once a call.
    statistics->locked_instructions =
        statistics->allocations + statistics->failures + statistics->frees;
}

bool heap_linked_list_check(const void *heap)
{
    const struct heap_linked_list *list = heap;
    const block *hole = list->holes, *last_hole = NULL;
    size_t previous = 0;
    uint64_t live = 0;
    bool previous_free = false;
    uintptr_t at = list->start;
    while (at < list->end) {
        const block *const here = (const block *)at;
        if (here->previous != previous || size_of(here) < SMALLEST || size_of(here) % 16 != 0 ||
            size_of(here) > list->end - at)
            return false;
        if (used(here)) {
            live += size_of(here) - HEADER;
        } else {
            if (previous_free || here != hole || here->before != last_hole)
                return false; // two holes side by side, or the list tells another story
            last_hole = hole;
            hole = hole->next;
        }
        previous_free = !used(here);
        previous = size_of(here);
        at += previous;
    }
    const block *const end = (const block *)list->end;
    return at == list->end && hole == NULL && end->previous == previous && used(end) &&
           live == list->counts.bytes_allocated - list->counts.bytes_freed;
}
