// SPDX-License-Identifier: MIT
// The part of the contract that is about platform_sched.
#include "compiler.h"
#include "sched.h"
#include "sched_policy_fifo.h"
#include "seam.h"

#define TURNS       1000u
#define WORKERS     8u // at most; as many as there are CPUs
#define STACK_BYTES 32768u
#define NAP_NS      1000000u
#define WAIT_MS     20000u

static struct sched sched;
static struct sched_thread threads[1 + WORKERS];
static uint8_t stacks[1 + WORKERS][STACK_BYTES] __attribute__((aligned(PAGE_SIZE)));
static uint8_t memory[WORKERS * sizeof(struct sched_cpu)] CACHE_ALIGNED;
static void *machine;
static bool whole; // as far as can be seen without running anything

// Each written by one thread, read when it has been waited for.
static struct {
    unsigned calls, cpu;
    bool short_nap, preemptible;
} seen[WORKERS];
static unsigned joined;

static bool is_whole(const struct sched_cpu_ops *ops)
{
    return ops->name != NULL && !ops->stackless && ops->cpu != NULL && ops->now_ns != NULL &&
           ops->kick != NULL && ops->set_timer != NULL && ops->idle != NULL && ops->mask != NULL &&
           ops->unmask != NULL && ops->preemptible != NULL && ops->defer != NULL &&
           ops->make != NULL && ops->switch_to != NULL && ops->enter != NULL && ops->leave != NULL;
}

const char *scheduler_is_whole_and_stays(void)
{
    const struct sched_cpu_ops *ops = seam.sched(&machine);
    void *again;
    if (ops == NULL)
        return seam_skipped;
    if (!is_whole(ops))
        return "a function is missing";
    for (unsigned i = 0; i < 3; i++) {
        if (seam.sched(&again) != ops || again != machine)
            return "it is another one";
    }
    uint64_t last = ops->now_ns(machine);
    for (unsigned i = 0; i < TURNS; i++) {
        const uint64_t now = ops->now_ns(machine);
        if (now < last)
            return "its time runs backwards";
        last = now;
    }
    const bool let_in = ops->mask(machine), still = ops->mask(machine);
    const bool here = ops->cpu(machine) == 0, preemptible = ops->preemptible(machine);
    ops->unmask(machine, still);
    ops->unmask(machine, let_in);
    whole = let_in && !still && here && preemptible;
    return !let_in || still ? "masking does not nest"
           : !here          ? "this CPU is not the first"
           : !preemptible   ? "nothing forbids preemption, and it is not possible"
                            : NULL;
}

static void work(void *argument)
{
    const uintptr_t number = (uintptr_t)argument;
    sched_pass(&sched);
    const uint64_t until = sched.ops->now_ns(machine) + NAP_NS;
    sched_sleep_until(&sched, until);
    seen[number].short_nap = sched.ops->now_ns(machine) < until;
    seen[number].cpu = cpu_local()->index;
    seen[number].preemptible = cpu_local()->preempt_count == 0;
    seen[number].calls++;
}

static void join_all(void *argument)
{
    const uintptr_t workers = (uintptr_t)argument;
    for (unsigned i = 0; i < workers; i++) {
        sched_join(&sched, &threads[i]);
        joined++;
    }
}

static bool start(unsigned index, void (*entry)(void *), uintptr_t argument, uint64_t affinity)
{
    const struct sched_attributes attributes = {.name = "contract",
                                                .affinity = affinity,
                                                .stack = stacks[index],
                                                .stack_bytes = STACK_BYTES,
                                                .entry = entry,
                                                .argument = (void *)argument};
    if (sched_create(&sched, &threads[index], &attributes) != STATUS_OK)
        return false;
    sched_start(&threads[index]);
    return true;
}

static void be_cpu(void *argument)
{
    sched_start_cpu(argument);
}

static const char *run_round(unsigned workers, unsigned round)
{
    const struct sched_cpu_ops *ops = seam.sched(&machine);
    const struct sched_config config = {
        .cpus = workers, .ops = ops, .machine = machine, .policy = &sched_fifo_ops};
    joined = 0;
    if (sched_init(&sched, &config, memory, sizeof(memory)) != STATUS_OK)
        return "there is none for its CPUs";
    for (unsigned i = 0; i < workers; i++) {
        if (!start(i, work, i, 1ull << i))
            return "a thread cannot be made";
    }
    if (!start(workers, join_all, workers, 0))
        return "a thread cannot be made";
    sched_stop(&sched);
    for (unsigned i = 1; i < workers; i++) {
        if (!platform_cpu_start(i, be_cpu, &sched))
            return "a CPU does not join";
    }
    sched_start_cpu(&sched);
    for (unsigned i = 1; i < workers; i++)
        platform_cpu_wait(i, WAIT_MS);
    if (joined != workers || !sched_check(&sched))
        return "it left something undone";
    for (unsigned i = 0; i < workers; i++) {
        if (seen[i].calls != round + 1 || seen[i].cpu != i || !seen[i].preemptible)
            return "a thread did not do its work, or elsewhere";
        if (seen[i].short_nap)
            return "a sleep was short";
    }
    return NULL;
}

// Twice: where one scheduler has ended the next begins. With what is known to be broken, nothing
// runs: it would not end. The CPUs are the platform's own, whatever is planted.
const char *scheduler_runs_threads_on_every_cpu(void)
{
    const unsigned workers = (unsigned)min_u64(platform_cpu_count(), WORKERS);
    const char *wrong = NULL;
    if (!whole)
        return seam_skipped;
    for (unsigned round = 0; round < 2 && wrong == NULL; round++)
        wrong = run_round(workers, round);
    return wrong;
}
