// SPDX-License-Identifier: MIT
// What is asked of context switches, whosever they are: ours (switch.c) and other people's
// (peers/switch.c), which name SUITE_VARIANTS, include this and then say SUITE_TABLES.
//
// All participants of a case run a loop: count, go on with the next one. The first is the benchmark
// itself, the others never return. The loop stands in memory 16 times, and the participants are
// dealt out over these sites: if all came back to one place, its address would be a good guess of
// every predictor, which it is not where threads wait in different places.
#ifndef SWITCH_CASES_H
#define SWITCH_CASES_H

#include "body.h"
#include "compiler.h"
#include "definitions_switch.h"
#include "switch.h"

#define FEW            16u
#define MANY           1000u
#define STACK_BYTES    2048u
#define STACK_STAGGER  (3u * CACHE_LINE) // so that not all tops share a few cache sets
#define CONTEXT_OFFSET CACHE_LINE        // of a participant's context
#define SITES          16u

#define SUITE           switch
#define SUITE_MECHANISM switch

#define SUITE_CASES(X, v)                                                                          \
    X(v, yield_inline, 4096, false, 5, 4096, 64, 4, 30,                                            \
      "two contexts in turn, the switch inlined where it stands, leaving by JMP")                  \
    X(v, yield, 4096, false, 7, 4096, 64, 4, 30,                                                   \
      "two contexts in turn, the same switch within a function that is called and returns")        \
    X(v, pair_jmp, 4096, false, 7, 4096, 64, 4, 30,                                                \
      "two contexts in turn, the switch a function that leaves by JMP")                            \
    X(v, pair_ret, 4096, false, 5, 4096, 64, 4, 30,                                                \
      "two contexts in turn, the switch a function that leaves by RET")                            \
    X(v, live_6, 4096, false, 11, 4096, 64, 4, 30,                                                 \
      "two contexts in turn, inlined, with six values live across the switch")                     \
    X(v, pair_256, 256, true, 5, 256, 64, 2, 30,                                                   \
      "two contexts in turn, inlined, 256 switches in all: what threads of a system can do")       \
    X(v, ring_16, 4096, false, 5, 4096, 64, 4, 30, "16 contexts one after the other, inlined")     \
    X(v, random_16, 4096, false, 5, 4096, 64, 4, 30, "16 contexts in a random order, inlined")     \
    X(v, ring_1000, 4000, false, 5, 4000, 1000, 4, 30,                                             \
      "1000 contexts one after the other, inlined")                                                \
    X(v, random_1000, 4000, false, 5, 4000, 1000, 4, 30, "1000 contexts in a random order, inlined")

// The context follows at CONTEXT_OFFSET.
struct participant {
    uint64_t count; // of its switches
    struct participant *next;
    struct participant *last; // whose next is the first
    uint64_t participants;
    uint64_t start; // last->count before the window
    bench_body *body;
    uint64_t site;
} CACHE_ALIGNED;

_Static_assert(sizeof(struct participant) == CONTEXT_OFFSET, "the context lies behind it");

// ---- bodies -------------------------------------------------------------------------------------
// `operations` is 0 for those that never return.

ALWAYS_INLINE void *context_of(struct participant *participant)
{
    return (char *)participant + CONTEXT_OFFSET;
}

enum form { FORM_INLINE, FORM_JMP, FORM_RET };

ALWAYS_INLINE struct participant *participant_of(void *context)
{
    return (struct participant *)(void *)((char *)context - CONTEXT_OFFSET);
}

// Goes on with the next participant; returns `me`, out of what the switch says.
ALWAYS_INLINE struct participant *leave(const struct switch_ops *ops, struct participant *me,
                                        enum form form)
{
    void *const own = context_of(me), *const next = context_of(me->next);
    if (form == FORM_INLINE)
        return participant_of(ops->inline_(own, next));
    return participant_of(form == FORM_JMP ? ops->jmp(own, next) : ops->ret(own, next));
}

// How many switches all participants have made, if each made as many as the last one.
ALWAYS_INLINE uint64_t switches(const struct participant *first)
{
    return (first->last->count - first->start) * first->participants;
}

// Keeps the compiler from making two sites one, or two variants.
#define SITE_MARK(ops, site)                                                                       \
    __asm__ volatile("# role %c0 site %c1" : : "i"((ops)->about.role), "i"(site))

// TURN(site) is a loop that stands in this place. Which one is ours does not change.
#define AT_OWN_SITE(me, TURN)                                                                      \
    switch ((me)->site) {                                                                          \
        TURN(0)                                                                                    \
        TURN(1)                                                                                    \
        TURN(2)                                                                                    \
        TURN(3)                                                                                    \
        TURN(4)                                                                                    \
        TURN(5)                                                                                    \
        TURN(6) TURN(7) TURN(8) TURN(9) TURN(10) TURN(11) TURN(12) TURN(13) TURN(14) TURN(15)      \
    }

ALWAYS_INLINE uint64_t turns(const struct switch_ops *ops, struct participant *me,
                             uint64_t operations, enum form form)
{
    uint64_t left = operations == 0 ? UINT64_MAX : operations / me->participants;
#define TURNS(number)                                                                              \
    case number:                                                                                   \
        do {                                                                                       \
            SITE_MARK(ops, number);                                                                \
            me->count++;                                                                           \
            me = leave(ops, me, form);                                                             \
        } while (--left != 0);                                                                     \
        break;
    AT_OWN_SITE(me, TURNS)
    return switches(me);
}

ALWAYS_INLINE uint64_t yield_inline(const struct switch_ops *ops, void *context,
                                    uint64_t operations)
{
    return turns(ops, context, operations, FORM_INLINE);
}

#define pair_256    yield_inline
#define ring_16     yield_inline
#define random_16   yield_inline
#define ring_1000   yield_inline
#define random_1000 yield_inline

ALWAYS_INLINE uint64_t pair_jmp(const struct switch_ops *ops, void *context, uint64_t operations)
{
    return turns(ops, context, operations, FORM_JMP);
}

ALWAYS_INLINE uint64_t pair_ret(const struct switch_ops *ops, void *context, uint64_t operations)
{
    return turns(ops, context, operations, FORM_RET);
}

#define YIELD_FUNCTION(v)                                                                          \
    static NOINLINE struct participant *yield_##v(struct participant *me)                          \
    {                                                                                              \
        SITE_MARK(&switch_##v##_ops, 0);                                                           \
        return leave(&switch_##v##_ops, me, FORM_INLINE);                                          \
    }
SUITE_VARIANTS(YIELD_FUNCTION)

#define YIELD_CALL(v)                                                                              \
    if (ops == &switch_##v##_ops)                                                                  \
        me = yield_##v(me);

ALWAYS_INLINE uint64_t yield(const struct switch_ops *ops, void *context, uint64_t operations)
{
    struct participant *me = context;
    uint64_t left = operations == 0 ? UINT64_MAX : operations / me->participants;
#define YIELDS(number)                                                                             \
    case number:                                                                                   \
        do {                                                                                       \
            SITE_MARK(ops, number);                                                                \
            me->count++;                                                                           \
            SUITE_VARIANTS(YIELD_CALL)                                                             \
        } while (--left != 0);                                                                     \
        break;
    AT_OWN_SITE(me, YIELDS)
    return switches(me);
}

// Six values that no other context knows.
ALWAYS_INLINE uint64_t live_6(const struct switch_ops *ops, void *context, uint64_t operations)
{
    struct participant *me = context;
    uint64_t left = operations == 0 ? UINT64_MAX : operations / me->participants;
    uint64_t a = me->site + 1, b = a + 1, c = b + 1, d = c + 1, e = d + 1, f = e + 1;
    BODY_HIDE_VALUE(f); // else it is one number at each site
#define LIVES(number)                                                                              \
    case number:                                                                                   \
        do {                                                                                       \
            SITE_MARK(ops, number);                                                                \
            me->count++;                                                                           \
            me = leave(ops, me, FORM_INLINE);                                                      \
            a += b;                                                                                \
            b += c;                                                                                \
            c += d;                                                                                \
            d += e;                                                                                \
            e += f;                                                                                \
            f += a;                                                                                \
        } while (--left != 0);                                                                     \
        break;
    AT_OWN_SITE(me, LIVES)
    BODY_HIDE_VALUE(a);
    return switches(me) + (a == 0);
}

#endif
