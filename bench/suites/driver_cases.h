// SPDX-License-Identifier: MIT
// The cases of the suite `driver`. Their kinds:
//
//   the disk        requests of a device from one thread on CPU 0, which sleeps where its mode says
//   instructions    submit, complete, mode_switch, decide, record, window: without a wait
//   phases          the disk under a load that changes, in real time: driver_line.h
//   sim_            the simulated disk in virtual time, the same on every target: what is measured
//                   is the work of simulating a request, and what came of it is in the counters
//
// The file that includes it has named its variants (SUITE_VARIANTS of body.h): tables of struct
// driver_on, and their ways (DRIVER_WAYS). Other people's ways to read are such tables, too.
#ifndef DRIVER_CASES_H
#define DRIVER_CASES_H

#include "definitions_driver.h"
#include "driver_context.h"
#include "driver_line.h"
#include "driver_model.h"
#include "driver_runs.h"

#define SUITE           driver
#define SUITE_MECHANISM driver_on

#define BURST 32u

#define SUITE_CASES(X, v)                                                                          \
    X(v, request, 4, true, 20, 0, 4, 2, 120, "4 KiB read at random, handed in and waited for")     \
    X(v, share, 4, true, 1, 16, 4, 1, 120,                                                         \
      "the same: what a CPU worked for it, in ten-thousandths, whatever the unit says")            \
    X(v, wake, 4, true, 1, 0, 4, 2, 120,                                                           \
      "the same: from a completion's being found to the thread that waited for it")                \
    X(v, cpu_100, 1, true, 20, 2, 1, 0, 240,                                                       \
      "4 KiB read 100 times a second: ticks on the CPU for each")                                  \
    X(v, cpu_1000, 2, true, 20, 8, 2, 0, 240, "the same 1000 times a second")                      \
    X(v, cpu_5000, 8, true, 20, 16, 4, 0, 240, "the same 5000 times a second")                     \
    X(v, sequential, BURST, true, 10, 2 * BURST, BURST, 1, 240,                                    \
      "4 KiB out of 32 handed in at once, which are in sequence once sorted")                      \
    X(v, ordered_1, 16, true, 10, 0, 8, 0, 240, "4 KiB in sequence, one at a time")                \
    X(v, ordered_4, 64, true, 10, 0, 8, 0, 240, "4 KiB in sequence, bursts of 4")                  \
    X(v, ordered_16, 64, true, 10, 0, 16, 0, 240, "4 KiB in sequence, bursts of 16")               \
    X(v, ordered_64, 128, true, 10, 0, 64, 0, 240, "4 KiB in sequence, bursts of 64")              \
    X(v, random_1, 16, true, 10, 0, 8, 0, 240, "4 KiB at random, one at a time")                   \
    X(v, random_4, 64, true, 10, 0, 8, 0, 240, "4 KiB at random, bursts of 4")                     \
    X(v, random_16, 64, true, 10, 0, 16, 0, 240, "4 KiB at random, bursts of 16")                  \
    X(v, random_64, 128, true, 10, 0, 64, 0, 240, "4 KiB at random, bursts of 64")                 \
    X(v, size_512, 32, true, 10, 0, 8, 0, 240, "512 B at random, bursts of 4")                     \
    X(v, size_16k, 32, true, 10, 0, 8, 0, 240, "16 KiB at random, bursts of 4")                    \
    X(v, size_128k, 16, true, 10, 0, 8, 0, 240, "128 KiB at random, bursts of 4")                  \
    X(v, phases, 1, true, 20, DRIVER_SLICES, DRIVER_SLICES_TRACED, 0, 240,                         \
      "CPU ticks in 20 ms, 100 requests/s; then 100, 5000, 50 000, 100 in real time: curves")      \
    X(v, submit, BURST, true, 10, BURST, BURST, 0, 60,                                             \
      "one of 32 handed in: until the device has it; the wait is not timed")                       \
    X(v, complete, BURST, true, 10, 0, 8, 2, 60,                                                   \
      "512 B that the device has ready: its interrupt where there is one, and its wait")           \
    X(v, mode_switch, 64, false, 10, 64, 16, 2, 30,                                                \
      "the mode of a device's queue changed: interrupt, polling, in turn")                         \
    X(v, decide, 256, false, 4, 0, 16, 2, 30, "which mode suits the last second")                  \
    X(v, record, 256, false, 2, 0, 16, 2, 30,                                                      \
      "an operation counted, 50 000 a second; the decisions they bring about with them")           \
    X(v, window, 256, false, 10, 0, 16, 2, 30, "operations a second over the last second")         \
    X(v, sim_load, 32, true, 20, 32, 8, 1, 120,                                                    \
      "a request of the simulated disk in virtual time: latency, CPU share by load")               \
    X(v, sim_depth, 32, true, 20, 32, 8, 1, 120,                                                   \
      "the same: throughput by depth and size, at random and in sequence")                         \
    X(v, sim_phases, 32, true, 20, 32, 8, 1, 120,                                                  \
      "the same: 100, 5000, 50 000, 100 requests a second, one after the other")

// ---- the disk -----------------------------------------------------------------------------------

ALWAYS_INLINE uint64_t request(const struct driver_on *on, void *context_, uint64_t operations)
{
    struct driver_context *const context = context_;
    if (driver_goes_inside(context))
        return context->threads->window(operations);
    const uint64_t start = driver_now(context);
    const uint64_t sum = driver_single(on->way, context, operations);
    context->ticks = driver_between(start, driver_now(context));
    return sum;
}

// Share and whole of the same window.
ALWAYS_INLINE uint64_t share(const struct driver_on *on, void *context_, uint64_t operations)
{
    struct driver_context *const context = context_;
    if (driver_goes_inside(context))
        return context->threads->window(operations);
    const uint64_t start = driver_now(context), before = driver_away(context);
    const uint64_t sum = driver_single(on->way, context, operations);
    driver_account(context, start, before);
    context->ticks = max_u64(operations * DRIVER_WHOLE * context->busy / context->elapsed, 1);
    return sum;
}

ALWAYS_INLINE uint64_t wake(const struct driver_on *on, void *context_, uint64_t operations)
{
    struct driver_context *const context = context_;
    if (driver_goes_inside(context))
        return context->threads->window(operations);
    uint64_t sum = 0, ticks = 0;
    for (uint64_t i = 0; i < operations; i++) {
        const uint64_t word = driver_single(on->way, context, 1);
        ticks += driver_between(context->slots[0].request.completed_at, driver_now(context));
        if (UNLIKELY(word == BENCH_FAILED))
            return BENCH_FAILED;
        sum += word;
    }
    context->ticks = ticks;
    return sum;
}

// Each at its time, asleep in between where it sleeps at all; on the CPU is what is not away.
ALWAYS_INLINE uint64_t paced(const struct driver_on *on, struct driver_context *context,
                             uint64_t operations, uint64_t rate)
{
    if (driver_goes_inside(context))
        return context->threads->window(operations);
    const uint64_t period = driver_ticks_of(context, DEVICE_SECOND_NS / rate);
    const uint64_t start = driver_now(context), before = driver_away(context);
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i++) {
        if (on->always)
            driver_look_until(context, start + (i + 1) * period);
        else
            driver_sleep_until(context, start + (i + 1) * period);
        const uint64_t word = driver_single(on->way, context, 1);
        if (UNLIKELY(word == BENCH_FAILED))
            return BENCH_FAILED;
        sum += word;
    }
    driver_account(context, start, before);
    context->ticks = context->busy;
    return sum;
}

ALWAYS_INLINE uint64_t cpu_100(const struct driver_on *on, void *context, uint64_t operations)
{
    return paced(on, context, operations, 100);
}

ALWAYS_INLINE uint64_t cpu_1000(const struct driver_on *on, void *context, uint64_t operations)
{
    return paced(on, context, operations, 1000);
}

ALWAYS_INLINE uint64_t cpu_5000(const struct driver_on *on, void *context, uint64_t operations)
{
    return paced(on, context, operations, 5000);
}

ALWAYS_INLINE uint64_t sequential(const struct driver_on *on, void *context_, uint64_t operations)
{
    struct driver_context *const context = context_;
    if (driver_goes_inside(context))
        return context->threads->window(operations);
    const uint64_t start = driver_now(context);
    const uint64_t sum = driver_bursts(on->way, context, operations);
    context->ticks = driver_between(start, driver_now(context));
    return sum;
}

// Of many operations each is a tenth of a second of the time line, of one a short while of its
// beginning.
ALWAYS_INLINE uint64_t phases(const struct driver_on *on, void *context_, uint64_t operations)
{
    struct driver_context *const context = context_;
    if (driver_goes_inside(context))
        return context->threads->window(operations);
    context->ticks = 0;
    for (uint64_t i = 0; i < operations; i++)
        if (UNLIKELY(!driver_slice(on->way, context, i, operations > 1)))
            return BENCH_FAILED;
    return operations;
}

#define ordered_1  sequential
#define ordered_4  sequential
#define ordered_16 sequential
#define ordered_64 sequential
#define random_1   sequential
#define random_4   sequential
#define random_16  sequential
#define random_64  sequential
#define size_512   sequential
#define size_16k   sequential
#define size_128k  sequential

// ---- instructions -------------------------------------------------------------------------------

ALWAYS_INLINE uint64_t submit(const struct driver_on *on, void *context_, uint64_t operations)
{
    struct driver_context *const context = context_;
    uint64_t in = 0, sum = 0;
    bool good = operations <= DRIVER_SLOTS;
    const uint64_t start = cpu_ticks_start();
    while (good && in < operations && driver_hand_in(on->way, context, &context->slots[in]))
        in++;
    on->way->flush(context->device, DRIVER_QUEUE);
    context->ticks = cpu_ticks_stop_fenced() - start;
    good = in == operations;
    for (uint64_t i = 0; i < in; i++) {
        struct driver_slot *const slot = &context->slots[i];
        good = on->way->wait(context->device, &slot->request, NULL) == STATUS_OK && good;
        sum += driver_word(context, slot);
    }
    context->failed |= !good;
    return good ? sum : BENCH_FAILED;
}

// The simulated disk is done at once, and its interrupt comes when it is called.
ALWAYS_INLINE uint64_t complete(const struct driver_on *on, void *context_, uint64_t operations)
{
    struct driver_context *const context = context_;
    struct driver_slot *const slot = &context->slots[0];
    const bool sleeps = on->way->mode == BLOCK_INTERRUPT || on->way->mode == BLOCK_BATCH;
    uint64_t sum = 0, ticks = 0;
    for (uint64_t i = 0; i < operations; i++) {
        if (UNLIKELY(!driver_hand_in(on->way, context, slot)))
            return BENCH_FAILED;
        on->way->flush(context->device, DRIVER_QUEUE);
        const uint64_t start = cpu_ticks_start();
        if (sleeps) {
            cpu_preempt_disable();
            block_interrupt(context->device, DRIVER_QUEUE);
            cpu_preempt_enable();
        }
        const enum status status = on->way->wait(context->device, &slot->request, context->waiter);
        ticks += cpu_ticks_stop_fenced() - start;
        if (UNLIKELY(status != STATUS_OK))
            return BENCH_FAILED;
        sum += driver_word(context, slot);
    }
    context->ticks = ticks;
    return sum;
}

// How often it changed.
ALWAYS_INLINE uint64_t mode_switch(const struct driver_on *on, void *context_, uint64_t operations)
{
    struct block_device *const device = ((struct driver_context *)context_)->device;
    const uint64_t *const switches = &device->queues[DRIVER_QUEUE].controller.statistics.switches;
    const uint64_t first = *switches;
    for (uint64_t i = 0; i < operations; i++)
        block_set_mode(device, DRIVER_QUEUE, i % 2 == 0 ? BLOCK_POLLING : BLOCK_INTERRUPT,
                       on->way->adaptive);
    return *switches - first;
}

ALWAYS_INLINE uint64_t decide(const struct driver_on *on, void *context_, uint64_t operations)
{
    struct driver_context *const context = context_;
    uint64_t sum = 0;
    (void)on;
    for (uint64_t i = 0; i < operations; i++) {
        sum += block_mode_priority(block_controller_decide(&context->controllers[i % BLOCK_MODES]));
        BODY_SETTLE();
    }
    return sum;
}

ALWAYS_INLINE uint64_t record(const struct driver_on *on, void *context_, uint64_t operations)
{
    struct driver_context *const context = context_;
    struct block_controller *const controller = &context->controllers[BLOCK_POLLING];
    const uint64_t first = controller->operations;
    (void)on;
    for (uint64_t i = 0; i < operations; i++) {
        context->now += DRIVER_HZ / MODEL_RATE_POLLING;
        (void)block_controller_record(controller, context->now, false);
        BODY_SETTLE();
    }
    return controller->operations - first;
}

ALWAYS_INLINE uint64_t window(const struct driver_on *on, void *context_, uint64_t operations)
{
    struct driver_context *const context = context_;
    uint64_t sum = 0;
    (void)on;
    for (uint64_t i = 0; i < operations; i++) {
        sum += block_controller_rate(&context->controllers[i % BLOCK_MODES], context->now);
        BODY_SETTLE();
    }
    return sum;
}

// ---- virtual time -------------------------------------------------------------------------------

ALWAYS_INLINE uint64_t sim_load(const struct driver_on *on, void *context, uint64_t operations)
{
    return model_load(on->way, context, operations, MODEL_RATE_HYBRID);
}

ALWAYS_INLINE uint64_t sim_depth(const struct driver_on *on, void *context, uint64_t operations)
{
    return driver_bursts(on->way, context, operations);
}

#define sim_phases sim_load

#endif
