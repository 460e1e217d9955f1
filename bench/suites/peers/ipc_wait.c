// SPDX-License-Identifier: MIT
// What the system offers to threads that sleep, asked the same as ours (ipc_wait_cases.h): for it,
// a call is a message there and one back.
#include "ipc_peers.h"
#include "ipc_sleepers.h"
#include "platform.h"

#define SUITE_VARIANTS(X) IPC_PEERS(X) X(futex)

static const struct ring_ops ring_futex_ops = {
    .about = {.name = "futex",
              .what = "56 bytes of shared memory and a futex of the system",
              .role = VARIANT_PEER},
    .check = ring_system_check};

#include "ipc_wait_cases.h"

SUITE_TABLES

static struct ipc_pair pair;

static uint64_t window(uint64_t operations)
{
    return pair.calls ? ipc_sleepers_turns(operations) : 2 * ipc_sleepers_turns(operations / 2);
}

static bool is_theirs(size_t which)
{
    return which == CASE_wake_56 || which == CASE_wake_56_cpus || which == CASE_call_1 ||
           which == CASE_call_2;
}

static bool is_of_two(size_t which)
{
    return which == CASE_wake_56_cpus || which == CASE_call_2;
}

static bool applies(size_t which, const void *ops_)
{
    const struct ring_ops *ops = ops_;
    // A futex is there where the system is, as a pipe.
    const char *const needed = ops == &ring_futex_ops ? "pipe" : ops->about.name;
    return is_theirs(which) && ops->check == ring_system_check && ipc_peers_wanted(needed) &&
           (!is_of_two(which) || platform_cpu_count() >= 2);
}

static void *prepare(size_t which, const void *ops_, void *memory, size_t length, uint64_t seed)
{
    const struct ring_ops *ops = ops_;
    (void)memory;
    (void)length;
    (void)seed;
    pair = (struct ipc_pair){.window = window,
                             .calls = which == CASE_call_1 || which == CASE_call_2,
                             .cpus = is_of_two(which) ? 2 : 1};
    if (is_of_two(which))
        platform_cpu_wait(1, 60000);
    return ipc_sleepers_begin(ops->about.name, is_of_two(which)) ? &pair : NULL;
}

static uint64_t expected(size_t which, const void *context, uint64_t operations)
{
    (void)which;
    (void)context;
    return operations;
}

static void counters(size_t which, const void *ops, const void *context,
                     const struct bench_counters *out)
{
    (void)ops;
    (void)context;
    out->emit(out->context, "cpus", is_of_two(which) ? 2 : 1, 1, "count");
}

static bool check(size_t which, const void *ops, const void *context)
{
    (void)which;
    (void)ops;
    return context == &pair;
}

static void finish(size_t which, const void *ops, void *context)
{
    (void)which;
    (void)ops;
    (void)context;
    ipc_sleepers_end();
}

const struct bench_suite ipc_wait_peers_suite = {
    SUITE_MEMBERS, // of the tables
    .what = "message queues between threads",
    .applies = applies,
    .prepare = prepare,
    .expected = expected,
    .counters = counters,
    .check = check,
    .finish = finish,
};
