// SPDX-License-Identifier: MIT
#include "timer.h"

#include "compiler.h"
#include "machine_cpu.h"
#include "ruler.h"

#define US_PER_SECOND 1000000u

static uint64_t tsc_hz, apic_hz;

void timer_init(uint64_t of_tsc, uint64_t of_apic)
{
    tsc_hz = of_tsc;
    apic_hz = of_apic;
}

// At least one: 0 would mean never.
static uint64_t ticks_of(uint64_t us, uint64_t hz)
{
    return max_u64(1, ruler_scale(us, hz, US_PER_SECOND));
}

bool timer_after_us(uint64_t us)
{
    struct apic *apic = &machine_cpu_here()->apic;
    if (apic->features.deadline && tsc_hz != 0) {
        const uint64_t now = cpu_ticks();
        apic_timer_deadline(apic, now + min_u64(ticks_of(us, tsc_hz), UINT64_MAX - now));
        return true;
    }
    if (apic_hz == 0)
        return false;
    apic_timer_one_shot(apic, (uint32_t)min_u64(ticks_of(us, apic_hz), APIC_TICKS_MOST));
    return true;
}

bool timer_every_us(uint64_t us)
{
    if (apic_hz == 0 || ticks_of(us, apic_hz) > APIC_TICKS_MOST)
        return false;
    apic_timer_periodic(&machine_cpu_here()->apic, (uint32_t)ticks_of(us, apic_hz));
    return true;
}

void timer_stop(void)
{
    apic_timer_stop(&machine_cpu_here()->apic);
}
