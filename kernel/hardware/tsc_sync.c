// SPDX-License-Identifier: MIT
#include "tsc_sync.h"

#include "assert.h"
#include "cpu.h"

#define GIVEN_UP      UINT64_MAX
#define LOOKS_A_CLOCK 1024u // the clock may be slow to read

void tsc_sync_init(struct tsc_sync *sync)
{
    *sync = (struct tsc_sync){0};
}

// Waits until `*word` is `number`. False if the other gave up or the bounds are reached.
static bool wait_for(const uint64_t *word, uint64_t number, const struct tsc_sync_party *party)
{
    uint64_t start = 0;
    for (uint32_t looks = 0; looks < TSC_SYNC_LOOKS_MOST; looks++) {
        // Acquire: what the other wrote before this number (its ticks) is read after it.
        const uint64_t seen = __atomic_load_n(word, __ATOMIC_ACQUIRE);
        if (seen == number || seen == GIVEN_UP)
            return seen == number;
        if (looks % LOOKS_A_CLOCK == LOOKS_A_CLOCK - 1) {
            const uint64_t now = party->now_ns(party->context);
            if (start == 0)
                start = now;
            else if (now - start > party->wait_most_ns)
                return false;
        }
        cpu_pause();
    }
    return false;
}

// Two's complement: the difference of counters far apart, and of those that wrap.
static int64_t apart(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b);
}

static void add_round(struct tsc_sync_result *result, uint64_t before, uint64_t there,
                      uint64_t after)
{
    const int64_t low = apart(there, after), high = apart(there, before);
    const int64_t back = low > -high ? low : -high; // whichever way it went
    if (back > 0) {
        result->warps++;
        result->warp_most = max_u64(result->warp_most, (uint64_t)back);
    }
    if (result->rounds++ == 0 || after - before < result->round_trip) {
        result->offset_low = low;
        result->offset_high = high;
        result->round_trip = after - before;
    }
}

enum status tsc_sync_ask(struct tsc_sync *sync, const struct tsc_sync_party *party, uint32_t rounds,
                         struct tsc_sync_result *result)
{
    assert(rounds >= 1);
    *result = (struct tsc_sync_result){0};
    for (uint64_t round = 1; round <= rounds; round++) {
        const uint64_t before = party->ticks(party->context);
        // Release: the other reads its counter after it sees this, so after `before`.
        __atomic_store_n(&sync->question, round, __ATOMIC_RELEASE);
        if (!wait_for(&sync->answer, round, party)) {
            __atomic_store_n(&sync->question, GIVEN_UP, __ATOMIC_RELEASE);
            return STATUS_CLOSED;
        }
        const uint64_t after = party->ticks(party->context);
        add_round(result, before, sync->ticks, after);
    }
    return STATUS_OK;
}

enum status tsc_sync_answer(struct tsc_sync *sync, const struct tsc_sync_party *party,
                            uint32_t rounds)
{
    assert(rounds >= 1);
    for (uint64_t round = 1; round <= rounds; round++) {
        if (!wait_for(&sync->question, round, party)) {
            __atomic_store_n(&sync->answer, GIVEN_UP, __ATOMIC_RELEASE);
            return STATUS_CLOSED;
        }
        sync->ticks = party->ticks(party->context);
        // Release: the ticks are there before the number that announces them. The one that asks
        // has read those of the round before: it asked again.
        __atomic_store_n(&sync->answer, round, __ATOMIC_RELEASE);
    }
    return STATUS_OK;
}
