// SPDX-License-Identifier: MIT
// platform_panic(reason, file, line): registers first, then a stack known to be good, then C.
//
// The frame's RIP and RSP are those of this function's first instruction, where its unwind data is
// that of any function just entered: the caller is the next frame, found by its return address.

#include "registers.h"

#define SELECTOR_CODE 0x08              // boot.S
#define SELECTOR_DATA 0x10
#define TRAP_NONE     256               // traps.h

        .text
        .globl  platform_panic
        .type   platform_panic, @function
platform_panic:
        .cfi_startproc
        .macro  word value
        pushq   \value
        .cfi_adjust_cfa_offset 8
        .endm
        // struct trap_frame, last field first
        word    $SELECTOR_DATA
        word    %rsp                    // one word below RSP on entry: put right below
        pushfq
        .cfi_adjust_cfa_offset 8
        addq    $8, 8(%rsp)
        word    $SELECTOR_CODE
        word    $platform_panic
        word    $0
        word    $TRAP_NONE
        save_registers
        cld
        movq    %rsp, %rbx              // frame
        .cfi_def_cfa_register rbx
        movl    %edx, %r12d             // line
        movq    %rsi, %r13              // file
        movq    %rdi, %r14              // reason
        andq    $-16, %rsp
        call    last_words_stack        // of this CPU; the one we are on may be nearly used up
        movq    %rax, %rsp              // 16-aligned
        movq    %rbx, %rdi
        movq    %r14, %rsi
        movq    %r13, %rdx
        movl    %r12d, %ecx
        call    last_words_panic        // never returns
        ud2
        .cfi_endproc
        .size   platform_panic, . - platform_panic

        .section .note.GNU-stack, "", @progbits
