// SPDX-License-Identifier: MIT
#include "ring_futex.h"

#include <linux/futex.h>
#include <linux/membarrier.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "host_time.h"

// The calling thread's: a wake-up that has come.
static __thread uint32_t woken;

static uint64_t now_ns(void *place)
{
    (void)place;
    return host_time_of_kernel_ns();
}

static void *current(void *place)
{
    (void)place;
    return &woken;
}

static void block(void *place, uint64_t until_ns)
{
    const struct timespec until = host_timespec(until_ns);
    (void)place;
    // Acquire, with the release in wake: what was done before it is seen.
    if (__atomic_exchange_n(&woken, 0, __ATOMIC_ACQUIRE) != 0)
        return;
    syscall(SYS_futex, &woken, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0,
            until_ns == RING_FOREVER ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
    __atomic_exchange_n(&woken, 0, __ATOMIC_ACQUIRE);
}

static void wake(void *place, void *who)
{
    (void)place;
    __atomic_exchange_n((uint32_t *)who, 1, __ATOMIC_RELEASE);
}

// Not behind the lock: the kernel may let the woken one run in place of this thread, and it would
// find the lock taken. Who is gone has no futex to wait at; at most, another one wakes for nothing.
static void wake_late(void *place, void *who)
{
    (void)place;
    syscall(SYS_futex, who, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}

static bool barrier(void *place)
{
    (void)place;
    return syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
}

bool ring_futex(struct ring_waiter *waiter, bool sleepers_pay)
{
    const bool can = sleepers_pay &&
                     syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
    *waiter = (struct ring_waiter){
        .name = "futex",
        .now_ns = now_ns,
        .current = current,
        .block = block,
        .wake = wake,
        .wake_late = wake_late,
        .barrier = can ? barrier : NULL,
        .looks = RING_FUTEX_LOOKS,
    };
    return can || !sleepers_pay;
}
