// SPDX-License-Identifier: MIT
// The least that drives a device: its functions, called directly. No lock, no checks but the
// device's own, nothing counted; the clock is looked at after many looks at the device only, to
// give up one that does not answer. A bound: one thread, polling.
#ifndef DRIVER_FLOOR_H
#define DRIVER_FLOOR_H

#include "driver.h"

#define DRIVER_FLOOR_LOOKS      4096u // at the device, then one at the clock
#define DRIVER_FLOOR_PATIENCE_S 2u    // since the first of those; then it has failed

static inline void driver_floor_begin(struct block_device *device, unsigned queue)
{
    block_set_mode(device, queue, BLOCK_POLLING, false);
}

static inline enum status driver_floor_submit(struct block_device *device, unsigned queue,
                                              struct block_request *request)
{
    request->state = BLOCK_SUBMITTED;
    request->queue = queue;
    const enum status status = device->config.ops->submit(device->config.driver, queue, request);
    if (LIKELY(status == STATUS_OK))
        device->config.ops->ring(device->config.driver, queue);
    return status;
}

static inline enum status driver_floor_wait(struct block_device *device,
                                            struct block_request *request,
                                            const struct block_waiter *waiter)
{
    (void)waiter;
    struct block_request *done[BLOCK_POLL_ONCE];
    const struct device_clock *const clock = &device->config.clock;
    uint64_t since = 0;
    for (uint64_t look = 1; request->state != BLOCK_DONE; look++) {
        if (UNLIKELY(look % DRIVER_FLOOR_LOOKS == 0)) {
            const uint64_t now = device_ticks(clock);
            since = look == DRIVER_FLOOR_LOOKS ? now : since;
            if (now - since > DRIVER_FLOOR_PATIENCE_S * clock->hz)
                return STATUS_TIMEOUT;
        }
        const unsigned found =
            device->config.ops->poll(device->config.driver, request->queue, done, BLOCK_POLL_ONCE);
        for (unsigned i = 0; i < found; i++)
            done[i]->state = BLOCK_DONE;
    }
    return request->status;
}

static inline void driver_floor_flush(struct block_device *device, unsigned queue)
{
    (void)device;
    (void)queue;
}

static const struct driver_ops driver_floor_ops = {
    .about = {.name = "floor",
              .what = "the device's functions called directly, polling",
              .role = VARIANT_FLOOR},
    .mode = BLOCK_POLLING,
    .begin = driver_floor_begin,
    .submit = driver_floor_submit,
    .wait = driver_floor_wait,
    .flush = driver_floor_flush,
};

#endif
