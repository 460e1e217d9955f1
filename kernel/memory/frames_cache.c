// SPDX-License-Identifier: MIT
// The stacks of single frames. Everything here runs with preemption off on the CPU whose stack it
// is, but for frames_cpu_leave().
#include "frames_zone.h"

#include "assert.h"

static inline unsigned depth_of(uint64_t state)
{
    return (uint8_t)state;
}

// Takes the frames at the bottom off: those that lay there longest.
static void drain(struct frames *frames, struct frames_cache *cache, unsigned count)
{
    const uint64_t state = __atomic_load_n(&cache->state, __ATOMIC_RELAXED);
    const unsigned depth = depth_of(state);
    if (count == 0)
        return;
    assert(count <= depth);
    frames_region_give_batch(cache->region, cache->numbers, count);
    for (unsigned i = count; i < depth; i++)
        cache->numbers[i - count] = cache->numbers[i];
    __atomic_store_n(&cache->state, state - count, __ATOMIC_RELAXED);
    frames_count(&cache->moved_out, count);
    frames_count(&cache->drains, 1);
    frames_pool_add(frames_pool_of(frames, cache->region), count);
}

static void drain_all(struct frames *frames, struct frames_cache *cache)
{
    // Relaxed: a flag that is seen later is served later.
    __atomic_store_n(&cache->drain_wanted, 0, __ATOMIC_RELAXED);
    drain(frames, cache, frames_cache_depth(cache));
}

void frames_cpu_drain(struct frames *frames)
{
    cpu_preempt_disable();
    drain_all(frames, frames_cache_here(frames));
    cpu_preempt_enable();
}

bool frames_cpu_serve(struct frames *frames)
{
    cpu_preempt_disable();
    struct frames_cache *cache = frames_cache_here(frames);
    const bool wanted = __atomic_load_n(&cache->drain_wanted, __ATOMIC_RELAXED) != 0;
    if (wanted)
        drain_all(frames, cache);
    cpu_preempt_enable();
    return wanted;
}

void frames_ask_for_stacks(struct frames *frames)
{
    for (unsigned cpu = 0; cpu < frames->cpus; cpu++) {
        struct frames_cache *cache = frames->cache_of[cpu];
        if (frames_cache_depth(cache) != 0)
            __atomic_store_n(&cache->drain_wanted, 1, __ATOMIC_RELAXED);
    }
}

void frames_cpu_leave(struct frames *frames, unsigned cpu)
{
    assert(cpu < frames->cpus);
    drain_all(frames, frames->cache_of[cpu]);
}

// ---- refill -------------------------------------------------------------------------------------

// The pool whose frames a CPU keeps: zone NORMAL of its own node, or of the nearest that has any.
static struct frames_pool *home_of(struct frames *frames, size_t cpu)
{
    const unsigned node = frames->config.numa->cpu_node[cpu];
    for (unsigned i = 0; i < frames->nearest_count[node]; i++) {
        struct frames_pool *pool = &frames->pools[frames->nearest[node][i]][FRAMES_ZONE_NORMAL];
        if (pool->present > 0)
            return pool;
    }
    return NULL;
}

// Makes the frames of a region the stack's. It is empty.
static void fill(struct frames_cache *cache, struct frames_region *region, const uint32_t *numbers,
                 unsigned count)
{
    cache->region = region;
    cache->origin = region->origin;
    cache->frame_limit = region->frame_limit;
    cache->map = region->map;
    for (unsigned i = 0; i < count; i++) // so that they are popped ascending
        cache->numbers[i] = numbers[count - 1 - i];
    const uint64_t state = __atomic_load_n(&cache->state, __ATOMIC_RELAXED);
    __atomic_store_n(&cache->state, state + count, __ATOMIC_RELAXED);
    frames_count(&cache->moved_in, count);
    frames_count(&cache->refills, 1);
}

// Moves a batch into the empty stack; false if its pool has none to give.
static bool refill(struct frames_cache *cache, struct frames_pool *pool)
{
    uint32_t numbers[FRAMES_BATCH];
    const uint64_t most = frames_pool_reserve(pool, 1, FRAMES_BATCH, pool->reserve);
    unsigned got = 0;
    if (most == 0)
        return false;
    for (struct frames_region *region = pool->first; region != NULL && got == 0;
         region = region->next) {
        got = frames_region_take_batch(region, (unsigned)most, numbers);
        if (got > 0)
            fill(cache, region, numbers, got);
    }
    if (got < most)
        frames_pool_add(pool, most - got);
    return got > 0;
}

static void pop(struct frames_cache *cache, uintptr_t *address)
{
    const uint64_t state = __atomic_load_n(&cache->state, __ATOMIC_RELAXED);
    const uint32_t number = cache->numbers[depth_of(state) - 1];
    __atomic_store_n(&cache->state, state + 255, __ATOMIC_RELAXED);
    frames_map_set(cache->map, number, FRAMES_MAP_HANDED);
    *address = frames_address(cache->region, number);
}

COLD enum status frames_allocate_one_slow(struct frames *frames, uintptr_t *address)
{
    cpu_preempt_disable();
    struct frames_cache *cache = frames_cache_here(frames);
    struct frames_pool *pool = home_of(frames, cpu_index());
    __atomic_store_n(&cache->drain_wanted, 0, __ATOMIC_RELAXED); // there is nothing to drain
    // Another thread may have filled it between the look at the stack and here.
    const bool served = frames_cache_depth(cache) > 0 || (pool != NULL && refill(cache, pool));
    if (served)
        pop(cache, address);
    cpu_preempt_enable();
    if (served) {
        frames_pressure_look(frames, pool, 0);
        return STATUS_OK;
    }
    const struct frames_request request = {.count = 1};
    return frames_allocate(frames, &request, address);
}

// Makes room in a full stack, and pushes, if the frame is one of the stack's region that a caller
// has. Preemption is off.
static bool push_after_drain(struct frames *frames, struct frames_cache *cache, uintptr_t address)
{
    const uint64_t offset = address - cache->origin;
    const uint64_t number = offset >> PAGE_SHIFT | offset << (64 - PAGE_SHIFT);
    if (number >= cache->frame_limit ||
        (frames_map_get(cache->map, (uint32_t)number) & FRAMES_MAP_HANDED) == 0)
        return false;
    if (frames_cache_depth(cache) == FRAMES_STACK)
        drain(frames, cache, FRAMES_BATCH);
    const uint64_t state = __atomic_load_n(&cache->state, __ATOMIC_RELAXED);
    frames_map_set(cache->map, (uint32_t)number, FRAMES_MAP_STACK);
    cache->numbers[depth_of(state)] = (uint32_t)number;
    __atomic_store_n(&cache->state, state + 1, __ATOMIC_RELAXED);
    return true;
}

COLD enum status frames_release_one_slow(struct frames *frames, uintptr_t address)
{
    cpu_preempt_disable();
    struct frames_cache *cache = frames_cache_here(frames);
    const bool wanted = __atomic_load_n(&cache->drain_wanted, __ATOMIC_RELAXED) != 0;
    if (wanted)
        drain_all(frames, cache);
    const bool pushed = !wanted && push_after_drain(frames, cache, address);
    cpu_preempt_enable();
    return pushed ? STATUS_OK : frames_release(frames, address, 1);
}
