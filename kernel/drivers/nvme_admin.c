// SPDX-License-Identifier: MIT
// Commands of the admin queue: run one after the other while the controller is brought up; later
// aborts, for which nobody waits.
#include "nvme_parts.h"
#include "nvme_status.h"

static void count_abort(struct nvme *nvme, const struct nvme_answer *answer)
{
    const bool done = answer->status == 0 && (answer->result & NVME_ABORT_NOT_DONE) == 0;
    nvme->aborts--;
    nvme->aborted += done;
    nvme->not_aborted += !done;
}

// Whether the command that is waited for has its answer, which frees its slot. An answer to another
// one, which nobody waits for any more, is passed over.
static bool answered(struct nvme *nvme, uint32_t slot)
{
    const bool found = nvme_queue_take(&nvme->admin, &nvme->answer);
    nvme_queue_taken(&nvme->admin);
    return found && nvme->admin.slots[slot].owner == NULL;
}

enum status nvme_admin(struct nvme *nvme, const struct nvme_command *command, uint64_t until,
                       uint32_t *result)
{
    const uint32_t slot = nvme_queue_claim(&nvme->admin, &nvme->answer);
    assert(slot != NVME_SLOT_NONE); // one at a time, and after one that failed there is no other
    const enum status status = nvme_queue_put(&nvme->admin, slot, command);
    if (status != STATUS_OK)
        return nvme_wrong(nvme, status, "a command is not allowed");
    nvme_queue_ring(&nvme->admin);
    until = nvme_until(nvme, NVME_COMMAND_NS, until);
    for (;;) {
        const bool late = device_ticks(&nvme->config.clock) >= until;
        if (answered(nvme, slot)) {
            if (result != NULL)
                *result = nvme->answer.result;
            const uint32_t raw = nvme->answer.status;
            const enum status meaning = nvme_status(raw);
            return meaning == STATUS_OK ? meaning
                                        : nvme_wrong(nvme, meaning, nvme_status_text(raw));
        }
        const uint32_t now = nvme_read(nvme, NVME_CSTS);
        if (nvme_is_gone(nvme, now))
            return nvme_wrong(nvme, STATUS_CLOSED, "nobody answers any more");
        if ((now & NVME_CSTS_FATAL) != 0)
            return nvme_wrong(nvme, STATUS_FAILED, "it failed fatally");
        if (late)
            return nvme_wrong(nvme, STATUS_TIMEOUT, "an admin command is not answered");
        cpu_pause();
    }
}

// ---- aborts -------------------------------------------------------------------------------------

static void reap(struct nvme *nvme)
{
    struct nvme_answer answer;
    while (nvme->aborts > 0 && nvme_queue_take(&nvme->admin, &answer))
        count_abort(nvme, &answer);
    nvme_queue_taken(&nvme->admin);
}

enum status nvme_abort(struct nvme *nvme, uint16_t queue, uint16_t cid)
{
    const struct nvme_command command = {.opcode = NVME_ABORT,
                                         .words = {(uint32_t)cid << 16 | queue}};
    enum status status = STATUS_FULL;
    spinlock_acquire(&nvme->admin_lock);
    reap(nvme);
    if (nvme->aborts < nvme->facts.aborts_most) {
        const uint32_t slot = nvme_queue_claim(&nvme->admin, &nvme->aborts);
        status = slot != NVME_SLOT_NONE ? nvme_queue_put(&nvme->admin, slot, &command) : status;
    }
    if (status == STATUS_OK) {
        nvme->aborts++;
        nvme_queue_ring(&nvme->admin);
    }
    spinlock_release(&nvme->admin_lock);
    return status;
}

void nvme_reap(struct nvme *nvme)
{
    if (!spinlock_try_acquire(&nvme->admin_lock))
        return;
    reap(nvme);
    spinlock_release(&nvme->admin_lock);
}
