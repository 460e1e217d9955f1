// SPDX-License-Identifier: MIT
// The decoder: any bytes, fed at once and one by one, give the same frames and the same counts;
// what it takes for a frame can be encoded to that frame again; noise is printable.
#include <stdlib.h>
#include <string.h>

#include "wire.h"

struct heard {
    uint32_t hash;
    uint64_t noise;
};

static void check(bool right)
{
    if (!right)
        abort();
}

// Encoded again, it is decoded to itself.
static void take_again(void *context, const struct wire_header *header, const uint8_t *payload)
{
    uint32_t *hash = context;
    *hash = wire_crc32c(wire_crc32c(0, header, sizeof(*header)), payload, header->length);
}

static void take_frame(void *context, const struct wire_header *header, const uint8_t *payload)
{
    struct heard *heard = context;
    static struct wire_decoder decoder;
    uint8_t frame[WIRE_FRAME_MOST];
    uint32_t again = 0, hash = 0;
    check(header->length <= WIRE_PAYLOAD_MOST && header->channel < WIRE_CHANNELS);
    const size_t length = wire_encode(header, payload, frame);
    check(length <= WIRE_FRAME_MOST);
    wire_decoder_init(&decoder, (struct wire_sink){&again, take_again, NULL});
    wire_decode(&decoder, frame, length);
    take_again(&hash, header, payload);
    check(decoder.counts.frames == 1 && again == hash);
    heard->hash = wire_crc32c(heard->hash, &hash, sizeof(hash));
}

static void take_noise(void *context, const char *text, size_t length)
{
    struct heard *heard = context;
    check(length > 0 && length <= WIRE_FRAME_MOST);
    for (size_t i = 0; i < length; i++)
        check(text[i] == '\n' || (text[i] >= ' ' && text[i] <= '~'));
    heard->noise += length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct wire_decoder whole, single;
    struct heard at_once = {0}, one_by_one = {0};
    wire_decoder_init(&whole, (struct wire_sink){&at_once, take_frame, take_noise});
    wire_decode(&whole, data, size);
    wire_decoder_finish(&whole);
    wire_decoder_init(&single, (struct wire_sink){&one_by_one, take_frame, take_noise});
    for (size_t i = 0; i < size; i++)
        wire_decode(&single, data + i, 1);
    wire_decoder_finish(&single);
    check(memcmp(&whole.counts, &single.counts, sizeof(whole.counts)) == 0);
    check(at_once.hash == one_by_one.hash && at_once.noise == one_by_one.noise);
    check(whole.counts.bytes == size && whole.counts.noise_bytes == at_once.noise);
    return 0;
}
