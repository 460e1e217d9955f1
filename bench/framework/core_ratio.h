// SPDX-License-Identifier: MIT
// How fast the core ran against its clock of fixed rate, round by round: where the two differ in
// one round and not in another, ticks of these rounds are not the same. Read between windows only.
#ifndef CORE_RATIO_H
#define CORE_RATIO_H

#include "bench.h"
#include "report.h"

struct core_cycles {
    uint64_t core, reference;
};

// Of a row; starts from zeros.
struct core_ratio {
    bool failed; // a platform that could not tell once is not asked again
    unsigned rounds;
    struct core_cycles start, all, least, most;
};

// Around each round.
void core_ratio_begin(struct core_ratio *ratio);
void core_ratio_end(struct core_ratio *ratio);

// The row's counters core_per_reference, of all rounds, and core_per_reference_least and _most, of
// those with the least and the most; observed. Nothing where the platform does not know.
void core_ratio_report(const struct core_ratio *ratio, struct report *report,
                       const struct row *row);

#endif
