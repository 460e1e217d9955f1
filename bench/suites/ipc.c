// SPDX-License-Identifier: MIT
// Message queues: what it costs to get a message from one place to another.
#include "ring_many_variants.h"
#include "ring_variants.h"

#define SUITE_VARIANTS RING_VARIANTS

// The bound of these is another one.
#define IPC_MANY(ops)                                                                              \
    ((ops)->about.role == VARIANT_FLOOR ? &ring_floor_mpmc_ops : (ops)->several ? (ops) : NULL)

#include "ipc_cases.h"

SUITE_TABLES

#include "ipc_prepare.h"

const struct bench_suite ipc_suite = {
    IPC_SUITE,
    .applies = applies,
};
