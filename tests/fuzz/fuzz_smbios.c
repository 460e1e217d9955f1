// SPDX-License-Identifier: MIT
// SMBIOS's tables: a byte of flags, and a memory with the entry point at its start and the
// structures behind it. Whatever stands there, texts are printable and end, all counts are bounded,
// two readings agree, and nothing outside is read.
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "compiler.h"
#include "smbios.h"

#define BASE         0xf0000u // where the search looks too
#define FLAG_DAMAGED 1u       // leave the entry point as it is
#define FLAG_SEARCH  2u       // no loader tells it
#define FLAG_WIDE    4u       // it is one of 64 bits
#define FLAG_CUT     8u       // leave where the structures are, and how many bytes
#define STRUCTURES   0x20u    // where they begin, otherwise

static void check(bool right)
{
    if (!right)
        abort();
}

static void put(uint8_t *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

// Makes the entry point one that adds up: nothing would be read behind another.
static void mend(uint8_t *bytes, size_t length, unsigned flags)
{
    const bool wide = (flags & FLAG_WIDE) != 0;
    const unsigned own = wide ? 0x18 : 0x1f, sum_at = wide ? 5 : 4;
    uint8_t sum = 0;
    if (length < STRUCTURES)
        return;
    memcpy(bytes, wide ? "_SM3_" : "_SM_", wide ? 5 : 4);
    bytes[wide ? 6 : 5] = (uint8_t)own;
    if ((flags & FLAG_CUT) == 0) {
        put(bytes + (wide ? 0x0c : 0x16), length - STRUCTURES, wide ? 4 : 2);
        put(bytes + (wide ? 0x10 : 0x18), BASE + STRUCTURES, wide ? 8 : 4);
    }
    bytes[sum_at] = 0;
    for (unsigned i = 0; i < own; i++)
        sum = (uint8_t)(sum + bytes[i]);
    bytes[sum_at] = (uint8_t)-sum;
}

static void check_found(const struct smbios_info *found)
{
    const char *const texts[] = {
        found->firmware_maker, found->firmware_version, found->firmware_date, found->system_maker,
        found->system_product, found->board_maker,      found->board_product};
    check(found->structures <= SMBIOS_STRUCTURES_MOST);
    check(found->memory_devices <= found->structures);
    check(found->memory_mib <= (uint64_t)found->memory_devices * 0x7fffffff);
    check(found->memory_speed <= UINT16_MAX &&
          (found->memory_devices > 0 || found->memory_mib == 0));
    check(found->entry != 0 || (found->structures == 0 && !found->broken));
    for (unsigned i = 0; i < ARRAY_COUNT(texts); i++) {
        const size_t length = strnlen(texts[i], SMBIOS_TEXT_BYTES);
        check(length < SMBIOS_TEXT_BYTES);
        check(length == 0 || (texts[i][0] != ' ' && texts[i][length - 1] != ' '));
        for (size_t k = 0; k < length; k++)
            check(texts[i][k] >= ' ' && texts[i][k] <= '~');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct smbios_info found, again;
    if (size == 0)
        return 0;
    const size_t length = size - 1;
    uint8_t *bytes = malloc(size); // exactly what may be read, but for one byte
    check(bytes != NULL);
    memcpy(bytes, data + 1, length);
    if ((data[0] & FLAG_DAMAGED) == 0)
        mend(bytes, length, data[0]);
    const struct boot_memory readable = {bytes, BASE, length};
    const uint64_t told = (data[0] & FLAG_SEARCH) != 0 ? 0 : BASE;
    smbios_read(&found, readable, told);
    smbios_read(&again, readable, told);
    check(memcmp(&found, &again, sizeof(found)) == 0);
    check_found(&found);
    free(bytes);
    return 0;
}
