// SPDX-License-Identifier: MIT
// The platform seam (platform.h) of the freestanding kernel. platform_panic is in panic_entry.S.
#include "platform.h"

#include "assert.h"
#include "boot_log.h"
#include "clocks.h"
#include "compiler.h"
#include "counters.h"
#include "cpu.h"
#include "firmware.h"
#include "format.h"
#include "hpet.h"
#include "kernel.h"
#include "kernel_map.h"
#include "last_words.h"
#include "line_host.h"
#include "linker.h"
#include "machine_cpu.h"
#include "machine_report.h"
#include "pci_boot.h"
#include "pci_describe.h"
#include "sched_machine.h"
#include "screen_line.h"
#include "serial_line.h"
#include "smp.h"
#include "string.h"
#include "x86.h"

#define CPU_WAIT_STEP_US 10u

uint64_t platform_clock_ns(void)
{
    // Under instruction counting every clock of the machine is derived from the counter: there is
    // no second source.
    return kernel.clock == PLATFORM_CLOCK_INSN ? 0 : hpet_ns();
}

enum platform_clock platform_clock_class(void)
{
    return kernel.clock;
}

uint64_t platform_clock_hz(void)
{
    return clocks_tsc_hz();
}

size_t platform_line_write(const void *bytes, size_t length)
{
    const uint64_t dropped = kernel.line.dropped;
    if (screen_line_write(bytes, length) && (screen_line_only() || !kernel.line.present))
        return 0;
    uart_write(&kernel.line, bytes, length);
    return kernel.line.dropped - dropped;
}

size_t platform_line_read(void *bytes, size_t capacity)
{
    return uart_read(&kernel.line, bytes, capacity);
}

// Firmware and loaders leave what they like in memory. Writing also makes the machine below, if
// there is one, provide every page. Eight words a turn: an emulator pays for each instruction, and
// this is most of what a boot costs.
static void clear(struct boot_range range)
{
    uint64_t *const end = (uint64_t *)(uintptr_t)range.end;
    for (uint64_t *at = (uint64_t *)(uintptr_t)range.start; at < end; at += 8) {
        at[0] = at[1] = at[2] = at[3] = 0;
        at[4] = at[5] = at[6] = at[7] = 0;
        __asm__ volatile("" : : : "memory"); // keeps the compiler from calling memset
    }
}

void *platform_arena(size_t *length)
{
    // Not at boot: half a gigabyte takes a while, and the recorder waits for the first line.
    if (!kernel.arena_cleared)
        clear(kernel.arena);
    kernel.arena_cleared = true;
    *length = kernel.arena.end - kernel.arena.start;
    return (void *)(uintptr_t)kernel.arena.start;
}

const char *platform_arguments(void)
{
    return kernel.boot.arguments;
}

size_t platform_build_id(uint8_t *bytes, size_t capacity)
{
    // An ELF note: length of the name, length of the id, type, "GNU" and its terminator, the id.
    const size_t header = 3 * sizeof(uint32_t) + 4;
    const size_t note = (size_t)(linker_build_id_end - linker_build_id);
    assert(note > header); // kernel.ld sees to it
    const size_t length = min_u64(note - header, capacity);
    memcpy(bytes, linker_build_id + header, length);
    return length;
}

// Twelve characters in three registers, as CPUID gives vendors and hypervisors.
static void signature(char text[13], uint32_t first, uint32_t second, uint32_t third)
{
    const uint32_t words[3] = {first, second, third};
    memcpy(text, words, sizeof(words));
    text[12] = '\0';
}

void platform_describe(void (*emit)(void *context, const char *key, const char *value),
                       void *context)
{
    char value[64];
    const struct cpu_cpuid vendor = cpu_cpuid(0, 0);
    signature(value, vendor.ebx, vendor.edx, vendor.ecx);
    emit(context, "cpu.vendor", value);

    if (cpu_under_hypervisor()) {
        const struct cpu_cpuid hypervisor = cpu_cpuid(0x40000000, 0);
        signature(value, hypervisor.ebx, hypervisor.ecx, hypervisor.edx);
        emit(context, "hypervisor", value);
    } else {
        emit(context, "hypervisor", "none");
    }
    format(value, sizeof(value), "%lu", kernel.boot.memory_bytes);
    emit(context, "memory.bytes", value);
    emit(context, "boot.protocol", kernel.boot.protocol == BOOT_BY_PVH ? "pvh" : "multiboot2");
    serial_line_describe(emit, context);
    line_host_describe(emit, context);
    screen_line_describe(emit, context);
    kernel_describe_memory(emit, context);
    kernel_describe_cpus(emit, context);
    clocks_describe(emit, context);
    boot_log_describe(emit, context);
    firmware_describe(emit, context);
    pci_describe(pci_boot_found(), emit, context);
    kernel_map_describe(emit, context);
    counters_describe(emit, context);
    machine_report_describe(emit, context);
}

void platform_events(struct platform_events *events)
{
    // Nothing migrates or preempts the benchmarks here, and a page fault ends the run unless the
    // benchmark itself asked for it.
    const struct interrupt_counts *counts = &machine_cpu_here()->counts;
    *events = (struct platform_events){
        .known = PLATFORM_KNOWS_INTERRUPTS | PLATFORM_KNOWS_NMIS | PLATFORM_KNOWS_PAGE_FAULTS |
                 PLATFORM_KNOWS_MIGRATIONS | PLATFORM_KNOWS_PREEMPTIONS,
        .interrupts = counts->all,
        .nmis = counts->nmi};
    if (counters_smis(&events->smis))
        events->known |= PLATFORM_KNOWS_SMIS;
}

void platform_events_of_run(struct platform_events *events)
{
    platform_events(events);
}

// ---- further CPUs ------------------------------------------------------------------------------

unsigned platform_cpu_count(void)
{
    return machine_cpu_count();
}

bool platform_cpu_start(unsigned cpu, void (*function)(void *argument), void *argument)
{
    return smp_run(cpu, function, argument);
}

void platform_cpu_wait(unsigned cpu, uint64_t most_ms)
{
    if (cpu == 0 || cpu >= machine_cpu_count())
        return;
    for (uint64_t waited_us = 0; !smp_parked(cpu); waited_us += CPU_WAIT_STEP_US) {
        if (waited_us / 1000 >= most_ms)
            last_words_late(cpu);
        clocks_delay_us(CPU_WAIT_STEP_US);
    }
}

void platform_exit(bool success)
{
    const uint8_t code = success ? KERNEL_EXIT_SUCCESS : KERNEL_EXIT_FAILURE;
    machine_report_restore_here(); // others may be where they do not answer
    uart_flush(&kernel.line);
    x86_out8(KERNEL_EXIT_PORT, code); // where a machine goes on behind it, somebody looks at it
    screen_line_pages(success);
    kernel_stop(code);
}

void kernel_stop(uint8_t code)
{
    x86_out8(KERNEL_EXIT_PORT, code);
    x86_stop(); // a machine without that port
}

const struct sched_cpu_ops *platform_sched(void **machine)
{
    *machine = NULL; // these operations know their CPUs by themselves
    return sched_machine();
}
