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

// With a CPU each.
static bool is_of_two(size_t which)
{
    return which == CASE_wake_56_cpus || which == CASE_wake_56_cpus_barrier || which == CASE_call_2;
}

static bool is_of_calls(size_t which)
{
    return which == CASE_call_1 || which == CASE_call_1_direct || which == CASE_call_2;
}

struct crowd {
    uint8_t producers, consumers;
};

// Of the case; none: two threads take turns.
static struct crowd crowd_of(size_t which)
{
    static const struct crowd crowds[CASE_COUNT] = {
        [CASE_crowd_1x1] = {1, 1}, [CASE_crowd_2x1] = {2, 1}, [CASE_crowd_4x1] = {4, 1},
        [CASE_crowd_8x1] = {8, 1}, [CASE_crowd_1x2] = {1, 2}, [CASE_crowd_1x4] = {1, 4},
        [CASE_crowd_1x8] = {1, 8}, [CASE_crowd_2x2] = {2, 2}, [CASE_crowd_4x4] = {4, 4},
        [CASE_crowd_8x8] = {8, 8},
    };
    return crowds[which];
}

static bool applies(size_t which, const void *ops_)
{
    const struct ring_ops *ops = ops_;
    void *machine;
    // Where CPUs are emulated, one that is interrupted answers tens of milliseconds later.
    if (which == CASE_wake_56_cpus_barrier && platform_clock_class() == PLATFORM_CLOCK_EMULATED)
        return false;
    return platform_sched(&machine) != NULL && (!is_of_two(which) || platform_cpu_count() >= 2) &&
           (crowd_of(which).producers == 0 || ops->several);
}

static struct ipc_pair pair;

static void *prepare(size_t which, const void *ops, void *memory, size_t length, uint64_t seed)
{
    const struct crowd crowd = crowd_of(which);
    const bool two = is_of_two(which) || (crowd.producers > 0 && platform_cpu_count() >= 2);
    pair = (struct ipc_pair){.calls = is_of_calls(which),
                             .direct = which == CASE_call_1_direct,
                             .sleepers_pay = which == CASE_wake_56_cpus_barrier,
                             .producers = crowd.producers,
                             .consumers = crowd.consumers,
                             .cpus = two ? 2 : 1};
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

#define MILLION 1000000u

// How evenly the producers of a crowd came on while all of them sent: Jain's index, as in the rows
// for many CPUs, and how far the last one was beside the first.
static void count_fairness(const struct ipc_pair_statistics *found,
                           const struct bench_counters *out)
{
    uint64_t sum = 0, squares = 0, least = UINT64_MAX, most = 0;
    for (unsigned i = 0; i < pair.producers; i++) {
        const uint64_t sent = found->at_first[i];
        sum += sent;
        squares += sent * sent;
        least = sent < least ? sent : least;
        most = sent > most ? sent : most;
    }
    if (squares == 0)
        return;
    out->emit(out->context, "fairness", sum * sum * MILLION / (pair.producers * squares), MILLION,
              "observed");
    out->emit(out->context, "last_to_first", least * MILLION / most, MILLION, "observed");
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
    if (pair.producers > 0) {
        // Who sleeps in a crowd is another matter each time.
        out->emit(out->context, "blocks_a_message",
                  (found.blocks + found.sender_blocks) * MILLION / found.requests, MILLION,
                  "observed");
        if (pair.producers > 1)
            count_fairness(&found, out);
        return;
    }
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
