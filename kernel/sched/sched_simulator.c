// SPDX-License-Identifier: MIT
#include "sched_simulator.h"

#include "assert.h"
#include "sched_core.h"
#include "sched_policy.h"

// ---- CPU operations -----------------------------------------------------------------------------

static unsigned sim_cpu(void *machine)
{
    return ((struct sched_sim *)machine)->acting;
}

static uint64_t sim_now(void *machine)
{
    return ((struct sched_sim *)machine)->now_ns;
}

static uint64_t jitter(struct sched_sim *sim)
{
    const uint64_t most = sim->config.costs.jitter_ns;
    return most > 0 ? random_below(&sim->random, most + 1) : 0;
}

static void sim_kick(void *machine, unsigned cpu)
{
    struct sched_sim *sim = machine;
    struct sched_sim_cpu *kicked = &sim->cpus[cpu];
    if (kicked->kicked)
        return;
    kicked->kicked = true;
    kicked->kick_at_ns = sim->now_ns + sim->config.costs.kick_ns + jitter(sim);
}

static void sim_set_timer(void *machine, uint64_t at_ns)
{
    struct sched_sim *sim = machine;
    sim->cpus[sim->acting].timer_ns = at_ns;
}

static void sim_idle(void *machine)
{
    struct sched_sim *sim = machine;
    sim->cpus[sim->acting].waits = true;
}

static bool sim_mask(void *machine)
{
    (void)machine;
    return true;
}

static void sim_unmask(void *machine, bool let_in)
{
    (void)machine;
    (void)let_in;
}

static bool sim_preemptible(void *machine)
{
    (void)machine;
    return true;
}

static void sim_defer(void *machine)
{
    // Only an interrupt handler's wake-up comes here, and sched_sim_wake looks again behind it.
    (void)machine;
}

static void sim_make(void *machine, struct sched_thread *thread, void (*entry)(void *argument))
{
    (void)machine;
    (void)entry;
    thread->context.state = THREAD_READY;
}

_Static_assert(offsetof(struct sched_sim_thread, thread) == 0, "simulated() relies on it");

static struct sched_sim_thread *simulated(struct sched_thread *thread)
{
    return (struct sched_sim_thread *)thread; // its first field
}

static void sim_switch_to(void *machine, struct sched_thread *from, struct sched_thread *to,
                          enum thread_state left)
{
    struct sched_sim *sim = machine;
    const struct sched_sim_costs *costs = &sim->config.costs;
    struct sched_sim_cpu *cpu = &sim->cpus[sim->acting];
    assert(to->context.state == THREAD_READY);
    __atomic_store_n(&from->context.state, left, __ATOMIC_RELEASE);
    to->context.state = THREAD_RUNNING;
    cpu->waits = false;
    cpu->free_ns = sim->now_ns + costs->switch_ns;
    cpu->running_ns = cpu->free_ns;
    if (to == &sim->sched.cpus[sim->acting].idle)
        return;
    struct sched_sim_thread *thread = simulated(to);
    sim->switches++;
    if (to->statistics.dispatches > 1) {
        if (to->last_cpu != sim->acting)
            thread->debt_ns += costs->migration_ns;
        else if (costs->cold_after_ns > 0 && sim->now_ns - to->last_ran_ns >= costs->cold_after_ns)
            thread->debt_ns += costs->cold_ns;
    }
}

static void sim_enter(void *machine, struct sched_thread *idle)
{
    (void)machine;
    idle->context.state = THREAD_RUNNING;
}

static void sim_leave(void *machine, struct sched_thread *idle)
{
    (void)machine;
    (void)idle;
}

// FNV-1a (Fowler, Noll, Vo) over 64-bit words, folded.
static void hash_word(struct sched_sim *sim, uint64_t word)
{
    sim->hash = (sim->hash ^ word) * 0x100000001b3u;
    sim->hash ^= sim->hash >> 29;
}

static void sim_event(void *machine, const struct sched_event *event)
{
    struct sched_sim *sim = machine;
    hash_word(sim, event->now_ns);
    hash_word(sim, (uint64_t)event->kind << 32 | event->cpu);
    hash_word(sim, (uint64_t)event->thread << 32 | event->other);
    hash_word(sim, (uint64_t)event->state << 32 | event->priority);
    hash_word(sim, (uint64_t)event->from << 32 | event->to);
    if (sim->config.log != NULL && sim->logged < sim->config.log_capacity)
        sim->config.log[sim->logged] = *event;
    sim->logged++;
    if (sim->config.observe != NULL && !sim->config.observe(sim->config.context, sim, event))
        sim->broken = true;
}

static const struct sched_cpu_ops simulator_ops = {
    .name = "simulator",
    .stackless = true,
    .cpu = sim_cpu,
    .now_ns = sim_now,
    .kick = sim_kick,
    .set_timer = sim_set_timer,
    .idle = sim_idle,
    .mask = sim_mask,
    .unmask = sim_unmask,
    .preemptible = sim_preemptible,
    .defer = sim_defer,
    .make = sim_make,
    .switch_to = sim_switch_to,
    .enter = sim_enter,
    .leave = sim_leave,
    .event = sim_event,
};

// ---- set up -------------------------------------------------------------------------------------

static struct sched_config config_of(struct sched_sim *sim, const struct sched_sim_config *config)
{
    return (struct sched_config){.cpus = config->cpus,
                                 .ops = &simulator_ops,
                                 .machine = sim,
                                 .policy = config->policy,
                                 .quantum_ns = config->quantum_ns,
                                 .balance_ns = config->balance_ns};
}

size_t sched_sim_bytes(unsigned cpus, uint32_t threads_most)
{
    const struct sched_config config = {.cpus = cpus};
    return sched_bytes(&config) + threads_most * sizeof(struct sched_sim_thread *);
}

enum status sched_sim_init(struct sched_sim *sim, const struct sched_sim_config *config,
                           uint32_t threads_most, void *memory, size_t bytes)
{
    const struct sched_config own = config_of(sim, config);
    if (bytes < sched_sim_bytes(config->cpus, threads_most))
        return STATUS_NO_MEMORY;
    *sim = (struct sched_sim){.config = *config,
                              .threads_most = threads_most,
                              .random = random_seeded(config->seed),
                              .hash = 0xcbf29ce484222325u};
    const enum status status = sched_init(&sim->sched, &own, memory, bytes);
    if (status != STATUS_OK)
        return status;
    sim->threads = (struct sched_sim_thread **)((uint8_t *)memory + sched_bytes(&own));
    for (unsigned i = 0; i < config->cpus; i++) {
        sim->cpus[i].timer_ns = SCHED_NEVER;
        sim->acting = i;
        sched_join_cpu(&sim->sched);
    }
    return STATUS_OK;
}

static bool well_formed(const struct sched_sim *sim, const struct sched_sim_step *steps,
                        uint32_t step_count)
{
    unsigned loops = 0;
    for (uint32_t i = 0; i < step_count; i++) {
        const struct sched_sim_step *step = &steps[i];
        const bool names =
            step->op == SCHED_SIM_WAKE || step->op == SCHED_SIM_START || step->op == SCHED_SIM_JOIN;
        const bool counts = step->op == SCHED_SIM_DOWN || step->op == SCHED_SIM_UP;
        loops += step->op == SCHED_SIM_LOOP;
        if (step->op > SCHED_SIM_EXIT || (names && step->number >= sim->threads_most) ||
            (counts && step->number >= SCHED_SIM_SEMAPHORES) ||
            (step->op == SCHED_SIM_LOOP && step->to >= i) ||
            (step->op == SCHED_SIM_RANDOM && step->ns == 0))
            return false;
    }
    return loops <= SCHED_SIM_LOOPS;
}

enum status sched_sim_add(struct sched_sim *sim, struct sched_sim_thread *thread,
                          const struct sched_attributes *attributes,
                          const struct sched_sim_step *steps, uint32_t step_count, bool later)
{
    if (sim->thread_count == sim->threads_most)
        return STATUS_FULL;
    if (!well_formed(sim, steps, step_count))
        return STATUS_INVALID;
    *thread = (struct sched_sim_thread){
        .steps = steps, .step_count = step_count, .number = sim->thread_count};
    const enum status status = sched_create(&sim->sched, &thread->thread, attributes);
    if (status != STATUS_OK)
        return status;
    sim->threads[sim->thread_count++] = thread;
    sim->acting = 0;
    if (!later)
        sched_start(&thread->thread);
    return STATUS_OK;
}

// ---- scripts ------------------------------------------------------------------------------------

static struct sched_thread *numbered(struct sched_sim *sim, uint32_t number)
{
    assert(number < sim->thread_count);
    return &sim->threads[number]->thread;
}

static void next_step(struct sched_sim_thread *self)
{
    self->at++;
    self->begun = false;
    self->steps_done++;
}

static void loop(struct sched_sim_thread *self, const struct sched_sim_step *step)
{
    unsigned slot = 0;
    while (self->loop_at[slot] != self->at + 1 && self->loop_at[slot] != 0)
        slot++;
    self->loop_at[slot] = self->at + 1;
    if (step->number != 0 && ++self->loop_turns[slot] >= step->number) {
        self->loop_turns[slot] = 0;
        next_step(self);
        return;
    }
    next_step(self);
    self->at = step->to;
}

// Two halves, so that a wake-up may come between the look and the wait: what the rule of
// sched_block is about.
static void down(struct sched_sim *sim, struct sched_sim_thread *self, uint32_t number)
{
    uint32_t *waiters = sim->semaphores[number].waiters;
    uint32_t *count = &sim->semaphores[number].waiter_count;
    if (self->begun) {
        self->begun = false;
        sched_block(&sim->sched);
        return;
    }
    for (uint32_t i = 0; i < *count; i++) { // it may stand there still, woken by another
        if (waiters[i] == self->number) {
            waiters[i] = waiters[--*count];
            break;
        }
    }
    if (sim->semaphores[number].count > 0) {
        sim->semaphores[number].count--;
        next_step(self);
        return;
    }
    assert(*count < SCHED_SIM_WAITERS);
    waiters[(*count)++] = self->number;
    self->begun = true;
}

static void up(struct sched_sim *sim, uint32_t number)
{
    uint32_t *waiters = sim->semaphores[number].waiters;
    uint32_t *count = &sim->semaphores[number].waiter_count;
    sim->semaphores[number].count++;
    if (*count == 0)
        return;
    const uint32_t woken = waiters[0];
    --*count;
    for (uint32_t i = 0; i < *count; i++)
        waiters[i] = waiters[i + 1];
    sched_wake(&sim->sched, numbered(sim, woken));
}

static void period(struct sched_sim *sim, struct sched_sim_thread *self, uint64_t ns)
{
    self->period_ns += ns;
    self->periods++;
    self->misses += sim->now_ns > self->period_ns;
    sched_sleep_until(&sim->sched, self->period_ns);
}

static bool is_run(const struct sched_sim_thread *self)
{
    return self->at < self->step_count && (self->steps[self->at].op == SCHED_SIM_RUN ||
                                           self->steps[self->at].op == SCHED_SIM_RANDOM);
}

// One step of the current thread that takes no time. Whatever may switch comes last.
static void act(struct sched_sim *sim, struct sched_sim_thread *self)
{
    struct sched *sched = &sim->sched;
    if (self->at >= self->step_count) {
        sched_exit(sched);
        return;
    }
    const struct sched_sim_step *step = &self->steps[self->at];
    if (step->op == SCHED_SIM_DOWN) {
        down(sim, self, step->number);
        return;
    }
    if (step->op == SCHED_SIM_LOOP) {
        loop(self, step);
        return;
    }
    next_step(self);
    switch ((enum sched_sim_op)step->op) {
    case SCHED_SIM_BLOCK:
        sched_block(sched);
        break;
    case SCHED_SIM_SLEEP:
        sched_sleep_until(sched, sim->now_ns + step->ns);
        break;
    case SCHED_SIM_PERIOD:
        period(sim, self, step->ns);
        break;
    case SCHED_SIM_WAKE:
        sched_wake(sched, numbered(sim, step->number));
        break;
    case SCHED_SIM_UP:
        up(sim, step->number);
        break;
    case SCHED_SIM_YIELD:
        sched_pass(sched);
        break;
    case SCHED_SIM_START:
        sched_start(numbered(sim, step->number));
        break;
    case SCHED_SIM_JOIN:
        sched_join(sched, numbered(sim, step->number));
        break;
    case SCHED_SIM_EXIT:
        sched_exit(sched);
        break;
    default:
        break;
    }
}

// ---- time ---------------------------------------------------------------------------------------

static struct sched_sim_thread *current_of(struct sched_sim *sim, unsigned cpu)
{
    struct sched_cpu *queue = &sim->sched.cpus[cpu];
    return queue->current == &queue->idle ? NULL : simulated(queue->current);
}

// Begins a RUN whose time is not known yet.
static void begin_run(struct sched_sim *sim, struct sched_sim_thread *self)
{
    if (self->begun || !is_run(self))
        return;
    const struct sched_sim_step *step = &self->steps[self->at];
    self->begun = true;
    self->left_ns = step->op == SCHED_SIM_RUN ? step->ns : 1 + random_below(&sim->random, step->ns);
}

// When this CPU does the next thing of its own accord.
static uint64_t own_time(struct sched_sim *sim, unsigned index)
{
    struct sched_sim_cpu *cpu = &sim->cpus[index];
    struct sched_sim_thread *self = current_of(sim, index);
    if (self == NULL)
        return cpu->waits ? SCHED_NEVER : max_u64(cpu->free_ns, sim->now_ns);
    begin_run(sim, self);
    if (is_run(self))
        return cpu->running_ns + self->debt_ns + self->left_ns;
    return cpu->running_ns + self->debt_ns;
}

static uint64_t interrupt_time(struct sched_sim *sim, unsigned index)
{
    const struct sched_sim_cpu *cpu = &sim->cpus[index];
    const uint64_t at = min_u64(cpu->kicked ? cpu->kick_at_ns : SCHED_NEVER, cpu->timer_ns);
    return at == SCHED_NEVER ? at : max_u64(at, cpu->free_ns);
}

// The current thread has had the CPU until now.
static void pay(struct sched_sim *sim, unsigned index)
{
    struct sched_sim_cpu *cpu = &sim->cpus[index];
    struct sched_sim_thread *self = current_of(sim, index);
    if (self == NULL || sim->now_ns <= cpu->running_ns)
        return;
    uint64_t had = sim->now_ns - cpu->running_ns;
    const uint64_t debt = min_u64(had, self->debt_ns);
    cpu->running_ns = sim->now_ns;
    self->debt_ns -= debt;
    had -= debt;
    if (is_run(self) && self->begun) {
        had = min_u64(had, self->left_ns);
        self->left_ns -= had;
        self->work_ns += had;
    }
}

static void interrupt(struct sched_sim *sim, unsigned index)
{
    struct sched_sim_cpu *cpu = &sim->cpus[index];
    const bool timer = cpu->timer_ns <= sim->now_ns;
    if (timer)
        cpu->timer_ns = SCHED_NEVER;
    if (cpu->kicked && cpu->kick_at_ns <= sim->now_ns)
        cpu->kicked = false;
    cpu->waits = false;
    sched_interrupt(&sim->sched, timer);
}

// What could happen next: a CPU goes on of its own accord, or an interrupt comes to it.
struct candidate {
    uint64_t at_ns;
    unsigned cpu;
    bool interrupts;
};

static void turn(struct sched_sim *sim, const struct candidate *next)
{
    sim->now_ns = max_u64(sim->now_ns, next->at_ns);
    sim->acting = next->cpu;
    pay(sim, next->cpu);
    struct sched_sim_thread *self = current_of(sim, next->cpu);
    if (next->interrupts)
        interrupt(sim, next->cpu);
    else if (self == NULL)
        (void)sched_idle_turn(&sim->sched);
    else if (!is_run(self))
        act(sim, self);
    else if (self->left_ns == 0)
        next_step(self);
}

static void add_candidate(struct sched_sim *sim, struct candidate *candidates, unsigned *count,
                          const struct candidate *one)
{
    const bool first_only = sim->config.choose == NULL;
    if (one->at_ns == SCHED_NEVER || (first_only && *count > 0 && one->at_ns > candidates[0].at_ns))
        return;
    if (first_only && *count > 0 && one->at_ns < candidates[0].at_ns)
        *count = 0;
    candidates[(*count)++] = *one;
}

// All that could happen, or the earliest.
static unsigned possible(struct sched_sim *sim, struct candidate *candidates)
{
    unsigned count = 0;
    for (unsigned i = 0; i < sim->config.cpus; i++) {
        const struct candidate own = {.at_ns = own_time(sim, i), .cpu = i};
        const struct candidate interrupts = {
            .at_ns = interrupt_time(sim, i), .cpu = i, .interrupts = true};
        add_candidate(sim, candidates, &count, &own);
        add_candidate(sim, candidates, &count, &interrupts);
    }
    return count;
}

static unsigned chosen(struct sched_sim *sim, unsigned count)
{
    if (count == 1)
        return 0;
    if (sim->config.choose != NULL)
        return sim->config.choose(sim->config.context, count);
    return (unsigned)random_below(&sim->random, count);
}

enum sched_sim_outcome sched_sim_run(struct sched_sim *sim, uint64_t until_ns)
{
    struct candidate candidates[2 * CPU_MOST];
    for (uint64_t left = sim->config.events_most; left > 0; left--) {
        if (sim->broken)
            return SCHED_SIM_BROKEN;
        if (__atomic_load_n(&sim->sched.live, __ATOMIC_RELAXED) == 0)
            return SCHED_SIM_DONE;
        const unsigned count = possible(sim, candidates);
        if (count == 0)
            return SCHED_SIM_STUCK;
        const struct candidate *next = &candidates[chosen(sim, count)];
        if (next->at_ns > until_ns) {
            sim->now_ns = max_u64(sim->now_ns, until_ns);
            return SCHED_SIM_TIME;
        }
        turn(sim, next);
        sim->events++;
        if (sim->config.check && !sched_check(&sim->sched))
            sim->broken = true;
    }
    return SCHED_SIM_LIMIT;
}

void sched_sim_settle(struct sched_sim *sim)
{
    for (unsigned i = 0; i < sim->config.cpus; i++) {
        struct sched_cpu *queue = &sim->sched.cpus[i];
        pay(sim, i);
        spinlock_acquire(&queue->lock);
        sched_charge(queue, sim->now_ns);
        spinlock_release(&queue->lock);
    }
}

void sched_sim_wake(struct sched_sim *sim, unsigned cpu, uint32_t number)
{
    sim->acting = cpu;
    pay(sim, cpu);
    sched_wake(&sim->sched, numbered(sim, number));
}
