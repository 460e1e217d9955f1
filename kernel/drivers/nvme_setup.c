// SPDX-License-Identifier: MIT
// The queues for I/O: how many, where they lie, who is interrupted, and how the controller learns
// of them (5.3, 5.4, 5.21.1.7).
#include "nvme_parts.h"

// How many the registers have doorbells for.
static unsigned with_doorbells(const struct nvme *nvme, unsigned most)
{
    const uint64_t stride = NVME_CAP_STRIDE(nvme->facts.capabilities);
    while (nvme_queue_registers(most, stride) > nvme->config.registers.length)
        most--; // there is room for one: nvme_look
    return most;
}

// Asks for as many as are wanted; the controller says how many there may be.
static enum status ask_for_queues(struct nvme *nvme, unsigned wanted, unsigned *granted,
                                  uint64_t until)
{
    uint32_t result;
    const struct nvme_command command = {
        .opcode = NVME_SET_FEATURES,
        .words = {NVME_FEATURE_QUEUES, (wanted - 1) << 16 | (wanted - 1)}};
    const enum status status = nvme_admin(nvme, &command, until, &result);
    if (status == STATUS_OK)
        *granted = (unsigned)min_u64(wanted, min_u64(result & 0xffff, result >> 16) + 1);
    return status;
}

static unsigned vector_of(const struct nvme *nvme, unsigned index)
{
    return nvme->config.interrupt.vectors == 1 ? 0 : index + 1;
}

static void interrupted(void *argument)
{
    const struct nvme_handle *handle = argument;
    block_raise(handle->nvme->config.device, handle->queue);
}

// The queue's interrupts go to the CPU of its number.
static bool connect(struct nvme *nvme, unsigned index)
{
    const struct device_interrupt *interrupt = &nvme->config.interrupt;
    nvme->handles[index] = (struct nvme_handle){.nvme = nvme, .queue = index};
    return interrupt->connect(interrupt->context, vector_of(nvme, index), index, interrupted,
                              &nvme->handles[index]) == STATUS_OK;
}

void nvme_let_interrupt(const struct nvme *nvme, unsigned index, bool let)
{
    const struct device_interrupt *interrupt = &nvme->config.interrupt;
    if (nvme->interrupts)
        (let ? interrupt->unmask : interrupt->mask)(interrupt->context, vector_of(nvme, index));
}

static bool allocate(struct nvme *nvme, unsigned index)
{
    struct nvme_queue_config *config = &nvme->queues[index].config;
    *config = (struct nvme_queue_config){
        .registers = nvme->config.registers,
        .guard = nvme->config.guard,
        .protocol = BLOCK_PROTOCOL_NVME_IO,
        .id = (uint16_t)(index + 1),
        .entries = nvme->entries,
        .stride = NVME_CAP_STRIDE(nvme->facts.capabilities),
    };
    return nvme_allocate(nvme, NVME_SUBMISSION_BYTES, &config->submissions) &&
           nvme_allocate(nvme, NVME_COMPLETION_BYTES, &config->completions) &&
           nvme_allocate(nvme, NVME_LISTS_BYTES, &config->lists);
}

enum status nvme_plan_queues(struct nvme *nvme, uint64_t until)
{
    const struct nvme_config *config = &nvme->config;
    unsigned wanted = with_doorbells(nvme, config->queues);
    nvme->interrupts = config->device != NULL && config->interrupt.vectors > 0;
    if (nvme->interrupts)
        wanted = (unsigned)min_u64(wanted, max_u64(config->interrupt.vectors, 2) - 1);
    const enum status status = ask_for_queues(nvme, wanted, &wanted, until);
    if (status != STATUS_OK)
        return status;
    unsigned count = 0;
    while (count < wanted && allocate(nvme, count))
        count++;
    if (count == 0)
        return nvme_wrong(nvme, STATUS_NO_MEMORY, "there is no memory for its queues");
    unsigned connected = 0;
    while (nvme->interrupts && connected < count && connect(nvme, connected))
        connected++;
    nvme->interrupts = connected > 0; // else it is polled
    nvme->queue_count = connected > 0 ? connected : count;
    return STATUS_OK;
}

static enum status make_queue(struct nvme *nvme, unsigned index, uint64_t until)
{
    struct nvme_queue *queue = &nvme->queues[index];
    const struct nvme_queue_config *config = &queue->config;
    const uint32_t size_and_id = (config->entries - 1) << 16 | config->id;
    const uint32_t vector = vector_of(nvme, index) << 16 | NVME_INTERRUPTS;
    const struct nvme_command completions = {
        .opcode = NVME_CREATE_CQ,
        .prp1 = config->completions.address,
        .words = {size_and_id, NVME_CONTIGUOUS | (nvme->interrupts ? vector : 0)}};
    const struct nvme_command submissions = {
        .opcode = NVME_CREATE_SQ,
        .prp1 = config->submissions.address,
        .words = {size_and_id, (uint32_t)config->id << 16 | NVME_CONTIGUOUS}};
    nvme_queue_init(queue, config);
    const enum status status = nvme_admin(nvme, &completions, until, NULL);
    return status == STATUS_OK ? nvme_admin(nvme, &submissions, until, NULL) : status;
}

enum status nvme_make_queues(struct nvme *nvme, uint64_t until)
{
    enum status status = STATUS_OK;
    for (unsigned i = 0; i < nvme->queue_count && status == STATUS_OK; i++)
        status = make_queue(nvme, i, until);
    return status;
}

enum status nvme_make_queues_again(struct nvme *nvme, uint64_t until)
{
    unsigned granted;
    const enum status status = ask_for_queues(nvme, nvme->queue_count, &granted, until);
    if (status != STATUS_OK)
        return status;
    if (granted < nvme->queue_count)
        return nvme_wrong(nvme, STATUS_FAILED, "it has fewer queues than before");
    return nvme_make_queues(nvme, until);
}
