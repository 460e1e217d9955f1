// SPDX-License-Identifier: MIT
// Rulers: counters whose frequency is known, and what is found out with them: the frequency of
// counters where it is not (time stamp counter, APIC timer), and waits.
//
// Nothing here waits without an end: a ruler that stands still, crawls or runs backwards ends in a
// status. One thread at a time for each counter, and on one CPU from start to end of a call;
// interrupts may be on, but cost precision.
#ifndef RULER_H
#define RULER_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"

#define RULER_STILL_MOST   10000u // reads without a change: one takes 20 ns to 20 us, a tick < 1 us
#define RULER_READS_MOST   1000000u // for each 10 ms begun
#define RULER_WINDOWS_MOST 8u

// Counts up, `bits` wide (16..64), and wraps around to 0. Bits above do not matter.
struct counter {
    const char *name;
    void *context;
    uint64_t (*read)(void *context);
    unsigned bits;
};

// A counter of hz_numerator / hz_denominator Hz, both > 0. Two reads that follow each other lie
// less than half a turn apart.
struct ruler {
    struct counter counter;
    uint64_t hz_numerator, hz_denominator;
};

struct calibration_plan {
    unsigned windows;   // 1..RULER_WINDOWS_MOST
    uint32_t window_us; // 1..1000000, of the ruler's time; a window takes little longer
};

struct calibration {
    uint64_t hz;
    uint32_t error_ppm; // bound: how long the reads at both ends took, and a tick of the ruler
    unsigned windows;   // that were good
    const char *ruler;
};

// Finds the frequency of `ticks`. Windows in which a counter ran backwards, or the ruler may have
// turned around unseen while something else ran, do not count. Of the others the one with the least
// error is taken, among those that agree with the median.
// STATUS_EMPTY: one of the two stands still; STATUS_FULL: the ruler crawls; STATUS_CORRUPT: no
// window was good. `result` is all zeros then, but for the name.
enum status calibrate(const struct ruler *ruler, const struct counter *ticks,
                      struct calibration_plan plan, struct calibration *result);

// Waits for `us` microseconds (at most 1000000) by the ruler. Errors as above, STATUS_CORRUPT
// excepted: steps backwards do not count.
enum status ruler_wait(const struct ruler *ruler, uint32_t us);

// The time stamp counter of the CPU that reads it, with reads in order.
extern const struct counter counter_tsc;

// Reads a counter that is caught in the middle of a change now and then, as old chipsets' ACPI
// timers are (PIIX4, errata): the second of three reads that are in order, after ten tries any.
uint64_t ruler_read_steady(uint64_t (*read)(void *context), void *context, unsigned bits);

// Makes 64 bits of a counter of fewer: `state` is the last value, at first the first count. Any
// thread; called at least once in half a turn.
uint64_t ruler_extend(uint64_t *state, uint64_t count, unsigned bits);

// a * b / c, to the nearest; UINT64_MAX where that is too large. c > 0.
uint64_t ruler_scale(uint64_t a, uint64_t b, uint64_t c);

#endif
