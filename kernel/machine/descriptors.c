// SPDX-License-Identifier: MIT
#include "descriptors.h"

#include "compiler.h"
#include "traps.h"
#include "x86.h"

struct gate {
    uint16_t offset_low, selector;
    uint8_t stack, type; // IST number; 0x8e: present, ring 0, interrupt gate (masks interrupts)
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
};
_Static_assert(sizeof(struct gate) == 16, "read by the CPU");

static struct gate idt[TRAP_GATES];

// traps.S: entry n is at trap_entries + n * TRAP_ENTRY_BYTES.
#define TRAP_ENTRY_BYTES 16u
extern const uint8_t trap_entries[];

static enum interrupt_stack stack_of(unsigned vector)
{
    if (vector >= TRAP_VECTORS)
        return IST_NONE;
    return vector == TRAP_NMI             ? IST_NMI
           : vector == TRAP_DOUBLE_FAULT  ? IST_DOUBLE_FAULT
           : vector == TRAP_MACHINE_CHECK ? IST_MACHINE_CHECK
                                          : IST_FAULT;
}

// Every CPU writes the same values, the boot CPU before there are others.
static void fill_idt(void)
{
    for (unsigned vector = 0; vector < TRAP_GATES; vector++) {
        const uint64_t entry = (uintptr_t)trap_entries + vector * TRAP_ENTRY_BYTES;
        idt[vector] = (struct gate){.offset_low = (uint16_t)entry,
                                    .selector = SELECTOR_CODE,
                                    .stack = (uint8_t)stack_of(vector),
                                    .type = 0x8e,
                                    .offset_middle = (uint16_t)(entry >> 16),
                                    .offset_high = (uint32_t)(entry >> 32)};
    }
}

void descriptors_load(struct descriptors *descriptors, const struct descriptor_stacks *stacks)
{
    struct task_state *task = &descriptors->task;
    const uint64_t base = (uintptr_t)task;
    for (unsigned stack = IST_FAULT; stack <= IST_MACHINE_CHECK; stack++)
        task->interrupt_stack[stack - 1] = stacks->top[stack];
    task->io_map = sizeof(*task); // beyond the limit: no map
    descriptors->gdt[0] = 0;
    descriptors->gdt[1] = 0x00af9b000000ffff;
    descriptors->gdt[2] = 0x00cf93000000ffff;
    // Present, available 64-bit TSS (type 9); the base is spread over the descriptor.
    descriptors->gdt[3] = (sizeof(*task) - 1) | (base & 0xffffff) << 16 | (uint64_t)0x89 << 40 |
                          (base >> 24 & 0xff) << 56;
    descriptors->gdt[4] = base >> 32;
    const struct x86_table gdt = {sizeof(descriptors->gdt) - 1, (uintptr_t)descriptors->gdt};
    x86_load_gdt(&gdt);
    x86_load_task(SELECTOR_TASK);
    if (idt[0].type == 0)
        fill_idt();
    const struct x86_table table = {sizeof(idt) - 1, (uintptr_t)idt};
    x86_load_idt(&table);
}
