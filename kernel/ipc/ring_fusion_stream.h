// SPDX-License-Identifier: MIT
// Fusion ring for throughput: one producer, one consumer, positions instead of a sequence in each
// slot. Each side keeps a copy of the other's position and reads the real one only when the copy
// says full or empty: the consumer then learns of all messages sent meanwhile at once. A message
// that the consumer waits for takes two lines from one CPU to the other, the position's and the
// slot's, where ring_fusion_spsc.h takes one.
//
// Who may call what, and domains that do not trust each other: as in ring_fusion_spsc.h.
#ifndef RING_FUSION_STREAM_H
#define RING_FUSION_STREAM_H

#include "assert.h"
#include "ring.h"
#include "ring_copy.h"
#include "ring_sides.h"
#include "ring_trace.h"

// Pages and offsets as in ring_fusion_spsc.h.
struct ring_fusion_stream {
    // Constant after init.
    struct ring_message *slots;
    uint64_t mask;
    uint64_t start; // what both positions began with

    uint8_t producer_page[4 * CACHE_LINE] __attribute__((aligned(PAGE_SIZE)));
    struct ring_producer producer CACHE_ALIGNED;
    struct ring_closing producer_closing; // written once

    uint8_t consumer_page[8 * CACHE_LINE] __attribute__((aligned(PAGE_SIZE)));
    struct ring_consumer consumer CACHE_ALIGNED;
    uint64_t known; // the consumer's own: the producer's position as last read
    struct ring_closing consumer_closing; // written once
};

enum status ring_fusion_stream_init(void *object, void *memory, size_t slots);

// As init, with the positions beginning at `position` instead of 0: for tests of their wrap.
enum status ring_fusion_stream_init_at(void *object, void *memory, size_t slots, uint64_t position);

enum status ring_fusion_stream_send_batch(void *object, const struct ring_message *messages,
                                          size_t count, size_t *sent);
enum status ring_fusion_stream_receive_batch(void *object, struct ring_message *messages,
                                             size_t count, size_t *received);
void ring_fusion_stream_close(void *object);
size_t ring_fusion_stream_free_slots(const void *object);
void ring_fusion_stream_statistics(const void *object, struct ring_statistics *statistics);
bool ring_fusion_stream_check(const void *object);

// The slow half of send: the copy says full. Reads how far the consumer is; counts a refusal.
enum status ring_fusion_stream_renew(struct ring_fusion_stream *ring);

// The slow half of receive: the copy says empty. Reads how far the producer is.
enum status ring_fusion_stream_look(struct ring_fusion_stream *ring);

// FAST: expected 24 instructions for 56 bytes.
ALWAYS_INLINE enum status ring_fusion_stream_send_untraced(void *object, const void *payload,
                                                           size_t length)
{
    struct ring_fusion_stream *ring = object;
    assert_slow(ring_is_aligned(payload, sizeof(ring_word)));
    if (UNLIKELY(length > RING_PAYLOAD_MOST))
        return STATUS_TOO_LARGE;
    const uint64_t position = ring->producer.position;
    if (UNLIKELY(position == ring->producer.limit)) {
        const enum status status = ring_fusion_stream_renew(ring);
        if (status != STATUS_OK)
            return status;
    }
    struct ring_message *slot = &ring->slots[position & ring->mask];
    ring_copy_in(slot->payload, payload, length);
    slot->length = length;
    // Release, for the consumer that acquires it: the slot is written before it counts as sent.
    __atomic_store_n(&ring->producer.position, position + 1, __ATOMIC_RELEASE);
    return STATUS_OK;
}

ALWAYS_INLINE enum status ring_fusion_stream_send(void *object, const void *payload, size_t length)
{
    ring_trace_send(((struct ring_fusion_stream *)object)->producer.position);
    const enum status status = ring_fusion_stream_send_untraced(object, payload, length);
    ring_trace_sent(status, 1);
    return status;
}

// FAST: expected 26 instructions.
ALWAYS_INLINE enum status ring_fusion_stream_receive_untraced(void *object, void *payload,
                                                              size_t *length)
{
    struct ring_fusion_stream *ring = object;
    assert_slow(ring_is_aligned(payload, sizeof(ring_word)));
    const uint64_t position = ring->consumer.position;
    if (UNLIKELY(position == ring->known)) {
        const enum status status = ring_fusion_stream_look(ring);
        if (status != STATUS_OK)
            return status;
    }
    const struct ring_message *slot = &ring->slots[position & ring->mask];
    // Once: whoever shares the slots may write another length behind the check.
    const uint64_t bytes = __atomic_load_n(&slot->length, __ATOMIC_RELAXED);
    ring_copy_whole(payload, slot->payload);
    // Release, for the producer that renews its credit: the slot is read before it is free.
    __atomic_store_n(&ring->consumer.position, position + 1, __ATOMIC_RELEASE);
    if (UNLIKELY(bytes > RING_PAYLOAD_MOST))
        return STATUS_CORRUPT;
    *length = bytes;
    return STATUS_OK;
}

ALWAYS_INLINE enum status ring_fusion_stream_receive(void *object, void *payload, size_t *length)
{
    ring_trace_receive(((struct ring_fusion_stream *)object)->consumer.position);
    const enum status status = ring_fusion_stream_receive_untraced(object, payload, length);
    ring_trace_received(status, 1);
    return status;
}

static const struct ring_ops ring_fusion_stream_ops = {
    .about =
        {
            .name = "fusion_stream",
            .what = "fusion ring for throughput, one producer and one consumer, cached positions",
            .role = VARIANT_PRODUCT,
        },
    .state_bytes = sizeof(struct ring_fusion_stream),
    .slot_bytes = sizeof(struct ring_message),
    .init = ring_fusion_stream_init,
    .send = ring_fusion_stream_send,
    .receive = ring_fusion_stream_receive,
    .send_batch = ring_fusion_stream_send_batch,
    .receive_batch = ring_fusion_stream_receive_batch,
    .free_slots = ring_fusion_stream_free_slots,
    .statistics = ring_fusion_stream_statistics,
    .check = ring_fusion_stream_check,
    .close = ring_fusion_stream_close,
};

#endif
