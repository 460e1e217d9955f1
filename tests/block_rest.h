// SPDX-License-Identifier: MIT
// What must hold of a block device when all of its readers are done: everything ended, once, and
// nothing was left behind.
#ifndef BLOCK_REST_H
#define BLOCK_REST_H

#include <check.h>

#include "block.h"

// Of `good` requests of `bytes` each and `again` that resets aborted; every way to wait was used.
static inline void block_check_rest(struct block_device *device, uint64_t good, uint64_t again,
                                    uint64_t bytes, uint64_t resets_least)
{
    struct block_statistics statistics;
    block_statistics(device, BLOCK_QUEUES_MOST, &statistics);
    ck_assert_uint_eq(statistics.submitted, good + again);
    ck_assert_uint_eq(statistics.completed, good + again);
    ck_assert_uint_eq(statistics.bytes, good * bytes);
    ck_assert_uint_eq(statistics.strays, 0);
    ck_assert_uint_eq(statistics.timeouts, 0);
    ck_assert_uint_gt(statistics.sleeps, 0);
    ck_assert_uint_gt(statistics.merged, 0);
    ck_assert_uint_gt(statistics.interrupts, 0);
    ck_assert_uint_ge(device->resets, resets_least);
    ck_assert(resets_least > 0 || again == 0);
    for (unsigned i = 0; i < device->queue_count; i++) {
        const struct block_queue *queue = &device->queues[i];
        ck_assert_uint_eq(queue->outstanding + queue->waiting + queue->sleepers, 0);
        ck_assert_uint_eq(queue->carriers_free, (1u << BLOCK_CARRIERS) - 1);
    }
}

#endif
