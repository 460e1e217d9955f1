// SPDX-License-Identifier: MIT
// The registers of a virtio disk that is no device (virtio_fake.h), and all that its driver stands
// on. One thread.
#ifndef VIRTIO_FAKE_REGISTERS_H
#define VIRTIO_FAKE_REGISTERS_H

#include "virtio_fake.h"

// ---- registers ----------------------------------------------------------------------------------

static inline uint32_t fake_cut(uint64_t value, unsigned bytes)
{
    return (uint32_t)(value & (bytes == 4 ? UINT32_MAX : (1u << 8 * bytes) - 1));
}

static inline uint32_t fake_read_common(void *context, uint64_t offset, unsigned bytes)
{
    struct virtio_fake *fake = context;
    fake_insist(offset % bytes == 0 && offset + bytes <= VIRTIO_COMMON_BYTES);
    if (fake->gone)
        return fake_cut(fake->ones ? UINT64_MAX : 0, bytes);
    const bool there = fake->select < FAKE_QUEUES;
    struct fake_queue none = {0}, *queue = there ? &fake->queues[fake->select] : &none;
    switch (offset) {
    case 0x04:
        return (uint32_t)(fake->offered >> 32 * (fake->selects[0] & 1));
    case 0x12:
        return fake->defect == FAKE_NO_QUEUES ? 0 : FAKE_QUEUES;
    case 0x14:
        return fake->defect == FAKE_NEVER_READY ? 1 : fake->status;
    case 0x15:
        return fake->defect == FAKE_RESTLESS ? fake->generation++ : fake->generation;
    case 0x18:
        return queue->size;
    case 0x1a:
        return queue->vector;
    case 0x1c:
        return queue->enabled;
    case 0x1e:
        return fake->defect == FAKE_DOORBELL_FAR ? 0xffff : fake->select;
    default:
        return 0;
    }
}

static inline void fake_set_status(struct virtio_fake *fake, uint8_t status)
{
    if (status == 0) {
        fake->resets++;
        fake_reset(fake);
        return;
    }
    if (fake->defect == FAKE_REFUSES_FEATURES)
        status &= (uint8_t)~VIRTIO_STATUS_FEATURES_OK;
    if (fake->defect == FAKE_DOES_NOT_START)
        status &= (uint8_t)~VIRTIO_STATUS_DRIVER_OK;
    if (fake->defect == FAKE_NEEDS_RESET_AT_START && (status & VIRTIO_STATUS_DRIVER_OK) != 0)
        status |= VIRTIO_STATUS_NEEDS_RESET;
    if ((status & VIRTIO_STATUS_FEATURES_OK) != 0)
        fake_insist((fake->accepted & ~fake->offered) == 0);
    fake->status = status;
}

static inline void fake_half(uint64_t *whole, bool upper, uint32_t value)
{
    *whole = upper ? (*whole & UINT32_MAX) | (uint64_t)value << 32
                   : (*whole & ~(uint64_t)UINT32_MAX) | value;
}

static inline void fake_write_common(void *context, uint64_t offset, unsigned bytes, uint32_t value)
{
    struct virtio_fake *fake = context;
    fake_insist(offset % bytes == 0 && offset + bytes <= VIRTIO_COMMON_BYTES);
    if (fake->gone)
        return;
    struct fake_queue none = {0};
    struct fake_queue *queue = fake->select < FAKE_QUEUES ? &fake->queues[fake->select] : &none;
    switch (offset) {
    case 0x00:
    case 0x08:
        fake->selects[offset == 8] = value;
        break;
    case 0x0c:
        fake_half(&fake->accepted, (fake->selects[1] & 1) != 0, value);
        break;
    case 0x14:
        fake_set_status(fake, (uint8_t)value);
        break;
    case 0x16:
        fake->select = (uint16_t)value;
        break;
    case 0x18:
        fake_insist(value > 0 && value <= queue->size && (value & (value - 1)) == 0);
        queue->size = (uint16_t)value;
        break;
    case 0x1a:
        queue->vector = fake->no_vectors ? VIRTIO_NO_VECTOR : (uint16_t)value;
        break;
    case 0x1c:
        fake_insist((queue->descriptors & 15) == 0 && (queue->available & 1) == 0 &&
                    (queue->used & 3) == 0 && value == 1);
        queue->enabled = fake->defect != FAKE_QUEUE_REFUSED;
        break;
    case 0x20:
    case 0x24:
        fake_half(&queue->descriptors, offset == 0x24, value);
        break;
    case 0x28:
    case 0x2c:
        fake_half(&queue->available, offset == 0x2c, value);
        break;
    case 0x30:
    case 0x34:
        fake_half(&queue->used, offset == 0x34, value);
        break;
    default:
        break;
    }
}

static inline void fake_write_notify(void *context, uint64_t offset, unsigned bytes, uint32_t value)
{
    struct virtio_fake *fake = context;
    fake_insist(bytes == 2 && offset == value * FAKE_NOTIFY && value < FAKE_QUEUES);
    fake->doorbells++;
    if (!fake->slow)
        fake_work(fake);
}

static inline uint32_t fake_read_nothing(void *context, uint64_t offset, unsigned bytes)
{
    (void)context;
    (void)offset;
    (void)bytes;
    abort();
}

static inline uint32_t fake_read_config(void *context, uint64_t offset, unsigned bytes)
{
    const struct virtio_fake *fake = context;
    uint8_t config[64] = {0};
    const uint16_t queues = fake->defect == FAKE_NO_CONFIG_QUEUES ? 0 : FAKE_QUEUES;
    fake_insist(offset % bytes == 0 && offset + bytes <= sizeof(config));
    memcpy(config, &fake->sectors, 8);
    memcpy(config + 8, &fake->segment_bytes, 4);
    memcpy(config + 12, &fake->segments, 4);
    memcpy(config + 20, &fake->block_bytes, 4);
    memcpy(config + 34, &queues, 2);
    uint32_t value = 0;
    memcpy(&value, config + offset, bytes);
    return fake->gone ? fake_cut(fake->ones ? UINT64_MAX : 0, bytes) : value;
}

static inline void fake_write_config(void *context, uint64_t offset, unsigned bytes, uint32_t value)
{
    (void)context;
    (void)offset;
    (void)bytes;
    (void)value;
    abort();
}

// ---- as a driver's surroundings -----------------------------------------------------------------

// Sound, with everything that virtio has for it.
static inline void fake_init(struct virtio_fake *fake)
{
    *fake = (struct virtio_fake){
        .now = 1000000,
        .step = 100,
        .memory = aligned_alloc(PAGE_SIZE, FAKE_PAGES * PAGE_SIZE),
        .pages_most = FAKE_PAGES,
        .content = malloc(FAKE_SECTORS * 512),
        .offered = VIRTIO_FEATURE_VERSION_1 | VIRTIO_FEATURE_INDIRECT | VIRTIO_FEATURE_EVENT |
                   VIRTIO_BLOCK_SEG_MAX | VIRTIO_BLOCK_BLK_SIZE | VIRTIO_BLOCK_FLUSH |
                   VIRTIO_BLOCK_MQ | VIRTIO_FEATURE(34) | VIRTIO_FEATURE(13),
        .sectors = FAKE_SECTORS,
        .block_bytes = 512,
        .segments = 126,
        .segment_bytes = UINT32_MAX,
        .queue_most = 256,
        .generation = 7,
    };
    fake_insist(fake->memory != NULL && fake->content != NULL);
    memset(fake->memory, 0, FAKE_PAGES * PAGE_SIZE);
    static uint8_t pattern[FAKE_SECTORS * 512]; // made once: fuzzers make many disks
    static bool made;
    for (size_t i = 0; !made && i < sizeof(pattern); i++)
        pattern[i] = fake_pattern(i);
    made = true;
    memcpy(fake->content, pattern, sizeof(pattern));
    fake_reset(fake);
}

static inline void fake_free(struct virtio_fake *fake)
{
    free(fake->memory);
    free(fake->content);
}

static inline void fake_set_defect(struct virtio_fake *fake, enum defect defect)
{
    fake->defect = defect;
    if (defect == FAKE_NO_VERSION_1)
        fake->offered &= ~VIRTIO_FEATURE_VERSION_1;
    if (defect == FAKE_QUEUE_EMPTY)
        fake->queue_most = 0;
    if (defect == FAKE_QUEUE_SMALL) {
        fake->queue_most = 2;
        fake->offered &= ~VIRTIO_FEATURE_INDIRECT;
    }
    if (defect == FAKE_NO_CAPACITY || defect == FAKE_CAPACITY_WILD)
        fake->sectors = defect == FAKE_NO_CAPACITY ? 0 : UINT64_MAX / 2;
    if (defect == FAKE_BLOCK_ODD || defect == FAKE_BLOCK_LARGE || defect == FAKE_BLOCK_NONE)
        fake->block_bytes = defect == FAKE_BLOCK_ODD ? 768 : defect == FAKE_BLOCK_LARGE ? 8192 : 0;
    if (defect == FAKE_SEGMENT_SMALL) {
        fake->offered |= VIRTIO_BLOCK_SIZE_MAX;
        fake->segment_bytes = 511;
    }
}

static inline struct virtio_block_config fake_config(struct virtio_fake *fake, unsigned queues,
                                                     unsigned vectors)
{
    const uint64_t config = fake->defect == FAKE_SHORT_CONFIG ? 20 : 60;
    return (struct virtio_block_config){
        .registers = {.common = {fake, VIRTIO_COMMON_BYTES, fake_read_common, fake_write_common},
                      .notify = {fake, FAKE_QUEUES * FAKE_NOTIFY, fake_read_nothing,
                                 fake_write_notify},
                      .device = {fake, config, fake_read_config, fake_write_config},
                      .notify_multiplier = FAKE_NOTIFY},
        .dma = {.context = fake, .allocate = fake_allocate, .address = fake_address},
        .interrupt = {.context = fake,
                      .vectors = vectors,
                      .connect = fake_connect,
                      .disconnect = fake_disconnect,
                      .mask = fake_mask,
                      .unmask = fake_unmask},
        .clock = {.context = fake, .hz = 1000000000, .ticks = fake_ticks},
        .queues = queues,
        .isolate = fake_isolate,
        .isolate_context = fake,
    };
}

#endif
