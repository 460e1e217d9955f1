// SPDX-License-Identifier: MIT
#include "tsc_rate.h"

#include "compiler.h"
#include "format.h"
#include "ruler.h"

#define MHZ 1000000u
#define KHZ 1000u

#define HYPERVISOR_FIRST 0x40000000u
#define HYPERVISOR_TSC   0x40000010u // EAX: kHz, a convention of VMware's
#define VENDOR_GENU      0x756e6547u // EBX of leaf 0: "GenuineIntel"

struct tsc_leaves tsc_leaves_read(void)
{
    struct tsc_leaves leaves = {.basic = cpu_cpuid(0, 0)};
    leaves.version = cpu_cpuid(1, 0);
    if (leaves.basic.eax >= 0x15)
        leaves.crystal = cpu_cpuid(0x15, 0);
    if (leaves.basic.eax >= 0x16)
        leaves.base = cpu_cpuid(0x16, 0);
    if (cpu_under_hypervisor() && cpu_cpuid(HYPERVISOR_FIRST, 0).eax >= HYPERVISOR_TSC)
        leaves.hypervisor = cpu_cpuid(HYPERVISOR_TSC, 0);
    return leaves;
}

// Models of family 6 whose leaf 15h leaves the crystal out: Intel SDM vol. 3, 20.7.3, table
// "Nominal Core Crystal Clock Frequency".
static uint64_t crystal_of_model(const struct tsc_leaves *leaves)
{
    static const struct {
        uint8_t model;
        uint32_t hz;
    } crystals[] = {
        {0x4e, 24 * MHZ},    {0x5e, 24 * MHZ}, // Skylake
        {0x8e, 24 * MHZ},    {0x9e, 24 * MHZ}, // Kaby Lake
        {0x55, 25 * MHZ},                      // Xeon Scalable
        {0x5c, 19200 * KHZ},                   // Goldmont
    };
    const uint32_t signature = leaves->version.eax;
    const uint32_t model = (signature >> 4 & 0xf) | (signature >> 12 & 0xf0);
    if (leaves->basic.ebx != VENDOR_GENU || (signature >> 8 & 0xf) != 6)
        return 0;
    for (unsigned i = 0; i < ARRAY_COUNT(crystals); i++) {
        if (crystals[i].model == model)
            return crystals[i].hz;
    }
    return 0;
}

struct tsc_told tsc_told_by(const struct tsc_leaves *leaves)
{
    const struct cpu_cpuid ratio = leaves->crystal; // TSC / crystal = EBX / EAX
    struct tsc_told told = {
        .hypervisor = (uint64_t)leaves->hypervisor.eax * KHZ,
        .by_base = (uint64_t)(leaves->base.eax & 0xffff) * MHZ,
    };
    if (ratio.eax == 0 || ratio.ebx == 0)
        return told;
    told.crystal_by_table = ratio.ecx == 0;
    told.crystal = ratio.ecx != 0 ? ratio.ecx : crystal_of_model(leaves);
    told.by_crystal = ruler_scale(told.crystal, ratio.ebx, ratio.eax);
    return told;
}

uint32_t tsc_base_error_ppm(uint64_t by_base)
{
    return by_base < MHZ ? UINT32_MAX : (uint32_t)ruler_scale(MHZ / 2, MHZ, by_base);
}

// By how much two frequencies differ, of the higher one.
static uint64_t apart_ppm(uint64_t a, uint64_t b)
{
    const uint64_t high = max_u64(a, b);
    return ruler_scale(high - min_u64(a, b), 1000000, high);
}

static bool compare(const struct tsc_source *a, const struct tsc_source *b,
                    void (*log)(void *context, const char *line), void *context)
{
    char line[128];
    const uint64_t apart = apart_ppm(a->hz, b->hz);
    if (apart <= max_u64(TSC_AGREE_PPM, (uint64_t)a->error_ppm + b->error_ppm))
        return true;
    format(line, sizeof(line), "TSC: %lu Hz by %s, %lu Hz by %s: %lu ppm apart", a->hz, a->name,
           b->hz, b->name, apart);
    log(context, line);
    return false;
}

struct tsc_rate tsc_rate_choose(const struct tsc_source *sources, unsigned count,
                                void (*log)(void *context, const char *line), void *context)
{
    struct tsc_rate rate = {.source = "none"};
    char line[128];
    for (unsigned i = 0; i < count; i++) {
        if (sources[i].hz == 0)
            continue;
        if (rate.sources++ == 0) {
            rate.hz = sources[i].hz;
            rate.error_ppm = sources[i].error_ppm;
            rate.source = sources[i].name;
        }
        for (unsigned j = 0; j < i; j++)
            rate.disagreements +=
                sources[j].hz != 0 && !compare(&sources[j], &sources[i], log, context);
    }
    if (rate.sources == 0)
        format(line, sizeof(line), "TSC: no source of its frequency");
    else
        format(line, sizeof(line), "TSC: %lu Hz by %s, to %u ppm", rate.hz, rate.source,
               (unsigned)rate.error_ppm);
    log(context, line);
    return rate;
}
