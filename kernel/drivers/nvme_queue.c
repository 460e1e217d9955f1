// SPDX-License-Identifier: MIT
#include "nvme_queue.h"

#include "assert.h"
#include "string.h"

#define SLOT_BITS 7u
#define SLOT_MASK ((1u << SLOT_BITS) - 1)
#define USES      (1u << (16 - SLOT_BITS))

_Static_assert(NVME_SLOTS <= SLOT_MASK, "no id is FFFFh, which error logs use for none (5.14.1.1)");

void nvme_queue_init(struct nvme_queue *queue, const struct nvme_queue_config *config)
{
    assert(config->entries >= 2 && config->entries <= NVME_ENTRIES_MOST);
    assert(nvme_queue_registers(config->id, config->stride) <= config->registers.length);
    queue->config = *config;
    queue->submission_bell = NVME_DOORBELLS + 2ull * config->id * config->stride;
    queue->completion_bell = queue->submission_bell + config->stride;
    queue->tail = queue->head = queue->told = 0;
    queue->phase = 1; // entries are zeroed, and the controller's first turn sets it (4.6)
    memset(config->completions.memory, 0, NVME_COMPLETION_BYTES);
    queue->free_count = config->entries - 1;
    for (uint32_t i = 0; i < queue->free_count; i++) {
        queue->free[i] = (uint8_t)i;
        queue->slots[i].owner = NULL;
    }
}

// ---- submission ---------------------------------------------------------------------------------

uint32_t nvme_queue_claim(struct nvme_queue *queue, void *owner)
{
    if (queue->free_count == 0)
        return NVME_SLOT_NONE;
    const uint32_t number = queue->free[--queue->free_count];
    struct nvme_slot *slot = &queue->slots[number];
    slot->owner = owner;
    slot->cid = (uint16_t)((uint32_t)slot->next_use << SLOT_BITS | number);
    slot->next_use = (uint16_t)((slot->next_use + 1) % USES);
    return number;
}

void nvme_queue_release(struct nvme_queue *queue, uint32_t slot)
{
    queue->slots[slot].owner = NULL;
    queue->free[queue->free_count++] = (uint8_t)slot;
}

static bool allowed(const struct nvme_queue_config *config, const struct nvme_command *command)
{
    if (!block_guard_allows(config->guard, config->protocol, command->opcode))
        return false;
    if (config->protocol == BLOCK_PROTOCOL_NVME_ADMIN) // what a feature is set to may be saved
        return command->opcode != NVME_SET_FEATURES || command->words[0] == NVME_FEATURE_QUEUES;
    if (command->opcode != NVME_WRITE)
        return true;
    const uint64_t first = command->words[0] | (uint64_t)command->words[1] << 32;
    return block_guard_allows_range(config->guard, first, (command->words[2] & 0xffff) + 1);
}

enum status nvme_queue_put(struct nvme_queue *queue, uint32_t slot,
                           const struct nvme_command *command)
{
    if (!allowed(&queue->config, command)) {
        nvme_queue_release(queue, slot);
        return STATUS_REFUSED;
    }
    // There is room: a slot is free only while an entry is, because what was completed was fetched.
    struct nvme_command *entries = queue->config.submissions.memory;
    struct nvme_command *entry = &entries[queue->tail];
    *entry = *command;
    entry->cid = queue->slots[slot].cid;
    queue->tail = queue->tail + 1 == queue->config.entries ? 0 : queue->tail + 1;
    return STATUS_OK;
}

static void ring(const struct nvme_queue *queue, uint64_t bell, uint32_t value)
{
    const struct memory_access *registers = &queue->config.registers;
    registers->write(registers->context, bell, 4, value);
}

void nvme_queue_ring(struct nvme_queue *queue)
{
    // Commands and lists are in memory before the bell: the write is a call that the compiler does
    // not look into, and the CPU keeps stores in order, uncached ones too (Intel SDM vol. 3,
    // 8.2.2).
    ring(queue, queue->submission_bell, queue->tail);
}

// ---- completion ---------------------------------------------------------------------------------

// The slot whose command this entry completes; NVME_SLOT_NONE if there is none.
static uint32_t slot_of(struct nvme_queue *queue, uint32_t id_and_head, uint16_t cid)
{
    const uint32_t number = cid & SLOT_MASK;
    queue->anomalies.heads += (id_and_head & 0xffff) >= queue->config.entries;
    if (id_and_head >> 16 != queue->config.id)
        queue->anomalies.misplaced++;
    else if (number >= queue->config.entries - 1)
        queue->anomalies.unknown++;
    else if (queue->slots[number].owner == NULL || queue->slots[number].cid != cid)
        queue->anomalies.repeated++;
    else
        return number;
    return NVME_SLOT_NONE;
}

bool nvme_queue_take(struct nvme_queue *queue, struct nvme_answer *answer)
{
    const struct nvme_completion *entries = queue->config.completions.memory;
    for (uint32_t looks = 0; looks < queue->config.entries; looks++) {
        const struct nvme_completion *entry = &entries[queue->head];
        // Acquire: the rest of the entry, and what the command read into memory, were written
        // before the phase, and are read after it. Read once: what is checked is what is used.
        const uint32_t status = __atomic_load_n(&entry->status, __ATOMIC_ACQUIRE);
        if (NVME_COMPLETION_PHASE(status) != queue->phase)
            return false;
        answer->result = __atomic_load_n(&entry->result, __ATOMIC_RELAXED);
        const uint32_t id_and_head = __atomic_load_n(&entry->queue, __ATOMIC_RELAXED);
        if (++queue->head == queue->config.entries) {
            queue->head = 0;
            queue->phase ^= 1;
        }
        const uint32_t slot = slot_of(queue, id_and_head, (uint16_t)status);
        if (slot == NVME_SLOT_NONE)
            continue;
        answer->owner = queue->slots[slot].owner;
        answer->status = status >> 17;
        nvme_queue_release(queue, slot);
        return true;
    }
    return false;
}

void nvme_queue_taken(struct nvme_queue *queue)
{
    if (queue->told != queue->head)
        ring(queue, queue->completion_bell, queue->head);
    queue->told = queue->head;
}
