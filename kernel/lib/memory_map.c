// SPDX-License-Identifier: MIT
#include "memory_map.h"

#include "compiler.h"

void memory_map_init(struct memory_map *map)
{
    map->range_count = 0;
    map->simulated = false;
    numa_init(&map->numa);
}

static uint64_t end_of(const struct memory_range *range)
{
    return range->start + range->length;
}

// The ranges being built: joined with the last one where it is of the same kind and adjoins.
static bool append(struct memory_map *map, uint64_t start, uint64_t end, enum memory_kind kind)
{
    if (start >= end)
        return true;
    struct memory_range *const last =
        map->range_count > 0 ? &map->ranges[map->range_count - 1] : NULL;
    if (last != NULL && last->kind == kind && end_of(last) == start) {
        last->length += end - start;
        return true;
    }
    if (map->range_count == MEMORY_RANGES_MOST)
        return false;
    map->ranges[map->range_count++] = (struct memory_range){start, end - start, kind};
    return true;
}

enum status memory_map_set(struct memory_map *map, uint64_t start, uint64_t end,
                           enum memory_kind kind)
{
    if (end < start || end > UINT64_MAX - PAGE_SIZE)
        return STATUS_INVALID;
    if (start == end)
        return STATUS_OK; // no bytes, so no page of them, wherever in a page they would lie
    const bool shrinks = kind == MEMORY_RAM;
    start = shrinks ? align_up(start, PAGE_SIZE) : start & ~(uint64_t)(PAGE_SIZE - 1);
    end = shrinks ? end & ~(uint64_t)(PAGE_SIZE - 1) : align_up(end, PAGE_SIZE);
    if (start >= end)
        return STATUS_OK;
    struct memory_range before[MEMORY_RANGES_MOST];
    const unsigned count = map->range_count;
    for (unsigned i = 0; i < count; i++)
        before[i] = map->ranges[i];
    bool room = true, placed = false;
    map->range_count = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct memory_range *old = &before[i];
        room = append(map, old->start, min_u64(end_of(old), start), old->kind) && room;
        if (!placed && end_of(old) > start) {
            room = append(map, start, end, kind) && room;
            placed = true;
        }
        room = append(map, max_u64(old->start, end), end_of(old), old->kind) && room;
    }
    if (!placed)
        room = append(map, start, end, kind) && room;
    if (room)
        return STATUS_OK;
    map->range_count = count;
    for (unsigned i = 0; i < count; i++)
        map->ranges[i] = before[i];
    return STATUS_FULL;
}

uint64_t memory_map_bytes(const struct memory_map *map, enum memory_kind kind)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < map->range_count; i++)
        bytes += map->ranges[i].kind == kind ? map->ranges[i].length : 0;
    return bytes;
}

unsigned memory_map_count(const struct memory_map *map, enum memory_kind kind)
{
    unsigned count = 0;
    for (unsigned i = 0; i < map->range_count; i++)
        count += map->ranges[i].kind == kind;
    return count;
}

bool memory_map_check(const struct memory_map *map)
{
    uint64_t end = 0;
    if (map->range_count > MEMORY_RANGES_MOST)
        return false;
    for (unsigned i = 0; i < map->range_count; i++) {
        const struct memory_range *range = &map->ranges[i];
        if (range->start < end || range->length == 0 || range->start % PAGE_SIZE != 0 ||
            range->length % PAGE_SIZE != 0 || end_of(range) < range->start ||
            range->kind > MEMORY_DEVICE)
            return false;
        end = end_of(range);
    }
    const struct numa *numa = &map->numa;
    if (numa->node_count < 1 || numa->node_count > NUMA_NODES_MOST ||
        numa->range_count > NUMA_RANGES_MOST)
        return false;
    end = 0;
    for (unsigned i = 0; i < numa->range_count; i++) {
        const struct numa_range *range = &numa->ranges[i];
        if (range->start < end || range->end <= range->start || range->node >= numa->node_count)
            return false;
        end = range->end;
    }
    for (unsigned cpu = 0; cpu < CPU_MOST; cpu++)
        if (numa->cpu_node[cpu] >= numa->node_count)
            return false;
    return true;
}
