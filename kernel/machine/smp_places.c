// SPDX-License-Identifier: MIT
#include "smp_places.h"

#include "assert.h"
#include "compiler.h"
#include "cpu.h"
#include "interrupts.h"
#include "smp.h"

#define STEP_US    100u
#define STEPS_MOST 10000u

// Who may still turn back: CPU 0 until the other has come, the other if it comes too late.
enum smp_places_state {
    SMP_PLACES_NOT_ASKED,
    SMP_PLACES_OFFERED, // the other waits for CPU 0's place
    SMP_PLACES_TAKEN,   // both are left: each has the other's
    SMP_PLACES_WITHDRAWN,
};
_Static_assert(SMP_PLACES_TAKEN == 2, "smp_places.S");

// Of the stacks, where each thread of execution is left.
bool smp_places_change(uint64_t *own, const uint64_t *other, uint32_t *state, uint32_t expected,
                       uint32_t next);

static struct {
    uint64_t first, other;
    void (*load)(struct machine_cpu *cpu);
    uint32_t state; // atomic: enum smp_places_state
    uint32_t told;  // atomic: what is known of the processors has moved
} places;

// The processor that runs is another one from now on.
static void enter(struct machine_cpu *cpu)
{
    machine_cpu_enter(cpu);
    places.load(cpu);
}

// On the CPU that CPU 0 becomes; its end is on the one that was.
static void change_other(void *argument)
{
    struct machine_cpu *const cpu = argument;
    const bool on = interrupts_off();
    if (!smp_places_change(&places.other, &places.first, &places.state, SMP_PLACES_NOT_ASKED,
                           SMP_PLACES_OFFERED)) {
        interrupts_restore(on);
        return; // too late
    }
    enter(cpu);
    // Acquire: pairs with the release below; interrupts find the right controller in the area.
    while (__atomic_load_n(&places.told, __ATOMIC_ACQUIRE) == 0)
        cpu_pause();
    interrupts_restore(on);
}

static void move_what_is_known(struct machine_cpu *one, struct machine_cpu *other)
{
    const struct apic apic = one->apic;
    const uint32_t apic_id = one->apic_id, node = one->node;
    one->apic = other->apic;
    one->apic_id = other->apic_id;
    one->node = other->node;
    other->apic = apic;
    other->apic_id = apic_id;
    other->node = node;
}

// True once the other CPU waits in smp_places_change; false once it will not any more.
static bool wait_for_offer(bool asked, void (*delay_us)(unsigned us))
{
    for (unsigned step = 0; asked && step < STEPS_MOST; step++) {
        // Acquire: the other's stack is final.
        if (__atomic_load_n(&places.state, __ATOMIC_ACQUIRE) == SMP_PLACES_OFFERED)
            return true;
        delay_us(STEP_US);
    }
    uint32_t state = SMP_PLACES_NOT_ASKED;
    // Acquire, for when it has come in this very moment.
    return !__atomic_compare_exchange_n(&places.state, &state, SMP_PLACES_WITHDRAWN, false,
                                        __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE);
}

bool smp_change_places(unsigned cpu, void (*load)(struct machine_cpu *cpu),
                       void (*delay_us)(unsigned us))
{
    assert(cpu_index() == 0 && cpu != 0 && cpu < machine_cpu_count());
    assert(places.load == NULL); // called once
    places.load = load;
    // Also where it could not be interrupted: it may find later that it was asked.
    if (!wait_for_offer(smp_run(cpu, change_other, &machine_cpus[cpu]), delay_us))
        return false;
    const bool on = interrupts_off();
    const bool changed = smp_places_change(&places.first, &places.other, &places.state,
                                           SMP_PLACES_OFFERED, SMP_PLACES_TAKEN);
    assert(changed); // nobody else moves it from there
    enter(&machine_cpus[0]);
    move_what_is_known(&machine_cpus[0], &machine_cpus[cpu]);
    __atomic_store_n(&places.told, 1, __ATOMIC_RELEASE);
    interrupts_restore(on);
    return true;
}
