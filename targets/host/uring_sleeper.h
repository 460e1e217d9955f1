// SPDX-License-Identifier: MIT
// How a thread of the process sleeps on an io_uring disk: until the queue's eventfd is raised,
// which it then serves as an interrupt handler would, or until somebody who did that wakes it.
//
// Rules for callers
//   threads   one sleeper for each thread, which has entered a CPU of its own (cpu_local()). From
//             its first sleep on, the thread's timer slack is 1 ns
#ifndef URING_SLEEPER_H
#define URING_SLEEPER_H

#include "uring_disk.h"

struct uring_sleeper {
    struct uring_disk *disk;
    struct block_device *device;
    uint64_t sleeps; // the thread's
    int event;       // eventfd: woken by another thread
    // Atomic:
    uint32_t asleep, woken;
};

// False: there is no file descriptor left.
bool uring_sleeper_init(struct uring_sleeper *sleeper, struct uring_disk *disk,
                        struct block_device *device);
void uring_sleeper_close(struct uring_sleeper *sleeper);

// The waiter over a sleeper, which outlives it.
struct block_waiter uring_waiter(struct uring_sleeper *sleeper);

// Nanoseconds which the calling thread has been on a CPU for: against those that have passed, its
// share of one. What interrupts, and the kernel's own threads, do for it is not in it.
uint64_t uring_busy_ns(void);

#endif
