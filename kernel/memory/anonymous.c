// SPDX-License-Identifier: MIT
#include "anonymous.h"

#include "assert.h"
#include "string.h"

#define PAGE_BYTES PAGE_BYTES_4K

// Frames given back between two shots: unmapping takes their addresses down first.
#define UNMAP_PAGES_MOST 128u

#define RIGHTS (ANONYMOUS_READ | ANONYMOUS_WRITE | ANONYMOUS_EXECUTE)

enum status anonymous_kind(unsigned protection, struct page_kind *kind)
{
    *kind = (struct page_kind){.rights = PAGE_READ};
    if ((protection & ~RIGHTS) != 0 || (protection & (ANONYMOUS_WRITE | ANONYMOUS_EXECUTE)) ==
                                           (ANONYMOUS_WRITE | ANONYMOUS_EXECUTE))
        return STATUS_INVALID;
    kind->rights |= protection & ANONYMOUS_WRITE ? PAGE_WRITE : 0;
    kind->rights |= protection & ANONYMOUS_EXECUTE ? PAGE_EXECUTE : 0;
    return protection == 0 ? STATUS_EMPTY : STATUS_OK;
}

// ---- areas: all by the lock
// ----------------------------------------------------------------------

// The first area that ends above `address`; their number if there is none.
static size_t area_above(const struct anonymous *anonymous, uint64_t address)
{
    size_t low = 0, high = anonymous->counts.areas;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (anonymous->areas[middle].end > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void insert(struct anonymous *anonymous, size_t at, struct anonymous_area area)
{
    struct anonymous_area *areas = anonymous->areas;
    assert(anonymous->counts.areas < anonymous->area_most);
    memmove(&areas[at + 1], &areas[at], (anonymous->counts.areas - at) * sizeof(*areas));
    areas[at] = area;
    anonymous->counts.areas++;
}

static void take_out(struct anonymous *anonymous, size_t at)
{
    struct anonymous_area *areas = anonymous->areas;
    anonymous->counts.areas--;
    memmove(&areas[at], &areas[at + 1], (anonymous->counts.areas - at) * sizeof(*areas));
}

// Whether area `at` goes on in the next one: alike, and not parted by an end of the break's part.
static bool goes_on(const struct anonymous *anonymous, size_t at)
{
    const struct anonymous_area *one = &anonymous->areas[at], *next = one + 1;
    return at + 1 < anonymous->counts.areas && one->end == next->start &&
           one->protection == next->protection && one->lazy == next->lazy &&
           one->end != anonymous->range.break_start && one->end != anonymous->range.break_end;
}

// Makes one area of those that are alike around `at`.
static void join(struct anonymous *anonymous, size_t at)
{
    for (size_t i = at > 0 ? at - 1 : 0; i <= at + 1; i++) {
        while (goes_on(anonymous, i)) {
            anonymous->areas[i].end = anonymous->areas[i + 1].end;
            take_out(anonymous, i + 1);
        }
    }
}

// Whether a new area [start, end) would only make a neighbour longer.
static bool lengthens(const struct anonymous *anonymous, size_t at, struct anonymous_area area)
{
    const struct anonymous_range *range = &anonymous->range;
    const struct anonymous_area *areas = anonymous->areas;
    if (at > 0 && areas[at - 1].end == area.start && areas[at - 1].lazy == area.lazy &&
        areas[at - 1].protection == area.protection && area.start != range->break_start &&
        area.start != range->break_end)
        return true;
    return at < anonymous->counts.areas && areas[at].start == area.end &&
           areas[at].lazy == area.lazy && areas[at].protection == area.protection &&
           area.end != range->break_start && area.end != range->break_end;
}

static void add_area(struct anonymous *anonymous, struct anonymous_area area)
{
    const size_t at = area_above(anonymous, area.start);
    struct anonymous_area *areas = anonymous->areas;
    anonymous->counts.mapped_bytes += area.end - area.start;
    if (!lengthens(anonymous, at, area)) {
        insert(anonymous, at, area);
        return;
    }
    // At the one side or the other; `join` sees to it where it is both.
    if (at > 0 && areas[at - 1].end == area.start && areas[at - 1].lazy == area.lazy &&
        areas[at - 1].protection == area.protection && area.start != anonymous->range.break_start &&
        area.start != anonymous->range.break_end)
        areas[at - 1].end = area.end;
    else
        areas[at].start = area.start;
    join(anonymous, at);
}

// Makes `address` an end of areas, if it lies inside one. False without an area for it.
static bool cut(struct anonymous *anonymous, uint64_t address)
{
    const size_t at = area_above(anonymous, address);
    if (at == anonymous->counts.areas || anonymous->areas[at].start >= address)
        return true;
    if (anonymous->counts.areas == anonymous->area_most)
        return false;
    insert(anonymous, at, anonymous->areas[at]);
    anonymous->areas[at].end = anonymous->areas[at + 1].start = address;
    return true;
}

// Makes both ends of a range ends of areas, or changes nothing.
static bool cut_out(struct anonymous *anonymous, uint64_t start, uint64_t end)
{
    if (cut(anonymous, start)) {
        if (cut(anonymous, end))
            return true;
        join(anonymous, area_above(anonymous, start));
    }
    return false;
}

static bool in_break(const struct anonymous *anonymous, uint64_t start, uint64_t end)
{
    return start < anonymous->range.break_end && end > anonymous->range.break_start;
}

// The lowest gap of `length` bytes outside the break's part; false if there is none.
static bool find_gap(const struct anonymous *anonymous, uint64_t length, uint64_t *address)
{
    const struct anonymous_range *range = &anonymous->range;
    uint64_t at = range->start;
    for (size_t i = 0;; i++) {
        const bool last = i == anonymous->counts.areas;
        const uint64_t end = last ? range->end : anonymous->areas[i].start;
        // The break's part lies in this gap: what is below it, then what is above.
        if (in_break(anonymous, at, end) && end > at) {
            const uint64_t below = max_u64(at, range->break_start);
            if (below - at >= length)
                break;
            at = max_u64(at, range->break_end);
        }
        if (end > at && end - at >= length)
            break;
        if (last)
            return false;
        at = max_u64(at, anonymous->areas[i].end);
    }
    *address = at;
    return true;
}

// ---- pages: all by the lock
// ----------------------------------------------------------------------

// Unmaps what pages there are in [start, end) and gives their frames back.
static void drop_pages(struct anonymous *anonymous, uint64_t start, uint64_t end)
{
    uint64_t frames[UNMAP_PAGES_MOST];
    const struct page_memory *memory = &anonymous->frames;
    struct page page;
    uint64_t at = start;
    while (at < end && address_space_next(anonymous->space, at, &page) && page.address < end) {
        const uint64_t first = page.address;
        unsigned count = 0;
        do {
            frames[count++] = page.physical;
            at = page.address + PAGE_BYTES;
        } while (at < end && count < UNMAP_PAGES_MOST &&
                 address_space_next(anonymous->space, at, &page) && page.address == at);
        const enum status status = address_space_unmap(anonymous->space, first, count * PAGE_BYTES);
        assert(status == STATUS_OK); // pages of 4 KiB, all there: nothing to split
        for (unsigned i = 0; i < count; i++)
            memory->release(memory->context, frames[i]);
        anonymous->counts.resident_bytes -= count * PAGE_BYTES;
    }
}

static enum status add_page(struct anonymous *anonymous, uint64_t address, struct page_kind kind)
{
    const struct page_memory *memory = &anonymous->frames;
    const uint64_t frame = memory->allocate(memory->context);
    if (frame == 0)
        return STATUS_NO_MEMORY;
    const enum status status =
        address_space_map_page(anonymous->space, address, frame, PAGE_BYTES, kind);
    if (status != STATUS_OK) {
        assert(status == STATUS_NO_MEMORY); // nobody else maps here
        memory->release(memory->context, frame);
        return status;
    }
    anonymous->counts.resident_bytes += PAGE_BYTES;
    return STATUS_OK;
}

// All pages of [start, end), or none.
static enum status add_pages(struct anonymous *anonymous, uint64_t start, uint64_t end,
                             struct page_kind kind)
{
    for (uint64_t at = start; at < end; at += PAGE_BYTES) {
        const enum status status = add_page(anonymous, at, kind);
        if (status != STATUS_OK) {
            drop_pages(anonymous, start, at);
            anonymous->counts.undone++;
            return status;
        }
    }
    return STATUS_OK;
}

static void protect_pages(struct anonymous *anonymous, uint64_t start, uint64_t end,
                          struct page_kind kind)
{
    struct page page;
    uint64_t at = start;
    while (at < end && address_space_next(anonymous->space, at, &page) && page.address < end) {
        const uint64_t first = page.address;
        do {
            at = page.address + PAGE_BYTES;
        } while (at < end && address_space_next(anonymous->space, at, &page) && page.address == at);
        const enum status status = address_space_protect(anonymous->space, first, at - first, kind);
        assert(status == STATUS_OK);
    }
}

// ---- calls
// ---------------------------------------------------------------------------------------

static void acquire(struct anonymous *anonymous)
{
    address_spaces_acquire(anonymous->space->all, &anonymous->lock);
}

static enum status release(struct anonymous *anonymous, enum status status)
{
    address_spaces_release(&anonymous->lock);
    return status;
}

enum status anonymous_init(struct anonymous *anonymous, struct address_space *space,
                           const struct page_memory *frames, struct anonymous_range range,
                           struct anonymous_area *areas, size_t area_most)
{
    const uint64_t ends = range.start | range.end | range.break_start | range.break_end;
    if (ends % PAGE_BYTES != 0 || range.start >= range.end || area_most == 0 ||
        !page_address_canonical(range.start) || !page_address_canonical(range.end - 1) ||
        range.start >> 63 != (range.end - 1) >> 63 || range.break_start > range.break_end ||
        (range.break_flags & ~ANONYMOUS_LAZY) != 0)
        return STATUS_INVALID;
    if (range.break_start < range.break_end &&
        (range.break_start < range.start || range.break_end > range.end))
        return STATUS_INVALID;
    *anonymous = (struct anonymous){.space = space,
                                    .frames = *frames,
                                    .range = range,
                                    .areas = areas,
                                    .area_most = area_most,
                                    .break_now = range.break_start};
    spinlock_init(&anonymous->lock);
    return STATUS_OK;
}

void anonymous_destroy(struct anonymous *anonymous)
{
    acquire(anonymous);
    drop_pages(anonymous, anonymous->range.start, anonymous->range.end);
    assert(anonymous->counts.resident_bytes == 0);
    anonymous->counts.areas = anonymous->counts.mapped_bytes = 0;
    anonymous->break_now = anonymous->range.break_start;
    release(anonymous, STATUS_OK);
}

// Rounds the length up; false if the result is no range of ours.
static bool valid(const struct anonymous *anonymous, uint64_t address, uint64_t *length)
{
    const struct anonymous_range *range = &anonymous->range;
    if (*length == 0 || *length > range->end - range->start)
        return false;
    *length = align_up(*length, PAGE_BYTES);
    return address % PAGE_BYTES == 0 && address >= range->start && address < range->end &&
           *length <= range->end - address;
}

static enum status map_area(struct anonymous *anonymous, struct anonymous_area area)
{
    struct page_kind kind;
    const size_t at = area_above(anonymous, area.start);
    const bool there = anonymous_kind(area.protection, &kind) == STATUS_OK;
    if (at < anonymous->counts.areas && anonymous->areas[at].start < area.end)
        return STATUS_FULL;
    if (anonymous->counts.areas == anonymous->area_most && !lengthens(anonymous, at, area))
        return STATUS_FULL;
    if (there && !area.lazy) {
        const enum status status = add_pages(anonymous, area.start, area.end, kind);
        if (status != STATUS_OK)
            return status;
    }
    add_area(anonymous, area);
    return STATUS_OK;
}

enum status anonymous_map(struct anonymous *anonymous, uint64_t *address, uint64_t length,
                          unsigned protection, unsigned flags)
{
    struct page_kind kind;
    uint64_t start = flags & ANONYMOUS_FIXED ? *address : anonymous->range.start;
    if ((flags & ~(ANONYMOUS_FIXED | ANONYMOUS_LAZY)) != 0 ||
        anonymous_kind(protection, &kind) == STATUS_INVALID || !valid(anonymous, start, &length))
        return STATUS_INVALID;
    if (flags & ANONYMOUS_FIXED && in_break(anonymous, start, start + length))
        return STATUS_INVALID;
    acquire(anonymous);
    if (!(flags & ANONYMOUS_FIXED) && !find_gap(anonymous, length, &start))
        return release(anonymous, STATUS_FULL);
    // A reservation has nothing to be eager with.
    const struct anonymous_area area = {.start = start,
                                        .end = start + length,
                                        .protection = protection,
                                        .lazy = flags & ANONYMOUS_LAZY || protection == 0};
    const enum status status = map_area(anonymous, area);
    if (status == STATUS_OK)
        *address = start;
    return release(anonymous, status);
}

static enum status unmap(struct anonymous *anonymous, uint64_t start, uint64_t end)
{
    size_t at = area_above(anonymous, start);
    if (at == anonymous->counts.areas || anonymous->areas[at].start >= end)
        return STATUS_EMPTY;
    if (!cut_out(anonymous, start, end))
        return STATUS_FULL;
    drop_pages(anonymous, start, end);
    at = area_above(anonymous, start);
    while (at < anonymous->counts.areas && anonymous->areas[at].start < end) {
        anonymous->counts.mapped_bytes -= anonymous->areas[at].end - anonymous->areas[at].start;
        take_out(anonymous, at);
    }
    return STATUS_OK;
}

enum status anonymous_unmap(struct anonymous *anonymous, uint64_t address, uint64_t length)
{
    if (!valid(anonymous, address, &length) || in_break(anonymous, address, address + length))
        return STATUS_INVALID;
    acquire(anonymous);
    return release(anonymous, unmap(anonymous, address, address + length));
}

static bool all_in_areas(const struct anonymous *anonymous, uint64_t start, uint64_t end)
{
    size_t at = area_above(anonymous, start);
    for (; start < end; at++) {
        if (at == anonymous->counts.areas || anonymous->areas[at].start > start)
            return false;
        start = anonymous->areas[at].end;
    }
    return true;
}

enum status anonymous_protect(struct anonymous *anonymous, uint64_t address, uint64_t length,
                              unsigned protection)
{
    struct page_kind kind;
    if (anonymous_kind(protection, &kind) != STATUS_OK || !valid(anonymous, address, &length) ||
        in_break(anonymous, address, address + length))
        return STATUS_INVALID;
    const uint64_t end = address + length;
    acquire(anonymous);
    if (!all_in_areas(anonymous, address, end))
        return release(anonymous, STATUS_EMPTY);
    if (!cut_out(anonymous, address, end))
        return release(anonymous, STATUS_FULL);
    protect_pages(anonymous, address, end, kind);
    for (size_t at = area_above(anonymous, address);
         at < anonymous->counts.areas && anonymous->areas[at].start < end; at++)
        anonymous->areas[at].protection = protection;
    for (size_t at = area_above(anonymous, address);
         at < anonymous->counts.areas && anonymous->areas[at].start <= end; at++)
        join(anonymous, at);
    return release(anonymous, STATUS_OK);
}

enum status anonymous_break(struct anonymous *anonymous, uint64_t end)
{
    const struct anonymous_range *range = &anonymous->range;
    if (end < range->break_start || end > range->break_end)
        return STATUS_INVALID;
    end = align_up(end, PAGE_BYTES);
    acquire(anonymous);
    const uint64_t now = anonymous->break_now;
    enum status status = STATUS_OK;
    if (end > now)
        status = map_area(anonymous,
                          (struct anonymous_area){.start = now,
                                                  .end = end,
                                                  .protection = ANONYMOUS_READ | ANONYMOUS_WRITE,
                                                  .lazy = range->break_flags & ANONYMOUS_LAZY});
    else if (end < now)
        status = unmap(anonymous, end, now);
    if (status == STATUS_OK)
        anonymous->break_now = end;
    return release(anonymous, status);
}

// ---- faults
// --------------------------------------------------------------------------------------

static enum status fault(struct anonymous *anonymous, uint64_t address, uint64_t error)
{
    struct page_kind kind;
    uint64_t physical;
    const size_t at = area_above(anonymous, address);
    if (at == anonymous->counts.areas || anonymous->areas[at].start > address)
        return STATUS_EMPTY;
    if (anonymous_kind(anonymous->areas[at].protection, &kind) != STATUS_OK ||
        (error & PAGE_FAULT_WRITE && !(kind.rights & PAGE_WRITE)) ||
        (error & PAGE_FAULT_FETCH && !(kind.rights & PAGE_EXECUTE)))
        return STATUS_INVALID;
    // Permitted, so if it is there the fault was by what stood there before: the CPU drops what it
    // faulted by (Intel SDM vol. 3, 4.10.4.1).
    if (address_space_translate(anonymous->space, address, &physical)) {
        anonymous->counts.faults_late++;
        return STATUS_OK;
    }
    const enum status status = add_page(anonymous, address & ~(PAGE_BYTES - 1), kind);
    anonymous->counts.faults += status == STATUS_OK;
    return status;
}

enum status anonymous_fault(struct anonymous *anonymous, uint64_t address, uint64_t error)
{
    acquire(anonymous);
    const enum status status = fault(anonymous, address, error);
    anonymous->counts.faults_refused += status != STATUS_OK;
    return release(anonymous, status);
}

// ---- questions
// -----------------------------------------------------------------------------------

void anonymous_count(struct anonymous *anonymous, struct anonymous_counts *counts)
{
    acquire(anonymous);
    *counts = anonymous->counts;
    release(anonymous, STATUS_OK);
}

static bool sound(struct anonymous *anonymous)
{
    const struct anonymous_range *range = &anonymous->range;
    uint64_t mapped = 0, resident = 0, last = range->start, address = range->start;
    struct page page;
    for (size_t i = 0; i < anonymous->counts.areas; i++) {
        const struct anonymous_area *area = &anonymous->areas[i];
        if (area->start < last || area->start >= area->end || goes_on(anonymous, i))
            return false;
        last = area->end;
        mapped += area->end - area->start;
    }
    while (address_space_next(anonymous->space, address, &page) && page.address < range->end) {
        struct page_kind kind;
        const size_t at = area_above(anonymous, page.address);
        if (page.bytes != PAGE_BYTES || at == anonymous->counts.areas ||
            anonymous->areas[at].start > page.address ||
            anonymous_kind(anonymous->areas[at].protection, &kind) != STATUS_OK ||
            kind.rights != page.kind.rights)
            return false;
        resident += PAGE_BYTES;
        address = page.address + PAGE_BYTES;
        if (address == 0)
            break;
    }
    return last <= range->end && mapped == anonymous->counts.mapped_bytes &&
           resident == anonymous->counts.resident_bytes;
}

bool anonymous_check(struct anonymous *anonymous)
{
    acquire(anonymous);
    const bool whole = sound(anonymous);
    release(anonymous, STATUS_OK);
    return whole;
}
