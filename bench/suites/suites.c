// SPDX-License-Identifier: MIT
// Every suite, once.
#include "bench.h"

extern const struct bench_suite heap_suite;
extern const struct bench_suite ipc_suite;
extern const struct bench_suite switch_suite;
extern const struct bench_suite trace_suite;

const struct bench_suite *const bench_suites[] = {
    &heap_suite, &ipc_suite, &switch_suite, &trace_suite, NULL,
};
