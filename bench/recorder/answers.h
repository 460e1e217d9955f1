// SPDX-License-Identifier: MIT
// What the recorder says to a target (trace/wire.h): that it listens, what it has, what it misses.
#ifndef ANSWERS_H
#define ANSWERS_H

#include "session.h"

#define ANSWERS_GAPS_MOST 32u // asked for at once

struct answers {
    uint32_t hellos, ends;      // answered
    uint64_t line_bytes, known; // when last looked
    int64_t quiet;              // ms, since when the line is
    int64_t asked;              // ms, 0: never
    int64_t patience;           // ms, before it is asked again
    uint32_t speed;             // of the line, bits a second; 0: what is written is there at once
    uint64_t frames;            // when last looked
    int64_t heard;              // ms, when the last one came
};

void answers_init(struct answers *answers);

// Answers HELLO and END, asks for what is missing once the line is quiet. `line` is our end,
// non-blocking, -1 once it is closed; what it does not take is said again later. `line_bytes`: how
// many came so far. Returns in how many milliseconds to call again at the latest.
int answers_give(struct answers *answers, struct session *session, int line, uint64_t line_bytes);

#endif
