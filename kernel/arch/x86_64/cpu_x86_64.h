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

static inline __attribute__((always_inline)) void *cpu_trace_buffer(void)
{
    void *buffer;
    __asm__ volatile("movq %%gs:%c1, %0" : "=r"(buffer) : "i"(CPU_LOCAL_OFFSET_TRACE) : "memory");
    return buffer;
}

static inline __attribute__((always_inline)) size_t cpu_index(void)
{
    size_t index; // a load of 32 bits clears the upper ones
    __asm__ volatile("movl %%gs:%c1, %k0" : "=r"(index) : "i"(CPU_LOCAL_OFFSET_INDEX));
    return index;
}

static inline __attribute__((always_inline)) void cpu_preempt_disable(void)
{
    __asm__ volatile("incl %%gs:%c0" : : "i"(CPU_LOCAL_OFFSET_PREEMPT) : "memory", "cc");
}

// Preemption was asked for while it was disabled. An interrupt may come in between and do the same:
// then there is nothing left to be called here.
static __attribute__((noinline, cold, unused)) void cpu_preempt_late(void)
{
    struct cpu_local *cpu = cpu_local();
    void (*wanted)(void);
    if (cpu->preempt_count != 0)
        return;
    __asm__ volatile("xorl %k0, %k0; xchgq %0, %%gs:%c1"
                     : "=&r"(wanted)
                     : "i"(CPU_LOCAL_OFFSET_WANTED)
                     : "memory", "cc");
    if (wanted != NULL)
        wanted();
}

static inline __attribute__((always_inline)) void cpu_preempt_enable(void)
{
    __asm__ goto("decl %%gs:%c0; cmpq $0, %%gs:%c1; jne %l2"
                 :
                 : "i"(CPU_LOCAL_OFFSET_PREEMPT), "i"(CPU_LOCAL_OFFSET_WANTED)
                 : "memory", "cc"
                 : wanted);
    return;
wanted:
    cpu_preempt_late();
}

static inline __attribute__((always_inline)) void cpu_leaf_enter(void)
{
    __asm__ volatile("movb $1, %%gs:%c0" : : "i"(CPU_LOCAL_OFFSET_LEAF) : "memory");
}

static inline __attribute__((always_inline)) void cpu_leaf_leave(void)
{
    __asm__ volatile("movb $0, %%gs:%c0" : : "i"(CPU_LOCAL_OFFSET_LEAF) : "memory");
}

static inline __attribute__((always_inline)) void cpu_straight_run_100(void)
{
    __asm__ volatile(".rept 100; nop; .endr");
}

#endif
