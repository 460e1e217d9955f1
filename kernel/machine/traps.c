// SPDX-License-Identifier: MIT
// Descriptor layouts: AMD64 Architecture Programmer's Manual vol. 2, 4.8, 8.2 and 12.2.5.
#include "traps.h"

#include "compiler.h"
#include "stacks.h"
#include "x86.h"

// The first two are those of boot.S, with equal descriptors: the segment registers need no reload.
#define SELECTOR_CODE 0x08
#define SELECTOR_TASK 0x18

struct __attribute__((packed)) task_state {
    uint32_t reserved0;
    uint64_t ring_stack[3];
    uint64_t reserved1;
    uint64_t interrupt_stack[7]; // IST1 is [0]
    uint64_t reserved2;
    uint16_t reserved3, io_map;
};
_Static_assert(sizeof(struct task_state) == 104, "read by the CPU");

struct gate {
    uint16_t offset_low, selector;
    uint8_t stack, type; // IST number; 0x8e: present, ring 0, interrupt gate (masks interrupts)
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
};
_Static_assert(sizeof(struct gate) == 16, "read by the CPU");

enum interrupt_stack {
    IST_FAULT = 1,
    IST_DOUBLE_FAULT,
    IST_NMI,
    IST_MACHINE_CHECK,
};

static uint64_t gdt[5] = {0, 0x00af9b000000ffff, 0x00cf93000000ffff};
static struct task_state task;
static struct gate idt[TRAP_VECTORS];
static void (*reporter)(const struct trap_frame *frame);

// traps.S: entry n is at trap_entries + n * TRAP_ENTRY_BYTES.
#define TRAP_ENTRY_BYTES 16u
extern const uint8_t trap_entries[];

void trap_handle(const struct trap_frame *frame); // called by traps.S

void trap_handle(const struct trap_frame *frame)
{
    reporter(frame);
    x86_stop();
}

static void set_gate(unsigned vector, enum interrupt_stack stack)
{
    const uint64_t entry = (uintptr_t)trap_entries + vector * TRAP_ENTRY_BYTES;
    idt[vector] = (struct gate){.offset_low = (uint16_t)entry,
                                .selector = SELECTOR_CODE,
                                .stack = (uint8_t)stack,
                                .type = 0x8e,
                                .offset_middle = (uint16_t)(entry >> 16),
                                .offset_high = (uint32_t)(entry >> 32)};
}

static void load_task(void)
{
    const uint64_t base = (uintptr_t)&task;
    task.interrupt_stack[IST_FAULT - 1] = stack_top(0, STACK_FAULT);
    task.interrupt_stack[IST_DOUBLE_FAULT - 1] = stack_top(0, STACK_DOUBLE_FAULT);
    task.interrupt_stack[IST_NMI - 1] = stack_top(0, STACK_NMI);
    task.interrupt_stack[IST_MACHINE_CHECK - 1] = stack_top(0, STACK_MACHINE_CHECK);
    task.io_map = sizeof(task); // beyond the limit: no map
    // Present, available 64-bit TSS (type 9); the base is spread over the descriptor.
    gdt[3] = (sizeof(task) - 1) | (base & 0xffffff) << 16 | (uint64_t)0x89 << 40 |
             (base >> 24 & 0xff) << 56;
    gdt[4] = base >> 32;
    const struct x86_table table = {sizeof(gdt) - 1, (uintptr_t)gdt};
    x86_load_gdt(&table);
    x86_load_task(SELECTOR_TASK);
}

void traps_init(void (*report)(const struct trap_frame *frame))
{
    reporter = report;
    load_task();
    for (unsigned vector = 0; vector < TRAP_VECTORS; vector++)
        set_gate(vector, IST_FAULT);
    set_gate(2, IST_NMI);
    set_gate(8, IST_DOUBLE_FAULT);
    set_gate(18, IST_MACHINE_CHECK);
    const struct x86_table table = {sizeof(idt) - 1, (uintptr_t)idt};
    x86_load_idt(&table);
}

const char *trap_name(uint64_t vector)
{
    // AMD64 vol. 2, table 8-1.
    static const char *const names[TRAP_VECTORS] = {
        [0] = "divide error",
        [1] = "debug exception",
        [2] = "non-maskable interrupt",
        [3] = "breakpoint",
        [4] = "overflow exception",
        [5] = "bound range exceeded",
        [6] = "invalid opcode",
        [7] = "device not available",
        [8] = "double fault",
        [10] = "invalid TSS",
        [11] = "segment not present",
        [12] = "stack fault",
        [13] = "general protection",
        [14] = "page fault",
        [16] = "x87 exception",
        [17] = "alignment check",
        [18] = "machine check",
        [19] = "SIMD exception",
        [20] = "virtualization exception",
        [21] = "control protection",
    };
    const char *name = vector < TRAP_VECTORS ? names[vector] : NULL;
    return name != NULL ? name : "exception";
}
