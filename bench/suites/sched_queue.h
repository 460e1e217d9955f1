// SPDX-License-Identifier: MIT
// Decisions alone: a policy's queue driven directly, the arithmetic of the predictive one, and the
// scheduler's core over a CPU that does nothing.
#ifndef SCHED_QUEUE_H
#define SCHED_QUEUE_H

#include "body.h"
#include "compiler.h"
#include "random.h"
#include "sched.h"
#include "sched_policy.h"
#include "sched_policy_predictive.h"

#define QUEUE_MOST  10000u // threads
#define TABLE       256u   // of ema and affinity_score
#define CORE_MANY   16u    // threads of workflow and preempt
#define CORE_RUN_NS 1000000u

// ---- a queue ------------------------------------------------------------------------------------

struct queue_context {
    struct sched sched; // its configuration is all that policies look at
    struct sched_cpu cpu;
    uint64_t now_ns;
    uint64_t length, at;           // of the floor's circle: the next one
    struct sched_thread **circle;  // of the floor
    struct sched_thread threads[]; // `user`: how many ns it runs each time
};

ALWAYS_INLINE uint64_t next_of_circle(struct queue_context *context, uint64_t operations)
{
    uint64_t at = context->at, served = 0;
    for (uint64_t i = 0; i < operations; i++) {
        struct sched_thread *const thread = context->circle[at];
        thread->last_ran_ns = i;
        at = at + 1 < context->length ? at + 1 : 0;
        served += thread != NULL;
        BODY_SETTLE();
    }
    context->at = at;
    return served;
}

// Who is next is taken out, has run until it waits, is woken and comes back: the queue has the same
// length in front of every decision.
ALWAYS_INLINE uint64_t next_1(const struct sched_policy_ops *ops, struct queue_context *context,
                              uint64_t operations)
{
    struct sched_cpu *const queue = &context->cpu;
    uint64_t now = context->now_ns, served = 0;
    if (ops->about.role == VARIANT_FLOOR)
        return next_of_circle(context, operations);
    for (uint64_t i = 0; i < operations; i++) {
        struct sched_thread *const thread = ops->pick(queue, now);
        if (UNLIKELY(thread == NULL))
            return BENCH_FAILED;
        const uint64_t run = (uintptr_t)thread->user;
        queue->ready--;
        now += run;
        thread->run_so_far_ns = run;
        thread->last_ran_ns = now;
        ops->charge(queue, thread, run, now);
        ops->run_ended(queue, thread, now);
        thread->run_so_far_ns = 0;
        ops->enqueue(queue, thread, SCHED_ENQUEUE_WOKEN, now);
        queue->ready++;
        served++;
        BODY_SETTLE();
    }
    context->now_ns = now;
    return served;
}

#define next_10    next_1
#define next_100   next_1
#define next_1000  next_1
#define next_10000 next_1

// ---- arithmetic ---------------------------------------------------------------------------------

struct arithmetic_context {
    uint64_t ema_us[TABLE], learnt[TABLE];
    uint64_t classes[SCHED_CLASSES]; // how often each came out
    struct {
        uint64_t run_us;  // of a thread
        uint64_t away_ns; // for so long
        uint32_t last, cpu;
    } events[TABLE];
};

ALWAYS_INLINE uint64_t ema(const struct sched_policy_ops *ops, struct arithmetic_context *context,
                           uint64_t operations)
{
    uint64_t sum = 0;
    (void)ops;
    for (uint64_t i = 0; i < operations; i++) {
        const uint64_t thread = i % TABLE, run_us = context->events[i * 7 % TABLE].run_us;
        const uint64_t ema_us =
            sched_predictive_ema(context->ema_us[thread], context->learnt[thread]++, run_us);
        context->ema_us[thread] = ema_us;
        context->classes[sched_predictive_class(ema_us)]++;
        sum += ema_us;
        BODY_SETTLE();
    }
    return sum;
}

ALWAYS_INLINE uint64_t affinity_score(const struct sched_policy_ops *ops,
                                      struct arithmetic_context *context, uint64_t operations)
{
    uint64_t sum = 0;
    (void)ops;
    for (uint64_t i = 0; i < operations; i++) {
        const uint64_t k = i % TABLE;
        sum += sched_predictive_affinity(context->events[k].last, context->events[k].cpu,
                                         context->events[k].away_ns);
        BODY_SETTLE();
    }
    return sum;
}

// ---- the core -----------------------------------------------------------------------------------
// One CPU whose operations do nothing, so that what is left is the scheduler's own work. Time
// passes as the body says; a switch returns at once, as whoever was switched to.

struct core_context {
    struct sched sched;
    struct sched_cpu cpu; // the scheduler's memory
    uint64_t now_ns;
    struct sched_thread threads[CORE_MANY];
    struct sched_thread *waiting[CORE_MANY]; // in the order they will be woken in
    uint64_t first, count;                   // of these
};

ALWAYS_INLINE uint64_t workflow(const struct sched_policy_ops *ops, struct core_context *context,
                                uint64_t operations)
{
    struct sched *const sched = &context->sched;
    struct sched_cpu *const cpu = &sched->cpus[0];
    const uint64_t before = cpu->statistics.wakeups;
    (void)ops;
    for (uint64_t i = 0; i < operations; i++) {
        struct sched_thread **const place = &context->waiting[context->first++ % context->count];
        sched_wake(sched, *place);
        context->now_ns += CORE_RUN_NS;
        *place = cpu->current;
        sched_block(sched);
        BODY_SETTLE();
    }
    return cpu->statistics.wakeups - before;
}

ALWAYS_INLINE uint64_t preempt(const struct sched_policy_ops *ops, struct core_context *context,
                               uint64_t operations)
{
    struct sched *const sched = &context->sched;
    struct sched_cpu *const cpu = &sched->cpus[0];
    const uint64_t before = cpu->statistics.preemptions;
    (void)ops;
    for (uint64_t i = 0; i < operations; i++) {
        context->now_ns += sched->config.quantum_ns;
        sched_interrupt(sched, true);
        BODY_SETTLE();
    }
    return cpu->statistics.preemptions - before;
}

#endif
