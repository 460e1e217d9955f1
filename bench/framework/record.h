// SPDX-License-Identifier: MIT
// The results: what a run says, as records in one stream of bytes (WIRE_RESULTS), and the payloads
// of the control frames. Written by the target, read by the recorder; one source for both ends.
//
// A record is: type u8, length u16 little-endian, payload. Payload fields are written and read in
// the order given below: `n` a varint (LEB128, at most 10 bytes), `z` a zigzag varint, `s` a string
// (varint length, bytes), `b` raw bytes (varint length, bytes). A reader takes records of unknown
// type and trailing fields it does not know as news from a later version and skips them.
#ifndef RECORD_H
#define RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_HEADER_BYTES 3u
#define RECORD_PAYLOAD_MOST 20480u
#define RECORD_NAME_MOST    64u  // names: [A-Za-z0-9_.:/-]
#define RECORD_TEXT_MOST    256u // free text: printable ASCII; a writer puts . for anything else
#define RECORD_ROWS_MOST    4096u
#define RECORD_ROUNDS_MOST  1024u
#define RECORD_SAMPLES_MOST 65536u // of one row in one round
#define RECORD_SECONDS_MOST 3600u  // a BEGIN may ask for
#define RECORD_POINTS_MOST  256u   // of all curves of one row: eight of 32

enum record_type {
    // s key, s value. Facts about the machine, the clock proof, the configuration.
    RECORD_FACT = 1,
    // n rows, n cases, n results bytes at most, n boot index.
    RECORD_PLAN = 2,
    // n row, s id, n aa (0/1), n role (enum variant_role), s what, s unit, n definition,
    // n operations (as declared; sampled clocks may take more), n rounds, n samples at most.
    // Rows count from 0 in the order planned.
    RECORD_PLAN_ROW = 3,
    // n case, s id (suite/case), n first row, n rows, n seconds at most.
    RECORD_BEGIN = 4,
    // n row, n round, n operations, z overhead, z cold, n count, then tokens until count values are
    // out: n token = zigzag(value - previous) << 1 | more; if `more`, n: how many further equal
    // steps (the same difference again). previous starts at 0. Then, in the same way, count tags
    // (RECORD_TAG_* or 0), one for each sample.
    RECORD_SAMPLES = 5,
    // n row, s name, n numerator, n denominator, s unit. Exact in percent, count, bytes and ratio:
    // every boot must give the same. Measured in cycles and instructions. A name NAME@X is the
    // point at x = X of the row's curve NAME: X decimal, without leading zeros, below 2^63; all
    // points of a curve are of one unit, and exact.
    RECORD_COUNTER = 6,
    // n row, n status (enum record_row_status), s detail. Closes the row.
    RECORD_FINISH = 7,
    // n row, s name ("max", "p99.9"), n window, n windows, n operations, z sample, z least, n tags,
    // n begin, n end. A sample of a round that was traced, after the row has ended well: which of
    // so many windows it was, what the least one took, and from when to when it was (nanoseconds of
    // the trace). One of each name.
    RECORD_OUTLIER = 8,
};

enum record_row_status {
    RECORD_ROW_OK,
    RECORD_ROW_CHECKSUM, // the body's checksum is not what the work must give
    RECORD_ROW_DELETED,  // fewer instructions or ticks than the work needs
    RECORD_ROW_UNSTEADY, // an exact clock gave two answers
    RECORD_ROW_FAILED,   // set-up or a body failed; `detail` says how
    RECORD_ROW_STATUSES,
};

// What overlapped a sample. A tagged sample is reported, never dropped.
#define RECORD_TAG_INTERRUPT  1u
#define RECORD_TAG_PAGE_FAULT 2u
#define RECORD_TAG_MIGRATION  4u
#define RECORD_TAG_PREEMPTION 8u
#define RECORD_TAG_NMI        16u
#define RECORD_TAG_SMI        32u
#define RECORD_TAG_STEAL      64u
#define RECORD_TAG_CAUSES     7u
#define RECORD_TAGS           128u // all are below; a byte holds one

// ---- control frames: payloads, same field notation ----------------------------------------------
// HELLO   n protocol version (1), b build id, n
// clock class (enum platform_clock), n ticks a second,
//         n boot index, s target
// END     n success (0/1), n length of the results stream, n CRC-32C of it, n FNV-1a 64 of it,
//         then for each of the four channels: n frames (those sent again too), n bytes (without
//         them), n frames dropped. The totals are those of the moment; the rest never changes.
// PANIC   s reason, n vector (256: none, a failed assertion), n error code, n rip, n rsp, n rflags,
//         n cr2, n cr3, n cpu, s running case or "", n count of registers (16), then n each in the
//         order rax rbx rcx rdx rsi rdi rbp rsp r8..r15
// STACK   raw bytes from address rsp + offset on; several frames, at most RECORD_STACK_MOST in all
// REFUSED text
#define RECORD_STACK_MOST 8192u
#define RECORD_NO_VECTOR  256u
#define RECORD_REGISTERS  16u

// ---- writing ------------------------------------------------------------------------------------

// Appends into memory of the caller. When something does not fit, `failed` stays set and nothing
// more is written.
struct record_writer {
    uint8_t *bytes;
    size_t capacity;
    size_t length;
    size_t record; // where the open record starts
    bool failed;
};

void record_writer_init(struct record_writer *writer, void *bytes, size_t capacity);
void record_open(struct record_writer *writer, enum record_type type);
void record_close(struct record_writer *writer);
void record_put_u64(struct record_writer *writer, uint64_t value);
void record_put_i64(struct record_writer *writer, int64_t value);
void record_put_text(struct record_writer *writer, const char *text);
void record_put_bytes(struct record_writer *writer, const void *bytes, size_t length);
// The tokens of RECORD_SAMPLES.
void record_put_samples(struct record_writer *writer, const int64_t *values, size_t count);

// The payload of PANIC.
struct record_panic {
    const char *reason;
    uint64_t vector, error, rip, rsp, rflags, cr2, cr3, cpu;
    uint64_t registers[RECORD_REGISTERS];
};

void record_put_panic(struct record_writer *writer, const struct record_panic *panic);

// ---- reading ------------------------------------------------------------------------------------

// Reads from memory of the caller. Anything wrong sets `failed`; from then on all reads give 0.
struct record_reader {
    const uint8_t *bytes;
    size_t length;
    size_t position;
    bool failed;
};

void record_reader_init(struct record_reader *reader, const void *bytes, size_t length);
uint64_t record_get_u64(struct record_reader *reader);
int64_t record_get_i64(struct record_reader *reader);
// At most `most` characters, of the charset of a name if `name`, else printable ASCII; anything
// longer or outside fails the reader. Terminated; `text` has room for most + 1.
void record_get_text(struct record_reader *reader, char *text, size_t most, bool name);
// Returns the length, at most `most` or the reader fails.
size_t record_get_bytes(struct record_reader *reader, void *bytes, size_t most);
// Reads exactly `count` values; fails if the tokens give another number.
void record_get_samples(struct record_reader *reader, int64_t *values, size_t count);

// FNV-1a, 64 bits (Fowler, Noll, Vo). Start with RECORD_HASH_START.
#define RECORD_HASH_START 0xcbf29ce484222325u
uint64_t record_hash(uint64_t hash, const void *bytes, size_t length);

#endif
