// SPDX-License-Identifier: MIT
// How far the time stamp counters of two CPUs are apart. Two parties run at the same time, one on
// each CPU, with interrupts masked if they can: one asks, the other answers with its counter. The
// answer was read between question and its arrival, which bounds the offset; an answer outside
// these two is a warp: time that went backwards between CPUs, seen by a message.
//
// No wait is without an end: each is bounded by a count and by a deadline. Who gives up tells the
// other, so that both return.
#ifndef TSC_SYNC_H
#define TSC_SYNC_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"
#include "status.h"

#define TSC_SYNC_ROUNDS     1000u     // enough for a round nothing disturbed
#define TSC_SYNC_LOOKS_MOST 20000000u // of one wait: a second, more or less

// What both share. Zeroed (tsc_sync_init) before either begins; used for one measurement.
struct tsc_sync {
    CACHE_ALIGNED uint64_t question; // number of the round, from 1; written by the one that asks
    CACHE_ALIGNED uint64_t answer;   // the same number, when `ticks` is there
    uint64_t ticks;                  // of the one that answers, before `answer`
};

// What each party brings.
struct tsc_sync_party {
    void *context;
    uint64_t (*ticks)(void *context);  // its counter, reads in order; counter_tsc's read
    uint64_t (*now_ns)(void *context); // any clock; 0 where there is none: the count bounds alone
    uint64_t wait_most_ns;             // of one wait; the first lasts until the other has come
};

// The counter that answers minus the one that asks, in ticks: [low, high] in the best round.
struct tsc_sync_result {
    int64_t offset_low, offset_high;
    uint64_t round_trip; // of the best round: high - low
    uint32_t rounds;     // done
    uint32_t warps;      // rounds whose answer was not between question and arrival
    uint64_t warp_most;  // the longest step back seen
};

void tsc_sync_init(struct tsc_sync *sync);

// Asks `rounds` (>= 1) times. STATUS_CLOSED: the other did not answer, or gave up; `result` then
// holds what the rounds done gave.
enum status tsc_sync_ask(struct tsc_sync *sync, const struct tsc_sync_party *party, uint32_t rounds,
                         struct tsc_sync_result *result);

// The other's part, with the same number of rounds. STATUS_CLOSED as above.
enum status tsc_sync_answer(struct tsc_sync *sync, const struct tsc_sync_party *party,
                            uint32_t rounds);

#endif
