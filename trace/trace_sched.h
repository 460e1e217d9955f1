// SPDX-License-Identifier: MIT
// What is recorded while a scheduler runs: who runs where, and which of a CPU's entries are whose.
//
//   number   of a thread in this recording, from 1; 0 is what runs outside of a scheduler
//   stretch  the entries that one thread recorded on a CPU between two switches: a struct
//            trace_buffer within the CPU's memory
//   events   of the scheduler: SCHED_* entries, in a buffer of their own on each CPU. Devices' are
//            among them (trace_device.h); its field `thread` is 1 if a scheduler recorded there
//
// Why stretches: a thread may be interrupted in the middle of trace_record and go on much later, on
// another CPU even. It then finishes its entry in the stretch that it had, where one entry is kept
// free for that, and nobody else records there any more. So the recorder needs neither masking nor
// a locked instruction, and an entry's thread is known without looking at times.
//
// Rules for callers
//   masked    trace_stretch and trace_sched_event are for code that no interrupt handler interrupts
//             which could call them as well: the scheduler's, with interrupts masked
//   threads   a CPU starts and stops its own recording. It is read when no CPU records any more
//   memory    the caller's, until the recording was read
#ifndef TRACE_SCHED_H
#define TRACE_SCHED_H

#include "trace.h"

#define TRACE_NUMBER_MOST 0xfffffu // of a thread: 20 bits of a value
#define TRACE_NAME_MOST   23u

// All CPUs' table of threads: what trace_thread was told.
struct trace_thread {
    char name[TRACE_NAME_MOST + 1]; // "" if it was never told
    uint32_t idle;                  // it is the idle thread of CPU idle - 1; 0: of none
    // The encoder's:
    uint32_t pid;
    struct trace_buffer *first, *last; // of its stretches
};

struct trace_threads {
    uint32_t next;     // number; atomic
    uint32_t capacity; // entries below; those with a higher number have no name
    struct trace_thread threads[];
};

struct trace_cpu {
    struct trace_buffer *first;  // stretch; the others by `next`, in the order of time
    struct trace_buffer *events; // the scheduler's, and devices'
    struct trace_buffer *full;   // takes the place of a stretch that there is no room for
    struct trace_threads *threads;
};

// Why a thread does not run any more, as SCHED_SWITCH says it of the one that ran before.
enum trace_left {
    TRACE_LEFT_NOBODY, // the CPU joins the scheduler, or leaves it
    TRACE_LEFT_PREEMPTED,
    TRACE_LEFT_YIELDED, // could go on, too, but gave its CPU up
    TRACE_LEFT_BLOCKED,
    TRACE_LEFT_SLEEPING,
    TRACE_LEFT_JOINING, // until another has ended: nothing else ends this
    TRACE_LEFT_ENDED,
};

// ---- values -------------------------------------------------------------------------------------

//   SCHED_SWITCH   number of the one that runs next | enum trace_left of the last one << 20
//                  | priority of the next << 24. The last one is that of the SCHED_SWITCH before on
//                  the same CPU; a CPU's first one comes when it joins, and its last one, to 0,
//                  when it leaves the scheduler
//   SCHED_WAKE     number of the one that is ready now | CPU of its queue << 20 | by the timer
//                  << 26. Its waker is what runs on the recording CPU, unless by the timer
//   SCHED_MIGRATE  number | from << 20 | to << 26
//   SCHED_IDLE     1: the idle thread waits for interrupts; 0: the CPU has found work again
//   SCHED_EXIT     number of the thread that ends; the next SCHED_SWITCH leaves it

static inline uint32_t trace_value_switch(uint32_t next, enum trace_left left, uint32_t priority)
{
    return next | (uint32_t)left << 20 | priority << 24;
}

static inline uint32_t trace_value_wake(uint32_t thread, uint32_t cpu, bool timer)
{
    return thread | cpu << 20 | (uint32_t)timer << 26;
}

static inline uint32_t trace_value_migrate(uint32_t thread, uint32_t from, uint32_t to)
{
    return thread | from << 20 | to << 26;
}

static inline uint32_t trace_value_number(uint32_t value)
{
    return value & TRACE_NUMBER_MOST;
}

static inline enum trace_left trace_value_left(uint32_t value)
{
    return (enum trace_left)(value >> 20 & 0xfu);
}

static inline uint32_t trace_value_priority(uint32_t value)
{
    return value >> 24;
}

// SCHED_WAKE: the queue's CPU; SCHED_MIGRATE: where from.
static inline uint32_t trace_value_cpu(uint32_t value)
{
    return value >> 20 & 0x3fu;
}

// SCHED_WAKE: 1 if by the timer; SCHED_MIGRATE: where to.
static inline uint32_t trace_value_to(uint32_t value)
{
    return value >> 26;
}

// ---- recording ----------------------------------------------------------------------------------

// Bytes of a table for threads with numbers below `capacity`, and making an empty one.
size_t trace_threads_bytes(uint32_t capacity);
struct trace_threads *trace_threads_init(void *memory, uint32_t capacity);

// The running CPU records from now on: into `memory` (16-byte aligned) what threads say, and into
// `events_length` bytes of it, at least one entry, what a scheduler says.
void trace_cpu_start(struct trace_cpu *cpu, void *memory, size_t length, size_t events_length,
                     struct trace_threads *threads);
void trace_cpu_stop(void);

// The number before those of a new scheduler's threads; 0 if the running CPU records nothing.
uint32_t trace_threads_before(void);

// There is a thread `number`. `idle`: of which CPU it is the idle thread, + 1; 0: of none. Nothing
// happens if the running CPU records nothing. Any number of CPUs at a time, not the same number.
void trace_thread(uint32_t number, const char *name, uint32_t idle);

// What the running CPU records from here on is `number`'s.
void trace_stretch(uint32_t number);

// Records a SCHED_* event of the running CPU. `priority`: of the thread it is about, up to 255; the
// larger, the more urgent.
void trace_sched_event(enum trace_event event, uint32_t value, uint32_t priority);

static inline uint32_t trace_sched_priority(const struct trace_entry *entry)
{
    return entry->phase >> 8;
}

// ---- reading ------------------------------------------------------------------------------------

// What a CPU lost: entries of threads and of the scheduler.
uint64_t trace_cpu_lost(const struct trace_cpu *cpu);

// Entries that are there, of threads and of the scheduler.
uint64_t trace_cpu_used(const struct trace_cpu *cpu);

// Whether a scheduler or a device recorded there, and whether anything did at all: interrupts of
// the machine count for nothing. The CPU may be recording.
bool trace_cpu_has_events(const struct trace_cpu *cpu);
bool trace_cpu_worked(const struct trace_cpu *cpu);

#endif
