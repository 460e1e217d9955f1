// SPDX-License-Identifier: MIT
// How a suite turns cases and variants into bodies: each body is written once, inlined over a
// variant's constant table, and gets a symbol SUITE_CASE__VARIANT that a debugger finds.
//
// A suite defines
//   SUITE               its name; with it goes #include "definitions_NAME.h", which is generated:
//                       the constants DEFINITION_CASE_... and DEFINITION_VARIANT_...
//   SUITE_MECHANISM     the name in front of its variants' tables: heap of heap_hybrid_ops
//   SUITE_VARIANTS(X)   the list of these variants
//   SUITE_CASES(X, v)   its cases, a line for each:
//                         X(v, case, operations, fixed, least instructions, counted operations,
//                           traced operations, exact samples, seconds, what)
//                       where `v` is passed on and the rest are members of struct bench_case
// then for each case an ALWAYS_INLINE function of that name over (table, context, operations), then
// SUITE_TABLES, then what prepares and checks, which may name a case CASE_name, and last its
// struct bench_suite, which begins with SUITE_MEMBERS.
#ifndef BODY_H
#define BODY_H

#include "bench.h"
#include "compiler.h"

// Hides where a pointer comes from and what it points to, so that stores through it are done and
// loads from it are real.
#define BODY_HIDE(pointer) __asm__ volatile("" : "+r"(pointer) : : "memory")

// Makes the compiler believe that `value` may be anything.
#define BODY_HIDE_VALUE(value) __asm__ volatile("" : "+r"(value))

// Ends an operation: what it wrote is in memory and what the next one reads comes from there.
// Without it the compiler carries a mechanism's state from one turn of the loop to the next in
// registers, which no caller outside a loop would see.
#define BODY_SETTLE() __asm__ volatile("" : : : "memory")

// ---- the tables of a suite ----------------------------------------------------------------------
// A case may be a macro that names another one's function. So its name is pasted to its neighbours
// in the macro that gets it: passed on, it would be expanded.

#define BODY_JOIN_EXPANDED(a, b) a##b
#define BODY_JOIN(a, b)          BODY_JOIN_EXPANDED(a, b)
#define BODY_STRING_EXPANDED(a)  #a
#define BODY_STRING(a)           BODY_STRING_EXPANDED(a)

#define BODY_CASE_NUMBER(v, name, ...) CASE_##name,

#define BODY_FUNCTION(v, name, ...)                                                                \
    static uint64_t BODY_JOIN(SUITE, _##name##__##v)(void *context, uint64_t operations)           \
    {                                                                                              \
        return name(&BODY_JOIN(SUITE_MECHANISM, _##v##_ops), context, operations);                 \
    }
#define BODY_FUNCTIONS(v) SUITE_CASES(BODY_FUNCTION, v)

#define BODY_ENTRY(v, name, ...) BODY_JOIN(SUITE, _##name##__##v),
#define BODY_ENTRIES(v)          SUITE_CASES(BODY_ENTRY, v)

#define BODY_CASE(v, name_, operations_, fixed_, least_, counted_, traced_, samples_, seconds_,    \
                  what_)                                                                           \
    {.name = #name_,                                                                               \
     .what = what_,                                                                                \
     .operations = operations_,                                                                    \
     .fixed = fixed_,                                                                              \
     .least_instructions = least_,                                                                 \
     .counted_operations = counted_,                                                               \
     .traced_operations = traced_,                                                                 \
     .samples_exact = samples_,                                                                    \
     .seconds = seconds_,                                                                          \
     .source_hash = BODY_JOIN(BODY_JOIN(DEFINITION_CASE_, SUITE), _##name_)},

#define BODY_VARIANT(v)                                                                            \
    {.about = &BODY_JOIN(SUITE_MECHANISM, _##v##_ops).about,                                       \
     .ops = &BODY_JOIN(SUITE_MECHANISM, _##v##_ops),                                               \
     .source_hash = BODY_JOIN(BODY_JOIN(DEFINITION_VARIANT_, SUITE), _##v)},

#define SUITE_TABLES                                                                               \
    enum { SUITE_CASES(BODY_CASE_NUMBER, 0) CASE_COUNT };                                          \
    SUITE_VARIANTS(BODY_FUNCTIONS)                                                                 \
    static bench_body *const bodies[] = {SUITE_VARIANTS(BODY_ENTRIES)};                            \
    static const struct bench_case cases[] = {SUITE_CASES(BODY_CASE, 0)};                          \
    static const struct bench_variant variants[] = {SUITE_VARIANTS(BODY_VARIANT)};

#define SUITE_MEMBERS                                                                              \
    .name = BODY_STRING(SUITE), .cases = cases, .case_count = CASE_COUNT, .variants = variants,    \
    .variant_count = ARRAY_COUNT(variants), .bodies = bodies

#endif
