// SPDX-License-Identifier: MIT
// What the readers of ACPI's tables share: a table whose bytes are there and add up, its entries,
// and the log. Nothing here trusts what a table says. One thread.
#ifndef ACPI_PARTS_H
#define ACPI_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#define ACPI_HEADER_BYTES 36u // ACPI 6.5, 5.2.6
#define ACPI_LINES_MOST   32u // of the log: what is wrong after that is only counted
#define ACPI_LINE_BYTES   128u

// A whole table, header included.
struct acpi_bytes {
    const uint8_t *bytes;
    uint32_t length;
};

struct acpi_log {
    void (*line)(void *context, const char *line); // NULL: nobody listens
    void *context;
    unsigned problems;
};

// Counts a problem and says it in one line, without a line feed.
__attribute__((format(printf, 2, 3))) void acpi_problem(struct acpi_log *log, const char *how, ...);

// One of the entries behind a table's fixed part, in MADT and SRAT: type and length come first.
struct acpi_entry {
    const uint8_t *bytes; // from the type on
    uint8_t type, length;
};

enum acpi_step {
    ACPI_STEP_ENTRY,
    ACPI_STEP_END,
    ACPI_STEP_BROKEN, // an entry that is shorter than its type demands, or leaves the table
};

// Goes to the entry at offset `*at`, and `*at` behind it. least[type] is how many bytes an entry of
// a type has at least, for types below `types`; entries of other types need only their head.
enum acpi_step acpi_next(const struct acpi_bytes *table, uint32_t *at, const uint8_t *least,
                         unsigned types, struct acpi_entry *entry);

// "Generic address structure", 12 bytes: ACPI 6.5, 5.2.3.2.
enum acpi_space {
    ACPI_SPACE_NONE,
    ACPI_SPACE_MEMORY,
    ACPI_SPACE_PORT,
    ACPI_SPACE_PCI, // configuration space of a function on bus 0
};

#define ACPI_REGISTER_BYTES 12u

struct acpi_register {
    enum acpi_space space; // NONE: there is no such register
    uint8_t bits;          // its width, 0 if not told
    uint8_t access;        // of how many bits: 1, 2, 3, 4 are 8, 16, 32, 64; 0: not told
    uint64_t address;      // as `space` counts
};

// ACPI_SPACE_NONE for the address 0, for spaces that are not in the list, and for ports no PC has.
struct acpi_register acpi_register_at(const uint8_t *bytes);

#endif
