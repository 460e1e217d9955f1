// SPDX-License-Identifier: MIT
#include "smp.h"

#include "assert.h"
#include "interrupts.h"
#include "string.h"
#include "x86.h"

// trampoline.S
extern const uint8_t trampoline_start[], trampoline_end[];
extern const uint8_t trampoline_gdt_base[], trampoline_far_32[];

// Read by smp_entry; written for one CPU at a time.
uint64_t smp_start_stack;
struct machine_cpu *smp_start_cpu;
_Noreturn void smp_cpu_main(struct machine_cpu *cpu);

static void (*enter_cpu)(struct machine_cpu *cpu);

// ---- on the new CPU ----------------------------------------------------------------------------

static _Noreturn void park(struct machine_cpu *cpu)
{
    for (;;) {
        interrupts_off();
        // Acquire: pairs with the release of smp_run; the work is read after it.
        if (__atomic_load_n(&cpu->state, __ATOMIC_ACQUIRE) != MACHINE_CPU_ASKED) {
            interrupts_wait();
            continue;
        }
        __atomic_store_n(&cpu->state, MACHINE_CPU_RUNNING, __ATOMIC_RELAXED);
        interrupts_on();
        cpu->work(cpu->argument);
        // Release: whoever sees the CPU parked sees what it did.
        __atomic_store_n(&cpu->state, MACHINE_CPU_PARKED, __ATOMIC_RELEASE);
    }
}

_Noreturn void smp_cpu_main(struct machine_cpu *cpu)
{
    machine_cpu_enter(cpu);
    enter_cpu(cpu);
    __atomic_store_n(&cpu->state, MACHINE_CPU_PARKED, __ATOMIC_RELEASE);
    park(cpu);
}

// ---- starting ----------------------------------------------------------------------------------

static void write_u32(uint32_t page, const uint8_t *field, uint32_t more)
{
    uint8_t *at = (uint8_t *)(uintptr_t)page + (field - trampoline_start);
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    value += more;
    memcpy(at, &value, sizeof(value));
}

static void place_trampoline(uint32_t page)
{
    const size_t bytes = (size_t)(trampoline_end - trampoline_start);
    assert(page % PAGE_SIZE == 0 && page < (1u << 20) && bytes <= PAGE_SIZE);
    memcpy((void *)(uintptr_t)page, trampoline_start, bytes);
    write_u32(page, trampoline_gdt_base, page);
    write_u32(page, trampoline_far_32, page);
}

// For CPUs that do not come, all together: tables may describe many that are not there.
#define SILENCE_MOST_US 2000000u
static unsigned silence_us;

static bool wait_until_parked(const struct machine_cpu *cpu, const struct smp_start *start,
                              unsigned most_us)
{
    for (unsigned waited = 0; waited < most_us; waited += 100) {
        if (__atomic_load_n(&cpu->state, __ATOMIC_ACQUIRE) == MACHINE_CPU_PARKED)
            return true;
        if (waited > 1000 && silence_us >= SILENCE_MOST_US)
            return false;
        start->delay_us(100);
    }
    silence_us += most_us;
    return false;
}

static const char *start_one(struct machine_cpu *cpu, const struct smp_start *start)
{
    smp_start_stack = start->stack_of(cpu);
    smp_start_cpu = cpu;
    if (smp_start_stack == 0)
        return "no memory for its stacks";
    __atomic_store_n(&cpu->state, MACHINE_CPU_STARTING, __ATOMIC_SEQ_CST);
    for (unsigned attempt = 0; attempt < 2; attempt++) {
        if (apic_send_startup(&machine_cpus[0].apic, cpu->apic_id, start->page) != STATUS_OK)
            return "the interrupt controller does not send";
        if (wait_until_parked(cpu, start, attempt == 0 ? 1000 : 200000))
            return NULL;
    }
    return "it does not answer";
}

unsigned smp_start_all(const struct smp_start *start)
{
    const uint32_t own = machine_cpus[0].apic_id;
    struct apic *apic = &machine_cpus[0].apic;
    place_trampoline(start->page);
    enter_cpu = start->enter;
    // A CPU that does not get its INIT does not answer later either.
    for (unsigned i = 0; i < start->count; i++) {
        if (start->apic_ids[i] != own && apic_send_init(apic, start->apic_ids[i]) == STATUS_OK)
            (void)apic_send_init_end(apic, start->apic_ids[i]);
    }
    start->delay_us(10000);
    for (unsigned i = 0; i < start->count; i++) {
        if (start->apic_ids[i] == own)
            continue;
        struct machine_cpu *cpu = machine_cpu_add(start->apic_ids[i]);
        const char *problem = cpu == NULL ? "there is room for 64 CPUs" : start_one(cpu, start);
        if (problem == NULL) {
            start->arrived(cpu);
            continue;
        }
        // Back to waiting for a STARTUP: should it come late, it must not come with the stack and
        // the area of the next one.
        (void)apic_send_init(apic, start->apic_ids[i]);
        start->left_out(start->apic_ids[i], problem);
        if (cpu != NULL)
            machine_cpu_remove_last(cpu);
    }
    return machine_cpu_count();
}

#define SENDS_MOST 3u // times that the controller is asked to take one message

// ---- work --------------------------------------------------------------------------------------

bool smp_run(unsigned cpu, void (*function)(void *argument), void *argument)
{
    if (cpu == 0 || cpu >= machine_cpu_count())
        return false;
    struct machine_cpu *other = &machine_cpus[cpu];
    if (__atomic_load_n(&other->state, __ATOMIC_ACQUIRE) != MACHINE_CPU_PARKED)
        return false;
    other->work = function;
    other->argument = argument;
    // Release: the CPU that sees ASKED sees the work.
    __atomic_store_n(&other->state, MACHINE_CPU_ASKED, __ATOMIC_RELEASE);
    return smp_interrupt(cpu, INTERRUPT_WAKE);
}

bool smp_parked(unsigned cpu)
{
    return cpu < machine_cpu_count() &&
           __atomic_load_n(&machine_cpus[cpu].state, __ATOMIC_ACQUIRE) == MACHINE_CPU_PARKED;
}

bool smp_interrupt(unsigned cpu, uint8_t vector)
{
    enum status status = STATUS_FULL;
    const bool on = interrupts_off();
    for (unsigned i = 0; i < SENDS_MOST && status == STATUS_FULL; i++)
        status = apic_send(&machine_cpu_here()->apic, machine_cpus[cpu].apic_id, vector);
    interrupts_restore(on);
    return status == STATUS_OK;
}

// ---- the end -----------------------------------------------------------------------------------

// By reads of a flag that is in nobody's cache but ours while nothing happens: some milliseconds
// at the least, seconds under emulation at the most.
#define ANSWER_READS_MOST 20000000u

// `left` goes down with each read, so that several CPUs can share one bound.
static bool answered(const struct machine_cpu *cpu, unsigned *left)
{
    while (__atomic_load_n(&cpu->nmi_answered, __ATOMIC_ACQUIRE) == 0) {
        if (*left == 0)
            return false;
        --*left;
        cpu_pause();
    }
    return true;
}

static bool send_nmi(struct machine_cpu *own, struct machine_cpu *cpu, enum machine_nmi meaning)
{
    // Release, and the send behind it: the CPU that is interrupted finds the meaning.
    __atomic_store_n(&cpu->nmi_meaning, meaning, __ATOMIC_RELEASE);
    return apic_send_nmi(&own->apic, cpu->apic_id) == STATUS_OK;
}

static bool started(const struct machine_cpu *cpu)
{
    return __atomic_load_n(&cpu->state, __ATOMIC_ACQUIRE) >= MACHINE_CPU_PARKED;
}

unsigned smp_stop_others(void)
{
    struct machine_cpu *own = machine_cpu_identify();
    const unsigned known = machine_cpu_count();
    unsigned silent = 0, left = ANSWER_READS_MOST;
    bool sent[CPU_MOST] = {false};
    // On its way up: it has nothing to send with yet, and the report must come all the same.
    if (own->apic.access.read == NULL)
        return known - 1;
    for (unsigned i = 0; i < known; i++) {
        struct machine_cpu *cpu = &machine_cpus[i];
        if (cpu != own && started(cpu) && cpu->nmi_meaning == MACHINE_NMI_UNASKED)
            sent[i] = send_nmi(own, cpu, MACHINE_NMI_STOP);
    }
    for (unsigned i = 0; i < known; i++) {
        if (sent[i] && !answered(&machine_cpus[i], &left))
            silent++;
    }
    return silent;
}

bool smp_show(unsigned cpu)
{
    struct machine_cpu *own = machine_cpu_identify(), *other = &machine_cpus[cpu];
    assert(cpu < machine_cpu_count() && other != own);
    unsigned left = ANSWER_READS_MOST;
    return started(other) && send_nmi(own, other, MACHINE_NMI_SHOW) && answered(other, &left);
}
