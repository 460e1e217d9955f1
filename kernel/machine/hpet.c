// SPDX-License-Identifier: MIT
// IA-PC HPET Specification 1.0a, 2.3.
#include "hpet.h"

#define CAPABILITIES         0x000 // revision 7:0, 64-bit counter 13, vendor 31:16, period 63:32
#define CONFIGURATION        0x010
#define CONFIGURATION_ENABLE ((uint64_t)1 << 0)
#define COUNTER              0x0f0

#define PERIOD_MOST_FS  100000000u // 2.3.4: at least 10 MHz
#define PERIOD_LEAST_FS 1000000u   // 1 GHz: faster than any that was built
#define FS_PER_NS       1000000u

static uint32_t period_fs; // 0: no timer

static volatile uint64_t *registers(unsigned offset)
{
    return (volatile uint64_t *)(uintptr_t)(HPET_ADDRESS + offset);
}

bool hpet_init(void)
{
    const uint64_t capabilities = *registers(CAPABILITIES);
    const uint32_t period = (uint32_t)(capabilities >> 32);
    const uint8_t revision = (uint8_t)capabilities;
    const uint16_t vendor = (uint16_t)(capabilities >> 16);
    // Where nothing answers, all bits read as ones or as zeros; both fail here.
    if (revision == 0 || vendor == 0 || vendor == 0xffff || (capabilities >> 13 & 1) == 0 ||
        period < PERIOD_LEAST_FS || period > PERIOD_MOST_FS)
        return false;
    *registers(CONFIGURATION) |= CONFIGURATION_ENABLE;
    period_fs = period;
    return true;
}

uint64_t hpet_ns(void)
{
    if (period_fs == 0)
        return 0;
    const uint64_t count = *registers(COUNTER);
    // count * period / FS_PER_NS in two parts: the product alone would overflow after hours.
    return count / FS_PER_NS * period_fs + count % FS_PER_NS * period_fs / FS_PER_NS;
}
