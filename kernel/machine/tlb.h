// SPDX-License-Identifier: MIT
// Translations that this machine's CPUs remember (the TLB), and how they forget: INVLPG, INVPCID,
// CR3 here, an interrupt (INTERRUPT_CALL) to make another CPU do so. The privileged side of
// address_space.h and shootdown.h, whose rules about waiting hold.
//
// Rules for callers
//   threads   from any CPU, preemption disabled where a comment does not say otherwise
//   waiting   a CPU that keeps its interrupts masked is waited for, up to `patience_ms`; then the
//             run ends with a report that names it. Code that waits with interrupts masked for what
//             a shooting CPU may hold calls tlb_poll in each turn. With interrupts on nothing is
//             asked of who waits, in a spinlock or elsewhere
//   before    tlb_init nothing but the boot CPU runs, and nothing is shot
#ifndef MACHINE_TLB_H
#define MACHINE_TLB_H

#include <stdbool.h>
#include <stdint.h>

#include "address_space.h"

#define TLB_PATIENCE_MS 10000u // an emulator with fewer CPUs than it plays makes some wait long

// By what this CPU drops translations.
struct tlb_features {
    bool pcid;    // CR4.PCIDE is set
    bool invpcid; // CPUID 7.0 EBX 10
};

// Of all CPUs, since tlb_init.
struct tlb_counts {
    uint64_t kicks;         // interrupts sent for shots
    uint64_t kernel_shots;  // changes of the kernel's own map that others had to know of
    uint64_t answered;      // shots answered in the interrupt
    uint64_t answered_poll; // while waiting for something else
};

// Boot CPU, with its interrupt controller and its own map in use and before another CPU runs; later
// again, to change how long CPUs are waited for. `tsc_hz` 0: not known.
void tlb_init(uint64_t tsc_hz, unsigned patience_ms);

struct tlb_features tlb_features(void);

// What address spaces of this machine are made with; the machine's own set of them, over the
// kernel's map, with as many PCIDs as there are.
const struct tlb_ops *tlb_machine_ops(void);
struct address_spaces *tlb_spaces(void);

// CR3 as it is once more: with `keep` nothing is dropped where there are PCIDs, else all that is
// not global of the context in use.
void tlb_reload(bool keep);

// Drops one page of the context in use, on this CPU.
void tlb_invalidate_page(uint64_t address);

// Drops everything on this CPU: all contexts, global pages too.
void tlb_drop_all(void);

// A change of the kernel's own map: on this CPU, and on all others that run.
void tlb_drop_kernel(uint64_t address, uint64_t length);
void tlb_shoot_kernel(uint64_t address, uint64_t length);

// Answers what other CPUs ask of this one. Any context but NMIs and reports.
void tlb_poll(void);

// Exact while no shot is on its way.
void tlb_count(struct tlb_counts *counts);

// Facts: tlb.pcid, tlb.invpcid.
void tlb_describe(void (*emit)(void *context, const char *key, const char *value), void *context);

#endif
