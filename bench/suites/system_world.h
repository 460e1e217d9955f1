// SPDX-License-Identifier: MIT
// One CPU for the kernel's scheduler, inside of a benchmark's window, the same on every target: its
// context switch is one that is measured, its disk is the RAM disk, its interrupts come where a
// program lets them in. Everything else is the scheduler as it is.
//
//   clock     the CPU's, while a window runs. Where no thread can go on, it jumps to the moment
//             that the disk is done: what is awake takes as long as it takes, what is asleep takes
//             nothing but is in the sum. It stands while no window runs, so that each round finds
//             the same times
//   scale     how much faster the scheduler's clock runs, for every policy alike: a request takes
//             microseconds here, and its quantum, classes and ages are made for milliseconds
//   idle      the benchmark's own stack: a window is turns of the idle thread until the work is
//             done
//   stuck     no thread can go on and the disk has nothing either: the window fails
//
// Rules for callers
//   one       there is one world at a time: the next one takes over the stacks of its threads. A
//             world is just left when it is not needed any more; its threads never end
//   memory    all but the stacks is the caller's. What had been a stack is no good for anything
//             else: sanitisers remember what stood there
#ifndef SYSTEM_WORLD_H
#define SYSTEM_WORLD_H

#include "assert.h"
#include "compiler.h"
#include "cpu.h"
#include "platform.h"
#include "ram_disk.h"
#include "sched.h"
#include "system_variants.h"

#define WORLD_HZ            1000000000u // where nobody knows better
#define WORLD_SCALE         2000u       // a quantum is 5 us
#define WORLD_SHIFT         22u         // so that a second's nanoseconds at that scale still fit
#define WORLD_CONTEXT_BYTES 192u        // of the largest context
#define WORLD_THREADS       10u
#define WORLD_STACK_BYTES   (24u << 10)
#define WORLD_QUEUE         0u
// In the lowest word of a stack. Looked at behind a round: at a switch it would be in what is
// measured.
#define WORLD_STACK_END 0x57ac6e0d57ac6e0du

struct world_thread {
    struct sched_thread thread;
    uint8_t context[WORLD_CONTEXT_BYTES] CACHE_ALIGNED;
};

struct world {
    const struct system_on *on;
    // The clock.
    uint64_t hz, multiplier; // the scheduler's nanoseconds a tick, in units of 2^-WORLD_SHIFT
    bool goes;
    uint64_t stands, offset; // ticks; offset: of the CPU's clock, while it goes
    uint64_t idle;           // ticks that it jumped over, in all
    // The CPU.
    bool masked, stuck;
    unsigned threads;
    uint64_t timer_at_ns; // SCHED_NEVER: not set
    // What it drives.
    struct sched_cpu_ops ops;
    struct sched sched CACHE_ALIGNED;
    uint8_t sched_memory[sizeof(struct sched_cpu) + CACHE_LINE] CACHE_ALIGNED;
    uint8_t idle_context[WORLD_CONTEXT_BYTES] CACHE_ALIGNED;
    struct ram_disk disk;
    struct block_device device;
    uint8_t queue_memory[sizeof(struct block_queue)] CACHE_ALIGNED;
};

// ---- the clock ----------------------------------------------------------------------------------

static uint64_t world_ticks(void *world_)
{
    const struct world *const world = world_;
    return LIKELY(world->goes) ? cpu_ticks() + world->offset : world->stands;
}

static uint64_t world_now_ns(void *world_)
{
    const struct world *const world = world_;
    return (uint64_t)((unsigned __int128)world_ticks(world_) * world->multiplier >> WORLD_SHIFT);
}

static void world_skip(struct world *world, uint64_t ticks)
{
    *(world->goes ? &world->offset : &world->stands) += ticks;
}

static void world_go(struct world *world)
{
    world->goes = true;
    world->offset = world->stands - cpu_ticks_start();
}

static void world_stop(struct world *world)
{
    world->stands = cpu_ticks_stop_fenced() + world->offset;
    world->goes = false;
}

// ---- the CPU ------------------------------------------------------------------------------------

static unsigned world_cpu(void *world)
{
    (void)world;
    return 0;
}

// There is no other CPU, and this one looks when it comes to its idle thread.
static void world_kick(void *world, unsigned cpu)
{
    (void)world;
    (void)cpu;
}

static void world_set_timer(void *world, uint64_t at_ns)
{
    ((struct world *)world)->timer_at_ns = at_ns;
}

static bool world_mask(void *world_)
{
    struct world *const world = world_;
    const bool let_in = !world->masked;
    world->masked = true;
    return let_in;
}

static void world_unmask(void *world, bool let_in)
{
    ((struct world *)world)->masked = !let_in;
}

static bool world_preemptible(void *world)
{
    (void)world;
    return cpu_local()->preempt_count == 0;
}

// world_interrupts and idle turns look by themselves.
static void world_defer(void *world)
{
    (void)world;
}

static void raise_disk(struct world *world)
{
    cpu_preempt_disable();
    block_interrupt(&world->device, WORLD_QUEUE);
    cpu_preempt_enable();
}

static bool disk_waits(const struct world *world, uint64_t *ready)
{
    const struct ram_disk_queue *const queue = &world->disk.queues[WORLD_QUEUE];
    // Relaxed: all is one thread's.
    *ready = __atomic_load_n(&queue->next_ready, __ATOMIC_RELAXED);
    return *ready != UINT64_MAX && __atomic_load_n(&queue->armed, __ATOMIC_RELAXED) != 0;
}

// Nobody can go on until the disk is done.
static void world_idle(void *world_)
{
    struct world *const world = world_;
    uint64_t ready;
    if (!disk_waits(world, &ready)) {
        world->stuck = true;
        return;
    }
    const uint64_t now = world_ticks(world);
    if (ready > now) {
        world_skip(world, ready - now);
        world->idle += ready - now;
    }
    raise_disk(world);
}

// Where a program lets interrupts in: the disk's, and the end of its slice. May switch.
static void world_interrupts(struct world *world)
{
    uint64_t ready;
    if (disk_waits(world, &ready) && world_ticks(world) >= ready) {
        raise_disk(world);
        sched_preempt(&world->sched);
    }
    if (world->timer_at_ns != SCHED_NEVER && world_now_ns(world) >= world->timer_at_ns) {
        world->timer_at_ns = SCHED_NEVER;
        const bool let_in = world_mask(world);
        sched_interrupt(&world->sched, true);
        world_unmask(world, let_in);
    }
}

// ---- switches -----------------------------------------------------------------------------------

// Behind a switch, on the stack that was switched to.
static void world_arrive(struct thread *self)
{
    struct thread *const before = self->before;
    fiber_arrive(&self->fiber, &before->fiber, self->before_becomes == THREAD_FINISHED);
    // Release: as struct sched_cpu_ops wants it.
    __atomic_store_n(&before->state, self->before_becomes, __ATOMIC_RELEASE);
}

static void world_begin(void *thread_)
{
    struct thread *const self = thread_;
    world_arrive(self);
    self->entry(self->argument);
    platform_panic("a thread of the system came to its end", self->name, 0);
}

static void world_make(void *world_, struct sched_thread *thread, void (*entry)(void *argument))
{
    const struct world *const world = world_;
    struct thread *const made = &thread->context;
    made->name = thread->name;
    made->entry = entry;
    made->argument = thread;
    made->state = THREAD_READY;
    *(uint64_t *)(void *)made->stack = WORLD_STACK_END;
    fiber_make(&made->fiber, made->stack, made->stack_bytes);
    world->on->context->make(thread->user, made->stack + made->stack_bytes, world_begin, made,
                             false);
}

// One call of the switch that is measured: each variant has one of these.
ALWAYS_INLINE void world_switch(const struct system_on *on, struct sched_thread *from,
                                struct sched_thread *to, enum thread_state left)
{
    __atomic_store_n(&to->context.state, THREAD_RUNNING, __ATOMIC_RELAXED);
    to->context.before = &from->context;
    to->context.before_becomes = left;
    fiber_leave(&from->context.fiber, &to->context.fiber, left == THREAD_FINISHED);
    (void)on->context->inline_(from->user, to->user);
    world_arrive(&from->context);
}

static void world_enter(void *world, struct sched_thread *idle)
{
    idle->context = (struct thread){.name = idle->name, .state = THREAD_RUNNING};
    idle->user = ((struct world *)world)->idle_context;
    fiber_adopt(&idle->context.fiber);
}

// ---- beginning ----------------------------------------------------------------------------------

static inline void world_sleep(void *world, unsigned queue, uint64_t most_ns)
{
    (void)queue;
    (void)most_ns; // the disk is never late, and a wait may end early
    sched_block(&((struct world *)world)->sched);
}

static bool world_open_disk(struct world *world, void *content, uint64_t bytes,
                            const struct ram_disk_config *times)
{
    const struct device_clock clock = {.context = world, .hz = world->hz, .ticks = world_ticks};
    struct ram_disk_config disk = *times;
    disk.memory = content;
    disk.bytes = bytes;
    disk.queues = 1;
    disk.clock = clock;
    const struct block_config config = {
        .ops = &ram_disk_ops, .driver = &world->disk, .clock = clock, .queues = 1};
    ram_disk_init(&world->disk, &disk);
    if (block_init(&world->device, &config, world->queue_memory, sizeof(world->queue_memory)) !=
        STATUS_OK)
        return false;
    world->on->driver->begin(&world->device, WORLD_QUEUE);
    return true;
}

// A world without threads, whose idle thread is the caller. `times`: the disk's latencies and block
// size.
static inline bool world_open(struct world *world, const struct system_on *on,
                              void (*switch_to)(void *world, struct sched_thread *from,
                                                struct sched_thread *to, enum thread_state left),
                              void *content, uint64_t bytes, const struct ram_disk_config *times)
{
    const uint64_t hz = platform_clock_hz();
    *world = (struct world){.on = on, .timer_at_ns = SCHED_NEVER};
    world->hz = hz >= 1000 && hz <= DEVICE_HZ_MOST ? hz : WORLD_HZ;
    world->multiplier = ((uint64_t)DEVICE_SECOND_NS * WORLD_SCALE << WORLD_SHIFT) / world->hz;
    world->ops = (struct sched_cpu_ops){.name = "system",
                                        .cpu = world_cpu,
                                        .now_ns = world_now_ns,
                                        .kick = world_kick,
                                        .set_timer = world_set_timer,
                                        .idle = world_idle,
                                        .mask = world_mask,
                                        .unmask = world_unmask,
                                        .preemptible = world_preemptible,
                                        .defer = world_defer,
                                        .make = world_make,
                                        .switch_to = switch_to,
                                        .enter = world_enter};
    const struct sched_config config = {
        .cpus = 1, .ops = &world->ops, .machine = world, .policy = on->policy};
    if (on->context->context_bytes > WORLD_CONTEXT_BYTES ||
        sched_init(&world->sched, &config, world->sched_memory, sizeof(world->sched_memory)) !=
            STATUS_OK)
        return false;
    sched_join_cpu(&world->sched);
    return world_open_disk(world, content, bytes, times);
}

// Has it kept off the end of its stack?
static inline bool world_stack_kept(const struct world_thread *thread)
{
    const void *const end = thread->thread.context.stack;
    return *(const uint64_t *)end == WORLD_STACK_END;
}

// Adds a thread, which begins in the first window.
static inline bool world_add(struct world *world, struct world_thread *thread, const char *name,
                             void (*program)(void *argument), void *argument)
{
    static uint8_t stacks[WORLD_THREADS][WORLD_STACK_BYTES] CACHE_ALIGNED;
    assert(world->threads < WORLD_THREADS);
    const struct sched_attributes attributes = {.name = name,
                                                .stack = stacks[world->threads],
                                                .stack_bytes = WORLD_STACK_BYTES,
                                                .entry = program,
                                                .argument = argument,
                                                .user = thread->context};
    if (sched_create(&world->sched, &thread->thread, &attributes) != STATUS_OK)
        return false;
    world->threads++;
    cpu_preempt_disable(); // nobody runs before a window does
    sched_start(&thread->thread);
    cpu_preempt_enable();
    return true;
}

#endif
