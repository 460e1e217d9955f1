// SPDX-License-Identifier: MIT
// The bound for many producers and consumers: the least code that moves messages of 56 bytes, after
// D. Vyukov's bounded queue (1024cores.net). A sequence in each slot says whose turn it is: p, the
// producer's of position p; p + 1, the consumer's; p + slots, the next lap's producer's. Not a
// product: nothing but full and empty is checked. So the caller sees to it that
//   length    is at most 56, and `payload` may be read for 56 bytes whatever it is
#ifndef RING_FLOOR_MPMC_H
#define RING_FLOOR_MPMC_H

#include "assert.h"
#include "ring.h"
#include "ring_copy.h"
#include "ring_trace.h"

// The length takes the lower, the position's lower half the upper 32 bits of the first word.
struct ring_floor_mpmc_slot {
    uint32_t length;
    uint32_t sequence;
    uint64_t payload[RING_PAYLOAD_MOST / 8];
} CACHE_ALIGNED;

_Static_assert(sizeof(struct ring_floor_mpmc_slot) == CACHE_LINE, "one cache line a slot");

struct ring_floor_mpmc {
    // Constant after init.
    struct ring_floor_mpmc_slot *slots;
    uint64_t mask;

    uint64_t sent CACHE_ALIGNED; // positions claimed by producers
    uint64_t received CACHE_ALIGNED;
};

enum status ring_floor_mpmc_init(void *object, void *memory, size_t slots);

void ring_floor_mpmc_statistics(const void *object, struct ring_statistics *statistics);
size_t ring_floor_mpmc_free_slots(const void *object);
bool ring_floor_mpmc_check(const void *object);

// FAST: expected 26 instructions, one of them locked.
ALWAYS_INLINE enum status ring_floor_mpmc_send(void *object, const void *payload, size_t length)
{
    struct ring_floor_mpmc *ring = object;
    struct ring_floor_mpmc_slot *slot;
    uint64_t position = __atomic_load_n(&ring->sent, __ATOMIC_RELAXED);
    ring_trace_send(position);
    do {
        slot = &ring->slots[position & ring->mask];
        // Acquire, with the release in receive: the slot has been read.
        if (UNLIKELY(__atomic_load_n(&slot->sequence, __ATOMIC_ACQUIRE) != (uint32_t)position)) {
            const uint64_t now = __atomic_load_n(&ring->sent, __ATOMIC_RELAXED);
            if (now == position) {
                ring_trace_sent(STATUS_FULL, 1);
                return STATUS_FULL;
            }
            position = now;
            continue;
        }
        if (LIKELY(__atomic_compare_exchange_n(&ring->sent, &position, position + 1, false,
                                               __ATOMIC_RELAXED, __ATOMIC_RELAXED)))
            break;
    } while (true);
    ring_trace_took_to_send(position);
    ring_copy_whole(slot->payload, payload);
    slot->length = (uint32_t)length;
    // Release: the slot is written before a consumer sees it as sent.
    __atomic_store_n(&slot->sequence, (uint32_t)position + 1, __ATOMIC_RELEASE);
    ring_trace_sent(STATUS_OK, 1);
    return STATUS_OK;
}

// FAST: expected 28 instructions, one of them locked.
ALWAYS_INLINE enum status ring_floor_mpmc_receive(void *object, void *payload, size_t *length)
{
    struct ring_floor_mpmc *ring = object;
    struct ring_floor_mpmc_slot *slot;
    uint64_t position = __atomic_load_n(&ring->received, __ATOMIC_RELAXED);
    ring_trace_receive(position);
    do {
        slot = &ring->slots[position & ring->mask];
        // Acquire, with the release in send: the slot is written.
        if (UNLIKELY(__atomic_load_n(&slot->sequence, __ATOMIC_ACQUIRE) !=
                     (uint32_t)position + 1)) {
            const uint64_t now = __atomic_load_n(&ring->received, __ATOMIC_RELAXED);
            if (now == position) {
                ring_trace_received(STATUS_EMPTY, 1);
                return STATUS_EMPTY;
            }
            position = now;
            continue;
        }
        if (LIKELY(__atomic_compare_exchange_n(&ring->received, &position, position + 1, false,
                                               __ATOMIC_RELAXED, __ATOMIC_RELAXED)))
            break;
    } while (true);
    ring_trace_took_to_receive(position);
    ring_copy_whole(payload, slot->payload);
    *length = slot->length;
    // Release: the slot is read before a producer sees it as free.
    __atomic_store_n(&slot->sequence, (uint32_t)(position + ring->mask + 1), __ATOMIC_RELEASE);
    ring_trace_received(STATUS_OK, 1);
    return STATUS_OK;
}

// No batches: a bound for single messages.
static const struct ring_ops ring_floor_mpmc_ops = {
    .about =
        {
            .name = "floor",
            .what = "the least code for many producers and consumers: a bound, not a product",
            .role = VARIANT_FLOOR,
        },
    .state_bytes = sizeof(struct ring_floor_mpmc),
    .slot_bytes = sizeof(struct ring_floor_mpmc_slot),
    .several = true,
    .init = ring_floor_mpmc_init,
    .send = ring_floor_mpmc_send,
    .receive = ring_floor_mpmc_receive,
    .free_slots = ring_floor_mpmc_free_slots,
    .statistics = ring_floor_mpmc_statistics,
    .check = ring_floor_mpmc_check,
};

#endif
