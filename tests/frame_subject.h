// SPDX-License-Identifier: MIT
// Every frame allocator over a range of its own, for the tests that all of them must pass.
#ifndef FRAME_SUBJECT_H
#define FRAME_SUBJECT_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "compiler.h"
#include "frame_variants.h"
#include "random.h"
#include "seed.h"

#define VARIANT_OPS(name) &frame_##name##_ops,
static const struct frame_ops *const variants[] = {FRAME_VARIANTS(VARIANT_OPS)};

// Addresses that nothing lies at: who touches a frame faults.
#define NOWHERE ((uintptr_t)0x00002a5500000000u)
#define MIB     ((uint64_t)1 << 20)

struct fixture {
    const struct frame_ops *ops;
    void *state, *metadata, *memory; // memory: NULL where frames are never touched
    uintptr_t start;
    uint64_t length, frames;
    size_t metadata_length, mapped;
    uint16_t *owner; // by frame, 0: nobody
};

// A range that begins `offset` bytes behind a multiple of 64 MiB.
static inline struct fixture range_at(const struct frame_ops *ops, uint64_t offset, uint64_t length)
{
    struct fixture f = {.ops = ops, .length = length, .frames = length / PAGE_SIZE};
    f.start = NOWHERE + offset;
    if (ops->touches_frames) {
        // Not from malloc: sanitizers look at all of that.
        f.mapped = offset + length + 64 * MIB;
        f.memory = mmap(NULL, f.mapped, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        ck_assert_ptr_ne(f.memory, MAP_FAILED);
        f.start = align_up((uintptr_t)f.memory, 64 * MIB) + offset;
    }
    f.metadata_length = ops->metadata_bytes(f.start, length);
    ck_assert_uint_gt(f.metadata_length, 0);
    const size_t state_bytes = align_up(ops->state_bytes, CACHE_LINE);
    f.state = aligned_alloc(CACHE_LINE, state_bytes);
    f.metadata = aligned_alloc(PAGE_SIZE, align_up(f.metadata_length, PAGE_SIZE));
    f.owner = calloc(f.frames, sizeof(*f.owner));
    ck_assert(f.state != NULL && f.metadata != NULL && f.owner != NULL);
    // Whatever lay there before must not matter.
    memset(f.state, 0xee, state_bytes);
    memset(f.metadata, 0xee, f.metadata_length);
    ck_assert_int_eq(ops->init(f.state, f.start, length, f.metadata, f.metadata_length), STATUS_OK);
    ck_assert(ops->check(f.state));
    return f;
}

static inline struct fixture range_of(const struct frame_ops *ops, uint64_t length)
{
    return range_at(ops, 0, length);
}

static inline void discard(struct fixture *f)
{
    free(f->state);
    free(f->metadata);
    if (f->memory != NULL)
        munmap(f->memory, f->mapped);
    free(f->owner);
}

static inline struct random seeded(const char *test, const struct frame_ops *ops)
{
    printf("%s, ", ops->about.name);
    return seeded_for(test);
}

static inline bool is_floor(const struct frame_ops *ops)
{
    return ops->about.role == VARIANT_FLOOR;
}

static inline struct frame_statistics statistics_of(const struct fixture *f)
{
    struct frame_statistics s;
    memset(&s, 0xee, sizeof(s));
    f->ops->statistics(f->state, &s);
    return s;
}

#endif
