// SPDX-License-Identifier: MIT
// What page tables say: no change, no lock.
#include "page_map.h"

#include "page_walk.h"

bool page_translate(const struct page_map *map, uint64_t address, uint64_t *physical)
{
    struct page_way way;
    if (!page_address_canonical(address))
        return false;
    const unsigned level = page_find(map, address, &way);
    // Once more: it may have changed since `page_find` looked.
    const uint64_t value = page_load(way.at[level]);
    if (!page_entry_is_page(value, level))
        return false;
    *physical = page_entry_address(value) + (address & (page_level_bytes(level) - 1));
    return true;
}

bool page_map_query(const struct page_map *map, uint64_t address, struct page *page)
{
    struct page_way way;
    if (!page_address_canonical(address))
        return false;
    const unsigned level = page_find(map, address, &way);
    const uint64_t value = page_load(way.at[level]);
    if (!page_entry_is_page(value, level))
        return false;
    *page = (struct page){.address = address & ~(page_level_bytes(level) - 1),
                          .physical = page_entry_address(value),
                          .bytes = page_level_bytes(level),
                          .kind = page_entry_kind(value)};
    return true;
}

bool page_map_next(const struct page_map *map, uint64_t address, struct page *page)
{
    for (;;) {
        struct page_way way;
        if (!page_address_canonical(address))
            address = ~(uint64_t)0 << 47;
        const unsigned level = page_find(map, address, &way);
        if (page_entry_present(page_load(way.at[level])))
            return page_map_query(map, address, page);
        // Nothing is mapped in all that the entry speaks for.
        address = (address | (page_level_bytes(level) - 1)) + 1;
        if (address == 0)
            return false;
    }
}

void page_map_count(const struct page_map *map, struct page_counts *counts)
{
    struct page page;
    *counts = (struct page_counts){0};
    uint64_t address = 0;
    while (page_map_next(map, address, &page)) {
        counts->pages_4k += page.bytes == PAGE_BYTES_4K;
        counts->pages_2m += page.bytes == PAGE_BYTES_2M;
        counts->pages_1g += page.bytes == PAGE_BYTES_1G;
        counts->bytes += page.bytes;
        counts->writable += page.kind.rights & PAGE_WRITE ? page.bytes : 0;
        counts->executable += page.kind.rights & PAGE_EXECUTE ? page.bytes : 0;
        counts->uncached += page.kind.cache == PAGE_UNCACHED ? page.bytes : 0;
        address = page.address + page.bytes;
        if (address == 0)
            return;
    }
}
