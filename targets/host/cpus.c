// SPDX-License-Identifier: MIT
// Further CPUs of the host program: a thread pinned to each processor the process may use, made
// when it is first needed. Parked, it waits on a condition; it never spins while there is nothing
// to do.
#include <asm/prctl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cpu.h"
#include "host.h"
#include "platform.h"

struct host_cpu {
    struct cpu_local local;
    int processor;
    bool started;
    pthread_t thread;
    // Under `lock`; the condition is signalled when `working` changes.
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool working;
    void (*function)(void *argument);
    void *argument;
};

static struct host_cpu cpus[CPU_MOST]; // [0] stands for the main thread
static unsigned count;

unsigned platform_cpu_count(void)
{
    return count;
}

void host_cpus_init(const cpu_set_t *allowed)
{
    count = 1;
    for (int processor = 0; processor < CPU_SETSIZE && count < CPU_MOST; processor++) {
        if (!CPU_ISSET(processor, allowed) || processor == host.cpu)
            continue;
        struct host_cpu *cpu = &cpus[count];
        cpu->local.self = &cpu->local;
        cpu->local.index = count;
        cpu->processor = processor;
        pthread_mutex_init(&cpu->lock, NULL);
        pthread_cond_init(&cpu->changed, NULL);
        count++;
    }
}

void host_cpu_base(struct cpu_local *local)
{
    if (syscall(SYS_arch_prctl, ARCH_SET_GS, local) != 0)
        host_refuse("arch_prctl(ARCH_SET_GS)");
}

unsigned host_cpu_index(void)
{
    for (unsigned i = 1; i < count; i++) {
        if (cpus[i].started && pthread_equal(cpus[i].thread, pthread_self()))
            return i;
    }
    return 0;
}

static void *live(void *argument)
{
    struct host_cpu *cpu = argument;
    host_cpu_base(&cpu->local);
    host_signal_stack();
    pthread_mutex_lock(&cpu->lock);
    for (;;) {
        while (!cpu->working)
            pthread_cond_wait(&cpu->changed, &cpu->lock);
        pthread_mutex_unlock(&cpu->lock);
        cpu->function(cpu->argument);
        pthread_mutex_lock(&cpu->lock);
        cpu->working = false;
        pthread_cond_broadcast(&cpu->changed);
    }
    return NULL;
}

// Born on its processor: not a moment elsewhere.
static bool start_thread(struct host_cpu *cpu)
{
    pthread_attr_t attributes;
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(cpu->processor, &only);
    pthread_attr_init(&attributes);
    const bool started = pthread_attr_setaffinity_np(&attributes, sizeof(only), &only) == 0 &&
                         pthread_create(&cpu->thread, &attributes, live, cpu) == 0;
    pthread_attr_destroy(&attributes);
    return started;
}

bool platform_cpu_start(unsigned index, void (*function)(void *argument), void *argument)
{
    if (index == 0 || index >= count)
        return false;
    struct host_cpu *cpu = &cpus[index];
    if (!cpu->started)
        cpu->started = start_thread(cpu);
    if (!cpu->started)
        return false;
    pthread_mutex_lock(&cpu->lock);
    const bool idle = !cpu->working;
    if (idle) {
        cpu->function = function;
        cpu->argument = argument;
        cpu->working = true;
        pthread_cond_broadcast(&cpu->changed);
    }
    pthread_mutex_unlock(&cpu->lock);
    return idle;
}

// pthread_cond_timedwait counts in CLOCK_REALTIME unless told otherwise; a clock that is set back
// only makes this wait longer by as much.
static struct timespec after_ms(uint64_t most_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)(most_ms / 1000);
    until.tv_nsec += (long)(most_ms % 1000 * 1000000);
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    return until;
}

void platform_cpu_wait(unsigned index, uint64_t most_ms)
{
    if (index == 0 || index >= count || !cpus[index].started)
        return;
    struct host_cpu *cpu = &cpus[index];
    const struct timespec until = after_ms(most_ms);
    bool late = false;
    pthread_mutex_lock(&cpu->lock);
    while (cpu->working && !late)
        late = pthread_cond_timedwait(&cpu->changed, &cpu->lock, &until) != 0;
    late = late && cpu->working;
    pthread_mutex_unlock(&cpu->lock);
    if (late)
        host_show(cpu->thread);
}
