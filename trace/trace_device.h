// SPDX-License-Identifier: MIT
// What drivers of devices record: where each request is, interrupts, how a queue is waited for.
//
//   events   go where those of the scheduler go (trace_sched.h), since interrupt handlers record
//            them too: a slot is claimed by an atomic exchange, and one that an interrupt came
//            before is claimed anew, so that slots are in the order of time
//   request  is known by its memory from BLOCK_QUEUED on until BLOCK_TAKEN, or the next
//            BLOCK_QUEUED of the same memory
//   queue    of the one device that is traced in a row: two devices' queues of one index are one
//
// Rules for callers
//   threads  in an interrupt handler, or with preemption disabled
#ifndef TRACE_DEVICE_H
#define TRACE_DEVICE_H

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
//   BLOCK_BY_...     the mode from here on

_Static_assert(CPU_MOST <= 64, "a queue has 6 bits");

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

// Records an event of queue `queue`, below 64.
void trace_device(enum trace_event event, uint32_t queue, uint32_t detail, uint32_t value);

static inline bool trace_is_of_device(const struct trace_entry *entry)
{
    return entry->event >= TRACE_BLOCK_QUEUED && entry->event <= TRACE_BLOCK_BY_BATCH;
}

static inline uint32_t trace_device_queue(const struct trace_entry *entry)
{
    return entry->phase & 0x3fu;
}

static inline uint32_t trace_device_detail(const struct trace_entry *entry)
{
    return entry->phase >> 8;
}

#endif
