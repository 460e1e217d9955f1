// SPDX-License-Identifier: MIT
// liburcu's wfcqueue: a list without bound of nodes that are the messages; nothing is copied.
// Inlined from its header, as in its users' programs. Messages lie in an array of the sender's,
// ready but for the word that changes, which is written there and read there.
//
//   threads   any number may link nodes, one at a time may take some out (more would share a
//   mutex):
//             here one does both. The array is one sender's
#ifndef RING_WFCQUEUE_H
#define RING_WFCQUEUE_H

#define _LGPL_SOURCE // its functions inlined
#include <urcu/wfcqueue.h>

#include "compiler.h"
#include "ring.h"
#include "ring_copy.h"

struct ring_wfcqueue_node {
    struct cds_wfcq_node node;
    uint64_t payload[RING_PAYLOAD_MOST / 8];
} CACHE_ALIGNED;

struct ring_wfcqueue {
    struct __cds_wfcq_head head CACHE_ALIGNED;
    struct cds_wfcq_tail tail CACHE_ALIGNED;
    struct ring_wfcqueue_node *nodes CACHE_ALIGNED;
    uint64_t position, mask;
};

static inline enum status ring_wfcqueue_init(void *object, void *memory, size_t slots)
{
    struct ring_wfcqueue *queue = object;
    if (!ring_may_begin(queue, memory, slots))
        return STATUS_INVALID;
    __cds_wfcq_init(&queue->head, &queue->tail);
    queue->nodes = memory;
    queue->position = 0;
    queue->mask = slots - 1;
    return STATUS_OK;
}

ALWAYS_INLINE enum status ring_wfcqueue_send(void *object, const void *payload, size_t length)
{
    struct ring_wfcqueue *queue = object;
    struct ring_wfcqueue_node *node = &queue->nodes[queue->position++ & queue->mask];
    (void)length;
    node->payload[6] = ((const uint64_t *)payload)[6];
    cds_wfcq_node_init(&node->node);
    cds_wfcq_enqueue(&queue->head, &queue->tail, &node->node);
    return STATUS_OK;
}

ALWAYS_INLINE enum status ring_wfcqueue_receive(void *object, void *payload, size_t *length)
{
    struct ring_wfcqueue *queue = object;
    struct cds_wfcq_node *node = __cds_wfcq_dequeue_nonblocking(&queue->head, &queue->tail);
    if (UNLIKELY(node == NULL || node == CDS_WFCQ_WOULDBLOCK))
        return STATUS_EMPTY;
    ((uint64_t *)payload)[6] = ((const struct ring_wfcqueue_node *)node)->payload[6];
    *length = RING_PAYLOAD_MOST;
    return STATUS_OK;
}

static inline bool ring_wfcqueue_check(const void *object)
{
    (void)object;
    return true; // the checksum says whether it worked
}

static const struct ring_ops ring_wfcqueue_ops = {
    .about = {.name = "wfcqueue",
              .what = "liburcu's wfcqueue, nodes that are not copied, as packaged",
              .role = VARIANT_PEER},
    .state_bytes = sizeof(struct ring_wfcqueue),
    .slot_bytes = sizeof(struct ring_wfcqueue_node),
    .init = ring_wfcqueue_init,
    .send = ring_wfcqueue_send,
    .receive = ring_wfcqueue_receive,
    .check = ring_wfcqueue_check,
};

#endif
