// SPDX-License-Identifier: MIT
// Privileged ways to fail, for the tests of the reports: each by the real thing where the CPU can
// be made to do it. The word is NAME or NAME@CPU, e.g. do=overflow@1.
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "deeds.h"
#include "format.h"
#include "interrupts.h"
#include "machine_cpu.h"
#include "platform.h"
#include "smp.h"
#include "string.h"
#include "x86.h"

void platform_die_ordinary(const char *kind); // targets/qemu/die.c under another name

// ---- exceptions --------------------------------------------------------------------------------

static uint64_t *idt_entry(unsigned vector)
{
    struct x86_table table;
    __asm__ volatile("sidt %0" : "=m"(table));
    return (uint64_t *)(uintptr_t)(table.base + (uint64_t)vector * 16);
}

// A copy of this CPU's GDT with two more descriptors, both not present: 28h data, 30h code.
static void load_absent_descriptors(void)
{
    static uint64_t gdt[7];
    struct x86_table table;
    __asm__ volatile("sgdt %0" : "=m"(table));
    memcpy(gdt, (const void *)(uintptr_t)table.base, 5 * sizeof(gdt[0]));
    gdt[5] = 0x00cf13000000ffff;
    gdt[6] = 0x00af1b000000ffff;
    table = (struct x86_table){sizeof(gdt) - 1, (uintptr_t)gdt};
    x86_load_gdt(&table);
}

static void die_1(void)
{
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; nop" : : : "memory", "cc"); // TF
}

static void die_3(void)
{
    __asm__ volatile("int3");
}

static void die_4(void)
{
    __asm__ volatile("int $4");
}

static void die_5(void)
{
    __asm__ volatile("int $5");
}

static void die_6(void)
{
    __asm__ volatile("ud2");
}

static void die_7(void)
{
    x86_write_cr0(x86_read_cr0() | (1u << 3)); // TS
    __asm__ volatile("fnop");
}

// The page fault's gate is not present: a contributory exception while a page fault is delivered.
static void die_8(void)
{
    *idt_entry(14) &= ~((uint64_t)1 << 47);
    *(volatile uint8_t *)0xffff800000dead00u = 1;
}

// A task state too short for the breakpoint's stack. The report of that must do without one.
static void die_10(void)
{
    struct machine_cpu *cpu = machine_cpu_here();
    *idt_entry(10) &= ~((uint64_t)7 << 32);
    cpu->descriptors.gdt[3] = (cpu->descriptors.gdt[3] & ~(uint64_t)0xffff) | 30;
    cpu->descriptors.gdt[3] &= ~((uint64_t)2 << 40); // not busy
    x86_load_task(SELECTOR_TASK);
    __asm__ volatile("int3");
}

static void die_11(void)
{
    load_absent_descriptors();
    __asm__ volatile("movl $0x28, %%eax; movl %%eax, %%fs" : : : "eax");
}

static void die_12(void)
{
    load_absent_descriptors();
    __asm__ volatile("movl $0x28, %%eax; movl %%eax, %%ss" : : : "eax");
}

static void die_13(void)
{
    *(volatile uint8_t *)0x0000800000000000u = 1; // not canonical
}

static void die_14(void)
{
    *(volatile uint8_t *)0xffff800000dead00u = 1;
}

static void die_16(void)
{
    static const uint16_t control = 0x37b;                        // zero divide unmasked
    x86_write_cr0((x86_read_cr0() | (1u << 5)) & ~(uint64_t)0xc); // NE; neither EM nor TS
    __asm__ volatile("fninit; fldcw %0; fldz; fld1; fdivp; fwait" : : "m"(control));
}

// Those this kernel cannot be brought into: their entries are called as the CPU would, with the
// five words it pushes and the error code where the exception has one.
#define ENTRY_CALLED_AS_THE_CPU_DOES(vector, error)                                                \
    static void die_##vector(void)                                                                 \
    {                                                                                              \
        __asm__ volatile("movq %%rsp, %%rax; andq $-16, %%rsp; pushq $0x10; pushq %%rax; pushfq;"  \
                         "pushq $0x08; leaq 1f(%%rip), %%rax; pushq %%rax;" error                  \
                         "jmp trap_entries + 16 * " #vector "; 1: ud2"                             \
                         :                                                                         \
                         :                                                                         \
                         : "rax", "memory");                                                       \
    }
ENTRY_CALLED_AS_THE_CPU_DOES(9, "")
ENTRY_CALLED_AS_THE_CPU_DOES(15, "")
ENTRY_CALLED_AS_THE_CPU_DOES(17, "pushq $0x11;")
ENTRY_CALLED_AS_THE_CPU_DOES(18, "")
ENTRY_CALLED_AS_THE_CPU_DOES(19, "")
ENTRY_CALLED_AS_THE_CPU_DOES(20, "")
ENTRY_CALLED_AS_THE_CPU_DOES(21, "pushq $0x21;")
ENTRY_CALLED_AS_THE_CPU_DOES(22, "")
ENTRY_CALLED_AS_THE_CPU_DOES(23, "")
ENTRY_CALLED_AS_THE_CPU_DOES(24, "")
ENTRY_CALLED_AS_THE_CPU_DOES(25, "")
ENTRY_CALLED_AS_THE_CPU_DOES(26, "")
ENTRY_CALLED_AS_THE_CPU_DOES(27, "")
ENTRY_CALLED_AS_THE_CPU_DOES(28, "")
ENTRY_CALLED_AS_THE_CPU_DOES(29, "pushq $0x29;")
ENTRY_CALLED_AS_THE_CPU_DOES(30, "pushq $0x30;")
ENTRY_CALLED_AS_THE_CPU_DOES(31, "")

static void die_nmi(void)
{
    (void)apic_send_nmi(&machine_cpu_here()->apic, machine_cpu_here()->apic_id);
    for (;;)
        cpu_pause();
}

// ---- CPUs that do not do as they should --------------------------------------------------------

static void spin_masked(void)
{
    interrupts_off();
    for (;;)
        __asm__ volatile(""); // no PAUSE: it may let a hypervisor in
}

static void spin(void)
{
    for (;;)
        cpu_pause();
}

static uint32_t gathered;

static void panic_together(void *argument)
{
    (void)argument;
    __atomic_add_fetch(&gathered, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&gathered, __ATOMIC_ACQUIRE) < platform_cpu_count())
        cpu_pause();
    platform_panic("all at once", __FILE__, __LINE__);
}

static void all_panic(void)
{
    for (unsigned cpu = 1; cpu < platform_cpu_count(); cpu++)
        platform_cpu_start(cpu, panic_together, NULL);
    panic_together(NULL);
}

static void panic_soon(void *argument)
{
    const uint64_t begin = cpu_ticks();
    (void)argument;
    while (cpu_ticks() - begin < 3000000)
        cpu_pause();
    platform_panic("while another CPU writes", __FILE__, __LINE__);
}

// The line belongs to this CPU, in the middle of its words, when the other one reports.
static void panic_while_writing(void)
{
    static const char words[] = "this line is written over and over again by CPU 0\n";
    platform_cpu_start(1, panic_soon, NULL);
    for (;;)
        platform_line_write(words, sizeof(words) - 1);
}

static const struct {
    const char *name;
    void (*what)(void);
} ways[] = {
    {"vector1", die_1},
    {"vector3", die_3},
    {"vector4", die_4},
    {"vector5", die_5},
    {"vector6", die_6},
    {"vector7", die_7},
    {"vector8", die_8},
    {"vector9", die_9},
    {"vector10", die_10},
    {"vector11", die_11},
    {"vector12", die_12},
    {"vector13", die_13},
    {"vector14", die_14},
    {"vector15", die_15},
    {"vector16", die_16},
    {"vector17", die_17},
    {"vector18", die_18},
    {"vector19", die_19},
    {"vector20", die_20},
    {"vector21", die_21},
    {"vector22", die_22},
    {"vector23", die_23},
    {"vector24", die_24},
    {"vector25", die_25},
    {"vector26", die_26},
    {"vector27", die_27},
    {"vector28", die_28},
    {"vector29", die_29},
    {"vector30", die_30},
    {"vector31", die_31},
    {"nmi", die_nmi},
    {"masked", spin_masked},
    {"spin", spin},
    {"together", all_panic},
    {"amid_line", panic_while_writing},
};

// ---- who, and where ----------------------------------------------------------------------------

static void fail(void *argument)
{
    const char *kind = argument;
    for (unsigned i = 0; i < ARRAY_COUNT(ways); i++) {
        if (string_equal(kind, ways[i].name))
            ways[i].what();
    }
    deeds_do(kind);
    platform_die_ordinary(kind);
}

#define WAIT_MS 1000u // for what ends, and until what does not is reported

void platform_die(const char *kind)
{
    char word[32];
    size_t length = 0;
    uint64_t cpu = 0;
    while (kind[length] != '\0' && kind[length] != '@' && length + 1 < sizeof(word)) {
        word[length] = kind[length];
        length++;
    }
    word[length] = '\0';
    if (kind[length] != '@') {
        fail(word);
        return;
    }
    if (!string_to_u64(kind + length + 1, CPU_MOST, &cpu) ||
        !platform_cpu_start((unsigned)cpu, fail, word))
        platform_panic("no such CPU", __FILE__, __LINE__);
    platform_cpu_wait((unsigned)cpu, WAIT_MS);
}
