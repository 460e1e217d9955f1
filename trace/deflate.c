// SPDX-License-Identifier: MIT
#include "deflate.h"

#include "assert.h"
#include "compiler.h"
#include "string.h"

#define MATCH_LEAST  3u
#define MATCH_MOST   258u
#define CHAIN_MOST   24u // candidates looked at
#define END_OF_BLOCK 256u
#define ADLER_PRIME  65521u
#define ADLER_RUN    5552u // bytes that can be added before the sums must be reduced (RFC 1950, 9)

_Static_assert(DEFLATE_INPUT_MOST <= 32768, "the longest distance of deflate");
_Static_assert(DEFLATE_INPUT_MOST < UINT16_MAX, "positions are kept in 16 bits, plus one");

// ---- bits ---------------------------------------------------------------------------------------

struct bits {
    uint8_t *out;
    size_t length;
    uint32_t pending; // lowest first
    unsigned count;   // of them, below 8 between calls
};

static void put(struct bits *bits, uint32_t value, unsigned count)
{
    bits->pending |= value << bits->count;
    bits->count += count;
    while (bits->count >= 8) {
        bits->out[bits->length++] = (uint8_t)bits->pending;
        bits->pending >>= 8;
        bits->count -= 8;
    }
}

// Codes of the alphabets stand highest bit first.
static void put_code(struct bits *bits, uint32_t code, unsigned count)
{
    uint32_t turned = 0;
    for (unsigned i = 0; i < count; i++)
        turned |= (code >> i & 1) << (count - 1 - i);
    put(bits, turned, count);
}

// Literals, the end and lengths (RFC 1951, 3.2.6).
static void put_symbol(struct bits *bits, unsigned symbol)
{
    if (symbol < 144)
        put_code(bits, 0x30 + symbol, 8);
    else if (symbol < 256)
        put_code(bits, 0x190 + symbol - 144, 9);
    else if (symbol < 280)
        put_code(bits, symbol - 256, 7);
    else
        put_code(bits, 0xc0 + symbol - 280, 8);
}

// Lengths and distances grow by powers of two, `split` to each (RFC 1951, 3.2.5): the number of
// such a step, and how many extra bits say where in it.
static unsigned step_of(uint32_t value, unsigned split_bits, unsigned *extra)
{
    const unsigned power = log2_u64(value | 1);
    if (power <= split_bits) {
        *extra = 0;
        return value;
    }
    *extra = power - split_bits;
    return ((power - split_bits) << split_bits) + (value >> *extra);
}

static void put_match(struct bits *bits, uint32_t length, uint32_t distance)
{
    unsigned extra;
    if (length == MATCH_MOST) {
        put_symbol(bits, 285);
    } else {
        const unsigned step = step_of(length - MATCH_LEAST, 2, &extra);
        put_symbol(bits, 257 + step);
        put(bits, (length - MATCH_LEAST) & ((1u << extra) - 1), extra);
    }
    const unsigned step = step_of(distance - 1, 1, &extra);
    put_code(bits, step, 5);
    put(bits, (distance - 1) & ((1u << extra) - 1), extra);
}

// ---- matches ------------------------------------------------------------------------------------

static unsigned hash_of(const uint8_t *at)
{
    const uint32_t three = at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16;
    return three * 0x9e3779b1u >> (32 - DEFLATE_HASH_BITS);
}

static void remember(struct deflate *state, const uint8_t *in, size_t position)
{
    uint16_t *head = &state->head[hash_of(in + position)];
    state->previous[position] = *head;
    *head = (uint16_t)(position + 1);
}

static size_t match_length(const uint8_t *a, const uint8_t *b, size_t most)
{
    size_t length = 0;
    while (length < most && a[length] == b[length])
        length++;
    return length;
}

// The longest match for what stands at `position`, 0 if there is none of MATCH_LEAST bytes.
static size_t find(const struct deflate *state, const uint8_t *in, size_t position, size_t length,
                   size_t *distance)
{
    const size_t most = min_u64(MATCH_MOST, length - position);
    size_t best = MATCH_LEAST - 1;
    if (most < MATCH_LEAST)
        return 0;
    size_t candidate = state->head[hash_of(in + position)];
    for (unsigned tries = 0; candidate != 0 && tries < CHAIN_MOST; tries++) {
        const size_t found = match_length(in + candidate - 1, in + position, most);
        if (found > best) {
            best = found;
            *distance = position - (candidate - 1);
            if (found == most)
                break;
        }
        candidate = state->previous[candidate - 1];
    }
    return best < MATCH_LEAST ? 0 : best;
}

static uint32_t adler32(const uint8_t *in, size_t length)
{
    uint32_t a = 1, b = 0;
    while (length > 0) {
        const size_t run = min_u64(length, ADLER_RUN);
        for (size_t i = 0; i < run; i++) {
            a += in[i];
            b += a;
        }
        a %= ADLER_PRIME;
        b %= ADLER_PRIME;
        in += run;
        length -= run;
    }
    return b << 16 | a;
}

size_t deflate_zlib(struct deflate *state, const void *in_, size_t length, uint8_t *out)
{
    const uint8_t *in = in_;
    struct bits bits = {.out = out};
    assert(length <= DEFLATE_INPUT_MOST);
    memset(state->head, 0, sizeof(state->head));
    put(&bits, 0x78, 8); // deflate, window of 32 KiB
    put(&bits, 0x01, 8); // fastest, no dictionary; makes the two bytes a multiple of 31
    put(&bits, 1, 1);    // the last block
    put(&bits, 1, 2);    // with the fixed code
    for (size_t at = 0; at < length;) {
        size_t distance = 0;
        const size_t match = find(state, in, at, length, &distance);
        if (match == 0)
            put_symbol(&bits, in[at]);
        else
            put_match(&bits, (uint32_t)match, (uint32_t)distance);
        for (const size_t end = at + (match == 0 ? 1 : match); at < end; at++) {
            if (at + MATCH_LEAST <= length)
                remember(state, in, at);
        }
    }
    put_symbol(&bits, END_OF_BLOCK);
    put(&bits, 0, (8 - bits.count) % 8);
    const uint32_t check = adler32(in, length);
    for (unsigned i = 0; i < 4; i++)
        put(&bits, check >> (24 - 8 * i) & 0xff, 8);
    return bits.length;
}
