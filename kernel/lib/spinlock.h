// SPDX-License-Identifier: MIT
// A spinlock: test-and-test-and-set. It has no queue: no order of arrival is kept. It belongs to a
// CPU: the caller keeps preemption off while it holds one, and keeps the holder from being
// interrupted by code that takes the same lock. Test builds (assert_slow) know the holder and panic
// when a CPU takes a lock twice or releases another's; else taking it twice never returns, and any
// CPU may release it. Zeroed memory is an open lock.
#ifndef SPINLOCK_H
#define SPINLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "assert.h"
#include "compiler.h"
#include "cpu.h"

struct spinlock {
    uint32_t held; // 0: open; else the mark of the holder
};

// What a holder leaves in the lock: 1, or in test builds 1 + the number of its CPU.
ALWAYS_INLINE uint32_t spinlock_mark(void)
{
    return CONFIG_ASSERT_SLOW ? 1 + cpu_local()->index : 1;
}

static inline void spinlock_init(struct spinlock *lock)
{
    __atomic_store_n(&lock->held, 0, __ATOMIC_RELAXED);
}

// Takes the lock if it is open; false if somebody holds it. Never waits.
ALWAYS_INLINE bool spinlock_try_acquire(struct spinlock *lock)
{
    // Acquire: the holder's accesses to what the lock protects stay after this exchange, so they
    // see everything the last holder wrote before its release.
    uint32_t open = 0;
    if (!CONFIG_ASSERT_SLOW)
        return __atomic_exchange_n(&lock->held, 1, __ATOMIC_ACQUIRE) == 0;
    // An exchange by somebody else would write over the holder's mark.
    return __atomic_compare_exchange_n(&lock->held, &open, spinlock_mark(), false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

// Takes the lock; spins until it is open.
ALWAYS_INLINE void spinlock_acquire(struct spinlock *lock)
{
    assert_slow(__atomic_load_n(&lock->held, __ATOMIC_RELAXED) != spinlock_mark());
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
    assert_slow(__atomic_load_n(&lock->held, __ATOMIC_RELAXED) == spinlock_mark());
    // Release: the holder's accesses to what the lock protects are done before the next holder,
    // whose exchange reads this 0, begins.
    __atomic_store_n(&lock->held, 0, __ATOMIC_RELEASE);
}

#endif
