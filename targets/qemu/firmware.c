// SPDX-License-Identifier: MIT
#include "firmware.h"

#include "acpi.h"
#include "boot_log.h"
#include "compiler.h"
#include "format.h"
#include "kernel.h"
#include "kernel_map.h"
#include "platform.h"
#include "smbios.h"

#define TEXT_BYTES 256u

static struct smbios_info smbios;

void firmware_read(void)
{
    const struct boot_memory memory = {.bytes = NULL, .base = 0, .length = KERNEL_MAP_BOOT_END};
    acpi_read(&kernel.acpi, memory, kernel.boot.rsdp, boot_log_line, NULL);
    smbios_read(&smbios, memory, kernel.boot.smbios);
}

// A row for each node: "10 20;20 10".
static void format_distances(const struct numa *numa, char *text, size_t capacity)
{
    size_t length = 0;
    for (unsigned from = 0; from < numa->node_count; from++) {
        for (unsigned to = 0; to < numa->node_count; to++)
            length += format(text + length, capacity - length, "%s%u",
                             to > 0     ? " "
                             : from > 0 ? ";"
                                        : "",
                             numa->distance[from][to]);
    }
}

// Who made what, as firmware has it.
static void describe_makers(void (*emit)(void *context, const char *key, const char *value),
                            void *context)
{
    const struct {
        const char *key, *first, *second, *third;
    } facts[] = {
        {"firmware", smbios.firmware_maker, smbios.firmware_version, smbios.firmware_date},
        {"system", smbios.system_maker, smbios.system_product, ""},
        {"board", smbios.board_maker, smbios.board_product, ""},
    };
    char text[TEXT_BYTES];
    for (unsigned i = 0; i < ARRAY_COUNT(facts); i++) {
        format(text, sizeof(text), "%s, %s%s%s", facts[i].first, facts[i].second,
               facts[i].third[0] != '\0' ? ", " : "", facts[i].third);
        emit(context, facts[i].key,
             facts[i].first[0] != '\0' || facts[i].second[0] != '\0' ? text : "unknown");
    }
    const size_t length =
        format(text, sizeof(text), "%u with %lu MiB", smbios.memory_devices, smbios.memory_mib);
    if (smbios.memory_speed != 0)
        format(text + length, sizeof(text) - length, ", %s %u MT/s",
               smbios.memory_rated ? "rated" : "at", smbios.memory_speed);
    emit(context, "memory.modules", smbios.memory_devices > 0 ? text : "unknown");
    emit(context, "smbios", smbios.entry == 0 ? "none" : smbios.broken ? "broken" : "whole");
}

void firmware_describe(void (*emit)(void *context, const char *key, const char *value),
                       void *context)
{
    const struct acpi_info *acpi = &kernel.acpi;
    const struct acpi_register *timer = &acpi->devices.fixed.pm_timer;
    char text[TEXT_BYTES];
    describe_makers(emit, context);
    format(text, sizeof(text), "%lx, %s", acpi->rsdp,
           acpi->rsdp == kernel.boot.rsdp ? "told by the loader" : "searched for");
    emit(context, "acpi.root", acpi->rsdp != 0 ? text : "none");
    acpi_tables_text(acpi, text, sizeof(text));
    emit(context, "acpi.tables", text[0] != '\0' ? text : "none");
    format(text, sizeof(text), "%u", acpi->problems);
    emit(context, "acpi.problems", text);
    format(text, sizeof(text), "%u", acpi->cpus.described ? acpi->cpus.enabled_count : 0);
    emit(context, "cpus.described", text);
    format(text, sizeof(text), "%u", acpi->numa.node_count);
    emit(context, "numa.nodes", text);
    format_distances(&acpi->numa, text, sizeof(text));
    emit(context, "numa.distances", text);
    format(text, sizeof(text), "%lx", acpi->devices.hpet.address);
    emit(context, "hpet.address", acpi->devices.hpet.address != 0 ? text : "none");
    format(text, sizeof(text), "%s %lx, %u bits",
           timer->space == ACPI_SPACE_PORT ? "port" : "memory", timer->address,
           acpi->devices.fixed.pm_timer_32 ? 32 : 24);
    emit(context, "pm_timer", timer->space != ACPI_SPACE_NONE ? text : "none");
}
