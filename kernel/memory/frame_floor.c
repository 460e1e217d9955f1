// SPDX-License-Identifier: MIT
#include "frame_floor.h"

#define RUN_BYTES ((uint64_t)FRAME_FLOOR_RUN * PAGE_SIZE)

// Where the singles end and the runs begin: half of the range, on a boundary of runs. A range too
// short for a run is all singles.
static uint64_t middle(uint64_t start, uint64_t length)
{
    const uint64_t end = start + length, half = align_up(start + length / 2, RUN_BYTES);
    return half < end && end - half >= RUN_BYTES ? half : end;
}

static uint64_t single_count(uint64_t start, uint64_t length)
{
    return (middle(start, length) - start) / PAGE_SIZE;
}

static uint64_t run_count(uint64_t start, uint64_t length)
{
    return (start + length - middle(start, length)) / RUN_BYTES;
}

size_t frame_floor_metadata_bytes(uintptr_t start, uint64_t length)
{
    if (start % PAGE_SIZE != 0 || length % PAGE_SIZE != 0 || length == 0 || start + length < start)
        return 0;
    return (single_count(start, length) + run_count(start, length)) * sizeof(uintptr_t);
}

enum status frame_floor_init(void *state, uintptr_t start, uint64_t length, void *metadata,
                             size_t metadata_length)
{
    struct frame_floor *floor = state;
    const size_t bytes = frame_floor_metadata_bytes(start, length);
    if (bytes == 0 || (uintptr_t)metadata % PAGE_SIZE != 0)
        return STATUS_INVALID;
    if (metadata_length < bytes)
        return STATUS_NO_MEMORY;
    const uint64_t singles = single_count(start, length), runs = run_count(start, length);
    floor->singles.bottom = metadata;
    floor->runs.bottom = floor->singles.bottom + singles;
    floor->singles.next = floor->singles.bottom + singles;
    floor->runs.next = floor->runs.bottom + runs;
    // The lowest address on top.
    for (uint64_t i = 0; i < singles; i++)
        floor->singles.bottom[i] = start + (singles - 1 - i) * PAGE_SIZE;
    for (uint64_t i = 0; i < runs; i++)
        floor->runs.bottom[i] = middle(start, length) + (runs - 1 - i) * RUN_BYTES;
    return STATUS_OK;
}

void frame_floor_statistics(const void *state, struct frame_statistics *statistics)
{
    (void)state;
    *statistics = (struct frame_statistics){0};
}

bool frame_floor_check(const void *state)
{
    const struct frame_floor *floor = state;
    return floor->singles.next >= floor->singles.bottom &&
           floor->singles.next <= floor->runs.bottom && floor->runs.next >= floor->runs.bottom;
}
