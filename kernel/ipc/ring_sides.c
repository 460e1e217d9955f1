// SPDX-License-Identifier: MIT
#include "ring_sides.h"

// The consumer's position first: its release follows the acquire of a message, whose sender had
// counted it before, so that the producer's position read next is never behind.
static uint64_t read_positions(const struct ring_producer *producer,
                               const struct ring_consumer *consumer, uint64_t *sent)
{
    const uint64_t received = __atomic_load_n(&consumer->position, __ATOMIC_ACQUIRE);
    *sent = __atomic_load_n(&producer->position, __ATOMIC_RELAXED);
    return received;
}

size_t ring_sides_free_slots(const struct ring_producer *producer,
                             const struct ring_consumer *consumer, size_t slots)
{
    uint64_t sent;
    const uint64_t received = read_positions(producer, consumer, &sent);
    // Between the two loads messages may have come and gone: more than the ring holds, even.
    return slots - min_u64(sent - received, slots);
}

void ring_sides_statistics(const struct ring_producer *producer,
                           const struct ring_consumer *consumer, uint64_t start,
                           struct ring_statistics *statistics)
{
    uint64_t sent;
    const uint64_t received = read_positions(producer, consumer, &sent);
    *statistics = (struct ring_statistics){
        .sent = sent - start,
        .received = received - start,
        .refused_full = __atomic_load_n(&producer->refused_full, __ATOMIC_RELAXED),
        .fences = __atomic_load_n(&producer->fences, __ATOMIC_RELAXED),
        .acquires = __atomic_load_n(&producer->acquires, __ATOMIC_RELAXED),
    };
}
