// SPDX-License-Identifier: MIT
// The host target: the portable object in a Linux process. A pinned thread is the CPU, an mmap the
// memory, a file descriptor the line.
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpu.h"
#include "host.h"
#include "host_disk.h"
#include "peers.h"
#include "platform.h"
#include "run.h"

#define ARENA_BYTES ((size_t)448 << 20)
// The same place for every block of a buddy in every boot, so that counters of pages are equal.
#define ARENA_ALIGNMENT ((size_t)1 << 30)

struct host host = {.line = STDOUT_FILENO, .arguments = ""};

int bench_main_plain(struct bench_run *run);
int bench_main_traced(struct bench_run *run);

_Noreturn void host_refuse(const char *what)
{
    perror(what);
    exit(1);
}

// The last allowed processor: the first one takes most interrupts.
static void pin(void)
{
    cpu_set_t allowed, only;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
        host_refuse("sched_getaffinity");
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed))
            host.cpu = cpu;
    host.seen_cpu = host.cpu;
    CPU_ZERO(&only);
    CPU_SET(host.cpu, &only);
    if (sched_setaffinity(0, sizeof(only), &only) != 0)
        host_refuse("sched_setaffinity");
    host_cpus_init(&allowed);
}

static void set_cpu_base(void)
{
    host.local.self = &host.local;
    host_cpu_base(&host.local);
}

// Touched here, so that no window pays for a page's first use.
static void map_arena(void)
{
    uint8_t *memory = mmap(NULL, ARENA_BYTES + ARENA_ALIGNMENT, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        host_refuse("mmap of the arena");
    const uintptr_t start = ((uintptr_t)memory + ARENA_ALIGNMENT - 1) & ~(ARENA_ALIGNMENT - 1);
    host.arena = (uint8_t *)start;
    host.arena_length = ARENA_BYTES;
    madvise(host.arena, ARENA_BYTES, MADV_HUGEPAGE);
    memset(host.arena, 0, ARENA_BYTES);
}

static void read_arguments(int count, char **words)
{
    for (int i = 1; i < count; i++) {
        if (strncmp(words[i], "line=", 5) == 0)
            host.line = atoi(words[i] + 5);
        else if (strncmp(words[i], "disk=", 5) == 0)
            host_disk.folder = words[i] + 5;
        else
            host.arguments = words[i];
    }
}

int main(int count, char **words)
{
    host.stack_top = (const char *)__builtin_frame_address(0) + sizeof(void *) * 2;
    peers_start(words);
    read_arguments(count, words);
    host_signals_init();
    pin();
    set_cpu_base();
    if (!cpu_has_baseline()) {
        fputs("this CPU lacks POPCNT or BMI1, which the code was compiled for\n", stderr);
        return 1;
    }
    map_arena();
    host.hz = host_clock_hz(&host.hz_source);
    static struct bench_run run;
    const bool failed = bench_main_plain(&run) != 0 || bench_main_traced(&run) != 0;
    platform_exit(!failed);
}
