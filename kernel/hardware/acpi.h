// SPDX-License-Identifier: MIT
// The machine as its firmware describes it in static ACPI tables (ACPI 6.5, 5.2): CPUs, interrupt
// controllers, nodes, devices. AML, the language of the other tables, is not read.
//
// Nothing here is trusted, and nothing fails hard: each address, length, count and checksum is
// checked; what does not hold is a line in the log, counted, and left out, and the machine is then
// what a PC without that table is: one CPU, one node, no such device.
//
// Everything is copied: the tables' memory is free again once acpi_read returns. One thread.
#ifndef ACPI_H
#define ACPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "acpi_cpus.h"
#include "acpi_devices.h"
#include "acpi_numa.h"
#include "boot_info.h"
#include "numa.h"

#define ACPI_TABLES_MOST 64u
#define ACPI_TABLE_BYTES_MOST                                                                      \
    (4u << 20) // a longer one is damage: summing it up would take for ever

enum acpi_table_status {
    ACPI_TABLE_OK,         // whole, and read
    ACPI_TABLE_UNKNOWN,    // whole; nobody here reads it
    ACPI_TABLE_TWICE,      // whole; another one of its kind came first
    ACPI_TABLE_UNREADABLE, // not all of it in the readable memory
    ACPI_TABLE_LENGTH,     // shorter than its kind demands, or longer than any table
    ACPI_TABLE_CHECKSUM,   // its bytes do not add up to 0
    ACPI_TABLE_CONTENT,    // something in it cannot be; the rest of it is used
    ACPI_TABLE_STATUSES,
};

struct acpi_table {
    uint64_t address;
    uint32_t length; // as it says itself; 0 if its head cannot be read
    uint8_t revision;
    char signature[5]; // terminated; printable ASCII, anything else is a question mark
    char oem[7];       // likewise, without the blanks behind it
    enum acpi_table_status status;
};

struct acpi_info {
    uint64_t rsdp;     // the root pointer that was used, 0: there is none
    unsigned problems; // lines of the log, and those it had no room for
    unsigned table_count;
    unsigned tables_left_out;                   // more than there is room for
    struct acpi_table tables[ACPI_TABLES_MOST]; // the root table first, then in its order
    struct acpi_cpus cpus;
    struct acpi_domains domains;
    struct numa numa; // its CPUs are counted as cpus.cpus are
    struct acpi_devices devices;
};

// Fills `info` from the tables below the root pointer at physical address `rsdp`; if that is 0 or
// stands for none, from the one found where the BIOS of a PC puts it. `log` gets a line, without
// line feed, for each thing that is wrong (the first ACPI_LINES_MOST); it may be NULL.
void acpi_read(struct acpi_info *info, struct boot_memory memory, uint64_t rsdp,
               void (*log)(void *context, const char *line), void *context);

// "ok", "unknown", "checksum"...
const char *acpi_table_status_text(enum acpi_table_status status);

// "APIC at 7fe1a2b4, 144 bytes, revision 1, BOCHS: ok". Returns the length, like format().
size_t acpi_table_text(const struct acpi_table *table, char *buffer, size_t capacity);

// Signatures of the whole tables, with commas between them. Returns the length, like format().
size_t acpi_tables_text(const struct acpi_info *info, char *buffer, size_t capacity);

#endif
