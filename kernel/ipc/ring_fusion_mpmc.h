// SPDX-License-Identifier: MIT
// Fusion ring, many producers and many consumers: a sequence in each slot, one compare-and-swap a
// side.
//
// A producer claims a position, writes its slot, and publishes it by the slot's control word. A
// consumer reads the slot of the position that is next and then claims it: its reading is over when
// the claim succeeds, so that the slot is free at once and no consumer ever writes a slot. If the
// claim fails, another consumer had the message, what was read is thrown away, and the position is
// a new one. Hence payloads move by relaxed atomic words: a slow consumer may read what the next
// lap's producer writes, and never believes it.
//
// Producers live on credit as the producer of ring_fusion_spsc.h does, on one that they share.
//
// Who may call what, at the same time:
//   anybody           send, send_kind, send_batch, receive, receive_kind, receive_batch, close;
//                     free_slots, statistics: a moment's view, exact while nobody is in a call
//   anybody, but      reserve, commit, abandon, peek, release (ring_fusion_mpmc_in_place.h): while
//                     one consumer at a time is in any call, or between peek and release
//   owner             hole, void: see there
//   nobody active     init, check
//
// Progress: a call is repeated only when a call of another CPU has succeeded meanwhile, a bounded
// number of times, after which it says full or empty; it never waits. Messages are received in the
// order of their claims. So a producer that is preempted between claim and publication holds back
// what was claimed behind it: receives are STATUS_EMPTY, sends go on until the ring is full, for as
// long as it does not run; callers yield meanwhile. In a kernel, calls with preemption disabled
// bound that by the length of one send. A producer that died there holds the ring back for good:
// its owner closes the hole with void.
#ifndef RING_FUSION_MPMC_H
#define RING_FUSION_MPMC_H

#include "assert.h"
#include "ring.h"
#include "ring_copy.h"
#include "ring_fusion_slot.h"
#include "ring_sides.h"
#include "ring_trace.h"

// How often a call loses its position to another one's before it gives up.
#define RING_FUSION_MPMC_TURNS 65536u

// Pages and offsets as in ring_fusion_spsc.h.
struct ring_fusion_mpmc {
    // Constant after init.
    struct ring_fusion_slot *slots;
    uint64_t mask;
    uint64_t start; // what both positions began with

    uint8_t producer_page[4 * CACHE_LINE] __attribute__((aligned(PAGE_SIZE)));
    struct ring_producer producer CACHE_ALIGNED; // any producer's, by atomic operations
    struct ring_closing producer_closing;        // written once

    uint8_t consumer_page[8 * CACHE_LINE] __attribute__((aligned(PAGE_SIZE)));
    struct ring_consumer consumer CACHE_ALIGNED; // any consumer's
    struct ring_closing consumer_closing;        // written once
};

enum status ring_fusion_mpmc_init(void *object, void *memory, size_t slots);

// As init, with the positions beginning at `position` instead of 0: for tests of their wrap.
enum status ring_fusion_mpmc_init_at(void *object, void *memory, size_t slots, uint64_t position);

// The first page of an object whose other pages and slots are those of one that was made by init.
enum status ring_fusion_mpmc_attach(void *object, void *memory, size_t slots);

enum status ring_fusion_mpmc_send_batch(void *object, const struct ring_message *messages,
                                        size_t count, size_t *sent);
enum status ring_fusion_mpmc_receive_batch(void *object, struct ring_message *messages,
                                           size_t count, size_t *received);
void ring_fusion_mpmc_close(void *object);
size_t ring_fusion_mpmc_free_slots(const void *object);
void ring_fusion_mpmc_statistics(const void *object, struct ring_statistics *statistics);
bool ring_fusion_mpmc_check(const void *object);

// ---- Death of a producer between its claim and its publication, the hole that it leaves. Nothing
// in the ring tells it from a live producer's, which is closed soon: time does. The owner
//   1. knows that a producer is dead: it cannot run any more, and what it wrote is seen
//   2. finds a hole, and remembers its position
//   3. waits until each live producer was between two calls since: each has beaten its seat once
//      more, or has left it (ring_seats_watch). A producer that holds a reservation is in a call
//   4. voids that position. If it is still a hole, no live producer claimed it
// Again from 2: a batch, or several dead, leave several. What a dead producer had written of its
// batch behind the first message may arrive, each message whole.

// Whether the next message is claimed but not published, and its position. Any thread.
bool ring_fusion_mpmc_hole(const void *object, uint64_t *position);

// The hole at `position` becomes a message of the kind RING_VOID, which receives pass over; it
// counts as sent and received. The owner's, as said above. False: it is no hole any more.
bool ring_fusion_mpmc_void(void *object, uint64_t position);

// The slow half of send, of a message that is small enough: no credit was left, or another producer
// was quicker.
enum status ring_fusion_mpmc_send_slowly(struct ring_fusion_mpmc *ring, const void *payload,
                                         size_t length, enum ring_kind kind);

// The slow half of reserve: claims a position.
enum status ring_fusion_mpmc_claim_slowly(struct ring_fusion_mpmc *ring, uint64_t *position);

// The slow half of peek: there was no sound inline message.
enum status ring_fusion_mpmc_peek_slowly(struct ring_fusion_mpmc *ring,
                                         const struct ring_fusion_slot **slot, size_t *length);

// The slow half of receive: there was no sound inline message, or another consumer was quicker.
enum status ring_fusion_mpmc_receive_slowly(struct ring_fusion_mpmc *ring, void *payload,
                                            size_t *length);

// 56 bytes into a slot that consumers of the lap before may still be reading.
ALWAYS_INLINE void ring_fusion_mpmc_write(struct ring_fusion_slot *slot, const void *payload,
                                          size_t words)
{
    const ring_word *from = payload;
    if (words > 0)
        __atomic_store_n(&slot->payload[0], from[0], __ATOMIC_RELAXED);
    if (words > 1)
        __atomic_store_n(&slot->payload[1], from[1], __ATOMIC_RELAXED);
    if (words > 2)
        __atomic_store_n(&slot->payload[2], from[2], __ATOMIC_RELAXED);
    if (words > 3)
        __atomic_store_n(&slot->payload[3], from[3], __ATOMIC_RELAXED);
    if (words > 4)
        __atomic_store_n(&slot->payload[4], from[4], __ATOMIC_RELAXED);
    if (words > 5)
        __atomic_store_n(&slot->payload[5], from[5], __ATOMIC_RELAXED);
    if (words > 6)
        __atomic_store_n(&slot->payload[6], from[6], __ATOMIC_RELAXED);
}

// A payload of `length` <= 56 bytes; reads no byte past it. One whose length the compiler does not
// know goes through a copy of whole words.
ALWAYS_INLINE void ring_fusion_mpmc_write_any(struct ring_fusion_slot *slot, const void *payload,
                                              size_t length)
{
    uint64_t whole[RING_PAYLOAD_MOST / 8] = {0};
    if (LIKELY(length == RING_PAYLOAD_MOST)) {
        ring_fusion_mpmc_write(slot, payload, RING_PAYLOAD_MOST / 8);
    } else {
        ring_copy_in(whole, payload, length);
        ring_fusion_mpmc_write(
            slot, whole, __builtin_constant_p(length) ? (length + 7) / 8 : RING_PAYLOAD_MOST / 8);
    }
}

// 56 bytes out of a slot that may meanwhile be written again.
ALWAYS_INLINE void ring_fusion_mpmc_read(void *payload, const struct ring_fusion_slot *slot)
{
    ring_word *to = payload;
    to[0] = __atomic_load_n(&slot->payload[0], __ATOMIC_RELAXED);
    to[1] = __atomic_load_n(&slot->payload[1], __ATOMIC_RELAXED);
    to[2] = __atomic_load_n(&slot->payload[2], __ATOMIC_RELAXED);
    to[3] = __atomic_load_n(&slot->payload[3], __ATOMIC_RELAXED);
    to[4] = __atomic_load_n(&slot->payload[4], __ATOMIC_RELAXED);
    to[5] = __atomic_load_n(&slot->payload[5], __ATOMIC_RELAXED);
    to[6] = __atomic_load_n(&slot->payload[6], __ATOMIC_RELAXED);
}

// How many messages may be claimed from `position` on; 0 or less: none that this credit covers.
// Two renewals may cross and leave the older limit: the difference is then negative.
ALWAYS_INLINE int64_t ring_fusion_mpmc_credit(const struct ring_fusion_mpmc *ring,
                                              uint64_t position)
{
    // Acquire, with the release of the producer that renewed it: what consumers read below the
    // limit was read before it is written again.
    return (int64_t)(__atomic_load_n(&ring->producer.limit, __ATOMIC_ACQUIRE) - position);
}

// Whose turn it is; the credit orders the slot's reuse, the control word what is in it. Release,
// for who finds a hole there: it sees what the producer did before, its last beat (ring_seats.h)
// too.
ALWAYS_INLINE bool ring_fusion_mpmc_claim(struct ring_fusion_mpmc *ring, uint64_t *position,
                                          uint64_t count)
{
    return __atomic_compare_exchange_n(&ring->producer.position, position, *position + count, false,
                                       __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

// Release, for the producer that renews the credit: the slots were read before they are free. And
// for the next consumer, which acquires the position: what this one knows of a batch (send_batch).
ALWAYS_INLINE bool ring_fusion_mpmc_take(struct ring_fusion_mpmc *ring, uint64_t *position,
                                         uint64_t count)
{
    return __atomic_compare_exchange_n(&ring->consumer.position, position, *position + count, false,
                                       __ATOMIC_RELEASE, __ATOMIC_ACQUIRE);
}

// Writes and publishes the message of a claimed position.
ALWAYS_INLINE void ring_fusion_mpmc_publish(struct ring_fusion_mpmc *ring, uint64_t position,
                                            const void *payload, size_t length, enum ring_kind kind)
{
    struct ring_fusion_slot *slot = &ring->slots[position & ring->mask];
    ring_fusion_mpmc_write_any(slot, payload, length);
    // Release, for the consumer that acquires this word: payload and claim are before it.
    __atomic_store_n(&slot->control, ring_fusion_control_of_kind(position, length, kind),
                     __ATOMIC_RELEASE);
}

// FAST: expected 33 instructions for 56 bytes, one of them locked.
ALWAYS_INLINE enum status ring_fusion_mpmc_send_untraced(void *object, const void *payload,
                                                         size_t length, enum ring_kind kind)
{
    struct ring_fusion_mpmc *ring = object;
    assert_slow(ring_is_aligned(payload, sizeof(ring_word)));
    if (UNLIKELY(length > RING_PAYLOAD_MOST))
        return STATUS_TOO_LARGE;
    if (UNLIKELY((unsigned)kind >= RING_VOID))
        return STATUS_INVALID;
    uint64_t position = __atomic_load_n(&ring->producer.position, __ATOMIC_RELAXED);
    if (UNLIKELY(ring_fusion_mpmc_credit(ring, position) <= 0) ||
        UNLIKELY(!ring_fusion_mpmc_claim(ring, &position, 1)))
        return ring_fusion_mpmc_send_slowly(ring, payload, length, kind);
    ring_trace_took_to_send(position);
    ring_fusion_mpmc_publish(ring, position, payload, length, kind);
    return STATUS_OK;
}

ALWAYS_INLINE enum status ring_fusion_mpmc_send_kind(void *object, const void *payload,
                                                     size_t length, enum ring_kind kind)
{
    ring_trace_send(((struct ring_fusion_mpmc *)object)->producer.position);
    const enum status status = ring_fusion_mpmc_send_untraced(object, payload, length, kind);
    ring_trace_sent(status, 1);
    return status;
}

ALWAYS_INLINE enum status ring_fusion_mpmc_send(void *object, const void *payload, size_t length)
{
    return ring_fusion_mpmc_send_kind(object, payload, length, RING_INLINE);
}

// FAST: expected 30 instructions, one of them locked.
ALWAYS_INLINE enum status ring_fusion_mpmc_receive_untraced(void *object, void *payload,
                                                            size_t *length)
{
    struct ring_fusion_mpmc *ring = object;
    assert_slow(ring_is_aligned(payload, sizeof(ring_word)));
    // Acquire, with take: what the consumer of the message before knew of its batch.
    uint64_t position = __atomic_load_n(&ring->consumer.position, __ATOMIC_ACQUIRE);
    const struct ring_fusion_slot *slot = &ring->slots[position & ring->mask];
    // Acquire, with the release of send or of the first message of a batch: the payload is read
    // after it.
    const uint64_t control = __atomic_load_n(&slot->control, __ATOMIC_ACQUIRE);
    const uint64_t past_empty = ring_fusion_past_empty(control, position);
    if (LIKELY(past_empty <= RING_PAYLOAD_MOST)) {
        ring_fusion_mpmc_read(payload, slot);
        if (LIKELY(ring_fusion_mpmc_take(ring, &position, 1))) {
            ring_trace_took_to_receive(position);
            *length = past_empty;
            return STATUS_OK;
        }
    }
    // A variable of its own, so that the caller's `length` can stay in a register.
    size_t other = 0;
    const enum status status = ring_fusion_mpmc_receive_slowly(ring, payload, &other);
    if (status == STATUS_OK)
        *length = other;
    return status;
}

ALWAYS_INLINE enum status ring_fusion_mpmc_receive(void *object, void *payload, size_t *length)
{
    ring_trace_receive(((struct ring_fusion_mpmc *)object)->consumer.position);
    const enum status status = ring_fusion_mpmc_receive_untraced(object, payload, length);
    ring_trace_received(status, 1);
    return status;
}

enum status ring_fusion_mpmc_receive_kind(void *object, void *payload, size_t *length,
                                          enum ring_kind *kind);

static const struct ring_ops ring_fusion_mpmc_ops = {
    .about =
        {
            .name = "fusion_mpmc",
            .what = "fusion ring, many producers and consumers, a sequence in each slot",
            .role = VARIANT_PRODUCT,
        },
    .state_bytes = sizeof(struct ring_fusion_mpmc),
    .slot_bytes = sizeof(struct ring_fusion_slot),
    .several = true,
    .init = ring_fusion_mpmc_init,
    .send = ring_fusion_mpmc_send,
    .receive = ring_fusion_mpmc_receive,
    .send_batch = ring_fusion_mpmc_send_batch,
    .receive_batch = ring_fusion_mpmc_receive_batch,
    .free_slots = ring_fusion_mpmc_free_slots,
    .statistics = ring_fusion_mpmc_statistics,
    .check = ring_fusion_mpmc_check,
    .send_kind = ring_fusion_mpmc_send_kind,
    .receive_kind = ring_fusion_mpmc_receive_kind,
    .close = ring_fusion_mpmc_close,
};

#endif
