// SPDX-License-Identifier: MIT
// For assembly, not for C: puts the general registers on the stack as struct trap_frame (traps.h)
// has them, the first pushed last there, and takes them back, with unwind data that says where each
// one lies.
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

        .macro  restore_register register
        popq    %\register
        .cfi_adjust_cfa_offset -8
        .cfi_restore \register
        .endm

        .macro  restore_registers
        restore_register r15
        restore_register r14
        restore_register r13
        restore_register r12
        restore_register r11
        restore_register r10
        restore_register r9
        restore_register r8
        restore_register rdi
        restore_register rsi
        restore_register rbp
        restore_register rbx
        restore_register rdx
        restore_register rcx
        restore_register rax
        .endm
// clang-format on

#endif
