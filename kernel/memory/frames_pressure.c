// SPDX-License-Identifier: MIT
// Watermarks and what happens below them. `busy` belongs to whoever set it from 0 to 1: it may run
// call-backs or change their table. Nobody waits for it: who finds it set goes on without.
#include "frames_zone.h"

#include "assert.h"

static bool enter(struct frames *frames)
{
    // Acquire: the table as the last one to hold `busy` left it.
    return __atomic_exchange_n(&frames->busy, 1, __ATOMIC_ACQUIRE) == 0;
}

static void leave(struct frames *frames)
{
    // Release: pairs with the acquire above.
    __atomic_store_n(&frames->busy, 0, __ATOMIC_RELEASE);
}

static enum frames_level level_of(const struct frames_pool *pool)
{
    const int64_t available = frames_pool_available(pool);
    if (available >= pool->low)
        return FRAMES_ENOUGH;
    if (available >= pool->min)
        return FRAMES_LOW;
    return available >= pool->critical ? FRAMES_MIN : FRAMES_CRITICAL;
}

enum frames_level frames_level(const struct frames *frames)
{
    enum frames_level worst = FRAMES_ENOUGH;
    for (unsigned node = 0; node < frames->node_count; node++) {
        for (unsigned zone = 0; zone < FRAMES_ZONES; zone++) {
            const enum frames_level level = level_of(&frames->pools[node][zone]);
            if ((zone == FRAMES_ZONE_NORMAL || zone == FRAMES_ZONE_HIGH) && level > worst)
                worst = level;
        }
    }
    return worst;
}

// Calls what a level calls for, by priority, until `wanted` frames are free; each once at the most.
// `busy` is ours.
static uint64_t run(struct frames *frames, enum frames_level level, uint64_t wanted)
{
    static const enum frames_level from[] = {[FRAMES_SHRINK] = FRAMES_LOW,
                                             [FRAMES_EVICT] = FRAMES_MIN,
                                             [FRAMES_PRESSURE] = FRAMES_ENOUGH};
    const bool news = __atomic_exchange_n(&frames->told, level, __ATOMIC_RELAXED) != level;
    uint64_t freed = 0;
    for (unsigned i = 0; i < frames->callback_count; i++) {
        const struct frames_callback *callback = &frames->callbacks[i];
        const bool due = callback->kind == FRAMES_PRESSURE
                             ? news
                             : level >= from[callback->kind] && freed < wanted;
        if (!due)
            continue;
        __atomic_fetch_add(&frames->reclaims, 1, __ATOMIC_RELAXED);
        freed += callback->function(callback->context, level, wanted - min_u64(freed, wanted));
    }
    __atomic_fetch_add(&frames->reclaimed, freed, __ATOMIC_RELAXED);
    return freed;
}

uint64_t frames_pressure_help(struct frames *frames, enum frames_level level, uint64_t wanted)
{
    if (!enter(frames))
        return 0;
    const uint64_t freed = run(frames, level, wanted);
    leave(frames);
    return freed;
}

static void wake(struct frames *frames)
{
    // Read first: below the mark every slow path comes by. Relaxed: the flag protects nothing.
    if (frames->config.wake == NULL || __atomic_load_n(&frames->woken, __ATOMIC_RELAXED) != 0 ||
        __atomic_exchange_n(&frames->woken, 1, __ATOMIC_RELAXED) != 0)
        return;
    __atomic_fetch_add(&frames->wakes, 1, __ATOMIC_RELAXED);
    frames->config.wake(frames->config.wake_context);
}

void frames_pressure_look(struct frames *frames, const struct frames_pool *pool, uint16_t flags)
{
    const enum frames_level level = level_of(pool);
    if (LIKELY(level == FRAMES_ENOUGH))
        return;
    wake(frames);
    if ((flags & FRAMES_NO_RECLAIM) != 0)
        return;
    if (level == FRAMES_MIN)
        frames_pressure_help(frames, level, FRAMES_BATCH);
    else if (level == FRAMES_CRITICAL)
        frames_pressure_help(frames, level, (uint64_t)pool->low);
}

// Frames missing to the low marks, over all pools.
static uint64_t missing(const struct frames *frames)
{
    uint64_t sum = 0;
    for (unsigned node = 0; node < frames->node_count; node++) {
        for (unsigned zone = 0; zone < FRAMES_ZONES; zone++) {
            const struct frames_pool *pool = &frames->pools[node][zone];
            const int64_t available = frames_pool_available(pool);
            if (zone != FRAMES_ZONE_DEVICE && available < pool->low)
                sum += (uint64_t)(pool->low - available);
        }
    }
    return sum;
}

uint64_t frames_reclaim(struct frames *frames)
{
    if (!enter(frames))
        return 0;
    frames_cpu_drain(frames);
    const uint64_t freed = run(frames, frames_level(frames), missing(frames));
    // What the call-backs released lies in this CPU's stack.
    frames_cpu_drain(frames);
    if (frames_level(frames) == FRAMES_ENOUGH)
        run(frames, FRAMES_ENOUGH, 0); // tells PRESSURE that it is over
    __atomic_store_n(&frames->woken, 0, __ATOMIC_RELAXED);
    leave(frames);
    return freed;
}

enum status frames_register(struct frames *frames, const struct frames_callback *callback)
{
    assert(callback->function != NULL && callback->kind <= FRAMES_PRESSURE);
    if (!enter(frames))
        return STATUS_FULL;
    enum status status = STATUS_FULL;
    if (frames->callback_count < FRAMES_CALLBACKS) {
        unsigned at = frames->callback_count++;
        for (; at > 0 && frames->callbacks[at - 1].priority > callback->priority; at--)
            frames->callbacks[at] = frames->callbacks[at - 1];
        frames->callbacks[at] = *callback;
        status = STATUS_OK;
    }
    leave(frames);
    return status;
}

enum status frames_unregister(struct frames *frames, const struct frames_callback *callback)
{
    if (!enter(frames))
        return STATUS_FULL;
    enum status status = STATUS_EMPTY;
    for (unsigned i = 0; i < frames->callback_count; i++) {
        const struct frames_callback *found = &frames->callbacks[i];
        if (status == STATUS_OK)
            frames->callbacks[i - 1] = *found;
        else if (found->function == callback->function && found->context == callback->context)
            status = STATUS_OK;
    }
    frames->callback_count -= status == STATUS_OK;
    leave(frames);
    return status;
}
