// SPDX-License-Identifier: MIT
// Entries of page tables: what their bits say. AMD64 Architecture Programmer's Manual vol. 2, 5.3;
// Intel SDM vol. 3, 4.5.
//
//   level   0: entries of 4 KiB pages; 1: of 2 MiB pages or tables of level 0; 2: of 1 GiB pages or
//           tables; 3: the root
//   used    an entry that refers to a table counts, in bits that the CPU ignores, how many entries
//           of it are not 0: whether it is empty is known without looking at all 512
//
// Values only: whoever stores one in a table that a CPU walks does so by one store.
#ifndef PAGE_ENTRY_H
#define PAGE_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"

#define PAGE_LEVELS  4u
#define PAGE_ENTRIES 512u

#define PAGE_BYTES_4K ((uint64_t)1 << 12)
#define PAGE_BYTES_2M ((uint64_t)1 << 21)
#define PAGE_BYTES_1G ((uint64_t)1 << 30)

// Every page can be read: the CPU knows none that cannot.
#define PAGE_READ    1u
#define PAGE_WRITE   2u
#define PAGE_EXECUTE 4u

// By the entries 0, 1 and 3 of the page attribute table as every CPU has it after reset (AMD64
// vol. 2, 7.8.2): with PAT left alone, what is stricter, these bits or the MTRRs, counts.
enum page_cache {
    PAGE_WRITE_BACK,
    PAGE_WRITE_THROUGH,
    PAGE_UNCACHED,
};

struct page_kind {
    unsigned rights; // PAGE_READ with at most one of PAGE_WRITE and PAGE_EXECUTE
    enum page_cache cache;
    bool global; // survives a change of address space; of no effect without CR4.PGE
};

// Bits of the error code of a page fault (Intel SDM vol. 3, 4.7).
#define PAGE_FAULT_PRESENT ((uint64_t)1 << 0) // the page is there: its rights forbid the access
#define PAGE_FAULT_WRITE   ((uint64_t)1 << 1)
#define PAGE_FAULT_FETCH   ((uint64_t)1 << 4)

#define PAGE_ENTRY_PRESENT       ((uint64_t)1 << 0)
#define PAGE_ENTRY_WRITABLE      ((uint64_t)1 << 1)
#define PAGE_ENTRY_WRITE_THROUGH ((uint64_t)1 << 3)
#define PAGE_ENTRY_NO_CACHE      ((uint64_t)1 << 4)
#define PAGE_ENTRY_ACCESSED      ((uint64_t)1 << 5)
#define PAGE_ENTRY_DIRTY         ((uint64_t)1 << 6)
#define PAGE_ENTRY_HUGE          ((uint64_t)1 << 7) // in levels 1 and 2; another thing in level 0
#define PAGE_ENTRY_GLOBAL        ((uint64_t)1 << 8)
#define PAGE_ENTRY_USED_ONE      ((uint64_t)1 << 52) // 61:52
#define PAGE_ENTRY_NO_EXECUTE    ((uint64_t)1 << 63)
#define PAGE_ENTRY_ADDRESS       ((uint64_t)0x000ffffffffff000)

// Level 0 holds entries of 4 KiB pages, level 3 is the root.
ALWAYS_INLINE uint64_t page_level_bytes(unsigned level)
{
    return (uint64_t)1 << (PAGE_SHIFT + 9 * level);
}

ALWAYS_INLINE unsigned page_index(uint64_t address, unsigned level)
{
    return (unsigned)(address >> (PAGE_SHIFT + 9 * level)) % PAGE_ENTRIES;
}

ALWAYS_INLINE bool page_entry_present(uint64_t entry)
{
    return (entry & PAGE_ENTRY_PRESENT) != 0;
}

// A page of 2 MiB or 1 GiB.
ALWAYS_INLINE bool page_entry_huge(uint64_t entry, unsigned level)
{
    return level > 0 && (entry & (PAGE_ENTRY_PRESENT | PAGE_ENTRY_HUGE)) ==
                            (PAGE_ENTRY_PRESENT | PAGE_ENTRY_HUGE);
}

ALWAYS_INLINE bool page_entry_is_page(uint64_t entry, unsigned level)
{
    return page_entry_present(entry) && (level == 0 || (entry & PAGE_ENTRY_HUGE) != 0);
}

ALWAYS_INLINE bool page_entry_is_table(uint64_t entry, unsigned level)
{
    return level > 0 && (entry & (PAGE_ENTRY_PRESENT | PAGE_ENTRY_HUGE)) == PAGE_ENTRY_PRESENT;
}

// Of a page or of a table: where it lies in physical memory.
ALWAYS_INLINE uint64_t page_entry_address(uint64_t entry)
{
    return entry & PAGE_ENTRY_ADDRESS;
}

ALWAYS_INLINE uint64_t page_entry_flags(uint64_t entry)
{
    return entry & ~(PAGE_ENTRY_ADDRESS | ((uint64_t)0x3ff * PAGE_ENTRY_USED_ONE));
}

// How many entries of the table that `entry` refers to are in use.
ALWAYS_INLINE unsigned page_entry_used(uint64_t entry)
{
    return (unsigned)(entry / PAGE_ENTRY_USED_ONE) & 0x3ffu;
}

// Rights of a table are the most its pages can have. Accessed beforehand: the CPU sets that bit by
// a write of its own, which would meet those of the count.
ALWAYS_INLINE uint64_t page_entry_of_table(uint64_t table, unsigned used)
{
    return table | PAGE_ENTRY_PRESENT | PAGE_ENTRY_WRITABLE | PAGE_ENTRY_ACCESSED |
           used * PAGE_ENTRY_USED_ONE;
}

// Of a page of page_level_bytes(level). Accessed and dirty are set beforehand: nobody asks for
// them, and the CPU need not write them.
ALWAYS_INLINE uint64_t page_entry_of(uint64_t physical, unsigned level, struct page_kind kind)
{
    uint64_t entry = physical | PAGE_ENTRY_PRESENT | PAGE_ENTRY_ACCESSED | PAGE_ENTRY_DIRTY;
    entry |= level > 0 ? PAGE_ENTRY_HUGE : 0;
    entry |= kind.rights & PAGE_WRITE ? PAGE_ENTRY_WRITABLE : 0;
    entry |= kind.rights & PAGE_EXECUTE ? 0 : PAGE_ENTRY_NO_EXECUTE;
    entry |= kind.global ? PAGE_ENTRY_GLOBAL : 0;
    entry |= kind.cache == PAGE_WRITE_THROUGH ? PAGE_ENTRY_WRITE_THROUGH : 0;
    entry |= kind.cache == PAGE_UNCACHED ? PAGE_ENTRY_NO_CACHE | PAGE_ENTRY_WRITE_THROUGH : 0;
    return entry;
}

ALWAYS_INLINE struct page_kind page_entry_kind(uint64_t entry)
{
    struct page_kind kind = {.rights = PAGE_READ, .global = (entry & PAGE_ENTRY_GLOBAL) != 0};
    kind.rights |= entry & PAGE_ENTRY_WRITABLE ? PAGE_WRITE : 0;
    kind.rights |= entry & PAGE_ENTRY_NO_EXECUTE ? 0 : PAGE_EXECUTE;
    kind.cache = entry & PAGE_ENTRY_NO_CACHE        ? PAGE_UNCACHED
                 : entry & PAGE_ENTRY_WRITE_THROUGH ? PAGE_WRITE_THROUGH
                                                    : PAGE_WRITE_BACK;
    return kind;
}

#endif
