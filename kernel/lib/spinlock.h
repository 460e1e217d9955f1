// SPDX-License-Identifier: MIT
// A spinlock: test-and-test-and-set. It has no owner and no queue: any thread may release it, no
// order of arrival is kept, and taking it twice on one CPU never returns. The caller keeps the
// holder from being interrupted by code that takes the same lock. Zeroed memory is an open lock.
#ifndef SPINLOCK_H
#define SPINLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "assert.h"
#include "compiler.h"
#include "cpu.h"

struct spinlock {
    uint32_t held; // 0 or 1
};

static inline void spinlock_init(struct spinlock *lock)
{
    __atomic_store_n(&lock->held, 0, __ATOMIC_RELAXED);
}

// Takes the lock if it is open; false if somebody holds it. Never waits.
ALWAYS_INLINE bool spinlock_try_acquire(struct spinlock *lock)
{
    // Acquire: the holder's accesses to what the lock protects stay after this exchange, so they
    // see everything the last holder wrote before its release.
    return __atomic_exchange_n(&lock->held, 1, __ATOMIC_ACQUIRE) == 0;
}

// Takes the lock; spins until it is open.
ALWAYS_INLINE void spinlock_acquire(struct spinlock *lock)
{
    while (UNLIKELY(!spinlock_try_acquire(lock))) {
        // Waiters read their own copy of the line: no exchange before the holder has written it.
        // Relaxed: the exchange that follows does the ordering.
        while (__atomic_load_n(&lock->held, __ATOMIC_RELAXED) != 0)
            cpu_pause();
    }
}

// Opens the lock. The caller holds it.
ALWAYS_INLINE void spinlock_release(struct spinlock *lock)
{
    assert_slow(__atomic_load_n(&lock->held, __ATOMIC_RELAXED) == 1);
    // Release: the holder's accesses to what the lock protects are done before the next holder,
    // whose exchange reads this 0, begins.
    __atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE);
}

#endif
