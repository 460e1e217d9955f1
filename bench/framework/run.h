// SPDX-License-Identifier: MIT
// One run of a target, shared by its passes: first the plain flavour measures, then, if asked to,
// the traced flavour explains. The target owns the object, zeroed at first, and calls
// bench_main_plain(run) and then bench_main_traced(run); the pass that is last sends END.
#ifndef RUN_H
#define RUN_H

#include "clock.h"
#include "measure.h"
#include "options.h"
#include "report.h"

struct tracer;

struct bench_run {
    struct options options;
    struct clock clock;
    struct report report;
    struct measure measure;
    uint8_t *memory; // of the arena, what is not taken
    size_t length;
    struct tracer *tracer; // of the traced pass, while it runs
    bool opened;           // HELLO is out
    bool ended;            // END is out, or the target refused
    bool success;          // everything planned was measured
};

// The entry of the portable object, renamed for each flavour. Returns 0 if all is well so far.
int bench_main(struct bench_run *run);

// Walks all cases with a selected row; `visit` (may be NULL) gets each with its rows, which are
// valid during the call. Returns how many there are.
struct bench_plan {
    uint32_t rows, cases;
};
struct bench_plan run_for_each_case(struct bench_run *run,
                                    void (*visit)(struct bench_run *run, struct row *rows,
                                                  size_t count, uint32_t number));

// Takes memory off the arena for good; a multiple of 2 MiB.
void *run_take(struct bench_run *run, size_t length);

// True if there is a second pass: asked for, over a line that can carry it, and in the first boot
// only: the others would tell the same.
bool run_is_traced(const struct bench_run *run);

// The traced flavour's pass: runs each selected row's body twice with the recorder on and sends the
// trace. Measures nothing.
void run_trace(struct bench_run *run);

#endif
