// SPDX-License-Identifier: MIT
// Storms: interrupts from timers and from other CPUs while registers and flags hold patterns, and
// threads that the timer switches between.
#include <stddef.h>

#include "clocks.h"
#include "compiler.h"
#include "deeds.h"
#include "format.h"
#include "interrupts.h"
#include "irqs.h"
#include "machine_cpu.h"
#include "msr_access.h"
#include "platform.h"
#include "string.h"
#include "thread.h"
#include "timer.h"
#include "x86.h"

void deeds_say(const char *key, uint64_t value)
{
    char line[96];
    platform_line_write(line, format(line, sizeof(line), "probe %s=%lu\n", key, value));
}

uint64_t deeds_option(const char *name, uint64_t otherwise)
{
    char word[24];
    uint64_t value = otherwise;
    if (string_option(platform_arguments(), name, word, sizeof(word)))
        string_to_u64(word, UINT64_MAX, &value);
    return value;
}

static struct apic *own_apic(void)
{
    return &machine_cpu_here()->apic;
}

// ---- timer storm -------------------------------------------------------------------------------

static uint64_t ticks_seen; // by the boot CPU's handler alone

static void on_tick(void *context, const struct trap_frame *frame)
{
    (void)context;
    (void)frame;
    ticks_seen++;
}

// count= interrupts of this CPU's timer, one every period= of its ticks.
static void timer_storm(void)
{
    const uint64_t wanted = deeds_option("count", 10000);
    uint64_t changed = 0, seed = 0x9e3779b97f4a7c15;
    const uint64_t before = machine_cpu_here()->counts.timer;
    interrupt_handle(INTERRUPT_TIMER, on_tick, NULL);
    apic_timer_periodic(own_apic(), (uint32_t)deeds_option("period", 20000));
    while (__atomic_load_n(&ticks_seen, __ATOMIC_RELAXED) < wanted)
        changed += patterns_hold(100, seed++);
    apic_timer_stop(own_apic());
    deeds_say("storm.timer", ticks_seen);
    deeds_say("storm.counted", machine_cpu_here()->counts.timer - before);
    deeds_say("storm.changed", changed);
}

// ---- the timer, once ----------------------------------------------------------------------------

#define ONCE_US 500u

// count= times: by the TSC's deadline where the CPU has one. None may come before its time.
static void timer_once(void)
{
    const uint64_t wanted = deeds_option("count", 50), hz = clocks_tsc_hz();
    uint64_t early = 0, fired = 0;
    interrupt_handle(INTERRUPT_TIMER, on_tick, NULL);
    for (uint64_t i = 0; i < wanted; i++) {
        const uint64_t seen = ticks_seen, begin = cpu_ticks();
        if (!timer_after_us(ONCE_US))
            platform_panic("no timer", __FILE__, __LINE__);
        for (unsigned waits = 0; waits < 100; waits++) {
            interrupts_off();
            if (ticks_seen != seen)
                break;
            interrupts_wait();
        }
        interrupts_on();
        const uint64_t took = cpu_ticks() - begin;
        fired += ticks_seen - seen;
        early += took < hz / 1000000 * ONCE_US / 100 * 99; // one percent for two clocks
    }
    deeds_say("once.fired", fired);
    deeds_say("once.early", early);
}

// ---- IPI storm ---------------------------------------------------------------------------------

static struct {
    CACHE_ALIGNED uint64_t calls; // written by the handler of CPU 1
    CACHE_ALIGNED uint32_t stop;
    uint64_t changed;
} ipi;

static void on_call(void *context, const struct trap_frame *frame)
{
    (void)context;
    (void)frame;
    __atomic_store_n(&ipi.calls, ipi.calls + 1, __ATOMIC_RELEASE);
}

static void hold_patterns(void *argument)
{
    uint64_t seed = 1;
    (void)argument;
    while (__atomic_load_n(&ipi.stop, __ATOMIC_ACQUIRE) == 0)
        ipi.changed += patterns_hold(100, seed++);
}

// Bounded: an interrupt that gets lost is a result, not a reason to wait for ever.
static bool wait_for_call(uint64_t calls)
{
    for (unsigned looks = 0; looks < 100000000; looks++) {
        if (__atomic_load_n(&ipi.calls, __ATOMIC_ACQUIRE) >= calls)
            return true;
        cpu_pause();
    }
    return false;
}

// count= interrupts to CPU 1, each sent when the one before has arrived.
static void ipi_storm(void)
{
    const uint64_t wanted = deeds_option("count", 10000);
    uint64_t sent = 0;
    const uint64_t before = machine_cpus[1].counts.ipi;
    interrupt_handle(INTERRUPT_CALL, on_call, NULL);
    if (!platform_cpu_start(1, hold_patterns, NULL))
        platform_panic("CPU 1 takes no work", __FILE__, __LINE__);
    const uint64_t first = machine_cpus[1].counts.ipi;
    while (sent < wanted) {
        interrupts_off();
        const enum status status = apic_send(own_apic(), machine_cpus[1].apic_id, INTERRUPT_CALL);
        interrupts_on();
        if (status != STATUS_OK || !wait_for_call(++sent))
            break;
    }
    __atomic_store_n(&ipi.stop, 1, __ATOMIC_RELEASE);
    platform_cpu_wait(1, 10000);
    (void)first;
    deeds_say("storm.sent", sent);
    deeds_say("storm.calls", ipi.calls);
    deeds_say("storm.counted", machine_cpus[1].counts.ipi - before);
    deeds_say("storm.changed", ipi.changed);
}

// Everybody interrupts everybody at once, as fast as the controller takes it: several may become
// one, none may do harm.
static struct {
    CACHE_ALIGNED uint32_t done;
    uint64_t changed[CPU_MOST], failed[CPU_MOST];
} all;

static void interrupt_others(void *argument)
{
    const unsigned index = cpu_local()->index;
    const uint64_t wanted = *(const uint64_t *)argument;
    for (uint64_t sent = 0; sent < wanted; sent++) {
        interrupts_off();
        if (apic_send_others(own_apic(), INTERRUPT_CALL) != STATUS_OK)
            all.failed[index]++;
        interrupts_on();
        all.changed[index] += patterns_hold(1, sent + index);
    }
    __atomic_add_fetch(&all.done, 1, __ATOMIC_ACQ_REL);
}

static void mutual_storm(void)
{
    static uint64_t wanted;
    uint64_t changed = 0, failed = 0;
    wanted = deeds_option("count", 1000);
    interrupt_handle(INTERRUPT_CALL, interrupt_only_count, NULL);
    for (unsigned cpu = 1; cpu < platform_cpu_count(); cpu++)
        platform_cpu_start(cpu, interrupt_others, &wanted);
    interrupt_others(&wanted);
    for (unsigned cpu = 1; cpu < platform_cpu_count(); cpu++)
        platform_cpu_wait(cpu, 60000);
    for (unsigned cpu = 0; cpu < platform_cpu_count(); cpu++) {
        changed += all.changed[cpu];
        failed += all.failed[cpu];
    }
    deeds_say("storm.cpus", all.done);
    deeds_say("storm.failed", failed);
    deeds_say("storm.changed", changed);
}

// ---- a device's line ---------------------------------------------------------------------------

#define PIT_IRQ     0u
#define PIT_DIVISOR 1193u // 1 193 182 Hz: about a millisecond

static uint64_t lines_seen;

static void on_line(void *context, const struct trap_frame *frame)
{
    (void)context;
    (void)frame;
    lines_seen++;
}

// The old timer's line through the IO-APIC, count= times, then masked.
static void line_interrupts(void)
{
    const uint64_t wanted = deeds_option("count", 50), before = machine_cpu_here()->counts.device;
    const unsigned vector = interrupt_claim(on_line, NULL);
    x86_out8(0x43, 0x34); // channel 0, rate generator
    x86_out8(0x40, PIT_DIVISOR & 0xff);
    x86_out8(0x40, PIT_DIVISOR >> 8);
    deeds_say("line.status_ok", irqs_route_isa(PIT_IRQ, vector) == STATUS_OK);
    for (unsigned i = 0; i < 1000 && __atomic_load_n(&lines_seen, __ATOMIC_RELAXED) < wanted; i++)
        clocks_delay_us(1000);
    irqs_mask_isa(PIT_IRQ);
    clocks_delay_us(3000);
    const uint64_t seen = lines_seen;
    clocks_delay_us(5000);
    deeds_say("line.seen", seen);
    deeds_say("line.seen_masked", lines_seen - seen);
    deeds_say("line.counted", machine_cpu_here()->counts.device - before);
}

// ---- vectors nobody claimed --------------------------------------------------------------------

static void unclaimed(void)
{
    const struct interrupt_counts before = machine_cpu_here()->counts;
    __asm__ volatile("int $0x77; int $0x77; int $0xff; int $0x27");
    const struct interrupt_counts *after = &machine_cpu_here()->counts;
    deeds_say("unexpected", after->unexpected - before.unexpected);
    deeds_say("spurious", after->spurious - before.spurious);
    deeds_say("all", after->all - before.all);
}

// ---- threads -----------------------------------------------------------------------------------

#define THREADS 3u

static struct thread boot_thread, threads[THREADS];
static uint8_t thread_stacks[THREADS][16384] __attribute__((aligned(16)));
static uint64_t thread_rounds[THREADS], thread_changed[THREADS], switches, held_back;
static bool hold_switches;

// The round: 0, 1, 2, the boot thread, 0 ...
static struct thread *after(const struct thread *thread)
{
    if (thread == &boot_thread)
        return &threads[0];
    return thread == &threads[THREADS - 1] ? &boot_thread : (struct thread *)(thread + 1);
}

// Called when an interrupt is over and the preempt count is 0.
static void preempt(void)
{
    cpu_preempt_disable();
    struct thread *next = after(thread_current());
    while (__atomic_load_n(&next->state, __ATOMIC_ACQUIRE) != THREAD_READY &&
           next != thread_current())
        next = after(next);
    if (next != thread_current()) {
        switches++;
        thread_switch(next);
    }
    cpu_preempt_enable();
}

static void work(void *argument)
{
    const uint64_t index = *(const uint64_t *)argument;
    interrupts_on(); // a new thread begins inside an interrupt
    for (uint64_t i = 0; i < 400; i++) {
        thread_changed[index] += patterns_hold(50, index * 1000 + i);
        thread_rounds[index]++;
    }
    interrupts_off(); // a switch is made with interrupts masked
}

static void count_held_back(void *context, const struct trap_frame *frame)
{
    (void)context;
    (void)frame;
    held_back += hold_switches;
}

static void end_of_interrupt(void)
{
    apic_end(own_apic());
}

// The timer switches between three threads and this one; while the preempt count is not 0 it
// interrupts but does not switch.
static void threads_by_timer(void)
{
    static uint64_t numbers[THREADS];
    thread_adopt(&boot_thread, "boot");
    for (uint64_t i = 0; i < THREADS; i++) {
        numbers[i] = i;
        thread_create(&threads[i], "worker", thread_stacks[i], sizeof(thread_stacks[i]), work,
                      &numbers[i]);
    }
    interrupts_init(end_of_interrupt, preempt);
    interrupt_handle(INTERRUPT_TIMER, count_held_back, NULL);

    cpu_preempt_disable();
    __atomic_store_n(&hold_switches, true, __ATOMIC_RELEASE);
    apic_timer_periodic(own_apic(), (uint32_t)deeds_option("period", 20000));
    while (__atomic_load_n(&held_back, __ATOMIC_RELAXED) < 20)
        patterns_hold(10, 1);
    deeds_say("threads.switches_while_disabled", switches);
    __atomic_store_n(&hold_switches, false, __ATOMIC_RELEASE);
    cpu_preempt_enable();

    for (unsigned i = 0; i < THREADS; i++) {
        while (__atomic_load_n(&threads[i].state, __ATOMIC_ACQUIRE) != THREAD_FINISHED)
            cpu_pause();
    }
    apic_timer_stop(own_apic());
    interrupts_init(end_of_interrupt, NULL);
    deeds_say("threads.switches", switches);
    deeds_say("threads.rounds", thread_rounds[0] + thread_rounds[1] + thread_rounds[2]);
    deeds_say("threads.changed", thread_changed[0] + thread_changed[1] + thread_changed[2]);
}

// AMD64 vol. 2, 15.30.4: a physical address of a page, anything else is a general protection fault.
#define MSR_HOST_SAVE 0xc0010117u

static void refused_register(void)
{
    uint64_t after = 0;
    deeds_say("msr.taken", msr_access_write(NULL, MSR_HOST_SAVE, 0x5000));
    deeds_say("msr.refused", !msr_access_write(NULL, MSR_HOST_SAVE, 0x7001));
    deeds_say("msr.read", msr_access_read(NULL, MSR_HOST_SAVE, &after));
    deeds_say("msr.after", after);
}

static const struct {
    const char *name;
    void (*what)(void);
} deeds[] = {
    {"msr", refused_register},
    {"timer_storm", timer_storm},
    {"ipi_storm", ipi_storm},
    {"mutual_storm", mutual_storm},
    {"line", line_interrupts},
    {"unclaimed", unclaimed},
    {"threads", threads_by_timer},
    {"timer_once", timer_once},
    {"pci_msi", pci_msi_deed},
    {"pci_msix", pci_msix_deed},
    {"pci_ecam", pci_ecam_deed},
    {"block_read", block_read_deed},
    {"block_errors", block_errors_deed},
    {"block_late", block_late_deed},
    {"block_gone", block_gone_deed},
    {"paging_walk", paging_walk_deed},
    {"paging_storm", paging_storm_deed},
    {"paging_late", paging_late_deed},
    {"paging_lazy", paging_lazy_deed},
    {"paging_lazy_bad", paging_lazy_bad_deed},
    {"paging_contexts", paging_contexts_deed},
    {"switch_storm", switch_storm_deed},
    {"switch_steps", switch_steps_deed},
    {"thread_overflow", thread_overflow_deed},
    {"vectors_lazy", vectors_lazy_deed},
    {"sched_meet", sched_meet_deed},
    {"sched_greedy", sched_greedy_deed},
    {"sched_leaf", sched_leaf_deed},
    {"sched_ticks", sched_ticks_deed},
    {"sched_late", sched_late_deed},
    {"sched_overflow", sched_overflow_deed},
    {"sched_steps", sched_steps_deed},
    {"sched_storm", sched_storm_deed},
};

void deeds_do(const char *kind)
{
    for (unsigned i = 0; i < ARRAY_COUNT(deeds); i++) {
        if (string_equal(kind, deeds[i].name))
            deeds[i].what();
    }
}
