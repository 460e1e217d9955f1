// SPDX-License-Identifier: MIT
#include "meet.h"

#include "string.h"

#define MS_NS 1000000u

void meet_put_u32(uint8_t *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

uint32_t meet_get_u32(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

// ---- patterns ----------------------------------------------------------------------------------

void meet_pattern(uint32_t number, bool by_target, uint8_t pattern[MEET_PATTERN_BYTES])
{
    // An odd step goes through all values of a byte; the second half goes another way.
    const uint8_t step = (uint8_t)(2 * number + 1), start = by_target ? 0x55 : 0xaa;
    for (unsigned i = 0; i < MEET_PATTERN_BYTES / 2; i++) {
        pattern[i] = (uint8_t)(start + step * i);
        pattern[MEET_PATTERN_BYTES / 2 + i] = (uint8_t)~pattern[i] ^ 0x3c;
    }
}

bool meet_pattern_is_right(const struct wire_header *header, const uint8_t *payload)
{
    uint8_t pattern[MEET_PATTERN_BYTES];
    meet_pattern(header->offset, header->type == WIRE_PROBED, pattern);
    return header->length == sizeof(pattern) && memcmp(payload, pattern, sizeof(pattern)) == 0;
}

// ---- what is heard -----------------------------------------------------------------------------

static void answer_speed(struct meet *meet, uint32_t baud)
{
    uint8_t payload[MEET_SPEED_BYTES];
    if (meet_divisor(meet->line->fastest, baud) == 0)
        return;
    meet_put_u32(payload, baud);
    wire_send(&meet->sender, WIRE_CONTROL, WIRE_SPEED_TAKEN, payload, sizeof(payload));
    if (meet->line->set_speed(baud))
        meet->speed = baud;
}

static void answer_probe(struct meet *meet, const struct wire_header *header,
                         const uint8_t *payload)
{
    uint8_t pattern[MEET_PATTERN_BYTES];
    if (!meet_pattern_is_right(header, payload))
        return;
    meet_pattern(header->offset, true, pattern);
    wire_send_again(&meet->sender, WIRE_CONTROL, WIRE_PROBED, header->offset, pattern,
                    sizeof(pattern));
}

static void take_words(struct meet *meet, const struct wire_header *header, const uint8_t *payload)
{
    if (header->length > MEET_WORDS_MOST)
        return;
    for (unsigned i = 0; i < header->length; i++)
        meet->words[i] = (char)(payload[i] > ' ' && payload[i] <= '~' ? payload[i] : ' ');
    meet->words[header->length] = '\0';
    meet->started = true;
}

static void hear(void *context, const struct wire_header *header, const uint8_t *payload)
{
    struct meet *meet = context;
    // What comes behind START is none of this conversation.
    if (header->session != meet->boot || header->channel != WIRE_CONTROL || meet->started)
        return;
    if (header->type == WIRE_SPEED && header->length == MEET_SPEED_BYTES)
        answer_speed(meet, meet_get_u32(payload));
    else if (header->type == WIRE_PROBE)
        answer_probe(meet, header, payload);
    else if (header->type == WIRE_START)
        take_words(meet, header, payload);
    else
        return;
    meet->heard_ns = meet->line->clock_ns();
}

// ---- the conversation --------------------------------------------------------------------------

void meet_init(struct meet *meet, const struct meet_line *line, uint32_t boot, const void *build_id,
               size_t build_id_length)
{
    const size_t length =
        build_id_length < MEET_BUILD_ID_MOST ? build_id_length : MEET_BUILD_ID_MOST;
    *meet = (struct meet){.line = line, .boot = boot, .speed = line->speed};
    meet_put_u32(meet->call, MEET_VERSION);
    meet_put_u32(meet->call + 4, line->fastest);
    memcpy(meet->call + MEET_CALL_BYTES, build_id, length);
    meet->call_length = MEET_CALL_BYTES + length;
    wire_sender_init(&meet->sender, boot, line->write);
    wire_decoder_init(&meet->decoder, (struct wire_sink){meet, hear, NULL});
}

static void call(struct meet *meet, uint64_t now)
{
    if (meet->called_ns != 0 && now - meet->called_ns < MEET_CALL_MS * (uint64_t)MS_NS)
        return;
    meet->called_ns = now;
    meet_put_u32(meet->call + 8, meet->speed);
    wire_send(&meet->sender, WIRE_CONTROL, WIRE_CALL, meet->call, meet->call_length);
}

static void go_back(struct meet *meet)
{
    if (meet->speed != meet->line->speed && meet->line->set_speed(meet->line->speed))
        meet->speed = meet->line->speed;
}

bool meet_host(struct meet *meet, uint64_t patience_ns)
{
    const uint64_t start = meet->line->clock_ns();
    uint8_t bytes[64];
    meet->heard_ns = start;
    while (!meet->started) {
        const uint64_t now = meet->line->clock_ns();
        if (now - meet->heard_ns > MEET_LOST_MS * (uint64_t)MS_NS)
            go_back(meet);
        // A host that only talks is waited for twice as long, and no longer.
        const bool talks = now - meet->heard_ns <= MEET_LOST_MS * (uint64_t)MS_NS;
        if (now - start > patience_ns && (!talks || now - start > 2 * patience_ns))
            break;
        call(meet, now);
        wire_decode(&meet->decoder, bytes, meet->line->read(bytes, sizeof(bytes)));
    }
    if (!meet->started)
        go_back(meet);
    for (unsigned copy = 0; meet->started && copy < WIRE_COPIES; copy++)
        wire_send(&meet->sender, WIRE_CONTROL, WIRE_STARTED, NULL, 0);
    return meet->started;
}
