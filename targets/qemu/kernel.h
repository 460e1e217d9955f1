// SPDX-License-Identifier: MIT
// What the freestanding kernel of this target knows about itself.
#ifndef KERNEL_H
#define KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "acpi.h"
#include "boot_info.h"
#include "cpu.h"
#include "machine_cpu.h"
#include "platform.h"
#include "uart.h"

// Written by kernel_main before the benchmarks run, read only afterwards but for arena_cleared;
// `line` has the rules of uart.h.
struct kernel {
    struct boot_info boot;
    struct acpi_info acpi;
    struct boot_range arena; // platform_arena clears it at its first call
    bool arena_cleared;
    struct uart line;
    uint32_t session; // `session=` of the command line, 0 without
    bool framed;      // `output=framed`: frames on the line instead of text
    enum platform_clock clock;
};

extern struct kernel kernel;

// Debug-exit codes (isa-debug-exit: QEMU exits with code << 1 | 1) and the port.
#define KERNEL_EXIT_PORT    0xf4u
#define KERNEL_EXIT_SUCCESS 0x10u // QEMU exits with 33
#define KERNEL_EXIT_FAILURE 0x31u // QEMU exits with 99

// The descriptors of the CPU that runs, on its own stacks.
void kernel_load_descriptors(struct machine_cpu *cpu);

// Takes the memory for the stacks of the CPUs that ACPI describes. Before the arena is chosen.
void kernel_reserve_stacks(void);

// Brings up the interrupt controller of the boot CPU and then the other CPUs. A machine without a
// controller goes on with one CPU and no interrupts. Once, with the kernel's map in place.
void kernel_start_cpus(void);

// `cpu=N`: the benchmarks run on the processor that is CPU N after the start, which is CPU 0 from
// then on, and CPU N is the one that firmware has started. NULL, or why not: there is no such CPU,
// or it does not answer. Once, before anything is set up for CPU 0 alone.
const char *kernel_choose_cpu(const char *arguments);

// Which it was; 0 without the word.
unsigned kernel_measured_cpu(void);

// Their part of platform_describe.
void kernel_describe_cpus(void (*emit)(void *context, const char *key, const char *value),
                          void *context);

// The memory map's part of platform_describe.
void kernel_describe_memory(void (*emit)(void *context, const char *key, const char *value),
                            void *context);

// Tells the disks that were made use of that the run is over. Nobody uses them. Bounded: some
// seconds where a disk does not listen. Not after a panic: then they are left as they are.
void kernel_shut_down_blocks(void);

// Ends the run without looking left or right: no flush, no report.
_Noreturn void kernel_stop(uint8_t code);

#endif
