// SPDX-License-Identifier: MIT
// Whole schedules in the simulator: mixes of threads, what is looked at while they run, and bodies
// that let virtual time pass. What a schedule comes to is the same on every target, bit by bit.
#ifndef SCHED_MIXES_H
#define SCHED_MIXES_H

#include "body.h"
#include "compiler.h"
#include "sched_simulator.h"
#include "sort.h"

#define MS          1000000ull
#define US          1000ull
#define MIX_MOST    48u   // threads
#define WAITS_MOST  8192u // that are kept: of the first ones
#define EVENTS_MOST 2000000u

enum mix_kind {
    KIND_BATCH,          // never waits
    KIND_YIELDING,       // never waits, and yields each 5 ms
    KIND_INTERACTIVE,    // up to 1 ms each 20 ms
    KIND_SHORT,          // up to 200 us each 3 ms
    KIND_HOT,            // runs of up to 5 ms
    KIND_NORMAL,         // runs of 40 ms
    KIND_COLD,           // runs of 250 ms
    KIND_TURNS_COLD,     // runs of 2 ms for a while, of 250 ms from then on
    KIND_TURNS_HOT,      // the other way round
    KIND_PERIODIC,       // runs of 4 ms, one each 40 ms: done late is a miss
    KIND_PERIODIC_SHORT, // of 500 us, one each 10 ms
    MIX_KINDS,
};

#define LOOP_FOR_EVER                                                                              \
    {                                                                                              \
        .op = SCHED_SIM_LOOP                                                                       \
    }
#define RUN(ns_)                                                                                   \
    {                                                                                              \
        .op = SCHED_SIM_RUN, .ns = ns_                                                             \
    }
#define RANDOM(ns_)                                                                                \
    {                                                                                              \
        .op = SCHED_SIM_RANDOM, .ns = ns_                                                          \
    }
#define SLEEP(ns_)                                                                                 \
    {                                                                                              \
        .op = SCHED_SIM_SLEEP, .ns = ns_                                                           \
    }
#define PERIOD(ns_)                                                                                \
    {                                                                                              \
        .op = SCHED_SIM_PERIOD, .ns = ns_                                                          \
    }

#define SCRIPT_MOST 6u
#define SCRIPT(...)                                                                                \
    {                                                                                              \
        .steps = {__VA_ARGS__}, .count = sizeof((const struct sched_sim_step[]){__VA_ARGS__}) /    \
                                         sizeof(struct sched_sim_step)                             \
    }

struct script {
    struct sched_sim_step steps[SCRIPT_MOST];
    uint32_t count;
};

static const struct script scripts[MIX_KINDS] = {
    [KIND_BATCH] = SCRIPT(RUN(1000 * MS), LOOP_FOR_EVER),
    [KIND_YIELDING] = SCRIPT(RUN(5 * MS), {.op = SCHED_SIM_YIELD}, LOOP_FOR_EVER),
    [KIND_INTERACTIVE] = SCRIPT(RANDOM(MS), SLEEP(20 * MS), LOOP_FOR_EVER),
    [KIND_SHORT] = SCRIPT(RANDOM(200 * US), SLEEP(3 * MS), LOOP_FOR_EVER),
    [KIND_HOT] = SCRIPT(RANDOM(5 * MS), SLEEP(30 * MS), LOOP_FOR_EVER),
    [KIND_NORMAL] = SCRIPT(RUN(40 * MS), SLEEP(200 * MS), LOOP_FOR_EVER),
    [KIND_COLD] = SCRIPT(RUN(250 * MS), SLEEP(500 * MS), LOOP_FOR_EVER),
    [KIND_TURNS_COLD] = SCRIPT(RUN(2 * MS), SLEEP(20 * MS), {.op = SCHED_SIM_LOOP, .number = 40},
                               RUN(250 * MS), SLEEP(20 * MS), {.op = SCHED_SIM_LOOP, .to = 3}),
    [KIND_TURNS_HOT] = SCRIPT(RUN(250 * MS), SLEEP(20 * MS), {.op = SCHED_SIM_LOOP, .number = 3},
                              RUN(2 * MS), SLEEP(20 * MS), {.op = SCHED_SIM_LOOP, .to = 3}),
    [KIND_PERIODIC] = SCRIPT(RUN(4 * MS), PERIOD(40 * MS), LOOP_FOR_EVER),
    [KIND_PERIODIC_SHORT] = SCRIPT(RUN(500 * US), PERIOD(10 * MS), LOOP_FOR_EVER),
};

// So many threads of a kind.
struct mix_part {
    enum mix_kind kind;
    unsigned count;
    int nice;
};

struct mix {
    unsigned cpus;
    struct sched_sim_costs costs;
    unsigned part_count;
    struct mix_part parts[4];
};

struct mix_context {
    const struct sched_policy_ops *policy;
    const struct mix *mix;
    uint64_t seed;
    uint64_t hash; // of the first window; 0: none as yet
    uint64_t hash_operations;
    bool differs; // another window of as many operations was another schedule
    struct sched_sim sim;
    struct sched_sim_thread threads[MIX_MOST];
    enum mix_kind kinds[MIX_MOST]; // by number
    // Of interactive and short threads: from a wake-up to the run, and to the end of the run.
    uint64_t woken_at_ns[MIX_MOST];
    bool woken[MIX_MOST], answers[MIX_MOST];
    int64_t waits[WAITS_MOST], responses[WAITS_MOST];
    uint64_t wait_count, response_count;
    uint8_t memory[] CACHE_ALIGNED; // the simulator's
};

// ---- what is looked at --------------------------------------------------------------------------

static bool is_watched(enum mix_kind kind)
{
    return kind == KIND_INTERACTIVE || kind == KIND_SHORT;
}

// Ids count from 1, those of the idle threads first.
static bool number_of(const struct mix_context *mix, uint32_t id, uint32_t *number)
{
    *number = id - mix->sim.config.cpus - 1;
    return id > mix->sim.config.cpus && *number < mix->sim.thread_count &&
           is_watched(mix->kinds[*number]);
}

static bool watch(void *context, struct sched_sim *sim, const struct sched_event *event)
{
    struct mix_context *mix = context;
    uint32_t number;
    (void)sim;
    if (event->kind == SCHED_EVENT_WAKE && number_of(mix, event->thread, &number)) {
        mix->woken_at_ns[number] = event->now_ns;
        mix->woken[number] = true;
    }
    if (event->kind != SCHED_EVENT_SWITCH)
        return true;
    if (number_of(mix, event->thread, &number) && mix->woken[number]) {
        mix->woken[number] = false;
        mix->answers[number] = true;
        if (mix->wait_count < WAITS_MOST)
            mix->waits[mix->wait_count++] = (int64_t)(event->now_ns - mix->woken_at_ns[number]);
    }
    if (number_of(mix, event->other, &number) && mix->answers[number] &&
        event->state == SCHED_SLEEPING) {
        mix->answers[number] = false;
        if (mix->response_count < WAITS_MOST)
            mix->responses[mix->response_count++] =
                (int64_t)(event->now_ns - mix->woken_at_ns[number]);
    }
    return true;
}

// ---- a schedule ---------------------------------------------------------------------------------

static bool mix_add(struct mix_context *mix, const struct mix_part *part)
{
    const struct script *script = &scripts[part->kind];
    for (unsigned i = 0; i < part->count; i++) {
        const uint32_t number = mix->sim.thread_count;
        const struct sched_attributes attributes = {.name = "simulated", .nice = part->nice};
        if (number >= MIX_MOST)
            return false;
        mix->kinds[number] = part->kind;
        if (sched_sim_add(&mix->sim, &mix->threads[number], &attributes, script->steps,
                          script->count, false) != STATUS_OK)
            return false;
    }
    return true;
}

// The beginning of a schedule, the same each time.
static bool mix_begin(struct mix_context *mix)
{
    const struct sched_sim_config config = {.cpus = mix->mix->cpus,
                                            .policy = mix->policy,
                                            .seed = mix->seed,
                                            .costs = mix->mix->costs,
                                            .events_most = EVENTS_MOST,
                                            .observe = watch,
                                            .context = mix};
    mix->wait_count = mix->response_count = 0;
    if (sched_sim_init(&mix->sim, &config, MIX_MOST, mix->memory,
                       sched_sim_bytes(mix->mix->cpus, MIX_MOST)) != STATUS_OK)
        return false;
    for (unsigned i = 0; i < mix->mix->part_count; i++)
        if (!mix_add(mix, &mix->mix->parts[i]))
            return false;
    for (unsigned i = 0; i < MIX_MOST; i++)
        mix->woken[i] = mix->answers[i] = false; // the start of a thread is no wake-up
    return true;
}

static bool mix_run(struct mix_context *mix, uint64_t until_ns)
{
    return sched_sim_run(&mix->sim, until_ns) == SCHED_SIM_TIME;
}

// An operation is a millisecond of virtual time.
ALWAYS_INLINE uint64_t sim_wakeup(const struct sched_policy_ops *ops, struct mix_context *context,
                                  uint64_t operations)
{
    (void)ops; // the simulator has the table: `before`
    if (!mix_run(context, operations * MS))
        return BENCH_FAILED;
    if (context->hash == 0) {
        context->hash = context->sim.hash;
        context->hash_operations = operations;
    }
    context->differs |=
        context->hash_operations == operations && context->hash != context->sim.hash;
    return context->sim.now_ns / MS;
}

#define sim_fairness   sim_wakeup
#define sim_classes    sim_wakeup
#define sim_throughput sim_wakeup
#define sim_deadlines  sim_wakeup

// Of what was kept; sorts it. 0 if there is nothing.
static uint64_t percentile(int64_t *values, uint64_t count, uint64_t percent)
{
    if (count == 0)
        return 0;
    sort_i64(values, count);
    return (uint64_t)values[max_u64((count * percent + 99) / 100, 1) - 1];
}

#endif
