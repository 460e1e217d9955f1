// SPDX-License-Identifier: MIT
// The scheduler's time in a Linux process: nanoseconds, the same on all CPUs. Counted by the time
// stamp counter where the platform knows its frequency and the kernel trusts it itself, i.e. offers
// it as a clock source: then it is invariant and agrees on all CPUs. Else CLOCK_MONOTONIC.
#ifndef HOST_TIME_H
#define HOST_TIME_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "cpu.h"

struct host_time {
    bool by_ticks;
    uint64_t start_ticks, start_ns;
    uint64_t ns_per_tick; // times 2^32
};

extern struct host_time host_time;

// Once, before the first look; again does nothing. Reads a file.
void host_time_init(void);

static inline struct timespec host_timespec(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u),
                             .tv_nsec = (long)(ns % 1000000000u)};
}

// CLOCK_MONOTONIC, which timers and futexes wait by. It is slewed to agree with the world; the
// counter is not.
static inline uint64_t host_time_of_kernel_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t host_time_ns(void)
{
    if (!host_time.by_ticks)
        return host_time_of_kernel_ns();
    // Not before the loads in front of it are done: a time read under a lock is later than what was
    // written down under it before.
    const uint64_t ticks = cpu_ticks_start() - host_time.start_ticks;
    return host_time.start_ns + (uint64_t)((unsigned __int128)ticks * host_time.ns_per_tick >> 32);
}

#endif
