// SPDX-License-Identifier: MIT
#include "page_scan.h"

#include "compiler.h"

static uint64_t *entries_of(const struct page_scan *scan, uint64_t table)
{
    return (uint64_t *)(scan->memory.direct + table);
}

static uint64_t make_table(struct page_scan *scan)
{
    const uint64_t table = scan->memory.allocate(scan->memory.context);
    scan->tables += table != 0;
    return table;
}

// The entry of `level` for the address, with tables made on the way if `make`; NULL if there is
// none or a larger page stands in the way.
static uint64_t *walk(struct page_scan *scan, uint64_t address, unsigned level, bool make)
{
    uint64_t table = scan->root;
    for (unsigned at = PAGE_LEVELS - 1; at > level; at--) {
        uint64_t *entry = &entries_of(scan, table)[page_index(address, at)];
        if (!page_entry_present(*entry)) {
            const uint64_t made = make ? make_table(scan) : 0;
            if (made == 0)
                return NULL;
            *entry = page_entry_of_table(made, 0);
        }
        if (page_entry_huge(*entry, at))
            return NULL;
        table = page_entry_address(*entry);
    }
    return &entries_of(scan, table)[page_index(address, level)];
}

static unsigned level_of(uint64_t bytes)
{
    return bytes == PAGE_BYTES_4K ? 0 : bytes == PAGE_BYTES_2M ? 1 : 2;
}

enum status page_scan_init(void *state, const struct page_memory *memory)
{
    struct page_scan *scan = state;
    *scan = (struct page_scan){.memory = *memory};
    scan->root = make_table(scan);
    return scan->root != 0 ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status page_scan_map(void *state, uint64_t address, uint64_t physical, uint64_t bytes,
                          struct page_kind kind)
{
    if ((address | physical) % bytes != 0 || !page_address_canonical(address))
        return STATUS_INVALID;
    uint64_t *entry = walk(state, address, level_of(bytes), true);
    if (entry == NULL)
        return STATUS_NO_MEMORY;
    if (*entry != 0)
        return STATUS_FULL;
    *entry = page_entry_of(physical, level_of(bytes), kind);
    return STATUS_OK;
}

static bool is_empty(const uint64_t *entries)
{
    for (unsigned i = 0; i < PAGE_ENTRIES; i++) {
        if (entries[i] != 0)
            return false;
    }
    return true;
}

enum status page_scan_unmap(void *state, uint64_t address, uint64_t bytes)
{
    struct page_scan *scan = state;
    unsigned level = level_of(bytes);
    uint64_t *entry = walk(scan, address, level, false);
    if (entry == NULL || *entry == 0)
        return STATUS_EMPTY;
    *entry = 0;
    scan->memory.invalidate(scan->memory.context, address, bytes);
    for (level++; level < PAGE_LEVELS; level++) {
        entry = walk(scan, address, level, false);
        const uint64_t table = page_entry_address(*entry);
        if (!is_empty(entries_of(scan, table)))
            break;
        *entry = 0;
        scan->memory.release(scan->memory.context, table);
        scan->tables--;
    }
    return STATUS_OK;
}

bool page_scan_translate(const void *state, uint64_t address, uint64_t *physical)
{
    const struct page_scan *scan = state;
    uint64_t table = scan->root;
    for (unsigned level = PAGE_LEVELS - 1;; level--) {
        const uint64_t entry = entries_of(scan, table)[page_index(address, level)];
        if (!page_entry_present(entry))
            return false;
        table = page_entry_address(entry);
        if (page_entry_is_page(entry, level)) {
            *physical = table + address % page_level_bytes(level);
            return true;
        }
    }
}

enum status page_scan_protect(void *state, uint64_t address, struct page_kind kind)
{
    struct page_scan *scan = state;
    uint64_t *entry = walk(scan, address, 0, false);
    if (entry == NULL || *entry == 0)
        return STATUS_EMPTY;
    *entry = page_entry_of(page_entry_address(*entry), 0, kind);
    scan->memory.invalidate(scan->memory.context, address, PAGE_BYTES_4K);
    return STATUS_OK;
}

unsigned page_scan_rights(const void *state, uint64_t address)
{
    const struct page_scan *scan = state;
    uint64_t table = scan->root;
    for (unsigned level = PAGE_LEVELS - 1; level > 0; level--) {
        const uint64_t entry = entries_of(scan, table)[page_index(address, level)];
        if (!page_entry_is_table(entry, level))
            return 0;
        table = page_entry_address(entry);
    }
    const uint64_t entry = entries_of(scan, table)[page_index(address, 0)];
    return page_entry_present(entry) ? page_entry_kind(entry).rights : 0;
}

enum status page_scan_split(void *state, uint64_t address)
{
    struct page_scan *scan = state;
    uint64_t *entry = walk(scan, address, 1, false);
    if (entry == NULL || !page_entry_huge(*entry, 1))
        return STATUS_EMPTY;
    const uint64_t table = make_table(scan);
    if (table == 0)
        return STATUS_NO_MEMORY;
    for (unsigned i = 0; i < PAGE_ENTRIES; i++)
        entries_of(scan, table)[i] = page_entry_of(page_entry_address(*entry) + i * PAGE_BYTES_4K,
                                                   0, page_entry_kind(*entry));
    *entry = page_entry_of_table(table, 0);
    scan->memory.invalidate(scan->memory.context, address, PAGE_BYTES_2M);
    return STATUS_OK;
}

enum status page_scan_merge(void *state, uint64_t address)
{
    struct page_scan *scan = state;
    uint64_t *entry = walk(scan, address, 1, false);
    if (entry == NULL || !page_entry_is_table(*entry, 1))
        return STATUS_EMPTY;
    const uint64_t table = page_entry_address(*entry), first = entries_of(scan, table)[0];
    for (unsigned i = 0; i < PAGE_ENTRIES; i++) {
        const uint64_t *at = walk(scan, address + i * PAGE_BYTES_4K, 0, false);
        if (at == NULL || *at != first + i * PAGE_BYTES_4K)
            return STATUS_FOREIGN;
    }
    *entry = page_entry_of(page_entry_address(first), 1, page_entry_kind(first));
    scan->memory.invalidate(scan->memory.context, address, PAGE_BYTES_2M);
    scan->memory.release(scan->memory.context, table);
    scan->tables--;
    return STATUS_OK;
}

enum status page_scan_map_range(void *state, uint64_t address, uint64_t physical, uint64_t length,
                                struct page_kind kind)
{
    enum status status = STATUS_OK;
    for (uint64_t at = 0; at < length && status == STATUS_OK; at += PAGE_BYTES_4K)
        status = page_scan_map(state, address + at, physical + at, PAGE_BYTES_4K, kind);
    return status;
}

uint64_t page_scan_tables(const void *state)
{
    return ((const struct page_scan *)state)->tables;
}
