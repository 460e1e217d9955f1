// SPDX-License-Identifier: MIT
// A target built around other suites than the common ones has none of its own.
#include <stddef.h>

#include "platform.h"

const struct bench_suite *const *platform_suites(void)
{
    static const struct bench_suite *const suites[] = {NULL};
    return suites;
}
