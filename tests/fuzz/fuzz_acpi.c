// SPDX-License-Identifier: MIT
// ACPI's tables: a byte of flags, and a memory with the root pointer at its start.
// Whatever stands there, what is taken is in range, the log is bounded, and nothing outside is
// read.
#include <stdlib.h>
#include <string.h>

#include "acpi_root.h"
#include "acpi_sound.h"
#include "bytes.h"
#include "serial_place.h"

#define BASE         0xf0000u // where the search looks too
#define FLAG_DAMAGED 1u       // leave the checksums as they are
#define FLAG_SEARCH  2u       // no loader tells the root pointer
#define RSDP_OLD     20u
#define RSDP_NEW     36u

struct memory {
    uint8_t *bytes;
    size_t length;
};

static void check(bool right)
{
    if (!right)
        abort();
}

static void hear(void *context, const char *line)
{
    unsigned *lines = context;
    check(++*lines <= ACPI_LINES_MOST && strlen(line) < ACPI_LINE_BYTES);
    for (; *line != '\0'; line++)
        check(*line >= ' ' && *line <= '~');
}

// Where [address, address + length) is; NULL outside.
static uint8_t *at(const struct memory *memory, uint64_t address, uint64_t length)
{
    const bool inside = address >= BASE && address - BASE <= memory->length &&
                        length <= memory->length - (address - BASE);
    return inside ? memory->bytes + (address - BASE) : NULL;
}

static void add_up(uint8_t *bytes, uint64_t length, unsigned check_at)
{
    bytes[check_at] = (uint8_t)(bytes[check_at] - acpi_sum(bytes, length));
}

// The table's length if it is one that can add up; then it does.
static uint32_t mend_table(const struct memory *memory, uint64_t address)
{
    uint8_t *table = at(memory, address, ACPI_HEADER_BYTES);
    const uint32_t length = table != NULL ? bytes_u32(table + 4) : 0;
    if (length < ACPI_HEADER_BYTES || at(memory, address, length) == NULL)
        return 0;
    add_up(table, length, 9);
    return length;
}

static void mend_below(const struct memory *memory, uint64_t address, unsigned pointer_bytes)
{
    const uint32_t length = mend_table(memory, address);
    for (uint32_t i = ACPI_HEADER_BYTES; i + pointer_bytes <= length; i += pointer_bytes) {
        const uint8_t *pointer = at(memory, address + i, pointer_bytes);
        mend_table(memory, pointer_bytes == 8 ? bytes_u64(pointer) : bytes_u32(pointer));
    }
    mend_table(memory, address); // tables may lie over each other
}

// Makes everything add up: nothing would be reached behind a wrong sum.
static void mend(const struct memory *memory)
{
    uint8_t *rsdp = at(memory, BASE, RSDP_OLD);
    if (rsdp == NULL)
        return;
    memcpy(rsdp, "RSD PTR ", 8);
    mend_below(memory, bytes_u32(rsdp + 16), 4);
    if (rsdp[15] >= 2 && at(memory, BASE, RSDP_NEW) != NULL)
        mend_below(memory, bytes_u64(rsdp + 24), 8);
    add_up(rsdp, RSDP_OLD, 8);
    const uint32_t length = rsdp[15] >= 2 && memory->length >= RSDP_NEW ? bytes_u32(rsdp + 20) : 0;
    if (length >= RSDP_NEW && at(memory, BASE, length) != NULL)
        add_up(rsdp, length, 32);
}

// The serial ports that were told of, of which some can be used.
static void check_serial(const struct acpi_serial *told)
{
    struct serial_place place;
    if (!serial_place_of(told->interface, told->registers, &place))
        return;
    check(place.width >= 1 && place.width <= place.stride && place.stride <= 4);
    check(place.memory ? place.address >= PAGE_SIZE : place.address <= UINT16_MAX - 7);
    check(place.address <= UINT64_MAX - serial_place_bytes(&place));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct acpi_info info, again;
    if (size == 0)
        return 0;
    const struct memory memory = {malloc(size), size - 1};
    check(memory.bytes != NULL);
    memcpy(memory.bytes, data + 1, memory.length);
    if ((data[0] & FLAG_DAMAGED) == 0)
        mend(&memory);
    unsigned lines = 0;
    const struct boot_memory readable = {memory.bytes, BASE, memory.length};
    const uint64_t told = data[0] & FLAG_SEARCH ? 0 : BASE;
    acpi_read(&info, readable, told, hear, &lines);
    check(acpi_info_sound(&info));
    check(lines == min_u64(info.problems, ACPI_LINES_MOST));
    acpi_read(&again, readable, told, NULL, NULL);
    check(again.problems == info.problems && again.table_count == info.table_count);
    check_serial(&info.devices.serial);
    for (unsigned i = 0; i < info.devices.debug.count; i++)
        check_serial(&info.devices.debug.ports[i]);
    char text[64];
    check(acpi_tables_text(&info, text, sizeof(text)) == strlen(text));
    free(memory.bytes);
    return 0;
}
