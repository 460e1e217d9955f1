// SPDX-License-Identifier: MIT
// The vocabulary of the benchmarks: suite, case, variant, row, round, window.
//
// A suite has cases (what is measured) and variants (who is measured); each pair is a row with the
// id suite/case/variant. A window is one timed call of a row's body; a round measures all variants
// of a case next to each other; a boot has several rounds.
//
// Rules for suites
//   bodies     a body does `operations` operations on its context and returns a checksum that only
//              the work can give; no printing, no allocation outside the measured heap, no floating
//              point, no indirect calls per operation
//   memory     each participant's context lies in memory of its own, handed over at `prepare`
//   order      prepare, then windows in sequence on the same state; `before` runs untimed in front
//              of each window
//   names      lower case, digits and underscores; files under bench/suites are named as the suite
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"
#include "variant.h"

// Returns the checksum of the work, or BENCH_FAILED if it could not be done (out of memory, ring
// full). The context is what `prepare` made.
#define BENCH_FAILED       UINT64_MAX
#define BENCH_WHOLE_WINDOW UINT64_MAX
typedef uint64_t bench_body(void *context, uint64_t operations);

struct bench_case {
    const char *name;
    const char *what;
    uint64_t operations; // in one window, at least 1
    bool fixed;          // the window is a thing of its own: never calibrated to a longer one
    uint64_t least_instructions; // one operation cannot be done with fewer, whatever the variant
    uint64_t counted_operations; // of the untimed pass that the counters come from; 0: no such pass
    uint64_t traced_operations;  // of a window that is traced: a few tell it all; 0: `operations`
    uint64_t samples_exact;      // windows a round on an exact clock; 1: few on other clocks
                                 // too; many: no fewer on any; 0: one, and as few
                                 // as can be on other clocks: its windows take long
    uint32_t seconds;            // a generous bound for the whole case, quick size
    uint64_t source_hash;        // of all that decides what is asked; 0: unknown
};

struct bench_variant {
    const struct variant *about;
    const void *ops;      // of the mechanism
    uint32_t source_hash; // of the sources that answer, and their flags; 0: unknown
};

// Where counters are reported. `unit` is percent, count, bytes or ratio; denominator > 0. These are
// exact: another value in another boot fails the row. `observed` is a ratio that is not the same
// each time; boots are added up. A name NAME@X (X decimal) is the point x = X of the curve NAME; at
// most RECORD_POINTS_MOST in a row.
struct bench_counters {
    void (*emit)(void *context, const char *name, uint64_t numerator, uint64_t denominator,
                 const char *unit);
    void *context;
};

struct bench_suite {
    const char *name;
    const char *what;
    const struct bench_case *cases;
    size_t case_count;
    const struct bench_variant *variants;
    size_t variant_count;
    bench_body *const *bodies; // [variant * case_count + case]

    // False: this variant has no such row. May be NULL: all have all.
    bool (*applies)(size_t which_case, const void *ops);
    // Makes the context of a participant in `memory` (2 MiB aligned, zeroed once at start, later as
    // the previous case left it) and returns it; NULL if it cannot.
    void *(*prepare)(size_t which_case, const void *ops, void *memory, size_t length,
                     uint64_t seed);
    // Untimed, in front of each window. May be NULL.
    void (*before)(size_t which_case, const void *ops, void *context, uint64_t operations);
    // The checksum the next window must give, known without the variant.
    uint64_t (*expected)(size_t which_case, const void *context, uint64_t operations);
    // Operations of the counted pass, at either size. May be NULL: counted_operations at both.
    uint64_t (*counted)(size_t which_case, bool full);
    // What the body itself measured inside of its last window, by cpu_ticks_start and a stop: that
    // is the sample then, with nothing subtracted, in place of the whole window.
    // BENCH_WHOLE_WINDOW: this case has no such part. May be NULL: none has.
    uint64_t (*ticks)(size_t which_case, const void *context);
    // Interrupts are this case's own work: a window that one overlapped is not disturbed by it. May
    // be NULL: of no case.
    bool (*interrupts)(size_t which_case);
    // Exact counters after the counted pass. May be NULL.
    void (*counters)(size_t which_case, const void *ops, const void *context,
                     const struct bench_counters *counters);
    // Walks the variant's invariants after a round; false fails the row. May be NULL.
    bool (*check)(size_t which_case, const void *ops, const void *context);
    // The context will not be used again: gives back what it holds outside of the memory it was
    // prepared in. Not called for a row that failed, of whose state nothing is known. May be NULL:
    // it holds nothing there.
    void (*finish)(size_t which_case, const void *ops, void *context);
};

// Every suite, NULL-terminated; defined beside them.
extern const struct bench_suite *const bench_suites[];

#endif
