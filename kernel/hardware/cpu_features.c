// SPDX-License-Identifier: MIT
#include "cpu_features.h"

#include "compiler.h"
#include "format.h"

static bool bit(uint32_t word, unsigned number)
{
    return (word >> number & 1) != 0;
}

struct cpu_features cpu_features_of(const struct cpu_leaves *leaves)
{
    struct cpu_features features = {
        .cr0 = CPU_CR0_WP | CPU_CR0_MP | CPU_CR0_NE, // every CPU with 64 bits has them
        .cr0_clear = CPU_CR0_EM | CPU_CR0_TS,
        .no_execute = bit(leaves->extended_edx, 20),
        .pages_1g = bit(leaves->extended_edx, 26),
        .global = bit(leaves->signature_edx, 13),
        .physical_bits = leaves->addresses_eax & 0xff,
    };
    features.efer = features.no_execute ? CPU_EFER_NXE : 0;
    features.cr4 |= bit(leaves->signature_edx, 7) ? CPU_CR4_MCE : 0;
    features.cr4 |= features.global ? CPU_CR4_PGE : 0;
    // FXSAVE and SSE are in every CPU with 64 bits.
    features.cr4 |= CPU_CR4_FXSR | CPU_CR4_XMM;
    if (bit(leaves->signature_ecx, 26)) {
        features.cr4 |= CPU_CR4_XSAVE;
        features.xcr0 = 3 | (bit(leaves->signature_ecx, 28) ? 4 : 0);
    }
    features.cr4 |= bit(leaves->structured_ecx, 2) ? CPU_CR4_UMIP : 0;
    features.cr4 |= bit(leaves->structured_ebx, 7) ? CPU_CR4_SMEP : 0;
    features.cr4 |= bit(leaves->structured_ebx, 20) ? CPU_CR4_SMAP : 0;
    features.cr4_last = bit(leaves->signature_ecx, 17) ? CPU_CR4_PCIDE : 0;
    // 36: what CPUs had that do not say (Intel SDM vol. 3, 4.1.4); none has less than 32 or, in
    // page tables, more than 52.
    if (features.physical_bits == 0)
        features.physical_bits = 36;
    features.physical_bits = (unsigned)min_u64(max_u64(features.physical_bits, 32), 52);
    return features;
}

size_t cpu_features_text(const struct cpu_features *features, bool on, char *text, size_t capacity)
{
    const struct {
        const char *name;
        bool on;
    } all[] = {
        {"nx", (features->efer & CPU_EFER_NXE) != 0},
        {"wp", (features->cr0 & CPU_CR0_WP) != 0},
        {"mce", (features->cr4 & CPU_CR4_MCE) != 0},
        {"pge", (features->cr4 & CPU_CR4_PGE) != 0},
        {"umip", (features->cr4 & CPU_CR4_UMIP) != 0},
        {"pcid", (features->cr4_last & CPU_CR4_PCIDE) != 0},
        {"smep", (features->cr4 & CPU_CR4_SMEP) != 0},
        {"smap", (features->cr4 & CPU_CR4_SMAP) != 0},
        {"1g", features->pages_1g},
    };
    size_t length = 0;
    for (unsigned i = 0; i < ARRAY_COUNT(all); i++) {
        if (all[i].on == on)
            length += format(text + length, capacity - length, "%s%s", length > 0 ? "," : "",
                             all[i].name);
    }
    return length > 0 ? length : format(text, capacity, "none");
}
