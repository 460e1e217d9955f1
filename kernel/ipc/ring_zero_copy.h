// SPDX-License-Identifier: MIT
// Messages that are pages: a ring that has send_kind and receive_kind, and a pool.
//
// Rules for callers
//   threads    those of the ring and of the pool
//   ownership  all or nothing: after STATUS_OK the page is the receiver's, after anything else what
//              it was before. The receiver frees what it was given
//   inline     `ops` is a constant table: each function becomes direct calls
#ifndef RING_ZERO_COPY_H
#define RING_ZERO_COPY_H

#include "compiler.h"
#include "ring.h"
#include "ring_copy.h"
#include "ring_pool.h"

// Who talks to whom: owners of the pool.
struct ring_parties {
    uint16_t sender;
    uint16_t receiver;
};

// Sends a page that the sender owns and has written. Copies no payload. Statuses of the ring's
// send and of ring_pool_open.
ALWAYS_INLINE enum status ring_send_page(const struct ring_ops *ops, void *ring,
                                         struct ring_pool *pool, struct ring_parties parties,
                                         const struct ring_descriptor *descriptor)
{
    // Passed first: the receiver may free it before this returns.
    enum status status = ring_pool_pass(pool, parties.sender, parties.receiver, descriptor);
    if (UNLIKELY(status != STATUS_OK))
        return status;
    status = ops->send_kind(ring, descriptor, sizeof(*descriptor), RING_DESCRIPTOR);
    if (UNLIKELY(status != STATUS_OK))
        ring_pool_pass(pool, parties.receiver, parties.sender, descriptor);
    return status;
}

// Receives a page: a copy of its descriptor, checked, and where its bytes are. STATUS_EMPTY,
// STATUS_CLOSED; STATUS_CORRUPT for a message of another kind, which is lost; statuses of
// ring_pool_open for a descriptor that does not name a page of this receiver.
ALWAYS_INLINE enum status ring_receive_page(const struct ring_ops *ops, void *ring,
                                            struct ring_pool *pool, unsigned receiver,
                                            struct ring_descriptor *descriptor, void **bytes)
{
    union {
        uint64_t payload[RING_PAYLOAD_MOST / 8];
        struct ring_descriptor descriptor;
    } message;
    enum ring_kind kind;
    size_t length;
    const enum status status = ops->receive_kind(ring, message.payload, &length, &kind);
    if (UNLIKELY(status != STATUS_OK))
        return status;
    if (UNLIKELY(kind != RING_DESCRIPTOR || length != sizeof(message.descriptor)))
        return STATUS_CORRUPT;
    *descriptor = message.descriptor;
    return ring_pool_open(pool, receiver, descriptor, bytes);
}

// Several pages as one message. Statuses as ring_send_page; STATUS_INVALID for a count or a length
// outside of what struct ring_pages says.
enum status ring_send_pages(const struct ring_ops *ops, void *ring, struct ring_pool *pool,
                            struct ring_parties parties, const struct ring_pages *pages);

// `bytes` has room for RING_PAGES_MOST pointers. A message that names one page that is not this
// receiver's is none of it: the others are freed.
enum status ring_receive_pages(const struct ring_ops *ops, void *ring, struct ring_pool *pool,
                               unsigned receiver, struct ring_pages *pages, void **bytes);

// Gives all pages of a received message back; the first status that is not STATUS_OK.
enum status ring_free_pages(struct ring_pool *pool, unsigned receiver,
                            const struct ring_pages *pages);

// Allocates a page, copies up to 4096 bytes into it, sends it: all of it or nothing. `payload` is
// 8-aligned. STATUS_TOO_LARGE, STATUS_NO_MEMORY,
// statuses of the ring's send.
enum status ring_send_with_pool(const struct ring_ops *ops, void *ring, struct ring_pool *pool,
                                struct ring_parties parties, const void *payload, size_t length);

#endif
