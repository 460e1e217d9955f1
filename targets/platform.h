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

// Events that disturb a sample. Counted since start, monotonic. What a target cannot count stays 0
// and has no bit in `known`: a 0 without its bit is "not counted here", not "none".
#define PLATFORM_KNOWS_INTERRUPTS  1u
#define PLATFORM_KNOWS_PAGE_FAULTS 2u
#define PLATFORM_KNOWS_MIGRATIONS  4u
#define PLATFORM_KNOWS_PREEMPTIONS 8u
#define PLATFORM_KNOWS_NMIS        16u
#define PLATFORM_KNOWS_SMIS        32u
#define PLATFORM_KNOWS_STEAL       64u
struct platform_events {
    uint32_t known; // PLATFORM_KNOWS_*
    uint64_t interrupts;
    uint64_t page_faults;
    uint64_t migrations;
    uint64_t preemptions;
    uint64_t nmis;
    uint64_t smis;
    uint64_t steal_ns; // in which a hypervisor ran somebody else on this CPU
};

// The processor's own counters, of this CPU in the mode that benchmarks run in. Monotonic from an
// arbitrary start; what there is no counter for stays 0.
struct platform_counters {
    uint64_t core_cycles;
    uint64_t instructions;
    uint64_t reference_cycles;
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

struct memory_map;

// What lies where in this machine, and on which node (memory_map.h): the same, unchanged object at
// every call, valid for the whole run. Where there is no such thing to know, a machine that is
// simulated, and says so; its addresses are good for counting only. The facts memory.map.ranges
// (of RAM, the arena with it), memory.map.bytes (of these), memory.map.nodes and
// memory.map.simulated tell of it.
const struct memory_map *platform_memory(void);

// The command line, `name=value` words separated by spaces. Valid for the whole run.
const char *platform_arguments(void);

// Build id of the running program, at most `capacity` bytes; returns its length.
size_t platform_build_id(uint8_t *bytes, size_t capacity);

struct bench_suite;

// The suites that only this target has, NULL-terminated, valid for the whole run: whole ones, or
// further variants of a common one, under its name (suites.h). Measured, not traced.
const struct bench_suite *const *platform_suites(void);

// Describes the machine: calls `emit` for each fact this target knows (hypervisor, microcode...).
void platform_describe(void (*emit)(void *context, const char *key, const char *value),
                       void *context);

// The disturbing events so far on this CPU: read in front of each window and behind it, so what is
// dear to read is not known here.
void platform_events(struct platform_events *events);

// The same with what is too dear or too coarse for a window; read at both ends of a run.
void platform_events_of_run(struct platform_events *events);

// False: not available here; platform_describe's fact `pmu` says why. Core cycles and instructions
// are always there if it is true.
bool platform_counters(struct platform_counters *counters);

// Cycles of this CPU's core, and of a clock of fixed rate in the same time, that it did not sleep:
// monotonic from arbitrary starts. Never between windows that follow each other closely. False: not
// known here.
bool platform_core_clock(uint64_t *core, uint64_t *reference);

// How many CPUs run code here, at least 1, at most CPU_MOST of cpu.h. CPU 0 is the one that runs
// the benchmarks; the others wait, parked, until they are given something to do.
unsigned platform_cpu_count(void);

// Calls function(argument) on CPU `cpu` (1 and up), whose base and cpu_local() are its own, with
// preemption enabled. False if there is no such CPU or it has not finished what it was given
// before.
bool platform_cpu_start(unsigned cpu, void (*function)(void *argument), void *argument);

// Returns when the CPU has finished; what it wrote is visible then. A CPU that takes longer than
// `most_ms` ends the run as a panic that shows where it is.
void platform_cpu_wait(unsigned cpu, uint64_t most_ms);

struct sched_cpu_ops;

// What a scheduler (sched.h) needs of this target's CPUs to run real threads on them: its CPU
// operations, and in *machine what goes with them. CPU 0 calls sched_start_cpu itself, the others
// by platform_cpu_start. One scheduler at a time; after its last CPU has left, the next may begin.
// NULL: this target has none.
const struct sched_cpu_ops *platform_sched(void **machine);

struct block_device;
struct block_waiter;

// A block device (block.h) for benchmarks: set up, at rest, used by nobody else. They read only.
struct platform_block {
    const char *name; // of its kind, as rows name it: nvme, virtio, io_uring
    struct block_device *device;
    bool simulated; // its figures say nothing of a disk
    // Of the pattern (block_pattern.h) that stands on it from its first byte on, where the target
    // has put it there; 0: nobody knows what stands on it, it is a person's.
    uint64_t generation;
    // Memory that it can reach: one piece, page-aligned, of PLATFORM_BLOCK_BYTES or more.
    void *memory;
    uint64_t address; // as struct block_segment has it
    size_t bytes;
    // How the thread of CPU 0 sleeps, which no other thread shares that CPU with. NULL: completions
    // interrupt, their handler calls `interrupt` of the device, and threads of platform_sched's
    // scheduler sleep.
    const struct block_waiter *waiter;
    // Nanoseconds which CPUs have worked for the calling thread while all others sleep; what the
    // system does of its requests counts. NULL: the scheduler knows.
    uint64_t (*busy_ns)(void);
};
#define PLATFORM_BLOCK_BYTES (1u << 20)

// Block device `index`, the one that claims are judged on first; the same at every call, whose
// first may set it up. False: there are no more.
bool platform_block(unsigned index, struct platform_block *found);

// A failed assertion or a benchmark that cannot go on: reports registers, stack and `reason`
// through the line and ends the run as a panic. Any CPU, any context.
_Noreturn void platform_panic(const char *reason, const char *file, unsigned line);

// Provokes one failure of the closed set the recorder must tell apart, for tests of that path:
// "triple", "fault", "overflow" (stack), "exit" (without END). Returns if the word is unknown.
void platform_die(const char *kind);

// Ends the run. success means that END was sent and everything the plan promised was measured.
_Noreturn void platform_exit(bool success);

#endif
