// SPDX-License-Identifier: MIT
#include "trace_device.h"

#include "assert.h"
#include "cpu.h"

void trace_device(enum trace_event event, uint32_t queue, uint32_t detail, uint32_t value)
{
    const struct trace_cpu *cpu = cpu_local()->trace_cpu;
    if (cpu == NULL)
        return;
    assert(queue < CPU_MOST && detail <= TRACE_DETAIL_MOST);
    struct trace_buffer *buffer = cpu->events;
    uint32_t used = __atomic_load_n(&buffer->used, __ATOMIC_RELAXED);
    uint64_t ticks;
    // Relaxed: an interrupt handler of this CPU is all there is besides. What it records in between
    // makes the exchange fail; so this ends when handlers do, or the buffer is full.
    do {
        if (used == buffer->capacity) {
            __atomic_fetch_add(&buffer->lost, 1, __ATOMIC_RELAXED);
            return;
        }
        ticks = cpu_ticks();
    } while (!__atomic_compare_exchange_n(&buffer->used, &used, used + 1, false, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    buffer->entries[used] = (struct trace_entry){.ticks = ticks,
                                                 .value = value,
                                                 .event = (uint16_t)event,
                                                 .phase = (uint16_t)(queue | detail << 8)};
}
