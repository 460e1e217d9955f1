// SPDX-License-Identifier: MIT
#include "tlb.h"

#include "cpu_features.h"
#include "format.h"
#include "interrupts.h"
#include "kernel_map.h"
#include "machine_cpu.h"
#include "platform.h"
#include "shootdown.h"
#include "smp.h"
#include "x86.h"

// Few pages are dropped one by one, more with all others.
#define INVALIDATE_PAGES_MOST 32u

#define CR3_KEEP      ((uint64_t)1 << 63) // with PCIDs: nothing is dropped
#define INVPCID_ALL   2u                  // all contexts, global translations too
#define TSC_HZ_MOST   8000000000u         // where the frequency is not known
#define MS_PER_SECOND 1000u

static struct {
    struct tlb_features features;
    uint64_t patience; // ticks
    struct shootdown shootdown;
    struct address_spaces spaces;
} tlb;

// Written by the CPU it belongs to; `answered` by its handler, the rest with interrupts masked.
static struct {
    CACHE_ALIGNED struct tlb_counts counts;
} cpus[CPU_MOST];

static struct tlb_counts *counts_here(void)
{
    return &cpus[cpu_local()->index].counts;
}

// ---- here
// ----------------------------------------------------------------------------------------

static void load(void *context, uint64_t root, unsigned pcid, bool keep)
{
    (void)context;
    x86_write_cr3(root | pcid | (keep && tlb.features.pcid ? CR3_KEEP : 0));
}

void tlb_reload(bool keep)
{
    x86_write_cr3(x86_read_cr3() | (keep && tlb.features.pcid ? CR3_KEEP : 0));
}

void tlb_invalidate_page(uint64_t address)
{
    x86_invalidate_page(address);
}

void tlb_drop_all(void)
{
    if (tlb.features.invpcid)
        x86_invalidate_contexts(INVPCID_ALL);
    else
        x86_drop_translations();
}

// The kernel's pages are global, but for devices, which every context may remember: INVLPG would
// drop them of the one in use only.
void tlb_drop_kernel(uint64_t address, uint64_t length)
{
    if (tlb.features.pcid || length / PAGE_SIZE > INVALIDATE_PAGES_MOST) {
        tlb_drop_all();
        return;
    }
    for (uint64_t at = 0; at < length; at += PAGE_SIZE)
        x86_invalidate_page(address + at);
}

static void invalidate_page(void *context, uint64_t address)
{
    (void)context;
    x86_invalidate_page(address);
}

static void flush(void *context, bool everything)
{
    (void)context;
    if (everything)
        tlb_drop_all();
    else
        x86_write_cr3(x86_read_cr3());
}

// ---- others
// --------------------------------------------------------------------------------------

static void kick(void *context, unsigned cpu)
{
    (void)context;
    const bool on = interrupts_off();
    counts_here()->kicks++;
    const bool sent = smp_interrupt(cpu, INTERRUPT_CALL);
    interrupts_restore(on);
    if (!sent)
        platform_panic("the interrupt controller does not send a shootdown", __FILE__, __LINE__);
}

static void receive(void *context, const struct tlb_shot *shot)
{
    (void)context;
    if (shot->space == NULL)
        tlb_drop_kernel(shot->address, shot->length);
    else
        address_space_receive(shot->space->all, shot);
}

void tlb_poll(void)
{
    const bool on = interrupts_off();
    counts_here()->answered_poll += shootdown_answer(&tlb.shootdown);
    interrupts_restore(on);
}

static bool wait(void *context, uint64_t *since)
{
    (void)context;
    tlb_poll();
    cpu_pause();
    const uint64_t now = cpu_ticks();
    if (*since == 0)
        *since = now;
    return now - *since < tlb.patience;
}

static void late(void *context, unsigned cpu)
{
    static char reason[96];
    (void)context;
    format(reason, sizeof(reason),
           "CPU %u does not drop translations: it keeps its interrupts masked, or is gone", cpu);
    platform_panic(reason, __FILE__, __LINE__);
}

static void on_call(void *context, const struct trap_frame *frame)
{
    (void)context;
    (void)frame;
    counts_here()->answered += shootdown_answer(&tlb.shootdown);
}

static void shootdown(void *context, uint64_t targets, const struct tlb_shot *shot)
{
    (void)context;
    shootdown_send(&tlb.shootdown, targets, shot);
}

void tlb_shoot_kernel(uint64_t address, uint64_t length)
{
    const struct tlb_shot shot = {.address = address, .length = length};
    const unsigned here = cpu_local()->index, count = machine_cpu_count();
    uint64_t targets = 0;
    for (unsigned i = 0; i < count; i++) {
        const uint32_t state = __atomic_load_n(&machine_cpus[i].state, __ATOMIC_ACQUIRE);
        // One on its way up begins with nothing remembered, and finds the map as it is.
        if (i != here && state >= MACHINE_CPU_PARKED)
            targets |= (uint64_t)1 << i;
    }
    if (targets == 0)
        return;
    counts_here()->kernel_shots++;
    shootdown_send(&tlb.shootdown, targets, &shot);
}

// ---- for address spaces
// --------------------------------------------------------------------------

static void poll(void *context)
{
    (void)context;
    tlb_poll();
}

static bool mask(void *context)
{
    (void)context;
    return interrupts_off();
}

static void unmask(void *context, bool before)
{
    (void)context;
    interrupts_restore(before);
}

static const struct tlb_ops ops = {.invalidate_page = invalidate_page,
                                   .flush = flush,
                                   .load = load,
                                   .shootdown = shootdown,
                                   .poll = poll,
                                   .mask = mask,
                                   .unmask = unmask};

const struct tlb_ops *tlb_machine_ops(void)
{
    return &ops;
}

struct address_spaces *tlb_spaces(void)
{
    return &tlb.spaces;
}

struct tlb_features tlb_features(void)
{
    return tlb.features;
}

void tlb_init(uint64_t tsc_hz, unsigned patience_ms)
{
    tlb.patience = (tsc_hz != 0 ? tsc_hz : TSC_HZ_MOST) / MS_PER_SECOND * patience_ms;
    if (tlb.spaces.tlb != NULL)
        return;
    tlb.features.pcid = (x86_read_cr4() & CPU_CR4_PCIDE) != 0;
    tlb.features.invpcid =
        cpu_cpuid(0, 0).eax >= 7 && (cpu_cpuid(7, 0).ebx >> 10 & 1) != 0 && tlb.features.pcid;
    const struct shootdown_ops of_machine = {
        .kick = kick, .receive = receive, .wait = wait, .late = late};
    shootdown_init(&tlb.shootdown, &of_machine);
    (void)address_spaces_init(&tlb.spaces, &ops, kernel_map_pages()->root,
                              tlb.features.pcid ? ADDRESS_SPACE_PCIDS_MOST : 0,
                              INVALIDATE_PAGES_MOST);
    interrupt_handle(INTERRUPT_CALL, on_call, NULL);
}

// ---- what is told
// --------------------------------------------------------------------------------

void tlb_count(struct tlb_counts *counts)
{
    *counts = (struct tlb_counts){0};
    for (unsigned i = 0; i < CPU_MOST; i++) {
        counts->kicks += cpus[i].counts.kicks;
        counts->kernel_shots += cpus[i].counts.kernel_shots;
        counts->answered += cpus[i].counts.answered;
        counts->answered_poll += cpus[i].counts.answered_poll;
    }
}

void tlb_describe(void (*emit)(void *context, const char *key, const char *value), void *context)
{
    emit(context, "tlb.pcid", tlb.features.pcid ? "yes" : "no: this CPU has none");
    emit(context, "tlb.invpcid", tlb.features.invpcid ? "yes" : "no: this CPU has none");
}
