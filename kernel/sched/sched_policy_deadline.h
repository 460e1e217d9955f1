// SPDX-License-Identifier: MIT
// Virtual deadline: earliest eligible virtual deadline first (Stoica, Abdel-Wahab: Earliest
// Eligible Virtual Deadline First, Old Dominion University TR 95-22), in integers.
//
//   virtual time  of a thread: nanoseconds it has run, times 1024 / its weight; of a queue: the
//   mean
//                 of those of its threads and the running one, by weight, rounded down
//   lag           the queue's less the thread's: what the thread is owed. It is kept while the
//                 thread waits or moves, within two slices either way
//   eligible      owed something or nothing: lag 0 or more. There is always one
//   deadline      virtual time at which a slice that begins now is due
//
// The ready threads are in a tree by deadline, each with the least virtual time below it, so a pick
// costs the logarithm of the queue's length. A ready thread waits at most until its deadline is
// passed by the queue's virtual time and the slices under way are over: the bound is
// sched_deadline_wait_most_ns.
#ifndef SCHED_POLICY_DEADLINE_H
#define SCHED_POLICY_DEADLINE_H

#include "sched_policy.h"

#define SCHED_DEADLINE_UNIT 1024u // weight of nice 0

struct __attribute__((may_alias)) sched_deadline_thread {
    uint64_t virtual_ns;
    uint64_t deadline_ns; // virtual
    int64_t lag_ns;       // virtual; while it is no member
    uint64_t rest;        // of the division that makes virtual time, below the weight
    uint32_t weight;
    bool member; // of a queue's sums: ready or running there
};

struct __attribute__((may_alias)) sched_deadline_queue {
    struct sched_tree threads;
    uint64_t arrivals;   // among equal deadlines the first comes first
    uint64_t virtual_ns; // rounded down, always
    int64_t excess;      // sum of weight * (thread's virtual time - the queue's); below `weight`
    uint64_t weight;     // of all members
};

static inline const struct sched_deadline_thread *
sched_deadline_of(const struct sched_thread *thread)
{
    return (const struct sched_deadline_thread *)thread->policy;
}

void sched_deadline_queue_init(struct sched_cpu *queue);
void sched_deadline_thread_init(struct sched_thread *thread);
void sched_deadline_enqueue(struct sched_cpu *queue, struct sched_thread *thread,
                            enum sched_enqueue why, uint64_t now_ns);
void sched_deadline_dequeue(struct sched_cpu *queue, struct sched_thread *thread, uint64_t now_ns);
struct sched_thread *sched_deadline_pick(struct sched_cpu *queue, uint64_t now_ns);
void sched_deadline_charge(struct sched_cpu *queue, struct sched_thread *thread, uint64_t ran_ns,
                           uint64_t now_ns);
void sched_deadline_run_ended(struct sched_cpu *queue, struct sched_thread *thread,
                              uint64_t now_ns);
uint64_t sched_deadline_slice(struct sched_cpu *queue, struct sched_thread *thread);
bool sched_deadline_preempts(struct sched_cpu *queue, const struct sched_thread *woken,
                             const struct sched_thread *current, uint64_t now_ns);
struct sched_thread *sched_deadline_candidate(struct sched_cpu *queue, unsigned to, unsigned length,
                                              uint64_t now_ns);
unsigned sched_deadline_priority(const struct sched_thread *thread);
uint64_t sched_deadline_wait_most_ns(const struct sched_load *load);
bool sched_deadline_check(const struct sched_cpu *queue);

static const struct sched_policy_ops sched_deadline_ops = {
    .about = {.name = "deadline",
              .what = "earliest eligible virtual deadline first, shares by nice value",
              .role = VARIANT_PRODUCT},
    .queue_init = sched_deadline_queue_init,
    .thread_init = sched_deadline_thread_init,
    .enqueue = sched_deadline_enqueue,
    .dequeue = sched_deadline_dequeue,
    .pick = sched_deadline_pick,
    .charge = sched_deadline_charge,
    .run_ended = sched_deadline_run_ended,
    .slice = sched_deadline_slice,
    .preempts = sched_deadline_preempts,
    .candidate = sched_deadline_candidate,
    .priority = sched_deadline_priority,
    .wait_most_ns = sched_deadline_wait_most_ns,
    .check = sched_deadline_check,
};

#endif
