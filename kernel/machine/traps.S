// SPDX-License-Identifier: MIT
// Entries of all 256 vectors. Exceptions have a stack of their own, interrupts stay on the one they
// interrupt; the CPU aligns it to 16 in either case and pushes five words, the entry makes the
// error code and the vector of it seven, fifteen registers follow: 22 words, so that the call below
// finds the stack as the C convention wants it.

#include "registers.h"

        .section .text.traps, "ax"

        // Each entry is 16 bytes, so that descriptors.c can compute its address. The vectors with
        // an error code: AMD64 vol. 2, table 8-1 (21: control protection; 29 and 30 are SEV's).
        .balign 64
        .globl  trap_entries
        .type   trap_entries, @object   // a table of code: nobody calls its beginning
trap_entries:
        .set    vector, 0
        .rept   256
        .balign 16, 0xcc
        .if     (vector >= 32) || !((0x60227d00 >> (vector & 31)) & 1)
        pushq   $0                      // the frame has an error code always
        .endif
        pushq   $vector
        jmp     trap_common
        .set    vector, vector + 1
        .endr
        .balign 16, 0xcc
        .size   trap_entries, . - trap_entries

        .type   trap_common, @function
trap_common:
        // The frame is the whole truth about the interrupted code: a debugger that stops in the
        // report unwinds through it by these.
        .cfi_startproc simple
        .cfi_signal_frame
        .cfi_def_cfa rsp, 56            // above what the CPU pushed
        .cfi_offset rip, -40
        .cfi_offset rsp, -16
        save_registers
        cld                             // the C convention; the interrupted code may have set it
        movq    %rsp, %rdi
        call    trap_handle             // returns when the interrupted code may go on
        restore_registers
        addq    $16, %rsp               // vector and error code
        .cfi_adjust_cfa_offset -16
        iretq
        .cfi_endproc
        .size   trap_common, . - trap_common

        // uint64_t trap_read_msr(uint32_t msr, bool *there): traps.c knows both labels.
        .globl  trap_read_msr
        .type   trap_read_msr, @function
trap_read_msr:
        .cfi_startproc
        movl    %edi, %ecx
        .globl  trap_read_msr_at
trap_read_msr_at:
        rdmsr
        shlq    $32, %rdx
        orq     %rdx, %rax
        movb    $1, (%rsi)
        ret
        .globl  trap_read_msr_failed
trap_read_msr_failed:
        xorl    %eax, %eax
        movb    $0, (%rsi)
        ret
        .cfi_endproc
        .size   trap_read_msr, . - trap_read_msr

        // bool trap_write_msr(uint32_t msr, uint64_t value): likewise.
        .globl  trap_write_msr
        .type   trap_write_msr, @function
trap_write_msr:
        .cfi_startproc
        movl    %edi, %ecx
        movl    %esi, %eax
        movq    %rsi, %rdx
        shrq    $32, %rdx
        .globl  trap_write_msr_at
trap_write_msr_at:
        wrmsr
        movl    $1, %eax
        ret
        .globl  trap_write_msr_failed
trap_write_msr_failed:
        xorl    %eax, %eax
        ret
        .cfi_endproc
        .size   trap_write_msr, . - trap_write_msr

        .section .note.GNU-stack, "", @progbits
