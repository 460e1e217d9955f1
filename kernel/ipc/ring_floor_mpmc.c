// SPDX-License-Identifier: MIT
#include "ring_floor_mpmc.h"

enum status ring_floor_mpmc_init(void *object, void *memory, size_t slots)
{
    struct ring_floor_mpmc *ring = object;
    if (!ring_may_begin(ring, memory, slots))
        return STATUS_INVALID;
    *ring = (struct ring_floor_mpmc){.slots = memory, .mask = slots - 1};
    for (size_t i = 0; i < slots; i++)
        ring->slots[i].sequence = (uint32_t)i;
    return STATUS_OK;
}

void ring_floor_mpmc_statistics(const void *object, struct ring_statistics *statistics)
{
    const struct ring_floor_mpmc *ring = object;
    // The consumers' first, so that it is not ahead of the producers'.
    const uint64_t received = __atomic_load_n(&ring->received, __ATOMIC_ACQUIRE);
    const uint64_t sent = __atomic_load_n(&ring->sent, __ATOMIC_RELAXED);
    *statistics = (struct ring_statistics){.sent = sent, .received = received};
}

size_t ring_floor_mpmc_free_slots(const void *object)
{
    const struct ring_floor_mpmc *ring = object;
    struct ring_statistics statistics;
    ring_floor_mpmc_statistics(object, &statistics);
    const uint64_t queued = statistics.sent - statistics.received;
    return ring->mask + 1 - min_u64(queued, ring->mask + 1);
}

bool ring_floor_mpmc_check(const void *object)
{
    const struct ring_floor_mpmc *ring = object;
    const uint64_t slots = ring->mask + 1;
    const uint64_t queued = ring->sent - ring->received;
    if (!ring_slots_valid(slots) || queued > slots)
        return false;
    for (uint64_t i = 0; i < slots; i++) {
        const uint64_t position = ring->received + i;
        const struct ring_floor_mpmc_slot *slot = &ring->slots[position & ring->mask];
        if (slot->sequence != (uint32_t)(position + (i < queued)))
            return false;
    }
    return true;
}
