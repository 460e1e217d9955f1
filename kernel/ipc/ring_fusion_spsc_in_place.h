// SPDX-License-Identifier: MIT
// The fusion ring of ring_fusion_spsc.h by its other calls: messages are built and read in their
// slots. Its table has `reserve` and the rest, so that who measures builds in place; its send and
// receive do the same for a message that lies elsewhere, so that all tests of rings look at them.
#ifndef RING_FUSION_SPSC_IN_PLACE_H
#define RING_FUSION_SPSC_IN_PLACE_H

#include "ring_fusion_spsc.h"

ALWAYS_INLINE enum status ring_fusion_spsc_in_place_send(void *object, const void *payload,
                                                         size_t length)
{
    void *place = NULL;
    assert_slow(ring_is_aligned(payload, sizeof(ring_word)));
    if (UNLIKELY(length > RING_PAYLOAD_MOST))
        return STATUS_TOO_LARGE;
    const enum status status = ring_fusion_spsc_reserve(object, &place);
    if (UNLIKELY(status != STATUS_OK))
        return status;
    ring_copy_in(place, payload, length);
    return ring_fusion_spsc_commit(object, place, length);
}

ALWAYS_INLINE enum status ring_fusion_spsc_in_place_receive(void *object, void *payload,
                                                            size_t *length)
{
    const void *place = NULL;
    assert_slow(ring_is_aligned(payload, sizeof(ring_word)));
    const enum status status = ring_fusion_spsc_peek(object, &place, length);
    if (UNLIKELY(status == STATUS_INVALID))
        return ring_fusion_spsc_receive_any(object, payload, length);
    if (UNLIKELY(status != STATUS_OK))
        return status;
    ring_copy_whole(payload, place);
    ring_fusion_spsc_release(object, place);
    return STATUS_OK;
}

static const struct ring_ops ring_fusion_spsc_in_place_ops = {
    .about =
        {
            .name = "fusion_spsc_in_place",
            .what = "fusion ring, one producer and one consumer, messages built in their slots",
            .role = VARIANT_PRODUCT,
        },
    .state_bytes = sizeof(struct ring_fusion_spsc),
    .slot_bytes = sizeof(struct ring_fusion_slot),
    .init = ring_fusion_spsc_init,
    .send = ring_fusion_spsc_in_place_send,
    .receive = ring_fusion_spsc_in_place_receive,
    .send_batch = ring_fusion_spsc_send_batch,
    .receive_batch = ring_fusion_spsc_receive_batch,
    .free_slots = ring_fusion_spsc_free_slots,
    .statistics = ring_fusion_spsc_statistics,
    .check = ring_fusion_spsc_check,
    .reserve = ring_fusion_spsc_reserve,
    .commit = ring_fusion_spsc_commit,
    .abandon = ring_fusion_spsc_abandon,
    .peek = ring_fusion_spsc_peek,
    .release = ring_fusion_spsc_release,
    .send_kind = ring_fusion_spsc_send_kind,
    .receive_kind = ring_fusion_spsc_receive_kind,
    .close = ring_fusion_spsc_close,
};

#endif
