// SPDX-License-Identifier: MIT
// Each CPU's own timer: its APIC timer, by the TSC's deadline where the CPU can, else by counting;
// and the clock that goes with it. It interrupts the CPU that sets it with INTERRUPT_TIMER; who
// handles that is interrupts.h's.
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

// True where the clock runs and this CPU's timer can be set.
bool timer_ready(void);

// Nanoseconds of the TSC since it was 0. The same on all CPUs as far as their TSCs agree
// (tsc_sync.h). Needs timer_ready. Any context.
uint64_t timer_now_ns(void);

// Interrupts once, after `ns` nanoseconds or a little later, or, where that is more than the timer
// holds (at least some seconds), as late as it can. False if no frequency is known: nothing is set
// then. The APIC timer's frequency was measured, so that this may be early by what was measured
// wrong: who cares looks at the clock.
bool timer_after_ns(uint64_t ns);

// The same in microseconds.
bool timer_after_us(uint64_t us);

// Interrupts every `us` microseconds, 1 or more. False as above, or if `us` is more than it holds.
bool timer_every_us(uint64_t us);

void timer_stop(void);

// Goes on as timer_every_us asked for before somebody set another time; else stops the timer.
void timer_resume(void);

#endif
