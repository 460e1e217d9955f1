// SPDX-License-Identifier: MIT
// Buddy allocator for page frames (Knowlton 1965; Knuth, TAOCP vol. 1, 2.5).
//
//   frame   4 KiB, numbered from the origin
//   order   a block of order k is 2^k frames and starts at a multiple of its own size
//   buddy   the other half of the block of the next order: frame number XOR 2^k
//   unit    an allocated block as a whole; freeing a part of it leaves smaller units
//   span    the addresses a buddy may manage; only what buddy_add() handed over is ever given out
//
// Rules for callers
//   threads    none inside: the caller serialises all calls on one object
//   memory     the frames are never touched: metadata lies in memory of its own, handed over at
//              init, 8 bytes and about two bits a frame. Frames may be unmapped or physical ones
//   cost       allocate and free are bounded by the number of orders; nothing is searched
//   failure    "none now" is false, everything a caller did wrong a status, the object unchanged
#ifndef BUDDY_H
#define BUDDY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "status.h"

#define BUDDY_ORDERS     21           // orders 0..20: 4 KiB to 4 GiB
#define BUDDY_SPAN_LIMIT (1ull << 42) // bytes of the longest span: 2^30 frames

// Of the first frame of a free block: its neighbours in the list of its order. Of other frames,
// `next` says what they are (buddy.c).
struct buddy_frame {
    uint32_t next, previous;
};

struct buddy {
    uintptr_t origin;                  // address of frame 0: a multiple of the largest block
    uint32_t first, limit;             // the span's frames: first..limit - 1
    uint32_t highest;                  // largest order
    uint32_t nonempty;                 // bit k: the list of order k has a block
    struct buddy_frame *frames;        // 0..limit - 1, then one list head an order
    uint64_t *free_bits[BUDDY_ORDERS]; // [k]: bit i says that block i of order k is free and whole

    uint64_t frames_present;   // handed over by buddy_add()
    uint64_t frames_allocated; // since init
    uint64_t frames_freed;     // of those
};

// Smallest order that holds `bytes`; 0 bytes count as 1. May exceed what a buddy serves.
ALWAYS_INLINE unsigned buddy_order(size_t bytes)
{
    const uint64_t last = bytes == 0 ? 0 : (bytes - 1) >> PAGE_SHIFT;
    return last == 0 ? 0 : log2_u64(last) + 1;
}

// Bytes of metadata for a span, or 0 if it is invalid: `start` and `length` are multiples of the
// page size, length > 0 and at most BUDDY_SPAN_LIMIT, highest_order < BUDDY_ORDERS.
size_t buddy_metadata_bytes(uintptr_t start, uint64_t length, unsigned highest_order);

// Prepares an empty buddy over a span. `metadata` is 8-byte aligned, of at least
// buddy_metadata_bytes(), and belongs to the object from here on. An order that cannot fit in the
// span is never built. STATUS_INVALID as above, STATUS_NO_MEMORY if the metadata is too short.
enum status buddy_init(struct buddy *buddy, uintptr_t start, uint64_t length,
                       unsigned highest_order, void *metadata, size_t metadata_length);

// Hands over frames of the span, any page-aligned run that was not handed over before (else
// STATUS_INVALID, STATUS_FOREIGN if it leaves the span). What is no multiple of the largest block
// at either end serves lower orders.
enum status buddy_add(struct buddy *buddy, uintptr_t start, uint64_t length);

// Takes a block of 2^order frames; false if there is none, or never can be.
bool buddy_allocate(struct buddy *buddy, unsigned order, uintptr_t *address);

// The same, of those blocks that end at or below the address `last`, the lowest of the first order
// that has one. Searches the bitmaps of the orders from `order` on up to `last`.
bool buddy_allocate_below(struct buddy *buddy, unsigned order, uintptr_t last, uintptr_t *address);

// Gives back 2^order frames at `address`: a unit or an aligned part of one. STATUS_FOREIGN outside
// the frames handed over, STATUS_DOUBLE if they are free, STATUS_INVALID if the address is not
// aligned to the block or the unit there is smaller than it.
enum status buddy_free(struct buddy *buddy, uintptr_t address, unsigned order);

// Gives back the whole unit that starts at `address` and says its order; the same statuses,
// STATUS_INVALID if the address lies inside a unit.
enum status buddy_free_unit(struct buddy *buddy, uintptr_t address, unsigned *order);

// The order of the unit that starts at `address`; false if none does.
bool buddy_unit_order(const struct buddy *buddy, uintptr_t address, unsigned *order);

// Makes the unit of 2^order frames at `address` twice as long: true if it is the lower half of a
// block whose upper half is free and whole, else all stays as it was. The unit is the caller's.
bool buddy_extend(struct buddy *buddy, uintptr_t address, unsigned order);

// What a frame belongs to.
enum buddy_state {
    BUDDY_ABSENT, // nothing: it was never handed over
    BUDDY_FREE,   // a free block
    BUDDY_UNIT,   // an allocated one
};

// Says what the frame at `address` belongs to, any address, and where that starts and its order,
// both untouched for BUDDY_ABSENT. Bounded by the number of orders.
enum buddy_state buddy_block(const struct buddy *buddy, uintptr_t address, uintptr_t *start,
                             unsigned *order);

// Frames that could be handed out now, whatever their order.
ALWAYS_INLINE uint64_t buddy_free_frames(const struct buddy *buddy)
{
    return buddy->frames_present - (buddy->frames_allocated - buddy->frames_freed);
}

// Free blocks of one order; walks its list. order < BUDDY_ORDERS.
uint64_t buddy_free_blocks(const struct buddy *buddy, unsigned order);

// Walks every frame, bit and list; false if they contradict each other. Slow.
bool buddy_check(const struct buddy *buddy);

#endif
