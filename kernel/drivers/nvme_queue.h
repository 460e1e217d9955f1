// SPDX-License-Identifier: MIT
// A pair of NVMe queues, submission and completion, and the commands on their way (NVM Express Base
// Specification 1.4, section 4).
//
//   slot    one command on its way: its number is in the low bits of the command's id, and how
//   often
//           the slot was used in the others, so that an id is not seen again for a long time
//   owner   what the one who gave a command wants to have back with its completion
//   list    each slot's room for the pages of a command's memory (PRP list, 4.3)
//
// This is the only place where a controller gets a command. The guard is asked here, with what
// stands in the command itself.
//
// Nothing that the controller writes is trusted: a completion that names no command on its way is
// counted and passed over.
//
// Rules for callers
//   threads    one at a time for each queue: the caller's lock
//   memory     the queue's is in one piece for the controller, aligned to its pages, and stays
#ifndef NVME_QUEUE_H
#define NVME_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "block_guard.h"
#include "compiler.h"
#include "memory_access.h"
#include "nvme_spec.h"
#include "status.h"

#define NVME_ENTRIES_MOST 128u                    // of a queue
#define NVME_SLOTS        (NVME_ENTRIES_MOST - 1) // a full queue has one entry free (4.1.2)
#define NVME_SLOT_NONE    UINT32_MAX
#define NVME_LIST_ENTRIES 64u // pages of a command's memory, but for the first

#define NVME_LIST_BYTES       (NVME_LIST_ENTRIES * 8)
#define NVME_SUBMISSION_BYTES (NVME_ENTRIES_MOST * sizeof(struct nvme_command))
#define NVME_COMPLETION_BYTES PAGE_SIZE
#define NVME_LISTS_BYTES      (NVME_ENTRIES_MOST * NVME_LIST_BYTES)

_Static_assert(NVME_ENTRIES_MOST * sizeof(struct nvme_completion) <= NVME_COMPLETION_BYTES,
               "a queue's completions fit");
_Static_assert(PAGE_SIZE % NVME_LIST_BYTES == 0, "no list crosses a page");

// What was wrong with completions. Such a one is passed over, but for the last.
struct nvme_anomalies {
    uint64_t unknown;   // an id that no command can have
    uint64_t repeated;  // of a command that is not on its way: completed twice, or long ago
    uint64_t misplaced; // of another queue
    uint64_t heads;     // the submission queue's head is outside of it
};

// A piece of memory, as the CPU sees it and as the controller does.
struct nvme_memory {
    void *memory;
    uint64_t address;
};

// Where a queue is and what it may carry.
struct nvme_queue_config {
    struct memory_access registers;
    const struct block_guard *guard;
    enum block_protocol protocol;
    uint16_t id;      // 0: the admin queues
    uint32_t entries; // 2..NVME_ENTRIES_MOST
    uint64_t stride;  // bytes from doorbell to doorbell
    struct nvme_memory submissions, completions;
    struct nvme_memory lists; // {NULL}: no command has more than two pages
};

struct nvme_slot {
    void *owner; // NULL: none is on its way
    uint16_t cid;
    uint16_t next_use; // its number
};

struct CACHE_ALIGNED nvme_queue {
    struct nvme_queue_config config;
    uint64_t submission_bell, completion_bell; // offsets of registers
    uint32_t tail, head;
    uint32_t told;  // the head that the controller knows
    uint32_t phase; // of completions that are new
    uint32_t free_count;
    struct nvme_anomalies anomalies; // not set back by nvme_queue_init
    uint8_t free[NVME_SLOTS];
    struct nvme_slot slots[NVME_SLOTS];
};

// What became of a command.
struct nvme_answer {
    void *owner;
    uint32_t result; // the command's own
    uint32_t status; // raw (nvme_status.h)
};

// Empty, and ready for the controller, which knows nothing of it now: before the first use, and
// when it was reset. The queue is zeroed before the first time.
void nvme_queue_init(struct nvme_queue *queue, const struct nvme_queue_config *config);

// Bytes of registers up to the end of the queue's doorbells.
static inline uint64_t nvme_queue_registers(uint64_t id, uint64_t stride)
{
    return NVME_DOORBELLS + (2 * id + 1) * stride + 4;
}

// A slot for a command of `owner`, not NULL; NVME_SLOT_NONE if the queue is full.
uint32_t nvme_queue_claim(struct nvme_queue *queue, void *owner);
// The command was not put after all.
void nvme_queue_release(struct nvme_queue *queue, uint32_t slot);

// The slot's list, and where the controller finds it.
static inline uint64_t *nvme_queue_list(const struct nvme_queue *queue, uint32_t slot,
                                        uint64_t *address)
{
    *address = queue->config.lists.address + slot * NVME_LIST_BYTES;
    return (uint64_t *)queue->config.lists.memory + slot * NVME_LIST_ENTRIES;
}

// The id of the command in a slot.
static inline uint16_t nvme_queue_cid(const struct nvme_queue *queue, uint32_t slot)
{
    return queue->slots[slot].cid;
}

// Puts the slot's command, but for its id, where the controller looks when the bell is rung.
// STATUS_REFUSED: the guard does not let it; the slot is free again.
enum status nvme_queue_put(struct nvme_queue *queue, uint32_t slot,
                           const struct nvme_command *command);
void nvme_queue_ring(struct nvme_queue *queue);

// Takes completions until one is a command's, which is in *answer then; at most one turn of the
// queue is looked at. False: there is none.
bool nvme_queue_take(struct nvme_queue *queue, struct nvme_answer *answer);
// Tells the controller how far completions were taken, if it does not know: behind the last take.
void nvme_queue_taken(struct nvme_queue *queue);

#endif
