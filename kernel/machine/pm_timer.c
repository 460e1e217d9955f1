// SPDX-License-Identifier: MIT
#include "pm_timer.h"

#include "x86.h"

#define HZ          3579545u
#define NARROW_BITS 24u
#define WIDE_BITS   32u

static uint64_t read_once(void *port)
{
    return x86_in32((uint16_t)(uintptr_t)port);
}

static uint64_t read_narrow(void *port)
{
    return ruler_read_steady(read_once, port, NARROW_BITS);
}

static uint64_t read_wide(void *port)
{
    return ruler_read_steady(read_once, port, WIDE_BITS);
}

struct ruler pm_timer_ruler(uint16_t port, bool wide)
{
    return (struct ruler){
        .counter =
            {
                .name = "ACPI timer",
                .context = (void *)(uintptr_t)port,
                .read = wide ? read_wide : read_narrow,
                .bits = wide ? WIDE_BITS : NARROW_BITS,
            },
        .hz_numerator = HZ,
        .hz_denominator = 1,
    };
}
