// SPDX-License-Identifier: MIT
// Bits are the truth: a frame belongs to who cleared its bit. Counts and summaries follow behind:
// a claim clears bits, then counts down; a release sets bits, then counts up. So a count is the
// frames free minus the releases on their way, plus nothing: never more than 512, now and then
// below 0, and right when no call is inside.
#include "frame_bitmap.h"

#include "assert.h"
#include "string.h"

#define CLAIM_TRIES 4 // of one run in one chunk, before the search goes on

size_t frame_bitmap_metadata_bytes(uint32_t chunks)
{
    if (chunks == 0 || chunks > FRAME_BITMAP_CHUNKS)
        return 0;
    const size_t summary = align_up((chunks + 63u) / 64 * sizeof(uint64_t), CACHE_LINE);
    return chunks * sizeof(struct frame_bitmap_chunk) +
           align_up(chunks * sizeof(int32_t), CACHE_LINE) + 3 * summary;
}

void frame_bitmap_init(struct frame_bitmap *bitmap, uint32_t chunks, void *metadata)
{
    assert(chunks > 0 && chunks <= FRAME_BITMAP_CHUNKS && (uintptr_t)metadata % CACHE_LINE == 0);
    const size_t summary = align_up((chunks + 63u) / 64 * sizeof(uint64_t), CACHE_LINE);
    char *at = metadata;
    memset(metadata, 0, frame_bitmap_metadata_bytes(chunks));
    *bitmap = (struct frame_bitmap){.chunks = metadata, .chunk_count = chunks};
    at += chunks * sizeof(struct frame_bitmap_chunk);
    bitmap->counts = (int32_t *)(void *)at;
    at += align_up(chunks * sizeof(int32_t), CACHE_LINE);
    bitmap->lent = (uint64_t *)(void *)at;
    bitmap->some = (uint64_t *)(void *)(at + summary);
    bitmap->all = (uint64_t *)(void *)(at + 2 * summary);
}

static inline int32_t count_of(const struct frame_bitmap *bitmap, uint32_t chunk)
{
    return __atomic_load_n(&bitmap->counts[chunk], __ATOMIC_SEQ_CST);
}

static inline void bit_set(uint64_t *bits, uint32_t chunk)
{
    __atomic_fetch_or(&bits[chunk / 64], 1ull << (chunk % 64), __ATOMIC_SEQ_CST);
}

static inline void bit_clear(uint64_t *bits, uint32_t chunk)
{
    __atomic_fetch_and(&bits[chunk / 64], ~(1ull << (chunk % 64)), __ATOMIC_SEQ_CST);
}

// Brings the bit "free as a whole" in line with the count. Others do the same at the same time, so
// that it looks again after each change; a bit that is wrong all the same only costs a preference.
static void settle_all(struct frame_bitmap *bitmap, uint32_t chunk)
{
    for (unsigned i = 0; i < CLAIM_TRIES; i++) {
        const bool whole = count_of(bitmap, chunk) == (int32_t)FRAME_BITMAP_CHUNK;
        const uint64_t word = __atomic_load_n(&bitmap->all[chunk / 64], __ATOMIC_SEQ_CST);
        if ((word >> (chunk % 64) & 1) == whole)
            return;
        if (whole)
            bit_set(bitmap->all, chunk);
        else
            bit_clear(bitmap->all, chunk);
    }
}

// Bits of the chunk were set before: whoever sees the count finds them.
static bool count_up(struct frame_bitmap *bitmap, uint32_t chunk, unsigned frames)
{
    const int32_t old = __atomic_fetch_add(&bitmap->counts[chunk], frames, __ATOMIC_SEQ_CST);
    if (old <= 0)
        bit_set(bitmap->some, chunk);
    if (old + (int32_t)frames != (int32_t)FRAME_BITMAP_CHUNK)
        return false;
    __atomic_fetch_add(&bitmap->free_chunks, 1, __ATOMIC_RELAXED);
    settle_all(bitmap, chunk);
    return true;
}

static void count_down(struct frame_bitmap *bitmap, uint32_t chunk, unsigned frames)
{
    const int32_t old = __atomic_fetch_sub(&bitmap->counts[chunk], frames, __ATOMIC_SEQ_CST);
    if (old == (int32_t)FRAME_BITMAP_CHUNK) {
        __atomic_fetch_sub(&bitmap->free_chunks, 1, __ATOMIC_RELAXED);
        settle_all(bitmap, chunk);
    }
    if (old - (int32_t)frames > 0)
        return;
    bit_clear(bitmap->some, chunk);
    // A release that counted up between the subtraction and the clearing set the bit in vain. All
    // three are sequentially consistent: either its bit is set behind the clearing, or its count is
    // seen here.
    if (count_of(bitmap, chunk) > 0)
        bit_set(bitmap->some, chunk);
}

// ---- words --------------------------------------------------------------------------------------

// Clears the bits of `mask` if all of them are set.
static inline bool claim(uint64_t *word, uint64_t mask)
{
    uint64_t old = __atomic_load_n(word, __ATOMIC_RELAXED);
    while ((old & mask) == mask)
        // Acquire: pairs with the release of whoever set these bits, so that what it wrote into the
        // frames is done.
        if (__atomic_compare_exchange_n(word, &old, old & ~mask, true, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return true;
    return false;
}

static inline uint64_t give(uint64_t *word, uint64_t mask)
{
    // Release: what this CPU wrote into the frames comes before who gets them next.
    return __atomic_fetch_or(word, mask, __ATOMIC_RELEASE);
}

// Bits from..end - 1 of a chunk that lie in one of its words.
static inline uint64_t mask_of(unsigned word, unsigned from, unsigned end)
{
    const unsigned first = word * 64;
    if (from >= first + 64 || end <= first)
        return 0;
    const unsigned low = from > first ? from - first : 0;
    const unsigned high = end < first + 64 ? end - first : 64;
    return (high == 64 ? ~0ull : (1ull << high) - 1) & (~0ull << low);
}

static bool claim_run(struct frame_bitmap *bitmap, struct frame_bitmap_chunk *chunk, unsigned from,
                      unsigned end)
{
    const unsigned first = from / 64, last = (end - 1) / 64;
    for (unsigned word = first; word <= last; word++) {
        if (LIKELY(claim(&chunk->words[word], mask_of(word, from, end))))
            continue;
        while (word-- > first)
            give(&chunk->words[word], mask_of(word, from, end));
        __atomic_fetch_add(&bitmap->rollbacks, 1, __ATOMIC_RELAXED);
        return false;
    }
    return true;
}

// ---- runs inside a chunk ------------------------------------------------------------------------

// First place >= `from` whose bit is `set`; 512 if there is none.
static unsigned next_place(const uint64_t words[FRAME_BITMAP_WORDS], unsigned from, bool set)
{
    if (from >= FRAME_BITMAP_CHUNK)
        return FRAME_BITMAP_CHUNK;
    const uint64_t flip = set ? 0 : ~0ull;
    uint64_t bits = (words[from / 64] ^ flip) & (~0ull << (from % 64));
    unsigned word = from / 64;
    while (bits == 0) {
        if (++word == FRAME_BITMAP_WORDS)
            return FRAME_BITMAP_CHUNK;
        bits = words[word] ^ flip;
    }
    return word * 64 + (unsigned)__builtin_ctzll(bits);
}

// The first run of set bits that holds `count` of them from an aligned place on, and ends at or
// below `limit`.
static bool find_run(const uint64_t words[FRAME_BITMAP_WORDS], unsigned count, unsigned alignment,
                     unsigned limit, unsigned *place)
{
    for (unsigned at = 0; at < FRAME_BITMAP_CHUNK;) {
        const unsigned start = next_place(words, at, true);
        const unsigned aligned = (unsigned)align_up(start, alignment);
        if (aligned + count > limit)
            return false;
        at = next_place(words, start, false);
        if (aligned + count <= at) {
            *place = aligned;
            return true;
        }
    }
    return false;
}

static bool claim_in_chunk(struct frame_bitmap *bitmap, uint32_t chunk,
                           const struct frame_bitmap_request *request, uint32_t *number)
{
    const uint32_t first = chunk * FRAME_BITMAP_CHUNK;
    const unsigned limit = (unsigned)min_u64(request->limit - first, FRAME_BITMAP_CHUNK);
    for (unsigned i = 0; i < CLAIM_TRIES; i++) {
        uint64_t words[FRAME_BITMAP_WORDS];
        unsigned place;
        for (unsigned word = 0; word < FRAME_BITMAP_WORDS; word++)
            words[word] = frame_bitmap_word(bitmap, chunk, word);
        if (!find_run(words, request->count, request->alignment, limit, &place))
            return false;
        if (claim_run(bitmap, &bitmap->chunks[chunk], place, place + request->count)) {
            count_down(bitmap, chunk, request->count);
            *number = first + place;
            return true;
        }
    }
    return false;
}

// ---- the search ---------------------------------------------------------------------------------

// One turn over the chunks, from the hint.
struct turn {
    uint32_t start; // chunk
    uint32_t words; // of a summary
    uint32_t steps; // done: word start / 64 comes twice, its front last
    uint64_t bits;  // chunks of the word at hand still to look at
};

static struct turn turn_begin(const struct frame_bitmap *bitmap)
{
    return (struct turn){.start = __atomic_load_n(&bitmap->hint, __ATOMIC_RELAXED),
                         .words = (bitmap->chunk_count + 63) / 64};
}

// Which chunks of a word of the summaries to look at: those in use, those free as a whole, or both.
enum looks { LOOK_USED, LOOK_WHOLE, LOOK_LENT };

static bool turn_next(const struct frame_bitmap *bitmap, struct turn *turn, enum looks looks,
                      uint32_t *chunk)
{
    uint32_t word = (turn->start / 64 + turn->steps + turn->words - 1) % turn->words;
    while (turn->bits == 0) {
        if (turn->steps > turn->words)
            return false;
        word = (turn->start / 64 + turn->steps) % turn->words;
        const uint64_t *from = looks == LOOK_LENT ? bitmap->lent : bitmap->some;
        uint64_t bits = __atomic_load_n(&from[word], __ATOMIC_RELAXED);
        const uint64_t whole = __atomic_load_n(&bitmap->all[word], __ATOMIC_RELAXED);
        const uint64_t behind = ~0ull << (turn->start % 64);
        if (turn->steps == 0)
            bits &= behind;
        else if (turn->steps == turn->words)
            bits &= ~behind;
        if (looks != LOOK_LENT)
            bits &= looks == LOOK_WHOLE ? whole : ~whole;
        turn->bits = bits;
        turn->steps++;
    }
    *chunk = word * 64 + (unsigned)__builtin_ctzll(turn->bits);
    turn->bits &= turn->bits - 1;
    return true;
}

static inline void set_hint(struct frame_bitmap *bitmap, uint32_t chunk)
{
    // Read first: a line that all CPUs have is not written without need.
    if (__atomic_load_n(&bitmap->hint, __ATOMIC_RELAXED) != chunk)
        __atomic_store_n(&bitmap->hint, chunk, __ATOMIC_RELAXED);
}

static bool search(struct frame_bitmap *bitmap, const struct frame_bitmap_request *request,
                   enum looks looks, uint32_t *number)
{
    struct turn turn = turn_begin(bitmap);
    uint32_t chunk, tries = request->tries;
    while (turn_next(bitmap, &turn, looks, &chunk)) {
        if (chunk * FRAME_BITMAP_CHUNK >= request->limit)
            continue;
        if (looks != LOOK_LENT && frame_bitmap_count(bitmap, chunk) < request->count)
            continue;
        if (claim_in_chunk(bitmap, chunk, request, number)) {
            set_hint(bitmap, chunk);
            return true;
        }
        if (--tries == 0)
            return false;
    }
    return false;
}

bool frame_bitmap_allocate(struct frame_bitmap *bitmap, const struct frame_bitmap_request *request,
                           uint32_t *number)
{
    assert(request->count > 0 && request->count < FRAME_BITMAP_CHUNK && request->tries > 0);
    assert(request->alignment <= FRAME_BITMAP_CHUNK && __builtin_popcount(request->alignment) == 1);
    if (request->thorough)
        return search(bitmap, request, LOOK_LENT, number);
    return search(bitmap, request, LOOK_USED, number) ||
           (!request->sparing && search(bitmap, request, LOOK_WHOLE, number));
}

// The lowest `most` of some bits, 1 to 64.
static uint64_t lowest(uint64_t bits, unsigned most)
{
    uint64_t rest = bits;
    if ((unsigned)__builtin_popcountll(bits) <= most)
        return bits;
    while (most-- > 0)
        rest &= rest - 1;
    return bits & ~rest;
}

static unsigned batch_in_chunk(struct frame_bitmap *bitmap, uint32_t chunk, unsigned most,
                               uint32_t *numbers)
{
    unsigned taken = 0;
    for (unsigned word = 0; word < FRAME_BITMAP_WORDS && taken < most; word++) {
        uint64_t *const at = &bitmap->chunks[chunk].words[word];
        uint64_t old = __atomic_load_n(at, __ATOMIC_RELAXED);
        uint64_t mask = 0;
        while (old != 0) {
            mask = lowest(old, most - taken);
            // Acquire: as in claim().
            if (__atomic_compare_exchange_n(at, &old, old & ~mask, true, __ATOMIC_ACQUIRE,
                                            __ATOMIC_RELAXED))
                break;
            mask = 0;
        }
        for (; mask != 0; mask &= mask - 1)
            numbers[taken++] =
                chunk * FRAME_BITMAP_CHUNK + word * 64 + (unsigned)__builtin_ctzll(mask);
    }
    if (taken > 0)
        count_down(bitmap, chunk, taken);
    return taken;
}

unsigned frame_bitmap_allocate_batch(struct frame_bitmap *bitmap, unsigned most, uint32_t *numbers)
{
    unsigned taken = 0;
    for (enum looks looks = LOOK_USED; looks <= LOOK_WHOLE; looks++) {
        struct turn turn = turn_begin(bitmap);
        uint32_t chunk;
        while (taken < most && turn_next(bitmap, &turn, looks, &chunk)) {
            const unsigned got = batch_in_chunk(bitmap, chunk, most - taken, numbers + taken);
            if (got > 0)
                set_hint(bitmap, chunk);
            taken += got;
        }
    }
    return taken;
}

unsigned frame_bitmap_release(struct frame_bitmap *bitmap, uint32_t number, uint32_t count,
                              bool *emptied)
{
    const uint32_t chunk = number / FRAME_BITMAP_CHUNK;
    const unsigned from = number % FRAME_BITMAP_CHUNK, end = from + count;
    unsigned released = 0;
    assert(count > 0 && count <= FRAME_BITMAP_CHUNK && end <= FRAME_BITMAP_CHUNK);
    assert(chunk < bitmap->chunk_count);
    for (unsigned word = from / 64; word <= (end - 1) / 64; word++) {
        const uint64_t mask = mask_of(word, from, end);
        const uint64_t old = give(&bitmap->chunks[chunk].words[word], mask);
        released += (unsigned)__builtin_popcountll(mask & ~old);
    }
    *emptied = released > 0 && count_up(bitmap, chunk, released);
    return released;
}

// ---- whole chunks -------------------------------------------------------------------------------

void frame_bitmap_lend(struct frame_bitmap *bitmap, uint32_t chunk)
{
    assert(chunk < bitmap->chunk_count && !frame_bitmap_is_lent(bitmap, chunk));
    bit_set(bitmap->lent, chunk);
    for (unsigned word = 0; word < FRAME_BITMAP_WORDS; word++)
        give(&bitmap->chunks[chunk].words[word], ~0ull);
    count_up(bitmap, chunk, FRAME_BITMAP_CHUNK);
}

unsigned frame_bitmap_hold(struct frame_bitmap *bitmap, uint32_t chunk,
                           uint64_t held[FRAME_BITMAP_WORDS])
{
    unsigned count = 0;
    for (unsigned word = 0; word < FRAME_BITMAP_WORDS; word++) {
        // Acquire: as in claim().
        const uint64_t bits =
            __atomic_exchange_n(&bitmap->chunks[chunk].words[word], 0, __ATOMIC_ACQUIRE);
        held[word] |= bits;
        count += (unsigned)__builtin_popcountll(bits);
    }
    if (count > 0)
        count_down(bitmap, chunk, count);
    return count;
}

void frame_bitmap_unhold(struct frame_bitmap *bitmap, uint32_t chunk,
                         const uint64_t held[FRAME_BITMAP_WORDS])
{
    unsigned count = 0;
    for (unsigned word = 0; word < FRAME_BITMAP_WORDS; word++) {
        give(&bitmap->chunks[chunk].words[word], held[word]);
        count += (unsigned)__builtin_popcountll(held[word]);
    }
    if (count > 0)
        count_up(bitmap, chunk, count);
}

void frame_bitmap_end_loan(struct frame_bitmap *bitmap, uint32_t chunk)
{
    assert(frame_bitmap_is_lent(bitmap, chunk));
    bit_clear(bitmap->lent, chunk);
}

bool frame_bitmap_take_back(struct frame_bitmap *bitmap, uint32_t chunk)
{
    uint64_t held[FRAME_BITMAP_WORDS] = {0};
    if (!frame_bitmap_is_lent(bitmap, chunk) ||
        frame_bitmap_count(bitmap, chunk) != FRAME_BITMAP_CHUNK)
        return false;
    if (frame_bitmap_hold(bitmap, chunk, held) != FRAME_BITMAP_CHUNK) {
        frame_bitmap_unhold(bitmap, chunk, held);
        return false;
    }
    frame_bitmap_end_loan(bitmap, chunk);
    return true;
}

bool frame_bitmap_free_chunk(const struct frame_bitmap *bitmap, uint32_t from, uint32_t *chunk)
{
    for (uint32_t word = from / 64; word < (bitmap->chunk_count + 63) / 64; word++) {
        uint64_t bits = __atomic_load_n(&bitmap->lent[word], __ATOMIC_RELAXED);
        if (word == from / 64)
            bits &= ~0ull << (from % 64);
        for (; bits != 0; bits &= bits - 1) {
            *chunk = word * 64 + (unsigned)__builtin_ctzll(bits);
            if (frame_bitmap_count(bitmap, *chunk) == FRAME_BITMAP_CHUNK)
                return true;
        }
    }
    return false;
}

uint64_t frame_bitmap_free_frames(const struct frame_bitmap *bitmap)
{
    uint64_t sum = 0;
    for (uint32_t chunk = 0; chunk < bitmap->chunk_count; chunk++)
        sum += frame_bitmap_count(bitmap, chunk);
    return sum;
}

bool frame_bitmap_check(const struct frame_bitmap *bitmap)
{
    int32_t whole = 0;
    for (uint32_t chunk = 0; chunk < bitmap->chunk_count; chunk++) {
        const int32_t count = count_of(bitmap, chunk);
        int32_t bits = 0;
        for (unsigned word = 0; word < FRAME_BITMAP_WORDS; word++)
            bits += __builtin_popcountll(frame_bitmap_word(bitmap, chunk, word));
        const bool some = bitmap->some[chunk / 64] >> (chunk % 64) & 1;
        if (bits != count || (count > 0 && (!some || !frame_bitmap_is_lent(bitmap, chunk))))
            return false;
        whole += count == (int32_t)FRAME_BITMAP_CHUNK;
    }
    return whole == __atomic_load_n(&bitmap->free_chunks, __ATOMIC_RELAXED);
}
