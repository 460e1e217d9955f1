// SPDX-License-Identifier: MIT
// Recording CPUs for tests, played by one thread.
#ifndef RECORDING_CPUS_H
#define RECORDING_CPUS_H

#include <check.h>

#include "test_platform.h"
#include "trace_sched.h"

#define CPUS_MOST    4u
#define THREADS_MOST 64u
#define MEMORY_BYTES (1u << 20)
#define EVENTS_BYTES (256u << 10)

static struct trace_cpu cpus[CPUS_MOST];
static _Alignas(64) uint8_t memory[CPUS_MOST][MEMORY_BYTES];
static _Alignas(64) uint8_t table[1u << 14];
static struct trace_threads *threads;

// CPUs 0 to count - 1 record, and the caller is CPU 0.
static inline void start_cpus(unsigned count, size_t length, size_t events)
{
    ck_assert_uint_le(trace_threads_bytes(THREADS_MOST), sizeof(table));
    threads = trace_threads_init(table, THREADS_MOST);
    for (unsigned i = count; i-- > 0;) {
        test_cpu_enter(i);
        trace_cpu_start(&cpus[i], memory[i], length, events, threads);
    }
}

static inline void stop_cpus(unsigned count)
{
    for (unsigned i = count; i-- > 0;) {
        test_cpu_enter(i);
        trace_cpu_stop();
    }
}

#endif
