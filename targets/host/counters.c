// SPDX-License-Identifier: MIT
// The processor's counters of this thread in user mode, by perf_event_open(2).
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host.h"
#include "platform.h"

#define COUNTERS_MOST 3u
#define MOVE_READS    1000u // in which a counter of instructions must move

// One group, so that they count over the same time.
static struct {
    bool asked;
    int leader; // file descriptor
    uint64_t count;
    char what[128];
} group = {.leader = -1};

static int open_counter(uint64_t config, int leader)
{
    // Pinned: on the processor whenever the thread is, or in error; never a share of the time.
    struct perf_event_attr attributes = {.type = PERF_TYPE_HARDWARE,
                                         .size = sizeof(attributes),
                                         .config = config,
                                         .read_format = PERF_FORMAT_GROUP,
                                         .pinned = leader < 0,
                                         .exclude_kernel = 1,
                                         .exclude_hv = 1};
    return (int)syscall(SYS_perf_event_open, &attributes, 0, -1, leader, PERF_FLAG_FD_CLOEXEC);
}

// The group as the kernel gives it: how many, then each in the order opened.
static bool read_group(uint64_t values[1 + COUNTERS_MOST])
{
    const ssize_t wanted = (ssize_t)((1 + group.count) * sizeof(values[0]));
    return group.leader >= 0 && read(group.leader, values, (size_t)wanted) == wanted &&
           values[0] == group.count;
}

static const char *reason(int error)
{
    switch (error) {
    case EACCES:
    case EPERM:
        return "forbidden here (see kernel.perf_event_paranoid)";
    case ENOENT:
    case ENODEV:
    case EOPNOTSUPP:
        return "this machine shows no performance counters";
    case ENOSYS:
        return "this system has no perf_event_open";
    default:
        return strerror(error);
    }
}

static void give_up(const char *why)
{
    if (group.leader >= 0)
        close(group.leader);
    group.leader = -1;
    snprintf(group.what, sizeof(group.what), "not available: %s", why);
}

static void open_group(void)
{
    uint64_t values[1 + COUNTERS_MOST] = {0};
    group.asked = true;
    group.leader = open_counter(PERF_COUNT_HW_CPU_CYCLES, -1);
    if (group.leader < 0 || open_counter(PERF_COUNT_HW_INSTRUCTIONS, group.leader) < 0) {
        give_up(reason(errno));
        return;
    }
    group.count = open_counter(PERF_COUNT_HW_REF_CPU_CYCLES, group.leader) >= 0 ? 3 : 2;
    for (unsigned i = 0; i < MOVE_READS; i++) {
        if (!read_group(values)) {
            give_up("the counters are in use elsewhere");
            return;
        }
        if (values[1] > 0 && values[2] > 0)
            break;
    }
    if (values[1] == 0 || values[2] == 0)
        give_up("the counters stand still");
    else
        snprintf(group.what, sizeof(group.what),
                 "perf_event, user mode: core cycles, instructions%s",
                 group.count == 3 ? ", reference cycles" : "");
}

const char *host_counters(void)
{
    if (!group.asked)
        open_group();
    return group.what;
}

bool platform_counters(struct platform_counters *counters)
{
    uint64_t values[1 + COUNTERS_MOST] = {0};
    host_counters();
    if (!read_group(values))
        return false;
    *counters = (struct platform_counters){
        .core_cycles = values[1], .instructions = values[2], .reference_cycles = values[3]};
    return true;
}

// Linux shows both to those who may count for the whole system only.
bool platform_core_clock(uint64_t *core, uint64_t *reference)
{
    *core = *reference = 0;
    return false;
}
