// SPDX-License-Identifier: MIT
// What a run says: frames and records, or text lines for a person with a terminal program.
//
// Everything here runs outside measured windows. The results stream is kept whole in memory of the
// arena, so that any range of it can be sent again.
#ifndef REPORT_H
#define REPORT_H

#include "bench.h"
#include "clock.h"
#include "listen.h"
#include "options.h"
#include "record.h"
#include "table.h"
#include "wire.h"

struct report {
    const struct options *options;
    const struct clock *clock;
    struct wire_sender sender;
    struct record_writer stream; // the results so far
    size_t sent;                 // of the stream
    struct listener listener;
    bool ended, success;      // END is out, and what it says
    uint32_t results_crc;     // of the whole stream, once ended
    uint64_t results_hash;    // likewise
    struct table_line *lines; // of the rows measured, by index; n is 0 where there is none
    uint32_t rows_planned;
    uint32_t rows_finished; // also numbers the `ok` lines
    uint32_t rows_failed;
};

// A row while it is measured. Samples are windows less the overhead, in ticks.
struct row {
    uint32_t index;
    const struct bench_suite *suite;
    const struct bench_case *bench_case;
    const struct bench_variant *variant;
    bool aa; // the baseline's second participant
    uint64_t definition;
    uint64_t operations; // in a window, once measured
    enum record_row_status status;
    char detail[RECORD_TEXT_MOST + 1];
};

// One round of one row. tags[i]: 0, or which events overlapped the sample (RECORD_TAG_*).
struct round {
    uint32_t number;
    uint64_t operations;
    int64_t overhead;
    int64_t cold;
    const int64_t *samples;
    const int64_t *tags;
    size_t count;
};

// `memory` holds the results stream and the rows' summaries, `length` at least 1 MiB; zeroed. Sends
// HELLO.
void report_open(struct report *report, const struct options *options, const struct clock *clock,
                 void *memory, size_t length);
void report_refuse(struct report *report, const char *why);
void report_fact(struct report *report, const char *key, const char *value);
void report_facts(struct report *report);
void report_plan(struct report *report, uint32_t rows, uint32_t cases, uint64_t bytes_most);
void report_plan_row(struct report *report, const struct row *row, uint64_t rounds,
                     uint64_t samples);
void report_begin(struct report *report, uint32_t number, const char *id, uint32_t first_row,
                  uint32_t rows, uint32_t seconds);
void report_round(struct report *report, const struct row *row, const struct round *round);
void report_counter(struct report *report, const struct row *row, const char *name,
                    uint64_t numerator, uint64_t denominator, const char *unit);
// A sample of a traced round that is no ordinary one, and when it was taken.
struct outlier {
    const char *name; // "max", "p99.9"
    uint32_t window, windows;
    uint64_t operations;
    int64_t sample, least;     // and the round's least one
    uint64_t tags;             // RECORD_TAG_*
    uint64_t begin_ns, end_ns; // of the trace
};
void report_outlier(struct report *report, const struct row *row, const struct outlier *outlier);
// `samples` are those of all rounds and `tags` theirs; they are reordered for the table.
void report_finish(struct report *report, const struct row *row, int64_t *samples,
                   const uint8_t *tags, size_t count, int64_t cold);
// Text for the log, a line without its end.
__attribute__((format(printf, 2, 3))) void report_log(struct report *report, const char *how, ...);
// Sends packets of a trace, a whole number of them, as a piece that is used whole or not at all.
void report_trace(struct report *report, const void *packets, size_t length);
// Sends END and stays until the host has everything, or nobody answers (answer.h). success:
// everything planned was measured.
void report_end(struct report *report, bool success);

// HELLO, and END once it is out, another time. Framed output only.
void report_hello(struct report *report);
void report_end_again(struct report *report);

#endif
