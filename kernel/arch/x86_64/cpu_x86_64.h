// SPDX-License-Identifier: MIT
// Unprivileged x86-64 instructions. Included by cpu.h only.
#ifndef CPU_X86_64_H
#define CPU_X86_64_H

struct cpu_cpuid {
    uint32_t eax, ebx, ecx, edx;
};

// Exits to the hypervisor where there is one: never near a measured window.
static inline struct cpu_cpuid cpu_cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpu_cpuid r;
    __asm__ volatile("cpuid"
                     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                     : "a"(leaf), "c"(subleaf));
    return r;
}

// The first LFENCE waits for everything before the window, the second keeps the window's
// instructions from starting before the counter is read (Intel SDM vol. 2, RDTSC).
static inline __attribute__((always_inline)) uint64_t cpu_ticks_start(void)
{
    uint32_t low, high;
    __asm__ volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

// RDTSCP waits for everything before it; the LFENCE keeps what follows from starting early.
static inline __attribute__((always_inline)) uint64_t cpu_ticks_stop(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtscp; lfence" : "=a"(low), "=d"(high) : : "rcx", "memory");
    return (uint64_t)high << 32 | low;
}

static inline __attribute__((always_inline)) uint64_t cpu_ticks_stop_fenced(void)
{
    return cpu_ticks_start();
}

static inline __attribute__((always_inline)) uint64_t cpu_ticks(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static inline bool cpu_has_ordered_stop(void)
{
    if (cpu_cpuid(0x80000000, 0).eax < 0x80000001)
        return false;
    return cpu_cpuid(0x80000001, 0).edx >> 27 & 1;
}

// The flags of the portable object: -march=x86-64 -mpopcnt -mbmi.
static inline bool cpu_has_baseline(void)
{
    if (cpu_cpuid(0, 0).eax < 7)
        return false;
    return (cpu_cpuid(1, 0).ecx >> 23 & 1) && (cpu_cpuid(7, 0).ebx >> 3 & 1);
}

static inline bool cpu_has_invariant_ticks(void)
{
    if (cpu_cpuid(0x80000000, 0).eax < 0x80000007)
        return false;
    return cpu_cpuid(0x80000007, 0).edx >> 8 & 1;
}

static inline bool cpu_under_hypervisor(void)
{
    return cpu_cpuid(1, 0).ecx >> 31 & 1;
}

static inline uint32_t cpu_signature(void)
{
    return cpu_cpuid(1, 0).eax;
}

static inline size_t cpu_brand(char *text, size_t capacity)
{
    size_t length = 0;
    if (capacity == 0)
        return 0;
    if (cpu_cpuid(0x80000000, 0).eax >= 0x80000004) {
        for (uint32_t leaf = 0x80000002; leaf <= 0x80000004; leaf++) {
            const struct cpu_cpuid r = cpu_cpuid(leaf, 0);
            const uint32_t words[4] = {r.eax, r.ebx, r.ecx, r.edx};
            for (unsigned i = 0; i < 16; i++) {
                const char c = (char)(words[i / 4] >> (i % 4 * 8));
                if (c != '\0' && length + 1 < capacity && (c != ' ' || length > 0))
                    text[length++] = c;
            }
        }
    }
    while (length > 0 && text[length - 1] == ' ')
        length--;
    text[length] = '\0';
    return length;
}

static inline __attribute__((always_inline)) void cpu_pause(void)
{
    __asm__ volatile("pause" : : : "memory");
}

static inline __attribute__((always_inline)) void cpu_prefetch(const void *address)
{
    __builtin_prefetch(address, 0, 3);
}

// Assembly instead of segment-qualified pointers: sanitizers misread those.
static inline __attribute__((always_inline)) struct cpu_local *cpu_local(void)
{
    struct cpu_local *self;
    __asm__ volatile("movq %%gs:%c1, %0" : "=r"(self) : "i"(CPU_LOCAL_OFFSET_SELF));
    return self;
}

static inline __attribute__((always_inline)) void cpu_preempt_disable(void)
{
    __asm__ volatile("incl %%gs:%c0" : : "i"(CPU_LOCAL_OFFSET_PREEMPT) : "memory", "cc");
}

static inline __attribute__((always_inline)) void cpu_preempt_enable(void)
{
    __asm__ volatile("decl %%gs:%c0" : : "i"(CPU_LOCAL_OFFSET_PREEMPT) : "memory", "cc");
}

// System V ABI for AMD64, 3.2.1: a call keeps RBX, RBP and R12..R15. MXCSR and the x87 control word
// are kept too by the ABI; nothing here changes them.
#define CPU_IN_REGISTER __attribute__((unused)) // a parameter that only the assembly knows of
static __attribute__((naked, noinline, unused)) void
cpu_switch_stacks(CPU_IN_REGISTER void **save, CPU_IN_REGISTER void *load,
                  CPU_IN_REGISTER uint32_t *state, CPU_IN_REGISTER uint32_t left)
{
    __asm__("pushq %rbp; .cfi_adjust_cfa_offset 8;"
            "pushq %rbx; .cfi_adjust_cfa_offset 8;"
            "pushq %r12; .cfi_adjust_cfa_offset 8;"
            "pushq %r13; .cfi_adjust_cfa_offset 8;"
            "pushq %r14; .cfi_adjust_cfa_offset 8;"
            "pushq %r15; .cfi_adjust_cfa_offset 8;"
            "movq %rsp, (%rdi);"
            "movq %rsi, %rsp;"
            "movl %ecx, (%rdx);" // a store on x86-64 is a release
            "popq %r15; .cfi_adjust_cfa_offset -8;"
            "popq %r14; .cfi_adjust_cfa_offset -8;"
            "popq %r13; .cfi_adjust_cfa_offset -8;"
            "popq %r12; .cfi_adjust_cfa_offset -8;"
            "popq %rbx; .cfi_adjust_cfa_offset -8;"
            "popq %rbp; .cfi_adjust_cfa_offset -8;"
            "ret");
}

// The frame that cpu_switch_stacks leaves, made by hand: six registers, where to go on, and an
// address to return to that ends every backtrace. At the entry RSP + 8 is 16-aligned, as in any
// function just called.
static inline void *cpu_new_stack(void *top, void (*entry)(void))
{
    uint64_t *at = (uint64_t *)((uintptr_t)top & ~(uintptr_t)15);
    *--at = 0;
    *--at = (uintptr_t)entry;
    for (unsigned i = 0; i < 6; i++)
        *--at = 0;
    return at;
}

static inline __attribute__((always_inline)) void cpu_straight_run_100(void)
{
    __asm__ volatile(".rept 100; nop; .endr");
}

#endif
