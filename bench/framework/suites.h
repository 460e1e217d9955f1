// SPDX-License-Identifier: MIT
// The suites of a run: those of the portable object, and those that only this target has
// (platform_suites). One of the target's that bears the name of a common suite adds its variants to
// the cases of the same name: they are measured beside the others.
#ifndef SUITES_H
#define SUITES_H

#include <stddef.h>

#include "bench.h"

// Suite `number`, from 0: the common ones, then those that only the target has; NULL behind the
// last.
const struct bench_suite *suites_at(size_t number);

// Where the target has more variants of this suite: its suite; NULL if nowhere.
const struct bench_suite *suites_more(const struct bench_suite *suite);

// The case of that name, or NULL.
const struct bench_case *suites_case(const struct bench_suite *suite, const char *name);

#endif
