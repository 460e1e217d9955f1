// SPDX-License-Identifier: MIT
// The page tables of page_map.h as a variant of page.h: everything checked, empty tables given
// back, changes made whole or not at all.
#ifndef PAGE_TABLES_H
#define PAGE_TABLES_H

#include "page.h"

ALWAYS_INLINE enum status page_tables_init(void *state, const struct page_memory *memory)
{
    const struct page_limits limits = {.physical_bits = 46, .pages_1g = true};
    return page_map_init(state, memory, limits);
}

ALWAYS_INLINE enum status page_tables_map(void *state, uint64_t address, uint64_t physical,
                                          uint64_t bytes, struct page_kind kind)
{
    return page_map_page(state, address, physical, bytes, kind);
}

ALWAYS_INLINE enum status page_tables_unmap(void *state, uint64_t address, uint64_t bytes)
{
    return page_unmap_page(state, address, bytes, NULL);
}

ALWAYS_INLINE bool page_tables_translate(const void *state, uint64_t address, uint64_t *physical)
{
    return page_translate(state, address, physical);
}

ALWAYS_INLINE enum status page_tables_protect(void *state, uint64_t address, struct page_kind kind)
{
    return page_map_protect(state, address, PAGE_BYTES_4K, kind);
}

static inline unsigned page_tables_rights(const void *state, uint64_t address)
{
    struct page page;
    return page_map_query(state, address, &page) && page.bytes == PAGE_BYTES_4K ? page.kind.rights
                                                                                : 0;
}

ALWAYS_INLINE enum status page_tables_split(void *state, uint64_t address)
{
    return page_map_split(state, address, PAGE_BYTES_4K);
}

ALWAYS_INLINE enum status page_tables_merge(void *state, uint64_t address)
{
    return page_map_merge(state, address, PAGE_BYTES_2M);
}

ALWAYS_INLINE enum status page_tables_map_range(void *state, uint64_t address, uint64_t physical,
                                                uint64_t length, struct page_kind kind)
{
    return page_map_map_by(state, address, physical, length, kind, PAGE_BYTES_4K);
}

ALWAYS_INLINE uint64_t page_tables_tables(const void *state)
{
    return ((const struct page_map *)state)->tables;
}

static const struct page_ops page_tables_ops = {
    .about = {.name = "tables",
              .what = "four levels; all checked; entries count what is in use below them",
              .role = VARIANT_PRODUCT},
    .state_bytes = sizeof(struct page_map),
    .init = page_tables_init,
    .map = page_tables_map,
    .unmap = page_tables_unmap,
    .translate = page_tables_translate,
    .protect = page_tables_protect,
    .rights = page_tables_rights,
    .split = page_tables_split,
    .merge = page_tables_merge,
    .map_range = page_tables_map_range,
    .tables = page_tables_tables,
};

#endif
