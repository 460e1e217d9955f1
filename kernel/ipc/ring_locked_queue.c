// SPDX-License-Identifier: MIT
#include "ring_locked_queue.h"

enum status ring_locked_queue_init_at(void *object, void *memory, size_t slots, uint64_t position)
{
    struct ring_locked_queue *queue = object;
    if (!ring_may_begin(queue, memory, slots))
        return STATUS_INVALID;
    *queue = (struct ring_locked_queue){
        .slots = memory,
        .mask = slots - 1,
        .start = position,
        .front = position,
        .back = position,
        .limit = position + slots,
    };
    spinlock_init(&queue->lock);
    return STATUS_OK;
}

enum status ring_locked_queue_init(void *object, void *memory, size_t slots)
{
    return ring_locked_queue_init_at(object, memory, slots, 0);
}

void ring_locked_queue_close(void *object)
{
    struct ring_locked_queue *queue = object;
    spinlock_acquire(&queue->lock);
    queue->closed = true;
    queue->limit = queue->back; // the next send looks
    spinlock_release(&queue->lock);
}

COLD enum status ring_locked_queue_renew(struct ring_locked_queue *queue)
{
    if (queue->closed)
        return STATUS_CLOSED;
    queue->limit = queue->front + queue->mask + 1;
    if (queue->back != queue->limit)
        return STATUS_OK;
    queue->refused_full++;
    return STATUS_FULL;
}

COLD enum status ring_locked_queue_nothing(struct ring_locked_queue *queue)
{
    const enum status status = queue->closed ? STATUS_CLOSED : STATUS_EMPTY;
    spinlock_release(&queue->lock);
    return status;
}

static void copy_message(struct ring_message *to, const struct ring_message *from)
{
    to->length = from->length;
    ring_copy_whole(to->payload, from->payload);
}

ALWAYS_INLINE enum status ring_locked_queue_send_batch_untraced(void *object,
                                                                const struct ring_message *messages,
                                                                size_t count, size_t *sent)
{
    struct ring_locked_queue *queue = object;
    *sent = 0;
    if (count == 0 || count > queue->mask + 1)
        return STATUS_INVALID;
    if (ring_any_too_large(messages, count)) // the messages are the caller's: no lock for that
        return STATUS_TOO_LARGE;
    spinlock_acquire(&queue->lock);
    const uint64_t back = queue->back;
    if (queue->limit - back < count) {
        const enum status status = ring_locked_queue_renew(queue);
        if (status != STATUS_OK) {
            spinlock_release(&queue->lock);
            return status;
        }
    }
    const size_t fitting = min_u64(count, queue->limit - back);
    for (size_t i = 0; i < fitting; i++)
        copy_message(&queue->slots[(back + i) & queue->mask], &messages[i]);
    queue->back = back + fitting;
    ring_trace_took_to_send(back);
    queue->fences = 1; // the lock's exchange above and its releasing store below
    spinlock_release(&queue->lock);
    *sent = fitting;
    return STATUS_OK;
}

enum status ring_locked_queue_send_batch(void *object, const struct ring_message *messages,
                                         size_t count, size_t *sent)
{
    ring_trace_send(((struct ring_locked_queue *)object)->back);
    const enum status status = ring_locked_queue_send_batch_untraced(object, messages, count, sent);
    ring_trace_sent(status, *sent);
    return status;
}

ALWAYS_INLINE enum status ring_locked_queue_receive_batch_untraced(void *object,
                                                                   struct ring_message *messages,
                                                                   size_t count, size_t *received)
{
    struct ring_locked_queue *queue = object;
    spinlock_acquire(&queue->lock);
    const uint64_t front = queue->front;
    const size_t there = min_u64(count, queue->back - front);
    for (size_t i = 0; i < there; i++)
        copy_message(&messages[i], &queue->slots[(front + i) & queue->mask]);
    queue->front = front + there;
    ring_trace_took_to_receive(front);
    const bool over = there < count && queue->closed;
    spinlock_release(&queue->lock);
    *received = there;
    if (LIKELY(there != 0))
        return STATUS_OK;
    return over ? STATUS_CLOSED : STATUS_EMPTY;
}

enum status ring_locked_queue_receive_batch(void *object, struct ring_message *messages,
                                            size_t count, size_t *received)
{
    ring_trace_receive(((struct ring_locked_queue *)object)->front);
    const enum status status =
        ring_locked_queue_receive_batch_untraced(object, messages, count, received);
    ring_trace_received(status, *received);
    return status;
}

// The two readers below take the lock too, which `const` does not let them: the object itself is
// never a constant, only this view of it.
static struct ring_locked_queue *locked(const void *object)
{
    struct ring_locked_queue *queue = (struct ring_locked_queue *)(uintptr_t)object;
    spinlock_acquire(&queue->lock);
    return queue;
}

size_t ring_locked_queue_free_slots(const void *object)
{
    struct ring_locked_queue *queue = locked(object);
    const size_t free_slots = queue->mask + 1 - (queue->back - queue->front);
    spinlock_release(&queue->lock);
    return free_slots;
}

void ring_locked_queue_statistics(const void *object, struct ring_statistics *statistics)
{
    struct ring_locked_queue *queue = locked(object);
    *statistics = (struct ring_statistics){
        .sent = queue->back - queue->start,
        .received = queue->front - queue->start,
        .refused_full = queue->refused_full,
        .fences = queue->fences,
        .acquires = queue->fences,
    };
    spinlock_release(&queue->lock);
}

bool ring_locked_queue_check(const void *object)
{
    const struct ring_locked_queue *queue = object;
    if (queue->lock.held != 0 || !ring_slots_valid(queue->mask + 1))
        return false;
    const uint64_t queued = queue->back - queue->front;
    // Both positions only grow from `start`, and no message is received before it is sent.
    if (queued > queue->mask + 1 || queue->front - queue->start > queue->back - queue->start)
        return false;
    if (queue->limit - queue->back > queue->mask + 1 - queued)
        return false;
    for (uint64_t i = 0; i < queued; i++) {
        if (queue->slots[(queue->front + i) & queue->mask].length > RING_PAYLOAD_MOST)
            return false;
    }
    return true;
}
