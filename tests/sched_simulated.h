// SPDX-License-Identifier: MIT
// What tests in the scheduler's simulator begin with: every policy, one simulator and its threads.
#ifndef SCHED_SIMULATED_H
#define SCHED_SIMULATED_H

#include <check.h>
#include <stdlib.h>

#include "sched_policy_variants.h"
#include "sched_simulator.h"

#define POLICY_OPS(name) &sched_##name##_ops,
static const struct sched_policy_ops *const policies[] = {SCHED_POLICY_VARIANTS(POLICY_OPS)};

#define MS           1000000ull
#define THREADS_MOST 24u

static struct sched_sim sim;
static struct sched_sim_thread threads[THREADS_MOST];
static void *memory;

static inline void open_sim(const struct sched_sim_config *config)
{
    const size_t bytes = sched_sim_bytes(config->cpus, THREADS_MOST);
    free(memory);
    memory = aligned_alloc(64, align_up(bytes, 64));
    ck_assert_int_eq(sched_sim_init(&sim, config, THREADS_MOST, memory, bytes), STATUS_OK);
}

static inline void open_policy(const struct sched_policy_ops *policy, unsigned cpus)
{
    open_sim(&(struct sched_sim_config){
        .cpus = cpus, .policy = policy, .seed = 1, .events_most = 1000000, .check = true});
}

static const struct sched_sim_step for_ever[] = {{.op = SCHED_SIM_RUN, .ns = 3600000 * MS}};

#endif
