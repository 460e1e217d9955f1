// SPDX-License-Identifier: MIT
// void smp_places_change(struct smp_place *own, struct smp_place *other)
//
// On two CPUs at once, interrupts masked: each leaves its thread of execution in `own` and goes on
// with the one that the other has left. Nothing is on a stack that somebody else may have by then.
        .text
        .globl  smp_places_change
        .type   smp_places_change, @function
smp_places_change:
        .cfi_startproc
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        movq    %rsp, (%rdi)
        movl    $1, 8(%rdi)             // stores are seen in order: who sees this sees the stack
1:      pause
        cmpl    $0, 8(%rsi)
        je      1b
        movq    (%rsi), %rsp            // laid out as this one
        popq    %r15
        .cfi_adjust_cfa_offset -8
        popq    %r14
        .cfi_adjust_cfa_offset -8
        popq    %r13
        .cfi_adjust_cfa_offset -8
        popq    %r12
        .cfi_adjust_cfa_offset -8
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        ret
        .cfi_endproc
        .size   smp_places_change, . - smp_places_change

        .section .note.GNU-stack, "", @progbits
