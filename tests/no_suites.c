// SPDX-License-Identifier: MIT
// A target built around other suites than the common ones has none of its own, and the host program
// no peers.
#include <stddef.h>

#include "platform.h"

void peers_start(char **words);
bool peers_may_measure(const char *words, const char *suite);
void peers_describe(void (*emit)(void *context, const char *key, const char *value), void *context);

const struct bench_suite *const *platform_suites(void)
{
    static const struct bench_suite *const suites[] = {NULL};
    return suites;
}

void peers_start(char **words)
{
    (void)words;
}

bool peers_may_measure(const char *words, const char *suite)
{
    (void)words;
    (void)suite;
    return false;
}

void peers_describe(void (*emit)(void *context, const char *key, const char *value), void *context)
{
    (void)emit;
    (void)context;
}
