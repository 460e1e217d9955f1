// SPDX-License-Identifier: MIT
#include "heap_slob.h"

#include "assert.h"
#include "cpu.h"
#include "heap_trace.h"
#include "string.h"

#define PAGE_UNITS (PAGE_SIZE / sizeof(int16_t))
#define SMALL      256u  // bytes: below go to the first list
#define MEDIUM     1024u // below go to the second

// In front of an object in a page. The second word tells a live header from anything else.
struct header {
    uint32_t size; // as it was asked for, at least 1
    uint32_t mark; // header_mark(size)
} __attribute__((may_alias));

#define HEADER sizeof(struct header)

_Static_assert(sizeof(struct header) == 8, "objects are aligned to 8 behind it");
_Static_assert(sizeof(struct heap_slob_page) == 24, "0.6 % of a page");

typedef int16_t __attribute__((may_alias)) unit; // what lies in a free block

static inline uint32_t header_mark(uint32_t size)
{
    return ~size ^ 0x510b510bu;
}

static inline uint64_t units_of(size_t size)
{
    return (size + HEADER + sizeof(unit) - 1) / sizeof(unit);
}

static inline unit *page_start(const struct heap_slob *slob, const struct heap_slob_page *page)
{
    return (unit *)(slob->base + ((uintptr_t)(page - slob->pages) << PAGE_SHIFT));
}

enum status heap_slob_init(void *heap, void *memory, size_t length)
{
    struct heap_slob *slob = heap;
    const uintptr_t base = (uintptr_t)memory;
    if (base % PAGE_SIZE != 0 || length % PAGE_SIZE != 0 || length < 64 * 1024 ||
        length > BUDDY_SPAN_LIMIT)
        return STATUS_INVALID;
    const uint64_t page_count = length >> PAGE_SHIFT;
    const size_t pages_bytes = page_count * sizeof(struct heap_slob_page);
    const size_t buddy_bytes = buddy_metadata_bytes(base, length, HEAP_SLOB_ORDER);
    const size_t metadata_bytes = align_up(pages_bytes + buddy_bytes, PAGE_SIZE);
    if (buddy_bytes == 0 || metadata_bytes >= length)
        return STATUS_INVALID;
    memset(slob, 0, sizeof(*slob));
    memset(memory, 0, pages_bytes);
    slob->base = base;
    slob->page_count = page_count;
    slob->pages = memory;
    for (unsigned i = 0; i < HEAP_SLOB_LISTS; i++)
        list_init(&slob->lists[i]);
    const enum status status = buddy_init(&slob->buddy, base, length, HEAP_SLOB_ORDER,
                                          (char *)memory + pages_bytes, buddy_bytes);
    if (status != STATUS_OK)
        return status;
    return buddy_add(&slob->buddy, base + metadata_bytes, length - metadata_bytes);
}

// ---- free blocks of a page ----------------------------------------------------------------------
// By their place, in units from the start of the page; PAGE_UNITS is the end of the list.

static inline void set_block(unit *start, uint64_t at, uint64_t units, uint64_t next)
{
    if (units > 1) {
        start[at] = (unit)units;
        start[at + 1] = (unit)next;
    } else {
        start[at] = (unit)-next;
    }
}

static inline uint64_t block_units(const unit *start, uint64_t at)
{
    return start[at] > 0 ? (uint64_t)start[at] : 1;
}

static inline uint64_t block_next(const unit *start, uint64_t at)
{
    return start[at] > 0 ? (uint64_t)start[at + 1] : (uint64_t)-start[at];
}

// Makes `next` follow a block; before == PAGE_UNITS: makes it the first.
static inline void set_next(struct heap_slob_page *page, unit *start, uint64_t before,
                            uint64_t next)
{
    if (before == PAGE_UNITS)
        page->first_free = (uint16_t)next;
    else
        set_block(start, before, block_units(start, before), next);
}

// First fit: the place of a block of `units` so that what lies behind its header is aligned;
// PAGE_UNITS if the page has none.
static uint64_t take_block(struct heap_slob_page *page, unit *start, uint64_t units,
                           uint64_t alignment)
{
    uint64_t before = PAGE_UNITS;
    for (uint64_t at = page->first_free; at != PAGE_UNITS; at = block_next(start, at)) {
        const uint64_t has = block_units(start, at), next = block_next(start, at);
        const uint64_t placed =
            (align_up(at * sizeof(unit) + HEADER, alignment) - HEADER) / sizeof(unit);
        const uint64_t front = placed - at;
        if (has < front + units) {
            before = at;
            continue;
        }
        // What lies in front stays free, and what is left behind.
        const uint64_t rest = has - front - units;
        const uint64_t follows = rest > 0 ? placed + units : next;
        if (rest > 0)
            set_block(start, follows, rest, next);
        if (front > 0)
            set_block(start, at, front, follows);
        else
            set_next(page, start, before, follows);
        page->free_units = (uint16_t)(page->free_units - units);
        return placed;
    }
    return PAGE_UNITS;
}

// Puts a block where its address belongs, one with its neighbours.
static void put_block(struct heap_slob_page *page, unit *start, uint64_t at, uint64_t units)
{
    uint64_t before = PAGE_UNITS, next = page->first_free;
    while (next < at) { // PAGE_UNITS lies behind all
        before = next;
        next = block_next(start, next);
    }
    assert(next != at && (before == PAGE_UNITS || before + block_units(start, before) <= at));
    page->free_units = (uint16_t)(page->free_units + units);
    if (next != PAGE_UNITS && at + units == next) {
        units += block_units(start, next);
        next = block_next(start, next);
    }
    if (before != PAGE_UNITS && before + block_units(start, before) == at) {
        set_block(start, before, block_units(start, before) + units, next);
        return;
    }
    set_block(start, at, units, next);
    set_next(page, start, before, at);
}

// ---- allocate -----------------------------------------------------------------------------------

static struct list *list_for(struct heap_slob *slob, size_t bytes)
{
    return &slob->lists[bytes < SMALL ? 0 : bytes < MEDIUM ? 1 : 2];
}

_Static_assert(offsetof(struct heap_slob_page, link) == 0, "a link is its page");

// A page all free, in front of the list; NULL if there is none.
static struct heap_slob_page *page_create(struct heap_slob *slob, struct list *list)
{
    uintptr_t address = 0;
    if (!buddy_allocate(&slob->buddy, 0, &address))
        return NULL;
    struct heap_slob_page *page = &slob->pages[(address - slob->base) >> PAGE_SHIFT];
    *page = (struct heap_slob_page){.free_units = PAGE_UNITS, .kind = HEAP_SLOB_BLOCKS};
    set_block(page_start(slob, page), 0, PAGE_UNITS, PAGE_UNITS);
    list_insert_after(list, &page->link);
    return page;
}

// The header's place, or NULL.
static struct header *allocate_block(struct heap_slob *slob, size_t size)
{
    struct list *const list = list_for(slob, size + HEADER);
    const uint64_t units = units_of(size), alignment = size % 16 == 0 ? 16 : 8;
    uint64_t at = PAGE_UNITS;
    struct heap_slob_page *page = NULL;
    for (struct list *link = list->next; link != list && at == PAGE_UNITS; link = link->next) {
        page = (struct heap_slob_page *)(void *)link;
        if (page->free_units >= units)
            at = take_block(page, page_start(slob, page), units, alignment);
    }
    if (at == PAGE_UNITS) {
        page = page_create(slob, list);
        if (page == NULL)
            return NULL;
        at = take_block(page, page_start(slob, page), units, alignment);
        assert(at != PAGE_UNITS);
    }
    if (page->free_units == 0) {
        list_remove(&page->link);
    } else if (list->next != &page->link) {
        // The next search begins here (Knuth, vol. 1, section 2.5, exercise 6).
        list_remove(list);
        list_insert_after(page->link.previous, list);
    }
    return (struct header *)(void *)(page_start(slob, page) + at);
}

// The largest that has a place in a page, whatever its alignment.
static inline bool fits_in_page(size_t size)
{
    return size <= PAGE_SIZE - 2 * HEADER;
}

static void *allocate_run(struct heap_slob *slob, size_t size)
{
    uintptr_t address = 0;
    const unsigned order = buddy_order(size);
    if (!buddy_allocate(&slob->buddy, order, &address))
        return NULL;
    slob->pages[(address - slob->base) >> PAGE_SHIFT].kind = HEAP_SLOB_RUN;
    slob->run_bytes += (uint64_t)PAGE_SIZE << order;
    slob->counts.bytes_allocated += (uint64_t)PAGE_SIZE << order;
    return (void *)address;
}

static void *allocate(struct heap_slob *slob, size_t size)
{
    if (!fits_in_page(size))
        return size > HEAP_SLOB_LARGEST ? NULL : allocate_run(slob, size);
    struct header *const header = allocate_block(slob, size);
    if (header == NULL)
        return NULL;
    *header = (struct header){(uint32_t)size, header_mark((uint32_t)size)};
    slob->objects++;
    slob->counts.bytes_allocated += units_of(size) * sizeof(unit) - HEADER;
    return header + 1;
}

void *heap_slob_allocate(void *heap, size_t size)
{
    struct heap_slob *slob = heap;
    heap_trace_allocate(size);
    cpu_preempt_disable();
    spinlock_acquire(&slob->lock);
    slob->counts.locked_instructions++;
    void *const object = allocate(slob, size > 0 ? size : 1);
    if (object != NULL)
        slob->counts.allocations++;
    else
        slob->counts.failures++;
    spinlock_release(&slob->lock);
    cpu_preempt_enable();
    heap_trace_allocated(object, size);
    return object;
}

// ---- release ------------------------------------------------------------------------------------

static void release_block(struct heap_slob *slob, struct heap_slob_page *page, void *pointer)
{
    struct header *const header = (struct header *)pointer - 1;
    assert((uintptr_t)pointer % HEADER == 0 && (uintptr_t)pointer % PAGE_SIZE >= HEADER);
    // A double free, a pointer into the middle of an object, or an overrun of the one below, else.
    assert(header->mark == header_mark(header->size) && fits_in_page(header->size));
    const size_t size = header->size;
    const uint64_t units = units_of(size);
    unit *const start = page_start(slob, page);
    const uint64_t at = (uint64_t)((unit *)(void *)header - start);
    header->mark = 0;
    slob->objects--;
    slob->counts.bytes_freed += units * sizeof(unit) - HEADER;
    if (page->free_units + units == PAGE_UNITS) {
        if (page->free_units > 0)
            list_remove(&page->link);
        page->kind = HEAP_SLOB_UNUSED;
        const enum status status = buddy_free(&slob->buddy, (uintptr_t)start, 0);
        assert(status == STATUS_OK);
    } else if (page->free_units == 0) {
        page->free_units = (uint16_t)units;
        page->first_free = (uint16_t)at;
        set_block(start, at, units, PAGE_UNITS);
        list_insert_after(list_for(slob, size + HEADER), &page->link);
    } else {
        put_block(page, start, at, units);
    }
}

static void release_run(struct heap_slob *slob, struct heap_slob_page *page, void *pointer)
{
    unsigned order = 0;
    const enum status status = buddy_free_unit(&slob->buddy, (uintptr_t)pointer, &order);
    assert(status == STATUS_OK); // into the middle of its first page, else
    page->kind = HEAP_SLOB_UNUSED;
    slob->run_bytes -= (uint64_t)PAGE_SIZE << order;
    slob->counts.bytes_freed += (uint64_t)PAGE_SIZE << order;
}

void heap_slob_release(void *heap, void *pointer, size_t size)
{
    struct heap_slob *slob = heap;
    (void)size; // but for the trace
    heap_trace_release(size);
    const uint64_t number = ((uintptr_t)pointer - slob->base) >> PAGE_SHIFT;
    assert(number < slob->page_count); // not this heap's, else
    struct heap_slob_page *const page = &slob->pages[number];
    cpu_preempt_disable();
    spinlock_acquire(&slob->lock);
    slob->counts.locked_instructions++;
    assert(page->kind != HEAP_SLOB_UNUSED); // nothing that is allocated starts in this page, else
    if (page->kind == HEAP_SLOB_RUN)
        release_run(slob, page, pointer);
    else
        release_block(slob, page, pointer);
    slob->counts.frees++;
    spinlock_release(&slob->lock);
    cpu_preempt_enable();
    heap_trace_released(size);
}

// The lock lets any thread in: one handle serves all.
void *heap_slob_join(void *heap, void *memory)
{
    (void)memory;
    return heap;
}

void heap_slob_leave(void *handle)
{
    (void)handle;
}

// ---- statistics, invariants ---------------------------------------------------------------------

void heap_slob_statistics(const void *heap, struct heap_statistics *statistics)
{
    const struct heap_slob *slob = heap;
    *statistics = slob->counts;
    statistics->header_bytes = HEADER;
    statistics->pages_taken = slob->buddy.frames_allocated;
    statistics->pages_returned = slob->buddy.frames_freed;
}

// Free blocks by address, none beside another, as many units as the page says.
static bool check_blocks(const struct heap_slob *slob, const struct heap_slob_page *page)
{
    const unit *const start = page_start(slob, page);
    uint64_t found = 0, end = 0;
    if (page->free_units == 0 || page->free_units >= PAGE_UNITS)
        return page->free_units == 0;
    for (uint64_t at = page->first_free, next; at != PAGE_UNITS; at = next) {
        const uint64_t units = block_units(start, at);
        next = block_next(start, at);
        if ((found > 0 && at <= end) || at + units > PAGE_UNITS || next <= at || next > PAGE_UNITS)
            return false;
        end = at + units;
        found += units;
    }
    return found == page->free_units;
}

bool heap_slob_check(const void *heap)
{
    const struct heap_slob *slob = heap;
    uint64_t used = 0, with_room = 0, blocks = 0, listed = 0;
    if (!buddy_check(&slob->buddy))
        return false;
    for (uint64_t i = 0; i < slob->page_count; i++) {
        const struct heap_slob_page *page = &slob->pages[i];
        if (page->kind != HEAP_SLOB_BLOCKS)
            continue;
        if (!check_blocks(slob, page))
            return false;
        used += (PAGE_UNITS - page->free_units) * sizeof(unit);
        with_room += page->free_units > 0;
        blocks++;
    }
    for (unsigned i = 0; i < HEAP_SLOB_LISTS; i++)
        for (const struct list *at = slob->lists[i].next;
             at != &slob->lists[i] && listed <= with_room; at = at->next)
            listed += ((const struct heap_slob_page *)(const void *)at)->free_units > 0;
    const uint64_t live = slob->counts.bytes_allocated - slob->counts.bytes_freed;
    return listed == with_room && used == live - slob->run_bytes + slob->objects * HEADER &&
           slob->buddy.frames_allocated - slob->buddy.frames_freed ==
               blocks + (slob->run_bytes >> PAGE_SHIFT);
}
