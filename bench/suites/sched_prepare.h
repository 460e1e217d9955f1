// SPDX-License-Identifier: MIT
// What the cases of the suite `sched` begin with, and what must come out. Included behind
// SUITE_TABLES, which it uses.
#ifndef SCHED_PREPARE_H
#define SCHED_PREPARE_H

#include "compiler.h"
#include "platform.h"
#include "random.h"
#include "sched_cases.h"
#include "string.h"

#define POLICY_ENTRY(v) &sched_##v##_ops,
_Static_assert(ARRAY_COUNT(variants) ==
                   ARRAY_COUNT(((const void *[]){SCHED_POLICY_VARIANTS(POLICY_ENTRY)})) + 1,
               "every policy of sched_policy_variants.h stands in SUITE_VARIANTS, and the floor");

#define SCALE_SAMPLED 50u // a quantum is 0.2 ms
#define SCALE_EXACT   500u
// Units of work of a short run: half a millisecond of the scheduler's clock, about.
#define SHORT_UNITS_TSC      24u
#define SHORT_UNITS_EMULATOR 1u
#define RUN_LEAST_NS         250000u // of a thread of a queue; up to 1024 times that
#define RUN_POWERS           10u

// ---- which rows there are -----------------------------------------------------------------------

static bool is_queue(size_t which)
{
    return which <= CASE_next_10000;
}

static bool is_arithmetic(size_t which)
{
    return which == CASE_ema || which == CASE_affinity_score;
}

static bool is_core(size_t which)
{
    return which == CASE_workflow || which == CASE_preempt;
}

static bool is_mix(size_t which)
{
    return which >= CASE_sim_fairness && which <= CASE_sim_deadlines;
}

static bool is_refill(size_t which)
{
    return which == CASE_refill_home || which == CASE_refill_moved;
}

// Real threads, in a world.
static bool is_live(size_t which)
{
    return which >= CASE_pass_pair && !is_refill(which);
}

static bool needs_two_cpus(size_t which)
{
    return which == CASE_wake_pair_cpus || which == CASE_hackbench_cpus || which == CASE_affinity ||
           is_refill(which);
}

static bool applies(size_t which, const void *ops_)
{
    const struct sched_policy_ops *ops = ops_;
    void *machine;
    if (needs_two_cpus(which) && platform_cpu_count() < 2)
        return false;
    if (is_live(which) && platform_sched(&machine) == NULL)
        return false;
    if (ops->about.role == VARIANT_FLOOR)
        return is_queue(which) || which == CASE_pass_pair || is_refill(which);
    // Only one policy has an average and scores; and what a cache costs is no policy's.
    return !is_refill(which) &&
           (!(is_arithmetic(which) || which == CASE_sim_classes) || ops == &sched_predictive_ops);
}

// ---- decisions ----------------------------------------------------------------------------------

static uint64_t random_run(struct random *random)
{
    const uint64_t least = RUN_LEAST_NS << random_below(random, RUN_POWERS);
    return least + random_below(random, least);
}

// As the core leaves a queue in which every thread has run once.
static void *prepare_queue(size_t which, const struct sched_policy_ops *ops, void *memory,
                           size_t length, uint64_t seed)
{
    static const uint64_t lengths[] = {1, 10, 100, 1000, QUEUE_MOST};
    struct queue_context *const context = memory;
    const uint64_t count = lengths[which];
    struct random random = random_seeded(seed);
    struct sched_cpu *const queue = &context->cpu;
    if (sizeof(*context) + count * (sizeof(struct sched_thread) + sizeof(void *)) > length)
        return NULL;
    memset(context, 0, sizeof(*context) + count * sizeof(struct sched_thread));
    context->circle = (struct sched_thread **)&context->threads[count];
    context->length = count;
    context->now_ns = MS;
    context->sched.config = (struct sched_config){.cpus = 1, .quantum_ns = SCHED_QUANTUM_NS};
    queue->sched = &context->sched;
    if (ops->about.role != VARIANT_FLOOR)
        ops->queue_init(queue);
    for (uint64_t i = 0; i < count; i++) {
        struct sched_thread *const thread = &context->threads[i];
        *thread = (struct sched_thread){.name = "queued",
                                        .affinity = SCHED_ANYWHERE,
                                        .state = SCHED_READY,
                                        .user = (void *)(uintptr_t)random_run(&random),
                                        .context = {.state = THREAD_READY},
                                        .statistics = {.dispatches = 1}};
        context->circle[i] = thread;
        if (ops->about.role == VARIANT_FLOOR)
            continue;
        ops->thread_init(thread);
        ops->enqueue(queue, thread, SCHED_ENQUEUE_STARTED, context->now_ns);
        queue->ready++;
    }
    return context;
}

static void *prepare_arithmetic(void *memory, uint64_t seed)
{
    struct arithmetic_context *const context = memory;
    struct random random = random_seeded(seed);
    for (unsigned i = 0; i < TABLE; i++) {
        context->events[i].run_us = random_run(&random) / 1000;
        context->events[i].away_ns = random_below(&random, 2 * SCHED_PREDICTIVE_STALE_NS);
        context->events[i].last = (uint32_t)random_below(&random, 2);
        context->events[i].cpu = 0;
    }
    return context;
}

// CPU operations of a CPU that does nothing.
static unsigned bare_cpu(void *machine)
{
    (void)machine;
    return 0;
}

static uint64_t bare_now_ns(void *machine)
{
    return ((struct core_context *)machine)->now_ns;
}

static void bare_kick(void *machine, unsigned cpu)
{
    (void)machine;
    (void)cpu;
}

static void bare_set_timer(void *machine, uint64_t at_ns)
{
    (void)machine;
    (void)at_ns;
}

static void bare_nothing(void *machine)
{
    (void)machine;
}

static bool bare_yes(void *machine)
{
    (void)machine;
    return true;
}

static void bare_unmask(void *machine, bool let_in)
{
    (void)machine;
    (void)let_in;
}

static void bare_make(void *machine, struct sched_thread *thread, void (*entry)(void *argument))
{
    (void)machine;
    (void)entry;
    thread->context.state = THREAD_READY;
}

static void bare_switch_to(void *machine, struct sched_thread *from, struct sched_thread *to,
                           enum thread_state left)
{
    (void)machine;
    (void)to;
    from->context.state = left;
}

static void bare_idle_thread(void *machine, struct sched_thread *idle)
{
    (void)machine;
    (void)idle;
}

static const struct sched_cpu_ops bare_ops = {.name = "bare",
                                              .stackless = true,
                                              .cpu = bare_cpu,
                                              .now_ns = bare_now_ns,
                                              .kick = bare_kick,
                                              .set_timer = bare_set_timer,
                                              .idle = bare_nothing,
                                              .mask = bare_yes,
                                              .unmask = bare_unmask,
                                              .preemptible = bare_yes,
                                              .defer = bare_nothing,
                                              .make = bare_make,
                                              .switch_to = bare_switch_to,
                                              .enter = bare_idle_thread,
                                              .leave = bare_idle_thread};

// Of workflow, one thread runs and all others wait to be woken; of preempt, they wait for the CPU.
static void *prepare_core(size_t which, const struct sched_policy_ops *ops, void *memory)
{
    struct core_context *const context = memory;
    const struct sched_config config = {
        .cpus = 1, .ops = &bare_ops, .machine = context, .policy = ops};
    const struct sched_attributes attributes = {.name = "bare"};
    context->now_ns = MS;
    context->first = context->count = 0;
    if (sched_init(&context->sched, &config, &context->cpu, sizeof(context->cpu)) != STATUS_OK)
        return NULL;
    sched_join_cpu(&context->sched);
    for (unsigned i = 0; i < CORE_MANY; i++) {
        struct sched_thread *const thread = &context->threads[i];
        if (sched_create(&context->sched, thread, &attributes) != STATUS_OK)
            return NULL;
        sched_start(thread);
        if (which == CASE_preempt || i == CORE_MANY - 1)
            continue;
        context->waiting[context->count++] = context->cpu.current;
        sched_block(&context->sched);
    }
    return context;
}

// ---- schedules ----------------------------------------------------------------------------------

// Every kind of cost that a real machine has, of a size that one may have.
#define COSTS                                                                                      \
    {                                                                                              \
        .switch_ns = 2000, .migration_ns = 50000, .cold_ns = 30000, .cold_after_ns = 30 * MS,      \
        .kick_ns = 3000                                                                            \
    }

static const struct mix mixes[CASE_COUNT] = {
    [CASE_sim_fairness] = {.cpus = 1,
                           .part_count = 2,
                           .parts = {{KIND_BATCH, 3, 0}, {KIND_YIELDING, 3, 0}}},
    [CASE_sim_classes] = {.cpus = 1,
                          .part_count = 3,
                          .parts = {{KIND_HOT, 4, 0}, {KIND_NORMAL, 2, 0}, {KIND_COLD, 2, 0}}},
    [CASE_sim_wakeup] = {.cpus = 1,
                         .part_count = 3,
                         .parts = {{KIND_BATCH, 4, 0},
                                   {KIND_INTERACTIVE, 2, 0},
                                   {KIND_SHORT, 2, 0}}},
    [CASE_sim_throughput] = {.cpus = 2,
                             .costs = COSTS,
                             .part_count = 3,
                             .parts = {{KIND_BATCH, 5, 0},
                                       {KIND_SHORT, 4, 0},
                                       {KIND_INTERACTIVE, 4, 0}}},
    [CASE_sim_deadlines] = {.cpus = 1,
                            .part_count = 3,
                            .parts = {{KIND_PERIODIC_SHORT, 4, 0},
                                      {KIND_PERIODIC, 4, 0},
                                      {KIND_BATCH, 2, 0}}},
};

static void *prepare_mix(size_t which, const struct sched_policy_ops *ops, void *memory,
                         size_t length, uint64_t seed)
{
    struct mix_context *const context = memory;
    if (sizeof(*context) + sched_sim_bytes(WORLD_CPUS, MIX_MOST) > length)
        return NULL;
    context->policy = ops;
    context->mix = &mixes[which];
    context->seed = seed;
    context->hash = 0;
    context->differs = false;
    return context;
}

// ---- real threads -------------------------------------------------------------------------------

// Who takes part: the first kind of thread once, the second so many times.
struct live_case {
    unsigned cpus;
    bool scaled, watched;
    struct {
        const char *name;
        void (*program)(void *thread);
        unsigned count;
        uint64_t affinity; // 0: any CPU
    } parts[4];
};

static const struct live_case live_cases[CASE_COUNT] = {
    [CASE_pass_pair] = {1, false, false, {{"a", passing_leader, 1, 0}, {"b", passing, 1, 0}}},
    [CASE_wake_pair] = {1, false, false, {{"a", waking_leader, 1, 0}, {"b", waking, 1, 0}}},
    [CASE_wake_pair_cpus] = {2, false, false, {{"a", waking_leader, 1, 1}, {"b", waking, 1, 2}}},
    [CASE_hackbench] = {1,
                        false,
                        false,
                        {{"leader", crowd_leader, 1, 1},
                         {"sender", sending, SIDES, 0},
                         {"receiver", receiving, SIDES, 0},
                         {NULL, NULL, GROUPS, 0}}},
    [CASE_hackbench_cpus] = {2,
                             false,
                             false,
                             {{"leader", crowd_leader, 1, 1},
                              {"sender", sending, SIDES, 0},
                              {"receiver", receiving, SIDES, 0},
                              {NULL, NULL, GROUPS, 0}}},
    [CASE_short_wakeup] = {1, true, true, {{"short", waking_up, 5, 0}, {"batch", computing, 2, 0}}},
    [CASE_interactive_wakeup] = {1,
                                 true,
                                 true,
                                 {{"interactive", waking_up, 1, 0}, {"batch", computing, 2, 0}}},
    [CASE_response] = {1, true, true, {{"short", responding, 3, 0}, {"batch", computing, 2, 0}}},
    [CASE_batch] = {1,
                    true,
                    false,
                    {{"batch", computing_units, 2, 0}, {"interactive", disturbing, 1, 0}}},
    [CASE_affinity] = {2,
                       true,
                       false,
                       {{"leader", crowd_leader, 1, 1}, {"touching", touching, SETS, 0}}},
};

static bool add_part(const struct live_case *live, unsigned part, uint64_t seed)
{
    for (unsigned i = 0; i < live->parts[part].count; i++)
        if (!world_add(live->parts[part].name, live->parts[part].program,
                       live->parts[part].affinity, seed))
            return false;
    return true;
}

static bool add_threads(const struct live_case *live, uint64_t seed)
{
    // Of hackbench: the senders and receivers of each group.
    const unsigned groups = live->parts[3].count;
    if (!add_part(live, 0, seed))
        return false;
    for (unsigned group = 0; group < max_u64(groups, 1); group++)
        for (unsigned part = 1; part < 3; part++)
            if (!add_part(live, part, seed))
                return false;
    return true;
}

static void *prepare_live(size_t which, const struct sched_policy_ops *ops, uint64_t seed)
{
    const struct live_case *const live = &live_cases[which];
    const enum platform_clock class = platform_clock_class();
    const uint64_t scale = !live->scaled                  ? 1
                           : class == PLATFORM_CLOCK_INSN ? SCALE_EXACT
                                                          : SCALE_SAMPLED;
    memset(&shared, 0, sizeof(shared));
    if (!world_open(ops, live->cpus, scale, live->watched))
        return NULL;
    world.short_units = class == PLATFORM_CLOCK_TSC ? SHORT_UNITS_TSC : SHORT_UNITS_EMULATOR;
    return add_threads(live, seed) && world_start() ? &world : NULL;
}

static void *prepare_bare(void)
{
    bare = (struct pair){.counts = {0}};
    switch_full_make(&bare.contexts[1], bare_stack + sizeof(bare_stack), bare_other, NULL, false);
    return &bare;
}

static void *prepare(size_t which, const void *ops_, void *memory, size_t length, uint64_t seed)
{
    const struct sched_policy_ops *ops = ops_;
    (void)world_close(); // what a row that failed has left
    if (is_queue(which))
        return prepare_queue(which, ops, memory, length, seed);
    if (is_arithmetic(which))
        return prepare_arithmetic(memory, seed);
    if (is_core(which))
        return prepare_core(which, ops, memory);
    if (is_mix(which))
        return prepare_mix(which, ops, memory, length, seed);
    if (is_refill(which))
        return &shared;
    return ops->about.role == VARIANT_FLOOR ? prepare_bare() : prepare_live(which, ops, seed);
}

// ---- windows ------------------------------------------------------------------------------------

static void write_set(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < SET_BYTES / sizeof(uint64_t); i++)
        shared.sets[0][i] = shared.round;
}

static void before(size_t which, const void *ops, void *context, uint64_t operations)
{
    (void)ops;
    (void)operations;
    if (is_arithmetic(which)) {
        struct arithmetic_context *const arithmetic = context;
        memset(arithmetic->ema_us, 0, sizeof(arithmetic->ema_us));
        memset(arithmetic->learnt, 0, sizeof(arithmetic->learnt));
        memset(arithmetic->classes, 0, sizeof(arithmetic->classes));
    }
    if (is_mix(which) && !mix_begin(context))
        ((struct mix_context *)context)->differs = true; // cannot be: `check` says so
    if (!is_refill(which))
        return;
    shared.round++;
    write_set(NULL);
    if (which == CASE_refill_moved && platform_cpu_start(1, write_set, NULL))
        platform_cpu_wait(1, WORLD_WAIT_MS);
}

// By rules of their own: what has been forgotten of an average is a quarter; a score falls by one
// in each 5 ms.
static uint64_t expected_arithmetic(size_t which, const struct arithmetic_context *context,
                                    uint64_t operations)
{
    uint64_t sum = 0, averages[TABLE], runs[TABLE];
    memset(runs, 0, sizeof(runs));
    for (uint64_t i = 0; i < operations; i++) {
        const uint64_t k = i % TABLE, run_us = context->events[i * 7 % TABLE].run_us;
        const uint64_t away = context->events[k].away_ns;
        if (which == CASE_ema) {
            averages[k] = runs[k]++ == 0
                              ? run_us
                              : averages[k] - (uint64_t)((int64_t)(averages[k] + 3 - run_us) >> 2);
            sum += averages[k];
        } else if (context->events[k].last != 0 || away >= 500 * MS) {
            sum += 10;
        } else {
            sum += away <= 50 * MS ? 100 : 100 - (away - 50 * MS) / (5 * MS);
        }
    }
    return sum;
}

static uint64_t expected(size_t which, const void *context, uint64_t operations)
{
    return is_arithmetic(which) ? expected_arithmetic(which, context, operations) : operations;
}

static uint64_t ticks(size_t which, const void *context)
{
    return is_live(which) && context == &world ? world.ticks : BENCH_WHOLE_WINDOW;
}

// Ends of slices and of sleeps, kicks.
static bool interrupts(size_t which)
{
    return is_live(which);
}

static bool check(size_t which, const void *ops_, const void *context)
{
    const struct sched_policy_ops *ops = ops_;
    if (is_queue(which)) {
        const struct queue_context *const queue = context;
        return ops->about.role == VARIANT_FLOOR ||
               (queue->cpu.ready == queue->length && ops->check(&queue->cpu));
    }
    if (is_core(which))
        return sched_check(&((struct core_context *)(uintptr_t)context)->sched);
    if (is_mix(which))
        return !((const struct mix_context *)context)->differs;
    if (context == &world)
        return world.open && !world.failed && (world.cpus > 1 || sched_check(&world.sched));
    return true;
}

static void finish(size_t which, const void *ops, void *context)
{
    (void)which;
    (void)ops;
    if (context == &world)
        (void)world_close();
}

#include "sched_counters.h"

#endif
