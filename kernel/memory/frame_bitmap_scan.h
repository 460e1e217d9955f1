// SPDX-License-Identifier: MIT
// A bit a frame, behind a lock: each request scans from the first word on for the first run that
// fits. Small and without waste; its cost grows with what is in use in front of the gap.
#ifndef FRAME_BITMAP_SCAN_H
#define FRAME_BITMAP_SCAN_H

#include "frame.h"
#include "frame_runs.h"
#include "spinlock.h"

struct frame_bitmap_scan {
    struct spinlock lock;
    // Under the lock, all of it.
    struct frame_counts counts;
    uintptr_t start;
    uint64_t frames;
    uint64_t *free; // a set bit is a free frame; behind the last frame all are clear
} CACHE_ALIGNED;

size_t frame_bitmap_scan_metadata_bytes(uintptr_t start, uint64_t length);
enum status frame_bitmap_scan_init(void *state, uintptr_t start, uint64_t length, void *metadata,
                                   size_t metadata_length);
bool frame_bitmap_scan_allocate(void *state, uint64_t count, uintptr_t *address);
// Knows which frames are free, but not where a run began: it believes the caller's `count`.
enum status frame_bitmap_scan_release(void *state, uintptr_t address, uint64_t count);
void frame_bitmap_scan_statistics(const void *state, struct frame_statistics *statistics);
bool frame_bitmap_scan_check(const void *state);

static const struct frame_ops frame_bitmap_scan_ops = {
    .about = {.name = "bitmap_scan",
              .what = "first fit in a bitmap from its first word on, behind a lock",
              .role = VARIANT_PRODUCT},
    .state_bytes = sizeof(struct frame_bitmap_scan),
    .run_longest = 1ull << 34,
    .metadata_bytes = frame_bitmap_scan_metadata_bytes,
    .init = frame_bitmap_scan_init,
    .allocate = frame_bitmap_scan_allocate,
    .release = frame_bitmap_scan_release,
    .statistics = frame_bitmap_scan_statistics,
    .check = frame_bitmap_scan_check,
};

#endif
