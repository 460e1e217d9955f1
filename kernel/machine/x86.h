// SPDX-License-Identifier: MIT
// Privileged x86-64 instructions, inline. For code that runs in ring 0 only.
#ifndef X86_H
#define X86_H

#include <stdint.h>

#define X86_MSR_EFER    0xc0000080u
#define X86_MSR_GS_BASE 0xc0000101u

#define X86_CR4_PGE ((uint64_t)1 << 7)

static inline void x86_out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t x86_in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline void x86_out16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint16_t x86_in16(uint16_t port)
{
    uint16_t value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline void x86_out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint32_t x86_in32(uint16_t port)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint64_t x86_read_msr(uint32_t msr)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

static inline void x86_write_msr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr"
                     :
                     : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                     : "memory");
}

static inline uint64_t x86_read_cr0(void)
{
    uint64_t value;
    __asm__ volatile("movq %%cr0, %0" : "=r"(value));
    return value;
}

static inline void x86_write_cr0(uint64_t value)
{
    __asm__ volatile("movq %0, %%cr0" : : "r"(value) : "memory");
}

static inline uint64_t x86_read_cr2(void)
{
    uint64_t value;
    __asm__ volatile("movq %%cr2, %0" : "=r"(value));
    return value;
}

static inline uint64_t x86_read_cr3(void)
{
    uint64_t value;
    __asm__ volatile("movq %%cr3, %0" : "=r"(value));
    return value;
}

// Drops all translations that are not global.
static inline void x86_write_cr3(uint64_t value)
{
    __asm__ volatile("movq %0, %%cr3" : : "r"(value) : "memory");
}

static inline uint64_t x86_read_cr4(void)
{
    uint64_t value;
    __asm__ volatile("movq %%cr4, %0" : "=r"(value));
    return value;
}

static inline void x86_write_cr4(uint64_t value)
{
    __asm__ volatile("movq %0, %%cr4" : : "r"(value) : "memory");
}

static inline uint64_t x86_read_xcr0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static inline void x86_write_xcr0(uint64_t value)
{
    __asm__ volatile("xsetbv"
                     :
                     : "c"(0), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                     : "memory");
}

// Drops what this CPU knows of one page, global or not (Intel SDM vol. 3, 4.10.4.1).
static inline void x86_invalidate_page(uint64_t address)
{
    __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

// Drops all translations, global ones too: a change of PGE does, and there are none without it (the
// same place).
static inline void x86_drop_translations(void)
{
    const uint64_t cr4 = x86_read_cr4();
    if ((cr4 & X86_CR4_PGE) == 0) {
        x86_write_cr3(x86_read_cr3());
        return;
    }
    x86_write_cr4(cr4 & ~X86_CR4_PGE);
    x86_write_cr4(cr4);
}

// INVPCID of `type` 2 or 3: all contexts, with global translations or without (Intel SDM vol. 2).
static inline void x86_invalidate_contexts(uint64_t type)
{
    const struct {
        uint64_t pcid, address;
    } unused = {0, 0};
    __asm__ volatile("invpcid %0, %1" : : "m"(unused), "r"(type) : "memory");
}

static inline void x86_clear_flags(uint64_t flags)
{
    __asm__ volatile("pushfq; andq %0, (%%rsp); popfq" : : "r"(~flags) : "memory", "cc");
}

// The operand of LGDT and LIDT.
struct __attribute__((packed)) x86_table {
    uint16_t limit;
    uint64_t base;
};

static inline void x86_load_gdt(const struct x86_table *table)
{
    __asm__ volatile("lgdt %0" : : "m"(*table));
}

static inline void x86_load_idt(const struct x86_table *table)
{
    __asm__ volatile("lidt %0" : : "m"(*table));
}

static inline void x86_load_task(uint16_t selector)
{
    __asm__ volatile("ltr %0" : : "r"(selector));
}

// Stops this CPU for good: only an NMI ends HLT while interrupts are masked, and then the loop
// goes on.
static inline _Noreturn void x86_stop(void)
{
    for (;;)
        __asm__ volatile("cli; hlt" : : : "memory");
}

#endif
