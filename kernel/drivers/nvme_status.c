// SPDX-License-Identifier: MIT
#include "nvme_status.h"

#include <stdbool.h>
#include <stddef.h>

#include "compiler.h"
#include "nvme_spec.h"

enum type { GENERIC, COMMAND, MEDIA, PATH, VENDOR = 7 };

struct meaning {
    uint16_t raw; // without the bit against retries
    bool again;   // passes: may be tried again unless the controller says no
    const char *text;
};

#define FOR_GOOD(type, code, text)                                                                 \
    {                                                                                              \
        NVME_STATUS(type, code), false, text                                                       \
    }
#define PASSES(type, code, text)                                                                   \
    {                                                                                              \
        NVME_STATUS(type, code), true, text                                                        \
    }

static const struct meaning meanings[] = {
    FOR_GOOD(GENERIC, 0x01, "invalid command opcode"),
    FOR_GOOD(GENERIC, 0x02, "invalid field in command"),
    FOR_GOOD(GENERIC, 0x03, "command id conflict"),
    FOR_GOOD(GENERIC, 0x04, "data transfer error"),
    PASSES(GENERIC, 0x05, "aborted by power loss"),
    FOR_GOOD(GENERIC, 0x06, "internal error"),
    PASSES(GENERIC, 0x07, "abort requested"),
    PASSES(GENERIC, 0x08, "aborted by deletion of its queue"),
    FOR_GOOD(GENERIC, 0x09, "aborted by a failed fused command"),
    FOR_GOOD(GENERIC, 0x0a, "aborted for want of a fused command"),
    FOR_GOOD(GENERIC, 0x0b, "invalid namespace or format"),
    FOR_GOOD(GENERIC, 0x0c, "command sequence error"),
    FOR_GOOD(GENERIC, 0x0d, "invalid SGL segment descriptor"),
    FOR_GOOD(GENERIC, 0x0e, "invalid number of SGL descriptors"),
    FOR_GOOD(GENERIC, 0x0f, "invalid data SGL length"),
    FOR_GOOD(GENERIC, 0x10, "invalid metadata SGL length"),
    FOR_GOOD(GENERIC, 0x11, "invalid SGL descriptor type"),
    FOR_GOOD(GENERIC, 0x12, "invalid use of the controller's memory"),
    FOR_GOOD(GENERIC, 0x13, "invalid PRP offset"),
    FOR_GOOD(GENERIC, 0x14, "atomic write unit exceeded"),
    FOR_GOOD(GENERIC, 0x15, "operation denied"),
    FOR_GOOD(GENERIC, 0x16, "invalid SGL offset"),
    FOR_GOOD(GENERIC, 0x18, "inconsistent format of the host's id"),
    FOR_GOOD(GENERIC, 0x19, "keep-alive timer expired"),
    FOR_GOOD(GENERIC, 0x1a, "invalid keep-alive timeout"),
    PASSES(GENERIC, 0x1b, "preempted and aborted"),
    FOR_GOOD(GENERIC, 0x1c, "sanitize failed"),
    PASSES(GENERIC, 0x1d, "sanitize in progress"),
    FOR_GOOD(GENERIC, 0x1e, "invalid SGL granularity"),
    FOR_GOOD(GENERIC, 0x1f, "not supported for a queue in the controller's memory"),
    FOR_GOOD(GENERIC, 0x20, "namespace is write-protected"),
    PASSES(GENERIC, 0x21, "command interrupted"),
    PASSES(GENERIC, 0x22, "transient transport error"),
    FOR_GOOD(GENERIC, 0x23, "prohibited by lockdown"),
    PASSES(GENERIC, 0x24, "media not ready"),
    FOR_GOOD(GENERIC, 0x80, "block out of range"),
    FOR_GOOD(GENERIC, 0x81, "capacity exceeded"),
    PASSES(GENERIC, 0x82, "namespace not ready"),
    FOR_GOOD(GENERIC, 0x83, "reservation conflict"),
    PASSES(GENERIC, 0x84, "format in progress"),
    FOR_GOOD(COMMAND, 0x00, "invalid completion queue"),
    FOR_GOOD(COMMAND, 0x01, "invalid queue id"),
    FOR_GOOD(COMMAND, 0x02, "invalid queue size"),
    FOR_GOOD(COMMAND, 0x03, "too many aborts"),
    FOR_GOOD(COMMAND, 0x05, "too many requests for events"),
    FOR_GOOD(COMMAND, 0x08, "invalid interrupt vector"),
    FOR_GOOD(COMMAND, 0x09, "invalid log page"),
    FOR_GOOD(COMMAND, 0x0a, "invalid format"),
    FOR_GOOD(COMMAND, 0x0c, "invalid queue deletion"),
    FOR_GOOD(COMMAND, 0x0d, "feature cannot be saved"),
    FOR_GOOD(COMMAND, 0x0e, "feature cannot be changed"),
    FOR_GOOD(COMMAND, 0x0f, "feature is not the namespace's"),
    FOR_GOOD(COMMAND, 0x80, "conflicting attributes"),
    FOR_GOOD(COMMAND, 0x81, "invalid protection information"),
    FOR_GOOD(COMMAND, 0x82, "write to a read-only range"),
    FOR_GOOD(COMMAND, 0x83, "command size limit exceeded"),
    FOR_GOOD(MEDIA, 0x80, "write fault"),
    FOR_GOOD(MEDIA, 0x81, "unrecovered read error"),
    FOR_GOOD(MEDIA, 0x82, "guard check failed"),
    FOR_GOOD(MEDIA, 0x83, "application tag check failed"),
    FOR_GOOD(MEDIA, 0x84, "reference tag check failed"),
    FOR_GOOD(MEDIA, 0x85, "compare failure"),
    FOR_GOOD(MEDIA, 0x86, "access denied"),
    FOR_GOOD(MEDIA, 0x87, "deallocated or unwritten block"),
    PASSES(PATH, 0x00, "internal path error"),
    FOR_GOOD(PATH, 0x01, "asymmetric access lost for good"),
    FOR_GOOD(PATH, 0x02, "asymmetric access inaccessible"),
    PASSES(PATH, 0x03, "asymmetric access in transition"),
    PASSES(PATH, 0x60, "controller pathing error"),
    PASSES(PATH, 0x70, "host pathing error"),
    PASSES(PATH, 0x71, "aborted by the host"),
};

// What is not in the table, by type.
static const char *const types[] = {
    [GENERIC] = "generic status not known", [COMMAND] = "command's status not known",
    [MEDIA] = "media error not known",      [PATH] = "path error not known",
    [4] = "status of a reserved type",      [5] = "status of a reserved type",
    [6] = "status of a reserved type",      [VENDOR] = "vendor's own status",
};

static const struct meaning *find(uint32_t raw)
{
    for (size_t i = 0; i < ARRAY_COUNT(meanings); i++) {
        if (meanings[i].raw == (raw & NVME_STATUS_CODE))
            return &meanings[i];
    }
    return NULL;
}

enum status nvme_status(uint32_t raw)
{
    if (LIKELY((raw & NVME_STATUS_CODE) == 0))
        return STATUS_OK;
    const struct meaning *meaning = find(raw);
    const bool again = meaning != NULL && meaning->again && (raw & NVME_STATUS_FINAL) == 0;
    return again ? STATUS_ABORTED : STATUS_FAILED;
}

const char *nvme_status_text(uint32_t raw)
{
    if ((raw & NVME_STATUS_CODE) == 0)
        return "success";
    const struct meaning *meaning = find(raw);
    return meaning != NULL ? meaning->text : types[raw >> 8 & 7];
}
