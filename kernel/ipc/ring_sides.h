// SPDX-License-Identifier: MIT
// The two sides of a ring with one producer and one consumer: what each writes, and what anybody
// may read of both while they work. A variant says how far apart in memory it puts them.
//
// Positions count messages since the beginning, whose position the ring calls `start`, and wrap.
#ifndef RING_SIDES_H
#define RING_SIDES_H

#include "compiler.h"
#include "ring.h"

// Of a look for room: both closing words and the other side's position.
#define RING_RENEWAL_ACQUIRES 3u

// Written by the producer only.
struct ring_producer {
    uint64_t position; // of the next message to send
    uint64_t limit;    // the consumer's position as last read, plus slots: full when reached
    uint64_t refused_full;
    uint64_t fences;   // releases of the last batch
    uint64_t acquires; // of the batch with the most
};

// Written by the consumer only.
struct ring_consumer {
    uint64_t position; // of the next message to receive; the producer reads it
};

// Written once, by whoever closes the ring from that side; on a line of its own, so that the
// receiver of an empty ring, which looks at it each time, keeps its copy.
struct ring_closing {
    uint64_t closed CACHE_ALIGNED;
};

// Both sides of an open ring at `position`, with room for `slots`; nobody uses it yet.
static inline void ring_open_sides(struct ring_producer *producer, struct ring_consumer *consumer,
                                   struct ring_closing *one, struct ring_closing *other,
                                   uint64_t position, uint64_t slots)
{
    *producer = (struct ring_producer){.position = position, .limit = position + slots};
    *consumer = (struct ring_consumer){.position = position};
    one->closed = other->closed = 0;
}

// Acquire, with ring_close_sides: a message sent before the closing is found after this.
ALWAYS_INLINE bool ring_is_closed(const struct ring_closing *one, const struct ring_closing *other)
{
    return (__atomic_load_n(&one->closed, __ATOMIC_ACQUIRE) |
            __atomic_load_n(&other->closed, __ATOMIC_ACQUIRE)) != 0;
}

ALWAYS_INLINE void ring_close_sides(struct ring_closing *one, struct ring_closing *other)
{
    // Release: what the closing thread sent before is there for who sees this.
    __atomic_store_n(&one->closed, 1, __ATOMIC_RELEASE);
    __atomic_store_n(&other->closed, 1, __ATOMIC_RELEASE);
}

// The producer's: one more send found no room. Others read the count meanwhile.
ALWAYS_INLINE void ring_count_refusal(struct ring_producer *producer)
{
    __atomic_store_n(&producer->refused_full, producer->refused_full + 1, __ATOMIC_RELAXED);
}

// The producer's: its credit anew from where the consumer is. STATUS_OK does not say that there is
// room now; STATUS_CLOSED, STATUS_CORRUPT.
ALWAYS_INLINE enum status ring_renew_credit(struct ring_producer *producer,
                                            const struct ring_consumer *consumer,
                                            const struct ring_closing *one,
                                            const struct ring_closing *other, uint64_t slots)
{
    // Acquire, with the consumer's release of its position: it has read the slots below before
    // the producer writes them again. And before the look at the closing: a ring that was closed
    // when the consumer got there gives no credit for that.
    const uint64_t received = __atomic_load_n(&consumer->position, __ATOMIC_ACQUIRE);
    if (ring_is_closed(one, other))
        return STATUS_CLOSED;
    if (producer->position - received > slots)
        return STATUS_CORRUPT;
    producer->limit = received + slots;
    return STATUS_OK;
}

// How many of `slots` are free, and how far both sides are: a moment's view for any thread, exact
// while neither side is active.
size_t ring_sides_free_slots(const struct ring_producer *producer,
                             const struct ring_consumer *consumer, size_t slots);
void ring_sides_statistics(const struct ring_producer *producer,
                           const struct ring_consumer *consumer, uint64_t start,
                           struct ring_statistics *statistics);

#endif
