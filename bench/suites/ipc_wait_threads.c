// SPDX-License-Identifier: MIT
// The threads of ipc_wait_cases.h that are this target's scheduler's, and what they share.
#include "call.h"
#include "ipc_pair.h"
#include "ring_wait.h"
#include "ring_waiter_sched.h"
#include "sched_policy_fifo.h"
#include "sched_world.h"

#define WAIT_SLOTS 64u
#define WORDS      (RING_PAYLOAD_MOST / 8)

static struct {
    const struct ring_ops *ops;
    struct ring_waiter waiter;
    struct ring_wait there, back;
    struct call_channel channel;
    struct call_seat seat;
    bool calls;
} waits;

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
        const uint64_t rounds = waits.calls ? world.operations : world.operations / 2;
        done = 0;
        for (uint64_t i = 0; i < rounds; i++)
            if (waits.calls ? !call_once(i, &done) : !there_and_back(i, &done))
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

static void close_waits(void)
{
    if (waits.calls)
        call_end(&waits.channel, STATUS_CLOSED);
    ring_wait_close(&waits.there);
    ring_wait_close(&waits.back);
}

// ---- beginning and end --------------------------------------------------------------------------

static bool make_ring(struct ring_wait *wait, uint8_t **next, const uint8_t *end)
{
    uint8_t *const ring = (uint8_t *)align_up((uintptr_t)*next, PAGE_SIZE);
    uint8_t *const slots = ring + align_up(waits.ops->state_bytes, PAGE_SIZE);
    *next = slots + align_up(WAIT_SLOTS * waits.ops->slot_bytes, PAGE_SIZE);
    if (*next > end || waits.ops->init(ring, slots, WAIT_SLOTS) != STATUS_OK)
        return false;
    ring_wait_init(wait, waits.ops, ring, WAIT_SLOTS, &waits.waiter);
    return true;
}

bool ipc_wait_threads(struct ipc_pair *pair, const struct ring_ops *ops, void *memory,
                      size_t length, uint64_t seed)
{
    uint8_t *next = memory, *const end = next + length;
    if (!world_open(&sched_fifo_ops, pair->cpus, 1, false))
        return false;
    pair->window = world_window;
    waits.calls = pair->calls;
    waits.ops = ops;
    // Each message finds somebody asleep, or nearly: who sleeps has nothing to spare a sender.
    ring_waiter_sched(&waits.waiter, &world.sched, RING_USERS_PAY);
    if (!waits.calls)
        waits.waiter.looks = 0;
    if (!make_ring(&waits.there, &next, end) || !make_ring(&waits.back, &next, end) ||
        call_init(&waits.channel, &waits.there, &waits.seat, 1) != STATUS_OK)
        return false;
    world.closing = close_waits;
    return world_add("leader", wait_leader, 1, seed) &&
           world_add("other", waits.calls ? wait_server : wait_echo, 1u << (pair->cpus - 1),
                     seed) &&
           world_start();
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
    struct ring_wait_statistics there, back;
    struct ring_statistics sent;
    ring_wait_statistics(&waits.there, RING_RECEIVERS, &there);
    ring_wait_statistics(&waits.back, RING_RECEIVERS, &back);
    waits.ops->statistics(waits.there.ring, &sent);
    *statistics = (struct ipc_pair_statistics){.requests = sent.received,
                                               .sleeps = there.sleeps + back.sleeps,
                                               .blocks = there.blocks + back.blocks,
                                               .wakes = there.wakes + back.wakes};
}

void ipc_wait_threads_end(void)
{
    (void)world_close();
}
