// SPDX-License-Identifier: MIT
// One message, as all bodies of the ipc suite send and receive it. It lies ready but for its last
// word, which changes each time and which the sum of what was received must show: a lost, doubled
// or stale message is noticed, and composing it costs next to nothing. Where the queue has room for
// it to be built in, all of its words are written there and the last is read there.
//
// Messages have room for eight words, of which seven are payload: other people's queues move all
// eight.
#ifndef IPC_MESSAGE_H
#define IPC_MESSAGE_H

#include "body.h"
#include "compiler.h"
#include "ring.h"

#define MESSAGE_WORDS 8u

// The message of `length` bytes that ends with `word`; `length` is a constant, a multiple of 8.
ALWAYS_INLINE enum status send_message(const struct ring_ops *ops, void *ring, uint64_t *from,
                                       size_t length, uint64_t word)
{
    const size_t last = length == 0 ? 0 : length / 8 - 1;
    if (ops->reserve == NULL) {
        from[last] = word;
        BODY_HIDE(from);
        return ops->send(ring, from, length);
    }
    void *place = NULL;
    const enum status status = ops->reserve(ring, &place);
    if (UNLIKELY(status != STATUS_OK))
        return status;
    uint64_t *const to = place;
    if (last > 0)
        to[0] = 0;
    if (last > 1)
        to[1] = 0;
    if (last > 2)
        to[2] = 0;
    if (last > 3)
        to[3] = 0;
    if (last > 4)
        to[4] = 0;
    if (last > 5)
        to[5] = 0;
    to[last] = word;
    return ops->commit(ring, place, length);
}

// Its last word; of an empty one the length that came.
ALWAYS_INLINE enum status receive_message(const struct ring_ops *ops, void *ring, uint64_t *to,
                                          size_t length, uint64_t *word)
{
    const size_t last = length == 0 ? 0 : length / 8 - 1;
    size_t received = 0;
    if (ops->reserve == NULL) {
        const enum status status = ops->receive(ring, to, &received);
        BODY_HIDE(to);
        *word = length == 0 ? received : to[last];
        return status;
    }
    const void *place = NULL;
    const enum status status = ops->peek(ring, &place, &received);
    if (UNLIKELY(status != STATUS_OK))
        return status;
    *word = ((const uint64_t *)place)[last];
    ops->release(ring, place);
    return STATUS_OK;
}

#endif
