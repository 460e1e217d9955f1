// SPDX-License-Identifier: MIT
// What the tests of page_map share: memory for tables, a CPU that remembers translations until it
// is told to drop them, a second reader of the tables.
#ifndef PAGE_MAP_SUBJECT_H
#define PAGE_MAP_SUBJECT_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "compiler.h"
#include "page_map.h"

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

#define READ    PAGE_READ
#define WRITE   (PAGE_READ | PAGE_WRITE)
#define EXECUTE (PAGE_READ | PAGE_EXECUTE)

static const struct page_kind DATA = {.rights = WRITE, .cache = PAGE_WRITE_BACK};
static const struct page_kind TEXT = {.rights = EXECUTE, .cache = PAGE_WRITE_BACK, .global = true};
static const struct page_kind DEVICE = {.rights = WRITE, .cache = PAGE_UNCACHED};

// Check's own assertions write to a file each time: too slow for what runs millions of times.
#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("%s", "not so: " #condition);                                             \
    } while (0)

// ---- memory for tables --------------------------------------------------------------------------

// Each table is an allocation of its own, so that the sanitiser sees whoever uses one given back.
#define TABLES_MOST 8192u
static uint64_t *tables[TABLES_MOST]; // table n has the physical address (n + 1) * 4 KiB
static unsigned tables_live, tables_left;

// What the modelled CPU remembers.
struct translation {
    bool known, mapped;
    uint64_t address;
    struct page page;
};
#define TRANSLATIONS 256u
static struct translation remembered[TRANSLATIONS];
static bool invalidated;
static uint64_t invalidations;

static struct page_map map;

static uint64_t allocate(void *context)
{
    must((context) == (tables));
    if (tables_left == 0)
        return 0;
    tables_left--;
    for (unsigned i = 0; i < TABLES_MOST; i++) {
        if (tables[i] == NULL) {
            tables[i] = aligned_alloc(4096, 4096);
            memset(tables[i], 0, 4096);
            tables_live++;
            return (i + 1) * (uint64_t)4096;
        }
    }
    return 0;
}

static void release(void *context, uint64_t table)
{
    must((context) == (tables));
    must(invalidated); // a CPU may still walk it otherwise
    must(table % 4096 == 0 && table / 4096 - 1 < TABLES_MOST);
    free(tables[table / 4096 - 1]);
    tables[table / 4096 - 1] = NULL;
    tables_live--;
}

static uint64_t *table_at(void *context, uint64_t table)
{
    must((context) == (tables));
    if (table % 4096 != 0 || table / 4096 - 1 >= TABLES_MOST || tables[table / 4096 - 1] == NULL)
        ck_abort_msg("%lx is no table", (unsigned long)table);
    return tables[table / 4096 - 1];
}

static void invalidate(void *context, uint64_t address, uint64_t length)
{
    must((context) == (tables));
    must(length > 0 && (address | length) % 4096 == 0);
    invalidated = true;
    invalidations++;
    for (unsigned i = 0; i < TRANSLATIONS; i++) {
        if (remembered[i].address - address < length)
            remembered[i].known = false;
    }
}

static const struct page_memory memory = {.context = tables,
                                          .allocate = allocate,
                                          .release = release,
                                          .at = table_at,
                                          .invalidate = invalidate};

static void setup_with(bool pages_1g)
{
    tables_live = 0;
    tables_left = TABLES_MOST;
    invalidated = false;
    memset(remembered, 0, sizeof(remembered));
    const struct page_limits limits = {.physical_bits = 46, .pages_1g = pages_1g};
    must((page_map_init(&map, &memory, limits)) == (STATUS_OK));
}

static inline void setup(void)
{
    setup_with(true);
}

static void teardown(void)
{
    invalidated = true;
    page_map_destroy(&map);
    must((tables_live) == (0));
}

// ---- a second reader ----------------------------------------------------------------------------

// The page at an address by the bits of the manual, written out; false if none.
static inline bool walk(uint64_t address, struct page *page)
{
    uint64_t entry = map.root | 1;
    for (unsigned shift = 39; shift >= 12; shift -= 9) {
        entry = table_at(tables, entry & 0xffffffffff000u)[address >> shift & 511];
        if ((entry & 1) == 0) {
            must((entry) == (0));
            return false;
        }
        if (shift > 12 && (shift == 39 || (entry & 0x80) == 0)) {
            must((entry & 0x8000000000000fffu) == 0x23); // present, writable, accessed
            continue;
        }
        page->bytes = (uint64_t)1 << shift;
        page->address = address >> shift << shift;
        page->physical = entry & 0xffffffffff000u;
        page->kind.rights =
            PAGE_READ | (entry & 2 ? PAGE_WRITE : 0) | (entry >> 63 ? 0 : PAGE_EXECUTE);
        page->kind.cache = (enum page_cache[]){PAGE_WRITE_BACK, PAGE_WRITE_THROUGH, 9,
                                               PAGE_UNCACHED}[entry >> 3 & 3];
        page->kind.global = entry >> 8 & 1;
        must(page->physical % page->bytes == 0);
        must((entry & 0x60) == (0x60));             // accessed and dirty
        must((entry & 0x7ff0000000000e04u) == (0)); // nothing else; no user
        must((entry & 2) == 0 || entry >> 63 == 1); // never writable and executable
        return true;
    }
    return false;
}

static inline bool same_kind(struct page_kind a, struct page_kind b)
{
    return a.rights == b.rights && a.cache == b.cache && a.global == b.global;
}

#endif
