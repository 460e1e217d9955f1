// SPDX-License-Identifier: MIT
#include "ring_fusion_spsc.h"

static struct ring_fusion_slot *slot_of(const struct ring_fusion_spsc *ring, uint64_t position)
{
    return &ring->slots[position & ring->mask];
}

// What a free slot holds until the message of `position` is sent: the sequence of the lap before.
static uint64_t control_of_lap_before(const struct ring_fusion_spsc *ring, uint64_t position)
{
    return ring_fusion_control(position - (ring->mask + 1), 0);
}

enum status ring_fusion_spsc_attach(void *object, void *memory, size_t slots)
{
    struct ring_fusion_spsc *ring = object;
    if (!ring_may_begin(ring, memory, slots))
        return STATUS_INVALID;
    ring->slots = memory;
    ring->mask = slots - 1;
    ring->start = 0;
    return STATUS_OK;
}

enum status ring_fusion_spsc_init_at(void *object, void *memory, size_t slots, uint64_t position)
{
    struct ring_fusion_spsc *ring = object;
    if (ring_fusion_spsc_attach(object, memory, slots) != STATUS_OK)
        return STATUS_INVALID;
    ring->start = position;
    ring_open_sides(&ring->producer, &ring->consumer, &ring->producer_closing,
                    &ring->consumer_closing, position, slots);
    for (uint64_t i = 0; i < slots; i++)
        slot_of(ring, position + i)->control = control_of_lap_before(ring, position + i);
    return STATUS_OK;
}

enum status ring_fusion_spsc_init(void *object, void *memory, size_t slots)
{
    return ring_fusion_spsc_init_at(object, memory, slots, 0);
}

void ring_fusion_spsc_close(void *object)
{
    struct ring_fusion_spsc *ring = object;
    ring_close_sides(&ring->producer_closing, &ring->consumer_closing);
}

static bool is_closed(const struct ring_fusion_spsc *ring)
{
    return ring_is_closed(&ring->producer_closing, &ring->consumer_closing);
}

// STATUS_OK does not say that there is room now.
static enum status renew_credit(struct ring_fusion_spsc *ring)
{
    return ring_renew_credit(&ring->producer, &ring->consumer, &ring->producer_closing,
                             &ring->consumer_closing, ring->mask + 1);
}

COLD enum status ring_fusion_spsc_renew(struct ring_fusion_spsc *ring)
{
    const enum status status = renew_credit(ring);
    if (status != STATUS_OK || LIKELY(ring->producer.position != ring->producer.limit))
        return status;
    ring_count_refusal(&ring->producer);
    return STATUS_FULL;
}

// The control word at the consumer's position once it is sent; else STATUS_EMPTY, STATUS_CLOSED.
static enum status find_sent(const struct ring_fusion_spsc *ring, uint64_t *control)
{
    const uint64_t position = ring->consumer.position;
    const struct ring_fusion_slot *slot = slot_of(ring, position);
    // Acquire: as in receive.
    *control = __atomic_load_n(&slot->control, __ATOMIC_ACQUIRE);
    if (ring_fusion_is_sent(*control, position))
        return STATUS_OK;
    if (!is_closed(ring))
        return STATUS_EMPTY;
    // Again: what was sent before the ring was closed is received.
    *control = __atomic_load_n(&slot->control, __ATOMIC_ACQUIRE);
    return ring_fusion_is_sent(*control, position) ? STATUS_OK : STATUS_CLOSED;
}

// Release: as in receive.
static void take_one(struct ring_fusion_spsc *ring)
{
    __atomic_store_n(&ring->consumer.position, ring->consumer.position + 1, __ATOMIC_RELEASE);
}

NOINLINE enum status ring_fusion_spsc_receive_other(struct ring_fusion_spsc *ring, void *payload,
                                                    size_t *length, enum ring_kind *kind)
{
    uint64_t control;
    const enum status status = find_sent(ring, &control);
    if (status != STATUS_OK)
        return status;
    const bool sound = ring_fusion_is_sound(control);
    if (sound) {
        ring_copy_whole(payload, slot_of(ring, ring->consumer.position)->payload);
        *length = ring_fusion_length(control);
        *kind = (enum ring_kind)ring_fusion_kind(control);
    }
    take_one(ring);
    return sound ? STATUS_OK : STATUS_CORRUPT;
}

NOINLINE enum status ring_fusion_spsc_peek_other(struct ring_fusion_spsc *ring,
                                                 const struct ring_fusion_slot **slot,
                                                 size_t *length)
{
    uint64_t control;
    const enum status status = find_sent(ring, &control);
    if (status != STATUS_OK)
        return status;
    if (!ring_fusion_is_sound(control)) {
        take_one(ring);
        return STATUS_CORRUPT;
    }
    if (ring_fusion_kind(control) != RING_INLINE)
        return STATUS_INVALID;
    // It came between the two looks.
    *slot = slot_of(ring, ring->consumer.position);
    *length = ring_fusion_length(control);
    return STATUS_OK;
}

// Gives up a batch before its publication: slots 1 to written - 1 of it get the words back that say
// they are free. No consumer has looked at them: see publish().
static COLD enum status withdraw(struct ring_fusion_spsc *ring, uint64_t written, size_t *sent)
{
    const uint64_t first = ring->producer.position;
    for (uint64_t i = 1; i < written; i++)
        __atomic_store_n(&slot_of(ring, first + i)->control, control_of_lap_before(ring, first + i),
                         __ATOMIC_RELAXED);
    *sent = 0;
    return STATUS_TOO_LARGE;
}

// The only way a batch orders anything: counted where it is done.
ALWAYS_INLINE void release_word(uint64_t *word, uint64_t value, uint64_t *releases)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
    ++*releases;
}

// Writes `count` > 0 messages for which there is room and makes them visible with one release
// store. Nothing becomes visible if one of them is too large.
//
// All slots but the first are written completely, their control words with relaxed stores; the
// first one's control word is stored last, with release. Why one release store is enough:
//   1. The consumer takes positions in order. It looks at the slot of one position only, its own,
//      and goes on to the next after it has found its own sent. So while the first slot of the
//      batch is not published, no consumer, wherever it is, reads anything of the others: neither
//      one that is behind the batch nor one that waits at its first slot.
//   2. The consumer that finds the first slot sent has acquired the word stored with release.
//      Everything the producer did before it, which is all payloads and all control words of the
//      batch, happens before all the consumer does after it. So its loads of the other control
//      words find the new sequences at once, and the payloads behind them are complete although
//      those words themselves were stored relaxed.
//   3. A slot's old content was read before: room was granted by an acquire of the consumer's
//      position, which it releases after its reads.
// If the role of the consumer passes to another thread, the hand-over carries 2 on.
ALWAYS_INLINE enum status publish(struct ring_fusion_spsc *ring,
                                  const struct ring_message *messages, size_t count, size_t *sent)
{
    const uint64_t first = ring->producer.position;
    const uint64_t mask = ring->mask;
    struct ring_fusion_slot *slots = ring->slots;
    if (UNLIKELY(messages[0].length > RING_PAYLOAD_MOST))
        return withdraw(ring, 0, sent);
    for (size_t i = 1; i < count; i++) {
        struct ring_fusion_slot *slot = &slots[(first + i) & mask];
        const size_t length = messages[i].length;
        if (UNLIKELY(length > RING_PAYLOAD_MOST))
            return withdraw(ring, i, sent);
        ring_copy_whole(slot->payload, messages[i].payload);
        __atomic_store_n(&slot->control, ring_fusion_control(first + i, length), __ATOMIC_RELAXED);
    }
    struct ring_fusion_slot *slot = &slots[first & mask];
    ring_copy_whole(slot->payload, messages[0].payload);
    __atomic_store_n(&ring->producer.position, first + count, __ATOMIC_RELAXED);
    uint64_t releases = 0;
    release_word(&slot->control, ring_fusion_control(first, messages[0].length), &releases);
    __atomic_store_n(&ring->producer.fences, releases, __ATOMIC_RELAXED);
    *sent = count;
    return STATUS_OK;
}

// The slow half of send_batch: the credit does not cover the batch.
static COLD enum status send_what_fits(struct ring_fusion_spsc *ring,
                                       const struct ring_message *messages, size_t count,
                                       size_t *sent)
{
    *sent = 0;
    if (ring_any_too_large(messages, count))
        return STATUS_TOO_LARGE;
    const enum status status = renew_credit(ring);
    __atomic_store_n(&ring->producer.acquires, RING_RENEWAL_ACQUIRES, __ATOMIC_RELAXED);
    if (status != STATUS_OK)
        return status;
    const uint64_t room = ring->producer.limit - ring->producer.position;
    const size_t fitting = min_u64(count, room);
    if (fitting == 0) {
        ring_count_refusal(&ring->producer);
        return STATUS_FULL;
    }
    return publish(ring, messages, fitting, sent);
}

// FAST: expected 32 instructions a message.
ALWAYS_INLINE enum status ring_fusion_spsc_send_batch_untraced(void *object,
                                                               const struct ring_message *messages,
                                                               size_t count, size_t *sent)
{
    struct ring_fusion_spsc *ring = object;
    if (UNLIKELY(count - 1 > ring->mask)) { // an empty batch too: it wraps
        *sent = 0;
        return STATUS_INVALID;
    }
    if (UNLIKELY(ring->producer.limit - ring->producer.position < count))
        return send_what_fits(ring, messages, count, sent);
    return publish(ring, messages, count, sent);
}

enum status ring_fusion_spsc_send_batch(void *object, const struct ring_message *messages,
                                        size_t count, size_t *sent)
{
    ring_trace_send(((struct ring_fusion_spsc *)object)->producer.position);
    const enum status status = ring_fusion_spsc_send_batch_untraced(object, messages, count, sent);
    ring_trace_sent(status, *sent);
    return status;
}

// A batch that does not begin with an inline message: takes one of another kind, if that is it.
static NOINLINE enum status receive_first(struct ring_fusion_spsc *ring,
                                          struct ring_message *message, size_t *received)
{
    enum ring_kind kind;
    const enum status status =
        ring_fusion_spsc_receive_other(ring, message->payload, &message->length, &kind);
    *received = status == STATUS_OK;
    return status;
}

// FAST: expected 31 instructions a message.
ALWAYS_INLINE enum status ring_fusion_spsc_receive_batch_untraced(void *object,
                                                                  struct ring_message *messages,
                                                                  size_t count, size_t *received)
{
    struct ring_fusion_spsc *ring = object;
    const uint64_t first = ring->consumer.position;
    const uint64_t mask = ring->mask;
    const struct ring_fusion_slot *slots = ring->slots;
    size_t there = 0;
    for (; there < count; there++) {
        const struct ring_fusion_slot *slot = &slots[(first + there) & mask];
        // Acquire: as in receive.
        const uint64_t control = __atomic_load_n(&slot->control, __ATOMIC_ACQUIRE);
        const uint64_t past_empty = ring_fusion_past_empty(control, first + there);
        if (UNLIKELY(past_empty > RING_PAYLOAD_MOST))
            break;
        ring_copy_whole(messages[there].payload, slot->payload);
        messages[there].length = past_empty;
    }
    *received = there;
    if (UNLIKELY(there == 0))
        return count == 0 ? STATUS_EMPTY : receive_first(ring, messages, received);
    // Release: as in receive, for all slots of the batch.
    __atomic_store_n(&ring->consumer.position, first + there, __ATOMIC_RELEASE);
    return STATUS_OK;
}

enum status ring_fusion_spsc_receive_batch(void *object, struct ring_message *messages,
                                           size_t count, size_t *received)
{
    ring_trace_receive(((struct ring_fusion_spsc *)object)->consumer.position);
    const enum status status =
        ring_fusion_spsc_receive_batch_untraced(object, messages, count, received);
    ring_trace_received(status, *received);
    return status;
}

size_t ring_fusion_spsc_free_slots(const void *object)
{
    const struct ring_fusion_spsc *ring = object;
    return ring_sides_free_slots(&ring->producer, &ring->consumer, ring->mask + 1);
}

void ring_fusion_spsc_statistics(const void *object, struct ring_statistics *statistics)
{
    const struct ring_fusion_spsc *ring = object;
    ring_sides_statistics(&ring->producer, &ring->consumer, ring->start, statistics);
}

// The control word of a sent message: everything but length and kind is known.
static bool sent_slot_valid(const struct ring_fusion_spsc *ring, uint64_t position)
{
    const uint64_t control = slot_of(ring, position)->control;
    return ring_fusion_is_sent(control, position) && ring_fusion_is_sound(control);
}

bool ring_fusion_spsc_check(const void *object)
{
    const struct ring_fusion_spsc *ring = object;
    const uint64_t slots = ring->mask + 1;
    const uint64_t received = ring->consumer.position;
    const uint64_t queued = ring->producer.position - received;
    const uint64_t credit = ring->producer.limit - ring->producer.position;
    if (!ring_slots_valid(slots) || queued > slots)
        return false;
    // Both positions only grow from `start`, and no message is received before it is sent.
    if (received - ring->start > ring->producer.position - ring->start)
        return false;
    // The credit is never more than the room, as the consumer only ever adds to it.
    if (credit > slots - queued)
        return false;
    for (uint64_t i = 0; i < slots; i++) {
        const uint64_t position = received + i;
        const uint64_t control = slot_of(ring, position)->control;
        if (i < queued && !sent_slot_valid(ring, position))
            return false;
        if (i >= queued && !ring_fusion_is_sent(control, position - slots))
            return false;
    }
    return true;
}
