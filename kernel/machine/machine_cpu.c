// SPDX-License-Identifier: MIT
#include "machine_cpu.h"

#include "assert.h"
#include "x86.h"

struct machine_cpu machine_cpus[CPU_MOST];
static unsigned count;

unsigned machine_cpu_count(void)
{
    return __atomic_load_n(&count, __ATOMIC_ACQUIRE);
}

uint32_t machine_cpu_apic_id(void)
{
    if (cpu_cpuid(0, 0).eax >= 0x0b) {
        const struct cpu_cpuid topology = cpu_cpuid(0x0b, 0);
        if (topology.ebx != 0)
            return topology.edx;
    }
    return cpu_cpuid(1, 0).ebx >> 24;
}

struct machine_cpu *machine_cpu_add(uint32_t apic_id)
{
    const unsigned index = count;
    if (index == CPU_MOST)
        return NULL;
    struct machine_cpu *cpu = &machine_cpus[index];
    cpu->local.self = &cpu->local;
    cpu->local.index = index;
    cpu->apic_id = apic_id;
    // Release: whoever sees the new count sees the area filled in.
    __atomic_store_n(&count, index + 1, __ATOMIC_RELEASE);
    return cpu;
}

void machine_cpu_remove_last(struct machine_cpu *cpu)
{
    assert(cpu == &machine_cpus[count - 1] && count > 1);
    __atomic_store_n(&count, count - 1, __ATOMIC_RELEASE);
    // A CPU that comes up after all finds its area no more: it may never use another one's.
    cpu->state = MACHINE_CPU_OFF;
}

void machine_cpu_enter(struct machine_cpu *cpu)
{
    x86_write_msr(X86_MSR_GS_BASE, (uintptr_t)cpu);
}

void machine_cpu_init_boot(void)
{
    struct machine_cpu *cpu = machine_cpu_add(machine_cpu_apic_id());
    assert(cpu == &machine_cpus[0]);
    cpu->state = MACHINE_CPU_RUNNING;
    machine_cpu_enter(cpu);
}

struct machine_cpu *machine_cpu_identify(void)
{
    const uint32_t id = machine_cpu_apic_id();
    const unsigned known = machine_cpu_count();
    for (unsigned i = 0; i < known; i++) {
        if (machine_cpus[i].apic_id == id)
            return &machine_cpus[i];
    }
    return &machine_cpus[0];
}
