// SPDX-License-Identifier: MIT
#include "frame_bitmap_scan.h"

#include "compiler.h"
#include "cpu.h"
#include "string.h"

#define LENGTH_MOST ((uint64_t)PAGE_SIZE << 34)
#define WORD_BITS   64u

static void enter(struct frame_bitmap_scan *bitmap)
{
    cpu_preempt_disable();
    spinlock_acquire(&bitmap->lock);
    bitmap->counts.locks++;
}

static void leave(struct frame_bitmap_scan *bitmap)
{
    spinlock_release(&bitmap->lock);
    cpu_preempt_enable();
}

static uint64_t words_of(uint64_t frames)
{
    return (frames + WORD_BITS - 1) / WORD_BITS;
}

size_t frame_bitmap_scan_metadata_bytes(uintptr_t start, uint64_t length)
{
    if (start % PAGE_SIZE != 0 || length % PAGE_SIZE != 0 || length == 0 || length > LENGTH_MOST ||
        start + length < start)
        return 0;
    return words_of(length >> PAGE_SHIFT) * sizeof(uint64_t);
}

// The bits of [from, from + count) that lie in the word of `from`.
static uint64_t mask_at(uint64_t from, uint64_t count)
{
    const uint64_t first = from % WORD_BITS, room = WORD_BITS - first;
    return (count < room ? (1ull << count) - 1 : ~0ull >> first) << first;
}

static void set(uint64_t *bits, uint64_t from, uint64_t count, bool free)
{
    while (count > 0) {
        const uint64_t mask = mask_at(from, count);
        uint64_t *const word = &bits[from / WORD_BITS];
        *word = free ? *word | mask : *word & ~mask;
        const uint64_t done = min_u64(count, WORD_BITS - from % WORD_BITS);
        from += done;
        count -= done;
    }
}

// The first frame from `from` on, below `limit`, that is free or that is not; `limit` if all of
// them are otherwise.
static uint64_t next(const uint64_t *bits, uint64_t from, uint64_t limit, bool free)
{
    while (from < limit) {
        const uint64_t word = bits[from / WORD_BITS];
        const uint64_t wanted = (free ? word : ~word) & mask_at(from, limit - from);
        if (wanted != 0)
            return from / WORD_BITS * WORD_BITS + (uint64_t)__builtin_ctzll(wanted);
        from = (from / WORD_BITS + 1) * WORD_BITS;
    }
    return limit;
}

enum status frame_bitmap_scan_init(void *state, uintptr_t start, uint64_t length, void *metadata,
                                   size_t metadata_length)
{
    struct frame_bitmap_scan *bitmap = state;
    const size_t bytes = frame_bitmap_scan_metadata_bytes(start, length);
    if (bytes == 0 || (uintptr_t)metadata % PAGE_SIZE != 0)
        return STATUS_INVALID;
    if (metadata_length < bytes)
        return STATUS_NO_MEMORY;
    const uint64_t frames = length >> PAGE_SHIFT;
    *bitmap = (struct frame_bitmap_scan){.start = start,
                                         .frames = frames,
                                         .free = metadata,
                                         .counts = {.present = frames, .free = frames}};
    memset(bitmap->free, 0, bytes);
    set(bitmap->free, 0, frames, true);
    return STATUS_OK;
}

// The first frame of the first run that fits; `frames` if there is none. Runs of a power of two are
// aligned as addresses.
static uint64_t first_fit(const struct frame_bitmap_scan *bitmap, uint64_t count)
{
    const uint64_t alignment = (count & (count - 1)) == 0 ? count : 1;
    const uint64_t skew = bitmap->start >> PAGE_SHIFT & (alignment - 1);
    uint64_t from = 0;
    while ((from = next(bitmap->free, from, bitmap->frames, true)) < bitmap->frames) {
        from = align_up(from + skew, alignment) - skew;
        if (from >= bitmap->frames || bitmap->frames - from < count)
            break;
        const uint64_t used = next(bitmap->free, from, from + count, false);
        if (used == from + count)
            return from;
        from = used;
    }
    return bitmap->frames;
}

bool frame_bitmap_scan_allocate(void *state, uint64_t count, uintptr_t *address)
{
    struct frame_bitmap_scan *bitmap = state;
    enter(bitmap);
    const uint64_t frame = count <= bitmap->counts.free ? first_fit(bitmap, count) : bitmap->frames;
    const bool served = frame < bitmap->frames;
    if (served) {
        set(bitmap->free, frame, count, false);
        *address = bitmap->start + (frame << PAGE_SHIFT);
        bitmap->counts.free -= count;
    }
    bitmap->counts.allocations += served;
    bitmap->counts.failures += !served;
    leave(bitmap);
    return served;
}

enum status frame_bitmap_scan_release(void *state, uintptr_t address, uint64_t count)
{
    struct frame_bitmap_scan *bitmap = state;
    const uint64_t frame = (address - bitmap->start) >> PAGE_SHIFT;
    if (count == 0)
        return STATUS_INVALID;
    if (address < bitmap->start || frame >= bitmap->frames || count > bitmap->frames - frame)
        return STATUS_FOREIGN;
    if (address % PAGE_SIZE != 0)
        return STATUS_INVALID;
    enum status status = STATUS_DOUBLE;
    enter(bitmap);
    if (next(bitmap->free, frame, frame + count, true) == frame + count) {
        set(bitmap->free, frame, count, true);
        bitmap->counts.free += count;
        bitmap->counts.releases++;
        status = STATUS_OK;
    }
    leave(bitmap);
    return status;
}

void frame_bitmap_scan_statistics(const void *state, struct frame_statistics *statistics)
{
    const struct frame_bitmap_scan *bitmap = state;
    struct frame_runs runs = {0};
    for (uint64_t frame = 0; frame < bitmap->frames;) {
        const bool free = bitmap->free[frame / WORD_BITS] >> frame % WORD_BITS & 1;
        const uint64_t end = next(bitmap->free, frame, bitmap->frames, !free);
        frame_runs_add(&runs, free, end - frame);
        frame = end;
    }
    *statistics =
        frame_statistics_of(&bitmap->counts, words_of(bitmap->frames) * sizeof(uint64_t), &runs);
}

bool frame_bitmap_scan_check(const void *state)
{
    const struct frame_bitmap_scan *bitmap = state;
    uint64_t free = 0;
    for (uint64_t word = 0; word < words_of(bitmap->frames); word++)
        free += (uint64_t)__builtin_popcountll(bitmap->free[word]);
    const uint64_t behind = bitmap->frames % WORD_BITS;
    return free == bitmap->counts.free && bitmap->lock.held == 0 &&
           (behind == 0 || bitmap->free[words_of(bitmap->frames) - 1] >> behind == 0);
}
