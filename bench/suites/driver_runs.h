// SPDX-License-Identifier: MIT
// Requests one after the other, and in bursts, as each way of driving a device has them. A function
// for each way, called directly: beside a read of a disk a call is nothing, and inlined into every
// case of every device they are most of the suite.
//
// The file that includes it has named the ways: DRIVER_WAYS(X), names of tables driver_NAME_ops.
#ifndef DRIVER_RUNS_H
#define DRIVER_RUNS_H

#include "driver_context.h"

// One after the other.
ALWAYS_INLINE uint64_t driver_run_single(const struct driver_ops *way,
                                         struct driver_context *context, uint64_t operations)
{
    struct driver_slot *const slot = &context->slots[0];
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i++) {
        if (UNLIKELY(!driver_hand_in(way, context, slot) ||
                     way->wait(context->device, &slot->request, context->waiter) != STATUS_OK)) {
            context->failed = true;
            return BENCH_FAILED;
        }
        sum += driver_word(context, slot);
    }
    return sum;
}

ALWAYS_INLINE uint64_t driver_run_bursts(const struct driver_ops *way,
                                         struct driver_context *context, uint64_t operations)
{
    uint64_t sum = 0;
    bool good = true;
    for (uint64_t done = 0; done < operations && good;) {
        const uint64_t most =
            operations - done < context->depth ? operations - done : context->depth;
        uint64_t in = 0;
        while (in < most && driver_hand_in(way, context, &context->slots[in]))
            in++;
        good = in == most;
        way->flush(context->device, DRIVER_QUEUE);
        // All that are on their way, also when one was refused: their memory is the device's.
        for (uint64_t i = 0; i < in; i++) {
            struct driver_slot *const slot = &context->slots[i];
            good = way->wait(context->device, &slot->request, context->waiter) == STATUS_OK && good;
            sum += driver_word(context, slot);
        }
        done += in;
    }
    context->failed |= !good;
    return good ? sum : BENCH_FAILED;
}

#define DRIVER_RUNS(way_)                                                                          \
    static NOINLINE uint64_t driver_single_##way_(struct driver_context *context,                  \
                                                  uint64_t operations)                             \
    {                                                                                              \
        return driver_run_single(&driver_##way_##_ops, context, operations);                       \
    }                                                                                              \
    static NOINLINE uint64_t driver_bursts_##way_(struct driver_context *context,                  \
                                                  uint64_t operations)                             \
    {                                                                                              \
        return driver_run_bursts(&driver_##way_##_ops, context, operations);                       \
    }
DRIVER_WAYS(DRIVER_RUNS)

#define DRIVER_SINGLE_OF(way_)                                                                     \
    if (way == &driver_##way_##_ops)                                                               \
        return driver_single_##way_(context, operations);
#define DRIVER_BURSTS_OF(way_)                                                                     \
    if (way == &driver_##way_##_ops)                                                               \
        return driver_bursts_##way_(context, operations);

// The sum of what was read; BENCH_FAILED. One of DRIVER_WAYS: where it is a constant, one call is
// left.
ALWAYS_INLINE uint64_t driver_single(const struct driver_ops *way, struct driver_context *context,
                                     uint64_t operations)
{
    DRIVER_WAYS(DRIVER_SINGLE_OF)
    return BENCH_FAILED;
}

// The same of bursts of the context's depth.
ALWAYS_INLINE uint64_t driver_bursts(const struct driver_ops *way, struct driver_context *context,
                                     uint64_t operations)
{
    DRIVER_WAYS(DRIVER_BURSTS_OF)
    return BENCH_FAILED;
}

#endif
