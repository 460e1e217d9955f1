// SPDX-License-Identifier: MIT
// Descriptor tables: a GDT and a task state for each CPU, one IDT for all.
// Layouts: AMD64 Architecture Programmer's Manual vol. 2, 4.8, 8.2 and 12.2.5.
#ifndef DESCRIPTORS_H
#define DESCRIPTORS_H

#include <stdint.h>

// The first two are those of boot.S and trampoline.S, with equal descriptors: the segment registers
// need no reload.
#define SELECTOR_CODE 0x08
#define SELECTOR_DATA 0x10
#define SELECTOR_TASK 0x18

// Exceptions never run on the interrupted stack, which may be what is broken; interrupts do.
enum interrupt_stack {
    IST_NONE,
    IST_FAULT,
    IST_DOUBLE_FAULT,
    IST_NMI,
    IST_MACHINE_CHECK,
    IST_MOST = 7,
};

struct __attribute__((packed)) task_state {
    uint32_t reserved0;
    uint64_t ring_stack[3];
    uint64_t reserved1;
    uint64_t interrupt_stack[IST_MOST]; // IST1 is [0]
    uint64_t reserved2;
    uint16_t reserved3, io_map;
};
_Static_assert(sizeof(struct task_state) == 104, "read by the CPU");

struct descriptors {
    uint64_t gdt[5];
    struct task_state task;
};

// The tops of the stacks of the CPU, by enum interrupt_stack; [IST_NONE] is not looked at.
struct descriptor_stacks {
    uint64_t top[IST_MACHINE_CHECK + 1];
};

// Fills the tables in and loads them on the running CPU; then the IDT. The tables stay in use.
void descriptors_load(struct descriptors *descriptors, const struct descriptor_stacks *stacks);

#endif
