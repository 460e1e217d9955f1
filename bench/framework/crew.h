// SPDX-License-Identifier: MIT
// The other CPUs of a row: they are started in front of a window, spin until it begins, do their
// part of it and are at rest when it is over.
//
//   crew     who takes part besides CPU 0, which runs the window
//   member   one of them, on a CPU of its own: members[0] on CPU 1, and so on
//   part     body(context, operations) of a member, usually the same body as the window's, over a
//            context of the member's own; a body knows by its context, or its CPU, who runs it
//
// Rules for callers
//   threads  a body run by a member may call crew_reaches; all else is CPU 0's
//   memory   crew and members are the caller's, CACHE_LINE aligned, and stay until crew_rest
//   order    crew_make in `prepare`; crew_call in `before`; in the window crew_begin, then CPU 0's
//            own part, then crew_sum; crew_rest before anything else touches what members work on,
//            or runs where they do: in `prepare` and `check`, and in `counters` where there are
//   failure  a member that cannot be started, or does not come, fails the crew: crew_begin, or
//            crew_sum, says so, and the window returns BENCH_FAILED
//   bounds   every wait has one. A member whose window never comes ends without having done
//            anything. All that CPU 0 waits for in a row has a bound, too (crew_patience.h)
#ifndef CREW_H
#define CREW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench.h"
#include "compiler.h"
#include "cpu.h"
#include "crew_patience.h"
#include "platform.h"

// Of a wait: seconds, whatever a pause takes; more than a CPU that others use as well is away.
#define CREW_TURNS   (1u << 26)
#define CREW_MS      120000u // a member that waits and works within its bounds has ended long ago
#define CREW_DROPPED UINT64_MAX

struct crew;

struct crew_member {
    // Written by CPU 0 while the member is at rest.
    struct crew *crew;
    bench_body *body;
    void *context;
    uint64_t operations;
    // Written by the member.
    uint64_t ready CACHE_ALIGNED; // window it waits for
    uint64_t done;                // window it has done its part of
    uint64_t sum;                 // what that gave
    uint32_t cpu;                 // where it ran
} CACHE_ALIGNED;

struct crew {
    // Written by CPU 0 while the members are at rest.
    struct crew_member *members;
    size_t count;
    uint64_t window;                // number of the last one, from 1
    bool failed;                    // somebody did not come
    uint32_t turns;                 // of each wait, CREW_TURNS unless a test is in a hurry
    struct crew_patience *patience; // of the row, over its rounds: CPU 0's alone
    // Written by CPU 0: window that has begun, or CREW_DROPPED.
    uint64_t go CACHE_ALIGNED;
} CACHE_ALIGNED;

// ---- waiting ------------------------------------------------------------------------------------

// Waits until the word is `value` or more; false if it is not within the bound. Acquire: what the
// other CPU wrote before it stored that value is seen by what comes after the wait.
static inline bool crew_reaches(const struct crew *crew, const uint64_t *word, uint64_t value)
{
    for (uint32_t turn = 0; turn < crew->turns; turn++) {
        if (__atomic_load_n(word, __ATOMIC_ACQUIRE) >= value)
            return true;
        cpu_pause();
    }
    return false;
}

// The same for CPU 0, whose waits all count for the row.
static inline bool crew_comes(const struct crew *crew, const uint64_t *word, uint64_t value)
{
    for (uint32_t turn = 0; turn < crew->turns; turn++) {
        if (__atomic_load_n(word, __ATOMIC_ACQUIRE) >= value)
            return true;
        if (!crew_patient(crew->patience, turn))
            return false;
    }
    return false;
}

// Returns when no CPU but this one does anything: members that a window left, or that no window
// came for, have ended.
static inline void crew_rest(void)
{
    for (unsigned cpu = 1; cpu < platform_cpu_count(); cpu++)
        platform_cpu_wait(cpu, CREW_MS);
}

// ---- in front of windows ------------------------------------------------------------------------

// The number of the variant with these operations, for what a suite keeps of each; `count` if it
// is not in the table.
static inline size_t crew_variant(const struct bench_variant *variants, size_t count,
                                  const void *ops)
{
    size_t i = 0;
    while (i < count && variants[i].ops != ops)
        i++;
    return i;
}

// A crew of `count` members, each with the same context until the caller gives it its own. `body`
// NULL: no crew comes of it, and every window fails.
static inline void crew_make(struct crew *crew, struct crew_member *members, size_t count,
                             bench_body *body, void *context, struct crew_patience *patience)
{
    *crew = (struct crew){
        .members = members, .count = count, .turns = CREW_TURNS, .patience = patience};
    for (size_t i = 0; i < count; i++)
        members[i] = (struct crew_member){.crew = crew, .body = body, .context = context};
}

// What a member's CPU runs: its part of one window.
static inline void crew_work(void *argument)
{
    struct crew_member *member = argument;
    struct crew *crew = member->crew;
    const uint64_t window = crew->window;
    member->cpu = cpu_local()->index;
    // Release: everything of the last window is over for who sees this member ready for the next.
    __atomic_store_n(&member->ready, window, __ATOMIC_RELEASE);
    if (!crew_reaches(crew, &crew->go, window))
        return;
    if (__atomic_load_n(&crew->go, __ATOMIC_RELAXED) != window)
        return; // dropped
    member->sum = member->body(member->context, member->operations);
    // Release: the sum, and all that was done to objects, is there for who sees the part done.
    __atomic_store_n(&member->done, window, __ATOMIC_RELEASE);
}

// Starts all members for the next window, with as many operations each. When this returns they
// spin, ready for crew_begin, or the crew has failed and all of them end.
static inline void crew_call(struct crew *crew, uint64_t operations)
{
    crew_rest();
    crew->window++;
    crew->failed = false;
    crew->go = 0;
    for (size_t i = 0; i < crew->count; i++) {
        struct crew_member *member = &crew->members[i];
        member->operations = operations;
        crew->failed |=
            member->body == NULL || !platform_cpu_start((unsigned)i + 1, crew_work, member);
    }
    for (size_t i = 0; i < crew->count && !crew->failed; i++)
        crew->failed = !crew_comes(crew, &crew->members[i].ready, crew->window);
    if (crew->failed)
        __atomic_store_n(&crew->go, CREW_DROPPED, __ATOMIC_RELEASE);
}

// ---- in a window --------------------------------------------------------------------------------

// Opens the window for the members; false if the crew has failed. Release: they see all that CPU 0
// has prepared.
ALWAYS_INLINE bool crew_begin(struct crew *crew)
{
    if (UNLIKELY(crew->failed))
        return false;
    __atomic_store_n(&crew->go, crew->window, __ATOMIC_RELEASE);
    return true;
}

// Waits for all parts of the window; the sum of what their bodies returned, or BENCH_FAILED if one
// of them failed or is not done in time.
static inline uint64_t crew_sum(const struct crew *crew)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < crew->count; i++) {
        const struct crew_member *member = &crew->members[i];
        if (!crew_comes(crew, &member->done, crew->window) || member->sum == BENCH_FAILED)
            return BENCH_FAILED;
        sum += member->sum;
    }
    return sum;
}

// The sum of CPU 0's own part and the members', when all are done.
static inline uint64_t crew_sum_with(const struct crew *crew, uint64_t own)
{
    const uint64_t theirs = crew_sum(crew);
    return own == BENCH_FAILED || theirs == BENCH_FAILED ? BENCH_FAILED : own + theirs;
}

#endif
