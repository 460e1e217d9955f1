// SPDX-License-Identifier: MIT
// The recorder's half of trace/meet.h: answers a target that calls, agrees on a speed with it and
// tells it what to run; and finds a target again that is at another speed.
//
// A state machine without a line of its own: the caller hands it frames and the time, sends what it
// says and sets the port to the speed it names. So it is tested without either.
#ifndef MEETING_H
#define MEETING_H

#include "common.h"
#include "wire.h"

enum meeting_state {
    MEETING_WAITS,   // for a CALL, at the first speed
    MEETING_ASKS,    // SPEED was said
    MEETING_PROBES,  // the target said that it goes there
    MEETING_STARTS,  // START was said
    MEETING_STARTED, // the target has it: the run goes on
};

#define MEETING_TRIES   2u  // of each speed
#define MEETING_MOST    16u // speeds at the most
#define MEETING_EARLIER 8u

struct meeting {
    const char *words;     // of START
    uint32_t first, speed; // bits a second: at the start, and where the port has to be now
    struct buffer say;     // bytes to be sent now; the caller takes them
    enum meeting_state state;
    uint32_t boot;                     // number of the target that called last; 0: none
    uint32_t earlier[MEETING_EARLIER]; // boots before: what comes late of them counts no more
    unsigned earlier_count;
    bool again;   // one that had started calls as another boot: it is told nothing until this is
                  // taken note of, and `words` are those of a new session
    bool strange; // it speaks another version
    uint32_t fastest, asked, agreed;
    unsigned failures[MEETING_MOST]; // by index of port_speeds
    unsigned turns;                  // SPEEDs, or PROBEs, said
    uint32_t good;                   // PROBEDs, a bit each
    int64_t next, deadline;          // ms
    int64_t hunting; // ms, since when it is looked for at the first speed; 0: it is not
    // Since the last whole frame, at this speed: bytes, those of them that are text, and since
    // when.
    uint64_t garbage, text;
    int64_t since;
};

// `words` stays the caller's and must outlive the meeting; at most MEET_WORDS_MOST characters.
void meeting_init(struct meeting *meeting, const char *words, uint32_t speed);
void meeting_free(struct meeting *meeting);

// A frame of the target that belongs to the meeting (WIRE_CALL and above) has come.
void meeting_frame(struct meeting *meeting, const struct wire_header *header,
                   const uint8_t *payload, int64_t now);

// A whole frame of the run has come: it is under way, and the speed is right.
void meeting_run_heard(struct meeting *meeting);

// These bytes came, of frames or not. Before the frames in them are handed over.
void meeting_bytes(struct meeting *meeting, const uint8_t *bytes, size_t length, int64_t now);

// Nothing came for long: looks for the target at the first speed, for a while.
void meeting_look_again(struct meeting *meeting, int64_t now);

// The port cannot go to meeting->speed. Where that was to be tried it is not asked for again, and
// speed is the first one.
void meeting_refused(struct meeting *meeting);

// Time has passed. Returns in how many milliseconds to call again at the latest.
int meeting_tick(struct meeting *meeting, int64_t now);

#endif
