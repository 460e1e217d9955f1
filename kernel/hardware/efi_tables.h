// SPDX-License-Identifier: MIT
// What UEFI firmware leaves behind for an operating system: the system table, and the configuration
// table that it points to. Plain C over bytes; nothing in them is trusted.
// Source: UEFI Specification 2.10, 4.3 (system table) and 4.6 (configuration table).
#ifndef EFI_TABLES_H
#define EFI_TABLES_H

#include <stdbool.h>
#include <stdint.h>

#include "boot_info.h"

#define EFI_CONFIGURATION_MOST 1024u // entries: more is damage

// The physical address of ACPI's root pointer as the system table at `at` tells it, that of
// ACPI 2.0 rather than that of 1.0. `wide` says whether the firmware is one of 64 bits. 0 if it
// tells none or leaves the readable memory.
uint64_t efi_find_rsdp(const struct boot_memory *memory, uint64_t at, bool wide);

// The same for the entry point of SMBIOS, that of 64 bits rather than that of 32.
uint64_t efi_find_smbios(const struct boot_memory *memory, uint64_t at, bool wide);

#endif
