// SPDX-License-Identifier: MIT
// Fusion ring, inline mode: one producer, one consumer, messages of 0 to 56 bytes.
//
// A slot is one cache line: a control word of 8 bytes and 56 bytes of payload. The control word
// carries the sequence of the message, so that the line that brings the news also brings the
// message, and the consumer never reads the producer's line. The producer lives on credit: it reads
// the consumer's line only when it has sent as many messages as that line had promised room for.
//
// Positions count messages since the beginning and wrap at 2^64; the slot is the position modulo
// the number of slots, all of which are usable. The message of position p carries the sequence
// p + 1 modulo 2^32. Until it is sent its slot holds the sequence of the lap before,
// p + 1 - slots, or of one not yet sent in this lap's place; with at most 2^20 slots the two never
// coincide, wherever the 32 bits wrap.
//
// Who may call what, at the same time:
//   producer          send, send_batch
//   consumer          receive, receive_batch
//   anybody           free_slots, statistics: a moment's view, exact while nobody else is active
//   nobody active     init, check
// A role may pass to another thread if the hand-over itself synchronises the two.
#ifndef RING_FUSION_SPSC_H
#define RING_FUSION_SPSC_H

#include "assert.h"
#include "ring.h"
#include "ring_copy.h"
#include "ring_sides.h"
#include "ring_trace.h"

// Control word, low bits first: length 16 | type 8 | flags 8 | sequence 32. The sequence is on top
// so that it wraps out of the word and never into another field.
#define RING_FUSION_TYPE_SHIFT     16
#define RING_FUSION_FLAGS_SHIFT    24
#define RING_FUSION_SEQUENCE_SHIFT 32
#define RING_FUSION_TYPE_INLINE    1u // the payload is the message

struct ring_fusion_slot {
    uint64_t control;
    uint64_t payload[RING_PAYLOAD_MOST / 8];
} CACHE_ALIGNED;

_Static_assert(sizeof(struct ring_fusion_slot) == CACHE_LINE, "one cache line a slot");

// The two sides are two lines apart: processors that fetch lines in pairs would otherwise couple
// them.
#define RING_FUSION_APART __attribute__((aligned(2 * CACHE_LINE)))

struct ring_fusion_spsc {
    // Constant after init.
    struct ring_fusion_slot *slots;
    uint64_t mask;
    uint64_t start; // what both positions began with

    struct ring_producer producer RING_FUSION_APART;
    struct ring_consumer consumer RING_FUSION_APART;
};

enum status ring_fusion_spsc_init(void *object, void *memory, size_t slots);

// As init, with the positions beginning at `position` instead of 0: for tests of their wrap.
enum status ring_fusion_spsc_init_at(void *object, void *memory, size_t slots, uint64_t position);

enum status ring_fusion_spsc_send_batch(void *object, const struct ring_message *messages,
                                        size_t count, size_t *sent);
enum status ring_fusion_spsc_receive_batch(void *object, struct ring_message *messages,
                                           size_t count, size_t *received);
size_t ring_fusion_spsc_free_slots(const void *object);
void ring_fusion_spsc_statistics(const void *object, struct ring_statistics *statistics);
bool ring_fusion_spsc_check(const void *object);

// The slow half of send: the credit is used up. Reads how far the consumer is; false, and counted,
// if there is still no room.
bool ring_fusion_spsc_renew(struct ring_fusion_spsc *ring);

ALWAYS_INLINE uint64_t ring_fusion_control(uint64_t position, size_t length)
{
    return (position + 1) << RING_FUSION_SEQUENCE_SHIFT |
           RING_FUSION_TYPE_INLINE << RING_FUSION_TYPE_SHIFT | length;
}

ALWAYS_INLINE uint32_t ring_fusion_sequence(uint64_t control)
{
    return (uint32_t)(control >> RING_FUSION_SEQUENCE_SHIFT);
}

ALWAYS_INLINE bool ring_fusion_is_sent(uint64_t control, uint64_t position)
{
    return ring_fusion_sequence(control) == (uint32_t)(position + 1);
}

ALWAYS_INLINE size_t ring_fusion_length(uint64_t control)
{
    return (uint16_t)control;
}

// FAST: expected 26 instructions for 56 bytes.
ALWAYS_INLINE enum status ring_fusion_spsc_send_untraced(void *object, const void *payload,
                                                         size_t length)
{
    struct ring_fusion_spsc *ring = object;
    assert_slow(ring_is_aligned(payload, sizeof(ring_word)));
    if (UNLIKELY(length > RING_PAYLOAD_MOST))
        return STATUS_TOO_LARGE;
    const uint64_t position = ring->producer.position;
    if (UNLIKELY(position == ring->producer.limit) && !ring_fusion_spsc_renew(ring))
        return STATUS_FULL;
    struct ring_fusion_slot *slot = &ring->slots[position & ring->mask];
    // Before the message is visible, so that whoever has seen the message also sees it counted.
    __atomic_store_n(&ring->producer.position, position + 1, __ATOMIC_RELAXED);
    ring_copy_in(slot->payload, payload, length);
    // Release, for the consumer that acquires this word: the payload and the position above are
    // written before it.
    __atomic_store_n(&slot->control, ring_fusion_control(position, length), __ATOMIC_RELEASE);
    return STATUS_OK;
}

ALWAYS_INLINE enum status ring_fusion_spsc_send(void *object, const void *payload, size_t length)
{
    ring_trace_send(((struct ring_fusion_spsc *)object)->producer.position);
    const enum status status = ring_fusion_spsc_send_untraced(object, payload, length);
    ring_trace_sent(status, 1);
    return status;
}

// FAST: expected 28 instructions.
ALWAYS_INLINE enum status ring_fusion_spsc_receive_untraced(void *object, void *payload,
                                                            size_t *length)
{
    struct ring_fusion_spsc *ring = object;
    assert_slow(ring_is_aligned(payload, sizeof(ring_word)));
    const uint64_t position = ring->consumer.position;
    const struct ring_fusion_slot *slot = &ring->slots[position & ring->mask];
    // Acquire, with the producer's release of this word or of the first word of its batch: the
    // payload is read after it.
    const uint64_t control = __atomic_load_n(&slot->control, __ATOMIC_ACQUIRE);
    if (UNLIKELY(!ring_fusion_is_sent(control, position)))
        return STATUS_EMPTY;
    ring_copy_whole(payload, slot->payload);
    *length = ring_fusion_length(control);
    // Release, for the producer that renews its credit: the slot is read before it is free.
    __atomic_store_n(&ring->consumer.position, position + 1, __ATOMIC_RELEASE);
    return STATUS_OK;
}

ALWAYS_INLINE enum status ring_fusion_spsc_receive(void *object, void *payload, size_t *length)
{
    ring_trace_receive(((struct ring_fusion_spsc *)object)->consumer.position);
    const enum status status = ring_fusion_spsc_receive_untraced(object, payload, length);
    ring_trace_received(status, 1);
    return status;
}

static const struct ring_ops ring_fusion_spsc_ops = {
    .about =
        {
            .name = "fusion_spsc",
            .what =
                "fusion ring, inline mode, one producer and one consumer, a sequence in each slot",
            .role = VARIANT_PRODUCT,
        },
    .state_bytes = sizeof(struct ring_fusion_spsc),
    .slot_bytes = sizeof(struct ring_fusion_slot),
    .init = ring_fusion_spsc_init,
    .send = ring_fusion_spsc_send,
    .receive = ring_fusion_spsc_receive,
    .send_batch = ring_fusion_spsc_send_batch,
    .receive_batch = ring_fusion_spsc_receive_batch,
    .free_slots = ring_fusion_spsc_free_slots,
    .statistics = ring_fusion_spsc_statistics,
    .check = ring_fusion_spsc_check,
};

#endif
