// SPDX-License-Identifier: MIT
// Boost's lockfree::spsc_queue for one producer and one consumer, by value. It is C++, so each call
// is one (ring_boost.cc): stand it beside fusion_spsc_called.
#ifndef RING_BOOST_SPSC_H
#define RING_BOOST_SPSC_H

#include "compiler.h"
#include "ring.h"
#include "ring_boost.h"
#include "ring_copy.h"

_Static_assert(RING_BOOST_PAYLOAD == RING_PAYLOAD_MOST, "a whole message");

static inline enum status ring_boost_spsc_init(void *object, void *memory, size_t slots)
{
    if (!ring_may_begin(object, memory, slots) || slots > RING_BOOST_SLOTS_MOST)
        return STATUS_INVALID;
    ring_boost_spsc_make(object, memory, slots);
    return STATUS_OK;
}

ALWAYS_INLINE enum status ring_boost_spsc_send(void *object, const void *payload, size_t length)
{
    (void)length;
    return ring_boost_spsc_push(object, payload) ? STATUS_OK : STATUS_FULL;
}

ALWAYS_INLINE enum status ring_boost_spsc_receive(void *object, void *payload, size_t *length)
{
    *length = RING_PAYLOAD_MOST;
    return ring_boost_spsc_pop(object, payload) ? STATUS_OK : STATUS_EMPTY;
}

static inline bool ring_boost_spsc_check(const void *object)
{
    (void)object;
    return true; // the checksum says whether it worked
}

static const struct ring_ops ring_boost_spsc_ops = {
    .about = {.name = "boost_spsc",
              .what = "Boost's lockfree::spsc_queue, 56 bytes by value, called",
              .role = VARIANT_PEER},
    .state_bytes = RING_BOOST_STATE,
    .slot_bytes = RING_BOOST_SLOT,
    .several = false,
    .init = ring_boost_spsc_init,
    .send = ring_boost_spsc_send,
    .receive = ring_boost_spsc_receive,
    .check = ring_boost_spsc_check,
};

#endif
