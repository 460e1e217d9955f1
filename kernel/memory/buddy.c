// SPDX-License-Identifier: MIT
// The invariant everything rests on: each frame handed over belongs to exactly one free block or
// one unit. The first frame of either says which; all others are INTERIOR. The bitmaps say the
// order of free blocks, so that the question "is my buddy free and whole?" is one bit.
#include "buddy.h"

#include "assert.h"
#include "string.h"
#include "trace.h"

// Values of buddy_frame.next that are no frame number.
#define FRAME_ABSENT   0xfffffff0u // not handed over
#define FRAME_INTERIOR 0xfffffff1u // inside a free block or a unit
#define FRAME_UNIT     0xffffff00u // + order: first frame of a unit

_Static_assert(sizeof(struct buddy_frame) == 8, "the header promises 8 bytes a frame");
_Static_assert((BUDDY_SPAN_LIMIT >> PAGE_SHIFT) * 2 + BUDDY_ORDERS < FRAME_UNIT,
               "frame numbers, even behind an aligned-down origin, stay below the marks");

// Where things lie for a span; shared by the size calculation and init.
struct layout {
    uintptr_t origin;
    uint64_t first, limit;
    unsigned highest;
    size_t bits_at[BUDDY_ORDERS]; // byte offsets in the metadata
    size_t bytes;
};

static bool lay_out(uintptr_t start, uint64_t length, unsigned highest, struct layout *layout)
{
    if (start % PAGE_SIZE != 0 || length % PAGE_SIZE != 0 || length == 0 ||
        length > BUDDY_SPAN_LIMIT || start + length < start || highest >= BUDDY_ORDERS)
        return false;
    const uint64_t count = length >> PAGE_SHIFT;
    layout->highest = (unsigned)min_u64(highest, log2_u64(count));
    // Aligned down, so that blocks are aligned in the address space too; the gap in front is
    // smaller than the span.
    layout->origin = start & ~(((uint64_t)PAGE_SIZE << layout->highest) - 1);
    layout->first = (start - layout->origin) >> PAGE_SHIFT;
    layout->limit = layout->first + count;
    layout->bytes = (layout->limit + layout->highest + 1) * sizeof(struct buddy_frame);
    for (unsigned order = 0; order <= layout->highest; order++) {
        // Whole pairs: the buddy of the last block has a bit too, always clear.
        const uint64_t pairs = (layout->limit + (2ull << order) - 1) >> (order + 1);
        layout->bits_at[order] = layout->bytes;
        layout->bytes += (pairs * 2 + 63) / 64 * sizeof(uint64_t);
    }
    return true;
}

size_t buddy_metadata_bytes(uintptr_t start, uint64_t length, unsigned highest_order)
{
    struct layout layout;
    return lay_out(start, length, highest_order, &layout) ? layout.bytes : 0;
}

static inline bool bit_get(const struct buddy *buddy, unsigned order, uint32_t frame)
{
    const uint32_t block = frame >> order;
    return buddy->free_bits[order][block / 64] >> (block % 64) & 1;
}

static inline void bit_flip(struct buddy *buddy, unsigned order, uint32_t frame)
{
    const uint32_t block = frame >> order;
    buddy->free_bits[order][block / 64] ^= 1ull << (block % 64);
}

static inline uint32_t list_head(const struct buddy *buddy, unsigned order)
{
    return buddy->limit + order;
}

static inline void push(struct buddy *buddy, unsigned order, uint32_t frame)
{
    struct buddy_frame *frames = buddy->frames;
    const uint32_t head = list_head(buddy, order);
    const uint32_t next = frames[head].next;
    frames[frame] = (struct buddy_frame){.next = next, .previous = head};
    frames[next].previous = frame;
    frames[head].next = frame;
    buddy->nonempty |= 1u << order;
    bit_flip(buddy, order, frame);
}

static inline void unlink(struct buddy *buddy, unsigned order, uint32_t frame)
{
    struct buddy_frame *frames = buddy->frames;
    const struct buddy_frame links = frames[frame];
    frames[links.previous].next = links.next;
    frames[links.next].previous = links.previous;
    if (links.next == links.previous) // both the list's head: it was the only one
        buddy->nonempty &= ~(1u << order);
    bit_flip(buddy, order, frame);
}

enum status buddy_init(struct buddy *buddy, uintptr_t start, uint64_t length,
                       unsigned highest_order, void *metadata, size_t metadata_length)
{
    struct layout layout;
    if (!lay_out(start, length, highest_order, &layout) || (uintptr_t)metadata % 8 != 0)
        return STATUS_INVALID;
    if (metadata_length < layout.bytes)
        return STATUS_NO_MEMORY;
    *buddy = (struct buddy){
        .origin = layout.origin,
        .first = (uint32_t)layout.first,
        .limit = (uint32_t)layout.limit,
        .highest = layout.highest,
        .frames = metadata,
    };
    for (uint32_t frame = 0; frame < buddy->limit; frame++)
        buddy->frames[frame] = (struct buddy_frame){.next = FRAME_ABSENT};
    memset((char *)metadata + layout.bits_at[0], 0, layout.bytes - layout.bits_at[0]);
    for (unsigned order = 0; order <= buddy->highest; order++) {
        const uint32_t head = list_head(buddy, order);
        buddy->frames[head] = (struct buddy_frame){.next = head, .previous = head};
        buddy->free_bits[order] = (uint64_t *)(void *)((char *)metadata + layout.bits_at[order]);
    }
    return STATUS_OK;
}

// Makes a block free that nothing refers to any more, whole again with its buddies.
static void coalesce(struct buddy *buddy, uint32_t frame, unsigned order)
{
    const unsigned least = order;
    while (order < buddy->highest) {
        const uint32_t size = 1u << order;
        const uint32_t other = frame ^ size;
        if (!bit_get(buddy, order, other))
            break;
        unlink(buddy, order, other);
        buddy->frames[frame | size].next = FRAME_INTERIOR;
        frame &= ~size;
        order++;
    }
    if (order > least)
        trace_instant(TRACE_BUDDY_JOIN, order - least);
    push(buddy, order, frame);
}

enum status buddy_add(struct buddy *buddy, uintptr_t start, uint64_t length)
{
    if (start % PAGE_SIZE != 0 || length % PAGE_SIZE != 0 || length == 0)
        return STATUS_INVALID;
    const uint64_t count = length >> PAGE_SHIFT;
    const uint64_t from = (start - buddy->origin) >> PAGE_SHIFT;
    if (start < buddy->origin || from < buddy->first || from >= buddy->limit ||
        count > buddy->limit - from)
        return STATUS_FOREIGN;
    const uint32_t end = (uint32_t)(from + count);
    for (uint32_t frame = (uint32_t)from; frame < end; frame++)
        if (buddy->frames[frame].next != FRAME_ABSENT)
            return STATUS_INVALID;
    for (uint32_t frame = (uint32_t)from; frame < end; frame++)
        buddy->frames[frame].next = FRAME_INTERIOR;
    for (uint32_t frame = (uint32_t)from; frame < end;) {
        unsigned order = log2_u64(end - frame);
        if (frame != 0)
            order = (unsigned)min_u64(order, (unsigned)__builtin_ctz(frame));
        order = (unsigned)min_u64(order, buddy->highest);
        coalesce(buddy, frame, order);
        frame += 1u << order;
    }
    buddy->frames_present += count;
    return STATUS_OK;
}

// Makes a unit of `order` of the front of a free block of order `from`.
static inline uintptr_t take_front(struct buddy *buddy, uint32_t frame, unsigned from,
                                   unsigned order)
{
    unlink(buddy, from, frame);
    if (from > order)
        trace_instant(TRACE_BUDDY_SPLIT, from - order);
    while (from > order) {
        from--;
        push(buddy, from, frame + (1u << from));
    }
    buddy->frames[frame].next = FRAME_UNIT + order;
    buddy->frames_allocated += 1u << order;
    return buddy->origin + ((uintptr_t)frame << PAGE_SHIFT);
}

bool buddy_allocate(struct buddy *buddy, unsigned order, uintptr_t *address)
{
    if (order >= BUDDY_ORDERS)
        return false;
    const uint32_t usable = buddy->nonempty >> order;
    if (usable == 0)
        return false;
    const unsigned from = order + (unsigned)__builtin_ctz(usable);
    *address = take_front(buddy, buddy->frames[list_head(buddy, from)].next, from, order);
    return true;
}

// The lowest free block of an order; false if there is none among the first `blocks`.
static bool lowest_free(const struct buddy *buddy, unsigned order, uint64_t blocks, uint32_t *block)
{
    for (uint64_t word = 0; word * 64 < blocks; word++) {
        const uint64_t bits = buddy->free_bits[order][word];
        if (bits == 0)
            continue;
        *block = (uint32_t)(word * 64 + (unsigned)__builtin_ctzll(bits));
        return *block < blocks;
    }
    return false;
}

bool buddy_allocate_below(struct buddy *buddy, unsigned order, uintptr_t last, uintptr_t *address)
{
    if (last < buddy->origin || order >= BUDDY_ORDERS)
        return false;
    // Frames up to `last`, whole ones; the arithmetic cannot wrap, as `last` is at least the
    // origin.
    const uint64_t bytes = last - buddy->origin;
    const uint64_t count =
        min_u64((bytes >> PAGE_SHIFT) + (bytes % PAGE_SIZE == PAGE_SIZE - 1), buddy->limit);
    for (unsigned from = order; from <= buddy->highest; from++) {
        uint32_t block;
        if ((buddy->nonempty >> from & 1) == 0 || count >> order == 0)
            continue;
        // Blocks whose front of the order wanted ends in time.
        const uint64_t blocks = ((count - (1ull << order)) >> from) + 1;
        if (lowest_free(buddy, from, blocks, &block)) {
            *address = take_front(buddy, block << from, from, order);
            return true;
        }
    }
    return false;
}

static inline bool is_unit(uint32_t mark)
{
    return mark >= FRAME_UNIT && mark < FRAME_UNIT + BUDDY_ORDERS;
}

// Finds the frame of an address that was handed over.
static enum status frame_of(const struct buddy *buddy, uintptr_t address, uint32_t *frame)
{
    const uint64_t number = (address - buddy->origin) >> PAGE_SHIFT;
    if (address < buddy->origin || number >= buddy->limit)
        return STATUS_FOREIGN;
    if (buddy->frames[number].next == FRAME_ABSENT)
        return STATUS_FOREIGN;
    if (address % PAGE_SIZE != 0)
        return STATUS_INVALID;
    *frame = (uint32_t)number;
    return STATUS_OK;
}

// The unit that a frame lies in; STATUS_DOUBLE if it lies in a free block.
static enum status unit_of(const struct buddy *buddy, uint32_t frame, uint32_t *unit,
                           unsigned *order)
{
    for (unsigned k = 0; k <= buddy->highest; k++) {
        const uint32_t candidate = frame & ~((1u << k) - 1);
        const uint32_t mark = buddy->frames[candidate].next;
        if (mark >= FRAME_UNIT + k && is_unit(mark)) {
            *unit = candidate;
            *order = mark - FRAME_UNIT;
            return STATUS_OK;
        }
        if (bit_get(buddy, k, frame))
            return STATUS_DOUBLE;
    }
    platform_panic("buddy: a frame is in no block", __FILE__, __LINE__);
}

// Cuts a unit until `frame` starts one of `order`: the halves beside it become units.
static void cut_unit(struct buddy *buddy, uint32_t unit, unsigned from, uint32_t frame,
                     unsigned order)
{
    while (from > order) {
        from--;
        const uint32_t upper = unit + (1u << from);
        buddy->frames[unit].next = FRAME_UNIT + from;
        buddy->frames[upper].next = FRAME_UNIT + from;
        if (frame >= upper)
            unit = upper;
    }
}

enum status buddy_free(struct buddy *buddy, uintptr_t address, unsigned order)
{
    uint32_t frame = 0, unit = 0;
    const enum status status = frame_of(buddy, address, &frame);
    if (status != STATUS_OK)
        return status;
    if (order > buddy->highest || (frame & ((1u << order) - 1)) != 0)
        return STATUS_INVALID;
    if (UNLIKELY(buddy->frames[frame].next != FRAME_UNIT + order)) {
        unsigned whole = 0;
        const enum status found = unit_of(buddy, frame, &unit, &whole);
        if (found != STATUS_OK)
            return found;
        if (whole < order)
            return STATUS_INVALID;
        cut_unit(buddy, unit, whole, frame, order);
    }
    buddy->frames_freed += 1u << order;
    coalesce(buddy, frame, order);
    return STATUS_OK;
}

enum status buddy_free_unit(struct buddy *buddy, uintptr_t address, unsigned *order)
{
    uint32_t frame = 0, unit = 0;
    enum status status = frame_of(buddy, address, &frame);
    if (status != STATUS_OK)
        return status;
    const uint32_t mark = buddy->frames[frame].next;
    if (UNLIKELY(!is_unit(mark))) {
        status = unit_of(buddy, frame, &unit, order);
        return status == STATUS_OK ? STATUS_INVALID : status;
    }
    *order = mark - FRAME_UNIT;
    buddy->frames_freed += 1u << *order;
    coalesce(buddy, frame, *order);
    return STATUS_OK;
}

bool buddy_unit_order(const struct buddy *buddy, uintptr_t address, unsigned *order)
{
    uint32_t frame = 0;
    if (frame_of(buddy, address, &frame) != STATUS_OK || !is_unit(buddy->frames[frame].next))
        return false;
    *order = buddy->frames[frame].next - FRAME_UNIT;
    return true;
}

bool buddy_extend(struct buddy *buddy, uintptr_t address, unsigned order)
{
    uint32_t frame = 0;
    const enum status status = frame_of(buddy, address, &frame);
    assert(status == STATUS_OK && buddy->frames[frame].next == FRAME_UNIT + order);
    const uint32_t size = 1u << order;
    if (order >= buddy->highest || (frame & size) != 0 || !bit_get(buddy, order, frame | size))
        return false;
    unlink(buddy, order, frame | size);
    buddy->frames[frame | size].next = FRAME_INTERIOR;
    buddy->frames[frame].next = FRAME_UNIT + order + 1;
    buddy->frames_allocated += size;
    return true;
}

enum buddy_state buddy_block(const struct buddy *buddy, uintptr_t address, uintptr_t *start,
                             unsigned *order)
{
    const uint64_t number = (address - buddy->origin) >> PAGE_SHIFT;
    if (address < buddy->origin || number >= buddy->limit ||
        buddy->frames[number].next == FRAME_ABSENT)
        return BUDDY_ABSENT;
    uint32_t block = (uint32_t)number;
    unsigned found = 0;
    enum buddy_state state = BUDDY_UNIT;
    if (is_unit(buddy->frames[block].next)) { // mostly asked for where a run starts
        found = buddy->frames[block].next - FRAME_UNIT;
    } else if (unit_of(buddy, block, &block, &found) != STATUS_OK) {
        state = BUDDY_FREE;
        while (!bit_get(buddy, found, block))
            found++;
        block &= ~((1u << found) - 1);
    }
    *start = buddy->origin + ((uintptr_t)block << PAGE_SHIFT);
    *order = found;
    return state;
}

uint64_t buddy_free_blocks(const struct buddy *buddy, unsigned order)
{
    uint64_t count = 0;
    if (order > buddy->highest)
        return 0;
    const uint32_t head = list_head(buddy, order);
    for (uint32_t at = buddy->frames[head].next; at != head; at = buddy->frames[at].next)
        count++;
    return count;
}

// The list of an order: links both ways, every block in it free by its bit, as many as bits.
static bool check_order(const struct buddy *buddy, unsigned order)
{
    const uint32_t head = list_head(buddy, order);
    uint64_t listed = 0, set = 0;
    for (uint32_t at = head, next; (next = buddy->frames[at].next) != head; at = next) {
        if (next >= buddy->limit || buddy->frames[next].previous != at ||
            (next & ((1u << order) - 1)) != 0 || !bit_get(buddy, order, next) ||
            ++listed > buddy->limit)
            return false;
        if (order < buddy->highest && bit_get(buddy, order, next ^ (1u << order)))
            return false; // two free buddies that were not joined
    }
    const uint64_t pairs = (buddy->limit + (2ull << order) - 1) >> (order + 1);
    for (uint64_t word = 0; word < (pairs * 2 + 63) / 64; word++)
        set += (uint64_t)__builtin_popcountll(buddy->free_bits[order][word]);
    return set == listed && (listed != 0) == (buddy->nonempty >> order & 1);
}

bool buddy_check(const struct buddy *buddy)
{
    uint64_t present = 0, unused = 0;
    for (unsigned order = 0; order <= buddy->highest; order++)
        if (!check_order(buddy, order))
            return false;
    if (buddy->nonempty >> buddy->highest > 1)
        return false;
    for (uint32_t frame = 0, size; frame < buddy->limit; frame += size) {
        const uint32_t mark = buddy->frames[frame].next;
        size = 1;
        if (mark == FRAME_ABSENT)
            continue;
        if (is_unit(mark)) {
            size = 1u << (mark - FRAME_UNIT);
        } else {
            unsigned order = 0;
            while (order <= buddy->highest && !bit_get(buddy, order, frame))
                order++;
            if (order > buddy->highest || mark == FRAME_INTERIOR)
                return false;
            size = 1u << order;
            unused += size;
        }
        if ((frame & (size - 1)) != 0 || size > buddy->limit - frame)
            return false;
        for (uint32_t i = 1; i < size; i++)
            if (buddy->frames[frame + i].next != FRAME_INTERIOR)
                return false;
        present += size;
    }
    return present == buddy->frames_present && unused == buddy_free_frames(buddy);
}
