// SPDX-License-Identifier: MIT
// IA-PC HPET Specification 1.0a, 2.3.
#include "hpet.h"

#include <stddef.h>

#define CAPABILITIES         0x000 // revision 7:0, 64-bit counter 13, vendor 31:16, period 63:32
#define CAPABILITIES_WIDE    ((uint64_t)1 << 13)
#define CONFIGURATION        0x010
#define CONFIGURATION_ENABLE ((uint64_t)1 << 0)
#define COUNTER              0x0f0

#define PERIOD_MOST_FS  100000000u // 2.3.4: at least 10 MHz
#define PERIOD_LEAST_FS 1000000u   // 1 GHz: faster than any that was built
#define FS_PER_NS       1000000u
#define FS_PER_SECOND   1000000000000000u

static struct {
    uintptr_t address;
    uint32_t period_fs; // 0: no timer
    unsigned bits;
    uint64_t extended; // the last count, in 64 bits
} hpet;

static volatile uint64_t *registers(uint64_t address, unsigned offset)
{
    return (volatile uint64_t *)(uintptr_t)(address + offset);
}

static uint64_t read(void *context)
{
    (void)context;
    // A counter of 32 bits reads as zeros above (2.3.7).
    return *registers(hpet.address, COUNTER);
}

bool hpet_init(uint64_t address)
{
    const uint64_t capabilities = *registers(address, CAPABILITIES);
    const uint32_t period = (uint32_t)(capabilities >> 32);
    const uint8_t revision = (uint8_t)capabilities;
    const uint16_t vendor = (uint16_t)(capabilities >> 16);
    // Where nothing answers, all bits read as ones or as zeros; both fail here.
    if (revision == 0 || vendor == 0 || vendor == 0xffff || period < PERIOD_LEAST_FS ||
        period > PERIOD_MOST_FS)
        return false;
    *registers(address, CONFIGURATION) |= CONFIGURATION_ENABLE;
    hpet.address = address;
    hpet.bits = (capabilities & CAPABILITIES_WIDE) != 0 ? 64 : 32;
    hpet.extended = read(NULL);
    hpet.period_fs = period;
    return true;
}

uint64_t hpet_ns(void)
{
    if (hpet.period_fs == 0)
        return 0;
    const uint64_t count =
        hpet.bits == 64 ? read(NULL) : ruler_extend(&hpet.extended, read(NULL), hpet.bits);
    // count * period / FS_PER_NS in two parts: the product alone would overflow after hours.
    return count / FS_PER_NS * hpet.period_fs + count % FS_PER_NS * hpet.period_fs / FS_PER_NS;
}

bool hpet_ruler(struct ruler *ruler)
{
    if (hpet.period_fs == 0)
        return false;
    *ruler = (struct ruler){
        .counter = {.name = "HPET", .read = read, .bits = hpet.bits},
        .hz_numerator = FS_PER_SECOND,
        .hz_denominator = hpet.period_fs,
    };
    return true;
}
