// SPDX-License-Identifier: MIT
// The locks of the run queues under several CPUs at once, also under ThreadSanitizer: each CPU is a
// thread of the process, and the scheduler's threads have no stacks, so that a switch returns at
// once. What a CPU's current thread does next is decided by the CPU.
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "random.h"
#include "run_checks.h"
#include "sched_policy_variants.h"
#include "seed.h"
#include "soak.h"
#include "test_platform.h"

#define POLICY_OPS(name) &sched_##name##_ops,
static const struct sched_policy_ops *const policies[] = {SCHED_POLICY_VARIANTS(POLICY_OPS)};

#define CPUS       4u
#define THREADS    12u
#define CLOCK_STEP 20000u // ns, each look at the clock

static struct sched storm;
static struct sched_thread threads[THREADS];
static uint64_t clock_ns, kicks[CPUS], rounds, rounds_most;
static bool strict;
static uint64_t tokens[THREADS]; // one is passed round; who has it goes on
static __thread unsigned own_cpu;
static __thread uint64_t own_timer_ns;

static unsigned storm_cpu(void *machine)
{
    (void)machine;
    return own_cpu;
}

static uint64_t storm_now(void *machine)
{
    (void)machine;
    return __atomic_add_fetch(&clock_ns, CLOCK_STEP, __ATOMIC_RELAXED);
}

static void storm_kick(void *machine, unsigned cpu)
{
    (void)machine;
    __atomic_store_n(&kicks[cpu], 1, __ATOMIC_SEQ_CST);
}

static void storm_set_timer(void *machine, uint64_t at_ns)
{
    (void)machine;
    own_timer_ns = at_ns;
}

static void storm_nothing(void *machine)
{
    (void)machine;
}

static void storm_idle(void *machine)
{
    (void)machine;
    usleep(0); // the other CPUs need the real one
}

static bool storm_true(void *machine)
{
    (void)machine;
    return true;
}

static void storm_unmask(void *machine, bool let_in)
{
    (void)machine;
    (void)let_in;
}

static void storm_make(void *machine, struct sched_thread *thread, void (*entry)(void *argument))
{
    (void)machine;
    (void)entry;
    __atomic_store_n(&thread->context.state, THREAD_READY, __ATOMIC_RELAXED);
}

static void storm_switch_to(void *machine, struct sched_thread *from, struct sched_thread *to,
                            enum thread_state left)
{
    (void)machine;
    if (__atomic_load_n(&to->context.state, __ATOMIC_ACQUIRE) != THREAD_READY)
        platform_panic("a thread runs on two CPUs", __FILE__, __LINE__);
    __atomic_store_n(&to->context.state, THREAD_RUNNING, __ATOMIC_RELAXED);
    if (__atomic_load_n(&clock_ns, __ATOMIC_RELAXED) % 3 == 0)
        usleep(0); // between the unlock and the moment that the stack is left
    __atomic_store_n(&from->context.state, left, __ATOMIC_RELEASE);
}

static void storm_enter(void *machine, struct sched_thread *idle)
{
    (void)machine;
    __atomic_store_n(&idle->context.state, THREAD_RUNNING, __ATOMIC_RELAXED);
}

static void storm_leave(void *machine, struct sched_thread *idle)
{
    (void)machine;
    (void)idle;
}

static const struct sched_cpu_ops storm_ops = {
    .name = "storm",
    .stackless = true,
    .cpu = storm_cpu,
    .now_ns = storm_now,
    .kick = storm_kick,
    .set_timer = storm_set_timer,
    .idle = storm_idle,
    .mask = storm_true,
    .unmask = storm_unmask,
    .preemptible = storm_true,
    .defer = storm_nothing,
    .make = storm_make,
    .switch_to = storm_switch_to,
    .enter = storm_enter,
    .leave = storm_leave,
};

// One step of the current thread: passes a token on, waits for one, or does something else.
static void act(struct sched_thread *self, struct random *random)
{
    const unsigned number = (unsigned)(self - threads), next = (number + 1) % THREADS;
    const uint64_t round = __atomic_load_n(&rounds, __ATOMIC_RELAXED);
    uint64_t tokens_seen = __atomic_load_n(&tokens[number], __ATOMIC_ACQUIRE);
    if (round >= rounds_most) {
        sched_wake(&storm, &threads[next]); // so that it sees it too
        if (sched_current(&storm) == self && number != 0)
            sched_exit(&storm);
        else if (sched_current(&storm) == self)
            sched_join(&storm, &threads[1 + random_below(random, THREADS - 1)]);
        return;
    }
    if (tokens_seen > 0) {
        __atomic_sub_fetch(&tokens[number], 1, __ATOMIC_RELAXED);
        __atomic_add_fetch(&rounds, 1, __ATOMIC_RELAXED);
        __atomic_add_fetch(&tokens[next], 1, __ATOMIC_RELEASE);
        sched_wake(&storm, &threads[next]);
        return;
    }
    // Nobody may be woken by anything but a token: else a wake-up that got lost would not show.
    switch (strict ? 3 * random_below(random, 2) : random_below(random, 8)) {
    case 0:
        sched_pass(&storm);
        break;
    case 1:
        sched_sleep_until(&storm, storm_now(NULL) + random_below(random, 500000));
        break;
    case 2:
        sched_wake(&storm, &threads[random_below(random, THREADS)]);
        break;
    default:
        if (strict && random_below(random, 4) == 0)
            usleep(0);
        sched_block(&storm); // if a token came since the look, so did a permit
        break;
    }
}

static struct sched_thread *current_here(void)
{
    return sched_current(&storm);
}

// Thread 0 ends when it has joined some of the others and all have gone.
static bool last_one(struct sched_thread *self)
{
    return self == &threads[0] && __atomic_load_n(&storm.live, __ATOMIC_ACQUIRE) == 1;
}

static void *be_a_cpu(void *argument)
{
    struct random random = random_seeded((uint64_t)(uintptr_t)argument * 7919 + rounds_most);
    own_cpu = (unsigned)(uintptr_t)argument;
    own_timer_ns = SCHED_NEVER;
    test_cpu_enter(own_cpu);
    sched_join_cpu(&storm);
    for (;;) {
        const bool timer = own_timer_ns <= storm_now(NULL);
        if (timer)
            own_timer_ns = SCHED_NEVER;
        if (__atomic_exchange_n(&kicks[own_cpu], 0, __ATOMIC_SEQ_CST) != 0 || timer)
            sched_interrupt(&storm, timer);
        struct sched_thread *self = current_here();
        if (self < threads || self >= threads + THREADS) {
            if (!sched_idle_turn(&storm))
                break;
        } else if (last_one(self)) {
            sched_exit(&storm);
        } else {
            act(self, &random);
        }
    }
    sched_leave_cpu(&storm);
    return NULL;
}

START_TEST(no_wake_up_is_lost_between_cpus)
{
    const struct sched_config config = {
        .cpus = CPUS, .ops = &storm_ops, .policy = policies[_i / 2], .quantum_ns = 1000000};
    const size_t bytes = sched_bytes(&config);
    void *memory = aligned_alloc(64, align_up(bytes, 64));
    pthread_t cpus[CPUS];
    rounds_most = soaked(10000, 100000);
    rounds = 0;
    strict = _i % 2 != 0;
    clock_ns = seeded_for(policies[_i / 2]->about.name).state % 1000;
    ck_assert_int_eq(sched_init(&storm, &config, memory, bytes), STATUS_OK);
    for (unsigned i = 0; i < THREADS; i++) {
        const struct sched_attributes attributes = {
            .name = "storm", .affinity = i % 5 == 1 ? 1ull << (i % CPUS) : 0};
        tokens[i] = strict ? i == 0 : i % 4 == 0;
        ck_assert_int_eq(sched_create(&storm, &threads[i], &attributes), STATUS_OK);
        sched_start(&threads[i]);
    }
    sched_stop(&storm);
    for (uintptr_t i = 0; i < CPUS; i++)
        ck_assert_int_eq(pthread_create(&cpus[i], NULL, be_a_cpu, (void *)i), 0);
    for (unsigned i = 0; i < CPUS; i++)
        pthread_join(cpus[i], NULL);
    uint64_t run = 0, busy = 0, migrations = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        ck_assert(sched_finished(&threads[i]));
        run += threads[i].statistics.run_ns;
        migrations += threads[i].statistics.migrations;
    }
    for (unsigned i = 0; i < CPUS; i++)
        busy += storm.cpus[i].statistics.busy_ns;
    ck_assert_uint_eq(run, busy);
    ck_assert_uint_ge(rounds, rounds_most);
    ck_assert_uint_gt(migrations, 0);
    ck_assert(sched_check(&storm));
    free(memory);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sched_storm");
    TCase *tests = tcase_create("storm");
    tcase_set_timeout(tests, 600);
    tcase_add_loop_test(tests, no_wake_up_is_lost_between_cpus, 0, 2 * (int)ARRAY_COUNT(policies));
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
