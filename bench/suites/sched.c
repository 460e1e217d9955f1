// SPDX-License-Identifier: MIT
// The scheduler: what a decision costs, how long threads wait for it, and what it does to their
// work.
#include "sched_policy_variants.h"

#define SUITE_VARIANTS(X) X(fifo) X(predictive) X(deadline) X(floor)

#include "sched_cases.h"

SUITE_TABLES

#include "sched_prepare.h"

const struct bench_suite sched_suite = {
    SUITE_MEMBERS, // of the tables
    .what = "schedulers: decisions, latencies, fairness, threads",
    .applies = applies,
    .prepare = prepare,
    .before = before,
    .expected = expected,
    .ticks = ticks,
    .interrupts = interrupts,
    .counters = counters,
    .check = check,
    .finish = finish,
};
