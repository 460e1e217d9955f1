// SPDX-License-Identifier: MIT
#include "ring_waiter_sched.h"

#include "sched.h"

static uint64_t now_ns(void *place)
{
    const struct sched *const sched = place;
    return sched->ops->now_ns(sched->machine);
}

static void *current(void *place)
{
    return sched_current(place);
}

static void block(void *place, uint64_t until_ns)
{
    if (until_ns == RING_FOREVER)
        sched_block(place);
    else
        sched_sleep_until(place, until_ns);
}

static void wake(void *place, void *who)
{
    sched_wake(place, who);
}

static void hand_over(void *place, void *who)
{
    sched_hand_over(place, who);
}

// All threads run on one CPU, and a CPU sees its own stores in order.
static bool one_cpu(void *place)
{
    (void)place;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    return true;
}

static bool barrier(void *place)
{
    return sched_barrier(place);
}

void ring_waiter_sched(struct ring_waiter *waiter, struct sched *sched, enum ring_payer payer)
{
    const bool alone = sched->config.cpus == 1;
    *waiter = (struct ring_waiter){
        .name = "sched",
        .place = sched,
        .now_ns = now_ns,
        .current = current,
        .block = block,
        .wake = wake,
        .hand_over = alone ? hand_over : NULL, // two that have a CPU each are faster side by side
        .barrier = alone                        ? one_cpu
                   : payer == RING_SLEEPERS_PAY ? barrier
                                                : NULL,
        .looks = alone ? 0 : RING_WAITER_LOOKS,
    };
}
