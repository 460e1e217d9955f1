// SPDX-License-Identifier: MIT
#include "listen.h"

#include "platform.h"

static void ask_for(struct listener *listener, struct listen_range range)
{
    // The host asks again when an answer is late: one answer serves both requests.
    for (uint32_t i = 0; i < listener->range_count; i++) {
        if (listener->ranges[i].offset == range.offset) {
            listener->ranges[i] = range;
            return;
        }
    }
    if (listener->range_count < LISTEN_RANGES_MOST)
        listener->ranges[listener->range_count++] = range;
}

static uint32_t get_u32(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void hear(void *context, const struct wire_header *header, const uint8_t *payload)
{
    struct listener *listener = context;
    const bool results = header->channel == WIRE_RESULTS;
    if (header->session != listener->session || header->channel > WIRE_RESULTS)
        return;
    if (header->type == WIRE_ACK && results)
        listener->whole = header->offset > listener->whole ? header->offset : listener->whole;
    else if (header->type == WIRE_RESEND && results && header->length == 4)
        ask_for(listener, (struct listen_range){header->offset, get_u32(payload)});
    else if (header->type == WIRE_RESEND && !results)
        listener->control_asked = true;
    else if (header->type != WIRE_ACK)
        return;
    listener->heard++;
}

void listen_init(struct listener *listener, uint32_t session)
{
    *listener = (struct listener){.session = session};
    wire_decoder_init(&listener->decoder, (struct wire_sink){listener, hear, NULL});
}

size_t listen_now(struct listener *listener)
{
    uint8_t bytes[64];
    size_t length, taken = 0;
    while (taken < LISTEN_BYTES_MOST && (length = platform_line_read(bytes, sizeof(bytes))) > 0) {
        wire_decode(&listener->decoder, bytes, length);
        taken += length;
    }
    return taken;
}
