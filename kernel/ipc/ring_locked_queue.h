// SPDX-License-Identifier: MIT
// The baseline: a double-ended queue of 64-byte messages behind a spinlock. Messages go in at the
// back and out at the front, copied both times while the lock is held.
//
// Any number of producers and consumers. The holder must not be interrupted by code that uses the
// same queue (spinlock.h).
#ifndef RING_LOCKED_QUEUE_H
#define RING_LOCKED_QUEUE_H

#include "assert.h"
#include "ring.h"
#include "ring_copy.h"
#include "ring_trace.h"
#include "spinlock.h"

// All fields fit one line, so that the holder fetches the state together with the lock. Positions
// count messages since the beginning and wrap; back - front are queued.
struct ring_locked_queue {
    struct spinlock lock;
    // The lock protects all below; slots, mask and start do not change after init.
    uint16_t closed;
    uint16_t fences; // of the last batch send, as many of each kind
    struct ring_message *slots;
    uint64_t mask;
    uint64_t start; // what both positions began with
    uint64_t front;
    uint64_t back;
    uint64_t limit; // of `back`: the front as a send last looked at it, plus slots; or it is closed
    uint64_t refused_full;
} CACHE_ALIGNED;

_Static_assert(sizeof(struct ring_locked_queue) == CACHE_LINE, "lock and state on one line");

enum status ring_locked_queue_init(void *object, void *memory, size_t slots);

// As init, with the positions beginning at `position` instead of 0: for tests of their wrap.
enum status ring_locked_queue_init_at(void *object, void *memory, size_t slots, uint64_t position);

enum status ring_locked_queue_send_batch(void *object, const struct ring_message *messages,
                                         size_t count, size_t *sent);
enum status ring_locked_queue_receive_batch(void *object, struct ring_message *messages,
                                            size_t count, size_t *received);
void ring_locked_queue_close(void *object);
size_t ring_locked_queue_free_slots(const void *object);
void ring_locked_queue_statistics(const void *object, struct ring_statistics *statistics);
bool ring_locked_queue_check(const void *object);

// The slow half of send, with the lock held: the limit is reached. Looks at the front; counts a
// refusal.
enum status ring_locked_queue_renew(struct ring_locked_queue *queue);

// The slow half of receive, with the lock held, which it opens: nothing is queued.
enum status ring_locked_queue_nothing(struct ring_locked_queue *queue);

// FAST: expected 29 instructions for 56 bytes, one of them locked.
ALWAYS_INLINE enum status ring_locked_queue_send_untraced(void *object, const void *payload,
                                                          size_t length)
{
    struct ring_locked_queue *queue = object;
    assert_slow(ring_is_aligned(payload, sizeof(ring_word)));
    if (UNLIKELY(length > RING_PAYLOAD_MOST))
        return STATUS_TOO_LARGE;
    spinlock_acquire(&queue->lock);
    const uint64_t back = queue->back;
    if (UNLIKELY(back == queue->limit)) {
        const enum status status = ring_locked_queue_renew(queue);
        if (status != STATUS_OK) {
            spinlock_release(&queue->lock);
            return status;
        }
    }
    struct ring_message *slot = &queue->slots[back & queue->mask];
    queue->back = back + 1;
    ring_trace_took_to_send(back);
    slot->length = length;
    ring_copy_in(slot->payload, payload, length);
    spinlock_release(&queue->lock);
    return STATUS_OK;
}

ALWAYS_INLINE enum status ring_locked_queue_send(void *object, const void *payload, size_t length)
{
    // Outside the lock: a guess.
    ring_trace_send(((struct ring_locked_queue *)object)->back);
    const enum status status = ring_locked_queue_send_untraced(object, payload, length);
    ring_trace_sent(status, 1);
    return status;
}

// FAST: expected 30 instructions, one of them locked.
ALWAYS_INLINE enum status ring_locked_queue_receive_untraced(void *object, void *payload,
                                                             size_t *length)
{
    struct ring_locked_queue *queue = object;
    assert_slow(ring_is_aligned(payload, sizeof(ring_word)));
    spinlock_acquire(&queue->lock);
    const uint64_t front = queue->front;
    if (UNLIKELY(front == queue->back))
        return ring_locked_queue_nothing(queue);
    const struct ring_message *slot = &queue->slots[front & queue->mask];
    queue->front = front + 1;
    ring_trace_took_to_receive(front);
    *length = slot->length;
    ring_copy_whole(payload, slot->payload);
    spinlock_release(&queue->lock);
    return STATUS_OK;
}

ALWAYS_INLINE enum status ring_locked_queue_receive(void *object, void *payload, size_t *length)
{
    ring_trace_receive(((struct ring_locked_queue *)object)->front);
    const enum status status = ring_locked_queue_receive_untraced(object, payload, length);
    ring_trace_received(status, 1);
    return status;
}

static const struct ring_ops ring_locked_queue_ops = {
    .about =
        {
            .name = "locked_queue",
            .what = "double-ended queue of 64-byte messages behind a spinlock",
            .role = VARIANT_BASELINE,
        },
    .state_bytes = sizeof(struct ring_locked_queue),
    .slot_bytes = sizeof(struct ring_message),
    .several = true,
    .init = ring_locked_queue_init,
    .send = ring_locked_queue_send,
    .receive = ring_locked_queue_receive,
    .send_batch = ring_locked_queue_send_batch,
    .receive_batch = ring_locked_queue_receive_batch,
    .free_slots = ring_locked_queue_free_slots,
    .statistics = ring_locked_queue_statistics,
    .check = ring_locked_queue_check,
    .close = ring_locked_queue_close,
};

#endif
