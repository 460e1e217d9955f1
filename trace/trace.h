// SPDX-License-Identifier: MIT
// The inline recorder: what happened when, into the running CPU's own buffer.
//
// In the plain flavour of the object code CONFIG_TRACE is 0 and nothing of this is left. In the
// traced flavour an event costs a load, a compare, a time stamp and 16 bytes. A full buffer counts
// what it loses; nothing waits. Events are recorded by the CPU that owns the buffer, not from
// interrupt handlers; what a scheduler or a driver records from there goes elsewhere
// (trace_sched.h, trace_device.h).
#ifndef TRACE_H
#define TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu.h"
#include "events.h"

enum trace_phase {
    TRACE_PHASE_BEGIN,
    TRACE_PHASE_BEGIN_OUT, // begins, and a flow goes out from here: the value is its number
    TRACE_PHASE_BEGIN_IN,  // begins, and the flow of that number arrives here
    TRACE_PHASE_END,       // the value is TRACE_END_DONE or TRACE_END_REFUSED
    TRACE_PHASE_INSTANT,
    TRACE_PHASE_ADD,    // the value, signed, is what is added to a counter
    TRACE_PHASE_NUMBER, // the open operation's number turned out to be this one
};

enum { TRACE_END_DONE, TRACE_END_REFUSED };

struct trace_entry {
    uint64_t ticks;
    uint32_t value;
    uint16_t event;
    uint16_t phase;
};

_Static_assert(sizeof(struct trace_entry) == 16, "four to a cache line");

struct trace_buffer {
    uint32_t used;
    uint32_t capacity; // entries
    uint64_t lost;     // atomic
    // Where a scheduler runs (trace_sched.h):
    uint32_t thread;                // whose entries these are; 0 outside of a scheduler
    uint64_t began;                 // ticks
    struct trace_buffer *next;      // of the same CPU
    struct trace_buffer *of_thread; // of the same thread; the encoder's
    struct trace_entry entries[];
};

static inline struct trace_buffer *trace_buffer_init(void *memory, size_t length)
{
    struct trace_buffer *buffer = memory;
    *buffer = (struct trace_buffer){.capacity = (uint32_t)((length - sizeof(struct trace_buffer)) /
                                                           sizeof(struct trace_entry))};
    return buffer;
}

// Makes a buffer of `length` bytes (at least one entry) and hands it to the running CPU.
static inline struct trace_buffer *trace_start(void *memory, size_t length)
{
    struct trace_buffer *buffer = trace_buffer_init(memory, length);
    cpu_local()->trace_buffer = buffer;
    return buffer;
}

static inline void trace_stop(void)
{
    cpu_local()->trace_buffer = NULL;
}

static inline __attribute__((always_inline)) void trace_record_into(struct trace_buffer *buffer,
                                                                    enum trace_event event,
                                                                    enum trace_phase phase,
                                                                    uint32_t value)
{
    if (buffer->used == buffer->capacity) {
        // Relaxed: only the sum counts. Who was interrupted here may go on on another CPU.
        __atomic_fetch_add(&buffer->lost, 1, __ATOMIC_RELAXED);
        return;
    }
    buffer->entries[buffer->used++] = (struct trace_entry){
        .ticks = cpu_ticks(), .value = value, .event = (uint16_t)event, .phase = (uint16_t)phase};
}

// Records whatever CONFIG_TRACE says; kernel code calls the functions below instead. The buffer is
// found by one load: a thread that is moved behind it still has one that is its own.
static inline __attribute__((always_inline)) void
trace_record(enum trace_event event, enum trace_phase phase, uint32_t value)
{
    struct trace_buffer *buffer = cpu_trace_buffer();
    if (buffer != NULL)
        trace_record_into(buffer, event, phase, value);
}

// What the open operation `event` said at its begin was a guess: the number is this one. Records
// nothing if that was right.
static inline __attribute__((always_inline)) void trace_record_number(enum trace_event event,
                                                                      uint32_t number)
{
    struct trace_buffer *buffer = cpu_trace_buffer();
    if (buffer == NULL)
        return;
    // A thread that was moved since has said nothing here yet, and says it again.
    if (buffer->used > 0) {
        const struct trace_entry *last = &buffer->entries[buffer->used - 1];
        if (last->event == event && last->value == number &&
            (last->phase == TRACE_PHASE_BEGIN_OUT || last->phase == TRACE_PHASE_BEGIN_IN))
            return;
    }
    trace_record_into(buffer, event, TRACE_PHASE_NUMBER, number);
}

// What kernel code says. Macros, because a call that is inlined and then found empty can still
// change the registers a compiler chooses around it, and the plain flavour must not differ by a
// byte from code that was never traced. In it, the arguments are not evaluated.
#define TRACE_RECORD(event, phase, value)                                                          \
    do {                                                                                           \
        if (CONFIG_TRACE)                                                                          \
            trace_record(event, phase, (uint32_t)(value));                                         \
    } while (0)

#define trace_begin(event, value)   TRACE_RECORD(event, TRACE_PHASE_BEGIN, value)
#define trace_end(event)            TRACE_RECORD(event, TRACE_PHASE_END, TRACE_END_DONE)
#define trace_instant(event, value) TRACE_RECORD(event, TRACE_PHASE_INSTANT, value)

// Ends what may have been refused: then no flow comes from it, nor to it.
#define trace_end_if(event, done)                                                                  \
    TRACE_RECORD(event, TRACE_PHASE_END, (done) ? TRACE_END_DONE : TRACE_END_REFUSED)

// Begins what sends message `number`; whoever receives it says trace_begin_in with the same number.
#define trace_begin_out(event, number) TRACE_RECORD(event, TRACE_PHASE_BEGIN_OUT, number)
#define trace_begin_in(event, number)  TRACE_RECORD(event, TRACE_PHASE_BEGIN_IN, number)

// The number that the open operation began with was a guess, since others were at it too: it is
// this one. To be said by whoever took the number, at once.
#define trace_number(event, number)                                                                \
    do {                                                                                           \
        if (CONFIG_TRACE)                                                                          \
            trace_record_number(event, (uint32_t)(number));                                        \
    } while (0)

// A counter went up or, with a negative change, down; within 2^31.
#define trace_add(event, change) TRACE_RECORD(event, TRACE_PHASE_ADD, change)

#endif
