// SPDX-License-Identifier: MIT
// NVMe controllers (NVM Express Base Specification 1.4; 2.0 where it says more), as a driver of the
// block layer: one namespace of a controller is one block device.
//
//   queues      a pair for each queue of the block device, up to what controller, vectors and
//               doorbells allow; vector 0 is the admin queue's and stays masked, queue n has n + 1.
//               With one vector there is one queue
//   memory      a request's is told page by page (PRP); a controller that wants larger pages than
//               PAGE_SIZE gets requests of one segment
//   bounds      each wait for readiness ends after CAP.TO, each admin command after
//               NVME_COMMAND_NS, and bringing the controller up, a reset too, after
//               BLOCK_RESET_NS_MOST at the latest: a controller that may take longer is given up
//   writing     nothing is, without an opened guard (block_guard.h): every command passes
//               nvme_queue_put, which knows no others than its lists
//   the end     nvme_shut_down tells the controller (CC.SHN) and waits for it, so that what it
//               keeps of its own is in order; at most NVME_DOWN_NS_MOST
//   failure     what cannot be brought up is disabled, or, if it does not obey, cut off from memory
//
// Not here: metadata, SGLs, arbitration, events, several namespaces at a time.
//
// Rules for callers
//   threads     nvme_init, then block_init over nvme_ops: one thread. Then as block.h says
//   ownership   struct nvme is the caller's, and stays where it is; its memory comes from
//               config.dma and is not given back
#ifndef NVME_H
#define NVME_H

#include "block.h"
#include "nvme_queue.h"

#define NVME_NAMESPACES_MOST   16u // looked at; further ones are counted
#define NVME_ADMIN_ENTRIES     16u
#define NVME_TRANSFER_BYTES    (NVME_LIST_ENTRIES * PAGE_SIZE) // of a request at most
#define NVME_PAGE_LOG_MOST     16u                             // of a controller's pages
#define NVME_COMMAND_NS        2000000000u                     // an admin command
#define NVME_COMMANDS_NS       5000000000u                     // all those of a reset
#define NVME_DOWN_NS_LEAST     1000000000u                     // a shutdown (7.6.2)
#define NVME_DOWN_NS_MOST      10000000000u
#define NVME_SERIAL_CHARACTERS 20u
#define NVME_MODEL_CHARACTERS  40u

struct nvme_config {
    struct memory_access registers; // BAR 0
    struct device_dma dma;
    struct device_interrupt interrupt;
    struct device_clock clock;
    // Lets the device reach memory, or keeps it from it (the bus master bit of PCI).
    void *bus;
    void (*master)(void *bus, bool on);
    const struct block_guard *guard; // the block device's; NULL: nothing is written
    unsigned queues;                 // at most: 1..BLOCK_QUEUES_MOST; queue n interrupts CPU n
    unsigned number;                 // of the usable namespaces, which one: from 0
    struct block_device *device;     // is told of interrupts; NULL: there are none
};

struct nvme_namespace {
    uint32_t id;
    uint32_t block_bytes;
    uint64_t blocks;
    bool read_only;
    const char *unusable; // why; NULL: it is usable
};

// What the controller says of itself.
struct nvme_facts {
    uint64_t capabilities;
    uint32_t version;
    uint32_t page_log;
    uint32_t transfer_bytes; // of a request
    uint32_t aborts_most;    // at a time
    uint64_t down_ns;        // how long a shutdown may take
    char serial[NVME_SERIAL_CHARACTERS + 1];
    char model[NVME_MODEL_CHARACTERS + 1];
    unsigned namespace_count, namespaces_left_out, namespaces_usable;
    struct nvme_namespace namespaces[NVME_NAMESPACES_MOST];
};

struct nvme_statistics {
    uint64_t aborted;     // commands that the controller gave up when asked
    uint64_t not_aborted; // that it did not
    uint64_t failed;      // completions with another status than success
    struct nvme_anomalies anomalies;
};

struct nvme;

// Of a queue of the block device, for its interrupt handler.
struct nvme_handle {
    struct nvme *nvme;
    unsigned queue;
};

struct CACHE_ALIGNED nvme {
    struct nvme_config config;
    struct nvme_facts facts;
    const struct nvme_namespace *chosen;
    const char *problem; // what ended bringing it up, in a few words; NULL: nothing
    uint64_t reset_ns;
    unsigned queue_count;
    uint32_t entries; // of an I/O queue
    bool interrupts;
    struct nvme_memory page; // for what Identify says
    struct nvme_handle handles[BLOCK_QUEUES_MOST];
    // Behind admin_lock, but while the controller is brought up:
    struct spinlock admin_lock;
    uint32_t aborts; // on their way
    uint64_t aborted, not_aborted;
    struct nvme_answer answer; // of the command that is waited for
    struct nvme_queue admin;
    // Each behind the lock of the block device's queue:
    uint64_t failed[BLOCK_QUEUES_MOST];
    struct nvme_queue queues[BLOCK_QUEUES_MOST];
};

// Ready for use as `driver` of nvme_ops; the controller is not touched yet. Its facts are known
// when block_init has called `identify`: STATUS_EMPTY: it has not so many usable namespaces;
// STATUS_CLOSED: nobody answers; STATUS_TIMEOUT, _CORRUPT, _NO_MEMORY, _FAILED: nvme->problem.
void nvme_init(struct nvme *nvme, const struct nvme_config *config);

extern const struct block_device_ops nvme_ops;

// While nobody uses the device.
void nvme_statistics(const struct nvme *nvme, struct nvme_statistics *statistics);

// Shuts the controller down for good, after 7.6.2: told, waited for as long as it asked for (1 s
// at least, NVME_DOWN_NS_MOST at most), disabled within nvme->reset_ns, cut off from memory. Nobody
// uses the device, or ever will: so nothing waits for commands on their way, as that section would.
// Nor are the queues deleted in front of the word, which it asks for, too: those are commands that
// a controller may leave unanswered, and what they are for is done by disabling it behind the word.
// STATUS_TIMEOUT: it did not obey, and was cut off all the same. STATUS_CLOSED: it is gone.
enum status nvme_shut_down(struct nvme *nvme);

#endif
