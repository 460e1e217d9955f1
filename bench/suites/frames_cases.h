// SPDX-License-Identifier: MIT
// The cases of the suite `frames`: what one allocation and one free of memory by the page cost, in
// the situations that tell frame allocators apart.
//
// Frames are never touched here, so ranges are addresses that nothing need lie at: large ones cost
// their metadata only. A variant that keeps links in free frames gets memory, and takes part where
// the range is small. The file that includes this has named its variants (SUITE_VARIANTS of
// body.h).
#ifndef FRAMES_CASES_H
#define FRAMES_CASES_H

#include "body.h"
#include "compiler.h"
#include "crew.h"
#include "definitions_frames.h"
#include "frame.h"
#include "frames.h"
#include "random.h"

#define MIB        ((uint64_t)1 << 20)
#define SMALL      (4 * MIB)       // of most cases
#define PIECE      MIB             // of each of the allocators of alloc_4k and free_4k
#define PIECES     64u             // of them
#define LARGE      (1024 * MIB)    // of the cases of any size
#define FULL       (4096 * MIB)    // of free_full: every order there is; others have a 64th of it
#define NOWHERE    0x100000000000u // where ranges begin that are never touched
#define THOUSAND   1000u
#define HUGE       512u // frames of 2 MiB
#define ALL        (SMALL / PAGE_SIZE)
#define UNDER      64u // runs of a window of alloc_under_512
#define FROM       16u // of alloc_from_512
#define FREES      16u // of free_full
#define TABLE      1024u
#define CHURN      1000u
#define CHURN_RUNS 150u // live ones
#define AGE_QUICK  100000u
#define AGE_FULL   10000000u
#define AGE_POINTS 10u
#define RUNS_MOST  8192u // live ones of any case
#define MAPPED     128u  // runs of a window of machine_map
#define CENSUS     256u  // frames taken for a look
#define PAIRS_DEEP 8u    // frames a CPU holds at a time in the scale cases

#define SUITE           frames
#define SUITE_MECHANISM frame

#define SUITE_CASES(X, v)                                                                          \
    X(v, pair_4k, 1000, false, 4, 1000, 64, 4, 30, "one frame allocated and freed at once, hot")   \
    X(v, pair_huge, 1000, false, 4, 1000, 64, 2, 30,                                               \
      "512 frames, a huge page, allocated and freed at once, hot")                                 \
    X(v, thousand_alloc, THOUSAND, true, 3, THOUSAND, 100, 3, 30,                                  \
      "1000 frames allocated one by one, of 4 MiB that are free")                                  \
    X(v, thousand_free, THOUSAND, true, 3, THOUSAND, 100, 3, 30,                                   \
      "these 1000 frames freed, in the order they were allocated")                                 \
    X(v, alloc_4k, PIECES, true, 3, PIECES, 16, 4, 30,                                             \
      "the first frame of each of 64 wholly free MiB: split all the way down; of hybrid only in "  \
      "the cold window, the median is its stack's")                                                \
    X(v, free_4k, PIECES, true, 3, PIECES, 16, 4, 30,                                              \
      "the only frame in use of each of 64 MiB freed: coalesced all the way up; of hybrid put on " \
      "its stack, which joins nothing")                                                            \
    X(v, alloc_under_512, UNDER, true, 8, UNDER, UNDER, 4, 30,                                     \
      "a run of 1 to 511 frames, log-uniform, in a GiB half of which is in use")                   \
    X(v, alloc_from_512, FROM, true, 8, FROM, FROM, 4, 30,                                         \
      "a run of 512 to 4095 frames, log-uniform, in a GiB half of which is in use")                \
    X(v, alloc_any, 1, true, 8, 1, 1, 32, 30,                                                      \
      "one run of 1 to 4095 frames, log-uniform, in a GiB half of which is in use")                \
    X(v, free_full, FREES, true, 8, FREES, FREES, 2, 60,                                           \
      "a run of 1 to 511 frames freed at random, half of 4 GiB in use: every order there is")      \
    X(v, free_64th, FREES, true, 8, FREES, FREES, 2, 30,                                           \
      "the same runs freed, half of 64 MiB in use")                                                \
    X(v, exhaust, ALL, true, 6, ALL, ALL, 2, 30,                                                   \
      "all frames of 4 MiB allocated, one more refused, all freed; for each of them")              \
    X(v, churn, CHURN, true, 12, CHURN, 100, 2, 60,                                                \
      "one of 150 live runs of 1 to 511 frames replaced, log-uniform, three quarters of 64 MiB")   \
    X(v, scale_one_cpu, 4096, false, 4, 4096, 64, 2, 30,                                           \
      "8 frames allocated and freed, again and again, by one CPU")                                 \
    X(v, scale_most_cpus, 4096, false, 1, 4096, 64, 2, 180,                                        \
      "the same number of frames, shared out among all CPUs, which begin together")                \
    X(v, machine_map, MAPPED, true, 16, MAPPED, MAPPED, 2, 60,                                     \
      "a run of 1 to 511 frames, log-uniform, allocated and later freed, of all the machine has")  \
    X(v, node_local, 1000, false, 4, 1000, 64, 2, 30,                                              \
      "one frame of this CPU's own node allocated and freed at once")                              \
    X(v, node_remote, 1000, false, 4, 1000, 64, 2, 30,                                             \
      "one frame of the node farthest away allocated and freed at once")

// A run that is live or asked for.
struct run {
    uintptr_t address;
    uint64_t count; // 0: none
};

// A step of churn.
struct step {
    uint32_t slot, count;
};

struct frames_context {
    void *state;                    // of the allocator
    void *states[PIECES];           // of alloc_4k and free_4k; the first is `state`
    uintptr_t starts[PIECES];       // of their ranges, which lie behind each other
    uint64_t range;                 // bytes of each of them
    uint64_t pieces;                // how many there are
    struct run *window;             // what the window allocates or frees: at most ALL
    uint64_t held;                  // of `window`, live
    struct run *live;               // by slot, for as long as the context lives
    uint64_t slots;                 // of `live`
    struct step *steps;             // TABLE of them
    uint64_t next_step;             // of these
    uint64_t missing;               // live runs that the last window freed for good
    uint64_t *marks;                // a bit a frame, for the census
    struct random random;           // of what comes before windows
    struct frame_statistics before; // in front of the first window
    bool counted;                   // these are there
    struct crew crew;               // of scale_most_cpus
    struct frames *machine;         // of machine_map, node_local, node_remote; `state` is not used
    unsigned node;                  // that these want frames of
};

// ---- bodies -------------------------------------------------------------------------------------
// What was handed out is looked at when the window is over: the addresses are kept, or OR-ed into
// one value, whose bits tell of any that lies outside of the range or begins no frame.

ALWAYS_INLINE uint64_t pairs(const struct frame_ops *ops, struct frames_context *context,
                             uint64_t operations, uint64_t count)
{
    void *const state = context->state;
    const uintptr_t start = context->starts[0];
    uint64_t seen = 0;
    for (uint64_t i = 0; i < operations; i++) {
        uintptr_t address;
        if (UNLIKELY(!ops->allocate(state, count, &address)))
            return BENCH_FAILED;
        BODY_SETTLE();
        seen |= address - start;
        if (UNLIKELY(ops->release(state, address, count) != STATUS_OK))
            return BENCH_FAILED;
        BODY_SETTLE();
    }
    return (seen & (count * PAGE_SIZE - 1)) == 0 && seen < context->range ? operations : 0;
}

ALWAYS_INLINE uint64_t pair_4k(const struct frame_ops *ops, struct frames_context *context,
                               uint64_t operations)
{
    return pairs(ops, context, operations, 1);
}

ALWAYS_INLINE uint64_t pair_huge(const struct frame_ops *ops, struct frames_context *context,
                                 uint64_t operations)
{
    return pairs(ops, context, operations, HUGE);
}

ALWAYS_INLINE uint64_t thousand_alloc(const struct frame_ops *ops, struct frames_context *context,
                                      uint64_t operations)
{
    void *const state = context->state;
    struct run *const window = context->window;
    uint64_t served = 0;
    for (uint64_t i = 0; i < operations; i++) {
        served += ops->allocate(state, 1, &window[i].address);
        BODY_SETTLE();
    }
    context->held = operations;
    return served;
}

ALWAYS_INLINE uint64_t thousand_free(const struct frame_ops *ops, struct frames_context *context,
                                     uint64_t operations)
{
    void *const state = context->state;
    const struct run *const window = context->window;
    uint64_t taken_back = 0;
    for (uint64_t i = 0; i < operations; i++) {
        taken_back += ops->release(state, window[i].address, 1) == STATUS_OK;
        BODY_SETTLE();
    }
    context->held = 0;
    return taken_back;
}

ALWAYS_INLINE uint64_t alloc_4k(const struct frame_ops *ops, struct frames_context *context,
                                uint64_t operations)
{
    struct run *const window = context->window;
    uint64_t served = 0;
    for (uint64_t i = 0; i < operations; i++) {
        served += ops->allocate(context->states[i], 1, &window[i].address);
        BODY_SETTLE();
    }
    context->held = operations;
    return served;
}

ALWAYS_INLINE uint64_t free_4k(const struct frame_ops *ops, struct frames_context *context,
                               uint64_t operations)
{
    const struct run *const window = context->window;
    uint64_t taken_back = 0;
    for (uint64_t i = 0; i < operations; i++) {
        taken_back += ops->release(context->states[i], window[i].address, 1) == STATUS_OK;
        BODY_SETTLE();
    }
    context->held = 0;
    return taken_back;
}

// The counts stand in `window`, from `before`.
ALWAYS_INLINE uint64_t alloc_any(const struct frame_ops *ops, struct frames_context *context,
                                 uint64_t operations)
{
    void *const state = context->state;
    struct run *const window = context->window;
    uint64_t served = 0;
    for (uint64_t i = 0; i < operations; i++) {
        served += ops->allocate(state, window[i].count, &window[i].address);
        BODY_SETTLE();
    }
    context->held = operations;
    return served;
}

#define alloc_under_512 alloc_any
#define alloc_from_512  alloc_any

ALWAYS_INLINE uint64_t free_full(const struct frame_ops *ops, struct frames_context *context,
                                 uint64_t operations)
{
    void *const state = context->state;
    const struct run *const window = context->window;
    uint64_t taken_back = 0;
    for (uint64_t i = 0; i < operations; i++) {
        taken_back += ops->release(state, window[i].address, window[i].count) == STATUS_OK;
        BODY_SETTLE();
    }
    context->held = 0;
    return taken_back;
}

#define free_64th free_full

ALWAYS_INLINE uint64_t exhaust(const struct frame_ops *ops, struct frames_context *context,
                               uint64_t operations)
{
    void *const state = context->state;
    struct run *const window = context->window;
    uint64_t served = 0, taken_back = 0;
    uintptr_t more;
    while (served < operations && ops->allocate(state, 1, &window[served].address)) {
        served++;
        BODY_SETTLE();
    }
    if (ops->allocate(state, 1, &more))
        return BENCH_FAILED;
    for (uint64_t i = 0; i < served; i++) {
        taken_back += ops->release(state, window[i].address, 1) == STATUS_OK;
        BODY_SETTLE();
    }
    return taken_back;
}

// A run that is refused leaves its slot empty: how often that happens is a counter.
ALWAYS_INLINE uint64_t churn(const struct frame_ops *ops, struct frames_context *context,
                             uint64_t operations)
{
    void *const state = context->state;
    uint64_t at = context->next_step;
    for (uint64_t i = 0; i < operations; i++) {
        const struct step step = context->steps[at++ % TABLE];
        struct run *const run = &context->live[step.slot];
        if (run->count > 0 && UNLIKELY(ops->release(state, run->address, run->count) != STATUS_OK))
            return BENCH_FAILED;
        run->count = ops->allocate(state, step.count, &run->address) ? step.count : 0;
        BODY_SETTLE();
    }
    context->next_step = at;
    return operations;
}

// One CPU's share.
ALWAYS_INLINE uint64_t deep_pairs(const struct frame_ops *ops, struct frames_context *context,
                                  uint64_t operations)
{
    void *const state = context->state;
    uintptr_t held[PAIRS_DEEP];
    uint64_t served = 0;
    while (served < operations) {
        const uint64_t count = min_u64(PAIRS_DEEP, operations - served);
        for (uint64_t k = 0; k < count; k++) {
            if (UNLIKELY(!ops->allocate(state, 1, &held[k])))
                return BENCH_FAILED;
            BODY_SETTLE();
        }
        for (uint64_t k = 0; k < count; k++) {
            if (UNLIKELY(ops->release(state, held[k], 1) != STATUS_OK))
                return BENCH_FAILED;
            BODY_SETTLE();
        }
        served += count;
    }
    return served;
}

#define scale_one_cpu deep_pairs

// The other CPUs come in here too, each with an equal share; what is left is done here.
ALWAYS_INLINE uint64_t scale_most_cpus(const struct frame_ops *ops, struct frames_context *context,
                                       uint64_t operations)
{
    if (cpu_local()->index > 0)
        return deep_pairs(ops, context, operations);
    struct crew *const crew = &context->crew;
    if (!crew_begin(crew))
        return BENCH_FAILED;
    const uint64_t theirs = crew->count * crew->members[0].operations;
    return crew_sum_with(crew, deep_pairs(ops, context, operations - theirs));
}

// Over the machine's own memory: of the one allocator that knows of nodes, whatever the table says.
ALWAYS_INLINE uint64_t machine_map(const struct frame_ops *ops, struct frames_context *context,
                                   uint64_t operations)
{
    struct frames *const machine = context->machine;
    struct run *const window = context->window;
    uint64_t taken_back = 0;
    (void)ops;
    for (uint64_t i = 0; i < operations; i++) {
        const struct frames_request request = {.count = window[i].count};
        if (UNLIKELY(frames_allocate(machine, &request, &window[i].address) != STATUS_OK))
            return BENCH_FAILED;
    }
    for (uint64_t i = 0; i < operations; i++)
        taken_back += frames_release(machine, window[i].address, window[i].count) == STATUS_OK;
    return taken_back;
}

ALWAYS_INLINE uint64_t node_local(const struct frame_ops *ops, struct frames_context *context,
                                  uint64_t operations)
{
    struct frames *const machine = context->machine;
    const unsigned node = context->node;
    uint64_t taken_back = 0;
    (void)ops;
    for (uint64_t i = 0; i < operations; i++) {
        uintptr_t address;
        if (UNLIKELY(frames_allocate_on_node(machine, node, 1, &address) != STATUS_OK))
            return BENCH_FAILED;
        taken_back += frames_release(machine, address, 1) == STATUS_OK;
    }
    return taken_back;
}

#define node_remote node_local

#endif
