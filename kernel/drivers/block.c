// SPDX-License-Identifier: MIT
#include "block.h"

#include "block_queue.h"

// ---- the device ---------------------------------------------------------------------------------

size_t block_bytes(unsigned queues)
{
    assert(queues > 0 && queues <= BLOCK_QUEUES_MOST);
    return queues * sizeof(struct block_queue);
}

static bool sound(const struct block_facts *facts)
{
    const uint32_t block = facts->block_bytes;
    return block >= 512 && block <= 4096 && (block & (block - 1)) == 0 && facts->blocks > 0 &&
           facts->blocks <= UINT64_MAX / block && facts->transfer_bytes >= block &&
           facts->transfer_bytes % block == 0 && facts->segments > 0 && facts->queues > 0 &&
           facts->depth > 0 && facts->reset_ns <= BLOCK_RESET_NS_MOST &&
           facts->serial[BLOCK_SERIAL_MOST] == '\0' && facts->model[BLOCK_SERIAL_MOST] == '\0';
}

static void init_queue(struct block_device *device, unsigned index, uint64_t now)
{
    struct block_queue *queue = &device->queues[index];
    const struct block_config *config = &device->config;
    *queue = (struct block_queue){
        .number = config->number,
        .index = index,
        .carriers_free = (1u << BLOCK_CARRIERS) - 1,
        .health_at = now + device->health_ticks,
    };
    list_init(&queue->submitted);
    list_init(&queue->backlog);
    list_init(&queue->batch);
    block_controller_init(&queue->controller, now, config->clock.hz, config->rate_low,
                          config->rate_high);
}

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
    return value != 0 ? value : otherwise;
}

enum status block_init(struct block_device *device, const struct block_config *config, void *memory,
                       size_t bytes)
{
    assert(config->clock.hz >= 1000 && config->clock.hz <= DEVICE_HZ_MOST);
    assert(config->queues <= BLOCK_QUEUES_MOST && config->hybrid_ns <= BLOCK_HYBRID_NS);
    assert(config->number < TRACE_DEVICES_MOST);
    assert((uintptr_t)memory % CACHE_LINE == 0 && (uintptr_t)device % CACHE_LINE == 0);
    *device =
        (struct block_device){.config = *config, .queues = memory, .interrupt = block_interrupt};
    struct block_config *own = &device->config;
    own->hybrid_ns = or_default(own->hybrid_ns, BLOCK_HYBRID_NS);
    own->batch_ns = or_default(own->batch_ns, BLOCK_BATCH_NS);
    own->timeout_ns = or_default(own->timeout_ns, BLOCK_TIMEOUT_NS);
    own->abort_ns = or_default(own->abort_ns, BLOCK_ABORT_NS);
    own->rate_low = or_default(own->rate_low, BLOCK_RATE_LOW);
    own->rate_high = or_default(own->rate_high, BLOCK_RATE_HIGH);
    device->hybrid_ticks = device_ticks_of(&own->clock, own->hybrid_ns);
    device->batch_ticks = device_ticks_of(&own->clock, own->batch_ns);
    device->timeout_ticks = device_ticks_of(&own->clock, own->timeout_ns);
    device->abort_ticks = device_ticks_of(&own->clock, own->abort_ns);
    device->health_ticks = device_ticks_of(&own->clock, BLOCK_HEALTH_NS);
    const enum status status = own->ops->identify(own->driver, &device->facts);
    if (status != STATUS_OK)
        return status;
    struct block_facts *facts = &device->facts;
    if (!sound(facts))
        return STATUS_CORRUPT;
    device->queue_count = (unsigned)min_u64(facts->queues, or_default(own->queues, CPU_MOST));
    facts->depth = (uint32_t)min_u64(facts->depth, BLOCK_DEPTH_MOST);
    if (bytes < block_bytes(device->queue_count))
        return STATUS_NO_MEMORY;
    const uint64_t now = device_ticks(&own->clock);
    for (unsigned i = 0; i < device->queue_count; i++) {
        init_queue(device, i, now);
        block_set_mode(device, i, facts->interrupts ? BLOCK_INTERRUPT : BLOCK_POLLING, false);
    }
    return STATUS_OK;
}

uint64_t block_bound_ns(const struct block_device *device)
{
    const struct block_config *config = &device->config;
    // In a batch; then in the backlog, at the device, and at an abort, once merged and once alone.
    // A reset ends what is in the backlog or at the device, so there is one at the end; and one
    // before it, which a batch outlives.
    return config->batch_ns + 2 * (2 * config->timeout_ns + config->abort_ns) +
           2 * device->facts.reset_ns + BLOCK_SLEEP_NS;
}

static void add(struct block_statistics *sum, const struct block_statistics *one)
{
    // All of it is uint64_t.
    for (size_t i = 0; i < sizeof(*sum) / sizeof(uint64_t); i++)
        ((uint64_t *)sum)[i] += ((const uint64_t *)one)[i];
}

void block_statistics(struct block_device *device, unsigned queue,
                      struct block_statistics *statistics)
{
    const bool all = queue == BLOCK_QUEUES_MOST;
    *statistics = (struct block_statistics){0};
    for (unsigned i = all ? 0 : queue; i < (all ? device->queue_count : queue + 1); i++) {
        struct block_queue *one = block_lock(device, i);
        add(statistics, &one->statistics);
        block_unlock(device, one, NULL);
    }
}

void block_queue_controller(struct block_device *device, unsigned queue,
                            struct block_controller_statistics *statistics)
{
    struct block_queue *one = block_lock(device, queue);
    block_controller_statistics(&one->controller, device_ticks(&device->config.clock), statistics);
    block_unlock(device, one, NULL);
}

enum block_device_state block_device_state(const struct block_device *device)
{
    return (enum block_device_state)__atomic_load_n(&device->state, __ATOMIC_ACQUIRE);
}

// ---- modes --------------------------------------------------------------------------------------

void block_arm(struct block_device *device, struct block_queue *queue)
{
    if (!block_running(device))
        return; // the driver is left alone; a reset comes by here when it is over
    const bool wanted =
        device->facts.interrupts &&
        (queue->sleepers > 0 || queue->mode == BLOCK_INTERRUPT || queue->mode == BLOCK_BATCH);
    if (wanted == queue->armed)
        return;
    queue->armed = wanted;
    const struct block_device_ops *ops = device->config.ops;
    (wanted ? ops->arm : ops->disarm)(device->config.driver, queue->index);
}

void block_enter_mode(struct block_device *device, struct block_queue *queue, enum block_mode mode,
                      uint64_t now, struct list *finished)
{
    if (queue->mode == BLOCK_BATCH && mode != BLOCK_BATCH)
        block_flush(device, queue, now, finished);
    queue->mode = mode;
    block_trace_mode(queue);
    block_arm(device, queue);
}

void block_set_mode(struct block_device *device, unsigned queue, enum block_mode mode,
                    bool adaptive)
{
    struct list finished;
    list_init(&finished);
    struct block_queue *one = block_lock(device, queue);
    const uint64_t now = device_ticks(&device->config.clock);
    block_controller_switch(&one->controller, mode, now);
    one->controller.fixed = !adaptive;
    block_enter_mode(device, one, mode, now, &finished);
    // What came before the interrupts were let in.
    block_collect(device, one, now, &finished);
    block_unlock(device, one, &finished);
}

enum block_mode block_mode(struct block_device *device, unsigned queue)
{
    struct block_queue *one = block_lock(device, queue);
    const enum block_mode mode = one->mode;
    block_unlock(device, one, NULL);
    return mode;
}

// ---- submitting ---------------------------------------------------------------------------------

static const struct block_guard nothing_written;

static bool guarded(const struct block_device *device, const struct block_request *request)
{
    const struct block_guard *guard = device->config.guard;
    guard = guard != NULL ? guard : &nothing_written;
    if (!block_guard_allows(guard, BLOCK_PROTOCOL_REQUEST, request->operation))
        return false;
    return request->operation != BLOCK_WRITE ||
           (!device->facts.read_only &&
            block_guard_allows_range(guard, request->first, request->count));
}

// Whether the segments are `bytes` in all, and lie as the device wants them.
static bool segments_fit(const struct block_facts *facts, const struct block_request *request,
                         uint64_t bytes)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < request->segment_count; i++) {
        const struct block_segment *segment = &request->segments[i];
        const uint64_t end = segment->address + segment->bytes;
        const bool last = i + 1 == request->segment_count;
        if (segment->bytes == 0 || segment->memory == NULL || segment->address % 4 != 0 ||
            end < segment->address)
            return false;
        if (!facts->scatter &&
            ((i > 0 && segment->address % PAGE_SIZE != 0) || (!last && end % PAGE_SIZE != 0)))
            return false;
        sum += segment->bytes;
    }
    return sum == bytes;
}

enum status block_look_over(const struct block_device *device, const struct block_request *request)
{
    const struct block_facts *facts = &device->facts;
    if ((unsigned)request->operation >= BLOCK_OPERATIONS)
        return STATUS_INVALID;
    if (request->operation == BLOCK_FLUSH) {
        if (request->count != 0 || request->segment_count != 0)
            return STATUS_INVALID;
    } else {
        const uint64_t bytes = (uint64_t)request->count * facts->block_bytes;
        if (request->count == 0 || request->first >= facts->blocks ||
            request->count > facts->blocks - request->first)
            return STATUS_INVALID;
        if (bytes > facts->transfer_bytes || request->segment_count > facts->segments)
            return STATUS_TOO_LARGE;
        if (!segments_fit(facts, request, bytes))
            return STATUS_INVALID;
    }
    return guarded(device, request) ? STATUS_OK : STATUS_REFUSED;
}

void block_put_back(struct block_device *device, struct block_queue *queue,
                    struct block_request *request, uint64_t now)
{
    request->deadline = now + device->timeout_ticks;
    block_set_state(request, BLOCK_QUEUED);
    list_insert_after(queue->backlog.previous, &request->link);
    queue->waiting++;
    queue->statistics.backlogged++;
}

// The only place where a device gets a request. The guard is asked again, for what has become of it
// since it was taken.
static enum status hand_over(struct block_device *device, struct block_queue *queue,
                             struct block_request *request, uint64_t now)
{
    if (!guarded(device, request))
        return STATUS_REFUSED;
    if (!block_running(device) || queue->outstanding >= device->facts.depth)
        return STATUS_FULL;
    request->status = STATUS_OK;
    request->device_status = 0;
    const enum status status =
        device->config.ops->submit(device->config.driver, queue->index, request);
    if (status != STATUS_OK)
        return status;
    request->submitted_at = now;
    request->deadline = now + device->timeout_ticks;
    request->aborting = false;
    block_set_state(request, BLOCK_SUBMITTED);
    block_trace_submitted(queue, request);
    list_insert_after(queue->submitted.previous, &request->link);
    queue->outstanding++;
    queue->statistics.commands++;
    queue->unrung = true;
    return STATUS_OK;
}

enum status block_give(struct block_device *device, struct block_queue *queue,
                       struct block_request *request, uint64_t now)
{
    enum status status = STATUS_FULL;
    if (list_empty(&queue->backlog))
        status = hand_over(device, queue, request, now);
    if (status != STATUS_FULL)
        return status;
    block_put_back(device, queue, request, now);
    return STATUS_OK;
}

void block_give_backlog(struct block_device *device, struct block_queue *queue, uint64_t now,
                        struct list *finished)
{
    while (!list_empty(&queue->backlog)) {
        struct block_request *request = block_request_of(queue->backlog.next);
        list_remove(&request->link);
        const enum status status = hand_over(device, queue, request, now);
        if (status == STATUS_FULL) {
            list_insert_after(&queue->backlog, &request->link);
            break;
        }
        queue->waiting--;
        if (status != STATUS_OK)
            block_end(device, queue, request, status, now, finished);
    }
    block_ring(device, queue);
}

void block_ring(struct block_device *device, struct block_queue *queue)
{
    if (!queue->unrung)
        return;
    queue->unrung = false;
    queue->statistics.doorbells++;
    device->config.ops->ring(device->config.driver, queue->index);
}

// What a request is told when the device does not take any.
static enum status closed(const struct block_device *device)
{
    const enum block_device_state state = block_device_state(device);
    return state == BLOCK_DEVICE_GONE     ? STATUS_CLOSED
           : state == BLOCK_DEVICE_FAILED ? STATUS_FAILED
                                          : STATUS_ABORTED;
}

// Takes a request from its caller; what is wrong with it otherwise.
static enum status take(struct block_device *device, struct block_queue *queue,
                        struct block_request *request, uint64_t now)
{
    assert(request->state == BLOCK_IDLE || request->state == BLOCK_DONE);
    if (!block_running(device))
        return closed(device);
    const enum status status = block_look_over(device, request);
    if (status != STATUS_OK) {
        queue->statistics.refused += status == STATUS_REFUSED;
        return status;
    }
    if (queue->waiting >= device->facts.depth)
        return STATUS_FULL;
    request->owner = device;
    request->queue = queue->index;
    request->single = false;
    request->waiter = NULL;
    request->queued_at = now;
    block_trace_request(TRACE_BLOCK_QUEUED, queue, request);
    return STATUS_OK;
}

static enum status submit(struct block_device *device, struct block_queue *queue,
                          struct block_request *request, uint64_t now)
{
    enum status status = take(device, queue, request, now);
    if (status == STATUS_OK) {
        status = block_give(device, queue, request, now);
        if (CONFIG_TRACE && status != STATUS_OK)
            block_trace_of(request, TRACE_BLOCK_DONE, queue, trace_device_ending(status, true));
    }
    queue->statistics.submitted += status == STATUS_OK;
    return status;
}

static enum status gather(struct block_device *device, struct block_queue *queue,
                          struct block_request *request, uint64_t now, struct list *finished)
{
    // A flush is not one of many: the batch goes before it. A batch that is full already is one
    // that a reset came upon, which may be about to begin: none is added to it.
    if (request->operation == BLOCK_FLUSH || queue->batch_count == BLOCK_BATCH_MOST) {
        block_flush(device, queue, now, finished);
        return submit(device, queue, request, now);
    }
    const enum status status = take(device, queue, request, now);
    if (status == STATUS_OK) {
        queue->statistics.submitted++;
        block_gather(device, queue, request, now, finished);
    }
    return status;
}

enum status block_submit_several(struct block_device *device, unsigned queue,
                                 struct block_request **requests, unsigned count, unsigned *taken)
{
    enum status status = STATUS_OK;
    struct block_queue *one = block_lock(device, queue);
    const uint64_t now = device_ticks(&device->config.clock);
    for (*taken = 0; *taken < count; ++*taken) {
        status = submit(device, one, requests[*taken], now);
        if (status != STATUS_OK)
            break;
    }
    block_ring(device, one);
    block_unlock(device, one, NULL);
    return status;
}

enum status block_submit_request(struct block_device *device, unsigned queue,
                                 struct block_request *request)
{
    struct block_queue *one = block_lock(device, queue);
    const enum status status = submit(device, one, request, device_ticks(&device->config.clock));
    block_ring(device, one);
    block_unlock(device, one, NULL);
    return status;
}

enum status block_batch_operation(struct block_device *device, unsigned queue,
                                  struct block_request *request)
{
    struct list finished;
    list_init(&finished);
    struct block_queue *one = block_lock(device, queue);
    const uint64_t now = device_ticks(&device->config.clock);
    const enum status status = gather(device, one, request, now, &finished);
    block_ring(device, one);
    block_unlock(device, one, &finished);
    return status;
}

unsigned block_flush_batch(struct block_device *device, unsigned queue)
{
    struct list finished;
    list_init(&finished);
    struct block_queue *one = block_lock(device, queue);
    const unsigned count = block_flush(device, one, device_ticks(&device->config.clock), &finished);
    block_unlock(device, one, &finished);
    return count;
}

enum status block_start(struct block_device *device, unsigned queue, struct block_request *request)
{
    struct list finished;
    list_init(&finished);
    struct block_queue *one = block_lock(device, queue);
    const uint64_t now = device_ticks(&device->config.clock);
    // Worth gathering: it goes on where the one before ended, which is still on its way.
    const bool mergeable = request->tolerant && request->first == one->next_block &&
                           (one->outstanding > 0 || one->batch_count > 0);
    const enum block_mode mode = block_controller_record(&one->controller, now, mergeable);
    if (mode != one->mode)
        block_enter_mode(device, one, mode, now, &finished);
    one->next_block = request->first + request->count;
    const bool gathers = one->mode == BLOCK_BATCH && (request->tolerant || one->controller.fixed);
    const enum status status =
        gathers ? gather(device, one, request, now, &finished) : submit(device, one, request, now);
    block_ring(device, one);
    block_unlock(device, one, &finished);
    return status;
}
