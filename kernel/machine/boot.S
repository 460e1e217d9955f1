// SPDX-License-Identifier: MIT
// From the boot loader to kernel_main: 32-bit protected mode, no paging -> 64-bit long mode with
// the low 4 GiB mapped one to one. Everything that can wait is left to C (kernel_map.c, traps.c).

#define BOOT_BY_PVH        1            // boot_info.h
#define BOOT_BY_MULTIBOOT2 2
#define SELECTOR_CODE      0x08         // traps.c keeps the same numbers
#define SELECTOR_DATA      0x10

#define MULTIBOOT2_HEADER  0xe85250d6
#define MULTIBOOT2_LOADER  0x36d76289   // in EAX when a Multiboot2 loader enters
#define ELFNOTE_PHYS32_ENTRY 18         // Xen, elfnote.h

#define CR0_PE    (1 << 0)
#define CR0_WP    (1 << 16)
#define CR0_PG    (1 << 31)
#define CR4_PAE   (1 << 5)
#define MSR_EFER  0xc0000080
#define EFER_LME  (1 << 8)

#define PAGE_PRESENT_WRITE 0x03
#define PAGE_2M            0x83         // present, writable, large

#define COM1        0x3f8
#define COM1_LSR    0x3fd
#define LSR_THRE    0x20
#define DEBUG_EXIT  0xf4
#define EXIT_FAILURE 0x31               // QEMU exits with (0x31 << 1) | 1 = 99

// ---- what boot loaders look for ----------------------------------------------------------------

        // Xen's PVH entry, which QEMU -kernel takes. QEMU reads eight bytes of an ELF64 note.
        .section .note.Xen, "a", @note
        .balign 4
        .long   4, 8, ELFNOTE_PHYS32_ENTRY
        .asciz  "Xen"
        .quad   start_pvh

        // Within the first 32 KiB of the file, 8-aligned (Multiboot2, 3.1.1).
        .section .multiboot2, "a"
        .balign 8
header:
        .long   MULTIBOOT2_HEADER
        .long   0                       // i386, protected mode
        .long   header_end - header
        .long   -(MULTIBOOT2_HEADER + 0 + (header_end - header))
        // Information request, not optional: a memory map. Without one there is nothing to run in.
        .balign 8
        .short  1, 0
        .long   12
        .long   6
        // Framebuffer, optional: UEFI has no other screen. Where the loader cannot set one, as GRUB
        // under BIOS without its drivers, text mode stays.
        .balign 8
        .short  5, 1
        .long   20
        .long   1024, 768, 32
        .balign 8
        .short  0, 0                    // end of the tags
        .long   8
header_end:

// ---- 32 bits -----------------------------------------------------------------------------------

        .section .text.boot, "ax"
        .code32

        // EAX: the loader's magic number; EBX: physical address of its information.
        .globl  start_multiboot2
        .type   start_multiboot2, @function
start_multiboot2:
        movl    $stack_boot_top, %esp
        movl    $text_bad_loader, %esi
        cmpl    $MULTIBOOT2_LOADER, %eax
        jne     refuse
        movl    $BOOT_BY_MULTIBOOT2, %edi
        jmp     start_common
        .size   start_multiboot2, . - start_multiboot2

        // EBX: physical address of hvm_start_info.
        .globl  start_pvh
        .type   start_pvh, @function
start_pvh:
        movl    $stack_boot_top, %esp
        movl    $BOOT_BY_PVH, %edi
        .size   start_pvh, . - start_pvh

        // EDI and EBX live through all of this: they become kernel_main's arguments.
        .type   start_common, @function
start_common:
        cld
        cli
        movl    %ebx, %ebp              // CPUID writes EBX
        movl    $text_no_long_mode, %esi
        movl    $0x80000000, %eax
        cpuid
        cmpl    $0x80000001, %eax
        jb      refuse
        movl    $0x80000001, %eax
        cpuid
        btl     $29, %edx               // LM
        jnc     refuse
        movl    $text_no_nx, %esi
        btl     $20, %edx               // NX: without it no page is kept from being executed
        jnc     refuse

        // Four page directories of 512 large pages each: the low 4 GiB. Upper halves of the
        // entries stay zero, as the memory was.
        movl    $boot_directories, %eax
        movl    $(PAGE_2M), %ecx
1:      movl    %ecx, (%eax)
        addl    $8, %eax
        addl    $0x200000, %ecx
        jnc     1b                      // wraps around after 4 GiB
        movl    $(boot_directories + PAGE_PRESENT_WRITE), %ecx
        movl    $4, %edx
        movl    $boot_pointers, %eax
2:      movl    %ecx, (%eax)
        addl    $8, %eax
        addl    $0x1000, %ecx
        decl    %edx
        jnz     2b
        movl    $(boot_pointers + PAGE_PRESENT_WRITE), boot_map

        // The 2 MiB that hold the page below the boot stack: in small pages, without that one. An
        // overflow is reported from the first instruction in C on.
        movl    $stack_boot_bottom - 4096, %eax
        andl    $~0x1fffff, %eax
        movl    %eax, %edx
        orl     $PAGE_PRESENT_WRITE, %eax
        movl    $boot_table, %ecx
3:      movl    %eax, (%ecx)
        addl    $8, %ecx
        addl    $0x1000, %eax
        cmpl    $boot_table + 4096, %ecx
        jb      3b
        movl    $stack_boot_bottom - 4096, %eax
        shrl    $12, %eax
        andl    $511, %eax
        movl    $0, boot_table(, %eax, 8)
        shrl    $21, %edx
        movl    $(boot_table + PAGE_PRESENT_WRITE), boot_directories(, %edx, 8)

        movl    %cr4, %eax
        orl     $CR4_PAE, %eax
        movl    %eax, %cr4
        movl    $boot_map, %eax
        movl    %eax, %cr3
        movl    $MSR_EFER, %ecx
        rdmsr
        orl     $EFER_LME, %eax
        wrmsr
        movl    %cr0, %eax
        orl     $(CR0_PG | CR0_WP | CR0_PE), %eax
        movl    %eax, %cr0              // long mode, in a 32-bit code segment as yet
        lgdt    boot_gdt_operand
        ljmp    $SELECTOR_CODE, $start_64
        .size   start_common, . - start_common

        // ESI: text. Writes it to COM1 as the firmware left it and ends. Bounded by the same
        // count everywhere: a port that is not there reads as all ones, so THRE looks set.
        .type   refuse, @function
refuse:
        movb    (%esi), %cl
        testb   %cl, %cl
        jz      4f
        movl    $1000000, %ebx
3:      movw    $COM1_LSR, %dx
        inb     %dx, %al
        testb   $LSR_THRE, %al
        jnz     5f
        decl    %ebx
        jnz     3b
        jmp     4f                      // nobody takes it
5:      movw    $COM1, %dx
        movb    %cl, %al
        outb    %al, %dx
        incl    %esi
        jmp     refuse
4:      movw    $DEBUG_EXIT, %dx
        movl    $EXIT_FAILURE, %eax
        outl    %eax, %dx
6:      cli
        hlt
        jmp     6b
        .size   refuse, . - refuse

// ---- 64 bits -----------------------------------------------------------------------------------

        .code64
        .type   start_64, @function
start_64:
        .cfi_startproc
        .cfi_undefined rip              // the unwinder stops here
        movl    $SELECTOR_DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        xorl    %eax, %eax              // no null-descriptor trap for FS and GS in 64-bit mode
        movl    %eax, %fs
        movl    %eax, %gs
        movl    $stack_boot_top, %esp   // 16-aligned; writing ESP clears the upper half of RSP
        movl    %edi, %edi              // upper halves are undefined after the mode switch
        movl    %ebp, %esi
        xorl    %ebp, %ebp
        call    kernel_main             // kernel_main(protocol, information); never returns
        ud2
        .cfi_endproc
        .size   start_64, . - start_64

// ---- data --------------------------------------------------------------------------------------

        .section .rodata.boot, "a"
text_bad_loader:
        .asciz  "\nREFUSED: entered by something that is neither PVH nor Multiboot2\n"
text_no_long_mode:
        .asciz  "\nREFUSED: this CPU has no 64-bit mode\n"
text_no_nx:
        .asciz  "\nREFUSED: this CPU has no no-execute pages\n"

        .balign 8
boot_gdt:
        .quad   0
        .quad   0x00af9b000000ffff      // code: 64 bits, ring 0, readable, accessed
        .quad   0x00cf93000000ffff      // data: ring 0, writable, accessed
boot_gdt_end:
boot_gdt_operand:
        .short  boot_gdt_end - boot_gdt - 1
        .long   boot_gdt

        .section .bss.boot, "aw", @nobits
        .balign 4096
        .globl  boot_map                // stays as it is: application processors begin in it
boot_map:
        .skip   4096
boot_pointers:
        .skip   4096
boot_directories:
        .skip   4 * 4096
boot_table:
        .skip   4096

        // A page to be unmapped, then the stack: stacks.h.
        .macro  stack name, bytes
        .balign 4096
        .skip   4096
        .globl  stack_\name\()_bottom, stack_\name\()_top
stack_\name\()_bottom:
        .skip   \bytes
stack_\name\()_top:
        .endm

        stack   boot, 128*1024
        stack   fault, 16*1024
        stack   double_fault, 16*1024
        stack   nmi, 16*1024
        stack   machine_check, 16*1024
        stack   panic, 16*1024

        .section .note.GNU-stack, "", @progbits
