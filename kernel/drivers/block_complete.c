// SPDX-License-Identifier: MIT
// Completions: who finds them, and how threads wait for them.
#include "block_queue.h"

// Looks at the device within one turn at the lock; more than a queue's depth has, so that it ends
// for lack of completions unless the driver invents them.
#define LOOKS_MOST (BLOCK_DEPTH_MOST / BLOCK_POLL_ONCE + 1)

void block_finish(struct block_queue *queue, struct block_request *request, uint64_t now,
                  struct list *finished)
{
    struct block_statistics *statistics = &queue->statistics;
    statistics->completed++;
    statistics->failed += request->status != STATUS_OK;
    if (request->status == STATUS_OK)
        statistics->bytes += (uint64_t)request->count
                             << log2_u64(request->owner->facts.block_bytes);
    request->completed_at = now;
    block_trace_done(queue, request);
    const struct block_waiter *waiter = request->waiter;
    if (request->done != NULL) {
        block_set_state(request, BLOCK_ENDED);
        list_insert_after(finished->previous, &request->link);
        return;
    }
    // Release: for the owner, who may read it without the lock, all that was written to the request
    // and its memory. Nothing of it is touched from here on. A waiter stays: its thread takes the
    // lock once more before it leaves.
    __atomic_store_n(&request->state, BLOCK_DONE, __ATOMIC_RELEASE);
    if (waiter != NULL)
        waiter->wake(waiter->context);
}

void block_end(struct block_device *device, struct block_queue *queue,
               struct block_request *request, enum status status, uint64_t now,
               struct list *finished)
{
    if (block_is_carrier(queue, request)) {
        block_unload(device, queue, request, status, now, finished);
        return;
    }
    request->status = status;
    block_finish(queue, request, now, finished);
}

// One completion that the driver reports.
static bool settle(struct block_device *device, struct block_queue *queue,
                   struct block_request *request, uint64_t now, struct list *finished)
{
    if (request == NULL || request->owner != device || request->queue != queue->index ||
        request->state != BLOCK_SUBMITTED) {
        queue->statistics.strays++;
        return false;
    }
    list_remove(&request->link);
    queue->outstanding--;
    // What the abort brought about is the timeout's doing, whatever the device calls it.
    const bool late = request->aborting && request->status != STATUS_OK;
    block_end(device, queue, request, late ? STATUS_TIMEOUT : request->status, now, finished);
    return true;
}

unsigned block_collect(struct block_device *device, struct block_queue *queue, uint64_t now,
                       struct list *finished)
{
    struct block_request *done[BLOCK_POLL_ONCE];
    unsigned count = 0;
    if (queue->outstanding == 0 || !block_running(device))
        return 0;
    for (unsigned looks = 0; looks < LOOKS_MOST; looks++) {
        queue->statistics.polls++;
        const unsigned found =
            device->config.ops->poll(device->config.driver, queue->index, done, BLOCK_POLL_ONCE);
        assert(found <= BLOCK_POLL_ONCE);
        for (unsigned i = 0; i < found; i++)
            count += settle(device, queue, done[i], now, finished);
        if (found < BLOCK_POLL_ONCE)
            break;
    }
    if (count > 0)
        block_give_backlog(device, queue, now, finished);
    return count;
}

// ---- interrupts ---------------------------------------------------------------------------------

// Without a lock.
static void tell(struct list *finished)
{
    while (finished != NULL && !list_empty(finished)) {
        struct block_request *request = block_request_of(finished->next);
        list_remove(&request->link);
        // Release: as in block_finish, for whoever looks at the state instead of waiting for this.
        __atomic_store_n(&request->state, BLOCK_DONE, __ATOMIC_RELEASE);
        request->done(request);
    }
}

// Does what an interrupt asks for, unless somebody holds the lock, who then does it.
static void serve(struct block_device *device, struct block_queue *queue)
{
    // Acquire and release: pairs with the exchange in block_interrupt. Either this one finds the
    // mark, or block_interrupt finds the lock open, which was opened before this.
    while (__atomic_fetch_or(&queue->interrupted, 0, __ATOMIC_ACQ_REL) != 0 &&
           spinlock_try_acquire(&queue->lock)) {
        struct list finished;
        list_init(&finished);
        // An exchange, so that no look at the device comes before it: an interrupt for a completion
        // that the look misses marks the queue anew.
        __atomic_exchange_n(&queue->interrupted, 0, __ATOMIC_SEQ_CST);
        queue->statistics.interrupts++;
        block_trace(TRACE_BLOCK_INTERRUPT, queue, 1, 0);
        const unsigned found =
            block_collect(device, queue, device_ticks(&device->config.clock), &finished);
        if (found == 0)
            queue->statistics.idle_interrupts++;
        block_trace(TRACE_BLOCK_INTERRUPT, queue, 0, found);
        spinlock_release(&queue->lock);
        tell(&finished);
    }
}

void block_interrupt(struct block_device *device, unsigned queue)
{
    assert(queue < device->queue_count);
    struct block_queue *one = &device->queues[queue];
    __atomic_exchange_n(&one->interrupted, 1, __ATOMIC_ACQ_REL);
    serve(device, one);
}

void block_unlock(struct block_device *device, struct block_queue *queue, struct list *finished)
{
    // Where no interrupt is wanted, nobody sleeps for want of it.
    const bool armed = queue->armed;
    spinlock_release(&queue->lock);
    if (armed)
        serve(device, queue);
    cpu_preempt_enable();
    tell(finished);
}

// ---- looking ------------------------------------------------------------------------------------

// With the lock held: all that there is to do now.
static unsigned attend(struct block_device *device, struct block_queue *queue,
                       struct list *finished, enum block_remedy *remedy)
{
    const uint64_t now = device_ticks(&device->config.clock);
    const unsigned count = block_collect(device, queue, now, finished);
    *remedy = block_care(device, queue, now, finished);
    return count;
}

unsigned block_poll(struct block_device *device, unsigned queue)
{
    struct list finished;
    list_init(&finished);
    enum block_remedy remedy;
    struct block_queue *one = block_lock(device, queue);
    const unsigned count = attend(device, one, &finished, &remedy);
    block_unlock(device, one, &finished);
    if (UNLIKELY(remedy != BLOCK_REMEDY_NONE))
        block_cure(device, remedy);
    return count;
}

// Whose request it is cannot be asked of one that is done: it may never have been submitted.
static void check_owner(const struct block_device *device, const struct block_request *request)
{
    assert(request->owner == device && request->done == NULL);
}

bool block_poll_status(struct block_device *device, struct block_request *request)
{
    check_owner(device, request);
    if (!block_done(request))
        block_poll(device, request->queue);
    const bool done = block_done(request);
    if (CONFIG_TRACE && done)
        block_trace_taken(device, request);
    return done;
}

// ---- waiting ------------------------------------------------------------------------------------

// Sleeps once at most: is woken by the request's end, by an interrupt that finds nothing, or when
// there is something to be seen to. Returns the ticks asleep.
static uint64_t sleep_once(struct block_device *device, struct block_request *request,
                           const struct block_waiter *waiter)
{
    const struct device_clock *clock = &device->config.clock;
    struct list finished;
    list_init(&finished);
    enum block_remedy remedy;
    struct block_queue *queue = block_lock(device, request->queue);
    queue->sleepers++;
    request->waiter = waiter;
    block_arm(device, queue);
    // Behind the arming: what came before it does not interrupt.
    attend(device, queue, &finished, &remedy);
    const uint64_t now = device_ticks(clock);
    const bool sleeps = !block_done(request) && remedy == BLOCK_REMEDY_NONE;
    const uint64_t most = block_care_in(queue, now, device_ticks_of(clock, BLOCK_SLEEP_NS));
    queue->statistics.sleeps += sleeps;
    block_unlock(device, queue, &finished);
    if (sleeps)
        waiter->sleep(waiter->context, queue->index, device_ns_of(clock, most) + 1);
    const uint64_t slept = sleeps ? device_ticks(clock) - now : 0;
    if (UNLIKELY(remedy != BLOCK_REMEDY_NONE))
        block_cure(device, remedy);
    // The lock, also when it is done: who ended it still holds it while it wakes this thread.
    block_lock(device, request->queue);
    queue->sleepers--;
    if (!block_done(request))
        request->waiter = NULL;
    block_arm(device, queue);
    block_unlock(device, queue, NULL);
    return slept;
}

// Polls for so many ticks, then sleeps. The controller's account gets the ticks awake.
static enum status wait(struct block_device *device, struct block_request *request,
                        const struct block_waiter *waiter, uint64_t poll_ticks)
{
    check_owner(device, request);
    block_trace_wait_begin(request);
    const struct device_clock *clock = &device->config.clock;
    const bool sleeps = waiter != NULL && device->facts.interrupts;
    const uint64_t start = device_ticks(clock);
    uint64_t slept = 0;
    while (!block_done(request)) {
        if (!sleeps || device_ticks(clock) - start < poll_ticks) {
            block_poll(device, request->queue); // it is taken below, once
            if (!block_done(request))
                cpu_pause();
        } else {
            slept += sleep_once(device, request, waiter);
        }
    }
    const uint64_t spent = device_ticks(clock) - start - slept;
    struct block_queue *queue = block_lock(device, request->queue);
    block_controller_spend(&queue->controller, spent);
    block_unlock(device, queue, NULL);
    block_trace_taken(device, request);
    block_trace_wait_end(request);
    return request->status;
}

enum status block_poll_wait(struct block_device *device, struct block_request *request)
{
    return wait(device, request, NULL, 0);
}

enum status block_wait_interrupt(struct block_device *device, struct block_request *request,
                                 const struct block_waiter *waiter)
{
    return wait(device, request, waiter, 0);
}

enum status block_hybrid_wait(struct block_device *device, struct block_request *request,
                              const struct block_waiter *waiter)
{
    return wait(device, request, waiter, device->hybrid_ticks);
}

enum status block_wait(struct block_device *device, struct block_request *request,
                       const struct block_waiter *waiter)
{
    switch (block_mode(device, request->queue)) {
    case BLOCK_POLLING:
        return block_poll_wait(device, request);
    case BLOCK_HYBRID:
        return block_hybrid_wait(device, request, waiter);
    default:
        return block_wait_interrupt(device, request, waiter);
    }
}
