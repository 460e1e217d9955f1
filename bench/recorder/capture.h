// SPDX-License-Identifier: MIT
// The capture of a (run, machine): stream.bin, from which alone everything in the store can be made
// again.
//
// A capture is a sequence of chunks:
//
//   type u8 | length u32 | payload | CRC-32C u32 over type, length and payload     (little-endian)
//
//   begin   the first chunk: lines key=value; the first is capture=1 (the format's version), then
//           run, target, machine, clock (asked for, may be empty), utc, commit, dirty, size, boots
//           (planned), then each fact gathered on the host as fact:KEY=VALUE
//   boot    a boot starts: boot index u32, session u32, then the target's command line
//   again   the machine started by itself in the middle: session u32 from here on, and this boot is
//           measured anew. What came before counts no more.
//   line    bytes as they came over the line, at most CAPTURE_PAYLOAD_MOST a chunk
//   note    text that is not from the line: what the target's process printed, the recorder's own
//           report of a failure. Shown, never stored.
//   ended   the boot is over: outcome u8 (enum outcome), then the detail, one line
//   end     the last chunk: bytes before it u64, CRC-32C over them u32
//
// Order: begin, (boot, (line | note | again)*, ended)*, end. A capture without `end` is that of a
// recorder that was stopped; it belongs to no stored run.
#ifndef CAPTURE_H
#define CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CAPTURE_VERSION      1
#define CAPTURE_PAYLOAD_MOST (1u << 20)
#define CAPTURE_HEADER_BYTES 5u

enum capture_type {
    CAPTURE_BEGIN = 1,
    CAPTURE_BOOT,
    CAPTURE_LINE,
    CAPTURE_NOTE,
    CAPTURE_ENDED,
    CAPTURE_END,
    CAPTURE_AGAIN,
};

// ---- writing -----------------------------------------------------------------------------------

struct capture {
    int fd;
    const char *path; // for complaints; the caller's
    uint64_t bytes;   // written
    uint32_t crc;     // of all of them
};

// Makes the file; it must not exist. False after one line of complaint.
bool capture_create(struct capture *capture, const char *path);

// Appends a chunk; length at most CAPTURE_PAYLOAD_MOST. False after one line of complaint; the file
// may then end in half a chunk.
bool capture_add(struct capture *capture, enum capture_type type, const void *payload,
                 size_t length);

// Writes the `end` chunk and makes the file durable. False after one line of complaint.
bool capture_finish(struct capture *capture);

// Closes the file, whole or not.
void capture_close(struct capture *capture);

// ---- reading -----------------------------------------------------------------------------------

struct capture_chunk {
    enum capture_type type;
    const uint8_t *payload; // valid until the next chunk is read; a zero byte follows it
    size_t length;
};

enum capture_status {
    CAPTURE_CHUNK,     // `chunk` is filled
    CAPTURE_WHOLE,     // `end` was read, its totals are right, nothing follows
    CAPTURE_TRUNCATED, // the file ends without `end`
    CAPTURE_DAMAGED,   // a byte is not what was written
};

struct capture_reader {
    FILE *file;
    uint8_t *payload;
    uint64_t bytes; // read
    uint32_t crc;
};

// False, errno set, if the file cannot be opened.
bool capture_open(struct capture_reader *reader, const char *path);
enum capture_status capture_read(struct capture_reader *reader, struct capture_chunk *chunk);
void capture_reader_close(struct capture_reader *reader);

#endif
