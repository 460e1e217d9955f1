// SPDX-License-Identifier: MIT
// A traced round: windows of one row one after the other, each a sample, of which the trace keeps
// the first and the slowest.
//
//   outlier  the round's greatest sample, and from 1001 windows on the one at p99.9: a window whose
//            time is known, and whose events are in the buffer when the round is over
//
// The events of other windows are taken out of the buffer again, so that a round may have many:
// what they changed in counters stands in front of the next window that is kept. Where several CPUs
// record, or a scheduler or a device does, nothing can be taken out, and a round is one window.
#ifndef TRACE_ROUND_H
#define TRACE_ROUND_H

#include "measure.h"
#include "perfetto.h"

#define TRACE_ROUND_WINDOWS_MOST 2048u
#define TRACE_ROUND_KEPT         (1 + TRACE_ROUND_WINDOWS_MOST / 1000)

struct traced_window {
    uint32_t index;
    uint64_t since, begin, end; // ticks: of its preparation, of the window
    int64_t sample;             // ticks less the overhead, or what the body says itself
    int64_t tags;               // RECORD_TAG_*
    uint32_t first, last;       // its entries in the buffer, from its preparation on
    int64_t before[TRACE_EVENT_COUNT], after[TRACE_EVENT_COUNT]; // sums of all changes
};

struct trace_round {
    // In:
    const struct row *row;
    bench_body *body;
    void *context;
    uint64_t operations;
    const struct clock *clock;
    bool full;
    struct trace_cpu *cpus; // [0] is the running CPU's
    uint64_t others;        // bit for each other CPU that records
    // Out:
    uint32_t windows; // that ran
    int64_t least;    // sample
    uint64_t dropped; // events that were taken out
    size_t kept_count;
    struct traced_window kept[TRACE_ROUND_KEPT]; // the slowest, in the order of time
    size_t instant_count;
    struct perfetto_instant instants[PERFETTO_INSTANTS_MOST]; // SMIs
};

// Runs the round on the running CPU, which records. False if a body did not do its work.
bool trace_round_run(struct trace_round *round);

// How many of the round's samples are no less than a kept one: 1 is its maximum.
unsigned trace_round_rank(const struct trace_round *round, const struct traced_window *window);

// "max", "p99.9", or NULL for what is neither.
const char *trace_round_name(const struct trace_round *round, const struct traced_window *window);

#endif
