// SPDX-License-Identifier: MIT
#include "clock.h"

#include "compiler.h"
#include "cpu.h"
#include "disturbances.h"
#include "format.h"

#define PROOF_PAIRS      10000u
#define PROOF_TRAPPED    200u  // ticks of an empty pair above which RDTSC must be trapped
#define PROOF_AGREE_PPM  5000u // by which two sources of the frequency may differ
#define PROOF_MEASURE_NS 50000000u
#define PROOF_TRIES      100u // for a window that nothing overlaps
#define STRAIGHT_RUN     100u

// ---- windows ------------------------------------------------------------------------------------

// Two copies rather than a branch inside the window. Aligned and out of line, so that every body is
// called from the same place.
static NOINLINE struct window window_ordered(bench_body *body, void *context, uint64_t operations)
{
    const uint64_t start = cpu_ticks_start();
    const uint64_t checksum = body(context, operations);
    const uint64_t stop = cpu_ticks_stop();
    return (struct window){.ticks = stop - start, .checksum = checksum};
}

static NOINLINE struct window window_fenced(bench_body *body, void *context, uint64_t operations)
{
    const uint64_t start = cpu_ticks_start();
    const uint64_t checksum = body(context, operations);
    const uint64_t stop = cpu_ticks_stop_fenced();
    return (struct window){.ticks = stop - start, .checksum = checksum};
}

struct window clock_window(const struct clock *clock, bench_body *body, void *context,
                           uint64_t operations)
{
    return clock->ordered_stop ? window_ordered(body, context, operations)
                               : window_fenced(body, context, operations);
}

static uint64_t empty_body(void *context, uint64_t operations)
{
    (void)context;
    (void)operations;
    return 0;
}

static uint64_t straight_body(void *context, uint64_t operations)
{
    (void)context;
    (void)operations;
    cpu_straight_run_100();
    return 0;
}

// ---- proof --------------------------------------------------------------------------------------

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        const uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

// A clock that counts instructions counts those of interrupts too: a window that one overlapped
// says nothing about the clock, and is made again.
static uint64_t proof_ticks(const struct clock *clock, bench_body *body)
{
    uint64_t ticks = 0;
    for (unsigned tries = 0; tries < PROOF_TRIES; tries++) {
        struct platform_events before, after;
        platform_events(&before);
        ticks = clock_window(clock, body, NULL, 1).ticks;
        platform_events(&after);
        if (clock->class != PLATFORM_CLOCK_INSN || disturbances_tags(&before, &after) == 0)
            break;
    }
    return ticks;
}

static void measure_pairs(struct clock *clock)
{
    clock->pair_min = UINT64_MAX;
    for (unsigned i = 0; i < PROOF_PAIRS; i++) {
        const uint64_t ticks = proof_ticks(clock, empty_body);
        if (ticks > INT64_MAX) {
            clock->negative++;
            continue;
        }
        clock->pair_min = min_u64(clock->pair_min, ticks);
        clock->pair_max = max_u64(clock->pair_max, ticks);
        clock->step = common_divisor(clock->step, ticks);
    }
}

// Ticks a second against the platform's clock over 50 ms; 0 where it has none.
static uint64_t measure_hz(void)
{
    const uint64_t start_ns = platform_clock_ns();
    const uint64_t start = cpu_ticks();
    if (start_ns == 0)
        return 0;
    uint64_t now_ns;
    do {
        now_ns = platform_clock_ns();
    } while (now_ns - start_ns < PROOF_MEASURE_NS);
    const uint64_t ticks = cpu_ticks() - start;
    // Below 2^64 for 50 ms at up to 300 GHz.
    return ticks * 1000000000u / (now_ns - start_ns);
}

static bool prove_insn(struct clock *clock, char *why, size_t capacity)
{
    clock->straight = proof_ticks(clock, straight_body) - clock->pair_min;
    if (clock->pair_min != clock->pair_max || clock->straight != STRAIGHT_RUN) {
        format(why, capacity,
               "clock proof failed: an empty pair reads %lu to %lu and %u instructions read %lu; "
               "this machine does not count instructions (QEMU needs -icount shift=0,sleep=off)",
               clock->pair_min, clock->pair_max, STRAIGHT_RUN, clock->straight);
        return false;
    }
    return true;
}

static bool prove_tsc(struct clock *clock, char *why, size_t capacity)
{
    clock->hz_measured = measure_hz();
    if (!cpu_has_invariant_ticks()) {
        format(why, capacity, "clock proof failed: this CPU has no invariant time stamp counter");
        return false;
    }
    if (clock->pair_min > PROOF_TRAPPED) {
        format(why, capacity,
               "clock proof failed: an empty pair takes %lu ticks; RDTSC is trapped here",
               clock->pair_min);
        return false;
    }
    if (clock->hz == 0 || clock->hz_measured == 0) {
        format(why, capacity, "clock proof failed: the frequency is known from one source only");
        return false;
    }
    const uint64_t apart =
        max_u64(clock->hz, clock->hz_measured) - min_u64(clock->hz, clock->hz_measured);
    if (apart > clock->hz / 1000000 * PROOF_AGREE_PPM) {
        format(why, capacity, "clock proof failed: the frequency is %lu Hz and %lu Hz", clock->hz,
               clock->hz_measured);
        return false;
    }
    return true;
}

bool clock_prove(struct clock *clock, char *why, size_t capacity)
{
    *clock = (struct clock){.class = platform_clock_class(),
                            .ordered_stop = cpu_has_ordered_stop(),
                            .hz = platform_clock_hz()};
    measure_pairs(clock);
    if (clock->negative > 0) {
        format(why, capacity, "clock proof failed: %lu of %u pairs ran backwards", clock->negative,
               PROOF_PAIRS);
        return false;
    }
    switch (clock->class) {
    case PLATFORM_CLOCK_INSN:
        return prove_insn(clock, why, capacity);
    case PLATFORM_CLOCK_TSC:
        return prove_tsc(clock, why, capacity);
    case PLATFORM_CLOCK_EMULATED:
        // Nothing to prove but what was: whatever a tick is here, no claim rests on it. How many
        // there are in a second only limits how long a benchmark takes.
        clock->hz_measured = measure_hz();
        return true;
    }
    return false;
}

const char *clock_class_name(enum platform_clock class)
{
    static const char *const names[] = {[PLATFORM_CLOCK_TSC] = "tsc",
                                        [PLATFORM_CLOCK_INSN] = "insn",
                                        [PLATFORM_CLOCK_EMULATED] = "emulated"};
    return names[class];
}

const char *clock_unit(enum platform_clock class)
{
    static const char *const names[] = {[PLATFORM_CLOCK_TSC] = "ticks",
                                        [PLATFORM_CLOCK_INSN] = "instructions",
                                        [PLATFORM_CLOCK_EMULATED] = "emulated ticks"};
    return names[class];
}
