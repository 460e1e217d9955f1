// SPDX-License-Identifier: MIT
// Which memory and which CPU lies on which node, and how far the nodes are from each other. Filled
// at boot from whatever describes the machine; allocators read it and know nothing of firmware.
// A plain object of the caller: written by one thread before others read it.
#ifndef NUMA_H
#define NUMA_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu.h"
#include "status.h"

#define NUMA_NODES_MOST  16u
#define NUMA_RANGES_MOST 64u

// Distances are relative: 10 is a node to itself, 20 means twice the latency (ACPI 6.5, 5.2.17).
#define NUMA_DISTANCE_LOCAL  10u
#define NUMA_DISTANCE_REMOTE 20u  // where nothing else is known
#define NUMA_UNREACHABLE     255u // no path between the two

// Physical addresses [start, end), start < end.
struct numa_range {
    uint64_t start, end;
    uint8_t node;
    bool hot_pluggable; // there may be no memory in it yet
};

struct numa {
    unsigned node_count;                                // 1 to NUMA_NODES_MOST; nodes are 0, 1, ...
    unsigned range_count;                               // 0: all memory is on node 0
    struct numa_range ranges[NUMA_RANGES_MOST];         // ascending, disjoint
    uint8_t cpu_node[CPU_MOST];                         // by index of the CPU
    uint8_t distance[NUMA_NODES_MOST][NUMA_NODES_MOST]; // [from][to]
};

// One node that has everything.
void numa_init(struct numa *numa);

// Sets the number of nodes, 1 to NUMA_NODES_MOST, and all distances to LOCAL and REMOTE.
void numa_set_nodes(struct numa *numa, unsigned count);

// Adds the memory of a node. STATUS_INVALID: it is empty, or there is no such node. STATUS_DOUBLE:
// some of it is in the ranges already. STATUS_FULL: there are NUMA_RANGES_MOST. Then nothing
// changes.
enum status numa_add_range(struct numa *numa, uint64_t start, uint64_t end, unsigned node,
                           bool hot_pluggable);

// The node of an address; 0 if it lies in no range.
unsigned numa_node_of_address(const struct numa *numa, uint64_t address);

// Where to look for memory from `node` on: the nodes that can be reached, nearest first, itself
// before all others; of equally near ones the lower number. Returns how many there are, at least 1.
unsigned numa_nearest(const struct numa *numa, unsigned node, uint8_t order[NUMA_NODES_MOST]);

#endif
