// SPDX-License-Identifier: MIT
// The scheduler's calls, with real stacks on one CPU, under every policy; and its tree.
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "run_checks.h"
#include "sched_policy_variants.h"
#include "sched_subject.h"
#include "seed.h"

#define POLICY_OPS(name) &sched_##name##_ops,
static const struct sched_policy_ops *const policies[] = {SCHED_POLICY_VARIANTS(POLICY_OPS)};

#define MS          1000000ull
#define STACK_BYTES 65536u
#define THREADS     6u

static struct sched sched;
static struct sched_thread threads[THREADS];
static uint8_t stacks[THREADS][STACK_BYTES] __attribute__((aligned(16)));
static char story[256];

static void tell(const char *word)
{
    ck_assert_uint_lt(strlen(story) + strlen(word) + 1, sizeof(story));
    strcat(story, word);
}

static void open_sched(const struct sched_policy_ops *policy)
{
    const struct sched_config config = {
        .cpus = 1, .ops = &alone_ops, .machine = &alone, .policy = policy, .names = 16};
    const size_t bytes = sched_bytes(&config);
    test_cpu_enter(0);
    alone = (struct alone){.sched = &sched, .timer_ns = SCHED_NEVER};
    story[0] = '\0';
    ck_assert_int_eq(sched_init(&sched, &config, aligned_alloc(64, align_up(bytes, 64)), bytes),
                     STATUS_OK);
}

static void start(unsigned number, const char *name, void (*entry)(void *argument))
{
    const struct sched_attributes attributes = {.name = name,
                                                .stack = stacks[number],
                                                .stack_bytes = STACK_BYTES,
                                                .entry = entry,
                                                .argument = (void *)(uintptr_t)number};
    ck_assert_int_eq(sched_create(&sched, &threads[number], &attributes), STATUS_OK);
    sched_start(&threads[number]);
}

static void run_all(void)
{
    sched_stop(&sched);
    sched_start_cpu(&sched);
    ck_assert(sched_check(&sched));
    ck_assert_uint_eq(sched.live, 0);
}

// ---- calls --------------------------------------------------------------------------------------

static void yields(void *argument)
{
    for (unsigned i = 0; i < 3; i++) {
        tell((uintptr_t)argument == 0 ? "a" : "b");
        sched_pass(&sched);
    }
}

START_TEST(threads_that_yield_take_turns)
{
    open_sched(policies[_i]);
    start(0, "a", yields);
    start(1, "b", yields);
    run_all();
    ck_assert_str_eq(story, "ababab");
    ck_assert(sched_finished(&threads[0]) && sched_finished(&threads[1]));
    ck_assert_uint_eq(threads[0].statistics.runs, 4); // three yields and the end
}
END_TEST

static bool condition;

static void waits(void *argument)
{
    (void)argument;
    tell("w");
    while (!condition)
        sched_block(&sched);
    tell("W");
}

static void wakes(void *argument)
{
    (void)argument;
    tell("k");
    condition = true;
    sched_wake(&sched, &threads[0]);
    sched_pass(&sched);
    tell("K");
}

START_TEST(wake_ends_a_block)
{
    open_sched(policies[_i]);
    condition = false;
    start(0, "waits", waits);
    start(1, "wakes", wakes);
    run_all();
    ck_assert_str_eq(story, "wkWK");
    ck_assert_uint_eq(threads[0].statistics.wakeups, 1);
}
END_TEST

static void blocks_once(void *argument)
{
    (void)argument;
    sched_wake(&sched, &threads[0]); // itself: it is awake
    sched_wake(&sched, &threads[0]);
    sched_block(&sched);
    tell("b");
    sched_sleep_until(&sched, alone.now_ns + MS);
    tell("s");
}

START_TEST(wake_of_one_that_is_awake_leaves_one_permit)
{
    open_sched(policies[_i]);
    start(0, "blocks", blocks_once);
    run_all();
    ck_assert_str_eq(story, "bs");
    ck_assert_uint_eq(alone.now_ns, MS); // it did sleep
    ck_assert_uint_eq(threads[0].statistics.permits, 1);
}
END_TEST

static void sleeps(void *argument)
{
    const unsigned number = (unsigned)(uintptr_t)argument;
    static const char *const words[] = {"0", "1", "2", "3"};
    const uint64_t at = (number * 7 % 4 + 1) * MS; // 1 4 3 2
    sched_sleep_until(&sched, at);
    ck_assert_uint_ge(alone.now_ns, at);
    tell(words[number]);
}

START_TEST(sleepers_wake_in_the_order_of_their_times)
{
    open_sched(policies[_i]);
    for (unsigned i = 0; i < 4; i++)
        start(i, "sleeps", sleeps);
    run_all();
    ck_assert_str_eq(story, "0321");
    ck_assert_uint_eq(alone.now_ns, 4 * MS);
    ck_assert_uint_eq(sched.cpus[0].statistics.idle_ns, 4 * MS);
}
END_TEST

static void sleeps_long(void *argument)
{
    (void)argument;
    sched_sleep_until(&sched, 1000 * MS);
    tell("awake");
}

static void wakes_sleeper(void *argument)
{
    (void)argument;
    alone_work(5 * MS);
    sched_wake(&sched, &threads[0]);
}

START_TEST(wake_ends_a_sleep)
{
    open_sched(policies[_i]);
    start(0, "sleeps", sleeps_long);
    start(1, "wakes", wakes_sleeper);
    run_all();
    ck_assert_str_eq(story, "awake");
    ck_assert_uint_lt(alone.now_ns, 1000 * MS);
}
END_TEST

static void sleeps_for_ever(void *argument)
{
    (void)argument;
    sched_sleep_until(&sched, SCHED_NEVER);
    tell("awake");
}

START_TEST(only_a_wake_ends_a_sleep_until_never)
{
    open_sched(policies[_i]);
    start(0, "sleeps", sleeps_for_ever);
    start(1, "wakes", wakes_sleeper);
    run_all();
    ck_assert_str_eq(story, "awake");
    ck_assert_uint_eq(threads[0].statistics.wakeups, 1);
    ck_assert_uint_eq(threads[0].statistics.permits, 0);
}
END_TEST

static void ends(void *argument)
{
    (void)argument;
    sched_sleep_until(&sched, 3 * MS);
    tell("e");
    if (condition)
        sched_exit(&sched);
    tell("f");
}

// What a stack held is poisoned for AddressSanitizer.
__attribute__((no_sanitize_address)) static void spoil(volatile uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = 0xa5;
}

static void joins(void *argument)
{
    (void)argument;
    sched_wake(&sched, sched_current(&sched)); // a permit does not end a join
    sched_join(&sched, &threads[0]);
    ck_assert(sched_finished(&threads[0]));
    spoil(stacks[0], STACK_BYTES); // it is ours again
    tell("j");
    sched_join(&sched, &threads[0]); // has finished: at once
    tell("J");
}

START_TEST(join_returns_when_the_thread_has_left_its_stack)
{
    open_sched(policies[_i]);
    condition = true;
    start(0, "ends", ends);
    start(1, "joins", joins);
    run_all();
    ck_assert_str_eq(story, "ejJ");
}
END_TEST

START_TEST(any_number_may_join_one)
{
    open_sched(policies[_i]);
    condition = false;
    start(0, "ends", ends);
    for (unsigned i = 1; i < THREADS; i++)
        start(i, "joins", joins);
    run_all();
    ck_assert_uint_eq(strlen(story), 2 + 2 * (THREADS - 1));
    ck_assert_int_eq(strncmp(story, "ef", 2), 0);
}
END_TEST

// ---- preemption ---------------------------------------------------------------------------------

static void works(void *argument)
{
    const uintptr_t number = (uintptr_t)argument;
    for (unsigned i = 0; i < 50; i++) {
        if (story[0] == '\0' || story[strlen(story) - 1] != (char)('0' + number))
            tell(number == 0 ? "0" : "1");
        alone_work(MS);
    }
}

START_TEST(timer_preempts_one_that_never_yields)
{
    open_sched(policies[_i]);
    start(0, "works", works);
    start(1, "works", works);
    run_all();
    ck_assert_str_eq(story, "0101010101");
    ck_assert_uint_eq(threads[0].statistics.run_ns, 50 * MS);
    ck_assert_uint_eq(threads[0].statistics.preemptions, 5);
}
END_TEST

static void works_undisturbed(void *argument)
{
    (void)argument;
    cpu_preempt_disable();
    cpu_preempt_disable();
    alone_work(25 * MS); // the quantum ends in here
    tell("u");
    ck_assert_uint_ge(alone.deferred, 1);
    cpu_preempt_enable();
    tell("u");
    cpu_preempt_enable(); // the outermost level: now
    tell("v");
}

START_TEST(preemption_waits_until_it_is_enabled)
{
    open_sched(policies[_i]);
    start(0, "undisturbed", works_undisturbed);
    start(1, "b", yields);
    run_all();
    ck_assert_int_eq(strncmp(story, "uub", 3), 0);
    ck_assert_ptr_null(cpu_local()->preempt_wanted);
    ck_assert_uint_eq(cpu_local()->preempt_count, 0);
}
END_TEST

START_TEST(one_thread_alone_sets_no_timer)
{
    open_sched(policies[_i]);
    start(0, "works", works);
    run_all();
    ck_assert_uint_eq(sched.cpus[0].statistics.timers_set, 0);
    ck_assert_uint_eq(sched.cpus[0].statistics.busy_ns, 50 * MS);
}
END_TEST

START_TEST(names_and_ids_are_known)
{
    open_sched(&sched_fifo_ops);
    start(0, "works", works);
    ck_assert_uint_eq(threads[0].id, 2);
    ck_assert_str_eq(sched_name(&sched, 1), "idle");
    ck_assert_str_eq(sched_name(&sched, 2), "works");
    ck_assert_ptr_null(sched_name(&sched, 3));
    ck_assert_ptr_null(sched_name(&sched, 1000));
    run_all();
}
END_TEST

// ---- what is refused ----------------------------------------------------------------------------

START_TEST(bad_configurations_and_attributes_are_refused)
{
    struct sched_config config = {.cpus = 0, .ops = &alone_ops, .policy = &sched_fifo_ops};
    static uint8_t memory[65536] __attribute__((aligned(64)));
    ck_assert_int_eq(sched_init(&sched, &config, memory, sizeof(memory)), STATUS_INVALID);
    config.cpus = CPU_MOST + 1;
    ck_assert_int_eq(sched_init(&sched, &config, memory, sizeof(memory)), STATUS_INVALID);
    config.cpus = 1;
    ck_assert_int_eq(sched_init(&sched, &config, memory, sched_bytes(&config) - 1),
                     STATUS_NO_MEMORY);
    open_sched(&sched_fifo_ops);
    const struct sched_attributes good = {.name = "x", .stack = stacks[0], .stack_bytes = 4096};
    struct sched_attributes bad = good;
    bad.stack_bytes = SCHED_STACK_LEAST - 1;
    ck_assert_int_eq(sched_create(&sched, &threads[0], &bad), STATUS_INVALID);
    bad = good;
    bad.affinity = 2; // there is one CPU
    ck_assert_int_eq(sched_create(&sched, &threads[0], &bad), STATUS_INVALID);
    bad = good;
    bad.nice = 20;
    ck_assert_int_eq(sched_create(&sched, &threads[0], &bad), STATUS_INVALID);
}
END_TEST

START_TEST(block_outside_of_a_thread_panics)
{
    open_sched(&sched_fifo_ops);
    sched_join_cpu(&sched);
    sched_block(&sched);
}
END_TEST

static void blocks_undisturbed(void *argument)
{
    (void)argument;
    cpu_preempt_disable();
    sched_block(&sched);
}

START_TEST(block_with_preemption_disabled_panics)
{
    open_sched(&sched_fifo_ops);
    start(0, "blocks", blocks_undisturbed);
    run_all();
}
END_TEST

START_TEST(starting_twice_panics)
{
    open_sched(&sched_fifo_ops);
    start(0, "works", works);
    sched_start(&threads[0]);
}
END_TEST

static void joins_itself(void *argument)
{
    (void)argument;
    sched_join(&sched, &threads[0]);
}

START_TEST(joining_itself_panics)
{
    open_sched(&sched_fifo_ops);
    start(0, "joins", joins_itself);
    run_all();
}
END_TEST

START_TEST(joining_one_that_was_not_started_panics)
{
    const struct sched_attributes attributes = {
        .name = "x", .stack = stacks[0], .stack_bytes = STACK_BYTES};
    open_sched(&sched_fifo_ops);
    sched_create(&sched, &threads[0], &attributes);
    start(1, "joins", joins_itself);
    run_all();
}
END_TEST

START_TEST(joining_a_cpu_twice_panics)
{
    open_sched(&sched_fifo_ops);
    sched_join_cpu(&sched);
    cpu_local()->thread = NULL;
    sched_join_cpu(&sched);
}
END_TEST

// ---- the tree -----------------------------------------------------------------------------------

#define NODES 300u

START_TEST(tree_agrees_with_a_plain_array)
{
    static struct sched_tree_node nodes[NODES];
    static bool in[NODES];
    struct sched_tree tree = {.root = NULL};
    struct random random = seeded_for("tree");
    const uint64_t base = random_u64(&random); // keys may wrap
    size_t count = 0, seen;
    for (unsigned step = 0; step < 20000; step++) {
        const unsigned i = (unsigned)random_below(&random, NODES);
        if (in[i]) {
            sched_tree_remove(&tree, &nodes[i]);
        } else {
            nodes[i].key = base + random_below(&random, 50);
            nodes[i].tie = i;
            nodes[i].low = base + random_below(&random, 1000);
            sched_tree_insert(&tree, &nodes[i]);
        }
        in[i] = !in[i];
        count = in[i] ? count + 1 : count - 1;
        const uint64_t most = base + random_below(&random, 1000);
        struct sched_tree_node *first = NULL, *low = NULL;
        for (unsigned n = 0; n < NODES; n++) {
            if (in[n] && (first == NULL || nodes[n].key - base < first->key - base))
                first = &nodes[n];
            if (in[n] && nodes[n].low - base <= most - base &&
                (low == NULL || nodes[n].key - base < low->key - base))
                low = &nodes[n];
        }
        ck_assert_ptr_eq(sched_tree_first(&tree), first);
        ck_assert_ptr_eq(sched_tree_first_low(&tree, most), low);
        if (step % 64 == 0)
            ck_assert(sched_tree_check(&tree, &seen) && seen == count);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sched");
    TCase *calls = tcase_create("every policy"), *once = tcase_create("once");
    const int count = (int)ARRAY_COUNT(policies);
    tcase_add_loop_test(calls, threads_that_yield_take_turns, 0, count);
    tcase_add_loop_test(calls, wake_ends_a_block, 0, count);
    tcase_add_loop_test(calls, wake_of_one_that_is_awake_leaves_one_permit, 0, count);
    tcase_add_loop_test(calls, sleepers_wake_in_the_order_of_their_times, 0, count);
    tcase_add_loop_test(calls, wake_ends_a_sleep, 0, count);
    tcase_add_loop_test(calls, only_a_wake_ends_a_sleep_until_never, 0, count);
    tcase_add_loop_test(calls, join_returns_when_the_thread_has_left_its_stack, 0, count);
    tcase_add_loop_test(calls, any_number_may_join_one, 0, count);
    tcase_add_loop_test(calls, timer_preempts_one_that_never_yields, 0, count);
    tcase_add_loop_test(calls, preemption_waits_until_it_is_enabled, 0, count);
    tcase_add_loop_test(calls, one_thread_alone_sets_no_timer, 0, count);
    tcase_add_test(once, names_and_ids_are_known);
    tcase_add_test(once, bad_configurations_and_attributes_are_refused);
    tcase_add_test_raise_signal(once, block_outside_of_a_thread_panics, SIGABRT);
    tcase_add_test_raise_signal(once, block_with_preemption_disabled_panics, SIGABRT);
    tcase_add_test_raise_signal(once, starting_twice_panics, SIGABRT);
    tcase_add_test_raise_signal(once, joining_itself_panics, SIGABRT);
    tcase_add_test_raise_signal(once, joining_one_that_was_not_started_panics, SIGABRT);
    tcase_add_test_raise_signal(once, joining_a_cpu_twice_panics, SIGABRT);
    tcase_add_test(once, tree_agrees_with_a_plain_array);
    suite_add_tcase(suite, calls);
    suite_add_tcase(suite, once);
    return run_checks(suite);
}
