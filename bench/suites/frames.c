// SPDX-License-Identifier: MIT
// Frames: what one allocation and one free of memory by the page cost, in the situations that tell
// frame allocators apart.
#include "frame_variants.h"

#define SUITE_VARIANTS FRAME_VARIANTS

#include "frames_cases.h"

SUITE_TABLES

#include "frames_prepare.h"

const struct bench_suite frames_suite = {
    SUITE_MEMBERS, // of the tables
    .what = "allocators for memory by the page",
    .applies = applies,
    .prepare = prepare,
    .before = before,
    .expected = expected,
    .counters = counters,
    .check = check,
};
