// SPDX-License-Identifier: MIT
// Who uses a shared object, so that it can be taken away from them: seats. A user takes one before
// its first call and leaves it after its last; the object's memory may go when the table is closed
// and all seats are empty. And who of them is still alive: each beats its seat's counter at its own
// rate, and whoever depends on it watches.
//
// Rules for callers
//   threads    any; a seat's own calls (beat, leave) its user's
//   memory     the table is the caller's, zeroed or not; it outlives what it guards
//   closing    ring_seats_close after the object was closed (ring_ops.close). No seat is taken
//              then; a user leaves when a call has told it STATUS_CLOSED, and calls no more. When
//              ring_seats_quiet says true nobody touches the object any more
//   death      nothing but the watcher's patience tells death from slowness: what counts as dead
//              after how many looks is the watcher's to know. Evicting a seat says "dead": only
//              for a user that cannot run any more (its domain was stopped). Its pages are
//              reclaimed by ring_pool_reclaim, its hole in a ring is closed by
//              ring_fusion_mpmc_void, when all others have beaten once more
//   reuse      a seat has a generation: a ticket of an earlier user is STATUS_STALE
#ifndef RING_SEATS_H
#define RING_SEATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "status.h"

#define RING_SEATS_MOST 64u

// What a user keeps.
struct ring_ticket {
    uint32_t seat;
    uint32_t generation;
};

struct ring_seats {
    uint64_t closed CACHE_ALIGNED; // 1: no seat is taken any more
    struct ring_seat {
        uint64_t taken CACHE_ALIGNED; // generation 32 | 1 if taken
        uint64_t beats;               // its user's; grows
    } seat[RING_SEATS_MOST];
};

// What a watcher remembers of one seat.
struct ring_watch {
    uint64_t beats;
    uint32_t generation;
    uint32_t looks; // in a row that found no beat
};

void ring_seats_init(struct ring_seats *seats);

// Takes a free seat. STATUS_FULL, STATUS_CLOSED.
enum status ring_seats_take(struct ring_seats *seats, struct ring_ticket *ticket);

// Leaves it: the last thing a user does. STATUS_STALE: it has left before or was evicted;
// STATUS_INVALID: no such seat.
enum status ring_seats_leave(struct ring_seats *seats, struct ring_ticket ticket);

// "I am alive, and in no call of the object." The user's own, between its calls; not between a
// reserve and its commit.
ALWAYS_INLINE void ring_seats_beat(struct ring_seats *seats, struct ring_ticket ticket)
{
    struct ring_seat *seat = &seats->seat[ticket.seat % RING_SEATS_MOST];
    // Release, with the watcher's acquire: the calls before are over.
    __atomic_store_n(&seat->beats, seat->beats + 1, __ATOMIC_RELEASE);
}

// Looks at a seat and returns how many looks in a row, this one included, have found no beat since
// the one before; 0: it has beaten, or another user has the seat. The first look of a zeroed watch
// finds a beat. STATUS_STALE in *status: nobody sits there. After 0 or STATUS_STALE, all calls
// that the seat's user had begun before the look before are over, and what they did is seen.
uint32_t ring_seats_watch(const struct ring_seats *seats, uint32_t seat, struct ring_watch *watch,
                          enum status *status);

// Empties the seat of a user that is dead. STATUS_STALE: it had left.
enum status ring_seats_evict(struct ring_seats *seats, struct ring_ticket ticket);

void ring_seats_close(struct ring_seats *seats);

// Closed, and all seats are empty: what all users did in the object happened before this.
bool ring_seats_quiet(const struct ring_seats *seats);

#endif
