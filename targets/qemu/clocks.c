// SPDX-License-Identifier: MIT
#include "clocks.h"

#include "boot_log.h"
#include "compiler.h"
#include "cpu.h"
#include "format.h"
#include "hpet.h"
#include "kernel.h"
#include "kernel_map.h"
#include "machine_cpu.h"
#include "pit.h"
#include "pm_timer.h"
#include "ruler.h"
#include "timer.h"
#include "tsc_rate.h"
#include "x86.h"

#define ICOUNT_HZ    1000000000u // -icount shift=0: one instruction is one nanosecond
#define SECOND_NS    1000000000u
#define RULERS_MOST  3u
#define SOURCES_MOST (RULERS_MOST + 3)
#define PORT_DELAY   0x80u // POST codes: nothing listens, and an access takes about a microsecond

static const struct calibration_plan plan = {.windows = 3, .window_us = 4000};
// Virtual time does not jitter.
static const struct calibration_plan plan_insn = {.windows = 1, .window_us = 500};

static struct ruler rulers[RULERS_MOST]; // the best one first
static unsigned ruler_count;
static unsigned ruler_used; // rulers before it have failed since; ruler_count: none is left
static struct calibration tsc_by[RULERS_MOST]; // by each of the rulers
static struct tsc_rate rate;
static struct calibration apic_timer;

static void find_rulers(void)
{
    const struct acpi_devices *devices = &kernel.acpi.devices;
    const struct acpi_register *timer = &devices->fixed.pm_timer;
    if (devices->hpet.address != 0 && devices->hpet.address != HPET_USUAL_ADDRESS &&
        (kernel_map_device(devices->hpet.address, PAGE_SIZE) != STATUS_OK ||
         !hpet_init(devices->hpet.address)))
        boot_log("HPET: nothing answers at %lx", devices->hpet.address);
    if (hpet_ruler(&rulers[ruler_count]))
        ruler_count++;
    if (timer->space == ACPI_SPACE_PORT && timer->address <= UINT16_MAX)
        rulers[ruler_count++] =
            pm_timer_ruler((uint16_t)timer->address, devices->fixed.pm_timer_32);
    rulers[ruler_count++] = pit_ruler();
}

static const char *why_not(enum status status)
{
    return status == STATUS_EMPTY  ? "it stands still"
           : status == STATUS_FULL ? "it crawls"
                                   : "no measurement was undisturbed";
}

static void measure(struct tsc_source *sources, unsigned *count)
{
    for (unsigned i = 0; i < ruler_count; i++) {
        const enum status status = calibrate(&rulers[i], &counter_tsc, plan, &tsc_by[i]);
        if (status != STATUS_OK)
            boot_log("%s is no use as a clock: %s", rulers[i].counter.name, why_not(status));
        sources[(*count)++] = (struct tsc_source){
            .name = rulers[i].counter.name, .hz = tsc_by[i].hz, .error_ppm = tsc_by[i].error_ppm};
    }
}

// A ruler that failed is not waited for either.
static void drop_silent_rulers(void)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < ruler_count; i++) {
        if (tsc_by[i].hz == 0)
            continue;
        rulers[kept] = rulers[i];
        tsc_by[kept++] = tsc_by[i];
    }
    ruler_count = kept;
}

void clocks_init(void)
{
    const struct tsc_leaves leaves = tsc_leaves_read();
    const struct tsc_told told = tsc_told_by(&leaves);
    struct tsc_source sources[SOURCES_MOST];
    unsigned count = 0;
    find_rulers();
    if (kernel.clock == PLATFORM_CLOCK_INSN) {
        rate = (struct tsc_rate){.hz = ICOUNT_HZ, .source = "definition", .sources = 1};
        return;
    }
    sources[count++] = (struct tsc_source){.name = "hypervisor", .hz = told.hypervisor};
    sources[count++] = (struct tsc_source){.name = "crystal", .hz = told.by_crystal};
    measure(sources, &count);
    sources[count++] = (struct tsc_source){.name = "base frequency",
                                           .hz = told.by_base,
                                           .error_ppm = tsc_base_error_ppm(told.by_base)};
    rate = tsc_rate_choose(sources, count, boot_log_line, NULL);
    drop_silent_rulers();
}

static uint64_t read_apic_timer(void *context)
{
    return apic_timer_counted(context);
}

void clocks_init_timer(void)
{
    struct apic *apic = &machine_cpu_here()->apic;
    const struct counter counter = {
        .name = "APIC timer", .context = apic, .read = read_apic_timer, .bits = 32};
    // Under instruction counting too: how its clock relates to the counter is QEMU's own affair.
    if (ruler_used < ruler_count) {
        const struct ruler *ruler = &rulers[ruler_used];
        const bool insn = kernel.clock == PLATFORM_CLOCK_INSN;
        apic_timer_count(apic);
        const enum status status = calibrate(ruler, &counter, insn ? plan_insn : plan, &apic_timer);
        if (status != STATUS_OK)
            boot_log("the APIC timer cannot be measured by %s: %s", ruler->counter.name,
                     why_not(status));
        apic_timer_stop(apic);
    }
    timer_init(rate.hz, apic_timer.hz);
}

uint64_t clocks_tsc_hz(void)
{
    return rate.hz;
}

uint64_t clocks_ns(void)
{
    const uint64_t ns = hpet_ns();
    if (ns != 0 || rate.hz == 0)
        return ns;
    const uint64_t ticks = cpu_ticks();
    return ticks / rate.hz * SECOND_NS + ticks % rate.hz * SECOND_NS / rate.hz;
}

void clocks_delay_us(unsigned us)
{
    for (; ruler_used < ruler_count; ruler_used++) {
        const struct ruler *ruler = &rulers[ruler_used];
        const enum status status = ruler_wait(ruler, us);
        if (status == STATUS_OK)
            return;
        // It will not get better, and each wait by it would take its whole bound.
        boot_log("%s is no use as a clock any more: %s", ruler->counter.name, why_not(status));
    }
    for (unsigned i = 0; i < us; i++)
        x86_out8(PORT_DELAY, 0);
}

void clocks_describe(void (*emit)(void *context, const char *key, const char *value), void *context)
{
    char key[48], text[64];
    format(text, sizeof(text), "%lu Hz by %s, at most %u ppm off", rate.hz,
           rate.source != NULL ? rate.source : "nothing", rate.error_ppm);
    emit(context, "tsc", text);
    format(text, sizeof(text), "%u of %u", rate.disagreements,
           rate.sources * (rate.sources - 1) / 2);
    emit(context, "tsc.disagreements", text);
    for (unsigned i = 0; i < ruler_count; i++) {
        format(key, sizeof(key), "tsc.by_%s", rulers[i].counter.name);
        for (char *at = key; *at != '\0'; at++)
            *at = *at == ' ' ? '_' : *at; // names of facts have no blanks
        format(text, sizeof(text), "%lu Hz by %s, at most %u ppm off", tsc_by[i].hz,
               rulers[i].counter.name, tsc_by[i].error_ppm);
        if (tsc_by[i].hz != 0)
            emit(context, key, text);
    }
    format(text, sizeof(text), "%lu Hz", apic_timer.hz);
    emit(context, "apic_timer", apic_timer.hz != 0 ? text : "not available");
}
