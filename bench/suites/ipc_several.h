// SPDX-License-Identifier: MIT
// Bodies of the ipc suite for several CPUs. All CPUs of the crew run the body of the case; who does
// what follows from the CPU. Where there is only one, on the machine that counts instructions, it
// plays all sides in turn: what the code takes, not what two CPUs take.
//
// Every wait is bounded. A CPU that looks for something looks eagerly at first, since a pause would
// be part of what is measured, and then as the crews do.
#ifndef IPC_SEVERAL_H
#define IPC_SEVERAL_H

#include "body.h"
#include "compiler.h"
#include "cpu.h"
#include "crew.h"
#include "ipc_context.h"
#include "ipc_message.h"
#include "ring.h"

// ---- waiting ------------------------------------------------------------------------------------

static NOINLINE bool wait_slowly(struct ipc_context *context, uint32_t turn)
{
    if (cpu_index() == 0)
        return crew_patient(context->crew->patience, turn - IPC_EAGER_TURNS);
    cpu_pause();
    return turn - IPC_EAGER_TURNS < CREW_TURNS;
}

// After a look that found nothing; false: give up.
ALWAYS_INLINE bool look_again(struct ipc_context *context, uint32_t *turn)
{
    return LIKELY(++*turn <= IPC_EAGER_TURNS) || wait_slowly(context, *turn);
}

ALWAYS_INLINE bool ring_sends(const struct ring_ops *ops, struct ipc_context *context, void *ring,
                              uint64_t *from, uint64_t word)
{
    enum status status;
    uint32_t turn = 0;
    while (UNLIKELY((status = send_message(ops, ring, from, RING_PAYLOAD_MOST, word)) != STATUS_OK))
        if (status != STATUS_FULL || !look_again(context, &turn))
            return false;
    return true;
}

ALWAYS_INLINE bool ring_receives(const struct ring_ops *ops, struct ipc_context *context,
                                 void *ring, uint64_t *to, uint64_t *word)
{
    enum status status;
    uint32_t turn = 0;
    while ((status = receive_message(ops, ring, to, RING_PAYLOAD_MOST, word)) != STATUS_OK)
        if (UNLIKELY(status != STATUS_EMPTY || !look_again(context, &turn)))
            return false;
    return true;
}

// ---- one line -----------------------------------------------------------------------------------

ALWAYS_INLINE bool ball_comes(struct ipc_context *context, uint64_t *ball, uint64_t value)
{
    uint32_t turn = 0;
    // Acquire, with the other CPU's release: nothing but the line itself hangs on it.
    while (__atomic_load_n(ball, __ATOMIC_ACQUIRE) != value)
        if (!look_again(context, &turn))
            return false;
    return true;
}

ALWAYS_INLINE uint64_t bounce_back(struct ipc_context *context, uint64_t operations,
                                   uint64_t *there, uint64_t *back)
{
    for (uint64_t i = 0; i < operations; i++) {
        if (!ball_comes(context, there, 2 * i + 1))
            return BENCH_FAILED;
        __atomic_store_n(back, 2 * i + 2, __ATOMIC_RELEASE);
    }
    return 0;
}

ALWAYS_INLINE uint64_t bounces(struct ipc_context *context, uint64_t operations, uint64_t *there,
                               uint64_t *back)
{
    const bool alone = context->cpus == 1;
    if (cpu_index() != 0)
        return bounce_back(context, operations, there, back);
    if (!crew_begin(context->crew))
        return BENCH_FAILED;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i++) {
        __atomic_store_n(there, 2 * i + 1, __ATOMIC_RELEASE);
        if (alone)
            __atomic_store_n(back, 2 * i + 2, __ATOMIC_RELEASE);
        if (!ball_comes(context, back, 2 * i + 2))
            return BENCH_FAILED;
        sum += i;
    }
    return crew_sum_with(context->crew, sum);
}

// A word that two CPUs count up in turn: what no message between them can be faster than.
ALWAYS_INLINE uint64_t bounce(const struct ring_ops *ops, struct ipc_context *context,
                              uint64_t operations)
{
    (void)ops;
    return bounces(context, operations, context->ball, context->ball);
}

// A word each way, as two rings have it: neither CPU has the line that it writes.
ALWAYS_INLINE uint64_t bounce_two(const struct ring_ops *ops, struct ipc_context *context,
                                  uint64_t operations)
{
    (void)ops;
    return bounces(context, operations, context->ball, context->ball + BALL_WORDS);
}

// ---- there and back -----------------------------------------------------------------------------

// Receives a message and sends what it says back.
ALWAYS_INLINE bool answer_one(const struct ring_ops *ops, struct ipc_context *context,
                              uint64_t *from, uint64_t *to)
{
    uint64_t word;
    return ring_receives(ops, context, context->ring, to, &word) &&
           ring_sends(ops, context, context->back, from, word);
}

ALWAYS_INLINE uint64_t answer(const struct ring_ops *ops, struct ipc_context *context,
                              uint64_t operations)
{
    uint64_t from[MESSAGE_WORDS] = {0}, to[MESSAGE_WORDS];
    for (uint64_t i = 0; i < operations; i++)
        if (UNLIKELY(!answer_one(ops, context, from, to)))
            return BENCH_FAILED;
    return 0;
}

ALWAYS_INLINE uint64_t round_trip_56(const struct ring_ops *ops, struct ipc_context *context,
                                     uint64_t operations)
{
    const bool alone = context->cpus == 1;
    uint64_t from[MESSAGE_WORDS] = {0}, to[MESSAGE_WORDS], sum = 0, word;
    uint64_t from_2[MESSAGE_WORDS] = {0}, to_2[MESSAGE_WORDS];
    if (cpu_index() != 0)
        return answer(ops, context, operations);
    if (!crew_begin(context->crew))
        return BENCH_FAILED;
    for (uint64_t i = 0; i < operations; i++) {
        if (UNLIKELY(!ring_sends(ops, context, context->ring, from, i)))
            return BENCH_FAILED;
        if (alone && UNLIKELY(!answer_one(ops, context, from_2, to_2)))
            return BENCH_FAILED;
        if (UNLIKELY(!ring_receives(ops, context, context->back, to, &word)))
            return BENCH_FAILED;
        sum += word;
    }
    return crew_sum_with(context->crew, sum);
}

#define round_trip_56_large round_trip_56

// ---- a stream -----------------------------------------------------------------------------------

ALWAYS_INLINE uint64_t take(const struct ring_ops *ops, struct ipc_context *context,
                            uint64_t operations)
{
    uint64_t to[MESSAGE_WORDS], sum = 0, word;
    for (uint64_t i = 0; i < operations; i++) {
        if (UNLIKELY(!ring_receives(ops, context, context->ring, to, &word)))
            return BENCH_FAILED;
        sum += word;
        BODY_SETTLE();
    }
    return sum;
}

// Messages first, first + 1 ...
ALWAYS_INLINE bool give(const struct ring_ops *ops, struct ipc_context *context, uint64_t first,
                        uint64_t operations)
{
    uint64_t from[MESSAGE_WORDS] = {0};
    for (uint64_t i = first; i < first + operations; i++) {
        if (UNLIKELY(!ring_sends(ops, context, context->ring, from, i)))
            return false;
        BODY_SETTLE();
    }
    return true;
}

// From the first message sent on this CPU to the last one received on another.
ALWAYS_INLINE uint64_t stream_56(const struct ring_ops *ops, struct ipc_context *context,
                                 uint64_t operations)
{
    uint64_t sum = 0;
    if (cpu_index() != 0)
        return take(ops, context, operations);
    if (!crew_begin(context->crew))
        return BENCH_FAILED;
    if (context->cpus > 1)
        return give(ops, context, 0, operations) ? crew_sum(context->crew) : BENCH_FAILED;
    for (uint64_t i = 0; i < operations; i += STREAM_TURN) {
        if (!give(ops, context, i, STREAM_TURN))
            return BENCH_FAILED;
        const uint64_t taken = take(ops, context, STREAM_TURN);
        if (taken == BENCH_FAILED)
            return BENCH_FAILED;
        sum += taken;
    }
    return sum;
}

#define stream_56_small stream_56

// ---- many ---------------------------------------------------------------------------------------

// Who is done first looks how far the others are.
static NOINLINE void tell_end(struct ipc_context *context)
{
    uint32_t nobody = 0;
    // Relaxed: a moment's view is wanted, and nothing hangs on it.
    if (!__atomic_compare_exchange_n(&context->first_done, &nobody, 1, false, __ATOMIC_RELAXED,
                                     __ATOMIC_RELAXED))
        return;
    for (unsigned i = 0; i < context->senders; i++)
        context->parts[i].at_first = __atomic_load_n(&context->parts[i].sent, __ATOMIC_RELAXED);
}

// The messages that sender `number` of `senders` sends: [first, end).
ALWAYS_INLINE uint64_t part_begin(uint64_t operations, unsigned senders, unsigned number)
{
    return operations * number / senders;
}

ALWAYS_INLINE uint64_t send_or_take(const struct ring_ops *ops, struct ipc_context *context,
                                    uint64_t operations)
{
    const unsigned cpu = cpu_index(), senders = context->senders;
    if (cpu == 0 && !crew_begin(context->crew))
        return BENCH_FAILED;
    if (cpu >= senders) {
        const unsigned takers = context->cpus - senders, number = cpu - senders;
        return take(ops, context,
                    part_begin(operations, takers, number + 1) -
                        part_begin(operations, takers, number));
    }
    uint64_t from[MESSAGE_WORDS] = {0};
    const uint64_t first = part_begin(operations, senders, cpu),
                   end = part_begin(operations, senders, cpu + 1);
    for (uint64_t i = first; i < end; i++) {
        if (UNLIKELY(!ring_sends(ops, context, context->ring, from, i)))
            return BENCH_FAILED;
        // Relaxed: for tell_end.
        __atomic_store_n(&context->parts[cpu].sent, i + 1 - first, __ATOMIC_RELAXED);
    }
    tell_end(context);
    return cpu == 0 ? crew_sum(context->crew) : 0;
}

// Half of the CPUs send, the others receive. Each has an equal part.
ALWAYS_INLINE uint64_t many_cpus(const struct ring_ops *ops, struct ipc_context *context,
                                 uint64_t operations)
{
    return send_or_take(IPC_MANY(ops), context, operations);
}

ALWAYS_INLINE uint64_t send_and_take(const struct ring_ops *ops, struct ipc_context *context,
                                     uint64_t operations)
{
    const unsigned cpu = cpu_index(), senders = context->senders;
    const uint64_t first = part_begin(operations, senders, cpu),
                   end = part_begin(operations, senders, cpu + 1);
    uint64_t from[MESSAGE_WORDS] = {0}, to[MESSAGE_WORDS], sum = 0, word;
    if (cpu == 0 && !crew_begin(context->crew))
        return BENCH_FAILED;
    for (uint64_t i = first; i < end; i++) {
        if (UNLIKELY(!ring_sends(ops, context, context->ring, from, i)))
            return BENCH_FAILED;
        // Another CPU may have taken it, but then has sent one.
        if (UNLIKELY(!ring_receives(ops, context, context->ring, to, &word)))
            return BENCH_FAILED;
        sum += word;
        __atomic_store_n(&context->parts[cpu].sent, i + 1 - first, __ATOMIC_RELAXED);
    }
    tell_end(context);
    if (cpu != 0)
        return sum;
    return crew_sum_with(context->crew, sum);
}

// All CPUs send one and receive one, in turn.
ALWAYS_INLINE uint64_t many_pairs_cpus(const struct ring_ops *ops, struct ipc_context *context,
                                       uint64_t operations)
{
    return send_and_take(IPC_MANY(ops), context, operations);
}

#endif
