// SPDX-License-Identifier: MIT
// The policies: what each says of itself, and properties of all of them over random workloads in
// the simulator.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run_checks.h"
#include "sched_simulated.h"
#include "seed.h"
#include "soak.h"

#define US 1000ull

// ---- predictive, by name ------------------------------------------------------------------------

START_TEST(class_follows_from_the_ema)
{
    ck_assert_int_eq(sched_predictive_class(0), SCHED_HOT);
    ck_assert_int_eq(sched_predictive_class(9999), SCHED_HOT);
    ck_assert_int_eq(sched_predictive_class(10000), SCHED_NORMAL);
    ck_assert_int_eq(sched_predictive_class(99999), SCHED_NORMAL);
    ck_assert_int_eq(sched_predictive_class(100000), SCHED_COLD);
    ck_assert_int_eq(sched_predictive_class(UINT64_MAX), SCHED_COLD);
}
END_TEST

START_TEST(ema_is_set_by_the_first_run_and_moves_by_a_quarter)
{
    ck_assert_uint_eq(sched_predictive_ema(0, 0, 5000), 5000);
    ck_assert_uint_eq(sched_predictive_ema(5000, 1, 9000), 6000);
    ck_assert_uint_eq(sched_predictive_ema(6000, 2, 0), 4500);
    ck_assert_uint_eq(sched_predictive_ema(0, 7, 3), 0); // rounded down
    uint64_t ema = 0;
    for (unsigned i = 0; i < 60; i++)
        ema = sched_predictive_ema(ema, i + 1, 1000);
    ck_assert_uint_le(ema, 1000);
    ck_assert_uint_ge(ema, 997); // rounding stops it three short
}
END_TEST

START_TEST(affinity_decays_from_100_at_50_ms_to_10_at_500_ms)
{
    ck_assert_uint_eq(sched_predictive_affinity(1, 1, 0), 100);
    ck_assert_uint_eq(sched_predictive_affinity(1, 1, 50 * MS), 100);
    ck_assert_uint_eq(sched_predictive_affinity(1, 1, 275 * MS), 55);
    ck_assert_uint_eq(sched_predictive_affinity(1, 1, 150 * MS), 80); // no more above 80
    ck_assert_uint_eq(sched_predictive_affinity(1, 1, 149 * MS), 81);
    ck_assert_uint_eq(sched_predictive_affinity(1, 1, 500 * MS), 10);
    ck_assert_uint_eq(sched_predictive_affinity(1, 1, UINT64_MAX), 10);
    ck_assert_uint_eq(sched_predictive_affinity(1, 2, 0), 10);
    unsigned last = 100;
    for (uint64_t ms = 0; ms < 600; ms++) {
        const unsigned now = sched_predictive_affinity(0, 0, ms * MS);
        ck_assert(now <= last && now >= 10);
        last = now;
    }
}
END_TEST

// ---- a simulator --------------------------------------------------------------------------------

static struct sched_sim_step scripts[THREADS_MOST][24];

static struct sched_thread *add_nice(const struct sched_sim_step *steps, uint32_t count, int nice,
                                     bool later)
{
    const struct sched_attributes attributes = {.name = "simulated", .nice = nice};
    struct sched_sim_thread *thread = &threads[sim.thread_count];
    ck_assert_int_eq(sched_sim_add(&sim, thread, &attributes, steps, count, later), STATUS_OK);
    return &thread->thread;
}

static struct sched_thread *add(const struct sched_sim_step *steps, uint32_t count)
{
    return add_nice(steps, count, 0, false);
}

static const struct sched_sim_step short_runs[] = {{.op = SCHED_SIM_RUN, .ns = 2 * MS},
                                                   {.op = SCHED_SIM_SLEEP, .ns = 7 * MS},
                                                   {.op = SCHED_SIM_LOOP}};
static const struct sched_sim_step middle_runs[] = {{.op = SCHED_SIM_RUN, .ns = 40 * MS},
                                                    {.op = SCHED_SIM_SLEEP, .ns = 7 * MS},
                                                    {.op = SCHED_SIM_LOOP}};

START_TEST(threads_are_classified_by_what_they_do)
{
    open_policy(&sched_predictive_ops, 1);
    const struct sched_thread *hot = add(short_runs, 3), *normal = add(middle_runs, 3),
                              *cold = add(for_ever, 1);
    ck_assert_uint_eq(sched_predictive_priority(cold), 3); // nothing is known yet
    ck_assert_int_eq(sched_sim_run(&sim, 2000 * MS), SCHED_SIM_TIME);
    ck_assert_uint_eq(sched_predictive_priority(hot), 3);
    ck_assert_uint_eq(sched_predictive_priority(normal), 2);
    ck_assert_uint_eq(sched_predictive_priority(cold), 1);
    ck_assert_uint_eq(sched_predictive_of(hot)->ema_us, 2000);
    ck_assert_uint_eq(sched_predictive_of(normal)->ema_us, 40000);
    ck_assert_uint_ge(sched_predictive_of(cold)->ema_us, 100000);
}
END_TEST

START_TEST(thread_that_changes_is_reclassified)
{
    static const struct sched_sim_step steps[] = {
        {.op = SCHED_SIM_RUN, .ns = 2 * MS},  {.op = SCHED_SIM_SLEEP, .ns = MS},
        {.op = SCHED_SIM_LOOP, .number = 10}, {.op = SCHED_SIM_RUN, .ns = 50 * MS},
        {.op = SCHED_SIM_SLEEP, .ns = MS},    {.op = SCHED_SIM_LOOP, .number = 10, .to = 3}};
    open_policy(&sched_predictive_ops, 1);
    const struct sched_thread *thread = add(steps, ARRAY_COUNT(steps));
    ck_assert_int_eq(sched_sim_run(&sim, 29 * MS), SCHED_SIM_TIME);
    ck_assert_uint_eq(sched_predictive_priority(thread), 3);
    ck_assert_uint_eq(sched_predictive_of(thread)->reclassified, 0);
    ck_assert_int_eq(sched_sim_run(&sim, 400 * MS), SCHED_SIM_TIME);
    ck_assert_uint_eq(sched_predictive_priority(thread), 2);
    ck_assert_uint_eq(sched_predictive_of(thread)->reclassified, 1);
}
END_TEST

START_TEST(hot_thread_preempts_a_cold_one_when_it_wakes)
{
    open_policy(&sched_predictive_ops, 1);
    add(for_ever, 1);
    ck_assert_int_eq(sched_sim_run(&sim, 150 * MS), SCHED_SIM_TIME);
    const struct sched_thread *hot = add(short_runs, 3);
    ck_assert_int_eq(sched_sim_run(&sim, 1150 * MS), SCHED_SIM_TIME);
    ck_assert_uint_ge(hot->statistics.runs, 100);
    // The first time it waits for the end of a slice that began before it was known.
    ck_assert_uint_le(hot->statistics.ready_ns, 10 * MS);
}
END_TEST

START_TEST(cold_thread_does_not_starve_behind_hot_ones)
{
    static const struct sched_sim_step yields[] = {
        {.op = SCHED_SIM_RUN, .ns = 2 * MS}, {.op = SCHED_SIM_YIELD}, {.op = SCHED_SIM_LOOP}};
    const struct sched_load load = {.threads = 5, .quantum_ns = SCHED_QUANTUM_NS};
    open_policy(&sched_predictive_ops, 1);
    const struct sched_thread *cold = add(for_ever, 1);
    ck_assert_int_eq(sched_sim_run(&sim, 150 * MS), SCHED_SIM_TIME);
    for (unsigned i = 0; i < 3; i++)
        add(yields, 3); // somebody hot is always ready
    add(short_runs, 3); // and one that wakes up
    ck_assert_int_eq(sched_sim_run(&sim, 5150 * MS), SCHED_SIM_TIME);
    ck_assert_uint_ge(cold->statistics.dispatches, 20);
    ck_assert_uint_le(cold->statistics.ready_most_ns, sched_predictive_wait_most_ns(&load));
    ck_assert_uint_ge(cold->statistics.ready_most_ns, SCHED_PREDICTIVE_AGE_NS);
    // Each time it has a whole slice, whoever wakes meanwhile.
    ck_assert_uint_ge(cold->statistics.run_ns,
                      150 * MS + (cold->statistics.dispatches - 2) * SCHED_QUANTUM_NS);
    struct sched_predictive_statistics statistics;
    sched_predictive_statistics(&sim.sched, SCHED_PREDICTIVE_ALL, &statistics);
    ck_assert_uint_ge(statistics.aged, 20);
    ck_assert_uint_eq(statistics.scheduled[SCHED_COLD], cold->statistics.dispatches - 1);
    ck_assert_uint_gt(statistics.affinity_permille, 900);
}
END_TEST

START_TEST(preempted_thread_goes_on_before_its_equals)
{
    struct sched_event log[4000];
    open_sim(&(struct sched_sim_config){.cpus = 1,
                                        .policy = &sched_predictive_ops,
                                        .quantum_ns = 50 * MS,
                                        .events_most = 100000,
                                        .log = log,
                                        .log_capacity = ARRAY_COUNT(log)});
    add(for_ever, 1);
    add(for_ever, 1);
    const struct sched_thread *hot = add(short_runs, 3);
    ck_assert_int_eq(sched_sim_run(&sim, 3000 * MS), SCHED_SIM_TIME);
    ck_assert_uint_le(sim.logged, ARRAY_COUNT(log));
    unsigned back = 0, others = 0;
    uint32_t interrupted = 0;
    for (uint64_t i = 0; i < sim.logged; i++) {
        if (log[i].kind != SCHED_EVENT_SWITCH || log[i].now_ns < 500 * MS)
            continue;
        if (log[i].thread == hot->id) {
            interrupted = log[i].other;
        } else if (log[i].other == hot->id) {
            back += log[i].thread == interrupted;
            others += log[i].thread != interrupted;
        }
    }
    ck_assert_uint_gt(back, 200);
    ck_assert_uint_lt(others, back / 10); // where a slice ended just then
}
END_TEST

START_TEST(deadline_lets_nobody_run_ahead)
{
    open_policy(&sched_deadline_ops, 1);
    add_nice(for_ever, 1, -5, false); // its deadlines come three times as often
    const struct sched_thread *light = add_nice(for_ever, 1, 0, false);
    ck_assert_int_eq(sched_sim_run(&sim, 15 * MS), SCHED_SIM_TIME);
    ck_assert_uint_eq(light->statistics.dispatches, 1); // after its first slice it is not owed any
}
END_TEST

START_TEST(deadline_keeps_what_a_thread_owes_while_it_sleeps)
{
    static const struct sched_sim_step ahead[] = {{.op = SCHED_SIM_RUN, .ns = 9 * MS},
                                                  {.op = SCHED_SIM_SLEEP, .ns = 100 * MS},
                                                  {.op = SCHED_SIM_RUN, .ns = 9 * MS}};
    open_policy(&sched_deadline_ops, 1);
    const struct sched_thread *thread = add(ahead, 3);
    add(for_ever, 1);
    add(for_ever, 1);
    const struct sched_deadline_queue *queue =
        (const struct sched_deadline_queue *)sim.sched.cpus[0].policy;
    ck_assert_int_eq(sched_sim_run(&sim, 50 * MS), SCHED_SIM_TIME);
    // It has had 9 ms, the mean is 3.
    ck_assert_int_eq(sched_deadline_of(thread)->lag_ns, -6 * (int64_t)MS);
    ck_assert_int_eq(sched_sim_run(&sim, 109 * MS), SCHED_SIM_TIME);
    const int64_t before =
        (int64_t)(sched_deadline_of(thread)->virtual_ns - queue->virtual_ns) - 6 * (int64_t)MS;
    ck_assert_uint_eq(thread->statistics.wakeups, 1);
    ck_assert(before >= -10 && before <= 10);
}
END_TEST

START_TEST(deadline_shares_the_cpu_by_weight)
{
    open_policy(&sched_deadline_ops, 1);
    const struct sched_thread *one = add_nice(for_ever, 1, 0, false),
                              *two = add_nice(for_ever, 1, 5, false),
                              *three = add_nice(for_ever, 1, -5, false);
    ck_assert_int_eq(sched_sim_run(&sim, 20000 * MS), SCHED_SIM_TIME);
    sched_sim_settle(&sim);
    const struct sched_thread *all[] = {one, two, three};
    const uint64_t weights = sched_weight(0) + sched_weight(5) + sched_weight(-5);
    for (unsigned i = 0; i < 3; i++) {
        const uint64_t due = 20000 * MS * sched_weight(all[i]->nice) / weights;
        const uint64_t had = all[i]->statistics.run_ns;
        ck_assert_uint_le(had > due ? had - due : due - had, 2 * SCHED_QUANTUM_NS);
    }
}
END_TEST

START_TEST(balancing_leaves_no_cpu_idle_and_respects_affinity)
{
    const struct sched_policy_ops *policy = policies[_i];
    open_policy(policy, 4);
    for (unsigned i = 0; i < 8; i++)
        add(for_ever, 1);
    const struct sched_attributes bound = {.name = "bound", .affinity = 4};
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(
            sched_sim_add(&sim, &threads[sim.thread_count], &bound, for_ever, 1, false), STATUS_OK);
    ck_assert_int_eq(sched_sim_run(&sim, 4000 * MS), SCHED_SIM_TIME);
    sched_sim_settle(&sim);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(sim.sched.cpus[i].statistics.idle_ns, 0);
    for (unsigned i = 8; i < 10; i++) {
        ck_assert_uint_eq(threads[i].thread.last_cpu, 2);
        ck_assert_uint_eq(threads[i].thread.statistics.migrations, 0);
    }
    for (unsigned i = 0; i < 10; i++)
        ck_assert_uint_ge(threads[i].thread.statistics.run_ns, 500 * MS);
}
END_TEST

START_TEST(thread_that_runs_alone_needs_no_timer)
{
    const struct sched_policy_ops *policy = policies[_i];
    open_policy(policy, 2);
    add(for_ever, 1);
    ck_assert_int_eq(sched_sim_run(&sim, 60000 * MS), SCHED_SIM_TIME);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_uint_eq(sim.sched.cpus[i].statistics.timers_set, 0);
    ck_assert_uint_le(sim.events, 8);
}
END_TEST

// ---- properties over random workloads -----------------------------------------------------------

struct workload {
    unsigned cpus, count;
    const struct sched_policy_ops *policy;
    uint64_t weight;
    uint64_t work_ns[THREADS_MOST]; // 0: by the seed
    bool exited[THREADS_MOST];
    uint32_t joins[THREADS_MOST]; // number + 1
    bool late_exit;
};

static bool watch(void *context, struct sched_sim *subject, const struct sched_event *event)
{
    struct workload *load = context;
    if (event->kind != SCHED_EVENT_EXIT)
        return true;
    for (uint32_t i = 0; i < subject->thread_count; i++) {
        if (subject->threads[i]->thread.id != event->thread)
            continue;
        load->exited[i] = true;
        if (load->joins[i] != 0 && !load->exited[load->joins[i] - 1])
            return false;
    }
    return true;
}

static uint64_t some_time(struct random *random)
{
    static const uint64_t scales[] = {5 * US, 100 * US, 3 * MS, 30 * MS, 150 * MS};
    return 1 + random_below(random, scales[random_below(random, ARRAY_COUNT(scales))]);
}

// A script that ends whatever others do: it takes from a semaphore only what thread 0, which never
// waits for anybody, puts there.
static uint32_t write_script(struct random *random, struct workload *load, unsigned number,
                             unsigned *downs)
{
    struct sched_sim_step *steps = scripts[number];
    uint32_t count = 0;
    const unsigned parts = 2 + (unsigned)random_below(random, 5);
    for (unsigned i = 0; i < parts; i++) {
        steps[count++] = (struct sched_sim_step){.op = SCHED_SIM_RUN, .ns = some_time(random)};
        load->work_ns[number] += steps[count - 1].ns;
        switch (random_below(random, 5)) {
        case 0:
            steps[count++] = (struct sched_sim_step){.op = SCHED_SIM_YIELD};
            break;
        case 1:
            steps[count++] =
                (struct sched_sim_step){.op = SCHED_SIM_SLEEP, .ns = some_time(random)};
            break;
        case 2:
            steps[count++] = (struct sched_sim_step){.op = SCHED_SIM_DOWN,
                                                     .number = number % SCHED_SIM_SEMAPHORES};
            ++*downs;
            break;
        case 3: // a permit for somebody
            steps[count++] = (struct sched_sim_step){
                .op = SCHED_SIM_WAKE, .number = (uint32_t)random_below(random, load->count)};
            break;
        default:
            break;
        }
    }
    // Only those before, so that nobody waits in a circle.
    if (number > 1 && random_below(random, 2) == 0) {
        load->joins[number] = 1 + (uint32_t)random_below(random, number);
        steps[count++] =
            (struct sched_sim_step){.op = SCHED_SIM_JOIN, .number = load->joins[number] - 1};
    }
    return count;
}

// Thread 0 puts into each semaphore what is taken there, one at a time, with pauses.
static struct sched_sim_step giver[4 * THREADS_MOST * 8];

static uint32_t write_giver(struct random *random, const unsigned *downs, struct workload *load)
{
    uint32_t count = 0;
    for (unsigned i = 1; i < load->count; i++) {
        for (unsigned given = 0; given < downs[i]; given++) {
            const uint64_t ns = 1 + random_below(random, 2 * MS);
            giver[count++] = (struct sched_sim_step){.op = SCHED_SIM_RUN, .ns = ns};
            load->work_ns[0] += ns;
            giver[count++] =
                (struct sched_sim_step){.op = SCHED_SIM_SLEEP, .ns = some_time(random)};
            giver[count++] =
                (struct sched_sim_step){.op = SCHED_SIM_UP, .number = i % SCHED_SIM_SEMAPHORES};
        }
    }
    return count;
}

static void open_workload(struct random *random, struct workload *load,
                          const struct sched_policy_ops *policy)
{
    unsigned downs[THREADS_MOST] = {0};
    uint32_t lengths[THREADS_MOST];
    *load = (struct workload){.cpus = 1 + (unsigned)random_below(random, 4),
                              .count = 2 + (unsigned)random_below(random, SCHED_SIM_SEMAPHORES - 2),
                              .policy = policy};
    open_sim(&(struct sched_sim_config){.cpus = load->cpus,
                                        .policy = policy,
                                        .seed = random_u64(random),
                                        .costs = {.switch_ns = random_below(random, 3) * 500,
                                                  .migration_ns = random_below(random, 2) * 20 * US,
                                                  .kick_ns = random_below(random, 2) * US,
                                                  .jitter_ns = random_below(random, 2) * US},
                                        .events_most = 200000,
                                        .check = true,
                                        .observe = watch,
                                        .context = load});
    for (unsigned i = 1; i < load->count; i++)
        lengths[i] = write_script(random, load, i, &downs[i]);
    lengths[0] = write_giver(random, downs, load);
    for (unsigned i = 0; i < load->count; i++) {
        const struct sched_attributes attributes = {
            .name = "simulated",
            .nice = (int)random_below(random, 11) - 5,
            .affinity =
                random_below(random, 4) == 0 ? 1ull << random_below(random, load->cpus) : 0};
        ck_assert_int_eq(sched_sim_add(&sim, &threads[i], &attributes, i == 0 ? giver : scripts[i],
                                       lengths[i], true),
                         STATUS_OK);
        load->weight += sched_weight(attributes.nice);
    }
    for (unsigned i = 0; i < load->count; i++)
        sched_start(&threads[i].thread);
}

static void expect_sums(const struct workload *load)
{
    uint64_t run = 0, busy = 0, dispatches = 0, migrations = 0, in = 0;
    sched_sim_settle(&sim);
    for (unsigned i = 0; i < load->cpus; i++) {
        const struct sched_cpu_statistics *cpu = &sim.sched.cpus[i].statistics;
        ck_assert_uint_eq(cpu->busy_ns + cpu->idle_ns, sim.now_ns);
        ck_assert_uint_le(cpu->preemptions, cpu->switches);
        busy += cpu->busy_ns;
        in += cpu->migrations_in;
    }
    for (unsigned i = 0; i < load->count; i++) {
        const struct sched_thread_statistics *one = &threads[i].thread.statistics;
        ck_assert_uint_eq(threads[i].work_ns, load->work_ns[i]);
        ck_assert_uint_ge(one->run_ns, load->work_ns[i]);
        run += one->run_ns;
        dispatches += one->dispatches;
        migrations += one->migrations;
    }
    ck_assert_uint_eq(run, busy);
    ck_assert_uint_eq(dispatches, sim.switches);
    ck_assert_uint_ge(migrations, in); // a wake-up on another CPU moves a thread too
}

static void expect_fair(const struct workload *load)
{
    for (unsigned i = 0; i < load->count; i++) {
        const struct sched_thread *thread = &threads[i].thread;
        const struct sched_load most = {.threads = load->count,
                                        .weight = load->weight,
                                        .own_weight = sched_weight(thread->nice),
                                        .quantum_ns = SCHED_QUANTUM_NS,
                                        .undisturbed_ns = 50 * US};
        ck_assert_uint_le(thread->statistics.ready_most_ns, load->policy->wait_most_ns(&most));
        if (load->policy == &sched_predictive_ops) {
            const struct sched_predictive_thread *own = sched_predictive_of(thread);
            ck_assert_uint_le(own->ema_us, thread->statistics.run_ns / 1000);
            ck_assert_uint_eq(own->class, sched_predictive_class(own->ema_us));
        }
    }
}

START_TEST(random_workloads_end_and_keep_every_property)
{
    const struct sched_policy_ops *policy = policies[_i];
    struct random random = seeded_for(policy->about.name);
    const unsigned runs = (is_soak() ? 100000 : 1000) / ARRAY_COUNT(policies) + 1;
    for (unsigned run = 0; run < runs; run++) {
        struct workload load;
        const uint64_t seed = random.state;
        open_workload(&random, &load, policy);
        const enum sched_sim_outcome outcome = sched_sim_run(&sim, SCHED_NEVER);
        if (outcome != SCHED_SIM_DONE)
            ck_abort_msg("%s: workload %u, SEED=%lu: outcome %d at %lu ns", policy->about.name, run,
                         (unsigned long)seed, (int)outcome, (unsigned long)sim.now_ns);
        for (unsigned i = 0; i < load.count; i++)
            ck_assert(load.exited[i] && sched_finished(&threads[i].thread));
        expect_sums(&load);
        expect_fair(&load);
    }
}
END_TEST

START_TEST(replay_is_bit_identical)
{
    const struct sched_policy_ops *policy = policies[_i];
    const uint64_t seed = seeded_for(policy->about.name).state;
    uint64_t hash[3], events[3];
    for (unsigned i = 0; i < 3; i++) {
        struct random random = random_seeded(seed + i / 2);
        struct workload load;
        open_workload(&random, &load, policy);
        ck_assert_int_eq(sched_sim_run(&sim, SCHED_NEVER), SCHED_SIM_DONE);
        hash[i] = sim.hash;
        events[i] = sim.logged;
    }
    ck_assert_uint_eq(hash[0], hash[1]);
    ck_assert_uint_eq(events[0], events[1]);
    ck_assert_uint_ne(hash[0], hash[2]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sched_policies");
    TCase *named = tcase_create("named"), *all = tcase_create("every policy");
    const int count = (int)ARRAY_COUNT(policies);
    tcase_add_test(named, class_follows_from_the_ema);
    tcase_add_test(named, ema_is_set_by_the_first_run_and_moves_by_a_quarter);
    tcase_add_test(named, affinity_decays_from_100_at_50_ms_to_10_at_500_ms);
    tcase_add_test(named, threads_are_classified_by_what_they_do);
    tcase_add_test(named, thread_that_changes_is_reclassified);
    tcase_add_test(named, hot_thread_preempts_a_cold_one_when_it_wakes);
    tcase_add_test(named, cold_thread_does_not_starve_behind_hot_ones);
    tcase_add_test(named, preempted_thread_goes_on_before_its_equals);
    tcase_add_test(named, deadline_lets_nobody_run_ahead);
    tcase_add_test(named, deadline_keeps_what_a_thread_owes_while_it_sleeps);
    tcase_add_test(named, deadline_shares_the_cpu_by_weight);
    tcase_set_timeout(all, 3000);
    tcase_add_loop_test(all, balancing_leaves_no_cpu_idle_and_respects_affinity, 0, count);
    tcase_add_loop_test(all, thread_that_runs_alone_needs_no_timer, 0, count);
    tcase_add_loop_test(all, random_workloads_end_and_keep_every_property, 0, count);
    tcase_add_loop_test(all, replay_is_bit_identical, 0, count);
    suite_add_tcase(suite, named);
    suite_add_tcase(suite, all);
    return run_checks(suite);
}
