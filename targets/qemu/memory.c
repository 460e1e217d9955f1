// SPDX-License-Identifier: MIT
// The memory map of this machine: what the boot loader and ACPI told, less what is in use.
#include "boot_log.h"
#include "compiler.h"
#include "format.h"
#include "hpet.h"
#include "kernel.h"
#include "memory_map.h"
#include "pci_ecam.h"

static struct memory_map map;
static bool built;

// The kernel, its tables and stacks, firmware's tables, what the map lists as no RAM: boot_info
// knows them all as taken. The first page is never handed out: its address is NULL's.
static bool set_memory(void)
{
    const struct boot_info *boot = &kernel.boot;
    bool room = true;
    for (unsigned i = 0; i < boot->available_count; i++)
        room = memory_map_set(&map, boot->available[i].start, boot->available[i].end, MEMORY_RAM) ==
                   STATUS_OK &&
               room;
    room = memory_map_set(&map, kernel.arena.start, kernel.arena.end, MEMORY_ARENA) == STATUS_OK &&
           room;
    for (unsigned i = 0; i < boot->taken_count; i++)
        room = memory_map_set(&map, boot->taken[i].start, boot->taken[i].end, MEMORY_RESERVED) ==
                   STATUS_OK &&
               room;
    return memory_map_set(&map, 0, PAGE_SIZE, MEMORY_RESERVED) == STATUS_OK && room;
}

static bool set_device(uint64_t start, uint64_t length)
{
    return start == 0 || length == 0 ||
           memory_map_set(&map, start, start + length, MEMORY_DEVICE) == STATUS_OK;
}

// Those whose registers the tables place.
static bool set_devices(void)
{
    const struct acpi_cpus *cpus = &kernel.acpi.cpus;
    const struct acpi_devices *devices = &kernel.acpi.devices;
    bool room = set_device(cpus->described ? cpus->apic_address : 0, PAGE_SIZE);
    for (unsigned i = 0; cpus->described && i < cpus->ioapic_count; i++)
        room = set_device(cpus->ioapics[i].address, PAGE_SIZE) && room;
    for (unsigned i = 0; i < devices->segment_count; i++) {
        const struct acpi_pci_segment *segment = &devices->segments[i];
        uint64_t start, length;
        if (pci_ecam_place(segment->base, segment->first_bus, segment->last_bus, &start, &length) ==
            STATUS_OK)
            room = set_device(start, length) && room;
    }
    return set_device(devices->hpet.address, PAGE_SIZE) && room;
}

const struct memory_map *platform_memory(void)
{
    if (built)
        return &map;
    built = true;
    memory_map_init(&map);
    map.numa = kernel.acpi.numa;
    for (unsigned i = 0; i < CPU_MOST; i++) // ACPI counts CPUs in an order of its own
        map.numa.cpu_node[i] = i < machine_cpu_count() ? (uint8_t)machine_cpus[i].node : 0;
    if (!set_memory() || !set_devices()) {
        // Half a map could call RAM what is in use.
        boot_log("more ranges of memory than supported: no memory map");
        map.range_count = 0;
    }
    return &map;
}

void kernel_describe_memory(void (*emit)(void *context, const char *key, const char *value),
                            void *context)
{
    char text[24];
    platform_memory();
    format(text, sizeof(text), "%u",
           memory_map_count(&map, MEMORY_RAM) + memory_map_count(&map, MEMORY_ARENA));
    emit(context, "memory.map.ranges", text);
    format(text, sizeof(text), "%lu",
           memory_map_bytes(&map, MEMORY_RAM) + memory_map_bytes(&map, MEMORY_ARENA));
    emit(context, "memory.map.bytes", text);
    format(text, sizeof(text), "%u", map.numa.node_count);
    emit(context, "memory.map.nodes", text);
    emit(context, "memory.map.simulated", map.simulated ? "yes" : "no");
}
