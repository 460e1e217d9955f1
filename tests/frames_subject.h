// SPDX-License-Identifier: MIT
// A frames allocator over addresses that nobody touches, its metadata exactly as long as it asked
// for, so that the sanitizer sees a byte beyond it.
#ifndef FRAMES_SUBJECT_H
#define FRAMES_SUBJECT_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "frames.h"
#include "frames_zone.h"
#include "run_checks.h"
#include "seed.h"
#include "soak.h"
#include "test_platform.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

static struct numa subject_numa;
static void *subject_metadata;

static inline void frames_over(struct frames *frames, const struct frames_config *config,
                               const struct frames_range *ranges, unsigned count)
{
    const size_t bytes = frames_metadata_bytes(config, ranges, count);
    ck_assert_uint_gt(bytes, 0);
    free(subject_metadata);
    // Whole lines: what aligned_alloc() takes.
    ck_assert_uint_eq(bytes % CACHE_LINE, 0);
    subject_metadata = aligned_alloc(CACHE_LINE, bytes);
    memset(subject_metadata, 0xee, bytes);
    memset(frames, 0xee, sizeof(*frames));
    frames->ready = 0;
    ck_assert_int_eq(frames_init(frames, config, ranges, count, subject_metadata, bytes),
                     STATUS_OK);
    ck_assert(frames_check(frames));
}

// One node, `cpus` CPUs, no DMA zone, no marks.
static inline struct frames_config plain_config(unsigned cpus)
{
    numa_init(&subject_numa);
    return (struct frames_config){
        .numa = &subject_numa, .cpus = cpus, .lend_order = 9, .keep = FRAMES_MARK_WHOLE / 4};
}

static inline void plain_frames(struct frames *frames, uintptr_t start, uint64_t length)
{
    const struct frames_config config = plain_config(2);
    const struct frames_range range = {.start = start, .length = length};
    frames_over(frames, &config, &range, 1);
}

static inline void subject_tear_down(void)
{
    test_cpu_enter(0);
    free(subject_metadata);
    subject_metadata = NULL;
}

static inline struct frames_statistics statistics_of(const struct frames *frames)
{
    struct frames_statistics statistics;
    memset(&statistics, 0xee, sizeof statistics);
    frames_statistics(frames, &statistics);
    return statistics;
}

// All is free, and all of it is one with its buddies again.
static inline void expect_all_whole(struct frames *frames)
{
    for (unsigned cpu = 0; cpu < frames->cpus; cpu++)
        frames_cpu_leave(frames, cpu);
    for (unsigned i = 0; i < frames->region_count; i++) {
        struct frames_region *region = &frames->regions[i];
        frames_region_return_chunks(region, 0);
        ck_assert_uint_eq(frame_bitmap_free_frames(&region->bitmap), 0);
        ck_assert_uint_eq(region->buddy_free, (region->end - region->start) / PAGE_SIZE);
        // As few blocks as the region's ends allow: those a fresh buddy has.
        struct buddy fresh;
        const uint64_t length = region->end - region->start;
        const size_t bytes = buddy_metadata_bytes(region->start, length, BUDDY_ORDERS - 1);
        void *metadata = malloc(bytes);
        ck_assert_int_eq(
            buddy_init(&fresh, region->start, length, BUDDY_ORDERS - 1, metadata, bytes),
            STATUS_OK);
        ck_assert_int_eq(buddy_add(&fresh, region->start, length), STATUS_OK);
        for (unsigned order = 0; order < BUDDY_ORDERS; order++)
            ck_assert_uint_eq(buddy_free_blocks(&region->buddy, order),
                              buddy_free_blocks(&fresh, order));
        free(metadata);
    }
    ck_assert(frames_check(frames));
    const struct frames_statistics s = statistics_of(frames);
    ck_assert_uint_eq(s.free, s.present);
    ck_assert_uint_eq(s.stacked, 0);
}

#endif
