// SPDX-License-Identifier: MIT
#include "wire.h"

// ---- CRC-32C ------------------------------------------------------------------------------------

// One table entry: the remainder of `index` followed by eight zero bits. A macro chain keeps the
// table a constant, so that the panic path needs no initialisation.
#define CRC_STEP(c)  (((c) >> 1) ^ (0x82f63b78u & (0u - ((c)&1u))))
#define CRC_STEP4(c) CRC_STEP(CRC_STEP(CRC_STEP(CRC_STEP((uint32_t)(c)))))
#define CRC_NIBBLES                                                                                \
    CRC_STEP4(0), CRC_STEP4(1), CRC_STEP4(2), CRC_STEP4(3), CRC_STEP4(4), CRC_STEP4(5),            \
        CRC_STEP4(6), CRC_STEP4(7), CRC_STEP4(8), CRC_STEP4(9), CRC_STEP4(10), CRC_STEP4(11),      \
        CRC_STEP4(12), CRC_STEP4(13), CRC_STEP4(14), CRC_STEP4(15)

static const uint32_t crc_nibble[16] = {CRC_NIBBLES};

uint32_t wire_crc32c(uint32_t crc, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    crc = ~crc;
    for (size_t i = 0; i < length; i++) {
        crc ^= at[i];
        crc = crc >> 4 ^ crc_nibble[crc & 15];
        crc = crc >> 4 ^ crc_nibble[crc & 15];
    }
    return ~crc;
}

// ---- bytes of the header ------------------------------------------------------------------------

static void put_u16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static void put_u32(uint8_t *at, uint32_t value)
{
    put_u16(at, (uint16_t)value);
    put_u16(at + 2, (uint16_t)(value >> 16));
}

static uint16_t get_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t get_u32(const uint8_t *at)
{
    return get_u16(at) | (uint32_t)get_u16(at + 2) << 16;
}

static void put_header(uint8_t *at, const struct wire_header *header)
{
    at[0] = header->version;
    at[1] = header->type;
    at[2] = header->channel;
    at[3] = header->flags;
    put_u32(at + 4, header->session);
    put_u32(at + 8, header->sequence);
    put_u32(at + 12, header->offset);
    put_u16(at + 16, header->length);
    put_u16(at + 18, header->reserved);
}

static struct wire_header get_header(const uint8_t *at)
{
    return (struct wire_header){.version = at[0],
                                .type = at[1],
                                .channel = at[2],
                                .flags = at[3],
                                .session = get_u32(at + 4),
                                .sequence = get_u32(at + 8),
                                .offset = get_u32(at + 12),
                                .length = get_u16(at + 16),
                                .reserved = get_u16(at + 18)};
}

// ---- COBS ---------------------------------------------------------------------------------------
// Consistent Overhead Byte Stuffing (Cheshire and Baker, IEEE/ACM Transactions on Networking 7(2),
// 1999): each code byte says how far the next zero is; 0xff: 254 bytes without one.

struct stuffer {
    uint8_t *out;
    size_t length; // written, code bytes included
    size_t code;   // where the open code byte stands
};

static void stuff(struct stuffer *stuffer, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != 0)
            stuffer->out[stuffer->length++] = bytes[i];
        const size_t distance = stuffer->length - stuffer->code;
        if (bytes[i] == 0 || distance == 0xff) {
            stuffer->out[stuffer->code] = (uint8_t)distance;
            stuffer->code = stuffer->length++;
        }
    }
}

// Works in place: what is written never overtakes what is read. Returns the plain length, or
// SIZE_MAX if the code is broken.
static size_t unstuff(uint8_t *bytes, size_t length)
{
    size_t in = 0, out = 0;
    while (in < length) {
        const size_t code = bytes[in++];
        if (code == 0 || in + code - 1 > length)
            return SIZE_MAX;
        for (size_t i = 1; i < code; i++)
            bytes[out++] = bytes[in++];
        if (code != 0xff && in < length)
            bytes[out++] = 0;
    }
    return out;
}

// ---- encoding -----------------------------------------------------------------------------------

size_t wire_encode(const struct wire_header *header, const void *payload,
                   uint8_t frame[WIRE_FRAME_MOST])
{
    uint8_t plain[WIRE_HEADER_BYTES], check[WIRE_CRC_BYTES];
    put_header(plain, header);
    put_u32(check, wire_crc32c(wire_crc32c(0, plain, sizeof(plain)), payload, header->length));

    frame[0] = 0;
    struct stuffer stuffer = {.out = frame, .length = 2, .code = 1};
    stuff(&stuffer, plain, sizeof(plain));
    stuff(&stuffer, payload, header->length);
    stuff(&stuffer, check, sizeof(check));
    frame[stuffer.code] = (uint8_t)(stuffer.length - stuffer.code);
    frame[stuffer.length++] = 0;
    return stuffer.length;
}

void wire_sender_init(struct wire_sender *sender, uint32_t session,
                      size_t (*write)(const void *bytes, size_t length))
{
    sender->write = write;
    sender->session = session;
    for (unsigned i = 0; i < WIRE_CHANNELS; i++)
        sender->sequence[i] = sender->offset[i] = sender->dropped[i] = 0;
}

void wire_send_again(struct wire_sender *sender, enum wire_channel channel, enum wire_type type,
                     uint32_t offset, const void *payload, size_t length)
{
    const uint8_t *at = payload;
    do {
        const size_t piece = length < WIRE_PAYLOAD_MOST ? length : WIRE_PAYLOAD_MOST;
        const struct wire_header header = {.version = WIRE_VERSION,
                                           .type = (uint8_t)type,
                                           .channel = (uint8_t)channel,
                                           .session = sender->session,
                                           .sequence = sender->sequence[channel]++,
                                           .offset = offset,
                                           .length = (uint16_t)piece};
        const size_t length_coded = wire_encode(&header, at, sender->frame);
        sender->dropped[channel] += sender->write(sender->frame, length_coded) > 0;
        offset += (uint32_t)piece;
        at += piece;
        length -= piece;
    } while (length > 0);
}

void wire_send(struct wire_sender *sender, enum wire_channel channel, enum wire_type type,
               const void *payload, size_t length)
{
    wire_send_again(sender, channel, type, sender->offset[channel], payload, length);
    sender->offset[channel] += (uint32_t)length;
}

// ---- decoding -----------------------------------------------------------------------------------

void wire_decoder_init(struct wire_decoder *decoder, struct wire_sink sink)
{
    decoder->sink = sink;
    decoder->counts = (struct wire_counts){0};
    decoder->length = 0;
    decoder->overlong = false;
}

static void give_noise(struct wire_decoder *decoder)
{
    decoder->counts.noise_bytes += decoder->length;
    for (size_t i = 0; i < decoder->length; i++) {
        const uint8_t c = decoder->gathered[i];
        if (c != '\n' && (c < 0x20 || c > 0x7e))
            decoder->gathered[i] = '.';
    }
    if (decoder->sink.noise != NULL && decoder->length > 0)
        decoder->sink.noise(decoder->sink.context, (const char *)decoder->gathered,
                            decoder->length);
    decoder->length = 0;
}

static bool plausible(const struct wire_header *header, size_t plain_length)
{
    return header->version == WIRE_VERSION && header->channel < WIRE_CHANNELS &&
           header->flags == 0 && header->reserved == 0 && header->length <= WIRE_PAYLOAD_MOST &&
           plain_length == WIRE_HEADER_BYTES + header->length + WIRE_CRC_BYTES;
}

// Decodes a copy, so that what turns out to be text can still be shown as it came.
static bool give_frame(struct wire_decoder *decoder)
{
    uint8_t plain[WIRE_FRAME_MOST];
    for (size_t i = 0; i < decoder->length; i++)
        plain[i] = decoder->gathered[i];
    const size_t length = unstuff(plain, decoder->length);
    if (length == SIZE_MAX || length < WIRE_HEADER_BYTES + WIRE_CRC_BYTES)
        return false;
    const size_t checked = length - WIRE_CRC_BYTES;
    const struct wire_header header = get_header(plain);
    if (wire_crc32c(0, plain, checked) != get_u32(plain + checked) || !plausible(&header, length)) {
        decoder->counts.damaged++;
        return false;
    }
    decoder->counts.frames++;
    decoder->length = 0;
    decoder->sink.frame(decoder->sink.context, &header, plain + WIRE_HEADER_BYTES);
    return true;
}

static void end_piece(struct wire_decoder *decoder)
{
    if (decoder->length > 0 && (decoder->overlong || !give_frame(decoder)))
        give_noise(decoder);
    decoder->overlong = false;
}

void wire_decode(struct wire_decoder *decoder, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    decoder->counts.bytes += length;
    for (size_t i = 0; i < length; i++) {
        if (at[i] == 0) {
            end_piece(decoder);
            continue;
        }
        if (decoder->length == sizeof(decoder->gathered)) {
            decoder->overlong = true;
            give_noise(decoder);
        }
        decoder->gathered[decoder->length++] = at[i];
    }
}

void wire_decoder_finish(struct wire_decoder *decoder)
{
    give_noise(decoder);
    decoder->overlong = false;
}
