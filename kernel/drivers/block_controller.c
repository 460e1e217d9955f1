// SPDX-License-Identifier: MIT
#include "block_controller.h"

#include "assert.h"

// Of the window's rate in the average: 1 / 32 each bucket, so that it looks back some 3 s.
#define AVERAGE_SHIFT 5
#define PLACES        10 // binary, of fractions of a bucket

void block_controller_init(struct block_controller *controller, uint64_t now, uint64_t hz,
                           uint64_t low, uint64_t high)
{
    assert(hz >= 1000 && low > 0 && low < high && high <= UINT32_MAX);
    *controller = (struct block_controller){
        .bucket_end = now + hz / BLOCK_BUCKETS,
        .mode = BLOCK_INTERRUPT,
        .bucket_ticks = hz / BLOCK_BUCKETS,
        .high = high,
        .low = low,
        .mode_since = now,
    };
}

// Puts a bucket in front and lets the oldest one go.
static void close_bucket(struct block_controller *controller, struct block_load load)
{
    controller->newest = (controller->newest + 1) % BLOCK_BUCKETS;
    struct block_load *oldest = &controller->buckets[controller->newest];
    controller->past.operations += load.operations - oldest->operations;
    controller->past.mergeable += load.mergeable - oldest->mergeable;
    *oldest = load;
    if (controller->filled < BLOCK_BUCKETS)
        controller->filled++;
}

// Up: what is clearly above, or not clearly below and above on the average. Down: the mirror image,
// with a gap below the threshold that the noise of the average does not cross.
static bool above(const struct block_controller *controller, uint64_t threshold, bool is_above)
{
    const uint64_t band = threshold / BLOCK_BAND_DIVISOR;
    if (controller->rate > threshold + band)
        return true;
    if (controller->rate < threshold - band)
        return false;
    if (is_above)
        return controller->average >= threshold - threshold / BLOCK_GAP_DIVISOR;
    return controller->average > threshold;
}

enum block_mode block_controller_decide(const struct block_controller *controller)
{
    // A half to begin with, three eighths to go on; and more than a few.
    const uint64_t operations = controller->past.operations;
    const uint64_t needed = controller->mode == BLOCK_BATCH ? 3 * operations : 4 * operations;
    if (operations >= BLOCK_BATCH_EVIDENCE && 8u * (uint64_t)controller->past.mergeable >= needed)
        return BLOCK_BATCH;
    const enum block_mode by_rate = controller->by_rate;
    if (above(controller, controller->high, by_rate == BLOCK_POLLING))
        return BLOCK_POLLING;
    if (above(controller, controller->low, by_rate != BLOCK_INTERRUPT))
        return BLOCK_HYBRID;
    return BLOCK_INTERRUPT;
}

// The average follows the window's rate, at once where that has changed by more than noise does.
static void average(struct block_controller *controller)
{
    const uint64_t rate = controller->rate, before = controller->average;
    const uint64_t apart = rate > before ? rate - before : before - rate;
    if (apart > before / BLOCK_BAND_DIVISOR)
        controller->average = rate;
    else if (rate > before)
        controller->average += (apart + (1u << AVERAGE_SHIFT) - 1) >> AVERAGE_SHIFT;
    else
        controller->average -= apart >> AVERAGE_SHIFT;
}

enum block_mode block_controller_turn(struct block_controller *controller, uint64_t now)
{
    if (now < controller->bucket_end)
        return controller->mode;
    const uint64_t ended = 1 + (now - controller->bucket_end) / controller->bucket_ticks;
    controller->bucket_end += ended * controller->bucket_ticks;
    close_bucket(controller, controller->now);
    controller->now = (struct block_load){0};
    for (uint64_t i = 1; i < ended && i <= BLOCK_BUCKETS; i++)
        close_bucket(controller, (struct block_load){0});
    // Buckets are tenths of the second that rates are of.
    controller->rate = (uint64_t)controller->past.operations * BLOCK_BUCKETS / controller->filled;
    average(controller);
    if (!controller->fixed) {
        controller->statistics.decisions++;
        block_controller_switch(controller, block_controller_decide(controller), now);
    }
    return controller->mode;
}

uint64_t block_controller_rate(const struct block_controller *controller, uint64_t now)
{
    const uint64_t bucket = controller->bucket_ticks;
    const uint64_t begun = controller->bucket_end - bucket;
    const uint64_t elapsed = now > begun ? now - begun : 0;
    // Of the window that ends now, whole buckets have left on the far side, and a part of one.
    const uint64_t ended = min_u64(elapsed / bucket, BLOCK_BUCKETS + 1);
    const uint64_t part = ((elapsed % bucket) << PLACES) / bucket;
    uint64_t operations = (uint64_t)controller->now.operations << PLACES;
    if (ended > BLOCK_BUCKETS)
        return 0;
    if (ended == BLOCK_BUCKETS)
        operations = (operations >> PLACES) * ((1u << PLACES) - part);
    for (uint64_t age = 0; age + ended < BLOCK_BUCKETS; age++) {
        const uint64_t at = (controller->newest + BLOCK_BUCKETS - age) % BLOCK_BUCKETS;
        const uint64_t share =
            age + ended == BLOCK_BUCKETS - 1 ? (1u << PLACES) - part : 1u << PLACES;
        operations += controller->buckets[at].operations * share;
    }
    uint64_t window = (controller->filled + ended) << PLACES;
    window = min_u64(max_u64(window + part, 1u << PLACES), BLOCK_BUCKETS << PLACES);
    return min_u64(operations * BLOCK_BUCKETS / window, UINT32_MAX);
}

void block_controller_switch(struct block_controller *controller, enum block_mode mode,
                             uint64_t now)
{
    assert(mode < BLOCK_MODES);
    if (mode != BLOCK_BATCH)
        controller->by_rate = mode;
    if (mode == controller->mode)
        return;
    struct block_controller_statistics *statistics = &controller->statistics;
    if (now > controller->mode_since) {
        statistics->ticks_in[controller->mode] += now - controller->mode_since;
        controller->mode_since = now;
    }
    statistics->switches++;
    statistics->operations_in[controller->mode] += controller->operations - controller->counted;
    controller->counted = controller->operations;
    controller->mode = mode;
}

void block_controller_statistics(const struct block_controller *controller, uint64_t now,
                                 struct block_controller_statistics *statistics)
{
    *statistics = controller->statistics;
    statistics->operations = controller->operations;
    statistics->operations_in[controller->mode] += controller->operations - controller->counted;
    if (now > controller->mode_since)
        statistics->ticks_in[controller->mode] += now - controller->mode_since;
}

unsigned block_mode_priority(enum block_mode mode)
{
    static const uint8_t priorities[BLOCK_MODES] = {
        [BLOCK_POLLING] = 4, [BLOCK_HYBRID] = 3, [BLOCK_INTERRUPT] = 2, [BLOCK_BATCH] = 1};
    assert(mode < BLOCK_MODES);
    return priorities[mode];
}

const char *block_mode_name(enum block_mode mode)
{
    static const char *const names[BLOCK_MODES] = {"interrupt", "polling", "hybrid", "batch"};
    assert(mode < BLOCK_MODES);
    return names[mode];
}
