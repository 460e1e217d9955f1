// SPDX-License-Identifier: MIT
// What tests of the driver suite's cases begin with: memory, devices of a platform, which are RAM
// disks, rows by name.
#ifndef DRIVER_SUITE_SUBJECT_H
#define DRIVER_SUITE_SUBJECT_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "block_subject.h"
#include "test_platform.h"

#define MEMORY_BYTES (4u << 20)
#define HZ           UINT64_C(2000000000)
#define SEED         7u

extern const struct bench_suite driver_suite;

static void *memory;

// ---- devices of a platform ----------------------------------------------------------------------

#define REAL_BYTES (2u << 20)

static struct real {
    struct ram_disk disk;
    struct block_device device;
    struct misbehaving before;
    struct ram_disk_sleeper sleeper;
    struct block_waiter waiter;
    uint8_t queue[sizeof(struct block_queue)] __attribute__((aligned(64)));
    uint8_t content[REAL_BYTES] __attribute__((aligned(4096)));
    uint8_t memory[PLATFORM_BLOCK_BYTES] __attribute__((aligned(4096)));
} * reals[2];
static unsigned real_count;
static bool real_simulated, without_waiter;
static const char *real_names[2];
static uint64_t real_generation;

static inline uint64_t real_busy_ns(void)
{
    return (cpu_ticks() - reals[0]->sleeper.idle_ticks) / (HZ / 1000000000u);
}

static inline bool real_block(unsigned index, struct platform_block *found)
{
    if (index >= real_count)
        return false;
    struct real *const real = reals[index];
    *found =
        (struct platform_block){.name = real_names[index],
                                .device = &real->device,
                                .simulated = real_simulated,
                                .generation = real_generation,
                                .memory = real->memory,
                                .address = (uintptr_t)real->memory,
                                .bytes = sizeof(real->memory),
                                .waiter = without_waiter ? NULL : &real->waiter,
                                .busy_ns = index == 0 && !without_waiter ? real_busy_ns : NULL};
    return true;
}

// Each device once, as on a target: what the suite knows of one stays.
static inline void make_real(unsigned index, const char *name)
{
    const struct device_clock clock = {.hz = HZ};
    struct real *const real = aligned_alloc(4096, align_up(sizeof(struct real), 4096));
    reals[index] = real;
    real_names[index] = name;
    memset(real, 0, sizeof(*real));
    for (unsigned i = 0; i < REAL_BYTES / 8; i++)
        ((uint64_t *)real->content)[i] = (i + 1) * (index + 3);
    const struct ram_disk_config disk = {.memory = real->content,
                                         .bytes = REAL_BYTES,
                                         .block_bytes = 512,
                                         .queues = 1,
                                         .latency_ns = 5000,
                                         .clock = clock};
    const struct block_config config = {
        .ops = &misbehaving_ops, .driver = &real->before, .clock = clock};
    ram_disk_init(&real->disk, &disk);
    real->before = (struct misbehaving){.disk = &real->disk, .bad_block = UINT64_MAX};
    ck_assert_int_eq(block_init(&real->device, &config, real->queue, sizeof(real->queue)),
                     STATUS_OK);
    real->sleeper = (struct ram_disk_sleeper){.disk = &real->disk, .device = &real->device};
    real->waiter = ram_disk_waiter(&real->sleeper);
}

static inline void set_up(void)
{
    memory = aligned_alloc(2u << 20, MEMORY_BYTES);
    ck_assert_ptr_nonnull(memory);
    memset(memory, 0xee, MEMORY_BYTES);
    test_clock_class = PLATFORM_CLOCK_EMULATED;
    test_clock_hz = HZ;
    test_block = real_block;
    real_count = 0;
    real_generation = 0;
    real_simulated = without_waiter = false;
    make_real(0, "nvme");
    make_real(1, "virtio");
}

static inline void tear_down(void)
{
    free(reals[0]);
    free(reals[1]);
    free(memory);
}

// ---- rows ---------------------------------------------------------------------------------------

static inline size_t case_of(const char *name)
{
    for (size_t i = 0; i < driver_suite.case_count; i++)
        if (strcmp(driver_suite.cases[i].name, name) == 0)
            return i;
    ck_abort_msg("no case %s", name);
    return 0;
}

static inline size_t variant_of(const char *name)
{
    for (size_t i = 0; i < driver_suite.variant_count; i++)
        if (strcmp(driver_suite.variants[i].about->name, name) == 0)
            return i;
    ck_abort_msg("no variant %s", name);
    return 0;
}

static inline bool there_is(const char *case_name, const char *variant)
{
    return driver_suite.applies(case_of(case_name), driver_suite.variants[variant_of(variant)].ops);
}

static inline bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), wanted = strlen(end);
    return length >= wanted && strcmp(text + length - wanted, end) == 0;
}

struct row {
    size_t which, variant;
    const void *ops;
    void *context;
};

static inline struct row row_of(size_t which, size_t variant)
{
    struct row row = {.which = which, .variant = variant};
    row.ops = driver_suite.variants[variant].ops;
    row.context = driver_suite.prepare(which, row.ops, memory, MEMORY_BYTES, SEED);
    return row;
}

static inline struct row row(const char *case_name, const char *variant)
{
    return row_of(case_of(case_name), variant_of(variant));
}

static inline uint64_t run(const struct row *row, uint64_t operations)
{
    driver_suite.before(row->which, row->ops, row->context, operations);
    return driver_suite.bodies[row->variant * driver_suite.case_count + row->which](row->context,
                                                                                    operations);
}

static inline void run_well(const struct row *row, uint64_t operations)
{
    const char *name = driver_suite.cases[row->which].name;
    const char *variant = driver_suite.variants[row->variant].about->name;
    ck_assert_msg(row->context != NULL, "%s/%s", name, variant);
    driver_suite.before(row->which, row->ops, row->context, operations);
    const uint64_t expected = driver_suite.expected(row->which, row->context, operations);
    ck_assert_msg(run(row, operations) == expected, "%s/%s", name, variant);
    const uint64_t ticks = driver_suite.ticks(row->which, row->context);
    ck_assert_msg(ticks > 0, "%s/%s", name, variant);
}

// The least of some windows: this thread may be off its CPU in one.
static inline uint64_t least_ticks(const struct row *one, uint64_t operations)
{
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < 8; i++) {
        run_well(one, operations);
        least = min_u64(least, driver_suite.ticks(one->which, one->context));
    }
    return least;
}

static inline bool good(const struct row *row)
{
    return driver_suite.check(row->which, row->ops, row->context);
}

static inline void end(const struct row *row)
{
    driver_suite.finish(row->which, row->ops, row->context);
}

// Three windows of each row there is; how many rows.
static inline unsigned run_all(void)
{
    unsigned count = 0;
    for (size_t which = 0; which < driver_suite.case_count; which++) {
        for (size_t variant = 0; variant < driver_suite.variant_count; variant++) {
            if (!driver_suite.applies(which, driver_suite.variants[variant].ops))
                continue;
            const struct row row = row_of(which, variant);
            for (unsigned i = 0; i < 3; i++)
                run_well(&row, driver_suite.cases[which].operations);
            ck_assert(good(&row));
            end(&row);
            count++;
        }
    }
    return count;
}

#endif
