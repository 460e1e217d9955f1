// SPDX-License-Identifier: MIT
// Context switches: what it costs to leave one context for another, by what is kept and by how the
// code leaves.
//
// All participants of a case run a loop: count, go on with the next one. The first is the benchmark
// itself, the others never return. The loop stands in memory 16 times, and the participants are
// dealt out over these sites: if all came back to one place, its address would be a good guess of
// every predictor, which it is not where threads wait in different places.
#include "body.h"
#include "compiler.h"
#include "cpu.h"
#include "random.h"
#include "string.h"
#include "switch_variants.h"

#define FEW            16u
#define MANY           1000u
#define STACK_BYTES    4096u
#define STACK_STAGGER  (3u * CACHE_LINE) // so that not all tops share a few cache sets
#define CONTEXT_OFFSET CACHE_LINE        // of a participant's context
#define SITES          16u

#define SUITE           switch
#define SUITE_MECHANISM switch
#define SUITE_VARIANTS  SWITCH_VARIANTS

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

SUITE_TABLES

// ---- preparation --------------------------------------------------------------------------------

static const unsigned participant_count[CASE_COUNT] = {
    [CASE_yield_inline] = 2, [CASE_yield] = 2,        [CASE_pair_jmp] = 2,
    [CASE_pair_ret] = 2,     [CASE_live_6] = 2,       [CASE_ring_16] = FEW,
    [CASE_random_16] = FEW,  [CASE_ring_1000] = MANY, [CASE_random_1000] = MANY,
};

static void run_for_ever(void *argument)
{
    struct participant *me = argument;
    me->body(me, 0);
}

static bench_body *body_of(size_t which, const void *ops)
{
    for (size_t v = 0; v < ARRAY_COUNT(variants); v++)
        if (variants[v].ops == ops)
            return bodies[v * CASE_COUNT + which];
    return NULL;
}

// Numbers 1 .. count - 1 in a random order (Fisher and Yates); 0 is always first.
static void shuffle(uint16_t *order, unsigned count, uint64_t seed)
{
    struct random random = random_seeded(seed);
    for (unsigned i = count - 1; i > 1; i--) {
        const unsigned other = 1 + (unsigned)random_below(&random, i);
        const uint16_t kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
}

static void *prepare(size_t which, const void *ops_, void *memory, size_t length, uint64_t seed)
{
    const struct switch_ops *ops = ops_;
    const unsigned count = participant_count[which];
    const size_t stride = align_up(CONTEXT_OFFSET + ops->context_bytes, CACHE_LINE);
    const size_t stack_stride = STACK_BYTES + STACK_STAGGER;
    uint8_t *const stacks = (uint8_t *)memory + align_up(count * stride, PAGE_SIZE);
    uint16_t order[MANY];
    if ((size_t)(stacks - (uint8_t *)memory) + count * stack_stride > length)
        return NULL;
    for (unsigned i = 0; i < count; i++)
        order[i] = (uint16_t)i;
    if (which == CASE_random_16 || which == CASE_random_1000)
        shuffle(order, count, seed);
    memset(memory, 0, count * stride);
    struct participant *previous = NULL, *const first = memory;
    for (unsigned i = 0; i < count; i++) {
        struct participant *const one =
            (struct participant *)((uint8_t *)memory + order[i] * stride);
        one->participants = count;
        one->last = one; // never asked for, but for the first's
        one->body = body_of(which, ops);
        one->site = i % SITES;
        if (i > 0) {
            ops->make(context_of(one), stacks + (order[i] + 1) * stack_stride, run_for_ever, one,
                      which == CASE_pair_ret);
            previous->next = one;
        }
        previous = one;
    }
    previous->next = first;
    first->last = previous;
    return memory;
}

static void before(size_t which, const void *ops, void *context, uint64_t operations)
{
    struct participant *first = context;
    (void)which;
    (void)ops;
    (void)operations;
    first->start = first->last->count;
}

static uint64_t expected(size_t which, const void *context, uint64_t operations)
{
    (void)which;
    (void)context;
    return operations;
}

// What is least depends on what is live: with six values, a compiler that saves them one by one
// does more than a switch that saves six registers. So the floor is none there.
static bool applies(size_t which, const void *ops_)
{
    const struct switch_ops *ops = ops_;
    if (which == CASE_live_6 && ops->about.role == VARIANT_FLOOR)
        return false;
    return ops->works == NULL || ops->works();
}

static void counters(size_t which, const void *ops_, const void *context,
                     const struct bench_counters *out)
{
    const struct switch_ops *ops = ops_;
    const size_t lines = align_up(ops->context_bytes, CACHE_LINE) / CACHE_LINE;
    (void)which;
    (void)context;
    out->emit(out->context, "register_bytes", ops->register_bytes, 1, "bytes");
    out->emit(out->context, "context_bytes", ops->context_bytes, 1, "bytes");
    out->emit(out->context, "context_lines", lines, 1, "count");
}

// Everybody has switched as often as the first.
static bool check(size_t which, const void *ops, const void *context)
{
    const struct participant *const first = context, *one = first;
    (void)which;
    (void)ops;
    do {
        if (one->count != first->count)
            return false;
        one = one->next;
    } while (one != first);
    return true;
}

const struct bench_suite switch_suite = {
    SUITE_MEMBERS, // of the tables
    .what = "context switches",
    .applies = applies,
    .prepare = prepare,
    .before = before,
    .expected = expected,
    .counters = counters,
    .check = check,
};
