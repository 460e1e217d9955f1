// SPDX-License-Identifier: MIT
// The fixed counters of Intel's architectural performance monitoring: instructions retired, core
// cycles, reference cycles (Intel SDM vol. 3B, 20.2). The decision comes from CPUID alone: no
// register is touched that it does not promise. AMD's processors have no fixed counters and leave
// leaf 0Ah empty; their own (CPUID 8000_0022h) are not used.
//
// The registers are those of one CPU: start and read on the CPU that is to be counted. One thread.
#ifndef PMU_H
#define PMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu.h"
#include "msr.h"

#define PMU_CPUID_LEAF 0x0au

enum pmu_counter { // by the number of the fixed counter
    PMU_INSTRUCTIONS,
    PMU_CORE_CYCLES,
    PMU_REFERENCE_CYCLES,
    PMU_COUNTERS,
};

struct pmu {
    struct msr_access access;
    unsigned counters; // used, 2 or 3; 0: not available
    unsigned width;    // of each, bits
    const char *why;   // if it is not available
    uint64_t last[PMU_COUNTERS], total[PMU_COUNTERS];
};

// Decides by the highest basic leaf and what leaf 0Ah says (not looked at if it is above).
bool pmu_decide(struct pmu *pmu, uint32_t highest_leaf, const struct cpu_cpuid *leaf);

// Sets the counters to 0 and has them count ring 0, others of the PMU left as they are; then looks
// whether they move. After pmu_decide; false, with `why`, if that did not say true or if it fails.
bool pmu_start(struct pmu *pmu, const struct msr_access *access);

// Totals since the start, whatever the counters' width, if each is read once in a turn of it (26
// hours of 48 bits at 3 GHz); the difference of two reads within one turn is right in any case. 0
// for a counter that there is not. False: the CPU refused, or it was not started.
bool pmu_read(struct pmu *pmu, uint64_t totals[PMU_COUNTERS]);

// "fixed 3x48" (counters of so many bits), or "not available: ..."; returns the length.
size_t pmu_describe(const struct pmu *pmu, char *text, size_t capacity);

#endif
