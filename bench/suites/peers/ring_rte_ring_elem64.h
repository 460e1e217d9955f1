// SPDX-License-Identifier: MIT
// DPDK's rte_ring with elements of 64 bytes by value: copied in and copied out, by 32 bits at a
// time, as its header does with all but 8 and 16 bytes.
#ifndef RING_RTE_RING_ELEM64_H
#define RING_RTE_RING_ELEM64_H

#include "rte_rings.h"

#define RTE_ELEMENT sizeof(struct ring_message)

struct ring_rte_ring_elem64 {
    struct rte_ring ring;
    struct ring_message elements[RING_SLOTS_DEFAULT]; // behind it
};

static inline enum status ring_rte_ring_elem64_init(void *object, void *memory, size_t slots)
{
    return rte_rings_init(object, memory, slots, RTE_RING_SYNC_ST);
}

static inline enum status ring_rte_ring_elem64_many_init(void *object, void *memory, size_t slots)
{
    return rte_rings_init(object, memory, slots, RTE_RING_SYNC_MT);
}

// Its interface wants what it only reads without const.
ALWAYS_INLINE void *rte_read_only(const void *payload)
{
    return (void *)(uintptr_t)payload;
}

ALWAYS_INLINE enum status ring_rte_ring_elem64_send(void *ring, const void *payload, size_t length)
{
    (void)length;
    return rte_ring_sp_enqueue_elem(ring, rte_read_only(payload), RTE_ELEMENT) == 0 ? STATUS_OK
                                                                                    : STATUS_FULL;
}

ALWAYS_INLINE enum status ring_rte_ring_elem64_receive(void *ring, void *payload, size_t *length)
{
    *length = RING_PAYLOAD_MOST;
    return rte_ring_sc_dequeue_elem(ring, payload, RTE_ELEMENT) == 0 ? STATUS_OK : STATUS_EMPTY;
}

ALWAYS_INLINE enum status ring_rte_ring_elem64_many_send(void *ring, const void *payload,
                                                         size_t length)
{
    (void)length;
    return rte_ring_mp_enqueue_elem(ring, rte_read_only(payload), RTE_ELEMENT) == 0 ? STATUS_OK
                                                                                    : STATUS_FULL;
}

ALWAYS_INLINE enum status ring_rte_ring_elem64_many_receive(void *ring, void *payload,
                                                            size_t *length)
{
    *length = RING_PAYLOAD_MOST;
    return rte_ring_mc_dequeue_elem(ring, payload, RTE_ELEMENT) == 0 ? STATUS_OK : STATUS_EMPTY;
}

ALWAYS_INLINE enum status ring_rte_ring_elem64_send_batch(void *ring,
                                                          const struct ring_message *messages,
                                                          size_t count, size_t *sent)
{
    *sent = rte_ring_sp_enqueue_burst_elem(ring, messages, RTE_ELEMENT, (unsigned)count, NULL);
    return *sent > 0 ? STATUS_OK : STATUS_FULL;
}

ALWAYS_INLINE enum status ring_rte_ring_elem64_receive_batch(void *ring,
                                                             struct ring_message *messages,
                                                             size_t count, size_t *received)
{
    *received = rte_ring_sc_dequeue_burst_elem(ring, messages, RTE_ELEMENT, (unsigned)count, NULL);
    return *received > 0 ? STATUS_OK : STATUS_EMPTY;
}

#define RTE_ELEM64_WHAT "DPDK's rte_ring, elements of 64 bytes by value, as packaged"

static const struct ring_ops ring_rte_ring_elem64_ops = {
    .about = {.name = "rte_ring_elem64", .what = RTE_ELEM64_WHAT, .role = VARIANT_PEER},
    .state_bytes = sizeof(struct ring_rte_ring_elem64),
    .init = ring_rte_ring_elem64_init,
    .send = ring_rte_ring_elem64_send,
    .receive = ring_rte_ring_elem64_receive,
    .send_batch = ring_rte_ring_elem64_send_batch,
    .receive_batch = ring_rte_ring_elem64_receive_batch,
    .check = rte_rings_check,
};

static const struct ring_ops ring_rte_ring_elem64_many_ops = {
    .about = {.name = "rte_ring_elem64", .what = RTE_ELEM64_WHAT, .role = VARIANT_PEER},
    .state_bytes = sizeof(struct ring_rte_ring_elem64),
    .several = true,
    .init = ring_rte_ring_elem64_many_init,
    .send = ring_rte_ring_elem64_many_send,
    .receive = ring_rte_ring_elem64_many_receive,
    .check = rte_rings_check,
};

#endif
