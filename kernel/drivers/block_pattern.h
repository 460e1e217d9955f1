// SPDX-License-Identifier: MIT
// What stands on a disk that is there to be measured: each word tells where it stands, and of which
// generation the disk is. So what was read can be told from what stood in memory before, from
// another place, and from another run's disk, all of it and not only a sum.
//
// Words are eight bytes, little-endian, counted from the disk's beginning; any thread.
#ifndef BLOCK_PATTERN_H
#define BLOCK_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Word n of a disk of this generation: the n-th of SplitMix64 (random.h).
static inline uint64_t block_pattern_word(uint64_t generation, uint64_t n)
{
    uint64_t z = generation + n * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

// The generation of a disk whose word 0 this is, if it has the pattern: each step above is undone,
// the products by the inverses of their factors modulo 2^64.
static inline uint64_t block_pattern_generation(uint64_t word)
{
    uint64_t z = word ^ word >> 31 ^ word >> 62;
    z *= 0x319642b2d24d8ec3u;
    z = (z ^ z >> 27 ^ z >> 54) * 0x96de1b173f119089u;
    return z ^ z >> 30 ^ z >> 60;
}

// Whether `bytes`, a multiple of 8, are those that stand at `offset`, a multiple of 8.
static inline bool block_pattern_holds(uint64_t generation, uint64_t offset, const void *memory,
                                       size_t bytes)
{
    const uint64_t *words = memory;
    for (size_t i = 0; i < bytes / 8; i++)
        if (words[i] != block_pattern_word(generation, offset / 8 + i))
            return false;
    return true;
}

#endif
