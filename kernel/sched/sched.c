// SPDX-License-Identifier: MIT
#include "sched.h"

#include "assert.h"
#include "sched_core.h"
#include "sched_trace.h"

// ---- set up -------------------------------------------------------------------------------------

static size_t cpus_bytes(const struct sched_config *config)
{
    return config->cpus * sizeof(struct sched_cpu);
}

size_t sched_bytes(const struct sched_config *config)
{
    return cpus_bytes(config) + align_up(config->names * sizeof(const char *), CACHE_LINE);
}

// `idle`: of which CPU it is the idle thread, + 1; 0: of none.
static uint32_t new_id(struct sched *sched, const char *name, uint32_t idle)
{
    const uint32_t number = __atomic_fetch_add(&sched->next_id, 1, __ATOMIC_RELAXED);
    const uint32_t id = 1 + number % SCHED_ID_MOST;
    if (id < sched->config.names)
        __atomic_store_n(&sched->names[id], name, __ATOMIC_RELEASE);
    if (CONFIG_TRACE && sched->config.trace)
        sched_trace_thread(sched, id, name, idle);
    return id;
}

static void init_cpu(struct sched *sched, unsigned index)
{
    struct sched_cpu *cpu = &sched->cpus[index];
    *cpu = (struct sched_cpu){.index = index, .sched = sched, .timer_at_ns = SCHED_NEVER};
    spinlock_init(&cpu->lock);
    cpu->idle.sched = sched;
    cpu->idle.name = "idle";
    cpu->idle.id = new_id(sched, cpu->idle.name, index + 1);
    cpu->idle.cpu = cpu->idle.last_cpu = index;
    cpu->idle.affinity = 1ull << index;
    sched->policy->queue_init(cpu);
}

enum status sched_init(struct sched *sched, const struct sched_config *config, void *memory,
                       size_t bytes)
{
    if (config->cpus == 0 || config->cpus > CPU_MOST || config->names > SCHED_ID_MOST)
        return STATUS_INVALID;
    if (bytes < sched_bytes(config))
        return STATUS_NO_MEMORY;
    assert((uintptr_t)memory % CACHE_LINE == 0);
    *sched = (struct sched){.config = *config,
                            .ops = config->ops,
                            .policy = config->policy,
                            .machine = config->machine,
                            .interrupt = sched_interrupt,
                            .preempt = sched_preempt,
                            .cpus = memory,
                            .names = (const char **)((uint8_t *)memory + cpus_bytes(config))};
    if (config->quantum_ns == 0)
        sched->config.quantum_ns = SCHED_QUANTUM_NS;
    if (config->balance_ns == 0)
        sched->config.balance_ns = SCHED_BALANCE_NS;
    for (unsigned i = 0; i < config->names; i++)
        sched->names[i] = NULL;
    if (CONFIG_TRACE && config->trace)
        sched_trace_begin(sched);
    for (unsigned i = 0; i < config->cpus; i++)
        init_cpu(sched, i);
    return STATUS_OK;
}

const char *sched_name(const struct sched *sched, uint32_t id)
{
    return id < sched->config.names ? __atomic_load_n(&sched->names[id], __ATOMIC_ACQUIRE) : NULL;
}

// 1024 * 1.25^-nice, rounded.
uint32_t sched_weight(int nice)
{
    static const uint32_t weights[] = {88818, 71054, 56843, 45475, 36380, 29104, 23283, 18626,
                                       14901, 11921, 9537,  7629,  6104,  4883,  3906,  3125,
                                       2500,  2000,  1600,  1280,  1024,  819,   655,   524,
                                       419,   336,   268,   215,   172,   137,   110,   88,
                                       70,    56,    45,    36,    29,    23,    18,    15};
    assert(nice >= SCHED_NICE_LEAST && nice <= SCHED_NICE_MOST);
    return weights[nice - SCHED_NICE_LEAST];
}

// ---- CPUs ---------------------------------------------------------------------------------------

void sched_join_cpu(struct sched *sched)
{
    const bool let_in = sched->ops->mask(sched->machine);
    struct sched_cpu *cpu = sched_here(sched);
    const uint64_t now = sched->ops->now_ns(sched->machine);
    sched->ops->enter(sched->machine, &cpu->idle);
    spinlock_acquire(&cpu->lock);
    assert(cpu->current == NULL);
    cpu->idle.state = SCHED_RUNNING;
    cpu->current = &cpu->idle;
    cpu->charged_ns = now;
    // Relaxed: hints; who acts on them takes the lock.
    __atomic_fetch_or(&sched->online_mask, 1ull << cpu->index, __ATOMIC_RELAXED);
    __atomic_fetch_or(&sched->idle_mask, 1ull << cpu->index, __ATOMIC_RELAXED);
    sched_tell(sched, &(struct sched_event){.now_ns = now,
                                            .kind = SCHED_EVENT_SWITCH,
                                            .cpu = cpu->index,
                                            .thread = cpu->idle.id});
    spinlock_release(&cpu->lock);
    sched->ops->unmask(sched->machine, let_in);
}

static bool time_to_leave(struct sched *sched)
{
    return __atomic_load_n(&sched->stopping, __ATOMIC_SEQ_CST) != 0 &&
           __atomic_load_n(&sched->live, __ATOMIC_SEQ_CST) == 0;
}

bool sched_idle_turn(struct sched *sched)
{
    bool let_in;
    struct sched_cpu *cpu = sched_begin(sched, &let_in);
    assert(cpu->current == &cpu->idle);
    if (cpu->ready > 0) {
        sched_give_way(cpu, sched->ops->now_ns(sched->machine));
        sched_end(sched, let_in);
        return true;
    }
    spinlock_release(&cpu->lock);
    // What comes after this look ends the wait: whoever makes a thread ready here, or stops the
    // scheduler, kicks this CPU behind it, and a kick is latched.
    const bool stays = !time_to_leave(sched);
    if (stays) {
        sched_tell_idle(cpu, true, sched->ops->now_ns(sched->machine));
        sched->ops->idle(sched->machine);
    }
    sched_end(sched, let_in);
    return stays;
}

void sched_leave_cpu(struct sched *sched)
{
    bool let_in;
    struct sched_cpu *cpu = sched_begin(sched, &let_in);
    assert(cpu->current == &cpu->idle && cpu->ready == 0);
    const uint64_t now = sched->ops->now_ns(sched->machine);
    sched_charge(cpu, now);
    sched_tell_idle(cpu, false, now);
    sched_set_timer(cpu);
    cpu->current = NULL;
    if (CONFIG_TRACE && sched->config.trace)
        sched_trace_leave();
    __atomic_fetch_and(&sched->online_mask, ~(1ull << cpu->index), __ATOMIC_RELAXED);
    __atomic_fetch_and(&sched->idle_mask, ~(1ull << cpu->index), __ATOMIC_RELAXED);
    spinlock_release(&cpu->lock);
    sched->ops->leave(sched->machine, &cpu->idle);
    sched->ops->unmask(sched->machine, let_in);
}

void sched_start_cpu(struct sched *sched)
{
    sched_join_cpu(sched);
    while (sched_idle_turn(sched))
        continue;
    sched_leave_cpu(sched);
}

void sched_stop(struct sched *sched)
{
    // In one order with the last thread's end (sched_arrived) and with the look of an idle CPU.
    __atomic_store_n(&sched->stopping, 1, __ATOMIC_SEQ_CST);
    const uint64_t online = __atomic_load_n(&sched->online_mask, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < sched->config.cpus; i++) {
        if (online >> i & 1)
            sched->ops->kick(sched->machine, i);
    }
}

// ---- interrupts ---------------------------------------------------------------------------------

// The CPU with the fewest threads that wait, if it could take one of `cpu`'s by sched_pull; else
// none.
static struct sched_cpu *shortest(struct sched_cpu *cpu, uint64_t now)
{
    struct sched *sched = cpu->sched;
    const uint64_t online = __atomic_load_n(&sched->online_mask, __ATOMIC_RELAXED);
    struct sched_cpu *found = NULL;
    uint32_t more_than = cpu->ready;
    for (unsigned i = 0; i < sched->config.cpus; i++) {
        struct sched_cpu *other = &sched->cpus[i];
        const uint32_t ready = __atomic_load_n(&other->ready, __ATOMIC_RELAXED);
        if ((online >> i & 1) != 0 && ready + 1 < more_than &&
            sched_could_give(cpu, i, ready, now)) {
            found = other;
            more_than = ready + 1;
        }
    }
    return found;
}

// A busy CPU's turn at balancing: once in a while it takes from a longer queue, or makes the one
// with the shortest look at this: with one thread that never waits, that one has no timer of its
// own.
static void balance(struct sched_cpu *cpu, uint64_t *now)
{
    struct sched *sched = cpu->sched;
    if (cpu->current == &cpu->idle)
        return;
    if ((int64_t)(*now - cpu->balance_at_ns) >= 0) {
        cpu->balance_at_ns = *now + sched->config.balance_ns;
        struct sched_cpu *other = sched_pull(cpu, false, now) ? NULL : shortest(cpu, *now);
        if (other != NULL) {
            cpu->statistics.kicks++;
            sched->ops->kick(sched->machine, other->index);
        }
    }
}

void sched_interrupt(struct sched *sched, bool timer)
{
    struct sched_cpu *cpu = sched_here(sched);
    spinlock_acquire(&cpu->lock);
    if (cpu->current == NULL) {
        spinlock_release(&cpu->lock);
        return;
    }
    uint64_t now = sched->ops->now_ns(sched->machine);
    // Release: sched_barrier sees by it that this CPU has taken a lock since it was kicked.
    __atomic_store_n(&cpu->statistics.interrupts, cpu->statistics.interrupts + 1, __ATOMIC_RELEASE);
    if (timer)
        cpu->timer_at_ns = SCHED_NEVER;
    sched_charge(cpu, now);
    (void)sched_wake_sleepers(cpu, now);
    balance(cpu, &now);
    // An idle CPU that is interrupted looks for work everywhere.
    if (cpu->current == &cpu->idle || (cpu->ready > 0 && cpu->current->slice_left_ns == 0))
        cpu->resched = true;
    if (cpu->resched && sched->ops->preemptible(sched->machine)) {
        sched_give_way(cpu, now);
        return;
    }
    sched_kick_idle(cpu, now);
    sched_set_timer(cpu);
    const bool wanted = cpu->resched;
    spinlock_release(&cpu->lock);
    if (wanted)
        sched->ops->defer(sched->machine);
}

void sched_preempt(struct sched *sched)
{
    const bool let_in = sched->ops->mask(sched->machine);
    sched_arrived(sched); // in the middle of a new thread's beginning
    struct sched_cpu *cpu = sched_here(sched);
    spinlock_acquire(&cpu->lock);
    if (cpu->current != NULL && cpu->resched)
        sched_give_way(cpu, sched->ops->now_ns(sched->machine));
    else
        spinlock_release(&cpu->lock);
    sched->ops->unmask(sched->machine, let_in);
}

// ---- threads ------------------------------------------------------------------------------------

// The first that runs on a new thread's stack: the other side of the switch, masked.
static void thread_main(void *argument)
{
    struct sched_thread *self = argument;
    sched_arrived(self->sched);
    sched_end(self->sched, true);
    self->entry(self->argument);
    sched_exit(self->sched);
    platform_panic("a finished thread was switched to", self->name, 0);
}

enum status sched_create(struct sched *sched, struct sched_thread *thread,
                         const struct sched_attributes *attributes)
{
    const uint64_t all = UINT64_MAX >> (CPU_MOST - sched->config.cpus);
    const uint64_t wanted = attributes->affinity != 0 ? attributes->affinity : SCHED_ANYWHERE;
    const struct thread stack = {.stack = attributes->stack,
                                 .stack_bytes = attributes->stack_bytes};
    if ((wanted & all) == 0 || attributes->nice < SCHED_NICE_LEAST ||
        attributes->nice > SCHED_NICE_MOST)
        return STATUS_INVALID;
    if (!sched->ops->stackless && attributes->stack_bytes < SCHED_STACK_LEAST)
        return STATUS_INVALID;
    *thread = (struct sched_thread){.context = stack,
                                    .sched = sched,
                                    .name = attributes->name,
                                    .id = new_id(sched, attributes->name, 0),
                                    .nice = (int8_t)attributes->nice,
                                    .entry = attributes->entry,
                                    .argument = attributes->argument,
                                    .user = attributes->user,
                                    .affinity = wanted & all,
                                    .state = SCHED_NEW,
                                    .cpu = (uint32_t)__builtin_ctzll(wanted & all)};
    thread->last_cpu = CPU_MOST; // ran nowhere yet
    sched->policy->thread_init(thread);
    sched->ops->make(sched->machine, thread, thread_main);
    return STATUS_OK;
}

// Puts a thread that waits no longer into `target`'s queue. Both queues locked.
static bool ready_at(struct sched_cpu *home, struct sched_cpu *target, struct sched_thread *thread,
                     enum sched_enqueue why)
{
    struct sched *sched = thread->sched;
    struct sched_cpu *here = sched_here(sched);
    const uint64_t now = sched->ops->now_ns(sched->machine);
    const struct sched_event woken = {.now_ns = now,
                                      .kind = SCHED_EVENT_WAKE,
                                      .cpu = here->index,
                                      .thread = thread->id,
                                      .other = here->current != NULL ? here->current->id : 0,
                                      .priority = sched_told_priority(thread),
                                      .to = target->index};
    if (home != target) {
        __atomic_store_n(&thread->cpu, target->index, __ATOMIC_RELAXED);
        if (why != SCHED_ENQUEUE_STARTED) {
            thread->statistics.migrations++;
            sched_tell(sched, &(struct sched_event){.now_ns = now,
                                                    .kind = SCHED_EVENT_MIGRATE,
                                                    .cpu = here->index,
                                                    .thread = thread->id,
                                                    .from = home->index,
                                                    .to = target->index});
        }
    }
    sched_tell(sched, &woken);
    return sched_make_ready(target, thread, why, now);
}

void sched_start(struct sched_thread *thread)
{
    struct sched *sched = thread->sched;
    const bool let_in = sched->ops->mask(sched->machine);
    struct sched_cpu *target = sched_place(sched, thread);
    assert(thread->state == SCHED_NEW);
    __atomic_add_fetch(&sched->live, 1, __ATOMIC_SEQ_CST);
    spinlock_acquire(&target->lock);
    const bool look = ready_at(&sched->cpus[thread->cpu], target, thread, SCHED_ENQUEUE_STARTED);
    spinlock_release(&target->lock);
    if (look)
        sched_ask(sched, target, let_in);
    sched_end(sched, let_in);
}

struct sched_thread *sched_current(struct sched *sched)
{
    const bool let_in = sched->ops->mask(sched->machine);
    struct sched_thread *current = sched_here(sched)->current;
    sched->ops->unmask(sched->machine, let_in);
    return current;
}

// A call by which the running thread may give its CPU up.
static struct sched_cpu *begin_by_thread(struct sched *sched, bool *let_in)
{
    struct sched_cpu *cpu = sched_begin(sched, let_in);
    assert(cpu->current != NULL && cpu->current != &cpu->idle);
    assert(sched->ops->preemptible(sched->machine));
    return cpu;
}

static void leave_as(struct sched_cpu *cpu, enum sched_state state, uint64_t now)
{
    sched_charge(cpu, now);
    sched_end_run(cpu, now);
    __atomic_store_n(&cpu->current->state, state, __ATOMIC_RELAXED);
    sched_go_on(cpu, now);
}

void sched_pass(struct sched *sched)
{
    bool let_in;
    struct sched_cpu *cpu = begin_by_thread(sched, &let_in);
    const uint64_t now = sched->ops->now_ns(sched->machine);
    sched_charge(cpu, now);
    sched_end_run(cpu, now);
    sched_put_back(cpu, SCHED_ENQUEUE_YIELDED, now);
    sched_go_on(cpu, now);
    sched_end(sched, let_in);
}

// Takes the permit of the running thread; the lock is released then.
static bool had_permit(struct sched_cpu *cpu)
{
    struct sched_thread *self = cpu->current;
    if (!self->permit)
        return false;
    self->permit = false;
    self->statistics.permits++;
    spinlock_release(&cpu->lock);
    return true;
}

void sched_block(struct sched *sched)
{
    bool let_in;
    struct sched_cpu *cpu = begin_by_thread(sched, &let_in);
    if (!had_permit(cpu))
        leave_as(cpu, SCHED_BLOCKED, sched->ops->now_ns(sched->machine));
    sched_end(sched, let_in);
}

void sched_sleep_until(struct sched *sched, uint64_t at_ns)
{
    bool let_in;
    struct sched_cpu *cpu = begin_by_thread(sched, &let_in);
    const uint64_t now = sched->ops->now_ns(sched->machine);
    if (had_permit(cpu)) {
        sched_end(sched, let_in);
        return;
    }
    if (at_ns == SCHED_NEVER) {
        leave_as(cpu, SCHED_BLOCKED, now); // times wrap, so this one would be past
    } else if ((int64_t)(at_ns - now) <= 0) {
        spinlock_release(&cpu->lock);
    } else {
        struct sched_thread *self = cpu->current;
        self->sleeper.key = self->sleeper.low = at_ns;
        self->sleeper.tie = self->id;
        sched_tree_insert(&cpu->sleepers, &self->sleeper);
        leave_as(cpu, SCHED_SLEEPING, now);
    }
    sched_end(sched, let_in);
}

void sched_wake(struct sched *sched, struct sched_thread *thread)
{
    const bool let_in = sched->ops->mask(sched->machine);
    struct sched_cpu *home, *target;
    bool look = false;
    for (;;) {
        const uint32_t cpu = __atomic_load_n(&thread->cpu, __ATOMIC_RELAXED);
        home = &sched->cpus[cpu];
        target = sched_place(sched, thread);
        sched_lock_two(home, target);
        if (__atomic_load_n(&thread->cpu, __ATOMIC_RELAXED) == cpu)
            break;
        sched_unlock_two(home, target); // moved meanwhile
    }
    if (thread->state == SCHED_BLOCKED || thread->state == SCHED_SLEEPING) {
        struct sched_cpu *const to = sched_movable(thread, target->index) ? target : home;
        if (thread->state == SCHED_SLEEPING)
            sched_tree_remove(&home->sleepers, &thread->sleeper);
        thread->statistics.wakeups++;
        sched_here(sched)->statistics.wakeups++;
        look = ready_at(home, to, thread, SCHED_ENQUEUE_WOKEN);
        sched_unlock_two(home, target);
        target = to;
    } else {
        thread->permit = true;
        sched_unlock_two(home, target);
    }
    if (look)
        sched_ask(sched, target, let_in);
    sched_end(sched, let_in);
}

void sched_hand_over(struct sched *sched, struct sched_thread *thread)
{
    bool let_in;
    struct sched_cpu *cpu = begin_by_thread(sched, &let_in);
    // Only then is this queue's lock the one that protects its state.
    const bool here = __atomic_load_n(&thread->cpu, __ATOMIC_RELAXED) == cpu->index;
    if (!here || thread->state != SCHED_BLOCKED || cpu->ready > 0 || cpu->current->permit) {
        spinlock_release(&cpu->lock);
        sched_end(sched, let_in);
        sched_wake(sched, thread);
        sched_block(sched);
        return;
    }
    thread->statistics.wakeups++;
    cpu->statistics.wakeups++;
    (void)ready_at(cpu, cpu, thread, SCHED_ENQUEUE_WOKEN);
    leave_as(cpu, SCHED_BLOCKED, cpu->charged_ns); // until when the wake-up has charged the caller
    sched_end(sched, let_in);
}

void sched_join(struct sched *sched, struct sched_thread *thread)
{
    bool let_in;
    struct sched_cpu *home, *cpu;
    let_in = sched->ops->mask(sched->machine);
    cpu = sched_here(sched);
    for (;;) {
        const uint32_t at = __atomic_load_n(&thread->cpu, __ATOMIC_RELAXED);
        home = &sched->cpus[at];
        sched_lock_two(home, cpu);
        if (__atomic_load_n(&thread->cpu, __ATOMIC_RELAXED) == at)
            break;
        sched_unlock_two(home, cpu);
    }
    struct sched_thread *self = cpu->current;
    assert(thread->state != SCHED_NEW);
    assert(self != NULL && self != &cpu->idle && self != thread);
    assert(sched->ops->preemptible(sched->machine));
    if (thread->state == SCHED_FINISHED) {
        sched_unlock_two(home, cpu);
    } else {
        self->next_joiner = thread->joiners;
        thread->joiners = self;
        if (home != cpu)
            spinlock_release(&home->lock);
        leave_as(cpu, SCHED_JOINING, sched->ops->now_ns(sched->machine));
    }
    sched_end(sched, let_in);
}

void sched_exit(struct sched *sched)
{
    bool let_in;
    struct sched_cpu *cpu = begin_by_thread(sched, &let_in);
    const uint64_t now = sched->ops->now_ns(sched->machine);
    sched_tell(sched, &(struct sched_event){.now_ns = now,
                                            .kind = SCHED_EVENT_EXIT,
                                            .cpu = cpu->index,
                                            .thread = cpu->current->id});
    leave_as(cpu, SCHED_EXITING, now);
    sched_end(sched, let_in); // the simulator comes here, as somebody else
}

// ---- invariants ---------------------------------------------------------------------------------

bool sched_check(struct sched *sched)
{
    for (unsigned i = 0; i < sched->config.cpus; i++) {
        struct sched_cpu *cpu = &sched->cpus[i];
        const struct sched_thread *current = cpu->current;
        size_t sleepers;
        if (cpu->lock.held != 0 || !sched_tree_check(&cpu->sleepers, &sleepers) ||
            !sched->policy->check(cpu))
            return false;
        if (current == NULL)
            continue;
        if (current->state != SCHED_RUNNING || (current != &cpu->idle && current->cpu != i) ||
            (sched->idle_mask >> i & 1) != (current == &cpu->idle))
            return false;
    }
    return true;
}
