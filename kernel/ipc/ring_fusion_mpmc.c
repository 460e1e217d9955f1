// SPDX-License-Identifier: MIT
#include "ring_fusion_mpmc.h"

static struct ring_fusion_slot *slot_of(const struct ring_fusion_mpmc *ring, uint64_t position)
{
    return &ring->slots[position & ring->mask];
}

enum status ring_fusion_mpmc_attach(void *object, void *memory, size_t slots)
{
    struct ring_fusion_mpmc *ring = object;
    if (!ring_may_begin(ring, memory, slots))
        return STATUS_INVALID;
    ring->slots = memory;
    ring->mask = slots - 1;
    ring->start = 0;
    return STATUS_OK;
}

enum status ring_fusion_mpmc_init_at(void *object, void *memory, size_t slots, uint64_t position)
{
    struct ring_fusion_mpmc *ring = object;
    if (ring_fusion_mpmc_attach(object, memory, slots) != STATUS_OK)
        return STATUS_INVALID;
    ring->start = position;
    ring_open_sides(&ring->producer, &ring->consumer, &ring->producer_closing,
                    &ring->consumer_closing, position, slots);
    for (uint64_t i = 0; i < slots; i++)
        slot_of(ring, position + i)->control = ring_fusion_control(position + i - slots, 0);
    return STATUS_OK;
}

enum status ring_fusion_mpmc_init(void *object, void *memory, size_t slots)
{
    return ring_fusion_mpmc_init_at(object, memory, slots, 0);
}

void ring_fusion_mpmc_close(void *object)
{
    struct ring_fusion_mpmc *ring = object;
    ring_close_sides(&ring->producer_closing, &ring->consumer_closing);
}

static bool is_closed(const struct ring_fusion_mpmc *ring)
{
    return ring_is_closed(&ring->producer_closing, &ring->consumer_closing);
}

// Turns of a renewal that finds the ring full, but a message received meanwhile.
#define RENEWALS_MOST 64u

// No credit is left at *position, which may have become an old one: renews both.
static COLD enum status renew(struct ring_fusion_mpmc *ring, uint64_t *position)
{
    const int64_t slots = (int64_t)(ring->mask + 1);
    // Acquire, with the consumers' release of their position: they have read the slots below
    // before a producer writes them again. Before the producers' position, so that this one is not
    // behind it.
    uint64_t received = __atomic_load_n(&ring->consumer.position, __ATOMIC_ACQUIRE);
    for (unsigned turn = 0; turn < RENEWALS_MOST; turn++) {
        // After the look at the consumers: a ring that was closed when they got there gives no
        // credit for that, however many renewals were under way.
        if (is_closed(ring))
            return STATUS_CLOSED;
        *position = __atomic_load_n(&ring->producer.position, __ATOMIC_RELAXED);
        const uint64_t limit = received + (uint64_t)slots;
        const int64_t credit = (int64_t)(limit - *position);
        if (credit > slots)
            return STATUS_CORRUPT;
        if (credit > 0) {
            // Release, for producers that acquire it: what is said above of the slots below.
            __atomic_store_n(&ring->producer.limit, limit, __ATOMIC_RELEASE);
            return STATUS_OK;
        }
        const uint64_t again = __atomic_load_n(&ring->consumer.position, __ATOMIC_ACQUIRE);
        if (again == received)
            break;
        received = again;
    }
    __atomic_fetch_add(&ring->producer.refused_full, 1, __ATOMIC_RELAXED);
    return STATUS_FULL;
}

// The control word of `position` once it is sent; else STATUS_EMPTY, STATUS_CLOSED, or, with a new
// position, STATUS_FULL.
static enum status find_sent(const struct ring_fusion_mpmc *ring, uint64_t *position,
                             uint64_t *control)
{
    for (bool closed = false;; closed = true) {
        // Acquire: as in receive.
        *control = __atomic_load_n(&slot_of(ring, *position)->control, __ATOMIC_ACQUIRE);
        if (ring_fusion_is_sent(*control, *position))
            return STATUS_OK;
        const uint64_t now = __atomic_load_n(&ring->consumer.position, __ATOMIC_ACQUIRE);
        if (now != *position) {
            *position = now;
            return STATUS_FULL;
        }
        // What was claimed before is published yet: the producer's claim is there if its message
        // is.
        if (closed)
            return __atomic_load_n(&ring->producer.position, __ATOMIC_RELAXED) == now
                       ? STATUS_CLOSED
                       : STATUS_EMPTY;
        if (!is_closed(ring))
            return STATUS_EMPTY;
        // Once more: what was sent before the ring was closed is received.
    }
}

// Takes the message of *position. STATUS_FULL: there is another position, try again.
static enum status take_any(struct ring_fusion_mpmc *ring, uint64_t *position, void *payload,
                            size_t *length, enum ring_kind *kind)
{
    uint64_t control;
    const enum status status = find_sent(ring, position, &control);
    if (status != STATUS_OK)
        return status;
    const bool sound = ring_fusion_is_sound(control);
    if (sound)
        ring_fusion_mpmc_read(payload, slot_of(ring, *position));
    if (!ring_fusion_mpmc_take(ring, position, 1))
        return STATUS_FULL;
    if (ring_fusion_kind(control) == RING_VOID) {
        ++*position;
        return STATUS_FULL;
    }
    ring_trace_took_to_receive(*position);
    if (!sound)
        return STATUS_CORRUPT;
    *length = ring_fusion_length(control);
    *kind = (enum ring_kind)ring_fusion_kind(control);
    return STATUS_OK;
}

static enum status receive_any(struct ring_fusion_mpmc *ring, void *payload, size_t *length,
                               enum ring_kind *kind)
{
    // Acquire: as in receive.
    uint64_t position = __atomic_load_n(&ring->consumer.position, __ATOMIC_ACQUIRE);
    for (unsigned turn = 0; turn < RING_FUSION_MPMC_TURNS; turn++) {
        const enum status status = take_any(ring, &position, payload, length, kind);
        if (status != STATUS_FULL)
            return status;
    }
    return STATUS_EMPTY;
}

NOINLINE enum status ring_fusion_mpmc_receive_slowly(struct ring_fusion_mpmc *ring, void *payload,
                                                     size_t *length)
{
    enum ring_kind kind;
    return receive_any(ring, payload, length, &kind);
}

NOINLINE enum status ring_fusion_mpmc_claim_slowly(struct ring_fusion_mpmc *ring,
                                                   uint64_t *position)
{
    *position = __atomic_load_n(&ring->producer.position, __ATOMIC_RELAXED);
    for (unsigned turn = 0; turn < RING_FUSION_MPMC_TURNS; turn++) {
        if (ring_fusion_mpmc_credit(ring, *position) <= 0) {
            const enum status status = renew(ring, position);
            if (status != STATUS_OK)
                return status;
        }
        if (ring_fusion_mpmc_claim(ring, position, 1))
            return STATUS_OK;
    }
    return STATUS_FULL;
}

NOINLINE enum status ring_fusion_mpmc_send_slowly(struct ring_fusion_mpmc *ring,
                                                  const void *payload, size_t length,
                                                  enum ring_kind kind)
{
    uint64_t position;
    const enum status status = ring_fusion_mpmc_claim_slowly(ring, &position);
    if (status != STATUS_OK)
        return status;
    ring_trace_took_to_send(position);
    ring_fusion_mpmc_publish(ring, position, payload, length, kind);
    return STATUS_OK;
}

NOINLINE enum status ring_fusion_mpmc_peek_slowly(struct ring_fusion_mpmc *ring,
                                                  const struct ring_fusion_slot **slot,
                                                  size_t *length)
{
    uint64_t position = __atomic_load_n(&ring->consumer.position, __ATOMIC_RELAXED);
    for (unsigned turn = 0; turn < RING_FUSION_MPMC_TURNS; turn++) {
        uint64_t control;
        const enum status status = find_sent(ring, &position, &control);
        if (status == STATUS_FULL)
            continue; // somebody has written to the consumers' position
        if (status != STATUS_OK)
            return status;
        if (ring_fusion_is_sound(control)) {
            *slot = slot_of(ring, position);
            *length = ring_fusion_length(control);
            return ring_fusion_kind(control) == RING_INLINE ? STATUS_OK : STATUS_INVALID;
        }
        // The only consumer takes it as any of several does.
        const bool taken = ring_fusion_mpmc_take(ring, &position, 1);
        if (taken && ring_fusion_kind(control) != RING_VOID)
            return STATUS_CORRUPT;
        position += taken;
    }
    return STATUS_EMPTY;
}

enum status ring_fusion_mpmc_receive_kind(void *object, void *payload, size_t *length,
                                          enum ring_kind *kind)
{
    assert_slow(ring_is_aligned(payload, sizeof(ring_word)));
    ring_trace_receive(((struct ring_fusion_mpmc *)object)->consumer.position);
    const enum status status = receive_any(object, payload, length, kind);
    ring_trace_received(status, 1);
    return status;
}

// Claims a run of slots and writes it; all control words but the first one's relaxed, the first
// one's last, with release. Why that is enough: a consumer comes to a position only after the one
// before it was taken. Whoever took the first message of the run had acquired the release, with
// which all of the run is complete, and released the consumers' position, which the next one
// acquires, and so on: each knows what the one before it knew.
ALWAYS_INLINE void publish(struct ring_fusion_mpmc *ring, uint64_t first,
                           const struct ring_message *messages, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct ring_fusion_slot *slot = slot_of(ring, first + i);
        ring_fusion_mpmc_write(slot, messages[i].payload, RING_PAYLOAD_MOST / 8);
        __atomic_store_n(&slot->control, ring_fusion_control(first + i, messages[i].length),
                         __ATOMIC_RELAXED);
    }
    struct ring_fusion_slot *slot = slot_of(ring, first);
    ring_fusion_mpmc_write(slot, messages[0].payload, RING_PAYLOAD_MOST / 8);
    __atomic_store_n(&slot->control, ring_fusion_control(first, messages[0].length),
                     __ATOMIC_RELEASE);
}

// What a batch has ordered, itself not yet published. Relaxed: statistics, the last one's.
ALWAYS_INLINE void count_orders(struct ring_producer *producer, uint64_t releases,
                                uint64_t acquires)
{
    __atomic_store_n(&producer->fences, releases, __ATOMIC_RELAXED);
    if (UNLIKELY(acquires > __atomic_load_n(&producer->acquires, __ATOMIC_RELAXED)))
        __atomic_store_n(&producer->acquires, acquires, __ATOMIC_RELAXED);
}

ALWAYS_INLINE enum status send_batch(struct ring_fusion_mpmc *ring,
                                     const struct ring_message *messages, size_t count,
                                     size_t *sent)
{
    *sent = 0;
    if (UNLIKELY(count - 1 > ring->mask)) // an empty batch too: it wraps
        return STATUS_INVALID;
    if (ring_any_too_large(messages, count)) // what is claimed cannot be given back
        return STATUS_TOO_LARGE;
    uint64_t position = __atomic_load_n(&ring->producer.position, __ATOMIC_RELAXED);
    uint64_t releases = 2, acquires = 0; // the claim and the first control word
    for (unsigned turn = 0; turn < RING_FUSION_MPMC_TURNS; turn++) {
        // The credit does not cover the batch: look for more once, then take what there is.
        int64_t credit = ring_fusion_mpmc_credit(ring, position);
        acquires++;
        if (UNLIKELY(credit < (int64_t)count)) {
            const enum status status = renew(ring, &position);
            if (status != STATUS_OK)
                return status;
            credit = ring_fusion_mpmc_credit(ring, position);
            releases++; // the renewed credit
            acquires += RING_RENEWAL_ACQUIRES + 1;
        }
        const uint64_t fitting = credit <= 0 ? 0 : min_u64(count, (uint64_t)credit);
        // 0: another renewal has left an older limit; its producer has gone on since.
        if (fitting != 0 && LIKELY(ring_fusion_mpmc_claim(ring, &position, fitting))) {
            count_orders(&ring->producer, releases, acquires);
            ring_trace_took_to_send(position);
            publish(ring, position, messages, fitting);
            *sent = fitting;
            return STATUS_OK;
        }
    }
    return STATUS_FULL;
}

enum status ring_fusion_mpmc_send_batch(void *object, const struct ring_message *messages,
                                        size_t count, size_t *sent)
{
    ring_trace_send(((struct ring_fusion_mpmc *)object)->producer.position);
    const enum status status = send_batch(object, messages, count, sent);
    ring_trace_sent(status, *sent);
    return status;
}

// A batch that does not begin with an inline message: takes one of another kind, if that is it.
static NOINLINE enum status receive_first(struct ring_fusion_mpmc *ring,
                                          struct ring_message *message, size_t *received)
{
    enum ring_kind kind;
    const enum status status = receive_any(ring, message->payload, &message->length, &kind);
    *received = status == STATUS_OK;
    return status;
}

ALWAYS_INLINE enum status receive_batch(struct ring_fusion_mpmc *ring,
                                        struct ring_message *messages, size_t count,
                                        size_t *received)
{
    // Acquire: as in receive.
    uint64_t first = __atomic_load_n(&ring->consumer.position, __ATOMIC_ACQUIRE);
    for (unsigned turn = 0; turn < RING_FUSION_MPMC_TURNS; turn++) {
        size_t there;
        for (there = 0; there < count; there++) {
            const struct ring_fusion_slot *slot = slot_of(ring, first + there);
            const uint64_t control = __atomic_load_n(&slot->control, __ATOMIC_ACQUIRE);
            const uint64_t past_empty = ring_fusion_past_empty(control, first + there);
            if (past_empty > RING_PAYLOAD_MOST)
                break;
            ring_fusion_mpmc_read(messages[there].payload, slot);
            messages[there].length = past_empty;
        }
        if (there == 0) {
            *received = 0;
            return count == 0 ? STATUS_EMPTY : receive_first(ring, messages, received);
        }
        if (LIKELY(ring_fusion_mpmc_take(ring, &first, there))) {
            ring_trace_took_to_receive(first);
            *received = there;
            return STATUS_OK;
        }
    }
    *received = 0;
    return STATUS_EMPTY;
}

enum status ring_fusion_mpmc_receive_batch(void *object, struct ring_message *messages,
                                           size_t count, size_t *received)
{
    ring_trace_receive(((struct ring_fusion_mpmc *)object)->consumer.position);
    const enum status status = receive_batch(object, messages, count, received);
    ring_trace_received(status, *received);
    return status;
}

// Whether the message of `position` is the next one, claimed and not published; *control is what
// stands in its slot.
static bool is_hole(const struct ring_fusion_mpmc *ring, uint64_t position, uint64_t *control)
{
    // Acquire, and before the next load: what was sent there a lap later was sent by who knew that
    // a consumer is past this position.
    *control = __atomic_load_n(&slot_of(ring, position)->control, __ATOMIC_ACQUIRE);
    // Acquire, with take: who got here had found all messages before, so that the producers'
    // position is not behind.
    if (__atomic_load_n(&ring->consumer.position, __ATOMIC_ACQUIRE) != position)
        return false;
    // Acquire, with claim: which beats are from before it.
    return !ring_fusion_is_sent(*control, position) &&
           __atomic_load_n(&ring->producer.position, __ATOMIC_ACQUIRE) != position;
}

bool ring_fusion_mpmc_hole(const void *object, uint64_t *position)
{
    const struct ring_fusion_mpmc *ring = object;
    uint64_t control;
    *position = __atomic_load_n(&ring->consumer.position, __ATOMIC_RELAXED);
    return is_hole(ring, *position, &control);
}

bool ring_fusion_mpmc_void(void *object, uint64_t position)
{
    struct ring_fusion_mpmc *ring = object;
    uint64_t control;
    if (!is_hole(ring, position, &control))
        return false;
    // Release, as in send: what the owner knows of the death, which is all that the dead one wrote.
    return __atomic_compare_exchange_n(&slot_of(ring, position)->control, &control,
                                       ring_fusion_control_of_kind(position, 0, RING_VOID), false,
                                       __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

size_t ring_fusion_mpmc_free_slots(const void *object)
{
    const struct ring_fusion_mpmc *ring = object;
    return ring_sides_free_slots(&ring->producer, &ring->consumer, ring->mask + 1);
}

void ring_fusion_mpmc_statistics(const void *object, struct ring_statistics *statistics)
{
    const struct ring_fusion_mpmc *ring = object;
    ring_sides_statistics(&ring->producer, &ring->consumer, ring->start, statistics);
}

bool ring_fusion_mpmc_check(const void *object)
{
    const struct ring_fusion_mpmc *ring = object;
    const uint64_t slots = ring->mask + 1;
    const uint64_t received = ring->consumer.position;
    const uint64_t queued = ring->producer.position - received;
    if (!ring_slots_valid(slots) || queued > slots)
        return false;
    // Both positions only grow from `start`, and no message is received before it is sent.
    if (received - ring->start > ring->producer.position - ring->start)
        return false;
    // The credit is never more than the room, as consumers only ever add to it.
    if (ring_fusion_mpmc_credit(ring, ring->producer.position) > (int64_t)(slots - queued))
        return false;
    for (uint64_t i = 0; i < slots; i++) {
        const uint64_t position = received + i;
        const uint64_t control = slot_of(ring, position)->control;
        const bool sound = ring_fusion_is_sent(control, position) && ring_fusion_is_sound(control);
        if (i < queued && !sound && control != ring_fusion_control_of_kind(position, 0, RING_VOID))
            return false;
        if (i >= queued && !ring_fusion_is_sent(control, position - slots))
            return false;
    }
    return true;
}
