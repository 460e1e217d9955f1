// SPDX-License-Identifier: MIT
// For assembly, not for C: puts the general registers on the stack as struct trap_frame (traps.h)
// has them, the first pushed last there, with unwind data that says where each one lies.
#ifndef REGISTERS_H
#define REGISTERS_H

// clang-format off
        .macro  save_register register
        pushq   %\register
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset \register, 0
        .endm

        .macro  save_registers
        save_register rax
        save_register rcx
        save_register rdx
        save_register rbx
        save_register rbp
        save_register rsi
        save_register rdi
        save_register r8
        save_register r9
        save_register r10
        save_register r11
        save_register r12
        save_register r13
        save_register r14
        save_register r15
        .endm
// clang-format on

#endif
