// SPDX-License-Identifier: MIT
// A process knows no physical memory: the machine of platform_memory() is simulated. Two nodes of
// 2 GiB, as firmware of a PC lays them out; every second CPU is on node 1.
#include <stdio.h>

#include "cpu.h"
#include "host.h"
#include "memory_map.h"
#include "platform.h"

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

static const struct memory_range simulated[] = {
    {0x1000, 0x9e000, MEMORY_RAM},           // below 640 KiB
    {0x9f000, 0x61000, MEMORY_RESERVED},     // firmware and the display adapter
    {MIB, 2 * GIB - MIB, MEMORY_RAM},        // node 0
    {2 * GIB, 16 * MIB, MEMORY_RESERVED},    // ACPI's tables
    {0xe0000000, 0x10000000, MEMORY_DEVICE}, // configuration space of PCI
    {0xfec00000, 0x1000, MEMORY_DEVICE},     // an I/O APIC
    {4 * GIB, GIB, MEMORY_RAM},              // node 1, in two pieces
    {6 * GIB, GIB, MEMORY_RAM},
};

const struct memory_map *platform_memory(void)
{
    static struct memory_map map;
    if (map.simulated)
        return &map;
    memory_map_init(&map);
    for (unsigned i = 0; i < sizeof(simulated) / sizeof(simulated[0]); i++)
        memory_map_set(&map, simulated[i].start, simulated[i].start + simulated[i].length,
                       simulated[i].kind);
    numa_set_nodes(&map.numa, 2);
    numa_add_range(&map.numa, 0, 4 * GIB, 0, false);
    numa_add_range(&map.numa, 4 * GIB, 8 * GIB, 1, false);
    for (unsigned cpu = 0; cpu < CPU_MOST; cpu++)
        map.numa.cpu_node[cpu] = cpu % 2;
    map.simulated = true;
    return &map;
}

void host_describe_memory(void (*emit)(void *context, const char *key, const char *value),
                          void *context)
{
    const struct memory_map *map = platform_memory();
    char text[24];
    snprintf(text, sizeof(text), "%u",
             memory_map_count(map, MEMORY_RAM) + memory_map_count(map, MEMORY_ARENA));
    emit(context, "memory.map.ranges", text);
    snprintf(text, sizeof(text), "%lu",
             memory_map_bytes(map, MEMORY_RAM) + memory_map_bytes(map, MEMORY_ARENA));
    emit(context, "memory.map.bytes", text);
    snprintf(text, sizeof(text), "%u", map->numa.node_count);
    emit(context, "memory.map.nodes", text);
    emit(context, "memory.map.simulated", map->simulated ? "yes" : "no");
}
