// SPDX-License-Identifier: MIT
// CPU operations for tests. `alone`: one CPU with real stacks and a clock that jumps to what is
// waited for. One at a time.
#ifndef SCHED_SUBJECT_H
#define SCHED_SUBJECT_H

#include "sched.h"
#include "test_platform.h"

struct alone {
    struct sched *sched;
    uint64_t now_ns, timer_ns;
    bool masked, kicked, stuck;
    unsigned deferred;
};

static struct alone alone;

static unsigned alone_cpu(void *machine)
{
    (void)machine;
    return 0;
}

static uint64_t alone_now(void *machine)
{
    return ((struct alone *)machine)->now_ns;
}

static void alone_kick(void *machine, unsigned cpu)
{
    (void)cpu;
    ((struct alone *)machine)->kicked = true;
}

static void alone_set_timer(void *machine, uint64_t at_ns)
{
    ((struct alone *)machine)->timer_ns = at_ns;
}

// Lets in what has come; true if there was something.
static bool alone_interrupts(void)
{
    const bool timer = alone.timer_ns <= alone.now_ns;
    if (!timer && !alone.kicked)
        return false;
    if (timer)
        alone.timer_ns = SCHED_NEVER;
    else
        alone.kicked = false;
    alone.masked = true;
    sched_interrupt(alone.sched, timer);
    alone.masked = false;
    return true;
}

static void alone_idle(void *machine)
{
    (void)machine;
    if (!alone_interrupts()) {
        alone.stuck = alone.timer_ns == SCHED_NEVER;
        if (alone.stuck)
            platform_panic("idle for ever", __FILE__, __LINE__);
        alone.now_ns = alone.timer_ns;
        alone_interrupts();
    }
    alone.masked = true;
}

static bool alone_mask(void *machine)
{
    const bool let_in = !alone.masked;
    (void)machine;
    alone.masked = true;
    return let_in;
}

static void alone_unmask(void *machine, bool let_in)
{
    (void)machine;
    alone.masked = !let_in;
    while (let_in && alone_interrupts())
        continue;
}

static bool alone_preemptible(void *machine)
{
    (void)machine;
    return cpu_local()->preempt_count == 0;
}

static void alone_preempt(void)
{
    sched_preempt(alone.sched);
}

static void alone_defer(void *machine)
{
    (void)machine;
    alone.deferred++;
    cpu_local()->preempt_wanted = alone_preempt;
}

static const struct sched_cpu_ops alone_ops = {
    .name = "alone",
    .cpu = alone_cpu,
    .now_ns = alone_now,
    .kick = alone_kick,
    .set_timer = alone_set_timer,
    .idle = alone_idle,
    .mask = alone_mask,
    .unmask = alone_unmask,
    .preemptible = alone_preemptible,
    .defer = alone_defer,
    .make = sched_make_context,
    .switch_to = sched_switch_context,
    .enter = sched_enter_context,
    .leave = sched_leave_context,
};

// The running thread works for `ns`; interrupts come as they do.
static inline void alone_work(uint64_t ns)
{
    alone.now_ns += ns;
    if (!alone.masked)
        while (alone_interrupts())
            continue;
}

#endif
