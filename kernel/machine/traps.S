// SPDX-License-Identifier: MIT
// Entries of the 32 exceptions. All gates use an interrupt stack, whose top is 16-aligned: the CPU
// pushes five words, the entry makes the error code and the vector of it seven, fifteen registers
// follow: 22 words, so that the call below finds the stack as the C convention wants it.

#include "registers.h"

        .section .text.traps, "ax"

        // Each entry is 16 bytes, so that traps.c can compute its address. The vectors with an
        // error code: AMD64 vol. 2, table 8-1 (21: control protection; 29 and 30 are SEV's).
        .balign 64
        .globl  trap_entries
        .type   trap_entries, @object   // a table of code: nobody calls its beginning
trap_entries:
        .set    vector, 0
        .rept   32
        .balign 16, 0xcc
        .if     !((0x60227d00 >> vector) & 1)
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
        call    trap_handle             // never returns
        ud2
        .cfi_endproc
        .size   trap_common, . - trap_common

        .section .note.GNU-stack, "", @progbits
