// SPDX-License-Identifier: MIT
#include "frame_hybrid.h"

#include "buddy.h"

static struct frames_config config_of(const struct numa *numa)
{
    return (struct frames_config){
        .numa = numa, .cpus = CPU_MOST, .lend_order = 9, .keep = FRAMES_MARK_WHOLE / 4};
}

static bool whole_pages(uintptr_t start, uint64_t length)
{
    return start % PAGE_SIZE == 0 && length % PAGE_SIZE == 0 && start != 0 && length > 0 &&
           length <= BUDDY_SPAN_LIMIT;
}

size_t frame_hybrid_metadata_bytes(uintptr_t start, uint64_t length)
{
    struct numa numa;
    const struct frames_range range = {.start = start, .length = length};
    numa_init(&numa);
    const struct frames_config config = config_of(&numa);
    return whole_pages(start, length) ? frames_metadata_bytes(&config, &range, 1) : 0;
}

enum status frame_hybrid_init(void *state, uintptr_t start, uint64_t length, void *metadata,
                              size_t metadata_length)
{
    struct frame_hybrid *hybrid = state;
    const struct frames_range range = {.start = start, .length = length};
    numa_init(&hybrid->numa);
    const struct frames_config config = config_of(&hybrid->numa);
    if (!whole_pages(start, length))
        return STATUS_INVALID;
    return frames_init(&hybrid->frames, &config, &range, 1, metadata, metadata_length);
}

bool frame_hybrid_allocate_run(struct frame_hybrid *hybrid, uint64_t count, uintptr_t *address)
{
    const struct frames_request request = {.count = count};
    return frames_allocate(&hybrid->frames, &request, address) == STATUS_OK;
}

void frame_hybrid_statistics(const void *state, struct frame_statistics *statistics)
{
    const struct frame_hybrid *hybrid = state;
    struct frames_statistics all;
    struct frames_fragmentation runs;
    frames_statistics(&hybrid->frames, &all); // first: the walk takes locks
    frames_fragmentation(&hybrid->frames, &runs);
    *statistics = (struct frame_statistics){
        .present = all.present,
        .free = all.free,
        .allocations = all.allocations,
        .releases = all.releases,
        .failures = all.failures,
        .locks = all.locks,
        .metadata_bytes = all.metadata_bytes,
        .largest_run = runs.largest,
        .free_runs = runs.runs,
    };
}

bool frame_hybrid_check(const void *state)
{
    return frames_check(&((const struct frame_hybrid *)state)->frames);
}
