// SPDX-License-Identifier: MIT
// One boot as the line tells it: bytes in, state and results out. Used live, and again when a
// capture is stored, so that both come to the same rows.
//
// Only frames of the boot's own session count; others are counted as foreign. The results stream is
// put together by offset: duplicates are harmless, and so is reordering within SESSION_WINDOW.
#ifndef SESSION_H
#define SESSION_H

#include "results.h"
#include "trace_file.h"
#include "wire.h"

#define SESSION_WINDOW        (1u << 20)
#define SESSION_PENDING_MOST  4096u
#define SESSION_RESULTS_MOST  (64u << 20) // bytes of one boot's results stream
#define SESSION_BUILD_ID_MOST 64u
// Sequence numbers of a lossy channel that are told from repetitions; beyond, only the last is.
#define SESSION_SEQUENCES_MOST (1u << 17)

enum session_text {
    SESSION_LOG,
    SESSION_TABLE,
    SESSION_NOISE, // between the frames
};

enum session_state {
    SESSION_WAITING, // no HELLO yet
    SESSION_RUNNING,
    SESSION_ENDED,    // END came and all of the results with it, whole
    SESSION_GAP,      // END came, HELLO or a part of the results did not (yet)
    SESSION_REFUSED,  // the target will not measure
    SESSION_STRANGER, // HELLO is not that of the program or target asked for
    SESSION_PANIC,
    SESSION_DAMAGED, // what came contradicts itself or the rules
};

// What the HELLO must say. Empty or 0: whatever it says is taken.
struct session_expect {
    uint32_t session;
    uint32_t boot;
    uint8_t build_id[SESSION_BUILD_ID_MOST];
    size_t build_id_length;
    const char *clock;
};

// The text comes as sent, not cleaned, and only during session_feed. May be NULL.
struct session_listener {
    void *context;
    void (*text)(void *context, enum session_text kind, const char *text, size_t length);
    // Frames of trace/meet.h, and each that is of this session. Both may be NULL.
    void (*meet)(void *context, const struct wire_header *header, const uint8_t *payload);
    void (*heard)(void *context);
};

struct session_piece {
    uint32_t offset, length;
    uint8_t *bytes;
};

// What is missing of the results.
struct session_gap {
    uint32_t offset, length;
};

struct session_channel {
    uint64_t frames, bytes; // that came, duplicates included
    uint64_t different;     // frames without those that came before
    uint32_t last_sequence;
    uint64_t next_sequence; // the highest that came and one more
    uint8_t *seen;          // a bit a sequence number, of the lossy channels; NULL: none came
};

struct session_panic {
    char reason[RECORD_TEXT_MOST + 1];
    char running[RECORD_NAME_MOST + 1];
    uint64_t vector, error, rip, rsp, rflags, cr2, cr3, cpu;
    uint64_t registers[RECORD_REGISTERS];
};

struct session_end {
    bool success;
    uint64_t length;
    uint64_t crc;
    uint64_t hash;
    uint64_t frames[WIRE_CHANNELS], bytes[WIRE_CHANNELS], dropped[WIRE_CHANNELS];
};

struct session {
    struct session_expect expect;
    struct session_listener listener;
    struct wire_decoder decoder;
    struct session_channel channels[WIRE_CHANNELS];
    uint64_t foreign;
    bool keep_trace; // set after session_init by who wants it
    struct trace_frames trace;

    bool hello_seen;
    uint32_t hellos, ends; // how often they came
    uint64_t hz;
    const char *clock; // name of the class, "unknown" before HELLO

    struct buffer stream; // results, whole from 0 on
    size_t parsed;
    uint32_t crc;
    uint64_t hash;
    struct session_piece *pending;
    size_t pending_count, pending_bytes;
    uint64_t duplicates, too_far;
    struct results results;

    bool end_seen, panic_seen, refused, stranger;
    struct session_end end;
    struct session_panic panic;
    uint8_t stack[RECORD_STACK_MOST]; // from panic.rsp up
    bool stack_known[RECORD_STACK_MOST];
    char error[DETAIL_MOST]; // of what is damaged, strange or refused
};

// `expect.clock` stays the caller's and must outlive the session.
void session_init(struct session *session, const struct session_expect *expect,
                  struct session_listener listener);
void session_free(struct session *session);

void session_feed(struct session *session, const void *bytes, size_t length);

// The line is closed: what is left of a frame becomes noise.
void session_finish(struct session *session);

enum session_state session_state(const struct session *session);

// Bytes of the panic's stack known without a gap from RSP on. An RSP within a guard page has no
// bytes up to the page's end: they count as zeros.
size_t session_stack_length(const struct session *session);

// What is missing of the results in front of what came, or of END's length; the first `most` gaps,
// in order. Returns how many.
size_t session_gaps(const struct session *session, struct session_gap *gaps, size_t most);

// True if frames of this session came, and no HELLO.
bool session_lacks_hello(const struct session *session);

// True if there is something to ask for.
bool session_misses(const struct session *session);

// One line that names what never came; "" if nothing is known to be missing.
void session_describe_gap(const struct session *session, char *out, size_t capacity);

// Grows with all that is new about the results, HELLO and END; repetitions do not count.
uint64_t session_known(const struct session *session);

// Notes a frame's sequence number on a lossy channel; false if that frame came before. For the
// session itself.
bool session_is_new(struct session_channel *channel, uint32_t sequence);

// Frames of a lossy channel that were sent, as far as is known, and did not come.
uint64_t session_lost(const struct session *session, enum wire_channel channel);

// Counts frames and bytes that had to do with this boot's progress: a line that only logs makes
// none.
uint64_t session_progress(const struct session *session);

#endif
