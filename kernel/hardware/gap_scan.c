// SPDX-License-Identifier: MIT
#include "gap_scan.h"

#include "assert.h"
#include "format.h"
#include "ruler.h"

#define NS_A_SECOND 1000000000u

void gap_scan_init(struct gap_scan *scan, uint64_t hz, uint64_t gap_ns)
{
    assert(hz > 0);
    *scan = (struct gap_scan){.hz = hz, .gap_ticks = ruler_scale(gap_ns, hz, NS_A_SECOND)};
}

uint64_t gap_scan_ns(const struct gap_scan *scan, uint64_t ticks)
{
    return ruler_scale(ticks, NS_A_SECOND, scan->hz);
}

size_t gap_scan_text(const struct gap_scan *scan, char *text, size_t capacity)
{
    return format(text, capacity,
                  "largest %lu ns; %lu gap%s of %lu ns or more, %lu ns together, in %lu ms",
                  gap_scan_ns(scan, scan->largest), scan->gaps, scan->gaps == 1 ? "" : "s",
                  gap_scan_ns(scan, scan->gap_ticks), gap_scan_ns(scan, scan->gap_sum),
                  gap_scan_ns(scan, gap_scan_span(scan)) / 1000000);
}
