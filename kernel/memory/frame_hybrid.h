// SPDX-License-Identifier: MIT
// The hybrid allocator as a variant of frame.h: one range, one node, one zone, no reserve and no
// watermarks. For all CPUs there may be, so that a range of a few MiB has more metadata than its
// share: 40 KiB for the stacks.
#ifndef FRAME_HYBRID_H
#define FRAME_HYBRID_H

#include "frame.h"
#include "frames.h"

struct frame_hybrid {
    struct frames frames;
    struct numa numa;
} CACHE_ALIGNED;

size_t frame_hybrid_metadata_bytes(uintptr_t start, uint64_t length);
enum status frame_hybrid_init(void *state, uintptr_t start, uint64_t length, void *metadata,
                              size_t metadata_length);
bool frame_hybrid_allocate_run(struct frame_hybrid *hybrid, uint64_t count, uintptr_t *address);
void frame_hybrid_statistics(const void *state, struct frame_statistics *statistics);
bool frame_hybrid_check(const void *state);

ALWAYS_INLINE bool frame_hybrid_allocate(void *state, uint64_t count, uintptr_t *address)
{
    struct frame_hybrid *hybrid = state;
    if (LIKELY(count == 1))
        return frames_allocate_one(&hybrid->frames, address) == STATUS_OK;
    return frame_hybrid_allocate_run(hybrid, count, address);
}

ALWAYS_INLINE enum status frame_hybrid_release(void *state, uintptr_t address, uint64_t count)
{
    struct frame_hybrid *hybrid = state;
    if (LIKELY(count == 1))
        return frames_release_one(&hybrid->frames, address);
    return frames_release(&hybrid->frames, address, count);
}

static const struct frame_ops frame_hybrid_ops = {
    .about = {.name = "hybrid",
              .what =
                  "stacks of single frames, lock-free bitmap below 512 frames, buddy from there",
              .role = VARIANT_PRODUCT},
    .state_bytes = sizeof(struct frame_hybrid),
    .run_longest = FRAMES_LARGEST,
    .metadata_bytes = frame_hybrid_metadata_bytes,
    .init = frame_hybrid_init,
    .allocate = frame_hybrid_allocate,
    .release = frame_hybrid_release,
    .statistics = frame_hybrid_statistics,
    .check = frame_hybrid_check,
};

#endif
