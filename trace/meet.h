// SPDX-License-Identifier: MIT
// How a target that nobody started, a machine that a person booted, and a recorder find each other
// on a serial line, and agree on its speed: what both ends know, and the target's half. The
// recorder's half is bench/recorder/meeting.h.
//
//   target  CALL         some times a second, at the speed it is at, until START comes
//   host    SPEED        a speed of those that CALL says can be had
//   target  SPEED_TAKEN  still at the old one; then it goes there
//   host    PROBE        a few, numbered, each a pattern with every value of a byte
//   target  PROBED       one for each: another pattern, by the same number
//   host    START        words for the command line, the session among them
//   target  STARTED      as often as last words, and the run begins with HELLO
//
// Whatever is lost is said again: by the target because it calls, by the host because it is called.
// Who hears no whole frame at a new speed goes back to the first by itself, the target after
// MEET_LOST_MS, and is called, or calls, there: a speed that does not work costs seconds and
// nothing else.
// All frames, of both ends, carry the number of the target's boot in place of a session: a machine
// that starts again calls with another number, and what was meant for an earlier boot is not heard.
// Frames that only a target sends prove nothing to a target: a line may echo.
//
// Threads: an object belongs to one thread. Memory: the caller's; nothing is allocated.
#ifndef MEET_H
#define MEET_H

#include "wire.h"

#define MEET_VERSION       1u
#define MEET_CALL_MS       250u  // between two CALLs
#define MEET_LOST_MS       1500u // without a whole frame at another speed than the first: go back
#define MEET_PATTERN_BYTES 512u  // twice every value of a byte
#define MEET_PROBES        4u    // good ones that prove a speed
#define MEET_WORDS_MOST    1000u // characters of START
#define MEET_BUILD_ID_MOST 64u

// CALL: u32 MEET_VERSION, u32 the fastest speed (bits a second), u32 the speed now, then the build
// id. SPEED, SPEED_TAKEN: u32 the speed. PROBE, PROBED: the pattern of the header's offset. All
// little-endian.
#define MEET_CALL_BYTES  12u
#define MEET_SPEED_BYTES 4u

void meet_put_u32(uint8_t *at, uint32_t value);
uint32_t meet_get_u32(const uint8_t *at);

// What a port whose clock gives `fastest` bits a second must divide it by for `baud`; 0 if it
// cannot have that: a receiver tolerates some hundredths in all, and one end may be off by one
// of 50.
#define MEET_OFF_MOST 50u
static inline uint32_t meet_divisor(uint32_t fastest, uint32_t baud)
{
    if (baud == 0 || baud > fastest)
        return 0;
    const uint32_t divisor = (uint32_t)(((uint64_t)fastest + baud / 2) / baud);
    const uint64_t made = (uint64_t)divisor * baud;
    const uint64_t off = made > fastest ? made - fastest : fastest - made;
    return off * MEET_OFF_MOST <= fastest && divisor <= UINT16_MAX ? divisor : 0;
}

// The pattern of a probe: `number` and who sends it decide it.
void meet_pattern(uint32_t number, bool by_target, uint8_t pattern[MEET_PATTERN_BYTES]);

// True if a PROBE or PROBED has exactly the payload it must have.
bool meet_pattern_is_right(const struct wire_header *header, const uint8_t *payload);

// ---- the target's half -------------------------------------------------------------------------

struct meet_line {
    // As platform_line_write and platform_line_read.
    size_t (*write)(const void *bytes, size_t length);
    size_t (*read)(void *bytes, size_t capacity);
    // Goes to a speed once all that was written is out. False: it stays as it is.
    bool (*set_speed)(uint32_t baud);
    uint64_t (*clock_ns)(void); // goes on whatever happens
    uint32_t fastest;           // as CALL says
    uint32_t speed;             // at the start
};

struct meet {
    const struct meet_line *line;
    struct wire_sender sender;
    struct wire_decoder decoder;
    uint32_t boot;
    uint32_t speed;     // now
    uint64_t heard_ns;  // when the last whole frame of a host came
    uint64_t called_ns; // 0: not yet
    uint8_t call[MEET_CALL_BYTES + MEET_BUILD_ID_MOST];
    size_t call_length;
    bool started;
    char words[MEET_WORDS_MOST + 1]; // of START; printable ASCII
};

// `boot` is not 0 and another number at each start of the machine. `line` must outlive the object;
// at most MEET_BUILD_ID_MOST bytes of the build id are used.
void meet_init(struct meet *meet, const struct meet_line *line, uint32_t boot, const void *build_id,
               size_t build_id_length);

// Calls until a host has said START: true, its words are in meet->words and the line is at the
// speed agreed on. False when nobody did for `patience_ns`; the line is at its first speed then.
bool meet_host(struct meet *meet, uint64_t patience_ns);

#endif
