// SPDX-License-Identifier: MIT
// The "root system description pointer" (RSDP), where ACPI's tables begin: ACPI 6.5, 5.2.5.
#ifndef ACPI_ROOT_H
#define ACPI_ROOT_H

#include <stdbool.h>
#include <stdint.h>

#include "boot_info.h"

struct acpi_root {
    uint64_t address;
    uint64_t xsdt; // 0: none (ACPI 1.0, or `broken`)
    uint32_t rsdt; // 0: none
    bool broken;   // ACPI 2.0 or later, but what is new in it fails its check
};

// Reads the root pointer at a physical address. False if none stands there that adds up.
bool acpi_root_at(const struct boot_memory *memory, uint64_t at, struct acpi_root *root);

// Searches where the BIOS of a PC puts it: the first KiB of the extended BIOS data area, then
// 0xe0000 to 0xfffff. Reads page 0. False if there is none.
bool acpi_root_search(const struct boot_memory *memory, struct acpi_root *root);

// Sum of bytes modulo 256: 0 over a whole structure of ACPI.
uint8_t acpi_sum(const uint8_t *bytes, uint64_t length);

#endif
