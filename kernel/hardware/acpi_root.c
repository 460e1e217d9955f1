// SPDX-License-Identifier: MIT
#include "acpi_root.h"

#include "bytes.h"
#include "string.h"

#define RSDP_SIGNATURE  "RSD PTR "
#define RSDP_REVISION   15
#define RSDP_RSDT       16
#define RSDP_LENGTH     20
#define RSDP_XSDT       24
#define RSDP_OLD_BYTES  20u // ACPI 1.0
#define RSDP_BYTES      36u
#define RSDP_BYTES_MOST 4096u
#define RSDP_ALIGNMENT  16u

#define EBDA_SEGMENT 0x40eu // BIOS data area: segment of the extended BIOS data area
#define EBDA_LEAST   0x500u // behind the BIOS data area
#define EBDA_BYTES   1024u
#define BIOS_START   0xe0000u
#define BIOS_END     0x100000u

uint8_t acpi_sum(const uint8_t *bytes, uint64_t length)
{
    uint8_t sum = 0;
    for (uint64_t i = 0; i < length; i++)
        sum = (uint8_t)(sum + bytes[i]);
    return sum;
}

bool acpi_root_at(const struct boot_memory *memory, uint64_t at, struct acpi_root *root)
{
    const uint8_t *bytes = boot_memory_at(memory, at, RSDP_OLD_BYTES);
    if (bytes == NULL || memcmp(bytes, RSDP_SIGNATURE, sizeof(RSDP_SIGNATURE) - 1) != 0 ||
        acpi_sum(bytes, RSDP_OLD_BYTES) != 0)
        return false;
    *root = (struct acpi_root){.address = at, .rsdt = bytes_u32(bytes + RSDP_RSDT)};
    if (bytes[RSDP_REVISION] < 2)
        return true;
    root->broken = true;
    if (!boot_memory_holds(memory, at, RSDP_BYTES))
        return true;
    const uint32_t length = bytes_u32(bytes + RSDP_LENGTH);
    if (length < RSDP_BYTES || length > RSDP_BYTES_MOST || !boot_memory_holds(memory, at, length) ||
        acpi_sum(bytes, length) != 0)
        return true;
    root->broken = false;
    root->xsdt = bytes_u64(bytes + RSDP_XSDT);
    return true;
}

static bool search(const struct boot_memory *memory, uint64_t start, uint64_t end,
                   struct acpi_root *root)
{
    for (uint64_t at = start; at < end; at += RSDP_ALIGNMENT) {
        if (acpi_root_at(memory, at, root))
            return true;
    }
    return false;
}

bool acpi_root_search(const struct boot_memory *memory, struct acpi_root *root)
{
    const uint8_t *segment = boot_memory_at(memory, EBDA_SEGMENT, 2);
    const uint64_t ebda = segment != NULL ? (uint64_t)bytes_u16(segment) * 16 : 0;
    return (ebda >= EBDA_LEAST && search(memory, ebda, ebda + EBDA_BYTES, root)) ||
           search(memory, BIOS_START, BIOS_END, root);
}
