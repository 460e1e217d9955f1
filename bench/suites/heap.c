// SPDX-License-Identifier: MIT
// Heaps: what one allocation and one free cost, in the situations that tell heaps apart.
#include "heap_variants.h"

#define SUITE_VARIANTS HEAP_VARIANTS

#include "heap_cases.h"

SUITE_TABLES

#include "heap_prepare.h"

const struct bench_suite heap_suite = {
    HEAP_SUITE,
    .applies = applies,
};
