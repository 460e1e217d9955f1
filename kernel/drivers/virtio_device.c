// SPDX-License-Identifier: MIT
#include "virtio_device.h"

#include "assert.h"
#include "cpu.h"
#include "string.h"

// 4.1.4.3
#define DEVICE_FEATURE_SELECT 0x00u
#define DEVICE_FEATURE        0x04u
#define DRIVER_FEATURE_SELECT 0x08u
#define DRIVER_FEATURE        0x0cu
#define CONFIG_VECTOR         0x10u
#define NUM_QUEUES            0x12u
#define DEVICE_STATUS         0x14u
#define CONFIG_GENERATION     0x15u
#define QUEUE_SELECT          0x16u
#define QUEUE_SIZE            0x18u
#define QUEUE_VECTOR          0x1au
#define QUEUE_ENABLE          0x1cu
#define QUEUE_NOTIFY_OFF      0x1eu
#define QUEUE_DESC            0x20u
#define QUEUE_DRIVER          0x28u
#define QUEUE_DEVICE          0x30u

#define GENERATIONS_MOST 64u

static uint32_t read(const struct virtio_registers *registers, unsigned offset, unsigned bytes)
{
    return registers->common.read(registers->common.context, offset, bytes);
}

static void write(const struct virtio_registers *registers, unsigned offset, unsigned bytes,
                  uint32_t value)
{
    registers->common.write(registers->common.context, offset, bytes, value);
}

uint8_t virtio_device_status(const struct virtio_registers *registers)
{
    return (uint8_t)read(registers, DEVICE_STATUS, 1);
}

bool virtio_gone(const struct virtio_registers *registers)
{
    const unsigned count = virtio_queue_count(registers);
    return count == 0 || count == 0xffff;
}

// ---- reset and features -------------------------------------------------------------------------

enum status virtio_reset(const struct virtio_registers *registers, const struct device_clock *clock,
                         uint64_t ns)
{
    const uint64_t start = device_ticks(clock), most = device_ticks_of(clock, ns);
    // 4.1.4.3.2: it has reset itself when 0 reads back.
    write(registers, DEVICE_STATUS, 1, 0);
    while (virtio_device_status(registers) != 0) {
        if (device_ticks(clock) - start >= most)
            return STATUS_TIMEOUT;
        cpu_pause();
    }
    return STATUS_OK;
}

static void add_status(const struct virtio_registers *registers, uint8_t bits)
{
    write(registers, DEVICE_STATUS, 1, virtio_device_status(registers) | bits);
}

enum status virtio_negotiate(const struct virtio_registers *registers, uint64_t wanted,
                             uint64_t *accepted)
{
    uint64_t offered = 0;
    add_status(registers, VIRTIO_STATUS_ACKNOWLEDGE);
    add_status(registers, VIRTIO_STATUS_DRIVER);
    for (unsigned half = 0; half < 2; half++) {
        write(registers, DEVICE_FEATURE_SELECT, 4, half);
        offered |= (uint64_t)read(registers, DEVICE_FEATURE, 4) << 32 * half;
    }
    *accepted = offered & (wanted | VIRTIO_FEATURE_VERSION_1);
    if ((*accepted & VIRTIO_FEATURE_VERSION_1) == 0)
        return STATUS_FAILED;
    for (unsigned half = 0; half < 2; half++) {
        write(registers, DRIVER_FEATURE_SELECT, 4, half);
        write(registers, DRIVER_FEATURE, 4, (uint32_t)(*accepted >> 32 * half));
    }
    add_status(registers, VIRTIO_STATUS_FEATURES_OK);
    const uint8_t status = virtio_device_status(registers);
    return (status & VIRTIO_STATUS_FEATURES_OK) != 0 && (status & VIRTIO_STATUS_NEEDS_RESET) == 0
               ? STATUS_OK
               : STATUS_FAILED;
}

enum status virtio_start(const struct virtio_registers *registers)
{
    add_status(registers, VIRTIO_STATUS_DRIVER_OK);
    const uint8_t status = virtio_device_status(registers);
    return (status & VIRTIO_STATUS_DRIVER_OK) != 0 && (status & VIRTIO_STATUS_NEEDS_RESET) == 0
               ? STATUS_OK
               : STATUS_FAILED;
}

void virtio_give_up(const struct virtio_registers *registers)
{
    add_status(registers, VIRTIO_STATUS_FAILED);
}

enum status virtio_read_config(const struct virtio_registers *registers, unsigned offset,
                               unsigned width, unsigned bytes, void *into)
{
    const struct memory_access *device = &registers->device;
    assert((width == 1 || width == 2 || width == 4) && bytes % width == 0 && offset % width == 0);
    if (device->length < bytes || offset > device->length - bytes)
        return STATUS_INVALID;
    for (unsigned turn = 0; turn < GENERATIONS_MOST; turn++) {
        const uint32_t before = read(registers, CONFIG_GENERATION, 1);
        for (unsigned at = 0; at < bytes; at += width) {
            const uint32_t value = device->read(device->context, offset + at, width);
            memcpy((uint8_t *)into + at, &value, width);
        }
        if (read(registers, CONFIG_GENERATION, 1) == before)
            return STATUS_OK;
    }
    return STATUS_CORRUPT;
}

// ---- queues -------------------------------------------------------------------------------------

unsigned virtio_queue_count(const struct virtio_registers *registers)
{
    return read(registers, NUM_QUEUES, 2);
}

enum status virtio_queue_find(const struct virtio_registers *registers, unsigned index,
                              uint16_t *size, uint64_t *doorbell)
{
    write(registers, QUEUE_SELECT, 2, index);
    *size = (uint16_t)read(registers, QUEUE_SIZE, 2);
    *doorbell = (uint64_t)read(registers, QUEUE_NOTIFY_OFF, 2) * registers->notify_multiplier;
    const uint64_t length = registers->notify.length;
    return length >= 2 && *doorbell <= length - 2 && *doorbell % 2 == 0 ? STATUS_OK
                                                                        : STATUS_CORRUPT;
}

static void write_address(const struct virtio_registers *registers, unsigned offset,
                          uint64_t address)
{
    // 4.1.3.1: 64-bit registers in halves.
    write(registers, offset, 4, (uint32_t)address);
    write(registers, offset + 4, 4, (uint32_t)(address >> 32));
}

enum status virtio_queue_enable(const struct virtio_registers *registers, unsigned index,
                                const struct virtio_queue *queue, uint16_t vector)
{
    write(registers, CONFIG_VECTOR, 2, VIRTIO_NO_VECTOR);
    write(registers, QUEUE_SELECT, 2, index);
    write(registers, QUEUE_SIZE, 2, queue->size);
    write(registers, QUEUE_VECTOR, 2, vector);
    if (read(registers, QUEUE_VECTOR, 2) != vector)
        return STATUS_NO_MEMORY;
    write_address(registers, QUEUE_DESC, queue->descriptors_address);
    write_address(registers, QUEUE_DRIVER, queue->available_address);
    write_address(registers, QUEUE_DEVICE, queue->used_address);
    write(registers, QUEUE_ENABLE, 2, 1);
    return read(registers, QUEUE_SIZE, 2) == queue->size && read(registers, QUEUE_ENABLE, 2) == 1
               ? STATUS_OK
               : STATUS_FAILED;
}
