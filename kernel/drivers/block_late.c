// SPDX-License-Identifier: MIT
// What time demands: batches whose time is over, requests that are late, devices that are ill.
#include "block_queue.h"

static bool over(uint64_t now, uint64_t at)
{
    return now >= at;
}

// Asks the device to give up what is late. True: it has had its chance.
static bool late(struct block_device *device, struct block_queue *queue, uint64_t now)
{
    const struct block_device_ops *ops = device->config.ops;
    // In order of submission, so those whose first time is over stand in front.
    for (struct list *link = queue->submitted.next; link != &queue->submitted; link = link->next) {
        struct block_request *request = block_request_of(link);
        if (!over(now, request->deadline)) {
            if (!request->aborting)
                break;
            continue;
        }
        if (request->aborting)
            return true;
        queue->statistics.timeouts++;
        request->aborting = true;
        request->deadline = now + device->abort_ticks;
        if (ops->abort(device->config.driver, queue->index, request) != STATUS_OK)
            return true;
        queue->statistics.aborts++;
    }
    return false;
}

// What has waited for room for as long as the device may take.
static void expire_backlog(struct block_device *device, struct block_queue *queue, uint64_t now,
                           struct list *finished)
{
    while (!list_empty(&queue->backlog)) {
        struct block_request *request = block_request_of(queue->backlog.next);
        if (!over(now, request->deadline))
            break;
        list_remove(&request->link);
        queue->waiting--;
        queue->statistics.timeouts++;
        block_end(device, queue, request, STATUS_TIMEOUT, now, finished);
    }
}

enum block_remedy block_care(struct block_device *device, struct block_queue *queue, uint64_t now,
                             struct list *finished)
{
    if (UNLIKELY(!block_running(device)))
        return BLOCK_REMEDY_NONE;
    const enum block_mode mode = block_controller_turn(&queue->controller, now);
    if (mode != queue->mode)
        block_enter_mode(device, queue, mode, now, finished);
    if (queue->batch_count > 0 && over(now, queue->batch_flush_at))
        block_flush(device, queue, now, finished);
    if (!list_empty(&queue->backlog)) {
        block_give_backlog(device, queue, now, finished);
        expire_backlog(device, queue, now, finished);
    }
    if (queue->outstanding == 0)
        return BLOCK_REMEDY_NONE;
    enum block_remedy remedy = BLOCK_REMEDY_NONE;
    if (over(now, queue->health_at)) {
        queue->health_at = now + device->health_ticks;
        const enum block_health health = device->config.ops->health(device->config.driver);
        if (health != BLOCK_HEALTHY)
            remedy = health == BLOCK_GONE ? BLOCK_REMEDY_GONE : BLOCK_REMEDY_RESET;
    }
    if (late(device, queue, now) && remedy == BLOCK_REMEDY_NONE)
        remedy = BLOCK_REMEDY_RESET;
    return remedy;
}

uint64_t block_care_in(const struct block_queue *queue, uint64_t now, uint64_t most)
{
    uint64_t at = now + most;
    if (queue->batch_count > 0)
        at = min_u64(at, queue->batch_flush_at);
    if (!list_empty(&queue->backlog))
        at = min_u64(at, block_request_of(queue->backlog.next)->deadline);
    for (struct list *link = queue->submitted.next; link != &queue->submitted; link = link->next) {
        const struct block_request *request = block_request_of(link);
        at = min_u64(at, request->deadline);
        if (!request->aborting)
            break;
    }
    return at > now ? at - now : 0;
}

// ---- reset --------------------------------------------------------------------------------------

// Ends all that the device had; when it is lost, also what it was still to get.
static void end_all(struct block_device *device, struct block_queue *queue, enum status status,
                    bool lost, struct list *finished)
{
    const uint64_t now = device_ticks(&device->config.clock);
    while (!list_empty(&queue->submitted)) {
        struct block_request *request = block_request_of(queue->submitted.next);
        list_remove(&request->link);
        const enum status own = request->aborting && !lost ? STATUS_TIMEOUT : status;
        block_end(device, queue, request, own, now, finished);
    }
    struct list *const pending[] = {&queue->backlog, lost ? &queue->batch : NULL};
    for (size_t i = 0; i < ARRAY_COUNT(pending); i++) {
        while (pending[i] != NULL && !list_empty(pending[i])) {
            struct block_request *request = block_request_of(pending[i]->next);
            list_remove(&request->link);
            block_end(device, queue, request, status, now, finished);
        }
    }
    queue->outstanding = queue->waiting = 0;
    queue->unrung = false;
    queue->armed = false;
    queue->batch_count = lost ? 0 : queue->batch_count;
}

void block_cure(struct block_device *device, enum block_remedy remedy)
{
    uint32_t running = BLOCK_DEVICE_RUNNING;
    // Relaxed: what follows is ordered by the queues' locks.
    if (!__atomic_compare_exchange_n(&device->state, &running, BLOCK_DEVICE_RESETTING, false,
                                     __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        return; // somebody else is at it
    // Whoever takes a lock after this sees the new state and keeps away from the driver.
    for (unsigned i = 0; i < device->queue_count; i++)
        block_unlock(device, block_lock(device, i), NULL);
    __atomic_fetch_add(&device->resets, 1, __ATOMIC_RELAXED);
    const bool back = device->config.ops->reset(device->config.driver) == STATUS_OK &&
                      remedy != BLOCK_REMEDY_GONE;
    const enum block_device_state after = back                          ? BLOCK_DEVICE_RUNNING
                                          : remedy == BLOCK_REMEDY_GONE ? BLOCK_DEVICE_GONE
                                                                        : BLOCK_DEVICE_FAILED;
    const enum status status = back                         ? STATUS_ABORTED
                               : after == BLOCK_DEVICE_GONE ? STATUS_CLOSED
                                                            : STATUS_FAILED;
    if (!back)
        __atomic_store_n(&device->state, after, __ATOMIC_RELEASE);
    struct list finished[BLOCK_QUEUES_MOST];
    for (unsigned i = 0; i < device->queue_count; i++) {
        list_init(&finished[i]);
        struct block_queue *queue = block_lock(device, i);
        end_all(device, queue, status, !back, &finished[i]);
        block_unlock(device, queue, NULL);
    }
    if (back)
        __atomic_store_n(&device->state, BLOCK_DEVICE_RUNNING, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < device->queue_count; i++) {
        struct block_queue *queue = block_lock(device, i);
        block_arm(device, queue);
        // Somebody may have asked for it meanwhile.
        block_flush(device, queue, device_ticks(&device->config.clock), &finished[i]);
        block_unlock(device, queue, &finished[i]);
    }
}
