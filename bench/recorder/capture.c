// SPDX-License-Identifier: MIT
#include "capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common.h"
#include "wire.h"

static void put_bytes(uint8_t *at, uint64_t value, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_bytes(const uint8_t *at, unsigned count)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < count; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

// ---- writing -----------------------------------------------------------------------------------

bool capture_create(struct capture *capture, const char *path)
{
    *capture = (struct capture){.path = path};
    capture->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (capture->fd < 0 && errno == EEXIST)
        complain("%s exists already: choose another run=", path);
    else if (capture->fd < 0)
        complain_write(path);
    return capture->fd >= 0;
}

static bool append(struct capture *capture, const void *bytes, size_t length)
{
    if (!write_all(capture->fd, bytes, length)) {
        complain_write(capture->path);
        return false;
    }
    capture->crc = wire_crc32c(capture->crc, bytes, length);
    capture->bytes += length;
    return true;
}

bool capture_add(struct capture *capture, enum capture_type type, const void *payload,
                 size_t length)
{
    uint8_t header[CAPTURE_HEADER_BYTES], check[4];
    header[0] = (uint8_t)type;
    put_bytes(header + 1, length, 4);
    put_bytes(check, wire_crc32c(wire_crc32c(0, header, sizeof(header)), payload, length), 4);
    return append(capture, header, sizeof(header)) && append(capture, payload, length) &&
           append(capture, check, sizeof(check));
}

bool capture_finish(struct capture *capture)
{
    uint8_t totals[12];
    put_bytes(totals, capture->bytes, 8);
    put_bytes(totals + 8, capture->crc, 4);
    if (!capture_add(capture, CAPTURE_END, totals, sizeof(totals)))
        return false;
    if (fsync(capture->fd) != 0) {
        complain_write(capture->path);
        return false;
    }
    return true;
}

void capture_close(struct capture *capture)
{
    if (capture->fd >= 0)
        close(capture->fd);
    capture->fd = -1;
}

// ---- reading -----------------------------------------------------------------------------------

bool capture_open(struct capture_reader *reader, const char *path)
{
    *reader = (struct capture_reader){.file = fopen(path, "rbe")};
    if (reader->file == NULL)
        return false;
    reader->payload = memory_get(CAPTURE_PAYLOAD_MOST + 1);
    return true;
}

void capture_reader_close(struct capture_reader *reader)
{
    if (reader->file != NULL)
        fclose(reader->file);
    free(reader->payload);
    *reader = (struct capture_reader){0};
}

static bool end_is_right(struct capture_reader *reader, size_t length, uint64_t bytes, uint32_t crc)
{
    return length == 12 && get_bytes(reader->payload, 8) == bytes &&
           get_bytes(reader->payload + 8, 4) == crc && fgetc(reader->file) == EOF;
}

enum capture_status capture_read(struct capture_reader *reader, struct capture_chunk *chunk)
{
    uint8_t header[CAPTURE_HEADER_BYTES], check[4];
    const uint64_t bytes_before = reader->bytes;
    const uint32_t crc_before = reader->crc;
    if (fread(header, 1, sizeof(header), reader->file) != sizeof(header))
        return CAPTURE_TRUNCATED;
    const size_t length = (size_t)get_bytes(header + 1, 4);
    if (header[0] < CAPTURE_BEGIN || header[0] > CAPTURE_AGAIN || length > CAPTURE_PAYLOAD_MOST)
        return CAPTURE_DAMAGED;
    if (fread(reader->payload, 1, length, reader->file) != length ||
        fread(check, 1, sizeof(check), reader->file) != sizeof(check))
        return CAPTURE_TRUNCATED;
    const uint32_t crc =
        wire_crc32c(wire_crc32c(0, header, sizeof(header)), reader->payload, length);
    if (crc != get_bytes(check, 4))
        return CAPTURE_DAMAGED;
    reader->payload[length] = '\0';
    reader->bytes += sizeof(header) + length + sizeof(check);
    reader->crc = wire_crc32c(reader->crc, header, sizeof(header));
    reader->crc = wire_crc32c(reader->crc, reader->payload, length);
    reader->crc = wire_crc32c(reader->crc, check, sizeof(check));
    *chunk = (struct capture_chunk){header[0], reader->payload, length};
    if (header[0] != CAPTURE_END)
        return CAPTURE_CHUNK;
    return end_is_right(reader, length, bytes_before, crc_before) ? CAPTURE_WHOLE : CAPTURE_DAMAGED;
}
