// SPDX-License-Identifier: MIT
// Threads that wait for each other's messages: two that take turns, asleep in between, or a crowd
// at one queue. What stands behind the cases of ipc_wait_cases.h.
#ifndef IPC_PAIR_H
#define IPC_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring.h"

#define IPC_CROWD_MOST 8u // on each side

// Who waits for whom.
struct ipc_pair {
    uint64_t (*window)(uint64_t operations);
    bool calls;         // an operation is a call; else a message that wakes its receiver
    bool direct;        // a call that hands its CPU over
    bool sleepers_pay;  // for the order of messages and sleeps (ring_wait.h)
    unsigned producers; // of a crowd; 0: two threads take turns
    unsigned consumers;
    unsigned cpus;
};

struct ipc_pair_statistics {
    uint64_t requests, sleeps, blocks, wakes; // the last three: of receivers
    uint64_t sender_blocks;                   // at the ring that requests go through
    // How much each producer of a crowd had sent when the first one was done, in the last window.
    uint64_t at_first[IPC_CROWD_MOST];
};

// Threads of this target's scheduler (ipc_wait_threads.c); one set at a time. `pair` says what is
// wanted, and gets its window; false: they could not be made.
bool ipc_wait_threads(struct ipc_pair *pair, const struct ring_ops *ops, void *memory,
                      size_t length, uint64_t seed);
uint64_t ipc_wait_threads_ticks(void); // of the last window
bool ipc_wait_threads_check(void);
void ipc_wait_threads_statistics(struct ipc_pair_statistics *statistics);
void ipc_wait_threads_end(void);

#endif
