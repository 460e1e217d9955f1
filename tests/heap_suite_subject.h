// SPDX-License-Identifier: MIT
// What tests of the heap suite's cases begin with: a variant in a case, its windows, its counters.
#ifndef HEAP_SUITE_SUBJECT_H
#define HEAP_SUITE_SUBJECT_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heap_context.h"
#include "heap_variants.h"
#include "test_platform.h"

#define MEMORY_BYTES (24u << 20)
#define EMITTED_MOST 192u

extern const struct bench_suite heap_suite;

static void *memory;

static inline void set_up(void)
{
    memory = aligned_alloc(2u << 20, MEMORY_BYTES);
    ck_assert_ptr_nonnull(memory);
    memset(memory, 0, MEMORY_BYTES);
    test_cpu_count = 3;
    test_cpu_start = NULL;
}

static inline void tear_down(void)
{
    free(memory);
}

static inline size_t named(const char *name)
{
    for (size_t i = 0; i < heap_suite.case_count; i++)
        if (strcmp(heap_suite.cases[i].name, name) == 0)
            return i;
    ck_abort_msg("no case %s", name);
    return 0;
}

// One variant in one case.
struct subject {
    size_t which;
    const struct heap_ops *ops;
    bench_body *body;
    struct heap_context *context;
    uint64_t operations;
};

static inline struct subject prepared(const char *name, size_t variant)
{
    struct subject one = {.which = named(name), .ops = heap_suite.variants[variant].ops};
    one.body = heap_suite.bodies[variant * heap_suite.case_count + one.which];
    one.operations = heap_suite.cases[one.which].operations;
    one.context = heap_suite.prepare(one.which, one.ops, memory, MEMORY_BYTES, 5);
    ck_assert_ptr_nonnull(one.context);
    return one;
}

static inline void in_front(const struct subject *one)
{
    heap_suite.before(one->which, one->ops, one->context, one->operations);
}

static inline uint64_t window(const struct subject *one)
{
    return one->body(one->context, one->operations);
}

static inline uint64_t due(const struct subject *one)
{
    return heap_suite.expected(one->which, one->context, one->operations);
}

static inline bool whole(const struct subject *one)
{
    return heap_suite.check(one->which, one->ops, one->context);
}

// By its name: the suite's table is another object than a test's of the same header.
static inline bool is_named(const struct subject *one, const char *name)
{
    return strcmp(one->ops->about.name, name) == 0;
}

// Somebody's bound may run out of memory; ours must not.
static inline bool is_held_to_it(const struct heap_ops *ops)
{
    return ops->about.role != VARIANT_FLOOR || strcmp(ops->about.name, "floor") == 0;
}

#define FOR_EACH_THAT_HAS(name, variant)                                                           \
    for (size_t variant = 0; variant < heap_suite.variant_count; variant++)                        \
        if (heap_suite.applies(named(name), heap_suite.variants[variant].ops) &&                   \
            is_held_to_it(heap_suite.variants[variant].ops))

// ---- counters -----------------------------------------------------------------------------------

struct counter {
    char name[65], unit[16];
    uint64_t numerator, denominator;
};

static struct counter emitted[EMITTED_MOST];
static size_t emitted_count;

static inline void emit(void *context, const char *name, uint64_t numerator, uint64_t denominator,
                        const char *unit)
{
    ck_assert_ptr_null(context);
    ck_assert_uint_lt(emitted_count, EMITTED_MOST);
    struct counter *counter = &emitted[emitted_count++];
    *counter = (struct counter){.numerator = numerator, .denominator = denominator};
    ck_assert_uint_lt(strlen(name), sizeof(counter->name));
    strcpy(counter->name, name);
    strcpy(counter->unit, unit);
}

static inline void count(const struct subject *one)
{
    const struct bench_counters out = {.emit = emit};
    emitted_count = 0;
    heap_suite.counters(one->which, one->ops, one->context, &out);
}

static inline const struct counter *counted(const char *name)
{
    for (size_t i = 0; i < emitted_count; i++)
        if (strcmp(emitted[i].name, name) == 0)
            return &emitted[i];
    return NULL;
}

static inline const struct counter *point(const char *curve, uint64_t x)
{
    char name[65];
    snprintf(name, sizeof(name), "%s@%lu", curve, x);
    const struct counter *found = counted(name);
    ck_assert_msg(found != NULL, "%s was not counted", name);
    return found;
}

#endif
