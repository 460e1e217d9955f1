// SPDX-License-Identifier: MIT
// Page tables of one address space: four levels, pages of 4 KiB, 2 MiB and 1 GiB. Entries: AMD64
// Architecture Programmer's Manual vol. 2, 5.3; Intel SDM vol. 3, 4.5.
//
// Tables live in physical memory that the caller provides, so the same code builds the kernel's own
// map, those of mechanisms under test, and models on the host. It drops no translation itself: the
// caller's `invalidate` does, for as many CPUs and contexts (PCID) as use these tables.
//
// Rules for callers
//   threads   changes are serialised by the caller; queries may run beside them and beside the CPU,
//             and see each page as it was or as it is. A query that must not meet a table given
//             back meanwhile is serialised too
//   ranges    addresses and lengths are multiples of 4 KiB, length > 0; a range lies in one of the
//             two canonical halves; physical addresses below 2^physical_bits
//   changes   are made whole or not at all. Large pages may stay split where a change was refused
//   rights    no page is writable and executable
//   shared    the low half may be another map's: every change there is STATUS_FOREIGN
#ifndef PAGE_MAP_H
#define PAGE_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "page_entry.h"
#include "status.h"

// One mapped page.
struct page {
    uint64_t address, physical, bytes;
    struct page_kind kind;
};

// Physical memory for tables.
struct page_memory {
    void *context;
    // A zeroed table, 4 KiB aligned: its physical address; 0 if there is none left.
    uint64_t (*allocate)(void *context);
    void (*release)(void *context, uint64_t table);
    // Where the table at that physical address can be read and written. NULL: at `direct` more than
    // the physical address, all of them, which is the faster way.
    uint64_t *(*at)(void *context, uint64_t table);
    uintptr_t direct;
    // Returns when no CPU translates [address, address + length) by what stood in the tables
    // before. Called after the tables have changed, before tables no longer needed are released.
    void (*invalidate)(void *context, uint64_t address, uint64_t length);
};

struct page_limits {
    unsigned physical_bits; // of addresses: CPUID 80000008h, EAX 7:0; 32 to 52
    bool pages_1g;          // CPUID 80000001h, EDX 26
};

struct page_map {
    struct page_memory memory;
    struct page_limits limits;
    uint64_t root;   // physical address, for CR3
    uint64_t tables; // in use, the root among them
    bool low_shared; // the low half is another map's: page_map_share_low
};

struct page_counts {
    uint64_t pages_4k, pages_2m, pages_1g;
    uint64_t bytes, writable, executable, uncached; // bytes, and how many of them are so
};

// An empty address space. STATUS_NO_MEMORY without a table for the root; STATUS_INVALID if the
// limits are none.
enum status page_map_init(struct page_map *map, const struct page_memory *memory,
                          struct page_limits limits);

// Gives all tables back. No CPU may use them any more: nothing is invalidated.
void page_map_destroy(struct page_map *map);

// The low half (addresses below 2^47) becomes that of `other`, by the same tables: how the kernel
// stays mapped in an address space. STATUS_FULL if something is mapped there. `other` outlives this
// map; what it maps later is seen here only where its root had an entry, 512 GiB each, at this
// call.
enum status page_map_share_low(struct page_map *map, const struct page_map *other);

// Maps a range by the largest pages that the alignment of both addresses allows. STATUS_FULL if a
// page of it is mapped; STATUS_NO_MEMORY; STATUS_INVALID if range, alignment or kind is none.
enum status page_map_map(struct page_map *map, uint64_t address, uint64_t physical, uint64_t length,
                         struct page_kind kind);

// The same with pages of at most `largest` bytes: one of PAGE_BYTES_*.
enum status page_map_map_by(struct page_map *map, uint64_t address, uint64_t physical,
                            uint64_t length, struct page_kind kind, uint64_t largest);

// One page of `bytes` (PAGE_BYTES_*), both addresses multiples of it. STATUS_FULL if something is
// mapped there, smaller or larger; STATUS_NO_MEMORY; STATUS_INVALID.
enum status page_map_page(struct page_map *map, uint64_t address, uint64_t physical, uint64_t bytes,
                          struct page_kind kind);

// Unmaps the page of `bytes` at `address`, and says in *physical, unless that is NULL, where it
// was. STATUS_EMPTY if there is none of just that address and size: nothing is split.
enum status page_unmap_page(struct page_map *map, uint64_t address, uint64_t bytes,
                            uint64_t *physical);

// Where `address` lies in physical memory; false if it is not mapped. As page_map_query.
bool page_translate(const struct page_map *map, uint64_t address, uint64_t *physical);

// Change rights and caching of a range; unmap it. Large pages that reach beyond it are split; each
// end takes two tables at most. STATUS_EMPTY if a page of it is not mapped; STATUS_NO_MEMORY;
// STATUS_INVALID.
enum status page_map_protect(struct page_map *map, uint64_t address, uint64_t length,
                             struct page_kind kind);
enum status page_map_unmap(struct page_map *map, uint64_t address, uint64_t length);

// Splits pages until the one that holds `address` has `bytes` (4 KiB or 2 MiB); nothing to do if
// it is as small already. STATUS_EMPTY if none is mapped there; STATUS_NO_MEMORY; STATUS_INVALID.
enum status page_map_split(struct page_map *map, uint64_t address, uint64_t bytes);

// Makes one page of `bytes` (2 MiB or 1 GiB) out of those at `address`, which is a multiple of it;
// nothing to do if it is one already. STATUS_EMPTY if a page of the range is not mapped;
// STATUS_FOREIGN if the pages differ in kind or do not lie behind each other, aligned, in physical
// memory; STATUS_INVALID.
enum status page_map_merge(struct page_map *map, uint64_t address, uint64_t bytes);

// The page that holds `address`; false if there is none. Bounded; no locks: for panics too.
bool page_map_query(const struct page_map *map, uint64_t address, struct page *page);

// The first page that ends above `address`; false if there is none. Goes through a whole map by
// starting at 0 and going on at page->address + page->bytes, until that is 0.
bool page_map_next(const struct page_map *map, uint64_t address, struct page *page);

void page_map_count(const struct page_map *map, struct page_counts *counts);

// True if bits 63:47 are equal.
static inline bool page_address_canonical(uint64_t address)
{
    return address >> 47 == 0 || address >> 47 == 0x1ffff;
}

#endif
