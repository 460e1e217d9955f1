// SPDX-License-Identifier: MIT
// A scratch file as a block device, for tests, and requests to read it. Where io_uring may not be
// used, the test says so and has nothing to look at.
#ifndef URING_SUBJECT_H
#define URING_SUBJECT_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "block_pattern.h"
#include "driver_variants.h"
#include "run_checks.h"
#include "scratch_file.h"
#include "test_platform.h"
#include "uring_sleeper.h"

#define SUBJECT_FOLDER "build" // of the disk, not of memory
#define SUBJECT_BYTES  (UINT64_C(4) << 20)
#define MILLISECOND    UINT64_C(1000000)

static struct subject {
    struct scratch_file scratch;
    struct block_guard guard;
    struct uring_disk *disk;
    struct block_device *device;
    void *memory;
    struct uring_sleeper sleeper;
    struct block_waiter waiter;
} subject;

// Tests run in processes of their own, so what they count is in memory that they share.
static unsigned *subject_skipped;
static pid_t subject_parent;

__attribute__((constructor)) static void subject_count_skipped(void)
{
    subject_parent = getpid();
    subject_skipped = mmap(NULL, sizeof(*subject_skipped), PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (subject_skipped == MAP_FAILED)
        abort();
}

__attribute__((destructor)) static void subject_say_skipped(void)
{
    const unsigned skipped = __atomic_load_n(subject_skipped, __ATOMIC_RELAXED);
    if (skipped > 0 && getpid() == subject_parent)
        fprintf(stderr, "%u tests SKIPPED: there is no io_uring here\n", skipped);
}

static inline uint64_t subject_ns(void *unused)
{
    struct timespec now;
    (void)unused;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline void *subject_pages(size_t bytes)
{
    void *memory = aligned_alloc(PAGE_SIZE, align_up(bytes, PAGE_SIZE));
    ck_assert_ptr_nonnull(memory);
    return memory;
}

static inline struct uring_disk_config subject_disk_config(unsigned queues)
{
    return (struct uring_disk_config){.file = subject.scratch.file,
                                      .block_bytes = subject.scratch.block_bytes,
                                      .bytes = subject.scratch.bytes,
                                      .model = "of a test",
                                      .queues = queues,
                                      .guard = &subject.guard};
}

// Bounds as in life, but for `timeout_ns` (0: too).
static inline bool subject_start(unsigned queues, uint64_t timeout_ns, uint64_t reset_ns)
{
    const char *problem;
    test_cpu_enter(0);
    memset(&subject, 0, sizeof(subject));
    if (!scratch_file_make(&subject.scratch, SUBJECT_FOLDER, SUBJECT_BYTES))
        ck_abort_msg("%s", subject.scratch.problem);
    subject.disk = subject_pages(sizeof(*subject.disk));
    subject.device = subject_pages(sizeof(*subject.device));
    subject.memory = subject_pages(block_bytes(queues));
    struct uring_disk_config config = subject_disk_config(queues);
    config.reset_ns = reset_ns;
    const enum status status = uring_disk_init(subject.disk, &config, &problem);
    if (status != STATUS_OK) {
        (void)__atomic_fetch_add(subject_skipped, 1, __ATOMIC_RELAXED);
        printf("nothing is tested: %s\n", problem);
        return false;
    }
    const struct block_config block = {.ops = &uring_disk_ops,
                                       .driver = subject.disk,
                                       .clock = {.hz = 1000000000, .ticks = subject_ns},
                                       .guard = &subject.guard,
                                       .timeout_ns = timeout_ns,
                                       .abort_ns = timeout_ns};
    ck_assert_int_eq(block_init(subject.device, &block, subject.memory, block_bytes(queues)),
                     STATUS_OK);
    ck_assert(uring_sleeper_init(&subject.sleeper, subject.disk, subject.device));
    subject.waiter = uring_waiter(&subject.sleeper);
    return true;
}

static inline void subject_end(void)
{
    uring_sleeper_close(&subject.sleeper);
    uring_disk_close(subject.disk);
    scratch_file_close(&subject.scratch);
    free(subject.disk);
    free(subject.device);
    free(subject.memory);
}

static inline struct block_statistics subject_statistics(void)
{
    struct block_statistics statistics;
    block_statistics(subject.device, BLOCK_QUEUES_MOST, &statistics);
    return statistics;
}

// A request to read `count` blocks into memory of its own.
struct reading {
    struct block_request request;
    struct block_segment segments[4];
    uint8_t *memory;
    uint32_t bytes;
};

static inline void reading_init(struct reading *reading, uint64_t first, uint32_t count)
{
    reading->bytes = count * subject.scratch.block_bytes;
    reading->memory = subject_pages(reading->bytes);
    memset(reading->memory, 0xa5, align_up(reading->bytes, PAGE_SIZE));
    reading->segments[0] = (struct block_segment){
        .memory = reading->memory, .address = (uintptr_t)reading->memory, .bytes = reading->bytes};
    block_request_init(&reading->request, BLOCK_READ, first, count, reading->segments, 1);
}

static inline bool reading_is_right(const struct reading *reading)
{
    return block_pattern_holds(subject.scratch.generation,
                               reading->request.first * subject.scratch.block_bytes,
                               reading->memory, reading->bytes);
}

static inline void reading_free(struct reading *reading)
{
    free(reading->memory);
}

#endif
