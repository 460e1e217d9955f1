// SPDX-License-Identifier: MIT
// The cases of the suite `sched`. Three kinds:
//
//   decisions  a policy's queue, its arithmetic, the scheduler's core: no thread runs
//   sim_       whole schedules of the simulator: an operation is a millisecond of virtual time,
//   what
//              is measured is the work of simulating it, and what the schedule came to is in the
//              counters, which are the same everywhere
//   the rest   real threads of this target (sched_world.h); what is measured is what they measure
#ifndef SCHED_CASES_H
#define SCHED_CASES_H

#include "body.h"
#include "definitions_sched.h"
#include "sched_mixes.h"
#include "sched_policy_variants.h"
#include "sched_queue.h"
#include "sched_threads.h"
#include "sched_world.h"

#define SUITE           sched
#define SUITE_MECHANISM sched_policy

// No scheduler: what is left of a decision without a policy, and of a switch without a decision.
static const struct sched_policy_ops sched_floor_ops = {
    .about = {.name = "floor",
              .what = "a circle of pointers, a bare switch, a loop; a bound, not a product",
              .role = VARIANT_FLOOR}};

// A policy's table is called by the policy's name alone; its files are not.
#define sched_policy_fifo_ops       sched_fifo_ops
#define sched_policy_predictive_ops sched_predictive_ops
#define sched_policy_deadline_ops   sched_deadline_ops
#define sched_policy_floor_ops      sched_floor_ops

#define SCALED ", the scheduler's clock 50 times as fast (500 on an exact one)"

#define SUITE_CASES(X, v)                                                                          \
    X(v, next_1, 256, false, 4, 256, 64, 2, 30,                                                    \
      "who is next taken out of a queue of 1, charged for a run, put back")                        \
    X(v, next_10, 256, false, 4, 256, 64, 2, 30, "the same with a queue of 10")                    \
    X(v, next_100, 256, false, 4, 256, 64, 2, 30, "the same with a queue of 100")                  \
    X(v, next_1000, 256, false, 4, 256, 64, 2, 30, "the same with a queue of 1000")                \
    X(v, next_10000, 256, false, 4, 256, 64, 2, 60, "the same with a queue of 10 000")             \
    X(v, ema, 256, false, 6, 256, 64, 2, 30, "one run goes into a moving average and a class")     \
    X(v, affinity_score, 256, false, 4, 256, 64, 2, 30, "the affinity of one thread for one CPU")  \
    X(v, workflow, 256, false, 60, 256, 64, 2, 30,                                                 \
      "woken, queued, picked, charged, judged anew, blocked: the core's part, no switch")          \
    X(v, preempt, 256, false, 40, 256, 64, 2, 30,                                                  \
      "the end of a quantum with 15 others waiting: the core's part, no switch")                   \
    X(v, sim_fairness, 200, true, 1, 8000, 100, 1, 60,                                             \
      "a simulated ms: 1 CPU, threads that yield and such that never do; Jain's index")            \
    X(v, sim_classes, 200, true, 1, 8000, 100, 1, 60,                                              \
      "a simulated ms: 1 CPU, hot, normal and cold threads; whose class is right")                 \
    X(v, sim_wakeup, 200, true, 1, 2000, 100, 1, 60,                                               \
      "a simulated ms: 1 CPU, interactive threads among batch threads; how long they wait")        \
    X(v, sim_throughput, 200, true, 1, 2000, 100, 1, 60,                                           \
      "a simulated ms: 2 CPUs, switches, migrations and cold caches cost; what is left for work")  \
    X(v, sim_deadlines, 200, true, 1, 2000, 100, 1, 60,                                            \
      "a simulated ms: 1 CPU, periodic threads beside others; how many periods are late")          \
    X(v, pass_pair, 1024, true, 4, 0, 64, 2, 60,                                                   \
      "thread to thread: two take turns by sched_pass; floor: two bare switches in turn")          \
    X(v, wake_pair, 1024, true, 40, 0, 64, 2, 60,                                                  \
      "thread to thread: two take turns on one CPU, each wakes the other one and blocks")          \
    X(v, wake_pair_cpus, 32, true, 1, 0, 32, 1, 120,                                               \
      "the same with a CPU each: a wake-up ends the other one's wait")                             \
    X(v, hackbench, 1024, true, 20, 0, 64, 1, 120,                                                 \
      "a message: 2 groups of 4 senders and 4 receivers, each to each, all on one CPU")            \
    X(v, hackbench_cpus, 1024, true, 1, 0, 64, 1, 120, "the same on two CPUs")                     \
    X(v, short_wakeup, 1, true, 1, 0, 1, 16, 180,                                                  \
      "5 short threads beside 2 that only compute: from a timer's wake-up to the run" SCALED)      \
    X(v, interactive_wakeup, 1, true, 1, 0, 1, 110, 180,                                           \
      "one short thread beside 2 that only compute: from a timer's wake-up to the run" SCALED)     \
    X(v, response, 1, true, 1, 0, 1, 8, 180,                                                       \
      "3 short threads woken at once beside 2 that compute: until all have done their "            \
      "work" SCALED)                                                                               \
    X(v, batch, 1024, true, 200, 0, 256, 1, 180,                                                   \
      "a unit of work of 2 threads that compute, beside one that is woken often" SCALED)           \
    X(v, affinity, 2048, true, 1, 0, 256, 1, 180,                                                  \
      "5 threads on 2 CPUs, balanced: one pass over 16 KiB of a thread's own" SCALED)              \
    X(v, refill_home, 256, true, 1, 0, 256, 1, 60,                                                 \
      "a cache line written again by the CPU that wrote it before")                                \
    X(v, refill_moved, 256, true, 1, 0, 256, 1, 60,                                                \
      "a cache line written by this CPU after another one: what a migration costs a thread")

// ---- bodies of real threads ---------------------------------------------------------------------

struct pair {
    struct cpu_full contexts[2];
    uint64_t counts[2];
};

static struct pair bare;
static uint8_t bare_stack[WORLD_STACK_BYTES] CACHE_ALIGNED;

ALWAYS_INLINE uint64_t wake_pair(const struct sched_policy_ops *ops, void *context,
                                 uint64_t operations)
{
    (void)ops;
    (void)context;
    return world_window(operations);
}

#define wake_pair_cpus     wake_pair
#define hackbench          wake_pair
#define hackbench_cpus     wake_pair
#define short_wakeup       wake_pair
#define interactive_wakeup wake_pair

// No macros: members of structs have these names.
ALWAYS_INLINE uint64_t affinity(const struct sched_policy_ops *ops, void *context,
                                uint64_t operations)
{
    return wake_pair(ops, context, operations);
}

ALWAYS_INLINE uint64_t batch(const struct sched_policy_ops *ops, void *context, uint64_t operations)
{
    return wake_pair(ops, context, operations);
}

ALWAYS_INLINE uint64_t response(const struct sched_policy_ops *ops, void *context,
                                uint64_t operations)
{
    return wake_pair(ops, context, operations);
}

static void bare_other(void *unused)
{
    (void)unused;
    for (;;) {
        bare.counts[1]++;
        (void)switch_full_jmp(&bare.contexts[1], &bare.contexts[0]);
    }
}

ALWAYS_INLINE uint64_t pass_pair(const struct sched_policy_ops *ops, void *context,
                                 uint64_t operations)
{
    (void)context;
    if (ops->about.role != VARIANT_FLOOR)
        return world_window(operations);
    const uint64_t first = bare.counts[0] + bare.counts[1];
    for (uint64_t i = 0; i < operations / 2; i++) {
        bare.counts[0]++;
        (void)switch_full_jmp(&bare.contexts[0], &bare.contexts[1]);
    }
    return bare.counts[0] + bare.counts[1] - first;
}

// Every line holds what `before` wrote there.
ALWAYS_INLINE uint64_t refill_home(const struct sched_policy_ops *ops, void *context,
                                   uint64_t operations)
{
    uint64_t *const set = shared.sets[0];
    const uint64_t written = shared.round;
    uint64_t done = 0;
    (void)ops;
    (void)context;
    for (uint64_t i = 0; i < operations; i++) {
        done += ++set[i * (CACHE_LINE / 8)] - written;
        BODY_SETTLE();
    }
    return done;
}

#define refill_moved refill_home

#endif
