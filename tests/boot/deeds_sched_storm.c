// SPDX-License-Identifier: MIT
// Several CPUs at once: threads pass tokens round while the timer, kicks and balancing move them.
#include "deeds_sched.h"

#include "compiler.h"
#include "deeds.h"
#include "platform.h"
#include "random.h"

#define CREW      24u
#define QUANTUM   200000u // ns
#define SLEEP_NS  300000u
#define CPUS_MOST 8u

static struct {
    CACHE_ALIGNED uint64_t rounds;
    CACHE_ALIGNED uint64_t most;
    bool strict; // only tokens wake: a wake-up that gets lost ends it all
    uint64_t tokens[CREW];
    uint32_t inside[CREW]; // 1 while the thread runs: never on two CPUs
    uint64_t changed[CREW], twice[CREW];
    struct random random[CREW];
} storm;

static void act(unsigned number)
{
    struct random *random = &storm.random[number];
    const unsigned next = (number + 1) % CREW;
    storm.changed[number] += patterns_hold(1 + random_below(random, 3), random_u64(random));
    if (__atomic_load_n(&storm.tokens[number], __ATOMIC_ACQUIRE) > 0) {
        __atomic_sub_fetch(&storm.tokens[number], 1, __ATOMIC_RELAXED);
        __atomic_add_fetch(&storm.rounds, 1, __ATOMIC_RELAXED);
        __atomic_add_fetch(&storm.tokens[next], 1, __ATOMIC_RELEASE);
        sched_wake(&deed_sched, &deed_threads[next]);
        return;
    }
    switch (storm.strict ? 3 * random_below(random, 2) : random_below(random, 8)) {
    case 0:
        sched_pass(&deed_sched);
        break;
    case 1:
        sched_sleep_until(&deed_sched, sched_deed_now() + random_below(random, SLEEP_NS));
        break;
    case 2:
        sched_wake(&deed_sched, &deed_threads[random_below(random, CREW)]);
        break;
    case 4:
        cpu_preempt_disable();
        sched_wake(&deed_sched, &deed_threads[random_below(random, CREW)]);
        storm.changed[number] += patterns_hold(2, number);
        cpu_preempt_enable();
        break;
    case 5:
        cpu_leaf_enter();
        storm.changed[number] += patterns_hold(1, number);
        cpu_leaf_leave();
        break;
    default:
        sched_block(&deed_sched);
        break;
    }
}

static void take_part(void *argument)
{
    const unsigned number = (unsigned)(uintptr_t)argument;
    while (__atomic_load_n(&storm.rounds, __ATOMIC_RELAXED) < storm.most) {
        // Only this thread writes it, wherever it runs: who finds 1 is here a second time.
        storm.twice[number] += __atomic_exchange_n(&storm.inside[number], 1, __ATOMIC_ACQ_REL);
        act(number);
        __atomic_store_n(&storm.inside[number], 0, __ATOMIC_RELEASE);
    }
    // Those that wait see it too.
    for (unsigned i = 0; i < CREW; i++)
        sched_wake(&deed_sched, &deed_threads[i]);
    if (number == 0) {
        for (unsigned i = CREW - 1; i > 0; i--)
            sched_join(&deed_sched, &deed_threads[i]);
    }
}

static void one(const struct sched_policy_ops *policy, bool strict, unsigned cpus)
{
    uint64_t changed = 0, twice = 0, run = 0, busy = 0, migrations = 0, preemptions = 0;
    __builtin_memset(&storm, 0, sizeof(storm));
    storm.most = deeds_option("count", 3000);
    storm.strict = strict;
    sched_deed_begin(policy, sched_deed_ops(), cpus, QUANTUM);
    for (uintptr_t i = 0; i < CREW; i++) {
        storm.tokens[i] = strict ? i == 0 : i % 4 == 0;
        storm.random[i] = random_seeded(deeds_option("seed", 1) * CREW + i);
        sched_deed_spawn((unsigned)i, "storm", take_part, (void *)i,
                         i % 5 == 1 ? 1ull << (i % cpus) : 0);
    }
    sched_deed_run();
    for (unsigned i = 0; i < CREW; i++) {
        changed += storm.changed[i];
        twice += storm.twice[i];
        run += deed_threads[i].statistics.run_ns;
        migrations += deed_threads[i].statistics.migrations;
        preemptions += deed_threads[i].statistics.preemptions;
    }
    for (unsigned i = 0; i < cpus; i++)
        busy += deed_sched.cpus[i].statistics.busy_ns;
    sched_deed_say(policy, strict ? "strict_rounds" : "rounds", storm.rounds);
    sched_deed_say(policy, strict ? "strict_wrong" : "wrong", changed + twice + (run != busy));
    sched_deed_say(policy, strict ? "strict_migrations" : "migrations", migrations);
    sched_deed_say(policy, strict ? "strict_preemptions" : "preemptions", preemptions);
}

// count= times that a token is passed on, seed=.
void sched_storm_deed(void)
{
    const unsigned cpus = (unsigned)min_u64(platform_cpu_count(), CPUS_MOST);
    deeds_say("sched.cpus", cpus);
    for (unsigned p = 0; sched_deed_policy(p) != NULL; p++) {
        one(sched_deed_policy(p), false, cpus);
        one(sched_deed_policy(p), true, cpus);
    }
}
