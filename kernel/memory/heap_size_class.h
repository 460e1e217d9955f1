// SPDX-License-Identifier: MIT
// The size classes of small objects: 16 sizes, four steps to a doubling at the most, so that at
// most a third of an object is lost to rounding from 17 bytes on.
//
//   class   a size, by number: 0..15, smallest first
//   slot    the distance between two objects of a class in memory
#ifndef HEAP_SIZE_CLASS_H
#define HEAP_SIZE_CLASS_H

#include <stddef.h>
#include <stdint.h>

#include "compiler.h"

#define HEAP_CLASSES       16
#define HEAP_CLASS_NONE    16   // the "class" of a size above the largest, and of other pages
#define HEAP_CLASS_LARGEST 2048 // bytes

static const uint16_t heap_class_bytes[HEAP_CLASSES] = {
    8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048,
};

// Indexed by the size in 8-byte words, rounded up: one load for a size known at run time, a
// constant for one known to the compiler.
static const uint8_t heap_class_of_words[HEAP_CLASS_LARGEST / 8 + 1] = {
    [0 ... 1] = 0,      [2] = 1,          [3] = 2,          [4] = 3,           [5 ... 6] = 4,
    [7 ... 8] = 5,      [9 ... 12] = 6,   [13 ... 16] = 7,  [17 ... 24] = 8,   [25 ... 32] = 9,
    [33 ... 48] = 10,   [49 ... 64] = 11, [65 ... 96] = 12, [97 ... 128] = 13, [129 ... 192] = 14,
    [193 ... 256] = 15,
};

// Class that serves `size` bytes, any size; HEAP_CLASS_NONE above the largest. 0 counts as 1.
ALWAYS_INLINE unsigned heap_size_class(size_t size)
{
    if (size > HEAP_CLASS_LARGEST)
        return HEAP_CLASS_NONE;
    return heap_class_of_words[(size + 7) / 8];
}

// A free object, while it waits in a list: its own first bytes are the link. It aliases whatever
// the last owner of the memory stored there.
struct heap_object {
    struct heap_object *next;
} __attribute__((may_alias));

#endif
