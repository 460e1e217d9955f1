// SPDX-License-Identifier: MIT
// What the command line asks for.
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "bench.h"

#define OPTION_MOST 256u
#define LINGER_MOST 86400u

enum output {
    OUTPUT_FRAMED,
    OUTPUT_TEXT,
    OUTPUT_LIST, // print what there is and stop
};

struct options {
    enum output output;
    bool full;                // size=full
    uint32_t session;         // session=
    uint32_t boot;            // boot=
    uint64_t seed;            // seed=
    uint64_t rounds;          // rounds=, 0: by clock class
    uint64_t samples;         // samples=, 0: by clock class
    bool trace;               // trace=off: no second pass with the traced flavour
    uint32_t linger;          // linger=: seconds after END for a host that is silent to come back
    bool smoke;               // smoke=1: one round, one window, small: a test that every body runs
    char suites[OPTION_MOST]; // suites=a,b; empty: all
    char filter[OPTION_MOST]; // filter=pattern on row ids; empty: all
    char die[16];             // die=kind, for tests of the recorder
};

// Reads the words; false and one line in `why` if a word is unknown or its value out of range.
bool options_read(const char *words, struct options *options, char *why, size_t capacity);

// True if the options select this row.
bool options_select(const struct options *options, const struct bench_suite *suite,
                    const struct bench_case *bench_case, const struct bench_variant *variant);

// suite/case/variant, or suite/case without a variant; at most RECORD_NAME_MOST + 1 characters.
void bench_row_id(const struct bench_suite *suite, const struct bench_case *bench_case,
                  const struct bench_variant *variant, char *id);

#endif
