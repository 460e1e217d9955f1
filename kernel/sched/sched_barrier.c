// SPDX-License-Identifier: MIT
// The idea is that of membarrier(2): where one side of a race is frequent and the other one rare,
// the rare one makes all others do their barrier.
#include "sched.h"

static uint64_t interrupts_of(const struct sched_cpu *cpu)
{
    // Acquire, with the release in sched_interrupt: what that CPU stored before is seen.
    return __atomic_load_n(&cpu->statistics.interrupts, __ATOMIC_ACQUIRE);
}

static bool has_joined(const struct sched *sched, unsigned cpu)
{
    return __atomic_load_n(&sched->online_mask, __ATOMIC_SEQ_CST) >> cpu & 1;
}

static bool has_answered(const struct sched *sched, unsigned cpu, uint64_t before)
{
    for (unsigned look = 0; look < SCHED_BARRIER_LOOKS; look++) {
        // A CPU that leaves has taken locks since; one that joins takes some before it runs
        // anything.
        if (interrupts_of(&sched->cpus[cpu]) != before || !has_joined(sched, cpu))
            return true;
        cpu_pause();
    }
    return false;
}

bool sched_barrier(struct sched *sched)
{
    uint64_t before[CPU_MOST];
    bool answered = true;
    const unsigned cpus = sched->config.cpus;
    const bool let_in = sched->ops->mask(sched->machine);
    const unsigned here = sched->ops->cpu(sched->machine);
    // What the caller has stored is seen by whoever is interrupted now: a kick is behind it. The
    // exchange is this CPU's own full barrier; moved to another CPU later, the thread has left it.
    uint64_t kicked = __atomic_fetch_or(&sched->online_mask, 0, __ATOMIC_SEQ_CST);
    kicked &= ~(UINT64_C(1) << here);
    for (unsigned i = 0; i < cpus; i++) {
        before[i] = interrupts_of(&sched->cpus[i]);
        if (kicked >> i & 1)
            sched->ops->kick(sched->machine, i);
    }
    sched->ops->unmask(sched->machine, let_in);
    for (unsigned i = 0; i < cpus; i++)
        if (kicked >> i & 1)
            answered &= has_answered(sched, i, before[i]);
    return answered;
}
