// SPDX-License-Identifier: MIT
// The interface every frame allocator offers, so that one test body and one benchmark body serve
// them all.
//
//   frame   4 KiB of memory, 4 KiB aligned
//   run     frames behind each other, handed out at once; by `count`, not by order
//
// Rules for callers
//   threads    any number, on any CPUs, unless `one_thread` is set. A thread may migrate between
//              two calls. Never called from interrupt handlers
//   memory     metadata lies where the caller says. Frames are never touched, so that they may be
//              unmapped or physical ones, unless `touches_frames` is set
//   failure    "none now" is false; what a caller did wrong a status, the object unchanged
//
// A variant NAME is two files, frame_NAME.h and frame_NAME.c, and two lines in frame_variants.h,
// as heap.h has it.
#ifndef FRAME_H
#define FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"
#include "variant.h"

// Exact while no call is inside. What an allocator has no notion of stays 0.
struct frame_statistics {
    uint64_t present;        // frames that it was given, its own metadata not among them
    uint64_t free;           // of those
    uint64_t allocations;    // calls served, since init
    uint64_t releases;       // likewise
    uint64_t failures;       // requests answered with false; not of more than run_longest
    uint64_t locks;          // lock acquisitions, since init
    uint64_t metadata_bytes; // in use for all of this
    uint64_t largest_run;    // frames of the longest free run there is
    uint64_t free_runs;      // how many there are that no free frame adjoins
};

struct frame_ops {
    struct variant about;
    size_t state_bytes;   // of the allocator object, 64-byte aligned by the caller
    bool one_thread;      // the caller serialises all calls
    bool touches_frames;  // keeps links inside free frames: they must be memory it can write
    uint64_t run_longest; // frames of the longest run that can ever be served

    // Bytes of metadata for the frames of [start, start + length), page aligned both; 0 if that is
    // no range it can manage.
    size_t (*metadata_bytes)(uintptr_t start, uint64_t length);
    // All frames of the range are free then. `metadata` is page aligned and outlives the object.
    enum status (*init)(void *state, uintptr_t start, uint64_t length, void *metadata,
                        size_t metadata_length);
    // A run of `count` > 0 frames, aligned to its length if that is a power of two, else to a page.
    bool (*allocate)(void *state, uint64_t count, uintptr_t *address);
    // Gives a run back, whole: `count` as it was asked for.
    enum status (*release)(void *state, uintptr_t address, uint64_t count);
    // Walks what it must: slow.
    void (*statistics)(const void *state, struct frame_statistics *statistics);
    // Walks all invariants; false if one is broken. Slow.
    bool (*check)(const void *state);
};

#endif
