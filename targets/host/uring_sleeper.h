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

// Nanoseconds which CPUs have worked for this process: against those that have passed, the share of
// one that the calling thread takes while the process's other threads sleep. Those threads of the
// kernel that do the process's requests (io-wq) are counted with it; what interrupts an idle CPU is
// on nobody's account.
uint64_t uring_busy_ns(void);

#endif
