// SPDX-License-Identifier: MIT
// A controller's registers: what it is, whether it is enabled, whether it is ready.
#include "nvme_parts.h"

static uint64_t ready_ns(const struct nvme *nvme)
{
    const uint64_t units = NVME_CAP_TIMEOUT(nvme->facts.capabilities);
    return max_u64(units, 1) * NVME_TIMEOUT_UNIT_NS;
}

enum status nvme_look(struct nvme *nvme)
{
    struct nvme_facts *facts = &nvme->facts;
    if (nvme->config.registers.length < nvme_queue_registers(1, 4))
        return nvme_wrong(nvme, STATUS_CORRUPT, "its registers have no room for doorbells");
    const uint64_t low = nvme_read(nvme, NVME_CAP);
    const uint64_t cap = low | (uint64_t)nvme_read(nvme, NVME_CAP + 4) << 32;
    facts->capabilities = cap;
    facts->version = nvme_read(nvme, NVME_VS);
    if (facts->version == NVME_GONE || cap == UINT64_MAX)
        return nvme_wrong(nvme, STATUS_CLOSED, "nobody answers");
    if (facts->version >> 16 == 0 || NVME_CAP_ENTRIES(cap) < 2)
        return nvme_wrong(nvme, STATUS_CORRUPT, "its version or queue size makes no sense");
    if (!NVME_CAP_NVM(cap))
        return nvme_wrong(nvme, STATUS_FAILED, "it does not know the NVM command set");
    facts->page_log = NVME_CAP_PAGE_LEAST(cap);
    if (facts->page_log > NVME_PAGE_LOG_MOST)
        return nvme_wrong(nvme, STATUS_FAILED, "its memory pages are too large");
    if (nvme_queue_registers(1, NVME_CAP_STRIDE(cap)) > nvme->config.registers.length)
        return nvme_wrong(nvme, STATUS_CORRUPT, "its doorbells are outside of its registers");
    nvme->entries = (uint32_t)min_u64(NVME_CAP_ENTRIES(cap), NVME_ENTRIES_MOST);
    // Up to ready before it may be disabled, disabled, and ready again.
    nvme->reset_ns = min_u64(3 * ready_ns(nvme) + NVME_COMMANDS_NS, BLOCK_RESET_NS_MOST);
    return STATUS_OK;
}

// Waits until it is ready, or not. One look more when the time is over: the wait may have been
// interrupted for long.
static enum status wait_ready(struct nvme *nvme, bool ready, uint64_t until)
{
    until = nvme_until(nvme, ready_ns(nvme), until);
    for (;;) {
        const bool late = device_ticks(&nvme->config.clock) >= until;
        const uint32_t status = nvme_read(nvme, NVME_CSTS);
        if (nvme_is_gone(nvme, status))
            return nvme_wrong(nvme, STATUS_CLOSED, "nobody answers any more");
        if (ready && (status & NVME_CSTS_FATAL) != 0)
            return nvme_wrong(nvme, STATUS_FAILED, "it failed fatally");
        if (((status & NVME_CSTS_READY) != 0) == ready)
            return STATUS_OK;
        if (late)
            return nvme_wrong(nvme, STATUS_TIMEOUT,
                              ready ? "it does not become ready" : "it cannot be disabled");
        cpu_pause();
    }
}

enum status nvme_disable(struct nvme *nvme, uint64_t until)
{
    const uint32_t configuration = nvme_read(nvme, NVME_CC);
    const uint32_t now = nvme_read(nvme, NVME_CSTS);
    const bool ready = (now & (NVME_CSTS_READY | NVME_CSTS_FATAL)) != 0;
    // It is not to be disabled before it is ready (3.1.5), but will be when its time is over.
    if ((configuration & NVME_CC_ENABLE) != 0 && !ready)
        (void)wait_ready(nvme, true, until);
    nvme_write(nvme, NVME_CC, configuration & ~NVME_CC_ENABLE);
    return wait_ready(nvme, false, until);
}

enum status nvme_announce_end(struct nvme *nvme)
{
    const uint32_t configuration = nvme_read(nvme, NVME_CC) & ~NVME_CC_SHUTDOWN;
    const uint64_t until = nvme_until(nvme, nvme->facts.down_ns, UINT64_MAX);
    uint32_t status = nvme_read(nvme, NVME_CSTS);
    if ((status & (NVME_CSTS_READY | NVME_CSTS_FATAL)) != NVME_CSTS_READY)
        return nvme_is_gone(nvme, status) ? STATUS_CLOSED : STATUS_OK; // it would not listen
    nvme_write(nvme, NVME_CC, configuration | NVME_CC_NORMAL);
    for (;;) {
        const bool late = device_ticks(&nvme->config.clock) >= until;
        status = nvme_read(nvme, NVME_CSTS);
        if (nvme_is_gone(nvme, status))
            return nvme_wrong(nvme, STATUS_CLOSED, "nobody answers any more");
        if (NVME_CSTS_DOWN(status))
            return STATUS_OK;
        if (late)
            return nvme_wrong(nvme, STATUS_TIMEOUT, "it does not shut down");
        cpu_pause();
    }
}

static void write_address(struct nvme *nvme, uint64_t offset, uint64_t address)
{
    nvme_write(nvme, offset, (uint32_t)address);
    nvme_write(nvme, offset + 4, (uint32_t)(address >> 32));
}

enum status nvme_enable(struct nvme *nvme, uint64_t until)
{
    const struct nvme_queue_config *admin = &nvme->admin.config;
    const uint32_t configuration = NVME_CC_PAGES(nvme->facts.page_log) | NVME_CC_ENTRIES;
    nvme_queue_init(&nvme->admin, admin);
    nvme->aborts = 0;
    nvme->config.master(nvme->config.bus, true);
    nvme_write(nvme, NVME_AQA, (admin->entries - 1) << 16 | (admin->entries - 1));
    write_address(nvme, NVME_ASQ, admin->submissions.address);
    write_address(nvme, NVME_ACQ, admin->completions.address);
    nvme_write(nvme, NVME_CC, configuration);
    nvme_write(nvme, NVME_CC, configuration | NVME_CC_ENABLE);
    return wait_ready(nvme, true, until);
}

bool nvme_allocate(struct nvme *nvme, uint64_t bytes, struct nvme_memory *memory)
{
    const struct device_dma *dma = &nvme->config.dma;
    const uint64_t page = UINT64_C(1) << nvme->facts.page_log;
    // What is aligned to pages is aligned to larger ones somewhere in the first of these.
    const size_t pages = (size_t)((bytes + PAGE_SIZE - 1) / PAGE_SIZE + page / PAGE_SIZE - 1);
    memory->memory = dma->allocate(dma->context, pages, &memory->address);
    if (memory->memory == NULL)
        return false;
    const uint64_t skipped = align_up(memory->address, page) - memory->address;
    memory->memory = (char *)memory->memory + skipped;
    memory->address += skipped;
    return true;
}
