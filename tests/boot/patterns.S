// SPDX-License-Identifier: MIT
// uint64_t patterns_hold(uint64_t rounds, uint64_t seed): how many of the rounds saw a register or
// a flag change. In each round all general registers but RSP and RCX, which counts a loop, hold
// patterns made from the seed, and the arithmetic flags are set; interrupts that come meanwhile
// must give everything back.

#define FLAGS_SET 0x8d5                 // OF SF ZF AF PF CF

        .text
        .globl  patterns_hold
        .type   patterns_hold, @function
patterns_hold:
        .cfi_startproc
        .irp    register, rbp, rbx, r12, r13, r14, r15
        pushq   %\register
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset \register, 0
        .endr
        pushq   $0                      // changes seen: 16(%rsp)
        pushq   %rdi                    // rounds left:   8(%rsp)
        pushq   %rsi                    // the seed:      0(%rsp)
        .cfi_adjust_cfa_offset 24

next_round:
        movq    0(%rsp), %rax
        .set    step, 1
        .irp    register, rbx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
        leaq    step(%rax), %\register
        .set    step, step * 3
        .endr
        movl    $200, %ecx
        // Flags as IF is, with all of the arithmetic ones on.
        pushfq
        orq     $FLAGS_SET, (%rsp)
        popfq
wait_a_little:
        // LEA and JRCXZ leave the flags alone.
        leaq    -1(%rcx), %rcx
        jrcxz   look
        jmp     wait_a_little
look:
        pushfq
        popq    %rcx
        notl    %ecx
        testl   $FLAGS_SET, %ecx
        jnz     changed
        cmpq    0(%rsp), %rax
        jne     changed
        .set    step, 1
        .irp    register, rbx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
        leaq    step(%rax), %rcx
        cmpq    %rcx, %\register
        jne     changed
        .set    step, step * 3
        .endr
        jmp     done
changed:
        incq    16(%rsp)
done:
        // Another pattern every round.
        rolq    $1, 0(%rsp)
        decq    8(%rsp)
        jnz     next_round

        addq    $16, %rsp
        .cfi_adjust_cfa_offset -16
        popq    %rax
        .cfi_adjust_cfa_offset -8
        .irp    register, r15, r14, r13, r12, rbx, rbp
        popq    %\register
        .cfi_adjust_cfa_offset -8
        .cfi_restore \register
        .endr
        ret
        .cfi_endproc
        .size   patterns_hold, . - patterns_hold

        .section .note.GNU-stack, "", @progbits
