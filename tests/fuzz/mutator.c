// SPDX-License-Identifier: MIT
#include "mutator.h"

#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "record.h"
#include "wire.h"

#define PIECES_MOST  4096u
#define STREAM_MOST  (1u << 20)
#define ROUNDS_MOST  4u
#define HEADER_FIELD 8u // kinds of changes to a header

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

struct piece {
    struct wire_header header;
    uint8_t payload[WIRE_PAYLOAD_MOST];
    bool frame; // else what stands in `payload` was no frame: kept as noise
    size_t length;
};

static struct line {
    struct piece *pieces;
    size_t count;
} line;

static struct random chance;

static uint64_t below(uint64_t limit)
{
    return random_below(&chance, limit);
}

// ---- apart --------------------------------------------------------------------------------------

static void take_frame(void *context, const struct wire_header *header, const uint8_t *payload)
{
    (void)context;
    if (line.count == PIECES_MOST)
        return;
    struct piece *piece = &line.pieces[line.count++];
    *piece = (struct piece){.header = *header, .frame = true, .length = header->length};
    memcpy(piece->payload, payload, header->length);
}

static void take_noise(void *context, const char *text, size_t length)
{
    (void)context;
    if (line.count == PIECES_MOST)
        return;
    struct piece *piece = &line.pieces[line.count++];
    *piece = (struct piece){.length = length < WIRE_PAYLOAD_MOST ? length : WIRE_PAYLOAD_MOST};
    memcpy(piece->payload, text, piece->length);
}

static void take_apart(const uint8_t *data, size_t size)
{
    static struct wire_decoder decoder;
    if (line.pieces == NULL)
        line.pieces = malloc(PIECES_MOST * sizeof(*line.pieces));
    line.count = 0;
    wire_decoder_init(&decoder, (struct wire_sink){NULL, take_frame, take_noise});
    wire_decode(&decoder, data, size);
    wire_decoder_finish(&decoder);
}

// ---- changed ------------------------------------------------------------------------------------

static void change_payload(struct piece *piece)
{
    piece->length = LLVMFuzzerMutate(piece->payload, piece->length, WIRE_PAYLOAD_MOST);
}

static void change_header(struct piece *piece)
{
    struct wire_header *header = &piece->header;
    switch (below(HEADER_FIELD)) {
    case 0:
        header->type = (uint8_t)below(14);
        break;
    case 1:
        header->channel = (uint8_t)below(WIRE_CHANNELS + 1);
        break;
    case 2:
        header->session ^= 1u << below(32);
        break;
    case 3:
        header->sequence = (uint32_t)random_u64(&chance);
        break;
    case 4:
        header->offset = (uint32_t)(header->offset + below(2048) - 1024);
        break;
    case 5:
        header->offset = (uint32_t)random_u64(&chance);
        break;
    case 6:
        header->version = (uint8_t)below(3);
        break;
    default:
        header->flags = (uint8_t)below(2);
    }
}

static void move_piece(size_t from, size_t to)
{
    const struct piece kept = line.pieces[from];
    if (from < to)
        memmove(&line.pieces[from], &line.pieces[from + 1], (to - from) * sizeof(kept));
    else
        memmove(&line.pieces[to + 1], &line.pieces[to], (from - to) * sizeof(kept));
    line.pieces[to] = kept;
}

static void remove_piece(size_t which)
{
    move_piece(which, line.count - 1);
    line.count--;
}

static void repeat_piece(size_t which)
{
    if (line.count == PIECES_MOST)
        return;
    line.pieces[line.count] = line.pieces[which];
    move_piece(line.count++, below(line.count));
}

static void change_once(void)
{
    const size_t which = below(line.count);
    switch (below(8)) {
    case 0:
        change_header(&line.pieces[which]);
        break;
    case 1:
        remove_piece(which);
        break;
    case 2:
        repeat_piece(which);
        break;
    case 3:
        move_piece(which, below(line.count));
        break;
    default:
        change_payload(&line.pieces[which]);
    }
}

// ---- repaired -----------------------------------------------------------------------------------

// END with the digest of what the pieces come to, so that a change of the results does not stop at
// its check.
static void repair_end(void)
{
    static uint8_t stream[STREAM_MOST];
    size_t length = 0;
    memset(stream, 0, sizeof(stream));
    for (size_t i = 0; i < line.count; i++) {
        const struct piece *piece = &line.pieces[i];
        if (!piece->frame || piece->header.type != WIRE_DATA ||
            piece->header.offset > STREAM_MOST - WIRE_PAYLOAD_MOST)
            continue;
        memcpy(stream + piece->header.offset, piece->payload, piece->length);
        const size_t end = piece->header.offset + piece->length;
        length = end > length ? end : length;
    }
    for (size_t i = 0; i < line.count; i++) {
        struct piece *piece = &line.pieces[i];
        struct record_writer end;
        if (!piece->frame || piece->header.type != WIRE_END)
            continue;
        record_writer_init(&end, piece->payload, sizeof(piece->payload));
        record_put_u64(&end, below(8) > 0);
        record_put_u64(&end, length);
        record_put_u64(&end, wire_crc32c(0, stream, length));
        record_put_u64(&end, record_hash(RECORD_HASH_START, stream, length));
        for (unsigned k = 0; k < WIRE_CHANNELS * 3; k++)
            record_put_u64(&end, k % 3 == 2 ? 0 : 2 * length + line.count);
        piece->length = end.length;
    }
}

// Pieces of results that follow each other, whatever became of their lengths.
static void repair_offsets(void)
{
    uint32_t offset = 0;
    for (size_t i = 0; i < line.count; i++) {
        struct piece *piece = &line.pieces[i];
        if (!piece->frame || piece->header.type != WIRE_DATA)
            continue;
        piece->header.offset = offset;
        offset += (uint32_t)piece->length;
    }
}

static size_t put_together(uint8_t *data, size_t most)
{
    uint8_t frame[WIRE_FRAME_MOST];
    size_t size = 0;
    for (size_t i = 0; i < line.count; i++) {
        struct piece *piece = &line.pieces[i];
        piece->header.length = (uint16_t)piece->length;
        const size_t length =
            piece->frame ? wire_encode(&piece->header, piece->payload, frame) : piece->length;
        if (size + length > most)
            break;
        memcpy(data + size, piece->frame ? frame : piece->payload, length);
        size += length;
    }
    return size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    chance = random_seeded(seed);
    if (below(8) == 0)
        return LLVMFuzzerMutate(data, size, most);
    take_apart(data, size);
    if (line.count == 0)
        return LLVMFuzzerMutate(data, size, most);
    for (uint64_t rounds = 1 + below(ROUNDS_MOST); rounds > 0 && line.count > 0; rounds--)
        change_once();
    if (below(2) == 0)
        repair_offsets();
    if (below(4) > 0)
        repair_end();
    const size_t made = put_together(data, most);
    return made > 0 ? made : LLVMFuzzerMutate(data, size, most);
}
