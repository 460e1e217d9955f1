// SPDX-License-Identifier: MIT
#include "page_map.h"

#include "assert.h"
#include "compiler.h"
#include "page_walk.h"

#define LEVEL_1G 2u
#define LEVEL_2M 1u

// ---- entries in use ----------------------------------------------------------------------------

// `count` entries more, or less, are in use in the table that `entry` refers to; the root's are not
// counted.
ALWAYS_INLINE void use(struct page_way *way, unsigned level_of_table, uint64_t count)
{
    if (level_of_table + 1 == PAGE_LEVELS)
        return;
    uint64_t *entry = way->at[level_of_table + 1];
    page_store(entry, *entry + count * PAGE_ENTRY_USED_ONE);
}

// ---- sizes, and whose -------------------------------------------------------------------------

ALWAYS_INLINE unsigned level_of(uint64_t bytes)
{
    return bytes == PAGE_BYTES_4K ? 0 : bytes == PAGE_BYTES_2M ? LEVEL_2M : LEVEL_1G;
}

ALWAYS_INLINE bool is_foreign(const struct page_map *map, uint64_t address)
{
    return map->low_shared && address >> 47 == 0;
}

// ---- tables that are no longer needed ----------------------------------------------------------

// Tables unlinked by a change, chained through their first entries. A CPU that still walks one
// meets a physical address of a table there, whose lowest bit is 0: nothing present.
struct unlinked {
    uint64_t first;
};

static void unlink_table(struct page_map *map, struct unlinked *unlinked, uint64_t *entry)
{
    const uint64_t table = page_entry_address(*entry);
    page_store(entry, 0);
    page_store(page_table_at(map, table), unlinked->first);
    unlinked->first = table;
}

// Unlinks what is empty on the way, from the table of `level` upwards.
static void unlink_empty(struct page_map *map, struct page_way *way, unsigned level,
                         struct unlinked *unlinked)
{
    while (++level < PAGE_LEVELS && page_entry_used(*way->at[level]) == 0) {
        unlink_table(map, unlinked, way->at[level]);
        use(way, level, (uint64_t)-1);
    }
}

static void finish(struct page_map *map, struct unlinked *unlinked, uint64_t address,
                   uint64_t length)
{
    map->memory.invalidate(map->memory.context, address, length);
    while (unlinked->first != 0) {
        const uint64_t table = unlinked->first;
        unlinked->first = *page_table_at(map, table);
        map->memory.release(map->memory.context, table);
        map->tables--;
    }
}

// ---- parts of changes --------------------------------------------------------------------------

// The last address of [at, last] that the entry of `at` speaks for.
static uint64_t part_last(uint64_t at, uint64_t last, unsigned level)
{
    return min_u64(last, at | (page_level_bytes(level) - 1));
}

// Unmaps [at, last] in `table`; pages that reach beyond it have been split. Returns how many of its
// entries are 0 now that were not.
static unsigned clear(struct page_map *map, uint64_t *table, unsigned level, uint64_t at,
                      uint64_t last, struct unlinked *unlinked)
{
    unsigned cleared = 0;
    for (bool more = true; more;) {
        uint64_t *entry = &table[page_index(at, level)];
        const uint64_t end = part_last(at, last, level);
        if (page_entry_is_page(*entry, level)) {
            page_store(entry, 0);
            cleared++;
        } else if (*entry != 0) {
            uint64_t *below = page_table_at(map, page_entry_address(*entry));
            const unsigned fewer = clear(map, below, level - 1, at, end, unlinked);
            page_store(entry, *entry - fewer * PAGE_ENTRY_USED_ONE);
            if (page_entry_used(*entry) == 0) {
                unlink_table(map, unlinked, entry);
                cleared++;
            }
        }
        more = end != last;
        at = end + 1;
    }
    return cleared;
}

static void change(struct page_map *map, uint64_t *table, unsigned level, uint64_t at,
                   uint64_t last, struct page_kind kind)
{
    for (bool more = true; more;) {
        uint64_t *entry = &table[page_index(at, level)];
        const uint64_t end = part_last(at, last, level), below = page_entry_address(*entry);
        if (page_entry_is_page(*entry, level))
            page_store(entry, page_entry_of(below, level, kind));
        else
            change(map, page_table_at(map, below), level - 1, at, end, kind);
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

// The way to the entry of `level` for `address`, with tables made where they are missing.
ALWAYS_INLINE enum status make_way(struct page_map *map, uint64_t address, unsigned level,
                                   struct page_way *way)
{
    uint64_t *table = page_table_at(map, map->root);
#pragma GCC unroll 4
    for (unsigned at = PAGE_LEVELS - 1; at < PAGE_LEVELS; at--) {
        uint64_t *entry = way->at[at] = &table[page_index(address, at)];
        if (at == level)
            return STATUS_OK;
        if (UNLIKELY(*entry == 0)) {
            const uint64_t made = map->memory.allocate(map->memory.context);
            if (made == 0)
                return STATUS_NO_MEMORY;
            map->tables++;
            page_store(entry, page_entry_of_table(made, 0));
            use(way, at, 1);
        } else if (UNLIKELY(!page_entry_is_table(*entry, at))) {
            return STATUS_FULL;
        }
        table = page_table_at(map, page_entry_address(*entry));
    }
    return STATUS_INVALID; // no such level
}

// Replaces the page of the entry of `level` by 512 that translate the same.
static enum status split_once(struct page_map *map, uint64_t *entry, unsigned level)
{
    assert(level > 0);
    const uint64_t table = map->memory.allocate(map->memory.context);
    if (table == 0)
        return STATUS_NO_MEMORY;
    map->tables++;
    uint64_t *below = page_table_at(map, table);
    const uint64_t first =
        page_entry_of(page_entry_address(*entry), level - 1, page_entry_kind(*entry));
    for (unsigned i = 0; i < PAGE_ENTRIES; i++)
        below[i] = first + i * page_level_bytes(level - 1);
    page_store(entry, page_entry_of_table(table, PAGE_ENTRIES));
    return STATUS_OK;
}

// Makes `address`, a multiple of 4 KiB, the beginning of a page, if one is mapped there.
static enum status split_before(struct page_map *map, uint64_t address)
{
    if (!page_address_canonical(address))
        return STATUS_OK; // the end of a half
    for (;;) {
        struct page_way way;
        const unsigned level = page_find(map, address, &way);
        if (!page_entry_present(*way.at[level]) || (address & (page_level_bytes(level) - 1)) == 0)
            return STATUS_OK;
        const enum status status = split_once(map, way.at[level], level);
        if (status != STATUS_OK)
            return status;
    }
}

// The page that is just [address, address + length), if there is one: its level, else PAGE_LEVELS.
static unsigned find_exactly(const struct page_map *map, uint64_t address, uint64_t length,
                             struct page_way *way)
{
    const unsigned level = page_find(map, address, way);
    return page_entry_present(*way->at[level]) && page_level_bytes(level) == length &&
                   (address & (length - 1)) == 0
               ? level
               : PAGE_LEVELS;
}

static void unmap_exactly(struct page_map *map, struct page_way *way, unsigned level,
                          uint64_t address)
{
    struct unlinked unlinked = {0};
    page_store(way->at[level], 0);
    use(way, level, (uint64_t)-1);
    unlink_empty(map, way, level, &unlinked);
    finish(map, &unlinked, address, page_level_bytes(level));
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

static void release_below(struct page_map *map, uint64_t table, unsigned level, unsigned first)
{
    const uint64_t *entries = page_table_at(map, table);
    for (unsigned i = first; i < PAGE_ENTRIES; i++) {
        if (page_entry_is_table(entries[i], level))
            release_below(map, page_entry_address(entries[i]), level - 1, 0);
    }
    map->memory.release(map->memory.context, table);
    map->tables--;
}

void page_map_destroy(struct page_map *map)
{
    release_below(map, map->root, PAGE_LEVELS - 1, map->low_shared ? PAGE_ENTRIES / 2 : 0);
    assert(map->tables == 0);
    map->root = 0;
}

enum status page_map_share_low(struct page_map *map, const struct page_map *other)
{
    uint64_t *own = page_table_at(map, map->root);
    const uint64_t *theirs = page_table_at(other, other->root);
    for (unsigned i = 0; i < PAGE_ENTRIES / 2; i++) {
        if (own[i] != 0)
            return STATUS_FULL;
    }
    for (unsigned i = 0; i < PAGE_ENTRIES / 2; i++)
        page_store(&own[i], page_load(&theirs[i]));
    map->low_shared = true;
    return STATUS_OK;
}

// What was made on the way to a page that could not be mapped goes again.
static COLD enum status give_up_page(struct page_map *map, uint64_t address, uint64_t bytes,
                                     enum status status)
{
    struct unlinked unlinked = {0};
    struct page_way way;
    unlink_empty(map, &way, page_find(map, address, &way), &unlinked);
    if (unlinked.first != 0)
        finish(map, &unlinked, address, bytes);
    return status;
}

// The level is a constant where this is called: so are all shifts and masks.
ALWAYS_INLINE enum status map_one(struct page_map *map, uint64_t address, uint64_t physical,
                                  unsigned level, struct page_kind kind)
{
    const uint64_t bytes = page_level_bytes(level);
    struct page_way way;
    if (((address | physical) & (bytes - 1)) != 0 || !page_address_canonical(address) ||
        !page_valid_physical(map, physical, bytes) || !page_valid_kind(kind))
        return STATUS_INVALID;
    if (is_foreign(map, address))
        return STATUS_FOREIGN;
    enum status status = make_way(map, address, level, &way);
    if (status == STATUS_OK && *way.at[level] != 0)
        status = STATUS_FULL; // a page, or a table: those are never empty
    if (UNLIKELY(status != STATUS_OK))
        return give_up_page(map, address, bytes, status);
    page_store(way.at[level], page_entry_of(physical, level, kind));
    use(&way, level, 1);
    return STATUS_OK;
}

enum status page_map_page(struct page_map *map, uint64_t address, uint64_t physical, uint64_t bytes,
                          struct page_kind kind)
{
    if (LIKELY(bytes == PAGE_BYTES_4K))
        return map_one(map, address, physical, 0, kind);
    if (bytes == PAGE_BYTES_2M)
        return map_one(map, address, physical, LEVEL_2M, kind);
    if (bytes == PAGE_BYTES_1G && map->limits.pages_1g)
        return map_one(map, address, physical, LEVEL_1G, kind);
    return STATUS_INVALID;
}

enum status page_unmap_page(struct page_map *map, uint64_t address, uint64_t bytes,
                            uint64_t *physical)
{
    struct page_way way;
    if (!page_valid_size(bytes) || (address & (bytes - 1)) != 0 || !page_address_canonical(address))
        return STATUS_INVALID;
    if (is_foreign(map, address))
        return STATUS_FOREIGN;
    const unsigned level = find_exactly(map, address, bytes, &way);
    if (level == PAGE_LEVELS)
        return STATUS_EMPTY;
    if (physical != NULL)
        *physical = page_entry_address(*way.at[level]);
    unmap_exactly(map, &way, level, address);
    return STATUS_OK;
}

static unsigned level_for(uint64_t address, uint64_t physical, uint64_t length, uint64_t largest)
{
    unsigned level = LEVEL_1G;
    while (level > 0 && (page_level_bytes(level) > largest || length < page_level_bytes(level) ||
                         ((address | physical) & (page_level_bytes(level) - 1)) != 0))
        level--;
    return level;
}

// Maps pages behind each other in one table, at most `most`. Returns how many; fewer if something
// is mapped behind them.
static uint64_t fill(struct page_way *way, unsigned level, uint64_t physical, uint64_t most,
                     struct page_kind kind)
{
    uint64_t *entry = way->at[level], done = 0;
    for (uint64_t value = page_entry_of(physical, level, kind); done < most && entry[done] == 0;
         value += page_level_bytes(level))
        page_store(&entry[done++], value);
    use(way, level, done);
    return done;
}

// Takes a mapping back that got as far as `done` bytes, and what was made on the way to the page
// that failed.
static void undo(struct page_map *map, uint64_t address, uint64_t done)
{
    struct unlinked unlinked = {0};
    struct page_way way;
    if (done > 0)
        clear(map, page_table_at(map, map->root), PAGE_LEVELS - 1, address, address + (done - 1),
              &unlinked);
    unlink_empty(map, &way, page_find(map, address + done, &way), &unlinked);
    finish(map, &unlinked, address, done + PAGE_BYTES_4K);
}

enum status page_map_map_by(struct page_map *map, uint64_t address, uint64_t physical,
                            uint64_t length, struct page_kind kind, uint64_t largest)
{
    if (!page_valid_range(address, length) || !page_valid_physical(map, physical, length) ||
        !page_valid_kind(kind) || !page_valid_size(largest))
        return STATUS_INVALID;
    if (is_foreign(map, address))
        return STATUS_FOREIGN;
    if (!map->limits.pages_1g)
        largest = min_u64(largest, PAGE_BYTES_2M);
    for (uint64_t done = 0; done < length;) {
        const uint64_t at = address + done, to = physical + done;
        const unsigned level = level_for(at, to, length - done, largest);
        struct page_way way;
        enum status status = make_way(map, at, level, &way);
        if (status == STATUS_OK) {
            const uint64_t most = min_u64((length - done) / page_level_bytes(level),
                                          PAGE_ENTRIES - page_index(at, level));
            const uint64_t filled = fill(&way, level, to, most, kind);
            done += filled * page_level_bytes(level);
            status = filled == most ? STATUS_OK : STATUS_FULL;
        }
        if (status != STATUS_OK) {
            undo(map, address, done);
            return status;
        }
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
    if (!all_mapped(map, address, address + (length - 1)))
        return STATUS_EMPTY;
    const enum status status = split_before(map, address);
    return status != STATUS_OK ? status : split_before(map, address + length);
}

enum status page_map_protect(struct page_map *map, uint64_t address, uint64_t length,
                             struct page_kind kind)
{
    struct page_way way;
    struct unlinked none = {0};
    if (!page_valid_kind(kind) || !page_valid_range(address, length))
        return STATUS_INVALID;
    if (is_foreign(map, address))
        return STATUS_FOREIGN;
    const unsigned level = find_exactly(map, address, length, &way);
    if (level != PAGE_LEVELS) {
        page_store(way.at[level], page_entry_of(page_entry_address(*way.at[level]), level, kind));
    } else {
        const enum status status = cut_out(map, address, length);
        if (status != STATUS_OK)
            return status;
        change(map, page_table_at(map, map->root), PAGE_LEVELS - 1, address, address + (length - 1),
               kind);
    }
    finish(map, &none, address, length);
    return STATUS_OK;
}

enum status page_map_unmap(struct page_map *map, uint64_t address, uint64_t length)
{
    struct page_way way;
    struct unlinked unlinked = {0};
    if (!page_valid_range(address, length))
        return STATUS_INVALID;
    if (is_foreign(map, address))
        return STATUS_FOREIGN;
    const unsigned level = find_exactly(map, address, length, &way);
    if (level != PAGE_LEVELS) {
        unmap_exactly(map, &way, level, address);
        return STATUS_OK;
    }
    const enum status status = cut_out(map, address, length);
    if (status != STATUS_OK)
        return status;
    clear(map, page_table_at(map, map->root), PAGE_LEVELS - 1, address, address + (length - 1),
          &unlinked);
    finish(map, &unlinked, address, length);
    return STATUS_OK;
}

enum status page_map_split(struct page_map *map, uint64_t address, uint64_t bytes)
{
    struct page_way way;
    struct unlinked none = {0};
    if (!page_valid_range(address, PAGE_BYTES_4K) ||
        (bytes != PAGE_BYTES_4K && bytes != PAGE_BYTES_2M))
        return STATUS_INVALID;
    if (is_foreign(map, address))
        return STATUS_FOREIGN;
    unsigned level = page_find(map, address, &way);
    if (!page_entry_present(*way.at[level]))
        return STATUS_EMPTY;
    const uint64_t whole = page_level_bytes(level);
    if (whole <= bytes)
        return STATUS_OK;
    enum status status = STATUS_OK;
    while (page_level_bytes(level) > bytes && status == STATUS_OK) {
        status = split_once(map, way.at[level], level);
        level = page_find(map, address, &way);
    }
    finish(map, &none, address & ~(whole - 1), whole);
    return status;
}

// Whether all that `entry` maps are pages as one page with the entry `wanted` at `level` would be:
// STATUS_EMPTY if something is not mapped, STATUS_FOREIGN if something differs.
static enum status alike(const struct page_map *map, uint64_t entry, unsigned level,
                         uint64_t physical, struct page_kind kind)
{
    if (!page_entry_is_table(entry, level))
        return entry == page_entry_of(physical, level, kind) ? STATUS_OK : STATUS_FOREIGN;
    if (page_entry_used(entry) < PAGE_ENTRIES)
        return STATUS_EMPTY;
    const uint64_t *below = page_table_at(map, page_entry_address(entry));
    enum status all = STATUS_OK;
    uint64_t wanted = page_entry_of(physical, 0, kind);
    if (level == LEVEL_2M) { // pages of 4 KiB, all there
        for (unsigned i = 0; i < PAGE_ENTRIES; i++, wanted += PAGE_BYTES_4K) {
            if (below[i] != wanted)
                return STATUS_FOREIGN;
        }
        return STATUS_OK;
    }
    for (unsigned i = 0; i < PAGE_ENTRIES; i++) {
        const enum status one =
            alike(map, below[i], level - 1, physical + i * page_level_bytes(level - 1), kind);
        if (one == STATUS_EMPTY)
            return one;
        all = one != STATUS_OK ? one : all;
    }
    return all;
}

enum status page_map_merge(struct page_map *map, uint64_t address, uint64_t bytes)
{
    struct page_way way;
    if ((bytes != PAGE_BYTES_2M && bytes != PAGE_BYTES_1G) || address % bytes != 0 ||
        !page_valid_range(address, bytes) || (bytes == PAGE_BYTES_1G && !map->limits.pages_1g))
        return STATUS_INVALID;
    if (is_foreign(map, address))
        return STATUS_FOREIGN;
    const unsigned level = level_of(bytes), lowest = page_find(map, address, &way);
    if (!page_entry_present(*way.at[lowest]))
        return STATUS_EMPTY;
    if (lowest >= level)
        return STATUS_OK;
    const uint64_t first = *way.at[lowest], physical = page_entry_address(first);
    uint64_t *entry = way.at[level];
    const uint64_t old = *entry;
    const enum status status = alike(map, old, level, physical, page_entry_kind(first));
    if (status != STATUS_OK)
        return status;
    if (physical % bytes != 0)
        return STATUS_FOREIGN;
    page_store(entry, page_entry_of(physical, level, page_entry_kind(first)));
    // The old tables stay whole until no CPU walks them: their pages are mapped all the time.
    map->memory.invalidate(map->memory.context, address, bytes);
    release_below(map, page_entry_address(old), level - 1, 0);
    return STATUS_OK;
}
