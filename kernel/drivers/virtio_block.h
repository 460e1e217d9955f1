// SPDX-License-Identifier: MIT
// Disks of virtio (virtio 1.2, 5.2): a driver of block.h over a device's registers, memory that it
// reaches, and its interrupts.
//
//   queues     one for each CPU, where the device has several (VIRTIO_BLK_F_MQ) and a vector for
//              each; without vectors it is polled
//   answer     a request's last byte, which the device writes; until then it reads NO_ANSWER
//
// What the device says is checked before it counts (virtio_queue.h). A completion whose answer was
// not written is none: the request stays the device's, and the device needs a reset. An answer that
// is none, and one that says well without the data, end the request with STATUS_CORRUPT.
//
// Rules for callers
//   threads    as struct block_device_ops says
//   ownership  a struct virtio_block stays where it is from identify on. Its memory comes from the
//              DMA functions
//   bounds     nothing waits but identify and reset, VIRTIO_BLOCK_RESET_NS each, and identify as
//              long again for the disk's serial number
//   writing    refused unless config.guard was opened, and by a disk that is read-only
//   aborting   virtio has none for disks: what is late needs a reset
#ifndef VIRTIO_BLOCK_H
#define VIRTIO_BLOCK_H

#include "block.h"
#include "virtio_device.h"

#define VIRTIO_BLOCK_RESET_NS  UINT64_C(1000000000)
#define VIRTIO_BLOCK_TRANSFER  (1u << 20) // bytes of a request at most
#define VIRTIO_BLOCK_SERIAL    20u        // characters, 5.2.6
#define VIRTIO_BLOCK_NO_ANSWER 0xffu

// 5.2.3
#define VIRTIO_BLOCK_SIZE_MAX VIRTIO_FEATURE(1)
#define VIRTIO_BLOCK_SEG_MAX  VIRTIO_FEATURE(2)
#define VIRTIO_BLOCK_RO       VIRTIO_FEATURE(5)
#define VIRTIO_BLOCK_BLK_SIZE VIRTIO_FEATURE(6)
#define VIRTIO_BLOCK_FLUSH    VIRTIO_FEATURE(9)
#define VIRTIO_BLOCK_MQ       VIRTIO_FEATURE(12)

struct virtio_block_config {
    struct virtio_registers registers;
    struct device_dma dma;
    struct device_interrupt interrupt; // vector i is queue i's, on CPU i
    struct device_clock clock;
    const struct block_guard *guard; // the block device's; NULL: nothing is written
    unsigned queues;                 // wanted at most, 1..BLOCK_QUEUES_MOST
    // A queue has interrupted: block_interrupt of the device. In the interrupt handler.
    void (*interrupted)(void *context, unsigned queue);
    void *interrupted_context;
    // Keeps the device from memory, when it cannot be told to. For good.
    void (*isolate)(void *context);
    void *isolate_context;
};

// 5.2.6; what a request consists of besides its data.
struct virtio_block_header {
    uint32_t type, reserved;
    uint64_t sector;
    uint8_t answer;
    uint8_t unused[15];
};

_Static_assert(sizeof(struct virtio_block_header) == 32, "two to a cache line");

// What a device did that it must not, besides struct virtio_queue_faults.
struct virtio_block_faults {
    uint64_t unanswered; // completions without an answer
    uint64_t answers;    // that are none
    uint64_t lengths;    // more bytes than there was room for, or less than it read
};

struct virtio_block;

struct virtio_block_queue {
    struct virtio_queue ring;
    struct virtio_block_header *headers; // of the slots
    uint64_t headers_address;
    uint64_t doorbell;
    struct virtio_block *block;
    unsigned index;
    struct virtio_block_faults faults;
    uint32_t unmasked; // atomic: it was armed once, the block layer knows it
};

struct CACHE_ALIGNED virtio_block {
    struct virtio_block_config config;
    uint64_t features;
    struct block_facts facts;
    unsigned sector_shift; // of a block
    unsigned queue_count;  // in use
    unsigned queues_made;
    bool identified;
    bool messages; // vectors are connected
    struct virtio_block_queue queues[BLOCK_QUEUES_MOST];
};

// Ready for use as `driver` of virtio_block_ops. Asks the device nothing.
void virtio_block_init(struct virtio_block *block, const struct virtio_block_config *config);

extern const struct block_device_ops virtio_block_ops;

// ---- between the files of the driver only -------------------------------------------------------

#define VIRTIO_BLOCK_IN     0u
#define VIRTIO_BLOCK_OUT    1u
#define VIRTIO_BLOCK_SYNC   4u
#define VIRTIO_BLOCK_GET_ID 8u

// virtio_block.c: asks the guard and puts a command into the queue; its owner is `request`.
enum status virtio_block_put(struct virtio_block *block, struct virtio_block_queue *queue,
                             uint32_t type, struct block_request *request);
void virtio_block_ring(void *driver, unsigned queue);
unsigned virtio_block_poll(void *driver, unsigned queue, struct block_request **done,
                           unsigned most);

// virtio_block_start.c
enum status virtio_block_identify(void *driver, struct block_facts *facts);
enum status virtio_block_reset(void *driver);

#endif
