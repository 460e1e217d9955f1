// SPDX-License-Identifier: MIT
// How much a test does: enough for `scons test`, or as much as a night allows, in `scons soak`.
#ifndef SOAK_H
#define SOAK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fiber.h"

// ThreadSanitizer sees an unordered pair of accesses wherever it happens and takes ten times as
// long: there, a test of threads may do a part of its turns.
#define SOAK_RACES_PART (CONFIG_FIBERS == FIBERS_THREADS ? 4u : 1u)

static inline bool is_soak(void)
{
    const char *word = getenv("TICKMARK_SOAK");
    return word != NULL && strcmp(word, "1") == 0;
}

static inline uint64_t soaked(uint64_t quick, uint64_t soak)
{
    return is_soak() ? soak : quick;
}

#endif
