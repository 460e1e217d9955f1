// SPDX-License-Identifier: MIT
// What controller and namespaces say of themselves (5.15). Each field is read once, and used only
// as far as it makes sense.
#include "bytes.h"
#include "nvme_parts.h"
#include "string.h"

#define BLOCK_LOG_LEAST 9u // 512 bytes
#define BLOCK_LOG_MOST  12u
#define ENTRY_LOGS      0x46u // of commands and completions: 2^6 and 2^4 bytes

static enum status identify(struct nvme *nvme, enum nvme_identify what, uint32_t id, uint64_t until)
{
    const struct nvme_command command = {
        .opcode = NVME_IDENTIFY, .nsid = id, .prp1 = nvme->page.address, .words = {what}};
    memset(nvme->page.memory, 0, NVME_IDENTIFY_BYTES);
    return nvme_admin(nvme, &command, until, NULL);
}

// Characters without the blanks behind them; what cannot be shown is a question mark.
static void copy_text(char *to, const uint8_t *from, size_t length)
{
    size_t end = 0;
    for (size_t i = 0; i < length; i++) {
        const char character = (char)from[i];
        to[i] = '?';
        if (character == '\0')
            to[i] = ' ';
        else if (character >= ' ' && character <= '~')
            to[i] = character;
        end = to[i] != ' ' ? i + 1 : end;
    }
    to[end] = '\0';
}

// ---- the controller -----------------------------------------------------------------------------

// Whether entries of 2^`log` bytes lie between the least and the most that a byte tells.
static bool takes_entries(uint8_t logs, unsigned log)
{
    return (logs & 0xf) <= log && log <= logs >> 4;
}

static enum status controller(struct nvme *nvme, uint32_t *most, uint64_t until)
{
    const enum status status = identify(nvme, NVME_IDENTIFY_CONTROLLER, 0, until);
    if (status != STATUS_OK)
        return status;
    const uint8_t *page = nvme->page.memory;
    struct nvme_facts *facts = &nvme->facts;
    if (!takes_entries(page[NVME_CONTROLLER_SQ_ENTRY], ENTRY_LOGS & 0xf) ||
        !takes_entries(page[NVME_CONTROLLER_CQ_ENTRY], ENTRY_LOGS >> 4))
        return nvme_wrong(nvme, STATUS_CORRUPT, "its sizes of queue entries make no sense");
    if (page[NVME_CONTROLLER_TYPE] > 1) // 1: I/O; 0: older than this field
        return nvme_wrong(nvme, STATUS_FAILED, "it is no controller for I/O");
    copy_text(facts->serial, page + NVME_CONTROLLER_SERIAL, NVME_SERIAL_CHARACTERS);
    copy_text(facts->model, page + NVME_CONTROLLER_MODEL, NVME_MODEL_CHARACTERS);
    facts->aborts_most =
        (uint32_t)min_u64(page[NVME_CONTROLLER_ABORTS] + 1u, NVME_ADMIN_ENTRIES - 1);
    facts->down_ns = bytes_u32(page + NVME_CONTROLLER_DOWN_US) * UINT64_C(1000);
    facts->down_ns = min_u64(max_u64(facts->down_ns, NVME_DOWN_NS_LEAST), NVME_DOWN_NS_MOST);
    const unsigned log = page[NVME_CONTROLLER_TRANSFER];
    const unsigned unit = NVME_CAP_PAGE_LEAST(facts->capabilities);
    const bool limited = log != 0 && log + unit < log2_u64(NVME_TRANSFER_BYTES);
    facts->transfer_bytes = limited ? 1u << (log + unit) : NVME_TRANSFER_BYTES;
    *most = bytes_u32(page + NVME_CONTROLLER_NAMESPACES);
    return STATUS_OK;
}

// ---- namespaces ---------------------------------------------------------------------------------

// The ids of active namespaces, ascending.
static enum status list(struct nvme *nvme, uint32_t most, uint64_t until)
{
    struct nvme_facts *facts = &nvme->facts;
    if (facts->version >= NVME_VERSION_1_1) {
        const enum status status = identify(nvme, NVME_IDENTIFY_LIST, 0, until);
        if (status != STATUS_OK)
            return status;
    }
    const uint8_t *page = nvme->page.memory;
    uint32_t before = 0;
    for (uint32_t i = 0; i < NVME_LIST_NAMESPACES && i < most; i++) {
        // Older controllers have no list; their namespaces have the first numbers.
        const uint32_t id = facts->version >= NVME_VERSION_1_1 ? bytes_u32(page + 4 * i) : i + 1;
        if (id == 0)
            break;
        if (id <= before || id > most)
            return nvme_wrong(nvme, STATUS_CORRUPT, "its list of namespaces makes no sense");
        before = id;
        if (facts->namespace_count == NVME_NAMESPACES_MOST)
            facts->namespaces_left_out++;
        else
            facts->namespaces[facts->namespace_count++] = (struct nvme_namespace){.id = id};
    }
    return STATUS_OK;
}

// What is in the page; why it cannot be used, or NULL.
static const char *read_namespace(struct nvme_namespace *namespace, const uint8_t *page)
{
    const uint8_t format = page[NVME_NAMESPACE_FORMAT];
    const unsigned index = (format & 0xf) | (format >> 5 & 3) << 4;
    if (index > page[NVME_NAMESPACE_FORMATS])
        return "its format is none of those it has";
    const uint32_t text = bytes_u32(page + NVME_NAMESPACE_FORMAT_0 + 4 * index);
    const unsigned log = text >> 16 & 0xff;
    namespace->blocks = bytes_u64(page + NVME_NAMESPACE_BLOCKS);
    namespace->read_only = (page[NVME_NAMESPACE_ATTRIBUTES] & 1) != 0;
    if (namespace->blocks == 0)
        return "it is not active";
    if (log < BLOCK_LOG_LEAST || log > BLOCK_LOG_MOST)
        return "its blocks are smaller than 512 or larger than 4096 bytes";
    if ((text & 0xffff) != 0)
        return "its blocks carry metadata";
    namespace->block_bytes = 1u << log;
    if (namespace->blocks > UINT64_MAX >> log)
        return "it has more bytes than can be counted";
    return NULL;
}

static enum status look_at_each(struct nvme *nvme, uint64_t until)
{
    struct nvme_facts *facts = &nvme->facts;
    for (unsigned i = 0; i < facts->namespace_count; i++) {
        struct nvme_namespace *namespace = &facts->namespaces[i];
        const enum status status = identify(nvme, NVME_IDENTIFY_NAMESPACE, namespace->id, until);
        // A command without an answer keeps its slot: a controller that does not answer, for
        // whatever reason, is not asked again.
        if (nvme->admin.free_count < NVME_ADMIN_ENTRIES - 1)
            return status;
        namespace->unusable = status == STATUS_OK ? read_namespace(namespace, nvme->page.memory)
                                                  : "it does not say what it is";
        if (namespace->unusable != NULL)
            continue;
        if (facts->namespaces_usable++ == nvme->config.number)
            nvme->chosen = namespace;
    }
    return STATUS_OK;
}

enum status nvme_identify(struct nvme *nvme, uint64_t until)
{
    uint32_t most = 0;
    enum status status = controller(nvme, &most, until);
    if (status == STATUS_OK)
        status = list(nvme, most, until);
    if (status == STATUS_OK)
        status = look_at_each(nvme, until);
    if (status == STATUS_OK && nvme->chosen == NULL)
        return nvme_wrong(nvme, STATUS_EMPTY, "it has no such namespace");
    return status;
}

enum status nvme_identify_again(struct nvme *nvme, uint64_t until)
{
    const struct nvme_namespace *before = nvme->chosen;
    struct nvme_namespace now = {.id = before->id};
    const enum status status = identify(nvme, NVME_IDENTIFY_NAMESPACE, now.id, until);
    if (status != STATUS_OK)
        return status;
    if (read_namespace(&now, nvme->page.memory) != NULL || now.blocks != before->blocks ||
        now.block_bytes != before->block_bytes)
        return nvme_wrong(nvme, STATUS_CORRUPT, "the reset has made another disk of it");
    return STATUS_OK;
}

void nvme_describe(const struct nvme *nvme, struct block_facts *facts)
{
    const bool large = nvme->facts.page_log > PAGE_SHIFT;
    *facts = (struct block_facts){
        .block_bytes = nvme->chosen->block_bytes,
        .blocks = nvme->chosen->blocks,
        .transfer_bytes = nvme->facts.transfer_bytes,
        .segments = large ? 1 : NVME_LIST_ENTRIES + 1,
        .queues = nvme->queue_count,
        .depth = nvme->entries - 1,
        .scatter = false,
        .interrupts = nvme->interrupts,
        .read_only = nvme->chosen->read_only,
        .reset_ns = nvme->reset_ns,
    };
    memcpy(facts->serial, nvme->facts.serial, sizeof(nvme->facts.serial));
    memcpy(facts->model, nvme->facts.model, sizeof(nvme->facts.model));
}
