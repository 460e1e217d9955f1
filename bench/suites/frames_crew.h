// SPDX-License-Identifier: MIT
// Several CPUs in one window: the others are started in front of it, wait for its beginning on
// shared memory, do their share and are gone when it ends.
//
//   crew    CPUs 0 to `cpus` - 1; CPU 0 runs the window, the others are its members
//   share   of the operations of a window: an equal part; CPU 0 does what does not divide
//
// Rules for callers
//   threads   all functions are called by CPU 0
//   order     crew_start in `before`, in the window crew_go and crew_gather; crew_finish before
//             anything else: in the next `before`, and in `check` and `counters`
//   bounds    who waits gives up after CREW_TURNS, and CPU 0 when the row has waited
//             for too long altogether (crew_patience.h); a window then ends as BENCH_FAILED, a
//             member without having done anything. So a window that never comes leaves nobody
//             behind
#ifndef FRAMES_CREW_H
#define FRAMES_CREW_H

#include <stdbool.h>
#include <stdint.h>

#include "bench.h"
#include "compiler.h"
#include "cpu.h"
#include "crew_patience.h"
#include "platform.h"

#define CREW_TURNS   (1u << 26) // of a pause each
#define CREW_WAIT_MS 60000u     // for a member to be parked again

struct crew_member {
    struct crew *crew;
    uint64_t operations; // its share
    uint64_t done;       // what its body returned; BENCH_FAILED until then
} CACHE_ALIGNED;

struct crew {
    unsigned cpus;                  // 1: nobody but CPU 0
    struct crew_patience *patience; // of the row, over its rounds: CPU 0's alone
    bench_body *body;
    void *context;
    // Each in a line of its own: written by the members, by CPU 0, by the members.
    uint32_t ready CACHE_ALIGNED;
    uint32_t go CACHE_ALIGNED;
    uint32_t finished CACHE_ALIGNED;
    struct crew_member members[CPU_MOST];
};

ALWAYS_INLINE uint64_t crew_share(uint64_t operations, unsigned cpus, unsigned cpu)
{
    return operations / cpus + (cpu == 0 ? operations % cpus : 0);
}

// False after CREW_TURNS.
static bool await(const uint32_t *word, uint32_t wanted)
{
    for (uint32_t turn = 0; turn < CREW_TURNS; turn++) {
        // Acquire: what the others wrote before they counted themselves is visible.
        if (__atomic_load_n(word, __ATOMIC_ACQUIRE) >= wanted)
            return true;
        cpu_pause();
    }
    return false;
}

// The same for CPU 0, whose waits all count for the row.
static bool await_members(const struct crew *crew, const uint32_t *word)
{
    for (uint32_t turn = 0; turn < CREW_TURNS; turn++) {
        // Acquire: what the members wrote before they counted themselves is visible.
        if (__atomic_load_n(word, __ATOMIC_ACQUIRE) >= crew->cpus - 1)
            return true;
        if (!crew_patient(crew->patience, turn))
            return false;
    }
    return false;
}

static void serve(void *argument)
{
    struct crew_member *member = argument;
    struct crew *crew = member->crew;
    // Acquire: this CPU begins with what CPU 0 wrote. Release: CPU 0 sees what this one left.
    __atomic_fetch_add(&crew->ready, 1, __ATOMIC_ACQ_REL);
    if (await(&crew->go, 1))
        member->done = crew->body(crew->context, member->operations);
    __atomic_fetch_add(&crew->finished, 1, __ATOMIC_ACQ_REL);
}

// Waits until the members are parked again. A crew that never started is finished.
static void crew_finish(const struct crew *crew)
{
    for (unsigned cpu = 1; cpu < crew->cpus; cpu++)
        platform_cpu_wait(cpu, CREW_WAIT_MS);
}

// Starts body(context, share) on CPUs 1 to `cpus` - 1 and waits until they all stand ready. What
// does not work out shows as a window that fails.
static void crew_start(struct crew *crew, unsigned cpus, bench_body *body, void *context,
                       uint64_t operations)
{
    crew->body = body;
    crew->context = context;
    crew->ready = crew->go = crew->finished = 0;
    crew->cpus = 1;
    for (; crew->cpus < cpus; crew->cpus++) {
        struct crew_member *member = &crew->members[crew->cpus];
        platform_cpu_wait(crew->cpus, CREW_WAIT_MS); // whoever kept it busy
        *member = (struct crew_member){.crew = crew,
                                       .operations = crew_share(operations, cpus, crew->cpus),
                                       .done = BENCH_FAILED};
        if (!platform_cpu_start(crew->cpus, serve, member))
            break;
    }
    await_members(crew, &crew->ready); // who is late shows in crew_gather
}

// Lets the members begin.
ALWAYS_INLINE void crew_go(struct crew *crew)
{
    // Release: what CPU 0 prepared is visible to a member that sees the beginning.
    __atomic_store_n(&crew->go, 1, __ATOMIC_RELEASE);
}

// Waits until all members have done their shares; the sum of what their bodies returned, or
// BENCH_FAILED if one of them failed or is not done after CREW_TURNS.
static uint64_t crew_gather(struct crew *crew)
{
    uint64_t sum = 0;
    if (!await_members(crew, &crew->finished))
        return BENCH_FAILED;
    for (unsigned cpu = 1; cpu < crew->cpus; cpu++) {
        if (crew->members[cpu].done == BENCH_FAILED)
            return BENCH_FAILED;
        sum += crew->members[cpu].done;
    }
    return sum;
}

#endif
