// SPDX-License-Identifier: MIT
// What the tests of kmalloc share: a heap under test, and objects filled with what they are.
#ifndef KMALLOC_SUBJECT_H
#define KMALLOC_SUBJECT_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "compiler.h"
#include "kmalloc.h"
#include "test_platform.h"

static struct heap_kmalloc heap;
static void *memory;

static inline void make_heap(size_t length)
{
    memory = aligned_alloc(2u << 20, align_up(length, 2u << 20));
    ck_assert_ptr_nonnull(memory);
    // Whatever lay there before must not matter.
    memset(memory, 0xee, length);
    memset(&heap, 0xee, sizeof heap);
    test_cpu_enter(0);
    ck_assert_int_eq(heap_kmalloc_init(&heap, memory, length), STATUS_OK);
}

static inline void drop_heap(void)
{
    free(memory);
    memory = NULL;
}

static inline void expect_sound(void)
{
    if (!heap_kmalloc_check(&heap))
        ck_abort_msg("an invariant is broken");
}

static inline struct heap_statistics statistics(void)
{
    struct heap_statistics s;
    heap_kmalloc_statistics(&heap, &s);
    return s;
}

// Everything was freed: trimmed on each of `cpus` CPUs, all pages are the buddy's again, in one
// piece wherever they can be.
static inline void expect_all_back(unsigned cpus)
{
    for (unsigned cpu = cpus; cpu-- > 0;) {
        test_cpu_enter(cpu);
        heap_kmalloc_trim(&heap);
    }
    expect_sound();
    const struct heap_statistics s = statistics();
    ck_assert_uint_eq(s.allocations, s.frees);
    ck_assert_uint_eq(s.bytes_allocated, s.bytes_freed);
    ck_assert_uint_eq(s.pages_taken, s.pages_returned);
}

// Fills an object with what its address and `size` say, and looks whether it still is.
static inline unsigned char pattern_of(const void *object, size_t size)
{
    return (unsigned char)((uintptr_t)object >> 4 ^ size * 37);
}

static inline void expect_bytes(const unsigned char *object, size_t size, unsigned char pattern)
{
    for (size_t i = 0; i < size; i++)
        if (object[i] != pattern)
            ck_abort_msg("byte %zu of an object of %zu was overwritten", i, size);
}

#endif
