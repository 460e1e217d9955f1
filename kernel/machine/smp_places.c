// SPDX-License-Identifier: MIT
#include "smp_places.h"

#include "assert.h"
#include "compiler.h"
#include "cpu.h"
#include "interrupts.h"
#include "smp.h"

#define STEP_US    100u
#define STEPS_MOST 10000u

// What smp_places.S leaves.
struct smp_place {
    uint64_t stack;
    uint32_t left; // atomic: `stack` is final, and nobody runs on it
};
_Static_assert(offsetof(struct smp_place, stack) == 0 && offsetof(struct smp_place, left) == 8,
               "smp_places.S");

void smp_places_change(struct smp_place *own, struct smp_place *other);

static struct {
    struct smp_place first, other;
    void (*load)(struct machine_cpu *cpu);
    uint32_t told; // atomic: what is known of the processors has moved
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
    smp_places_change(&places.other, &places.first);
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

bool smp_change_places(unsigned cpu, void (*load)(struct machine_cpu *cpu),
                       void (*delay_us)(unsigned us))
{
    assert(cpu_index() == 0 && cpu != 0);
    places.load = load;
    if (cpu >= machine_cpu_count() || !smp_run(cpu, change_other, &machine_cpus[cpu]))
        return false;
    // Acquire: it waits in smp_places_change from here on.
    for (unsigned step = 0; __atomic_load_n(&places.other.left, __ATOMIC_ACQUIRE) == 0; step++) {
        if (step == STEPS_MOST)
            return false;
        delay_us(STEP_US);
    }
    const bool on = interrupts_off();
    smp_places_change(&places.first, &places.other);
    enter(&machine_cpus[0]);
    move_what_is_known(&machine_cpus[0], &machine_cpus[cpu]);
    __atomic_store_n(&places.told, 1, __ATOMIC_RELEASE);
    interrupts_restore(on);
    return true;
}
