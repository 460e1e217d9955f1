// SPDX-License-Identifier: MIT
// bool smp_places_change(uint64_t *own, const uint64_t *other, uint32_t *state,
//                        uint32_t expected, uint32_t next)
//
// On two CPUs, interrupts masked: each leaves its thread of execution in `own`, moves the state
// from `expected` to `next`, and goes on with the thread that the other has left once the state is
// 2, SMP_PLACES_TAKEN. Nothing is on a stack that somebody else may have by then. False, and it
// goes on as it was, if the state was another.
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
        movl    %ecx, %eax
        lock cmpxchgl %r8d, (%rdx)      // who sees the new state sees the stack
        jne     2f
        jmp     1f
0:      pause
1:      cmpl    $2, (%rdx)
        jne     0b
        movq    (%rsi), %rsp            // laid out as this one
        movl    $1, %eax
        jmp     3f
2:      xorl    %eax, %eax
3:
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
