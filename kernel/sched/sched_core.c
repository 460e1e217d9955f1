// SPDX-License-Identifier: MIT
#include "sched_core.h"

#include "assert.h"
#include "sched_trace.h"

struct sched_cpu *sched_here(struct sched *sched)
{
    const unsigned index = sched->ops->cpu(sched->machine);
    assert(index < sched->config.cpus);
    return &sched->cpus[index];
}

struct sched_cpu *sched_begin(struct sched *sched, bool *let_in)
{
    *let_in = sched->ops->mask(sched->machine);
    struct sched_cpu *cpu = sched_here(sched);
    spinlock_acquire(&cpu->lock);
    return cpu;
}

void sched_tell(struct sched *sched, const struct sched_event *event)
{
    if (sched->ops->event != NULL)
        sched->ops->event(sched->machine, event);
    if (CONFIG_TRACE && sched->config.trace)
        sched_trace_event(sched, event);
}

// ---- locks --------------------------------------------------------------------------------------

void sched_tell_idle(struct sched_cpu *cpu, bool waits, uint64_t now_ns)
{
    if (cpu->waits == waits)
        return;
    cpu->waits = waits;
    sched_tell(cpu->sched, &(struct sched_event){.now_ns = now_ns,
                                                 .kind = SCHED_EVENT_IDLE,
                                                 .cpu = cpu->index,
                                                 .thread = cpu->idle.id,
                                                 .to = waits});
}

void sched_lock_two(struct sched_cpu *a, struct sched_cpu *b)
{
    spinlock_acquire(a->index <= b->index ? &a->lock : &b->lock);
    if (a != b)
        spinlock_acquire(a->index <= b->index ? &b->lock : &a->lock);
}

void sched_unlock_two(struct sched_cpu *a, struct sched_cpu *b)
{
    spinlock_release(&a->lock);
    if (a != b)
        spinlock_release(&b->lock);
}

static struct sched_cpu *home_of(struct sched_thread *thread)
{
    // Relaxed: a guess until its lock is held and it still says so.
    return &thread->sched->cpus[__atomic_load_n(&thread->cpu, __ATOMIC_RELAXED)];
}

struct sched_cpu *sched_lock_home(struct sched_thread *thread)
{
    for (;;) {
        struct sched_cpu *home = home_of(thread);
        spinlock_acquire(&home->lock);
        if (home == home_of(thread))
            return home;
        spinlock_release(&home->lock); // moved meanwhile: each turn is another CPU's progress
    }
}

static void set_state(struct sched_thread *thread, enum sched_state state)
{
    // Relaxed: the lock orders; those who read without it want to know about now only.
    __atomic_store_n(&thread->state, state, __ATOMIC_RELAXED);
}

static void count_ready(struct sched_cpu *queue, int change)
{
    __atomic_store_n(&queue->ready, queue->ready + (uint32_t)change, __ATOMIC_RELAXED);
}

// ---- into a queue -------------------------------------------------------------------------------

struct sched_cpu *sched_place(struct sched *sched, const struct sched_thread *thread)
{
    struct sched_cpu *const cpus = sched->cpus;
    const unsigned home = __atomic_load_n(&thread->cpu, __ATOMIC_RELAXED);
    const uint64_t idle = __atomic_load_n(&sched->idle_mask, __ATOMIC_RELAXED) & thread->affinity;
    if ((thread->affinity >> home & 1) != 0 && (idle >> home & 1) != 0)
        return &cpus[home];
    if (idle != 0)
        return &cpus[__builtin_ctzll(idle)];
    if (__atomic_load_n(&thread->state, __ATOMIC_RELAXED) != SCHED_NEW &&
        (thread->affinity >> home & 1) != 0)
        return &cpus[home];
    struct sched_cpu *best = NULL;
    uint32_t least = UINT32_MAX;
    for (unsigned i = 0; i < sched->config.cpus; i++) {
        const uint32_t ready = __atomic_load_n(&cpus[i].ready, __ATOMIC_RELAXED);
        if ((thread->affinity >> i & 1) != 0 && ready < least) {
            best = &cpus[i];
            least = ready;
        }
    }
    assert(best != NULL);
    return best;
}

bool sched_make_ready(struct sched_cpu *queue, struct sched_thread *thread, enum sched_enqueue why,
                      uint64_t now_ns)
{
    const struct sched_policy_ops *policy = queue->sched->policy;
    struct sched_thread *current = queue->current;
    // So that the policy compares the one that runs as it is now.
    if (current != NULL)
        sched_charge(queue, now_ns);
    set_state(thread, SCHED_READY);
    thread->ready_at_ns = now_ns;
    policy->enqueue(queue, thread, why, now_ns);
    count_ready(queue, 1);
    if (current == NULL)
        return false; // the CPU has not joined yet: it looks when it does
    if (current == &queue->idle)
        queue->resched = true;
    else if (policy->preempts(queue, thread, current, now_ns))
        queue->resched = true;
    // The first that waits ends the time without a timer.
    return queue->resched || queue->ready == 1;
}

void sched_put_back(struct sched_cpu *cpu, enum sched_enqueue why, uint64_t now_ns)
{
    struct sched_thread *thread = cpu->current;
    if (thread == &cpu->idle)
        return;
    if (why == SCHED_ENQUEUE_PREEMPTED && thread->slice_left_ns == 0)
        why = SCHED_ENQUEUE_USED_UP;
    if (why != SCHED_ENQUEUE_PREEMPTED)
        thread->slice_left_ns = 0;
    set_state(thread, SCHED_READY);
    thread->ready_at_ns = now_ns;
    cpu->sched->policy->enqueue(cpu, thread, why, now_ns);
    count_ready(cpu, 1);
}

// ---- time ---------------------------------------------------------------------------------------

void sched_charge(struct sched_cpu *cpu, uint64_t now_ns)
{
    struct sched_thread *thread = cpu->current;
    const uint64_t ran = now_ns - cpu->charged_ns;
    if ((int64_t)ran < 0) // by a CPU whose clock is behind a little
        return;
    cpu->charged_ns = now_ns;
    if (thread == &cpu->idle) {
        cpu->statistics.idle_ns += ran;
        return;
    }
    cpu->statistics.busy_ns += ran;
    thread->statistics.run_ns += ran;
    thread->run_so_far_ns += ran;
    thread->slice_left_ns -= min_u64(ran, thread->slice_left_ns);
    thread->last_cpu = cpu->index;
    thread->last_ran_ns = now_ns;
    cpu->sched->policy->charge(cpu, thread, ran, now_ns);
}

void sched_end_run(struct sched_cpu *cpu, uint64_t now_ns)
{
    struct sched_thread *thread = cpu->current;
    cpu->sched->policy->run_ended(cpu, thread, now_ns);
    thread->statistics.runs++;
    thread->run_so_far_ns = 0;
    thread->slice_left_ns = 0;
}

// With nobody waiting there is nobody to make room for: no timer but for sleepers. Nor when the end
// of the slice has been noticed already and preemption is disabled.
void sched_set_timer(struct sched_cpu *cpu)
{
    struct sched *sched = cpu->sched;
    const struct sched_tree_node *first = sched_tree_first(&cpu->sleepers);
    uint64_t at = first != NULL ? first->key : SCHED_NEVER;
    if (cpu->ready > 0 && cpu->current != &cpu->idle && !cpu->resched)
        at = min_u64(at, cpu->charged_ns + cpu->current->slice_left_ns);
    if (at == cpu->timer_at_ns)
        return;
    cpu->timer_at_ns = at;
    cpu->statistics.timers_set += at != SCHED_NEVER;
    sched->ops->set_timer(sched->machine, at);
}

// ---- balancing ----------------------------------------------------------------------------------

// The queue with the most threads that another CPU has, of those not in the mask `tried`; NULL if
// none has more than `more_than` that wait.
static struct sched_cpu *busiest(struct sched_cpu *cpu, uint32_t more_than, uint64_t tried)
{
    struct sched *sched = cpu->sched;
    struct sched_cpu *found = NULL;
    for (unsigned i = 1; i < sched->config.cpus; i++) {
        struct sched_cpu *other = &sched->cpus[(cpu->index + i) % sched->config.cpus];
        const uint32_t ready = __atomic_load_n(&other->ready, __ATOMIC_RELAXED);
        if (ready > more_than && (tried >> other->index & 1) == 0) {
            found = other;
            more_than = ready;
        }
    }
    return found;
}

static void move(struct sched_cpu *from, struct sched_cpu *to, struct sched_thread *thread,
                 uint64_t now_ns)
{
    struct sched *sched = to->sched;
    from->sched->policy->dequeue(from, thread, now_ns);
    count_ready(from, -1);
    __atomic_store_n(&thread->cpu, to->index, __ATOMIC_RELAXED);
    sched->policy->enqueue(to, thread, SCHED_ENQUEUE_MOVED, now_ns);
    count_ready(to, 1);
    thread->statistics.migrations++;
    to->statistics.migrations_in++;
    sched_tell(sched, &(struct sched_event){.now_ns = now_ns,
                                            .kind = SCHED_EVENT_MIGRATE,
                                            .cpu = to->index,
                                            .thread = thread->id,
                                            .from = from->index,
                                            .to = to->index});
}

static bool pull_from(struct sched_cpu *other, struct sched_cpu *cpu, bool idle, uint64_t *now_ns)
{
    struct sched *sched = cpu->sched;
    // A lower index while holding a higher one: tried only. Who fails looks again later.
    if (other->index > cpu->index)
        spinlock_acquire(&other->lock);
    else if (!spinlock_try_acquire(&other->lock))
        return false;
    // What became ready there since the caller's look at the clock did so before this time.
    *now_ns = sched->ops->now_ns(sched->machine);
    struct sched_thread *thread = NULL;
    if (other->ready > (idle ? 0 : cpu->ready + 1))
        thread = sched->policy->candidate(other, cpu->index, cpu->ready, *now_ns);
    if (thread != NULL) {
        move(other, cpu, thread, *now_ns);
        cpu->statistics.pulled_idle += idle;
        cpu->statistics.pulled_period += !idle;
    }
    spinlock_release(&other->lock);
    return thread != NULL;
}

bool sched_pull(struct sched_cpu *cpu, bool idle, uint64_t *now_ns)
{
    // A queue that is busy itself takes only from one that is longer by two: else it would go back.
    const uint32_t more_than = idle ? 0 : cpu->ready + 1;
    uint64_t tried = 0;
    struct sched_cpu *other;
    // Those in the longest queue may all be bound to its CPU: then the next one is looked at.
    while ((other = busiest(cpu, more_than, tried)) != NULL) {
        if (pull_from(other, cpu, idle, now_ns))
            return true;
        tried |= 1ull << other->index;
    }
    return false;
}

bool sched_could_give(struct sched_cpu *cpu, unsigned to, uint32_t ready, uint64_t now_ns)
{
    return cpu->sched->policy->candidate(cpu, to, ready, now_ns) != NULL;
}

void sched_kick_idle(struct sched_cpu *cpu, uint64_t now_ns)
{
    struct sched *sched = cpu->sched;
    const struct sched_thread *current = cpu->current;
    // Who was put back just now has not left its stack: it may be moved when the kick is there.
    const bool put_back = current->state == SCHED_READY;
    const uint64_t soon = put_back ? current->affinity : 0;
    uint64_t idle = __atomic_load_n(&sched->idle_mask, __ATOMIC_RELAXED);
    if (current == &cpu->idle || (put_back && cpu->ready == 1))
        return;
    for (; cpu->ready > 0 && idle != 0; idle &= idle - 1) {
        const unsigned i = (unsigned)__builtin_ctzll(idle);
        if ((soon >> i & 1) == 0 && !sched_could_give(cpu, i, 0, now_ns))
            continue;
        cpu->statistics.kicks++;
        sched->ops->kick(sched->machine, i);
        return;
    }
}

// ---- the switch ---------------------------------------------------------------------------------

static struct sched_thread *choose(struct sched_cpu *cpu, uint64_t now_ns)
{
    struct sched *sched = cpu->sched;
    struct sched_thread *next = NULL;
    cpu->statistics.picks++;
    if (cpu->ready > 0 || sched_pull(cpu, true, &now_ns))
        next = sched->policy->pick(cpu, now_ns);
    if (next == NULL) {
        assert(cpu->ready == 0);
        return &cpu->idle;
    }
    count_ready(cpu, -1);
    assert(next->state == SCHED_READY && next->cpu == cpu->index);
    if (next->slice_left_ns == 0)
        next->slice_left_ns = sched->policy->slice(cpu, next);
    const uint64_t waited = now_ns - next->ready_at_ns;
    next->statistics.ready_ns += waited;
    next->statistics.ready_most_ns = max_u64(next->statistics.ready_most_ns, waited);
    return next;
}

static void mark_idle(struct sched_cpu *cpu, bool idle)
{
    const uint64_t bit = 1ull << cpu->index;
    uint64_t *mask = &cpu->sched->idle_mask;
    // Relaxed: a hint where to put threads; whoever puts one there holds this CPU's lock then.
    if (idle)
        __atomic_fetch_or(mask, bit, __ATOMIC_RELAXED);
    else
        __atomic_fetch_and(mask, ~bit, __ATOMIC_RELAXED);
}

void sched_go_on(struct sched_cpu *cpu, uint64_t now_ns)
{
    struct sched *sched = cpu->sched;
    struct sched_thread *previous = cpu->current, *next = choose(cpu, now_ns);
    cpu->resched = false;
    cpu->current = next;
    set_state(next, SCHED_RUNNING);
    sched_set_timer(cpu);
    if (next == previous) {
        spinlock_release(&cpu->lock);
        return;
    }
    const bool finished = previous->state == SCHED_EXITING;
    const bool could = previous != &cpu->idle && previous->state == SCHED_READY;
    cpu->statistics.switches++;
    cpu->statistics.preemptions += could;
    previous->statistics.preemptions += could;
    next->statistics.dispatches++;
    if (next == &cpu->idle || previous == &cpu->idle)
        mark_idle(cpu, next == &cpu->idle);
    if (previous == &cpu->idle) {
        set_state(previous, SCHED_READY);
        sched_tell_idle(cpu, false, now_ns);
    }
    sched_tell(sched,
               &(struct sched_event){
                   .now_ns = now_ns,
                   .kind = SCHED_EVENT_SWITCH,
                   .cpu = cpu->index,
                   .thread = next->id,
                   .other = previous->id,
                   .state = previous->state,
                   // Who is preempted has either been charged in this run or has some of its
                   // slice left.
                   .yielded = could && previous->run_so_far_ns == 0 && previous->slice_left_ns == 0,
                   .priority = next == &cpu->idle ? 0 : sched->policy->priority(next)});
    cpu->leaving = finished ? previous : NULL;
    spinlock_release(&cpu->lock);
    sched->ops->switch_to(sched->machine, previous, next,
                          finished ? THREAD_FINISHED : THREAD_READY);
    sched_arrived(sched);
}

// ---- the other side -----------------------------------------------------------------------------

static void wake_joiner(struct sched *sched, struct sched_thread *joiner, uint32_t waker)
{
    struct sched_cpu *home = sched_lock_home(joiner), *here = sched_here(sched);
    const uint64_t now = sched->ops->now_ns(sched->machine);
    joiner->statistics.wakeups++;
    here->statistics.wakeups++;
    const bool look = sched_make_ready(home, joiner, SCHED_ENQUEUE_WOKEN, now);
    sched_tell(sched, &(struct sched_event){.now_ns = now,
                                            .kind = SCHED_EVENT_WAKE,
                                            .cpu = here->index,
                                            .thread = joiner->id,
                                            .other = waker,
                                            .priority = sched_told_priority(joiner),
                                            .to = home->index});
    spinlock_release(&home->lock);
    // Here, this is in the middle of a switch: sched_end of the thread that goes on looks.
    if (look)
        sched_ask(sched, home, true);
}

void sched_arrived(struct sched *sched)
{
    struct sched_cpu *cpu = sched_here(sched);
    struct sched_thread *gone = cpu->leaving;
    if (gone == NULL)
        return;
    cpu->leaving = NULL;
    struct sched_cpu *home = sched_lock_home(gone);
    struct sched_thread *joiner = gone->joiners;
    const uint32_t id = gone->id;
    gone->joiners = NULL;
    // Release: whoever sees FINISHED sees what the thread did. Its memory is the caller's from
    // here.
    __atomic_store_n(&gone->state, SCHED_FINISHED, __ATOMIC_RELEASE);
    spinlock_release(&home->lock);
    while (joiner != NULL) {
        struct sched_thread *next = joiner->next_joiner;
        wake_joiner(sched, joiner, id);
        joiner = next;
    }
    // In one order with sched_stop, which sets `stopping` and then looks at `live`: one of the two
    // sees that both are so.
    if (__atomic_sub_fetch(&sched->live, 1, __ATOMIC_SEQ_CST) == 0 &&
        __atomic_load_n(&sched->stopping, __ATOMIC_SEQ_CST) != 0)
        sched_stop(sched);
}

void sched_ask(struct sched *sched, struct sched_cpu *queue, bool let_in)
{
    struct sched_cpu *here = sched_here(sched);
    if (queue != here) {
        here->statistics.kicks++;
        sched->ops->kick(sched->machine, queue->index);
        return;
    }
    spinlock_acquire(&here->lock);
    sched_set_timer(here);
    const bool wanted = here->resched;
    spinlock_release(&here->lock);
    if (wanted && !(let_in && sched->ops->preemptible(sched->machine)))
        sched->ops->defer(sched->machine);
}

void sched_end(struct sched *sched, bool let_in)
{
    while (let_in && sched->ops->preemptible(sched->machine)) {
        struct sched_cpu *cpu = sched_here(sched);
        spinlock_acquire(&cpu->lock);
        if (cpu->current == NULL || !cpu->resched) {
            spinlock_release(&cpu->lock);
            break;
        }
        sched_give_way(cpu, sched->ops->now_ns(sched->machine));
    }
    sched->ops->unmask(sched->machine, let_in);
}

void sched_give_way(struct sched_cpu *cpu, uint64_t now_ns)
{
    sched_charge(cpu, now_ns);
    sched_put_back(cpu, SCHED_ENQUEUE_PREEMPTED, now_ns);
    sched_kick_idle(cpu, now_ns);
    sched_go_on(cpu, now_ns);
}

bool sched_wake_sleepers(struct sched_cpu *cpu, uint64_t now_ns)
{
    struct sched *sched = cpu->sched;
    bool look = false;
    for (;;) {
        struct sched_tree_node *first = sched_tree_first(&cpu->sleepers);
        if (first == NULL || (int64_t)(now_ns - first->key) < 0)
            return look;
        struct sched_thread *thread =
            (struct sched_thread *)((uint8_t *)first - offsetof(struct sched_thread, sleeper));
        sched_tree_remove(&cpu->sleepers, first);
        thread->statistics.wakeups++;
        cpu->statistics.wakeups++;
        sched_tell(sched, &(struct sched_event){.now_ns = now_ns,
                                                .kind = SCHED_EVENT_WAKE,
                                                .cpu = cpu->index,
                                                .thread = thread->id,
                                                .priority = sched_told_priority(thread),
                                                .to = cpu->index});
        if (sched_make_ready(cpu, thread, SCHED_ENQUEUE_WOKEN, now_ns))
            look = true;
    }
}
