// SPDX-License-Identifier: MIT
// The clocks of this machine: which rulers there are, and by them the frequencies of the TSC and of
// the APIC timers.
#ifndef CLOCKS_H
#define CLOCKS_H

#include <stdint.h>

// Finds the rulers and measures the TSC by each. Under instruction counting nothing is measured:
// all clocks come from the one counter, by definition. Some 15 ms for each ruler. Boot CPU, once,
// after the firmware's tables are read.
void clocks_init(void);

// Measures the APIC timer of the boot CPU, which stands for all, and hands the frequencies to
// timer.h. After its APIC is on.
void clocks_init_timer(void);

// Ticks of the TSC a second; 0: not known.
uint64_t clocks_tsc_hz(void);

// Nanoseconds from an arbitrary start by the HPET, or by the TSC where there is none; 0 while
// neither is known. Boot CPU. Goes from none to either of them and never from one to the other,
// after clocks_init.
uint64_t clocks_ns(void);

// Waits for at least `us` microseconds by the best ruler, or, where there is none, by reads of a
// port that take about one each. Bounded in either case; a
// ruler that fails is not used again. Boot CPU.
void clocks_delay_us(unsigned us);

// Its part of platform_describe.
void clocks_describe(void (*emit)(void *context, const char *key, const char *value),
                     void *context);

#endif
