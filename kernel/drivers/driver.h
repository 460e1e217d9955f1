// SPDX-License-Identifier: MIT
// The interface every way of driving a block device offers, so that one test body and one benchmark
// body serve all: how a request is handed in and how it is waited for.
//
// Rules for callers
//   one variant drives a queue at a time: `begin` sets the queue up for it, with no request on its
//   way. Then as block.h says; the floor has one thread for a queue, and no completions but those
//   that `wait` finds
//
// A variant NAME is `static const struct driver_ops driver_NAME_ops` in a header, and a line in
// driver_variants.h.
#ifndef DRIVER_H
#define DRIVER_H

#include "block.h"
#include "variant.h"

struct driver_ops {
    struct variant about;
    enum block_mode mode; // to begin with
    bool adaptive;        // the queue's controller changes it
    void (*begin)(struct block_device *device, unsigned queue);
    // As block_submit_request; a batch may keep the request for a while.
    enum status (*submit)(struct block_device *device, unsigned queue,
                          struct block_request *request);
    // Until the request is done; its status. `waiter` as for block_wait_interrupt.
    enum status (*wait)(struct block_device *device, struct block_request *request,
                        const struct block_waiter *waiter);
    // What is kept goes to the device now.
    void (*flush)(struct block_device *device, unsigned queue);
};

#endif
