// SPDX-License-Identifier: MIT
// What drivers of devices record: where each request is, interrupts, how a queue is waited for.
//
//   events   go where those of the scheduler go (trace_sched.h), since interrupt handlers record
//            them too: a slot is claimed by an atomic exchange, and one that an interrupt came
//            before is claimed anew, so that slots are in the order of time
//   request  is known by its memory from BLOCK_QUEUED on until BLOCK_TAKEN, or the next
//            BLOCK_QUEUED of the same memory
//   lane     a queue of a device: devices are known by numbers that whoever sets them up gives
//            them, and queues of two devices with one number are one lane
//
// Rules for callers
//   threads  in an interrupt handler, or with preemption disabled
#ifndef TRACE_DEVICE_H
#define TRACE_DEVICE_H

#include "assert.h"
#include "cpu.h"
#include "trace_sched.h"

#define TRACE_DETAIL_MOST   0xffu
#define TRACE_DONE_IS_TAKEN 0x80u

// Their values (request: trace_device_key) and details:
//   BLOCK_QUEUED     request: taken from its caller, or back from the device to be tried again
//   BLOCK_SUBMITTED  request: the device has it
//   BLOCK_INTERRUPT  detail 1: an interrupt is seen to from here on; 0: up to here, and the value
//                    is the number of requests it found. On one CPU
//   BLOCK_DONE       request; detail: how it ended, as the status's amount, and
//                    TRACE_DONE_IS_TAKEN if its owner is told by a call
//   BLOCK_TAKEN      request: its owner knows
//   BLOCK_LEFT_OUT   number of requests of the lane that nothing is recorded of, since the last one
//   BLOCK_BY_...     the mode from here on
//   INTERRUPT        of the machine: detail 1: the CPU takes it; 0: it is back to what it did. The
//                    value is its vector, and in place of the lane stands enum trace_interrupt

enum trace_interrupt {
    TRACE_INTERRUPT_TIMER,
    TRACE_INTERRUPT_CALL, // of another CPU
    TRACE_INTERRUPT_DEVICE,
    TRACE_INTERRUPT_OTHER, // spurious, or nobody's
    TRACE_INTERRUPTS,
};

#define TRACE_DEVICES_MOST 4u // numbers of devices
#define TRACE_LANES_MOST   256u

_Static_assert(TRACE_DEVICES_MOST *CPU_MOST <= TRACE_LANES_MOST, "a lane has 8 bits");

static inline uint32_t trace_device_lane(uint32_t device, uint32_t queue)
{
    return device * CPU_MOST + queue;
}

// How a request ended, as its detail.
static inline uint32_t trace_device_ending(int status, bool called)
{
    return ((uint32_t)-status & (TRACE_DONE_IS_TAKEN - 1)) | (called ? TRACE_DONE_IS_TAKEN : 0);
}

// What a request's memory is known by; two that are less than 32 GiB apart differ.
static inline uint32_t trace_device_key(const void *request)
{
    return (uint32_t)((uintptr_t)request >> 3);
}

// Records an event of a lane, below TRACE_LANES_MOST. Inline: what is compiled without the recorder
// records interrupts, if cpu_local()->trace_cpu is not NULL.
static inline void trace_device(enum trace_event event, uint32_t lane, uint32_t detail,
                                uint32_t value)
{
    const struct trace_cpu *cpu = cpu_local()->trace_cpu;
    if (cpu == NULL)
        return;
    assert(lane < TRACE_LANES_MOST && detail <= TRACE_DETAIL_MOST);
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
                                                 .phase = (uint16_t)(lane | detail << 8)};
}

static inline bool trace_is_of_device(const struct trace_entry *entry)
{
    return entry->event >= TRACE_BLOCK_QUEUED && entry->event <= TRACE_BLOCK_BY_BATCH;
}

static inline uint32_t trace_lane(const struct trace_entry *entry)
{
    return entry->phase & (TRACE_LANES_MOST - 1);
}

static inline uint32_t trace_device_detail(const struct trace_entry *entry)
{
    return entry->phase >> 8;
}

#endif
