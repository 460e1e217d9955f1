// SPDX-License-Identifier: MIT
// The adaptive controller: which mode suits the load of the last second.
//
//   window    the last second, in BLOCK_BUCKETS buckets; the oldest leaves as a whole
//   rate      operations a second over the window, over what there is of it at the beginning
//   average   the rate smoothed over some 3 s; the rate itself once they differ by a quarter
//   suits     above `high` operations a second polling, below `low` interrupt, between them hybrid;
//             batch instead of any of them while half of the operations or more go on where the
//             one before ended, come in before that one is done, and their callers can wait
//   band      a quarter to both sides of a threshold. Beyond it the rate decides, at once; inside
//             the average does, and a mode is left for the one below only when the average is a
//             sixteenth below the threshold: a load at a threshold does not make it change to and
//             fro, and one that stays below that gets its mode after some seconds
//   decision  one when a bucket ends, so at most ten a second
//
// Rules for callers
//   threads    one at a time: the lock of the queue it belongs to
//   times      ticks, handed in; one that lies before the last is taken for the last
//   bounds     record: a few instructions, and with a new bucket one decision; decision: a constant
//              number of steps, whatever the time that has passed
#ifndef BLOCK_CONTROLLER_H
#define BLOCK_CONTROLLER_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"

#define BLOCK_BUCKETS        10u
#define BLOCK_RATE_HIGH      10000u // operations a second
#define BLOCK_RATE_LOW       1000u
#define BLOCK_BAND_DIVISOR   4u  // of a threshold
#define BLOCK_GAP_DIVISOR    16u // of a threshold
#define BLOCK_BATCH_EVIDENCE 16u // operations in the window without which nothing is gathered

enum block_mode {
    BLOCK_INTERRUPT, // sleep until the device interrupts
    BLOCK_POLLING,   // look until it is done
    BLOCK_HYBRID,    // look for a bounded time, then sleep
    BLOCK_BATCH,     // gather, sort, merge; then as interrupt
    BLOCK_MODES
};

struct block_controller_statistics {
    uint64_t operations;
    uint64_t decisions;
    uint64_t switches;
    uint64_t ticks_in[BLOCK_MODES]; // up to the `now` that was asked for
    uint64_t operations_in[BLOCK_MODES];
    uint64_t spent_ticks; // that callers reported by block_controller_spend
};

struct block_load {
    uint32_t operations;
    uint32_t mergeable; // of those: go on where the one before ended, which is not done yet, and
                        // can wait
};

struct block_controller {
    // What a record needs.
    uint64_t bucket_end; // ticks
    uint64_t operations; // ever
    struct block_load now;
    enum block_mode mode;
    bool fixed;              // the owner's: no decisions
    enum block_mode by_rate; // what it would be if nothing could be merged
    // The window without the current bucket: `past` sums `buckets`.
    uint64_t bucket_ticks;
    struct block_load past;
    struct block_load buckets[BLOCK_BUCKETS];
    uint32_t newest;
    uint32_t filled;        // buckets of the window that have been, 0..BLOCK_BUCKETS
    uint64_t rate, average; // operations a second, when the last bucket ended
    uint64_t high, low;
    uint64_t mode_since;                           // ticks
    uint64_t counted;                              // operations before the present mode
    struct block_controller_statistics statistics; // without what `operations` and now tell
};

// Begins at `now` in mode interrupt with nothing recorded. `hz` is ticks a second, at least 1000;
// low < high, both below 2^32, low not 0.
void block_controller_init(struct block_controller *controller, uint64_t now, uint64_t hz,
                           uint64_t low, uint64_t high);

// Closes the buckets that have ended by `now` and decides. Returns the mode from now on.
enum block_mode block_controller_turn(struct block_controller *controller, uint64_t now);

// Records an operation that was submitted at `now`; `mergeable` as in struct block_load. Returns
// the mode from now on.
ALWAYS_INLINE enum block_mode block_controller_record(struct block_controller *controller,
                                                      uint64_t now, bool mergeable)
{
    if (UNLIKELY(now >= controller->bucket_end))
        block_controller_turn(controller, now);
    controller->operations++;
    controller->now.operations++;
    controller->now.mergeable += mergeable;
    return controller->mode;
}

// Operations a second over the window that ends at `now`, at most UINT32_MAX.
uint64_t block_controller_rate(const struct block_controller *controller, uint64_t now);

// Which mode suits the window as it was when the last bucket ended.
enum block_mode block_controller_decide(const struct block_controller *controller);

// Changes the mode at `now`; counted as a switch if it is another one. The next decision may change
// it again.
void block_controller_switch(struct block_controller *controller, enum block_mode mode,
                             uint64_t now);

// Adds ticks that a CPU spent on operations.
static inline void block_controller_spend(struct block_controller *controller, uint64_t ticks)
{
    controller->statistics.spent_ticks += ticks;
}

void block_controller_statistics(const struct block_controller *controller, uint64_t now,
                                 struct block_controller_statistics *statistics);

// Which modes answer sooner: the larger, the sooner. Polling, hybrid, interrupt, batch: 4..1.
unsigned block_mode_priority(enum block_mode mode);

const char *block_mode_name(enum block_mode mode);

#endif
