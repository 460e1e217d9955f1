// SPDX-License-Identifier: MIT
// Assertions for programmer's errors. `assert` is always on and must be cheap; `assert_slow` walks
// invariants and is on in test builds only (CONFIG_ASSERT_SLOW=1).
#ifndef ASSERT_H
#define ASSERT_H

#include "platform.h"

#define assert(condition)                                                                          \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            platform_panic("assertion failed: " #condition, __FILE__, __LINE__);                   \
    } while (0)

#define assert_slow(condition)                                                                     \
    do {                                                                                           \
        if (CONFIG_ASSERT_SLOW)                                                                    \
            assert(condition);                                                                     \
    } while (0)

#endif
