// SPDX-License-Identifier: MIT
// A small inflate for tests: zlib streams of blocks with the fixed code. Written from RFC 1950 and
// 1951, apart from the code under test.
#ifndef INFLATE_H
#define INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inflate {
    const uint8_t *in;
    size_t length, at; // at: bits
    uint8_t *out;
    size_t capacity, made;
    bool broken;
};

static inline uint32_t inflate_bits(struct inflate *s, unsigned count)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < count; i++, s->at++) {
        if (s->at / 8 >= s->length) {
            s->broken = true;
            return 0;
        }
        value |= (uint32_t)(s->in[s->at / 8] >> (s->at % 8) & 1) << i;
    }
    return value;
}

static inline unsigned inflate_code(struct inflate *s, unsigned count)
{
    unsigned code = 0;
    for (unsigned i = 0; i < count; i++)
        code = code << 1 | inflate_bits(s, 1);
    return code;
}

static inline unsigned inflate_symbol(struct inflate *s)
{
    unsigned code = inflate_code(s, 7);
    if (code < 24)
        return 256 + code;
    code = code << 1 | inflate_bits(s, 1);
    if (code < 0xc0)
        return code - 0x30;
    if (code < 0xc8)
        return 280 + code - 0xc0;
    return 144 + ((code << 1 | inflate_bits(s, 1)) - 0x190);
}

static inline void inflate_match(struct inflate *s, unsigned symbol)
{
    static const uint16_t lengths[] = {3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                       15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                       67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const uint8_t length_bits[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                          2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    static const uint16_t distances[] = {
        1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
        193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
    const unsigned which = symbol - 257;
    if (which >= 29) {
        s->broken = true;
        return;
    }
    const size_t length = lengths[which] + inflate_bits(s, length_bits[which]);
    const unsigned far = inflate_code(s, 5);
    const size_t distance =
        far < 30 ? distances[far] + inflate_bits(s, far < 4 ? 0 : far / 2 - 1) : SIZE_MAX;
    if (distance > s->made || length > s->capacity - s->made) {
        s->broken = true;
        return;
    }
    for (size_t i = 0; i < length; i++, s->made++)
        s->out[s->made] = s->out[s->made - distance];
}

// Returns how many bytes came out, SIZE_MAX if the stream is not exactly that.
static inline size_t inflate_zlib(const uint8_t *in, size_t length, uint8_t *out, size_t capacity)
{
    struct inflate s = {.in = in, .length = length, .out = out, .capacity = capacity};
    const uint32_t header = inflate_bits(&s, 8) << 8 | inflate_bits(&s, 8);
    const bool fixed = inflate_bits(&s, 1) == 1 && inflate_bits(&s, 2) == 1;
    if (header >> 8 != 0x78 || header % 31 != 0 || !fixed)
        return SIZE_MAX;
    for (;;) {
        const unsigned symbol = inflate_symbol(&s);
        if (s.broken || symbol == 256)
            break;
        if (symbol > 256)
            inflate_match(&s, symbol);
        else if (s.made < capacity)
            out[s.made++] = (uint8_t)symbol;
        else
            s.broken = true;
    }
    s.at = (s.at + 7) / 8 * 8;
    uint32_t check = 0, a = 1, b = 0;
    for (unsigned i = 0; i < 4; i++)
        check = check << 8 | inflate_bits(&s, 8);
    for (size_t i = 0; i < s.made; i++) {
        a = (a + out[i]) % 65521;
        b = (b + a) % 65521;
    }
    return s.broken || s.at != 8 * length || check != (b << 16 | a) ? SIZE_MAX : s.made;
}

#endif
