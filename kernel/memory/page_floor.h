// SPDX-License-Identifier: MIT
// The least code that changes page tables: a walk of four levels, one load or store, nothing
// checked, no table ever made or given back but at init. A bound, not a product: only where page.h
// says.
#ifndef PAGE_FLOOR_H
#define PAGE_FLOOR_H

#include "page.h"

#define PAGE_FLOOR_TABLES 8u // of 4 KiB pages from PAGE_BASE on: 16 MiB

struct page_floor {
    uintptr_t direct;
    uint64_t root, tables;
    uint64_t spare; // for the page that is split
};

enum status page_floor_init(void *state, const struct page_memory *memory);

ALWAYS_INLINE uint64_t *page_floor_entry(const struct page_floor *floor, uint64_t address,
                                         unsigned level)
{
    uint64_t *entries = (uint64_t *)(floor->direct + floor->root);
    for (unsigned at = PAGE_LEVELS - 1; at > level; at--)
        entries =
            (uint64_t *)(floor->direct + page_entry_address(entries[page_index(address, at)]));
    return &entries[page_index(address, level)];
}

ALWAYS_INLINE enum status page_floor_map(void *state, uint64_t address, uint64_t physical,
                                         uint64_t bytes, struct page_kind kind)
{
    const unsigned level = bytes == PAGE_BYTES_4K ? 0 : 1;
    *page_floor_entry(state, address, level) = page_entry_of(physical, level, kind);
    return STATUS_OK;
}

ALWAYS_INLINE enum status page_floor_unmap(void *state, uint64_t address, uint64_t bytes)
{
    *page_floor_entry(state, address, bytes == PAGE_BYTES_4K ? 0 : 1) = 0;
    return STATUS_OK;
}

// Pages of 4 KiB only.
ALWAYS_INLINE bool page_floor_translate(const void *state, uint64_t address, uint64_t *physical)
{
    const uint64_t entry = *page_floor_entry(state, address, 0);
    *physical = page_entry_address(entry) + address % PAGE_BYTES_4K;
    return page_entry_present(entry);
}

ALWAYS_INLINE enum status page_floor_protect(void *state, uint64_t address, struct page_kind kind)
{
    uint64_t *entry = page_floor_entry(state, address, 0);
    *entry = page_entry_of(page_entry_address(*entry), 0, kind);
    return STATUS_OK;
}

static inline unsigned page_floor_rights(const void *state, uint64_t address)
{
    const uint64_t entry = *page_floor_entry(state, address, 0);
    return page_entry_present(entry) ? page_entry_kind(entry).rights : 0;
}

ALWAYS_INLINE enum status page_floor_split(void *state, uint64_t address)
{
    const struct page_floor *floor = state;
    uint64_t *entry = page_floor_entry(floor, address, 1);
    uint64_t *below = (uint64_t *)(floor->direct + floor->spare), value = *entry & ~PAGE_ENTRY_HUGE;
    for (unsigned i = 0; i < PAGE_ENTRIES; i++, value += PAGE_BYTES_4K)
        below[i] = value;
    *entry = page_entry_of_table(floor->spare, 0);
    return STATUS_OK;
}

ALWAYS_INLINE enum status page_floor_merge(void *state, uint64_t address)
{
    const struct page_floor *floor = state;
    const uint64_t *below = (const uint64_t *)(floor->direct + floor->spare);
    *page_floor_entry(floor, address, 1) = below[0] | PAGE_ENTRY_HUGE;
    return STATUS_OK;
}

ALWAYS_INLINE enum status page_floor_map_range(void *state, uint64_t address, uint64_t physical,
                                               uint64_t length, struct page_kind kind)
{
    uint64_t value = page_entry_of(physical, 0, kind);
    for (uint64_t at = 0; at < length;) {
        uint64_t *entry = page_floor_entry(state, address + at, 0);
        const uint64_t pages =
            min_u64((length - at) / PAGE_BYTES_4K, PAGE_ENTRIES - page_index(address + at, 0));
        for (uint64_t i = 0; i < pages; i++, value += PAGE_BYTES_4K)
            entry[i] = value;
        at += pages * PAGE_BYTES_4K;
    }
    return STATUS_OK;
}

ALWAYS_INLINE uint64_t page_floor_tables(const void *state)
{
    return ((const struct page_floor *)state)->tables;
}

static const struct page_ops page_floor_ops = {
    .about = {.name = "floor",
              .what = "least code: a walk and a store, tables made beforehand, no checks; a bound",
              .role = VARIANT_FLOOR},
    .state_bytes = sizeof(struct page_floor),
    .init = page_floor_init,
    .map = page_floor_map,
    .unmap = page_floor_unmap,
    .translate = page_floor_translate,
    .protect = page_floor_protect,
    .rights = page_floor_rights,
    .split = page_floor_split,
    .merge = page_floor_merge,
    .map_range = page_floor_map_range,
    .tables = page_floor_tables,
};

#endif
