// SPDX-License-Identifier: MIT
#include "smbios.h"

#include "bytes.h"
#include "compiler.h"
#include "string.h"

// DSP0134, 5.2: the entry points of 32 and of 64 bits, and where a BIOS puts them.
#define SEARCH_START 0xf0000u
#define SEARCH_END   0x100000u
#define SEARCH_STEP  16u
#define ENTRY_32     0x1fu // bytes
#define ENTRY_64     0x18u
#define ENTRY_MOST   0xffu

// 6.1.2: type, length, handle; then strings, each terminated, and one terminator more.
#define HEADER_BYTES  4u
#define END_OF_TABLES 127u

enum { FIRMWARE = 0, SYSTEM = 1, BOARD = 2, MEMORY_DEVICE = 17 };

struct structures {
    uint64_t address;
    uint32_t length;
};

static bool adds_up(const uint8_t *bytes, unsigned length)
{
    uint8_t sum = 0;
    for (unsigned i = 0; i < length; i++)
        sum = (uint8_t)(sum + bytes[i]);
    return sum == 0;
}

static bool entry_at(const struct boot_memory *memory, uint64_t at, struct structures *found)
{
    const uint8_t *bytes = boot_memory_at(memory, at, ENTRY_64);
    if (bytes == NULL)
        return false;
    const bool wide = memcmp(bytes, "_SM3_", 5) == 0;
    if (!wide && memcmp(bytes, "_SM_", 4) != 0)
        return false;
    const unsigned length = bytes[wide ? 6 : 5];
    bytes = boot_memory_at(memory, at, length);
    if (length < (wide ? ENTRY_64 : ENTRY_32) || bytes == NULL || !adds_up(bytes, length))
        return false;
    found->address = wide ? bytes_u64(bytes + 0x10) : bytes_u32(bytes + 0x18);
    found->length = wide ? bytes_u32(bytes + 0x0c) : bytes_u16(bytes + 0x16);
    return true;
}

static uint64_t find_entry(const struct boot_memory *memory, uint64_t told,
                           struct structures *found)
{
    if (told != 0)
        return entry_at(memory, told, found) ? told : 0;
    uint64_t old = 0;
    for (uint64_t at = SEARCH_START; at < SEARCH_END; at += SEARCH_STEP) {
        struct structures one;
        if (!entry_at(memory, at, &one))
            continue;
        // That of 64 bits, if there are both, reaches everything.
        const bool wide = memcmp(memory->bytes + (at - memory->base), "_SM3_", 5) == 0;
        if (wide || old == 0) {
            *found = one;
            old = at;
        }
        if (wide)
            break;
    }
    return old;
}

// ---- one structure ------------------------------------------------------------------------------

struct structure {
    const uint8_t *bytes;
    unsigned length; // of the formatted part
    const uint8_t *strings;
    uint32_t string_bytes; // terminators included
};

// String `number`, from 1 on, without blanks at its ends.
static void copy_text(const struct structure *one, unsigned field, char text[SMBIOS_TEXT_BYTES])
{
    const unsigned number = field < one->length ? one->bytes[field] : 0;
    const uint8_t *at = one->strings, *const end = one->strings + one->string_bytes;
    unsigned length = 0;
    if (number == 0)
        return;
    for (unsigned i = 1; i < number && at < end; i++) {
        while (at < end && *at != 0)
            at++;
        at++;
    }
    for (; at < end && *at != 0 && length < SMBIOS_TEXT_BYTES - 1; at++) {
        if (*at != ' ' || length > 0)
            text[length++] = *at >= ' ' && *at <= '~' ? (char)*at : '?';
    }
    while (length > 0 && text[length - 1] == ' ')
        length--;
    text[length] = '\0';
}

static unsigned word(const struct structure *one, unsigned field)
{
    return field + 2 <= one->length ? bytes_u16(one->bytes + field) : 0;
}

// 7.18: what it is set to (from version 2.7 on), or else what it could do. 0: neither is told.
static unsigned speed_of(const struct structure *one, bool *rated)
{
    const unsigned set = word(one, 0x20), could = word(one, 0x15);
    *rated = set == 0 || set == 0xffff;
    if (!*rated)
        return set;
    return could != 0xffff ? could : 0;
}

// 7.18: size in MiB, in KiB with bit 15; 7FFFh: in the extended field. 0: nothing is plugged in.
static void take_memory(struct smbios_info *info, const struct structure *one)
{
    const unsigned size = word(one, 0x0c);
    bool rated;
    const unsigned speed = speed_of(one, &rated);
    if (size == 0)
        return;
    info->memory_devices++;
    if (size == 0x7fff)
        info->memory_mib += one->length >= 0x20 ? bytes_u32(one->bytes + 0x1c) & 0x7fffffff : 0;
    else if (size != 0xffff)
        info->memory_mib += (size & 0x8000) != 0 ? (size & 0x7fff) / 1024 : size;
    if (speed != 0 && (info->memory_speed == 0 || speed < info->memory_speed)) {
        info->memory_speed = speed;
        info->memory_rated = rated;
    }
}

static void take(struct smbios_info *info, const struct structure *one)
{
    switch (one->bytes[0]) {
    case FIRMWARE:
        copy_text(one, 4, info->firmware_maker);
        copy_text(one, 5, info->firmware_version);
        copy_text(one, 8, info->firmware_date);
        break;
    case SYSTEM:
        copy_text(one, 4, info->system_maker);
        copy_text(one, 5, info->system_product);
        break;
    case BOARD:
        copy_text(one, 4, info->board_maker);
        copy_text(one, 5, info->board_product);
        break;
    case MEMORY_DEVICE:
        take_memory(info, one);
        break;
    default:
        break;
    }
}

// Of the structure at bytes[0], of at most `left` bytes. False: it is not whole.
static bool cut(const uint8_t *bytes, uint32_t left, struct structure *one)
{
    if (left < HEADER_BYTES || bytes[1] < HEADER_BYTES || bytes[1] > left)
        return false;
    *one = (struct structure){.bytes = bytes, .length = bytes[1], .strings = bytes + bytes[1]};
    const uint32_t most = left - one->length;
    for (uint32_t i = 0; i + 2 <= most; i++) {
        if (one->strings[i] == 0 && one->strings[i + 1] == 0) {
            one->string_bytes = i + 2;
            return true;
        }
    }
    return false;
}

void smbios_read(struct smbios_info *info, struct boot_memory memory, uint64_t told)
{
    struct structures found = {0};
    *info = (struct smbios_info){0};
    info->entry = find_entry(&memory, told, &found);
    if (info->entry == 0)
        return;
    const uint8_t *at = found.length <= SMBIOS_BYTES_MOST
                            ? boot_memory_at(&memory, found.address, found.length)
                            : NULL;
    info->broken = at == NULL;
    for (uint32_t left = found.length; at != NULL && left > 0;) {
        struct structure one;
        if (!cut(at, left, &one) || info->structures == SMBIOS_STRUCTURES_MOST) {
            info->broken = true;
            return;
        }
        info->structures++;
        take(info, &one);
        if (at[0] == END_OF_TABLES)
            return;
        at += one.length + one.string_bytes;
        left -= one.length + one.string_bytes;
    }
}
