// SPDX-License-Identifier: MIT
// What the scheduler records when it is traced. Macros for the reason trace.h gives. A thread's id
// has 20 bits, a CPU's index 6; the encoder takes them apart again with the functions below.
//
//   SCHED_SWITCH   id of the one that runs next | state the last one was left in << 20
//                  | priority of the next << 24. The last one is the one of the SCHED_SWITCH before
//                  on the same CPU; a CPU's first one comes when it joins, and leaves nobody
//   SCHED_WAKE     id of the one that is ready now | CPU of its queue << 20 | by the timer << 26.
//                  Its waker is the current thread of the recording CPU, unless by the timer
//   SCHED_MIGRATE  id | from << 20 | to << 26
//   SCHED_IDLE     1: the idle thread waits for interrupts; 0: the CPU has found work again
//   SCHED_EXIT     id of the thread that ends; the next SCHED_SWITCH leaves it
#ifndef SCHED_TRACE_H
#define SCHED_TRACE_H

#include "trace.h"

#define SCHED_TRACE_ID_BITS 20
#define SCHED_TRACE_ID_MASK 0xfffffu

#define sched_trace_switch(next, state, priority)                                                  \
    trace_instant(TRACE_SCHED_SWITCH, (next) | (uint32_t)(state) << 20 | (uint32_t)(priority) << 24)
#define sched_trace_wake(thread, cpu, timer)                                                       \
    trace_instant(TRACE_SCHED_WAKE, (thread) | (uint32_t)(cpu) << 20 | (uint32_t)(timer) << 26)
#define sched_trace_migrate(thread, from, to)                                                      \
    trace_instant(TRACE_SCHED_MIGRATE, (thread) | (uint32_t)(from) << 20 | (uint32_t)(to) << 26)
#define sched_trace_idle(waits)  trace_instant(TRACE_SCHED_IDLE, waits)
#define sched_trace_exit(thread) trace_instant(TRACE_SCHED_EXIT, thread)

static inline uint32_t sched_trace_id(uint32_t value)
{
    return value & SCHED_TRACE_ID_MASK;
}

// SCHED_SWITCH: enum sched_state of the one that ran before, and the priority of the next.
static inline uint32_t sched_trace_state(uint32_t value)
{
    return value >> 20 & 0xfu;
}

static inline uint32_t sched_trace_priority(uint32_t value)
{
    return value >> 24;
}

// SCHED_WAKE: the queue's CPU; SCHED_MIGRATE: where from.
static inline uint32_t sched_trace_cpu(uint32_t value)
{
    return value >> 20 & 0x3fu;
}

// SCHED_WAKE: 1 if by the timer; SCHED_MIGRATE: where to.
static inline uint32_t sched_trace_to(uint32_t value)
{
    return value >> 26;
}

#endif
