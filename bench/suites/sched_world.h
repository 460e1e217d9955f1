// SPDX-License-Identifier: MIT
// A scheduler with real threads inside of a benchmark: windows are entered and left like a
// coroutine.
//
//   world    a scheduler over this target's CPUs (platform_sched) and its threads
//   outside  the benchmark's framework, on the stack it has
//   inside   the scheduler and its threads. CPU 0's idle thread has a stack of the world's
//   window   from when outside goes in until the leading thread steps out again, in the middle of
//            its own work: for the scheduler it runs all the while
//   frozen   outside, a world of one CPU stands still: its clock does, its timer is off. One of
//            several CPUs goes on, which is why nothing must be left to do when a window ends
//   scale    how much faster than the real one the scheduler's clock runs: a quantum, a class, an
//            age and a period of balancing are all shorter by that, for every policy alike
//
// Rules for callers
//   threads   outside: CPU 0. world_pause, world_late: threads of the world
//   one       there is one world at a time; what a failed row leaves behind is ended by the next
//             world_open
//   bounds    a window that takes longer than WORLD_MOST_NS of the platform's clock fails, whether
//             threads run or all wait; a thread that runs for long asks world_late. Ending has the
//             same bound; a world that cannot be ended is lost, and with it all rows of this kind
//   programs  a thread ends when world_over() says so, which it asks after each wait
#ifndef SCHED_WORLD_H
#define SCHED_WORLD_H

#include "assert.h"
#include "bench.h"
#include "body.h"
#include "compiler.h"
#include "cpu.h"
#include "fiber.h"
#include "platform.h"
#include "random.h"
#include "sched.h"
#include "switch_full.h"

#define WORLD_THREADS     24u
#define WORLD_STACK_BYTES (64u << 10)
#define WORLD_CPUS        2u
#define WORLD_MOST_NS     UINT64_C(4000000000)
#define WORLD_WAIT_MS     60000u // for another CPU to be parked again
#define WORLD_NAMES       (WORLD_THREADS + 2 * CPU_MOST)

struct world_thread {
    struct sched_thread thread;
    uint32_t number;
    // Of the last wake-up, while the clock of the world goes: see world_ticks.
    uint64_t woken_ticks;
    bool woken;
    // The program's.
    uint64_t count;
    struct random random;
};

struct world {
    bool open;   // its threads live
    bool lost;   // the last one could not be ended: no further one
    bool failed; // the window did not come to its end
    bool over;   // atomic: threads are to end
    // The platform's, and what the scheduler gets.
    const struct sched_cpu_ops *below;
    void *machine;
    void (*closing)(void); // ends what threads wait at besides the scheduler; NULL: nothing
    struct sched_cpu_ops ops;
    uint64_t scale;
    unsigned cpus;
    // CPU 0's. What was spent outside, in all; and, while it is frozen, the time at which it
    // stands.
    bool inside;
    uint64_t skipped_ns, stands_ns;
    uint64_t skipped_ticks, stands_ticks;
    uint64_t until_ns; // of the platform's clock: the window's end
    bool ordered_stop;
    // Where the two sides go on.
    struct cpu_full outside, within;
    struct fiber outside_fiber, idle_fiber, *left_by;
    // The window.
    uint64_t operations, result, ticks;
    uint64_t began;       // ticks of the world
    unsigned short_units; // of work, of a short run
    unsigned thread_count;
    struct sched sched CACHE_ALIGNED;
    struct world_thread threads[WORLD_THREADS];
    uint8_t memory[WORLD_CPUS * sizeof(struct sched_cpu) + WORLD_NAMES * sizeof(char *) +
                   CACHE_LINE] CACHE_ALIGNED;
    uint8_t idle_stack[WORLD_STACK_BYTES] CACHE_ALIGNED;
    uint8_t stacks[WORLD_THREADS][WORLD_STACK_BYTES] CACHE_ALIGNED;
};

static struct world world;

// ---- the clock ----------------------------------------------------------------------------------

static uint64_t world_platform_ns(void)
{
    return world.below->now_ns(world.machine);
}

static bool world_goes(void)
{
    return world.inside || world.cpus > 1;
}

static uint64_t world_now_ns(void *machine)
{
    (void)machine;
    return (world_goes() ? world_platform_ns() - world.skipped_ns : world.stands_ns) * world.scale;
}

// While the world is frozen, the scheduler's word is kept for later.
static void world_set_timer(void *machine, uint64_t at_ns)
{
    uint64_t at = at_ns;
    if (!world_goes())
        return;
    if (at != SCHED_NEVER)
        at = (at_ns + world.scale - 1) / world.scale + world.skipped_ns;
    world.below->set_timer(machine, at);
}

// Ticks of which none were spent outside.
ALWAYS_INLINE uint64_t world_ticks(uint64_t ticks)
{
    return ticks - world.skipped_ticks;
}

ALWAYS_INLINE uint64_t world_ticks_stop(void)
{
    return world_ticks(world.ordered_stop ? cpu_ticks_stop() : cpu_ticks_stop_fenced());
}

// When a thread is made ready, as its CPU does it.
static void world_event(void *machine, const struct sched_event *event)
{
    if (world.below->event != NULL)
        world.below->event(machine, event);
    const uint32_t number = event->thread - world.cpus - 1;
    if (event->kind != SCHED_EVENT_WAKE || number >= world.thread_count)
        return;
    world.threads[number].woken = true;
    world.threads[number].woken_ticks = world_ticks(cpu_ticks_start());
}

// ---- in and out ---------------------------------------------------------------------------------

static void world_freeze(void)
{
    const bool let_in = world.below->mask(world.machine);
    if (world.cpus == 1) {
        if (world.sched.cpus[0].timer_at_ns != SCHED_NEVER)
            world.below->set_timer(world.machine, SCHED_NEVER);
        world.stands_ns = world_platform_ns() - world.skipped_ns;
    }
    world.stands_ticks = cpu_ticks() - world.skipped_ticks;
    world.inside = false;
    world.below->unmask(world.machine, let_in);
}

static void world_thaw(void)
{
    const bool let_in = world.below->mask(world.machine);
    world.began = world.stands_ticks;
    world.skipped_ticks = cpu_ticks() - world.stands_ticks;
    world.inside = true;
    if (world.cpus == 1) {
        world.skipped_ns = world_platform_ns() - world.stands_ns;
        if (world.sched.cpus[0].timer_at_ns != SCHED_NEVER)
            world_set_timer(world.machine, world.sched.cpus[0].timer_at_ns);
    }
    world.below->unmask(world.machine, let_in);
}

// From inside to outside; `fiber` is that of the running thread. Returns when outside comes in
// again. Preemption stays disabled outside: what interrupts there switches to nobody.
static NOINLINE void world_step_out(struct fiber *fiber)
{
    cpu_preempt_disable();
    world_freeze();
    world.left_by = fiber;
    fiber_leave(fiber, &world.outside_fiber, false);
    (void)switch_full_jmp(&world.within, &world.outside);
    fiber_arrive(fiber, &world.outside_fiber, false);
    world_thaw();
    cpu_preempt_enable();
}

// From outside to inside, to where it was left. Returns when somebody steps out, or all is over.
static NOINLINE void world_step_in(void)
{
    const uint64_t now = world_platform_ns();
    world.until_ns = now + WORLD_MOST_NS;
    fiber_leave(&world.outside_fiber, world.left_by, false);
    (void)switch_full_jmp(&world.outside, &world.within);
    fiber_arrive(&world.outside_fiber, world.left_by, !world.open);
}

// The window has taken too long: the caller, who runs for long, pauses as a failure.
static bool world_late(void)
{
    return (int64_t)(world_platform_ns() - world.until_ns) > 0;
}

static bool world_over(void)
{
    // Acquire: with what outside wrote before.
    return __atomic_load_n(&world.over, __ATOMIC_ACQUIRE);
}

static void world_fail(struct fiber *fiber)
{
    if (cpu_local()->index != 0)
        return;
    world.failed = true;
    world_step_out(fiber);
}

// With nothing to run for too long, the window fails; so no wait is without a timer on CPU 0.
static void world_idle(void *machine)
{
    struct sched_cpu *const cpu = &world.sched.cpus[0];
    const bool first = cpu_local()->index == 0;
    if (first && cpu->timer_at_ns == SCHED_NEVER)
        world.below->set_timer(machine, world.until_ns + 1);
    world.below->idle(machine);
    if (first && cpu->timer_at_ns == SCHED_NEVER)
        world.below->set_timer(machine, SCHED_NEVER);
    if (first && world_late() && world.inside) {
        world.below->unmask(machine, true);
        world_fail(&cpu->idle.context.fiber);
        (void)world.below->mask(machine);
    }
}

// The leading thread's: the window is over and came to `result`. Returns in the next one; false:
// there is none, all is over.
static bool world_pause(struct world_thread *self, uint64_t result, uint64_t ticks)
{
    if (world_over())
        return false;
    world.result = result;
    world.ticks = ticks;
    world_step_out(&self->thread.context.fiber);
    return !world_over();
}

static void world_begin(void *unused)
{
    (void)unused;
    fiber_arrive(&world.idle_fiber, &world.outside_fiber, false);
    world_thaw();
    sched_start_cpu(&world.sched);
    world.open = false;
    world.left_by = &world.idle_fiber;
    fiber_leave(&world.idle_fiber, &world.outside_fiber, true);
    (void)switch_full_jmp(&world.within, &world.outside);
    platform_panic("a world that is over was entered", __FILE__, __LINE__);
}

static void world_join(void *unused)
{
    (void)unused;
    sched_start_cpu(&world.sched);
}

// ---- beginning and end --------------------------------------------------------------------------

// Ends the world, if there is one: all threads are woken and end. False: they did not.
static bool world_close(void)
{
    for (unsigned tries = 0; world.open && tries < 2; tries++) {
        __atomic_store_n(&world.over, true, __ATOMIC_RELEASE);
        if (world.closing != NULL)
            world.closing();
        for (unsigned i = 0; i < world.thread_count; i++)
            if (!sched_finished(&world.threads[i].thread))
                sched_wake(&world.sched, &world.threads[i].thread);
        sched_stop(&world.sched);
        world_step_in();
    }
    world.lost |= world.open;
    for (unsigned i = 1; i < world.cpus && !world.lost; i++)
        platform_cpu_wait(i, WORLD_WAIT_MS);
    return !world.lost;
}

// Makes a world without threads. `watch`: wake-ups are stamped. False: there is none here.
static bool world_open(const struct sched_policy_ops *policy, unsigned cpus, uint64_t scale,
                       bool watch)
{
    void *machine;
    if (!world_close())
        return false;
    const struct sched_cpu_ops *const below = platform_sched(&machine);
    if (below == NULL || cpus > WORLD_CPUS || cpus > platform_cpu_count())
        return false;
    world.below = below;
    world.machine = machine;
    world.closing = NULL;
    world.ops = *below;
    world.ops.now_ns = world_now_ns;
    world.ops.set_timer = world_set_timer;
    world.ops.idle = world_idle;
    world.ops.event = watch ? world_event : below->event;
    world.scale = scale;
    world.cpus = cpus;
    world.failed = world.over = world.inside = false;
    world.skipped_ns = 0;
    world.stands_ns = world_platform_ns();
    world.stands_ticks = 0;
    world.thread_count = 0;
    world.ordered_stop = cpu_has_ordered_stop();
    const struct sched_config config = {.cpus = cpus,
                                        .ops = &world.ops,
                                        .machine = machine,
                                        .policy = policy,
                                        .names = WORLD_NAMES,
                                        .trace = true};
    return sched_init(&world.sched, &config, world.memory, sizeof(world.memory)) == STATUS_OK;
}

// Adds a thread that runs program(its struct world_thread) on the CPUs of the mask `affinity`, 0:
// any.
static bool world_add(const char *name, void (*program)(void *thread), uint64_t affinity,
                      uint64_t seed)
{
    assert(world.thread_count < WORLD_THREADS);
    const unsigned number = world.thread_count;
    struct world_thread *const one = &world.threads[number];
    *one = (struct world_thread){.number = number, .random = random_seeded(seed + number)};
    const struct sched_attributes attributes = {.name = name,
                                                .affinity = affinity,
                                                .stack = world.stacks[number],
                                                .stack_bytes = WORLD_STACK_BYTES,
                                                .entry = program,
                                                .argument = one};
    if (sched_create(&world.sched, &one->thread, &attributes) != STATUS_OK)
        return false;
    world.thread_count++;
    return true;
}

// All threads are there: they begin in the first window.
static bool world_start(void)
{
    world.open = true;
    for (unsigned i = 0; i < world.thread_count; i++)
        sched_start(&world.threads[i].thread);
    fiber_adopt(&world.outside_fiber);
    fiber_make(&world.idle_fiber, world.idle_stack, sizeof(world.idle_stack));
    world.left_by = &world.idle_fiber;
    switch_full_make(&world.within, world.idle_stack + sizeof(world.idle_stack), world_begin, NULL,
                     false);
    for (unsigned i = 1; i < world.cpus; i++) {
        platform_cpu_wait(i, WORLD_WAIT_MS);
        if (!platform_cpu_start(i, world_join, NULL))
            return false;
    }
    return true;
}

// One window: what the pausing thread says it came to.
static uint64_t world_window(uint64_t operations)
{
    if (!world.open || world.failed)
        return BENCH_FAILED;
    world.operations = operations;
    world_step_in();
    if (world.open && !world.failed)
        return world.result;
    (void)world_close();
    return BENCH_FAILED;
}

#endif
