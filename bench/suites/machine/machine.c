// SPDX-License-Identifier: MIT
// What only a machine of our own can measure: paging, interrupts, vector state.
#include <stddef.h>

#include "platform.h"

extern const struct bench_suite crossing_suite, paging_suite, vectors_suite;

const struct bench_suite *const *platform_suites(void)
{
    static const struct bench_suite *const suites[] = {&paging_suite, &crossing_suite,
                                                       &vectors_suite, NULL};
    return suites;
}
