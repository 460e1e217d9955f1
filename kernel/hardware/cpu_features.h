// SPDX-License-Identifier: MIT
// What a CPU offers for the protection of memory and of vector state to keep, and which control
// bits follow from it. From CPUID's leaves to bits: no privilege. Bits: Intel SDM vol. 3, 2.2.1
// and 2.5; leaves: vol. 2, CPUID; AMD64 vol. 3, appendix E.
#ifndef CPU_FEATURES_H
#define CPU_FEATURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CPU_EFER_NXE  ((uint64_t)1 << 11)
#define CPU_CR0_MP    ((uint64_t)1 << 1)
#define CPU_CR0_EM    ((uint64_t)1 << 2)
#define CPU_CR0_TS    ((uint64_t)1 << 3)
#define CPU_CR0_NE    ((uint64_t)1 << 5)
#define CPU_CR0_WP    ((uint64_t)1 << 16)
#define CPU_CR4_MCE   ((uint64_t)1 << 6)
#define CPU_CR4_PGE   ((uint64_t)1 << 7)
#define CPU_CR4_FXSR  ((uint64_t)1 << 9)
#define CPU_CR4_XMM   ((uint64_t)1 << 10)
#define CPU_CR4_UMIP  ((uint64_t)1 << 11)
#define CPU_CR4_PCIDE ((uint64_t)1 << 17)
#define CPU_CR4_XSAVE ((uint64_t)1 << 18)
#define CPU_CR4_SMEP  ((uint64_t)1 << 20)
#define CPU_CR4_SMAP  ((uint64_t)1 << 21)
#define CPU_RFLAGS_AC ((uint64_t)1 << 18)

// The leaves asked for; those a CPU does not have are zero.
struct cpu_leaves {
    uint32_t signature_edx, signature_ecx;   // 1
    uint32_t structured_ebx, structured_ecx; // 7.0
    uint32_t extended_edx;                   // 80000001h
    uint32_t addresses_eax;                  // 80000008h
};

struct cpu_features {
    // To be set beside what is set; `cr4_last` only once CR3's low twelve bits are zero.
    uint64_t efer, cr0, cr4, cr4_last;
    uint64_t cr0_clear; // what must not be set: vector instructions would fault
    uint64_t xcr0;      // x87, SSE, AVX as there are; 0: no XSAVE
    bool no_execute, pages_1g, global;
    unsigned physical_bits;
};

struct cpu_features cpu_features_of(const struct cpu_leaves *leaves);

// The names of what is on, or of what this CPU does not have, among nx wp mce pge umip pcid smep
// smap 1g, separated by commas, "none" without any. Cut to `capacity` - 1 characters. Returns the
// length.
size_t cpu_features_text(const struct cpu_features *features, bool on, char *text, size_t capacity);

#endif
