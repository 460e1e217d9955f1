// SPDX-License-Identifier: MIT
// What real threads do in the cases of the suite `sched`, and what a window of each is.
//
// Programs of one CPU share plain words: one runs at a time. Preemption comes between any two
// instructions all the same, so no count is both read and written by two of them.
#ifndef SCHED_THREADS_H
#define SCHED_THREADS_H

#include "random.h"
#include "sched_world.h"

#define UNIT_STEPS   256u       // of a unit of work, each waits for the one before
#define SETTLE_NS    100000000u // of the world's clock: by then the policy knows its threads
#define PAUSE_LEAST  1000000u   // of a short thread's sleep, of the world's clock
#define PAUSE_RANDOM 8000000u   // up to that more, by the seed
#define HANDSHAKES   16u
#define GROUPS       2u
#define SIDES        4u // senders of a group, and as many receivers
#define SLOTS        4u // of a channel from one to another
#define SET_BYTES    (16u << 10)
#define SETS         5u // threads of affinity

struct channel {
    uint64_t sent, received; // atomic
    bool full;               // atomic: the sender waits
    uint64_t slots[SLOTS];
} CACHE_ALIGNED;

static struct {
    uint64_t turn;                // atomic: whose it is
    uint64_t round, ready, units; // atomic
    uint64_t at_ns;               // of response: when all are woken
    uint64_t together;            // who has done its work since
    struct channel channels[GROUPS][SIDES][SIDES];
    uint64_t sets[SETS][SET_BYTES / sizeof(uint64_t)] CACHE_ALIGNED;
} shared;

// ---- work ---------------------------------------------------------------------------------------

// A few hundred nanoseconds that touch no memory.
static NOINLINE uint64_t unit(uint64_t value)
{
    for (unsigned i = 0; i < UNIT_STEPS; i++)
        value = value * 0x5851f42d4c957f2du + 0x14057b7ef767814fu;
    return value;
}

static void work(struct world_thread *self, unsigned units)
{
    uint64_t value = self->number;
    for (unsigned i = 0; i < units; i++)
        value = unit(value);
    BODY_HIDE_VALUE(value);
}

static uint64_t world_now(void)
{
    return world_now_ns(world.machine);
}

static uint64_t start_ticks(void)
{
    return world_ticks(cpu_ticks_start());
}

// ---- two that take turns ------------------------------------------------------------------------

static uint64_t passes(void)
{
    return world.threads[0].count + world.threads[1].count;
}

// Waits until it is this thread's turn; false: all is over.
static bool my_turn(const struct world_thread *self)
{
    // Acquire: what the other one did before is visible.
    while (__atomic_load_n(&shared.turn, __ATOMIC_ACQUIRE) != self->number) {
        if (world_over())
            return false;
        sched_block(&world.sched);
    }
    return true;
}

static void pass_turn(struct world_thread *other)
{
    __atomic_store_n(&shared.turn, other->number, __ATOMIC_RELEASE);
    sched_wake(&world.sched, &other->thread);
}

// Where others use the CPU too, a run may have lasted long, and a policy that takes its thread for
// a long one lets it wait. So the two have some short runs first.
static bool become_short(struct world_thread *self, struct world_thread *other)
{
    for (unsigned i = 0; i < HANDSHAKES; i++) {
        pass_turn(other);
        if (!my_turn(self))
            return false;
    }
    return true;
}

static void passing_leader(void *argument)
{
    struct world_thread *const self = argument;
    uint64_t done, ticks;
    do {
        if (!become_short(self, &world.threads[1]))
            return;
        const uint64_t first = passes();
        const uint64_t began = start_ticks();
        do {
            self->count++;
            sched_pass(&world.sched);
        } while (passes() - first < world.operations && !world_over());
        ticks = world_ticks_stop() - began;
        done = min_u64(passes() - first, world.operations);
    } while (world_pause(self, done, ticks));
}

static void passing(void *argument)
{
    struct world_thread *const self = argument;
    while (!world_over()) {
        if (__atomic_load_n(&shared.turn, __ATOMIC_RELAXED) == self->number)
            pass_turn(&world.threads[0]);
        self->count++;
        sched_pass(&world.sched);
    }
}

static void waking_leader(void *argument)
{
    struct world_thread *const self = argument, *const other = &world.threads[1];
    uint64_t done, ticks;
    do {
        const uint64_t first = other->count, began = start_ticks();
        for (uint64_t i = 0; i < world.operations / 2; i++) {
            pass_turn(other);
            if (!my_turn(self))
                return;
        }
        ticks = world_ticks_stop() - began;
        done = 2 * (other->count - first);
    } while (world_pause(self, done, ticks));
}

static void waking(void *argument)
{
    struct world_thread *const self = argument, *const other = &world.threads[0];
    while (my_turn(self)) {
        self->count++;
        pass_turn(other);
    }
}

// ---- a crowd ------------------------------------------------------------------------------------
// The leader lets all others begin a round and waits for the last one.

static uint64_t crowd_round(void)
{
    return __atomic_load_n(&shared.round, __ATOMIC_ACQUIRE);
}

// Waits for the round behind `last`; false: all is over.
static bool crowd_begins(uint64_t last)
{
    while (crowd_round() == last) {
        if (world_over())
            return false;
        sched_block(&world.sched);
    }
    return !world_over();
}

static void crowd_done(void)
{
    // Release: the leader sees what this one did.
    if (__atomic_add_fetch(&shared.ready, 1, __ATOMIC_ACQ_REL) == world.thread_count - 1)
        sched_wake(&world.sched, &world.threads[0].thread);
}

static void crowd_leader(void *argument)
{
    struct world_thread *const self = argument;
    uint64_t done, ticks;
    do {
        done = 0;
        shared.ready = shared.units = 0;
        for (unsigned i = 1; i < world.thread_count; i++)
            done -= world.threads[i].count;
        const uint64_t began = start_ticks();
        __atomic_add_fetch(&shared.round, 1, __ATOMIC_RELEASE);
        for (unsigned i = 1; i < world.thread_count; i++)
            sched_wake(&world.sched, &world.threads[i].thread);
        while (__atomic_load_n(&shared.ready, __ATOMIC_ACQUIRE) < world.thread_count - 1) {
            if (world_over())
                return;
            sched_block(&world.sched);
        }
        ticks = world_ticks_stop() - began;
        for (unsigned i = 1; i < world.thread_count; i++)
            done += world.threads[i].count;
    } while (world_pause(self, done, ticks));
}

// False: all is over.
static bool send(struct channel *channel, struct world_thread *receiver, uint64_t message)
{
    const uint64_t sent = channel->sent;
    // Acquire: the slot has been read.
    while (sent - __atomic_load_n(&channel->received, __ATOMIC_ACQUIRE) == SLOTS) {
        // In one order with the receiver's look behind its count: one of the two sees the other.
        __atomic_store_n(&channel->full, true, __ATOMIC_SEQ_CST);
        if (sent - __atomic_load_n(&channel->received, __ATOMIC_SEQ_CST) < SLOTS)
            break;
        if (world_over())
            return false;
        sched_block(&world.sched);
    }
    channel->slots[sent % SLOTS] = message;
    __atomic_store_n(&channel->sent, sent + 1, __ATOMIC_RELEASE);
    sched_wake(&world.sched, &receiver->thread);
    return true;
}

// Takes all there is; adds the messages up.
static uint64_t receive(struct channel *channel, struct world_thread *sender, uint64_t *sum)
{
    const uint64_t sent = __atomic_load_n(&channel->sent, __ATOMIC_ACQUIRE);
    const uint64_t first = channel->received;
    for (uint64_t i = first; i < sent; i++)
        *sum += channel->slots[i % SLOTS];
    if (sent == first)
        return 0;
    __atomic_store_n(&channel->received, sent, __ATOMIC_SEQ_CST);
    if (__atomic_exchange_n(&channel->full, false, __ATOMIC_SEQ_CST))
        sched_wake(&world.sched, &sender->thread);
    return sent - first;
}

// Threads 1 to 8 are the first group: four senders, four receivers.
static struct world_thread *member(uint64_t group, bool receives, uint64_t side)
{
    return &world.threads[1 + group * 2 * SIDES + (receives ? SIDES : 0) + side];
}

static uint64_t messages_each(void)
{
    return world.operations / (GROUPS * SIDES * SIDES); // from one to another
}

static void sending(void *argument)
{
    struct world_thread *const self = argument;
    const uint64_t group = (self->number - 1) / (2 * SIDES), side = (self->number - 1) % SIDES;
    for (uint64_t round = 0; crowd_begins(round); round++) {
        for (uint64_t i = 0; i < messages_each(); i++)
            for (uint64_t to = 0; to < SIDES; to++)
                if (!send(&shared.channels[group][side][to], member(group, true, to), 1))
                    return;
        crowd_done();
    }
}

static void receiving(void *argument)
{
    struct world_thread *const self = argument;
    const uint64_t group = (self->number - 1) / (2 * SIDES), side = (self->number - 1) % SIDES;
    for (uint64_t round = 0; crowd_begins(round); round++) {
        const uint64_t last = self->count + SIDES * messages_each();
        while (self->count < last) {
            uint64_t got = 0;
            for (uint64_t from = 0; from < SIDES; from++)
                got += receive(&shared.channels[group][from][side], member(group, false, from),
                               &self->count);
            if (world_over())
                return;
            if (got == 0)
                sched_block(&world.sched);
        }
        crowd_done();
    }
}

// Each goes through a set of its own again and again, until all together have done it often enough.
static void touching(void *argument)
{
    struct world_thread *const self = argument;
    uint64_t *const set = shared.sets[self->number - 1];
    for (uint64_t round = 0; crowd_begins(round); round++) {
        while (__atomic_fetch_add(&shared.units, 1, __ATOMIC_RELAXED) < world.operations) {
            for (unsigned i = 0; i < SET_BYTES / sizeof(uint64_t); i += CACHE_LINE / 8)
                set[i]++;
            self->count++;
            if (world_late())
                world_fail(&self->thread.context.fiber);
        }
        crowd_done();
    }
}

// ---- short ones among long ones -----------------------------------------------------------------

static void computing(void *argument)
{
    struct world_thread *const self = argument;
    while (!world_over()) {
        work(self, 1);
        self->count++;
        if (world_late())
            world_fail(&self->thread.context.fiber);
    }
}

static void sleep_at_random(struct world_thread *self)
{
    sched_sleep_until(&world.sched,
                      world_now() + PAUSE_LEAST + random_below(&self->random, PAUSE_RANDOM));
}

// A window begins when the timer's interrupt has made the thread ready and ends when it runs, or,
// of a response, when it has done its work.
ALWAYS_INLINE void short_runs(struct world_thread *self, bool response)
{
    sched_sleep_until(&world.sched, world_now() + SETTLE_NS);
    while (!world_over()) {
        // Where others use the CPU too, the time may be past before the thread has begun to wait.
        for (self->woken = false; !self->woken && !world_over();)
            sleep_at_random(self);
        uint64_t ticks = world_ticks_stop() - self->woken_ticks;
        const bool woken = self->woken;
        work(self, world.short_units);
        if (response)
            ticks = world_ticks_stop() - self->woken_ticks;
        if (!world_pause(self, woken, ticks))
            break;
    }
}

static void waking_up(void *thread)
{
    short_runs(thread, false);
}

static void responding(void *thread)
{
    short_runs(thread, true);
}

// Units of all such threads together; one that finds them done ends the window.
static void computing_units(void *argument)
{
    struct world_thread *const self = argument;
    while (!world_over()) {
        work(self, 1);
        self->count++;
        uint64_t first = __atomic_load_n(&shared.units, __ATOMIC_RELAXED);
        const uint64_t done = passes() - first;
        if (world_late())
            world_fail(&self->thread.context.fiber);
        if (done < world.operations)
            continue;
        const uint64_t ticks = world_ticks_stop() - world.began;
        // Preempted here, it may find that the other one has ended this window.
        if (!__atomic_compare_exchange_n(&shared.units, &first, first + done, false,
                                         __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            continue;
        (void)world_pause(self, min_u64(done, world.operations), ticks);
    }
}

static void disturbing(void *argument)
{
    struct world_thread *const self = argument;
    while (!world_over()) {
        sleep_at_random(self);
        work(self, world.short_units);
    }
}

#endif
