// SPDX-License-Identifier: MIT
// What tests of the block layer stand on: a clock of their own, a RAM disk with a pattern on it,
// and between the two a device that misbehaves as it is told.
#ifndef BLOCK_SUBJECT_H
#define BLOCK_SUBJECT_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "block.h"
#include "ram_disk.h"

#define DISK_BLOCKS  4096u
#define DISK_BLOCK   512u
#define MICROSECOND  UINT64_C(1000)
#define MILLISECOND  UINT64_C(1000000)
#define TICK_A_LOOK  100u // that pass when somebody asks for the time
#define DEVICE_WORDS 0x281u

// A nanosecond a tick; time passes when it is asked for.
struct test_time {
    uint64_t now;
};

static inline uint64_t test_time_ticks(void *context)
{
    struct test_time *time = context;
    return time->now += TICK_A_LOOK;
}

static inline void test_time_idle(void *context, uint64_t until)
{
    struct test_time *time = context;
    time->now = until > time->now ? until : time->now;
}

// A device before another one. One queue misbehaves like the others.
struct misbehaving {
    struct ram_disk *disk;
    // What it does.
    bool swallows;      // never completes
    bool repeats;       // completes each request twice in one look
    bool abort_fails;   // cannot give up
    bool ignores_abort; // says it does, and does not
    enum status resets; // how a reset ends
    enum block_health health;
    uint64_t bad_block;        // fails what touches it; UINT64_MAX: none
    unsigned full_after;       // takes so many at a time; 0: as many as the disk
    enum status refuses;       // what a submit says, if not STATUS_OK
    struct block_facts *facts; // instead of the disk's
    // Called in a reset, when the device is empty; NULL: nothing.
    void (*meanwhile)(struct misbehaving *device);
    // What it has seen.
    struct block_request *held[RAM_DISK_DEPTH];
    unsigned held_count;
    unsigned on_the_way;
    unsigned submits, rings, aborts, reset_count, arms, disarms;
    uint64_t commands[4096][2]; // first and count, in order
};

static inline enum status misbehaving_identify(void *driver, struct block_facts *facts)
{
    struct misbehaving *device = driver;
    const enum status status = ram_disk_ops.identify(device->disk, facts);
    if (device->facts != NULL)
        *facts = *device->facts;
    return status;
}

static inline enum status misbehaving_submit(void *driver, unsigned queue,
                                             struct block_request *request)
{
    struct misbehaving *device = driver;
    if (device->refuses != STATUS_OK)
        return device->refuses;
    if (device->full_after > 0 && device->on_the_way >= device->full_after)
        return STATUS_FULL;
    const enum status status = ram_disk_ops.submit(device->disk, queue, request);
    if (status == STATUS_OK) {
        device->commands[device->submits % 4096][0] = request->first;
        device->commands[device->submits % 4096][1] = request->count;
        device->submits++;
        device->on_the_way++;
    }
    return status;
}

static inline void misbehaving_ring(void *driver, unsigned queue)
{
    struct misbehaving *device = driver;
    device->rings++;
    ram_disk_ops.ring(device->disk, queue);
}

static inline unsigned misbehaving_poll(void *driver, unsigned queue, struct block_request **done,
                                        unsigned most)
{
    struct misbehaving *device = driver;
    struct block_request *found[BLOCK_POLL_ONCE];
    unsigned count =
        ram_disk_ops.poll(device->disk, queue, found, device->repeats ? most / 2 : most);
    unsigned given = 0;
    for (unsigned i = 0; i < device->held_count && given < most;) {
        // What was given up comes back; the rest stays.
        if (device->held[i]->driver[3] == 1) {
            device->held[i]->status = STATUS_ABORTED;
            done[given++] = device->held[i];
            device->held[i] = device->held[--device->held_count];
            device->on_the_way--;
        } else {
            i++;
        }
    }
    for (unsigned i = 0; i < count; i++) {
        struct block_request *request = found[i];
        if (device->swallows) {
            request->driver[3] = 0;
            device->held[device->held_count++] = request;
            continue;
        }
        if (device->bad_block - request->first < request->count) {
            request->status = STATUS_FAILED;
            request->device_status = DEVICE_WORDS;
        }
        device->on_the_way--;
        done[given++] = request;
        if (device->repeats)
            done[given++] = request;
    }
    return given;
}

static inline void misbehaving_arm(void *driver, unsigned queue)
{
    struct misbehaving *device = driver;
    device->arms++;
    ram_disk_ops.arm(device->disk, queue);
}

static inline void misbehaving_disarm(void *driver, unsigned queue)
{
    struct misbehaving *device = driver;
    device->disarms++;
    ram_disk_ops.disarm(device->disk, queue);
}

static inline enum status misbehaving_abort(void *driver, unsigned queue,
                                            struct block_request *request)
{
    struct misbehaving *device = driver;
    (void)queue;
    device->aborts++;
    if (device->abort_fails)
        return STATUS_FAILED;
    request->driver[3] = !device->ignores_abort;
    return STATUS_OK;
}

static inline enum status misbehaving_reset(void *driver)
{
    struct misbehaving *device = driver;
    device->reset_count++;
    device->held_count = device->on_the_way = 0;
    ram_disk_ops.reset(device->disk);
    if (device->meanwhile != NULL)
        device->meanwhile(device);
    return device->resets;
}

static inline enum block_health misbehaving_health(void *driver)
{
    return ((struct misbehaving *)driver)->health;
}

static const struct block_device_ops misbehaving_ops = {
    .name = "misbehaving",
    .simulated = true,
    .identify = misbehaving_identify,
    .submit = misbehaving_submit,
    .ring = misbehaving_ring,
    .poll = misbehaving_poll,
    .arm = misbehaving_arm,
    .disarm = misbehaving_disarm,
    .abort = misbehaving_abort,
    .reset = misbehaving_reset,
    .health = misbehaving_health,
};

// All of it, with the redzones of the address sanitizer around each part.
struct subject {
    struct test_time time;
    struct block_guard guard;
    uint8_t *content;
    struct ram_disk *disk;
    struct misbehaving misbehaving;
    struct block_device *device;
    void *memory;
    struct ram_disk_sleeper sleeper;
    struct block_waiter waiter;
};

static inline void *subject_pages(size_t bytes)
{
    void *memory = aligned_alloc(PAGE_SIZE, align_up(bytes, PAGE_SIZE));
    ck_assert_ptr_nonnull(memory);
    memset(memory, 0xa5, bytes);
    return memory;
}

static inline uint8_t pattern_at(uint64_t byte)
{
    return (uint8_t)((byte * 0x9e3779b97f4a7c15u) >> 56);
}

// Ready for subject_start; the test changes what it likes in between.
static inline void subject_prepare(struct subject *subject, unsigned queues)
{
    *subject = (struct subject){.time = {.now = 1000000}};
    subject->content = subject_pages(DISK_BLOCKS * DISK_BLOCK);
    for (size_t i = 0; i < DISK_BLOCKS * DISK_BLOCK; i++)
        subject->content[i] = pattern_at(i);
    subject->disk = subject_pages(sizeof(*subject->disk));
    subject->device = subject_pages(sizeof(*subject->device));
    subject->memory = subject_pages(block_bytes(queues));
    const struct ram_disk_config disk = {
        .memory = subject->content,
        .bytes = DISK_BLOCKS * DISK_BLOCK,
        .block_bytes = DISK_BLOCK,
        .queues = queues,
        .latency_ns = 20 * MICROSECOND,
        .command_ns = MICROSECOND,
        .clock = {.context = &subject->time, .hz = 1000000000, .ticks = test_time_ticks},
        .guard = &subject->guard,
    };
    ram_disk_init(subject->disk, &disk);
    subject->misbehaving = (struct misbehaving){.disk = subject->disk, .bad_block = UINT64_MAX};
}

static inline struct block_config subject_config(struct subject *subject)
{
    return (struct block_config){
        .ops = &misbehaving_ops,
        .driver = &subject->misbehaving,
        .clock = subject->disk->config.clock,
        .guard = &subject->guard,
    };
}

static inline void subject_start_with(struct subject *subject, const struct block_config *config)
{
    ck_assert_int_eq(block_init(subject->device, config, subject->memory,
                                block_bytes(subject->disk->config.queues)),
                     STATUS_OK);
    subject->sleeper = (struct ram_disk_sleeper){.disk = subject->disk,
                                                 .device = subject->device,
                                                 .idle = test_time_idle,
                                                 .idle_context = &subject->time};
    subject->waiter = ram_disk_waiter(&subject->sleeper);
}

static inline void subject_start(struct subject *subject)
{
    const struct block_config config = subject_config(subject);
    subject_start_with(subject, &config);
}

static inline void subject_free(struct subject *subject)
{
    free(subject->content);
    free(subject->disk);
    free(subject->device);
    free(subject->memory);
}

static inline struct block_statistics subject_statistics(struct subject *subject)
{
    struct block_statistics statistics;
    block_statistics(subject->device, BLOCK_QUEUES_MOST, &statistics);
    return statistics;
}

// Whether the disk holds what it held at first, but for `count` blocks from `first` on.
static inline bool subject_is_untouched(const struct subject *subject, uint64_t first,
                                        uint64_t count)
{
    for (uint64_t i = 0; i < DISK_BLOCKS * DISK_BLOCK; i++) {
        if (i / DISK_BLOCK - first >= count && subject->content[i] != pattern_at(i))
            return false;
    }
    return true;
}

// A request with memory of its own, filled with what no disk has.
struct reading {
    struct block_request request;
    struct block_segment segment;
    uint8_t *bytes;
};

static inline void reading_init(struct reading *reading, uint64_t first, uint32_t count)
{
    reading->bytes = subject_pages(count * DISK_BLOCK);
    reading->segment = (struct block_segment){.memory = reading->bytes,
                                              .address = (uintptr_t)reading->bytes,
                                              .bytes = count * DISK_BLOCK};
    block_request_init(&reading->request, BLOCK_READ, first, count, &reading->segment, 1);
}

static inline bool reading_is_right(const struct reading *reading)
{
    for (size_t i = 0; i < reading->segment.bytes; i++) {
        if (reading->bytes[i] != pattern_at(reading->request.first * DISK_BLOCK + i))
            return false;
    }
    return true;
}

static inline void reading_free(struct reading *reading)
{
    free(reading->bytes);
}

#endif
