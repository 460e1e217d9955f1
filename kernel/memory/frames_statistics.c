// SPDX-License-Identifier: MIT
// Numbers. What frames_statistics() reads is atomic and monotonic or a gauge of its own: it takes
// no lock, so that nobody who holds one, or waits for one, can keep it from answering.
#include "frames_zone.h"

static uint64_t get(const uint64_t *count)
{
    return __atomic_load_n(count, __ATOMIC_RELAXED);
}

static void add_cache(struct frames_statistics *sum, const struct frames_cache *cache)
{
    const uint64_t state = get(&cache->state);
    const uint64_t depth = (uint8_t)state, popped = state >> 8;
    sum->stacked += depth;
    sum->allocations += popped + get(&cache->slow_allocations);
    // What ever came in one by one: all that left, and is there, but for what came in batches.
    sum->releases += depth + popped + get(&cache->moved_out) - get(&cache->moved_in) +
                     get(&cache->slow_releases);
    sum->failures += get(&cache->failures);
    sum->remote += get(&cache->remote);
    sum->refills += get(&cache->refills);
    sum->drains += get(&cache->drains);
}

static void add_region(struct frames_statistics *sum, const struct frames_region *region)
{
    const struct frame_bitmap *bitmap = &region->bitmap;
    sum->locks += get(&region->locks);
    sum->rollbacks += get(&bitmap->rollbacks);
    for (uint32_t word = 0; word < (bitmap->chunk_count + 63) / 64; word++)
        sum->lent += (uint64_t)__builtin_popcountll(get(&bitmap->lent[word]));
}

void frames_statistics(const struct frames *frames, struct frames_statistics *statistics)
{
    struct frames_statistics sum = {0};
    // Acquire: pairs with the release at the end of init.
    if (__atomic_load_n(&frames->ready, __ATOMIC_ACQUIRE) == 0) {
        *statistics = sum;
        return;
    }
    for (unsigned cpu = 0; cpu < frames->cpus; cpu++)
        add_cache(&sum, frames->cache_of[cpu]);
    for (unsigned i = 0; i < frames->region_count; i++)
        add_region(&sum, &frames->regions[i]);
    sum.free = sum.stacked;
    for (unsigned node = 0; node < frames->node_count; node++) {
        for (unsigned zone = 0; zone < FRAMES_ZONES; zone++) {
            uint64_t present, available;
            frames_pool_count(frames, node, zone, &present, &available);
            sum.present += present;
            sum.free += available;
        }
    }
    sum.wakes = get(&frames->wakes);
    sum.reclaims = get(&frames->reclaims);
    sum.reclaimed = get(&frames->reclaimed);
    sum.migrated = get(&frames->migrated);
    sum.compacted = get(&frames->compacted);
    sum.metadata_bytes = frames->metadata_bytes;
    sum.nodes = frames->node_count;
    sum.regions = frames->region_count;
    *statistics = sum;
}

void frames_pool_count(const struct frames *frames, unsigned node, enum frames_zone zone,
                       uint64_t *present, uint64_t *available)
{
    assert(node < NUMA_NODES_MOST && zone < FRAMES_ZONES);
    const struct frames_pool *pool = &frames->pools[node][zone];
    const int64_t now = frames_pool_available(pool);
    *present = pool->present;
    *available = now > 0 ? (uint64_t)now : 0;
}

// ---- fragmentation ------------------------------------------------------------------------------

struct walk {
    struct frames_fragmentation *sum;
    uint64_t run; // frames of the free run that ends here
};

static void add_free(struct walk *walk, uint64_t frames)
{
    walk->sum->runs += walk->run == 0;
    walk->run += frames;
    walk->sum->free += frames;
    walk->sum->largest = max_u64(walk->sum->largest, walk->run);
}

// The frames of a lent chunk: bits and what lies in stacks.
static void walk_lent(struct walk *walk, const struct frames_region *region, uint32_t chunk)
{
    for (uint32_t i = 0; i < FRAME_BITMAP_CHUNK; i++) {
        const uint32_t number = chunk * FRAME_BITMAP_CHUNK + i;
        const uint64_t word = frame_bitmap_word(&region->bitmap, chunk, i / 64);
        if ((word >> (i % 64) & 1) != 0 || frames_map_get(region->map, number) == FRAMES_MAP_STACK)
            add_free(walk, 1);
        else
            walk->run = 0;
    }
}

// Blocks of the buddy from a number on to the end of its chunk, or of the block that leaves it;
// returns the number behind. The lock is held.
static uint32_t walk_blocks(struct walk *walk, const struct frames_region *region, uint32_t number)
{
    const uint32_t end = (uint32_t)min_u64(region->frame_limit, (number / FRAME_BITMAP_CHUNK + 1) *
                                                                    (uint64_t)FRAME_BITMAP_CHUNK);
    while (number < end) {
        uintptr_t start;
        unsigned order = 0;
        const uintptr_t at = frames_address(region, number);
        const enum buddy_state state = buddy_block(&region->buddy, at, &start, &order);
        const bool stacked = frames_map_get(region->map, number) == FRAMES_MAP_STACK;
        uint64_t length = 1;
        if (state != BUDDY_ABSENT)
            length = (start + ((uintptr_t)PAGE_SIZE << order) - at) >> PAGE_SHIFT;
        if (state == BUDDY_FREE || (state == BUDDY_UNIT && stacked))
            add_free(walk, length);
        else
            walk->run = 0;
        number += (uint32_t)length;
    }
    return number;
}

static void walk_region(struct walk *walk, struct frames_region *region)
{
    for (uint32_t number = 0; number < region->frame_limit;) {
        const uint32_t chunk = number / FRAME_BITMAP_CHUNK;
        // Under the lock the chunk's loan neither begins nor ends.
        frames_region_lock_to_look(region);
        if (frame_bitmap_is_lent(&region->bitmap, chunk)) {
            walk_lent(walk, region, chunk);
            number = (chunk + 1) * FRAME_BITMAP_CHUNK;
        } else {
            number = walk_blocks(walk, region, number);
        }
        frames_region_unlock(region);
    }
}

void frames_fragmentation(const struct frames *frames, struct frames_fragmentation *fragmentation)
{
    struct frames_fragmentation sum = {0};
    struct walk walk = {.sum = &sum};
    uintptr_t end = 0;
    for (unsigned i = 0; i < frames->region_count; i++) {
        struct frames_region *region = &frames->regions[i];
        if (region->start != end)
            walk.run = 0;
        end = region->end;
        walk_region(&walk, region);
    }
    sum.average = sum.runs == 0 ? 0 : sum.free / sum.runs;
    if (sum.free > 0)
        sum.external_permille = 1000 - sum.largest * 1000 / sum.free;
    *fragmentation = sum;
}

bool frames_check(const struct frames *frames)
{
    bool sound = true;
    int64_t stacked[FRAMES_REGIONS_MOST] = {0};
    for (unsigned cpu = 0; cpu < frames->cpus; cpu++) {
        const struct frames_cache *cache = frames->cache_of[cpu];
        const unsigned depth = frames_cache_depth(cache);
        sound = sound && depth <= FRAMES_STACK && (depth == 0 || cache->region != NULL);
        for (unsigned i = 0; sound && i < depth; i++)
            sound = frames_map_get(cache->region->map, cache->numbers[i]) == FRAMES_MAP_STACK;
        if (sound && depth > 0)
            stacked[cache->region - frames->regions] += depth;
    }
    int64_t available = 0;
    for (unsigned i = 0; sound && i < frames->region_count; i++) {
        struct frames_region *region = &frames->regions[i];
        for (uint32_t number = 0; number < region->frame_limit; number++)
            stacked[i] -= frames_map_get(region->map, number) == FRAMES_MAP_STACK;
        sound = stacked[i] == 0 && frames_region_check(region);
        available +=
            (int64_t)(frame_bitmap_free_frames(&region->bitmap) + get(&region->buddy_free));
    }
    for (unsigned node = 0; node < frames->node_count; node++)
        for (unsigned zone = 0; zone < FRAMES_ZONES; zone++)
            available -= frames_pool_available(&frames->pools[node][zone]);
    return sound && available == 0;
}
