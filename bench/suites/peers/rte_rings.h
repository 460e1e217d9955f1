// SPDX-License-Identifier: MIT
// What DPDK's rings here have in common. Their functions are inlined from DPDK's headers, as in its
// users' programs; what rte_ring_init would write is written by hand, so that the program needs
// none of DPDK's libraries. The elements lie behind the ring. One slot stays empty.
#ifndef RTE_RINGS_H
#define RTE_RINGS_H

#include <rte_config.h>

#include <rte_ring.h>

#include "compiler.h"
#include "ring.h"
#include "ring_copy.h"

static inline enum status rte_rings_init(struct rte_ring *ring, const void *memory, size_t slots,
                                         enum rte_ring_sync_type sync)
{
    if (!ring_may_begin(ring, memory, slots) || slots > RING_SLOTS_DEFAULT)
        return STATUS_INVALID;
    *ring = (struct rte_ring){
        .size = (uint32_t)slots, .mask = (uint32_t)slots - 1, .capacity = (uint32_t)slots - 1};
    ring->prod.sync_type = ring->cons.sync_type = sync;
    return STATUS_OK;
}

// Nobody is between taking and publishing a position.
static inline bool rte_rings_check(const void *object)
{
    const struct rte_ring *ring = object;
    return ring->prod.head == ring->prod.tail && ring->cons.head == ring->cons.tail &&
           ring->prod.tail - ring->cons.tail <= ring->capacity;
}

#endif
