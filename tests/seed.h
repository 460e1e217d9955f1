// SPDX-License-Identifier: MIT
// Random tests: a new seed each time, printed, so that SEED=number repeats a failure.
#ifndef SEED_H
#define SEED_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "random.h"

static inline struct random seeded_for(const char *test)
{
    const char *text = getenv("SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const uint64_t seed = text != NULL ? strtoull(text, NULL, 10) : (uint64_t)now.tv_nsec;
    printf("%s: SEED=%lu\n", test, (unsigned long)seed);
    fflush(stdout);
    return random_seeded(seed);
}

#endif
