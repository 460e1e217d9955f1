// SPDX-License-Identifier: MIT
// A lock-free bitmap of page frames, over chunks that somebody lends to it.
//
//   chunk    512 frames (2 MiB): eight words, one cache line, a bit a frame: set while it is free
//   lent     the chunk's frames are the bitmap's to hand out; else all its bits are clear
//   number   of a frame: chunk * 512 + its place there
//   run      frames behind each other inside one chunk, at most 511
//   hint     where the last search ended: the next one begins there
//   sparing  a search that leaves chunks alone that are free as a whole
//
// Rules for callers
//   threads    any number, on any CPUs, preempted anywhere: every call is lock-free, and bounded by
//              the chunks there are. A call that loses a race against others tries again, but not
//              for ever: under contention it may say "none" where a bit was free
//   search     one full turn from the hint, then false
//   runs       over several words they are claimed word by word; what was claimed is given back
//              when a word in between is lost to another call
//   order      what a CPU wrote into a frame before its release is visible to who gets it next
//   counts     right from the first call on whenever no call is inside, and never too high
//   misuse     a frame released while it is free is not counted again, and the call says so; the
//              rest of its run is released all the same: who wants to refuse it whole tests first
#ifndef FRAME_BITMAP_H
#define FRAME_BITMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"

#define FRAME_BITMAP_CHUNK  512u // frames
#define FRAME_BITMAP_WORDS  8u   // of a chunk
#define FRAME_BITMAP_CHUNKS (1u << 21)

// Eight words of a chunk, its line of its own.
struct frame_bitmap_chunk {
    uint64_t words[FRAME_BITMAP_WORDS];
} CACHE_ALIGNED;

_Static_assert(sizeof(struct frame_bitmap_chunk) == CACHE_LINE, "a search reads one line a chunk");

struct frame_bitmap {
    // Written at init.
    struct frame_bitmap_chunk *chunks;
    int32_t *counts;      // [chunk]: free frames; behind its bits, so that it may be too low
    uint64_t *lent;       // a bit a chunk
    uint64_t *some, *all; // a bit a chunk: has free frames; is free as a whole. Where to look first
    uint32_t chunk_count;

    // Any CPU, atomically.
    uint32_t hint CACHE_ALIGNED; // a chunk
    int32_t free_chunks;         // free as a whole
    uint64_t rollbacks;          // runs that lost a word to another call
};

// What to look for.
struct frame_bitmap_request {
    uint32_t count;     // frames of the run, 1 to 511
    uint32_t alignment; // frames, a power of two, at most 512
    uint32_t limit;     // number that the run's frames lie below; UINT32_MAX: any
    uint32_t tries;     // chunks looked into at the most, at least 1
    bool sparing;
    bool thorough; // trusts no summary: looks at every lent chunk
};

// Bytes of metadata, a multiple of the line; 0 if `chunks` is 0 or above FRAME_BITMAP_CHUNKS.
size_t frame_bitmap_metadata_bytes(uint32_t chunks);

// Nothing is lent. `metadata` is line-aligned, of frame_bitmap_metadata_bytes().
void frame_bitmap_init(struct frame_bitmap *bitmap, uint32_t chunks, void *metadata);

// Lends a chunk that is not lent; nobody else does the same to it now.
void frame_bitmap_lend(struct frame_bitmap *bitmap, uint32_t chunk);

// Takes a chunk back if all of it is free; false, and nothing changed, if it is not or not lent.
bool frame_bitmap_take_back(struct frame_bitmap *bitmap, uint32_t chunk);

// A chunk that was free as a whole a moment ago, from `from` on; false if there is none.
bool frame_bitmap_free_chunk(const struct frame_bitmap *bitmap, uint32_t from, uint32_t *chunk);

// Claims a run; says its first number.
bool frame_bitmap_allocate(struct frame_bitmap *bitmap, const struct frame_bitmap_request *request,
                           uint32_t *number);

// Claims up to `most` single frames and returns how many, 0 to `most`; ascending from each chunk.
unsigned frame_bitmap_allocate_batch(struct frame_bitmap *bitmap, unsigned most, uint32_t *numbers);

// Releases `count` frames from `number` on, which lie in one lent chunk, and returns how many of
// them were not free before. `emptied` is set if the chunk is free as a whole through this.
unsigned frame_bitmap_release(struct frame_bitmap *bitmap, uint32_t number, uint32_t count,
                              bool *emptied);

// Claims everything that is free in a chunk, for who empties it; adds its bits to `held`. Returns
// how many there were.
unsigned frame_bitmap_hold(struct frame_bitmap *bitmap, uint32_t chunk,
                           uint64_t held[FRAME_BITMAP_WORDS]);

// Releases what was held.
void frame_bitmap_unhold(struct frame_bitmap *bitmap, uint32_t chunk,
                         const uint64_t held[FRAME_BITMAP_WORDS]);

// Ends the loan of a chunk of which the caller holds all frames.
void frame_bitmap_end_loan(struct frame_bitmap *bitmap, uint32_t chunk);

ALWAYS_INLINE bool frame_bitmap_is_lent(const struct frame_bitmap *bitmap, uint32_t chunk)
{
    // Acquire: who sees that a chunk is lent sees what the lender wrote before.
    return __atomic_load_n(&bitmap->lent[chunk / 64], __ATOMIC_ACQUIRE) >> (chunk % 64) & 1;
}

// One word of a chunk as it is now.
ALWAYS_INLINE uint64_t frame_bitmap_word(const struct frame_bitmap *bitmap, uint32_t chunk,
                                         unsigned word)
{
    return __atomic_load_n(&bitmap->chunks[chunk].words[word], __ATOMIC_RELAXED);
}

// Free frames of a chunk, 0 to 512.
ALWAYS_INLINE uint32_t frame_bitmap_count(const struct frame_bitmap *bitmap, uint32_t chunk)
{
    const int32_t count = __atomic_load_n(&bitmap->counts[chunk], __ATOMIC_RELAXED);
    return count > 0 ? (uint32_t)count : 0;
}

// Of all chunks. Walks the counts.
uint64_t frame_bitmap_free_frames(const struct frame_bitmap *bitmap);

// Walks everything; false if bits, counts and summaries contradict each other. While no call is
// inside.
bool frame_bitmap_check(const struct frame_bitmap *bitmap);

#endif
