// SPDX-License-Identifier: MIT
// Threads of this target's scheduler for a device whose completions interrupt: one reader, which
// sleeps in the scheduler, while the idle thread has its CPU.
#include "driver_context.h"
#include "sched_policy_fifo.h"
#include "sched_world.h"

static struct driver_context *driving;
static uint64_t handled; // ticks of handlers that interrupted the idle thread

static void sleep_in_world(void *context, unsigned queue, uint64_t most_ns)
{
    struct sched *const sched = context;
    (void)queue;
    sched_sleep_until(sched, sched->ops->now_ns(sched->machine) + most_ns);
}

static void wake_in_world(void *context)
{
    sched_wake(context, &world.threads[0].thread);
}

static const struct block_waiter waiter = {
    .context = &world.sched, .sleep = sleep_in_world, .wake = wake_in_world};

// The idle thread's time is the scheduler's to count, and to the scheduler such a handler is a part
// of it.
static void interrupted(struct block_device *device, unsigned queue)
{
    const struct sched_cpu *const cpu = &world.sched.cpus[0];
    const bool idle = cpu->current == &cpu->idle;
    const uint64_t start = device_ticks(&device->config.clock);
    block_interrupt(device, queue);
    if (idle && queue == DRIVER_QUEUE)
        handled += device_ticks(&device->config.clock) - start;
}

static void read_on(void *argument)
{
    struct world_thread *const self = argument;
    uint64_t sum;
    do {
        struct driver_context *const context = driving;
        context->inside = true;
        sum = context->body(context, world.operations);
        context->inside = false;
    } while (world_pause(self, sum, 0));
}

static bool open_world(struct driver_context *context, uint64_t seed)
{
    driving = context;
    context->waiter = &waiter;
    handled = 0;
    __atomic_store_n(&context->device->interrupt, interrupted, __ATOMIC_RELAXED);
    return world_open(&sched_fifo_ops, 1, 1, false) && world_add("reader", read_on, 1, seed) &&
           world_start();
}

static uint64_t idle_ticks(const struct driver_context *context)
{
    return driver_ticks_of(context, world.sched.cpus[0].statistics.idle_ns) - handled;
}

static bool is_good(void)
{
    return !world.failed && !world.lost;
}

static void close_world(void)
{
    (void)world_close();
}

static const struct driver_threads threads = {.open = open_world,
                                              .window = world_window,
                                              .idle_ticks = idle_ticks,
                                              .good = is_good,
                                              .close = close_world};
const struct driver_threads *const driver_threads = &threads;
