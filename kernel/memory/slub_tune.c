// SPDX-License-Identifier: MIT
// Settings for what was observed. Greedy: the extra class that saves most, again and again; a tie
// goes to the smaller one. Integers only, and nothing but the recorded numbers goes in.
#include "slub.h"

// What an object of a plain cache of this slot takes of its slab, in 1/16 bytes.
static uint64_t cost_of(uint32_t slot)
{
    uint64_t best = UINT64_MAX;
    for (unsigned order = 0; order <= SLUB_ORDER_MOST; order++) {
        const uint32_t bytes = PAGE_SIZE << order;
        if (bytes / slot == 0)
            continue;
        const uint64_t cost = (uint64_t)bytes * 16 / (bytes / slot);
        best = min_u64(best, cost);
        if (bytes / slot >= 4 && bytes % slot <= bytes / 8)
            return cost; // as slub_cache_create chooses
    }
    return best;
}

struct candidate {
    uint32_t size;
    uint64_t saved; // 1/16 bytes
};

// The smallest class that serves `size`: a power of two or an extra one.
static uint32_t class_for(const struct slub_settings *settings, uint32_t size)
{
    uint32_t best = 8u << slub_class(size);
    for (unsigned i = 0; i < settings->extra_count; i++)
        if (settings->extra[i] >= size)
            best = (uint32_t)min_u64(best, settings->extra[i]);
    return best;
}

static struct candidate best_candidate(const struct slub *slub,
                                       const struct slub_settings *settings)
{
    struct candidate best = {0};
    uint64_t count = 0;    // requests above the class below and up to here
    uint32_t serving = 16; // class that serves the size at hand
    for (uint32_t size = 16; size < SLUB_CLASS_LARGEST; size += 8) {
        const uint32_t now = class_for(settings, size);
        if (now != serving) {
            count = 0;
            serving = now;
        }
        count += slub->sizes[size / 8];
        if (size % 16 != 0 || size == serving || cost_of(serving) <= cost_of(size))
            continue;
        const uint64_t saved = count * (cost_of(serving) - cost_of(size));
        if (saved > best.saved)
            best = (struct candidate){.size = size, .saved = saved};
    }
    return best;
}

static void insert(struct slub_settings *settings, uint32_t size)
{
    unsigned at = settings->extra_count++;
    for (; at > 0 && settings->extra[at - 1] > size; at--)
        settings->extra[at] = settings->extra[at - 1];
    settings->extra[at] = size;
}

uint64_t slub_tune(const struct slub *slub, unsigned extra_most, struct slub_settings *proposal)
{
    uint64_t saved = 0;
    *proposal = slub->settings;
    while (proposal->extra_count < min_u64(extra_most, SLUB_EXTRA_MOST)) {
        const struct candidate next = best_candidate(slub, proposal);
        if (next.saved == 0)
            break;
        saved += next.saved;
        insert(proposal, next.size);
    }
    // A list that holds the longest run of allocations serves all but the first of it without a
    // refill; as a power of two, so that small changes of the load change nothing.
    for (unsigned i = 0; i < SLUB_CLASSES; i++) {
        if (slub->longest[i] == 0)
            continue;
        const uint64_t run = min_u64(max_u64(slub->longest[i], 8), SLUB_PER_CPU_MOST);
        proposal->class_objects[i] = 1u << (log2_u64(run - 1) + 1);
    }
    return saved / 16;
}
