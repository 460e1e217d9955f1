// SPDX-License-Identifier: MIT
// Measures one case: all selected variants next to each other, round after round.
#ifndef MEASURE_H
#define MEASURE_H

#include "bench.h"
#include "clock.h"
#include "options.h"
#include "report.h"

#define MEASURE_ROWS_MOST 32u // participants of one case, the baseline's twin included

struct measure {
    const struct options *options;
    const struct clock *clock;
    struct report *report;
    void *memory; // for samples and contexts
    size_t length;
};

// How many rounds and windows a round the options and the clock class give a case.
uint64_t measure_rounds(const struct options *options, const struct clock *clock);
uint64_t measure_samples(const struct options *options, const struct clock *clock,
                         const struct bench_case *bench_case);

// Hash of all that defines the row's number but the variant: source, parameters.
uint64_t measure_definition(const struct bench_suite *suite, const struct bench_case *bench_case,
                            uint64_t seed);

// Runs the case for `rows` (at most MEASURE_ROWS_MOST, all of the same case) and reports each one.
void measure_case(const struct measure *measure, struct row *rows, size_t count);

#endif
