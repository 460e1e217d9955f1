// SPDX-License-Identifier: MIT
// The baseline's double-ended queue behind a mutex of the C library instead of the kernel's
// spinlock: messages are copied in and out while it is held.
//
//   threads   any number on both sides
#ifndef RING_MUTEX_QUEUE_H
#define RING_MUTEX_QUEUE_H

#include <pthread.h>

#include "compiler.h"
#include "ring.h"
#include "ring_copy.h"

struct ring_mutex_queue {
    pthread_mutex_t mutex;
    // The mutex protects all below.
    struct ring_message *slots;
    uint64_t mask, front, back; // positions count messages since the beginning
} CACHE_ALIGNED;

static inline enum status ring_mutex_queue_init(void *object, void *memory, size_t slots)
{
    struct ring_mutex_queue *queue = object;
    if (!ring_may_begin(queue, memory, slots))
        return STATUS_INVALID;
    *queue = (struct ring_mutex_queue){
        .mutex = PTHREAD_MUTEX_INITIALIZER, .slots = memory, .mask = slots - 1};
    return STATUS_OK;
}

ALWAYS_INLINE enum status ring_mutex_queue_send(void *object, const void *payload, size_t length)
{
    struct ring_mutex_queue *queue = object;
    if (UNLIKELY(length > RING_PAYLOAD_MOST))
        return STATUS_TOO_LARGE;
    pthread_mutex_lock(&queue->mutex);
    const bool room = queue->back - queue->front <= queue->mask;
    if (LIKELY(room)) {
        struct ring_message *slot = &queue->slots[queue->back++ & queue->mask];
        slot->length = length;
        ring_copy_in(slot->payload, payload, length);
    }
    pthread_mutex_unlock(&queue->mutex);
    return room ? STATUS_OK : STATUS_FULL;
}

ALWAYS_INLINE enum status ring_mutex_queue_receive(void *object, void *payload, size_t *length)
{
    struct ring_mutex_queue *queue = object;
    pthread_mutex_lock(&queue->mutex);
    const bool there = queue->back != queue->front;
    if (LIKELY(there)) {
        const struct ring_message *slot = &queue->slots[queue->front++ & queue->mask];
        *length = slot->length;
        ring_copy_whole(payload, slot->payload);
    }
    pthread_mutex_unlock(&queue->mutex);
    return there ? STATUS_OK : STATUS_EMPTY;
}

static inline void ring_mutex_queue_statistics(const void *object,
                                               struct ring_statistics *statistics)
{
    const struct ring_mutex_queue *queue = object;
    *statistics = (struct ring_statistics){.sent = queue->back, .received = queue->front};
}

static inline bool ring_mutex_queue_check(const void *object)
{
    const struct ring_mutex_queue *queue = object;
    return queue->back - queue->front <= queue->mask + 1;
}

static const struct ring_ops ring_mutex_queue_ops = {
    .about = {.name = "mutex_queue",
              .what = "double-ended queue of 64-byte messages behind a pthread mutex",
              .role = VARIANT_PEER},
    .state_bytes = sizeof(struct ring_mutex_queue),
    .slot_bytes = sizeof(struct ring_message),
    .several = true,
    .init = ring_mutex_queue_init,
    .send = ring_mutex_queue_send,
    .receive = ring_mutex_queue_receive,
    .statistics = ring_mutex_queue_statistics,
    .check = ring_mutex_queue_check,
};

#endif
