// SPDX-License-Identifier: MIT
// The floor: the least code that hands out frames and takes them back. Two stacks of addresses, one
// of single frames and one of runs of 512, each with its half of the range; nothing is ever split
// or joined, checked or counted. A bound for others, not an allocator to use.
#ifndef FRAME_FLOOR_H
#define FRAME_FLOOR_H

#include "compiler.h"
#include "frame.h"

#define FRAME_FLOOR_RUN 512u // frames: what any request of more than one gets

// Grows towards higher entries: those below `next` are free.
struct frame_floor_stack {
    uintptr_t *next, *bottom;
};

struct frame_floor {
    struct frame_floor_stack singles, runs;
} CACHE_ALIGNED;

size_t frame_floor_metadata_bytes(uintptr_t start, uint64_t length);
enum status frame_floor_init(void *state, uintptr_t start, uint64_t length, void *metadata,
                             size_t metadata_length);
void frame_floor_statistics(const void *state, struct frame_statistics *statistics);
bool frame_floor_check(const void *state);

// 5 instructions: load, compare, branch, load the address, store.
ALWAYS_INLINE bool frame_floor_pop(struct frame_floor_stack *stack, uintptr_t *address)
{
    uintptr_t *next = stack->next;
    if (UNLIKELY(next == stack->bottom))
        return false;
    *address = *--next;
    stack->next = next;
    return true;
}

ALWAYS_INLINE bool frame_floor_allocate(void *state, uint64_t count, uintptr_t *address)
{
    struct frame_floor *floor = state;
    if (count == 1)
        return frame_floor_pop(&floor->singles, address);
    return count <= FRAME_FLOOR_RUN && frame_floor_pop(&floor->runs, address);
}

// 3 instructions: load, store the address, add.
ALWAYS_INLINE enum status frame_floor_release(void *state, uintptr_t address, uint64_t count)
{
    struct frame_floor *floor = state;
    struct frame_floor_stack *stack = count == 1 ? &floor->singles : &floor->runs;
    *stack->next++ = address;
    return STATUS_OK;
}

static const struct frame_ops frame_floor_ops = {
    .about = {.name = "floor",
              .what = "an array stack of frames and one of runs: no checks, no splits; a bound",
              .role = VARIANT_FLOOR},
    .state_bytes = sizeof(struct frame_floor),
    .one_thread = true,
    .run_longest = FRAME_FLOOR_RUN,
    .metadata_bytes = frame_floor_metadata_bytes,
    .init = frame_floor_init,
    .allocate = frame_floor_allocate,
    .release = frame_floor_release,
    .statistics = frame_floor_statistics,
    .check = frame_floor_check,
};

#endif
