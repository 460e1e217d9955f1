// SPDX-License-Identifier: MIT
// The way of a further CPU from real mode to smp_cpu_main. smp.c copies what stands between
// trampoline_start and trampoline_end to a page below 1 MiB, fills in the words at the end, and
// starts the CPU there: CS is the page's number << 8, IP is 0.
//
// It runs on the tables of boot.S, which map the low 4 GiB executable; the kernel's own map comes
// in C, where a fault can be reported.

#define SELECTOR_CODE    0x08           // descriptors.h
#define SELECTOR_DATA    0x10
#define SELECTOR_CODE_32 0x18           // of the table below only

#define CR0_PE    (1 << 0)
#define CR0_WP    (1 << 16)
#define CR0_PG    (1 << 31)
#define CR0_CD_NW (3 << 29)             // INIT leaves the caches off (Intel SDM vol. 3, table 10-1)
#define CR4_PAE   (1 << 5)
#define MSR_EFER  0xc0000080
#define EFER_LME  (1 << 8)
#define EFER_NXE  (1 << 11)

        .section .rodata.trampoline, "a"
        .balign 16
        .globl  trampoline_start, trampoline_end
        .globl  trampoline_gdt_base, trampoline_far_32

        .code16
trampoline_start:
        cli
        cld
        movw    %cs, %ax
        movw    %ax, %ds
        xorl    %ebx, %ebx
        movw    %ax, %bx
        shll    $4, %ebx                // where this page lies; lives until the end
        lgdtl   (gdt_operand - trampoline_start)
        movl    %cr0, %eax
        andl    $~CR0_CD_NW, %eax
        orl     $CR0_PE, %eax
        movl    %eax, %cr0
        ljmpl   *(trampoline_far_32 - trampoline_start)

        .code32
in_32_bits:
        movl    $SELECTOR_DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    $CR4_PAE, %eax
        movl    %eax, %cr4
        movl    $boot_map, %eax
        movl    %eax, %cr3
        movl    $MSR_EFER, %ecx
        rdmsr
        orl     $(EFER_LME | EFER_NXE), %eax
        wrmsr
        movl    %cr0, %eax
        orl     $(CR0_PG | CR0_WP | CR0_PE), %eax
        movl    %eax, %cr0
        ljmp    $SELECTOR_CODE, $smp_entry

        .balign 8
gdt:
        .quad   0
        .quad   0x00af9b000000ffff      // code: 64 bits
        .quad   0x00cf93000000ffff      // data
        .quad   0x00cf9b000000ffff      // code: 32 bits
gdt_end:
gdt_operand:
        .short  gdt_end - gdt - 1
trampoline_gdt_base:                    // filled in: the page + offset of gdt
        .long   gdt - trampoline_start
trampoline_far_32:                      // filled in: the page + offset of in_32_bits
        .long   in_32_bits - trampoline_start
        .short  SELECTOR_CODE_32
trampoline_end:

        .section .text.boot, "ax"
        .code64
        .globl  smp_entry
        .type   smp_entry, @function
smp_entry:
        .cfi_startproc
        .cfi_undefined rip              // the unwinder stops here
        movl    $SELECTOR_DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        xorl    %eax, %eax
        movl    %eax, %fs
        movl    %eax, %gs
        movq    smp_start_stack, %rsp   // one CPU at a time passes here
        movq    smp_start_cpu, %rdi
        xorl    %ebp, %ebp
        call    smp_cpu_main            // smp_cpu_main(struct machine_cpu *); never returns
        ud2
        .cfi_endproc
        .size   smp_entry, . - smp_entry

        .section .note.GNU-stack, "", @progbits
