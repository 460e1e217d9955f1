// SPDX-License-Identifier: MIT
#include "stacks.h"

#include "compiler.h"
#include "kernel_map.h"
#include "string.h"

#define RESERVED(name)                                                                             \
    extern uint8_t stack_##name##_bottom[];                                                        \
    extern uint8_t stack_##name##_top[]

RESERVED(boot);
RESERVED(fault);
RESERVED(double_fault);
RESERVED(nmi);
RESERVED(machine_check);
RESERVED(panic);

// Of boot.S: known before anything has run.
static const struct {
    uint8_t *bottom, *top;
} boot_stacks[STACKS] = {
    [STACK_KERNEL] = {stack_boot_bottom, stack_boot_top},
    [STACK_FAULT] = {stack_fault_bottom, stack_fault_top},
    [STACK_DOUBLE_FAULT] = {stack_double_fault_bottom, stack_double_fault_top},
    [STACK_NMI] = {stack_nmi_bottom, stack_nmi_top},
    [STACK_MACHINE_CHECK] = {stack_machine_check_bottom, stack_machine_check_top},
    [STACK_PANIC] = {stack_panic_bottom, stack_panic_top},
};

static const char *const names[STACKS] = {
    [STACK_KERNEL] = "kernel",
    [STACK_FAULT] = "fault",
    [STACK_DOUBLE_FAULT] = "double fault",
    [STACK_NMI] = "NMI",
    [STACK_MACHINE_CHECK] = "machine check",
    [STACK_PANIC] = "panic",
};

static struct stack_table others; // all but the boot CPU's
static uint64_t tops[CPU_MOST][STACKS];

enum status stacks_guard(void)
{
    enum status status = STATUS_OK;
    for (unsigned i = 0; i < STACKS && status == STATUS_OK; i++)
        status = kernel_map_guard((uintptr_t)boot_stacks[i].bottom - PAGE_SIZE);
    return status;
}

// Adds the stack that ends at `top`, its guard page at `guard`.
static enum status add(uint64_t guard, uint64_t top, uint64_t cpu, const char *name)
{
    enum status status = stack_table_add(&others, guard + PAGE_SIZE, top, cpu, name);
    if (status != STATUS_OK)
        return status;
    status = kernel_map_guard(guard);
    if (status != STATUS_OK)
        stack_table_remove(&others, guard + PAGE_SIZE);
    return status;
}

enum status stacks_make(unsigned cpu, void *memory, size_t length)
{
    uint64_t at = (uintptr_t)memory;
    if (cpu == 0 || cpu >= CPU_MOST || at % PAGE_SIZE != 0 || length < STACKS_BYTES ||
        stack_top(cpu, STACK_KERNEL) != 0)
        return STATUS_INVALID;
    enum status status = STATUS_OK;
    for (unsigned i = 0; i < STACKS && status == STATUS_OK; i++) {
        const uint64_t top = at + PAGE_SIZE + (i == STACK_KERNEL ? 32 : 16) * 1024;
        status = add(at, top, cpu, names[i]);
        tops[cpu][i] = top;
        at = top;
    }
    // A CPU has all of them or none; guards made until then stay, and so does what they tell.
    if (status != STATUS_OK)
        memset(tops[cpu], 0, sizeof(tops[cpu]));
    return status;
}

uint64_t stack_top(unsigned cpu, enum stack_kind kind)
{
    if (cpu == 0)
        return (uintptr_t)boot_stacks[kind].top;
    return cpu < CPU_MOST ? tops[cpu][kind] : 0;
}

enum status stacks_add_thread(const char *name, void *memory, size_t length)
{
    if (length < 2 * PAGE_SIZE)
        return STATUS_INVALID;
    return add((uintptr_t)memory, (uintptr_t)memory + length, STACK_NO_CPU, name);
}

enum status stacks_remove_thread(void *memory)
{
    const enum status status = stack_table_remove(&others, (uintptr_t)memory + PAGE_SIZE);
    return status != STATUS_OK ? status : kernel_map_unguard((uintptr_t)memory);
}

bool stack_at(uint64_t address, struct stack *found)
{
    for (unsigned i = 0; i < STACKS; i++) {
        *found = (struct stack){.bottom = (uintptr_t)boot_stacks[i].bottom,
                                .top = (uintptr_t)boot_stacks[i].top};
        const char *name = i == STACK_KERNEL ? "boot" : names[i];
        memcpy(found->name, name, string_length(name, STACK_NAME_BYTES - 1));
        if (stack_holds(found, address))
            return true;
    }
    return stack_table_find(&others, address, found);
}
