// SPDX-License-Identifier: MIT
#include "uring_disk.h"

#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "assert.h"
#include "host_time.h"
#include "string.h"

#define ENTRIES  (2 * URING_DISK_DEPTH) // of the submission ring: requests, and as many cancels
#define CANCELS  UINT64_MAX             // the name of what is no request
#define NO_SLOT  UINT32_MAX
#define WAIT_NS  10000000 // in a reset, between looks
#define BUFFERED ((size_t)URING_DISK_DEPTH * URING_DISK_TRANSFER)

static const struct block_guard nothing_written;

static uint64_t name_of(const struct uring_disk_queue *queue, const struct uring_disk_slot *slot)
{
    return (uint64_t)slot->turn << 32 | (uint64_t)(slot - queue->slots);
}

static uint8_t *buffer_of(const struct uring_disk_queue *queue, const struct uring_disk_slot *slot)
{
    return queue->buffers + (size_t)(slot - queue->slots) * URING_DISK_TRANSFER;
}

static uint64_t bytes_of(const struct uring_disk *disk, const struct block_request *request)
{
    return (uint64_t)request->count * disk->config.block_bytes;
}

// ---- setting up ---------------------------------------------------------------------------------

static const char *reason(int error, enum status *status)
{
    *status = error == EPERM || error == EACCES ? STATUS_REFUSED : STATUS_FAILED;
    switch (error) {
    case EPERM:
    case EACCES:
        return "io_uring is forbidden here (sysctl kernel.io_uring_disabled, or seccomp)";
    case ENOSYS:
        return "this kernel has no io_uring, or hides it (seccomp)";
    case ENOMEM:
        return "no memory for io_uring (RLIMIT_MEMLOCK)";
    case EMFILE:
    case ENFILE:
        return "no file descriptor left for io_uring";
    case EOPNOTSUPP:
        return "the io_uring of this kernel is too old: it lacks what Linux 5.8 has";
    default:
        return "io_uring could not be set up";
    }
}

// What is made use of.
static bool new_enough(struct io_uring *ring)
{
    const int wanted[] = {IORING_OP_READV, IORING_OP_READ, IORING_OP_WRITEV, IORING_OP_FSYNC,
                          IORING_OP_ASYNC_CANCEL};
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    bool all = probe != NULL && (ring->features & IORING_FEAT_NODROP) != 0;
    for (size_t i = 0; all && i < ARRAY_COUNT(wanted); i++)
        all = io_uring_opcode_supported(probe, wanted[i]) != 0;
    io_uring_free_probe(probe);
    return all;
}

// 0, or what is wrong.
static int open_ring(struct uring_disk_queue *queue)
{
    int error = -io_uring_queue_init(ENTRIES, &queue->ring, 0);
    if (error != 0)
        return error;
    error = -io_uring_register_eventfd(&queue->ring, queue->event);
    if (error == 0 && !new_enough(&queue->ring))
        error = EOPNOTSUPP;
    if (error == 0)
        error = -io_uring_cq_eventfd_toggle(&queue->ring, false);
    if (error != 0)
        io_uring_queue_exit(&queue->ring);
    return error;
}

static void empty(struct uring_disk_queue *queue)
{
    for (uint32_t i = 0; i < URING_DISK_DEPTH; i++) {
        struct uring_disk_slot *slot = &queue->slots[i];
        slot->request = NULL;
        slot->turn++;
        slot->next = i + 1 < URING_DISK_DEPTH ? i + 1 : NO_SLOT;
    }
    queue->free = 0;
    queue->count = 0;
}

static int open_queue(struct uring_disk_queue *queue)
{
    empty(queue);
    queue->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (queue->event < 0)
        return errno;
    queue->buffers = mmap(NULL, BUFFERED, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int error = queue->buffers == MAP_FAILED ? ENOMEM : open_ring(queue);
    if (error == 0)
        return 0;
    if (queue->buffers != MAP_FAILED)
        munmap(queue->buffers, BUFFERED);
    close(queue->event);
    return error;
}

static void close_queue(struct uring_disk_queue *queue)
{
    if (!queue->broken)
        io_uring_queue_exit(&queue->ring);
    munmap(queue->buffers, BUFFERED);
    close(queue->event);
}

enum status uring_disk_init(struct uring_disk *disk, const struct uring_disk_config *config,
                            const char **problem)
{
    assert(config->queues > 0 && config->queues <= URING_DISK_QUEUES);
    assert(config->block_bytes >= 512 && config->block_bytes <= 4096);
    assert(config->bytes > 0 && config->bytes % config->block_bytes == 0);
    *disk = (struct uring_disk){.config = *config};
    if (disk->config.guard == NULL)
        disk->config.guard = &nothing_written;
    if (disk->config.reset_ns == 0)
        disk->config.reset_ns = URING_DISK_RESET_NS;
    *problem = "";
    for (unsigned i = 0; i < config->queues; i++) {
        enum status status;
        const int error = open_queue(&disk->queues[i]);
        if (error == 0)
            continue;
        *problem = reason(error, &status);
        while (i-- > 0)
            close_queue(&disk->queues[i]);
        return status;
    }
    return STATUS_OK;
}

void uring_disk_close(struct uring_disk *disk)
{
    for (unsigned i = 0; i < disk->config.queues; i++) {
        assert(disk->queues[i].count == 0);
        close_queue(&disk->queues[i]);
    }
}

static enum status identify(void *driver, struct block_facts *facts)
{
    const struct uring_disk_config *config = &((struct uring_disk *)driver)->config;
    *facts = (struct block_facts){
        .block_bytes = config->block_bytes,
        .blocks = config->bytes / config->block_bytes,
        .transfer_bytes = URING_DISK_TRANSFER,
        .segments = BLOCK_CARRIER_SEGMENTS,
        .queues = config->queues,
        .depth = URING_DISK_DEPTH,
        .scatter = true,
        .interrupts = true,
        .reset_ns = config->reset_ns,
        .serial = URING_DISK_SERIAL,
    };
    snprintf(facts->model, sizeof(facts->model), "%s", config->model);
    return STATUS_OK;
}

// ---- submitting ---------------------------------------------------------------------------------

static bool whole_pages(const struct block_request *request)
{
    for (uint32_t i = 0; i < request->segment_count; i++) {
        const struct block_segment *segment = &request->segments[i];
        if ((uintptr_t)segment->memory % PAGE_SIZE != 0 || segment->bytes % PAGE_SIZE != 0)
            return false;
    }
    return true;
}

// Between a request's memory and its slot's buffer.
static void copy(const struct block_request *request, uint8_t *buffer, bool out)
{
    for (uint32_t i = 0; i < request->segment_count; i++) {
        const struct block_segment *segment = &request->segments[i];
        memcpy(out ? buffer : segment->memory, out ? segment->memory : buffer, segment->bytes);
        buffer += segment->bytes;
    }
}

static unsigned pieces_of(const struct uring_disk_queue *queue, struct uring_disk_slot *slot,
                          const struct block_request *request, uint64_t bytes)
{
    if (!slot->direct) {
        slot->pieces[0] = (struct iovec){.iov_base = buffer_of(queue, slot), .iov_len = bytes};
        return 1;
    }
    for (uint32_t i = 0; i < request->segment_count; i++)
        slot->pieces[i] = (struct iovec){.iov_base = request->segments[i].memory,
                                         .iov_len = request->segments[i].bytes};
    return request->segment_count;
}

static unsigned code_of(const struct block_request *request)
{
    switch (request->operation) {
    case BLOCK_READ:
        return IORING_OP_READV;
    case BLOCK_WRITE:
        return IORING_OP_WRITEV;
    default:
        return IORING_OP_FSYNC;
    }
}

static bool allowed(const struct uring_disk *disk, const struct block_request *request)
{
    const struct block_guard *guard = disk->config.guard;
    return block_guard_allows(guard, BLOCK_PROTOCOL_URING, code_of(request)) &&
           (request->operation != BLOCK_WRITE ||
            block_guard_allows_range(guard, request->first, request->count));
}

static enum status submit(void *driver, unsigned index, struct block_request *request)
{
    struct uring_disk *disk = driver;
    struct uring_disk_queue *queue = &disk->queues[index];
    if (!allowed(disk, request))
        return STATUS_REFUSED;
    struct io_uring_sqe *entry =
        queue->free != NO_SLOT && !queue->broken ? io_uring_get_sqe(&queue->ring) : NULL;
    if (entry == NULL)
        return STATUS_FULL;
    struct uring_disk_slot *slot = &queue->slots[queue->free];
    queue->free = slot->next;
    queue->count++;
    slot->request = request;
    slot->direct = whole_pages(request);
    const uint64_t bytes = bytes_of(disk, request);
    const unsigned pieces = pieces_of(queue, slot, request, bytes);
    const uint64_t offset = request->first * disk->config.block_bytes;
    request->driver[0] = name_of(queue, slot);
    if (request->operation == BLOCK_WRITE && !slot->direct)
        copy(request, slot->pieces[0].iov_base, true);
    if (request->operation == BLOCK_FLUSH)
        io_uring_prep_fsync(entry, disk->config.file, IORING_FSYNC_DATASYNC);
    else
        io_uring_prep_rw(code_of(request), entry, disk->config.file, slot->pieces, pieces, offset);
    io_uring_sqe_set_data64(entry, name_of(queue, slot));
    return STATUS_OK;
}

// What the kernel does not take stays in the ring until the next look, unless it never will.
static void push(struct uring_disk *disk, struct uring_disk_queue *queue)
{
    const int sent = io_uring_submit(&queue->ring);
    if (sent < 0 && sent != -EAGAIN && sent != -EBUSY && sent != -EINTR && sent != -ENOMEM)
        __atomic_store_n(&disk->ill, 1, __ATOMIC_RELAXED);
}

static void ring(void *driver, unsigned index)
{
    struct uring_disk *disk = driver;
    push(disk, &disk->queues[index]);
}

// ---- completions --------------------------------------------------------------------------------

// The slot that a completion is of; NULL: of none.
static struct uring_disk_slot *slot_of(struct uring_disk_queue *queue, uint64_t name)
{
    const uint64_t number = (uint32_t)name;
    if (number >= URING_DISK_DEPTH || queue->slots[number].request == NULL ||
        queue->slots[number].turn != name >> 32)
        return NULL;
    return &queue->slots[number];
}

static void free_slot(struct uring_disk_queue *queue, struct uring_disk_slot *slot)
{
    slot->request = NULL;
    slot->turn++;
    slot->next = queue->free;
    queue->free = (uint32_t)(slot - queue->slots);
    queue->count--;
}

static void conclude(struct uring_disk *disk, struct uring_disk_queue *queue,
                     const struct uring_disk_slot *slot, int result)
{
    struct block_request *request = slot->request;
    request->device_status = 0;
    request->status = STATUS_OK;
    if (result == (int)bytes_of(disk, request)) {
        if (request->operation == BLOCK_READ && !slot->direct)
            copy(request, buffer_of(queue, slot), false);
        return;
    }
    // A part of it only: the file ends there.
    request->device_status = result < 0 ? (uint32_t)-result : EIO;
    request->status = result == -ECANCELED || result == -EINTR ? STATUS_ABORTED : STATUS_FAILED;
    if (result == -EBADF || result == -ENODEV || result == -ENXIO)
        __atomic_store_n(&disk->gone, 1, __ATOMIC_RELAXED);
}

static unsigned poll_queue(void *driver, unsigned index, struct block_request **done, unsigned most)
{
    struct uring_disk *disk = driver;
    struct uring_disk_queue *queue = &disk->queues[index];
    unsigned count = 0, seen = 0, head;
    struct io_uring_cqe *completion;
    if (UNLIKELY(queue->broken))
        return 0;
    if (UNLIKELY(io_uring_sq_ready(&queue->ring) > 0))
        push(disk, queue);
    // Bounded: no more come than were asked for while the lock is held.
    io_uring_for_each_cqe(&queue->ring, head, completion)
    {
        if (count == most)
            break;
        seen++;
        struct uring_disk_slot *slot = slot_of(queue, io_uring_cqe_get_data64(completion));
        if (slot == NULL)
            continue;
        conclude(disk, queue, slot, completion->res);
        done[count++] = slot->request;
        free_slot(queue, slot);
    }
    io_uring_cq_advance(&queue->ring, seen);
    return count;
}

static void arm(void *driver, unsigned index)
{
    struct uring_disk_queue *queue = &((struct uring_disk *)driver)->queues[index];
    if (queue->broken)
        return;
    io_uring_cq_eventfd_toggle(&queue->ring, true);
    // Orders the flag before the look at the completions that follows, for the kernel, which writes
    // those before it looks at the flag. An exchange does that as well as a fence, and the thread
    // sanitiser knows it.
    __atomic_exchange_n(&queue->armed, 1, __ATOMIC_SEQ_CST);
}

static void disarm(void *driver, unsigned index)
{
    struct uring_disk_queue *queue = &((struct uring_disk *)driver)->queues[index];
    if (!queue->broken)
        io_uring_cq_eventfd_toggle(&queue->ring, false);
}

// ---- giving up ----------------------------------------------------------------------------------

static bool cancel(struct uring_disk *disk, struct uring_disk_queue *queue, uint64_t name)
{
    if (!block_guard_allows(disk->config.guard, BLOCK_PROTOCOL_URING, IORING_OP_ASYNC_CANCEL))
        return false;
    struct io_uring_sqe *entry = io_uring_get_sqe(&queue->ring);
    if (entry == NULL)
        return false;
    io_uring_prep_cancel64(entry, name, 0);
    io_uring_sqe_set_data64(entry, CANCELS);
    return true;
}

static enum status abort_request(void *driver, unsigned index, struct block_request *request)
{
    struct uring_disk *disk = driver;
    struct uring_disk_queue *queue = &disk->queues[index];
    if (queue->broken || slot_of(queue, request->driver[0]) == NULL ||
        !cancel(disk, queue, request->driver[0]))
        return STATUS_FAILED;
    push(disk, queue);
    return STATUS_OK;
}

// Frees the slots of what the kernel never got. The entries stay in the ring, and the kernel may
// get them yet: they ask for nothing then.
static void take_back_unsent(struct uring_disk_queue *queue)
{
    const struct io_uring_sq *sq = &queue->ring.sq;
    for (unsigned i = *sq->khead; i != sq->sqe_tail; i++) {
        struct io_uring_sqe *entry = &sq->sqes[i & sq->ring_mask];
        struct uring_disk_slot *slot = slot_of(queue, entry->user_data);
        if (slot != NULL)
            free_slot(queue, slot);
        io_uring_prep_nop(entry);
        io_uring_sqe_set_data64(entry, CANCELS);
    }
}

// False: the kernel still has some of them at the time `until`.
static bool drained(struct uring_disk_queue *queue, uint64_t until)
{
    const struct timespec pause = {.tv_nsec = WAIT_NS};
    for (;;) {
        unsigned seen = 0, head;
        struct io_uring_cqe *completion;
        io_uring_for_each_cqe(&queue->ring, head, completion)
        {
            struct uring_disk_slot *slot = slot_of(queue, io_uring_cqe_get_data64(completion));
            if (slot != NULL)
                free_slot(queue, slot);
            seen++;
        }
        io_uring_cq_advance(&queue->ring, seen);
        if (queue->count == 0)
            return true;
        if (host_time_of_kernel_ns() >= until)
            return false;
        nanosleep(&pause, NULL);
    }
}

// Puts copies in place of the pages that the kernel may still write to or read from. They are the
// request's alone, and nobody changes them meanwhile.
static void replace_pages(struct uring_disk_queue *queue, const struct uring_disk_slot *slot)
{
    const struct block_request *request = slot->request;
    uint8_t *kept = buffer_of(queue, slot);
    copy(request, kept, true);
    for (uint32_t i = 0; i < request->segment_count; i++) {
        const struct block_segment *segment = &request->segments[i];
        const void *fresh = mmap(segment->memory, segment->bytes, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        // Without it the caller's memory would change under its hands.
        if (fresh == MAP_FAILED)
            platform_panic("no memory to take a request's pages from the kernel", __FILE__,
                           __LINE__);
    }
    copy(request, kept, false);
}

static bool reset_queue(struct uring_disk *disk, struct uring_disk_queue *queue, uint64_t until)
{
    uint64_t number;
    if (queue->broken)
        return false;
    push(disk, queue);
    take_back_unsent(queue);
    for (uint32_t i = 0; i < URING_DISK_DEPTH; i++) {
        if (queue->slots[i].request != NULL)
            cancel(disk, queue, name_of(queue, &queue->slots[i]));
    }
    push(disk, queue);
    const bool all = drained(queue, until);
    for (uint32_t i = 0; i < URING_DISK_DEPTH; i++) {
        if (queue->slots[i].request != NULL && queue->slots[i].direct)
            replace_pages(queue, &queue->slots[i]);
    }
    empty(queue);
    io_uring_queue_exit(&queue->ring);
    while (read(queue->event, &number, sizeof(number)) > 0)
        continue; // what was raised before; once
    queue->broken = !all || open_ring(queue) != 0;
    return !queue->broken;
}

static enum status reset(void *driver)
{
    struct uring_disk *disk = driver;
    const uint64_t until = host_time_of_kernel_ns() + disk->config.reset_ns;
    bool all = true;
    for (unsigned i = 0; i < disk->config.queues; i++)
        all = reset_queue(disk, &disk->queues[i], until) && all;
    __atomic_store_n(&disk->ill, 0, __ATOMIC_RELAXED);
    return all ? STATUS_OK : STATUS_FAILED;
}

static enum block_health health(void *driver)
{
    struct uring_disk *disk = driver;
    if (__atomic_load_n(&disk->gone, __ATOMIC_RELAXED) != 0)
        return BLOCK_GONE;
    return __atomic_load_n(&disk->ill, __ATOMIC_RELAXED) != 0 ? BLOCK_NEEDS_RESET : BLOCK_HEALTHY;
}

#define OPS(variable, name_, simulated_)                                                           \
    const struct block_device_ops variable = {                                                     \
        .name = name_,                                                                             \
        .simulated = simulated_,                                                                   \
        .identify = identify,                                                                      \
        .submit = submit,                                                                          \
        .ring = ring,                                                                              \
        .poll = poll_queue,                                                                        \
        .arm = arm,                                                                                \
        .disarm = disarm,                                                                          \
        .abort = abort_request,                                                                    \
        .reset = reset,                                                                            \
        .health = health,                                                                          \
    };

OPS(uring_disk_ops, "io_uring", false)
OPS(uring_cached_ops, "io_uring_cached", true)
