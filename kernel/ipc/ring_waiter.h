// SPDX-License-Identifier: MIT
// How a thread waits and is woken where a ring is used: the scheduler (ring_waiter_sched.h), a
// futex where none runs, a model of either.
//
//   wake-up   of a thread that does not wait is kept, and ends its next block at once. Whose block
//             it ends sees what was done before it. A block may end without one
#ifndef RING_WAITER_H
#define RING_WAITER_H

#include <stdbool.h>
#include <stdint.h>

#define RING_FOREVER UINT64_MAX // a time that does not come

struct ring_waiter {
    const char *name;
    void *place; // the implementer's own
    uint64_t (*now_ns)(void *place);
    // The calling thread, as `wake` names it; valid while it waits.
    void *(*current)(void *place);
    // Waits for a wake-up of the caller or until now_ns is `until_ns`.
    void (*block)(void *place, uint64_t until_ns);
    // Preemption is disabled and a lock is held: does not wait, and gives no CPU up.
    void (*wake)(void *place, void *who);
    // Wakes `who` and waits for a wake-up of the caller, who gives its CPU straight to it where
    // that can be. Preemption is enabled, no lock is held. NULL: there is no such thing.
    void (*hand_over)(void *place, void *who);
    // What of a wake-up is left for behind the lock, where who was woken may be gone already; NULL:
    // nothing.
    void (*wake_late)(void *place, void *who);
    // True when all other threads of the place have done a full barrier since the call: what each
    // has stored before is visible to the caller, and what it loads later sees what the caller has
    // stored before. False: cannot say. NULL: the place has no such thing, and those who send and
    // receive pay for a locked instruction each time.
    bool (*barrier)(void *place);
    uint32_t looks; // in vain, before a thread sleeps; 0 where nobody else runs meanwhile
};

#endif
