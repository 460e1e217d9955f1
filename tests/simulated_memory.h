// SPDX-License-Identifier: MIT
// Physical memory of tests: frames that can run out at a chosen moment, and that are filled with
// junk when they are given back.
#ifndef SIMULATED_MEMORY_H
#define SIMULATED_MEMORY_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "page_map.h"

// Check's own assertions write to a file each time: too slow for what runs millions of times.
#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("%s", "not so: " #condition);                                             \
    } while (0)

// Physical addresses begin at 4 KiB: 0 says that there is no frame.
struct simulated_memory {
    uint8_t *bytes; // of frame 0
    uint64_t *free; // stack of physical addresses
    bool *taken;    // by frame
    size_t frames, free_count, live;
    // Allocations until one fails, 0: the next one does; SIZE_MAX: none does. `for_good`: and all
    // after it.
    size_t until_failure;
    bool for_good;
};

static inline uint64_t simulated_allocate(void *context)
{
    struct simulated_memory *memory = context;
    if (memory->until_failure == 0) {
        if (!memory->for_good)
            memory->until_failure = SIZE_MAX;
        return 0;
    }
    if (memory->until_failure != SIZE_MAX)
        memory->until_failure--;
    if (memory->free_count == 0)
        return 0;
    const uint64_t frame = memory->free[--memory->free_count];
    must(!memory->taken[frame / 4096]);
    memory->taken[frame / 4096] = true;
    memset(memory->bytes + frame, 0, 4096);
    memory->live++;
    return frame;
}

static inline void simulated_release(void *context, uint64_t frame)
{
    struct simulated_memory *memory = context;
    must(frame % 4096 == 0 && frame / 4096 < memory->frames && memory->taken[frame / 4096]);
    memory->taken[frame / 4096] = false;
    memset(memory->bytes + frame, 0xa6, 4096); // nothing present, and nothing 0
    memory->free[memory->free_count++] = frame;
    memory->live--;
}

static inline void simulated_make(struct simulated_memory *memory, size_t frames)
{
    *memory = (struct simulated_memory){.frames = frames, .until_failure = SIZE_MAX};
    memory->bytes = aligned_alloc(4096, frames * 4096);
    memory->free = malloc(frames * sizeof(*memory->free));
    memory->taken = calloc(frames, sizeof(*memory->taken));
    must(memory->bytes != NULL && memory->free != NULL && memory->taken != NULL);
    for (size_t i = frames - 1; i > 0; i--)
        memory->free[memory->free_count++] = i * 4096;
}

static inline void simulated_unmake(struct simulated_memory *memory)
{
    free(memory->bytes);
    free(memory->free);
    free(memory->taken);
}

// Where frames are reached at one distance, the faster way of page_memory.
static inline struct page_memory simulated_page_memory(struct simulated_memory *memory)
{
    return (struct page_memory){.context = memory,
                                .allocate = simulated_allocate,
                                .release = simulated_release,
                                .direct = (uintptr_t)memory->bytes};
}

#endif
