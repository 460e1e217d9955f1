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
    TRACE_PHASE_END,
    TRACE_PHASE_INSTANT,
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

static inline __attribute__((always_inline)) void trace_begin(enum trace_event event,
                                                              uint32_t value)
{
    if (CONFIG_TRACE)
        trace_record(event, TRACE_PHASE_BEGIN, value);
}

static inline __attribute__((always_inline)) void trace_end(enum trace_event event)
{
    if (CONFIG_TRACE)
        trace_record(event, TRACE_PHASE_END, 0);
}

static inline __attribute__((always_inline)) void trace_instant(enum trace_event event,
                                                                uint32_t value)
{
    if (CONFIG_TRACE)
        trace_record(event, TRACE_PHASE_INSTANT, value);
}

#endif
