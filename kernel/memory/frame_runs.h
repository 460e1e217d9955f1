// SPDX-License-Identifier: MIT
// Counts the free runs of a range while somebody walks it, lowest frame first.
#ifndef FRAME_RUNS_H
#define FRAME_RUNS_H

#include <stdbool.h>
#include <stdint.h>

#include "frame.h"

struct frame_runs {
    uint64_t current, largest; // frames
    uint64_t count;            // runs
};

// The next `frames` frames are free, or not.
static inline void frame_runs_add(struct frame_runs *runs, bool free, uint64_t frames)
{
    if (!free) {
        runs->current = 0;
        return;
    }
    runs->count += runs->current == 0;
    runs->current += frames;
    if (runs->current > runs->largest)
        runs->largest = runs->current;
}

// What an allocator with one lock counts; under that lock, all of it.
struct frame_counts {
    uint64_t present, free;
    uint64_t allocations, releases, failures;
    uint64_t locks;
};

static inline struct frame_statistics frame_statistics_of(const struct frame_counts *counts,
                                                          uint64_t metadata_bytes,
                                                          const struct frame_runs *runs)
{
    return (struct frame_statistics){
        .present = counts->present,
        .free = counts->free,
        .allocations = counts->allocations,
        .releases = counts->releases,
        .failures = counts->failures,
        .locks = counts->locks,
        .metadata_bytes = metadata_bytes,
        .largest_run = runs->largest,
        .free_runs = runs->count,
    };
}

#endif
