// SPDX-License-Identifier: MIT
#include "ram_disk.h"

#include "assert.h"
#include "string.h"

// What the disk keeps in a request.
enum words {
    READY, // ticks: when it is complete
    NEXT,  // the one behind it
    GIVEN_UP,
};

#define TRANSFER_BYTES (128u << 10)
#define NEVER          UINT64_MAX

static const struct block_guard nothing_written;

void ram_disk_init(struct ram_disk *disk, const struct ram_disk_config *config)
{
    assert(config->queues > 0 && config->queues <= BLOCK_QUEUES_MOST);
    assert(config->block_bytes >= 512 && config->block_bytes <= 4096);
    assert(config->bytes > 0 && config->bytes % config->block_bytes == 0);
    *disk = (struct ram_disk){.config = *config};
    if (disk->config.transfer_bytes == 0)
        disk->config.transfer_bytes = TRANSFER_BYTES;
    if (disk->config.guard == NULL)
        disk->config.guard = &nothing_written;
    disk->latency = device_ticks_of(&config->clock, config->latency_ns);
    disk->command = device_ticks_of(&config->clock, config->command_ns);
    for (unsigned i = 0; i < BLOCK_QUEUES_MOST; i++)
        disk->queues[i].next_ready = NEVER;
}

static enum status identify(void *driver, struct block_facts *facts)
{
    const struct ram_disk_config *config = &((struct ram_disk *)driver)->config;
    *facts = (struct block_facts){
        .block_bytes = config->block_bytes,
        .blocks = config->bytes / config->block_bytes,
        .transfer_bytes = config->transfer_bytes,
        .segments = BLOCK_CARRIER_SEGMENTS,
        .queues = config->queues,
        .depth = RAM_DISK_DEPTH,
        .scatter = true,
        .interrupts = true,
        .reset_ns = 0,
        .serial = RAM_DISK_SERIAL,
        .model = "RAM disk, simulated",
    };
    return STATUS_OK;
}

static struct block_request *next_of(const struct block_request *request)
{
    return (struct block_request *)request->driver[NEXT];
}

static void publish(struct ram_disk_queue *queue)
{
    const uint64_t ready = queue->oldest != NULL && queue->oldest != queue->unrung
                               ? queue->oldest->driver[READY]
                               : NEVER;
    // Relaxed: a sleeper takes the lock before it looks at anything else.
    __atomic_store_n(&queue->next_ready, ready, __ATOMIC_RELAXED);
}

static enum status submit(void *driver, unsigned index, struct block_request *request)
{
    struct ram_disk *disk = driver;
    struct ram_disk_queue *queue = &disk->queues[index];
    if (!block_guard_allows(disk->config.guard, BLOCK_PROTOCOL_REQUEST, request->operation) ||
        (request->operation == BLOCK_WRITE &&
         !block_guard_allows_range(disk->config.guard, request->first, request->count)))
        return STATUS_REFUSED;
    if (queue->count == RAM_DISK_DEPTH)
        return STATUS_FULL;
    request->driver[NEXT] = 0;
    request->driver[GIVEN_UP] = 0;
    if (queue->oldest == NULL)
        queue->oldest = request;
    else
        queue->newest->driver[NEXT] = (uintptr_t)request;
    queue->newest = request;
    if (queue->unrung == NULL)
        queue->unrung = request;
    queue->count++;
    return STATUS_OK;
}

static void ring(void *driver, unsigned index)
{
    struct ram_disk *disk = driver;
    struct ram_disk_queue *queue = &disk->queues[index];
    const uint64_t now = device_ticks(&disk->config.clock);
    for (; queue->unrung != NULL; queue->unrung = next_of(queue->unrung)) {
        struct block_request *request = queue->unrung;
        const uint64_t bytes = (uint64_t)request->count * disk->config.block_bytes;
        const uint64_t copy_ns = bytes * disk->config.kib_ns / 1024;
        queue->busy_until = max_u64(queue->busy_until, now) + disk->command +
                            device_ticks_of(&disk->config.clock, copy_ns);
        request->driver[READY] = queue->busy_until + disk->latency;
    }
    publish(queue);
}

static void copy(struct ram_disk *disk, const struct block_request *request)
{
    char *at = (char *)disk->config.memory + request->first * disk->config.block_bytes;
    for (uint32_t i = 0; i < request->segment_count; i++) {
        const struct block_segment *segment = &request->segments[i];
        if (request->operation == BLOCK_READ)
            memcpy(segment->memory, at, segment->bytes);
        else
            memcpy(at, segment->memory, segment->bytes);
        at += segment->bytes;
    }
}

static unsigned poll(void *driver, unsigned index, struct block_request **done, unsigned most)
{
    struct ram_disk *disk = driver;
    struct ram_disk_queue *queue = &disk->queues[index];
    unsigned count = 0;
    if (__atomic_load_n(&queue->next_ready, __ATOMIC_RELAXED) == NEVER)
        return 0;
    const uint64_t now = device_ticks(&disk->config.clock);
    while (count < most && queue->oldest != queue->unrung && queue->oldest->driver[READY] <= now) {
        struct block_request *request = queue->oldest;
        queue->oldest = next_of(request);
        queue->count--;
        request->status = request->driver[GIVEN_UP] != 0 ? STATUS_ABORTED : STATUS_OK;
        if (request->status == STATUS_OK)
            copy(disk, request);
        done[count++] = request;
    }
    if (count > 0)
        publish(queue);
    return count;
}

static void arm(void *driver, unsigned index)
{
    __atomic_store_n(&((struct ram_disk *)driver)->queues[index].armed, 1, __ATOMIC_RELAXED);
}

static void disarm(void *driver, unsigned index)
{
    __atomic_store_n(&((struct ram_disk *)driver)->queues[index].armed, 0, __ATOMIC_RELAXED);
}

// It keeps its place: the disk is as late as it was.
static enum status abort_request(void *driver, unsigned index, struct block_request *request)
{
    (void)driver;
    (void)index;
    request->driver[GIVEN_UP] = 1;
    return STATUS_OK;
}

static enum status reset(void *driver)
{
    struct ram_disk *disk = driver;
    for (unsigned i = 0; i < disk->config.queues; i++) {
        struct ram_disk_queue *queue = &disk->queues[i];
        queue->oldest = queue->newest = queue->unrung = NULL;
        queue->count = 0;
        queue->busy_until = 0;
        publish(queue);
        disarm(disk, i);
    }
    return STATUS_OK;
}

static enum block_health health(void *driver)
{
    (void)driver;
    return BLOCK_HEALTHY;
}

const struct block_device_ops ram_disk_ops = {
    .name = "ram",
    .simulated = true,
    .identify = identify,
    .submit = submit,
    .ring = ring,
    .poll = poll,
    .arm = arm,
    .disarm = disarm,
    .abort = abort_request,
    .reset = reset,
    .health = health,
};

// ---- sleeping -----------------------------------------------------------------------------------

static void sleep(void *context, unsigned index, uint64_t most_ns)
{
    struct ram_disk_sleeper *sleeper = context;
    const struct device_clock *clock = &sleeper->disk->config.clock;
    const struct ram_disk_queue *queue = &sleeper->disk->queues[index];
    const uint64_t start = device_ticks(clock);
    const uint64_t until = start + device_ticks_of(clock, most_ns);
    uint64_t now = start;
    bool interrupts = false;
    sleeper->sleeps++;
    // Acquire: what was written before the wake is visible behind the sleep.
    while (__atomic_exchange_n(&sleeper->woken, 0, __ATOMIC_ACQUIRE) == 0) {
        const uint64_t ready = __atomic_load_n(&queue->next_ready, __ATOMIC_RELAXED);
        interrupts = now >= ready && __atomic_load_n(&queue->armed, __ATOMIC_RELAXED) != 0;
        if (interrupts || now >= until)
            break;
        if (sleeper->idle != NULL)
            sleeper->idle(sleeper->idle_context, ready > now ? min_u64(ready, until) : until);
        else
            cpu_pause();
        now = device_ticks(clock);
    }
    sleeper->idle_ticks += now - start;
    if (interrupts) {
        cpu_preempt_disable();
        block_interrupt(sleeper->device, index);
        cpu_preempt_enable();
    }
}

static void wake(void *context)
{
    // Release: pairs with the sleeper's exchange.
    __atomic_store_n(&((struct ram_disk_sleeper *)context)->woken, 1, __ATOMIC_RELEASE);
}

struct block_waiter ram_disk_waiter(struct ram_disk_sleeper *sleeper)
{
    return (struct block_waiter){.context = sleeper, .sleep = sleep, .wake = wake};
}
