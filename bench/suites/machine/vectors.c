// SPDX-License-Identifier: MIT
// Vector state at context switches: what it costs to keep it, at each switch or at the first use,
// and how much depends on who uses it.
//
// Two contexts take turns by the full switch, as a function that leaves by JMP. One that uses the
// vector registers adds one to XMM0 each turn, by the same instruction in every row: at the end its
// count must be there.
#include "vectors.h"

#include "body.h"
#include "compiler.h"
#include "cpu.h"
#include "definitions_vectors.h"
#include "string.h"

#define STACK_BYTES 4096u
#define STAGGER     (3u * CACHE_LINE) // the tops do not share a cache set

#define SUITE           vectors
#define SUITE_MECHANISM vectors

#define SUITE_VARIANTS(X)                                                                          \
    X(none)                                                                                        \
    X(eager_fxsave)                                                                                \
    X(eager_xsave)                                                                                 \
    X(lazy_fxsave)                                                                                 \
    X(lazy_xsave)

#define SUITE_CASES(X, v)                                                                          \
    X(v, none_uses, 512, false, 7, 512, 0, 2, 30,                                                  \
      "two contexts in turn, neither of which uses vector registers")                              \
    X(v, one_uses, 512, false, 7, 512, 0, 2, 30,                                                   \
      "two contexts in turn, one of which uses vector registers each time")                        \
    X(v, both_use, 512, false, 7, 512, 0, 2, 30,                                                   \
      "two contexts in turn, both of which use vector registers each time")

enum vectors_way { WAY_NONE, WAY_EAGER, WAY_LAZY };

struct vectors_ops {
    struct variant about;
    enum vectors_way way;
    bool xsave; // by XSAVE; else by FXSAVE
};

#define VARIANT(v, way_, xsave_, role_, what_)                                                     \
    static const struct vectors_ops vectors_##v##_ops = {                                          \
        .about = {.name = #v, .what = what_, .role = role_}, .way = way_, .xsave = xsave_};
VARIANT(none, WAY_NONE, false, VARIANT_FLOOR, "the switch alone, which keeps none; a bound")
VARIANT(eager_fxsave, WAY_EAGER, false, VARIANT_BASELINE, "FXSAVE and FXRSTOR at each switch")
VARIANT(eager_xsave, WAY_EAGER, true, VARIANT_PRODUCT, "XSAVE and XRSTOR at each switch")
VARIANT(lazy_fxsave, WAY_LAZY, false, VARIANT_PRODUCT,
        "CR0.TS at each switch, FXSAVE and FXRSTOR at the first use, by an exception")
VARIANT(lazy_xsave, WAY_LAZY, true, VARIANT_PRODUCT,
        "CR0.TS at each switch, XSAVE and XRSTOR at the first use, by an exception")

struct user {
    struct cpu_full context;
    struct vectors state;
    struct user *next;
    uint64_t turns;
    bool uses;
};

struct users {
    struct user first, second;
    bench_body *body;
    bool eager;
    uint64_t before, handed; // at the last `before`
};

// ---- bodies -------------------------------------------------------------------------------------

static const uint64_t one_more[2] __attribute__((aligned(16))) = {1, 0};

ALWAYS_INLINE struct user *leave(const struct vectors_ops *ops, struct user *me)
{
    struct user *const next = me->next;
    if (ops->way == WAY_LAZY)
        vectors_lazy_switch(&next->state);
    if (ops->way == WAY_EAGER && ops->xsave)
        cpu_xsave_save(me->state.kept);
    else if (ops->way == WAY_EAGER)
        cpu_fx_save(me->state.kept);
    me = (struct user *)cpu_full_jmp(&me->context, &next->context);
    if (ops->way == WAY_EAGER && ops->xsave)
        cpu_xsave_restore(me->state.kept);
    else if (ops->way == WAY_EAGER)
        cpu_fx_restore(me->state.kept);
    return me;
}

// `operations` is 0 for the one that never returns.
ALWAYS_INLINE uint64_t turns(const struct vectors_ops *ops, struct users *users, struct user *me,
                             uint64_t operations)
{
    uint64_t left = operations == 0 ? UINT64_MAX : operations / 2;
    do {
        me->turns++;
        if (me->uses)
            __asm__ volatile("paddq %0, %%xmm0" : : "m"(one_more));
        me = leave(ops, me);
    } while (--left != 0);
    return 2 * (users->second.turns - users->before);
}

// The second one calls its body with 0 operations.
ALWAYS_INLINE uint64_t none_uses(const struct vectors_ops *ops, struct users *users,
                                 uint64_t operations)
{
    return turns(ops, users, operations == 0 ? &users->second : &users->first, operations);
}

#define one_uses none_uses
#define both_use none_uses

SUITE_TABLES

// ---- preparation --------------------------------------------------------------------------------

_Static_assert(offsetof(struct user, context) == 0, "a switch returns its own context");

static void clear_xmm0(void)
{
    __asm__ volatile("pxor %xmm0, %xmm0");
}

static void run_for_ever(void *argument)
{
    struct users *users = argument;
    if (users->eager) // nobody has loaded its state: what is there is the other one's
        clear_xmm0();
    users->body(users, 0);
}

static bench_body *body_of(size_t which, const void *ops)
{
    for (size_t v = 0; v < ARRAY_COUNT(variants); v++)
        if (variants[v].ops == ops)
            return bodies[v * CASE_COUNT + which];
    return NULL;
}

static uint64_t xmm0(void)
{
    uint64_t value;
    __asm__ volatile("movq %%xmm0, %0" : "=r"(value));
    return value;
}

static void *prepare(size_t which, const void *ops_, void *memory, size_t length, uint64_t seed)
{
    const struct vectors_ops *ops = ops_;
    struct users *const users = memory;
    uint8_t *const top = (uint8_t *)memory + PAGE_SIZE * 2 + STACK_BYTES + STAGGER;
    (void)seed;
    _Static_assert(sizeof(struct users) <= 2 * PAGE_SIZE, "before the stack");
    if (length < PAGE_SIZE * 2 + 2 * STACK_BYTES)
        return NULL;
    vectors_lazy_end(); // of a row that was not finished
    memset(users, 0, sizeof(*users));
    users->body = body_of(which, ops);
    users->eager = ops->way == WAY_EAGER;
    users->first.next = &users->second;
    users->second.next = &users->first;
    users->first.uses = which == CASE_both_use;
    users->second.uses = which != CASE_none_uses;
    vectors_reset(&users->first.state);
    vectors_reset(&users->second.state);
    void *const ret = cpu_new_context(top, run_for_ever, users, &users->second.context.rsp,
                                      &users->second.context.rip);
    (void)ret; // for the form that leaves by RET
    clear_xmm0();
    if (ops->way == WAY_LAZY)
        vectors_lazy_begin(&users->first.state, ops->xsave);
    return users;
}

static void before(size_t which, const void *ops, void *context, uint64_t operations)
{
    struct users *users = context;
    (void)which;
    (void)ops;
    (void)operations;
    users->before = users->second.turns;
    users->handed = vectors_lazy[cpu_local()->index].handed;
}

static uint64_t expected(size_t which, const void *context, uint64_t operations)
{
    (void)which;
    (void)context;
    return operations;
}

static bool applies(size_t which, const void *ops_)
{
    const struct vectors_ops *ops = ops_;
    return ops->way == WAY_NONE ? which == CASE_none_uses : !ops->xsave || cpu_has_xsave();
}

static void counters(size_t which, const void *ops_, const void *context,
                     const struct bench_counters *out)
{
    const struct vectors_ops *ops = ops_;
    const struct users *users = context;
    (void)which;
    if (ops->way == WAY_LAZY)
        out->emit(out->context, "handed_over",
                  vectors_lazy[cpu_local()->index].handed - users->handed, 1, "count");
}

// What each one has counted in a register that was the other one's meanwhile: once more as a body
// does it, by hand.
static bool holds(const struct vectors_ops *ops, struct users *users, struct user *user)
{
    uint64_t word;
    if (ops->way == WAY_NONE || !user->uses)
        return true;
    if (user == &users->first && ops->way == WAY_EAGER)
        return xmm0() == user->turns;
    if (ops->way == WAY_LAZY)
        vectors_lazy_switch(&user->state);
    else
        memcpy(&word, user->state.kept + 160, sizeof(word)); // XMM0 (SDM vol. 1, table 10-2)
    const uint64_t counted = ops->way == WAY_LAZY ? xmm0() : word;
    if (ops->way == WAY_LAZY)
        vectors_lazy_switch(&users->first.state);
    return counted == user->turns;
}

static bool check(size_t which, const void *ops, const void *context)
{
    struct users *users = (struct users *)(uintptr_t)context;
    (void)which;
    return holds(ops, users, &users->second) && holds(ops, users, &users->first);
}

static void finish(size_t which, const void *ops, void *context)
{
    (void)which;
    (void)ops;
    (void)context;
    vectors_lazy_end();
}

const struct bench_suite vectors_suite = {
    SUITE_MEMBERS, // of the tables
    .what = "vector state at context switches, kept eagerly and lazily",
    .applies = applies,
    .prepare = prepare,
    .before = before,
    .expected = expected,
    .counters = counters,
    .check = check,
    .finish = finish,
};
