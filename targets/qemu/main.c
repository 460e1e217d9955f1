// SPDX-License-Identifier: MIT
// The freestanding kernel, from its entry to the benchmarks.
//
// Nothing here and below may use what cpu_has_baseline() asks for: this code tells an older CPU
// that it will not do, so it is built for plain x86-64.
#include "machine.h"

#include "boot_log.h"
#include "clocks.h"
#include "compiler.h"
#include "firmware.h"
#include "hpet.h"
#include "interrupts.h"
#include "kernel.h"
#include "kernel_map.h"
#include "last_words.h"
#include "line_host.h"
#include "linker.h"
#include "machine_cpu.h"
#include "machine_report.h"
#include "pci_boot.h"
#include "run.h"
#include "screen_line.h"
#include "serial_line.h"
#include "string.h"
#include "timer.h"
#include "traps.h"

#define ARENA_ALIGNMENT ((uint64_t)2 << 20)
#define ARENA_LEAST     ((uint64_t)16 << 20)
#define ARENA_MOST      ((uint64_t)512 << 20) // all of it is touched: more would only take longer

struct kernel kernel;

// The entry of the portable object. Returns 0 when everything planned was measured.
int bench_main_plain(struct bench_run *run);
int bench_main_traced(struct bench_run *run);

static enum platform_clock clock_from(const char *arguments)
{
    char word[16];
    string_option(arguments, "clock", word, sizeof(word));
    if (string_equal(word, "insn"))
        return PLATFORM_CLOCK_INSN;
    // The lesser claim unless told otherwise: an emulated clock is never judged.
    return string_equal(word, "tsc") ? PLATFORM_CLOCK_TSC : PLATFORM_CLOCK_EMULATED;
}

static void read_options(void)
{
    char word[16];
    uint64_t session = 0;
    string_option(kernel.boot.arguments, "session", word, sizeof(word));
    if (string_to_u64(word, UINT32_MAX, &session))
        kernel.session = (uint32_t)session;
    string_option(kernel.boot.arguments, "output", word, sizeof(word));
    kernel.framed = string_equal(word, "framed");
    kernel.clock = clock_from(kernel.boot.arguments);
}

static void read_boot_info(uint32_t protocol, uint32_t information)
{
    const struct boot_memory memory = {.bytes = NULL, .base = 0, .length = KERNEL_MAP_BOOT_END};
    const enum status status = boot_info_read(&kernel.boot, protocol, memory, information);
    read_options();
    if (!serial_line_choose(kernel.boot.arguments))
        last_words_refused("line= is none of com1, com2, com3, com4");
    if (!line_host_speed())
        last_words_refused("speed= is none that this serial port has");
    if (!screen_line_open(kernel.boot.arguments))
        last_words_refused("output= asks for a screen, and the boot loader tells of none");
    if (status == STATUS_TOO_LARGE)
        last_words_refused("the boot loader's command line or memory map is longer than supported");
    if (status != STATUS_OK)
        last_words_refused("the boot loader's tables are damaged");
}

// The clock of the line is used before and after the switch.
static void enter_own_map(void)
{
    if (kernel_map_build(&kernel.boot) != STATUS_OK ||
        kernel_map_device(HPET_USUAL_ADDRESS, PAGE_SIZE) != STATUS_OK)
        last_words_refused("no memory for page tables");
    screen_line_map();
    kernel_map_enter();
    screen_line_open_late();
}

// Of the memory left, the image and its tables being taken.
static void choose_arena(void)
{
    kernel_reserve_stacks();
    if (!boot_info_longest(&kernel.boot, (uintptr_t)linker_image_end, KERNEL_MAP_BOOT_END,
                           ARENA_ALIGNMENT, &kernel.arena) ||
        kernel.arena.end - kernel.arena.start < ARENA_LEAST)
        last_words_refused("less than 16 MiB of memory in one piece");
    kernel.arena.end = min_u64(kernel.arena.end, kernel.arena.start + ARENA_MOST);
}

static void check_baseline(void)
{
    if (!cpu_has_baseline())
        last_words_refused("this CPU lacks POPCNT or BMI1, which the object code is built for");
}

// The configuration spaces in memory that ACPI's MCFG table names, mapped.
static unsigned map_windows(struct pci_boot_window *windows)
{
    const struct acpi_devices *devices = &kernel.acpi.devices;
    unsigned count = 0;
    for (unsigned i = 0; i < devices->segment_count && count < PCI_WINDOWS_MOST; i++) {
        const struct acpi_pci_segment *segment = &devices->segments[i];
        uint64_t start, length;
        if (pci_ecam_place(segment->base, segment->first_bus, segment->last_bus, &start, &length) !=
                STATUS_OK ||
            kernel_map_device(start, length) != STATUS_OK) {
            boot_log("PCI segment %u: its space at %lx cannot be mapped", segment->segment,
                     segment->base);
            continue;
        }
        windows[count++] = (struct pci_boot_window){.base = segment->base,
                                                    .segment = segment->segment,
                                                    .first = segment->first_bus,
                                                    .last = segment->last_bus};
    }
    return count;
}

static void find_devices(void)
{
    struct pci_boot_window windows[PCI_WINDOWS_MOST];
    const bool open = kernel.line.present;
    serial_line_find_console();
    const struct pci_in_use line = serial_line_in_use();
    pci_boot(windows, map_windows(windows), &line, boot_log_line, NULL);
    serial_line_find_card();
    if (!open && kernel.line.present)
        uart_measure(&kernel.line); // what is no port of a PC may have another clock
    if (!line_host_speed())
        last_words_refused("speed= is none that this serial port has");
    if (!screen_line_settle())
        last_words_refused("output=framed is for a serial port, and there is none");
}

static void meet_recorder(void)
{
    if (line_host_meet())
        read_options();
    if (!line_host_flow())
        last_words_refused("flow= is on or off");
}

// `disturb=US`: interrupts the benchmarks every US microseconds, to see what that does to them.
static void disturb_if_asked(void)
{
    char word[24];
    uint64_t us = 0;
    if (!string_option(kernel.boot.arguments, "disturb", word, sizeof(word)))
        return;
    interrupt_handle(INTERRUPT_TIMER, interrupt_only_count, NULL);
    if (!string_to_u64(word, UINT32_MAX, &us) || us == 0 || !timer_every_us(us))
        last_words_refused("disturb= is no time this machine's timer can be set to");
}

// Interrupts for `disturb=` are not on yet: what is found is the machine's own.
static void prepare_machine(void)
{
    const char *const problem = kernel_choose_cpu(kernel.boot.arguments);
    if (problem != NULL)
        last_words_refused(problem);
    traps_before_stop(machine_report_restore_here);
    if (!machine_report_prepare())
        last_words_refused("hold= is on or off, and gaps= milliseconds up to 60000");
}

// In this order: each step stands on those before it.
static const struct {
    const char *name;
    void (*take)(void);
} steps[] = {
    {"firmware", firmware_read}, // while all of the low memory is mapped
    {"map", enter_own_map},      {"baseline", check_baseline}, {"memory", choose_arena},
    {"clocks", clocks_init},     {"cpus", kernel_start_cpus},  {"devices", find_devices},
    {"recorder", meet_recorder}, {"machine", prepare_machine}, {"disturbance", disturb_if_asked},
};

// `die_after=STEP die=KIND` fails on purpose, to try the reports at every stage.
static void die_if_asked(const char *step)
{
    char word[24];
    string_option(kernel.boot.arguments, "die_after", word, sizeof(word));
    if (!string_equal(word, step))
        return;
    string_option(kernel.boot.arguments, "die", word, sizeof(word));
    platform_die(word);
    platform_panic("asked for by die_after=", __FILE__, __LINE__);
}

void kernel_main(uint32_t protocol, uint32_t information)
{
    machine_cpu_init_boot();
    traps_init(last_words_trap);
    kernel_load_descriptors(machine_cpu_here());
    hpet_init(HPET_USUAL_ADDRESS);
    serial_line_init();
    read_boot_info(protocol, information);
    die_if_asked("arguments");
    for (unsigned i = 0; i < ARRAY_COUNT(steps); i++) {
        steps[i].take();
        die_if_asked(steps[i].name);
    }
    static struct bench_run run;
    const bool failed = bench_main_plain(&run) != 0 || bench_main_traced(&run) != 0;
    kernel_shut_down_blocks();
    machine_report_restore(); // the other CPUs answer here, which they need not in platform_exit
    platform_exit(!failed);
}
