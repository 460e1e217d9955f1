// SPDX-License-Identifier: MIT
// Looks for time that is taken away from a CPU: it reads its counter as fast as it can, and where
// two reads lie farther apart than they must, something else ran: an interrupt, the firmware, a
// hypervisor. As of Linux's hwlat tracer. One thread, fed with one count after the other.
#ifndef GAP_SCAN_H
#define GAP_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GAP_SCAN_MOST_S 60u

struct gap_scan {
    uint64_t hz, gap_ticks; // what is a gap
    uint64_t first, last;   // counts
    uint64_t reads, gaps, gap_sum, largest;
    uint64_t backwards; // reads below the one before
    bool began;
};

// A gap is `gap_ns` long or longer. hz > 0.
void gap_scan_init(struct gap_scan *scan, uint64_t hz, uint64_t gap_ns);

static inline void gap_scan_add(struct gap_scan *scan, uint64_t count)
{
    const uint64_t step = count - scan->last;
    if (!scan->began) {
        scan->began = true;
        scan->first = count;
    } else if (count < scan->last) {
        scan->backwards++;
    } else {
        scan->largest = step > scan->largest ? step : scan->largest;
        if (step >= scan->gap_ticks) {
            scan->gaps++;
            scan->gap_sum += step;
        }
    }
    scan->last = count;
    scan->reads++;
}

// Ticks from the first read to the last; 0 where the counter has gone back behind the first.
static inline uint64_t gap_scan_span(const struct gap_scan *scan)
{
    return scan->last > scan->first ? scan->last - scan->first : 0;
}

// Nanoseconds of so many ticks, at most 100 s of them.
uint64_t gap_scan_ns(const struct gap_scan *scan, uint64_t ticks);

// "largest 12345 ns; 3 gaps of 1000 ns or more, 20000 ns together, in 1000 ms". Returns the length,
// like format().
size_t gap_scan_text(const struct gap_scan *scan, char *text, size_t capacity);

#endif
