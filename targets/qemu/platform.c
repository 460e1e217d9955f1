// SPDX-License-Identifier: MIT
// The platform seam (platform.h) of the freestanding kernel. platform_panic is in panic_entry.S.
#include "platform.h"

#include "assert.h"
#include "compiler.h"
#include "counters.h"
#include "cpu.h"
#include "format.h"
#include "hpet.h"
#include "kernel.h"
#include "linker.h"
#include "string.h"
#include "x86.h"

#define ICOUNT_HZ 1000000000u // -icount shift=0: one instruction is one nanosecond

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

// Leaf 40000010h, EAX: kHz of the TSC (a convention of VMware's that QEMU follows under KVM).
static uint64_t hypervisor_hz(void)
{
    if (!cpu_under_hypervisor() || cpu_cpuid(0x40000000, 0).eax < 0x40000010)
        return 0;
    return (uint64_t)cpu_cpuid(0x40000010, 0).eax * 1000;
}

// Intel SDM vol. 2, CPUID: 15h has the crystal's frequency and the ratio of the TSC to it, 16h the
// base frequency in MHz, which is that of the TSC.
static uint64_t cpuid_hz(void)
{
    const uint32_t most = cpu_cpuid(0, 0).eax;
    if (most >= 0x15) {
        const struct cpu_cpuid r = cpu_cpuid(0x15, 0);
        if (r.eax != 0 && r.ebx != 0 && r.ecx != 0)
            return (uint64_t)r.ecx * r.ebx / r.eax;
    }
    return most >= 0x16 ? (uint64_t)(cpu_cpuid(0x16, 0).eax & 0xffff) * 1000000 : 0;
}

uint64_t platform_clock_hz(void)
{
    if (kernel.clock == PLATFORM_CLOCK_INSN)
        return ICOUNT_HZ;
    const uint64_t hz = hypervisor_hz();
    return hz != 0 ? hz : cpuid_hz();
}

size_t platform_line_write(const void *bytes, size_t length)
{
    const uint64_t dropped = kernel.line.dropped;
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

    // Family and model with their extended parts: AMD64 vol. 3, appendix E.3.2.
    const uint32_t packed = cpu_signature();
    const unsigned family =
        (packed >> 8 & 0xf) + ((packed >> 8 & 0xf) == 0xf ? packed >> 20 & 0xff : 0);
    const unsigned model = (packed >> 4 & 0xf) | (packed >> 12 & 0xf0);
    format(value, sizeof(value), "%u/%u/%u", family, model, (unsigned)(packed & 0xf));
    emit(context, "cpu.family_model_stepping", value);

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
    counters_describe(emit, context);
}

void platform_events(struct platform_events *events)
{
    // Interrupts stay masked, there is one CPU and no scheduler, and every exception ends the run,
    // an NMI as well: a sample that was taken was not disturbed by any of these.
    *events = (struct platform_events){
        .known = PLATFORM_KNOWS_INTERRUPTS | PLATFORM_KNOWS_NMIS | PLATFORM_KNOWS_PAGE_FAULTS |
                 PLATFORM_KNOWS_MIGRATIONS | PLATFORM_KNOWS_PREEMPTIONS};
    if (counters_smis(&events->smis))
        events->known |= PLATFORM_KNOWS_SMIS;
}

void platform_events_of_run(struct platform_events *events)
{
    platform_events(events);
}

void platform_exit(bool success)
{
    uart_flush(&kernel.line);
    kernel_stop(success ? KERNEL_EXIT_SUCCESS : KERNEL_EXIT_FAILURE);
}

void kernel_stop(uint8_t code)
{
    x86_out8(KERNEL_EXIT_PORT, code);
    x86_stop(); // a machine without that port
}
