// SPDX-License-Identifier: MIT
// Between the files of frames.h: a region, the buddy and the bitmap over its frames.
//
//   number   of a frame: from the region's origin, which is 2 MiB aligned, so that a chunk of the
//            bitmap is a block of the buddy
//   map      FRAMES_MAP_*, a byte a frame. Of a lent chunk it says everything: HANDED and MOVABLE
//            frames are a caller's, STACK ones in a stack, FREE ones have their bit set, or are on
//            their way. Of other chunks the buddy says it, but for single frames that it gave to a
//            stack: those are blocks of order 0 and marked as in a lent chunk
//   lock     one a region: around the buddy, and around the beginning and the end of a chunk's
//            loan. With it held no other lock is taken and no call-back called
#ifndef FRAMES_ZONE_H
#define FRAMES_ZONE_H

#include "buddy.h"
#include "frame_bitmap.h"
#include "frames.h"
#include "spinlock.h"

#define FRAMES_CHUNK_ORDER 9u
#define FRAMES_CHUNK_BYTES (2u << 20)
#define FRAMES_TRIES       32u // chunks a small run is looked for in before the buddy is asked

_Static_assert(FRAME_BITMAP_CHUNK == FRAMES_LARGE && 1u << FRAMES_CHUNK_ORDER == FRAMES_LARGE,
               "a chunk is the smallest large run");

struct frames_region {
    // Written at init, then read only.
    uintptr_t start, end; // of its frames
    uintptr_t origin;
    uint32_t frame_limit; // numbers
    uint32_t keep;        // chunks free as a whole that the bitmap may keep
    unsigned lend_order;
    uint8_t node, zone;
    struct frames_region *next; // of the same pool
    uint8_t *map;               // [number]

    // Any CPU.
    struct frame_bitmap bitmap;

    // Under the lock; `locks` and `buddy_free` are read by all.
    struct spinlock lock CACHE_ALIGNED;
    uint64_t locks;
    uint64_t buddy_free;
    struct buddy buddy;

    // By who compacts.
    uint32_t compacted_to; // chunk
};

// What a region is asked for. Checked by the caller.
struct frames_wish {
    uint64_t count;
    uint64_t alignment; // frames, a power of two
    uintptr_t last;     // highest address; UINTPTR_MAX: any
    uint16_t nodes;     // a bit a node
    uint8_t node;       // wanted first
    uint8_t zone;
    uint8_t mark; // FRAMES_MAP_HANDED or _MOVABLE
    uint16_t flags;
};

size_t frames_region_metadata_bytes(uintptr_t start, uint64_t length);

// All of it is free. `metadata` is line-aligned.
void frames_region_init(struct frames_region *region, uintptr_t start, uint64_t length,
                        void *metadata);

bool frames_region_take(struct frames_region *region, const struct frames_wish *wish,
                        uintptr_t *address);

// Up to `most` single frames, marked STACK.
unsigned frames_region_take_batch(struct frames_region *region, unsigned most, uint32_t *numbers);

// Single frames that are marked STACK.
void frames_region_give_batch(struct frames_region *region, const uint32_t *numbers,
                              unsigned count);

// What a release would say; the frames lie in the region.
enum status frames_region_judge(struct frames_region *region, uintptr_t address, uint64_t count);
// Releases them; says in `released` how many, also when the status is not OK.
enum status frames_region_release(struct frames_region *region, uintptr_t address, uint64_t count,
                                  uint64_t *released);

// Gives chunks that are free as a whole back to the buddy until the bitmap has `keep` of them.
unsigned frames_region_return_chunks(struct frames_region *region, uint32_t keep);
bool frames_region_return_chunk(struct frames_region *region, uint32_t chunk);

void frames_region_lock(struct frames_region *region);
// The same without being counted, for statistics and checks.
void frames_region_lock_to_look(struct frames_region *region);
void frames_region_unlock(struct frames_region *region);

bool frames_region_check(struct frames_region *region);

// Sets the map of `count` frames.
void frames_map_fill(uint8_t *map, uint32_t number, uint64_t count, uint8_t mark);
// True if a caller has each of them.
bool frames_map_handed(const uint8_t *map, uint32_t number, uint64_t count);

ALWAYS_INLINE uint8_t frames_map_get(const uint8_t *map, uint32_t number)
{
    return __atomic_load_n(&map[number], __ATOMIC_RELAXED);
}

ALWAYS_INLINE void frames_map_set(uint8_t *map, uint32_t number, uint8_t mark)
{
    __atomic_store_n(&map[number], mark, __ATOMIC_RELAXED);
}

ALWAYS_INLINE uint32_t frames_number(const struct frames_region *region, uintptr_t address)
{
    return (uint32_t)((address - region->origin) >> PAGE_SHIFT);
}

ALWAYS_INLINE uintptr_t frames_address(const struct frames_region *region, uint32_t number)
{
    return region->origin + ((uintptr_t)number << PAGE_SHIFT);
}

// The region an address lies in; NULL if in none.
struct frames_region *frames_region_of(const struct frames *frames, uintptr_t address);

// ---- of other files -----------------------------------------------------------------------------

// Takes frames as wished for from the pools, in order; counts nothing.
bool frames_take(struct frames *frames, const struct frames_wish *wish, uintptr_t *address);

// Reserves up to `most` of a pool's frames above `floor`, at least `least`; 0 if there are not.
// What is reserved and not found is given back by adding it to `available`.
uint64_t frames_pool_reserve(struct frames_pool *pool, uint64_t least, uint64_t most,
                             int64_t floor);

ALWAYS_INLINE void frames_pool_add(struct frames_pool *pool, uint64_t count)
{
    __atomic_fetch_add(&pool->available, (int64_t)count, __ATOMIC_RELAXED);
}

ALWAYS_INLINE int64_t frames_pool_available(const struct frames_pool *pool)
{
    return __atomic_load_n(&pool->available, __ATOMIC_RELAXED);
}

ALWAYS_INLINE struct frames_pool *frames_pool_of(struct frames *frames,
                                                 const struct frames_region *region)
{
    return &frames->pools[region->node][region->zone];
}

// After a slow path took something from a pool, or nothing was there: wakes, helps, reclaims.
// Returns the frames that call-backs freed.
void frames_pressure_look(struct frames *frames, const struct frames_pool *pool, uint16_t flags);
uint64_t frames_pressure_help(struct frames *frames, enum frames_level level, uint64_t wanted);

// Counts in the CPU's own cache: `field` is one of the slow paths' counts.
#define FRAMES_COUNT(frames, field, by)                                                            \
    do {                                                                                           \
        cpu_preempt_disable();                                                                     \
        frames_count(&frames_cache_here(frames)->field, by);                                       \
        cpu_preempt_enable();                                                                      \
    } while (0)

// A count that one CPU writes and all read.
ALWAYS_INLINE void frames_count(uint64_t *count, uint64_t by)
{
    __atomic_store_n(count, __atomic_load_n(count, __ATOMIC_RELAXED) + by, __ATOMIC_RELAXED);
}

#endif
