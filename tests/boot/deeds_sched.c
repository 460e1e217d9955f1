// SPDX-License-Identifier: MIT
// The scheduler on this machine's CPUs: real threads that block, wake, sleep, end and are waited
// for, that never yield, that run alone, or that need more stack than they have.
#include "deeds_sched.h"

#include "compiler.h"
#include "deeds.h"
#include "format.h"
#include "interrupts.h"
#include "machine_cpu.h"
#include "platform.h"
#include "sched_machine.h"
#include "sched_policy_variants.h"

struct sched deed_sched;
struct sched_thread deed_threads[SCHED_DEED_THREADS];
static uint8_t stacks[SCHED_DEED_THREADS][SCHED_DEED_STACK_BYTES] __attribute__((aligned(16)));
static uint8_t memory[CPU_MOST * sizeof(struct sched_cpu)] CACHE_ALIGNED;

// ---- what they have in common -------------------------------------------------------------------

const struct sched_policy_ops *sched_deed_policy(unsigned number)
{
#define POLICY_OPS(name) &sched_##name##_ops,
    static const struct sched_policy_ops *const policies[] = {SCHED_POLICY_VARIANTS(POLICY_OPS)};
    return number < ARRAY_COUNT(policies) ? policies[number] : NULL;
}

const struct sched_cpu_ops *sched_deed_ops(void)
{
    void *machine;
    const struct sched_cpu_ops *ops = platform_sched(&machine);
    if (ops == NULL || machine != NULL)
        platform_panic("no scheduler on this machine", __FILE__, __LINE__);
    return ops;
}

void sched_deed_begin(const struct sched_policy_ops *policy, const struct sched_cpu_ops *ops,
                      unsigned cpus, uint64_t quantum_ns)
{
    const struct sched_config config = {
        .cpus = cpus, .ops = ops, .policy = policy, .quantum_ns = quantum_ns};
    if (sched_init(&deed_sched, &config, memory, sizeof(memory)) != STATUS_OK)
        platform_panic("no scheduler", __FILE__, __LINE__);
}

struct sched_thread *sched_deed_spawn(unsigned number, const char *name,
                                      void (*entry)(void *argument), void *argument,
                                      uint64_t affinity)
{
    const struct sched_attributes attributes = {.name = name,
                                                .affinity = affinity,
                                                .stack = stacks[number],
                                                .stack_bytes = SCHED_DEED_STACK_BYTES,
                                                .entry = entry,
                                                .argument = argument};
    struct sched_thread *thread = &deed_threads[number];
    if (sched_create(&deed_sched, thread, &attributes) != STATUS_OK)
        platform_panic("no thread", __FILE__, __LINE__);
    sched_start(thread);
    return thread;
}

static void be_a_cpu(void *argument)
{
    (void)argument;
    sched_start_cpu(&deed_sched);
}

void sched_deed_run(void)
{
    const unsigned cpus = deed_sched.config.cpus;
    sched_stop(&deed_sched);
    for (unsigned cpu = 1; cpu < cpus; cpu++) {
        if (!platform_cpu_start(cpu, be_a_cpu, NULL))
            platform_panic("a CPU is not parked", __FILE__, __LINE__);
    }
    be_a_cpu(NULL);
    for (unsigned cpu = 1; cpu < cpus; cpu++)
        platform_cpu_wait(cpu, SCHED_DEED_WAIT_MS);
    if (!sched_check(&deed_sched))
        platform_panic("the scheduler's order is broken", __FILE__, __LINE__);
}

uint64_t sched_deed_now(void)
{
    return deed_sched.ops->now_ns(NULL);
}

void sched_deed_say(const struct sched_policy_ops *policy, const char *key, uint64_t value)
{
    char name[64];
    format(name, sizeof(name), "sched.%s.%s", policy->about.name, key);
    deeds_say(name, value);
}

// ---- block, wake, sleep, join -------------------------------------------------------------------

#define PAIRS       4u
#define NAP_NS      200000u
#define SHORT_LIVED 32u // number of the first of the threads that only end

static struct {
    uint64_t rounds;
    uint64_t turns[PAIRS];   // whose it is: even and odd
    uint64_t met[2 * PAIRS]; // by each thread
    uint64_t ended, early, joined;
} meet;

// Two threads take turns; each waits for the other.
static void take_turns(void *argument)
{
    const unsigned number = (unsigned)(uintptr_t)argument, pair = number / 2;
    struct sched_thread *other = &deed_threads[number ^ 1];
    for (uint64_t round = 0; round < meet.rounds; round++) {
        while ((__atomic_load_n(&meet.turns[pair], __ATOMIC_ACQUIRE) & 1) != (number & 1))
            sched_block(&deed_sched);
        meet.met[number]++;
        __atomic_add_fetch(&meet.turns[pair], 1, __ATOMIC_RELEASE);
        sched_wake(&deed_sched, other);
        if (round % 64 == number) {
            const uint64_t until = sched_deed_now() + NAP_NS;
            do
                sched_sleep_until(&deed_sched, until); // a wake-up may end it
            while (sched_deed_now() < until);
        }
    }
}

static void end_soon(void *argument)
{
    const uint64_t until = sched_deed_now() + (uintptr_t)argument * 50000;
    sched_sleep_until(&deed_sched, until);
    meet.early += sched_deed_now() < until;
    __atomic_add_fetch(&meet.ended, 1, __ATOMIC_RELAXED);
    if ((uintptr_t)argument % 2 == 0)
        sched_exit(&deed_sched);
}

// Waits for threads that end before and after it looks, and starts them in the place of the last.
static void wait_for_others(void *argument)
{
    (void)argument;
    for (uintptr_t turn = 0; turn < 8; turn++) {
        for (uintptr_t i = 0; i < 4; i++)
            sched_deed_spawn(SHORT_LIVED + (unsigned)i, "short", end_soon, (void *)(i + turn), 0);
        for (unsigned i = 4; i-- > 0;) {
            sched_join(&deed_sched, &deed_threads[SHORT_LIVED + i]);
            meet.joined += sched_finished(&deed_threads[SHORT_LIVED + i]);
        }
    }
}

// cpus= how many CPUs take part, count= turns of each thread.
void sched_meet_deed(void)
{
    const unsigned cpus = (unsigned)deeds_option("cpus", platform_cpu_count());
    for (unsigned p = 0; sched_deed_policy(p) != NULL; p++) {
        const struct sched_policy_ops *policy = sched_deed_policy(p);
        uint64_t met = 0, idle_ns = 0;
        __builtin_memset(&meet, 0, sizeof(meet));
        meet.rounds = deeds_option("count", 500);
        sched_deed_begin(policy, sched_deed_ops(), cpus, 0);
        // They wake each other: all are made before one of them runs.
        for (uintptr_t i = 0; i < 2 * PAIRS; i++)
            sched_deed_spawn((unsigned)i, "turns", take_turns, (void *)i, 0);
        sched_deed_spawn(2 * PAIRS, "waits", wait_for_others, NULL, 0);
        sched_deed_run();
        for (unsigned i = 0; i < 2 * PAIRS; i++)
            met += meet.met[i];
        for (unsigned i = 0; i < cpus; i++)
            idle_ns += deed_sched.cpus[i].statistics.idle_ns;
        sched_deed_say(policy, "met", met);
        sched_deed_say(policy, "ended", meet.ended);
        sched_deed_say(policy, "joined", meet.joined);
        sched_deed_say(policy, "early", meet.early);
        sched_deed_say(policy, "idle", idle_ns > 0);
    }
    // Nothing comes any more.
    const uint64_t before = machine_cpu_here()->counts.all, begin = cpu_ticks();
    while (cpu_ticks() - begin < 20 * NS_PER_MS)
        cpu_pause();
    deeds_say("sched.interrupts_afterwards", machine_cpu_here()->counts.all - before);
}

// ---- threads that never yield -------------------------------------------------------------------

#define GREEDY 3u

static struct {
    uint64_t changed[GREEDY], rounds[GREEDY];
    uint64_t wanted; // preemptions of each
} greedy;

static void never_yield(void *argument)
{
    const unsigned number = (unsigned)(uintptr_t)argument;
    const uint64_t *preemptions = &deed_threads[number].statistics.preemptions;
    unsigned others = GREEDY - 1;
    // The last one is alone: nobody is there who could preempt it.
    while (__atomic_load_n(preemptions, __ATOMIC_RELAXED) < greedy.wanted && others > 0) {
        greedy.changed[number] += patterns_hold(50, number * 1000 + greedy.rounds[number]++);
        others = 0;
        for (unsigned i = 0; i < GREEDY; i++)
            others += i != number && !sched_finished(&deed_threads[i]);
    }
}

// Several on one CPU; each goes on until it was preempted count= times.
void sched_greedy_deed(void)
{
    for (unsigned p = 0; sched_deed_policy(p) != NULL; p++) {
        const struct sched_policy_ops *policy = sched_deed_policy(p);
        uint64_t changed = 0, least = UINT64_MAX, waited = 0;
        __builtin_memset(&greedy, 0, sizeof(greedy));
        greedy.wanted = deeds_option("count", 20);
        sched_deed_begin(policy, sched_deed_ops(), 1, NS_PER_MS);
        for (uintptr_t i = 0; i < GREEDY; i++)
            sched_deed_spawn((unsigned)i, "greedy", never_yield, (void *)i, 0);
        sched_deed_run();
        for (unsigned i = 0; i < GREEDY; i++) {
            changed += greedy.changed[i];
            least = min_u64(least, deed_threads[i].statistics.preemptions);
            waited = max_u64(waited, deed_threads[i].statistics.ready_most_ns);
        }
        sched_deed_say(policy, "changed", changed);
        sched_deed_say(policy, "preemptions_least", least);
        sched_deed_say(policy, "waited_most_ns", waited);
    }
}

// ---- leaves -------------------------------------------------------------------------------------

#define LEAFY_LOOPS 5000000u // where nobody gets it off its CPU

static struct {
    unsigned hundreds; // of instructions in the leaf
    uint64_t loops;
    bool stop;
} leafy;

// In leaves nearly all of the time, and nothing else that could let others run.
static void work_in_leaves(void *argument)
{
    (void)argument;
    const uint64_t most = leafy.loops + LEAFY_LOOPS;
    while (!__atomic_load_n(&leafy.stop, __ATOMIC_RELAXED) && leafy.loops < most) {
        cpu_leaf_enter();
        for (unsigned i = 0; i < leafy.hundreds; i++)
            cpu_straight_run_100();
        cpu_leaf_leave();
        leafy.loops++;
    }
}

static void wait_in_line(void *argument)
{
    for (uint64_t turn = 0; turn < *(const uint64_t *)argument; turn++)
        sched_pass(&deed_sched);
    __atomic_store_n(&leafy.stop, true, __ATOMIC_RELAXED);
}

// count= times that somebody waits for a CPU whose thread is in leaves.
void sched_leaf_deed(void)
{
    static const unsigned hundreds[] = {1, 2, 5, 10, 30};
    uint64_t turns = deeds_option("count", 20), loops = 0, preemptions = 0;
    char key[48];
    for (unsigned i = 0; i < ARRAY_COUNT(hundreds); i++) {
        leafy.hundreds = hundreds[i];
        leafy.stop = false;
        sched_deed_begin(&sched_fifo_ops, sched_deed_ops(), 1, NS_PER_MS);
        sched_deed_spawn(0, "leaves", work_in_leaves, NULL, 0);
        sched_deed_spawn(1, "waits", wait_in_line, &turns, 0);
        sched_deed_run();
        format(key, sizeof(key), "sched.leaf_waited_ns.%u", 100 * leafy.hundreds);
        deeds_say(key, deed_threads[1].statistics.ready_most_ns);
        preemptions += deed_threads[0].statistics.preemptions;
        loops += leafy.loops;
    }
    deeds_say("sched.leaf_preemptions", preemptions);
    deeds_say("sched.leaf_loops", loops);
}

// ---- interrupts that are not needed -------------------------------------------------------------

#define ALONE_MS 10u

static struct {
    struct sched_cpu_ops ops;
    const struct sched_cpu_ops *machine;
    uint64_t idles, interrupts[4]; // while alone, with another one, alone again, asleep
    uint64_t early, late_most_ns, sleeps;
} ticks;

static void count_idle(void *machine)
{
    ticks.idles++;
    ticks.machine->idle(machine);
}

static void spend(uint64_t ms)
{
    const uint64_t until = sched_deed_now() + ms * NS_PER_MS;
    while (sched_deed_now() < until)
        cpu_pause();
}

static uint64_t interrupts_so_far(void)
{
    return machine_cpu_here()->counts.all;
}

static void keep_company(void *argument)
{
    (void)argument;
    spend(ALONE_MS);
}

static void sleep_precisely(void)
{
    static const uint64_t naps_ns[] = {1, 1000, 10000, 100000, NS_PER_MS, 10 * NS_PER_MS};
    for (unsigned i = 0; i < 10 * ARRAY_COUNT(naps_ns); i++) {
        const uint64_t until = sched_deed_now() + naps_ns[i % ARRAY_COUNT(naps_ns)];
        sched_sleep_until(&deed_sched, until);
        const uint64_t now = sched_deed_now();
        ticks.early += now < until;
        ticks.late_most_ns = max_u64(ticks.late_most_ns, now - until);
        ticks.sleeps++;
    }
}

static void be_alone(void *argument)
{
    uint64_t before = interrupts_so_far();
    (void)argument;
    spend(ALONE_MS);
    ticks.interrupts[0] = interrupts_so_far() - before;
    struct sched_thread *other = sched_deed_spawn(1, "company", keep_company, NULL, 0);
    before = interrupts_so_far();
    spend(ALONE_MS);
    sched_join(&deed_sched, other);
    ticks.interrupts[1] = interrupts_so_far() - before;
    spend(2); // a timer that is set already may fire once more
    before = interrupts_so_far();
    spend(ALONE_MS);
    ticks.interrupts[2] = interrupts_so_far() - before;
    before = interrupts_so_far();
    ticks.idles = 0;
    sleep_precisely();
    ticks.interrupts[3] = interrupts_so_far() - before;
}

void sched_ticks_deed(void)
{
    ticks.machine = sched_deed_ops();
    ticks.ops = *ticks.machine;
    ticks.ops.idle = count_idle;
    sched_deed_begin(&sched_fifo_ops, &ticks.ops, 1, NS_PER_MS);
    sched_deed_spawn(0, "alone", be_alone, NULL, 0);
    sched_deed_run();
    deeds_say("sched.ticks_alone", ticks.interrupts[0]);
    deeds_say("sched.ticks_together", ticks.interrupts[1]);
    deeds_say("sched.ticks_alone_again", ticks.interrupts[2]);
    deeds_say("sched.ticks_asleep", ticks.interrupts[3]);
    deeds_say("sched.idles", ticks.idles);
    deeds_say("sched.sleeps", ticks.sleeps);
    deeds_say("sched.early", ticks.early);
    deeds_say("sched.late_most_ns", ticks.late_most_ns);
    deeds_say("sched.idle_us", deed_sched.cpus[0].statistics.idle_ns / 1000);
    deeds_say("sched.busy_us", deed_sched.cpus[0].statistics.busy_ns / 1000);
}

// ---- preemption that has to wait ----------------------------------------------------------------

#define URGENT_TURNS 8u

static struct {
    uint64_t ran; // by the urgent one
    uint64_t at_once[5], too_early[5];
    unsigned vector;
    bool stop;
} late;

static void be_urgent(void *argument)
{
    (void)argument;
    while (!late.stop) {
        sched_block(&deed_sched);
        __atomic_add_fetch(&late.ran, 1, __ATOMIC_RELAXED);
    }
}

static void wake_urgent(void *context, const struct trap_frame *frame)
{
    (void)context;
    (void)frame;
    sched_wake(&deed_sched, &deed_threads[1]);
}

static void interrupt_self(void)
{
    (void)apic_send(&machine_cpu_here()->apic, machine_cpu_here()->apic_id, (uint8_t)late.vector);
}

static void wake_in(unsigned way)
{
    const uint64_t before = __atomic_load_n(&late.ran, __ATOMIC_RELAXED);
    switch (way) {
    case 0: // by a thread that could be preempted right away
        sched_wake(&deed_sched, &deed_threads[1]);
        break;
    case 1: // with interrupts masked
        interrupts_off();
        sched_wake(&deed_sched, &deed_threads[1]);
        late.too_early[way] += __atomic_load_n(&late.ran, __ATOMIC_RELAXED) != before;
        interrupts_on();
        break;
    case 2: // with preemption disabled
        cpu_preempt_disable();
        sched_wake(&deed_sched, &deed_threads[1]);
        late.too_early[way] += __atomic_load_n(&late.ran, __ATOMIC_RELAXED) != before;
        cpu_preempt_enable();
        break;
    case 3: // by an interrupt's handler, in a leaf
        cpu_leaf_enter();
        interrupt_self();
        cpu_straight_run_100();
        late.too_early[way] += __atomic_load_n(&late.ran, __ATOMIC_RELAXED) != before;
        cpu_leaf_leave();
        break;
    default: // by an interrupt's handler
        interrupts_off();
        interrupt_self();
        late.too_early[way] += __atomic_load_n(&late.ran, __ATOMIC_RELAXED) != before;
        interrupts_on();
        break;
    }
    cpu_straight_run_100(); // the interrupt arrives
    late.at_once[way] += __atomic_load_n(&late.ran, __ATOMIC_RELAXED) == before + 1;
}

static void be_slow(void *argument)
{
    (void)argument;
    for (unsigned turn = 0; turn < URGENT_TURNS; turn++) {
        for (unsigned way = 0; way < ARRAY_COUNT(late.at_once); way++) {
            spend(1); // until the other one is the next in line by far
            wake_in(way);
        }
    }
    late.stop = true;
    sched_wake(&deed_sched, &deed_threads[1]);
}

// The deadline policy: who has slept goes before who has run. Slices are so long that none ends.
void sched_late_deed(void)
{
    static const char *const ways[] = {"open", "masked", "disabled", "leaf", "handler"};
    late.vector = interrupt_claim(wake_urgent, NULL);
    sched_deed_begin(&sched_deadline_ops, sched_deed_ops(), 1, 10 * NS_PER_MS);
    sched_deed_spawn(0, "slow", be_slow, NULL, 0);
    sched_deed_spawn(1, "urgent", be_urgent, NULL, 0);
    sched_deed_run();
    interrupt_release(late.vector);
    for (unsigned way = 0; way < ARRAY_COUNT(ways); way++) {
        char key[48];
        format(key, sizeof(key), "sched.at_once.%s", ways[way]);
        deeds_say(key, late.at_once[way]);
        format(key, sizeof(key), "sched.too_early.%s", ways[way]);
        deeds_say(key, late.too_early[way]);
    }
}

// ---- a thread's stack ---------------------------------------------------------------------------

static uint8_t guarded[4 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

static void be_deep(void *argument)
{
    *(uint64_t *)argument = deeds_descend(0);
}

static void be_short(void *argument)
{
    ++*(uint64_t *)argument;
}

// Threads with a guard page below their stack: some that end, then one that needs more than it has.
void sched_overflow_deed(void)
{
    static uint64_t result;
    struct sched_attributes attributes = {.name = "modest", .entry = be_short, .argument = &result};
    for (unsigned i = 0; i < 3; i++) {
        if (i == 2) {
            attributes.name = "greedy";
            attributes.entry = be_deep;
            deeds_say("sched.modest", result);
        }
        sched_deed_begin(&sched_fifo_ops, sched_deed_ops(), 1, 0);
        if (sched_machine_make_stack(&attributes, guarded, sizeof(guarded)) != STATUS_OK ||
            sched_create(&deed_sched, &deed_threads[0], &attributes) != STATUS_OK)
            platform_panic("no guarded thread", __FILE__, __LINE__);
        sched_start(&deed_threads[0]);
        sched_deed_run();
        if (sched_machine_free_stack(guarded) != STATUS_OK)
            platform_panic("no memory again", __FILE__, __LINE__);
        __atomic_store_n((uint64_t *)guarded, 1, __ATOMIC_RELAXED); // not a guard any more
    }
}
