// SPDX-License-Identifier: MIT
// The threads of ipc_wait_cases.h that are this target's scheduler's, and what they share.
#include "call.h"
#include "ipc_pair.h"
#include "ring_wait.h"
#include "ring_waiter_sched.h"
#include "sched_policy_fifo.h"
#include "sched_world.h"
#include "string.h"

#define WAIT_SLOTS  64u
#define CROWD_SLOTS 8u // few, so that nobody is done before the others have begun
#define WORDS       (RING_PAYLOAD_MOST / 8)

static struct {
    const struct ring_ops *ops;
    struct ring_waiter waiter;
    struct ring_wait there, back;
    struct call_channel channel;
    struct call_seat seat;
    struct ipc_pair pair;
} waits;

// One thread of a crowd.
struct crowd_member {
    struct sched_thread *thread;
    uint64_t sum; // of the numbers it received
    uint64_t sent CACHE_ALIGNED;
    uint64_t at_first; // `sent` when the first producer was done
} CACHE_ALIGNED;

static struct {
    struct crowd_member members[2 * IPC_CROWD_MOST];
    struct sched_thread *leader;
    uint64_t window CACHE_ALIGNED; // atomic: number of the last one
    uint64_t working;              // atomic: members that are not done with it
    uint64_t closed;               // atomic: number of the last one all are done with
    uint64_t away;                 // atomic: members that are not yet at its gate
    uint64_t opened;               // atomic: number of the last one whose gate is open
    uint32_t first_done;           // atomic
    bool late;                     // atomic: somebody never came
    // Of the last one, on the CPUs of who came last and of who was done last.
    uint64_t began, ended;
} crowd;

// ---- two that take turns ------------------------------------------------------------------------

static bool take(struct ring_wait *from, uint64_t *payload)
{
    size_t length;
    return ring_wait_receive(waits.ops, from, payload, &length, RING_FOREVER) == STATUS_OK;
}

static bool give(struct ring_wait *to, const uint64_t *payload)
{
    return ring_wait_send(waits.ops, to, payload, RING_PAYLOAD_MOST, RING_FOREVER) == STATUS_OK;
}

// Two messages, each to one who sleeps. How many came as they should; over: false.
static bool there_and_back(uint64_t number, uint64_t *done)
{
    uint64_t payload[WORDS] = {0};
    payload[WORDS - 1] = number;
    if (!give(&waits.there, payload) || !take(&waits.back, payload))
        return false;
    *done += payload[WORDS - 1] == number + 1 ? 2 : 0;
    return true;
}

static bool call_once(uint64_t number, uint64_t *done)
{
    uint64_t reply[CALL_PAYLOAD_MOST / 8], request[CALL_PAYLOAD_MOST / 8] = {number};
    size_t length;
    if (call_ask(&waits.channel, 0, request, sizeof(request), reply, &length, RING_FOREVER) !=
        STATUS_OK)
        return false;
    *done += reply[0] == number + 1;
    return true;
}

static void wait_leader(void *argument)
{
    struct world_thread *const self = argument;
    uint64_t done, ticks;
    do {
        const uint64_t began = world_ticks(cpu_ticks_start());
        const uint64_t rounds = waits.pair.calls ? world.operations : world.operations / 2;
        done = 0;
        for (uint64_t i = 0; i < rounds; i++)
            if (waits.pair.calls ? !call_once(i, &done) : !there_and_back(i, &done))
                return;
        ticks = world_ticks_stop() - began;
    } while (world_pause(self, done, ticks));
}

static void wait_echo(void *argument)
{
    uint64_t payload[WORDS];
    (void)argument;
    while (take(&waits.there, payload)) {
        payload[WORDS - 1]++;
        if (!give(&waits.back, payload))
            return;
    }
}

static void wait_server(void *argument)
{
    uint64_t payload[CALL_PAYLOAD_MOST / 8];
    struct call_ticket ticket;
    size_t length;
    (void)argument;
    while (call_next(&waits.channel, payload, &length, &ticket, RING_FOREVER) == STATUS_OK) {
        payload[0]++;
        (void)call_answer(&waits.channel, ticket, payload, sizeof(payload));
    }
}

static void wait_direct_server(void *argument)
{
    uint64_t payload[CALL_PAYLOAD_MOST / 8], reply[CALL_PAYLOAD_MOST / 8];
    struct call_ticket ticket;
    size_t length;
    enum status status = call_next(&waits.channel, payload, &length, &ticket, RING_FOREVER);
    (void)argument;
    while (status == STATUS_OK) {
        payload[0]++;
        memcpy(reply, payload, sizeof(reply));
        status = call_answer_and_next(&waits.channel, ticket, reply, sizeof(reply), payload,
                                      &length, &ticket);
    }
}

// ---- a crowd ------------------------------------------------------------------------------------

// The numbers that thread `number` of `count` sends: [first, end).
static uint64_t share_begin(unsigned count, unsigned number)
{
    return world.operations * number / count;
}

// Who is done first looks how far the others are. Relaxed: a moment's view is wanted.
static void tell_end(void)
{
    if (__atomic_exchange_n(&crowd.first_done, 1, __ATOMIC_RELAXED) != 0)
        return;
    for (unsigned i = 0; i < waits.pair.producers; i++)
        crowd.members[i].at_first = __atomic_load_n(&crowd.members[i].sent, __ATOMIC_RELAXED);
}

static bool crowd_sends(unsigned number)
{
    struct crowd_member *const self = &crowd.members[number];
    const uint64_t first = share_begin(waits.pair.producers, number),
                   end = share_begin(waits.pair.producers, number + 1);
    uint64_t payload[WORDS] = {0};
    for (uint64_t i = first; i < end; i++) {
        payload[WORDS - 1] = i;
        if (!give(&waits.there, payload))
            return false;
        // Relaxed: for tell_end.
        __atomic_store_n(&self->sent, i + 1 - first, __ATOMIC_RELAXED);
    }
    tell_end();
    return true;
}

static bool crowd_takes(unsigned number)
{
    const uint64_t count =
        share_begin(waits.pair.consumers, number + 1) - share_begin(waits.pair.consumers, number);
    uint64_t payload[WORDS], sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        if (!take(&waits.there, payload))
            return false;
        sum += payload[WORDS - 1];
    }
    crowd.members[waits.pair.producers + number].sum = sum;
    return true;
}

// The stopwatch starts when all are awake: in short windows waking them takes longer than all their
// messages. Who waits here stays ready. False: all is over, or somebody does not come.
static bool crowd_gathers(uint64_t window)
{
    // Release, and acquire by who is last and opens: all are there.
    if (__atomic_sub_fetch(&crowd.away, 1, __ATOMIC_ACQ_REL) == 0) {
        crowd.began = world_ticks(cpu_ticks_start());
        __atomic_store_n(&crowd.opened, window, __ATOMIC_RELEASE);
        return true;
    }
    while (__atomic_load_n(&crowd.opened, __ATOMIC_ACQUIRE) < window) {
        if (world_over())
            return false;
        if (world_late()) {
            __atomic_store_n(&crowd.late, true, __ATOMIC_RELEASE);
            sched_wake(&world.sched, crowd.leader);
            return false;
        }
        sched_pass(&world.sched);
    }
    return true;
}

// Does its part of each window.
static void crowd_member(void *argument)
{
    const unsigned number = ((struct world_thread *)argument)->number - 1;
    for (uint64_t window = 1;; window++) {
        // Acquire: with what the leader has prepared.
        while (__atomic_load_n(&crowd.window, __ATOMIC_ACQUIRE) < window) {
            if (world_over())
                return;
            sched_block(&world.sched);
        }
        if (!crowd_gathers(window) ||
            !(number < waits.pair.producers ? crowd_sends(number)
                                            : crowd_takes(number - waits.pair.producers)))
            return;
        // Acquire, for who is last: all were done. The leader is asleep, or will be, meanwhile.
        if (__atomic_sub_fetch(&crowd.working, 1, __ATOMIC_ACQ_REL) == 0) {
            crowd.ended = world_ticks_stop();
            // Release: with all sums.
            __atomic_store_n(&crowd.closed, window, __ATOMIC_RELEASE);
            sched_wake(&world.sched, crowd.leader);
        }
    }
}

// One window; what it came to.
static uint64_t crowd_window(void)
{
    const unsigned members = waits.pair.producers + waits.pair.consumers;
    uint64_t sum = 0;
    for (unsigned i = 0; i < members; i++)
        crowd.members[i].sum = crowd.members[i].sent = crowd.members[i].at_first = 0;
    crowd.first_done = 0;
    __atomic_store_n(&crowd.working, members, __ATOMIC_RELAXED);
    __atomic_store_n(&crowd.away, members, __ATOMIC_RELAXED);
    __atomic_store_n(&crowd.window, crowd.window + 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < members; i++)
        sched_wake(&world.sched, crowd.members[i].thread);
    while (__atomic_load_n(&crowd.closed, __ATOMIC_ACQUIRE) < crowd.window) {
        if (world_over() || __atomic_load_n(&crowd.late, __ATOMIC_ACQUIRE))
            return 0;
        sched_block(&world.sched);
    }
    for (unsigned i = 0; i < members; i++)
        sum += crowd.members[i].sum;
    return sum == world.operations * (world.operations - 1) / 2 ? world.operations : 0;
}

static void crowd_leader(void *argument)
{
    struct world_thread *const self = argument;
    uint64_t done;
    do {
        done = crowd_window();
    } while (world_pause(self, done, crowd.ended - crowd.began));
}

static void close_waits(void)
{
    if (waits.pair.calls)
        call_end(&waits.channel, STATUS_CLOSED);
    ring_wait_close(&waits.there);
    ring_wait_close(&waits.back);
}

// ---- beginning and end --------------------------------------------------------------------------

static bool make_ring(struct ring_wait *wait, size_t ring_slots, uint8_t **next, const uint8_t *end)
{
    uint8_t *const ring = (uint8_t *)align_up((uintptr_t)*next, PAGE_SIZE);
    uint8_t *const slots = ring + align_up(waits.ops->state_bytes, PAGE_SIZE);
    *next = slots + align_up(ring_slots * waits.ops->slot_bytes, PAGE_SIZE);
    if (*next > end || waits.ops->init(ring, slots, ring_slots) != STATUS_OK)
        return false;
    ring_wait_init(wait, waits.ops, ring, ring_slots, &waits.waiter);
    return true;
}

static bool add_crowd(uint64_t seed)
{
    const unsigned members = waits.pair.producers + waits.pair.consumers;
    crowd.window = crowd.opened = crowd.closed = 0;
    crowd.late = false;
    crowd.leader = &world.threads[0].thread;
    if (!world_add("leader", crowd_leader, 1, seed))
        return false;
    for (unsigned i = 0; i < members; i++) {
        crowd.members[i].thread = &world.threads[i + 1].thread;
        if (!world_add(i < waits.pair.producers ? "producer" : "consumer", crowd_member, 0, seed))
            return false;
    }
    return true;
}

static bool add_pair(uint64_t seed)
{
    void (*const server)(void *) = waits.pair.direct ? wait_direct_server : wait_server;
    return world_add("leader", wait_leader, 1, seed) &&
           world_add("other", waits.pair.calls ? server : wait_echo, 1u << (waits.pair.cpus - 1),
                     seed);
}

bool ipc_wait_threads(struct ipc_pair *pair, const struct ring_ops *ops, void *memory,
                      size_t length, uint64_t seed)
{
    uint8_t *next = memory, *const end = next + length;
    if (!world_open(&sched_fifo_ops, pair->cpus, 1, false))
        return false;
    pair->window = world_window;
    waits.pair = *pair;
    waits.ops = ops;
    // Each message finds somebody asleep, or nearly: who sleeps has nothing to spare a sender,
    // unless that is asked.
    ring_waiter_sched(&waits.waiter, &world.sched,
                      pair->sleepers_pay ? RING_SLEEPERS_PAY : RING_USERS_PAY);
    if (!pair->calls && pair->producers == 0)
        waits.waiter.looks = 0;
    if (!pair->direct)
        waits.waiter.hand_over = NULL;
    const size_t slots = pair->producers > 0 ? CROWD_SLOTS : WAIT_SLOTS;
    if (!make_ring(&waits.there, slots, &next, end) || !make_ring(&waits.back, slots, &next, end) ||
        call_init(&waits.channel, &waits.there, &waits.seat, 1) != STATUS_OK)
        return false;
    world.closing = close_waits;
    return (pair->producers > 0 ? add_crowd(seed) : add_pair(seed)) && world_start();
}

uint64_t ipc_wait_threads_ticks(void)
{
    return world.ticks;
}

bool ipc_wait_threads_check(void)
{
    return world.open && !world.failed && (world.cpus > 1 || sched_check(&world.sched));
}

void ipc_wait_threads_statistics(struct ipc_pair_statistics *statistics)
{
    struct ring_wait_statistics there, back, senders;
    struct ring_statistics sent;
    ring_wait_statistics(&waits.there, RING_RECEIVERS, &there);
    ring_wait_statistics(&waits.back, RING_RECEIVERS, &back);
    ring_wait_statistics(&waits.there, RING_SENDERS, &senders);
    waits.ops->statistics(waits.there.ring, &sent);
    *statistics = (struct ipc_pair_statistics){.requests = sent.received,
                                               .sleeps = there.sleeps + back.sleeps,
                                               .blocks = there.blocks + back.blocks,
                                               .sender_blocks = senders.blocks,
                                               .wakes = there.wakes + back.wakes};
    for (unsigned i = 0; i < waits.pair.producers; i++)
        statistics->at_first[i] = crowd.members[i].at_first;
}

void ipc_wait_threads_end(void)
{
    (void)world_close();
}
