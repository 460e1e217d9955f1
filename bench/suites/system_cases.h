// SPDX-License-Identifier: MIT
// The cases of the suite `system`: one workload (system_server.h), and what is looked at of it. The
// file that includes it has named its variants (SUITE_VARIANTS of body.h): tables of system_on.
#ifndef SYSTEM_CASES_H
#define SYSTEM_CASES_H

#include "body.h"
#include "definitions_system.h"
#include "system_server.h"

#define SUITE           system
#define SUITE_MECHANISM system

#define SYSTEM_REQUESTS 64u // of a window
// Windows on an exact clock, where another one is another draw: of keys, and of who runs when.
#define SYSTEM_EXACT 12u
// Counters are those of as many windows, behind as many as a round does not measure.
#define SYSTEM_COUNTED ((SYSTEM_WARM + SYSTEM_EXACT) * SYSTEM_REQUESTS)

#define SUITE_CASES(X, v)                                                                          \
    X(v, request, SYSTEM_REQUESTS, true, 100, SYSTEM_COUNTED, 16, SYSTEM_EXACT, 60,                \
      "a value asked of a server: heap, queues, threads, a simulated disk; waits are part of it")  \
    X(v, busy, SYSTEM_REQUESTS, true, 100, SYSTEM_COUNTED, 16, SYSTEM_EXACT, 60,                   \
      "the same: what of it the CPU was busy")                                                     \
    X(v, slowest, 1, true, 800, 0, 1, SYSTEM_EXACT, 60,                                            \
      "the same: of 64 requests the one that took longest, from its beginning to its answer")

// The threads of each variant, with its mechanisms inlined, and its switch.
#define SYSTEM_THREADS(v)                                                                          \
    static void system_client_##v(void *client)                                                    \
    {                                                                                              \
        system_client(&system_##v##_ops, client);                                                  \
    }                                                                                              \
    static void system_server_##v(void *context)                                                   \
    {                                                                                              \
        system_server(&system_##v##_ops, context);                                                 \
    }                                                                                              \
    static void system_switch_##v(void *world, struct sched_thread *from, struct sched_thread *to, \
                                  enum thread_state left)                                          \
    {                                                                                              \
        (void)world;                                                                               \
        world_switch(&system_##v##_ops, from, to, left);                                           \
    }
SUITE_VARIANTS(SYSTEM_THREADS)

static const struct system_programs {
    const struct system_on *on;
    void (*client)(void *client);
    void (*server)(void *context);
    void (*switch_to)(void *world, struct sched_thread *from, struct sched_thread *to,
                      enum thread_state left);
} programs[] = {
#define SYSTEM_PROGRAMS(v)                                                                         \
    {&system_##v##_ops, system_client_##v, system_server_##v, system_switch_##v},
    SUITE_VARIANTS(SYSTEM_PROGRAMS)};

// Of more requests than a window has: the counted windows, one after the other. What they took is
// the last one's.
ALWAYS_INLINE uint64_t windows(struct system_context *context, uint64_t requests)
{
    uint64_t sum = 0;
    while (requests > 0) {
        const uint64_t part = min_u64(requests, SYSTEM_REQUESTS);
        const uint64_t one = system_window(context, part);
        if (one == BENCH_FAILED)
            return BENCH_FAILED;
        sum += one;
        requests -= part;
    }
    return sum;
}

// The threads do the work: they know who they are.
ALWAYS_INLINE uint64_t request(const struct system_on *on, void *context_, uint64_t operations)
{
    struct system_context *const context = context_;
    (void)on;
    const uint64_t sum = windows(context, operations);
    context->ticks = context->elapsed;
    return sum;
}

ALWAYS_INLINE uint64_t busy(const struct system_on *on, void *context_, uint64_t operations)
{
    struct system_context *const context = context_;
    (void)on;
    const uint64_t sum = windows(context, operations);
    context->ticks = context->elapsed - context->idle;
    return sum;
}

ALWAYS_INLINE uint64_t slowest(const struct system_on *on, void *context_, uint64_t operations)
{
    struct system_context *const context = context_;
    (void)on;
    const uint64_t sum = system_window(context, operations * SYSTEM_REQUESTS);
    context->ticks = 0;
    for (unsigned i = 0; i < SYSTEM_CLIENTS; i++)
        context->ticks = max_u64(context->ticks, context->clients[i].slowest);
    return sum;
}

#endif
