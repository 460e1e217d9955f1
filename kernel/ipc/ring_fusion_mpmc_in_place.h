// SPDX-License-Identifier: MIT
// The fusion ring of ring_fusion_mpmc.h by its other calls: any number of producers build messages
// in their slots, one consumer reads them there.
//
// Rules for callers
//   consumers   one at a time, by whichever call: the role passes to another thread if the
//   hand-over
//               synchronises the two. Of several, a slow one may still read a slot (and throw away
//               what it read) that the next lap's producer builds its message in; and a message
//               that is read in its slot is nobody's to take meanwhile
//   reserve     claims a position, with one compare-and-swap. What was claimed behind it waits
//               until commit or abandon: build at once, and call nothing that blocks
//   death       of a producer that holds a reservation leaves a hole as in the midst of a send: see
//               ring_fusion_mpmc_void. No beat (ring_seats.h) before commit or abandon
//   statistics  a reservation counts as sent; one that is abandoned as received too, later
#ifndef RING_FUSION_MPMC_IN_PLACE_H
#define RING_FUSION_MPMC_IN_PLACE_H

#include "ring_fusion_mpmc.h"

// FAST: expected 12 instructions, one of them locked.
ALWAYS_INLINE enum status ring_fusion_mpmc_reserve(void *object, void **payload)
{
    struct ring_fusion_mpmc *ring = object;
    uint64_t position = __atomic_load_n(&ring->producer.position, __ATOMIC_RELAXED);
    if (UNLIKELY(ring_fusion_mpmc_credit(ring, position) <= 0) ||
        UNLIKELY(!ring_fusion_mpmc_claim(ring, &position, 1))) {
        // A variable of its own, so that this one can stay in a register.
        uint64_t claimed = 0;
        const enum status status = ring_fusion_mpmc_claim_slowly(ring, &claimed);
        if (status != STATUS_OK)
            return status;
        position = claimed;
    }
    *payload = ring->slots[position & ring->mask].payload;
    return STATUS_OK;
}

// The low half of a reserved slot's position. Relaxed: its control word is still that of the lap
// before, which came with the credit, and nobody else's to write.
ALWAYS_INLINE uint64_t ring_fusion_mpmc_reserved(const struct ring_fusion_mpmc *ring,
                                                 const void *payload)
{
    assert_slow(ring_fusion_is_place(ring->slots, ring->mask, payload));
    const uint64_t before = __atomic_load_n((const uint64_t *)payload - 1, __ATOMIC_RELAXED);
    return (before >> RING_FUSION_SEQUENCE_SHIFT) + ring->mask;
}

// FAST: expected 9 instructions.
ALWAYS_INLINE enum status ring_fusion_mpmc_commit(void *object, void *payload, size_t length)
{
    struct ring_fusion_mpmc *ring = object;
    if (UNLIKELY(length > RING_PAYLOAD_MOST))
        return STATUS_TOO_LARGE;
    const uint64_t position = ring_fusion_mpmc_reserved(ring, payload);
    ring_trace_send(position);
    // Release: as in send.
    __atomic_store_n((uint64_t *)payload - 1, ring_fusion_control(position, length),
                     __ATOMIC_RELEASE);
    ring_trace_sent(STATUS_OK, 1);
    return STATUS_OK;
}

ALWAYS_INLINE void ring_fusion_mpmc_abandon(void *object, void *payload)
{
    struct ring_fusion_mpmc *ring = object;
    const uint64_t position = ring_fusion_mpmc_reserved(ring, payload);
    // Release: what was written there is over before the next lap.
    __atomic_store_n((uint64_t *)payload - 1, ring_fusion_control_of_kind(position, 0, RING_VOID),
                     __ATOMIC_RELEASE);
}

// FAST: expected 11 instructions.
ALWAYS_INLINE enum status ring_fusion_mpmc_peek(void *object, const void **payload, size_t *length)
{
    struct ring_fusion_mpmc *ring = object;
    const uint64_t position = __atomic_load_n(&ring->consumer.position, __ATOMIC_RELAXED);
    const struct ring_fusion_slot *slot = &ring->slots[position & ring->mask];
    // Acquire: as in receive. What it brings of a batch stays with the one consumer.
    const uint64_t control = __atomic_load_n(&slot->control, __ATOMIC_ACQUIRE);
    uint64_t past_empty = ring_fusion_past_empty(control, position);
    if (UNLIKELY(past_empty > RING_PAYLOAD_MOST)) {
        // Variables of their own, so that the others can stay in registers.
        const struct ring_fusion_slot *found = NULL;
        size_t bytes = 0;
        const enum status status = ring_fusion_mpmc_peek_slowly(ring, &found, &bytes);
        if (status != STATUS_OK)
            return status;
        slot = found;
        past_empty = bytes;
    }
    *payload = slot->payload;
    *length = past_empty;
    return STATUS_OK;
}

// FAST: expected 3 instructions.
ALWAYS_INLINE void ring_fusion_mpmc_release(void *object, const void *payload)
{
    struct ring_fusion_mpmc *ring = object;
    const uint64_t position = __atomic_load_n(&ring->consumer.position, __ATOMIC_RELAXED);
    assert_slow(ring_fusion_is_place(ring->slots, ring->mask, payload));
    (void)payload;
    ring_trace_receive(position);
    // Release, for the producer that renews the credit: the slot was read before it is free. A
    // store, as nobody else takes messages.
    __atomic_store_n(&ring->consumer.position, position + 1, __ATOMIC_RELEASE);
    ring_trace_received(STATUS_OK, 1);
}

ALWAYS_INLINE enum status ring_fusion_mpmc_in_place_send(void *object, const void *payload,
                                                         size_t length)
{
    void *place = NULL;
    assert_slow(ring_is_aligned(payload, sizeof(ring_word)));
    if (UNLIKELY(length > RING_PAYLOAD_MOST))
        return STATUS_TOO_LARGE;
    const enum status status = ring_fusion_mpmc_reserve(object, &place);
    if (UNLIKELY(status != STATUS_OK))
        return status;
    ring_copy_in(place, payload, length);
    return ring_fusion_mpmc_commit(object, place, length);
}

ALWAYS_INLINE enum status ring_fusion_mpmc_in_place_receive(void *object, void *payload,
                                                            size_t *length)
{
    const void *place = NULL;
    assert_slow(ring_is_aligned(payload, sizeof(ring_word)));
    const enum status status = ring_fusion_mpmc_peek(object, &place, length);
    if (UNLIKELY(status == STATUS_INVALID))
        return ring_fusion_mpmc_receive_slowly(object, payload, length);
    if (UNLIKELY(status != STATUS_OK))
        return status;
    ring_copy_whole(payload, place);
    ring_fusion_mpmc_release(object, place);
    return STATUS_OK;
}

// Not `several`: the consumer is one.
static const struct ring_ops ring_fusion_mpmc_in_place_ops = {
    .about =
        {
            .name = "fusion_mpmc_in_place",
            .what = "fusion ring, many producers and one consumer, messages built in their slots",
            .role = VARIANT_PRODUCT,
        },
    .state_bytes = sizeof(struct ring_fusion_mpmc),
    .slot_bytes = sizeof(struct ring_fusion_slot),
    .init = ring_fusion_mpmc_init,
    .send = ring_fusion_mpmc_in_place_send,
    .receive = ring_fusion_mpmc_in_place_receive,
    .send_batch = ring_fusion_mpmc_send_batch,
    .receive_batch = ring_fusion_mpmc_receive_batch,
    .free_slots = ring_fusion_mpmc_free_slots,
    .statistics = ring_fusion_mpmc_statistics,
    .check = ring_fusion_mpmc_check,
    .reserve = ring_fusion_mpmc_reserve,
    .commit = ring_fusion_mpmc_commit,
    .abandon = ring_fusion_mpmc_abandon,
    .peek = ring_fusion_mpmc_peek,
    .release = ring_fusion_mpmc_release,
    .send_kind = ring_fusion_mpmc_send_kind,
    .receive_kind = ring_fusion_mpmc_receive_kind,
    .close = ring_fusion_mpmc_close,
};

#endif
