// SPDX-License-Identifier: MIT
// Bodies of the ipc suite for messages of more than 56 bytes: written into pages of a pool that are
// passed on, and, beside it, into a buffer of the sender's that is copied into pages and out of
// them into a buffer of the receiver's. Both write and read one word of each line.
#ifndef IPC_ZERO_COPY_H
#define IPC_ZERO_COPY_H

#include "body.h"
#include "compiler.h"
#include "ipc_context.h"
#include "ring.h"
#include "ring_pool.h"
#include "ring_zero_copy.h"

#define LINE_WORDS (CACHE_LINE / 8)

static const struct ring_parties ipc_parties = {.sender = 1, .receiver = 2};

ALWAYS_INLINE void write_lines(void *at, size_t bytes, uint64_t word)
{
    uint64_t *words = at;
    for (size_t k = 0; k < bytes / 8; k += LINE_WORDS)
        words[k] = word;
    BODY_HIDE(words);
}

ALWAYS_INLINE uint64_t read_lines(const void *at, size_t bytes)
{
    const uint64_t *words = at;
    uint64_t sum = 0;
    BODY_HIDE(words);
    for (size_t k = 0; k < bytes / 8; k += LINE_WORDS)
        sum += words[k];
    return sum;
}

// Receives a page, hands it to nobody, and gives it back: `to` NULL, it is read where it lies;
// else it is copied there.
ALWAYS_INLINE bool take_page(const struct ring_ops *ops, struct ipc_context *context, void *to,
                             uint64_t *sum)
{
    struct ring_descriptor came;
    void *at = NULL;
    if (ring_receive_page(ops, context->ring, context->pool, ipc_parties.receiver, &came, &at) !=
        STATUS_OK)
        return false;
    if (to == NULL) {
        *sum += read_lines(at, came.length);
    } else {
        for (size_t k = 0; k < came.length / 8u; k++)
            ((uint64_t *)to)[k] = ((const uint64_t *)at)[k];
        ring_pool_count_copied(context->pool, came.length);
    }
    return ring_pool_free(context->pool, ipc_parties.receiver, &came) == STATUS_OK;
}

ALWAYS_INLINE bool pass_page(const struct ring_ops *ops, struct ipc_context *context, size_t bytes,
                             uint64_t word, uint64_t *sum)
{
    struct ring_descriptor sent;
    void *at;
    if (ring_pool_allocate(context->pool, ipc_parties.sender, &sent, &at) != STATUS_OK)
        return false;
    write_lines(at, bytes, word);
    sent.length = (uint16_t)bytes;
    return ring_send_page(ops, context->ring, context->pool, ipc_parties, &sent) == STATUS_OK &&
           take_page(ops, context, NULL, sum);
}

// Up to RING_PAGES_MOST pages as one message.
ALWAYS_INLINE bool pass_pages(const struct ring_ops *ops, struct ipc_context *context, size_t bytes,
                              uint64_t word, uint64_t *sum)
{
    struct ring_pages pages = {.pool = (uint16_t)context->pool->number,
                               .count = (uint16_t)(bytes / PAGE_SIZE),
                               .length = (uint32_t)bytes};
    void *at[RING_PAGES_MOST];
    for (unsigned k = 0; k < pages.count; k++) {
        struct ring_descriptor one;
        if (ring_pool_allocate(context->pool, ipc_parties.sender, &one, &at[k]) != STATUS_OK)
            return false;
        pages.page[k].index = one.index;
        pages.page[k].generation = one.generation;
        write_lines(at[k], PAGE_SIZE, word);
    }
    if (ring_send_pages(ops, context->ring, context->pool, ipc_parties, &pages) != STATUS_OK ||
        ring_receive_pages(ops, context->ring, context->pool, ipc_parties.receiver, &pages, at) !=
            STATUS_OK)
        return false;
    for (unsigned k = 0; k < pages.count; k++)
        *sum += read_lines(at[k], PAGE_SIZE);
    return ring_free_pages(context->pool, ipc_parties.receiver, &pages) == STATUS_OK;
}

ALWAYS_INLINE uint64_t pass(const struct ring_ops *ops, struct ipc_context *context,
                            uint64_t operations, size_t bytes)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i++) {
        for (size_t done = 0; done < bytes; done += RING_PAGES_MOST * PAGE_SIZE) {
            const size_t part = bytes - done < RING_PAGES_MOST * PAGE_SIZE
                                    ? bytes - done
                                    : RING_PAGES_MOST * PAGE_SIZE;
            if (UNLIKELY(!(bytes <= PAGE_SIZE ? pass_page(ops, context, part, i, &sum)
                                              : pass_pages(ops, context, part, i, &sum))))
                return BENCH_FAILED;
        }
        BODY_SETTLE();
    }
    return sum;
}

ALWAYS_INLINE uint64_t copy(const struct ring_ops *ops, struct ipc_context *context,
                            uint64_t operations, size_t bytes)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i++) {
        write_lines(context->outbox, bytes, i);
        for (size_t done = 0; done < bytes; done += PAGE_SIZE) {
            const size_t part = bytes - done < PAGE_SIZE ? bytes - done : PAGE_SIZE;
            if (UNLIKELY(ring_send_with_pool(ops, context->ring, context->pool, ipc_parties,
                                             context->outbox + done, part) != STATUS_OK) ||
                UNLIKELY(!take_page(ops, context, context->inbox + done, &sum)))
                return BENCH_FAILED;
        }
        sum += read_lines(context->inbox, bytes);
        BODY_SETTLE();
    }
    return sum;
}

ALWAYS_INLINE uint64_t zero_copy_64(const struct ring_ops *ops, struct ipc_context *context,
                                    uint64_t operations)
{
    return pass(ops, context, operations, 64);
}

ALWAYS_INLINE uint64_t zero_copy_256(const struct ring_ops *ops, struct ipc_context *context,
                                     uint64_t operations)
{
    return pass(ops, context, operations, 256);
}

ALWAYS_INLINE uint64_t zero_copy_1024(const struct ring_ops *ops, struct ipc_context *context,
                                      uint64_t operations)
{
    return pass(ops, context, operations, 1024);
}

ALWAYS_INLINE uint64_t zero_copy_4096(const struct ring_ops *ops, struct ipc_context *context,
                                      uint64_t operations)
{
    return pass(ops, context, operations, 4096);
}

ALWAYS_INLINE uint64_t zero_copy_16384(const struct ring_ops *ops, struct ipc_context *context,
                                       uint64_t operations)
{
    return pass(ops, context, operations, 16384);
}

ALWAYS_INLINE uint64_t zero_copy_65536(const struct ring_ops *ops, struct ipc_context *context,
                                       uint64_t operations)
{
    return pass(ops, context, operations, 65536);
}

ALWAYS_INLINE uint64_t copied_64(const struct ring_ops *ops, struct ipc_context *context,
                                 uint64_t operations)
{
    return copy(ops, context, operations, 64);
}

ALWAYS_INLINE uint64_t copied_256(const struct ring_ops *ops, struct ipc_context *context,
                                  uint64_t operations)
{
    return copy(ops, context, operations, 256);
}

ALWAYS_INLINE uint64_t copied_1024(const struct ring_ops *ops, struct ipc_context *context,
                                   uint64_t operations)
{
    return copy(ops, context, operations, 1024);
}

ALWAYS_INLINE uint64_t copied_4096(const struct ring_ops *ops, struct ipc_context *context,
                                   uint64_t operations)
{
    return copy(ops, context, operations, 4096);
}

ALWAYS_INLINE uint64_t copied_16384(const struct ring_ops *ops, struct ipc_context *context,
                                    uint64_t operations)
{
    return copy(ops, context, operations, 16384);
}

ALWAYS_INLINE uint64_t copied_65536(const struct ring_ops *ops, struct ipc_context *context,
                                    uint64_t operations)
{
    return copy(ops, context, operations, 65536);
}

#endif
