// SPDX-License-Identifier: MIT
// Between the files of the block layer only: what it records when it is traced (trace_device.h).
// Macros for the reason trace.h gives. In an interrupt handler, or with preemption disabled.
#ifndef BLOCK_TRACE_H
#define BLOCK_TRACE_H

#include "block.h"
#include "trace_device.h"

#define block_trace(event, queue, detail, value)                                                   \
    do {                                                                                           \
        if (CONFIG_TRACE)                                                                          \
            trace_device(event, trace_device_lane((queue)->number, (queue)->index), detail,        \
                         value);                                                                   \
    } while (0)

#define block_trace_of(request, event, queue, detail)                                              \
    do {                                                                                           \
        if (CONFIG_TRACE && !(request)->untold)                                                    \
            block_trace(event, queue, detail, trace_device_key(request));                          \
    } while (0)

#define block_trace_request(event, queue, request) block_trace_of(request, event, queue, 0)

#define block_trace_done(queue, request)                                                           \
    block_trace_of(request, TRACE_BLOCK_DONE, queue,                                               \
                   trace_device_ending((request)->status, (request)->done != NULL))

// A thread waits for it. By its owner, who alone may look at it.
#define block_trace_wait_begin(request)                                                            \
    do {                                                                                           \
        if (CONFIG_TRACE && !(request)->untold)                                                    \
            trace_begin(TRACE_BLOCK_WAIT, (request)->first);                                       \
    } while (0)

#define block_trace_wait_end(request)                                                              \
    do {                                                                                           \
        if (CONFIG_TRACE && !(request)->untold)                                                    \
            trace_end(TRACE_BLOCK_WAIT);                                                           \
    } while (0)

#define block_trace_mode(queue) block_trace(block_trace_mode_event((queue)->mode), queue, 0, 0)

// The device has got it; of a carrier, all that it carries.
#define block_trace_submitted(queue, request)                                                      \
    do {                                                                                           \
        if (CONFIG_TRACE)                                                                          \
            block_trace_submitted_all(queue, request);                                             \
    } while (0)

// Its owner has seen that it is done; in a thread, preemption enabled or not.
#define block_trace_taken(device, request)                                                         \
    do {                                                                                           \
        if (CONFIG_TRACE)                                                                          \
            block_trace_taken_here(device, request);                                               \
    } while (0)

static inline enum trace_event block_trace_mode_event(enum block_mode mode)
{
    static const uint8_t events[BLOCK_MODES] = {[BLOCK_INTERRUPT] = TRACE_BLOCK_BY_INTERRUPT,
                                                [BLOCK_POLLING] = TRACE_BLOCK_BY_POLLING,
                                                [BLOCK_HYBRID] = TRACE_BLOCK_BY_HYBRID,
                                                [BLOCK_BATCH] = TRACE_BLOCK_BY_BATCH};
    return (enum trace_event)events[mode];
}

static inline void block_trace_submitted_all(const struct block_queue *queue,
                                             const struct block_request *request)
{
    const bool carrier = request >= queue->carriers && request < queue->carriers + BLOCK_CARRIERS;
    if (!carrier) {
        block_trace_request(TRACE_BLOCK_SUBMITTED, queue, request);
        return;
    }
    for (const struct list *at = request->merged.next; at != &request->merged; at = at->next) {
        const struct block_request *one =
            (const struct block_request *)((const char *)at - offsetof(struct block_request, link));
        block_trace_request(TRACE_BLOCK_SUBMITTED, queue, one);
    }
}

static inline void block_trace_taken_here(const struct block_device *device,
                                          const struct block_request *request)
{
    cpu_preempt_disable();
    block_trace_request(TRACE_BLOCK_TAKEN, &device->queues[request->queue], request);
    cpu_preempt_enable();
}

#endif
