// SPDX-License-Identifier: MIT
// Fusion ring: one producer, one consumer, messages of 0 to 56 bytes and descriptors.
//
// A slot is one cache line (ring_fusion_slot.h). Its control word carries the sequence of the
// message, so that the line that brings the news also brings the message, and the consumer never
// reads the producer's line. The producer lives on credit: it reads the consumer's line only when
// it has sent as many messages as that line had promised room for.
//
// Who may call what, at the same time:
//   producer          send, send_kind, send_batch, reserve, commit, abandon
//   consumer          receive, receive_kind, receive_batch, peek, release
//   anybody           free_slots, statistics: a moment's view, exact while nobody else is active;
//                     close
//   nobody active     init, check
// A role may pass to another thread if the hand-over itself synchronises the two.
//
// Domains that do not trust each other map the object's first page each for itself (init in one,
// attach in the other), the second page and the slots for the consumer to read only, the third for
// the producer to read only; closing, which writes to both, is then their owner's. Whatever one of
// them writes, the other reaches no memory but its slots and its caller's buffers: it indexes with
// its own mask, reads a control word once, and checks the other's position before it believes it.
#ifndef RING_FUSION_SPSC_H
#define RING_FUSION_SPSC_H

#include "assert.h"
#include "ring.h"
#include "ring_copy.h"
#include "ring_fusion_slot.h"
#include "ring_sides.h"
#include "ring_trace.h"

// Each side's page, whose fields begin at different places: equal offsets of two pages look like
// one address to a processor that compares the low bits first, and share a set of its cache.
struct ring_fusion_spsc {
    // Constant after init.
    struct ring_fusion_slot *slots;
    uint64_t mask;
    uint64_t start; // what both positions began with

    uint8_t producer_page[4 * CACHE_LINE] __attribute__((aligned(PAGE_SIZE)));
    struct ring_producer producer CACHE_ALIGNED;
    struct ring_closing producer_closing; // written once

    uint8_t consumer_page[8 * CACHE_LINE] __attribute__((aligned(PAGE_SIZE)));
    struct ring_consumer consumer CACHE_ALIGNED;
    struct ring_closing consumer_closing; // written once
};

enum status ring_fusion_spsc_init(void *object, void *memory, size_t slots);

// As init, with the positions beginning at `position` instead of 0: for tests of their wrap.
enum status ring_fusion_spsc_init_at(void *object, void *memory, size_t slots, uint64_t position);

// The first page of an object whose other pages and slots are those of one that was made by init.
enum status ring_fusion_spsc_attach(void *object, void *memory, size_t slots);

enum status ring_fusion_spsc_send_batch(void *object, const struct ring_message *messages,
                                        size_t count, size_t *sent);
enum status ring_fusion_spsc_receive_batch(void *object, struct ring_message *messages,
                                           size_t count, size_t *received);
void ring_fusion_spsc_close(void *object);
size_t ring_fusion_spsc_free_slots(const void *object);
void ring_fusion_spsc_statistics(const void *object, struct ring_statistics *statistics);
bool ring_fusion_spsc_check(const void *object);

// The slow half of send: the credit is used up. Reads how far the consumer is; counts a refusal.
enum status ring_fusion_spsc_renew(struct ring_fusion_spsc *ring);

// The slow half of receive: there is no sound inline message. Takes one of another kind.
enum status ring_fusion_spsc_receive_other(struct ring_fusion_spsc *ring, void *payload,
                                           size_t *length, enum ring_kind *kind);

// The same for who does not ask for the kind. The callee gets a variable of its own, so that the
// caller's `length` can stay in a register.
ALWAYS_INLINE enum status ring_fusion_spsc_receive_any(struct ring_fusion_spsc *ring, void *payload,
                                                       size_t *length)
{
    enum ring_kind kind;
    size_t other = 0;
    const enum status status = ring_fusion_spsc_receive_other(ring, payload, &other, &kind);
    if (status == STATUS_OK)
        *length = other;
    return status;
}

// The slow half of peek: there was no sound inline message.
enum status ring_fusion_spsc_peek_other(struct ring_fusion_spsc *ring,
                                        const struct ring_fusion_slot **slot, size_t *length);

// FAST: expected 26 instructions for 56 bytes.
ALWAYS_INLINE enum status ring_fusion_spsc_send_untraced(void *object, const void *payload,
                                                         size_t length, enum ring_kind kind)
{
    struct ring_fusion_spsc *ring = object;
    assert_slow(ring_is_aligned(payload, sizeof(ring_word)));
    if (UNLIKELY(length > RING_PAYLOAD_MOST))
        return STATUS_TOO_LARGE;
    if (UNLIKELY((unsigned)kind >= RING_VOID))
        return STATUS_INVALID;
    const uint64_t position = ring->producer.position;
    if (UNLIKELY(position == ring->producer.limit)) {
        const enum status status = ring_fusion_spsc_renew(ring);
        if (status != STATUS_OK)
            return status;
    }
    struct ring_fusion_slot *slot = &ring->slots[position & ring->mask];
    // Before the message is visible, so that whoever has seen the message also sees it counted.
    __atomic_store_n(&ring->producer.position, position + 1, __ATOMIC_RELAXED);
    ring_copy_in(slot->payload, payload, length);
    // Release, for the consumer that acquires this word: the payload and the position above are
    // written before it.
    __atomic_store_n(&slot->control, ring_fusion_control_of_kind(position, length, kind),
                     __ATOMIC_RELEASE);
    return STATUS_OK;
}

ALWAYS_INLINE enum status ring_fusion_spsc_send_kind(void *object, const void *payload,
                                                     size_t length, enum ring_kind kind)
{
    ring_trace_send(((struct ring_fusion_spsc *)object)->producer.position);
    const enum status status = ring_fusion_spsc_send_untraced(object, payload, length, kind);
    ring_trace_sent(status, 1);
    return status;
}

ALWAYS_INLINE enum status ring_fusion_spsc_send(void *object, const void *payload, size_t length)
{
    return ring_fusion_spsc_send_kind(object, payload, length, RING_INLINE);
}

// FAST: expected 28 instructions.
ALWAYS_INLINE enum status ring_fusion_spsc_receive_untraced(void *object, void *payload,
                                                            size_t *length)
{
    struct ring_fusion_spsc *ring = object;
    assert_slow(ring_is_aligned(payload, sizeof(ring_word)));
    const uint64_t position = ring->consumer.position;
    const struct ring_fusion_slot *slot = &ring->slots[position & ring->mask];
    // Acquire, with the producer's release of this word or of the first word of its batch: the
    // payload is read after it.
    const uint64_t control = __atomic_load_n(&slot->control, __ATOMIC_ACQUIRE);
    const uint64_t past_empty = ring_fusion_past_empty(control, position);
    if (UNLIKELY(past_empty > RING_PAYLOAD_MOST))
        return ring_fusion_spsc_receive_any(ring, payload, length);
    ring_copy_whole(payload, slot->payload);
    *length = past_empty;
    // Release, for the producer that renews its credit: the slot is read before it is free.
    __atomic_store_n(&ring->consumer.position, position + 1, __ATOMIC_RELEASE);
    return STATUS_OK;
}

ALWAYS_INLINE enum status ring_fusion_spsc_receive(void *object, void *payload, size_t *length)
{
    ring_trace_receive(((struct ring_fusion_spsc *)object)->consumer.position);
    const enum status status = ring_fusion_spsc_receive_untraced(object, payload, length);
    ring_trace_received(status, 1);
    return status;
}

// FAST: expected 36 instructions.
ALWAYS_INLINE enum status ring_fusion_spsc_receive_kind_untraced(void *object, void *payload,
                                                                 size_t *length,
                                                                 enum ring_kind *kind)
{
    struct ring_fusion_spsc *ring = object;
    assert_slow(ring_is_aligned(payload, sizeof(ring_word)));
    const uint64_t position = ring->consumer.position;
    const struct ring_fusion_slot *slot = &ring->slots[position & ring->mask];
    // Acquire and release: as in receive.
    const uint64_t control = __atomic_load_n(&slot->control, __ATOMIC_ACQUIRE);
    if (UNLIKELY(!ring_fusion_is_sent(control, position) || !ring_fusion_is_sound(control)))
        return ring_fusion_spsc_receive_other(ring, payload, length, kind);
    ring_copy_whole(payload, slot->payload);
    *length = ring_fusion_length(control);
    *kind = (enum ring_kind)ring_fusion_kind(control);
    __atomic_store_n(&ring->consumer.position, position + 1, __ATOMIC_RELEASE);
    return STATUS_OK;
}

ALWAYS_INLINE enum status ring_fusion_spsc_receive_kind(void *object, void *payload, size_t *length,
                                                        enum ring_kind *kind)
{
    ring_trace_receive(((struct ring_fusion_spsc *)object)->consumer.position);
    const enum status status =
        ring_fusion_spsc_receive_kind_untraced(object, payload, length, kind);
    ring_trace_received(status, 1);
    return status;
}

// ---- in place -----------------------------------------------------------------------------------

// FAST: expected 6 instructions.
ALWAYS_INLINE enum status ring_fusion_spsc_reserve(void *object, void **payload)
{
    struct ring_fusion_spsc *ring = object;
    const uint64_t position = ring->producer.position;
    if (UNLIKELY(position == ring->producer.limit)) {
        const enum status status = ring_fusion_spsc_renew(ring);
        if (status != STATUS_OK)
            return status;
    }
    *payload = ring->slots[position & ring->mask].payload;
    return STATUS_OK;
}

// FAST: expected 7 instructions.
ALWAYS_INLINE enum status ring_fusion_spsc_commit(void *object, void *payload, size_t length)
{
    struct ring_fusion_spsc *ring = object;
    const uint64_t position = ring->producer.position;
    if (UNLIKELY(length > RING_PAYLOAD_MOST))
        return STATUS_TOO_LARGE;
    assert_slow(ring_fusion_is_place(ring->slots, ring->mask, payload));
    ring_trace_send(position);
    uint64_t *control = (uint64_t *)payload - 1;
    // Order: as in send.
    __atomic_store_n(&ring->producer.position, position + 1, __ATOMIC_RELAXED);
    __atomic_store_n(control, ring_fusion_control(position, length), __ATOMIC_RELEASE);
    ring_trace_sent(STATUS_OK, 1);
    return STATUS_OK;
}

// Forgets a reservation: nothing to do, as what is not committed was never there.
ALWAYS_INLINE void ring_fusion_spsc_abandon(void *object, void *payload)
{
    const struct ring_fusion_spsc *ring = object;
    assert_slow(ring_fusion_is_place(ring->slots, ring->mask, payload));
    (void)ring;
    (void)payload;
}

// FAST: expected 10 instructions.
ALWAYS_INLINE enum status ring_fusion_spsc_peek(void *object, const void **payload, size_t *length)
{
    struct ring_fusion_spsc *ring = object;
    const uint64_t position = ring->consumer.position;
    const struct ring_fusion_slot *slot = &ring->slots[position & ring->mask];
    // Acquire: as in receive.
    const uint64_t control = __atomic_load_n(&slot->control, __ATOMIC_ACQUIRE);
    uint64_t past_empty = ring_fusion_past_empty(control, position);
    if (UNLIKELY(past_empty > RING_PAYLOAD_MOST)) {
        // Variables of their own, so that the others can stay in registers.
        const struct ring_fusion_slot *found = NULL;
        size_t bytes = 0;
        const enum status status = ring_fusion_spsc_peek_other(ring, &found, &bytes);
        if (status != STATUS_OK)
            return status;
        slot = found;
        past_empty = bytes;
    }
    *payload = slot->payload;
    *length = past_empty;
    return STATUS_OK;
}

// FAST: expected 1 instruction.
ALWAYS_INLINE void ring_fusion_spsc_release(void *object, const void *payload)
{
    struct ring_fusion_spsc *ring = object;
    const uint64_t position = ring->consumer.position;
    assert_slow(ring_fusion_is_place(ring->slots, ring->mask, payload));
    (void)payload;
    ring_trace_receive(position);
    // Release: as in receive.
    __atomic_store_n(&ring->consumer.position, position + 1, __ATOMIC_RELEASE);
    ring_trace_received(STATUS_OK, 1);
}

static const struct ring_ops ring_fusion_spsc_ops = {
    .about =
        {
            .name = "fusion_spsc",
            .what = "fusion ring, one producer and one consumer, a sequence in each slot",
            .role = VARIANT_PRODUCT,
        },
    .state_bytes = sizeof(struct ring_fusion_spsc),
    .slot_bytes = sizeof(struct ring_fusion_slot),
    .init = ring_fusion_spsc_init,
    .send = ring_fusion_spsc_send,
    .receive = ring_fusion_spsc_receive,
    .send_batch = ring_fusion_spsc_send_batch,
    .receive_batch = ring_fusion_spsc_receive_batch,
    .free_slots = ring_fusion_spsc_free_slots,
    .statistics = ring_fusion_spsc_statistics,
    .check = ring_fusion_spsc_check,
    .send_kind = ring_fusion_spsc_send_kind,
    .receive_kind = ring_fusion_spsc_receive_kind,
    .close = ring_fusion_spsc_close,
};

#endif
