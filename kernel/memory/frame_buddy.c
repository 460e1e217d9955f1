// SPDX-License-Identifier: MIT
#include "frame_buddy.h"

#include "assert.h"
#include "compiler.h"
#include "cpu.h"

#define HIGHEST (BUDDY_ORDERS - 1)

static void enter(struct frame_buddy *state)
{
    cpu_preempt_disable();
    spinlock_acquire(&state->lock);
    state->counts.locks++;
}

static void leave(struct frame_buddy *state)
{
    spinlock_release(&state->lock);
    cpu_preempt_enable();
}

size_t frame_buddy_metadata_bytes(uintptr_t start, uint64_t length)
{
    return buddy_metadata_bytes(start, length, HIGHEST);
}

enum status frame_buddy_init(void *state_, uintptr_t start, uint64_t length, void *metadata,
                             size_t metadata_length)
{
    struct frame_buddy *state = state_;
    if ((uintptr_t)metadata % PAGE_SIZE != 0)
        return STATUS_INVALID;
    enum status status =
        buddy_init(&state->buddy, start, length, HIGHEST, metadata, metadata_length);
    if (status == STATUS_OK)
        status = buddy_add(&state->buddy, start, length);
    if (status != STATUS_OK)
        return status;
    spinlock_init(&state->lock);
    const uint64_t frames = length >> PAGE_SHIFT;
    state->counts = (struct frame_counts){.present = frames, .free = frames};
    state->metadata_bytes = frame_buddy_metadata_bytes(start, length);
    return STATUS_OK;
}

// The blocks that `count` frames from a block's start on are made of lie largest first, as the bits
// of `count`. This is the last one; at `offset` frames.
static unsigned last_block(uint64_t count, uint64_t *offset)
{
    *offset = count & (count - 1);
    return (unsigned)__builtin_ctzll(count);
}

static void give_tail_back(struct buddy *buddy, uintptr_t address, uint64_t from, uint64_t to)
{
    while (from < to) { // smallest block first: each is aligned to its size
        const unsigned order = (unsigned)__builtin_ctzll(from);
        const enum status status = buddy_free(buddy, address + from * PAGE_SIZE, order);
        assert(status == STATUS_OK);
        from += 1ull << order;
    }
}

bool frame_buddy_allocate(void *state_, uint64_t count, uintptr_t *address)
{
    struct frame_buddy *state = state_;
    const unsigned order = count == 1 ? 0 : log2_u64(count - 1) + 1;
    enter(state);
    const bool served = count <= 1ull << HIGHEST && buddy_allocate(&state->buddy, order, address);
    if (served) {
        if (UNLIKELY((count & (count - 1)) != 0))
            give_tail_back(&state->buddy, *address, count, 1ull << order);
        state->counts.allocations++;
        state->counts.free -= count;
    } else {
        state->counts.failures++;
    }
    leave(state);
    return served;
}

// Last block first: where a run is said to be longer than it is, that one is wrong and nothing has
// changed yet.
static enum status release_blocks(struct buddy *buddy, uintptr_t address, uint64_t count)
{
    uint64_t offset;
    do {
        const unsigned order = last_block(count, &offset);
        const enum status status = buddy_free(buddy, address + offset * PAGE_SIZE, order);
        if (status != STATUS_OK)
            return status;
        count = offset;
    } while (count > 0);
    return STATUS_OK;
}

enum status frame_buddy_release(void *state_, uintptr_t address, uint64_t count)
{
    struct frame_buddy *state = state_;
    if (count == 0 || count > 1ull << HIGHEST)
        return STATUS_INVALID;
    enter(state);
    const enum status status = release_blocks(&state->buddy, address, count);
    if (status == STATUS_OK) {
        state->counts.releases++;
        state->counts.free += count;
    }
    leave(state);
    return status;
}

// Frames of the free block that begins at `frame`; 0 if none does.
static uint64_t free_block(const struct buddy *buddy, uint32_t frame)
{
    const unsigned aligned = frame == 0 ? buddy->highest : (unsigned)__builtin_ctz(frame);
    for (unsigned order = 0; order <= min_u64(aligned, buddy->highest); order++) {
        const uint32_t block = frame >> order;
        if (buddy->free_bits[order][block / 64] >> (block % 64) & 1)
            return 1ull << order;
    }
    return 0;
}

void frame_buddy_statistics(const void *state_, struct frame_statistics *statistics)
{
    const struct frame_buddy *state = state_;
    const struct buddy *buddy = &state->buddy;
    struct frame_runs runs = {0};
    for (uint32_t frame = buddy->first; frame < buddy->limit;) {
        const uint64_t frames = free_block(buddy, frame);
        frame_runs_add(&runs, frames > 0, frames);
        frame += (uint32_t)max_u64(frames, 1);
    }
    *statistics = frame_statistics_of(&state->counts, state->metadata_bytes, &runs);
}

bool frame_buddy_check(const void *state_)
{
    const struct frame_buddy *state = state_;
    return buddy_check(&state->buddy) && buddy_free_frames(&state->buddy) == state->counts.free &&
           state->lock.held == 0;
}
