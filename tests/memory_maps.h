// SPDX-License-Identifier: MIT
// Memory maps of machines as data: what is RAM after the firmware has taken its own, which memory
// is a device's, which node has what. Laid out as those machines lay it out; some sizes are
// smaller.
#ifndef MEMORY_MAPS_H
#define MEMORY_MAPS_H

#include "frames.h"

#define MAP_RANGES 16
#define MAP_NODES  4

struct memory_map_of {
    const char *name;
    uintptr_t dma_end, high_start;
    struct frames_range ranges[MAP_RANGES]; // ascending, up to a length of 0
    unsigned nodes;
    struct numa_range node_ranges[MAP_RANGES]; // up to an end of 0
    uint8_t distances[MAP_NODES][MAP_NODES];
    uint8_t cpu_nodes[4];
};

#define M(n) ((n)*0x100000ull)
#define G(n) ((n)*0x40000000ull)

static const struct memory_map_of memory_maps[] = {
    {
        .name = "x86-64: a PC with 4 GiB, BIOS, hole of PCI below 4 GiB",
        .dma_end = M(16),
        // The page at 0 is the real-mode vectors'; EBDA from 0x9fc00 on; the ROMs' area up to 1
        // MiB.
        .ranges = {{0, 0x9fc00, false}, {M(1), 0xbffdf000 - M(1), false}, {G(4), G(1), false}},
        .nodes = 1,
        .distances = {{10}},
    },
    {
        .name = "x86-64: UEFI, many holes of the firmware's, two nodes, persistent memory",
        .dma_end = M(16),
        .ranges = {{0x1000, 0x57000, false},
                   {0x59000, 0x45000, false},
                   {M(1), 0x3f000000 - M(1), false},
                   {0x3f003000, 0x1000, false},
                   {0x3f021000, 0x2345000, false},
                   {0x41800000, 0x1e400000, false},
                   {0x5ffff000, 0x1000, false},
                   {G(4), G(1), false},
                   {G(5), G(2), false},
                   {G(8), M(512), true}},
        .nodes = 2,
        .node_ranges = {{0, 0xa0000, 0, false},
                        {M(1), G(2), 0, false},
                        {G(4), G(5) + M(512), 0, false},
                        {G(5) + M(512), G(9), 1, false}},
        .distances = {{10, 21}, {21, 10}},
        .cpu_nodes = {0, 0, 1, 1},
    },
    {
        .name = "x86-64: 32-bit habits: memory above 896 MiB is not always mapped",
        .dma_end = M(16),
        .high_start = M(896),
        .ranges = {{0x1000, 0x9e000, false}, {M(1), M(2047), false}},
        .nodes = 1,
        .distances = {{10}},
    },
    {
        .name = "RISC-V: virt board with OpenSBI in front of the kernel's memory",
        .dma_end = G(4),                                       // 32-bit devices
        .ranges = {{0x80080000, 0x7ff80000 - 0x200000, false}, // the device tree at the end
                   {G(4), G(1), false}},
        .nodes = 1,
        .distances = {{10}},
    },
    {
        .name = "RISC-V: one zone, memory kept for a coprocessor in the middle",
        .ranges = {{0x80200000, 0x0fe00000, false}, {0x98000000, 0x28000000, false}},
        .nodes = 1,
        .distances = {{10}},
    },
    {
        .name = "AArch64: a board whose graphics processor holds the end of the first GiB",
        .dma_end = G(1),
        .ranges = {{0, 0x3b400000, false}, {G(1), 0xbc000000 - 0x1000, false}, {G(4), G(1), false}},
        .nodes = 1,
        .distances = {{10}},
    },
    {
        .name = "AArch64: a server, 2 GiB at 2 GiB and the rest at 34 GiB, four nodes in a row",
        .ranges = {{0x80000000, 0x7ef00000, false},
                   {0x880000000, G(2), false},
                   {0x900000000, G(1), false},
                   {0x1000000000, G(1), false},
                   {0x1800000000, M(64), true}},
        .nodes = 4,
        .node_ranges = {{0x80000000, 0x100000000, 0, false},
                        {0x880000000, 0x900000000, 1, false},
                        {0x900000000, 0x980000000, 2, false},
                        {0x1000000000, 0x1800000000, 3, false},
                        {0x1800000000, 0x1900000000, 0, false}},
        .distances = {{10, 15, 20, 30}, {15, 10, 15, 20}, {20, 15, 10, 15}, {30, 20, 15, 10}},
        .cpu_nodes = {0, 1, 2, 3},
    },
};

static inline unsigned memory_map_ranges(const struct memory_map_of *map)
{
    unsigned count = 0;
    while (count < MAP_RANGES && map->ranges[count].length > 0)
        count++;
    return count;
}

// What the allocator gets of it; `numa` is the caller's.
static inline struct frames_config memory_map_config(const struct memory_map_of *map,
                                                     struct numa *numa)
{
    numa_init(numa);
    numa_set_nodes(numa, map->nodes);
    for (unsigned i = 0; i < MAP_RANGES && map->node_ranges[i].end != 0; i++)
        numa_add_range(numa, map->node_ranges[i].start, map->node_ranges[i].end,
                       map->node_ranges[i].node, false);
    for (unsigned from = 0; from < map->nodes; from++)
        for (unsigned to = 0; to < map->nodes; to++)
            numa->distance[from][to] = map->distances[from][to];
    for (unsigned cpu = 0; cpu < 4; cpu++)
        numa->cpu_node[cpu] = map->cpu_nodes[cpu];
    return (struct frames_config){.numa = numa,
                                  .cpus = 4,
                                  .dma_end = map->dma_end,
                                  .high_start = map->high_start,
                                  .lend_order = 9,
                                  .keep = FRAMES_MARK_WHOLE / 4};
}

#endif
