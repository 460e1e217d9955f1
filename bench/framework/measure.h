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

// What the row's number is the number of. The upper 32 bits say what was asked: the case's source
// and parameters, equal for all its variants. The lower ones say what answered: the variant's
// source and flags.
uint64_t measure_definition(const struct bench_case *bench_case,
                            const struct bench_variant *variant, uint64_t seed);

// Runs the case for `rows` (at most MEASURE_ROWS_MOST, all of the same case) and reports each one.
void measure_case(const struct measure *measure, struct row *rows, size_t count);

#endif
