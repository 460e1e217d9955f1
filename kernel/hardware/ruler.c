// SPDX-License-Identifier: MIT
#include "ruler.h"

#include "assert.h"
#include "compiler.h"
#include "cpu.h"

#define MILLION       1000000u
#define BRACKET_TRIES 8u
#define STEADY_TRIES  10u
#define SHORT_STEPS   16u // times what the two reads take: no interruption in between

static uint64_t read_tsc(void *context)
{
    (void)context;
    return cpu_ticks_start();
}

const struct counter counter_tsc = {.name = "TSC", .read = read_tsc, .bits = 64};

// ---- numbers ------------------------------------------------------------------------------------

// By shifting: the compiler would call a library for a division of 128 bits. Not in a hot path.
uint64_t ruler_scale(uint64_t a, uint64_t b, uint64_t c)
{
    assert(c > 0);
    const unsigned __int128 product = (unsigned __int128)a * b + c / 2;
    unsigned __int128 rest = 0;
    uint64_t quotient = 0;
    if ((uint64_t)(product >> 64) >= c)
        return UINT64_MAX;
    for (unsigned bit = 128; bit-- > 0;) {
        rest = rest << 1 | (product >> bit & 1);
        quotient <<= 1;
        if (rest >= c) {
            rest -= c;
            quotient |= 1;
        }
    }
    return quotient;
}

static uint64_t mask_of(unsigned bits)
{
    assert(bits >= 16 && bits <= 64);
    return UINT64_MAX >> (64 - bits);
}

uint64_t ruler_extend(uint64_t *state, uint64_t count, unsigned bits)
{
    const uint64_t mask = mask_of(bits);
    uint64_t last = __atomic_load_n(state, __ATOMIC_RELAXED);
    for (;;) {
        const uint64_t step = (count - last) & mask;
        // Another thread read later and was here earlier.
        if (step > mask / 2)
            return last;
        // Relaxed: nothing else is published with it. A failure means that another went on.
        if (__atomic_compare_exchange_n(state, &last, last + step, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return last + step;
    }
}

uint64_t ruler_read_steady(uint64_t (*read)(void *context), void *context, unsigned bits)
{
    const uint64_t mask = mask_of(bits);
    uint64_t second = 0;
    for (unsigned i = 0; i < STEADY_TRIES; i++) {
        const uint64_t first = read(context);
        second = read(context);
        const uint64_t third = read(context);
        if (((second - first) & mask) <= mask / 2 && ((third - second) & mask) <= mask / 2)
            break;
    }
    return second & mask;
}

// ---- following a counter ------------------------------------------------------------------------

struct follower {
    const struct counter *counter;
    uint64_t mask, last;
    uint64_t total;                // since the start
    uint64_t longest;              // step
    uint64_t short_most, in_short; // sum of the steps up to that length
    bool backwards;
};

static struct follower follow(const struct counter *counter)
{
    struct follower follower = {.counter = counter, .mask = mask_of(counter->bits)};
    follower.last = counter->read(counter->context) & follower.mask;
    return follower;
}

// Reads on. Returns how far the counter went; 0 if that was backwards.
static uint64_t step(struct follower *follower)
{
    const struct counter *counter = follower->counter;
    const uint64_t now = counter->read(counter->context) & follower->mask;
    const uint64_t by = (now - follower->last) & follower->mask;
    follower->last = now;
    if (by > follower->mask / 2) {
        follower->backwards = true;
        return 0;
    }
    follower->total += by;
    follower->longest = max_u64(follower->longest, by);
    follower->in_short += by <= follower->short_most ? by : 0;
    return by;
}

static uint64_t counts_of(const struct ruler *ruler, uint32_t us)
{
    assert(us <= MILLION && ruler->hz_numerator > 0 && ruler->hz_denominator > 0);
    assert(ruler->hz_denominator <= UINT64_MAX / MILLION);
    return ruler_scale(us, ruler->hz_numerator, ruler->hz_denominator * MILLION);
}

// Reads until `counts` have gone by; `ticks`, unless NULL, is read along.
static enum status pass(struct follower *ruler, struct follower *ticks, uint64_t counts,
                        uint32_t us)
{
    const uint64_t end = ruler->total + counts;
    const uint64_t reads_most = (uint64_t)(us / 10000 + 1) * RULER_READS_MOST;
    unsigned still = 0;
    for (uint64_t reads = 0; ruler->total < end; reads++) {
        if (reads == reads_most)
            return STATUS_FULL;
        still = step(ruler) == 0 ? still + 1 : 0;
        if (still == RULER_STILL_MOST)
            return STATUS_EMPTY;
        if (ticks != NULL)
            step(ticks);
    }
    return STATUS_OK;
}

enum status ruler_wait(const struct ruler *ruler, uint32_t us)
{
    struct follower follower = follow(&ruler->counter);
    // Two more: the first tick may have been about to end, and the number may be rounded down.
    return pass(&follower, NULL, counts_of(ruler, us) + 2, us);
}

// ---- calibration --------------------------------------------------------------------------------

// A count of the ruler, and when it was read: in the middle of `width` ticks.
struct bracket {
    uint64_t count, middle, width;
};

// The narrowest of several: what runs between two reads (an SMI, another guest) widens few of them.
static struct bracket take_bracket(struct follower *ruler, struct follower *ticks)
{
    struct bracket best = {.width = UINT64_MAX};
    for (unsigned i = 0; i < BRACKET_TRIES; i++) {
        step(ticks);
        const uint64_t before = ticks->total;
        step(ruler);
        const uint64_t width = step(ticks);
        if (width < best.width)
            best = (struct bracket){
                .count = ruler->total, .middle = before + width / 2, .width = width};
    }
    return best;
}

struct window {
    uint64_t hz, error_ppm;
};

// While something else ran for the longest step of the ticks, the ruler may have gone once around,
// or more. Judged by how far it goes in short steps, rather too far: all its counts are taken for
// theirs.
static bool may_have_turned(const struct follower *ruler, const struct follower *ticks)
{
    return ticks->in_short == 0 ||
           ruler_scale(ticks->longest, ruler->total, ticks->in_short) > ruler->mask / 2;
}

static enum status measure(const struct ruler *by, const struct counter *what, uint32_t us,
                           struct window *window)
{
    struct follower ruler = follow(&by->counter), ticks = follow(what);
    const uint64_t counts_least = max_u64(counts_of(by, us), 1);
    const struct bracket start = take_bracket(&ruler, &ticks);
    ticks.short_most = SHORT_STEPS * (start.width + 1);
    const enum status status = pass(&ruler, &ticks, counts_least, us);
    if (status != STATUS_OK)
        return status;
    const struct bracket end = take_bracket(&ruler, &ticks);
    const uint64_t counts = end.count - start.count, passed = end.middle - start.middle;
    if (passed == 0)
        return STATUS_EMPTY;
    if (ruler.backwards || ticks.backwards || may_have_turned(&ruler, &ticks) ||
        counts > UINT64_MAX / by->hz_denominator)
        return STATUS_CORRUPT;
    window->hz = ruler_scale(passed, by->hz_numerator, counts * by->hz_denominator);
    const uint64_t error = start.width / 2 + end.width / 2 + passed / counts + 1;
    window->error_ppm = ruler_scale(error, MILLION, passed) + 1;
    return STATUS_OK;
}

// In ascending order of frequency.
static void insert(struct window *windows, unsigned count, struct window window)
{
    unsigned at = count;
    for (; at > 0 && windows[at - 1].hz > window.hz; at--)
        windows[at] = windows[at - 1];
    windows[at] = window;
}

static bool agree(const struct window *a, const struct window *b)
{
    const uint64_t high = max_u64(a->hz, b->hz), apart = high - min_u64(a->hz, b->hz);
    return apart <= ruler_scale(high, a->error_ppm + b->error_ppm, MILLION);
}

// The median itself is always among those that agree with it.
static const struct window *choose(const struct window *windows, unsigned count)
{
    const struct window *const median = &windows[count / 2];
    const struct window *best = median;
    for (unsigned i = 0; i < count; i++) {
        if (agree(&windows[i], median) && windows[i].error_ppm < best->error_ppm)
            best = &windows[i];
    }
    return best;
}

enum status calibrate(const struct ruler *ruler, const struct counter *ticks,
                      struct calibration_plan plan, struct calibration *result)
{
    struct window windows[RULER_WINDOWS_MOST], window;
    unsigned count = 0;
    assert(plan.windows >= 1 && plan.windows <= RULER_WINDOWS_MOST && plan.window_us >= 1);
    *result = (struct calibration){.ruler = ruler->counter.name};
    for (unsigned i = 0; i < plan.windows; i++) {
        const enum status status = measure(ruler, ticks, plan.window_us, &window);
        if (status == STATUS_OK)
            insert(windows, count++, window);
        else if (status != STATUS_CORRUPT)
            return status; // it would take as long again
    }
    if (count == 0)
        return STATUS_CORRUPT;
    const struct window *const best = choose(windows, count);
    result->hz = best->hz;
    result->error_ppm = (uint32_t)min_u64(best->error_ppm, UINT32_MAX);
    result->windows = count;
    return STATUS_OK;
}
