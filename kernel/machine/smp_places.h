// SPDX-License-Identifier: MIT
// Another CPU as number 0, the one that runs the benchmarks, than firmware has started.
//
// Numbers belong to threads of execution: stacks, areas (machine_cpu.h) and what is known by number
// stay where they are, and two processors change places below them.
#ifndef SMP_PLACES_H
#define SMP_PLACES_H

#include <stdbool.h>

#include "machine_cpu.h"

// The caller, CPU 0, goes on where CPU `cpu` was, which is parked and is parked again soon, where
// CPU 0 was. `load` loads the descriptors of the number that a processor has then. Called once,
// before anything is set up for CPU 0's processor alone: its counters, interrupts sent to it. What
// is known of each processor moves with it (APIC, node); comparisons of time stamp counters do not.
// False, and nothing has changed, if there is no such CPU or it does not answer within about
// a second.
bool smp_change_places(unsigned cpu, void (*load)(struct machine_cpu *cpu),
                       void (*delay_us)(unsigned us));

#endif
