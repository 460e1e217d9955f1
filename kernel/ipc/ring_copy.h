// SPDX-License-Identifier: MIT
// Copying payloads into and out of slots, and other details that all ring variants have in common.
//
// Everything moves in aligned words of eight bytes: a load that is wider than the store before it,
// or that straddles two stores, cannot be forwarded and stalls, and one thread that sends and
// receives reads each slot right after it was written.
#ifndef RING_COPY_H
#define RING_COPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assert.h"
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

// What every init looks at first: panics where the caller's memory is not as ring_ops says; false
// if there cannot be that many slots.
ALWAYS_INLINE bool ring_may_begin(const void *object, const void *memory, size_t slots)
{
    assert(object != NULL && ring_is_aligned(object, PAGE_SIZE));
    assert(memory != NULL && ring_is_aligned(memory, PAGE_SIZE));
    return ring_slots_valid(slots);
}

ALWAYS_INLINE bool ring_any_too_large(const struct ring_message *messages, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (messages[i].length > RING_PAYLOAD_MOST)
            return true;
    }
    return false;
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

// The last `count` < 8 bytes as one word, the rest of it zero: the slot gets a whole word, so that
// the receiver's load of it is forwarded. `from` is 8-aligned and no byte past `count` is read.
// Pieces that `count` does not ask for are read from a word of zeros instead of being branched
// around; the empty assembly keeps the compiler from turning the choice into branches again.
ALWAYS_INLINE uint64_t ring_tail_word(const unsigned char *from, size_t count)
{
    static const uint64_t nothing = 0;
    const unsigned char *zeros = (const unsigned char *)&nothing;
    const unsigned char *half = count & 4 ? from : zeros;
    const unsigned char *quarter = count & 2 ? from + (count & 4) : zeros;
    const unsigned char *byte = count & 1 ? from + (count & 6) : zeros;
    __asm__("" : "+r"(half), "+r"(quarter), "+r"(byte));
    return *(const ring_half *)half |
           (uint64_t) * (const ring_quarter *)quarter << 8 * (count & 4) |
           (uint64_t)*byte << 8 * (count & 6);
}

// from[index], or from[last] if that is less far. A conditional move, as above.
ALWAYS_INLINE uint64_t ring_word_at_most(const ring_word *from, size_t index, size_t last)
{
    size_t chosen = last < index ? last : index;
    __asm__("" : "+r"(chosen));
    return from[chosen];
}

// Any length below 56, without a branch on it: lengths that vary cannot be predicted, and one wrong
// guess costs more than all the moves. Words past the last whole one repeat it, then the tail
// overwrites the first of them. About 65 instructions.
ALWAYS_INLINE void ring_copy_any(void *slot, const void *payload, size_t length)
{
    static const uint64_t nothing = 0;
    const size_t words = length / sizeof(ring_word);
    const size_t last = words - (words != 0);
    const void *whole = words != 0 ? payload : &nothing;
    __asm__("" : "+r"(whole));
    const ring_word *from = whole;
    ring_word *to = slot;
    to[0] = from[0];
    to[1] = ring_word_at_most(from, 1, last);
    to[2] = ring_word_at_most(from, 2, last);
    to[3] = ring_word_at_most(from, 3, last);
    to[4] = ring_word_at_most(from, 4, last);
    to[5] = ring_word_at_most(from, 5, last);
    const unsigned char *tail = (const unsigned char *)payload + words * sizeof(ring_word);
    to[words] = ring_tail_word(tail, length % sizeof(ring_word));
}

// A length the compiler knows: only its own moves are left of this.
ALWAYS_INLINE void ring_copy_constant(void *slot, const void *payload, size_t length)
{
    ring_word *to = slot;
    const ring_word *from = payload;
    const size_t words = length / sizeof(ring_word);
    if (words > 0)
        to[0] = from[0];
    if (words > 1)
        to[1] = from[1];
    if (words > 2)
        to[2] = from[2];
    if (words > 3)
        to[3] = from[3];
    if (words > 4)
        to[4] = from[4];
    if (words > 5)
        to[5] = from[5];
    if (length % sizeof(ring_word) == 0)
        return;
    const unsigned char *tail = (const unsigned char *)(from + words);
    const size_t count = length % sizeof(ring_word);
    uint64_t word = 0;
    if (count & 4)
        word = *(const ring_half *)tail;
    if (count & 2)
        word |= (uint64_t) * (const ring_quarter *)(tail + (count & 4)) << 8 * (count & 4);
    if (count & 1)
        word |= (uint64_t)tail[count & 6] << 8 * (count & 6);
    to[words] = word;
}

// Copies a payload of `length` <= 56 bytes into a slot; reads no byte past it. Both 8-aligned.
// What the slot holds past the length is undefined. A receiver copies all 56 bytes instead: its
// buffer has the room, and the moves cost less than finding out which of them to leave out.
ALWAYS_INLINE void ring_copy_in(void *slot, const void *payload, size_t length)
{
    if (LIKELY(length == RING_PAYLOAD_MOST))
        ring_copy_whole(slot, payload);
    else if (__builtin_constant_p(length))
        ring_copy_constant(slot, payload, length);
    else
        ring_copy_any(slot, payload, length);
}

#endif
