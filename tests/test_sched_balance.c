// SPDX-License-Identifier: MIT
// Finer points of who runs where, in the simulator: CPUs that may not take everybody, the scores of
// the predictive policy, and what it learns of a long run.
#include <check.h>

#include "run_checks.h"
#include "sched_simulated.h"

// CPU 0 is idle and may take nobody; of the longest queue, nobody may leave; CPU 2 may take one.
START_TEST(idle_cpu_takes_whom_it_may_past_those_who_are_bound)
{
    static const struct sched_sim_step brief[] = {{.op = SCHED_SIM_RUN, .ns = 30 * MS}};
    static const uint64_t masks[] = {4, 2, 6, 8, 8, 8};
    open_policy(policies[_i], 4);
    for (unsigned i = 0; i < ARRAY_COUNT(masks); i++) {
        const struct sched_attributes bound = {.name = "bound", .affinity = masks[i]};
        ck_assert_int_eq(
            sched_sim_add(&sim, &threads[i], &bound, i == 0 ? brief : for_ever, 1, false),
            STATUS_OK);
    }
    ck_assert_int_eq(sched_sim_run(&sim, 4000 * MS), SCHED_SIM_TIME);
    sched_sim_settle(&sim);
    ck_assert_uint_le(sim.sched.cpus[2].statistics.idle_ns, 100 * MS);
    ck_assert_uint_ge(threads[1].thread.statistics.run_ns, 3800 * MS);
    ck_assert_uint_eq(sim.sched.cpus[0].statistics.interrupts,
                      0); // nor is it asked again and again
}
END_TEST

// With nobody waiting there, that CPU has no timer, and no reason of its own to look at the others.
START_TEST(cpu_whose_only_thread_never_waits_takes_its_share_of_the_others)
{
    const struct sched_policy_ops *policy = policies[_i];
    open_policy(policy, 2);
    const struct sched_attributes there = {.name = "there", .affinity = 1};
    struct sched_sim_thread *crowd[4];
    for (unsigned i = 0; i < 4; i++) {
        crowd[i] = &threads[sim.thread_count];
        // On CPU 0 to begin with: nothing else says so.
        ck_assert_int_eq(sched_sim_add(&sim, crowd[i], &there, for_ever, 1, false), STATUS_OK);
    }
    const struct sched_thread *alone = &threads[sim.thread_count].thread;
    ck_assert_int_eq(sched_sim_add(&sim, &threads[sim.thread_count],
                                   &(struct sched_attributes){.name = "alone"}, for_ever, 1, false),
                     STATUS_OK);
    ck_assert_int_eq(sched_sim_run(&sim, 100 * MS), SCHED_SIM_TIME);
    sched_sim_settle(&sim);
    ck_assert_uint_eq(alone->last_cpu, 1);
    for (unsigned i = 0; i < 4; i++)
        crowd[i]->thread.affinity = 3;
    ck_assert_int_eq(sched_sim_run(&sim, 10000 * MS), SCHED_SIM_TIME);
    sched_sim_settle(&sim);
    ck_assert_uint_ge(sim.sched.cpus[1].statistics.migrations_in, 1);
    ck_assert_uint_le(alone->statistics.run_ns, 8000 * MS);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_ge(crowd[i]->thread.statistics.run_ns, 2500 * MS);
}
END_TEST

// ---- predictive, a queue driven by hand ---------------------------------------------------------

static struct sched own;
static struct sched_cpu queue;
static struct sched_thread some[3];

// Three hot threads in a queue, which ran last on CPU `last` of each, until `until_ns`.
static void fill_queue(const unsigned *last, const bool *ran, uint64_t until_ns)
{
    own = (struct sched){.config = {.cpus = 2, .quantum_ns = SCHED_QUANTUM_NS}};
    queue = (struct sched_cpu){.sched = &own};
    sched_predictive_queue_init(&queue);
    for (unsigned i = 0; i < 3; i++) {
        some[i] = (struct sched_thread){.state = SCHED_READY,
                                        .last_cpu = last[i],
                                        .last_ran_ns = until_ns,
                                        .statistics = {.dispatches = ran[i]}};
        sched_predictive_thread_init(&some[i]);
        sched_predictive_enqueue(&queue, &some[i], SCHED_ENQUEUE_WOKEN, 1000 * MS);
        queue.ready++;
    }
}

START_TEST(warm_thread_is_taken_before_a_cold_head)
{
    fill_queue((const unsigned[]){1, 1, 0}, (const bool[]){true, true, true}, 1000 * MS);
    ck_assert_ptr_eq(sched_predictive_pick(&queue, 1010 * MS), &some[2]);
    // Away for too long, it is as cold as the others.
    fill_queue((const unsigned[]){1, 1, 0}, (const bool[]){true, true, true}, 800 * MS);
    ck_assert_ptr_eq(sched_predictive_pick(&queue, 1010 * MS), &some[0]);
}
END_TEST

START_TEST(nobody_passes_one_that_never_ran_or_after_it_gave_way)
{
    fill_queue((const unsigned[]){1, CPU_MOST, 0}, (const bool[]){true, false, true}, 1000 * MS);
    ck_assert_ptr_eq(sched_predictive_pick(&queue, 1010 * MS), &some[0]);
    fill_queue((const unsigned[]){1, 1, 0}, (const bool[]){true, true, true}, 1000 * MS);
    sched_predictive_dequeue(&queue, &some[2], 1000 * MS);
    sched_predictive_enqueue(&queue, &some[2], SCHED_ENQUEUE_YIELDED, 1000 * MS);
    ck_assert_ptr_eq(sched_predictive_pick(&queue, 1010 * MS), &some[0]);
}
END_TEST

START_TEST(moving_begins_no_new_wait_and_preempted_ones_keep_their_order)
{
    fill_queue((const unsigned[]){0, 0, 0}, (const bool[]){true, true, true}, 1000 * MS);
    sched_predictive_dequeue(&queue, &some[0], 1150 * MS);
    sched_predictive_enqueue(&queue, &some[0], SCHED_ENQUEUE_MOVED, 1150 * MS);
    ck_assert_uint_eq(sched_predictive_of(&some[0])->since_ns, 1000 * MS);
    // The one that has waited since later comes back later, and goes behind the other.
    fill_queue((const unsigned[]){1, 1, 1}, (const bool[]){true, true, true}, 0);
    for (unsigned i = 0; i < 2; i++)
        sched_predictive_dequeue(&queue, &some[i], 1010 * MS);
    ((struct sched_predictive_thread *)some[1].policy)->since_ns = 1005 * MS;
    sched_predictive_dequeue(&queue, &some[2], 1010 * MS);
    sched_predictive_enqueue(&queue, &some[0], SCHED_ENQUEUE_PREEMPTED, 1010 * MS);
    sched_predictive_enqueue(&queue, &some[1], SCHED_ENQUEUE_PREEMPTED, 1010 * MS);
    ck_assert_ptr_eq(sched_predictive_pick(&queue, 1010 * MS), &some[0]);
}
END_TEST

START_TEST(one_that_has_waited_long_is_not_moved_to_a_busy_cpu)
{
    fill_queue((const unsigned[]){0, 0, 0}, (const bool[]){true, true, true}, 0);
    for (unsigned i = 0; i < 3; i++) {
        some[i].affinity = SCHED_ANYWHERE;
        some[i].context.state = THREAD_READY;
    }
    ck_assert_ptr_nonnull(sched_predictive_candidate(&queue, 1, 1, 1050 * MS));
    ck_assert_ptr_null(sched_predictive_candidate(&queue, 1, 1, 1150 * MS));
    ck_assert_ptr_nonnull(sched_predictive_candidate(&queue, 1, 0, 1150 * MS)); // it runs at once
}
END_TEST

START_TEST(rest_of_a_long_run_is_no_short_run)
{
    static const struct sched_sim_step steps[] = {{.op = SCHED_SIM_RUN, .ns = 101 * MS},
                                                  {.op = SCHED_SIM_SLEEP, .ns = 10 * MS},
                                                  {.op = SCHED_SIM_LOOP}};
    const struct sched_attributes attributes = {.name = "long"};
    open_policy(&sched_predictive_ops, 1);
    for (unsigned i = 0; i < 2; i++) // they interrupt each other, which is when a run is looked at
        ck_assert_int_eq(sched_sim_add(&sim, &threads[i], &attributes, steps, 3, false), STATUS_OK);
    ck_assert_int_eq(sched_sim_run(&sim, 5000 * MS), SCHED_SIM_TIME);
    ck_assert_uint_ge(sched_predictive_of(&threads[0].thread)->ema_us, 90000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sched_balance");
    TCase *all = tcase_create("every policy"), *predictive = tcase_create("predictive");
    tcase_add_loop_test(all, idle_cpu_takes_whom_it_may_past_those_who_are_bound, 0,
                        (int)ARRAY_COUNT(policies));
    tcase_add_loop_test(all, cpu_whose_only_thread_never_waits_takes_its_share_of_the_others, 0,
                        (int)ARRAY_COUNT(policies));
    tcase_add_test(predictive, warm_thread_is_taken_before_a_cold_head);
    tcase_add_test(predictive, nobody_passes_one_that_never_ran_or_after_it_gave_way);
    tcase_add_test(predictive, moving_begins_no_new_wait_and_preempted_ones_keep_their_order);
    tcase_add_test(predictive, one_that_has_waited_long_is_not_moved_to_a_busy_cpu);
    tcase_add_test(predictive, rest_of_a_long_run_is_no_short_run);
    suite_add_tcase(suite, all);
    suite_add_tcase(suite, predictive);
    return run_checks(suite);
}
