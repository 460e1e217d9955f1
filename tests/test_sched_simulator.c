// SPDX-License-Identifier: MIT
// The simulator: time passes as scripts and costs say, and replay is exact.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run_checks.h"
#include "sched_policy_variants.h"
#include "sched_simulator.h"
#include "soak.h"

#define POLICY_OPS(name) &sched_##name##_ops,
static const struct sched_policy_ops *const policies[] = {SCHED_POLICY_VARIANTS(POLICY_OPS)};

#define US 1000ull
#define MS 1000000ull

static struct sched_sim sim;
static struct sched_sim_thread threads[16];
static void *memory;

static void open_with(const struct sched_sim_config *config)
{
    const size_t bytes = sched_sim_bytes(config->cpus, ARRAY_COUNT(threads));
    free(memory);
    memory = aligned_alloc(64, align_up(bytes, 64));
    ck_assert_int_eq(sched_sim_init(&sim, config, ARRAY_COUNT(threads), memory, bytes), STATUS_OK);
}

static void open_cpus(unsigned cpus)
{
    open_with(&(struct sched_sim_config){
        .cpus = cpus, .policy = &sched_fifo_ops, .seed = 1, .events_most = 1000000, .check = true});
}

static void add(const struct sched_sim_step *steps, uint32_t count)
{
    const struct sched_attributes attributes = {.name = "simulated"};
    ck_assert_int_eq(
        sched_sim_add(&sim, &threads[sim.thread_count], &attributes, steps, count, false),
        STATUS_OK);
}

START_TEST(thread_alone_takes_as_long_as_its_script_says)
{
    static const struct sched_sim_step steps[] = {{.op = SCHED_SIM_RUN, .ns = 3 * MS},
                                                  {.op = SCHED_SIM_SLEEP, .ns = 2 * MS},
                                                  {.op = SCHED_SIM_RUN, .ns = 1 * MS}};
    open_cpus(1);
    add(steps, ARRAY_COUNT(steps));
    ck_assert_int_eq(sched_sim_run(&sim, SCHED_NEVER), SCHED_SIM_DONE);
    ck_assert_uint_eq(sim.now_ns, 6 * MS);
    ck_assert_uint_eq(threads[0].thread.statistics.run_ns, 4 * MS);
    ck_assert_uint_eq(threads[0].work_ns, 4 * MS);
    ck_assert_uint_eq(sim.sched.cpus[0].statistics.idle_ns, 2 * MS);
}
END_TEST

START_TEST(two_threads_on_one_cpu_take_turns_of_a_quantum)
{
    static const struct sched_sim_step steps[] = {{.op = SCHED_SIM_RUN, .ns = 25 * MS}};
    open_cpus(1);
    add(steps, 1);
    add(steps, 1);
    ck_assert_int_eq(sched_sim_run(&sim, SCHED_NEVER), SCHED_SIM_DONE);
    ck_assert_uint_eq(sim.now_ns, 50 * MS);
    // 10 10 10 10 5 5
    ck_assert_uint_eq(threads[0].thread.statistics.preemptions, 2);
    ck_assert_uint_eq(threads[0].thread.statistics.ready_most_ns, 10 * MS);
    ck_assert_uint_eq(threads[1].thread.statistics.ready_ns, 25 * MS);
}
END_TEST

START_TEST(two_threads_on_two_cpus_run_at_once)
{
    static const struct sched_sim_step steps[] = {{.op = SCHED_SIM_RUN, .ns = 25 * MS}};
    open_cpus(2);
    add(steps, 1);
    add(steps, 1);
    ck_assert_int_eq(sched_sim_run(&sim, SCHED_NEVER), SCHED_SIM_DONE);
    ck_assert_uint_eq(sim.now_ns, 25 * MS);
}
END_TEST

START_TEST(semaphore_passes_the_turn)
{
    static const struct sched_sim_step ping[] = {{.op = SCHED_SIM_DOWN, .number = 0},
                                                 {.op = SCHED_SIM_RUN, .ns = US},
                                                 {.op = SCHED_SIM_UP, .number = 1},
                                                 {.op = SCHED_SIM_LOOP, .number = 100}};
    static const struct sched_sim_step pong[] = {{.op = SCHED_SIM_UP, .number = 0},
                                                 {.op = SCHED_SIM_DOWN, .number = 1},
                                                 {.op = SCHED_SIM_RUN, .ns = US},
                                                 {.op = SCHED_SIM_LOOP, .number = 100}};
    for (unsigned cpus = 1; cpus <= 3; cpus++) {
        open_cpus(cpus);
        add(ping, ARRAY_COUNT(ping));
        add(pong, ARRAY_COUNT(pong));
        ck_assert_int_eq(sched_sim_run(&sim, SCHED_NEVER), SCHED_SIM_DONE);
        ck_assert_uint_eq(sim.now_ns, 200 * US);
    }
}
END_TEST

static const struct sched_sim_step long_run[] = {{.op = SCHED_SIM_RUN, .ns = 100 * MS}};

START_TEST(switches_migrations_and_cold_caches_cost_what_is_said)
{
    static const struct sched_sim_step pauses[] = {{.op = SCHED_SIM_RUN, .ns = MS},
                                                   {.op = SCHED_SIM_SLEEP, .ns = 20 * MS},
                                                   {.op = SCHED_SIM_LOOP, .number = 5}};
    open_with(&(struct sched_sim_config){
        .cpus = 1,
        .policy = &sched_fifo_ops,
        .costs = {.switch_ns = 3 * US, .cold_ns = 100 * US, .cold_after_ns = 10 * MS},
        .events_most = 1000});
    add(pauses, ARRAY_COUNT(pauses));
    ck_assert_int_eq(sched_sim_run(&sim, SCHED_NEVER), SCHED_SIM_DONE);
    const struct sched_thread_statistics *own = &threads[0].thread.statistics;
    // The time of a switch is charged to the one that is switched to: 6 times here, the last time
    // to end; cold 5 times, the first run is not.
    ck_assert_uint_eq(own->dispatches, 6);
    ck_assert_uint_eq(own->run_ns, 5 * MS + 6 * 3 * US + 5 * 100 * US);
    ck_assert_uint_eq(threads[0].work_ns, 5 * MS);
}
END_TEST

START_TEST(waiting_in_a_circle_is_noticed)
{
    static const struct sched_sim_step steps[] = {{.op = SCHED_SIM_DOWN, .number = 0}};
    open_cpus(2);
    add(steps, 1);
    ck_assert_int_eq(sched_sim_run(&sim, SCHED_NEVER), SCHED_SIM_STUCK);
}
END_TEST

START_TEST(events_are_bounded_and_a_run_goes_on)
{
    open_with(&(struct sched_sim_config){
        .cpus = 1, .policy = &sched_fifo_ops, .events_most = 10, .check = true});
    add(long_run, 1);
    add(long_run, 1);
    unsigned runs = 1;
    while (sched_sim_run(&sim, SCHED_NEVER) == SCHED_SIM_LIMIT)
        runs++;
    ck_assert_uint_ge(runs, 3);
    ck_assert_uint_eq(sim.now_ns, 200 * MS);
}
END_TEST

START_TEST(period_counts_what_is_late)
{
    static const struct sched_sim_step in_time[] = {{.op = SCHED_SIM_RUN, .ns = 3 * MS},
                                                    {.op = SCHED_SIM_PERIOD, .ns = 10 * MS},
                                                    {.op = SCHED_SIM_LOOP, .number = 8}};
    static const struct sched_sim_step late[] = {{.op = SCHED_SIM_RUN, .ns = 11 * MS},
                                                 {.op = SCHED_SIM_PERIOD, .ns = 10 * MS},
                                                 {.op = SCHED_SIM_LOOP, .number = 8}};
    open_cpus(2);
    add(in_time, ARRAY_COUNT(in_time));
    add(late, ARRAY_COUNT(late));
    ck_assert_int_eq(sched_sim_run(&sim, SCHED_NEVER), SCHED_SIM_DONE);
    ck_assert_uint_eq(threads[0].periods, 8);
    ck_assert_uint_eq(threads[0].misses, 0);
    ck_assert_uint_eq(threads[1].misses, 8);
}
END_TEST

START_TEST(malformed_scripts_and_too_many_threads_are_refused)
{
    static const struct sched_sim_step bad[][1] = {{{.op = SCHED_SIM_EXIT + 1}},
                                                   {{.op = SCHED_SIM_WAKE, .number = 16}},
                                                   {{.op = SCHED_SIM_UP, .number = 16}},
                                                   {{.op = SCHED_SIM_LOOP}},
                                                   {{.op = SCHED_SIM_RANDOM}}};
    const struct sched_attributes attributes = {.name = "simulated"};
    open_cpus(1);
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
        ck_assert_int_eq(sched_sim_add(&sim, &threads[0], &attributes, bad[i], 1, false),
                         STATUS_INVALID);
    for (unsigned i = 0; i < ARRAY_COUNT(threads); i++)
        add(long_run, 1);
    ck_assert_int_eq(sched_sim_add(&sim, &threads[0], &attributes, long_run, 1, false),
                     STATUS_FULL);
}
END_TEST

// ---- every order, to a depth --------------------------------------------------------------------

#define DEPTH_MOST 64u

struct search {
    unsigned depth; // choices beyond take the first
    unsigned taken[DEPTH_MOST], of[DEPTH_MOST], count;
    unsigned long runs, choices;
};

static unsigned next_choice(void *context, unsigned count)
{
    struct search *search = context;
    if (search->count >= search->depth)
        return (unsigned)(search->choices++ % count); // all get on, in some order
    search->of[search->count] = count;
    return search->taken[search->count++];
}

// The next leaf of the tree of choices; false after the last.
static bool next_path(struct search *search)
{
    while (search->count > 0) {
        const unsigned last = search->count - 1;
        if (++search->taken[last] < search->of[last])
            return true;
        search->taken[last] = 0;
        search->count--;
    }
    return false;
}

static const struct sched_sim_step gives[] = {{.op = SCHED_SIM_UP, .number = 0},
                                              {.op = SCHED_SIM_SLEEP, .ns = 5},
                                              {.op = SCHED_SIM_UP, .number = 0},
                                              {.op = SCHED_SIM_WAKE, .number = 2}};
static const struct sched_sim_step takes[] = {{.op = SCHED_SIM_DOWN, .number = 0},
                                              {.op = SCHED_SIM_YIELD},
                                              {.op = SCHED_SIM_DOWN, .number = 0}};
static const struct sched_sim_step waits[] = {{.op = SCHED_SIM_BLOCK},
                                              {.op = SCHED_SIM_RUN, .ns = 3},
                                              {.op = SCHED_SIM_JOIN, .number = 0},
                                              {.op = SCHED_SIM_JOIN, .number = 1}};

// 2 CPUs, 3 threads: whatever the order in which CPUs go on and interrupts arrive, all threads end
// and every invariant holds after every event.
START_TEST(every_order_of_a_tiny_workload_ends_well)
{
    struct search search = {.depth = soaked(8, 12)};
    do {
        search.count = 0;
        search.choices = 0;
        open_with(&(struct sched_sim_config){.cpus = 2,
                                             .policy = policies[_i],
                                             .quantum_ns = 4,
                                             .events_most = 2000,
                                             .check = true,
                                             .choose = next_choice,
                                             .context = &search});
        add(gives, ARRAY_COUNT(gives));
        add(takes, ARRAY_COUNT(takes));
        add(waits, ARRAY_COUNT(waits));
        const enum sched_sim_outcome outcome = sched_sim_run(&sim, SCHED_NEVER);
        if (outcome != SCHED_SIM_DONE) {
            for (unsigned i = 0; i < search.count; i++)
                printf("%u/%u ", search.taken[i], search.of[i]);
            ck_abort_msg("%s: order %lu ends as %d", policies[_i]->about.name, search.runs,
                         (int)outcome);
        }
        search.runs++;
    } while (next_path(&search));
    printf("%s: %lu orders\n", policies[_i]->about.name, search.runs);
    ck_assert_uint_gt(search.runs, 1000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sched_simulator");
    TCase *tests = tcase_create("simulator");
    TCase *orders = tcase_create("every order");
    tcase_add_test(tests, thread_alone_takes_as_long_as_its_script_says);
    tcase_add_test(tests, two_threads_on_one_cpu_take_turns_of_a_quantum);
    tcase_add_test(tests, two_threads_on_two_cpus_run_at_once);
    tcase_add_test(tests, semaphore_passes_the_turn);
    tcase_add_test(tests, switches_migrations_and_cold_caches_cost_what_is_said);
    tcase_add_test(tests, waiting_in_a_circle_is_noticed);
    tcase_add_test(tests, events_are_bounded_and_a_run_goes_on);
    tcase_add_test(tests, period_counts_what_is_late);
    tcase_add_test(tests, malformed_scripts_and_too_many_threads_are_refused);
    tcase_set_timeout(orders, 3000);
    tcase_add_loop_test(orders, every_order_of_a_tiny_workload_ends_well, 0,
                        (int)ARRAY_COUNT(policies));
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, orders);
    return run_checks(suite);
}
