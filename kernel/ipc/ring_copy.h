// SPDX-License-Identifier: MIT
// Copying payloads into and out of slots, and other details the ring variants have in common.
//
// Everything moves in aligned words of eight bytes: a load that is wider than the store before it,
// or that straddles two stores, cannot be forwarded and stalls, and one thread that sends and
// receives reads each slot right after it was written.
#ifndef RING_COPY_H
#define RING_COPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "ring.h"

#define RING_SLOTS_LEAST 2u
#define RING_SLOTS_MOST  (1u << 20)

// Payloads are whatever type the caller stored.
typedef uint64_t ring_word __attribute__((may_alias));
typedef uint32_t ring_half __attribute__((may_alias));
typedef uint16_t ring_quarter __attribute__((may_alias));

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "ring_tail_word() joins bytes that way");
_Static_assert(RING_PAYLOAD_MOST == 7 * sizeof(ring_word), "ring_copy_whole() has seven words");

ALWAYS_INLINE bool ring_slots_valid(size_t slots)
{
    return slots >= RING_SLOTS_LEAST && slots <= RING_SLOTS_MOST && (slots & (slots - 1)) == 0;
}

ALWAYS_INLINE bool ring_is_aligned(const void *pointer, size_t alignment)
{
    return ((uintptr_t)pointer & (alignment - 1)) == 0;
}

// Copies 56 bytes, both sides 8-aligned. 14 instructions.
ALWAYS_INLINE void ring_copy_whole(void *to, const void *from)
{
    ring_word *t = to;
    const ring_word *f = from;
    t[0] = f[0];
    t[1] = f[1];
    t[2] = f[2];
    t[3] = f[3];
    t[4] = f[4];
    t[5] = f[5];
    t[6] = f[6];
}

// The last 1 to 7 bytes as one word, the rest of it zero: the slot gets a whole word, so that the
// receiver's load of it is forwarded. `from` is 8-aligned and no byte past `count` is read.
ALWAYS_INLINE uint64_t ring_tail_word(const unsigned char *from, size_t count)
{
    uint64_t word = 0;
    if (count & 4)
        word = *(const ring_half *)from;
    if (count & 2)
        word |= (uint64_t) * (const ring_quarter *)(from + (count & 4)) << 8 * (count & 4);
    if (count & 1)
        word |= (uint64_t)from[count & 6] << 8 * (count & 6);
    return word;
}

// Copies a payload of `length` <= 56 bytes into a slot; reads no byte past it. Both 8-aligned.
// A constant length leaves only its own moves. A receiver copies all 56 bytes instead: its buffer
// has the room, and the moves cost less than finding out which of them to leave out.
ALWAYS_INLINE void ring_copy_in(void *slot, const void *payload, size_t length)
{
    if (LIKELY(length == RING_PAYLOAD_MOST)) {
        ring_copy_whole(slot, payload);
        return;
    }
    ring_word *to = slot;
    const ring_word *from = payload;
    const size_t words = length / sizeof(ring_word);
    for (size_t i = 0; i < words; i++)
        to[i] = from[i];
    if (length % sizeof(ring_word) != 0)
        to[words] = ring_tail_word((const unsigned char *)(from + words), length % 8);
}

#endif
