// SPDX-License-Identifier: MIT
#include "driver_peers.h"

#include <errno.h>
#include <sys/uio.h>

#include "platform.h"
#include "uring_disk.h"

#define ENTRIES 128u
#define LOOKS   4096u // for a completion, then one at the clock

#define NS_A_SECOND 1000000000u

static struct {
    struct io_uring ring;
    bool open;
} direct;

static uint64_t patience_ns = DRIVER_PEERS_PATIENCE_NS;

void driver_peers_patience(uint64_t ns)
{
    patience_ns = ns != 0 ? ns : DRIVER_PEERS_PATIENCE_NS;
}

bool driver_peers_fit(const struct block_device *device)
{
    return device->config.ops == &uring_disk_ops || device->config.ops == &uring_cached_ops;
}

static const struct uring_disk_config *config_of(const struct block_device *device)
{
    return &((const struct uring_disk *)device->config.driver)->config;
}

void driver_peers_begin(struct block_device *device, unsigned queue)
{
    // The layer's queue is at rest meanwhile, and raises nothing.
    block_set_mode(device, queue, BLOCK_POLLING, false);
    if (!direct.open)
        direct.open = io_uring_queue_init(ENTRIES, &direct.ring, 0) == 0;
}

void driver_peers_end(void)
{
    if (direct.open)
        io_uring_queue_exit(&direct.ring);
    direct.open = false;
}

static void conclude(const struct block_device *device, struct block_request *request, int result)
{
    const uint64_t bytes = (uint64_t)request->count * config_of(device)->block_bytes;
    const bool all = result >= 0 && (uint64_t)result == bytes;
    request->device_status = all ? 0 : result < 0 ? (uint32_t)-result : EIO;
    request->status = all ? STATUS_OK : STATUS_FAILED;
    request->state = BLOCK_DONE;
}

// ---- pread --------------------------------------------------------------------------------------

enum status driver_pread_submit(struct block_device *device, unsigned queue,
                                struct block_request *request)
{
    struct iovec pieces[BLOCK_CARRIER_SEGMENTS];
    const struct uring_disk_config *config = config_of(device);
    (void)queue;
    if (request->operation != BLOCK_READ || request->segment_count > BLOCK_CARRIER_SEGMENTS)
        return STATUS_INVALID;
    for (uint32_t i = 0; i < request->segment_count; i++)
        pieces[i] = (struct iovec){.iov_base = request->segments[i].memory,
                                   .iov_len = request->segments[i].bytes};
    const ssize_t result = preadv(config->file, pieces, (int)request->segment_count,
                                  (off_t)(request->first * config->block_bytes));
    conclude(device, request, result < 0 ? -errno : (int)result);
    return STATUS_OK;
}

enum status driver_pread_wait(struct block_device *device, struct block_request *request,
                              const struct block_waiter *waiter)
{
    (void)device;
    (void)waiter;
    return request->status;
}

// ---- io_uring -----------------------------------------------------------------------------------

// One piece of memory: what a plain user of it would ask for.
enum status driver_io_uring_keep(struct block_device *device, unsigned queue,
                                 struct block_request *request)
{
    const struct uring_disk_config *config = config_of(device);
    (void)queue;
    if (request->operation != BLOCK_READ || request->segment_count != 1)
        return STATUS_INVALID;
    struct io_uring_sqe *entry = direct.open ? io_uring_get_sqe(&direct.ring) : NULL;
    if (entry == NULL)
        return direct.open ? STATUS_FULL : STATUS_FAILED;
    io_uring_prep_read(entry, config->file, request->segments[0].memory, request->segments[0].bytes,
                       request->first * config->block_bytes);
    io_uring_sqe_set_data(entry, request);
    request->state = BLOCK_SUBMITTED;
    return STATUS_OK;
}

// The last one goes with a flush, or in the system call of the wait, as a plain user would have it.
enum status driver_io_uring_submit(struct block_device *device, unsigned queue,
                                   struct block_request *request)
{
    driver_io_uring_flush(device, queue);
    return driver_io_uring_keep(device, queue, request);
}

// What the system does not take now it gets with the next one, or in a wait.
void driver_io_uring_flush(struct block_device *device, unsigned queue)
{
    (void)device;
    (void)queue;
    if (direct.open && io_uring_sq_ready(&direct.ring) > 0)
        io_uring_submit(&direct.ring);
}

static void take(const struct block_device *device, struct io_uring_cqe *completion)
{
    conclude(device, io_uring_cqe_get_data(completion), completion->res);
    io_uring_cqe_seen(&direct.ring, completion);
}

// Since the first call with this `since`, which was 0.
static bool is_over(uint64_t *since)
{
    const uint64_t now = platform_clock_ns();
    if (*since == 0)
        *since = now;
    return now - *since > patience_ns;
}

enum status driver_io_uring_wait(struct block_device *device, struct block_request *request,
                                 const struct block_waiter *waiter)
{
    uint64_t since = 0;
    (void)waiter;
    while (request->state != BLOCK_DONE) {
        struct __kernel_timespec patience = {.tv_sec = (int64_t)(patience_ns / NS_A_SECOND),
                                             .tv_nsec = (long long)(patience_ns % NS_A_SECOND)};
        struct io_uring_cqe *completion = NULL;
        const int error =
            io_uring_submit_and_wait_timeout(&direct.ring, &completion, 1, &patience, NULL);
        if (completion != NULL)
            take(device, completion);
        else if (error == -ETIME || is_over(&since))
            return STATUS_TIMEOUT;
        else if (error < 0 && error != -EINTR && error != -EAGAIN)
            return STATUS_FAILED;
    }
    return request->status;
}

enum status driver_io_uring_look(struct block_device *device, struct block_request *request,
                                 const struct block_waiter *waiter)
{
    uint64_t since = 0;
    (void)waiter;
    driver_io_uring_flush(device, 0);
    for (uint64_t look = 1; request->state != BLOCK_DONE; look++) {
        struct io_uring_cqe *completion;
        if (look % LOOKS == 0 && is_over(&since))
            return STATUS_TIMEOUT;
        if (io_uring_peek_cqe(&direct.ring, &completion) == 0)
            take(device, completion);
    }
    return request->status;
}
