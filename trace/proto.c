// SPDX-License-Identifier: MIT
// Encoding: the Protocol Buffers documentation, "Encoding".
#include "proto.h"

enum wire_type_of_field { VARINT, FIXED64, DELIMITED };

void proto_raw(struct proto *proto, const void *bytes, size_t length)
{
    if (length > proto->capacity - proto->length)
        proto->full = true;
    if (proto->full)
        return;
    for (size_t i = 0; i < length; i++)
        proto->bytes[proto->length++] = ((const uint8_t *)bytes)[i];
}

void proto_varint(struct proto *proto, uint64_t value)
{
    uint8_t bytes[10];
    size_t length = 0;
    while (value >= 0x80) {
        bytes[length++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    bytes[length++] = (uint8_t)value;
    proto_raw(proto, bytes, length);
}

static void tag(struct proto *proto, uint32_t field, enum wire_type_of_field type)
{
    proto_varint(proto, field << 3 | type);
}

void proto_number(struct proto *proto, uint32_t field, uint64_t value)
{
    tag(proto, field, VARINT);
    proto_varint(proto, value);
}

void proto_fixed64(struct proto *proto, uint32_t field, uint64_t value)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    tag(proto, field, FIXED64);
    proto_raw(proto, bytes, sizeof(bytes));
}

void proto_bytes(struct proto *proto, uint32_t field, const void *bytes, size_t length)
{
    tag(proto, field, DELIMITED);
    proto_varint(proto, length);
    proto_raw(proto, bytes, length);
}

void proto_text(struct proto *proto, uint32_t field, const char *text)
{
    size_t length = 0;
    while (length < PROTO_TEXT_MOST && text[length] != '\0')
        length++;
    proto_bytes(proto, field, text, length);
}

size_t proto_open(struct proto *proto, uint32_t field, unsigned width)
{
    static const uint8_t room[3];
    tag(proto, field, DELIMITED);
    proto_raw(proto, room, width);
    return proto->length;
}

// A varint may be padded: its continuation bits say where it ends, not its value.
void proto_close(struct proto *proto, size_t mark, unsigned width)
{
    const size_t length = proto->length - mark;
    if (length >> (7 * width) != 0)
        proto->full = true;
    if (proto->full)
        return;
    for (unsigned i = 0; i < width; i++)
        proto->bytes[mark - width + i] =
            (uint8_t)((length >> (7 * i) & 0x7f) | (i + 1 < width ? 0x80 : 0));
}
