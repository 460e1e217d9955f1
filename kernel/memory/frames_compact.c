// SPDX-License-Identifier: MIT
// Compaction: chunks with little in them are emptied into others, so that the buddy gets whole ones
// back. What is free in the chunk is held first, and nobody else gets any of it meanwhile.
#include "frames_zone.h"

struct emptying {
    struct frames *frames;
    struct frames_region *region;
    const struct frames_migration *migration;
    uint32_t chunk;
    uint64_t held[FRAME_BITMAP_WORDS];
};

// True if everything in use there may be moved, and is at most `most` frames, not none.
static bool worth_it(const struct frames_region *region, uint32_t chunk, unsigned most)
{
    unsigned used = 0;
    if (!frame_bitmap_is_lent(&region->bitmap, chunk))
        return false;
    if (FRAME_BITMAP_CHUNK - frame_bitmap_count(&region->bitmap, chunk) > most)
        return false;
    for (uint32_t i = 0; i < FRAME_BITMAP_CHUNK; i++) {
        const uint8_t mark = frames_map_get(region->map, chunk * FRAME_BITMAP_CHUNK + i);
        if (mark != FRAMES_MAP_FREE && mark != FRAMES_MAP_MOVABLE)
            return false;
        used += mark != FRAMES_MAP_FREE;
    }
    return used > 0 && used <= most;
}

// Moves one frame into another chunk that is in use; false if it stays.
static bool move_out(struct emptying *e, uint32_t number)
{
    struct frames_pool *pool = frames_pool_of(e->frames, e->region);
    const struct frame_bitmap_request request = {
        .count = 1, .alignment = 1, .limit = UINT32_MAX, .tries = FRAMES_TRIES, .sparing = true};
    uint32_t to;
    bool emptied;
    if (frames_pool_reserve(pool, 1, 1, 0) == 0)
        return false;
    if (!frame_bitmap_allocate(&e->region->bitmap, &request, &to)) {
        frames_pool_add(pool, 1);
        return false;
    }
    frames_map_set(e->region->map, to, FRAMES_MAP_MOVABLE);
    const bool moved = e->migration->move(e->migration->context, frames_address(e->region, number),
                                          frames_address(e->region, to));
    if (moved) { // what was left is held at once: it never becomes anybody's
        frames_map_set(e->region->map, number, FRAMES_MAP_FREE);
        e->held[number % FRAME_BITMAP_CHUNK / 64] |= 1ull << (number % 64);
        return true;
    }
    frames_map_set(e->region->map, to, FRAMES_MAP_FREE);
    frame_bitmap_release(&e->region->bitmap, to, 1, &emptied);
    frames_pool_add(pool, 1);
    return false;
}

// What is free in the chunk now, beyond what is held.
static unsigned hold(struct emptying *e)
{
    const unsigned count = frame_bitmap_hold(&e->region->bitmap, e->chunk, e->held);
    __atomic_fetch_sub(&frames_pool_of(e->frames, e->region)->available, (int64_t)count,
                       __ATOMIC_RELAXED);
    return count;
}

static bool empty(struct frames *frames, struct frames_region *region, uint32_t chunk,
                  const struct frames_migration *migration)
{
    struct emptying e = {
        .frames = frames, .region = region, .migration = migration, .chunk = chunk};
    unsigned holding = hold(&e), moved = 0;
    bool going = true;
    for (uint32_t i = 0; i < FRAME_BITMAP_CHUNK && going; i++) {
        const uint32_t number = chunk * FRAME_BITMAP_CHUNK + i;
        const uint8_t mark = frames_map_get(region->map, number);
        if ((e.held[i / 64] >> (i % 64) & 1) != 0 || mark == FRAMES_MAP_FREE)
            continue; // held, or on its way back
        const bool done = mark == FRAMES_MAP_MOVABLE && move_out(&e, number);
        moved += done;
        // Its owner may have released it instead.
        going = done || frames_map_get(region->map, number) == FRAMES_MAP_FREE;
    }
    holding += moved + hold(&e);
    __atomic_fetch_add(&frames->migrated, moved, __ATOMIC_RELAXED);
    const bool whole = holding == FRAME_BITMAP_CHUNK;
    if (whole) {
        frames_region_lock(region);
        frame_bitmap_end_loan(&region->bitmap, chunk);
        const enum status status = buddy_free(
            &region->buddy, frames_address(region, chunk * FRAME_BITMAP_CHUNK), FRAMES_CHUNK_ORDER);
        frames_region_unlock(region);
        assert(status == STATUS_OK);
    } else {
        frame_bitmap_unhold(&region->bitmap, chunk, e.held);
    }
    frames_pool_add(frames_pool_of(frames, region), holding);
    return whole;
}

// From where the last step ended in this region on, once around at the most.
static unsigned compact_region(struct frames *frames, struct frames_region *region,
                               const struct frames_migration *migration, unsigned *chunks_left,
                               unsigned frames_most)
{
    const uint32_t chunks = region->bitmap.chunk_count;
    unsigned made = 0;
    for (uint32_t i = 0; i<chunks && * chunks_left> 0; i++, --*chunks_left) {
        const uint32_t chunk = region->compacted_to;
        region->compacted_to = (chunk + 1) % chunks;
        if (worth_it(region, chunk, frames_most))
            made += empty(frames, region, chunk, migration);
    }
    return made;
}

unsigned frames_compact(struct frames *frames, const struct frames_migration *migration,
                        unsigned chunks_most, unsigned frames_most)
{
    unsigned made = 0;
    // Acquire and release: the next one goes on where this one ended.
    if (__atomic_exchange_n(&frames->compacting, 1, __ATOMIC_ACQUIRE) != 0)
        return 0;
    frames_cpu_drain(frames); // frames in stacks keep chunks from becoming whole
    frames_ask_for_stacks(frames);
    for (unsigned i = 0; i < frames->region_count && chunks_most > 0; i++)
        made += compact_region(frames, &frames->regions[i], migration, &chunks_most, frames_most);
    __atomic_fetch_add(&frames->compacted, made, __ATOMIC_RELAXED);
    __atomic_store_n(&frames->compacting, 0, __ATOMIC_RELEASE);
    return made;
}
