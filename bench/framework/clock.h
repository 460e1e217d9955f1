// SPDX-License-Identifier: MIT
// The measured window and the proof that its clock can be trusted.
#ifndef CLOCK_H
#define CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench.h"
#include "platform.h"

struct clock {
    enum platform_clock class;
    bool ordered_stop; // RDTSCP ends a window; otherwise LFENCE; RDTSC
    uint64_t hz;       // ticks a second, 0 unknown
    // The proof's figures; what does not apply to the class stays 0.
    uint64_t
        pair_min; // ticks of a window around an empty body of the same call shape: the overhead
    uint64_t pair_max;
    uint64_t step;        // all pairs are multiples of it: what one tick of the counter really is
    uint64_t negative;    // pairs that ran backwards
    uint64_t straight;    // ticks of 100 instructions in a row, the empty pair subtracted
    uint64_t hz_measured; // against platform_clock_ns
};

// Ticks a second, known or else measured; 0 unknown.
static inline uint64_t clock_hz(const struct clock *clock)
{
    return clock->hz != 0 ? clock->hz : clock->hz_measured;
}

struct window {
    uint64_t ticks;
    uint64_t checksum;
};

// One timed call of the body: the only place where a benchmark is measured.
struct window clock_window(const struct clock *clock, bench_body *body, void *context,
                           uint64_t operations);

// Fills in the clock and proves it by its class (invariant TSC, no negative pair, frequency
// from two sources; exact count of a straight run; monotonic). False and one line if the proof
// fails.
bool clock_prove(struct clock *clock, char *why, size_t capacity);

const char *clock_class_name(enum platform_clock class);
// What a sample is counted in: instructions, ticks, emulated ticks.
const char *clock_unit(enum platform_clock class);

#endif
