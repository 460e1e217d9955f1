// SPDX-License-Identifier: MIT
// The simulated disk in virtual time: loads that come at their time, and what became of them. A
// look at the clock takes MODEL_LOOK_NS, a sleep its time, and everything else nothing: so the
// figures say how modes behave at this latency and at that load, and are the same everywhere.
#ifndef DRIVER_MODEL_H
#define DRIVER_MODEL_H

#include "driver_runs.h"

#define MODEL_LOOK_NS        400u
#define MODEL_LATENCY_NS     10000u
#define MODEL_COMMAND_NS     500u
#define MODEL_KIB_NS         50u
#define MODEL_RATE_INTERRUPT 100u // requests a second
#define MODEL_RATE_HYBRID    5000u
#define MODEL_RATE_POLLING   50000u

// `operations` requests, one each 1/rate of a second, or as soon as the one before is done. Sum of
// their words.
ALWAYS_INLINE uint64_t model_load(const struct driver_ops *way, struct driver_context *context,
                                  uint64_t operations, uint64_t rate)
{
    struct driver_load *const load = &context->load;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i++) {
        load->due += DEVICE_SECOND_NS / rate;
        driver_sleep_until(context, load->due);
        const uint64_t word = driver_single(way, context, 1);
        if (UNLIKELY(word == BENCH_FAILED))
            return BENCH_FAILED;
        load->requests++;
        load->latency += context->virtual_ns - load->due;
        sum += word;
    }
    return sum;
}

#endif
