// SPDX-License-Identifier: MIT
#include "pmu.h"

#include "assert.h"
#include "compiler.h"
#include "format.h"

// Intel SDM vol. 4, table 2-2: architectural MSRs.
#define MSR_FIXED_CTR0     0x309u // the others follow
#define MSR_FIXED_CTR_CTRL 0x38du
#define MSR_GLOBAL_CTRL    0x38fu

// Intel SDM vol. 3B, 20.2.2: IA32_FIXED_CTR_CTRL has four bits a counter, the first enables it in
// ring 0; IA32_PERF_GLOBAL_CTRL enables fixed counter n with bit 32 + n.
#define CONTROL_BITS     4u
#define CONTROL_MASK     0xfu
#define CONTROL_RING_0   1u
#define GLOBAL_FIXED     32u
#define COUNTERS_LEAST   2u
#define WIDTH_LEAST      32u // less than any CPU has: such a leaf is broken
#define WIDTH_MOST       64u
#define MOVE_READS       1000u // in which a counter of instructions must move
#define VERSION_OF_FIXED 2u    // the first with fixed counters and the global control
#define VERSION_OF_MASK  5u    // the first whose ECX lists them

static bool refuse(struct pmu *pmu, const char *why)
{
    pmu->counters = 0;
    pmu->why = why;
    return false;
}

// Intel SDM vol. 2A, CPUID 0Ah. EBX has a 1 for an event that is *not* available, as far as EAX
// says that the vector reaches: bit 0 core cycles, 1 instructions, 2 reference cycles.
static bool has_event(const struct cpu_cpuid *leaf, unsigned event)
{
    return event < leaf->eax >> 24 && (leaf->ebx >> event & 1) == 0;
}

// EDX: how many there are from 0 on; from version 5 on ECX may list further ones.
static bool has_counter(const struct cpu_cpuid *leaf, unsigned counter)
{
    const bool listed = (leaf->eax & 0xff) >= VERSION_OF_MASK && (leaf->ecx >> counter & 1) != 0;
    return counter < (leaf->edx & 0x1f) || listed;
}

bool pmu_decide(struct pmu *pmu, uint32_t highest_leaf, const struct cpu_cpuid *leaf)
{
    *pmu = (struct pmu){.counters = 0};
    if (highest_leaf < PMU_CPUID_LEAF)
        return refuse(pmu, "CPUID ends before leaf 0Ah");
    if ((leaf->eax & 0xff) == 0)
        return refuse(pmu, "CPUID 0Ah names no performance counters");
    if ((leaf->eax & 0xff) < VERSION_OF_FIXED)
        return refuse(pmu, "version 1 has no fixed counters");
    if (!has_counter(leaf, PMU_INSTRUCTIONS) || !has_counter(leaf, PMU_CORE_CYCLES))
        return refuse(pmu, "fewer than two fixed counters");
    if (!has_event(leaf, 0) || !has_event(leaf, 1))
        return refuse(pmu, "cycles or instructions are not counted");
    pmu->width = leaf->edx >> 5 & 0xff;
    if (pmu->width < WIDTH_LEAST || pmu->width > WIDTH_MOST)
        return refuse(pmu, "the fixed counters have an impossible width");
    pmu->counters =
        COUNTERS_LEAST + (has_counter(leaf, PMU_REFERENCE_CYCLES) && has_event(leaf, 2));
    pmu->why = "not started";
    return true;
}

// Changes some bits of a register and leaves the others.
static bool change(const struct msr_access *access, uint32_t msr, uint64_t mask, uint64_t bits)
{
    uint64_t value;
    return access->read(access->context, msr, &value) &&
           access->write(access->context, msr, (value & ~mask) | bits);
}

static bool program(const struct pmu *pmu)
{
    const struct msr_access *access = &pmu->access;
    const uint64_t all = (((uint64_t)1 << pmu->counters) - 1) << GLOBAL_FIXED;
    uint64_t mask = 0, ring_0 = 0;
    for (unsigned i = 0; i < pmu->counters; i++) {
        mask |= (uint64_t)CONTROL_MASK << (i * CONTROL_BITS);
        ring_0 |= (uint64_t)CONTROL_RING_0 << (i * CONTROL_BITS);
    }
    if (!change(access, MSR_GLOBAL_CTRL, all, 0) ||
        !change(access, MSR_FIXED_CTR_CTRL, mask, ring_0))
        return false;
    for (unsigned i = 0; i < pmu->counters; i++)
        if (!access->write(access->context, MSR_FIXED_CTR0 + i, 0))
            return false;
    return change(access, MSR_GLOBAL_CTRL, all, all);
}

bool pmu_start(struct pmu *pmu, const struct msr_access *access)
{
    uint64_t totals[PMU_COUNTERS] = {0};
    if (pmu->counters == 0)
        return false;
    pmu->access = *access;
    pmu->why = NULL;
    if (!program(pmu))
        return refuse(pmu, "the CPU refuses the registers that CPUID 0Ah promises");
    // A hypervisor may offer counters and let them stand still.
    for (unsigned i = 0; i < MOVE_READS; i++) {
        if (!pmu_read(pmu, totals))
            return refuse(pmu, "the CPU refuses the registers that CPUID 0Ah promises");
        if (totals[PMU_INSTRUCTIONS] > 0 && totals[PMU_CORE_CYCLES] > 0)
            return true;
    }
    return refuse(pmu, "the counters stand still");
}

bool pmu_read(struct pmu *pmu, uint64_t totals[PMU_COUNTERS])
{
    if (pmu->counters == 0 || pmu->why != NULL)
        return false;
    const uint64_t mask = UINT64_MAX >> (WIDTH_MOST - pmu->width);
    for (unsigned i = 0; i < PMU_COUNTERS; i++) {
        uint64_t now = 0;
        if (i < pmu->counters && !pmu->access.read(pmu->access.context, MSR_FIXED_CTR0 + i, &now))
            return false;
        pmu->total[i] += (now - pmu->last[i]) & mask;
        pmu->last[i] = now;
        totals[i] = pmu->total[i];
    }
    return true;
}

size_t pmu_describe(const struct pmu *pmu, char *text, size_t capacity)
{
    if (pmu->why != NULL)
        return format(text, capacity, "not available: %s", pmu->why);
    return format(text, capacity, "fixed %ux%u", pmu->counters, pmu->width);
}
