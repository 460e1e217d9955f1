// SPDX-License-Identifier: MIT
// A heap in debug mode with two objects in it, for the tests of debug mode.
#ifndef HEAP_DEBUG_SUBJECT_H
#define HEAP_DEBUG_SUBJECT_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "compiler.h"
#include "heap_debug.h"
#include "heap_variants.h"

#define VARIANT_OPS(name) &heap_##name##_ops,
static const struct heap_ops *const variants[] = {HEAP_VARIANTS(VARIANT_OPS)};

#define LENGTH (1u << 20)
#define DEPTH  8u // of the quarantine
#define SIZE   100u

struct fixture {
    struct heap_debug debug;
    struct heap_debug_handle *handle;
    void *inner;
    uint8_t *memory;
    uint8_t *object, *other; // in use, of SIZE bytes
};

static inline void open_over(struct fixture *f, const struct heap_ops *ops, unsigned depth)
{
    f->inner = aligned_alloc(CACHE_LINE, align_up(ops->state_bytes, CACHE_LINE));
    f->memory = aligned_alloc(PAGE_SIZE, LENGTH);
    memset(f->memory, 0xee, LENGTH);
    memset(&f->debug, 0xee, sizeof(f->debug));
    ck_assert_int_eq(heap_debug_init(&f->debug, ops, f->inner, f->memory, LENGTH, depth),
                     STATUS_OK);
    f->handle = &f->debug.first;
    f->object = heap_debug_allocate(f->handle, SIZE);
    f->other = heap_debug_allocate(f->handle, SIZE);
    ck_assert(f->object != NULL && f->other != NULL);
}

static inline void discard(struct fixture *f)
{
    free(f->inner);
    free(f->memory);
}

#endif
