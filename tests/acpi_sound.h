// SPDX-License-Identifier: MIT
// What must be true of acpi_info after every reading, whatever was read.
#ifndef ACPI_SOUND_H
#define ACPI_SOUND_H

#include <string.h>

#include "acpi.h"
#include "compiler.h"

static inline bool acpi_tables_sound(const struct acpi_info *info)
{
    bool sound = info->table_count <= ACPI_TABLES_MOST;
    for (unsigned i = 0; sound && i < info->table_count; i++) {
        const struct acpi_table *table = &info->tables[i];
        sound = table->status < ACPI_TABLE_STATUSES && strlen(table->signature) <= 4 &&
                strlen(table->oem) <= 6;
    }
    return sound && info->devices.segment_count <= ACPI_PCI_SEGMENTS_MOST &&
           info->devices.debug.count <= ACPI_DEBUG_PORTS_MOST;
}

static inline bool acpi_cpus_sound(const struct acpi_cpus *cpus)
{
    bool sound = cpus->cpu_count <= CPU_MOST && cpus->enabled_count >= 1 &&
                 cpus->enabled_count <= cpus->cpu_count &&
                 cpus->ioapic_count <= ACPI_IOAPICS_MOST && cpus->apic_address % PAGE_SIZE == 0 &&
                 cpus->nmi_source_count <= ACPI_NMI_SOURCES_MOST &&
                 cpus->local_nmi_count <= ACPI_LOCAL_NMIS_MOST;
    for (unsigned i = 0; sound && i < cpus->cpu_count; i++)
        sound = acpi_cpu_of(cpus, cpus->cpus[i].apic_id) == i &&
                cpus->cpus[i].enabled == (i < cpus->enabled_count);
    return sound;
}

static inline bool acpi_numa_sound(const struct numa *numa)
{
    bool sound = numa->node_count >= 1 && numa->node_count <= NUMA_NODES_MOST &&
                 numa->range_count <= NUMA_RANGES_MOST;
    for (unsigned i = 0; sound && i < CPU_MOST; i++)
        sound = numa->cpu_node[i] < numa->node_count;
    for (unsigned i = 0; sound && i < numa->range_count; i++) {
        const struct numa_range *range = &numa->ranges[i];
        sound = range->start < range->end && range->node < numa->node_count &&
                (i == 0 || range[-1].end <= range->start);
    }
    for (unsigned from = 0; sound && from < numa->node_count; from++) {
        for (unsigned to = 0; sound && to < numa->node_count; to++)
            sound = from == to ? numa->distance[from][to] == NUMA_DISTANCE_LOCAL
                               : numa->distance[from][to] >= NUMA_DISTANCE_LOCAL;
    }
    return sound;
}

static inline bool acpi_info_sound(const struct acpi_info *info)
{
    return acpi_tables_sound(info) && acpi_cpus_sound(&info->cpus) && acpi_numa_sound(&info->numa);
}

#endif
