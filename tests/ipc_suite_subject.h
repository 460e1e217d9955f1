// SPDX-License-Identifier: MIT
// What tests of the ipc suite's cases begin with: memory, cases by name, counters.
#ifndef IPC_SUITE_SUBJECT_H
#define IPC_SUITE_SUBJECT_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc_context.h"
#include "ring_variants.h"
#include "test_platform.h"

#define MEMORY_BYTES (14u << 20)
#define CPUS         3u
#define EMITTED_MOST 16u

extern const struct bench_suite ipc_suite;

static void *memory;

static inline void set_up(void)
{
    memory = aligned_alloc(2u << 20, MEMORY_BYTES);
    ck_assert_ptr_nonnull(memory);
    memset(memory, 0xee, MEMORY_BYTES);
    test_cpu_count = CPUS;
    test_cpu_start = NULL;
    test_clock_class = PLATFORM_CLOCK_EMULATED;
}

static inline void tear_down(void)
{
    free(memory);
}

static inline size_t named(const char *name)
{
    for (size_t i = 0; i < ipc_suite.case_count; i++)
        if (strcmp(ipc_suite.cases[i].name, name) == 0)
            return i;
    ck_abort_msg("no case %s", name);
    return 0;
}

static inline bool begins(size_t which, const char *prefix)
{
    return strncmp(ipc_suite.cases[which].name, prefix, strlen(prefix)) == 0;
}

// Rows for several CPUs.
static inline bool wants_cpus(size_t which)
{
    return begins(which, "bounce") || begins(which, "round_trip_") || begins(which, "stream_") ||
           which == named("many_cpus") || which == named("many_pairs_cpus");
}

struct counter {
    char name[32], unit[16];
    uint64_t numerator, denominator;
};

static struct counter emitted[EMITTED_MOST];
static unsigned emitted_count;

static inline void emit(void *context, const char *name, uint64_t numerator, uint64_t denominator,
                        const char *unit)
{
    ck_assert_ptr_eq(context, emitted);
    ck_assert_uint_lt(emitted_count, EMITTED_MOST);
    struct counter *counter = &emitted[emitted_count++];
    *counter = (struct counter){.numerator = numerator, .denominator = denominator};
    strncpy(counter->name, name, sizeof(counter->name) - 1);
    strncpy(counter->unit, unit, sizeof(counter->unit) - 1);
}

static inline void count(size_t which, const void *ops, const void *context)
{
    const struct bench_counters out = {.emit = emit, .context = emitted};
    emitted_count = 0;
    ipc_suite.counters(which, ops, context, &out);
}

static inline const struct counter *found(const char *name)
{
    for (unsigned i = 0; i < emitted_count; i++)
        if (strcmp(emitted[i].name, name) == 0)
            return &emitted[i];
    return NULL;
}

static inline void counted(const char *name, uint64_t numerator, uint64_t denominator,
                           const char *unit)
{
    const struct counter *counter = found(name);
    ck_assert_msg(counter != NULL, "%s was not counted", name);
    ck_assert_uint_eq(counter->numerator, numerator);
    ck_assert_uint_eq(counter->denominator, denominator);
    ck_assert_str_eq(counter->unit, unit);
}

#endif
