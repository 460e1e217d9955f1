// SPDX-License-Identifier: MIT
// What the suite `system` sets up, and what must come out. Included behind SUITE_TABLES, which it
// uses.
#ifndef SYSTEM_PREPARE_H
#define SYSTEM_PREPARE_H

#include "string.h"
#include "system_cases.h"

// A fast disk's.
#define DISK_LATENCY_NS 8000u
#define DISK_COMMAND_NS 500u
#define DISK_KIB_NS     50u
// What the disk's controller has seen before it decides for the first time: more reads a second
// than it needs to poll. The warm workload asks for three to twenty times as many, emulated it may
// be about as many; the counter reads_per_second shows it.
#define TAUGHT_RATE 16000u
#define TAUGHT_NS   110000000u

// ---- preparation --------------------------------------------------------------------------------

static void fill_disk(struct system_context *context)
{
    struct random random = random_seeded(context->seed);
    uint64_t word = random_u64(&random);
    for (uint64_t key = 0; key < SYSTEM_KEYS; key++) {
        uint64_t *const words = (uint64_t *)(void *)&context->content[key * SYSTEM_BLOCK];
        for (uint64_t i = 0; i < SYSTEM_BLOCK / 8; i++)
            words[i] = word += 0x9e3779b97f4a7c15u;
        context->sums[key] = system_sum(words, system_bytes(key));
    }
    for (uint64_t i = 0; i < SYSTEM_PIECES; i++)
        context->piece_sums[i] =
            system_piece_sum((const uint64_t *)(const void *)&context->content[i * SYSTEM_PIECE]);
}

// The controller decides by the last second. It has seen a tenth of one, at rest.
static void teach(struct world *world)
{
    struct block_controller *const controller = &world->device.queues[WORLD_QUEUE].controller;
    for (uint64_t i = 0; i < TAUGHT_NS / (DEVICE_SECOND_NS / TAUGHT_RATE); i++) {
        world_skip(world, world->hz / TAUGHT_RATE);
        (void)block_controller_record(controller, world_ticks(world), false);
    }
}

// Takes `bytes` out of what is left, page-aligned; NULL: there is not enough.
static void *take(uint8_t **memory, size_t *left, size_t bytes)
{
    const size_t whole = align_up(bytes, PAGE_SIZE);
    uint8_t *const taken = *memory;
    if (whole > *left)
        return NULL;
    *memory += whole;
    *left -= whole;
    return taken;
}

static void *make_ring(const struct ring_ops *ops, uint8_t **memory, size_t *left)
{
    void *const ring = take(memory, left, ops->state_bytes);
    void *const slots = take(memory, left, SYSTEM_SLOTS * ops->slot_bytes);
    if (ring == NULL || slots == NULL || ops->init(ring, slots, SYSTEM_SLOTS) != STATUS_OK)
        return NULL;
    return ring;
}

static const struct system_programs *programs_of(const struct system_on *on)
{
    for (size_t i = 0; i < ARRAY_COUNT(programs); i++)
        if (programs[i].on == on)
            return &programs[i];
    return NULL;
}

static struct random keys_of(const struct system_context *context, unsigned client)
{
    return random_seeded(context->seed + 1 + client);
}

static bool make_client(struct system_context *context, unsigned number, uint8_t **memory,
                        size_t *left)
{
    const struct system_on *const on = context->on;
    struct system_client *const client = &context->clients[number];
    client->context = context;
    client->number = number;
    client->random = keys_of(context, number);
    client->to = make_ring(on->ring, memory, left);
    client->from = make_ring(on->ring, memory, left);
    client->segment = (struct block_segment){
        .memory = client->room, .address = (uintptr_t)client->room, .bytes = SYSTEM_BLOCK};
    return client->to != NULL && client->from != NULL &&
           world_add(&context->world, &client->thread, "client", programs_of(on)->client, client);
}

static void wake_server(void *context)
{
    struct system_context *const one = context;
    sched_wake(&one->world.sched, &one->server.thread);
}

static void server_sleeps(void *context, unsigned queue, uint64_t most_ns)
{
    world_sleep(&((struct system_context *)context)->world, queue, most_ns);
}

static void *prepare(size_t which, const void *on_, void *memory_, size_t length, uint64_t seed)
{
    static const struct ram_disk_config times = {.block_bytes = SYSTEM_BLOCK,
                                                 .latency_ns = DISK_LATENCY_NS,
                                                 .command_ns = DISK_COMMAND_NS,
                                                 .kib_ns = DISK_KIB_NS};
    const struct system_on *const on = on_;
    uint8_t *memory = memory_;
    struct system_context *const context = take(&memory, &length, sizeof(*context));
    if (context == NULL)
        return NULL;
    memset(context, 0, offsetof(struct system_context, content));
    context->on = on;
    context->which = which;
    context->seed = seed;
    context->stamps = which == CASE_slowest;
    context->waiter =
        (struct block_waiter){.context = context, .sleep = server_sleeps, .wake = wake_server};
    context->heap = take(&memory, &length, on->heap->state_bytes);
    fill_disk(context);
    if (context->heap == NULL ||
        on->heap->init(context->heap, context->memory, SYSTEM_HEAP) != STATUS_OK ||
        !world_open(&context->world, on, programs_of(on)->switch_to, context->content, SYSTEM_DISK,
                    &times) ||
        !world_add(&context->world, &context->server, "server", programs_of(on)->server, context) ||
        !world_add(&context->world, &context->background, "background", system_background, context))
        return NULL;
    for (unsigned i = 0; i < SYSTEM_CLIENTS; i++)
        if (!make_client(context, i, &memory, &length))
            return NULL;
    if (on->driver->adaptive)
        teach(&context->world);
    return context;
}

// ---- what must come out -------------------------------------------------------------------------

static uint64_t requests_of(size_t which, uint64_t operations)
{
    return which == CASE_slowest ? operations * SYSTEM_REQUESTS : operations;
}

// Known without the variant: from where each client's keys and the background's pieces are.
static uint64_t expected(size_t which, const void *context_, uint64_t operations)
{
    const struct system_context *const context = context_;
    const uint64_t requests = requests_of(which, operations);
    uint64_t sum = 0;
    for (unsigned i = 0; i < SYSTEM_CLIENTS; i++) {
        struct random random = context->clients[i].random;
        for (uint64_t k = 0; k < requests / SYSTEM_CLIENTS; k++)
            sum += context->sums[system_key(&random)];
    }
    for (uint64_t i = 0; i < requests / SYSTEM_PIECE_EVERY; i++)
        sum += context->piece_sums[(context->piece + i) % SYSTEM_PIECES];
    return sum;
}

// How many of a client's requests so far had to be read from the disk.
static uint64_t reads_of(const struct system_context *context, unsigned client)
{
    struct random random = keys_of(context, client);
    uint64_t kept[SYSTEM_KEPT], reads = 0;
    for (unsigned i = 0; i < SYSTEM_KEPT; i++)
        kept[i] = SYSTEM_KEYS;
    for (uint64_t i = 0; i < context->clients[client].asked; i++) {
        const uint64_t key = system_key(&random);
        reads += kept[key % SYSTEM_KEPT] != key;
        kept[key % SYSTEM_KEPT] = key;
    }
    return reads;
}

// The same work whoever was asked: as many reads as these requests need, all memory but what is
// kept given back, nothing left in a queue, no stack overrun.
static bool check(size_t which, const void *on_, const void *context_)
{
    const struct system_on *const on = on_;
    // Its state is only looked at.
    struct system_context *const context = (struct system_context *)(uintptr_t)context_;
    struct block_statistics disk;
    uint64_t reads = 0, kept = 0, asked = 0;
    (void)which;
    if (!world_stack_kept(&context->server) || !world_stack_kept(&context->background))
        return false;
    for (unsigned i = 0; i < SYSTEM_CLIENTS; i++) {
        const struct system_client *const client = &context->clients[i];
        if (!world_stack_kept(&client->thread))
            return false;
        reads += reads_of(context, i);
        asked += client->asked;
        for (unsigned k = 0; k < SYSTEM_KEPT; k++)
            kept += client->kept[k].words != NULL;
        if (!on->ring->check(client->to) || !on->ring->check(client->from) ||
            on->ring->free_slots(client->to) != SYSTEM_SLOTS ||
            on->ring->free_slots(client->from) != SYSTEM_SLOTS)
            return false;
    }
    struct heap_statistics heap;
    on->heap->statistics(context->heap, &heap);
    block_statistics(&context->world.device, WORLD_QUEUE, &disk);
    return context->read == reads && context->answered == reads && disk.submitted == reads &&
           disk.completed == reads && disk.failed == 0 && disk.strays == 0 &&
           heap.allocations == 2 * asked + reads && heap.frees == heap.allocations - kept &&
           on->heap->check(context->heap) && sched_check(&context->world.sched);
}

static uint64_t ticks(size_t which, const void *context)
{
    (void)which;
    return ((const struct system_context *)context)->ticks;
}

// ---- counters -----------------------------------------------------------------------------------

static void counters(size_t which, const void *on, const void *context_,
                     const struct bench_counters *out)
{
    // Asked for its mode, which is behind a lock.
    struct system_context *const context = (struct system_context *)(uintptr_t)context_;
    struct world *const world = &context->world;
    const bool exact = platform_clock_class() == PLATFORM_CLOCK_INSN;
    const struct system_tally now = system_tally(context), *const warm = &context->warm;
    (void)which;
    (void)on;
    // At first the tables of kept values are empty, and nearly each request needs the disk.
    assert(context->windows > SYSTEM_WARM);
    const uint64_t requests = now.requests - warm->requests, reads = now.reads - warm->reads;
    const uint64_t ticks = max_u64(now.ticks - warm->ticks, 1);
    out->emit(out->context, "reads", reads, requests, "ratio");
    out->emit(out->context, "idle_share", now.idle - warm->idle, ticks,
              exact ? "percent" : "observed");
    out->emit(out->context, "switches", now.switches - warm->switches, requests,
              exact ? "ratio" : "observed");
    out->emit(out->context, "reads_per_second", reads * world->hz, ticks,
              exact ? "count" : "observed");
    out->emit(out->context, "polling", block_mode(&world->device, WORLD_QUEUE) == BLOCK_POLLING, 1,
              exact ? "count" : "observed");
}

#define SYSTEM_SUITE                                                                               \
    SUITE_MEMBERS,                                                                                 \
        .what = "the whole: all baselines against all optimised, each mechanism switched alone",   \
        .prepare = prepare, .expected = expected, .ticks = ticks, .counters = counters,            \
        .check = check

#endif
