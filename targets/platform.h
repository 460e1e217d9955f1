// SPDX-License-Identifier: MIT
// The platform seam: everything the portable layers ask of the place they run in. A folder
// targets/NAME implements it; nothing else may be undefined in the portable object.
//
// Preconditions shared by all functions: they are called on a CPU whose per-CPU base is set
// (cpu.h), never inside a measured window, and from one CPU at a time unless a comment says
// otherwise. None of them allocates from the arena.
#ifndef PLATFORM_H
#define PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What RDTSC counts here. The classes are never mixed in one column or ratio.
enum platform_clock {
    PLATFORM_CLOCK_TSC,      // reference ticks of an invariant time stamp counter
    PLATFORM_CLOCK_INSN,     // one per instruction, exact (QEMU -icount shift=0)
    PLATFORM_CLOCK_EMULATED, // an emulator without instruction counting: shown, never judged
};

// Events that disturb a sample. Counted since start, monotonic.
struct platform_events {
    uint64_t interrupts;
    uint64_t page_faults;
    uint64_t migrations;
    uint64_t preemptions;
};

// Monotonic time in nanoseconds since an arbitrary start, from a source that is not RDTSC where
// the target has one. 0 where it has none.
uint64_t platform_clock_ns(void);

// The class of clock the target claims to have; the framework proves it before it measures.
enum platform_clock platform_clock_class(void);

// Ticks of RDTSC a second by the platform's own knowledge (CPUID, the kernel's calibration, the
// emulator's definition). 0 if it has none.
uint64_t platform_clock_hz(void);

// Writes all bytes to the line before it returns. Bounded: a line that takes no byte for a second
// is given up; returns how many bytes were dropped. May be called from a panic on any CPU.
size_t platform_line_write(const void *bytes, size_t length);

// Reads what has arrived on the line, at most `capacity` bytes; returns 0 at once if nothing has.
size_t platform_line_read(void *bytes, size_t capacity);

// The memory benchmarks live in: one zeroed, touched, 2 MiB aligned range, the same at every call.
void *platform_arena(size_t *length);

// The command line, `name=value` words separated by spaces. Valid for the whole run.
const char *platform_arguments(void);

// Build id of the running program, at most `capacity` bytes; returns its length.
size_t platform_build_id(uint8_t *bytes, size_t capacity);

// Describes the machine: calls `emit` for each fact this target knows (hypervisor, microcode...).
void platform_describe(void (*emit)(void *context, const char *key, const char *value),
                       void *context);

// The disturbing events so far on this CPU.
void platform_events(struct platform_events *events);

// A failed assertion or a benchmark that cannot go on: reports registers, stack and `reason`
// through the line and ends the run as a panic. Any CPU, any context.
_Noreturn void platform_panic(const char *reason, const char *file, unsigned line);

// Provokes one failure of the closed set the recorder must tell apart, for tests of that path:
// "triple", "fault", "overflow" (stack), "exit" (without END). Returns if the word is unknown.
void platform_die(const char *kind);

// Ends the run. success means that END was sent and everything the plan promised was measured.
_Noreturn void platform_exit(bool success);

#endif
