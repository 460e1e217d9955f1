// SPDX-License-Identifier: MIT
// A virtio disk on a thread of its own, and its driver on several CPUs (device_threads.h). It works
// when it is told to, so that a doorbell that is not rung is a request that does not end.
#include "virtio_fake_registers.h"

#include "device_threads.h"

static struct virtio_fake fake;
static struct virtio_block *driver;
static void *queue_memory;
static uint64_t told; // doorbells that were answered

static void model_turn(void)
{
    if (told == fake.doorbells)
        return;
    told = fake.doorbells;
    fake_work(&fake);
}

static void model_fall_ill(void)
{
    fake.status |= VIRTIO_STATUS_NEEDS_RESET;
}

static uint8_t model_pattern(uint64_t byte)
{
    return fake_pattern(byte);
}

static void interrupted(void *context, unsigned queue)
{
    block_interrupt(context, queue);
}

static void model_begin(unsigned queues)
{
    fake_init(&fake);
    told = 0;
    driver = aligned_alloc(CACHE_LINE, align_up(sizeof(*driver), CACHE_LINE));
    world.device = aligned_alloc(CACHE_LINE, align_up(sizeof(struct block_device), CACHE_LINE));
    queue_memory = aligned_alloc(CACHE_LINE, block_bytes(FAKE_QUEUES));
    world.model = &fake;
    struct virtio_block_config config = fake_config(&fake, queues, FAKE_QUEUES);
    config.registers.common = on_bus(0, config.registers.common);
    config.registers.notify = on_bus(1, config.registers.notify);
    config.registers.device = on_bus(2, config.registers.device);
    config.interrupt = interrupts_on_bus(config.interrupt);
    config.clock = (struct device_clock){.hz = HZ};
    config.interrupted = interrupted;
    config.interrupted_context = world.device;
    virtio_block_init(driver, &config);
    const struct block_config layer = {
        .ops = &virtio_block_ops, .driver = driver, .clock = config.clock, .queues = queues};
    ck_assert_int_eq(block_init(world.device, &layer, queue_memory, block_bytes(FAKE_QUEUES)),
                     STATUS_OK);
    fake.slow = true; // from here on it has its thread
}

static void model_end(void)
{
    ck_assert_uint_eq(fake.written + fake.isolated, 0);
    fake_free(&fake);
    free(driver);
    free(world.device);
    free(queue_memory);
}

int main(void)
{
    return run_storms("virtio_threads");
}
