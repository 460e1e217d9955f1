// SPDX-License-Identifier: MIT
// A virtio device's registers, as they are over PCI (virtio 1.2, 4.1.4): reset, features, queues.
// Of transports that look different, whoever implements the registers makes these.
//
// Rules for callers
//   threads   one at a time, but virtio_gone, virtio_device_status and virtio_notify: any
//   bounds    nothing waits but virtio_reset, and that as long as it is told
#ifndef VIRTIO_DEVICE_H
#define VIRTIO_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "device.h"
#include "memory_access.h"
#include "status.h"
#include "virtio_queue.h"

// The three structures and where the doorbells are.
struct virtio_registers {
    struct memory_access common; // at least VIRTIO_COMMON_BYTES
    struct memory_access notify;
    struct memory_access device; // may have no bytes
    uint32_t notify_multiplier;
};

#define VIRTIO_COMMON_BYTES 56u
#define VIRTIO_NO_VECTOR    0xffffu

// 2.1
#define VIRTIO_STATUS_ACKNOWLEDGE 1u
#define VIRTIO_STATUS_DRIVER      2u
#define VIRTIO_STATUS_DRIVER_OK   4u
#define VIRTIO_STATUS_FEATURES_OK 8u
#define VIRTIO_STATUS_NEEDS_RESET 64u
#define VIRTIO_STATUS_FAILED      128u

// 6: bits of 64.
#define VIRTIO_FEATURE(bit)            (UINT64_C(1) << (bit))
#define VIRTIO_FEATURE_INDIRECT        VIRTIO_FEATURE(28)
#define VIRTIO_FEATURE_EVENT           VIRTIO_FEATURE(29)
#define VIRTIO_FEATURE_VERSION_1       VIRTIO_FEATURE(32)
#define VIRTIO_FEATURE_ACCESS_PLATFORM VIRTIO_FEATURE(33)
#define VIRTIO_FEATURE_ORDER_PLATFORM  VIRTIO_FEATURE(36)

// Until the device says that it is in its first state. STATUS_TIMEOUT: it did not within `ns`.
enum status virtio_reset(const struct virtio_registers *registers, const struct device_clock *clock,
                         uint64_t ns);

// Accepts those of `wanted` that the device offers; VERSION_1 must be among them. STATUS_FAILED: it
// is not, or the device does not take what was accepted.
enum status virtio_negotiate(const struct virtio_registers *registers, uint64_t wanted,
                             uint64_t *accepted);

// The queues run from now on. STATUS_FAILED: the device says that it does not.
enum status virtio_start(const struct virtio_registers *registers);
// The driver has given it up.
void virtio_give_up(const struct virtio_registers *registers);

// `bytes` of the device's own configuration from `offset` on, one register of `width` after the
// other, in one generation (2.5.1). STATUS_CORRUPT: it does not stand still; STATUS_INVALID: it has
// not that many.
enum status virtio_read_config(const struct virtio_registers *registers, unsigned offset,
                               unsigned width, unsigned bytes, void *into);

unsigned virtio_queue_count(const struct virtio_registers *registers);

// A queue of the device that is not in use: how large it may be, 0 if there is none, and where its
// doorbell is. STATUS_CORRUPT: outside of those there are.
enum status virtio_queue_find(const struct virtio_registers *registers, unsigned index,
                              uint16_t *size, uint64_t *doorbell);

// The device uses it from now on. `vector` of MSI-X, or VIRTIO_NO_VECTOR. STATUS_NO_MEMORY: the
// device has no room for the vector; STATUS_FAILED: it does not take the queue.
enum status virtio_queue_enable(const struct virtio_registers *registers, unsigned index,
                                const struct virtio_queue *queue, uint16_t vector);

// 4.1.5.2: the doorbell of queue `index`.
static inline void virtio_notify(const struct virtio_registers *registers, uint64_t doorbell,
                                 unsigned index)
{
    registers->notify.write(registers->notify.context, doorbell, 2, index);
}

// virtio_gone is for devices that had at least one queue: where none answers, all registers read
// as ones, or, on an emulated bus, as zeros.
uint8_t virtio_device_status(const struct virtio_registers *registers);
bool virtio_gone(const struct virtio_registers *registers);

#endif
