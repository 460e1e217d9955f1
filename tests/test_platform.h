// SPDX-License-Identifier: MIT
// What a test may put in place of the unit tests' platform: the line, the clock, what disturbs
// samples. One CPU, unless a test
// asks for more.
#ifndef TEST_PLATFORM_H
#define TEST_PLATFORM_H

#include "platform.h"

// NULL: what is written goes to standard output, and nothing ever arrives.
extern size_t (*test_line_write)(const void *bytes, size_t length);
extern size_t (*test_line_read)(void *bytes, size_t capacity);

// platform_clock_ns gives 0, as on a target that has no clock but the one it measures with.
extern bool test_clock_stopped;

// What platform_clock_class and platform_clock_hz give; emulated and unknown unless a test says so.
extern enum platform_clock test_clock_class;
extern uint64_t test_clock_hz;

// In place of platform_clock_ns and platform_events. NULL: the machine's clock, and no events.
extern uint64_t (*test_clock_ns)(void);
extern void (*test_events)(struct platform_events *events);

// platform_events_of_run. NULL: what platform_events gives.
extern void (*test_events_of_run)(struct platform_events *events);

// platform_counters. NULL: there are none.
extern bool (*test_counters)(struct platform_counters *counters);

// platform_core_clock. NULL: not known.
extern bool (*test_core_clock)(uint64_t *core, uint64_t *reference);

// What platform_build_id gives; none while the length is 0.
extern uint8_t test_build_id[20];
extern size_t test_build_id_length;

// What platform_cpu_count gives; 1 unless a test says so. Each further CPU is a thread, made for
// what it is given and joined by platform_cpu_wait.
extern unsigned test_cpu_count;

// In place of platform_cpu_start: NULL, or what a CPU does that does not do as it is told.
extern bool (*test_cpu_start)(unsigned cpu, void (*function)(void *argument), void *argument);

// In place of platform_sched; NULL: there is none.
extern const struct sched_cpu_ops *(*test_sched)(void **machine);

// In place of platform_block; NULL: there is none.
extern bool (*test_block)(unsigned index, struct platform_block *found);

// Makes the calling thread CPU `cpu` (below CPU_MOST) until it says otherwise; new threads are what
// the thread was that made them.
void test_cpu_enter(unsigned cpu);

#endif
