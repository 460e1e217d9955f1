// SPDX-License-Identifier: MIT
// Writes the wire format of Protocol Buffers into memory of the caller: varints, fixed 64-bit
// numbers, bytes, nested messages.
//
// When something does not fit, `full` stays set and nothing more is written: whoever opens a packet
// looks at it before sending. Threads: one writer belongs to one thread.
#ifndef PROTO_H
#define PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROTO_TEXT_MOST 255u

struct proto {
    uint8_t *bytes;
    size_t capacity, length;
    bool full;
};

static inline struct proto proto_into(void *bytes, size_t capacity)
{
    return (struct proto){.bytes = bytes, .capacity = capacity};
}

void proto_raw(struct proto *proto, const void *bytes, size_t length);
void proto_varint(struct proto *proto, uint64_t value);

// Fields of their three wire types. Signed numbers are given as two's complement.
void proto_number(struct proto *proto, uint32_t field, uint64_t value);
void proto_fixed64(struct proto *proto, uint32_t field, uint64_t value);
void proto_bytes(struct proto *proto, uint32_t field, const void *bytes, size_t length);
// At most PROTO_TEXT_MOST characters of the text; they must be UTF-8, which ASCII is.
void proto_text(struct proto *proto, uint32_t field, const char *text);

// A nested message is everything written between open and close. Its length is filled in at close:
// `width` bytes are kept free for it, 1 (below 128 bytes) to 3 (below 2 MiB). Returns the mark that
// close wants back. A message too long for its width makes the writer full.
size_t proto_open(struct proto *proto, uint32_t field, unsigned width);
void proto_close(struct proto *proto, size_t mark, unsigned width);

#endif
