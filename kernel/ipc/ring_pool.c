// SPDX-License-Identifier: MIT
#include "ring_pool.h"

#include "assert.h"
#include "compiler.h"
#include "ring_copy.h"

// A record: generation 32 | epoch 16 | owner 16. The generation is on top so that it wraps out of
// the word.
#define EPOCH_SHIFT      16
#define GENERATION_SHIFT 32
#define WORD_BITS        64u

static uint64_t record_of(uint32_t generation, uint64_t epoch, unsigned owner)
{
    return (uint64_t)generation << GENERATION_SHIFT | (epoch & 0xffff) << EPOCH_SHIFT | owner;
}

static uint32_t generation_of(uint64_t record)
{
    return (uint32_t)(record >> GENERATION_SHIFT);
}

static unsigned owner_of(uint64_t record)
{
    return (uint16_t)record;
}

static uint32_t words_for(size_t pages)
{
    return (uint32_t)((pages + WORD_BITS - 1) / WORD_BITS);
}

size_t ring_pool_shared_bytes(size_t pages)
{
    return align_up(sizeof(struct ring_pool_shared) + (pages + words_for(pages)) * sizeof(uint64_t),
                    CACHE_LINE);
}

enum status ring_pool_attach(struct ring_pool *pool, void *pages, void *shared, size_t count,
                             uint32_t number)
{
    assert(pages != NULL && ring_is_aligned(pages, PAGE_SIZE));
    assert(shared != NULL && ring_is_aligned(shared, CACHE_LINE));
    if (count == 0 || count > RING_POOL_PAGES_MOST || number > UINT16_MAX)
        return STATUS_INVALID;
    *pool = (struct ring_pool){
        .pages = pages,
        .shared = shared,
        .count = (uint32_t)count,
        .words = words_for(count),
        .number = number,
    };
    pool->bitmap = pool->shared->records + count;
    return STATUS_OK;
}

// The bits of pages that there are in a word of the bitmap.
static uint64_t existing(const struct ring_pool *pool, uint32_t word)
{
    const uint32_t left = pool->count - word * WORD_BITS;
    return left >= WORD_BITS ? UINT64_MAX : ((uint64_t)1 << left) - 1;
}

enum status ring_pool_init(struct ring_pool *pool, void *pages, void *shared, size_t count,
                           uint32_t number)
{
    const enum status status = ring_pool_attach(pool, pages, shared, count, number);
    if (status != STATUS_OK)
        return status;
    *pool->shared = (struct ring_pool_shared){0};
    for (uint32_t i = 0; i < pool->count; i++)
        pool->shared->records[i] = 0;
    for (uint32_t word = 0; word < pool->words; word++)
        pool->bitmap[word] = existing(pool, word);
    return STATUS_OK;
}

static void count_one(uint64_t *counter)
{
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

void ring_pool_count_copied(struct ring_pool *pool, size_t bytes)
{
    __atomic_fetch_add(&pool->shared->bytes_copied, bytes, __ATOMIC_RELAXED);
}

// Takes one of the pages of a word; false if there is none. Bounded: each turn that fails has lost
// one of the bits that it saw to somebody else.
static bool take_bit(const struct ring_pool *pool, uint32_t word, uint32_t *index)
{
    uint64_t *bits = &pool->bitmap[word];
    uint64_t seen = __atomic_load_n(bits, __ATOMIC_RELAXED) & existing(pool, word);
    while (seen != 0) {
        const uint64_t bit = seen & -seen;
        // Acquire, with the release of give_back: who had the page is done with it.
        if (__atomic_fetch_and(bits, ~bit, __ATOMIC_ACQUIRE) & bit) {
            *index = word * WORD_BITS + (uint32_t)__builtin_ctzll(bit);
            return true;
        }
        seen &= ~bit;
    }
    return false;
}

enum status ring_pool_allocate(struct ring_pool *pool, unsigned owner,
                               struct ring_descriptor *descriptor, void **bytes)
{
    uint32_t index, word = owner % pool->words; // owners begin at different words
    assert(owner >= 1 && owner <= RING_POOL_OWNER_MOST);
    for (uint32_t turn = 0; !take_bit(pool, word, &index); turn++) {
        if (turn == pool->words) {
            count_one(&pool->shared->refused);
            return STATUS_NO_MEMORY;
        }
        word = word + 1 == pool->words ? 0 : word + 1;
    }
    uint64_t *record = &pool->shared->records[index];
    const uint32_t generation = generation_of(__atomic_load_n(record, __ATOMIC_RELAXED));
    const uint64_t epoch = __atomic_load_n(&pool->shared->epoch, __ATOMIC_RELAXED);
    // Relaxed: the page is this call's alone, and whoever gets it gets it by a message.
    __atomic_store_n(record, record_of(generation, epoch, owner), __ATOMIC_RELAXED);
    *descriptor = (struct ring_descriptor){
        .pool = pool->number,
        .index = index,
        .generation = generation,
    };
    *bytes = pool->pages + (size_t)index * PAGE_SIZE;
    return STATUS_OK;
}

// What is wrong with the descriptor itself; its page's record if nothing is.
static enum status find(const struct ring_pool *pool, const struct ring_descriptor *descriptor,
                        uint64_t **record)
{
    if (descriptor->pool != pool->number || descriptor->index >= pool->count)
        return STATUS_FOREIGN;
    if ((uint32_t)descriptor->offset + descriptor->length > PAGE_SIZE)
        return STATUS_INVALID;
    *record = &pool->shared->records[descriptor->index];
    return STATUS_OK;
}

static bool is_held(uint64_t record, unsigned owner, const struct ring_descriptor *descriptor)
{
    return owner_of(record) == owner && generation_of(record) == descriptor->generation;
}

static enum status rejected(const struct ring_pool *pool, enum status status)
{
    count_one(&pool->shared->rejected);
    return status;
}

enum status ring_pool_open(struct ring_pool *pool, unsigned owner,
                           const struct ring_descriptor *descriptor, void **bytes)
{
    const struct ring_descriptor copy = *descriptor;
    uint64_t *record;
    assert(owner >= 1 && owner <= RING_POOL_OWNER_MOST);
    const enum status status = find(pool, &copy, &record);
    if (UNLIKELY(status != STATUS_OK))
        return rejected(pool, status);
    // Acquire, with the release of whoever passed the page: what it wrote there. The message that
    // brought the descriptor has ordered that already; a descriptor may also come another way.
    if (UNLIKELY(!is_held(__atomic_load_n(record, __ATOMIC_ACQUIRE), owner, &copy)))
        return rejected(pool, STATUS_STALE);
    *bytes = pool->pages + (size_t)copy.index * PAGE_SIZE + copy.offset;
    return STATUS_OK;
}

bool ring_pool_holds(struct ring_pool *pool, unsigned owner,
                     const struct ring_descriptor *descriptor)
{
    uint64_t *record;
    if (find(pool, descriptor, &record) != STATUS_OK)
        return false;
    // Release, in a change that changes nothing: what was read of the page was read before this.
    const uint64_t held = __atomic_fetch_add(record, 0, __ATOMIC_ACQ_REL);
    return is_held(held, owner, descriptor);
}

// The record that `owner` leaves behind takes the place of its own, once, whoever tries.
static enum status replace(struct ring_pool *pool, unsigned owner,
                           const struct ring_descriptor *descriptor, uint32_t generation,
                           unsigned successor)
{
    uint64_t *record;
    assert(owner >= 1 && owner <= RING_POOL_OWNER_MOST);
    const enum status status = find(pool, descriptor, &record);
    if (UNLIKELY(status != STATUS_OK))
        return rejected(pool, status);
    const uint64_t epoch = __atomic_load_n(&pool->shared->epoch, __ATOMIC_RELAXED);
    uint64_t held = __atomic_load_n(record, __ATOMIC_RELAXED);
    // Release: what this owner read or wrote in the page comes before what the next one does. Fails
    // only if the page was given up, or passed on, meanwhile.
    if (UNLIKELY(!is_held(held, owner, descriptor) ||
                 !__atomic_compare_exchange_n(record, &held,
                                              record_of(generation, epoch, successor), false,
                                              __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)))
        return rejected(pool, STATUS_STALE);
    return STATUS_OK;
}

// After the record says free: only now somebody else may take it.
static void give_back(struct ring_pool *pool, uint32_t index)
{
    // Release, with take_bit's acquire.
    __atomic_fetch_or(&pool->bitmap[index / WORD_BITS], (uint64_t)1 << index % WORD_BITS,
                      __ATOMIC_RELEASE);
}

enum status ring_pool_free(struct ring_pool *pool, unsigned owner,
                           const struct ring_descriptor *descriptor)
{
    const struct ring_descriptor copy = *descriptor;
    const enum status status = replace(pool, owner, &copy, copy.generation + 1, 0);
    if (LIKELY(status == STATUS_OK))
        give_back(pool, copy.index);
    return status;
}

enum status ring_pool_pass(struct ring_pool *pool, unsigned from, unsigned to,
                           const struct ring_descriptor *descriptor)
{
    const struct ring_descriptor copy = *descriptor;
    assert(to >= 1 && to <= RING_POOL_OWNER_MOST);
    return replace(pool, from, &copy, copy.generation, to);
}

void ring_pool_advance(struct ring_pool *pool)
{
    __atomic_fetch_add(&pool->shared->epoch, 1, __ATOMIC_RELAXED);
}

size_t ring_pool_reclaim(struct ring_pool *pool, unsigned owner, unsigned epochs)
{
    const uint64_t now = __atomic_load_n(&pool->shared->epoch, __ATOMIC_RELAXED);
    size_t reclaimed = 0;
    assert(owner >= 1 && owner <= RING_POOL_OWNER_MOST);
    for (uint32_t index = 0; index < pool->count; index++) {
        uint64_t *record = &pool->shared->records[index];
        uint64_t held = __atomic_load_n(record, __ATOMIC_RELAXED);
        const uint16_t age = (uint16_t)(now - (held >> EPOCH_SHIFT));
        // Order: as in replace. It fails if the owner was quicker.
        if (owner_of(held) == owner && age >= epochs &&
            __atomic_compare_exchange_n(record, &held, record_of(generation_of(held) + 1, now, 0),
                                        false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            give_back(pool, index);
            reclaimed++;
        }
    }
    __atomic_fetch_add(&pool->shared->reclaimed, reclaimed, __ATOMIC_RELAXED);
    return reclaimed;
}

// A page's generation says how often it was freed. Exact up to 2^32 times each.
void ring_pool_statistics(const struct ring_pool *pool, struct ring_pool_statistics *statistics)
{
    const struct ring_pool_shared *shared = pool->shared;
    uint64_t held = 0, given_up = 0;
    for (uint32_t index = 0; index < pool->count; index++) {
        const uint64_t record = __atomic_load_n(&shared->records[index], __ATOMIC_RELAXED);
        held += owner_of(record) != 0;
        given_up += generation_of(record);
    }
    const uint64_t reclaimed = __atomic_load_n(&shared->reclaimed, __ATOMIC_RELAXED);
    *statistics = (struct ring_pool_statistics){
        .allocated = given_up + held,
        .freed = given_up - reclaimed,
        .reclaimed = reclaimed,
        .held = held,
        .refused = __atomic_load_n(&shared->refused, __ATOMIC_RELAXED),
        .rejected = __atomic_load_n(&shared->rejected, __ATOMIC_RELAXED),
        .bytes_copied = __atomic_load_n(&shared->bytes_copied, __ATOMIC_RELAXED),
    };
}

bool ring_pool_check(const struct ring_pool *pool)
{
    for (uint32_t word = 0; word < pool->words; word++) {
        if ((pool->bitmap[word] & ~existing(pool, word)) != 0)
            return false;
    }
    for (uint32_t index = 0; index < pool->count; index++) {
        const bool free = pool->bitmap[index / WORD_BITS] >> index % WORD_BITS & 1;
        if (free != (owner_of(pool->shared->records[index]) == 0))
            return false;
    }
    return true;
}
