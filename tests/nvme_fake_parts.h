// SPDX-License-Identifier: MIT
// The modelled controller's state, memory and interrupts. For nvme_fake.h only, which says more.
#ifndef NVME_FAKE_PARTS_H
#define NVME_FAKE_PARTS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nvme.h"

#define FAKE_QUEUES  8u // with the admin queues
#define FAKE_PENDING 1024u
#define FAKE_REGIONS 512u
#define FAKE_VECTORS 9u
#define FAKE_BUS     UINT64_C(0x100000000000) // the device's address of CPU address 0

static inline void fake_insist_at(bool condition, const char *what, int line)
{
    if (condition)
        return;
    fprintf(stderr, "nvme_fake*.h:%d: the driver broke a rule: %s\n", line, what);
    abort();
}
#define fake_insist(condition) fake_insist_at(condition, #condition, __LINE__)

// What it does wrong with the completions of reads.
enum fake_deed {
    FAKE_GOOD,
    FAKE_UNKNOWN_ID,  // of no slot there is
    FAKE_IDLE_ID,     // of a slot that has no command
    FAKE_WRONG_QUEUE, // says that it belongs to another one
    FAKE_WRONG_HEAD,  // rightly completed, but for the head
    FAKE_TWICE,       // the same entry again
    FAKE_STALE_PHASE, // an entry that does not look new
    FAKE_SILENT,      // none, ever
};

enum fake_abort {
    FAKE_ABORTS,
    FAKE_ABORT_REFUSED, // "not aborted"
    FAKE_ABORT_LIES,    // "aborted", and nothing follows
    FAKE_ABORT_SILENT,
};

struct fake_queue {
    bool exists;
    uint64_t address;
    uint32_t entries, head, tail, phase;
    uint16_t completions; // of a submission queue
    bool interrupts;      // of a completion queue
    unsigned vector;
};

struct fake_pending {
    bool used;
    uint16_t queue;
    uint64_t due; // UINT64_MAX: never
    struct nvme_command command;
};

struct fake_vector {
    void (*handler)(void *argument);
    void *argument;
    unsigned cpu, count;
    bool masked, pending;
};

struct nvme_fake {
    // What it is: the test may change it before it is used.
    uint64_t cap;
    uint32_t version;
    uint64_t length; // of the registers
    uint8_t mdts, acl, sq_entry, cq_entry, type;
    uint32_t namespaces[4]; // ids; 0: none
    uint32_t namespaces_most;
    uint8_t format, formats, block_log, attributes;
    uint16_t metadata;
    uint64_t blocks;
    unsigned queues_most;
    unsigned vectors;
    size_t pages_most; // of DMA memory
    unsigned connects_most;
    uint64_t ready_ns, latency_ns, look_ns, down_ns;
    uint32_t down_us; // how long it says that a shutdown takes
    // What it does wrong: at any time.
    enum fake_deed deed;
    unsigned deeds; // completions that it does wrong; counted down
    enum fake_abort abort;
    uint16_t read_status; // of reads that touch bad_block
    uint64_t bad_block;   // UINT64_MAX: none; all with a bad_all
    bool bad_all;
    uint16_t admin_status[256]; // by opcode
    bool admin_silent[256];
    bool never_down; // does not say that a shutdown is complete
    bool never_ready, never_disabled, fatal, fatal_when_enabled, gone;
    unsigned gone_after; // accesses to registers; 0: not
    void (*mangle)(void *context, unsigned what, uint8_t *page);
    void (*mangle_entry)(void *context, struct nvme_completion *entry);
    void *mangle_context;
    bool forgiving; // of commands that the mangled driver sends
    // What it has seen.
    uint64_t now;
    bool turning, master, enabled;
    uint64_t ready_at, down_at; // down_at: 0, or when a shutdown that was begun is over
    unsigned ends;              // shutdowns that were over when it was disabled
    uint32_t configuration, aqa;
    uint64_t asq, acq;
    unsigned resets, accesses, reads, doorbells, aborts_seen;
    uint64_t io_opcodes, admin_opcodes; // bits
    uint64_t written;                   // bytes written to the disk
    unsigned lost;                      // accesses to memory while it is cut off
    unsigned prp_lists;
    unsigned features_queues;
    struct fake_queue submissions[FAKE_QUEUES], completions[FAKE_QUEUES];
    struct fake_pending pending[FAKE_PENDING];
    unsigned pending_count;
    uint64_t next_due; // not before, while there are any
    struct fake_vector vector[FAKE_VECTORS];
    struct {
        uint64_t address, bytes;
        void *owned;
    } regions[FAKE_REGIONS];
    unsigned region_count;
};

static inline uint8_t nvme_fake_pattern(uint64_t byte)
{
    return (uint8_t)((byte * 0x9e3779b97f4a7c15u) >> 53);
}

// ---- memory -------------------------------------------------------------------------------------

// The device may reach these bytes from now on.
static inline uint64_t fake_region(struct nvme_fake *fake, void *memory, uint64_t bytes)
{
    fake_insist(fake->region_count < FAKE_REGIONS);
    const uint64_t address = (uintptr_t)memory + FAKE_BUS;
    fake->regions[fake->region_count].address = address;
    fake->regions[fake->region_count++].bytes = bytes;
    return address;
}

static inline void fake_forget_region(struct nvme_fake *fake, const void *memory)
{
    for (unsigned i = 0; i < fake->region_count; i++) {
        if (fake->regions[i].address == (uintptr_t)memory + FAKE_BUS)
            fake->regions[i] = fake->regions[--fake->region_count];
    }
}

// NULL: the device is cut off, and the access goes nowhere.
static inline void *fake_at(struct nvme_fake *fake, uint64_t address, uint64_t bytes)
{
    if (!fake->master) {
        fake->lost++;
        return NULL;
    }
    for (unsigned i = 0; i < fake->region_count; i++) {
        const uint64_t offset = address - fake->regions[i].address;
        if (offset < fake->regions[i].bytes && bytes <= fake->regions[i].bytes - offset)
            return (void *)(address - FAKE_BUS);
    }
    fake_insist(!"a command points to memory that is not the device's");
    return NULL;
}

static inline void *fake_allocate(void *context, size_t pages, uint64_t *address)
{
    struct nvme_fake *fake = context;
    if (pages > fake->pages_most)
        return NULL;
    fake->pages_most -= pages;
    void *memory = aligned_alloc(PAGE_SIZE, pages * PAGE_SIZE);
    memset(memory, 0, pages * PAGE_SIZE);
    *address = fake_region(fake, memory, pages * PAGE_SIZE);
    fake->regions[fake->region_count - 1].owned = memory;
    return memory;
}

// ---- interrupts ---------------------------------------------------------------------------------

static inline enum status fake_connect(void *context, unsigned vector, unsigned cpu,
                                       void (*handler)(void *), void *argument)
{
    struct nvme_fake *fake = context;
    fake_insist(vector < fake->vectors && fake->vector[vector].handler == NULL);
    if (fake->connects_most == 0)
        return STATUS_NO_MEMORY;
    fake->connects_most--;
    fake->vector[vector] =
        (struct fake_vector){.handler = handler, .argument = argument, .cpu = cpu, .masked = true};
    return STATUS_OK;
}

static inline void fake_raise(struct nvme_fake *fake, unsigned number)
{
    struct fake_vector *vector = &fake->vector[number];
    fake_insist(number < fake->vectors);
    vector->pending = vector->masked || vector->handler == NULL;
    if (vector->pending)
        return;
    vector->count++;
    cpu_preempt_disable();
    vector->handler(vector->argument);
    cpu_preempt_enable();
}

static inline void fake_mask(void *context, unsigned vector)
{
    ((struct nvme_fake *)context)->vector[vector].masked = true;
}

static inline void fake_unmask(void *context, unsigned vector)
{
    struct nvme_fake *fake = context;
    fake->vector[vector].masked = false;
    if (fake->vector[vector].pending)
        fake_raise(fake, vector);
}

// ---- completions --------------------------------------------------------------------------------

static inline void fake_put(struct nvme_fake *fake, struct fake_queue *queue,
                            struct nvme_completion entry, bool stale)
{
    struct nvme_completion *at =
        fake_at(fake, queue->address + queue->tail * sizeof(entry), sizeof(entry));
    entry.status |= (queue->phase ^ stale) << 16;
    if (fake->mangle_entry != NULL)
        fake->mangle_entry(fake->mangle_context, &entry);
    if (at != NULL) {
        at->result = entry.result;
        at->unused = 0;
        at->queue = entry.queue;
        // Release: all of it, and the command's memory, before the phase.
        __atomic_store_n(&at->status, entry.status, __ATOMIC_RELEASE);
    }
    if (++queue->tail == queue->entries) {
        queue->tail = 0;
        queue->phase ^= 1;
    }
}

static inline void fake_post(struct nvme_fake *fake, uint16_t id, uint16_t cid, uint32_t status,
                             uint32_t result, enum fake_deed deed)
{
    const struct fake_queue *from = &fake->submissions[id];
    struct fake_queue *to = &fake->completions[from->completions];
    struct nvme_completion entry = {
        .result = result, .queue = (uint32_t)id << 16 | from->head, .status = status << 17 | cid};
    if (deed == FAKE_UNKNOWN_ID)
        entry.status |= 0x7f; // one slot more than there can be
    if (deed == FAKE_IDLE_ID)
        entry.status ^= 0x80; // used another number of times
    if (deed == FAKE_WRONG_QUEUE)
        entry.queue += 1u << 16;
    if (deed == FAKE_WRONG_HEAD)
        entry.queue |= 0xffff;
    fake_put(fake, to, entry, deed == FAKE_STALE_PHASE);
    if (deed == FAKE_TWICE)
        fake_put(fake, to, entry, false);
    if (to->interrupts && fake->master)
        fake_raise(fake, to->vector);
}

#endif
