// SPDX-License-Identifier: MIT
// Holds a CPU at the highest frequency that it can keep, turbo excluded, and gives back what was
// set before. Only registers that CPUID or the model promise are written, each after it was read;
// under a hypervisor none.
//
// By what there is: hardware-controlled performance states where firmware has turned them on (Intel
// SDM vol. 3, 15.4), the older IA32_PERF_CTL (15.1), AMD's P-states and boost (AMD64 vol. 2, 17.1
// and 17.2). Called on the CPU that it is about; a state for each CPU.
#ifndef CPU_FREQUENCY_H
#define CPU_FREQUENCY_H

#include "cpu_report.h"

#define CPU_FREQUENCY_SAVED 2u

struct cpu_frequency {
    const char *by;  // "HWP", "PERF_CTL", "P-states"; NULL: not held
    const char *why; // if it is not
    unsigned state;  // that it is held at: a ratio, or the number of AMD's P-state
    unsigned saved;  // registers that were changed, in order
    struct {
        uint32_t msr;
        uint64_t value;
    } before[CPU_FREQUENCY_SAVED];
};

// True if it is held from now on, or was already: then nothing is written. If a register cannot be
// written half of it is given back. The state is all zero before the first call.
bool cpu_frequency_hold(struct cpu_frequency *frequency, const struct cpu_report *report,
                        const struct cpu_questions *questions);

// Nothing if it is not held. Any context: a report of a panic may call it.
void cpu_frequency_restore(struct cpu_frequency *frequency, const struct msr_access *msr);

#endif
