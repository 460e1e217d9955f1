// SPDX-License-Identifier: MIT
#include "ring_fusion_stream.h"

enum status ring_fusion_stream_init_at(void *object, void *memory, size_t slots, uint64_t position)
{
    struct ring_fusion_stream *ring = object;
    if (!ring_may_begin(ring, memory, slots))
        return STATUS_INVALID;
    ring->slots = memory;
    ring->mask = slots - 1;
    ring->start = position;
    ring_open_sides(&ring->producer, &ring->consumer, &ring->producer_closing,
                    &ring->consumer_closing, position, slots);
    ring->known = position;
    return STATUS_OK;
}

enum status ring_fusion_stream_init(void *object, void *memory, size_t slots)
{
    return ring_fusion_stream_init_at(object, memory, slots, 0);
}

void ring_fusion_stream_close(void *object)
{
    struct ring_fusion_stream *ring = object;
    ring_close_sides(&ring->producer_closing, &ring->consumer_closing);
}

static bool is_closed(const struct ring_fusion_stream *ring)
{
    return ring_is_closed(&ring->producer_closing, &ring->consumer_closing);
}

// STATUS_OK does not say that there is room now.
static enum status renew_credit(struct ring_fusion_stream *ring)
{
    return ring_renew_credit(&ring->producer, &ring->consumer, &ring->producer_closing,
                             &ring->consumer_closing, ring->mask + 1);
}

COLD enum status ring_fusion_stream_renew(struct ring_fusion_stream *ring)
{
    const enum status status = renew_credit(ring);
    if (status != STATUS_OK || LIKELY(ring->producer.position != ring->producer.limit))
        return status;
    ring_count_refusal(&ring->producer);
    return STATUS_FULL;
}

NOINLINE enum status ring_fusion_stream_look(struct ring_fusion_stream *ring)
{
    const uint64_t position = ring->consumer.position;
    for (bool closed = false;; closed = true) {
        // Acquire, with the producer's release of its position: the slots below are written.
        const uint64_t sent = __atomic_load_n(&ring->producer.position, __ATOMIC_ACQUIRE);
        if (sent - position > ring->mask + 1)
            return STATUS_CORRUPT;
        ring->known = sent;
        if (sent != position)
            return STATUS_OK;
        if (closed || !is_closed(ring))
            return closed ? STATUS_CLOSED : STATUS_EMPTY;
        // Once more: what was sent before the ring was closed is received.
    }
}

ALWAYS_INLINE enum status send_batch(struct ring_fusion_stream *ring,
                                     const struct ring_message *messages, size_t count,
                                     size_t *sent)
{
    *sent = 0;
    if (UNLIKELY(count - 1 > ring->mask)) // an empty batch too: it wraps
        return STATUS_INVALID;
    if (ring_any_too_large(messages, count))
        return STATUS_TOO_LARGE;
    const uint64_t first = ring->producer.position;
    if (UNLIKELY(ring->producer.limit - first < count)) {
        const enum status status = renew_credit(ring);
        __atomic_store_n(&ring->producer.acquires, RING_RENEWAL_ACQUIRES, __ATOMIC_RELAXED);
        if (status != STATUS_OK)
            return status;
    }
    const size_t fitting = min_u64(count, ring->producer.limit - first);
    if (UNLIKELY(fitting == 0)) {
        ring_count_refusal(&ring->producer);
        return STATUS_FULL;
    }
    for (size_t i = 0; i < fitting; i++) {
        struct ring_message *slot = &ring->slots[(first + i) & ring->mask];
        ring_copy_whole(slot->payload, messages[i].payload);
        slot->length = messages[i].length;
    }
    __atomic_store_n(&ring->producer.fences, 1, __ATOMIC_RELAXED);
    // Release: as in send, for all slots of the batch.
    __atomic_store_n(&ring->producer.position, first + fitting, __ATOMIC_RELEASE);
    *sent = fitting;
    return STATUS_OK;
}

enum status ring_fusion_stream_send_batch(void *object, const struct ring_message *messages,
                                          size_t count, size_t *sent)
{
    ring_trace_send(((struct ring_fusion_stream *)object)->producer.position);
    const enum status status = send_batch(object, messages, count, sent);
    ring_trace_sent(status, *sent);
    return status;
}

ALWAYS_INLINE enum status receive_batch(struct ring_fusion_stream *ring,
                                        struct ring_message *messages, size_t count,
                                        size_t *received)
{
    const uint64_t first = ring->consumer.position;
    enum status status = STATUS_OK;
    *received = 0;
    if (ring->known - first < count)
        status = ring_fusion_stream_look(ring);
    const size_t there = min_u64(count, ring->known - first);
    if (there == 0)
        return status == STATUS_OK ? STATUS_EMPTY : status; // none asked for
    size_t sound = 0;
    for (; sound < there; sound++) {
        const struct ring_message *slot = &ring->slots[(first + sound) & ring->mask];
        const uint64_t bytes = __atomic_load_n(&slot->length, __ATOMIC_RELAXED);
        if (UNLIKELY(bytes > RING_PAYLOAD_MOST))
            break;
        ring_copy_whole(messages[sound].payload, slot->payload);
        messages[sound].length = bytes;
    }
    // Release: as in receive, for all slots of the batch; for one that is not sound, if it is
    // first.
    __atomic_store_n(&ring->consumer.position, first + sound + (sound == 0), __ATOMIC_RELEASE);
    *received = sound;
    return sound == 0 ? STATUS_CORRUPT : STATUS_OK;
}

enum status ring_fusion_stream_receive_batch(void *object, struct ring_message *messages,
                                             size_t count, size_t *received)
{
    ring_trace_receive(((struct ring_fusion_stream *)object)->consumer.position);
    const enum status status = receive_batch(object, messages, count, received);
    ring_trace_received(status, *received);
    return status;
}

size_t ring_fusion_stream_free_slots(const void *object)
{
    const struct ring_fusion_stream *ring = object;
    return ring_sides_free_slots(&ring->producer, &ring->consumer, ring->mask + 1);
}

void ring_fusion_stream_statistics(const void *object, struct ring_statistics *statistics)
{
    const struct ring_fusion_stream *ring = object;
    ring_sides_statistics(&ring->producer, &ring->consumer, ring->start, statistics);
}

bool ring_fusion_stream_check(const void *object)
{
    const struct ring_fusion_stream *ring = object;
    const uint64_t slots = ring->mask + 1;
    const uint64_t sent = ring->producer.position - ring->start;
    const uint64_t received = ring->consumer.position - ring->start;
    if (!ring_slots_valid(slots) || received > sent || sent - received > slots)
        return false;
    // Neither side's copy of the other's position is ahead of it.
    if (ring->producer.limit - ring->producer.position > slots - (sent - received) ||
        ring->known - ring->consumer.position > sent - received)
        return false;
    for (uint64_t i = received; i < sent; i++) {
        if (ring->slots[(ring->start + i) & ring->mask].length > RING_PAYLOAD_MOST)
            return false;
    }
    return true;
}
