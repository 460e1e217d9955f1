// SPDX-License-Identifier: MIT
#include "page_map.h"

#include "assert.h"
#include "compiler.h"

#define ENTRY_PRESENT       ((uint64_t)1 << 0)
#define ENTRY_WRITABLE      ((uint64_t)1 << 1)
#define ENTRY_WRITE_THROUGH ((uint64_t)1 << 3)
#define ENTRY_NO_CACHE      ((uint64_t)1 << 4)
#define ENTRY_ACCESSED      ((uint64_t)1 << 5)
#define ENTRY_DIRTY         ((uint64_t)1 << 6)
#define ENTRY_LARGE         ((uint64_t)1 << 7) // in levels 1 and 2; means something else in level 0
#define ENTRY_GLOBAL        ((uint64_t)1 << 8)
#define ENTRY_NO_EXECUTE    ((uint64_t)1 << 63)
#define ENTRY_ADDRESS       ((uint64_t)0x000ffffffffff000)

// Rights of a table are the most its pages can have.
#define ENTRY_TABLE (ENTRY_PRESENT | ENTRY_WRITABLE)

#define LEVEL_1G 2u
#define LEVEL_2M 1u

// ---- entries -----------------------------------------------------------------------------------

// Level 0 holds entries of 4 KiB pages, level 3 is the root.
static uint64_t level_bytes(unsigned level)
{
    return (uint64_t)1 << (PAGE_SHIFT + 9 * level);
}

static unsigned index_at(uint64_t address, unsigned level)
{
    return (unsigned)(address >> (PAGE_SHIFT + 9 * level)) % PAGE_ENTRIES;
}

static uint64_t *table_at(const struct page_map *map, uint64_t table)
{
    return map->memory.at(map->memory.context, table);
}

// The CPU and queries read beside us: an entry changes by one store, after what it refers to.
static void store(uint64_t *entry, uint64_t value)
{
    __atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

static uint64_t load(const uint64_t *entry)
{
    return __atomic_load_n(entry, __ATOMIC_ACQUIRE);
}

static bool is_page(uint64_t entry, unsigned level)
{
    return (entry & ENTRY_PRESENT) != 0 && (level == 0 || (entry & ENTRY_LARGE) != 0);
}

static bool is_table(uint64_t entry, unsigned level)
{
    return (entry & ENTRY_PRESENT) != 0 && !is_page(entry, level);
}

// Accessed and dirty are set beforehand: nobody asks for them, and the CPU need not write them.
static uint64_t entry_of(uint64_t physical, unsigned level, struct page_kind kind)
{
    uint64_t entry = physical | ENTRY_PRESENT | ENTRY_ACCESSED | ENTRY_DIRTY;
    entry |= level > 0 ? ENTRY_LARGE : 0;
    entry |= kind.rights & PAGE_WRITE ? ENTRY_WRITABLE : 0;
    entry |= kind.rights & PAGE_EXECUTE ? 0 : ENTRY_NO_EXECUTE;
    entry |= kind.global ? ENTRY_GLOBAL : 0;
    entry |= kind.cache == PAGE_WRITE_THROUGH ? ENTRY_WRITE_THROUGH : 0;
    entry |= kind.cache == PAGE_UNCACHED ? ENTRY_NO_CACHE | ENTRY_WRITE_THROUGH : 0;
    return entry;
}

static struct page_kind kind_of(uint64_t entry)
{
    struct page_kind kind = {.rights = PAGE_READ, .global = (entry & ENTRY_GLOBAL) != 0};
    kind.rights |= entry & ENTRY_WRITABLE ? PAGE_WRITE : 0;
    kind.rights |= entry & ENTRY_NO_EXECUTE ? 0 : PAGE_EXECUTE;
    kind.cache = entry & ENTRY_NO_CACHE        ? PAGE_UNCACHED
                 : entry & ENTRY_WRITE_THROUGH ? PAGE_WRITE_THROUGH
                                               : PAGE_WRITE_BACK;
    return kind;
}

// ---- what is refused ---------------------------------------------------------------------------

static bool valid_range(uint64_t address, uint64_t length)
{
    if (length == 0 || (address | length) % PAGE_BYTES_4K != 0)
        return false;
    const uint64_t last = address + (length - 1);
    return last >= address && page_address_canonical(address) && page_address_canonical(last) &&
           address >> 63 == last >> 63;
}

static bool valid_kind(struct page_kind kind)
{
    return (kind.rights == PAGE_READ || kind.rights == (PAGE_READ | PAGE_WRITE) ||
            kind.rights == (PAGE_READ | PAGE_EXECUTE)) &&
           (unsigned)kind.cache <= PAGE_UNCACHED;
}

static bool valid_physical(const struct page_map *map, uint64_t physical, uint64_t length)
{
    const uint64_t end = (uint64_t)1 << map->limits.physical_bits;
    return physical % PAGE_BYTES_4K == 0 && physical < end && length <= end - physical;
}

// ---- tables that are no longer needed ----------------------------------------------------------

// Tables unlinked by a change, chained through their first entries. A CPU that still walks one
// meets a physical address of a table there, whose lowest bit is 0: nothing present.
struct unlinked {
    uint64_t first;
};

static void unlink_table(struct page_map *map, struct unlinked *unlinked, uint64_t *entry)
{
    const uint64_t table = *entry & ENTRY_ADDRESS;
    store(entry, 0);
    *table_at(map, table) = unlinked->first;
    unlinked->first = table;
}

static void finish(struct page_map *map, struct unlinked *unlinked, uint64_t address,
                   uint64_t length)
{
    map->memory.invalidate(map->memory.context, address, length);
    while (unlinked->first != 0) {
        const uint64_t table = unlinked->first;
        unlinked->first = *table_at(map, table);
        map->memory.release(map->memory.context, table);
        map->tables--;
    }
}

static bool is_empty(const uint64_t *table)
{
    for (unsigned i = 0; i < PAGE_ENTRIES; i++) {
        if (table[i] != 0)
            return false;
    }
    return true;
}

// ---- parts of changes --------------------------------------------------------------------------

// The last address of [at, last] that the entry of `at` speaks for.
static uint64_t part_last(uint64_t at, uint64_t last, unsigned level)
{
    return min_u64(last, at | (level_bytes(level) - 1));
}

// Unmaps [at, last] in `table`; pages that reach beyond it have been split.
static void clear(struct page_map *map, uint64_t *table, unsigned level, uint64_t at, uint64_t last,
                  struct unlinked *unlinked)
{
    for (bool more = true; more;) {
        uint64_t *entry = &table[index_at(at, level)];
        const uint64_t end = part_last(at, last, level);
        if (is_page(*entry, level)) {
            store(entry, 0);
        } else if (*entry != 0) {
            uint64_t *below = table_at(map, *entry & ENTRY_ADDRESS);
            clear(map, below, level - 1, at, end, unlinked);
            if (is_empty(below))
                unlink_table(map, unlinked, entry);
        }
        more = end != last;
        at = end + 1;
    }
}

static void change(struct page_map *map, uint64_t *table, unsigned level, uint64_t at,
                   uint64_t last, struct page_kind kind)
{
    for (bool more = true; more;) {
        uint64_t *entry = &table[index_at(at, level)];
        const uint64_t end = part_last(at, last, level);
        if (is_page(*entry, level))
            store(entry, entry_of(*entry & ENTRY_ADDRESS, level, kind));
        else
            change(map, table_at(map, *entry & ENTRY_ADDRESS), level - 1, at, end, kind);
        more = end != last;
        at = end + 1;
    }
}

static bool all_mapped(const struct page_map *map, uint64_t at, uint64_t last)
{
    struct page page;
    while (page_map_query(map, at, &page)) {
        const uint64_t end = page.address + (page.bytes - 1);
        if (end >= last)
            return true;
        at = end + 1;
    }
    return false;
}

// The table of `level` on the way to `address`, made where it is missing.
static enum status table_for(struct page_map *map, uint64_t address, unsigned level,
                             uint64_t **found)
{
    uint64_t *table = table_at(map, map->root);
    for (unsigned at = PAGE_LEVELS - 1; at > level; at--) {
        uint64_t *entry = &table[index_at(address, at)];
        if (is_page(*entry, at))
            return STATUS_FULL;
        if (*entry == 0) {
            const uint64_t made = map->memory.allocate(map->memory.context);
            if (made == 0)
                return STATUS_NO_MEMORY;
            map->tables++;
            store(entry, made | ENTRY_TABLE);
        }
        table = table_at(map, *entry & ENTRY_ADDRESS);
    }
    *found = table;
    return STATUS_OK;
}

// The entry of the page that holds `address` and its level; NULL if none is mapped.
static uint64_t *page_entry(const struct page_map *map, uint64_t address, unsigned *level)
{
    uint64_t table = map->root;
    for (*level = PAGE_LEVELS - 1;; --*level) {
        uint64_t *entry = &table_at(map, table)[index_at(address, *level)];
        const uint64_t value = load(entry);
        if (is_page(value, *level))
            return entry;
        if (!is_table(value, *level))
            return NULL;
        table = value & ENTRY_ADDRESS;
    }
}

// Replaces the page of `entry` by 512 that translate the same.
static enum status split_once(struct page_map *map, uint64_t *entry, unsigned level)
{
    assert(level > 0);
    const uint64_t table = map->memory.allocate(map->memory.context);
    if (table == 0)
        return STATUS_NO_MEMORY;
    map->tables++;
    uint64_t *below = table_at(map, table);
    const uint64_t physical = *entry & ENTRY_ADDRESS;
    for (unsigned i = 0; i < PAGE_ENTRIES; i++)
        below[i] = entry_of(physical + i * level_bytes(level - 1), level - 1, kind_of(*entry));
    store(entry, table | ENTRY_TABLE);
    return STATUS_OK;
}

// Makes `address`, a multiple of 4 KiB, the beginning of a page, if one is mapped there.
static enum status split_before(struct page_map *map, uint64_t address)
{
    unsigned level;
    uint64_t *entry;
    while ((entry = page_entry(map, address, &level)) != NULL &&
           address % level_bytes(level) != 0) {
        const enum status status = split_once(map, entry, level);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

// Unlinks what is empty on the way to `address`.
static void prune(struct page_map *map, uint64_t *table, unsigned level, uint64_t address,
                  struct unlinked *unlinked)
{
    uint64_t *entry = &table[index_at(address, level)];
    if (!is_table(*entry, level))
        return;
    uint64_t *below = table_at(map, *entry & ENTRY_ADDRESS);
    prune(map, below, level - 1, address, unlinked);
    if (is_empty(below))
        unlink_table(map, unlinked, entry);
}

// ---- changes -----------------------------------------------------------------------------------

enum status page_map_init(struct page_map *map, const struct page_memory *memory,
                          struct page_limits limits)
{
    if (limits.physical_bits < 32 || limits.physical_bits > 52)
        return STATUS_INVALID;
    const uint64_t root = memory->allocate(memory->context);
    if (root == 0)
        return STATUS_NO_MEMORY;
    *map = (struct page_map){.memory = *memory, .limits = limits, .root = root, .tables = 1};
    return STATUS_OK;
}

static void release_below(struct page_map *map, uint64_t table, unsigned level)
{
    const uint64_t *entries = table_at(map, table);
    for (unsigned i = 0; i < PAGE_ENTRIES; i++) {
        if (is_table(entries[i], level))
            release_below(map, entries[i] & ENTRY_ADDRESS, level - 1);
    }
    map->memory.release(map->memory.context, table);
    map->tables--;
}

void page_map_destroy(struct page_map *map)
{
    release_below(map, map->root, PAGE_LEVELS - 1);
    assert(map->tables == 0);
    map->root = 0;
}

static unsigned level_for(uint64_t address, uint64_t physical, uint64_t length, uint64_t largest)
{
    unsigned level = LEVEL_1G;
    while (level > 0 && (level_bytes(level) > largest || length < level_bytes(level) ||
                         (address | physical) % level_bytes(level) != 0))
        level--;
    return level;
}

// Takes a mapping back that got as far as `done` bytes, and what was made on the way to the page
// that failed.
static void undo(struct page_map *map, uint64_t address, uint64_t done)
{
    struct unlinked unlinked = {0};
    uint64_t *root = table_at(map, map->root);
    if (done > 0)
        clear(map, root, PAGE_LEVELS - 1, address, address + (done - 1), &unlinked);
    prune(map, root, PAGE_LEVELS - 1, address + done, &unlinked);
    finish(map, &unlinked, address, done + PAGE_BYTES_4K);
}

enum status page_map_map_by(struct page_map *map, uint64_t address, uint64_t physical,
                            uint64_t length, struct page_kind kind, uint64_t largest)
{
    if (!valid_range(address, length) || !valid_physical(map, physical, length) ||
        !valid_kind(kind) ||
        (largest != PAGE_BYTES_4K && largest != PAGE_BYTES_2M && largest != PAGE_BYTES_1G))
        return STATUS_INVALID;
    if (!map->limits.pages_1g)
        largest = min_u64(largest, PAGE_BYTES_2M);
    for (uint64_t done = 0; done < length;) {
        const uint64_t at = address + done, to = physical + done;
        const unsigned level = level_for(at, to, length - done, largest);
        uint64_t *table = NULL;
        enum status status = table_for(map, at, level, &table);
        if (status == STATUS_OK && table[index_at(at, level)] != 0)
            status = STATUS_FULL; // a page, or a table: those are never empty
        if (status != STATUS_OK) {
            undo(map, address, done);
            return status;
        }
        store(&table[index_at(at, level)], entry_of(to, level, kind));
        done += level_bytes(level);
    }
    return STATUS_OK;
}

enum status page_map_map(struct page_map *map, uint64_t address, uint64_t physical, uint64_t length,
                         struct page_kind kind)
{
    return page_map_map_by(map, address, physical, length, kind, PAGE_BYTES_1G);
}

// Before a change of [address, address + length): its ends are ends of pages.
static enum status cut_out(struct page_map *map, uint64_t address, uint64_t length)
{
    if (!valid_range(address, length))
        return STATUS_INVALID;
    if (!all_mapped(map, address, address + (length - 1)))
        return STATUS_EMPTY;
    const enum status status = split_before(map, address);
    return status != STATUS_OK ? status : split_before(map, address + length);
}

enum status page_map_protect(struct page_map *map, uint64_t address, uint64_t length,
                             struct page_kind kind)
{
    if (!valid_kind(kind))
        return STATUS_INVALID;
    const enum status status = cut_out(map, address, length);
    if (status != STATUS_OK)
        return status;
    struct unlinked none = {0};
    change(map, table_at(map, map->root), PAGE_LEVELS - 1, address, address + (length - 1), kind);
    finish(map, &none, address, length);
    return STATUS_OK;
}

enum status page_map_unmap(struct page_map *map, uint64_t address, uint64_t length)
{
    const enum status status = cut_out(map, address, length);
    if (status != STATUS_OK)
        return status;
    struct unlinked unlinked = {0};
    clear(map, table_at(map, map->root), PAGE_LEVELS - 1, address, address + (length - 1),
          &unlinked);
    finish(map, &unlinked, address, length);
    return STATUS_OK;
}

enum status page_map_split(struct page_map *map, uint64_t address, uint64_t bytes)
{
    struct page page;
    if (!valid_range(address, PAGE_BYTES_4K) || (bytes != PAGE_BYTES_4K && bytes != PAGE_BYTES_2M))
        return STATUS_INVALID;
    if (!page_map_query(map, address, &page))
        return STATUS_EMPTY;
    unsigned level;
    uint64_t *entry = page_entry(map, address, &level);
    enum status status = STATUS_OK;
    while (level_bytes(level) > bytes && status == STATUS_OK) {
        status = split_once(map, entry, level);
        entry = page_entry(map, address, &level);
    }
    struct unlinked none = {0};
    finish(map, &none, page.address, page.bytes);
    return status;
}

// True if the pages at `address` could be one page of `bytes`.
static enum status mergeable(const struct page_map *map, uint64_t address, uint64_t bytes,
                             struct page *first)
{
    if (!page_map_query(map, address, first) || !all_mapped(map, address, address + (bytes - 1)))
        return STATUS_EMPTY;
    if (first->bytes >= bytes)
        return STATUS_OK;
    if (first->physical % bytes != 0)
        return STATUS_FOREIGN;
    struct page page = *first;
    for (uint64_t done = first->bytes; done < bytes; done += page.bytes) {
        page_map_query(map, address + done, &page);
        if (page.physical != first->physical + done || page.kind.rights != first->kind.rights ||
            page.kind.cache != first->kind.cache || page.kind.global != first->kind.global)
            return STATUS_FOREIGN;
    }
    return STATUS_OK;
}

enum status page_map_merge(struct page_map *map, uint64_t address, uint64_t bytes)
{
    if ((bytes != PAGE_BYTES_2M && bytes != PAGE_BYTES_1G) || address % bytes != 0 ||
        !valid_range(address, bytes) || (bytes == PAGE_BYTES_1G && !map->limits.pages_1g))
        return STATUS_INVALID;
    struct page first;
    const enum status status = mergeable(map, address, bytes, &first);
    if (status != STATUS_OK || first.bytes >= bytes)
        return status;
    const unsigned level = bytes == PAGE_BYTES_1G ? LEVEL_1G : LEVEL_2M;
    uint64_t *table = NULL;
    const enum status way = table_for(map, address, level, &table);
    assert(way == STATUS_OK); // smaller pages are mapped there
    uint64_t *entry = &table[index_at(address, level)];
    const uint64_t old = *entry & ENTRY_ADDRESS;
    store(entry, entry_of(first.physical, level, first.kind));
    // The old tables stay whole until no CPU walks them: their pages are mapped all the time.
    map->memory.invalidate(map->memory.context, address, bytes);
    release_below(map, old, level - 1);
    return STATUS_OK;
}

// ---- queries -----------------------------------------------------------------------------------

bool page_map_query(const struct page_map *map, uint64_t address, struct page *page)
{
    unsigned level;
    const uint64_t *entry =
        page_address_canonical(address) ? page_entry(map, address, &level) : NULL;
    if (entry == NULL)
        return false;
    // Once more: it may have changed since page_entry looked.
    const uint64_t value = load(entry);
    if (!is_page(value, level))
        return false;
    *page = (struct page){.address = address & ~(level_bytes(level) - 1),
                          .physical = value & ENTRY_ADDRESS,
                          .bytes = level_bytes(level),
                          .kind = kind_of(value)};
    return true;
}

bool page_map_next(const struct page_map *map, uint64_t address, struct page *page)
{
    for (;;) {
        if (!page_address_canonical(address))
            address = ~(uint64_t)0 << 47;
        unsigned level;
        if (page_entry(map, address, &level) != NULL)
            return page_map_query(map, address, page);
        // page_entry stopped at an entry of `level`: nothing is mapped in all it speaks for.
        address = (address | (level_bytes(level) - 1)) + 1;
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
