// SPDX-License-Identifier: MIT
// Concurrency Kit's ck_ring, by value: elements of 64 bytes, one line each, copied in and copied
// out. Its functions are inlined from its header, as in its users' programs. One slot of a ring
// stays empty.
#ifndef RING_CK_RING_H
#define RING_CK_RING_H

#include <ck_ring.h>

#include "compiler.h"
#include "ring.h"
#include "ring_copy.h"

CK_RING_PROTOTYPE(message, ring_message)

struct ring_ck_ring {
    struct ck_ring ring CACHE_ALIGNED;
    struct ring_message *slots CACHE_ALIGNED;
};

static inline enum status ring_ck_ring_init(void *object, void *memory, size_t slots)
{
    struct ring_ck_ring *queue = object;
    if (!ring_may_begin(queue, memory, slots))
        return STATUS_INVALID;
    ck_ring_init(&queue->ring, (unsigned)slots);
    queue->slots = memory;
    return STATUS_OK;
}

ALWAYS_INLINE enum status ring_ck_ring_send(void *object, const void *payload, size_t length)
{
    struct ring_ck_ring *queue = object;
    (void)length;
    return ck_ring_enqueue_spsc_message(&queue->ring, queue->slots,
                                        (struct ring_message *)(uintptr_t)payload)
               ? STATUS_OK
               : STATUS_FULL;
}

ALWAYS_INLINE enum status ring_ck_ring_receive(void *object, void *payload, size_t *length)
{
    struct ring_ck_ring *queue = object;
    *length = RING_PAYLOAD_MOST;
    return ck_ring_dequeue_spsc_message(&queue->ring, queue->slots, payload) ? STATUS_OK
                                                                             : STATUS_EMPTY;
}

ALWAYS_INLINE enum status ring_ck_ring_many_send(void *object, const void *payload, size_t length)
{
    struct ring_ck_ring *queue = object;
    (void)length;
    return ck_ring_enqueue_mpmc_message(&queue->ring, queue->slots,
                                        (struct ring_message *)(uintptr_t)payload)
               ? STATUS_OK
               : STATUS_FULL;
}

ALWAYS_INLINE enum status ring_ck_ring_many_receive(void *object, void *payload, size_t *length)
{
    struct ring_ck_ring *queue = object;
    *length = RING_PAYLOAD_MOST;
    return ck_ring_dequeue_mpmc_message(&queue->ring, queue->slots, payload) ? STATUS_OK
                                                                             : STATUS_EMPTY;
}

static inline bool ring_ck_ring_check(const void *object)
{
    const struct ring_ck_ring *queue = object;
    return queue->ring.p_tail - queue->ring.c_head <= queue->ring.mask;
}

#define RING_CK_RING_OPS(send_, receive_, several_)                                                \
    {                                                                                              \
        .about = {.name = "ck_ring",                                                               \
                  .what = "Concurrency Kit's ck_ring, 64 bytes by value, as packaged",             \
                  .role = VARIANT_PEER},                                                           \
        .state_bytes = sizeof(struct ring_ck_ring), .slot_bytes = sizeof(struct ring_message),     \
        .several = several_, .init = ring_ck_ring_init, .send = send_, .receive = receive_,        \
        .check = ring_ck_ring_check,                                                               \
    }

static const struct ring_ops ring_ck_ring_ops =
    RING_CK_RING_OPS(ring_ck_ring_send, ring_ck_ring_receive, false);
static const struct ring_ops ring_ck_ring_many_ops =
    RING_CK_RING_OPS(ring_ck_ring_many_send, ring_ck_ring_many_receive, true);

#endif
