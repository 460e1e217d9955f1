// SPDX-License-Identifier: MIT
#include "timer.h"

#include "compiler.h"
#include "cpu.h"
#include "machine_cpu.h"
#include "ruler.h"

#define US_PER_SECOND 1000000u
#define NS_PER_SECOND 1000000000u
#define NS_PER_US     1000u

// Ratios of frequencies have this many binary places.
#define PLACES 32u

// A 2^-14 longer, 61 ppm: the APIC timer's frequency was measured, and an interrupt that comes too
// early costs a second one.
#define LATE_SHIFT 14u

static uint64_t tsc_hz, apic_hz;
static uint64_t ns_per_tick, ticks_per_ns, apic_ticks_per_ns; // with PLACES

static uint64_t periods_us[CPU_MOST]; // each written by its own CPU; 0: none

static uint64_t ratio(uint64_t of, uint64_t to)
{
    return to == 0 ? 0 : ruler_scale((uint64_t)1 << PLACES, of, to);
}

static uint64_t scaled(uint64_t value, uint64_t by)
{
    return (uint64_t)((unsigned __int128)value * by >> PLACES);
}

void timer_init(uint64_t of_tsc, uint64_t of_apic)
{
    tsc_hz = of_tsc;
    apic_hz = of_apic;
    ns_per_tick = ratio(NS_PER_SECOND, tsc_hz);
    ticks_per_ns = ratio(tsc_hz, NS_PER_SECOND);
    apic_ticks_per_ns = ratio(apic_hz, NS_PER_SECOND);
}

bool timer_ready(void)
{
    const struct apic *apic = &machine_cpu_here()->apic;
    return tsc_hz != 0 && apic->version != 0 && (apic->features.deadline || apic_hz != 0);
}

uint64_t timer_now_ns(void)
{
    return scaled(cpu_ticks(), ns_per_tick);
}

bool timer_after_ns(uint64_t ns)
{
    struct apic *apic = &machine_cpu_here()->apic;
    if (apic->features.deadline && tsc_hz != 0) {
        const uint64_t now = cpu_ticks();
        apic_timer_deadline(apic, now + min_u64(scaled(ns, ticks_per_ns) + 1, UINT64_MAX - now));
        return true;
    }
    if (apic_hz == 0)
        return false;
    const uint64_t ticks = scaled(ns, apic_ticks_per_ns);
    apic_timer_one_shot(apic,
                        (uint32_t)min_u64(ticks + (ticks >> LATE_SHIFT) + 1, APIC_TICKS_MOST));
    return true;
}

bool timer_after_us(uint64_t us)
{
    return timer_after_ns(min_u64(us, UINT32_MAX) * NS_PER_US);
}

bool timer_every_us(uint64_t us)
{
    // At least one: 0 would mean never.
    const uint64_t ticks = max_u64(1, ruler_scale(us, apic_hz, US_PER_SECOND));
    if (apic_hz == 0 || ticks > APIC_TICKS_MOST)
        return false;
    periods_us[cpu_index()] = us;
    apic_timer_periodic(&machine_cpu_here()->apic, (uint32_t)ticks);
    return true;
}

void timer_stop(void)
{
    periods_us[cpu_index()] = 0;
    apic_timer_stop(&machine_cpu_here()->apic);
}

void timer_resume(void)
{
    const uint64_t us = periods_us[cpu_index()];
    if (us == 0 || !timer_every_us(us))
        timer_stop();
}
