// SPDX-License-Identifier: MIT
// Other people's message queues, asked the same as ours (ipc_cases.h), beside them.
#include "ipc_peers.h"

#define SUITE_VARIANTS IPC_PEERS

// The table of a queue where many senders and receivers are meant; NULL: it has none.
ALWAYS_INLINE const struct ring_ops *ipc_peers_many(const struct ring_ops *ops)
{
    // clang-format off
    IPC_PEER_CK(if (ops == &ring_ck_ring_ops) return &ring_ck_ring_many_ops;)
    IPC_PEER_DPDK(if (ops == &ring_rte_ring_ops) return &ring_rte_ring_many_ops;)
    IPC_PEER_DPDK(if (ops == &ring_rte_ring_elem64_ops) return &ring_rte_ring_elem64_many_ops;)
    IPC_PEER_URCU(if (ops == &ring_wfcqueue_ops) return ops;)
    // clang-format on
    return ops->several ? ops : NULL;
}

#define IPC_MANY(ops) ipc_peers_many(ops)

#include "ipc_cases.h"

SUITE_TABLES

#include "ipc_prepare.h"

static bool is_system(const struct ring_ops *ops)
{
    return ops->check == ring_system_check;
}

// Which may be asked by several CPUs at once what many may be asked: of the others, the messages
// are one sender's.
static bool is_of_any_cpu(const struct ring_ops *ops)
{
    const struct ring_ops *many = IPC_MANY(ops);
    return many != NULL && many->several;
}

// The calls decide what the others' cases find out.
static bool is_called(const struct ring_ops *ops)
{
    (void)ops;
    return false IPC_PEER_BOOST(|| ops == &ring_boost_spsc_ops || ops == &ring_boost_queue_ops ||
                                ops == &ring_fusion_spsc_called_ops ||
                                ops == &ring_fusion_mpmc_called_ops);
}

// A call of the system takes a hundred times longer than one of ours, so those have cases of few
// messages; the others would be left with the fewest windows there are. A new case is theirs when
// it stands here. Shorter messages are no others to who moves 64 bytes whatever is said, or an
// address; a ring that keeps a slot empty cannot be as deep as it is long.
static bool is_theirs(size_t which, const struct ring_ops *ops)
{
    const bool is_mutex = ops == &ring_mutex_queue_ops;
    if (is_called(ops))
        return which == CASE_pair_56 || which == CASE_round_trip_56 || which == CASE_stream_56 ||
               (is_of_many(which) && is_of_any_cpu(ops));
    switch (which) {
    case CASE_pair_few:
    case CASE_round_trip_56:
    case CASE_round_trip_56_large:
        return true;
    case CASE_pair_56:
    case CASE_pair_56_small:
    case CASE_depth_16:
    case CASE_depth_256:
    case CASE_refused_full:
    case CASE_refused_empty:
    case CASE_stream_56:
    case CASE_stream_56_small:
    case CASE_batch_1:
    case CASE_batch_2:
    case CASE_batch_4:
    case CASE_batch_8:
    case CASE_batch_16:
    case CASE_batch_32:
    case CASE_batch_64:
        return !is_system(ops);
    case CASE_many_56:
        return true;
    case CASE_many_cpus:
    case CASE_many_pairs_cpus:
        return is_of_any_cpu(ops);
    case CASE_depth_4096:
        return is_mutex;
    default:
        return false;
    }
}

// A list without a bound is never full, and its messages would be used again before they were
// read.
static bool is_without_bound(const struct ring_ops *ops)
{
    (void)ops;
    return false IPC_PEER_URCU(|| ops == &ring_wfcqueue_ops);
}

// Ours, by calls, are there where Boost's are.
static const char *needed(const struct ring_ops *ops)
{
    // clang-format off
    IPC_PEER_BOOST(if (ops == &ring_fusion_spsc_called_ops) return "boost_spsc";)
    IPC_PEER_BOOST(if (ops == &ring_fusion_mpmc_called_ops) return "boost_queue";)
    // clang-format on
    return ops->about.name;
}

static bool applies_here(size_t which, const void *ops_)
{
    const struct ring_ops *ops = ops_;
    if (is_without_bound(ops) && which != CASE_many_56)
        return false;
    return ipc_peers_wanted(needed(ops)) && is_theirs(which, ops) && applies(which, ops);
}

static void finish(size_t which, const void *ops, void *context_)
{
    struct ipc_context *context = context_;
    (void)which;
    if (!is_system(ops))
        return;
    ring_system_end(context->ring);
    if (context->back != NULL)
        ring_system_end(context->back);
}

const struct bench_suite ipc_peers_suite = {
    IPC_SUITE,
    .applies = applies_here,
    .finish = finish,
};
