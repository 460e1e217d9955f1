// SPDX-License-Identifier: MIT
// Frames of the serial line, both ends: 00 | COBS(header, payload, CRC-32C) | 00.
//
// One stream carries log text, result tables, results and traces from a target to the recorder, and
// a few control frames back. A frame is whole and checked, or it is noise: what stands between two
// zeros and fails its check is handed on as bounded, sanitised text (firmware chatter, an early
// panic) and counted.
//
// Threads: a sender and a decoder belong to one thread each. Memory: both are plain objects of the
// caller; nothing is allocated.
//
// The conversation. The results are one stream of bytes that the target keeps whole; a DATA frame
// says where its piece belongs, so pieces may come twice and in any order.
//   target  HELLO, DATA ..., END: totals of each channel and the digest of the results
//   host    ACK of control      after each HELLO: somebody listens, there is a way back
//           RESEND of control   HELLO did not come (its frames do): the target sends HELLO again,
//                               and END if it is out
//           RESEND of results   for each gap: the target sends that range again
//           ACK of results      after each END, once HELLO and all of the results are there
// The target listens between benchmarks, never inside a measured window, and after END until the
// results are acknowledged. Until then it repeats END a few times a second: a lost END, ACK or
// RESEND costs a moment and nothing else. It gives up when nothing was heard for a while, and in
// any case after a fixed number of tries (bench/framework/answer.h has the numbers).
// A target that never heard anything, with END out and some time gone, takes the line for one that
// leads one way only: it sends HELLO, the results and END two times more and ends. The last words
// of a target that panics or refuses are sent three times from the start: nobody is there any more
// to answer. Log and trace are lossy: END says how many frames there were, and the host counts
// those that did not come.
// Frames that only a target sends prove nothing to a target: a line may echo.
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_VERSION      1
#define WIRE_HEADER_BYTES 20u
#define WIRE_CRC_BYTES    4u
#define WIRE_PAYLOAD_MOST 1024u
#define WIRE_PLAIN_MOST   (WIRE_HEADER_BYTES + WIRE_PAYLOAD_MOST + WIRE_CRC_BYTES)
// COBS adds one byte for each 254 begun, and the frame has a zero at either end.
#define WIRE_FRAME_MOST (WIRE_PLAIN_MOST + WIRE_PLAIN_MOST / 254 + 1 + 2)

enum wire_channel {
    WIRE_CONTROL, // HELLO, END, PANIC and the host's answers
    WIRE_RESULTS, // one reliable stream of bytes: records of record.h, `offset` is the position
    WIRE_TRACE,   // lossy, counted
    WIRE_LOG,     // lossy, counted: text
    WIRE_CHANNELS,
};

enum wire_type {
    WIRE_HELLO = 1,   // control: who speaks (record.h)
    WIRE_END = 2,     // control: totals and the digest of the results
    WIRE_PANIC = 3,   // control: what happened, registers
    WIRE_STACK = 4,   // control: a raw piece of the panicked stack; `offset` counts from RSP
    WIRE_REFUSED = 5, // control: text: why the target will not measure
    WIRE_DATA = 6,    // results: bytes of the stream at `offset`
    WIRE_TEXT = 7,    // log: text
    WIRE_TABLE = 8,   // log: text of a result table
    // Host to target; the channel says what of.
    WIRE_ACK = 9,      // control: HELLO came. results: END came, they are whole up to `offset`
    WIRE_RESEND = 10,  // control: HELLO, and END if it is out. results: as many bytes from `offset`
                       // on as the payload says, u32 little-endian
    WIRE_PACKETS = 11, // trace: packets of Perfetto; a piece begins that is whole or useless
    WIRE_PACKETS_MORE = 12, // trace: the same piece goes on
    // Before a run, between two that did not start each other (meet.h); all of control.
    WIRE_CALL = 13,        // target: is a recorder there?
    WIRE_SPEED = 14,       // host: go to this speed
    WIRE_SPEED_TAKEN = 15, // target: with the next frame it will be there
    WIRE_PROBE = 16,       // host: a pattern, at the new speed
    WIRE_PROBED = 17,      // target: it came, and here is one back
    WIRE_START = 18,       // host: text: words for the target's command line
    WIRE_STARTED = 19,     // target: they came
};

// How often results and END go over a line without a way back, and last words over any line.
#define WIRE_COPIES 3u

struct wire_header {
    uint8_t version;   // WIRE_VERSION
    uint8_t type;      // enum wire_type
    uint8_t channel;   // enum wire_channel
    uint8_t flags;     // 0
    uint32_t session;  // chosen by the host, so that an older line is never taken for this run
    uint32_t sequence; // counts frames of the channel
    uint32_t offset;   // position of the payload in the channel's stream
    uint16_t length;   // of the payload, at most WIRE_PAYLOAD_MOST
    uint16_t reserved; // 0
};

// CRC-32C (Castagnoli, reflected 0x82f63b78). Start with crc = 0; feed pieces in order.
uint32_t wire_crc32c(uint32_t crc, const void *bytes, size_t length);

// Encodes one frame with both zeros into `frame`; returns its length. header->length bytes of
// payload are read.
size_t wire_encode(const struct wire_header *header, const void *payload,
                   uint8_t frame[WIRE_FRAME_MOST]);

// ---- sending -----------------------------------------------------------------------------------

struct wire_sender {
    // Returns when all bytes are out or given up, and how many were given up.
    size_t (*write)(const void *bytes, size_t length);
    uint32_t session;
    uint32_t sequence[WIRE_CHANNELS];
    uint32_t offset[WIRE_CHANNELS];  // payload bytes sent so far, those sent again not counted
    uint32_t dropped[WIRE_CHANNELS]; // frames that did not leave whole
    uint8_t frame[WIRE_FRAME_MOST];
};

void wire_sender_init(struct wire_sender *sender, uint32_t session,
                      size_t (*write)(const void *bytes, size_t length));

// Sends `length` bytes as as many frames as needed (one at least). The channel's offset advances.
void wire_send(struct wire_sender *sender, enum wire_channel channel, enum wire_type type,
               const void *payload, size_t length);

// Sends a range of the channel's stream again, in frames of their own sequence numbers: the first
// byte of `payload` stands at `offset`. The channel's offset stays.
void wire_send_again(struct wire_sender *sender, enum wire_channel channel, enum wire_type type,
                     uint32_t offset, const void *payload, size_t length);

// ---- receiving ---------------------------------------------------------------------------------

// What a decoder hands on. Pointers are valid during the call only.
struct wire_sink {
    void *context;
    // A whole frame whose CRC and header are right. The payload is not checked further.
    void (*frame)(void *context, const struct wire_header *header, const uint8_t *payload);
    // Printable ASCII and newlines, at most WIRE_FRAME_MOST characters, not terminated. May be
    // NULL.
    void (*noise)(void *context, const char *text, size_t length);
};

// Counts since init.
struct wire_counts {
    uint64_t frames;      // handed on
    uint64_t bytes;       // fed
    uint64_t noise_bytes; // in pieces that were no frame
    uint64_t damaged;     // pieces that had a frame's shape and failed the check
};

struct wire_decoder {
    struct wire_sink sink;
    struct wire_counts counts;
    size_t length; // bytes gathered since the last zero
    bool overlong; // more than a frame can have: the rest up to the next zero is noise
    uint8_t gathered[WIRE_FRAME_MOST];
};

void wire_decoder_init(struct wire_decoder *decoder, struct wire_sink sink);

// Feeds bytes as they come; any split of a stream gives the same calls in the same order, but that
// noise may be cut into other pieces.
void wire_decode(struct wire_decoder *decoder, const void *bytes, size_t length);

// End of the stream: what is gathered and unfinished becomes noise.
void wire_decoder_finish(struct wire_decoder *decoder);

#endif
