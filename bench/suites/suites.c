// SPDX-License-Identifier: MIT
// Every suite, once.
#include "bench.h"

extern const struct bench_suite driver_suite;
extern const struct bench_suite frames_suite;
extern const struct bench_suite heap_suite;
extern const struct bench_suite ipc_suite;
extern const struct bench_suite ipc_wait_suite;
extern const struct bench_suite kmalloc_suite;
extern const struct bench_suite pages_suite;
extern const struct bench_suite sched_suite;
extern const struct bench_suite slub_suite;
extern const struct bench_suite switch_suite;
extern const struct bench_suite system_suite;
extern const struct bench_suite trace_suite;

const struct bench_suite *const bench_suites[] = {
    &driver_suite,  &frames_suite, &heap_suite,  &ipc_suite,  &ipc_wait_suite,
    &kmalloc_suite, &pages_suite,  &sched_suite, &slub_suite, &switch_suite,
    &system_suite,  &trace_suite,  NULL,
};
