// SPDX-License-Identifier: MIT
// trace/wire: frames survive the way; everything else is noise and counted.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "run_checks.h"
#include "seed.h"
#include "wire.h"

// What a decoder handed on: a running hash, so that long streams compare in constant space.
struct heard {
    uint64_t frames, noise_bytes, hash;
    struct wire_header last;
    uint8_t payload[WIRE_PAYLOAD_MOST];
    char noise[256];
};

static void hear_frame(void *context, const struct wire_header *header, const uint8_t *payload)
{
    struct heard *heard = context;
    heard->frames++;
    heard->last = *header;
    memcpy(heard->payload, payload, header->length);
    heard->hash = heard->hash * 31 + wire_crc32c(header->sequence, payload, header->length);
}

static void hear_noise(void *context, const char *text, size_t length)
{
    struct heard *heard = context;
    heard->noise_bytes += length;
    snprintf(heard->noise, sizeof(heard->noise), "%.*s", (int)length, text);
    for (size_t i = 0; i < length; i++)
        ck_assert(text[i] == '\n' || (text[i] >= ' ' && text[i] <= '~'));
}

static struct wire_decoder listening(struct heard *heard)
{
    struct wire_decoder decoder;
    memset(heard, 0, sizeof(*heard));
    wire_decoder_init(&decoder, (struct wire_sink){heard, hear_frame, hear_noise});
    return decoder;
}

static uint8_t stream[1 << 20];
static size_t stream_length;

static size_t to_stream(const void *bytes, size_t length)
{
    ck_assert_uint_le(stream_length + length, sizeof(stream));
    memcpy(stream + stream_length, bytes, length);
    stream_length += length;
    return 0;
}

// Payloads that are hard for COBS: many zeros, none, runs of just 253 to 256.
static size_t awkward_payload(struct random *random, uint8_t *payload)
{
    const size_t length = random_below(random, WIRE_PAYLOAD_MOST + 1);
    const uint64_t kind = random_below(random, 4);
    for (size_t i = 0; i < length; i++) {
        const uint8_t byte = (uint8_t)random_u64(random);
        payload[i] = kind == 0   ? 0
                     : kind == 1 ? byte | 1
                     : kind == 2 ? i % (253 + random_below(random, 4)) != 0
                                 : byte;
    }
    return length;
}

START_TEST(crc_is_the_published_one)
{
    // RFC 3720, B.4: the check value of CRC-32C over 32 bytes of zeros and of ones, and
    // "123456789".
    uint8_t bytes[32] = {0};
    ck_assert_uint_eq(wire_crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    ck_assert_uint_eq(wire_crc32c(0, bytes, 32), 0x62a8ab43);
    ck_assert_uint_eq(wire_crc32c(0, "123456789", 9), 0xe3069283);
    ck_assert_uint_eq(wire_crc32c(wire_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}
END_TEST

START_TEST(every_frame_arrives_as_it_was_sent)
{
    struct random random = seeded_for("every_frame_arrives");
    struct heard heard;
    struct wire_decoder decoder = listening(&heard);
    uint8_t payload[WIRE_PAYLOAD_MOST], frame[WIRE_FRAME_MOST];
    for (unsigned i = 0; i < 3000; i++) {
        const size_t length = awkward_payload(&random, payload);
        const struct wire_header header = {.version = WIRE_VERSION,
                                           .type = (uint8_t)random_below(&random, 256),
                                           .channel = (uint8_t)random_below(&random, WIRE_CHANNELS),
                                           .session = (uint32_t)random_u64(&random),
                                           .sequence = (uint32_t)random_u64(&random),
                                           .offset = (uint32_t)random_u64(&random),
                                           .length = (uint16_t)length};
        const size_t encoded = wire_encode(&header, payload, frame);
        ck_assert_uint_le(encoded, WIRE_FRAME_MOST);
        ck_assert(frame[0] == 0 && frame[encoded - 1] == 0);
        ck_assert_ptr_null(memchr(frame + 1, 0, encoded - 2));
        wire_decode(&decoder, frame, encoded);
        ck_assert_uint_eq(heard.frames, i + 1);
        ck_assert_mem_eq(&heard.last, &header, sizeof(header));
        ck_assert_mem_eq(heard.payload, payload, length);
    }
    ck_assert_uint_eq(heard.noise_bytes, 0);
}
END_TEST

START_TEST(any_split_of_a_stream_gives_the_same_frames)
{
    struct random random = seeded_for("any_split");
    struct wire_sender sender;
    uint8_t payload[WIRE_PAYLOAD_MOST];
    stream_length = 0;
    wire_sender_init(&sender, 7, to_stream);
    for (unsigned i = 0; i < 300; i++) {
        wire_send(&sender, WIRE_RESULTS, WIRE_DATA, payload, awkward_payload(&random, payload));
        if (i % 3 == 0)
            to_stream("firmware says hello\r\n", 21);
    }
    struct heard whole, pieces;
    struct wire_decoder decoder = listening(&whole);
    wire_decode(&decoder, stream, stream_length);
    ck_assert_uint_eq(whole.frames, 300);
    for (unsigned most = 1; most < 3000; most = most * 3 + 1) {
        decoder = listening(&pieces);
        for (size_t at = 0; at < stream_length;) {
            size_t step = 1 + random_below(&random, most);
            step = step < stream_length - at ? step : stream_length - at;
            wire_decode(&decoder, stream + at, step);
            at += step;
        }
        ck_assert_uint_eq(pieces.hash, whole.hash);
        ck_assert_uint_eq(pieces.frames, whole.frames);
        ck_assert_uint_eq(pieces.noise_bytes, whole.noise_bytes);
    }
}
END_TEST

START_TEST(a_damaged_frame_is_never_handed_on)
{
    struct random random = seeded_for("damaged_frame");
    uint8_t payload[WIRE_PAYLOAD_MOST], frame[WIRE_FRAME_MOST];
    for (unsigned i = 0; i < 3000; i++) {
        struct heard heard;
        struct wire_decoder decoder = listening(&heard);
        const struct wire_header header = {.version = WIRE_VERSION,
                                           .length = (uint16_t)awkward_payload(&random, payload)};
        const size_t encoded = wire_encode(&header, payload, frame);
        const size_t at = 1 + random_below(&random, encoded - 2);
        frame[at] ^= (uint8_t)(1 + random_below(&random, 255));
        wire_decode(&decoder, frame, encoded);
        wire_decoder_finish(&decoder);
        ck_assert_uint_eq(heard.frames, 0);
        ck_assert_uint_gt(heard.noise_bytes, 0);
    }
}
END_TEST

// A bit at a time, and so that the frame keeps its shape: only the CRC can tell.
START_TEST(one_wrong_bit_of_payload_or_crc_is_noticed_by_the_crc)
{
    const char payload[] = "sixteen-letters:";
    const size_t length = sizeof(payload) - 1;
    const struct wire_header header = {
        .version = WIRE_VERSION, .type = WIRE_TEXT, .channel = WIRE_LOG, .length = length};
    uint8_t frame[WIRE_FRAME_MOST];
    struct heard heard;
    const size_t encoded = wire_encode(&header, payload, frame);
    const size_t first = encoded - 1 - WIRE_CRC_BYTES - length;
    ck_assert_mem_eq(frame + first, payload, length);
    for (size_t bit = 0; bit < 8 * (length + WIRE_CRC_BYTES); bit++) {
        struct wire_decoder decoder = listening(&heard);
        uint8_t *at = &frame[first + bit / 8];
        const uint8_t wrong = (uint8_t)(*at ^ 1u << bit % 8), right = *at;
        ck_assert_uint_ne(wrong, 0); // it would end the frame: another payload is needed
        *at = wrong;
        wire_decode(&decoder, frame, encoded);
        ck_assert_uint_eq(heard.frames, 0);
        ck_assert_uint_eq(decoder.counts.frames, 0);
        ck_assert_uint_eq(decoder.counts.damaged, 1);
        *at = right;
        wire_decode(&decoder, frame, encoded);
        ck_assert_uint_eq(heard.frames, 1);
    }
}
END_TEST

START_TEST(text_between_frames_is_noise_and_sanitised)
{
    struct heard heard;
    struct wire_decoder decoder = listening(&heard);
    struct wire_sender sender;
    stream_length = 0;
    wire_sender_init(&sender, 1, to_stream);
    to_stream("boot\x1b[2J\r\n", 10);
    wire_send(&sender, WIRE_LOG, WIRE_TEXT, "hello", 5);
    to_stream("late", 4);
    wire_decode(&decoder, stream, stream_length);
    ck_assert_uint_eq(heard.frames, 1);
    ck_assert_str_eq(heard.noise, "boot.[2J.\n");
    wire_decoder_finish(&decoder);
    ck_assert_str_eq(heard.noise, "late");
    ck_assert_uint_eq(decoder.counts.noise_bytes, 14);
}
END_TEST

START_TEST(endless_noise_stays_bounded_and_the_next_frame_is_found)
{
    struct heard heard;
    struct wire_decoder decoder = listening(&heard);
    struct wire_sender sender;
    for (unsigned i = 0; i < 100000; i++)
        wire_decode(&decoder, "x", 1);
    ck_assert_uint_le(decoder.length, WIRE_FRAME_MOST);
    stream_length = 0;
    wire_sender_init(&sender, 1, to_stream);
    wire_send(&sender, WIRE_LOG, WIRE_TEXT, "found", 5);
    wire_decode(&decoder, stream, stream_length);
    ck_assert_uint_eq(heard.frames, 1);
    ck_assert_uint_eq(heard.noise_bytes, 100000);
}
END_TEST

START_TEST(a_header_out_of_range_is_refused_whatever_its_crc)
{
    const struct wire_header wrong[] = {
        {.version = WIRE_VERSION + 1},
        {.version = WIRE_VERSION, .channel = WIRE_CHANNELS},
        {.version = WIRE_VERSION, .flags = 1},
        {.version = WIRE_VERSION, .reserved = 1},
    };
    uint8_t frame[WIRE_FRAME_MOST];
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct heard heard;
        struct wire_decoder decoder = listening(&heard);
        wire_decode(&decoder, frame, wire_encode(&wrong[i], "", frame));
        ck_assert_uint_eq(heard.frames, 0);
        ck_assert_uint_eq(decoder.counts.damaged, 1);
    }
}
END_TEST

START_TEST(a_long_payload_becomes_frames_that_continue_each_other)
{
    static uint8_t payload[5000];
    struct heard heard;
    struct wire_decoder decoder = listening(&heard);
    struct wire_sender sender;
    stream_length = 0;
    wire_sender_init(&sender, 9, to_stream);
    wire_send(&sender, WIRE_RESULTS, WIRE_DATA, payload, sizeof(payload));
    wire_decode(&decoder, stream, stream_length);
    ck_assert_uint_eq(heard.frames, 5);
    ck_assert_uint_eq(heard.last.sequence, 4);
    ck_assert_uint_eq(heard.last.offset, 4096);
    ck_assert_uint_eq(heard.last.length, 904);
    ck_assert_uint_eq(heard.last.session, 9);
    ck_assert_uint_eq(sender.offset[WIRE_RESULTS], 5000);
    ck_assert_uint_eq(sender.offset[WIRE_LOG], 0);
}
END_TEST

START_TEST(an_empty_payload_is_one_frame)
{
    struct heard heard;
    struct wire_decoder decoder = listening(&heard);
    struct wire_sender sender;
    stream_length = 0;
    wire_sender_init(&sender, 9, to_stream);
    wire_send(&sender, WIRE_CONTROL, WIRE_ACK, NULL, 0);
    wire_decode(&decoder, stream, stream_length);
    ck_assert_uint_eq(heard.frames, 1);
    ck_assert_uint_eq(heard.last.length, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wire");
    TCase *tests = tcase_create("frames");
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, crc_is_the_published_one);
    tcase_add_test(tests, every_frame_arrives_as_it_was_sent);
    tcase_add_test(tests, any_split_of_a_stream_gives_the_same_frames);
    tcase_add_test(tests, a_damaged_frame_is_never_handed_on);
    tcase_add_test(tests, one_wrong_bit_of_payload_or_crc_is_noticed_by_the_crc);
    tcase_add_test(tests, text_between_frames_is_noise_and_sanitised);
    tcase_add_test(tests, endless_noise_stays_bounded_and_the_next_frame_is_found);
    tcase_add_test(tests, a_header_out_of_range_is_refused_whatever_its_crc);
    tcase_add_test(tests, a_long_payload_becomes_frames_that_continue_each_other);
    tcase_add_test(tests, an_empty_payload_is_one_frame);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
