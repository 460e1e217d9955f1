// SPDX-License-Identifier: MIT
#include "stacks.h"

#include "compiler.h"

#define RESERVED(name)                                                                             \
    extern uint8_t stack_##name##_bottom[];                                                        \
    extern uint8_t stack_##name##_top[]

RESERVED(boot);
RESERVED(fault);
RESERVED(double_fault);
RESERVED(nmi);
RESERVED(machine_check);
RESERVED(panic);

const struct stack stacks[STACKS] = {
    [STACK_BOOT] = {"boot", stack_boot_bottom, stack_boot_top},
    [STACK_FAULT] = {"fault", stack_fault_bottom, stack_fault_top},
    [STACK_DOUBLE_FAULT] = {"double fault", stack_double_fault_bottom, stack_double_fault_top},
    [STACK_NMI] = {"NMI", stack_nmi_bottom, stack_nmi_top},
    [STACK_MACHINE_CHECK] = {"machine check", stack_machine_check_bottom, stack_machine_check_top},
    [STACK_PANIC] = {"panic", stack_panic_bottom, stack_panic_top},
};

const struct stack *stack_at(uint64_t address)
{
    for (unsigned i = 0; i < STACKS; i++) {
        if (address >= (uintptr_t)stacks[i].bottom - PAGE_SIZE &&
            address < (uintptr_t)stacks[i].top)
            return &stacks[i];
    }
    return NULL;
}
