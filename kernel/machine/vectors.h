// SPDX-License-Identifier: MIT
// x87, SSE and AVX state on this machine: turned on for each CPU, and handed from thread to thread
// at the first use (lazy). What hands it over at each switch (eager) needs nothing from here:
// cpu_fx_* and cpu_xsave_* of cpu.h do it.
//
// The kernel's own C code uses no vector registers (-mgeneral-regs-only): what interrupts and
// exceptions find in them they leave there.
//
//   owner      whose state is in the CPU's registers
//   lazy       while a thread runs that is not the owner, CR0.TS is set: its first vector
//              instruction faults (#NM), the handler saves the owner's state and loads its own
//              (Intel SDM vol. 3, 2.5; 13.4)
//
// Rules for callers
//   threads    a state belongs to the CPU on which it was made `running` until vectors_lazy_end
//              there: it does not follow its thread to another CPU
//   order      vectors_lazy_switch with preemption disabled, right in front of the switch itself
#ifndef MACHINE_VECTORS_H
#define MACHINE_VECTORS_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"
#include "cpu.h"
#include "x86.h"

#define VECTORS_CR0_TS ((uint64_t)1 << 3)

// Zeroed at first, and then made by vectors_reset.
struct vectors {
    uint8_t kept[CPU_XSAVE_BYTES] __attribute__((aligned(64)));
};

struct vectors_lazy {
    CACHE_ALIGNED struct vectors *owner;
    struct vectors *running;
    bool on, stopped; // TS is set
    bool xsave;       // by XSAVE; else by FXSAVE
    uint64_t handed;  // over, by the exception
};

extern struct vectors_lazy vectors_lazy[CPU_MOST]; // each written by its own CPU

// On each CPU, once: kernel_map_enter. CR4 is set already (cpu_features.h); XCR0 becomes `xcr0`
// unless that is 0, and the registers are as after a reset.
void vectors_enable(uint64_t xcr0);

// The state of a thread that has used none as yet: as after a reset.
void vectors_reset(struct vectors *state);

// From now on state is handed over lazily on this CPU; `running` owns what is in the registers.
// `xsave` needs cpu_has_xsave().
void vectors_lazy_begin(struct vectors *running, bool xsave);

// Ends that: what is in the registers is nobody's.
void vectors_lazy_end(void);

// The thread with the state `next` runs on this CPU from now on.
ALWAYS_INLINE void vectors_lazy_switch(struct vectors *next)
{
    struct vectors_lazy *const here = &vectors_lazy[cpu_local()->index];
    const bool stop = here->owner != next;
    here->running = next;
    if (stop == here->stopped)
        return;
    here->stopped = stop;
    if (stop)
        x86_write_cr0(x86_read_cr0() | VECTORS_CR0_TS);
    else
        __asm__ volatile("clts" : : : "memory");
}

// The exception of who may not use the registers as yet: true if it may now. False: nothing is
// handed over here. Called by traps.c.
bool vectors_hand_over(void);

// Fact cpu.vectors: what state this CPU keeps.
void vectors_describe(void (*emit)(void *context, const char *key, const char *value),
                      void *context);

#endif
