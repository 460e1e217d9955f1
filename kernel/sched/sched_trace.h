// SPDX-License-Identifier: MIT
// What the scheduler records when it is traced (config.trace); trace_sched.h has the values. The
// numbers of a recording go on from scheduler to scheduler: a thread's is sched->trace_before + its
// id.
//
// These functions record whatever CONFIG_TRACE says; the scheduler asks it, and whoever is told of
// events by sched_cpu_ops.event may call them too. Masked.
#ifndef SCHED_TRACE_H
#define SCHED_TRACE_H

#include "sched.h"
#include "trace_sched.h"

_Static_assert(CPU_MOST <= 64, "a CPU has 6 bits in a value");
_Static_assert(SCHED_ID_MOST <= TRACE_NUMBER_MOST, "a thread has 20");

// When a scheduler begins, and for each of its threads. `idle`: of which CPU, + 1; 0: of none.
static inline void sched_trace_begin(struct sched *sched)
{
    sched->trace_before = trace_threads_before();
}

static inline void sched_trace_thread(const struct sched *sched, uint32_t id, const char *name,
                                      uint32_t idle)
{
    trace_thread((sched->trace_before + id) & TRACE_NUMBER_MOST, name, idle);
}

static inline enum trace_left sched_trace_left(const struct sched_event *event)
{
    switch ((enum sched_state)event->state) {
    case SCHED_READY:
        return event->yielded ? TRACE_LEFT_YIELDED : TRACE_LEFT_PREEMPTED;
    case SCHED_BLOCKED:
        return TRACE_LEFT_BLOCKED;
    case SCHED_SLEEPING:
        return TRACE_LEFT_SLEEPING;
    case SCHED_JOINING:
        return TRACE_LEFT_JOINING;
    case SCHED_EXITING:
    case SCHED_FINISHED:
        return TRACE_LEFT_ENDED;
    case SCHED_NEW:
    case SCHED_RUNNING:
        break;
    }
    return TRACE_LEFT_NOBODY;
}

// The value that is recorded for an event of this scheduler; *which: for what.
static inline uint32_t sched_trace_value(const struct sched *sched, const struct sched_event *event,
                                         enum trace_event *which)
{
    const uint32_t number = (sched->trace_before + event->thread) & TRACE_NUMBER_MOST;
    switch ((enum sched_event_kind)event->kind) {
    case SCHED_EVENT_SWITCH:
        *which = TRACE_SCHED_SWITCH;
        return trace_value_switch(number, sched_trace_left(event), event->priority);
    case SCHED_EVENT_WAKE:
        *which = TRACE_SCHED_WAKE;
        return trace_value_wake(number, event->to, event->other == 0);
    case SCHED_EVENT_MIGRATE:
        *which = TRACE_SCHED_MIGRATE;
        return trace_value_migrate(number, event->from, event->to);
    case SCHED_EVENT_IDLE:
        *which = TRACE_SCHED_IDLE;
        return event->to;
    case SCHED_EVENT_EXIT:
        break;
    }
    *which = TRACE_SCHED_EXIT;
    return number;
}

static inline void sched_trace_event(const struct sched *sched, const struct sched_event *event)
{
    enum trace_event which;
    const uint32_t value = sched_trace_value(sched, event, &which);
    trace_sched_event(which, value, event->priority);
    if (which == TRACE_SCHED_SWITCH)
        trace_stretch(trace_value_number(value));
}

// The running CPU leaves: what it does from here on is nobody's.
static inline void sched_trace_leave(void)
{
    trace_sched_event(TRACE_SCHED_SWITCH, trace_value_switch(0, TRACE_LEFT_NOBODY, 0), 0);
    trace_stretch(0);
}

#endif
