// SPDX-License-Identifier: MIT
// What the kernel keeps for each CPU. GS of a CPU points at its own; the fields below `local` are
// written by the CPU they belong to unless a comment says otherwise.
#ifndef MACHINE_CPU_H
#define MACHINE_CPU_H

#include <stdbool.h>
#include <stdint.h>

#include "apic.h"
#include "compiler.h"
#include "cpu.h"
#include "descriptors.h"
#include "status.h"
#include "traps.h"
#include "tsc_sync.h"

// Why a CPU was interrupted: counters only grow.
struct interrupt_counts {
    uint64_t all;        // everything below but `nmi`, which comes through another door
    uint64_t timer;      // this CPU's APIC timer
    uint64_t ipi;        // from other CPUs, or from itself
    uint64_t device;     // a vector handed out by interrupt_claim
    uint64_t spurious;   // the controller withdrew it (Intel SDM vol. 3, 11.9)
    uint64_t unexpected; // nobody claimed the vector
    uint64_t nmi;
};

// A CPU's life. OFF -> STARTING by the boot CPU, STARTING -> PARKED by itself; ASKED by whoever
// hands it work, RUNNING and again PARKED by itself. Never back to OFF.
enum machine_cpu_state {
    MACHINE_CPU_OFF, // described by firmware, not started, or it did not come up
    MACHINE_CPU_STARTING,
    MACHINE_CPU_PARKED, // waits for work in HLT
    MACHINE_CPU_ASKED,
    MACHINE_CPU_RUNNING,
};

// What the next NMI means to the CPU it is sent to. Written by the sender before it sends.
enum machine_nmi {
    MACHINE_NMI_UNASKED, // nobody here sent it: it ends the run with a report
    MACHINE_NMI_STOP,    // another CPU reports a panic: stop for good
    MACHINE_NMI_SHOW,    // leave a copy of the registers in `shown`, then stop for good
};

struct machine_cpu {
    struct cpu_local local;
    struct interrupt_counts counts;
    uint64_t faults_handled; // page faults that trap_handle_faults's handlers answered
    uint32_t apic_id;
    uint32_t node;    // of memory that is near; 0 where nothing else is known
    struct apic apic; // other CPUs send through their own, never through this one

    // Handed over by `state`: written by the CPU that asks before ASKED, read after it.
    CACHE_ALIGNED uint32_t state; // enum machine_cpu_state, atomic
    void (*work)(void *argument);
    void *argument;

    // Of this CPU against the boot CPU, by the boot CPU when it arrives; rounds == 0: not measured.
    struct tsc_sync_result tsc;

    uint32_t nmi_meaning;    // enum machine_nmi, atomic
    uint32_t nmi_answered;   // 0 or 1, atomic: `shown` is complete, or the CPU has stopped
    struct trap_frame shown; // what an NMI interrupted

    struct descriptors descriptors;
};

_Static_assert(offsetof(struct machine_cpu, local) == 0, "GS points at both");

extern struct machine_cpu machine_cpus[CPU_MOST];

// How many of machine_cpus are in use. Grows only while the boot CPU starts the others.
unsigned machine_cpu_count(void);

// Makes the running CPU number 0: its area, its APIC id. Once, before anything that uses
// cpu_local().
void machine_cpu_init_boot(void);

// A new area, in state OFF, its number the next free one; NULL when there are CPU_MOST. Boot CPU.
struct machine_cpu *machine_cpu_add(uint32_t apic_id);

// Takes back the newest area: its CPU did not come up. Boot CPU.
void machine_cpu_remove_last(struct machine_cpu *cpu);

// Points GS at the area. By the CPU it belongs to.
void machine_cpu_enter(struct machine_cpu *cpu);

// The area of the running CPU by GS.
static inline struct machine_cpu *machine_cpu_here(void)
{
    return (struct machine_cpu *)cpu_local();
}

// The same without GS, by the APIC id that CPUID tells: for reports, where GS may be what is
// broken. The boot CPU's for an id that is not known. Any context.
struct machine_cpu *machine_cpu_identify(void);

// The running CPU's APIC id as CPUID tells it: 32 bits from leaf 0Bh, else 8 bits from leaf 1
// (Intel SDM vol. 2, CPUID).
uint32_t machine_cpu_apic_id(void);

#endif
