// SPDX-License-Identifier: MIT
#include "uring_sleeper.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "host_time.h"

bool uring_sleeper_init(struct uring_sleeper *sleeper, struct uring_disk *disk,
                        struct block_device *device)
{
    *sleeper = (struct uring_sleeper){.disk = disk, .device = device};
    sleeper->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return sleeper->event >= 0;
}

void uring_sleeper_close(struct uring_sleeper *sleeper)
{
    close(sleeper->event);
}

// Lowers an eventfd; false: another thread did.
static bool lowered(int event)
{
    uint64_t number;
    return read(event, &number, sizeof(number)) == sizeof(number);
}

static void sleep_on_disk(void *context, unsigned index, uint64_t most_ns)
{
    struct uring_sleeper *sleeper = context;
    const int raised = sleeper->disk->queues[index].event;
    struct pollfd sources[] = {{.fd = raised, .events = POLLIN},
                               {.fd = sleeper->event, .events = POLLIN}};
    const struct timespec most = host_timespec(most_ns);
    // The kernel lets waits of ordinary threads come 50 us late.
    if (sleeper->sleeps++ == 0)
        prctl(PR_SET_TIMERSLACK, 1ul);
    // Sequentially consistent, and so in wake: it sees that this thread is asleep, or this thread
    // sees that it was woken.
    __atomic_store_n(&sleeper->asleep, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&sleeper->woken, __ATOMIC_SEQ_CST) == 0)
        ppoll(sources, 2, &most, NULL);
    __atomic_store_n(&sleeper->asleep, 0, __ATOMIC_RELAXED);
    if (sources[1].revents != 0)
        lowered(sleeper->event);
    if (sources[0].revents != 0 && lowered(raised)) {
        cpu_preempt_disable();
        block_raise(sleeper->device, index);
        cpu_preempt_enable();
    }
    // Acquire: what was written before the wake is visible behind the sleep. One that comes later
    // ends the next sleep at once.
    __atomic_exchange_n(&sleeper->woken, 0, __ATOMIC_ACQUIRE);
}

static void wake(void *context)
{
    struct uring_sleeper *sleeper = context;
    const uint64_t one = 1;
    __atomic_store_n(&sleeper->woken, 1, __ATOMIC_SEQ_CST);
    // Nobody is told who is awake: mostly the one who is doing this.
    if (__atomic_load_n(&sleeper->asleep, __ATOMIC_SEQ_CST) != 0 &&
        write(sleeper->event, &one, sizeof(one)) != sizeof(one))
        return; // raised already
}

struct block_waiter uring_waiter(struct uring_sleeper *sleeper)
{
    return (struct block_waiter){.context = sleeper, .sleep = sleep_on_disk, .wake = wake};
}

uint64_t uring_busy_ns(void)
{
    struct timespec busy;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &busy);
    return (uint64_t)busy.tv_sec * 1000000000u + (uint64_t)busy.tv_nsec;
}
