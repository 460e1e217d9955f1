// SPDX-License-Identifier: MIT
// The way through page tables, and what none can hold; for page_map.c and page_query.c only.
#ifndef PAGE_WALK_H
#define PAGE_WALK_H

#include "page_map.h"

#include "compiler.h"

ALWAYS_INLINE uint64_t *page_table_in(const struct page_memory *memory, uint64_t table)
{
    if (LIKELY(memory->at == NULL))
        return (uint64_t *)(memory->direct + table);
    return memory->at(memory->context, table);
}

ALWAYS_INLINE uint64_t *page_table_at(const struct page_map *map, uint64_t table)
{
    return page_table_in(&map->memory, table);
}

// The CPU and queries read beside us: an entry changes by one store, after what it refers to.
ALWAYS_INLINE void page_store(uint64_t *entry, uint64_t value)
{
    __atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

ALWAYS_INLINE uint64_t page_load(const uint64_t *entry)
{
    return __atomic_load_n(entry, __ATOMIC_ACQUIRE);
}

// The entries on the way to an address, by level.
struct page_way {
    uint64_t *at[PAGE_LEVELS];
};

// Goes as far down as there are tables. Returns the level of the last entry, a page or nothing.
// Unrolled: the levels are constants then, and the four loads are most of what there is.
ALWAYS_INLINE unsigned page_find(const struct page_map *map, uint64_t address, struct page_way *way)
{
    const struct page_memory memory = map->memory;
    uint64_t table = map->root;
#pragma GCC unroll 4
    for (unsigned level = PAGE_LEVELS - 1; level > 0; level--) {
        uint64_t *entry = &page_table_in(&memory, table)[page_index(address, level)];
        const uint64_t value = page_load(entry);
        way->at[level] = entry;
        if (!page_entry_is_table(value, level))
            return level;
        table = page_entry_address(value);
    }
    way->at[0] = &page_table_in(&memory, table)[page_index(address, 0)];
    return 0;
}

// ---- what is refused ---------------------------------------------------------------------------

ALWAYS_INLINE bool page_valid_range(uint64_t address, uint64_t length)
{
    if (length == 0 || (address | length) % PAGE_BYTES_4K != 0)
        return false;
    const uint64_t last = address + (length - 1);
    return last >= address && page_address_canonical(address) && page_address_canonical(last) &&
           address >> 63 == last >> 63;
}

ALWAYS_INLINE bool page_valid_kind(struct page_kind kind)
{
    return (kind.rights == PAGE_READ || kind.rights == (PAGE_READ | PAGE_WRITE) ||
            kind.rights == (PAGE_READ | PAGE_EXECUTE)) &&
           (unsigned)kind.cache <= PAGE_UNCACHED;
}

ALWAYS_INLINE bool page_valid_physical(const struct page_map *map, uint64_t physical,
                                       uint64_t length)
{
    const uint64_t end = (uint64_t)1 << map->limits.physical_bits;
    return physical % PAGE_BYTES_4K == 0 && physical < end && length <= end - physical;
}

ALWAYS_INLINE bool page_valid_size(uint64_t bytes)
{
    return bytes == PAGE_BYTES_4K || bytes == PAGE_BYTES_2M || bytes == PAGE_BYTES_1G;
}

#endif
