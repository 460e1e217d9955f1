// SPDX-License-Identifier: MIT
// The CPUs of this kernel: their interrupt controllers, and how the others come up.
#include "apic_access.h"
#include "boot_info.h"
#include "boot_log.h"
#include "clocks.h"
#include "compiler.h"
#include "format.h"
#include "hpet.h"
#include "interrupts.h"
#include "irqs.h"
#include "kernel.h"
#include "kernel_map.h"
#include "machine_cpu.h"
#include "ruler.h"
#include "smp.h"
#include "smp_places.h"
#include "stacks.h"
#include "string.h"
#include "tlb.h"
#include "x86.h"

#define LOW_MEMORY_END     ((uint64_t)1 << 20)
#define TSC_ROUNDS         200u
#define TRAMPOLINE_LOWEST  0x1000u  // page 0 stays unmapped
#define TRAMPOLINE_HIGHEST 0xa0000u // memory of the display adapter begins

static struct apic_access access;
static struct apic_setup setup = {
    .spurious = INTERRUPT_SPURIOUS, .error = INTERRUPT_APIC_ERROR, .timer = INTERRUPT_TIMER};

// ---- interrupts ---------------------------------------------------------------------------------

static void end_of_interrupt(void)
{
    apic_end(&machine_cpu_here()->apic);
}

// The machine's NMI lines as ACPI names them for this CPU.
static void connect_nmis(struct machine_cpu *cpu)
{
    const struct acpi_cpus *described = &kernel.acpi.cpus;
    const unsigned which = acpi_cpu_of(described, cpu->apic_id);
    for (unsigned i = 0; i < described->local_nmi_count; i++) {
        const struct acpi_local_nmi *nmi = &described->local_nmis[i];
        if (nmi->uid == ACPI_UID_ALL ||
            (which < described->cpu_count && nmi->uid == described->cpus[which].uid))
            apic_nmi_line(&cpu->apic, nmi->lint, nmi->low);
    }
}

static bool start_apic(struct machine_cpu *cpu)
{
    if (apic_init(&cpu->apic, &access, apic_features_of(cpu_cpuid(1, 0)), &setup) != STATUS_OK)
        return false;
    connect_nmis(cpu);
    return true;
}

// x2APIC mode on a real machine asks for interrupt remapping, which this kernel does not do (Intel
// SDM vol. 3, 11.12.7 leaves it to the platform). So it is entered where firmware has done so,
// where a CPU cannot be addressed otherwise, where a hypervisor plays the platform, and on demand:
// `apic=x2`.
static bool wants_x2(void)
{
    const struct acpi_cpus *described = &kernel.acpi.cpus;
    char word[8];
    string_option(kernel.boot.arguments, "apic", word, sizeof(word));
    bool wanted = string_equal(word, "x2") || cpu_under_hypervisor();
    for (unsigned i = 0; i < described->enabled_count; i++)
        wanted = wanted || (described->described && described->cpus[i].apic_id >= APIC_ID_ALL);
    return wanted;
}

static bool start_interrupts(void)
{
    setup.x2_allowed = wants_x2();
    access = apic_access(NULL);
    setup.address = apic_address(&access);
    if (kernel_map_device(setup.address, PAGE_SIZE) != STATUS_OK) {
        boot_log("local APIC: its page at %lx cannot be mapped", setup.address);
        return false;
    }
    access = apic_access((volatile void *)(uintptr_t)setup.address);
    irqs_init();
    if (!start_apic(machine_cpu_here()))
        return false;
    clocks_init_timer();
    interrupts_init(end_of_interrupt, NULL);
    interrupt_handle(INTERRUPT_WAKE, interrupt_only_count, NULL);
    return true;
}

// ---- further CPUs -------------------------------------------------------------------------------

static struct boot_range stacks_left; // memory for stacks, taken from its start

// How many CPUs ACPI describes besides this one, which the tables may have forgotten.
static unsigned other_cpus(void)
{
    const struct acpi_cpus *described = &kernel.acpi.cpus;
    if (!described->described)
        return 0;
    const bool own = acpi_cpu_of(described, machine_cpus[0].apic_id) < described->enabled_count;
    return described->enabled_count - own;
}

void kernel_reserve_stacks(void)
{
    const uint64_t bytes = (uint64_t)other_cpus() * STACKS_BYTES;
    struct boot_range longest;
    if (bytes == 0 ||
        !boot_info_longest(&kernel.boot, LOW_MEMORY_END, KERNEL_MAP_BOOT_END, PAGE_SIZE,
                           &longest) ||
        longest.end - longest.start < bytes ||
        boot_info_take(&kernel.boot, longest.end - bytes, bytes) != STATUS_OK)
        return;
    stacks_left = (struct boot_range){longest.end - bytes, longest.end};
}

// All of them before any CPU runs that could have the guard pages in its translations still.
static void make_all_stacks(void)
{
    for (unsigned cpu = 1; cpu <= other_cpus() && cpu < CPU_MOST; cpu++) {
        if (stacks_left.end - stacks_left.start < STACKS_BYTES ||
            stacks_make(cpu, (void *)(uintptr_t)stacks_left.start, STACKS_BYTES) != STATUS_OK)
            return;
        stacks_left.start += STACKS_BYTES;
    }
}

// 0 where there was no memory. A CPU that takes the number of one that did not come up takes its
// stacks as well.
static uint64_t stack_of(struct machine_cpu *cpu)
{
    return stack_top(cpu->local.index, STACK_KERNEL);
}

void kernel_load_descriptors(struct machine_cpu *cpu)
{
    const unsigned index = cpu->local.index;
    const struct descriptor_stacks tops = {
        {[IST_FAULT] = stack_top(index, STACK_FAULT),
         [IST_DOUBLE_FAULT] = stack_top(index, STACK_DOUBLE_FAULT),
         [IST_NMI] = stack_top(index, STACK_NMI),
         [IST_MACHINE_CHECK] = stack_top(index, STACK_MACHINE_CHECK)}};
    descriptors_load(&cpu->descriptors, &tops);
}

static void enter(struct machine_cpu *cpu)
{
    kernel_load_descriptors(cpu);
    kernel_map_enter();
    if (!start_apic(cpu))
        platform_panic("the interrupt controller of this CPU does not start", __FILE__, __LINE__);
}

static struct tsc_sync tsc_sync;

static uint64_t read_tsc(void *context)
{
    return counter_tsc.read(context);
}

static uint64_t now_ns(void *context)
{
    (void)context;
    return hpet_ns();
}

// Where all CPUs share one thread of the host, a wait lasts for as long as it runs one of them.
static const struct tsc_sync_party party = {
    .ticks = read_tsc, .now_ns = now_ns, .wait_most_ns = 200000000};

static void answer(void *argument)
{
    const bool on = interrupts_off();
    (void)argument;
    (void)tsc_sync_answer(&tsc_sync, &party, TSC_ROUNDS);
    interrupts_restore(on);
}

static void compare_tsc(struct machine_cpu *cpu)
{
    const unsigned index = cpu->local.index;
    cpu->tsc = (struct tsc_sync_result){0};
    tsc_sync_init(&tsc_sync);
    if (!smp_run(index, answer, NULL) ||
        tsc_sync_ask(&tsc_sync, &party, TSC_ROUNDS, &cpu->tsc) != STATUS_OK)
        boot_log("CPU %u: its time stamp counter could not be compared", index);
    platform_cpu_wait(index, 1000);
    if (cpu->tsc.warps > 0)
        boot_log("CPU %u: in %u of %u exchanges time ran backwards, by %lu ticks at the most",
                 index, cpu->tsc.warps, cpu->tsc.rounds, cpu->tsc.warp_most);
}

static void left_out(uint32_t apic_id, const char *why)
{
    boot_log("the CPU with APIC id %u is left out: %s", apic_id, why);
}

// ACPI counts CPUs in an order of its own.
static void place_on_nodes(void)
{
    const struct acpi_cpus *described = &kernel.acpi.cpus;
    for (unsigned i = 0; i < machine_cpu_count(); i++) {
        const unsigned which = acpi_cpu_of(described, machine_cpus[i].apic_id);
        if (described->described && which < described->cpu_count)
            machine_cpus[i].node = kernel.acpi.numa.cpu_node[which];
    }
}

void kernel_start_cpus(void)
{
    static uint32_t ids[CPU_MOST];
    const struct acpi_cpus *described = &kernel.acpi.cpus;
    struct boot_range low;
    tlb_init(clocks_tsc_hz(), TLB_PATIENCE_MS);
    if (!start_interrupts()) {
        boot_log("no local APIC that works: one CPU, and no interrupts");
        return;
    }
    const unsigned count = described->described ? described->enabled_count : 0;
    for (unsigned i = 0; i < count; i++)
        ids[i] = described->cpus[i].apic_id;
    setup.x2_allowed = machine_cpu_here()->apic.x2;
    if (other_cpus() > 0 &&
        boot_info_longest(&kernel.boot, TRAMPOLINE_LOWEST, TRAMPOLINE_HIGHEST, PAGE_SIZE, &low)) {
        make_all_stacks();
        const struct smp_start start = {.page = (uint32_t)low.start,
                                        .apic_ids = ids,
                                        .count = count,
                                        .delay_us = clocks_delay_us,
                                        .stack_of = stack_of,
                                        .enter = enter,
                                        .arrived = compare_tsc,
                                        .left_out = left_out};
        kernel_map_set_shootdown(tlb_shoot_kernel);
        (void)smp_start_all(&start);
    } else if (other_cpus() > 0) {
        boot_log("no page below 640 KiB to start other CPUs from: one CPU");
    }
    place_on_nodes();
    interrupts_on();
}

static unsigned number_before; // number that CPU 0's processor had at the start

const char *kernel_choose_cpu(const char *arguments)
{
    char word[8];
    uint64_t cpu = 0;
    if (!string_option(arguments, "cpu", word, sizeof(word)))
        return NULL;
    if (!string_to_u64(word, machine_cpu_count() - 1, &cpu))
        return "cpu= is none of this machine's CPUs, which are numbered from 0 on";
    if (cpu == 0)
        return NULL;
    if (!smp_change_places((unsigned)cpu, kernel_load_descriptors, clocks_delay_us))
        return "the CPU that cpu= names does not answer";
    number_before = (unsigned)cpu;
    platform_cpu_wait((unsigned)cpu, 1000); // until it is parked again
    for (unsigned i = 1; i < machine_cpu_count(); i++)
        compare_tsc(&machine_cpus[i]);
    return NULL;
}

unsigned kernel_measured_cpu(void)
{
    return number_before;
}

// ---- what is told -------------------------------------------------------------------------------

static void describe_tsc(void (*emit)(void *context, const char *key, const char *value),
                         void *context)
{
    const unsigned count = machine_cpu_count();
    uint64_t apart = 0, warps = 0, trip = 0;
    unsigned measured = 0;
    char text[96];
    for (unsigned i = 1; i < count; i++) {
        const struct tsc_sync_result *tsc = &machine_cpus[i].tsc;
        if (tsc->rounds == 0)
            continue;
        // How far they can be apart at the most: the end of the interval farther from 0.
        const uint64_t low = (uint64_t)(tsc->offset_low < 0 ? -tsc->offset_low : tsc->offset_low);
        const uint64_t high =
            (uint64_t)(tsc->offset_high < 0 ? -tsc->offset_high : tsc->offset_high);
        apart = max_u64(apart, max_u64(low, high));
        trip = max_u64(trip, tsc->round_trip);
        warps += tsc->warps;
        measured++;
    }
    format(text, sizeof(text), "%u CPUs at most %lu ticks from CPU 0 (round trip %lu), %lu warps",
           measured, apart, trip, warps);
    emit(context, "tsc.synchrony", measured > 0 ? text : "one CPU");
}

// The node of each CPU: "0,0,1,1".
static void describe_nodes(void (*emit)(void *context, const char *key, const char *value),
                           void *context)
{
    char text[4 * CPU_MOST] = "";
    size_t length = 0;
    for (unsigned i = 0; i < machine_cpu_count(); i++)
        length += format(text + length, sizeof(text) - length, "%s%u", i > 0 ? "," : "",
                         machine_cpus[i].node);
    emit(context, "numa.cpus", text);
}

void kernel_describe_cpus(void (*emit)(void *context, const char *key, const char *value),
                          void *context)
{
    const struct apic *apic = &machine_cpus[0].apic;
    char text[64];
    format(text, sizeof(text), "%u", machine_cpu_count());
    emit(context, "cpus.running", text);
    format(text, sizeof(text), "%s, version %x", apic->x2 ? "x2apic" : "xapic",
           apic->version & 0xff);
    emit(context, "apic", apic->version != 0 ? text : "none");
    format(text, sizeof(text), "%u with %u lines", irqs_controllers(), irqs_lines());
    emit(context, "ioapics", text);
    tlb_describe(emit, context);
    emit(context, "apic.deadline", apic->features.deadline ? "yes" : "no");
    describe_nodes(emit, context);
    describe_tsc(emit, context);
}
