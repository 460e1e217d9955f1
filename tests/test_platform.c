// SPDX-License-Identifier: MIT
// The platform under unit tests: the least of each function that keeps its contract. A panic says
// why and aborts, so that a death test sees SIGABRT. Threads are CPU 0 unless they say otherwise.
#include <asm/prctl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cpu.h"
#include "memory_map.h"
#include "test_platform.h"

void test_cpu_enter(unsigned cpu)
{
    static struct cpu_local locals[CPU_MOST];
    locals[cpu].self = &locals[cpu];
    locals[cpu].index = cpu;
    if (syscall(SYS_arch_prctl, ARCH_SET_GS, &locals[cpu]) != 0)
        abort();
}

__attribute__((constructor)) static void begin_as_cpu_0(void)
{
    test_cpu_enter(0);
}

const struct bench_suite *const *platform_suites(void)
{
    static const struct bench_suite *const suites[] = {NULL};
    return suites;
}

unsigned test_cpu_count = 1;
const struct sched_cpu_ops *(*test_sched)(void **machine);
bool (*test_cpu_start)(unsigned cpu, void (*function)(void *argument), void *argument);

static struct test_cpu {
    pthread_t thread;
    bool started;
    unsigned cpu;
    void (*function)(void *argument);
    void *argument;
    bool done; // atomic
} cpus[CPU_MOST];

unsigned platform_cpu_count(void)
{
    return test_cpu_count;
}

static void *be_cpu(void *argument)
{
    struct test_cpu *cpu = argument;
    test_cpu_enter(cpu->cpu);
    cpu->function(cpu->argument);
    __atomic_store_n(&cpu->done, true, __ATOMIC_RELEASE);
    return NULL;
}

bool platform_cpu_start(unsigned cpu, void (*function)(void *argument), void *argument)
{
    if (cpu == 0 || cpu >= test_cpu_count)
        return false;
    if (test_cpu_start != NULL)
        return test_cpu_start(cpu, function, argument);
    struct test_cpu *one = &cpus[cpu];
    if (one->started && !__atomic_load_n(&one->done, __ATOMIC_ACQUIRE))
        return false;
    platform_cpu_wait(cpu, 0);
    one->cpu = cpu;
    one->function = function;
    one->argument = argument;
    one->done = false;
    one->started = pthread_create(&one->thread, NULL, be_cpu, one) == 0;
    return one->started;
}

void platform_cpu_wait(unsigned cpu, uint64_t most_ms)
{
    struct timespec until;
    struct test_cpu *one = &cpus[cpu];
    if (!one->started)
        return;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)(most_ms / 1000) + 1;
    if (pthread_timedjoin_np(one->thread, NULL, &until) != 0)
        platform_panic("a CPU does not finish", __FILE__, __LINE__);
    one->started = false;
}

size_t (*test_line_write)(const void *bytes, size_t length);
size_t (*test_line_read)(void *bytes, size_t capacity);
bool test_clock_stopped;
enum platform_clock test_clock_class = PLATFORM_CLOCK_EMULATED;
uint64_t test_clock_hz;
uint64_t (*test_clock_ns)(void);
void (*test_events)(struct platform_events *events);
void (*test_events_of_run)(struct platform_events *events);
bool (*test_counters)(struct platform_counters *counters);
bool (*test_core_clock)(uint64_t *core, uint64_t *reference);
uint8_t test_build_id[20];
size_t test_build_id_length;

uint64_t platform_clock_ns(void)
{
    struct timespec now;
    if (test_clock_stopped)
        return 0;
    if (test_clock_ns != NULL)
        return test_clock_ns();
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

enum platform_clock platform_clock_class(void)
{
    return test_clock_class;
}

uint64_t platform_clock_hz(void)
{
    return test_clock_hz;
}

size_t platform_line_write(const void *bytes, size_t length)
{
    if (test_line_write != NULL)
        return test_line_write(bytes, length);
    fwrite(bytes, 1, length, stdout);
    fflush(stdout);
    return 0;
}

size_t platform_line_read(void *bytes, size_t capacity)
{
    return test_line_read != NULL ? test_line_read(bytes, capacity) : 0;
}

#define ARENA_BYTES (16u << 20)

void *platform_arena(size_t *length)
{
    static void *arena;
    if (arena == NULL) {
        arena = aligned_alloc(2u << 20, ARENA_BYTES);
        if (arena == NULL)
            platform_panic("no memory for the arena", __FILE__, __LINE__);
        memset(arena, 0, ARENA_BYTES);
    }
    *length = ARENA_BYTES;
    return arena;
}

// Two nodes of 32 MiB.
const struct memory_map *platform_memory(void)
{
    static struct memory_map map = {
        .range_count = 2,
        .ranges = {{1u << 20, 31u << 20, MEMORY_RAM}, {64u << 20, 32u << 20, MEMORY_RAM}},
        .numa = {.node_count = 2,
                 .range_count = 2,
                 .ranges = {{0, 64u << 20, 0, false}, {64u << 20, 128u << 20, 1, false}},
                 .distance = {{10, 20}, {20, 10}}},
        .simulated = true,
    };
    return &map;
}

const char *platform_arguments(void)
{
    return "";
}

size_t platform_build_id(uint8_t *bytes, size_t capacity)
{
    const size_t length = capacity < test_build_id_length ? capacity : test_build_id_length;
    memcpy(bytes, test_build_id, length);
    return length;
}

void platform_describe(void (*emit)(void *context, const char *key, const char *value),
                       void *context)
{
    emit(context, "platform", "unit tests");
}

void platform_events(struct platform_events *events)
{
    *events = (struct platform_events){0};
    if (test_events != NULL)
        test_events(events);
}

void platform_events_of_run(struct platform_events *events)
{
    if (test_events_of_run != NULL)
        test_events_of_run(events);
    else
        platform_events(events);
}

bool platform_counters(struct platform_counters *counters)
{
    return test_counters != NULL && test_counters(counters);
}

bool platform_core_clock(uint64_t *core, uint64_t *reference)
{
    return test_core_clock != NULL && test_core_clock(core, reference);
}

_Noreturn void platform_panic(const char *reason, const char *file, unsigned line)
{
    fprintf(stderr, "%s:%u: %s\n", file, line, reason);
    fflush(stderr);
    abort();
}

void platform_die(const char *kind)
{
    (void)kind;
}

_Noreturn void platform_exit(bool success)
{
    exit(success ? EXIT_SUCCESS : EXIT_FAILURE);
}

const struct sched_cpu_ops *platform_sched(void **machine)
{
    *machine = NULL;
    return test_sched != NULL ? test_sched(machine) : NULL;
}

bool (*test_block)(unsigned index, struct platform_block *found);

bool platform_block(unsigned index, struct platform_block *found)
{
    return test_block != NULL && test_block(index, found);
}
