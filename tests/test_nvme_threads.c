// SPDX-License-Identifier: MIT
// An NVMe controller on a thread of its own, and its driver on several CPUs (device_threads.h).
#include "nvme_fake.h"

#include "device_threads.h"

#define TURN_NS 1000u

static struct nvme_fake fake;
static struct nvme *driver;
static void *queue_memory;

static void model_turn(void)
{
    fake.now += TURN_NS;
    fake_turn(&fake);
}

static void model_fall_ill(void)
{
    fake.fatal = true;
}

static uint8_t model_pattern(uint64_t byte)
{
    return nvme_fake_pattern(byte);
}

// While it is brought up and reset, its time has to pass, too.
static uint32_t read_status(void *context, uint64_t offset, unsigned bytes)
{
    const uint32_t value = fake_read(context, offset, bytes);
    if (offset == NVME_CSTS)
        model_turn();
    return value;
}

static void model_begin(unsigned queues)
{
    fake_init(&fake);
    fake.latency_ns = 3 * TURN_NS;
    fake.ready_ns = 10 * TURN_NS;
    driver = aligned_alloc(CACHE_LINE, align_up(sizeof(*driver), CACHE_LINE));
    world.device = aligned_alloc(CACHE_LINE, align_up(sizeof(struct block_device), CACHE_LINE));
    queue_memory = aligned_alloc(CACHE_LINE, block_bytes(FAKE_QUEUES));
    world.model = &fake;
    struct nvme_config config = fake_config(&fake);
    config.registers.read = read_status;
    config.registers = on_bus(0, config.registers);
    config.interrupt = interrupts_on_bus(config.interrupt);
    config.clock = (struct device_clock){.hz = HZ};
    config.device = world.device;
    config.queues = queues;
    nvme_init(driver, &config);
    const struct block_config layer = {
        .ops = &nvme_ops, .driver = driver, .clock = config.clock, .queues = queues};
    const enum status status =
        block_init(world.device, &layer, queue_memory, block_bytes(FAKE_QUEUES));
    ck_assert_msg(status == STATUS_OK, "%d: %s", status, driver->problem);
}

static void model_end(void)
{
    struct nvme_statistics statistics;
    nvme_statistics(driver, &statistics);
    const struct nvme_anomalies *anomalies = &statistics.anomalies;
    ck_assert_uint_eq(
        anomalies->unknown + anomalies->repeated + anomalies->misplaced + anomalies->heads, 0);
    ck_assert_uint_eq(fake.lost + fake.written, 0);
    ck_assert_int_eq(nvme_shut_down(driver), STATUS_OK);
    fake_free(&fake);
    free(driver);
    free(world.device);
    free(queue_memory);
}

int main(void)
{
    return run_storms("nvme_threads");
}
