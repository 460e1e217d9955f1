// SPDX-License-Identifier: MIT
// Waiting at rings as a thread of a scheduler.
#ifndef RING_WAITER_SCHED_H
#define RING_WAITER_SCHED_H

#include "ring_waiter.h"

struct sched;

#define RING_WAITER_LOOKS 256u // some microseconds: less than a sleep and a wake-up on another CPU

// Who pays for the order between publishing and looking for sleepers (ring_wait.h).
enum ring_payer {
    // Who sends or receives: a locked instruction each time.
    RING_USERS_PAY,
    // Who sleeps, with sched_barrier: an interrupt of each other CPU for each sleep. Right where
    // hundreds of messages pass for one sleep. On one CPU nobody pays, whoever is named.
    RING_SLEEPERS_PAY,
};

// Fills in `waiter`, for a scheduler that has been made; both live as long as it is used.
void ring_waiter_sched(struct ring_waiter *waiter, struct sched *sched, enum ring_payer payer);

#endif
