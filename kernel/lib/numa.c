// SPDX-License-Identifier: MIT
#include "numa.h"

#include "assert.h"

void numa_init(struct numa *numa)
{
    *numa = (struct numa){0};
    numa_set_nodes(numa, 1);
}

void numa_set_nodes(struct numa *numa, unsigned count)
{
    assert(count >= 1 && count <= NUMA_NODES_MOST);
    numa->node_count = count;
    for (unsigned from = 0; from < NUMA_NODES_MOST; from++) {
        for (unsigned to = 0; to < NUMA_NODES_MOST; to++)
            numa->distance[from][to] = from == to ? NUMA_DISTANCE_LOCAL : NUMA_DISTANCE_REMOTE;
    }
}

enum status numa_add_range(struct numa *numa, uint64_t start, uint64_t end, unsigned node,
                           bool hot_pluggable)
{
    if (start >= end || node >= numa->node_count)
        return STATUS_INVALID;
    unsigned at = 0; // of the first range that ends behind `start`
    while (at < numa->range_count && numa->ranges[at].end <= start)
        at++;
    if (at < numa->range_count && numa->ranges[at].start < end)
        return STATUS_DOUBLE;
    if (numa->range_count == NUMA_RANGES_MOST)
        return STATUS_FULL;
    for (unsigned i = numa->range_count++; i > at; i--)
        numa->ranges[i] = numa->ranges[i - 1];
    numa->ranges[at] = (struct numa_range){start, end, (uint8_t)node, hot_pluggable};
    return STATUS_OK;
}

unsigned numa_node_of_address(const struct numa *numa, uint64_t address)
{
    for (unsigned i = 0; i < numa->range_count && numa->ranges[i].start <= address; i++) {
        if (address < numa->ranges[i].end)
            return numa->ranges[i].node;
    }
    return 0;
}

unsigned numa_nearest(const struct numa *numa, unsigned node, uint8_t order[NUMA_NODES_MOST])
{
    assert(node < numa->node_count);
    unsigned count = 1;
    order[0] = (uint8_t)node;
    for (unsigned other = 0; other < numa->node_count; other++) {
        const uint8_t distance = numa->distance[node][other];
        if (other == node || distance == NUMA_UNREACHABLE)
            continue;
        unsigned at = count++; // insertion, behind those that are as near: they have lower numbers
        for (; at > 1 && numa->distance[node][order[at - 1]] > distance; at--)
            order[at] = order[at - 1];
        order[at] = (uint8_t)other;
    }
    return count;
}
