// SPDX-License-Identifier: MIT
#include "efi_tables.h"

#include "bytes.h"
#include "string.h"

#define SYSTEM_SIGNATURE 0x5453595320494249u // "IBI SYST"
#define GUID_BYTES       16u

// Offsets of the count and of the pointer, and sizes, by the width of the firmware's words.
struct layout {
    unsigned count, pointer, table_bytes, entry_bytes;
};
static const struct layout narrow_layout = {64, 68, 72, 20};
static const struct layout wide_layout = {104, 112, 120, 24};

// EFI_ACPI_20_TABLE_GUID and ACPI_TABLE_GUID as they stand in memory.
static const uint8_t guid_acpi_2[GUID_BYTES] = {0x71, 0xe8, 0x68, 0x88, 0xf1, 0xe4, 0xd3, 0x11,
                                                0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81};
static const uint8_t guid_acpi_1[GUID_BYTES] = {0x30, 0x2d, 0x9d, 0xeb, 0x88, 0x2d, 0xd3, 0x11,
                                                0x9a, 0x16, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d};

// SMBIOS3_TABLE_GUID and SMBIOS_TABLE_GUID.
static const uint8_t guid_smbios_3[GUID_BYTES] = {0x44, 0x15, 0xfd, 0xf2, 0x94, 0x97, 0x2c, 0x4a,
                                                  0x99, 0x2e, 0xe5, 0xbb, 0xcf, 0x20, 0xe3, 0x94};
static const uint8_t guid_smbios[GUID_BYTES] = {0x31, 0x2d, 0x9d, 0xeb, 0x88, 0x2d, 0xd3, 0x11,
                                                0x9a, 0x16, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d};

static uint64_t word(const uint8_t *at, bool wide)
{
    return wide ? bytes_u64(at) : bytes_u32(at);
}

// What the configuration table has under one GUID, or else under another.
static uint64_t find(const struct boot_memory *memory, uint64_t at, bool wide,
                     const uint8_t *better, const uint8_t *worse)
{
    const struct layout *layout = wide ? &wide_layout : &narrow_layout;
    const uint8_t *system = boot_memory_at(memory, at, layout->table_bytes);
    if (system == NULL || bytes_u64(system) != SYSTEM_SIGNATURE)
        return 0;
    const uint64_t count = word(system + layout->count, wide);
    if (count > EFI_CONFIGURATION_MOST)
        return 0;
    const uint8_t *entry =
        boot_memory_at(memory, word(system + layout->pointer, wide), count * layout->entry_bytes);
    uint64_t old = 0;
    for (uint64_t i = 0; entry != NULL && i < count; i++, entry += layout->entry_bytes) {
        if (memcmp(entry, better, GUID_BYTES) == 0)
            return word(entry + GUID_BYTES, wide);
        if (memcmp(entry, worse, GUID_BYTES) == 0)
            old = word(entry + GUID_BYTES, wide);
    }
    return old;
}

uint64_t efi_find_rsdp(const struct boot_memory *memory, uint64_t at, bool wide)
{
    return find(memory, at, wide, guid_acpi_2, guid_acpi_1);
}

uint64_t efi_find_smbios(const struct boot_memory *memory, uint64_t at, bool wide)
{
    return find(memory, at, wide, guid_smbios_3, guid_smbios);
}
