// SPDX-License-Identifier: MIT
// The two sides of a ring with one producer and one consumer: what each writes, and what anybody
// may read of both while they work. A variant says how far apart in memory it puts them.
//
// Positions count messages since the beginning, whose position the ring calls `start`, and wrap.
#ifndef RING_SIDES_H
#define RING_SIDES_H

#include "compiler.h"
#include "ring.h"

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

// The producer's: one more send found no room. Others read the count meanwhile.
ALWAYS_INLINE void ring_count_refusal(struct ring_producer *producer)
{
    __atomic_store_n(&producer->refused_full, producer->refused_full + 1, __ATOMIC_RELAXED);
}

// How many of `slots` are free, and how far both sides are: a moment's view for any thread, exact
// while neither side is active.
size_t ring_sides_free_slots(const struct ring_producer *producer,
                             const struct ring_consumer *consumer, size_t slots);
void ring_sides_statistics(const struct ring_producer *producer,
                           const struct ring_consumer *consumer, uint64_t start,
                           struct ring_statistics *statistics);

#endif
