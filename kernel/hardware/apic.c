// SPDX-License-Identifier: MIT
// Numbers of registers are those of xAPIC mode (Intel SDM vol. 3, table 11-1); in x2APIC mode each
// is the MSR 800h + number / 16 (11.12.1.2).
#include "apic.h"

#include "assert.h"
#include "compiler.h"
#include "format.h"

// IA32_APIC_BASE (11.4.4, 11.12.1)
#define MSR_BASE     0x1bu
#define BASE_X2      ((uint64_t)1 << 10)
#define BASE_ON      ((uint64_t)1 << 11)
#define BASE_ADDRESS 0x000ffffffffff000u // as many as the CPU has physical address bits

#define MSR_DEADLINE 0x6e0u // IA32_TSC_DEADLINE (11.5.4.1)
#define MSR_FIRST    0x800u
#define MSR_COMMAND  0x830u

#define ID             0x020u
#define VERSION        0x030u
#define PRIORITY       0x080u // task priority
#define END            0x0b0u // end of interrupt
#define SPURIOUS       0x0f0u
#define IN_SERVICE     0x100u // 8 registers, a bit for each vector
#define ERRORS         0x280u
#define LVT_CMCI       0x2f0u
#define COMMAND        0x300u
#define COMMAND_HIGH   0x310u // xAPIC only
#define LVT_TIMER      0x320u
#define LVT_THERMAL    0x330u
#define LVT_COUNTERS   0x340u
#define LVT_LINT0      0x350u
#define LVT_LINT1      0x360u
#define LVT_ERROR      0x370u
#define TIMER_INITIAL  0x380u
#define TIMER_CURRENT  0x390u
#define TIMER_DIVIDE   0x3e0u
#define TIMER_DIVIDE_1 0x0bu

#define SPURIOUS_ENABLE 0x100u // software enable (11.9)

// Local vector table (11.5.1); the mode of delivery is in the same bits of the command register.
#define DELIVERY         0x700u
#define DELIVERY_SMI     0x200u
#define DELIVERY_NMI     0x400u
#define DELIVERY_INIT    0x500u
#define DELIVERY_STARTUP 0x600u
#define LVT_ACTIVE_LOW   0x2000u
#define LVT_MASKED       0x10000u
#define LVT_TIMER_SHIFT  17

// Interrupt command (11.6.1)
#define COMMAND_PENDING 0x1000u // xAPIC only
#define COMMAND_ASSERT  0x4000u
#define COMMAND_LEVEL   0x8000u
#define COMMAND_OTHERS  0xc0000u // all excluding self

#define VECTOR_LEAST   32u // below are exceptions
#define VECTOR_LEGAL   16u // what the APIC itself accepts
#define VECTORS        256u
#define VERSION_LEAST  0x10u // 0xh was the discrete 82489DX (11.4.8)
#define VERSION_MOST   0x1fu // 20h.. are reserved
#define ENTRIES_LEAST  4u    // timer, LINT0, LINT1, error
#define STARTUP_MOST   0x100000u
#define STARTUP_HOLE   0xa0000u
#define STARTUP_HOLE_E 0xc0000u
#define INIT_US        10000u
#define STARTUP_US     200u

static uint32_t get(const struct apic *apic, unsigned number)
{
    const struct apic_access *access = &apic->access;
    if (apic->x2)
        return (uint32_t)access->read_msr(access->context, MSR_FIRST + number / 16);
    return access->read(access->context, number);
}

static void put(const struct apic *apic, unsigned number, uint32_t value)
{
    const struct apic_access *access = &apic->access;
    if (apic->x2)
        access->write_msr(access->context, MSR_FIRST + number / 16, value);
    else
        access->write(access->context, number, value);
}

struct apic_features apic_features_of(struct cpu_cpuid leaf_1)
{
    return (struct apic_features){
        .present = leaf_1.edx >> 9 & 1,
        .x2 = leaf_1.ecx >> 21 & 1,
        .deadline = leaf_1.ecx >> 24 & 1,
    };
}

uint64_t apic_address(const struct apic_access *access)
{
    return access->read_msr(access->context, MSR_BASE) & BASE_ADDRESS;
}

// ---- start --------------------------------------------------------------------------------------

// Off, xAPIC, x2APIC: a step at a time and only in this order, anything else is a general
// protection fault (11.12.5).
static enum status enter_mode(struct apic *apic, uint64_t address, bool x2_wanted)
{
    const struct apic_access *access = &apic->access;
    uint64_t base = access->read_msr(access->context, MSR_BASE);
    if ((base & BASE_X2) == 0) {
        const uint64_t wanted = (base & ~BASE_ADDRESS) | address | BASE_ON;
        if (base != wanted)
            access->write_msr(access->context, MSR_BASE, wanted);
        if (x2_wanted)
            access->write_msr(access->context, MSR_BASE, wanted | BASE_X2);
        base = access->read_msr(access->context, MSR_BASE);
    }
    apic->x2 = (base & BASE_X2) != 0;
    if ((base & BASE_ON) == 0 || (x2_wanted && !apic->x2) ||
        (!apic->x2 && (base & BASE_ADDRESS) != address))
        return STATUS_INVALID;
    return STATUS_OK;
}

static bool read_identity(struct apic *apic)
{
    apic->version = get(apic, VERSION);
    apic->entries = (apic->version >> 16 & 0xff) + 1;
    apic->id = apic->x2 ? get(apic, ID) : get(apic, ID) >> 24;
    const uint32_t version = apic->version & 0xff;
    return version >= VERSION_LEAST && version <= VERSION_MOST && apic->entries >= ENTRIES_LEAST &&
           (apic->x2 || apic->id != APIC_ID_ALL);
}

// A vector below 16 is an error even in an entry that is masked, so each gets a legal one.
static void mask_entry(struct apic *apic, unsigned number, uint8_t vector)
{
    const uint32_t entry = get(apic, number);
    // Firmware watches the temperature by SMI: not ours to end.
    if (number == LVT_THERMAL && (entry & DELIVERY) == DELIVERY_SMI)
        return;
    put(apic, number, LVT_MASKED | vector);
}

static void mask_entries(struct apic *apic, uint8_t vector)
{
    // In the order in which later CPUs got them (11.5.1, 11.4.8); the error entry first, so that
    // what stands in the others interrupts nobody.
    static const uint16_t numbers[] = {LVT_ERROR,    LVT_TIMER,   LVT_LINT0, LVT_LINT1,
                                       LVT_COUNTERS, LVT_THERMAL, LVT_CMCI};
    for (unsigned i = 0; i < ARRAY_COUNT(numbers) && i < apic->entries; i++)
        mask_entry(apic, numbers[i], vector);
}

// Firmware may have left between an interrupt and its end: nothing of that priority would come any
// more. One end for each vector at most.
static void end_leftovers(struct apic *apic)
{
    unsigned ends = 0;
    for (unsigned i = 0; i < VECTORS / 32; i++) {
        while (ends < VECTORS && get(apic, IN_SERVICE + 16 * i) != 0) {
            apic_end(apic);
            ends++;
        }
    }
}

enum status apic_init(struct apic *apic, const struct apic_access *access,
                      struct apic_features features, const struct apic_setup *setup)
{
    assert(setup->spurious >= VECTOR_LEAST && (setup->spurious & 0xf) == 0xf);
    assert(setup->error >= VECTOR_LEAST && setup->timer >= VECTOR_LEAST);
    assert((setup->address & ~BASE_ADDRESS) == 0);
    *apic = (struct apic){.access = *access, .features = features, .timer = setup->timer};
    if (!features.present)
        return STATUS_EMPTY;
    const enum status status = enter_mode(apic, setup->address, features.x2 && setup->x2_allowed);
    if (status != STATUS_OK)
        return status;
    if (!read_identity(apic))
        return STATUS_EMPTY;
    put(apic, SPURIOUS, SPURIOUS_ENABLE | setup->spurious);
    mask_entries(apic, setup->spurious);
    apic_timer_stop(apic);
    put(apic, TIMER_DIVIDE, TIMER_DIVIDE_1);
    apic_set_priority(apic, 0);
    end_leftovers(apic);
    (void)apic_errors(apic); // of those before us
    put(apic, LVT_ERROR, setup->error);
    return STATUS_OK;
}

void apic_end(struct apic *apic)
{
    put(apic, END, 0); // in x2APIC mode nothing else may be written
}

void apic_set_priority(struct apic *apic, unsigned class_most)
{
    assert(class_most <= 15);
    put(apic, PRIORITY, class_most << 4);
}

void apic_nmi_line(struct apic *apic, unsigned line, bool active_low)
{
    assert(line <= 1);
    put(apic, line == 0 ? LVT_LINT0 : LVT_LINT1, DELIVERY_NMI | (active_low ? LVT_ACTIVE_LOW : 0));
}

// ---- to other CPUs ------------------------------------------------------------------------------

enum status apic_wait_sent(struct apic *apic)
{
    // In x2APIC mode the bit does not exist: a command is taken when its write ends (11.12.9).
    if (apic->x2)
        return STATUS_OK;
    for (unsigned reads = 0; reads < APIC_READS_MOST; reads++) {
        if ((get(apic, COMMAND) & COMMAND_PENDING) == 0)
            return STATUS_OK;
        cpu_pause();
    }
    return STATUS_FULL;
}

static enum status command_to(struct apic *apic, uint32_t id, uint32_t command)
{
    if (apic->x2) {
        apic->access.write_msr(apic->access.context, MSR_COMMAND, (uint64_t)id << 32 | command);
        return STATUS_OK;
    }
    if (id >= APIC_ID_ALL)
        return STATUS_INVALID;
    const enum status status = apic_wait_sent(apic);
    if (status == STATUS_OK) {
        put(apic, COMMAND_HIGH, id << 24);
        put(apic, COMMAND, command); // sends
    }
    return status;
}

static enum status command_to_others(struct apic *apic, uint32_t command)
{
    if (apic->x2) {
        apic->access.write_msr(apic->access.context, MSR_COMMAND, COMMAND_OTHERS | command);
        return STATUS_OK;
    }
    const enum status status = apic_wait_sent(apic);
    // The upper half is not written: it may be that of a sender whom an NMI interrupted.
    if (status == STATUS_OK)
        put(apic, COMMAND, COMMAND_OTHERS | command);
    return status;
}

enum status apic_send(struct apic *apic, uint32_t id, uint8_t vector)
{
    assert(vector >= VECTOR_LEAST);
    return command_to(apic, id, COMMAND_ASSERT | vector);
}

enum status apic_send_others(struct apic *apic, uint8_t vector)
{
    assert(vector >= VECTOR_LEAST);
    return command_to_others(apic, COMMAND_ASSERT | vector);
}

enum status apic_send_nmi(struct apic *apic, uint32_t id)
{
    return command_to(apic, id, COMMAND_ASSERT | DELIVERY_NMI);
}

enum status apic_send_nmi_others(struct apic *apic)
{
    return command_to_others(apic, COMMAND_ASSERT | DELIVERY_NMI);
}

enum status apic_send_init(struct apic *apic, uint32_t id)
{
    return command_to(apic, id, COMMAND_LEVEL | COMMAND_ASSERT | DELIVERY_INIT);
}

enum status apic_send_init_end(struct apic *apic, uint32_t id)
{
    return apic->x2 ? STATUS_OK : command_to(apic, id, COMMAND_LEVEL | DELIVERY_INIT);
}

enum status apic_send_startup(struct apic *apic, uint32_t id, uint32_t entry)
{
    assert(entry % PAGE_SIZE == 0 && entry < STARTUP_MOST);
    assert(entry < STARTUP_HOLE || entry >= STARTUP_HOLE_E);
    return command_to(apic, id, COMMAND_ASSERT | DELIVERY_STARTUP | entry >> PAGE_SHIFT);
}

enum status apic_start_cpu(struct apic *apic, uint32_t id, uint32_t entry,
                           void (*delay_us)(void *context, uint32_t us), void *context)
{
    enum status status = apic_send_init(apic, id);
    if (status == STATUS_OK)
        status = apic_wait_sent(apic);
    if (status == STATUS_OK) {
        delay_us(context, INIT_US);
        status = apic_send_init_end(apic, id);
    }
    for (unsigned i = 0; i < 2 && status == STATUS_OK; i++) {
        status = apic_send_startup(apic, id, entry);
        if (status == STATUS_OK)
            delay_us(context, STARTUP_US);
    }
    return status == STATUS_OK ? apic_wait_sent(apic) : status;
}

// ---- timer --------------------------------------------------------------------------------------

static void set_timer(struct apic *apic, enum apic_timer_mode mode, uint32_t masked)
{
    put(apic, LVT_TIMER, apic->timer | (uint32_t)mode << LVT_TIMER_SHIFT | masked);
    apic->timer_mode = mode;
    apic->timer_on = masked == 0;
}

static void start_count(struct apic *apic, enum apic_timer_mode mode, uint32_t ticks)
{
    assert(ticks > 0);
    // In this mode already: a count alone starts it anew (11.5.4), and these registers are dear.
    if (!apic->timer_on || apic->timer_mode != mode) {
        apic_timer_stop(apic);
        set_timer(apic, mode, 0);
    }
    put(apic, TIMER_INITIAL, ticks); // starts it
}

void apic_timer_one_shot(struct apic *apic, uint32_t ticks)
{
    start_count(apic, APIC_TIMER_ONE_SHOT, ticks);
}

void apic_timer_periodic(struct apic *apic, uint32_t ticks)
{
    start_count(apic, APIC_TIMER_PERIODIC, ticks);
}

void apic_timer_deadline(struct apic *apic, uint64_t tsc)
{
    assert(apic->features.deadline);
    assert(tsc > 0); // 0 would disarm it
    if (!apic->timer_on || apic->timer_mode != APIC_TIMER_DEADLINE) {
        apic_timer_stop(apic);
        set_timer(apic, APIC_TIMER_DEADLINE, 0);
    }
    apic->access.write_msr(apic->access.context, MSR_DEADLINE, tsc);
}

void apic_timer_stop(struct apic *apic)
{
    // Each mode has its own way; a count written in deadline mode is ignored (11.5.4.1).
    if (apic->timer_mode == APIC_TIMER_DEADLINE)
        apic->access.write_msr(apic->access.context, MSR_DEADLINE, 0);
    set_timer(apic, APIC_TIMER_ONE_SHOT, LVT_MASKED);
    put(apic, TIMER_INITIAL, 0);
}

void apic_timer_count(struct apic *apic)
{
    apic_timer_stop(apic);
    put(apic, TIMER_INITIAL, APIC_TICKS_MOST);
}

uint32_t apic_timer_counted(struct apic *apic)
{
    return APIC_TICKS_MOST - get(apic, TIMER_CURRENT);
}

// ---- errors -------------------------------------------------------------------------------------

uint32_t apic_errors(struct apic *apic)
{
    put(apic, ERRORS, 0); // makes the register show what came since the last write (11.5.3)
    return get(apic, ERRORS) & 0xff;
}

size_t apic_error_text(uint32_t errors, char *text, size_t capacity)
{
    // 11.5.3, figure 11-9
    static const char *const names[] = {
        "send checksum",           "receive checksum",         "send accept",
        "receive accept",          "redirectable IPI",         "send illegal vector",
        "received illegal vector", "illegal register address",
    };
    size_t length = format(text, capacity, "%s", errors == 0 ? "none" : "");
    for (unsigned i = 0; i < 32; i++) {
        if ((errors >> i & 1) == 0)
            continue;
        const char *name = i < ARRAY_COUNT(names) ? names[i] : "reserved";
        length += format(text + length, capacity - length, "%s%s", length > 0 ? ", " : "", name);
    }
    return length;
}
