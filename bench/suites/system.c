// SPDX-License-Identifier: MIT
// The whole: heap, message queues, context switch, scheduler and block device under one workload,
// all baselines against all optimised variants, and each one switched alone.
#include "system_variants.h"

#define SUITE_VARIANTS SYSTEM_VARIANTS

#include "system_cases.h"

SUITE_TABLES

#include "system_prepare.h"

const struct bench_suite system_suite = {
    SYSTEM_SUITE,
};
