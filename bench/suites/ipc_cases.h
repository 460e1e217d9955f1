// SPDX-License-Identifier: MIT
// The cases of the suite `ipc`: what is asked, the same of our rings and of everybody else's. The
// file that includes it has named its variants (SUITE_VARIANTS of body.h) and
//   IPC_MANY(ops)   the table of a variant where many senders and receivers are meant; NULL: it has
//                   none
// A new case that other people's queues can answer is listed in peers/ipc.c, too.
#ifndef IPC_CASES_H
#define IPC_CASES_H

#include "body.h"
#include "compiler.h"
#include "definitions_ipc.h"
#include "ipc_context.h"
#include "ipc_message.h"
#include "ipc_several.h"
#include "ipc_zero_copy.h"
#include "ring.h"
#include "ring_wait.h"

#define SUITE           ipc
#define SUITE_MECHANISM ring

// An operation is one message sent and received, unless the case says what it is.
#define SUITE_CASES(X, v)                                                                          \
    X(v, pair_56, 4096, false, 8, 8192, 128, 4, 30,                                                \
      "56 B sent and received on one thread, 4096 slots")                                          \
    X(v, pair_56_small, 4096, false, 8, 8192, 128, 4, 30,                                          \
      "56 B sent and received on one thread, 64 slots: the ring fits the first-level cache")       \
    X(v, waitable_56, 4096, false, 8, 8192, 128, 4, 30,                                            \
      "pair_56 at a queue where somebody may sleep but nobody does: who sleeps pays")              \
    X(v, waitable_56_paid, 4096, false, 8, 8192, 128, 4, 30,                                       \
      "the same where who sends and receives pays, by a locked instruction each time")             \
    X(v, pair_0, 4096, false, 4, 8192, 128, 4, 30,                                                 \
      "empty messages sent and received on one thread, 4096 slots")                                \
    X(v, pair_8, 512, false, 4, 512, 64, 2, 30, "8 B sent and received on one thread")             \
    X(v, pair_16, 512, false, 4, 512, 64, 2, 30, "16 B sent and received on one thread")           \
    X(v, pair_24, 512, false, 4, 512, 64, 2, 30, "24 B sent and received on one thread")           \
    X(v, pair_32, 512, false, 4, 512, 64, 2, 30, "32 B sent and received on one thread")           \
    X(v, pair_40, 512, false, 4, 512, 64, 2, 30, "40 B sent and received on one thread")           \
    X(v, pair_48, 512, false, 4, 512, 64, 2, 30, "48 B sent and received on one thread")           \
    X(v, pair_any, LENGTHS, false, 4, LENGTHS, 64, 2, 30,                                          \
      "0 to 56 B, any length as likely as any other, sent and received on one thread")             \
    X(v, pair_few, 128, false, 8, 128, 64, 2, 60,                                                  \
      "56 B sent and received on one thread, in short windows, beside what the system offers")     \
    X(v, batch_1, 512, false, 8, 512, 64, 2, 30,                                                   \
      "56 B in batches of one on one thread, per message")                                         \
    X(v, batch_2, 512, false, 8, 512, 64, 2, 30,                                                   \
      "56 B in batches of 2 on one thread, per message")                                           \
    X(v, batch_4, 512, false, 8, 512, 64, 2, 30,                                                   \
      "56 B in batches of 4 on one thread, per message")                                           \
    X(v, batch_8, 512, false, 8, 512, 64, 2, 30,                                                   \
      "56 B in batches of 8 on one thread, per message")                                           \
    X(v, batch_16, 4096, false, 8, 8192, 128, 4, 30,                                               \
      "56 B in batches of 16 on one thread, per message, 4096 slots")                              \
    X(v, batch_32, 512, false, 8, 512, 64, 2, 30,                                                  \
      "56 B in batches of 32 on one thread, per message")                                          \
    X(v, batch_64, 512, false, 8, 512, 64, 2, 30,                                                  \
      "56 B in batches of 64 on one thread, per message")                                          \
    X(v, depth_16, 512, false, 8, 512, 64, 2, 30,                                                  \
      "56 B, 16 sent, then these received, on one thread, per message")                            \
    X(v, depth_256, 512, false, 8, 512, 256, 2, 30,                                                \
      "56 B, 256 sent, then these received, on one thread, per message")                           \
    X(v, depth_4096, 4096, false, 8, 4096, 4096, 1, 60,                                            \
      "56 B, the ring of 4096 slots filled, then emptied, on one thread, per message")             \
    X(v, refused_full, 512, false, 3, 512, 64, 2, 30,                                              \
      "a send to a full ring of 64 slots that is refused")                                         \
    X(v, refused_empty, 512, false, 3, 512, 64, 2, 30, "a receive from an empty ring")             \
    X(v, zero_copy_64, 256, false, 30, 256, 8, 2, 60,                                              \
      "64 B written into a page of a pool, passed on, read there, given back")                     \
    X(v, zero_copy_256, 256, false, 30, 256, 8, 2, 60,                                             \
      "256 B written into a page of a pool, passed on, read there, given back")                    \
    X(v, zero_copy_1024, 128, false, 30, 128, 8, 2, 60,                                            \
      "1 KB written into a page of a pool, passed on, read there, given back")                     \
    X(v, zero_copy_4096, 64, false, 30, 64, 8, 2, 60,                                              \
      "4 KB written into a page of a pool, passed on, read there, given back")                     \
    X(v, zero_copy_16384, 16, false, 30, 16, 8, 2, 60,                                             \
      "16 KB written into 4 pages of a pool, passed on, read there, given back")                   \
    X(v, zero_copy_65536, 16, false, 30, 16, 8, 2, 60,                                             \
      "64 KB written into 16 pages of a pool, passed on, read there, given back")                  \
    X(v, copied_64, 256, false, 30, 256, 8, 2, 60,                                                 \
      "64 B copied into a page of a pool, passed on, copied out")                                  \
    X(v, copied_256, 256, false, 30, 256, 8, 2, 60,                                                \
      "256 B copied into a page of a pool, passed on, copied out")                                 \
    X(v, copied_1024, 128, false, 30, 128, 8, 2, 60,                                               \
      "1 KB copied into a page of a pool, passed on, copied out")                                  \
    X(v, copied_4096, 64, false, 30, 64, 8, 2, 60,                                                 \
      "4 KB copied into a page of a pool, passed on, copied out")                                  \
    X(v, copied_16384, 16, false, 30, 16, 8, 2, 60,                                                \
      "16 KB copied into 4 pages of a pool, passed on, copied out")                                \
    X(v, copied_65536, 16, false, 30, 16, 8, 2, 60,                                                \
      "64 KB copied into 16 pages of a pool, passed on, copied out")                               \
    X(v, many_56, 512, false, 8, 512, 64, 4, 30,                                                   \
      "56 B sent and received on one thread, over a queue for many of both")                       \
    X(v, bounce, 256, false, 2, 256, 16, 1, 120,                                                   \
      "a line of memory to another CPU and back: what no round trip can be faster than")           \
    X(v, bounce_two, 256, false, 2, 256, 16, 1, 120,                                               \
      "a line of memory to another CPU and another one back")                                      \
    X(v, round_trip_56, 256, false, 16, 256, 16, 1, 240,                                           \
      "56 B to another CPU and back, over two rings of 64 slots; a round trip")                    \
    X(v, round_trip_56_large, 256, false, 16, 256, 16, 1, 240,                                     \
      "56 B to another CPU and back, over two rings of 4096 slots; a round trip")                  \
    X(v, stream_56, 8192, false, 8, 1024, 64, 1, 240,                                              \
      "56 B streamed to another CPU, 4096 slots, to the last message received")                    \
    X(v, stream_56_small, 8192, false, 8, 1024, 64, 1, 240,                                        \
      "56 B streamed to another CPU, 64 slots, to the last message received")                      \
    X(v, many_cpus, 2048, false, 8, 2048, 64, 1, 240,                                              \
      "56 B, half of the CPUs send and the others receive, to the last message received")          \
    X(v, many_pairs_cpus, 2048, false, 8, 2048, 64, 1, 240,                                        \
      "56 B, all CPUs send one and receive one in turn over one queue, to the last one's end")

// ---- one thread ---------------------------------------------------------------------------------

ALWAYS_INLINE uint64_t pair(const struct ring_ops *ops, struct ipc_context *context,
                            uint64_t operations, size_t length)
{
    void *const ring = context->ring;
    uint64_t outgoing[MESSAGE_WORDS] = {0}, incoming[MESSAGE_WORDS];
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i++) {
        uint64_t word;
        if (UNLIKELY(send_message(ops, ring, outgoing, length, i) != STATUS_OK))
            return BENCH_FAILED;
        if (UNLIKELY(receive_message(ops, ring, incoming, length, &word) != STATUS_OK))
            return BENCH_FAILED;
        sum += length == 0 ? word + i : word;
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
#define pair_few      pair_56

ALWAYS_INLINE uint64_t pair_0(const struct ring_ops *ops, struct ipc_context *context,
                              uint64_t operations)
{
    return pair(ops, context, operations, 0);
}

ALWAYS_INLINE uint64_t pair_8(const struct ring_ops *ops, struct ipc_context *context,
                              uint64_t operations)
{
    return pair(ops, context, operations, 8);
}

ALWAYS_INLINE uint64_t pair_16(const struct ring_ops *ops, struct ipc_context *context,
                               uint64_t operations)
{
    return pair(ops, context, operations, 16);
}

ALWAYS_INLINE uint64_t pair_24(const struct ring_ops *ops, struct ipc_context *context,
                               uint64_t operations)
{
    return pair(ops, context, operations, 24);
}

ALWAYS_INLINE uint64_t pair_32(const struct ring_ops *ops, struct ipc_context *context,
                               uint64_t operations)
{
    return pair(ops, context, operations, 32);
}

ALWAYS_INLINE uint64_t pair_40(const struct ring_ops *ops, struct ipc_context *context,
                               uint64_t operations)
{
    return pair(ops, context, operations, 40);
}

ALWAYS_INLINE uint64_t pair_48(const struct ring_ops *ops, struct ipc_context *context,
                               uint64_t operations)
{
    return pair(ops, context, operations, 48);
}

ALWAYS_INLINE uint64_t pair_any(const struct ring_ops *ops, struct ipc_context *context,
                                uint64_t operations)
{
    void *const ring = context->ring;
    const uint8_t *const lengths = context->lengths;
    uint64_t outgoing[MESSAGE_WORDS] = {0}, incoming[MESSAGE_WORDS];
    uint64_t *from = outgoing, *to = incoming;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i++) {
        size_t received = 0;
        BODY_HIDE(from);
        if (UNLIKELY(ops->send(ring, from, lengths[i % LENGTHS]) != STATUS_OK))
            return BENCH_FAILED;
        if (UNLIKELY(ops->receive(ring, to, &received) != STATUS_OK))
            return BENCH_FAILED;
        BODY_HIDE(to);
        sum += received;
        BODY_SETTLE();
    }
    return sum;
}

// Over the table for many senders and receivers; one thread, so that nobody is in the way.
ALWAYS_INLINE uint64_t many_56(const struct ring_ops *ops, struct ipc_context *context,
                               uint64_t operations)
{
    return pair(IPC_MANY(ops), context, operations, RING_PAYLOAD_MOST);
}

// ---- where threads may sleep --------------------------------------------------------------------

// As pair(), with what ring_wait.h adds while nobody sleeps.
ALWAYS_INLINE uint64_t waitable_56(const struct ring_ops *ops, struct ipc_context *context,
                                   uint64_t operations)
{
    struct ring_wait *const wait = context->wait;
    uint64_t outgoing[MESSAGE_WORDS] = {0}, incoming[MESSAGE_WORDS], *from = outgoing,
             *to = incoming;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i++) {
        size_t length;
        from[RING_PAYLOAD_MOST / 8 - 1] = i;
        BODY_HIDE(from);
        if (UNLIKELY(ring_wait_send(ops, wait, from, RING_PAYLOAD_MOST, 0) != STATUS_OK))
            return BENCH_FAILED;
        if (UNLIKELY(ring_wait_receive(ops, wait, to, &length, 0) != STATUS_OK))
            return BENCH_FAILED;
        BODY_HIDE(to);
        sum += to[RING_PAYLOAD_MOST / 8 - 1];
        BODY_SETTLE();
    }
    return sum;
}

#define waitable_56_paid waitable_56

// ---- batches ------------------------------------------------------------------------------------

ALWAYS_INLINE uint64_t batches(const struct ring_ops *ops, struct ipc_context *context,
                               uint64_t operations, uint64_t batch)
{
    struct ring_message *outgoing = context->outgoing, *incoming = context->incoming;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i += batch) {
        size_t sent, received;
        for (uint64_t k = 0; k < batch; k++)
            outgoing[k].payload[6] = i + k;
        if (UNLIKELY(ops->send_batch(context->ring, outgoing, batch, &sent) != STATUS_OK))
            return BENCH_FAILED;
        if (UNLIKELY(ops->receive_batch(context->ring, incoming, batch, &received) != STATUS_OK))
            return BENCH_FAILED;
        BODY_HIDE(incoming);
        for (uint64_t k = 0; k < received; k++)
            sum += incoming[k].payload[6];
        BODY_SETTLE();
    }
    return sum;
}

ALWAYS_INLINE uint64_t batch_1(const struct ring_ops *ops, struct ipc_context *context,
                               uint64_t operations)
{
    return batches(ops, context, operations, 1);
}

ALWAYS_INLINE uint64_t batch_2(const struct ring_ops *ops, struct ipc_context *context,
                               uint64_t operations)
{
    return batches(ops, context, operations, 2);
}

ALWAYS_INLINE uint64_t batch_4(const struct ring_ops *ops, struct ipc_context *context,
                               uint64_t operations)
{
    return batches(ops, context, operations, 4);
}

ALWAYS_INLINE uint64_t batch_8(const struct ring_ops *ops, struct ipc_context *context,
                               uint64_t operations)
{
    return batches(ops, context, operations, 8);
}

ALWAYS_INLINE uint64_t batch_16(const struct ring_ops *ops, struct ipc_context *context,
                                uint64_t operations)
{
    return batches(ops, context, operations, 16);
}

ALWAYS_INLINE uint64_t batch_32(const struct ring_ops *ops, struct ipc_context *context,
                                uint64_t operations)
{
    return batches(ops, context, operations, 32);
}

ALWAYS_INLINE uint64_t batch_64(const struct ring_ops *ops, struct ipc_context *context,
                                uint64_t operations)
{
    return batches(ops, context, operations, 64);
}

// ---- depth --------------------------------------------------------------------------------------

ALWAYS_INLINE uint64_t in_depth(const struct ring_ops *ops, struct ipc_context *context,
                                uint64_t operations, uint64_t depth)
{
    void *const ring = context->ring;
    uint64_t outgoing[MESSAGE_WORDS] = {0}, incoming[MESSAGE_WORDS];
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i += depth) {
        for (uint64_t k = 0; k < depth; k++) {
            if (UNLIKELY(send_message(ops, ring, outgoing, RING_PAYLOAD_MOST, i + k) != STATUS_OK))
                return BENCH_FAILED;
            BODY_SETTLE();
        }
        for (uint64_t k = 0; k < depth; k++) {
            uint64_t word;
            if (UNLIKELY(receive_message(ops, ring, incoming, RING_PAYLOAD_MOST, &word) !=
                         STATUS_OK))
                return BENCH_FAILED;
            sum += word;
            BODY_SETTLE();
        }
    }
    return sum;
}

ALWAYS_INLINE uint64_t depth_16(const struct ring_ops *ops, struct ipc_context *context,
                                uint64_t operations)
{
    return in_depth(ops, context, operations, 16);
}

ALWAYS_INLINE uint64_t depth_256(const struct ring_ops *ops, struct ipc_context *context,
                                 uint64_t operations)
{
    return in_depth(ops, context, operations, 256);
}

ALWAYS_INLINE uint64_t depth_4096(const struct ring_ops *ops, struct ipc_context *context,
                                  uint64_t operations)
{
    return in_depth(ops, context, operations, DEPTH_MOST);
}

// ---- refusals -----------------------------------------------------------------------------------

ALWAYS_INLINE uint64_t refused_full(const struct ring_ops *ops, struct ipc_context *context,
                                    uint64_t operations)
{
    void *const ring = context->ring;
    uint64_t outgoing[MESSAGE_WORDS] = {0}, *from = outgoing;
    uint64_t refused = 0;
    for (uint64_t i = 0; i < operations; i++) {
        BODY_HIDE(from);
        refused += ops->send(ring, from, RING_PAYLOAD_MOST) == STATUS_FULL;
        BODY_SETTLE();
    }
    return refused;
}

ALWAYS_INLINE uint64_t refused_empty(const struct ring_ops *ops, struct ipc_context *context,
                                     uint64_t operations)
{
    void *const ring = context->ring;
    uint64_t incoming[MESSAGE_WORDS], *to = incoming;
    uint64_t refused = 0;
    for (uint64_t i = 0; i < operations; i++) {
        size_t received;
        BODY_HIDE(to);
        refused += ops->receive(ring, to, &received) == STATUS_EMPTY;
        BODY_SETTLE();
    }
    return refused;
}

#endif
