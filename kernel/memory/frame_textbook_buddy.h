// SPDX-License-Identifier: MIT
// The baseline: the buddy system as textbooks have it (Knuth, The Art of Computer Programming,
// vol. 1, section 2.5, algorithms R and S), behind a lock.
//
//   links   of the list of free blocks of an order: doubly linked, inside the free frames. So each
//           split, join, allocation and release touches frames that are in nobody's cache
//   tag     a byte a frame, outside of it, as a frame in use belongs to its user entirely: free or
//           not, and the block's order; Knuth's TAG and KVAL
//
// A run is rounded up to a power of two: what is too much of it is lost until it is released.
#ifndef FRAME_TEXTBOOK_BUDDY_H
#define FRAME_TEXTBOOK_BUDDY_H

#include "frame.h"
#include "frame_runs.h"
#include "list.h"
#include "spinlock.h"

#define FRAME_TEXTBOOK_ORDERS 21u // 4 KiB to 4 GiB

struct frame_textbook_buddy {
    struct spinlock lock;
    // Under the lock, all of it.
    struct frame_counts counts;
    uintptr_t origin;      // of the numbers of frames: a multiple of the largest block
    uint64_t first, limit; // frames of the range
    unsigned highest;      // largest order
    uint8_t *tags;         // of the frames from `first` on
    struct list free[FRAME_TEXTBOOK_ORDERS];
} CACHE_ALIGNED;

size_t frame_textbook_buddy_metadata_bytes(uintptr_t start, uint64_t length);
enum status frame_textbook_buddy_init(void *state, uintptr_t start, uint64_t length, void *metadata,
                                      size_t metadata_length);
bool frame_textbook_buddy_allocate(void *state, uint64_t count, uintptr_t *address);
enum status frame_textbook_buddy_release(void *state, uintptr_t address, uint64_t count);
void frame_textbook_buddy_statistics(const void *state, struct frame_statistics *statistics);
bool frame_textbook_buddy_check(const void *state);

static const struct frame_ops frame_textbook_buddy_ops = {
    .about = {.name = "textbook_buddy",
              .what = "buddy with its lists inside the free frames, behind a lock: the baseline",
              .role = VARIANT_BASELINE},
    .state_bytes = sizeof(struct frame_textbook_buddy),
    .touches_frames = true,
    .run_longest = 1ull << (FRAME_TEXTBOOK_ORDERS - 1),
    .metadata_bytes = frame_textbook_buddy_metadata_bytes,
    .init = frame_textbook_buddy_init,
    .allocate = frame_textbook_buddy_allocate,
    .release = frame_textbook_buddy_release,
    .statistics = frame_textbook_buddy_statistics,
    .check = frame_textbook_buddy_check,
};

#endif
