// SPDX-License-Identifier: MIT
#include "ring_seats.h"

// `taken`: generation 32 on top, so that it wraps out of the word; the lowest bit: somebody sits.
#define GENERATION_SHIFT 32
#define TAKEN            1u

static uint64_t taken_word(uint32_t generation)
{
    return (uint64_t)generation << GENERATION_SHIFT | TAKEN;
}

void ring_seats_init(struct ring_seats *seats)
{
    seats->closed = 0;
    for (unsigned i = 0; i < RING_SEATS_MOST; i++)
        seats->seat[i].taken = seats->seat[i].beats = 0;
}

enum status ring_seats_leave(struct ring_seats *seats, struct ring_ticket ticket)
{
    if (ticket.seat >= RING_SEATS_MOST)
        return STATUS_INVALID;
    uint64_t mine = taken_word(ticket.generation);
    const uint64_t next = (uint64_t)(ticket.generation + 1) << GENERATION_SHIFT;
    // Release, with ring_seats_quiet's acquire: all that the user did in the object is done.
    return __atomic_compare_exchange_n(&seats->seat[ticket.seat].taken, &mine, next, false,
                                       __ATOMIC_RELEASE, __ATOMIC_RELAXED)
               ? STATUS_OK
               : STATUS_STALE;
}

enum status ring_seats_evict(struct ring_seats *seats, struct ring_ticket ticket)
{
    return ring_seats_leave(seats, ticket); // in place of its user
}

enum status ring_seats_take(struct ring_seats *seats, struct ring_ticket *ticket)
{
    for (uint32_t i = 0; i < RING_SEATS_MOST; i++) {
        struct ring_seat *seat = &seats->seat[i];
        uint64_t empty = __atomic_load_n(&seat->taken, __ATOMIC_RELAXED);
        const uint32_t generation = (uint32_t)(empty >> GENERATION_SHIFT);
        if (empty & TAKEN)
            continue;
        // Sequentially consistent, as the load below and the two of closing and looking: either
        // this user sees that the table is closed, or who closes it sees that somebody sits here.
        if (!__atomic_compare_exchange_n(&seat->taken, &empty, taken_word(generation), false,
                                         __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
            continue;
        *ticket = (struct ring_ticket){.seat = i, .generation = generation};
        ring_seats_beat(seats, *ticket);
        if (__atomic_load_n(&seats->closed, __ATOMIC_SEQ_CST) == 0)
            return STATUS_OK;
        ring_seats_leave(seats, *ticket);
        return STATUS_CLOSED;
    }
    return __atomic_load_n(&seats->closed, __ATOMIC_RELAXED) != 0 ? STATUS_CLOSED : STATUS_FULL;
}

uint32_t ring_seats_watch(const struct ring_seats *seats, uint32_t seat, struct ring_watch *watch,
                          enum status *status)
{
    const struct ring_seat *one = &seats->seat[seat % RING_SEATS_MOST];
    // Acquire, with the release of leaving, of beating: the user's calls before that are over.
    const uint64_t taken = __atomic_load_n(&one->taken, __ATOMIC_ACQUIRE);
    const uint64_t beats = __atomic_load_n(&one->beats, __ATOMIC_ACQUIRE);
    const uint32_t generation = (uint32_t)(taken >> GENERATION_SHIFT);
    const bool same = watch->beats == beats && watch->generation == generation;
    *status = taken & TAKEN ? STATUS_OK : STATUS_STALE;
    *watch = (struct ring_watch){beats, generation, same ? watch->looks + 1 : 0};
    return watch->looks;
}

void ring_seats_close(struct ring_seats *seats)
{
    __atomic_store_n(&seats->closed, 1, __ATOMIC_SEQ_CST);
}

bool ring_seats_quiet(const struct ring_seats *seats)
{
    if (__atomic_load_n(&seats->closed, __ATOMIC_SEQ_CST) == 0)
        return false;
    for (uint32_t i = 0; i < RING_SEATS_MOST; i++) {
        // Acquire, with the release of leaving; sequentially consistent: see take.
        if (__atomic_load_n(&seats->seat[i].taken, __ATOMIC_SEQ_CST) & TAKEN)
            return false;
    }
    return true;
}
