// SPDX-License-Identifier: MIT
// Waiting at a ring of any variant: for a message, or for room. A thread that finds nothing looks
// again some times, then sleeps, and is woken by the other side.
//
// The race: a sender publishes and then looks whether somebody sleeps; a receiver says that it
// sleeps and then looks for a message. Store and load on both sides, and a CPU may do the load
// first: both look too early, and the receiver sleeps beside a message. So each needs a full
// barrier in between. The receiver's costs nothing beside a sleep. The sender's is
//   nothing    where the waiter has a barrier (ring_waiter.h): the receiver makes the senders do
//              theirs, so that a send with nobody asleep costs a load and a branch
//   one locked instruction, where it has none
// Senders that wait for room are the same with the sides changed.
//
// Rules for callers
//   threads    as many on each side as the ring allows; outside of interrupt handlers, with
//              preemption enabled. All sends and receives of a ring that somebody waits at go by
//              here. As with sched_wake, who waits lives until it has returned
//   memory     struct ring_wait beside the ring, which both outlive their callers. Nothing is
//              allocated: who sleeps is in a list through its own stack
//   fairness   who has slept longest is woken first; a thread that comes by may be faster
//   end        ring_wait_close: all calls end with STATUS_CLOSED, receives when nothing is left.
//              ring_wait_died: who waits for the dead ends with STATUS_DEAD. Finding out who is
//              dead is another matter: ring_seats.h, sched_finished
#ifndef RING_WAIT_H
#define RING_WAIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "cpu.h"
#include "list.h"
#include "ring.h"
#include "ring_waiter.h"
#include "spinlock.h"

#define RING_WATCH_PAYS    1u // bit of ring_sleepers.watch: no barrier, each look is a locked one
#define RING_WATCH_ONE     2u // and from here on the number of those who sleep
#define RING_WAIT_AGAIN_NS 1000000u // a sleep's length where the barrier could not say

enum ring_side { RING_RECEIVERS, RING_SENDERS, RING_SIDES };

struct ring_wait_statistics {
    uint64_t sleeps; // that were begun: each has said so and looked again
    uint64_t blocks; // times a thread gave its CPU up in them
    uint64_t wakes;  // of those who slept
};

// Those of one side who sleep or are about to.
struct CACHE_ALIGNED ring_sleepers {
    // Atomic, changed behind the lock. 0: nobody, and nothing to pay. Alone on its line but for
    // what only sleepers and wakers touch.
    uint64_t watch;
    uint64_t end; // atomic: 0, or the status that ends all waits, negated
    struct spinlock lock;
    // Behind it:
    struct list list;
    struct ring_wait_statistics statistics;
};

struct ring_wait {
    const struct ring_ops *ops; // constant, all of these
    void *ring;
    const struct ring_waiter *waiter;
    size_t slots;
    struct ring_sleepers sides[RING_SIDES];
};

// In its thread's stack, and in the list of its side as long as it may be woken.
struct ring_sleeper {
    struct list link;
    void *who;
    uint64_t blocks;
    bool woken; // atomic; written by the waker behind the lock
};

// What a slow call wants.
struct ring_wanted {
    enum ring_side side;
    const void *from; // RING_SENDERS
    void *to;         // RING_RECEIVERS
    size_t length;    // of what is sent; of what was received
    uint64_t until_ns;
    void *heir; // is woken when the caller sleeps, and gets its CPU where it can be handed over
    struct ring_sleeper sleeper;
};

// `slots` as the ring was made with. The waiter lives as long.
void ring_wait_init(struct ring_wait *wait, const struct ring_ops *ops, void *ring, size_t slots,
                    const struct ring_waiter *waiter);

// Any thread, any number of times: wakes all. Closes the ring too, where it can be closed.
void ring_wait_close(struct ring_wait *wait);

// All of `dead` have died: the other side's waits end, a receive's when nothing is left.
void ring_wait_died(struct ring_wait *wait, enum ring_side dead);

// A moment's view; exact while nobody calls.
void ring_wait_statistics(struct ring_wait *wait, enum ring_side side,
                          struct ring_wait_statistics *statistics);

// ---- parts of the calls below -------------------------------------------------------------------

// Wakes one of `side`, if there is one.
void ring_wait_wake(struct ring_wait *wait, enum ring_side side);

// Waits.
enum status ring_wait_slowly(struct ring_wait *wait, struct ring_wanted *wanted);

// Behind what may have ended somebody's wait.
ALWAYS_INLINE void ring_wait_look(struct ring_wait *wait, enum ring_side side)
{
    // Keeps the compiler from looking before the ring's store. For the CPU see above: whoever has
    // a barrier makes it here (relaxed is enough then), and who has none finds RING_WATCH_PAYS.
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (UNLIKELY(__atomic_load_n(&wait->sides[side].watch, __ATOMIC_RELAXED) != 0))
        ring_wait_wake(wait, side);
}

// A ring of many may hold a lock or a claim in a call, in which its thread must not lose the CPU.
ALWAYS_INLINE void ring_wait_enter(const struct ring_ops *ops)
{
    if (ops->several)
        cpu_preempt_disable();
}

ALWAYS_INLINE void ring_wait_leave(const struct ring_ops *ops)
{
    if (ops->several)
        cpu_preempt_enable();
}

// ---- calls --------------------------------------------------------------------------------------
// `ops` is the ring's own table, named again so that a constant one is inlined. `until_ns` is a
// time of the waiter's clock; RING_FOREVER; 0, or any that is past: waits not at all.

// As ops->send; not STATUS_FULL but STATUS_TIMEOUT, STATUS_CLOSED, STATUS_DEAD.
// FAST: expected 3 instructions more than the ring's own, and 2 if it is one of many.
ALWAYS_INLINE enum status ring_wait_send(const struct ring_ops *ops, struct ring_wait *wait,
                                         const void *payload, size_t length, uint64_t until_ns)
{
    ring_wait_enter(ops);
    const enum status status = ops->send(wait->ring, payload, length);
    ring_wait_leave(ops);
    if (UNLIKELY(status == STATUS_FULL)) {
        struct ring_wanted wanted = {
            .side = RING_SENDERS, .from = payload, .length = length, .until_ns = until_ns};
        return ring_wait_slowly(wait, &wanted);
    }
    if (LIKELY(status == STATUS_OK))
        ring_wait_look(wait, RING_RECEIVERS);
    return status;
}

// As ops->receive; not STATUS_EMPTY but STATUS_TIMEOUT, STATUS_CLOSED, STATUS_DEAD.
ALWAYS_INLINE enum status ring_wait_receive(const struct ring_ops *ops, struct ring_wait *wait,
                                            void *payload, size_t *length, uint64_t until_ns)
{
    ring_wait_enter(ops);
    const enum status status = ops->receive(wait->ring, payload, length);
    ring_wait_leave(ops);
    if (UNLIKELY(status == STATUS_EMPTY)) {
        struct ring_wanted wanted = {.side = RING_RECEIVERS, .to = payload, .until_ns = until_ns};
        const enum status late = ring_wait_slowly(wait, &wanted);
        *length = wanted.length;
        return late;
    }
    if (LIKELY(status == STATUS_OK || status == STATUS_CORRUPT))
        ring_wait_look(wait, RING_SENDERS);
    return status;
}

// As ops->send_batch, without waiting: STATUS_FULL if nothing fitted.
ALWAYS_INLINE enum status ring_wait_send_batch(const struct ring_ops *ops, struct ring_wait *wait,
                                               const struct ring_message *messages, size_t count,
                                               size_t *sent)
{
    ring_wait_enter(ops);
    const enum status status = ops->send_batch(wait->ring, messages, count, sent);
    ring_wait_leave(ops);
    // One is woken; it wakes the next as long as there is something left.
    if (LIKELY(status == STATUS_OK))
        ring_wait_look(wait, RING_RECEIVERS);
    return status;
}

// ---- handing a CPU over -------------------------------------------------------------------------
// For waiters that can (ring_waiter.hand_over), and threads that live until they have been woken.

// As ring_wait_send without an end to its time, but a receiver that sleeps is not woken: *heir is
// who, for the caller to hand its CPU over to. NULL: nobody slept.
enum status ring_wait_send_quietly(struct ring_wait *wait, const void *payload, size_t length,
                                   void **heir);

// As ring_wait_receive without an end to its time. `heir`, a thread that waits for the caller, is
// woken: with the CPU of the caller where that finds nothing.
enum status ring_wait_receive_for(struct ring_wait *wait, void *payload, size_t *length,
                                  void *heir);

#endif
