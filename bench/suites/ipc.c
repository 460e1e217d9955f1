// SPDX-License-Identifier: MIT
// Message queues: what it costs to get a message from one place to another.
#include "body.h"
#include "compiler.h"
#include "ring_variants.h"

#define BATCH       16u
#define SLOTS_SMALL 64u

#define SUITE           ipc
#define SUITE_MECHANISM ring
#define SUITE_VARIANTS  RING_VARIANTS

// An operation is one message sent and received.
#define SUITE_CASES(X, v)                                                                          \
    X(v, pair_56, 4096, false, 8, 8192, 128, 4, 30,                                                \
      "56 B sent and received on one thread, 4096 slots")                                          \
    X(v, pair_56_small, 4096, false, 8, 8192, 128, 4, 30,                                          \
      "56 B sent and received on one thread, 64 slots: the ring fits the first-level cache")       \
    X(v, pair_0, 4096, false, 4, 8192, 128, 4, 30,                                                 \
      "empty messages sent and received on one thread, 4096 slots")                                \
    X(v, batch_16, 4096, false, 8, 8192, 128, 4, 30,                                               \
      "56 B in batches of 16 on one thread, per message, 4096 slots")

struct ipc_context {
    void *ring;
    struct ring_message *outgoing; // BATCH of each
    struct ring_message *incoming;
};

// ---- bodies -------------------------------------------------------------------------------------
// The message lies ready but for one word that changes each time, which the sum of what was
// received must show: a lost, doubled or stale message is noticed, and composing it costs next to
// nothing.

ALWAYS_INLINE uint64_t pair(const struct ring_ops *ops, struct ipc_context *context,
                            uint64_t operations, size_t length)
{
    void *const ring = context->ring;
    uint64_t outgoing[7] = {0}, incoming[7];
    uint64_t *from = outgoing, *to = incoming;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i++) {
        size_t received;
        from[6] = i;
        BODY_HIDE(from);
        if (UNLIKELY(ops->send(ring, from, length) != STATUS_OK))
            return BENCH_FAILED;
        if (UNLIKELY(ops->receive(ring, to, &received) != STATUS_OK))
            return BENCH_FAILED;
        BODY_HIDE(to);
        sum += length == 0 ? received + i : to[6];
        BODY_SETTLE();
    }
    return sum;
}

ALWAYS_INLINE uint64_t pair_56(const struct ring_ops *ops, struct ipc_context *context,
                               uint64_t operations)
{
    return pair(ops, context, operations, RING_PAYLOAD_MOST);
}

#define pair_56_small pair_56

ALWAYS_INLINE uint64_t pair_0(const struct ring_ops *ops, struct ipc_context *context,
                              uint64_t operations)
{
    return pair(ops, context, operations, 0);
}

ALWAYS_INLINE uint64_t batch_16(const struct ring_ops *ops, struct ipc_context *context,
                                uint64_t operations)
{
    struct ring_message *outgoing = context->outgoing, *incoming = context->incoming;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i += BATCH) {
        size_t sent, received;
        for (uint64_t k = 0; k < BATCH; k++)
            outgoing[k].payload[6] = i + k;
        if (UNLIKELY(ops->send_batch(context->ring, outgoing, BATCH, &sent) != STATUS_OK))
            return BENCH_FAILED;
        if (UNLIKELY(ops->receive_batch(context->ring, incoming, BATCH, &received) != STATUS_OK))
            return BENCH_FAILED;
        BODY_HIDE(incoming);
        for (uint64_t k = 0; k < received; k++)
            sum += incoming[k].payload[6];
        BODY_SETTLE();
    }
    return sum;
}

SUITE_TABLES

// ---- preparation --------------------------------------------------------------------------------

static void *prepare(size_t which, const void *ops_, void *memory, size_t length, uint64_t seed)
{
    const struct ring_ops *ops = ops_;
    uint8_t *next = memory;
    (void)seed;
    struct ipc_context *context = (struct ipc_context *)next;
    context->outgoing = (struct ring_message *)(next + CACHE_LINE);
    context->incoming = context->outgoing + BATCH;
    next += PAGE_SIZE;
    context->ring = next;
    next += align_up(ops->state_bytes, PAGE_SIZE);
    const size_t used = (size_t)(next - (uint8_t *)memory);
    const size_t slots = which == CASE_pair_56_small ? SLOTS_SMALL : RING_SLOTS_DEFAULT;
    if (used + slots * ops->slot_bytes > length ||
        ops->init(context->ring, next, slots) != STATUS_OK)
        return NULL;
    for (size_t k = 0; k < BATCH; k++)
        context->outgoing[k].length = RING_PAYLOAD_MOST;
    return context;
}

// The floor copies a whole slot whatever the length: no bound for empty messages.
static bool applies(size_t which, const void *ops)
{
    return which != CASE_pair_0 || ((const struct ring_ops *)ops)->about.role != VARIANT_FLOOR;
}

static uint64_t expected(size_t which, const void *context, uint64_t operations)
{
    (void)which;
    (void)context;
    return operations * (operations - 1) / 2;
}

static void counters(size_t which, const void *ops_, const void *context_,
                     const struct bench_counters *out)
{
    const struct ring_ops *ops = ops_;
    const struct ipc_context *context = context_;
    struct ring_statistics statistics;
    ops->statistics(context->ring, &statistics);
    out->emit(out->context, "messages", statistics.received, 1, "count");
    if (which == CASE_batch_16 && ops->about.role != VARIANT_FLOOR) {
        out->emit(out->context, "fences", statistics.fences, 1, "count");
        out->emit(out->context, "acquires_most", statistics.acquires, 1, "count");
    }
}

static bool check(size_t which, const void *ops, const void *context)
{
    (void)which;
    return ((const struct ring_ops *)ops)->check(((const struct ipc_context *)context)->ring);
}

const struct bench_suite ipc_suite = {
    SUITE_MEMBERS, // of the tables
    .what = "message queues between threads",
    .applies = applies,
    .prepare = prepare,
    .expected = expected,
    .counters = counters,
    .check = check,
};
