// SPDX-License-Identifier: MIT
// The buddy of buddy.h behind one lock: what the other levels of an allocator are worth is seen
// against it. A run whose length is no power of two gives its tail back at once.
#ifndef FRAME_BUDDY_H
#define FRAME_BUDDY_H

#include "buddy.h"
#include "frame.h"
#include "frame_runs.h"
#include "spinlock.h"

struct frame_buddy {
    struct spinlock lock;
    // Under the lock, all of it.
    struct frame_counts counts;
    struct buddy buddy;
    uint64_t metadata_bytes;
} CACHE_ALIGNED;

size_t frame_buddy_metadata_bytes(uintptr_t start, uint64_t length);
enum status frame_buddy_init(void *state, uintptr_t start, uint64_t length, void *metadata,
                             size_t metadata_length);
bool frame_buddy_allocate(void *state, uint64_t count, uintptr_t *address);
// A `count` larger than what was asked for is found out unless live runs happen to lie behind it.
enum status frame_buddy_release(void *state, uintptr_t address, uint64_t count);
void frame_buddy_statistics(const void *state, struct frame_statistics *statistics);
bool frame_buddy_check(const void *state);

static const struct frame_ops frame_buddy_ops = {
    .about = {.name = "buddy",
              .what = "buddy with its metadata outside the frames, behind one lock",
              .role = VARIANT_PRODUCT},
    .state_bytes = sizeof(struct frame_buddy),
    .run_longest = 1ull << (BUDDY_ORDERS - 1),
    .metadata_bytes = frame_buddy_metadata_bytes,
    .init = frame_buddy_init,
    .allocate = frame_buddy_allocate,
    .release = frame_buddy_release,
    .statistics = frame_buddy_statistics,
    .check = frame_buddy_check,
};

#endif
