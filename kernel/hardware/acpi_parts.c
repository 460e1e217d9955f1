// SPDX-License-Identifier: MIT
#include "acpi_parts.h"

#include "bytes.h"
#include "format.h"

#define PORTS 0x10000u

// Numbers of the address spaces, as tables have them.
#define SPACE_MEMORY 0
#define SPACE_PORT   1
#define SPACE_PCI    2

void acpi_problem(struct acpi_log *log, const char *how, ...)
{
    char line[ACPI_LINE_BYTES];
    if (log->problems++ >= ACPI_LINES_MOST || log->line == NULL)
        return;
    va_list arguments;
    va_start(arguments, how);
    const size_t start = format(line, sizeof(line), "acpi: ");
    format_list(line + start, sizeof(line) - start, how, arguments);
    va_end(arguments);
    log->line(log->context, line);
}

enum acpi_step acpi_next(const struct acpi_bytes *table, uint32_t *at, const uint8_t *least,
                         unsigned types, struct acpi_entry *entry)
{
    if (*at >= table->length)
        return ACPI_STEP_END;
    const uint32_t left = table->length - *at;
    if (left < 2)
        return ACPI_STEP_BROKEN;
    const uint8_t *bytes = table->bytes + *at;
    *entry = (struct acpi_entry){.bytes = bytes, .type = bytes[0], .length = bytes[1]};
    const unsigned needed = entry->type < types && least[entry->type] > 2 ? least[entry->type] : 2;
    if (entry->length < needed || entry->length > left)
        return ACPI_STEP_BROKEN;
    *at += entry->length;
    return ACPI_STEP_ENTRY;
}

struct acpi_register acpi_register_at(const uint8_t *bytes)
{
    static const enum acpi_space spaces[] = {[SPACE_MEMORY] = ACPI_SPACE_MEMORY,
                                             [SPACE_PORT] = ACPI_SPACE_PORT,
                                             [SPACE_PCI] = ACPI_SPACE_PCI};
    const uint8_t space = bytes[0];
    const uint64_t address = bytes_u64(bytes + 4);
    if (address == 0 || space > SPACE_PCI || (space == SPACE_PORT && address >= PORTS))
        return (struct acpi_register){.space = ACPI_SPACE_NONE};
    return (struct acpi_register){
        .space = spaces[space], .bits = bytes[1], .access = bytes[3], .address = address};
}
