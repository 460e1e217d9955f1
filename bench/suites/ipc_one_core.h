// SPDX-License-Identifier: MIT
// Whether CPUs 0 and 1 are two threads of one core, whatever the machine says of itself: a line
// between them then goes back and forth faster than two cores can hand it on.
#ifndef IPC_ONE_CORE_H
#define IPC_ONE_CORE_H

#include "compiler.h"
#include "crew.h"
#include "ipc_context.h"
#include "platform.h"

// A word that CPUs 0 and 1 count up in turn, eagerly.
struct ipc_look {
    uint64_t ball __attribute__((aligned(2 * CACHE_LINE)));
    struct crew crew __attribute__((aligned(2 * CACHE_LINE)));
    struct crew_member member;
    struct crew_patience patience;
};

static bool look_comes(const struct ipc_look *look, uint64_t value)
{
    for (uint32_t turn = 0; turn < IPC_EAGER_TURNS; turn++)
        if (__atomic_load_n(&look->ball, __ATOMIC_ACQUIRE) == value)
            return true;
    return crew_reaches(&look->crew, &look->ball, value);
}

static uint64_t look_back(void *look_, uint64_t operations)
{
    struct ipc_look *look = look_;
    for (uint64_t i = 0; i < operations; i++) {
        if (!look_comes(look, 2 * i + 1))
            return BENCH_FAILED;
        __atomic_store_n(&look->ball, 2 * i + 2, __ATOMIC_RELEASE);
    }
    return 0;
}

// Ticks of BOUNCES round trips; 0: they did not come off.
static uint64_t look_once(struct ipc_look *look)
{
    look->ball = 0;
    crew_call(&look->crew, BOUNCES);
    if (!crew_begin(&look->crew))
        return 0;
    bool came = true;
    const uint64_t begin = __builtin_ia32_rdtsc();
    for (uint64_t i = 0; i < BOUNCES && came; i++) {
        __atomic_store_n(&look->ball, 2 * i + 1, __ATOMIC_RELEASE);
        came = look_comes(look, 2 * i + 2);
    }
    const uint64_t ticks = __builtin_ia32_rdtsc() - begin;
    crew_rest();
    return came ? ticks : 0;
}

// A look of some milliseconds, by CPU 0, outside of windows and while the others rest. What nobody
// can know, with a clock that does not count ticks or a single CPU, is false. A hypervisor may
// answer differently a moment later.
static bool ipc_one_core(void)
{
    static struct ipc_look look;
    uint64_t least = UINT64_MAX, all = 0;
    if (platform_clock_class() != PLATFORM_CLOCK_TSC || platform_cpu_count() < 2)
        return false;
    crew_make(&look.crew, &look.member, 1, look_back, &look, &look.patience);
    for (unsigned i = 0; i < BOUNCE_LOOKS && all < BOUNCE_PATIENCE; i++) {
        const uint64_t ticks = look_once(&look);
        if (ticks == 0)
            break;
        least = ticks < least ? ticks : least;
        all += ticks;
    }
    return least < BOUNCES * BOUNCE_LEAST;
}

#endif
