// SPDX-License-Identifier: MIT
// Makes bytes fewer: a zlib stream (RFC 1950) of one deflate block with the fixed code (RFC 1951,
// 3.2.6), by integers only. Any inflate reads it.
//
// Traces repeat themselves at short distances, which is what the matches are good at; a code fitted
// to the data would save another quarter and cost a second pass. Threads: a state belongs to one.
#ifndef DEFLATE_H
#define DEFLATE_H

#include <stddef.h>
#include <stdint.h>

#define DEFLATE_INPUT_MOST 32768u // bytes at a time: every distance fits
#define DEFLATE_HASH_BITS  12

// Where a hash was seen last, and for each position where its hash was seen before; +1, 0: nowhere.
struct deflate {
    uint16_t head[1u << DEFLATE_HASH_BITS];
    uint16_t previous[DEFLATE_INPUT_MOST];
};

// Room that is always enough for the result.
static inline size_t deflate_bound(size_t length)
{
    return length + length / 8 + 16;
}

// Compresses `length` bytes (at most DEFLATE_INPUT_MOST) into `out`, which has
// deflate_bound(length) bytes. Returns the length of the result. `state` needs no preparation.
size_t deflate_zlib(struct deflate *state, const void *in, size_t length, uint8_t *out);

#endif
