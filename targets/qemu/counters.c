// SPDX-License-Identifier: MIT
#include "counters.h"

#include "cpu.h"
#include "msr_access.h"
#include "platform.h"
#include "pmu.h"
#include "smi.h"
#include "string.h"

// Intel SDM vol. 3, 15.2; AMD64 vol. 2, 17.3. CPUID 6, ECX bit 0 promises both.
#define MSR_MPERF  0xe7u
#define MSR_APERF  0xe8u
#define POWER_LEAF 6u
#define HAS_APERF  1u

// Of the boot CPU, which runs all benchmarks.
static struct counters {
    bool known; // the rest is found out
    bool smis;
    bool core_clock; // APERF and MPERF
    struct pmu pmu;
} counters;

// CPUID exits to a hypervisor, so it is asked once.
static struct counters *found(void)
{
    static const struct msr_access access = {NULL, msr_access_read, msr_access_write};
    if (counters.known)
        return &counters;
    const struct cpu_cpuid first = cpu_cpuid(0, 0), leaf = cpu_cpuid(PMU_CPUID_LEAF, 0);
    const uint32_t words[3] = {first.ebx, first.edx, first.ecx};
    char vendor[sizeof(words) + 1] = "";
    memcpy(vendor, words, sizeof(words));
    counters.smis = smi_is_counted(vendor, cpu_signature(), cpu_under_hypervisor());
    if (pmu_decide(&counters.pmu, first.eax, &leaf))
        pmu_start(&counters.pmu, &access);
    counters.core_clock =
        first.eax >= POWER_LEAF && (cpu_cpuid(POWER_LEAF, 0).ecx & HAS_APERF) != 0;
    counters.known = true;
    return &counters;
}

bool counters_smis(uint64_t *smis)
{
    if (!found()->smis || !msr_access_read(NULL, SMI_COUNT_MSR, smis))
        return false;
    *smis &= UINT32_MAX;
    return true;
}

bool platform_core_clock(uint64_t *core, uint64_t *reference)
{
    return found()->core_clock && msr_access_read(NULL, MSR_MPERF, reference) &&
           msr_access_read(NULL, MSR_APERF, core);
}

bool platform_counters(struct platform_counters *out)
{
    uint64_t totals[PMU_COUNTERS];
    if (!pmu_read(&found()->pmu, totals))
        return false;
    *out = (struct platform_counters){.core_cycles = totals[PMU_CORE_CYCLES],
                                      .instructions = totals[PMU_INSTRUCTIONS],
                                      .reference_cycles = totals[PMU_REFERENCE_CYCLES]};
    return true;
}

void counters_describe(void (*emit)(void *context, const char *key, const char *value),
                       void *context)
{
    char text[96];
    pmu_describe(&found()->pmu, text, sizeof(text));
    emit(context, "pmu", text);
}
