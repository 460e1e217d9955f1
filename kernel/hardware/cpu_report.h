// SPDX-License-Identifier: MIT
// What a CPU is and how firmware has set it up, as far as that changes what code costs: microcode,
// mitigations, threads of a core, turbo. From CPUID, and from registers that CPUID or the family
// promise; none that belongs to a model is touched under a hypervisor. Nothing is changed.
//
// Asked on the CPU that it is about. One thread.
// Sources: Intel SDM vol. 2 (CPUID) and vol. 4, tables 2-2 and 2-3; AMD64 vol. 2, 7 and 17; vol. 3,
// appendix E.
#ifndef CPU_REPORT_H
#define CPU_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu.h"
#include "msr.h"

// How this CPU is asked.
struct cpu_questions {
    void *context;
    struct cpu_cpuid (*cpuid)(void *context, uint32_t leaf, uint32_t subleaf);
    struct msr_access msr;
};

enum cpu_maker { CPU_OF_OTHERS, CPU_OF_INTEL, CPU_OF_AMD };

enum cpu_turbo { CPU_TURBO_UNKNOWN, CPU_TURBO_NONE, CPU_TURBO_OFF, CPU_TURBO_ON };

// What may be `unknown` has a flag of its own.
struct cpu_report {
    enum cpu_maker maker;
    bool hypervisor;
    uint32_t signature; // CPUID 1, EAX
    unsigned family, model, stepping;
    bool microcode_known, capabilities_known, control_known;
    uint32_t microcode;
    uint64_t capabilities; // IA32_ARCH_CAPABILITIES
    uint64_t control;      // IA32_SPEC_CTRL
    unsigned threads;      // of a core; 0: unknown
    enum cpu_turbo turbo;
    const char *core; // its type where there are several in one processor; else NULL
};

void cpu_report_read(struct cpu_report *report, const struct cpu_questions *questions);

// What the CPU says it does not suffer from, and what firmware has turned on: "not affected by
// meltdown mds; on: ibrs", "unknown". Returns the length, like format().
size_t cpu_report_mitigations(const struct cpu_report *report, char *text, size_t capacity);

const char *cpu_report_turbo(const struct cpu_report *report);

#endif
