// SPDX-License-Identifier: MIT
// Boost's lockfree::queue for many producers and consumers, by value. It is C++, so each call is
// one (ring_boost.cc): stand it beside fusion_mpmc_called.
#ifndef RING_BOOST_QUEUE_H
#define RING_BOOST_QUEUE_H

#include "compiler.h"
#include "ring.h"
#include "ring_boost.h"
#include "ring_copy.h"

_Static_assert(RING_BOOST_PAYLOAD == RING_PAYLOAD_MOST, "a whole message");

static inline enum status ring_boost_queue_init(void *object, void *memory, size_t slots)
{
    if (!ring_may_begin(object, memory, slots) || slots > RING_BOOST_SLOTS_MOST)
        return STATUS_INVALID;
    ring_boost_queue_make(object, memory, slots);
    return STATUS_OK;
}

ALWAYS_INLINE enum status ring_boost_queue_send(void *object, const void *payload, size_t length)
{
    (void)length;
    return ring_boost_queue_push(object, payload) ? STATUS_OK : STATUS_FULL;
}

ALWAYS_INLINE enum status ring_boost_queue_receive(void *object, void *payload, size_t *length)
{
    *length = RING_PAYLOAD_MOST;
    return ring_boost_queue_pop(object, payload) ? STATUS_OK : STATUS_EMPTY;
}

static inline bool ring_boost_queue_check(const void *object)
{
    (void)object;
    return true; // the checksum says whether it worked
}

static const struct ring_ops ring_boost_queue_ops = {
    .about = {.name = "boost_queue",
              .what = "Boost's lockfree::queue, 56 bytes by value, called",
              .role = VARIANT_PEER},
    .state_bytes = RING_BOOST_STATE,
    .slot_bytes = RING_BOOST_SLOT,
    .several = true,
    .init = ring_boost_queue_init,
    .send = ring_boost_queue_send,
    .receive = ring_boost_queue_receive,
    .check = ring_boost_queue_check,
};

#endif
