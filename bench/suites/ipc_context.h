// SPDX-License-Identifier: MIT
// What the bodies of the ipc suite work on: a participant's own rings and messages, and, where a
// case wants several CPUs, its crew.
#ifndef IPC_CONTEXT_H
#define IPC_CONTEXT_H

#include "bench.h"
#include "compiler.h"
#include "crew.h"
#include "ring.h"
#include "ring_pool.h"
#include "ring_wait.h"

#define BATCH_MOST      64u
#define DEPTH_MOST      4096u // messages queued at once
#define SLOTS_SMALL     64u
#define LENGTHS         1024u  // of the case with any length, in turn
#define MESSAGE_MOST    65536u // bytes
#define POOL_PAGES      64u
#define BALL_WORDS      16u  // a pair of lines
#define STREAM_TURN     64u  // messages sent, then received, where one CPU plays both sides
#define BOUNCES         200u // of the look at whether two CPUs are one core
#define BOUNCE_LOOKS    20u  // of which the fastest counts
#define BOUNCE_PATIENCE (UINT64_C(1) << 27) // ticks of all looks: others use the CPUs, too
// Ticks of a round trip of one line. Two threads of one core need fewer, and so may two cores that
// share a cache close by. A ratio of rows from near and from far CPUs would say nothing, so the
// near ones are kept out of what is judged.
#define BOUNCE_LEAST 250u

// How a waiting CPU looks: this often without a pause, which would be part of what it measures,
// then with one.
#define IPC_EAGER_TURNS 4096u

// One CPU's own part of a case with many.
struct ipc_part {
    uint64_t sent;     // written by its CPU now and then, read by the one that is done first
    uint64_t at_first; // `sent` when that was
} CACHE_ALIGNED;

struct ipc_context {
    void *ring;
    void *back;                    // of round_trip_56: the other way
    struct ring_message *outgoing; // BATCH_MOST of each
    struct ring_message *incoming;
    uint8_t *lengths; // LENGTHS of them
    uint64_t lengths_sum;

    // Where threads may sleep.
    struct ring_wait *wait;
    struct ring_waiter *waiter;

    // Of messages of more than 56 bytes.
    struct ring_pool *pool;
    uint8_t *outbox; // MESSAGE_MOST bytes of each
    uint8_t *inbox;

    struct crew *crew; // NULL: the case is this CPU's
    unsigned cpus;     // that take part; 1: this one plays both sides
    uint64_t *ball;    // what bounces: two words, BALL_WORDS apart, each on lines of its own

    // Of cases in which all CPUs send.
    struct ipc_part *parts;
    unsigned senders;
    uint32_t first_done; // 0, or 1 when somebody has sent all its messages
};

#endif
