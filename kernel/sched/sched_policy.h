// SPDX-License-Identifier: MIT
// The interface every scheduling policy offers: who is next on a CPU's queue.
//
// Rules for callers
//   threads   all functions with a queue are called with its lock held; thread_init before a thread
//             is known to anybody. The core (sched.c) is the caller; tests and benchmarks may drive
//             a queue of their own from one thread
//   who       a thread is in a queue, or runs, or waits. enqueue is for one that is in none;
//   dequeue
//             for one that is in this queue; pick takes out what it returns. The idle thread is
//             never seen
//   counts    queue->ready is the core's: at enqueue, dequeue and pick it is what it was before
//   state     a policy keeps its own in thread->policy and queue->policy (through structs that are
//             may_alias), and may use thread->link and thread->node. Zeroed before *_init
//   order     sched_policy_ops functions take no lock, call no CPU operation and do not wait; each
//             is bounded by the logarithm of the queue's length or better
//
// A variant NAME is two files, sched_policy_NAME.h and .c, and two lines in
// sched_policy_variants.h. It defines `static const struct sched_policy_ops sched_NAME_ops`.
#ifndef SCHED_POLICY_H
#define SCHED_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "sched.h"
#include "variant.h"

enum sched_enqueue {
    SCHED_ENQUEUE_STARTED,   // for the first time
    SCHED_ENQUEUE_WOKEN,     // has waited
    SCHED_ENQUEUE_PREEMPTED, // ran, and its slice is not used up
    SCHED_ENQUEUE_USED_UP,   // ran, and it is
    SCHED_ENQUEUE_YIELDED,   // gave way
    SCHED_ENQUEUE_MOVED,     // comes from another queue, where dequeue took it out
};

// What the bound on waiting depends on.
struct sched_load {
    uint64_t threads;    // that have been ready or running at any one time, at most, on all CPUs
    uint64_t weight;     // of all of them together (sched_weight)
    uint64_t own_weight; // of the one that waits
    uint64_t quantum_ns; // of the configuration
    uint64_t undisturbed_ns; // longest time without preemption: handlers, disabled preemption
};

struct sched_policy_ops {
    struct variant about;
    void (*queue_init)(struct sched_cpu *queue);
    void (*thread_init)(struct sched_thread *thread);
    void (*enqueue)(struct sched_cpu *queue, struct sched_thread *thread, enum sched_enqueue why,
                    uint64_t now_ns);
    void (*dequeue)(struct sched_cpu *queue, struct sched_thread *thread, uint64_t now_ns);
    // NULL when the queue is empty. What it returns runs next.
    struct sched_thread *(*pick)(struct sched_cpu *queue, uint64_t now_ns);
    // The running thread has run for `ran_ns` more; thread->run_so_far_ns has it already.
    void (*charge)(struct sched_cpu *queue, struct sched_thread *thread, uint64_t ran_ns,
                   uint64_t now_ns);
    // The run is over, thread->run_so_far_ns long.
    void (*run_ended)(struct sched_cpu *queue, struct sched_thread *thread, uint64_t now_ns);
    // How long it may run now, ns, at least 1; asked when a slice begins.
    uint64_t (*slice)(struct sched_cpu *queue, struct sched_thread *thread);
    // Whether `woken`, just enqueued, should run in place of `current`.
    bool (*preempts)(struct sched_cpu *queue, const struct sched_thread *woken,
                     const struct sched_thread *current, uint64_t now_ns);
    // Which thread of this queue to move to CPU `to`, whose queue has `length` threads; only one
    // for which sched_movable is true, after SCHED_BALANCE_LOOKS at most; NULL: none. It is not
    // taken out. Moving it must not make it wait longer than it would here.
    struct sched_thread *(*candidate)(struct sched_cpu *queue, unsigned to, unsigned length,
                                      uint64_t now_ns);
    // For traces: larger is more urgent.
    unsigned (*priority)(const struct sched_thread *thread);
    // How long a ready thread waits at most until it runs.
    uint64_t (*wait_most_ns)(const struct sched_load *load);
    // Walks the queue: false if its order or its `ready` is broken.
    bool (*check)(const struct sched_cpu *queue);
};

// May `thread` be moved from its queue to that of CPU `to` now: affinity, and it has left its
// stack.
static inline bool sched_movable(const struct sched_thread *thread, unsigned to)
{
    // Acquire: pairs with the release of the switch that left it; its context is whole then.
    return (thread->affinity >> to & 1) != 0 &&
           __atomic_load_n(&thread->context.state, __ATOMIC_ACQUIRE) == THREAD_READY;
}

#endif
