// SPDX-License-Identifier: MIT
// A time line: a load that changes while the controller looks, on a real disk in real time.
// Requests come at their time, whatever became of those before (an open loop); those that are due
// together are handed in together, up to all slots. What comes while so many are due is left out,
// and what was due and not handed in when the slice ended; both are counted, so that what was read
// and what was left out is what the load asked for.
#ifndef DRIVER_LINE_H
#define DRIVER_LINE_H

#include "driver_context.h"
#include "driver_model.h"
#include "trace_device.h"

#define DRIVER_SLICE_NS       100000000u // of the time line
#define DRIVER_SHORT_SLICE_NS 20000000u

static inline uint64_t driver_line_rate(uint64_t slice)
{
    return slice < 3    ? MODEL_RATE_INTERRUPT
           : slice < 8  ? MODEL_RATE_HYBRID
           : slice < 13 ? MODEL_RATE_POLLING
                        : MODEL_RATE_INTERRUPT; // longer than the window
}

// All of a low load is recorded, of others what there is room for.
static inline void driver_line_thin(struct driver_context *context, uint64_t rate)
{
    context->told_one_in = rate > MODEL_RATE_INTERRUPT ? rate / DRIVER_TOLD : 0;
}

// How many that were.
static inline void driver_line_tell(struct driver_context *context)
{
    const struct block_queue *const queue = &context->device->queues[DRIVER_QUEUE];
    if (CONFIG_TRACE && context->untold > 0) {
        cpu_preempt_disable();
        trace_device(TRACE_BLOCK_LEFT_OUT, trace_device_lane(queue->number, queue->index), 0,
                     (uint32_t)context->untold);
        cpu_preempt_enable();
    }
    context->untold = context->told_one_in = 0;
}

// Hands in `count` requests, of which the first was due at `due`, and waits for them; false if one
// failed, or read something else.
ALWAYS_INLINE bool driver_line_burst(const struct driver_ops *way, struct driver_context *context,
                                     struct driver_slice *slice, uint64_t count, uint64_t due,
                                     uint64_t period)
{
    const uint64_t expected = driver_expected_words(context, count);
    uint64_t in = 0, sum = 0;
    bool good = true;
    while (in < count && driver_hand_in(way, context, &context->slots[in]))
        in++;
    way->flush(context->device, DRIVER_QUEUE);
    for (uint64_t i = 0; i < in; i++) {
        struct driver_slot *const slot = &context->slots[i];
        good = way->wait(context->device, &slot->request, context->waiter) == STATUS_OK && good;
        sum += driver_word(context, slot);
        slice->latency += driver_between(due + i * period, slot->request.completed_at);
        slice->device += driver_between(slot->request.submitted_at, slot->request.completed_at);
    }
    slice->requests += in;
    good = good && in == count && sum == expected;
    context->failed |= !good;
    return good;
}

ALWAYS_INLINE bool driver_slice(const struct driver_ops *way, struct driver_context *context,
                                uint64_t number, bool whole)
{
    struct driver_slice *const slice = &context->line[number % DRIVER_SLICES];
    const uint64_t rate = driver_line_rate(whole ? number : 0);
    const uint64_t period = driver_ticks_of(context, DEVICE_SECOND_NS / rate);
    const uint64_t start = driver_now(context), before = driver_away(context);
    const uint64_t end =
        start + driver_ticks_of(context, whole ? DRIVER_SLICE_NS : DRIVER_SHORT_SLICE_NS);
    // When the next request is due: in the middle of its period, so that the last one is not due
    // when the slice is over.
    uint64_t next = start + period / 2;
    bool good = true;
    *slice = (struct driver_slice){.asked = rate};
    driver_line_thin(context, rate);
    for (uint64_t now = start; good && (int64_t)(end - now) > 0; now = driver_now(context)) {
        if ((int64_t)(next - now) > 0) {
            driver_sleep_until(context, (int64_t)(end - next) > 0 ? next : end);
            continue;
        }
        const uint64_t due = (now - next) / period + 1, count = min_u64(due, DRIVER_SLOTS);
        good = driver_line_burst(way, context, slice, count, next, period);
        slice->left_out += due - count;
        next += due * period;
    }
    driver_line_tell(context);
    if ((int64_t)(end - next) > 0)
        slice->left_out += (end - next - 1) / period + 1;
    driver_account(context, start, before);
    slice->elapsed = context->elapsed;
    slice->busy = context->busy;
    slice->mode = block_mode(context->device, DRIVER_QUEUE);
    context->ticks += slice->busy;
    return good;
}

#endif
