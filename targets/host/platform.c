// SPDX-License-Identifier: MIT
// The platform seam for a Linux process.
#include "platform.h"

#include <errno.h>
#include <link.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "host.h"
#include "host_disk.h"
#include "peers.h"
#include "sched_host.h"

#define WRITE_GIVEN_UP_MS 1000

uint64_t platform_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

enum platform_clock platform_clock_class(void)
{
    return PLATFORM_CLOCK_TSC;
}

uint64_t platform_clock_hz(void)
{
    return host.hz;
}

// Standard output is shared with others and stays as it is; a socket is not waited for.
static ssize_t write_some(const char *bytes, size_t length)
{
    const ssize_t sent = send(host.line, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 && errno == ENOTSOCK ? write(host.line, bytes, length) : sent;
}

size_t platform_line_write(const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length > 0) {
        const ssize_t written = write_some(at, length);
        if (written > 0) {
            at += written;
            length -= (size_t)written;
            host.line_stalled = false;
            continue;
        }
        struct pollfd wait = {.fd = host.line, .events = POLLOUT};
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno == EAGAIN && !host.line_stalled &&
            poll(&wait, 1, WRITE_GIVEN_UP_MS) > 0)
            continue;
        // Nobody listens. What comes next does not wait either until somebody does.
        host.line_stalled = true;
        break;
    }
    return length;
}

size_t platform_line_read(void *bytes, size_t capacity)
{
    struct pollfd wait = {.fd = host.line, .events = POLLIN};
    if (poll(&wait, 1, 0) <= 0 || (wait.revents & POLLIN) == 0)
        return 0;
    const ssize_t length = read(host.line, bytes, capacity);
    return length > 0 ? (size_t)length : 0;
}

void *platform_arena(size_t *length)
{
    *length = host.arena_length;
    return host.arena;
}

const char *platform_arguments(void)
{
    return host.arguments;
}

// ---- build id: the GNU note of the running program ----------------------------------------------

struct build_id {
    uint8_t *bytes;
    size_t capacity, length;
};

static int find_build_id(struct dl_phdr_info *info, size_t size, void *context)
{
    struct build_id *id = context;
    (void)size;
    for (unsigned i = 0; i < info->dlpi_phnum && id->length == 0; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        const char *at = (const char *)info->dlpi_addr + segment->p_vaddr;
        const char *end = at + segment->p_memsz;
        while (segment->p_type == PT_NOTE && at + sizeof(ElfW(Nhdr)) <= end) {
            const ElfW(Nhdr) *note = (const ElfW(Nhdr) *)at;
            const char *name = at + sizeof(*note);
            const char *value = name + (note->n_namesz + 3) / 4 * 4;
            if (note->n_type == NT_GNU_BUILD_ID && note->n_descsz <= id->capacity) {
                memcpy(id->bytes, value, note->n_descsz);
                id->length = note->n_descsz;
                break;
            }
            at = value + (note->n_descsz + 3) / 4 * 4;
        }
    }
    return 1; // the program itself comes first; its libraries do not matter
}

size_t platform_build_id(uint8_t *bytes, size_t capacity)
{
    struct build_id id = {.bytes = bytes, .capacity = capacity};
    dl_iterate_phdr(find_build_id, &id);
    return id.length;
}

// ---- the machine --------------------------------------------------------------------------------

void platform_describe(void (*emit)(void *context, const char *key, const char *value),
                       void *context)
{
    char text[64];
    struct utsname names;
    snprintf(text, sizeof(text), "%d", host.cpu);
    emit(context, "host.pinned_cpu", text);
    emit(context, "clock.hz_source", host.hz_source);
    emit(context, "pmu", host_counters());
    host_describe_memory(emit, context);
    if (uname(&names) == 0) {
        snprintf(text, sizeof(text), "%.30s %.30s", names.sysname, names.release);
        emit(context, "host.kernel", text);
    }
    if (peers_may_measure(host.arguments, "driver"))
        host_disk_describe(emit, context); // writes a file
    peers_describe(emit, context);
}

void platform_events(struct platform_events *events)
{
    struct rusage usage;
    const int cpu = sched_getcpu();
    getrusage(RUSAGE_THREAD, &usage);
    host.migrations += cpu != host.seen_cpu;
    host.seen_cpu = cpu;
    *events = (struct platform_events){
        .known =
            PLATFORM_KNOWS_PAGE_FAULTS | PLATFORM_KNOWS_MIGRATIONS | PLATFORM_KNOWS_PREEMPTIONS,
        .page_faults = (uint64_t)(usage.ru_minflt + usage.ru_majflt),
        .preemptions = (uint64_t)usage.ru_nivcsw,
        .migrations = host.migrations,
    };
}

// proc(5): "cpuN user nice system idle iowait irq softirq steal ...", in clock ticks.
static bool read_steal_ns(uint64_t *ns)
{
    char line[4096], name[24];
    bool found = false;
    FILE *file = fopen("/proc/stat", "r");
    snprintf(name, sizeof(name), "cpu%d ", host.cpu);
    while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL) {
        unsigned long long steal;
        found = strncmp(line, name, strlen(name)) == 0 &&
                sscanf(line + strlen(name), "%*u %*u %*u %*u %*u %*u %*u %llu", &steal) == 1;
        if (found)
            *ns = (uint64_t)steal * 1000000000u / (uint64_t)sysconf(_SC_CLK_TCK);
    }
    if (file != NULL)
        fclose(file);
    return found;
}

// Steal comes in steps of ten milliseconds from a file that takes longer to read than most windows.
void platform_events_of_run(struct platform_events *events)
{
    platform_events(events);
    if (read_steal_ns(&events->steal_ns))
        events->known |= PLATFORM_KNOWS_STEAL;
}

// ---- the end ------------------------------------------------------------------------------------

// Deep frames, each used after the call, so that the compiler cannot make a loop of it.
static int overflow(volatile char *below, unsigned deep)
{
    volatile char frame[4096];
    frame[0] = below != NULL ? below[0] : 0;
    return deep == 0 ? 0 : overflow(frame, deep - 1) + frame[0];
}

void platform_die(const char *kind)
{
    if (strcmp(kind, "fault") == 0)
        *(volatile char *)0xffff800000dead00 = 1;
    if (strcmp(kind, "overflow") == 0)
        exit(overflow(NULL, 1u << 30));
    if (strcmp(kind, "exit") == 0)
        exit(0);
    if (strcmp(kind, "triple") == 0)
        kill(getpid(), SIGKILL); // the nearest thing a process has
}

_Noreturn void platform_exit(bool success)
{
    exit(success ? 0 : 1);
}

const struct sched_cpu_ops *platform_sched(void **machine)
{
    return sched_host(machine);
}

bool platform_block(unsigned index, struct platform_block *found)
{
    return host_block(index, found);
}
