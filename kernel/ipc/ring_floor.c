// SPDX-License-Identifier: MIT
#include "ring_floor.h"

enum status ring_floor_init_at(void *object, void *memory, size_t slots, uint64_t position)
{
    struct ring_floor *ring = object;
    if (!ring_may_begin(ring, memory, slots))
        return STATUS_INVALID;
    *ring = (struct ring_floor){
        .slots = memory,
        .mask = slots - 1,
        .start = position,
        .producer = {.position = position, .limit = position + slots},
        .consumer = {.position = position},
    };
    return STATUS_OK;
}

enum status ring_floor_init(void *object, void *memory, size_t slots)
{
    return ring_floor_init_at(object, memory, slots, 0);
}

ALWAYS_INLINE enum status ring_floor_send_batch_untraced(void *object,
                                                         const struct ring_message *messages,
                                                         size_t count, size_t *sent)
{
    struct ring_floor *ring = object;
    const uint64_t position = ring->producer.position;
    const uint64_t mask = ring->mask;
    if (ring->producer.limit - position < count) {
        // Acquire: as in send.
        const uint64_t taken = __atomic_load_n(&ring->consumer.position, __ATOMIC_ACQUIRE);
        ring->producer.limit = taken + mask + 1;
        __atomic_store_n(&ring->producer.acquires, 1, __ATOMIC_RELAXED);
    }
    const size_t fitting = min_u64(count, ring->producer.limit - position);
    *sent = fitting;
    if (fitting == 0) {
        ring_count_refusal(&ring->producer);
        return STATUS_FULL;
    }
    struct ring_message *slots = ring->slots;
    for (size_t i = 0; i < fitting; i++) {
        struct ring_message *slot = &slots[(position + i) & mask];
        ring_copy_whole(slot->payload, messages[i].payload);
        slot->length = messages[i].length;
    }
    __atomic_store_n(&ring->producer.fences, 1, __ATOMIC_RELAXED);
    // Release: all slots of the batch are written before the consumer sees any of them as sent.
    __atomic_store_n(&ring->producer.position, position + fitting, __ATOMIC_RELEASE);
    return STATUS_OK;
}

enum status ring_floor_send_batch(void *object, const struct ring_message *messages, size_t count,
                                  size_t *sent)
{
    ring_trace_send(((struct ring_floor *)object)->producer.position);
    const enum status status = ring_floor_send_batch_untraced(object, messages, count, sent);
    ring_trace_sent(status, *sent);
    return status;
}

ALWAYS_INLINE enum status ring_floor_receive_batch_untraced(void *object,
                                                            struct ring_message *messages,
                                                            size_t count, size_t *received)
{
    struct ring_floor *ring = object;
    const uint64_t position = ring->consumer.position;
    const uint64_t mask = ring->mask;
    // Acquire: as in receive.
    const uint64_t sent = __atomic_load_n(&ring->producer.position, __ATOMIC_ACQUIRE);
    const size_t there = min_u64(count, sent - position);
    *received = there;
    if (there == 0)
        return STATUS_EMPTY;
    const struct ring_message *slots = ring->slots;
    for (size_t i = 0; i < there; i++) {
        const struct ring_message *slot = &slots[(position + i) & mask];
        ring_copy_whole(messages[i].payload, slot->payload);
        messages[i].length = slot->length;
    }
    // Release: all slots of the batch are read before the producer sees any of them as free.
    __atomic_store_n(&ring->consumer.position, position + there, __ATOMIC_RELEASE);
    return STATUS_OK;
}

enum status ring_floor_receive_batch(void *object, struct ring_message *messages, size_t count,
                                     size_t *received)
{
    ring_trace_receive(((struct ring_floor *)object)->consumer.position);
    const enum status status = ring_floor_receive_batch_untraced(object, messages, count, received);
    ring_trace_received(status, *received);
    return status;
}

size_t ring_floor_free_slots(const void *object)
{
    const struct ring_floor *ring = object;
    return ring_sides_free_slots(&ring->producer, &ring->consumer, ring->mask + 1);
}

void ring_floor_statistics(const void *object, struct ring_statistics *statistics)
{
    const struct ring_floor *ring = object;
    ring_sides_statistics(&ring->producer, &ring->consumer, ring->start, statistics);
}

bool ring_floor_check(const void *object)
{
    const struct ring_floor *ring = object;
    const uint64_t slots = ring->mask + 1;
    const uint64_t sent = ring->producer.position - ring->start;
    const uint64_t received = ring->consumer.position - ring->start;
    const uint64_t room = ring->producer.limit - ring->producer.position;
    if (!ring_slots_valid(slots) || received > sent || sent - received > slots)
        return false;
    // The producer's copy of the consumer's position is not ahead of it.
    if (room > slots - (sent - received))
        return false;
    for (uint64_t i = received; i < sent; i++) {
        if (ring->slots[(ring->start + i) & ring->mask].length > RING_PAYLOAD_MOST)
            return false;
    }
    return true;
}
