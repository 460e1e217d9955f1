// SPDX-License-Identifier: MIT
// What lies at which physical address, and on which node: the memory a machine has for allocators,
// and what else is there. Filled once by whatever knows the machine; allocators read it.
//
//   range   addresses of one kind, in whole pages
//
// A plain object of the caller's: written by one thread before others read it.
#ifndef MEMORY_MAP_H
#define MEMORY_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "numa.h"
#include "status.h"

#define MEMORY_RANGES_MOST 128u

enum memory_kind {
    MEMORY_RAM,      // free for allocators: nobody else uses it
    MEMORY_ARENA,    // RAM that the benchmarks live in (platform_arena): as addresses only
    MEMORY_RESERVED, // RAM or not, it belongs to somebody: firmware, the kernel itself
    MEMORY_DEVICE,   // registers or memory of a device: never to be cached or moved
};

// Physical addresses [start, start + length), multiples of the page size; length > 0.
struct memory_range {
    uint64_t start, length;
    enum memory_kind kind;
};

struct memory_map {
    unsigned range_count;
    struct memory_range ranges[MEMORY_RANGES_MOST]; // ascending, disjoint
    struct numa numa;
    bool simulated; // the ranges are addresses only: nothing lies there
};

// No ranges; one node that has everything.
void memory_map_init(struct memory_map *map);

// Says what [start, end) is: what was there before is cut back or gone. RAM shrinks to whole pages,
// the other kinds grow to them; what leaves no page is ignored, and neighbours of one kind are one
// range. STATUS_INVALID: end < start, or it ends in the last page there is. STATUS_FULL: no room
// for another range; then nothing changes.
enum status memory_map_set(struct memory_map *map, uint64_t start, uint64_t end,
                           enum memory_kind kind);

// Bytes of a kind.
uint64_t memory_map_bytes(const struct memory_map *map, enum memory_kind kind);

// Ranges of a kind.
unsigned memory_map_count(const struct memory_map *map, enum memory_kind kind);

// True if the ranges keep the rules above, and the nodes' ranges theirs.
bool memory_map_check(const struct memory_map *map);

#endif
