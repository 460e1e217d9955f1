// SPDX-License-Identifier: MIT
#include "frame_textbook_buddy.h"

#include "compiler.h"
#include "cpu.h"
#include "string.h"

// Tags: INSIDE, or one of the others + the order of the block that begins with this frame.
#define INSIDE 0x00u
#define FREE   0x40u
#define TAKEN  0x80u

#define LENGTH_MOST (1ull << 46)

_Static_assert(FRAME_TEXTBOOK_ORDERS <= FREE, "an order fits beside the marks");

static void enter(struct frame_textbook_buddy *buddy)
{
    cpu_preempt_disable();
    spinlock_acquire(&buddy->lock);
    buddy->counts.locks++;
}

static void leave(struct frame_textbook_buddy *buddy)
{
    spinlock_release(&buddy->lock);
    cpu_preempt_enable();
}

static inline uint8_t *tag_of(const struct frame_textbook_buddy *buddy, uint64_t frame)
{
    return &buddy->tags[frame - buddy->first];
}

static inline struct list *links_of(const struct frame_textbook_buddy *buddy, uint64_t frame)
{
    return (struct list *)(buddy->origin + (frame << PAGE_SHIFT));
}

static inline uint64_t frame_of(const struct frame_textbook_buddy *buddy, const struct list *links)
{
    return ((uintptr_t)links - buddy->origin) >> PAGE_SHIFT;
}

static void push(struct frame_textbook_buddy *buddy, uint64_t frame, unsigned order)
{
    *tag_of(buddy, frame) = (uint8_t)(FREE + order);
    list_insert_after(&buddy->free[order], links_of(buddy, frame));
}

// Algorithm S: joins the block with its buddy as long as that one is free and whole.
static void join(struct frame_textbook_buddy *buddy, uint64_t frame, unsigned order)
{
    while (order < buddy->highest) {
        const uint64_t other = frame ^ 1ull << order;
        if (other < buddy->first || other >= buddy->limit || *tag_of(buddy, other) != FREE + order)
            break;
        list_remove(links_of(buddy, other));
        *tag_of(buddy, other) = *tag_of(buddy, frame) = INSIDE;
        frame &= ~(1ull << order);
        order++;
    }
    push(buddy, frame, order);
}

size_t frame_textbook_buddy_metadata_bytes(uintptr_t start, uint64_t length)
{
    if (start % PAGE_SIZE != 0 || length % PAGE_SIZE != 0 || length == 0 || length > LENGTH_MOST ||
        start + length < start)
        return 0;
    return length >> PAGE_SHIFT;
}

enum status frame_textbook_buddy_init(void *state, uintptr_t start, uint64_t length, void *metadata,
                                      size_t metadata_length)
{
    struct frame_textbook_buddy *buddy = state;
    const size_t bytes = frame_textbook_buddy_metadata_bytes(start, length);
    if (bytes == 0 || (uintptr_t)metadata % PAGE_SIZE != 0)
        return STATUS_INVALID;
    if (metadata_length < bytes)
        return STATUS_NO_MEMORY;
    const uint64_t count = length >> PAGE_SHIFT;
    *buddy = (struct frame_textbook_buddy){.tags = metadata,
                                           .counts = {.present = count, .free = count}};
    buddy->highest = (unsigned)min_u64(log2_u64(count), FRAME_TEXTBOOK_ORDERS - 1);
    buddy->origin = start & ~(((uint64_t)PAGE_SIZE << buddy->highest) - 1);
    buddy->first = (start - buddy->origin) >> PAGE_SHIFT;
    buddy->limit = buddy->first + count;
    memset(buddy->tags, INSIDE, bytes);
    for (unsigned order = 0; order < FRAME_TEXTBOOK_ORDERS; order++)
        list_init(&buddy->free[order]);
    for (uint64_t frame = buddy->first; frame < buddy->limit;) {
        unsigned order = (unsigned)min_u64(log2_u64(buddy->limit - frame), buddy->highest);
        if (frame != 0)
            order = (unsigned)min_u64(order, (unsigned)__builtin_ctzll(frame));
        push(buddy, frame, order);
        frame += 1ull << order;
    }
    return STATUS_OK;
}

static inline unsigned order_of(uint64_t count)
{
    return count == 1 ? 0 : log2_u64(count - 1) + 1;
}

// Algorithm R: the first list at `order` or above that is not empty, halved until it fits.
static bool take(struct frame_textbook_buddy *buddy, unsigned order, uintptr_t *address)
{
    unsigned from = order;
    while (from <= buddy->highest && list_empty(&buddy->free[from]))
        from++;
    if (from > buddy->highest)
        return false;
    struct list *const links = buddy->free[from].next;
    const uint64_t frame = frame_of(buddy, links);
    list_remove(links);
    while (from > order) {
        from--;
        push(buddy, frame + (1ull << from), from);
    }
    *tag_of(buddy, frame) = (uint8_t)(TAKEN + order);
    *address = (uintptr_t)links;
    return true;
}

bool frame_textbook_buddy_allocate(void *state, uint64_t count, uintptr_t *address)
{
    struct frame_textbook_buddy *buddy = state;
    const unsigned order = order_of(count);
    enter(buddy);
    const bool served = take(buddy, order, address);
    buddy->counts.allocations += served;
    buddy->counts.failures += !served;
    buddy->counts.free -= served ? 1ull << order : 0;
    leave(buddy);
    return served;
}

// A frame that begins no block in use: does it lie in a free one?
static bool is_free(const struct frame_textbook_buddy *buddy, uint64_t frame)
{
    for (unsigned order = 0; order <= buddy->highest; order++) {
        const uint64_t block = frame >> order << order;
        if (block >= buddy->first && (*tag_of(buddy, block) & ~(FREE - 1)) == FREE)
            return *tag_of(buddy, block) >= FREE + order;
    }
    return false;
}

enum status frame_textbook_buddy_release(void *state, uintptr_t address, uint64_t count)
{
    struct frame_textbook_buddy *buddy = state;
    const uint64_t frame = (address - buddy->origin) >> PAGE_SHIFT;
    if (count == 0)
        return STATUS_INVALID;
    if (address < buddy->origin || frame < buddy->first || frame >= buddy->limit)
        return STATUS_FOREIGN;
    if (address % PAGE_SIZE != 0)
        return STATUS_INVALID;
    const unsigned order = order_of(count);
    enum status status = STATUS_OK;
    enter(buddy);
    if (UNLIKELY(*tag_of(buddy, frame) != TAKEN + order)) {
        status = is_free(buddy, frame) ? STATUS_DOUBLE : STATUS_INVALID;
    } else {
        join(buddy, frame, order);
        buddy->counts.releases++;
        buddy->counts.free += 1ull << order;
    }
    leave(buddy);
    return status;
}

void frame_textbook_buddy_statistics(const void *state, struct frame_statistics *statistics)
{
    const struct frame_textbook_buddy *buddy = state;
    struct frame_runs runs = {0};
    for (uint64_t frame = buddy->first; frame < buddy->limit;) {
        const unsigned tag = *tag_of(buddy, frame);
        frame_runs_add(&runs, tag < TAKEN, 1ull << tag % FREE);
        frame += 1ull << tag % FREE;
    }
    *statistics = frame_statistics_of(&buddy->counts, buddy->limit - buddy->first, &runs);
}

// Blocks tile the range, each aligned to its size; the frames inside say so.
static bool check_tags(const struct frame_textbook_buddy *buddy, uint64_t *unused)
{
    uint64_t blocks = 0;
    for (uint64_t frame = buddy->first; frame < buddy->limit;) {
        const unsigned tag = *tag_of(buddy, frame), order = tag % FREE;
        if (tag < FREE || order > buddy->highest || (frame & ((1ull << order) - 1)) != 0 ||
            frame + (1ull << order) > buddy->limit)
            return false;
        for (uint64_t i = 1; i < 1ull << order; i++)
            if (*tag_of(buddy, frame + i) != INSIDE)
                return false;
        blocks += tag < TAKEN;
        *unused += tag < TAKEN ? 1ull << order : 0;
        frame += 1ull << order;
    }
    // As many as the lists have, each in the list of its order.
    for (unsigned order = 0; order <= buddy->highest; order++) {
        const struct list *const head = &buddy->free[order];
        for (const struct list *at = head; at->next != head; at = at->next) {
            if (at->next->previous != at || blocks-- == 0 ||
                *tag_of(buddy, frame_of(buddy, at->next)) != FREE + order)
                return false;
        }
    }
    return blocks == 0;
}

bool frame_textbook_buddy_check(const void *state)
{
    const struct frame_textbook_buddy *buddy = state;
    uint64_t unused = 0;
    return check_tags(buddy, &unused) && unused == buddy->counts.free && buddy->lock.held == 0;
}
