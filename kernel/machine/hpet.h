// SPDX-License-Identifier: MIT
// The high precision event timer, as a clock that is not RDTSC. Only its counter is used.
#ifndef HPET_H
#define HPET_H

#include <stdbool.h>
#include <stdint.h>

#include "ruler.h"

// Where PCs have it, for as long as no ACPI table says otherwise.
#define HPET_USUAL_ADDRESS 0xfed00000u

// Looks for a timer at `address`, mapped one to one and uncached, and starts its counter. False if
// there is none whose registers make sense; the one found before, if any, stays in use then. Calls
// on one CPU, while no other reads the clock.
bool hpet_init(uint64_t address);

// Nanoseconds of the counter; 0 while there is none. Any thread. Monotonic for 5800 years of the
// slowest counter allowed, if it has 64 bits; if it has 32, read at least every 20 s (half a turn
// of one at 100 MHz).
uint64_t hpet_ns(void);

// The counter as a ruler. False while there is none.
bool hpet_ruler(struct ruler *ruler);

#endif
