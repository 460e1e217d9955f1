// SPDX-License-Identifier: MIT
// What the decoder makes of streams, for a comparison with another decoder. Standard input: each
// stream behind its length, u32 little-endian. Standard output: a line a frame, a line a stream.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "wire.h"

static void print_frame(void *context, const struct wire_header *header, const uint8_t *payload)
{
    (void)context;
    printf("%u %u %u %u %u %u %u\n", header->type, header->channel, header->session,
           header->sequence, header->offset, header->length,
           wire_crc32c(0, payload, header->length));
}

int main(void)
{
    static struct wire_decoder decoder;
    uint8_t length[4];
    while (fread(length, 1, sizeof(length), stdin) == sizeof(length)) {
        const size_t size = length[0] | (size_t)length[1] << 8 | (size_t)length[2] << 16;
        uint8_t *stream = malloc(size + 1);
        if (stream == NULL || fread(stream, 1, size, stdin) != size)
            return 1;
        wire_decoder_init(&decoder, (struct wire_sink){NULL, print_frame, NULL});
        // In two pieces: where a stream is cut must not matter.
        wire_decode(&decoder, stream, size / 3);
        wire_decode(&decoder, stream + size / 3, size - size / 3);
        wire_decoder_finish(&decoder);
        printf("noise %" PRIu64 " damaged %" PRIu64 "\n", decoder.counts.noise_bytes,
               decoder.counts.damaged);
        free(stream);
    }
    return 0;
}
