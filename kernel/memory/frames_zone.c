// SPDX-License-Identifier: MIT
#include "frames_zone.h"

#include "assert.h"

#define LEND_TRIES 3 // loans for one request: others may take what was lent before it does

// Eight marks at once; the map is 8-byte aligned, and so is a number that divides by 8.
typedef uint64_t __attribute__((may_alias)) marks8;
#define EACH_MARK 0x0101010101010101ull

static size_t map_bytes(uint32_t frames)
{
    return align_up(frames, CACHE_LINE);
}

static uintptr_t origin_of(uintptr_t start)
{
    return start & ~(uintptr_t)(FRAMES_CHUNK_BYTES - 1);
}

static uint32_t limit_of(uintptr_t start, uint64_t length)
{
    return (uint32_t)((start + length - origin_of(start)) >> PAGE_SHIFT);
}

static uint32_t chunks_of(uint32_t frame_limit)
{
    return (frame_limit + FRAME_BITMAP_CHUNK - 1) / FRAME_BITMAP_CHUNK;
}

size_t frames_region_metadata_bytes(uintptr_t start, uint64_t length)
{
    const uint32_t limit = limit_of(start, length);
    return frame_bitmap_metadata_bytes(chunks_of(limit)) + map_bytes(limit) +
           align_up(buddy_metadata_bytes(start, length, BUDDY_ORDERS - 1), CACHE_LINE);
}

void frames_region_lock(struct frames_region *region)
{
    cpu_preempt_disable();
    spinlock_acquire(&region->lock);
    frames_count(&region->locks, 1);
}

void frames_region_lock_to_look(struct frames_region *region)
{
    cpu_preempt_disable();
    spinlock_acquire(&region->lock);
}

void frames_region_unlock(struct frames_region *region)
{
    __atomic_store_n(&region->buddy_free, buddy_free_frames(&region->buddy), __ATOMIC_RELAXED);
    spinlock_release(&region->lock);
    cpu_preempt_enable();
}

void frames_region_init(struct frames_region *region, uintptr_t start, uint64_t length,
                        void *metadata)
{
    const uint32_t limit = limit_of(start, length);
    char *at = metadata;
    *region = (struct frames_region){.start = start, .end = start + length};
    region->origin = origin_of(start);
    region->frame_limit = limit;
    frame_bitmap_init(&region->bitmap, chunks_of(limit), at);
    at += frame_bitmap_metadata_bytes(chunks_of(limit));
    region->map = (uint8_t *)at;
    frames_map_fill(region->map, 0, map_bytes(limit), FRAMES_MAP_FREE);
    at += map_bytes(limit);
    enum status status = buddy_init(&region->buddy, start, length, BUDDY_ORDERS - 1, at,
                                    buddy_metadata_bytes(start, length, BUDDY_ORDERS - 1));
    assert(status == STATUS_OK);
    status = buddy_add(&region->buddy, start, length);
    assert(status == STATUS_OK);
    region->buddy_free = buddy_free_frames(&region->buddy);
}

// ---- the map ------------------------------------------------------------------------------------

void frames_map_fill(uint8_t *map, uint32_t number, uint64_t count, uint8_t mark)
{
    for (; count > 0 && number % 8 != 0; count--)
        frames_map_set(map, number++, mark);
    for (; count >= 8; count -= 8, number += 8)
        __atomic_store_n((marks8 *)(void *)&map[number], mark * EACH_MARK, __ATOMIC_RELAXED);
    for (; count > 0; count--)
        frames_map_set(map, number++, mark);
}

bool frames_map_handed(const uint8_t *map, uint32_t number, uint64_t count)
{
    uint64_t all = EACH_MARK;
    for (; count > 0 && number % 8 != 0; count--)
        all &= frames_map_get(map, number++) | ~1ull;
    for (; count >= 8; count -= 8, number += 8)
        all &= __atomic_load_n((const marks8 *)(const void *)&map[number], __ATOMIC_RELAXED);
    for (; count > 0; count--)
        all &= frames_map_get(map, number++) | ~1ull;
    return all == EACH_MARK;
}

// ---- taking -------------------------------------------------------------------------------------

// A block of the buddy, below `last` where that says anything. The lock is held.
static bool take_block(struct frames_region *region, unsigned order, uintptr_t last,
                       uintptr_t *address)
{
    if (last >= region->end - 1)
        return buddy_allocate(&region->buddy, order, address);
    return buddy_allocate_below(&region->buddy, order, last, address);
}

// Gives back what a run does not need of its block. The lock is held. A block is aligned to its
// length, so that each piece is as long as its place allows.
static void give_tail(struct frames_region *region, uintptr_t address, uint64_t count,
                      unsigned order)
{
    for (uint64_t at = count; at < 1ull << order;) {
        const unsigned piece = (unsigned)__builtin_ctzll(at);
        const enum status status = buddy_free(&region->buddy, address + (at << PAGE_SHIFT), piece);
        assert(status == STATUS_OK);
        at += 1ull << piece;
    }
}

static bool take_from_buddy(struct frames_region *region, const struct frames_wish *wish,
                            uintptr_t *address)
{
    const uint64_t frames = max_u64(wish->count, wish->alignment);
    const unsigned order = buddy_order(frames << PAGE_SHIFT);
    // The last frame of the block may lie above what the run needs.
    const uint64_t spare = ((1ull << order) - wish->count) << PAGE_SHIFT;
    const uintptr_t last = wish->last > UINTPTR_MAX - spare ? UINTPTR_MAX : wish->last + spare;
    frames_region_lock(region);
    const bool taken = take_block(region, order, last, address);
    if (taken)
        give_tail(region, *address, wish->count, order);
    frames_region_unlock(region);
    return taken;
}

// Lends the bitmap chunks of one block of the buddy; false if it has none.
static bool lend(struct frames_region *region, uintptr_t last)
{
    uintptr_t address;
    bool taken = false;
    unsigned order = region->lend_order;
    frames_region_lock(region);
    for (; !taken && order >= FRAMES_CHUNK_ORDER; order--)
        taken = take_block(region, order, last, &address);
    order++;
    if (taken) {
        const uint32_t first = frames_number(region, address) / FRAME_BITMAP_CHUNK;
        for (uint32_t i = 0; i < 1u << (order - FRAMES_CHUNK_ORDER); i++)
            frame_bitmap_lend(&region->bitmap, first + i);
    }
    frames_region_unlock(region);
    return taken;
}

static bool take_small(struct frames_region *region, const struct frames_wish *wish,
                       uintptr_t *address)
{
    struct frame_bitmap_request request = {.count = (uint32_t)wish->count,
                                           .alignment = (uint32_t)wish->alignment,
                                           .limit = UINT32_MAX,
                                           .tries = FRAMES_TRIES};
    uint32_t number;
    if (wish->last < region->end - 1) {
        if (wish->last < region->start)
            return false;
        // Frames that end at or below it.
        request.limit = (uint32_t)((wish->last - region->origin + 1) >> PAGE_SHIFT);
    }
    bool found = frame_bitmap_allocate(&region->bitmap, &request, &number);
    for (unsigned i = 0; !found && i < LEND_TRIES && lend(region, wish->last); i++)
        found = frame_bitmap_allocate(&region->bitmap, &request, &number);
    if (!found) {
        request.tries = UINT32_MAX;
        request.thorough = true;
        found = frame_bitmap_allocate(&region->bitmap, &request, &number);
    }
    // What is left to the buddy are blocks smaller than a chunk.
    if (!found)
        return take_from_buddy(region, wish, address);
    frames_map_fill(region->map, number, wish->count, wish->mark);
    *address = frames_address(region, number);
    return true;
}

bool frames_region_take(struct frames_region *region, const struct frames_wish *wish,
                        uintptr_t *address)
{
    if (wish->count < FRAMES_LARGE && wish->alignment <= FRAME_BITMAP_CHUNK)
        return take_small(region, wish, address);
    if (take_from_buddy(region, wish, address))
        return true;
    return frames_region_return_chunks(region, 0) > 0 && take_from_buddy(region, wish, address);
}

unsigned frames_region_take_batch(struct frames_region *region, unsigned most, uint32_t *numbers)
{
    unsigned taken = frame_bitmap_allocate_batch(&region->bitmap, most, numbers);
    if (taken == 0 && lend(region, UINTPTR_MAX))
        taken = frame_bitmap_allocate_batch(&region->bitmap, most, numbers);
    if (taken == 0) {
        uintptr_t address;
        frames_region_lock(region);
        while (taken < most && buddy_allocate(&region->buddy, 0, &address))
            numbers[taken++] = frames_number(region, address);
        frames_region_unlock(region);
    }
    for (unsigned i = 0; i < taken; i++)
        frames_map_set(region->map, numbers[i], FRAMES_MAP_STACK);
    return taken;
}

// ---- giving back --------------------------------------------------------------------------------

static bool return_chunk_locked(struct frames_region *region, uint32_t chunk)
{
    if (!frame_bitmap_take_back(&region->bitmap, chunk))
        return false;
    const enum status status = buddy_free(
        &region->buddy, frames_address(region, chunk * FRAME_BITMAP_CHUNK), FRAMES_CHUNK_ORDER);
    assert(status == STATUS_OK);
    return true;
}

bool frames_region_return_chunk(struct frames_region *region, uint32_t chunk)
{
    frames_region_lock(region);
    const bool returned = return_chunk_locked(region, chunk);
    frames_region_unlock(region);
    return returned;
}

unsigned frames_region_return_chunks(struct frames_region *region, uint32_t keep)
{
    unsigned returned = 0;
    uint32_t chunk;
    for (uint32_t from = 0;
         __atomic_load_n(&region->bitmap.free_chunks, __ATOMIC_RELAXED) > (int32_t)keep &&
         frame_bitmap_free_chunk(&region->bitmap, from, &chunk);
         from = chunk + 1)
        returned += frames_region_return_chunk(region, chunk);
    return returned;
}

// Bits of a lent chunk; the map says FREE by now.
static unsigned release_bits(struct frames_region *region, uint32_t number, uint32_t count)
{
    bool emptied;
    const unsigned released = frame_bitmap_release(&region->bitmap, number, count, &emptied);
    if (emptied &&
        __atomic_load_n(&region->bitmap.free_chunks, __ATOMIC_RELAXED) > (int32_t)region->keep)
        frames_region_return_chunk(region, number / FRAME_BITMAP_CHUNK);
    return released;
}

// How many frames behind each other, from the first on, are in the same hands: those of one lent
// chunk, or of chunks that are not lent.
static uint64_t same_hands(const struct frames_region *region, uint32_t number, uint64_t count,
                           bool *lent)
{
    uint32_t chunk = number / FRAME_BITMAP_CHUNK;
    uint64_t length = FRAME_BITMAP_CHUNK - number % FRAME_BITMAP_CHUNK;
    *lent = frame_bitmap_is_lent(&region->bitmap, chunk);
    while (!*lent && length < count && !frame_bitmap_is_lent(&region->bitmap, ++chunk))
        length += FRAME_BITMAP_CHUNK;
    return min_u64(length, count);
}

// The buddy's frames, which must all be allocated. The lock is held.
static enum status judge_blocks(const struct frames_region *region, uintptr_t from, uintptr_t end)
{
    for (uintptr_t at = from; at < end;) {
        uintptr_t start;
        unsigned order;
        const enum buddy_state state = buddy_block(&region->buddy, at, &start, &order);
        if (state != BUDDY_UNIT)
            return state == BUDDY_FREE ? STATUS_DOUBLE : STATUS_FOREIGN;
        if (order == 0 &&
            frames_map_get(region->map, frames_number(region, at)) == FRAMES_MAP_STACK)
            return STATUS_DOUBLE;
        at = start + ((uintptr_t)PAGE_SIZE << order);
    }
    return STATUS_OK;
}

// Frees them block by block: whole blocks, or pieces of one that are as long as their place allows.
static void release_blocks(struct frames_region *region, uintptr_t from, uintptr_t end)
{
    while (from < end) {
        uintptr_t start;
        unsigned order;
        const enum buddy_state state = buddy_block(&region->buddy, from, &start, &order);
        assert(state == BUDDY_UNIT);
        const uint64_t left = (end - from) >> PAGE_SHIFT;
        const uint32_t number = frames_number(region, from);
        unsigned piece = (unsigned)min_u64(order, log2_u64(left));
        if (from != 0)
            piece = (unsigned)min_u64(piece, (unsigned)__builtin_ctzll(from >> PAGE_SHIFT));
        if (order == 0)
            frames_map_set(region->map, number, FRAMES_MAP_FREE);
        const enum status status = buddy_free(&region->buddy, from, piece);
        assert(status == STATUS_OK);
        from += (uintptr_t)PAGE_SIZE << piece;
    }
}

static enum status judge_or_release_blocks(struct frames_region *region, uint32_t number,
                                           uint64_t count, bool release)
{
    const uintptr_t from = frames_address(region, number);
    const uintptr_t end = from + (count << PAGE_SHIFT);
    frames_region_lock(region);
    const enum status status = judge_blocks(region, from, end);
    if (status == STATUS_OK && release)
        release_blocks(region, from, end);
    frames_region_unlock(region);
    return status;
}

enum status frames_region_judge(struct frames_region *region, uintptr_t address, uint64_t count)
{
    uint32_t number = frames_number(region, address);
    enum status status = STATUS_OK;
    while (count > 0 && status == STATUS_OK) {
        bool lent;
        const uint64_t length = same_hands(region, number, count, &lent);
        if (!lent)
            status = judge_or_release_blocks(region, number, length, false);
        else if (!frames_map_handed(region->map, number, length))
            status = STATUS_DOUBLE;
        number += (uint32_t)length;
        count -= length;
    }
    return status;
}

enum status frames_region_release(struct frames_region *region, uintptr_t address, uint64_t count,
                                  uint64_t *released)
{
    uint32_t number = frames_number(region, address);
    enum status status = STATUS_OK;
    bool lent;
    *released = 0;
    // Several hands: nothing is released unless all of it can be.
    if (same_hands(region, number, count, &lent) < count)
        status = frames_region_judge(region, address, count);
    while (count > 0 && status == STATUS_OK) {
        const uint64_t length = same_hands(region, number, count, &lent);
        uint64_t freed = length;
        if (!lent) {
            status = judge_or_release_blocks(region, number, length, true);
            freed = status == STATUS_OK ? length : 0;
        } else if (!frames_map_handed(region->map, number, length)) {
            status = STATUS_DOUBLE;
            freed = 0;
        } else {
            frames_map_fill(region->map, number, length, FRAMES_MAP_FREE);
            freed = release_bits(region, number, (uint32_t)length);
            status = freed == length ? STATUS_OK : STATUS_DOUBLE;
        }
        *released += freed;
        number += (uint32_t)length;
        count -= length;
    }
    return status;
}

// A single frame that the buddy gave to a stack.
static void give_block(struct frames_region *region, uint32_t number)
{
    frames_region_lock(region);
    frames_map_set(region->map, number, FRAMES_MAP_FREE);
    const enum status status = buddy_free(&region->buddy, frames_address(region, number), 0);
    frames_region_unlock(region);
    assert(status == STATUS_OK);
}

void frames_region_give_batch(struct frames_region *region, const uint32_t *numbers, unsigned count)
{
    for (unsigned i = 0, length; i < count; i += length) {
        const uint32_t number = numbers[i];
        length = 1;
        if (!frame_bitmap_is_lent(&region->bitmap, number / FRAME_BITMAP_CHUNK)) {
            give_block(region, number);
            continue;
        }
        frames_map_set(region->map, number, FRAMES_MAP_FREE);
        // A stack of frames that came together lies in it in order, up or down: one step for all of
        // them that share a word.
        uint32_t lowest = number;
        const bool down = i + 1 < count && numbers[i + 1] == number - 1;
        while (i + length < count && numbers[i + length] / 64 == number / 64 &&
               numbers[i + length] == (down ? number - length : number + length)) {
            lowest = down ? number - length : number;
            frames_map_set(region->map, numbers[i + length], FRAMES_MAP_FREE);
            length++;
        }
        const unsigned released = release_bits(region, lowest, length);
        assert(released == length); // else two frees of one frame ran at the same time
    }
}

// What the map says of a frame against what its bit and the buddy say.
static bool check_frame(const struct frames_region *region, uint32_t number)
{
    const uint32_t chunk = number / FRAME_BITMAP_CHUNK;
    const bool taken = frames_map_get(region->map, number) != FRAMES_MAP_FREE;
    const uint64_t word =
        frame_bitmap_word(&region->bitmap, chunk, number % FRAME_BITMAP_CHUNK / 64);
    const bool unused = word >> (number % 64) & 1;
    if (frame_bitmap_is_lent(&region->bitmap, chunk))
        return unused != taken;
    uintptr_t start;
    unsigned order = 0;
    return !unused && (!taken || (buddy_block(&region->buddy, frames_address(region, number),
                                              &start, &order) == BUDDY_UNIT &&
                                  order == 0));
}

bool frames_region_check(struct frames_region *region)
{
    bool sound = frame_bitmap_check(&region->bitmap);
    frames_region_lock_to_look(region);
    sound = sound && buddy_check(&region->buddy);
    for (uint32_t number = 0; sound && number < region->frame_limit; number++)
        sound = check_frame(region, number);
    frames_region_unlock(region);
    return sound;
}
