// SPDX-License-Identifier: MIT
// A model of an NVMe controller behind the driver's three seams: registers, DMA memory, interrupts;
// and the clock, with which its time passes. It does what the specification says (NVM Express Base
// 1.4) unless it was told to misbehave, and it finds the driver's mistakes: what is not as the
// specification demands ends the test (fake_insist).
//
// Blocks hold nvme_fake_pattern. The device's addresses are not the CPU's.
#ifndef NVME_FAKE_H
#define NVME_FAKE_H

#include "nvme_fake_parts.h"

// ---- commands -----------------------------------------------------------------------------------

static inline uint64_t fake_page(const struct nvme_fake *fake)
{
    return UINT64_C(4096) << (fake->configuration >> 7 & 0xf);
}

// The nth page of a command's memory (4.3). Lists lie in one page and are not chained: the driver
// has none longer.
static inline uint64_t fake_prp(struct nvme_fake *fake, const struct nvme_command *command,
                                uint32_t n, uint32_t count)
{
    const uint64_t page = fake_page(fake);
    if (n == 0)
        return command->prp1;
    if (count == 2)
        return command->prp2;
    fake->prp_lists += n == 1;
    fake_insist(command->prp2 % 8 == 0 && command->prp2 % page + (count - 1) * 8ull <= page);
    const uint64_t *list = fake_at(fake, command->prp2, (count - 1) * 8ull);
    return list != NULL ? list[n - 1] : 0;
}

// Reads blocks into the command's memory, or writes them: the disk has no memory of its own.
static inline void fake_transfer(struct nvme_fake *fake, const struct nvme_command *command,
                                 uint64_t from, uint64_t bytes)
{
    const uint64_t page = fake_page(fake);
    const uint64_t first = command->prp1 % page;
    const uint32_t count = (uint32_t)((first + bytes + page - 1) / page);
    fake_insist(command->prp1 % 4 == 0);
    fake->written += command->opcode == NVME_WRITE ? bytes : 0;
    for (uint32_t n = 0; n < count; n++) {
        const uint64_t at = fake_prp(fake, command, n, count);
        fake_insist(n == 0 || at % page == 0);
        const uint64_t here = min_u64(bytes, page - at % page);
        uint8_t *memory = fake_at(fake, at, here);
        for (uint64_t i = 0; i < here && memory != NULL && command->opcode == NVME_READ; i++)
            memory[i] = nvme_fake_pattern(from + i);
        from += here;
        bytes -= here;
    }
}

static inline void fake_finish_io(struct nvme_fake *fake, const struct fake_pending *pending)
{
    const struct nvme_command *command = &pending->command;
    const uint64_t first = command->words[0] | (uint64_t)command->words[1] << 32;
    const uint64_t count = (command->words[2] & 0xffff) + 1;
    enum fake_deed deed = FAKE_GOOD;
    uint32_t status = 0;
    if (command->opcode != NVME_FLUSH) {
        fake_insist(fake->forgiving || (first < fake->blocks && count <= fake->blocks - first));
        if (fake->bad_all || fake->bad_block - first < count)
            status = fake->read_status;
        else
            fake_transfer(fake, command, first << fake->block_log, count << fake->block_log);
    }
    if (fake->deeds > 0) {
        fake->deeds--;
        deed = fake->deed;
    }
    if (deed != FAKE_SILENT)
        fake_post(fake, pending->queue, command->cid, status, 0, deed);
}

static inline void fake_identify(struct nvme_fake *fake, const struct nvme_command *command)
{
    uint8_t *page = fake_at(fake, command->prp1, NVME_IDENTIFY_BYTES);
    const uint32_t format = (uint32_t)fake->block_log << 16 | fake->metadata;
    const unsigned what = command->words[0] & 0xff;
    fake_insist(command->prp1 % fake_page(fake) == 0);
    if (page == NULL)
        return;
    memset(page, 0, NVME_IDENTIFY_BYTES);
    if (what == NVME_IDENTIFY_CONTROLLER) {
        memcpy(page + NVME_CONTROLLER_SERIAL, "SN-4711             ", 20);
        memcpy(page + NVME_CONTROLLER_MODEL, "A model\tof a controller                 ", 40);
        page[NVME_CONTROLLER_TRANSFER] = fake->mdts;
        page[NVME_CONTROLLER_TYPE] = fake->type;
        memcpy(page + NVME_CONTROLLER_DOWN_US, &fake->down_us, 4);
        page[NVME_CONTROLLER_ABORTS] = fake->acl;
        page[NVME_CONTROLLER_SQ_ENTRY] = fake->sq_entry;
        page[NVME_CONTROLLER_CQ_ENTRY] = fake->cq_entry;
        memcpy(page + NVME_CONTROLLER_NAMESPACES, &fake->namespaces_most, 4);
    } else if (what == NVME_IDENTIFY_LIST) {
        fake_insist(fake->version >= NVME_VERSION_1_1);
        memcpy(page, fake->namespaces, sizeof(fake->namespaces));
    } else {
        memcpy(page + NVME_NAMESPACE_BLOCKS, &fake->blocks, 8);
        page[NVME_NAMESPACE_FORMATS] = fake->formats;
        page[NVME_NAMESPACE_FORMAT] = fake->format;
        page[NVME_NAMESPACE_ATTRIBUTES] = fake->attributes;
        memcpy(page + NVME_NAMESPACE_FORMAT_0 + 4 * (fake->format & 0xf), &format, 4);
    }
    if (fake->mangle != NULL)
        fake->mangle(fake->mangle_context, what, page);
}

static inline struct fake_pending *fake_find(struct nvme_fake *fake, uint16_t queue, uint16_t cid)
{
    for (unsigned i = 0; i < FAKE_PENDING; i++) {
        struct fake_pending *one = &fake->pending[i];
        if (one->used && one->queue == queue && one->command.cid == cid)
            return one;
    }
    return NULL;
}

static inline uint32_t fake_abort(struct nvme_fake *fake, const struct nvme_command *command)
{
    const uint16_t queue = (uint16_t)command->words[0];
    struct fake_pending *victim = fake_find(fake, queue, (uint16_t)(command->words[0] >> 16));
    fake->aborts_seen++;
    if (fake->abort == FAKE_ABORT_REFUSED)
        return NVME_ABORT_NOT_DONE;
    if (fake->abort == FAKE_ABORTS && victim != NULL) {
        victim->used = false;
        fake->pending_count--;
        fake_post(fake, queue, victim->command.cid, NVME_STATUS(0, 7), 0, FAKE_GOOD);
    }
    return 0;
}

static inline void fake_create(struct nvme_fake *fake, const struct nvme_command *command)
{
    const uint32_t id = command->words[0] & 0xffff, entries = (command->words[0] >> 16) + 1;
    const bool completions = command->opcode == NVME_CREATE_CQ;
    fake_insist(id > 0 && id < FAKE_QUEUES && id <= fake->features_queues);
    fake_insist(entries >= 2 && entries <= NVME_CAP_ENTRIES(fake->cap));
    fake_insist((command->words[1] & NVME_CONTIGUOUS) != 0);
    fake_insist(command->prp1 % fake_page(fake) == 0);
    struct fake_queue *queue = completions ? &fake->completions[id] : &fake->submissions[id];
    fake_insist(!queue->exists);
    (void)fake_at(fake, command->prp1, entries * (completions ? 16ull : 64ull));
    *queue = (struct fake_queue){
        .exists = true, .address = command->prp1, .entries = entries, .phase = 1};
    if (completions) {
        queue->interrupts = (command->words[1] & NVME_INTERRUPTS) != 0;
        queue->vector = command->words[1] >> 16;
        fake_insist(!queue->interrupts || queue->vector < fake->vectors);
    } else {
        queue->completions = (uint16_t)(command->words[1] >> 16);
        fake_insist(queue->completions < FAKE_QUEUES &&
                    fake->completions[queue->completions].exists);
    }
}

static inline void fake_finish_admin(struct nvme_fake *fake, const struct nvme_command *command)
{
    uint32_t result = 0;
    const uint32_t status = fake->admin_status[command->opcode];
    if (status == 0) {
        switch (command->opcode) {
        case NVME_IDENTIFY:
            fake_identify(fake, command);
            break;
        case NVME_SET_FEATURES:
            fake_insist(command->words[0] == NVME_FEATURE_QUEUES);
            fake->features_queues = fake->queues_most;
            result = (fake->queues_most - 1) << 16 | (fake->queues_most - 1);
            break;
        case NVME_CREATE_CQ:
        case NVME_CREATE_SQ:
            fake_create(fake, command);
            break;
        case NVME_ABORT:
            result = fake_abort(fake, command);
            break;
        default:
            fake_insist(!"an admin command that the driver does not need");
        }
    }
    const bool silent = command->opcode == NVME_ABORT && fake->abort == FAKE_ABORT_SILENT;
    if (!silent && !fake->admin_silent[command->opcode])
        fake_post(fake, 0, command->cid, status, result, FAKE_GOOD);
}

// ---- time ---------------------------------------------------------------------------------------

// Completes what is due.
static inline void fake_turn(struct nvme_fake *fake)
{
    if (fake->turning || fake->gone || fake->pending_count == 0 || fake->next_due > fake->now)
        return;
    fake->turning = true;
    fake->next_due = UINT64_MAX;
    for (unsigned i = 0; i < FAKE_PENDING; i++) {
        struct fake_pending *one = &fake->pending[i];
        if (one->used && one->due > fake->now)
            fake->next_due = min_u64(fake->next_due, one->due);
        if (!one->used || one->due > fake->now)
            continue;
        one->used = false;
        fake->pending_count--;
        if (one->queue == 0)
            fake_finish_admin(fake, &one->command);
        else
            fake_finish_io(fake, one);
    }
    fake->turning = false;
}

static inline uint64_t fake_ticks(void *context)
{
    struct nvme_fake *fake = context;
    fake->now += fake->look_ns;
    fake_turn(fake);
    return fake->now;
}

// ---- registers ----------------------------------------------------------------------------------

static inline void fake_fetch(struct nvme_fake *fake, uint16_t id, uint32_t tail)
{
    struct fake_queue *queue = &fake->submissions[id];
    fake->doorbells++;
    for (; queue->head != tail; queue->head = (queue->head + 1) % queue->entries) {
        const struct nvme_command *command =
            fake_at(fake, queue->address + queue->head * 64ull, 64);
        if (command == NULL)
            return;
        uint64_t *seen = id == 0 ? &fake->admin_opcodes : &fake->io_opcodes;
        fake_insist(command->opcode < 64 && command->flags == 0 && command->metadata == 0);
        *seen |= UINT64_C(1) << command->opcode;
        fake->reads += id > 0;
        fake_insist(fake_find(fake, id, command->cid) == NULL);
        unsigned slot = 0;
        while (slot < FAKE_PENDING && fake->pending[slot].used)
            slot++;
        fake_insist(slot < FAKE_PENDING);
        const uint64_t due = fake->now + (id > 0 ? fake->latency_ns : 0);
        fake->pending[slot] =
            (struct fake_pending){.used = true, .queue = id, .due = due, .command = *command};
        fake->next_due = fake->pending_count++ > 0 ? min_u64(fake->next_due, due) : due;
    }
}

static inline void fake_configure(struct nvme_fake *fake, uint32_t value)
{
    const bool enable = (value & NVME_CC_ENABLE) != 0;
    const uint32_t shutdown = value & NVME_CC_SHUTDOWN;
    fake_insist(shutdown == 0 || shutdown == NVME_CC_NORMAL);
    if (enable && fake->enabled && shutdown != 0 && fake->down_at == 0) {
        fake_insist(fake->pending_count == 0);
        fake->down_at = fake->now + fake->down_ns;
    }
    fake->configuration = value;
    if (enable == fake->enabled)
        return;
    fake->enabled = enable;
    fake->ends += !enable && fake->down_at != 0 && fake->now >= fake->down_at && !fake->never_down;
    fake->down_at = 0;
    fake->ready_at = fake->now + fake->ready_ns;
    if (!enable) {
        fake->resets++;
        if (fake->never_disabled)
            return; // and goes on with what it has
        fake->fatal = false;
        memset(fake->submissions, 0, sizeof(fake->submissions));
        memset(fake->completions, 0, sizeof(fake->completions));
        memset(fake->pending, 0, sizeof(fake->pending));
        fake->pending_count = 0;
        fake->features_queues = 0;
        return;
    }
    fake_insist((value >> 16 & 0xff) == 0x46 && (value >> 4 & 7) == 0);
    fake_insist(fake_page(fake) == UINT64_C(1) << NVME_CAP_PAGE_LEAST(fake->cap));
    fake_insist(fake->asq % fake_page(fake) == 0 && fake->acq % fake_page(fake) == 0);
    fake->fatal = fake->fatal_when_enabled;
    fake->submissions[0] = (struct fake_queue){
        .exists = true, .address = fake->asq, .entries = (fake->aqa & 0xfff) + 1};
    fake->completions[0] = (struct fake_queue){
        .exists = true, .address = fake->acq, .entries = (fake->aqa >> 16 & 0xfff) + 1, .phase = 1};
}

static inline uint32_t fake_status(const struct nvme_fake *fake)
{
    bool ready = fake->now >= fake->ready_at ? fake->enabled : !fake->enabled;
    ready = (ready && !fake->never_ready) || fake->never_disabled;
    const bool done = fake->now >= fake->down_at && !fake->never_down;
    const uint32_t down = fake->down_at == 0 ? 0 : (done ? 2u : 1u) << 2;
    return (ready ? NVME_CSTS_READY : 0) | (fake->fatal ? NVME_CSTS_FATAL : 0) | down;
}

static inline bool fake_is_gone(struct nvme_fake *fake)
{
    fake->accesses++;
    fake->gone = fake->gone || (fake->gone_after > 0 && fake->accesses >= fake->gone_after);
    return fake->gone;
}

static inline uint32_t fake_read(void *context, uint64_t offset, unsigned bytes)
{
    struct nvme_fake *fake = context;
    fake_insist(bytes == 4 && offset % 4 == 0 && offset + 4 <= fake->length);
    if (fake_is_gone(fake))
        return UINT32_MAX;
    switch (offset) {
    case NVME_CAP:
        return (uint32_t)fake->cap;
    case NVME_CAP + 4:
        return (uint32_t)(fake->cap >> 32);
    case NVME_VS:
        return fake->version;
    case NVME_CC:
        return fake->configuration;
    case NVME_CSTS:
        return fake_status(fake);
    default:
        fake_insist(!"a register that the driver does not need");
        return 0;
    }
}

static inline void fake_doorbell(struct nvme_fake *fake, uint64_t offset, uint32_t value)
{
    const uint64_t stride = NVME_CAP_STRIDE(fake->cap), number = (offset - NVME_DOORBELLS) / stride;
    fake_insist((offset - NVME_DOORBELLS) % stride == 0 && number / 2 < FAKE_QUEUES);
    struct fake_queue *queue =
        number % 2 == 0 ? &fake->submissions[number / 2] : &fake->completions[number / 2];
    fake_insist(fake->never_disabled || fake->never_ready ||
                (queue->exists && value < queue->entries));
    if (number % 2 == 0 && queue->exists)
        fake_fetch(fake, (uint16_t)(number / 2), value);
    else
        queue->head = value;
}

static inline void fake_write(void *context, uint64_t offset, unsigned bytes, uint32_t value)
{
    struct nvme_fake *fake = context;
    fake_insist(bytes == 4 && offset % 4 == 0 && offset + 4 <= fake->length);
    if (fake_is_gone(fake))
        return;
    uint64_t *wide = (offset & ~UINT64_C(4)) == NVME_ASQ ? &fake->asq : &fake->acq;
    const unsigned shift = offset % 8 == 4 ? 32 : 0;
    if (offset >= NVME_DOORBELLS)
        fake_doorbell(fake, offset, value);
    else if (offset == NVME_CC)
        fake_configure(fake, value);
    else if (offset == NVME_AQA)
        fake->aqa = value;
    else if (offset >= NVME_ASQ && offset < NVME_ACQ + 8)
        *wide = (*wide & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)value << shift;
    else
        fake_insist(!"a register that the driver does not write");
}

static inline void fake_master(void *context, bool on)
{
    ((struct nvme_fake *)context)->master = on;
}

// ---- all of it ----------------------------------------------------------------------------------

// A well-behaved controller with one namespace of 4096 blocks.
static inline void fake_init(struct nvme_fake *fake)
{
    memset(fake, 0, sizeof(*fake));
    *fake = (struct nvme_fake){
        .cap = UINT64_C(1) << 37 | UINT64_C(4) << 24 | 1023,
        .version = 0x00010400,
        .length = 16384,
        .acl = 3,
        .sq_entry = 0x66,
        .cq_entry = 0x44,
        .type = 1,
        .namespaces = {1},
        .namespaces_most = 16,
        .block_log = 9,
        .blocks = 4096,
        .queues_most = 4,
        .vectors = FAKE_VECTORS,
        .pages_most = 1024,
        .connects_most = UINT32_MAX,
        .ready_ns = 1000000,
        .latency_ns = 20000,
        .down_ns = 3000000,
        .look_ns = 500,
        .bad_block = UINT64_MAX,
        .now = 1000000,
        .master = true,
    };
}

static inline struct nvme_config fake_config(struct nvme_fake *fake)
{
    return (struct nvme_config){
        .registers = {fake, fake->length, fake_read, fake_write},
        .dma = {.context = fake, .allocate = fake_allocate},
        .interrupt = {.context = fake,
                      .vectors = fake->vectors,
                      .connect = fake_connect,
                      .mask = fake_mask,
                      .unmask = fake_unmask},
        .clock = {.context = fake, .hz = 1000000000, .ticks = fake_ticks},
        .bus = fake,
        .master = fake_master,
        .queues = 2,
    };
}

static inline void fake_free(struct nvme_fake *fake)
{
    for (unsigned i = 0; i < fake->region_count; i++)
        free(fake->regions[i].owned);
}

#endif
