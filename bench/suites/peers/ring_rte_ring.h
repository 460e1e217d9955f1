// SPDX-License-Identifier: MIT
// DPDK's rte_ring as it is mostly used: it passes pointers, 8 bytes, and copies no message. The
// messages lie in an array of the sender's, ready but for the word that changes, which is written
// there; the receiver reads that word where it lies. A message of the array is used again when as
// many others as the ring has slots were sent.
//
//   threads   one sender and one receiver, also where its calls for many are measured: the array
//             is one sender's
#ifndef RING_RTE_RING_H
#define RING_RTE_RING_H

#include "rte_rings.h"

#define RTE_BATCH_MOST 64u

struct ring_rte_ring {
    struct rte_ring ring;
    void *elements[RING_SLOTS_DEFAULT]; // behind it
    // The sender's.
    struct ring_message *messages CACHE_ALIGNED;
    uint64_t position, mask;
};

static inline enum status rte_pointers_init(void *object, void *memory, size_t slots,
                                            enum rte_ring_sync_type sync)
{
    struct ring_rte_ring *queue = object;
    const enum status status = rte_rings_init(&queue->ring, memory, slots, sync);
    queue->messages = memory;
    queue->position = 0;
    queue->mask = slots - 1;
    return status;
}

static inline enum status ring_rte_ring_init(void *object, void *memory, size_t slots)
{
    return rte_pointers_init(object, memory, slots, RTE_RING_SYNC_ST);
}

static inline enum status ring_rte_ring_many_init(void *object, void *memory, size_t slots)
{
    return rte_pointers_init(object, memory, slots, RTE_RING_SYNC_MT);
}

// The next message, with its last word. A refused send writes it again.
ALWAYS_INLINE struct ring_message *rte_message(const struct ring_rte_ring *queue,
                                               const void *payload)
{
    struct ring_message *message = &queue->messages[queue->position & queue->mask];
    message->payload[6] = ((const uint64_t *)payload)[6];
    return message;
}

ALWAYS_INLINE enum status rte_read_message(void *payload, const void *message, size_t *length)
{
    ((uint64_t *)payload)[6] = ((const struct ring_message *)message)->payload[6];
    *length = RING_PAYLOAD_MOST;
    return STATUS_OK;
}

ALWAYS_INLINE enum status ring_rte_ring_send(void *object, const void *payload, size_t length)
{
    struct ring_rte_ring *queue = object;
    (void)length;
    if (UNLIKELY(rte_ring_sp_enqueue(&queue->ring, rte_message(queue, payload)) != 0))
        return STATUS_FULL;
    queue->position++;
    return STATUS_OK;
}

ALWAYS_INLINE enum status ring_rte_ring_receive(void *object, void *payload, size_t *length)
{
    struct ring_rte_ring *queue = object;
    void *message;
    if (UNLIKELY(rte_ring_sc_dequeue(&queue->ring, &message) != 0))
        return STATUS_EMPTY;
    return rte_read_message(payload, message, length);
}

ALWAYS_INLINE enum status ring_rte_ring_many_send(void *object, const void *payload, size_t length)
{
    struct ring_rte_ring *queue = object;
    (void)length;
    if (UNLIKELY(rte_ring_mp_enqueue(&queue->ring, rte_message(queue, payload)) != 0))
        return STATUS_FULL;
    queue->position++;
    return STATUS_OK;
}

ALWAYS_INLINE enum status ring_rte_ring_many_receive(void *object, void *payload, size_t *length)
{
    struct ring_rte_ring *queue = object;
    void *message;
    if (UNLIKELY(rte_ring_mc_dequeue(&queue->ring, &message) != 0))
        return STATUS_EMPTY;
    return rte_read_message(payload, message, length);
}

// The messages of a batch are the caller's own, and only named.
ALWAYS_INLINE enum status ring_rte_ring_send_batch(void *object,
                                                   const struct ring_message *messages,
                                                   size_t count, size_t *sent)
{
    void *table[RTE_BATCH_MOST];
    for (size_t i = 0; i < count; i++)
        table[i] = (void *)(uintptr_t)&messages[i];
    *sent = rte_ring_sp_enqueue_burst(object, table, (unsigned)count, NULL);
    return *sent > 0 ? STATUS_OK : STATUS_FULL;
}

ALWAYS_INLINE enum status ring_rte_ring_receive_batch(void *object, struct ring_message *messages,
                                                      size_t count, size_t *received)
{
    void *table[RTE_BATCH_MOST];
    *received = rte_ring_sc_dequeue_burst(object, table, (unsigned)count, NULL);
    for (size_t i = 0; i < *received; i++)
        messages[i].payload[6] = ((const struct ring_message *)table[i])->payload[6];
    return *received > 0 ? STATUS_OK : STATUS_EMPTY;
}

#define RTE_RING_WHAT "DPDK's rte_ring, pointers to messages that are not copied, as packaged"

static const struct ring_ops ring_rte_ring_ops = {
    .about = {.name = "rte_ring", .what = RTE_RING_WHAT, .role = VARIANT_PEER},
    .state_bytes = sizeof(struct ring_rte_ring),
    .slot_bytes = sizeof(struct ring_message),
    .init = ring_rte_ring_init,
    .send = ring_rte_ring_send,
    .receive = ring_rte_ring_receive,
    .send_batch = ring_rte_ring_send_batch,
    .receive_batch = ring_rte_ring_receive_batch,
    .check = rte_rings_check,
};

static const struct ring_ops ring_rte_ring_many_ops = {
    .about = {.name = "rte_ring", .what = RTE_RING_WHAT, .role = VARIANT_PEER},
    .state_bytes = sizeof(struct ring_rte_ring),
    .slot_bytes = sizeof(struct ring_message),
    .init = ring_rte_ring_many_init,
    .send = ring_rte_ring_many_send,
    .receive = ring_rte_ring_many_receive,
    .check = rte_rings_check,
};

#endif
