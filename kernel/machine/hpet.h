// SPDX-License-Identifier: MIT
// The high precision event timer, as a clock that is not RDTSC. Only its counter is used.
#ifndef HPET_H
#define HPET_H

#include <stdbool.h>
#include <stdint.h>

// Where PCs have it.
#define HPET_ADDRESS 0xfed00000u

// Looks for a timer at HPET_ADDRESS and starts its counter. False if there is none
// whose registers make sense. The page is mapped one to one.
bool hpet_init(void);

// Nanoseconds of the counter; 0 while there is none. Any thread. Monotonic for 5800 years of the
// slowest counter allowed.
uint64_t hpet_ns(void);

#endif
