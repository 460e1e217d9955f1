// SPDX-License-Identifier: MIT
// The controller as a block device.
#include "nvme.h"

#include "nvme_parts.h"
#include "nvme_status.h"
#include "string.h"

enum words { ID }; // what the driver keeps in a request

static const struct block_guard nothing_written;

void nvme_init(struct nvme *nvme, const struct nvme_config *config)
{
    assert(config->queues > 0 && config->queues <= BLOCK_QUEUES_MOST);
    assert(config->clock.hz >= 1000 && config->clock.hz <= DEVICE_HZ_MOST);
    memset(nvme, 0, sizeof(*nvme));
    nvme->config = *config;
    if (nvme->config.guard == NULL)
        nvme->config.guard = &nothing_written;
}

// ---- up and down --------------------------------------------------------------------------------

static bool prepare_admin(struct nvme *nvme)
{
    struct nvme_queue_config *admin = &nvme->admin.config;
    *admin = (struct nvme_queue_config){
        .registers = nvme->config.registers,
        .guard = nvme->config.guard,
        .protocol = BLOCK_PROTOCOL_NVME_ADMIN,
        .id = 0,
        .entries = NVME_ADMIN_ENTRIES,
        .stride = NVME_CAP_STRIDE(nvme->facts.capabilities),
    };
    return nvme_allocate(nvme, NVME_SUBMISSION_BYTES, &admin->submissions) &&
           nvme_allocate(nvme, NVME_COMPLETION_BYTES, &admin->completions) &&
           nvme_allocate(nvme, NVME_IDENTIFY_BYTES, &nvme->page);
}

static enum status bring_up(struct nvme *nvme)
{
    const uint64_t until = nvme_until(nvme, BLOCK_RESET_NS_MOST, UINT64_MAX);
    enum status status = nvme_look(nvme);
    if (status != STATUS_OK)
        return status;
    // Before anything else: whoever used it before may have left it running.
    status = nvme_disable(nvme, until);
    if (status == STATUS_OK && !prepare_admin(nvme))
        return nvme_wrong(nvme, STATUS_NO_MEMORY, "there is no memory for its queues");
    if (status == STATUS_OK)
        status = nvme_enable(nvme, until);
    if (status == STATUS_OK)
        status = nvme_identify(nvme, until);
    if (status == STATUS_OK)
        status = nvme_plan_queues(nvme, until);
    if (status == STATUS_OK)
        status = nvme_make_queues(nvme, until);
    return status;
}

// Without a wait: what it may still do, it does without memory.
static void give_up(struct nvme *nvme)
{
    if (nvme->config.registers.length >= NVME_DOORBELLS)
        nvme_write(nvme, NVME_CC, 0);
    nvme->config.master(nvme->config.bus, false);
}

static enum status identify(void *driver, struct block_facts *facts)
{
    struct nvme *nvme = driver;
    const enum status status = bring_up(nvme);
    if (status == STATUS_OK)
        nvme_describe(nvme, facts);
    else
        give_up(nvme);
    return status;
}

static enum status reset(void *driver)
{
    struct nvme *nvme = driver;
    const uint64_t until = nvme_until(nvme, nvme->reset_ns, UINT64_MAX);
    for (unsigned i = 0; i < nvme->queue_count; i++)
        nvme_let_interrupt(nvme, i, false);
    enum status status = nvme_disable(nvme, until);
    if (status == STATUS_OK)
        status = nvme_enable(nvme, until);
    if (status == STATUS_OK)
        status = nvme_identify_again(nvme, until);
    if (status == STATUS_OK)
        status = nvme_make_queues_again(nvme, until);
    if (status != STATUS_OK)
        give_up(nvme);
    return status;
}

enum status nvme_shut_down(struct nvme *nvme)
{
    for (unsigned i = 0; i < nvme->queue_count; i++)
        nvme_let_interrupt(nvme, i, false);
    const enum status told = nvme_announce_end(nvme);
    const enum status status = nvme_disable(nvme, nvme_until(nvme, nvme->reset_ns, UINT64_MAX));
    give_up(nvme);
    return status != STATUS_OK ? status : told;
}

static enum block_health health(void *driver)
{
    struct nvme *nvme = driver;
    const uint32_t status = nvme_read(nvme, NVME_CSTS);
    if (nvme_is_gone(nvme, status))
        return BLOCK_GONE;
    nvme_reap(nvme);
    const bool well = (status & (NVME_CSTS_READY | NVME_CSTS_FATAL)) == NVME_CSTS_READY;
    return well ? BLOCK_HEALTHY : BLOCK_NEEDS_RESET;
}

// ---- requests -----------------------------------------------------------------------------------

// Tells where the request's memory is, page by page (4.3): the first in the command, a second one
// too; more in the slot's list. STATUS_INVALID: a page in the middle is not whole.
static enum status tell_pages(const struct nvme *nvme, const struct nvme_queue *queue,
                              uint32_t slot, const struct block_request *request,
                              struct nvme_command *command)
{
    const uint64_t page = UINT64_C(1) << nvme->facts.page_log;
    uint64_t list_at;
    uint64_t *list = nvme_queue_list(queue, slot, &list_at);
    uint64_t end = 0; // of what was told
    uint32_t count = 0;
    for (uint32_t i = 0; i < request->segment_count; i++) {
        uint64_t at = request->segments[i].address;
        const uint64_t stop = at + request->segments[i].bytes;
        for (; at < stop; count++) {
            if (count > 0 && (at | end) % page != 0)
                return STATUS_INVALID;
            if (count > NVME_LIST_ENTRIES)
                return STATUS_TOO_LARGE;
            *(count == 0 ? &command->prp1 : &list[count - 1]) = at;
            at = min_u64(stop, (at / page + 1) * page);
            end = at;
        }
    }
    if (count > 1)
        command->prp2 = count == 2 ? list[0] : list_at;
    return STATUS_OK;
}

static enum status submit(void *driver, unsigned index, struct block_request *request)
{
    static const uint8_t opcodes[BLOCK_OPERATIONS] = {
        [BLOCK_READ] = NVME_READ, [BLOCK_WRITE] = NVME_WRITE, [BLOCK_FLUSH] = NVME_FLUSH};
    struct nvme *nvme = driver;
    struct nvme_queue *queue = &nvme->queues[index];
    const uint32_t slot = nvme_queue_claim(queue, request);
    if (slot == NVME_SLOT_NONE)
        return STATUS_FULL;
    struct nvme_command command = {.opcode = opcodes[request->operation], .nsid = nvme->chosen->id};
    enum status status = STATUS_OK;
    if (request->operation != BLOCK_FLUSH) {
        command.words[0] = (uint32_t)request->first;
        command.words[1] = (uint32_t)(request->first >> 32);
        command.words[2] = request->count - 1;
        status = tell_pages(nvme, queue, slot, request, &command);
    }
    if (status != STATUS_OK) {
        nvme_queue_release(queue, slot);
        return status;
    }
    request->driver[ID] = nvme_queue_cid(queue, slot);
    return nvme_queue_put(queue, slot, &command);
}

static void ring(void *driver, unsigned index)
{
    nvme_queue_ring(&((struct nvme *)driver)->queues[index]);
}

static unsigned poll(void *driver, unsigned index, struct block_request **done, unsigned most)
{
    struct nvme *nvme = driver;
    struct nvme_queue *queue = &nvme->queues[index];
    struct nvme_answer answer;
    unsigned count = 0;
    while (count < most && nvme_queue_take(queue, &answer)) {
        struct block_request *request = answer.owner;
        request->status = nvme_status(answer.status);
        request->device_status = answer.status;
        nvme->failed[index] += answer.status != 0;
        done[count++] = request;
    }
    nvme_queue_taken(queue);
    return count;
}

static void arm(void *driver, unsigned index)
{
    nvme_let_interrupt(driver, index, true);
}

static void disarm(void *driver, unsigned index)
{
    nvme_let_interrupt(driver, index, false);
}

static enum status abort_request(void *driver, unsigned index, struct block_request *request)
{
    return nvme_abort(driver, (uint16_t)(index + 1), (uint16_t)request->driver[ID]);
}

const struct block_device_ops nvme_ops = {
    .name = "nvme",
    .identify = identify,
    .submit = submit,
    .ring = ring,
    .poll = poll,
    .arm = arm,
    .disarm = disarm,
    .abort = abort_request,
    .reset = reset,
    .health = health,
};

// ---- statistics ---------------------------------------------------------------------------------

static void add(struct nvme_anomalies *sum, const struct nvme_anomalies *one)
{
    sum->unknown += one->unknown;
    sum->repeated += one->repeated;
    sum->misplaced += one->misplaced;
    sum->heads += one->heads;
}

void nvme_statistics(const struct nvme *nvme, struct nvme_statistics *statistics)
{
    *statistics = (struct nvme_statistics){
        .aborted = nvme->aborted,
        .not_aborted = nvme->not_aborted,
        .anomalies = nvme->admin.anomalies,
    };
    for (unsigned i = 0; i < nvme->queue_count; i++) {
        statistics->failed += nvme->failed[i];
        add(&statistics->anomalies, &nvme->queues[i].anomalies);
    }
}
