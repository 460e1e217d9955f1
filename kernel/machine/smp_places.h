// SPDX-License-Identifier: MIT
// Another CPU as number 0, the one that runs the benchmarks, than firmware has started.
//
// Numbers belong to threads of execution: stacks, areas (machine_cpu.h) and what is known by number
// stay where they are, and two processors change places below them.
#ifndef SMP_PLACES_H
#define SMP_PLACES_H

#include <stdbool.h>

#include "machine_cpu.h"

// The caller, CPU 0, goes on where CPU `cpu` was, which is one that there is and parked, and is
// parked again soon, where CPU 0 was. `load` loads the descriptors of the number that a processor
// has then. Called once, whatever comes of it, before anything is set up for CPU 0's processor
// alone: its counters, interrupts sent to it. What is known of each processor moves with it (APIC,
// node); comparisons of time stamp counters do not.
//
// False if the other does not answer within about a second: every processor keeps its place then.
// One that answers later finds that it is too late and parks again; until then it is not parked.
bool smp_change_places(unsigned cpu, void (*load)(struct machine_cpu *cpu),
                       void (*delay_us)(unsigned us));

#endif
