// SPDX-License-Identifier: MIT
// Context switches: what it costs to leave one context for another, by what is kept and by how the
// code leaves.
#include "switch_variants.h"

#define SUITE_VARIANTS SWITCH_VARIANTS

#include "switch_cases.h"

SUITE_TABLES

#include "switch_prepare.h"

const struct bench_suite switch_suite = {
    SWITCH_SUITE,
    .applies = applies,
};
