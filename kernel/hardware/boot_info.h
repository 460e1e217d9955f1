// SPDX-License-Identifier: MIT
// What the boot loader tells: the memory map, the command line and where ACPI's tables begin, from
// either protocol. Plain C over bytes, so that it runs under tests and sanitizers on the host as it
// does in the kernel.
//
// Nothing a loader says is trusted: every length and address is checked against the memory that
// may be read, counts are limited, and a table that does not hold together is refused whole.
// Sources: Xen's "x86/HVM direct boot ABI" (hvm_start_info, version 1) and the "Multiboot2
// Specification" version 2.0, section 3.6.
#ifndef BOOT_INFO_H
#define BOOT_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "screen.h"
#include "status.h"

#define BOOT_ARGUMENTS_MOST 2048u // bytes of the command line, terminator included
#define BOOT_AVAILABLE_MOST 128u  // ranges of RAM
#define BOOT_TAKEN_MOST     256u  // ranges that must not be used
#define BOOT_FIRMWARE_MOST  32u   // of these, ranges in which firmware keeps tables
#define BOOT_ENTRIES_MOST   4096u // of a table: more is damage, not memory

// How the kernel was entered; boot.S hands it over.
#define BOOT_BY_PVH        1u
#define BOOT_BY_MULTIBOOT2 2u

// Physical addresses [start, end), start < end.
struct boot_range {
    uint64_t start, end;
};

// The physical memory a parser may read: address `base + i` is bytes[i], for i < length.
struct boot_memory {
    const uint8_t *bytes;
    uint64_t base;
    uint64_t length;
};

// True if all of [at, at + length) may be read.
static inline bool boot_memory_holds(const struct boot_memory *memory, uint64_t at, uint64_t length)
{
    return at >= memory->base && at - memory->base <= memory->length &&
           length <= memory->length - (at - memory->base);
}

// The bytes [at, at + length); NULL if not all of them may be read, and for physical address 0.
static inline const uint8_t *boot_memory_at(const struct boot_memory *memory, uint64_t at,
                                            uint64_t length)
{
    const bool there = at != 0 && boot_memory_holds(memory, at, length);
    return there ? memory->bytes + (at - memory->base) : NULL;
}

struct boot_info {
    unsigned protocol; // BOOT_BY_*
    uint64_t rsdp;     // physical address of ACPI's root pointer; 0: the loader does not tell
    uint64_t smbios;   // of SMBIOS's entry point; 0: it is not told
    unsigned available_count, taken_count, firmware_count;
    struct boot_range
        available[BOOT_AVAILABLE_MOST]; // RAM, as the map lists it; may overlap `taken`
    struct boot_range
        taken[BOOT_TAKEN_MOST]; // the map's other entries, modules, the loader's tables
    // Of `taken`: the memory map's types 3 and 4, ACPI's tables and storage. Further ones than
    // there is room for are in `taken` only.
    struct boot_range firmware[BOOT_FIRMWARE_MOST];
    uint64_t memory_bytes;               // sum of `available`
    char arguments[BOOT_ARGUMENTS_MOST]; // terminated; printable ASCII, anything else is a space
    // What the loader set up to be looked at; SCREEN_NONE if it tells of none that works.
    struct screen_surface screen;
};

// Fills `info` from the tables of `protocol` that begin at physical address `at`.
// STATUS_INVALID: no such protocol, or something else than its tables stands there.
// STATUS_CORRUPT: a length, count or address leaves the tables or the readable memory, or the
// tables hold no memory map.
// STATUS_TOO_LARGE: more ranges or a longer command line than there is room for.
enum status boot_info_read(struct boot_info *info, unsigned protocol, struct boot_memory memory,
                           uint64_t at);

// Adds a range nobody may use (the kernel itself). An empty one is ignored. STATUS_TOO_LARGE when
// there is no room, STATUS_INVALID if it wraps around.
enum status boot_info_take(struct boot_info *info, uint64_t start, uint64_t length);

// Finds the longest range of RAM inside [lowest, highest) that overlaps nothing taken, with both
// ends multiples of `alignment` (a power of two). False if there is none.
bool boot_info_longest(const struct boot_info *info, uint64_t lowest, uint64_t highest,
                       uint64_t alignment, struct boot_range *longest);

#endif
