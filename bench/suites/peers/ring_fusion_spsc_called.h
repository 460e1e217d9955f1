// SPDX-License-Identifier: MIT
// fusion_spsc by calls, as a program does that knows no more than its functions: what a peer is to
// be held against that can only be called.
#ifndef RING_FUSION_SPSC_CALLED_H
#define RING_FUSION_SPSC_CALLED_H

#include "ring_fusion_spsc.h"

// Without what the compiler could know of them by looking inside.
static __attribute__((noipa)) enum status
ring_fusion_spsc_called_send(void *object, const void *payload, size_t length)
{
    return ring_fusion_spsc_send(object, payload, length);
}

static __attribute__((noipa)) enum status
ring_fusion_spsc_called_receive(void *object, void *payload, size_t *length)
{
    return ring_fusion_spsc_receive(object, payload, length);
}

static const struct ring_ops ring_fusion_spsc_called_ops = {
    .about = {.name = "fusion_spsc_called",
              .what = "fusion_spsc, its functions called and not inlined",
              .role = VARIANT_PRODUCT},
    .state_bytes = sizeof(struct ring_fusion_spsc),
    .slot_bytes = sizeof(struct ring_fusion_slot),
    .several = false,
    .init = ring_fusion_spsc_init,
    .send = ring_fusion_spsc_called_send,
    .receive = ring_fusion_spsc_called_receive,
    .statistics = ring_fusion_spsc_statistics,
    .check = ring_fusion_spsc_check,
};

#endif
