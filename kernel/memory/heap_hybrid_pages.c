// SPDX-License-Identifier: MIT
// The page level of the hybrid heap: the buddy and the map behind one lock, and the way of blocks
// between it and the caches.
#include "assert.h"
#include "heap_hybrid_parts.h"
#include "string.h"

// Blocks that caches keep: all of them together a share of the memory; one cache at most so many
// pages, and with many handles one block of any order if there is some of the budget left.
// It takes some pages at a time, so that who needs few leaves the others some.
#define KEPT_SHARE       16
#define KEPT_PAGES_MOST  640
#define KEPT_PAGES_LEAST (1u << (HEAP_HYBRID_BLOCK_ORDERS - 1)) // such a block
#define KEPT_PAGES_STEP  32

// One for each 8 bytes of a page.
#define LIVE_WORDS (PAGE_SIZE / 8 / 64)

enum status heap_hybrid_pages_init(struct heap_hybrid_pages *pages, void *memory, size_t length)
{
    const uintptr_t base = (uintptr_t)memory;
    if (base == 0 || base % PAGE_SIZE != 0 || length % PAGE_SIZE != 0 || length < 64 * 1024 ||
        length > BUDDY_SPAN_LIMIT)
        return STATUS_INVALID;
    const uint64_t page_count = length >> PAGE_SHIFT;
    const size_t slabs_bytes = page_count * sizeof(struct heap_hybrid_slab);
    const size_t live_bytes = CONFIG_ASSERT_SLOW ? page_count * LIVE_WORDS * sizeof(uint64_t) : 0;
    const size_t buddy_bytes = buddy_metadata_bytes(base, length, HEAP_HYBRID_ORDER);
    const size_t map_bytes = page_count;
    const size_t metadata_bytes =
        align_up(slabs_bytes + live_bytes + buddy_bytes + map_bytes, PAGE_SIZE);
    char *const buddy_metadata = (char *)memory + slabs_bytes + live_bytes;
    memset(pages, 0, sizeof(*pages));
    pages->base = base;
    pages->page_count = page_count;
    pages->slabs = memory;
    pages->live = (uint64_t *)(void *)((char *)memory + slabs_bytes);
    pages->map = (uint8_t *)buddy_metadata + buddy_bytes;
    pages->remote_limit = min_u64(64u << 20, max_u64(64u << 10, length / 64)) / 8;
    pages->kept_budget = pages->kept_left = page_count / KEPT_SHARE;
    memset(pages->live, 0, live_bytes);
    memset(pages->map, HEAP_CLASS_NONE, map_bytes);
    spinlock_init(&pages->lock);
    list_init(&pages->handles);
    for (uint32_t i = 0; i < CPU_MOST; i++) {
        pages->cpus[i].index = i;
        for (unsigned class = 0; class < HEAP_CLASSES; class ++)
            list_init(&pages->cpus[i].classes[class].partial);
    }
    const enum status status =
        buddy_init(&pages->buddy, base, length, HEAP_HYBRID_ORDER, buddy_metadata, buddy_bytes);
    if (status != STATUS_OK)
        return status;
    return buddy_add(&pages->buddy, base + metadata_bytes, length - metadata_bytes);
}

void heap_hybrid_adopt(struct heap_hybrid_pages *pages, struct heap_boot *boot)
{
    assert(boot->end <= pages->base ||
           boot->start >= pages->base + (pages->page_count << PAGE_SHIFT));
    pages->boot = boot;
}

void heap_hybrid_lock(struct heap_hybrid_cache *cache)
{
    cpu_preempt_disable();
    spinlock_acquire(&cache->pages->lock);
    cache->locked++;
}

void heap_hybrid_unlock(struct heap_hybrid_cache *cache)
{
    spinlock_release(&cache->pages->lock);
    cpu_preempt_enable();
}

static bool gate_open(const struct heap_hybrid_pages *pages, unsigned order)
{
    if (LIKELY(pages->gate == NULL))
        return true;
    cpu_preempt_disable();
    const bool open = pages->gate(pages->gate_context, order);
    cpu_preempt_enable();
    return open;
}

NOINLINE uintptr_t heap_hybrid_buddy_take(struct heap_hybrid_cache *cache, unsigned order)
{
    struct heap_hybrid_pages *pages = cache->pages;
    uintptr_t block = 0;
    if (UNLIKELY(!gate_open(pages, order)))
        return 0;
    heap_hybrid_lock(cache);
    if (UNLIKELY(!buddy_allocate(&pages->buddy, order, &block)))
        block = 0;
    heap_hybrid_unlock(cache);
    return block;
}

// To be called with the lock.
static void give(struct heap_hybrid_cache *cache, uintptr_t block, unsigned order)
{
    const enum status status = buddy_free(&cache->pages->buddy, block, order);
    assert(status == STATUS_OK);
    cache->pages_returned += 1u << order;
}

// Gives the `count` oldest blocks of an order back. To be called with the lock.
static void give_oldest(struct heap_hybrid_cache *cache, unsigned order, unsigned count)
{
    uint32_t *const blocks = cache->blocks[order];
    for (unsigned i = 0; i < count; i++)
        give(cache, cache->base + ((uintptr_t)blocks[i] << PAGE_SHIFT), order);
    cache->block_count[order] = (uint8_t)(cache->block_count[order] - count);
    cache->kept -= count << order;
    for (unsigned i = 0; i < cache->block_count[order]; i++)
        blocks[i] = blocks[i + count];
}

// The older half of each order's blocks. To be called with the lock.
static void give_older_half(struct heap_hybrid_cache *cache)
{
    for (unsigned order = 0; order < HEAP_HYBRID_BLOCK_ORDERS; order++)
        give_oldest(cache, order, (cache->block_count[order] + 1u) / 2);
}

// What each of as many handles as there are may keep, in pages. To be called with the lock.
static uint64_t fair_share(const struct heap_hybrid_pages *pages)
{
    return min_u64(KEPT_PAGES_MOST, pages->kept_budget / pages->handle_count);
}

// Keeps the block if there is more of the budget for the cache. To be called with the lock.
static bool keep_after_all(struct heap_hybrid_cache *cache, uintptr_t block, unsigned order)
{
    struct heap_hybrid_pages *pages = cache->pages;
    const uint64_t kept = cache->kept + (1u << order), fair = fair_share(pages);
    if (order >= HEAP_HYBRID_BLOCK_ORDERS || kept <= cache->kept_most ||
        (kept > fair && cache->kept != 0))
        return false;
    const uint64_t next = min_u64(cache->kept_most + KEPT_PAGES_STEP, fair);
    const uint64_t more = min_u64(max_u64(next, kept) - cache->kept_most, pages->kept_left);
    pages->kept_left -= more;
    cache->kept_most += (uint32_t)more;
    return heap_hybrid_kept_give(cache, block, order);
}

// The cache has no place for the block: half of what it keeps goes too, so that the next ones find
// some.
NOINLINE void heap_hybrid_buddy_give(struct heap_hybrid_cache *cache, uintptr_t block,
                                     unsigned order)
{
    heap_hybrid_lock(cache);
    if (!keep_after_all(cache, block, order)) {
        give(cache, block, order);
        if (order < HEAP_HYBRID_BLOCK_ORDERS)
            give_older_half(cache);
    }
    heap_hybrid_unlock(cache);
}

void heap_hybrid_blocks_flush(struct heap_hybrid_cache *cache)
{
    heap_hybrid_lock(cache);
    for (unsigned order = 0; order < HEAP_HYBRID_BLOCK_ORDERS; order++)
        give_oldest(cache, order, cache->block_count[order]);
    cache->pages->kept_left += cache->kept_most;
    cache->kept_most = 0;
    heap_hybrid_unlock(cache);
}

void heap_hybrid_blocks_to_share(struct heap_hybrid_cache *cache)
{
    heap_hybrid_lock(cache);
    const uint32_t most = (uint32_t)max_u64(KEPT_PAGES_LEAST, fair_share(cache->pages));
    while (cache->kept > most)
        give_older_half(cache);
    if (cache->kept_most > most) {
        cache->pages->kept_left += cache->kept_most - most;
        cache->kept_most = most;
    }
    heap_hybrid_unlock(cache);
}

// ---- what is live, in test builds ---------------------------------------------------------------

// The word and the bit of an address in the heap's memory.
static uint64_t *live_word(const struct heap_hybrid_cache *cache, const void *object, uint64_t *bit)
{
    const uint64_t number = ((uintptr_t)object - cache->base) / 8;
    *bit = 1ull << (number % 64);
    return &cache->pages->live[number / 64];
}

void heap_hybrid_assert_idle(const struct heap_hybrid_cache *cache, const void *object)
{
    uint64_t bit = 0;
    uint64_t *const word = live_word(cache, object, &bit);
    // Relaxed: whoever frees the object got its address from who allocated it.
    const uint64_t before = __atomic_fetch_or(word, bit, __ATOMIC_RELAXED);
    assert((before & bit) == 0); // handed out twice
}

void heap_hybrid_assert_live(const struct heap_hybrid_cache *cache, const void *pointer)
{
    uint64_t bit = 0;
    if (((uintptr_t)pointer - cache->base) >> PAGE_SHIFT >= cache->page_count)
        return; // the boot heap's, or the slow path knows
    assert((uintptr_t)pointer % 8 == 0);
    uint64_t *const word = live_word(cache, pointer, &bit);
    const uint64_t before = __atomic_fetch_and(word, ~bit, __ATOMIC_RELAXED);
    assert((before & bit) != 0); // freed twice, or never handed out
}
