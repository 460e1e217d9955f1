// SPDX-License-Identifier: MIT
// Names for compiler attributes and small integer helpers.
#ifndef COMPILER_H
#define COMPILER_H

#include <stddef.h>
#include <stdint.h>

#define ALWAYS_INLINE  static inline __attribute__((always_inline))
#define NOINLINE       __attribute__((noinline))
#define COLD           __attribute__((noinline, cold))
#define CACHE_LINE     64
#define CACHE_ALIGNED  __attribute__((aligned(CACHE_LINE)))
#define PAGE_SIZE      4096u
#define PAGE_SHIFT     12
#define LIKELY(x)      __builtin_expect(!!(x), 1)
#define UNLIKELY(x)    __builtin_expect(!!(x), 0)
#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

// `alignment` is a power of two.
static inline uint64_t align_up(uint64_t value, uint64_t alignment)
{
    return (value + alignment - 1) & ~(alignment - 1);
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

// Floor of the binary logarithm; value > 0.
static inline unsigned log2_u64(uint64_t value)
{
    return 63u - (unsigned)__builtin_clzll(value);
}

#endif
