// SPDX-License-Identifier: MIT
// A scheduler over the CPUs of this process, for tests: its threads with their stacks, and a run of
// it from its first CPU to its last. More CPUs than the computer has take turns on its processors.
#ifndef SCHED_HOST_SUBJECT_H
#define SCHED_HOST_SUBJECT_H

#include <check.h>
#include <string.h>

#include "compiler.h"
#include "run_checks.h"
#include "sched_host.h"
#include "sched_policy_variants.h"
#include "test_platform.h"

#define SUBJECT_CPUS    4u
#define SUBJECT_THREADS 16u
#define SUBJECT_STACK   65536u
#define SUBJECT_WAIT_MS 500000u

#define SUBJECT_POLICY(name) &sched_##name##_ops,
static const struct sched_policy_ops *const subject_policies[] = {
    SCHED_POLICY_VARIANTS(SUBJECT_POLICY)};

static struct {
    struct sched sched;
    const struct sched_cpu_ops *ops;
    void *machine;
    struct sched_thread threads[SUBJECT_THREADS];
    unsigned count;
    bool reused; // some threads were made more than once: their statistics are of the last time
} subject;

static uint8_t subject_stacks[SUBJECT_THREADS][SUBJECT_STACK] __attribute__((aligned(64)));
static uint8_t subject_memory[1 << 16] __attribute__((aligned(64)));

static inline uint64_t subject_now(void)
{
    return subject.ops->now_ns(subject.machine);
}

static inline void subject_begin(const struct sched_policy_ops *policy, unsigned cpus,
                                 uint64_t quantum_ns)
{
    subject.ops = sched_host(&subject.machine);
    const struct sched_config config = {.cpus = cpus,
                                        .ops = subject.ops,
                                        .machine = subject.machine,
                                        .policy = policy,
                                        .quantum_ns = quantum_ns};
    ck_assert_uint_le(sched_bytes(&config), sizeof(subject_memory));
    test_cpu_count = cpus;
    test_cpu_enter(0);
    subject.count = 0;
    subject.reused = false;
    ck_assert_int_eq(sched_init(&subject.sched, &config, subject_memory, sizeof(subject_memory)),
                     STATUS_OK);
}

// A thread, not started. Called by threads too: then the caller looks at the status.
static inline enum status subject_create(unsigned index, void (*entry)(void *), void *argument,
                                         uint64_t affinity)
{
    const struct sched_attributes attributes = {.name = "subject",
                                                .affinity = affinity,
                                                .stack = subject_stacks[index],
                                                .stack_bytes = SUBJECT_STACK,
                                                .entry = entry,
                                                .argument = argument};
    return sched_create(&subject.sched, &subject.threads[index], &attributes);
}

// One more thread, started.
static inline struct sched_thread *subject_add(void (*entry)(void *), void *argument,
                                               uint64_t affinity)
{
    struct sched_thread *thread = &subject.threads[subject.count];
    ck_assert_uint_lt(subject.count, SUBJECT_THREADS);
    ck_assert_int_eq(subject_create(subject.count++, entry, argument, affinity), STATUS_OK);
    sched_start(thread);
    return thread;
}

static inline void subject_be_cpu(void *sched)
{
    sched_start_cpu(sched);
}

// Runs all threads to their end, and looks at what must hold then.
static inline void subject_run(void)
{
    const unsigned cpus = subject.sched.config.cpus;
    uint64_t run = 0, busy = 0;
    sched_stop(&subject.sched);
    for (unsigned i = 1; i < cpus; i++)
        ck_assert(platform_cpu_start(i, subject_be_cpu, &subject.sched));
    sched_start_cpu(&subject.sched);
    for (unsigned i = 1; i < cpus; i++)
        platform_cpu_wait(i, SUBJECT_WAIT_MS);
    ck_assert(sched_check(&subject.sched));
    for (unsigned i = 0; i < subject.count; i++) {
        ck_assert(sched_finished(&subject.threads[i]));
        ck_assert_uint_lt(subject.threads[i].statistics.ready_most_ns, 1ull << 50);
        run += subject.threads[i].statistics.run_ns;
    }
    for (unsigned i = 0; i < cpus; i++) {
        busy += subject.sched.cpus[i].statistics.busy_ns;
        ck_assert_ptr_null(subject.sched.cpus[i].current);
    }
    ck_assert(run == busy || (subject.reused && run < busy));
    ck_assert_uint_eq(cpu_local()->preempt_count, 0);
    ck_assert_ptr_null(cpu_local()->thread);
}

// Interrupts of CPU 0 so far, as a thread on it may look at them.
static inline uint64_t subject_interrupts(void)
{
    return __atomic_load_n(&subject.sched.cpus[0].statistics.interrupts, __ATOMIC_RELAXED);
}

static inline bool flag_is_up(const uint32_t *flag)
{
    return __atomic_load_n(flag, __ATOMIC_ACQUIRE) != 0;
}

static inline void raise_flag(void *flag)
{
    __atomic_store_n((uint32_t *)flag, 1, __ATOMIC_RELEASE);
}

static inline void spin_until_up(void *flag)
{
    while (!flag_is_up(flag))
        cpu_pause();
}

#endif
