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
        movl    %edx, %ecx              // line
        movq    %rsi, %rdx              // file
        movq    %rdi, %rsi              // reason
        movq    %rsp, %rdi              // frame
        movq    %rsp, %rbx
        .cfi_def_cfa_register rbx
        movq    $stack_panic_top, %rsp  // 16-aligned; the caller's may be nearly used up
        call    last_words_panic            // never returns
        ud2
        .cfi_endproc
        .size   platform_panic, . - platform_panic

        .section .note.GNU-stack, "", @progbits
