// SPDX-License-Identifier: MIT
#include "host_disk.h"

#include <stdio.h>
#include <sys/mman.h>

#include "assert.h"
#include "host_time.h"
#include "platform.h"
#include "scratch_file.h"
#include "uring_sleeper.h"

#define SCRATCH_BYTES (UINT64_C(64) << 20)

struct host_disk host_disk;

static struct {
    bool tried, there;
    char problem[256];
    struct scratch_file scratch;
    struct uring_disk disk;
    struct block_device device;
    struct uring_sleeper sleeper;
    struct block_waiter waiter;
    void *memory; // for requests
} made;

static uint64_t kernel_ns(void *unused)
{
    (void)unused;
    return host_time_of_kernel_ns();
}

static struct device_clock clock_of_device(void)
{
    const uint64_t hz = platform_clock_hz();
    if (hz >= 1000 && hz <= DEVICE_HZ_MOST && cpu_has_invariant_ticks())
        return (struct device_clock){.hz = hz};
    return (struct device_clock){.hz = DEVICE_SECOND_NS, .ticks = kernel_ns};
}

static void *map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    return memory != MAP_FAILED ? memory : NULL;
}

// NULL, or what is wrong. The rings first: where there are none, no file is written.
static const char *make(void)
{
    const char *problem;
    const unsigned queues = (unsigned)min_u64(platform_cpu_count(), URING_DISK_QUEUES);
    struct uring_disk_config config = {
        .file = -1, .block_bytes = 512, .bytes = 512, .model = "", .queues = 1};
    if (uring_disk_init(&made.disk, &config, &problem) != STATUS_OK)
        return problem;
    uring_disk_close(&made.disk);
    if (!scratch_file_make(&made.scratch, host_disk.folder, SCRATCH_BYTES))
        return made.scratch.problem;
    config.file = made.scratch.file;
    config.block_bytes = made.scratch.block_bytes;
    config.bytes = made.scratch.bytes;
    config.model = made.scratch.direct ? "scratch file, O_DIRECT" : "scratch file, page cache";
    config.queues = queues;
    if (uring_disk_init(&made.disk, &config, &problem) != STATUS_OK)
        return problem;
    void *queue_memory = map(block_bytes(queues));
    made.memory = map(PLATFORM_BLOCK_BYTES);
    if (queue_memory == NULL || made.memory == NULL ||
        !uring_sleeper_init(&made.sleeper, &made.disk, &made.device))
        return "no memory or no file descriptor left";
    made.waiter = uring_waiter(&made.sleeper);
    const struct block_config block = {.ops = made.scratch.direct ? &uring_disk_ops
                                                                  : &uring_cached_ops,
                                       .driver = &made.disk,
                                       .clock = clock_of_device()};
    return block_init(&made.device, &block, queue_memory, block_bytes(queues)) == STATUS_OK
               ? NULL
               : "the block layer does not take it";
}

static bool is_there(void)
{
    if (made.tried)
        return made.there;
    made.tried = true;
    made.scratch.file = -1;
    const char *problem = make();
    made.there = problem == NULL;
    if (problem == NULL)
        return true;
    snprintf(made.problem, sizeof(made.problem), "%s", problem);
    scratch_file_close(&made.scratch);
    return false;
}

bool host_block(unsigned index, struct platform_block *found)
{
    if (index > 0 || !is_there())
        return false;
    *found = (struct platform_block){
        .name = made.device.config.ops->name,
        .device = &made.device,
        .simulated = made.device.config.ops->simulated,
        .generation = made.scratch.generation,
        .memory = made.memory,
        .address = (uintptr_t)made.memory,
        .bytes = PLATFORM_BLOCK_BYTES,
        .waiter = &made.waiter,
        .busy_ns = uring_busy_ns,
    };
    return true;
}

void host_disk_describe(void (*emit)(void *context, const char *key, const char *value),
                        void *context)
{
    emit(context, "block.io_uring", is_there() ? made.scratch.place : "absent");
    if (!made.there)
        emit(context, "block.io_uring.problem", made.problem);
}
