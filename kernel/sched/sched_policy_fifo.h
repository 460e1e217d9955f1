// SPDX-License-Identifier: MIT
// Round robin: first in, first out, a quantum each. The baseline. A wake-up preempts nobody.
//
// A ready thread waits for the current slice and for one of each thread in front of it, at most.
#ifndef SCHED_POLICY_FIFO_H
#define SCHED_POLICY_FIFO_H

#include "sched_policy.h"

void sched_fifo_queue_init(struct sched_cpu *queue);
void sched_fifo_thread_init(struct sched_thread *thread);
void sched_fifo_enqueue(struct sched_cpu *queue, struct sched_thread *thread,
                        enum sched_enqueue why, uint64_t now_ns);
void sched_fifo_dequeue(struct sched_cpu *queue, struct sched_thread *thread, uint64_t now_ns);
struct sched_thread *sched_fifo_pick(struct sched_cpu *queue, uint64_t now_ns);
void sched_fifo_charge(struct sched_cpu *queue, struct sched_thread *thread, uint64_t ran_ns,
                       uint64_t now_ns);
void sched_fifo_run_ended(struct sched_cpu *queue, struct sched_thread *thread, uint64_t now_ns);
uint64_t sched_fifo_slice(struct sched_cpu *queue, struct sched_thread *thread);
bool sched_fifo_preempts(struct sched_cpu *queue, const struct sched_thread *woken,
                         const struct sched_thread *current, uint64_t now_ns);
struct sched_thread *sched_fifo_candidate(struct sched_cpu *queue, unsigned to, unsigned length,
                                          uint64_t now_ns);
unsigned sched_fifo_priority(const struct sched_thread *thread);
uint64_t sched_fifo_wait_most_ns(const struct sched_load *load);
bool sched_fifo_check(const struct sched_cpu *queue);

static const struct sched_policy_ops sched_fifo_ops = {
    .about = {.name = "fifo",
              .what = "round robin: first in, first out, a quantum each",
              .role = VARIANT_BASELINE},
    .queue_init = sched_fifo_queue_init,
    .thread_init = sched_fifo_thread_init,
    .enqueue = sched_fifo_enqueue,
    .dequeue = sched_fifo_dequeue,
    .pick = sched_fifo_pick,
    .charge = sched_fifo_charge,
    .run_ended = sched_fifo_run_ended,
    .slice = sched_fifo_slice,
    .preempts = sched_fifo_preempts,
    .candidate = sched_fifo_candidate,
    .priority = sched_fifo_priority,
    .wait_most_ns = sched_fifo_wait_most_ns,
    .check = sched_fifo_check,
};

#endif
