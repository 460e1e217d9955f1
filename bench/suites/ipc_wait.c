// SPDX-License-Identifier: MIT
// Message queues whose threads sleep: what a wake-up and a call cost. Rows of the suite `ipc`.
#include "platform.h"
#include "ring.h"
#include "ring_fusion_mpmc.h"
#include "ring_fusion_spsc.h"
#include "ring_locked_queue.h"

#define SUITE_VARIANTS(X) X(locked_queue) X(fusion_spsc) X(fusion_mpmc)

#include "ipc_wait_cases.h"

SUITE_TABLES

static bool is_of_two(size_t which)
{
    return which == CASE_wake_56_cpus || which == CASE_call_2;
}

static bool applies(size_t which, const void *ops)
{
    void *machine;
    (void)ops;
    return platform_sched(&machine) != NULL && (!is_of_two(which) || platform_cpu_count() >= 2);
}

static struct ipc_pair pair;

static void *prepare(size_t which, const void *ops, void *memory, size_t length, uint64_t seed)
{
    pair.calls = which == CASE_call_1 || which == CASE_call_2;
    pair.cpus = is_of_two(which) ? 2 : 1;
    return ipc_wait_threads(&pair, ops, memory, length, seed) ? &pair : NULL;
}

static uint64_t expected(size_t which, const void *context, uint64_t operations)
{
    (void)which;
    (void)context;
    return operations;
}

static uint64_t ticks(size_t which, const void *context)
{
    (void)which;
    (void)context;
    return ipc_wait_threads_ticks();
}

static bool interrupts(size_t which)
{
    (void)which;
    return true;
}

// Sleeps of a message's receivers: 1 where each found nobody awake.
static void counters(size_t which, const void *ops, const void *context,
                     const struct bench_counters *out)
{
    struct ipc_pair_statistics found;
    (void)which;
    (void)ops;
    (void)context;
    ipc_wait_threads_statistics(&found);
    out->emit(out->context, "requests", found.requests, 1, "count");
    out->emit(out->context, "sleeps", found.sleeps, 1, "count");
    out->emit(out->context, "blocks", found.blocks, 1, "count");
    out->emit(out->context, "wakes", found.wakes, 1, "count");
}

static bool check(size_t which, const void *ops, const void *context)
{
    (void)which;
    (void)ops;
    (void)context;
    return ipc_wait_threads_check();
}

static void finish(size_t which, const void *ops, void *context)
{
    (void)which;
    (void)ops;
    (void)context;
    ipc_wait_threads_end();
}

const struct bench_suite ipc_wait_suite = {
    SUITE_MEMBERS, // of the tables
    .what = "message queues between threads",
    .applies = applies,
    .prepare = prepare,
    .expected = expected,
    .ticks = ticks,
    .interrupts = interrupts,
    .counters = counters,
    .check = check,
    .finish = finish,
};
