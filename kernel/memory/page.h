// SPDX-License-Identifier: MIT
// What every implementation of page tables offers, so that one benchmark body serves them all. The
// tables themselves are page_map.h's; this is the part of it that others can be compared by.
//
// Rules for callers
//   threads   the caller serialises all calls on one object
//   ranges    addresses are multiples of the page's bytes (4 KiB or 2 MiB), in one canonical half.
//             A variant of the role VARIANT_FLOOR checks nothing: it works only in the first GiB
//             and the two after it from PAGE_BASE on, whose tables it makes at init
#ifndef PAGE_H
#define PAGE_H

#include <stddef.h>

#include "page_map.h"
#include "variant.h"

#define PAGE_BASE      ((uint64_t)0xffff900000000000) // the first GiB: by pages of 4 KiB
#define PAGE_BASE_HUGE (PAGE_BASE + PAGE_BYTES_1G)    // the next one: by pages of 2 MiB

struct page_ops {
    struct variant about;
    size_t state_bytes; // of the object, 64-byte aligned by the caller
    enum status (*init)(void *state, const struct page_memory *memory);
    // One page of `bytes`.
    enum status (*map)(void *state, uint64_t address, uint64_t physical, uint64_t bytes,
                       struct page_kind kind);
    enum status (*unmap)(void *state, uint64_t address, uint64_t bytes);
    bool (*translate)(const void *state, uint64_t address, uint64_t *physical);
    // One page of 4 KiB.
    enum status (*protect)(void *state, uint64_t address, struct page_kind kind);
    // PAGE_... of the page of 4 KiB that is mapped there; 0 if none is. For checks: never measured.
    unsigned (*rights)(const void *state, uint64_t address);
    // A page of 2 MiB into 512 of 4 KiB, and back.
    enum status (*split)(void *state, uint64_t address);
    enum status (*merge)(void *state, uint64_t address);
    // Pages of 4 KiB, behind each other in both.
    enum status (*map_range)(void *state, uint64_t address, uint64_t physical, uint64_t length,
                             struct page_kind kind);
    uint64_t (*tables)(const void *state); // in use, the root among them
};

#endif
