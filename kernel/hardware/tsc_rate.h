// SPDX-License-Identifier: MIT
// The frequency of the time stamp counter: what CPUID says, and which of several sources to trust.
#ifndef TSC_RATE_H
#define TSC_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu.h"

// By which two sources may differ without a word, beyond what they may err.
#define TSC_AGREE_PPM 500u

// Registers of CPUID; zeros where a leaf does not exist.
struct tsc_leaves {
    struct cpu_cpuid basic;      // 0
    struct cpu_cpuid version;    // 1
    struct cpu_cpuid crystal;    // 15h
    struct cpu_cpuid base;       // 16h
    struct cpu_cpuid hypervisor; // 40000010h
};

// Frequencies in Hz, 0 where CPUID is silent.
struct tsc_told {
    uint64_t hypervisor;
    uint64_t crystal;      // of the core crystal clock; where it is told, the APIC timer counts it
    bool crystal_by_table; // told by the model of the CPU, not by CPUID
    uint64_t by_crystal;   // of the TSC, from leaf 15h
    uint64_t by_base;      // of the TSC, from leaf 16h: the nominal one in whole MHz
};

// A frequency, and by how much it may be wrong.
struct tsc_source {
    const char *name;
    uint64_t hz; // 0: this source is silent
    uint32_t error_ppm;
};

struct tsc_rate {
    uint64_t hz; // 0: no source had one
    uint32_t error_ppm;
    const char *source;
    unsigned sources;       // that were not silent
    unsigned disagreements; // pairs of them
};

// Reads this CPU's.
struct tsc_leaves tsc_leaves_read(void);

struct tsc_told tsc_told_by(const struct tsc_leaves *leaves);

// How far by_base may be off: half a MHz.
uint32_t tsc_base_error_ppm(uint64_t by_base);

// Takes the first source that has a frequency: `sources` begins with the one trusted most. The
// order to use: hypervisor, crystal, HPET, ACPI timer, PIT, base frequency. Says through `log` what
// was taken, and for each pair that differs by more than TSC_AGREE_PPM and by more than both may
// err together, by how much.
struct tsc_rate tsc_rate_choose(const struct tsc_source *sources, unsigned count,
                                void (*log)(void *context, const char *line), void *context);

#endif
