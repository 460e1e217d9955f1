// SPDX-License-Identifier: MIT
// The modes of the block layer as variants: each fixed one, and the one that the controller
// chooses.
#ifndef DRIVER_MODES_H
#define DRIVER_MODES_H

#include "driver.h"

// ---- interrupt ----------------------------------------------------------------------------------

static inline void driver_interrupt_begin(struct block_device *device, unsigned queue)
{
    block_set_mode(device, queue, BLOCK_INTERRUPT, false);
}

// Nothing is kept.
static inline void driver_flush_nothing(struct block_device *device, unsigned queue)
{
    (void)device;
    (void)queue;
}

static const struct driver_ops driver_interrupt_ops = {
    .about = {.name = "interrupt",
              .what = "sleeps until the device interrupts",
              .role = VARIANT_BASELINE},
    .mode = BLOCK_INTERRUPT,
    .begin = driver_interrupt_begin,
    .submit = block_submit_request,
    .wait = block_wait_interrupt,
    .flush = driver_flush_nothing,
};

// ---- polling ------------------------------------------------------------------------------------

static inline void driver_polling_begin(struct block_device *device, unsigned queue)
{
    block_set_mode(device, queue, BLOCK_POLLING, false);
}

static inline enum status driver_polling_wait(struct block_device *device,
                                              struct block_request *request,
                                              const struct block_waiter *waiter)
{
    (void)waiter;
    return block_poll_wait(device, request);
}

static const struct driver_ops driver_polling_ops = {
    .about = {.name = "polling",
              .what = "looks at the device until it is done",
              .role = VARIANT_PRODUCT},
    .mode = BLOCK_POLLING,
    .begin = driver_polling_begin,
    .submit = block_submit_request,
    .wait = driver_polling_wait,
    .flush = driver_flush_nothing,
};

// ---- hybrid -------------------------------------------------------------------------------------

static inline void driver_hybrid_begin(struct block_device *device, unsigned queue)
{
    block_set_mode(device, queue, BLOCK_HYBRID, false);
}

static const struct driver_ops driver_hybrid_ops = {
    .about = {.name = "hybrid",
              .what = "looks for 5 us at most, then sleeps",
              .role = VARIANT_PRODUCT},
    .mode = BLOCK_HYBRID,
    .begin = driver_hybrid_begin,
    .submit = block_submit_request,
    .wait = block_hybrid_wait,
    .flush = driver_flush_nothing,
};

// ---- batch --------------------------------------------------------------------------------------

static inline void driver_batch_begin(struct block_device *device, unsigned queue)
{
    block_set_mode(device, queue, BLOCK_BATCH, false);
}

static inline void driver_batch_flush(struct block_device *device, unsigned queue)
{
    block_flush_batch(device, queue);
}

static const struct driver_ops driver_batch_ops = {
    .about = {.name = "batch",
              .what = "gathers up to 32, sorts and merges them",
              .role = VARIANT_PRODUCT},
    .mode = BLOCK_BATCH,
    .begin = driver_batch_begin,
    .submit = block_batch_operation,
    .wait = block_wait_interrupt,
    .flush = driver_batch_flush,
};

// ---- adaptive -----------------------------------------------------------------------------------

static inline void driver_adaptive_begin(struct block_device *device, unsigned queue)
{
    block_set_mode(device, queue, BLOCK_INTERRUPT, true);
}

static const struct driver_ops driver_adaptive_ops = {
    .about = {.name = "adaptive",
              .what = "the mode that suits the load of the last second",
              .role = VARIANT_PRODUCT},
    .mode = BLOCK_INTERRUPT,
    .adaptive = true,
    .begin = driver_adaptive_begin,
    .submit = block_start,
    .wait = block_wait,
    .flush = driver_batch_flush,
};

#endif
