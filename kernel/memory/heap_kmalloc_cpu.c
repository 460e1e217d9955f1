// SPDX-License-Identifier: MIT
// What a CPU owns, and the page level below: lists of 512, 1024 and 2048 bytes, the stack of pages,
// the buddy. Preemption is off in all of it: nobody else touches the CPU's.
#include "assert.h"
#include "heap_kmalloc.h"

// Objects of 512, 1024 and 2048 bytes that a list holds, and moves at a time.
static const uint8_t list_limit[HEAP_KMALLOC_CPU_LISTS] = {32, 32, 16};
static const uint8_t list_batch[HEAP_KMALLOC_CPU_LISTS] = {16, 16, 8};

#define STACK_BATCH_ORDER 4u // pages are moved between stack and buddy by 16 at the most

_Static_assert(HEAP_KMALLOC_STACK_PAGES >= 2u << STACK_BATCH_ORDER, "a batch is half a stack");

// ---- pages --------------------------------------------------------------------------------------

// Fills an empty stack with one block, up to a sixteenth of what is free so that no CPU hoards the
// last pages.
static void stack_fill(struct heap_kmalloc *heap, struct heap_kmalloc_cpu *cpu)
{
    uintptr_t start = 0;
    bool found = false;
    spinlock_acquire(&heap->pages_lock);
    heap->pages_locks++;
    const uint64_t share = max_u64(buddy_free_frames(&heap->buddy) / 16, 1);
    unsigned order = (unsigned)min_u64(log2_u64(share), STACK_BATCH_ORDER) + 1;
    trace_begin(TRACE_HEAP_PAGES, 1u << (order - 1));
    while (!found && order-- > 0)
        found = buddy_allocate(&heap->buddy, order, &start);
    trace_end(TRACE_HEAP_PAGES);
    spinlock_release(&heap->pages_lock);
    if (!found)
        return;
    for (unsigned i = 1u << order; i-- > 0;) // the lowest is taken first
        cpu->pages[cpu->page_count++] = start + ((uintptr_t)i << PAGE_SHIFT);
}

// Gives the `count` pages at the bottom of the stack, those used longest ago, to the buddy.
static void stack_drain(struct heap_kmalloc *heap, struct heap_kmalloc_cpu *cpu, uint64_t count)
{
    spinlock_acquire(&heap->pages_lock);
    heap->pages_locks++;
    trace_begin(TRACE_HEAP_PAGES, 0);
    for (uint64_t i = 0; i < count; i++) {
        const enum status status = buddy_free(&heap->buddy, cpu->pages[i], 0);
        assert(status == STATUS_OK);
    }
    trace_end(TRACE_HEAP_PAGES);
    spinlock_release(&heap->pages_lock);
    cpu->page_count -= count;
    for (uint64_t i = 0; i < cpu->page_count; i++)
        cpu->pages[i] = cpu->pages[count + i];
}

uintptr_t heap_kmalloc_page_take(struct heap_kmalloc *heap, struct heap_kmalloc_cpu *cpu)
{
    if (UNLIKELY(cpu->page_count == 0)) {
        stack_fill(heap, cpu);
        if (cpu->page_count == 0)
            return 0;
    }
    return cpu->pages[--cpu->page_count];
}

void heap_kmalloc_page_give(struct heap_kmalloc *heap, struct heap_kmalloc_cpu *cpu, uintptr_t page)
{
    if (UNLIKELY(cpu->page_count == HEAP_KMALLOC_STACK_PAGES))
        stack_drain(heap, cpu, 1u << STACK_BATCH_ORDER);
    cpu->pages[cpu->page_count++] = page;
}

// An object of 4096 bytes is a page as the stack has it. A stack that has to be filled is a miss.
static inline void *page_pop(struct heap_kmalloc *heap, struct heap_kmalloc_cpu *cpu)
{
    const uintptr_t page = cpu->pages[--cpu->page_count];
    heap->map[(page - heap->base) >> PAGE_SHIFT] = HEAP_KMALLOC_PAGE;
    cpu->lists[HEAP_KMALLOC_CPU_LISTS].allocations++;
    return (void *)page;
}

static void *page_allocate(struct heap_kmalloc *heap, struct heap_kmalloc_cpu *cpu)
{
    if (cpu->page_count == 0) {
        stack_fill(heap, cpu);
        if (cpu->page_count == 0)
            return NULL;
        cpu->misses++;
        cpu->refills++;
    }
    return page_pop(heap, cpu);
}

static void page_release(struct heap_kmalloc *heap, struct heap_kmalloc_cpu *cpu, void *pointer)
{
    assert((uintptr_t)pointer % PAGE_SIZE == 0); // into the middle, else
    heap->map[heap_kmalloc_page_of(heap, pointer)] = HEAP_KMALLOC_NONE;
    cpu->lists[HEAP_KMALLOC_CPU_LISTS].frees++;
    cpu->surplus_returns += cpu->page_count == HEAP_KMALLOC_STACK_PAGES;
    heap_kmalloc_page_give(heap, cpu, (uintptr_t)pointer);
}

// ---- lists --------------------------------------------------------------------------------------

static uint64_t list_fill(struct heap_kmalloc *heap, struct heap_kmalloc_cpu *cpu, unsigned i,
                          uint64_t count)
{
    uint64_t moved = 0;
    trace_begin(TRACE_HEAP_REFILL, (uint32_t)count);
    cpu->lists[i].head =
        heap_kmalloc_pool_take(heap, HEAP_KMALLOC_BINS + i, count, cpu->lists[i].head, &moved);
    cpu->lists[i].count += moved;
    trace_end(TRACE_HEAP_REFILL);
    return moved;
}

static void list_drain(struct heap_kmalloc *heap, struct heap_kmalloc_cpu *cpu, unsigned i,
                       uint64_t count)
{
    trace_begin(TRACE_HEAP_SURPLUS, (uint32_t)count);
    cpu->lists[i].head =
        heap_kmalloc_pool_give(heap, HEAP_KMALLOC_BINS + i, count, cpu->lists[i].head);
    cpu->lists[i].count -= count;
    trace_end(TRACE_HEAP_SURPLUS);
}

static inline void *list_pop(struct heap_kmalloc_list *list)
{
    struct heap_object *const object = list->head;
    list->head = object->next;
    list->count--;
    list->allocations++;
    return object;
}

static inline void list_push(struct heap_kmalloc_list *list, unsigned class, void *pointer)
{
    struct heap_object *const object = pointer;
    assert((uintptr_t)pointer % heap_kmalloc_class_bytes(class) == 0); // into the middle, else
    assert(list->head != object);                                      // freed twice
    object->next = list->head;
    list->head = object;
    list->count++;
    list->frees++;
}

void *heap_kmalloc_cpu_allocate(struct heap_kmalloc *heap, unsigned class)
{
    struct heap_kmalloc_cpu *cpu = heap_kmalloc_this_cpu(heap);
    if (class >= HEAP_KMALLOC_POOLS)
        return page_allocate(heap, cpu);
    const unsigned i = class - HEAP_KMALLOC_BINS;
    if (cpu->lists[i].head == NULL) {
        if (list_fill(heap, cpu, i, list_batch[i]) == 0)
            return NULL;
        cpu->misses++;
        cpu->refills++;
    }
    return list_pop(&cpu->lists[i]);
}

void heap_kmalloc_cpu_release(struct heap_kmalloc *heap, unsigned class, void *pointer)
{
    struct heap_kmalloc_cpu *cpu = heap_kmalloc_this_cpu(heap);
    if (class >= HEAP_KMALLOC_POOLS) {
        page_release(heap, cpu, pointer);
        return;
    }
    const unsigned i = class - HEAP_KMALLOC_BINS;
    if (cpu->lists[i].count == list_limit[i]) {
        list_drain(heap, cpu, i, list_batch[i]);
        cpu->surplus_returns++;
    }
    list_push(&cpu->lists[i], class, pointer);
}

// ---- hits of the lists --------------------------------------------------------------------------

NOINLINE void *heap_kmalloc_allocate_other(struct heap_kmalloc_thread *thread, size_t size)
{
    assert(!thread->inside); // an interrupt handler, else
    if (LIKELY(size - 1 < PAGE_SIZE)) {
        const unsigned class = heap_kmalloc_class(size);
        void *object = NULL;
        cpu_preempt_disable();
        struct heap_kmalloc_cpu *const cpu = heap_kmalloc_this_cpu(thread->heap);
        struct heap_kmalloc_list *const list = &cpu->lists[class - HEAP_KMALLOC_BINS];
        if (LIKELY(list->head != NULL))
            object = list_pop(list);
        else if (class == HEAP_KMALLOC_PAGE && cpu->page_count > 0)
            object = page_pop(thread->heap, cpu);
        cpu_preempt_enable();
        if (LIKELY(object != NULL))
            return object;
    }
    return heap_kmalloc_allocate_other_slow(thread, size);
}

NOINLINE void heap_kmalloc_release_other(struct heap_kmalloc_thread *thread, void *pointer)
{
    const uint64_t page = ((uintptr_t)pointer - thread->base) >> PAGE_SHIFT;
    assert(!thread->inside);           // an interrupt handler, else
    assert(page < thread->page_count); // not this heap's, else
    const unsigned class = thread->map[page];
    if (LIKELY(class < HEAP_KMALLOC_POOLS)) {
        const unsigned i = class - HEAP_KMALLOC_BINS;
        cpu_preempt_disable();
        struct heap_kmalloc_list *const list = &heap_kmalloc_this_cpu(thread->heap)->lists[i];
        const bool room = list->count < list_limit[i];
        if (LIKELY(room))
            list_push(list, class, pointer);
        cpu_preempt_enable();
        if (LIKELY(room))
            return;
    }
    heap_kmalloc_release_other_slow(thread, pointer);
}

// ---- slow paths of the lists --------------------------------------------------------------------

uint64_t heap_kmalloc_cpu_refill(struct heap_kmalloc *heap, unsigned class)
{
    struct heap_kmalloc_cpu *cpu = heap_kmalloc_this_cpu(heap);
    const unsigned i = class - HEAP_KMALLOC_BINS;
    // A list without place for a batch sends one away first; either way it ends as it began.
    const bool full = cpu->lists[i].count + list_batch[i] > list_limit[i];
    if (full)
        list_drain(heap, cpu, i, list_batch[i]);
    const uint64_t moved = list_fill(heap, cpu, i, list_batch[i]);
    if (!full)
        list_drain(heap, cpu, i, moved);
    cpu->refills += moved != 0;
    return moved;
}

void heap_kmalloc_cpu_flush(struct heap_kmalloc *heap, struct heap_kmalloc_cpu *cpu)
{
    for (unsigned i = 0; i < HEAP_KMALLOC_CPU_LISTS; i++)
        if (cpu->lists[i].count != 0)
            list_drain(heap, cpu, i, cpu->lists[i].count);
    heap_kmalloc_pools_trim(heap);
    if (cpu->page_count != 0)
        stack_drain(heap, cpu, cpu->page_count);
}

// ---- blocks above a page ------------------------------------------------------------------------

void *heap_kmalloc_block_allocate(struct heap_kmalloc *heap, unsigned order)
{
    uintptr_t start = 0;
    spinlock_acquire(&heap->pages_lock);
    heap->pages_locks++;
    trace_begin(TRACE_HEAP_PAGES, 1u << order);
    const bool found = buddy_allocate(&heap->buddy, order, &start);
    trace_end(TRACE_HEAP_PAGES);
    if (found) {
        heap->map[(start - heap->base) >> PAGE_SHIFT] = HEAP_KMALLOC_BLOCK;
        heap->block_allocations++;
        heap->block_bytes_allocated += (uint64_t)PAGE_SIZE << order;
    }
    spinlock_release(&heap->pages_lock);
    return found ? (void *)start : NULL;
}

void heap_kmalloc_block_release(struct heap_kmalloc *heap, void *pointer)
{
    unsigned order = 0;
    uint8_t *const kind = &heap->map[heap_kmalloc_page_of(heap, pointer)];
    spinlock_acquire(&heap->pages_lock);
    heap->pages_locks++;
    assert(*kind == HEAP_KMALLOC_BLOCK); // freed twice, else
    *kind = HEAP_KMALLOC_NONE;
    trace_begin(TRACE_HEAP_PAGES, 0);
    const enum status status = buddy_free_unit(&heap->buddy, (uintptr_t)pointer, &order);
    trace_end(TRACE_HEAP_PAGES);
    assert(status == STATUS_OK); // into the middle of its first page, else
    heap->block_frees++;
    heap->block_bytes_freed += (uint64_t)PAGE_SIZE << order;
    spinlock_release(&heap->pages_lock);
}

unsigned heap_kmalloc_block_order(struct heap_kmalloc *heap, const void *pointer)
{
    unsigned order = 0;
    spinlock_acquire(&heap->pages_lock);
    heap->pages_locks++;
    const bool found = buddy_unit_order(&heap->buddy, (uintptr_t)pointer, &order);
    spinlock_release(&heap->pages_lock);
    assert(found); // into the middle of its first page, else
    return order;
}

bool heap_kmalloc_block_resize(struct heap_kmalloc *heap, void *pointer, unsigned order)
{
    const uintptr_t start = (uintptr_t)pointer;
    unsigned has = 0;
    spinlock_acquire(&heap->pages_lock);
    heap->pages_locks++;
    const bool found = buddy_unit_order(&heap->buddy, start, &has);
    assert(found);
    const unsigned had = has;
    while (has < order && buddy_extend(&heap->buddy, start, has))
        has++;
    // What did not reach goes back as it came, and so does the tail of one that shrinks.
    const unsigned kept = has < order ? had : order;
    while (has > kept) {
        has--;
        const uintptr_t upper = start + ((uintptr_t)PAGE_SIZE << has);
        const enum status status = buddy_free(&heap->buddy, upper, has);
        assert(status == STATUS_OK);
    }
    if (kept > had)
        heap->block_bytes_allocated += ((uint64_t)PAGE_SIZE << kept) - ((uint64_t)PAGE_SIZE << had);
    else
        heap->block_bytes_freed += ((uint64_t)PAGE_SIZE << had) - ((uint64_t)PAGE_SIZE << kept);
    spinlock_release(&heap->pages_lock);
    return kept == order;
}
