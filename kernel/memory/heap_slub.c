// SPDX-License-Identifier: MIT
#include "heap_slub.h"

#include "assert.h"
#include "slub_depot.h"

static bool pages_allocate(void *context, unsigned order, uintptr_t *address)
{
    struct heap_slub_pages *pages = context;
    spinlock_acquire(&pages->lock);
    pages->locks++;
    const bool found = buddy_allocate(&pages->buddy, order, address);
    spinlock_release(&pages->lock);
    return found;
}

static void pages_release(void *context, uintptr_t address, unsigned order)
{
    struct heap_slub_pages *pages = context;
    spinlock_acquire(&pages->lock);
    pages->locks++;
    const enum status status = buddy_free(&pages->buddy, address, order);
    spinlock_release(&pages->lock);
    assert(status == STATUS_OK);
}

enum status heap_slub_init_with(void *heap, void *memory, size_t length,
                                const struct slub_settings *settings)
{
    struct heap_slub *all = heap;
    const uintptr_t base = (uintptr_t)memory;
    if (base == 0 || base % PAGE_SIZE != 0 || length % PAGE_SIZE != 0 || length < 64 * 1024 ||
        length > BUDDY_SPAN_LIMIT || (uintptr_t)heap % CACHE_LINE != 0)
        return STATUS_INVALID;
    const struct slub_range range = {
        .start = base,
        .length = length,
        .pages = {.context = &all->pages, .allocate = pages_allocate, .release = pages_release}};
    const size_t slub_bytes = align_up(slub_metadata_bytes(&range, 1), CACHE_LINE);
    const size_t buddy_bytes = buddy_metadata_bytes(base, length, HEAP_SLUB_ORDER);
    const size_t metadata_bytes = align_up(slub_bytes + buddy_bytes, PAGE_SIZE);
    const struct slub_setup setup = {.settings = settings,
                                     .ranges = &range,
                                     .node_count = 1,
                                     .cpus = all->cpus,
                                     .cpu_count = CPU_MOST,
                                     .depots = all->depots,
                                     .metadata = memory,
                                     .metadata_bytes = slub_bytes};
    enum status status = slub_init(&all->slub, &setup);
    if (status != STATUS_OK)
        return status;
    spinlock_init(&all->pages.lock);
    all->pages.locks = 0;
    status = buddy_init(&all->pages.buddy, base, length, HEAP_SLUB_ORDER,
                        (char *)memory + slub_bytes, buddy_bytes);
    if (status != STATUS_OK)
        return status;
    return buddy_add(&all->pages.buddy, base + metadata_bytes, length - metadata_bytes);
}

enum status heap_slub_init(void *heap, void *memory, size_t length)
{
    return heap_slub_init_with(heap, memory, length, NULL);
}

void *heap_slub_join(void *heap, void *memory)
{
    (void)memory;
    return heap;
}

// What the thread's CPU holds serves whoever runs there next.
void heap_slub_leave(void *handle)
{
    (void)handle;
}

size_t heap_slub_trim(void *handle)
{
    return slub_trim(&((struct heap_slub *)handle)->slub);
}

// The list gets a batch from the slabs and gives one back; it ends as long as it began.
size_t heap_slub_refill(void *heap, size_t size)
{
    struct slub *slub = &((struct heap_slub *)heap)->slub;
    const unsigned number = slub_class(size);
    struct slub_chain chain = {0};
    if (number == SLUB_NONE)
        return 0;
    cpu_preempt_disable();
    struct slub_cpu *cpu = slub_enter(slub);
    slub_gather(cpu, number, slub->caches[number].bulk, &chain);
    const size_t moved = chain.count;
    cpu->lists[number].refills += moved != 0;
    slub_give(cpu, number, chain);
    slub_leave(cpu);
    cpu_preempt_enable();
    return moved;
}

void heap_slub_statistics(const void *heap, struct heap_statistics *statistics)
{
    const struct heap_slub *all = heap;
    struct slub_totals totals;
    slub_statistics(&all->slub, &totals);
    *statistics = (struct heap_statistics){
        .allocations = totals.objects.allocations,
        .frees = totals.objects.frees,
        .failures = totals.objects.failures,
        .bytes_allocated = totals.bytes_allocated,
        .bytes_freed = totals.bytes_freed,
        .cache_hits = totals.objects.hits,
        .cache_misses = totals.objects.misses,
        .refills = totals.objects.refills,
        .surplus_returns = totals.objects.returns,
        .pages_taken = totals.pages_taken,
        .pages_returned = totals.pages_returned,
        .locked_instructions = totals.locked_instructions + all->pages.locks,
    };
}

bool heap_slub_check(const void *heap)
{
    const struct heap_slub *all = heap;
    const struct buddy *buddy = &all->pages.buddy;
    struct slub_totals totals;
    slub_statistics(&all->slub, &totals);
    return slub_check(&all->slub) && buddy_check(buddy) &&
           buddy->frames_allocated == totals.pages_taken &&
           buddy->frames_freed == totals.pages_returned;
}
