// SPDX-License-Identifier: MIT
// Explores: runs the program again and again from the beginning, each time with another decision at
// the last place where one is left, and gives up an execution that comes to a state there was
// before. States are compared by a hash of 64 bits.
//
// Threads change places only where that makes a difference. A store that is not sequentially
// consistent is done as soon as its thread comes to it: whoever loads later may still take an older
// one, and whoever stores later may still stand in front of it. So is everything at a location that
// only one thread has events at, or that none writes; which ones those are is found out, and
// exploration begins anew when one turns out to be shared.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_parts.h"
#include "switch_windowed.h"

#define STACK_BYTES    (64u << 10)
#define DECISIONS_MOST (2 * MODEL_EVENTS_MOST)

unsigned char model_memory[MODEL_MEMORY_BYTES] __attribute__((aligned(4096)));
struct model_thread model_threads[MODEL_THREADS_MOST];
unsigned model_self;

static unsigned char pristine[MODEL_MEMORY_BYTES]; // as `prepare` leaves it
static unsigned char stacks[MODEL_THREADS_MOST][STACK_BYTES] __attribute__((aligned(4096)));
static struct cpu_window contexts[MODEL_THREADS_MOST], explorer;
static const struct model_program *program;
static const struct model_weakening *weakening;
static const struct model_limits *limits;
static struct model_result *result;
static bool running;    // a thread, not the explorer
static bool failed;     // this execution
static bool cut;        // this execution
static bool began_anew; // a location is shared that was not thought to be

// Which threads have events at a location, and whether any writes.
static struct users {
    uint8_t all; // a bit a thread
    bool written;
} users_of[MODEL_MEMORY_BYTES];

static bool is_shared(const struct users *users)
{
    return users->written && (users->all & (users->all - 1)) != 0;
}

// The decisions of this execution. The first `replayed` of them are those of the last one.
static struct decision {
    uint16_t chosen, options;
} decisions[DECISIONS_MOST];
static uint32_t decision_count, replayed;
static uint32_t event_count;

// The states there were: a hash table with open addressing; 0 is an empty place.
static uint64_t *states;
static uint64_t states_mask, states_used;

bool model_is_running(void)
{
    return running;
}

static void to_explorer(void)
{
    running = false;
    switch_windowed_ops.jmp(&contexts[model_self], &explorer);
}

static void note_failure(const char *what, const void *where)
{
    if (!failed && where == NULL)
        snprintf(result->failure, sizeof(result->failure), "%s", what);
    else if (!failed)
        snprintf(result->failure, sizeof(result->failure), "%s at byte %td", what,
                 (const unsigned char *)where - model_memory);
    failed = true;
}

void model_fail(const char *what, const void *where)
{
    if (!running) {
        fprintf(stderr, "model: outside of an execution's threads: %s\n", what);
        abort();
    }
    note_failure(what, where);
    to_explorer();
    abort(); // nobody comes back
}

void model_give_up(const char *what, const void *where)
{
    result->gave_up = !failed;
    model_fail(what, where);
}

void model_require(bool condition, const char *what)
{
    if (condition)
        return;
    if (running)
        model_fail(what, NULL);
    note_failure(what, NULL);
}

void model_outcome(uint64_t outcome)
{
    size_t at = 0;
    while (at < result->outcome_count && result->outcomes[at] < outcome)
        at++;
    if (at < result->outcome_count && result->outcomes[at] == outcome)
        return;
    if (result->outcome_count == MODEL_OUTCOMES_MOST) {
        note_failure("too many outcomes", NULL);
        return;
    }
    memmove(&result->outcomes[at + 1], &result->outcomes[at],
            (result->outcome_count - at) * sizeof(outcome));
    result->outcomes[at] = outcome;
    result->outcome_count++;
}

void model_begin(void)
{
    model_threads[model_self].turn_count = 0;
    model_threads[model_self].learnt = 0;
    model_threads[model_self].saw_change = false;
}

void model_again(void)
{
    struct model_thread *self = &model_threads[model_self];
    self->waits = !self->saw_change; // at its next event
    self->saw_change = false;
}

void model_passed(unsigned times)
{
    if (limits->turns == 0 || times <= limits->turns)
        return;
    cut = true;
    to_explorer();
}

unsigned model_choose(unsigned options)
{
    if (options <= 1)
        return 0;
    if (decision_count == DECISIONS_MOST)
        model_give_up("too many decisions", NULL);
    struct decision *decision = &decisions[decision_count];
    if (decision_count++ >= replayed)
        *decision = (struct decision){.options = (uint16_t)options};
    if (decision->options != options)
        model_give_up("the program does not do the same thing twice", NULL);
    return decision->chosen;
}

// ---- What the hooks bring

static void weaken(struct model_site *site)
{
    for (size_t i = 0; weakening != NULL && i < weakening->count; i++) {
        if (weakening->sites[i] != site->address)
            continue;
        const bool acquiring =
            weakening->order == __ATOMIC_ACQUIRE || weakening->order == __ATOMIC_ACQ_REL;
        site->order = weakening->order;
        if (site->order_failed != __ATOMIC_RELAXED)
            site->order_failed = acquiring ? __ATOMIC_ACQUIRE : __ATOMIC_RELAXED;
    }
}

static void note_site(const struct model_site *site)
{
    for (size_t i = 0; i < result->site_count; i++) {
        if (result->sites[i].address == site->address)
            return;
    }
    if (result->site_count == MODEL_SITES_MOST)
        model_give_up("too many sites", NULL);
    result->sites[result->site_count++] = *site;
}

// Whether it makes no difference if others go first. A location that turns out to be shared voids
// what was explored before.
static bool commutes(const struct model_operation *operation)
{
    struct users *users = &users_of[operation->offset];
    const bool seq_cst = operation->site.order == __ATOMIC_SEQ_CST;
    if (operation->site.kind == MODEL_FENCE)
        return !seq_cst;
    const bool before = is_shared(users);
    users->all |= (uint8_t)(1u << model_self);
    users->written |= operation->site.kind != MODEL_LOAD;
    if (is_shared(users) && !before) {
        began_anew = true;
        to_explorer();
    }
    return !is_shared(users) || (operation->site.kind == MODEL_STORE && !seq_cst);
}

static struct {
    unsigned thread;
    struct model_operation operation;
} events[MODEL_EVENTS_MOST];

void model_operate(struct model_operation *operation)
{
    note_site(&operation->site);
    weaken(&operation->site);
    if (!commutes(operation) || !model_memory_ready(model_self, operation)) {
        model_threads[model_self].pending = operation;
        to_explorer();
    }
    if (event_count == MODEL_EVENTS_MOST)
        model_give_up("no end: too many events", NULL);
    events[event_count].thread = model_self;
    struct model_operation *event = &events[event_count++].operation;
    *event = *operation;
    model_memory_perform(operation);
    *event = *operation;
}

static bool lies_in(const void *address, size_t length, const unsigned char *from, size_t bytes)
{
    const uintptr_t offset = (uintptr_t)address - (uintptr_t)from;
    return offset < bytes && length <= bytes - offset;
}

void model_plain(const void *address, size_t length, bool writes)
{
    if (lies_in(address, length, stacks[model_self], STACK_BYTES))
        return;
    if (!lies_in(address, length, model_memory, MODEL_MEMORY_BYTES)) {
        if (writes)
            model_fail("a write outside of the model's memory", NULL);
        return; // constants
    }
    const uint32_t offset = (uint32_t)((const unsigned char *)address - model_memory);
    model_races_note(offset, (uint32_t)length, writes ? MODEL_PLAIN_WRITE : MODEL_PLAIN_READ);
    if (writes)
        model_memory_plain_write(offset, (uint32_t)length);
}

void model_alone(const void *address, size_t length)
{
    if (lies_in(address, length, model_memory, MODEL_MEMORY_BYTES))
        model_races_touch((uint32_t)((const unsigned char *)address - model_memory),
                          (uint32_t)length);
}

// ---- One execution

static void thread_body(void *argument)
{
    (void)argument;
    program->thread[model_self]();
    model_threads[model_self].finished = true;
    to_explorer();
}

static void resume(unsigned thread)
{
    model_self = thread;
    model_threads[thread].pending = NULL;
    running = true;
    switch_windowed_ops.jmp(&explorer, &contexts[thread]);
}

static void begin_execution(void)
{
    decision_count = 0;
    event_count = 0;
    failed = cut = false;
    model_memory_reset();
    model_races_reset(pristine);
    memset(model_threads, 0, sizeof(model_threads));
    for (unsigned t = 0; t < program->threads; t++) {
        model_threads[t].now.at[t] = 1;
        switch_windowed_ops.make(&contexts[t], stacks[t] + STACK_BYTES, thread_body, NULL, false);
    }
    for (unsigned t = 0; t < program->threads && !failed && !cut && !began_anew; t++)
        resume(t);
}

static uint64_t digest_of_state(void)
{
    uint64_t digest = model_memory_digest();
    for (unsigned t = 0; t < program->threads; t++)
        digest = model_mix(digest, model_threads[t].digest + model_threads[t].finished);
    return digest != 0 ? digest : 1;
}

static uint64_t *place_of(uint64_t digest)
{
    uint64_t at = digest & states_mask;
    while (states[at] != 0 && states[at] != digest)
        at = (at + 1) & states_mask;
    return &states[at];
}

static void make_states(uint64_t places)
{
    states = calloc(places, sizeof(*states));
    if (states == NULL)
        abort();
    states_mask = places - 1;
    states_used = 0;
}

static void grow_states(void)
{
    uint64_t *old = states;
    const uint64_t places = states_mask + 1;
    make_states(places * 2);
    for (uint64_t i = 0; i < places; i++) {
        if (old[i] != 0) {
            *place_of(old[i]) = old[i];
            states_used++;
        }
    }
    free(old);
}

// Whether the program was in this state before; from now on it was.
static bool seen_before(void)
{
    const uint64_t digest = digest_of_state();
    uint64_t *place = place_of(digest);
    if (*place != 0)
        return true;
    *place = digest;
    if (++states_used * 2 > states_mask)
        grow_states();
    return false;
}

static unsigned ready_threads(unsigned *ready)
{
    unsigned count = 0;
    for (unsigned t = 0; t < program->threads; t++) {
        struct model_operation *pending = model_threads[t].pending;
        if (pending != NULL && model_memory_ready(t, pending))
            ready[count++] = t;
    }
    return count;
}

static bool all_finished(void)
{
    for (unsigned t = 0; t < program->threads; t++) {
        if (!model_threads[t].finished)
            return false;
    }
    return true;
}

static void end_execution(void)
{
    result->executions++;
    if (event_count > result->events)
        result->events = event_count;
    if (!all_finished())
        note_failure("deadlock: every thread waits for a store that nobody makes", NULL);
    else if (program->finish != NULL)
        program->finish();
}

static void execute(void)
{
    begin_execution();
    while (!failed && !cut && !began_anew) {
        unsigned ready[MODEL_THREADS_MOST];
        if (decision_count >= replayed && seen_before())
            return;
        const unsigned count = ready_threads(ready);
        if (count == 0) {
            end_execution();
            return;
        }
        resume(ready[model_choose(count)]);
    }
    result->cut += cut;
}

// Changes the last decision that has an option left; false: none has.
static bool next_decisions(void)
{
    while (decision_count > 0) {
        struct decision *last = &decisions[decision_count - 1];
        if (++last->chosen < last->options) {
            replayed = decision_count;
            return true;
        }
        decision_count--;
    }
    return false;
}

static void begin_exploration(void)
{
    free(states);
    make_states(1u << 12);
    began_anew = false;
    replayed = 0;
    *result = (struct model_result){.failure = ""};
}

void model_run(const struct model_program *what, const struct model_weakening *weak,
               const struct model_limits *within, struct model_result *into)
{
    program = what;
    weakening = weak;
    limits = within;
    result = into;
    memset(model_memory, 0, sizeof(model_memory));
    memset(users_of, 0, sizeof(users_of));
    program->prepare();
    memcpy(pristine, model_memory, sizeof(pristine));
    begin_exploration();
    for (;;) {
        execute();
        if (began_anew) {
            begin_exploration();
            continue;
        }
        if (failed || states_used > limits->states)
            break;
        if (!next_decisions()) {
            result->complete = true;
            break;
        }
    }
    result->states = states_used;
}

void model_print_failure(const struct model_result *of)
{
    printf("%s: %s\n", program->name, of->failure);
    for (uint32_t i = 0; i < event_count; i++) {
        const struct model_operation *event = &events[i].operation;
        struct model_place place;
        model_place_of(event->site.address, &place);
        printf("  thread %u byte %5u  ", events[i].thread, event->offset);
        if (event->site.kind == MODEL_LOAD || event->site.kind == MODEL_COMPARE ||
            event->site.kind == MODEL_CHANGE)
            printf("reads %#lx ", (unsigned long)event->result);
        if (event->site.kind == MODEL_STORE ||
            (event->site.kind == MODEL_COMPARE && event->compared))
            printf("writes %#lx ", (unsigned long)event->operand);
        printf(" %s: %s %s (%s:%d)\n", place.function, model_kind_name(event->site.kind),
               model_order_name(event->site.order), place.file, place.line);
    }
    fflush(stdout);
}
