// SPDX-License-Identifier: MIT
// What only a machine of our own can measure: paging, interrupts.
#include <stddef.h>

#include "platform.h"

const struct bench_suite *const *platform_suites(void)
{
    static const struct bench_suite *const suites[] = {NULL};
    return suites;
}
