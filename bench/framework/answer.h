// SPDX-License-Identifier: MIT
// The target's half of the conversation that loses nothing (trace/wire.h): what the host asks for
// is sent again, and END is repeated until the host has everything.
//
// A host that is confused, hostile or gone cannot hold the target: every loop here has a bound of
// its own, whatever is heard.
#ifndef ANSWER_H
#define ANSWER_H

#include "report.h"

// Time is that of platform_clock_ns; a target without such a clock counts its looks at the line and
// the bytes it finds there, each a third of a microsecond under instruction counting.
#define ANSWER_TRY_NS         200000000u // between two ENDs
#define ANSWER_TRY_LOOKS      500000u
#define ANSWER_TRIES_A_SECOND 5u // at ANSWER_TRY_NS: `linger=` adds as many for each of its seconds
#define ANSWER_TRIES          100u // ENDs at the most
#define ANSWER_SILENT         25u  // tries without a word from a host that spoke before: it is gone
#define ANSWER_ONE_WAY        5u   // tries without a word from a host that never spoke: no way back

// Bytes of results that are sent again between two benchmarks, and in one try after END. What was
// asked for beyond that is forgotten: the host asks again.
#define ANSWER_BYTES_BETWEEN (64u << 10)
#define ANSWER_BYTES_A_TRY   (256u << 10)

// Between two benchmarks: answers what the host has asked for in the meantime. Never waits.
void answer_between(struct report *report);

// After END is out: answers until the host has acknowledged END and all of the results, or nobody
// is there. Returns at once when output is not framed.
void answer_until_whole(struct report *report);

#endif
