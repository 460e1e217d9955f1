// SPDX-License-Identifier: MIT
#include "boot_info.h"

#include "bytes.h"
#include "compiler.h"
#include "efi_tables.h"

// ---- checked reads -----------------------------------------------------------------------------

// The caller has checked that they are readable.
static uint32_t read_u32(const struct boot_memory *memory, uint64_t at)
{
    return bytes_u32(memory->bytes + (at - memory->base));
}

static uint64_t read_u64(const struct boot_memory *memory, uint64_t at)
{
    return bytes_u64(memory->bytes + (at - memory->base));
}

// ---- collecting --------------------------------------------------------------------------------

enum status boot_info_take(struct boot_info *info, uint64_t start, uint64_t length)
{
    if (length == 0)
        return STATUS_OK;
    if (length > UINT64_MAX - start)
        return STATUS_INVALID;
    if (info->taken_count == BOOT_TAKEN_MOST)
        return STATUS_TOO_LARGE;
    info->taken[info->taken_count++] = (struct boot_range){start, start + length};
    return STATUS_OK;
}

static enum status offer(struct boot_info *info, uint64_t start, uint64_t length)
{
    if (info->available_count == BOOT_AVAILABLE_MOST)
        return STATUS_TOO_LARGE;
    info->available[info->available_count++] = (struct boot_range){start, start + length};
    info->memory_bytes += length; // below 2^64 even if ranges overlap: see add_entry
    return STATUS_OK;
}

// No machine has 2^52 bytes of physical addresses or more (AMD64 vol. 2, 5.1): an entry beyond is
// damage, and with it gone the sums here cannot wrap around.
#define PHYSICAL_END ((uint64_t)1 << 52)

// One entry of a memory map. Both protocols use the types of the BIOS's E820: 1 is RAM,
// 3 and 4 are ACPI's (ACPI 6.5, table 15.6).
static enum status add_entry(struct boot_info *info, uint64_t start, uint64_t length, uint32_t type)
{
    if (length == 0)
        return STATUS_OK;
    if (start >= PHYSICAL_END || length > PHYSICAL_END - start)
        return type == 1 ? STATUS_CORRUPT : STATUS_OK; // nobody would use that anyway
    if (type == 1)
        return offer(info, start, length);
    if ((type == 3 || type == 4) && info->firmware_count < BOOT_FIRMWARE_MOST)
        info->firmware[info->firmware_count++] = (struct boot_range){start, start + length};
    return boot_info_take(info, start, length);
}

// Copies a terminated command line of at most `limit` bytes, terminator included. On failure what
// was read stays, terminated: a refusal can still carry the session that stands in it.
static enum status copy_arguments(struct boot_info *info, const struct boot_memory *memory,
                                  uint64_t at, uint64_t limit)
{
    for (uint64_t i = 0; i < limit; i++) {
        info->arguments[i] = '\0';
        if (!boot_memory_holds(memory, at, i + 1))
            return STATUS_CORRUPT;
        const uint8_t c = memory->bytes[at - memory->base + i];
        if (c == 0)
            return STATUS_OK;
        if (i == BOOT_ARGUMENTS_MOST - 1)
            return STATUS_TOO_LARGE;
        info->arguments[i] = c >= 0x20 && c <= 0x7e ? (char)c : ' ';
        info->arguments[i + 1] = '\0';
    }
    return STATUS_CORRUPT;
}

// ---- PVH ---------------------------------------------------------------------------------------

// Offsets and sizes of struct hvm_start_info, hvm_modlist_entry and hvm_memmap_table_entry.
#define PVH_MAGIC           0x336ec578u
#define PVH_VERSION         4
#define PVH_MODULES         12
#define PVH_MODULE_LIST     16
#define PVH_COMMAND_LINE    24
#define PVH_RSDP            32
#define PVH_MAP             40
#define PVH_MAP_ENTRIES     48
#define PVH_BYTES           56
#define PVH_MODULE_BYTES    32
#define PVH_MAP_ENTRY_BYTES 24

static enum status read_pvh_modules(struct boot_info *info, const struct boot_memory *memory,
                                    uint64_t at, uint32_t count)
{
    const uint64_t bytes = (uint64_t)count * PVH_MODULE_BYTES;
    if (count > BOOT_ENTRIES_MOST || !boot_memory_holds(memory, at, bytes))
        return STATUS_CORRUPT;
    enum status status = boot_info_take(info, at, bytes);
    for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
        const uint64_t entry = at + (uint64_t)i * PVH_MODULE_BYTES;
        status = boot_info_take(info, read_u64(memory, entry), read_u64(memory, entry + 8));
    }
    return status == STATUS_INVALID ? STATUS_CORRUPT : status;
}

static enum status read_pvh_map(struct boot_info *info, const struct boot_memory *memory,
                                uint64_t at, uint32_t count)
{
    const uint64_t bytes = (uint64_t)count * PVH_MAP_ENTRY_BYTES;
    if (count == 0 || count > BOOT_ENTRIES_MOST || !boot_memory_holds(memory, at, bytes))
        return STATUS_CORRUPT;
    enum status status = boot_info_take(info, at, bytes);
    for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
        const uint64_t entry = at + (uint64_t)i * PVH_MAP_ENTRY_BYTES;
        status = add_entry(info, read_u64(memory, entry), read_u64(memory, entry + 8),
                           read_u32(memory, entry + 16));
    }
    return status;
}

static enum status read_pvh(struct boot_info *info, const struct boot_memory *memory, uint64_t at)
{
    if (!boot_memory_holds(memory, at, PVH_BYTES) || read_u32(memory, at) != PVH_MAGIC)
        return STATUS_INVALID;
    // Version 0 has no memory map; its size is not even that of this structure.
    if (read_u32(memory, at + PVH_VERSION) < 1)
        return STATUS_CORRUPT;
    enum status status = boot_info_take(info, at, PVH_BYTES);
    info->rsdp = read_u64(memory, at + PVH_RSDP);
    const uint32_t modules = read_u32(memory, at + PVH_MODULES);
    if (status == STATUS_OK && modules > 0)
        status = read_pvh_modules(info, memory, read_u64(memory, at + PVH_MODULE_LIST), modules);
    const uint64_t line = read_u64(memory, at + PVH_COMMAND_LINE);
    if (status == STATUS_OK && line != 0)
        status = copy_arguments(info, memory, line, BOOT_ARGUMENTS_MOST);
    if (status == STATUS_OK)
        status = read_pvh_map(info, memory, read_u64(memory, at + PVH_MAP),
                              read_u32(memory, at + PVH_MAP_ENTRIES));
    return status;
}

// ---- Multiboot2 --------------------------------------------------------------------------------

#define TAG_END          0u
#define TAG_COMMAND_LINE 1u
#define TAG_MODULE       3u
#define TAG_MAP          6u
#define TAG_SCREEN       8u
#define TAG_EFI_32       11u
#define TAG_EFI_64       12u
#define TAG_RSDP_OLD     14u // a copy of ACPI 1.0's root pointer
#define TAG_RSDP_NEW     15u // of ACPI 2.0's
#define TAG_HEADER_BYTES 8u
#define MAP_HEADER_BYTES 16u // tag header, entry size, entry version
#define MAP_ENTRY_BYTES  24u // the least an entry has
#define MODULE_BYTES     16u // tag header, start, end; a string follows
#define SCREEN_BYTES     32u // what screens of all kinds have
#define SCREEN_COLOURS   38u // with the places of the colours
#define SCREEN_IS_PIXELS 1u
#define SCREEN_IS_TEXT   2u

static enum status read_map_tag(struct boot_info *info, const struct boot_memory *memory,
                                uint64_t tag, uint32_t size)
{
    if (size < MAP_HEADER_BYTES)
        return STATUS_CORRUPT;
    const uint32_t entry_bytes = read_u32(memory, tag + 8);
    if (entry_bytes < MAP_ENTRY_BYTES || entry_bytes % 8 != 0)
        return STATUS_CORRUPT;
    const uint32_t count = (size - MAP_HEADER_BYTES) / entry_bytes;
    if (count == 0 || count > BOOT_ENTRIES_MOST)
        return STATUS_CORRUPT;
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
        const uint64_t entry = tag + MAP_HEADER_BYTES + (uint64_t)i * entry_bytes;
        status = add_entry(info, read_u64(memory, entry), read_u64(memory, entry + 8),
                           read_u32(memory, entry + 16));
    }
    return status;
}

static enum status read_module_tag(struct boot_info *info, const struct boot_memory *memory,
                                   uint64_t tag, uint32_t size)
{
    if (size < MODULE_BYTES)
        return STATUS_CORRUPT;
    const uint32_t start = read_u32(memory, tag + 8);
    const uint32_t end = read_u32(memory, tag + 12);
    if (end < start)
        return STATUS_CORRUPT;
    return boot_info_take(info, start, end - start);
}

static struct screen_colour colour_at(const uint8_t *bytes)
{
    return (struct screen_colour){bytes[0], bytes[1]};
}

// A screen that cannot be is none: the machine can do without. Colours by a palette are left out.
static void read_screen_tag(struct boot_info *info, const struct boot_memory *memory, uint64_t tag,
                            uint32_t size)
{
    const uint8_t *bytes = memory->bytes + (tag - memory->base);
    if (size < SCREEN_BYTES)
        return;
    struct screen_surface screen = {.address = bytes_u64(bytes + 8),
                                    .pitch = bytes_u32(bytes + 16),
                                    .width = bytes_u32(bytes + 20),
                                    .height = bytes_u32(bytes + 24),
                                    .bits = bytes[28]};
    if (bytes[29] == SCREEN_IS_TEXT) {
        screen.kind = SCREEN_TEXT;
    } else if (bytes[29] == SCREEN_IS_PIXELS && size >= SCREEN_COLOURS) {
        screen.kind = SCREEN_PIXELS;
        screen.red = colour_at(bytes + SCREEN_BYTES);
        screen.green = colour_at(bytes + SCREEN_BYTES + 2);
        screen.blue = colour_at(bytes + SCREEN_BYTES + 4);
    }
    if (screen_surface_works(&screen))
        info->screen = screen;
}

// Where ACPI's root pointer is if this tag tells it, 0 if not.
static uint64_t root_pointer(const struct boot_memory *memory, uint64_t tag, uint32_t type,
                             uint32_t size)
{
    const uint64_t content = tag + TAG_HEADER_BYTES;
    const uint32_t length = size - TAG_HEADER_BYTES;
    switch (type) {
    case TAG_EFI_32:
        return length < 4 ? 0 : efi_find_rsdp(memory, read_u32(memory, content), false);
    case TAG_EFI_64:
        return length < 8 ? 0 : efi_find_rsdp(memory, read_u64(memory, content), true);
    case TAG_RSDP_OLD:
    case TAG_RSDP_NEW:
        return length == 0 ? 0 : content;
    default:
        return 0;
    }
}

// GRUB hands no copy of these tables on; under BIOS they are searched for.
static uint64_t smbios_of(const struct boot_memory *memory, uint64_t tag, uint32_t type,
                          uint32_t size)
{
    const uint64_t content = tag + TAG_HEADER_BYTES;
    const uint32_t length = size - TAG_HEADER_BYTES;
    if (type == TAG_EFI_32 && length >= 4)
        return efi_find_smbios(memory, read_u32(memory, content), false);
    return type == TAG_EFI_64 && length >= 8
               ? efi_find_smbios(memory, read_u64(memory, content), true)
               : 0;
}

static enum status read_tag(struct boot_info *info, const struct boot_memory *memory, uint64_t tag,
                            uint32_t type, uint32_t size)
{
    switch (type) {
    case TAG_COMMAND_LINE:
        return copy_arguments(info, memory, tag + TAG_HEADER_BYTES, size - TAG_HEADER_BYTES);
    case TAG_MODULE:
        return read_module_tag(info, memory, tag, size);
    case TAG_MAP:
        return read_map_tag(info, memory, tag, size);
    case TAG_SCREEN:
        read_screen_tag(info, memory, tag, size);
        return STATUS_OK;
    default:
        return STATUS_OK;
    }
}

static enum status read_multiboot2(struct boot_info *info, const struct boot_memory *memory,
                                   uint64_t at)
{
    if (at % 8 != 0 || !boot_memory_holds(memory, at, 8))
        return STATUS_INVALID;
    const uint32_t total = read_u32(memory, at);
    if (total < 8 + TAG_HEADER_BYTES || !boot_memory_holds(memory, at, total))
        return STATUS_CORRUPT;
    enum status status = boot_info_take(info, at, total);
    // Invariant: position <= total, so `total - position` is what is left of the tables.
    uint32_t position = 8, told_by = 0;
    while (status == STATUS_OK) {
        if (total - position < TAG_HEADER_BYTES)
            return STATUS_CORRUPT; // the end tag is missing
        const uint32_t type = read_u32(memory, at + position);
        const uint32_t size = read_u32(memory, at + position + 4);
        if (size < TAG_HEADER_BYTES || size > total - position)
            return STATUS_CORRUPT;
        if (type == TAG_END)
            break;
        status = read_tag(info, memory, at + position, type, size);
        const uint64_t root = root_pointer(memory, at + position, type, size);
        if (root != 0 && type >= told_by) { // their numbers rise from the worst to the best
            info->rsdp = root;
            told_by = type;
        }
        const uint64_t smbios = smbios_of(memory, at + position, type, size);
        info->smbios = smbios != 0 ? smbios : info->smbios;
        // The padding behind the last tag may be cut off with the end tag: then it is missing too.
        position += (uint32_t)min_u64(align_up(size, 8), total - position);
    }
    return status;
}

// ---- both --------------------------------------------------------------------------------------

enum status boot_info_read(struct boot_info *info, unsigned protocol, struct boot_memory memory,
                           uint64_t at)
{
    info->protocol = protocol;
    info->available_count = info->taken_count = info->firmware_count = 0;
    info->memory_bytes = info->rsdp = info->smbios = 0;
    info->screen = (struct screen_surface){.kind = SCREEN_NONE};
    info->arguments[0] = '\0';
    enum status status = STATUS_INVALID;
    if (protocol == BOOT_BY_PVH)
        status = read_pvh(info, &memory, at);
    else if (protocol == BOOT_BY_MULTIBOOT2)
        status = read_multiboot2(info, &memory, at);
    if (status == STATUS_OK && info->available_count == 0)
        status = STATUS_CORRUPT;
    return status;
}

// The end of the free memory that begins at `start`, at most `end`; not above `start` if that is
// taken.
static uint64_t free_until(const struct boot_info *info, uint64_t start, uint64_t end)
{
    for (unsigned i = 0; i < info->taken_count; i++) {
        const struct boot_range *taken = &info->taken[i];
        if (taken->end > start)
            end = min_u64(end, taken->start);
    }
    return end;
}

bool boot_info_longest(const struct boot_info *info, uint64_t lowest, uint64_t highest,
                       uint64_t alignment, struct boot_range *longest)
{
    *longest = (struct boot_range){0, 0};
    for (unsigned i = 0; i < info->available_count; i++) {
        const uint64_t start = max_u64(info->available[i].start, lowest);
        const uint64_t end = min_u64(info->available[i].end, highest);
        // A free run begins where the RAM does or where something taken ends.
        for (unsigned k = 0; k <= info->taken_count; k++) {
            const uint64_t begin = k == 0 ? start : max_u64(info->taken[k - 1].end, start);
            if (begin >= end)
                continue;
            const uint64_t low = align_up(begin, alignment);
            if (low >= end)
                continue;
            const uint64_t high = free_until(info, low, end) & ~(alignment - 1);
            if (high > low && high - low > longest->end - longest->start)
                *longest = (struct boot_range){low, high};
        }
    }
    return longest->end > longest->start;
}
