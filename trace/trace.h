// SPDX-License-Identifier: MIT
// The inline recorder: what happened when, into the running CPU's own buffer.
//
// In the plain flavour of the object code CONFIG_TRACE is 0 and nothing of this is left. In the
// traced flavour an event costs a load, a compare, a time stamp and 16 bytes. A full buffer counts
// what it loses; nothing waits. Events are recorded by the CPU that owns the buffer, not from
// interrupt handlers.
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
    TRACE_PHASE_END,
    TRACE_PHASE_INSTANT,
    TRACE_PHASE_ADD, // the value, signed, is what is added to a counter
};

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
    uint64_t lost;
    struct trace_entry entries[];
};

// Makes a buffer of `length` bytes (at least one entry) and hands it to the running CPU.
static inline struct trace_buffer *trace_start(void *memory, size_t length)
{
    struct trace_buffer *buffer = memory;
    buffer->used = 0;
    buffer->lost = 0;
    buffer->capacity =
        (uint32_t)((length - sizeof(struct trace_buffer)) / sizeof(struct trace_entry));
    cpu_local()->trace_buffer = buffer;
    return buffer;
}

static inline void trace_stop(void)
{
    cpu_local()->trace_buffer = NULL;
}

// Records whatever CONFIG_TRACE says; kernel code calls the functions below instead.
static inline __attribute__((always_inline)) void
trace_record(enum trace_event event, enum trace_phase phase, uint32_t value)
{
    struct trace_buffer *buffer = cpu_local()->trace_buffer;
    if (buffer == NULL)
        return;
    if (buffer->used == buffer->capacity) {
        buffer->lost++;
        return;
    }
    buffer->entries[buffer->used++] = (struct trace_entry){
        .ticks = cpu_ticks(), .value = value, .event = (uint16_t)event, .phase = (uint16_t)phase};
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
#define trace_end(event)            TRACE_RECORD(event, TRACE_PHASE_END, 0)
#define trace_instant(event, value) TRACE_RECORD(event, TRACE_PHASE_INSTANT, value)

// Begins what sends message `number`; whoever receives it says trace_begin_in with the same number.
#define trace_begin_out(event, number) TRACE_RECORD(event, TRACE_PHASE_BEGIN_OUT, number)
#define trace_begin_in(event, number)  TRACE_RECORD(event, TRACE_PHASE_BEGIN_IN, number)

// A counter went up or, with a negative change, down; within 2^31.
#define trace_add(event, change) TRACE_RECORD(event, TRACE_PHASE_ADD, change)

#endif
