// SPDX-License-Identifier: MIT
#include "trace_sched.h"

#include "assert.h"
#include "compiler.h"
#include "format.h"

#define HEADER_ENTRIES (sizeof(struct trace_buffer) / sizeof(struct trace_entry))

_Static_assert(sizeof(struct trace_buffer) % sizeof(struct trace_entry) == 0,
               "a stretch begins where an entry would");

size_t trace_threads_bytes(uint32_t capacity)
{
    return sizeof(struct trace_threads) + capacity * sizeof(struct trace_thread);
}

struct trace_threads *trace_threads_init(void *memory, uint32_t capacity)
{
    struct trace_threads *threads = memory;
    threads->next = 1;
    threads->capacity = capacity;
    for (uint32_t i = 0; i < capacity; i++)
        threads->threads[i] = (struct trace_thread){.idle = 0};
    return threads;
}

static struct trace_cpu *here(void)
{
    return cpu_local()->trace_cpu;
}

void trace_cpu_start(struct trace_cpu *cpu, void *memory, size_t length, size_t events_length,
                     struct trace_threads *threads)
{
    uint8_t *at = memory;
    assert((uintptr_t)memory % sizeof(struct trace_entry) == 0);
    assert(events_length % sizeof(struct trace_entry) == 0);
    assert(events_length >= sizeof(struct trace_buffer) + sizeof(struct trace_entry));
    assert(length >= events_length + 2 * sizeof(struct trace_buffer) + sizeof(struct trace_entry));
    cpu->threads = threads;
    cpu->events = trace_buffer_init(at, events_length);
    at += events_length;
    cpu->full = trace_buffer_init(at, sizeof(struct trace_buffer));
    at += sizeof(struct trace_buffer);
    cpu_local()->trace_cpu = cpu;
    cpu->first = trace_start(at, (size_t)((uint8_t *)memory + length - at));
}

void trace_cpu_stop(void)
{
    trace_stop();
    cpu_local()->trace_cpu = NULL;
}

uint32_t trace_threads_before(void)
{
    const struct trace_cpu *cpu = here();
    return cpu == NULL ? 0 : __atomic_load_n(&cpu->threads->next, __ATOMIC_RELAXED) - 1;
}

void trace_thread(uint32_t number, const char *name, uint32_t idle)
{
    struct trace_cpu *cpu = here();
    if (cpu == NULL)
        return;
    struct trace_threads *threads = cpu->threads;
    uint32_t next = __atomic_load_n(&threads->next, __ATOMIC_RELAXED);
    assert(number <= TRACE_NUMBER_MOST);
    // Relaxed: only that no number is given twice matters; the table is read when all is at rest.
    while (next <= number && !__atomic_compare_exchange_n(&threads->next, &next, number + 1, true,
                                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        continue;
    if (number >= threads->capacity)
        return;
    struct trace_thread *thread = &threads->threads[number];
    format(thread->name, sizeof(thread->name), "%s", name != NULL ? name : "");
    thread->idle = idle;
}

void trace_stretch(uint32_t number)
{
    struct trace_cpu *cpu = here();
    if (cpu == NULL)
        return;
    struct trace_buffer *old = cpu_local()->trace_buffer;
    if (old == NULL || old == cpu->full)
        return;
    const uint32_t kept = old->used + 1; // one for who was interrupted while recording
    if (old->capacity < kept + HEADER_ENTRIES + 1) {
        cpu_local()->trace_buffer = cpu->full;
        return;
    }
    const size_t left = old->capacity - kept;
    struct trace_buffer *new =
        trace_buffer_init(&old->entries[kept], left * sizeof(struct trace_entry));
    new->thread = number;
    new->began = cpu_ticks();
    old->capacity = kept;
    old->next = new;
    cpu_local()->trace_buffer = new;
}

void trace_sched_event(enum trace_event event, uint32_t value, uint32_t priority)
{
    struct trace_cpu *cpu = here();
    if (cpu == NULL)
        return;
    cpu->events->thread = 1;
    trace_record_into(cpu->events, event,
                      (enum trace_phase)(TRACE_PHASE_INSTANT | (priority & 0xffu) << 8), value);
}

uint64_t trace_cpu_lost(const struct trace_cpu *cpu)
{
    uint64_t lost = cpu->events->lost + cpu->full->lost;
    for (const struct trace_buffer *at = cpu->first; at != NULL; at = at->next)
        lost += at->lost;
    return lost;
}

uint64_t trace_cpu_used(const struct trace_cpu *cpu)
{
    uint64_t used = cpu->events->used;
    for (const struct trace_buffer *at = cpu->first; at != NULL; at = at->next)
        used += at->used;
    return used;
}

bool trace_cpu_has_events(const struct trace_cpu *cpu)
{
    const struct trace_buffer *events = cpu->events;
    const uint32_t used = __atomic_load_n(&events->used, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < used; i++) {
        if (__atomic_load_n(&events->entries[i].event, __ATOMIC_RELAXED) != TRACE_INTERRUPT)
            return true;
    }
    return false;
}

bool trace_cpu_worked(const struct trace_cpu *cpu)
{
    for (const struct trace_buffer *at = cpu->first; at != NULL; at = at->next) {
        if (__atomic_load_n(&at->used, __ATOMIC_RELAXED) > 0)
            return true;
    }
    return trace_cpu_lost(cpu) > 0 || trace_cpu_has_events(cpu);
}
