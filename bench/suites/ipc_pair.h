// SPDX-License-Identifier: MIT
// Two threads that take turns, asleep in between: what stands behind the cases of ipc_wait_cases.h.
#ifndef IPC_PAIR_H
#define IPC_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring.h"

// Who takes turns.
struct ipc_pair {
    uint64_t (*window)(uint64_t operations);
    bool calls; // an operation is a call; else a message that wakes its receiver
    unsigned cpus;
};

struct ipc_pair_statistics {
    uint64_t requests, sleeps, blocks, wakes;
};

// Threads of this target's scheduler (ipc_wait_threads.c); one pair at a time. `pair` says what is
// wanted, and gets its window; false: they could not be made.
bool ipc_wait_threads(struct ipc_pair *pair, const struct ring_ops *ops, void *memory,
                      size_t length, uint64_t seed);
uint64_t ipc_wait_threads_ticks(void); // of the last window
bool ipc_wait_threads_check(void);
void ipc_wait_threads_statistics(struct ipc_pair_statistics *statistics);
void ipc_wait_threads_end(void);

#endif
