// SPDX-License-Identifier: MIT
// What the host program knows about itself.
#ifndef HOST_H
#define HOST_H

#include <pthread.h>
#include <sched.h>
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

// Says why this program cannot run here (errno), and ends it.
_Noreturn void host_refuse(const char *what);

// Points the CPU base of the calling thread at `local`.
void host_cpu_base(struct cpu_local *local);

// Which CPU the calling thread is, without the CPU base: 0 for one that is none.
unsigned host_cpu_index(void);

// Finds the processors besides host.cpu that may be used. Once, before the first platform_cpu_*.
void host_cpus_init(const cpu_set_t *allowed);

// Reports SIGSEGV and its kin as panics, on a stack of their own. Once.
void host_signals_init(void);

// Gives the calling thread such a stack. The main thread has it by host_signals_init.
void host_signal_stack(void);

// Ends the run with a report of where `thread` is, which has taken too long.
_Noreturn void host_show(pthread_t thread);

// What there is of the processor's counters, or "not available: " and why.
const char *host_counters(void);

// The memory map's part of platform_describe.
void host_describe_memory(void (*emit)(void *context, const char *key, const char *value),
                          void *context);

// Ticks a second from CPUID or the kernel's calibration; says where from.
uint64_t host_clock_hz(const char **source);

#endif
