// SPDX-License-Identifier: MIT
// What stands behind the cases of ipc_cases.h: what prepares them, what comes before a window, and
// what they must give. Included behind the tables, since it names cases.
#ifndef IPC_PREPARE_H
#define IPC_PREPARE_H

#include "compiler.h"
#include "crew.h"
#include "ipc_cases.h"
#include "ipc_one_core.h"
#include "platform.h"
#include "random.h"
#include "ring.h"
#include "string.h"

// ---- who takes part -----------------------------------------------------------------------------

// The case is one of a queue for many senders and receivers.
static bool is_of_many(size_t which)
{
    return which == CASE_many_56 || which == CASE_many_cpus || which == CASE_many_pairs_cpus;
}

static bool is_bounce(size_t which)
{
    return which == CASE_bounce || which == CASE_bounce_two;
}

static bool is_round_trip(size_t which)
{
    return which == CASE_round_trip_56 || which == CASE_round_trip_56_large;
}

static bool is_of_two(size_t which)
{
    return is_bounce(which) || is_round_trip(which) || which == CASE_stream_56 ||
           which == CASE_stream_56_small;
}

static bool has_crew(size_t which)
{
    return is_of_two(which) || which == CASE_many_cpus || which == CASE_many_pairs_cpus;
}

static bool is_of_short_messages(size_t which)
{
    return which == CASE_pair_0 || which == CASE_pair_8 || which == CASE_pair_16 ||
           which == CASE_pair_24 || which == CASE_pair_32 || which == CASE_pair_40 ||
           which == CASE_pair_48 || which == CASE_pair_any;
}

static bool is_of_batches(size_t which)
{
    return which == CASE_batch_1 || which == CASE_batch_2 || which == CASE_batch_4 ||
           which == CASE_batch_8 || which == CASE_batch_16 || which == CASE_batch_32 ||
           which == CASE_batch_64;
}

// Bytes of the messages of a case with a pool; 0: it has none.
static size_t large_bytes(size_t which)
{
    static const uint32_t bytes[CASE_COUNT] = {
        [CASE_zero_copy_64] = 64,       [CASE_copied_64] = 64,
        [CASE_zero_copy_256] = 256,     [CASE_copied_256] = 256,
        [CASE_zero_copy_1024] = 1024,   [CASE_copied_1024] = 1024,
        [CASE_zero_copy_4096] = 4096,   [CASE_copied_4096] = 4096,
        [CASE_zero_copy_16384] = 16384, [CASE_copied_16384] = 16384,
        [CASE_zero_copy_65536] = 65536, [CASE_copied_65536] = 65536,
    };
    return bytes[which];
}

static bool is_waitable(size_t which)
{
    return which == CASE_waitable_56 || which == CASE_waitable_56_paid;
}

// Messages are built and read where they lie, by those who can.
static bool is_in_place(size_t which)
{
    return !is_of_batches(which) && which != CASE_pair_0 && which != CASE_pair_any &&
           which != CASE_refused_full && which != CASE_refused_empty && !is_waitable(which) &&
           large_bytes(which) == 0;
}

// Rows for two CPUs are there where two are, and on the machine that counts instructions, where one
// plays both sides.
static bool applies_to_cpus(size_t which)
{
    return platform_cpu_count() > 1 ||
           (is_of_two(which) && platform_clock_class() == PLATFORM_CLOCK_INSN);
}

static bool applies(size_t which, const void *ops_)
{
    const struct ring_ops *ops = ops_;
    const bool is_floor = ops->about.role == VARIANT_FLOOR;
    if (has_crew(which) && !applies_to_cpus(which))
        return false;
    if (is_bounce(which))
        return is_floor;
    if (is_of_many(which))
        return IPC_MANY(ops) != NULL;
    // The same code as the variant that is not asked to build in place.
    if (ops->reserve != NULL && !is_in_place(which))
        return false;
    // The floor copies a whole slot whatever the length: no bound for messages that are shorter.
    if (is_of_short_messages(which))
        return !is_floor;
    if (is_waitable(which))
        return !is_floor && ops->free_slots != NULL;
    if (large_bytes(which) > 0)
        return ops->send_kind != NULL;
    return !is_of_batches(which) || ops->send_batch != NULL;
}

// ---- preparation --------------------------------------------------------------------------------

static void *carve(uint8_t **next, size_t bytes, size_t alignment)
{
    uint8_t *start = (uint8_t *)align_up((uintptr_t)*next, alignment);
    *next = start + bytes;
    return start;
}

static struct crew_patience patience[(ARRAY_COUNT(variants) + 1) * CASE_COUNT]; // of each row

static void carve_crew(size_t which, const struct ring_ops *ops, struct ipc_context *context,
                       uint8_t **next)
{
    const size_t variant = crew_variant(variants, ARRAY_COUNT(variants), ops);
    bench_body *const body =
        variant < ARRAY_COUNT(variants) ? bodies[variant * CASE_COUNT + which] : NULL;
    const unsigned there = platform_cpu_count();
    context->cpus = is_of_two(which) && there > 2 ? 2 : there;
    context->senders = which == CASE_many_cpus ? context->cpus / 2 : context->cpus;
    context->ball = carve(next, 2 * BALL_WORDS * sizeof(uint64_t), 2 * CACHE_LINE);
    context->parts = carve(next, context->cpus * sizeof(struct ipc_part), 2 * CACHE_LINE);
    context->crew = carve(next, sizeof(struct crew), 2 * CACHE_LINE);
    struct crew_member *members =
        carve(next, context->cpus * sizeof(struct crew_member), 2 * CACHE_LINE);
    crew_make(context->crew, members, context->cpus - 1, body, context,
              &patience[variant * CASE_COUNT + which]);
}

static size_t slots_of(size_t which)
{
    const bool small = which == CASE_pair_56_small || which == CASE_refused_full ||
                       which == CASE_stream_56_small || which == CASE_round_trip_56;
    return small ? SLOTS_SMALL : RING_SLOTS_DEFAULT;
}

// A ring and its slots; NULL if they do not fit in front of `end`.
static void *carve_ring(const struct ring_ops *ops, size_t slots, uint8_t **next, uint8_t *end)
{
    void *const ring = carve(next, ops->state_bytes, PAGE_SIZE);
    void *const memory = carve(next, slots * ops->slot_bytes, PAGE_SIZE);
    return *next <= end && ops->init(ring, memory, slots) == STATUS_OK ? ring : NULL;
}

static void draw_lengths(struct ipc_context *context, uint64_t seed)
{
    struct random random = random_seeded(seed);
    context->lengths_sum = 0;
    for (size_t i = 0; i < LENGTHS; i++) {
        context->lengths[i] = (uint8_t)random_below(&random, RING_PAYLOAD_MOST + 1);
        context->lengths_sum += context->lengths[i];
    }
}

// What the first `operations` lengths come to.
static uint64_t lengths_of(const struct ipc_context *context, uint64_t operations)
{
    uint64_t sum = operations / LENGTHS * context->lengths_sum;
    for (size_t i = 0; i < operations % LENGTHS; i++)
        sum += context->lengths[i];
    return sum;
}

static bool carve_pool(struct ipc_context *context, uint8_t **next, uint8_t *end)
{
    context->pool = carve(next, sizeof(struct ring_pool), CACHE_LINE);
    void *const shared = carve(next, ring_pool_shared_bytes(POOL_PAGES), CACHE_LINE);
    void *const pages = carve(next, (size_t)POOL_PAGES * PAGE_SIZE, PAGE_SIZE);
    context->outbox = carve(next, MESSAGE_MOST, PAGE_SIZE);
    context->inbox = carve(next, MESSAGE_MOST, PAGE_SIZE);
    return *next <= end && ring_pool_init(context->pool, pages, shared, POOL_PAGES, 1) == STATUS_OK;
}

// Nobody sleeps in these cases, so nothing of a waiter is called but what says that it can.
static bool never_needed(void *place)
{
    (void)place;
    return false;
}

static void carve_wait(size_t which, const struct ring_ops *ops, struct ipc_context *context,
                       uint8_t **next)
{
    context->wait = carve(next, sizeof(struct ring_wait), 2 * CACHE_LINE);
    context->waiter = carve(next, sizeof(struct ring_waiter), CACHE_LINE);
    *context->waiter = (struct ring_waiter){
        .name = "nobody", .barrier = which == CASE_waitable_56 ? never_needed : NULL};
    ring_wait_init(context->wait, ops, context->ring, slots_of(which), context->waiter);
}

static void *prepare(size_t which, const void *ops_, void *memory, size_t length, uint64_t seed)
{
    const struct ring_ops *const ops =
        is_of_many(which) ? IPC_MANY((const struct ring_ops *)ops_) : (const struct ring_ops *)ops_;
    uint8_t *next = memory, *const end = next + length;
    crew_rest();
    struct ipc_context *context = carve(&next, sizeof(*context), CACHE_LINE);
    struct ring_message *outgoing = carve(&next, BATCH_MOST * sizeof(*outgoing), CACHE_LINE);
    struct ring_message *incoming = carve(&next, BATCH_MOST * sizeof(*incoming), CACHE_LINE);
    uint8_t *lengths = carve(&next, LENGTHS, CACHE_LINE);
    if (next > end)
        return NULL;
    *context = (struct ipc_context){.outgoing = outgoing, .incoming = incoming, .lengths = lengths};
    for (size_t k = 0; k < BATCH_MOST; k++)
        outgoing[k].length = RING_PAYLOAD_MOST;
    if (which == CASE_pair_any)
        draw_lengths(context, seed);
    if (has_crew(which))
        carve_crew(which, ops_, context, &next);
    context->ring = carve_ring(ops, slots_of(which), &next, end);
    if (context->ring == NULL || (large_bytes(which) > 0 && !carve_pool(context, &next, end)))
        return NULL;
    if (is_waitable(which)) {
        carve_wait(which, ops, context, &next);
        return next <= end ? context : NULL;
    }
    if (is_round_trip(which)) {
        context->back = carve_ring(ops, slots_of(which), &next, end);
        return context->back != NULL ? context : NULL;
    }
    return context;
}

// ---- windows ------------------------------------------------------------------------------------

static void fill(const struct ring_ops *ops, struct ipc_context *context)
{
    uint64_t message[MESSAGE_WORDS] = {0};
    for (size_t i = 0; i <= SLOTS_SMALL; i++)
        if (ops->send(context->ring, message, RING_PAYLOAD_MOST) != STATUS_OK)
            return;
}

static void before(size_t which, const void *ops, void *context_, uint64_t operations)
{
    struct ipc_context *context = context_;
    if (which == CASE_refused_full)
        fill(ops, context);
    if (!has_crew(which))
        return;
    crew_rest();
    context->ball[0] = context->ball[BALL_WORDS] = 0;
    context->first_done = 0;
    for (unsigned i = 0; i < context->senders; i++)
        context->parts[i].sent = context->parts[i].at_first = 0;
    crew_call(context->crew, operations);
}

static uint64_t expected(size_t which, const void *context_, uint64_t operations)
{
    const struct ipc_context *context = context_;
    if (which == CASE_refused_full || which == CASE_refused_empty)
        return operations;
    if (which == CASE_pair_any)
        return lengths_of(context, operations);
    const size_t lines = large_bytes(which) / CACHE_LINE;
    return operations * (operations - 1) / 2 * (lines > 0 ? lines : 1);
}

// ---- counters -----------------------------------------------------------------------------------

#define MILLION 1000000u

// How evenly the senders came on while all of them sent: 1 if all were as far as the first one that
// was done, 1/n if that one alone sent (R. Jain, D. Chiu, W. Hawe, DEC TR-301, 1984). In
// millionths, so that boots can be added up.
static void count_fairness(const struct ipc_context *context, const struct bench_counters *out)
{
    uint64_t sum = 0, squares = 0;
    for (unsigned i = 0; i < context->senders; i++) {
        const uint64_t sent = context->parts[i].at_first;
        sum += sent;
        squares += sent * sent;
    }
    if (context->senders > 1 && squares > 0)
        out->emit(out->context, "fairness", sum * sum * MILLION / (context->senders * squares),
                  MILLION, "observed");
}

// What other CPUs took part, and whether two of them are one core: then the row says nothing of
// two.
static void count_cpus(size_t which, const struct ipc_context *context,
                       const struct bench_counters *out)
{
    out->emit(out->context, "cpus", context->cpus, 1, "count");
    if (platform_clock_class() == PLATFORM_CLOCK_TSC)
        out->emit(out->context, "one_core", ipc_one_core(), 1, "observed");
    if (which == CASE_many_cpus || which == CASE_many_pairs_cpus)
        count_fairness(context, out);
}

static void count_pool(const struct ipc_context *context, const struct bench_counters *out)
{
    struct ring_pool_statistics pool;
    ring_pool_statistics(context->pool, &pool);
    out->emit(out->context, "payload_bytes_copied", pool.bytes_copied, 1, "bytes");
    out->emit(out->context, "pages", pool.allocated, 1, "count");
}

static void counters(size_t which, const void *ops_, const void *context_,
                     const struct bench_counters *out)
{
    const struct ring_ops *const ops =
        is_of_many(which) ? IPC_MANY((const struct ring_ops *)ops_) : (const struct ring_ops *)ops_;
    const struct ipc_context *context = context_;
    struct ring_statistics statistics;
    crew_rest();
    if (has_crew(which))
        count_cpus(which, context, out);
    if (large_bytes(which) > 0)
        count_pool(context, out);
    if (is_bounce(which) || ops->statistics == NULL)
        return;
    ops->statistics(context->ring, &statistics);
    out->emit(out->context, "messages", statistics.received, 1, "count");
    if (is_of_batches(which) && ops->about.role != VARIANT_FLOOR) {
        out->emit(out->context, "fences", statistics.fences, 1, "count");
        out->emit(out->context, "acquires_most", statistics.acquires, 1, "count");
    }
}

static bool check(size_t which, const void *ops_, const void *context_)
{
    const struct ring_ops *const ops =
        is_of_many(which) ? IPC_MANY((const struct ring_ops *)ops_) : (const struct ring_ops *)ops_;
    const struct ipc_context *context = context_;
    crew_rest();
    if (context->pool != NULL && !ring_pool_check(context->pool))
        return false;
    return ops->check(context->ring) && (context->back == NULL || ops->check(context->back));
}

// What there is of the suite besides who is asked.
#define IPC_SUITE                                                                                  \
    SUITE_MEMBERS, .what = "message queues between threads", .prepare = prepare, .before = before, \
                   .expected = expected, .counters = counters, .check = check

#endif
