// SPDX-License-Identifier: MIT
// What the deeds about the scheduler have in common: one scheduler at a time, its threads and their
// stacks.
#ifndef DEEDS_SCHED_H
#define DEEDS_SCHED_H

#include "sched.h"
#include "sched_policy.h"

#define SCHED_DEED_THREADS     64u
#define SCHED_DEED_STACK_BYTES 8192u
#define SCHED_DEED_WAIT_MS     7200000u
#define NS_PER_MS              1000000u

extern struct sched deed_sched;
extern struct sched_thread deed_threads[SCHED_DEED_THREADS];

// Each policy in turn, NULL behind the last.
const struct sched_policy_ops *sched_deed_policy(unsigned number);

// The machine's CPU operations; a machine without ends the run.
const struct sched_cpu_ops *sched_deed_ops(void);

// Makes the scheduler, for CPUs 0 to cpus - 1.
void sched_deed_begin(const struct sched_policy_ops *policy, const struct sched_cpu_ops *ops,
                      unsigned cpus, uint64_t quantum_ns);

// Makes deed_threads[number] and starts it. Before sched_deed_run, or in it.
struct sched_thread *sched_deed_spawn(unsigned number, const char *name,
                                      void (*entry)(void *argument), void *argument,
                                      uint64_t affinity);

// Runs the threads until all have ended. Ends the run if the scheduler's order is broken then.
void sched_deed_run(void);

uint64_t sched_deed_now(void);

// One line `probe sched.POLICY.KEY=VALUE`.
void sched_deed_say(const struct sched_policy_ops *policy, const char *key, uint64_t value);

#endif
