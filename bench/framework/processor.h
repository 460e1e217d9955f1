// SPDX-License-Identifier: MIT
// Core cycles and instructions of one operation, by the processor's own counters, where the
// platform has them. Never read between the two time stamps of a measured window.
#ifndef PROCESSOR_H
#define PROCESSOR_H

#include "bench.h"
#include "platform.h"
#include "report.h"

#define PROCESSOR_COUNTS 2u // core cycles, instructions

struct processor {
    bool works;
    int64_t overhead[PROCESSOR_COUNTS]; // of the reads, around an empty body
    // Given by the caller: room for `windows` of each. How many are in it, from 0 for each row.
    int64_t *counts[PROCESSOR_COUNTS];
    size_t windows, taken;
};

// Sees whether there are counters and what reading them costs.
void processor_open(struct processor *processor);

// Calls the body between two reads, keeps the differences (taken < windows) and returns the body's
// checksum. A read that fails ends all counting (`works`).
uint64_t processor_window(struct processor *processor, bench_body *body, void *context,
                          uint64_t operations);

// The row's counters core_cycles and instructions: the median window, less the overhead, over the
// operations in it. Reorders the counts. Nothing if there are none, or reading failed.
void processor_report(struct processor *processor, struct report *report, const struct row *row,
                      uint64_t operations);

#endif
