// SPDX-License-Identifier: MIT
#include "suites.h"

#include "platform.h"
#include "string.h"

// The common suite of that name, or NULL.
static const struct bench_suite *common(const char *name)
{
    for (size_t i = 0; bench_suites[i] != NULL; i++)
        if (string_equal(bench_suites[i]->name, name))
            return bench_suites[i];
    return NULL;
}

const struct bench_suite *suites_at(size_t number)
{
    for (size_t i = 0; bench_suites[i] != NULL; i++)
        if (number-- == 0)
            return bench_suites[i];
    const struct bench_suite *const *own = platform_suites();
    for (; *own != NULL; own++)
        if (common((*own)->name) == NULL && number-- == 0)
            return *own;
    return NULL;
}

const struct bench_suite *suites_more(const struct bench_suite *suite)
{
    for (const struct bench_suite *const *own = platform_suites(); *own != NULL; own++)
        // A name may have several suites on each side: those that share cases belong together.
        if (*own != suite && string_equal((*own)->name, suite->name) &&
            suites_case(suite, (*own)->cases[0].name) != NULL)
            return *own;
    return NULL;
}

const struct bench_case *suites_case(const struct bench_suite *suite, const char *name)
{
    for (size_t i = 0; i < suite->case_count; i++)
        if (string_equal(suite->cases[i].name, name))
            return &suite->cases[i];
    return NULL;
}
