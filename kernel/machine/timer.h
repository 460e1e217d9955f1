// SPDX-License-Identifier: MIT
// Each CPU's own timer: its APIC timer, by the TSC's deadline where the CPU can, else by counting.
// It interrupts the CPU that sets it with INTERRUPT_TIMER; who handles that is interrupts.h's.
//
// All functions concern the running CPU and are called with interrupts masked, or where it does not
// matter that they come between.
#ifndef TIMER_H
#define TIMER_H

#include <stdbool.h>
#include <stdint.h>

// Ticks a second of the TSC and of the APIC timer, undivided. 0 for one that is not known: what
// needs it is not used. Once, before the others.
void timer_init(uint64_t tsc_hz, uint64_t apic_hz);

// Interrupts once, after `us` microseconds or, where that is more than the timer holds (at least
// some seconds), as late as it can. False if no frequency is known: nothing is set then.
bool timer_after_us(uint64_t us);

// Interrupts every `us` microseconds, 1 or more. False as above, or if `us` is more than it holds.
bool timer_every_us(uint64_t us);

void timer_stop(void);

#endif
