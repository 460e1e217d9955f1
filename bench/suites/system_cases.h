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

#define SUITE_CASES(X, v)                                                                          \
    X(v, request, SYSTEM_REQUESTS, true, 100, SYSTEM_REQUESTS, 16, 1, 60,                          \
      "a value asked of a server: heap, queues, threads, a simulated disk; waits are part of it")  \
    X(v, busy, SYSTEM_REQUESTS, true, 100, SYSTEM_REQUESTS, 16, 1, 60,                             \
      "the same: what of it the CPU was busy")                                                     \
    X(v, slowest, 1, true, 800, 0, 1, 1, 60,                                                       \
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

// The threads do the work: they know who they are.
ALWAYS_INLINE uint64_t request(const struct system_on *on, void *context_, uint64_t operations)
{
    struct system_context *const context = context_;
    (void)on;
    const uint64_t sum = system_window(context, operations);
    context->ticks = context->elapsed;
    return sum;
}

ALWAYS_INLINE uint64_t busy(const struct system_on *on, void *context_, uint64_t operations)
{
    struct system_context *const context = context_;
    (void)on;
    const uint64_t sum = system_window(context, operations);
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
