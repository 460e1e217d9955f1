// SPDX-License-Identifier: MIT
// The slot of the fusion rings: one cache line, a control word of 8 bytes and 56 bytes of payload.
//
// Control word, low bits first: length 16 | kind 8 | flags 8 (none yet, 0) | sequence 32. The
// sequence is on top so that it wraps out of the word and never into another field, and an inline
// message has nothing but its length in the lower half: one comparison with the word of an empty
// message at that position tells whether it is sent, inline, and of a possible length.
//
// Positions count messages since the beginning and wrap at 2^64; the slot is the position modulo
// the number of slots, all of which are usable. The message of position p carries the sequence
// p + 1 modulo 2^32. Until it is sent its slot holds the sequence of the lap before,
// p + 1 - slots, or of one not yet sent in this lap's place; with at most 2^20 slots the two never
// coincide, wherever the 32 bits wrap.
#ifndef RING_FUSION_SLOT_H
#define RING_FUSION_SLOT_H

#include "compiler.h"
#include "ring.h"

#define RING_FUSION_KIND_SHIFT     16
#define RING_FUSION_FLAGS_SHIFT    24
#define RING_FUSION_SEQUENCE_SHIFT 32

struct ring_fusion_slot {
    uint64_t control;
    uint64_t payload[RING_PAYLOAD_MOST / 8];
} CACHE_ALIGNED;

_Static_assert(sizeof(struct ring_fusion_slot) == CACHE_LINE, "one cache line a slot");
_Static_assert(offsetof(struct ring_fusion_slot, payload) == 8, "commit goes back from it");
_Static_assert(RING_INLINE == 0, "ring_fusion_past_empty() tells inline messages by it");

// The control word of an inline message; of 0 bytes that of an empty one.
ALWAYS_INLINE uint64_t ring_fusion_control(uint64_t position, size_t length)
{
    return (position + 1) << RING_FUSION_SEQUENCE_SHIFT | length;
}

ALWAYS_INLINE uint64_t ring_fusion_control_of_kind(uint64_t position, size_t length,
                                                   enum ring_kind kind)
{
    return ring_fusion_control(position, length) | (uint64_t)kind << RING_FUSION_KIND_SHIFT;
}

// The length of an inline message at that position; above RING_PAYLOAD_MOST: there is none.
ALWAYS_INLINE uint64_t ring_fusion_past_empty(uint64_t control, uint64_t position)
{
    return control - ((position + 1) << RING_FUSION_SEQUENCE_SHIFT);
}

ALWAYS_INLINE bool ring_fusion_is_sent(uint64_t control, uint64_t position)
{
    return (uint32_t)(control >> RING_FUSION_SEQUENCE_SHIFT) == (uint32_t)(position + 1);
}

ALWAYS_INLINE size_t ring_fusion_length(uint64_t control)
{
    return (uint16_t)control;
}

ALWAYS_INLINE unsigned ring_fusion_kind(uint64_t control)
{
    return (uint16_t)(control >> RING_FUSION_KIND_SHIFT); // with the flags, of which there are none
}

// A sent word that a send could have written.
ALWAYS_INLINE bool ring_fusion_is_sound(uint64_t control)
{
    return ring_fusion_length(control) <= RING_PAYLOAD_MOST &&
           ring_fusion_kind(control) < RING_VOID;
}

// Whether that is where one of the slots has its payload. Not whether it is the slot of a position:
// that may lie where a peer writes, who must not be able to make an assertion fail.
ALWAYS_INLINE bool ring_fusion_is_place(const struct ring_fusion_slot *slots, uint64_t mask,
                                        const void *payload)
{
    const uintptr_t offset = (uintptr_t)payload - (uintptr_t)slots[0].payload;
    return offset / sizeof(slots[0]) <= mask && offset % sizeof(slots[0]) == 0;
}

#endif
