// SPDX-License-Identifier: MIT
// Between the files of the NVMe driver only (nvme.c, nvme_*.c). `until`: ticks of the device's
// clock, up to which may be waited.
#ifndef NVME_PARTS_H
#define NVME_PARTS_H

#include "assert.h"
#include "nvme.h"

static inline uint32_t nvme_read(const struct nvme *nvme, uint64_t offset)
{
    const struct memory_access *registers = &nvme->config.registers;
    return registers->read(registers->context, offset, 4);
}

static inline void nvme_write(const struct nvme *nvme, uint64_t offset, uint32_t value)
{
    const struct memory_access *registers = &nvme->config.registers;
    registers->write(registers->context, offset, 4, value);
}

// Whether a status that was read says that nobody answers any more: all ones, or, on machines whose
// bus answers with zeros, another version than before.
static inline bool nvme_is_gone(const struct nvme *nvme, uint32_t status)
{
    return status == NVME_GONE || (status == 0 && nvme_read(nvme, NVME_VS) != nvme->facts.version);
}

// Ticks `ns` from now, at most `until`.
static inline uint64_t nvme_until(const struct nvme *nvme, uint64_t ns, uint64_t until)
{
    const struct device_clock *clock = &nvme->config.clock;
    return min_u64(device_ticks(clock) + device_ticks_of(clock, ns), until);
}

// Remembers what is wrong, and returns the status.
static inline enum status nvme_wrong(struct nvme *nvme, enum status status, const char *problem)
{
    nvme->problem = problem;
    return status;
}

// nvme_controller.c ------------------------------------------------------------------------------

// Reads what the registers tell, and checks it: STATUS_CLOSED, STATUS_FAILED, STATUS_CORRUPT.
enum status nvme_look(struct nvme *nvme);
// Not enabled, and not ready. STATUS_TIMEOUT, STATUS_CLOSED: it is to be cut off from memory.
enum status nvme_disable(struct nvme *nvme, uint64_t until);
// Tells a controller that is ready that this is the end, and waits until it has made up its mind.
// STATUS_TIMEOUT, STATUS_CLOSED.
enum status nvme_announce_end(struct nvme *nvme);
// Ready, with empty admin queues. It was disabled before.
enum status nvme_enable(struct nvme *nvme, uint64_t until);
// Memory in one piece, aligned to the controller's pages, zeroed. False: there is none.
bool nvme_allocate(struct nvme *nvme, uint64_t bytes, struct nvme_memory *memory);

// nvme_admin.c ------------------------------------------------------------------------------------

// Runs one command of the admin queue. STATUS_OK and its result; what its status means;
// STATUS_TIMEOUT, STATUS_CLOSED, or STATUS_FAILED when the controller fails fatally.
enum status nvme_admin(struct nvme *nvme, const struct nvme_command *command, uint64_t until,
                       uint32_t *result);
// Asks the controller to give up a command; does not wait. STATUS_FULL: it takes no more of these.
enum status nvme_abort(struct nvme *nvme, uint16_t queue, uint16_t cid);
// Takes the answers to these, unless somebody else is at it.
void nvme_reap(struct nvme *nvme);

// nvme_identify.c ---------------------------------------------------------------------------------

// Learns what controller and namespaces are, and chooses one.
enum status nvme_identify(struct nvme *nvme, uint64_t until);
// After a reset: whether the chosen one is still what it was. STATUS_CORRUPT: it is not.
enum status nvme_identify_again(struct nvme *nvme, uint64_t until);
// The block layer's facts of the chosen one.
void nvme_describe(const struct nvme *nvme, struct block_facts *facts);

// nvme_setup.c ------------------------------------------------------------------------------------

// Decides on number and size of queues, and gets memory and vectors for them: once.
enum status nvme_plan_queues(struct nvme *nvme, uint64_t until);
// Makes all of them.
enum status nvme_make_queues(struct nvme *nvme, uint64_t until);
// The same after a reset.
enum status nvme_make_queues_again(struct nvme *nvme, uint64_t until);
// Lets a queue interrupt, or not. Any CPU; one at a time for each queue.
void nvme_let_interrupt(const struct nvme *nvme, unsigned index, bool let);

#endif
