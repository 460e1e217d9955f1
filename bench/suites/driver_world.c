// SPDX-License-Identifier: MIT
// Threads of this target's scheduler for a device whose completions interrupt: one reader, which
// sleeps in the scheduler, while the idle thread has its CPU.
#include "driver_context.h"
#include "sched_policy_fifo.h"
#include "sched_world.h"

static struct driver_context *driving;

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
    return world_open(&sched_fifo_ops, 1, 1, false) && world_add("reader", read_on, 1, seed) &&
           world_start();
}

static uint64_t idle_ns(void)
{
    return world.sched.cpus[0].statistics.idle_ns;
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
                                              .idle_ns = idle_ns,
                                              .good = is_good,
                                              .close = close_world};
const struct driver_threads *const driver_threads = &threads;
