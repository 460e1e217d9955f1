// SPDX-License-Identifier: MIT
// What the host program knows about itself.
#ifndef HOST_H
#define HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu.h"

struct host {
    int line;              // file descriptor of the line: a socket, or standard output
    bool line_stalled;     // the last write was given up
    const char *arguments; // name=value words
    uint8_t *arena;
    size_t arena_length;
    int cpu;             // the processor this thread is pinned to
    int seen_cpu;        // where it was last found
    uint64_t migrations; // found so far
    struct cpu_local local;
    const char *stack_top; // of the main thread
    const char *hz_source;
    uint64_t hz;
};

extern struct host host;

// Reports SIGSEGV and its kin as panics, on a stack of their own.
void host_signals_init(void);

// What there is of the processor's counters, or "not available: " and why.
const char *host_counters(void);

// Ticks a second from CPUID or the kernel's calibration; says where from.
uint64_t host_clock_hz(const char **source);

#endif
