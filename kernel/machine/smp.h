// SPDX-License-Identifier: MIT
// Further CPUs: starting them, handing them work, stopping them when the run ends in a report.
//
// Source of the start: Intel SDM vol. 3, 9.4.4 (INIT, 10 ms, STARTUP, 200 us, STARTUP again).
#ifndef SMP_H
#define SMP_H

#include <stdbool.h>
#include <stdint.h>

#include "machine_cpu.h"

// What the start of CPUs asks of its surroundings. All are called on the boot CPU but `enter`.
struct smp_start {
    uint32_t page;            // below 1 MiB, page aligned, RAM, nobody's: for the trampoline
    const uint32_t *apic_ids; // the CPUs to be started, the boot CPU's own skipped
    unsigned count;
    void (*delay_us)(unsigned us); // bounded
    // The top of the CPU's stack for `enter`, 16-aligned; 0 if there was no memory for it.
    uint64_t (*stack_of)(struct machine_cpu *cpu);
    // On the new CPU, on the boot map, no exception handled yet: loads descriptors, the kernel's
    // map, CPU features, the interrupt controller. Returns with interrupts masked.
    void (*enter)(struct machine_cpu *cpu);
    // While the new CPU waits, already parked as for work: one line about it, measurements.
    void (*arrived)(struct machine_cpu *cpu);
    void (*left_out)(uint32_t apic_id, const char *why); // it did not come up
};

// Starts all of them, one after the other; a CPU that does not answer within about a fifth of a
// second is left out. Returns how many CPUs there are then, the boot CPU included.
unsigned smp_start_all(const struct smp_start *start);

// The CPU's work: calls function(argument) there with interrupts on. False if the CPU is not
// parked. Any CPU may ask, one at a time for each CPU asked.
bool smp_run(unsigned cpu, void (*function)(void *argument), void *argument);

// True when the CPU has nothing to do: what it did before is visible then.
bool smp_parked(unsigned cpu);

// Interrupts a CPU that has been started, this one too, with `vector`. False if the interrupt
// controller takes no message. Any context but NMIs.
bool smp_interrupt(unsigned cpu, uint8_t vector);

// Makes every other CPU stop for good by an NMI, and waits for them to say so, a bounded time.
// Returns how many did not answer. For reports: takes no lock, uses GS nowhere.
unsigned smp_stop_others(void);

// Makes one other CPU stop for good and leave its registers in machine_cpus[cpu].shown. False if it
// does not answer within a bounded time.
bool smp_show(unsigned cpu);

#endif
