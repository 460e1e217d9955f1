// SPDX-License-Identifier: MIT
// The bound: the least code that moves messages of 56 bytes between one producer and one consumer.
// The producer keeps a copy of the consumer's position and reads the real one only when the copy
// says full; the consumer reads the producer's each time, which on one CPU is less than keeping a
// copy. Not a product: nothing but full and empty is checked. So the caller sees to it that
//   length    is at most 56, and `payload` may be read for 56 bytes whatever it is
//   a batch   has at least one message and none above 56 bytes
#ifndef RING_FLOOR_H
#define RING_FLOOR_H

#include "assert.h"
#include "ring.h"
#include "ring_copy.h"
#include "ring_sides.h"
#include "ring_trace.h"

struct ring_floor {
    // Constant after init.
    struct ring_message *slots;
    uint64_t mask;
    uint64_t start; // what both positions began with

    struct ring_producer producer CACHE_ALIGNED;
    struct ring_consumer consumer CACHE_ALIGNED;
};

enum status ring_floor_init(void *object, void *memory, size_t slots);

// As init, with the positions beginning at `position` instead of 0: for tests of their wrap.
enum status ring_floor_init_at(void *object, void *memory, size_t slots, uint64_t position);

enum status ring_floor_send_batch(void *object, const struct ring_message *messages, size_t count,
                                  size_t *sent);
enum status ring_floor_receive_batch(void *object, struct ring_message *messages, size_t count,
                                     size_t *received);
size_t ring_floor_free_slots(const void *object);
void ring_floor_statistics(const void *object, struct ring_statistics *statistics);
bool ring_floor_check(const void *object);

// FAST: expected 24 instructions.
ALWAYS_INLINE enum status ring_floor_send_untraced(void *object, const void *payload, size_t length)
{
    struct ring_floor *ring = object;
    const uint64_t position = ring->producer.position;
    if (UNLIKELY(position == ring->producer.limit)) {
        // Acquire, with the release in receive: the consumer has read the slot before it is
        // written again.
        const uint64_t taken = __atomic_load_n(&ring->consumer.position, __ATOMIC_ACQUIRE);
        ring->producer.limit = taken + ring->mask + 1;
        if (position == ring->producer.limit) {
            ring_count_refusal(&ring->producer);
            return STATUS_FULL;
        }
    }
    struct ring_message *slot = &ring->slots[position & ring->mask];
    ring_copy_whole(slot->payload, payload);
    slot->length = length;
    // Release: the slot is written before the consumer sees it as sent.
    __atomic_store_n(&ring->producer.position, position + 1, __ATOMIC_RELEASE);
    return STATUS_OK;
}

ALWAYS_INLINE enum status ring_floor_send(void *object, const void *payload, size_t length)
{
    ring_trace_send(((struct ring_floor *)object)->producer.position);
    const enum status status = ring_floor_send_untraced(object, payload, length);
    ring_trace_sent(status, 1);
    return status;
}

// FAST: expected 24 instructions.
ALWAYS_INLINE enum status ring_floor_receive_untraced(void *object, void *payload, size_t *length)
{
    struct ring_floor *ring = object;
    const uint64_t position = ring->consumer.position;
    // Acquire, with the release in send: the slot below is written.
    if (UNLIKELY(__atomic_load_n(&ring->producer.position, __ATOMIC_ACQUIRE) == position))
        return STATUS_EMPTY;
    const struct ring_message *slot = &ring->slots[position & ring->mask];
    ring_copy_whole(payload, slot->payload);
    *length = slot->length;
    // Release: the slot is read before the producer sees it as free.
    __atomic_store_n(&ring->consumer.position, position + 1, __ATOMIC_RELEASE);
    return STATUS_OK;
}

ALWAYS_INLINE enum status ring_floor_receive(void *object, void *payload, size_t *length)
{
    ring_trace_receive(((struct ring_floor *)object)->consumer.position);
    const enum status status = ring_floor_receive_untraced(object, payload, length);
    ring_trace_received(status, 1);
    return status;
}

static const struct ring_ops ring_floor_ops = {
    .about =
        {
            .name = "floor",
            .what = "the least code for one producer and one consumer: a bound, not a product",
            .role = VARIANT_FLOOR,
        },
    .state_bytes = sizeof(struct ring_floor),
    .slot_bytes = sizeof(struct ring_message),
    .init = ring_floor_init,
    .send = ring_floor_send,
    .receive = ring_floor_receive,
    .send_batch = ring_floor_send_batch,
    .receive_batch = ring_floor_receive_batch,
    .free_slots = ring_floor_free_slots,
    .statistics = ring_floor_statistics,
    .check = ring_floor_check,
};

#endif
