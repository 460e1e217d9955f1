// SPDX-License-Identifier: MIT
// Other people's heaps, asked the same as ours (heap_cases.h), beside them.
#include "heap_peers.h"

#define SUITE_VARIANTS HEAP_PEERS

#include "heap_cases.h"

SUITE_TABLES

#include "heap_prepare.h"

// Where a case asks for something that these heaps do not have, or have only one of, there is no
// row: eight heaps are one and the same here (alloc_64), and nothing enters a second level from
// outside (refill). A new case is theirs when it stands here: one that takes all memory there is
// would take the computer's.
static bool is_theirs(size_t which)
{
    switch (which) {
    case CASE_pair_64:
    case CASE_lifo_64:
    case CASE_random_1000:
    case CASE_mixed_100k:
    case CASE_mixed_large:
    case CASE_pollution:
    case CASE_miss_64:
    case CASE_remote_free:
    case CASE_remote_reuse:
    case CASE_stream:
    case CASE_scale_one_cpu:
    case CASE_scale_most_cpus:
    case CASE_fragmentation:
    case CASE_latency_1000:
        return true;
    default:
        return false;
    }
}

#define PRESENT(v) || (ops == &heap_##v##_ops && heap_peer_##v.allocate != NULL)

static bool applies_here(size_t which, const void *ops)
{
    return applies(which, ops) && is_theirs(which) && (heap_peers_only_listed HEAP_PEERS(PRESENT));
}

const struct bench_suite heap_peers_suite = {
    HEAP_SUITE,
    .applies = applies_here,
    .finish = finish,
};
