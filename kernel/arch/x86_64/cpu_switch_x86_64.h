// SPDX-License-Identifier: MIT
// Context switches of x86-64, one for each idea of what a context is. Included by cpu.h only.
//
//   window   RSP and RIP. Whoever switches declares every other register lost, so the compiler
//            saves those that are live there, and no more
//   full     also what a call must keep: RBP, RBX, R12..R15
//   classic  all 16 general registers and the flags
//
// Each comes in three forms:
//   inline   the code stands where the switch is; leaves by an indirect JMP to an address kept in
//            the context
//   jmp      a function; takes its return address into the context, leaves by an indirect JMP
//   ret      a function; the address stays on the stack, leaves by RET, which the CPU's return
//            predictor cannot know: it expects the caller of this context
//
// Whoever switches to a context has its address in a register, RSI here: the one that comes back
// finds its own there and need not fetch it from its stack, which is not at hand yet.
//
// A context is entered by the form it was left by. x87 and SSE state, MXCSR among it, is nobody's
// here: cpu_fx_* and cpu_xsave_* keep it beside.
#ifndef CPU_SWITCH_X86_64_H
#define CPU_SWITCH_X86_64_H

struct cpu_window {
    void *rsp, *rip;
} __attribute__((aligned(16)));

struct cpu_full {
    void *rsp, *rip;
    uint64_t rbp, rbx, r12, r13, r14, r15;
} __attribute__((aligned(64)));

// In the order of their numbers: RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8..R15.
#define CPU_CLASSIC_RSP 4
struct cpu_classic {
    uint64_t registers[16];
    uint64_t flags;
    void *rip;
} __attribute__((aligned(16)));

_Static_assert(sizeof(struct cpu_window) == 16, "16 bytes, never across two lines");
_Static_assert(sizeof(struct cpu_full) == 64, "one line");
_Static_assert(offsetof(struct cpu_full, r15) == 56, "as the assembly has it");
_Static_assert(offsetof(struct cpu_classic, flags) == 128, "as the assembly has it");
_Static_assert(offsetof(struct cpu_classic, rip) == 136, "as the assembly has it");

// ---- where a new context begins -----------------------------------------------------------------

// On the stack that cpu_new_context made: argument, function.
static __attribute__((naked, noinline, unused)) void cpu_begin_context(void)
{
    __asm__("popq %rdi; popq %rax; .cfi_undefined %rip; call *%rax; ud2");
}

// Prepares a stack so that function(argument) runs on it, which never returns. *rsp and *rip are
// what an inline or jmp form goes on with; the stack pointer for a ret form is returned.
static inline void *cpu_new_context(void *top, void (*function)(void *argument), void *argument,
                                    void **rsp, void **rip)
{
    uint64_t *at = (uint64_t *)((uintptr_t)top & ~(uintptr_t)15);
    *--at = (uintptr_t)function;
    *--at = (uintptr_t)argument;
    *rsp = at;
    *rip = (void *)(uintptr_t)cpu_begin_context;
    *--at = (uintptr_t)cpu_begin_context;
    return at;
}

// ---- the forms ----------------------------------------------------------------------------------

#define CPU_LOST_BY_NOTHING "memory", "cc"
#define CPU_LOST_BY_CALL                                                                           \
    "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", CPU_LOST_BY_NOTHING // beside RDI and RSI
#define CPU_LOST_BY_ALL         "rbx", "r12", "r13", "r14", "r15", CPU_LOST_BY_CALL
#define CPU_LOST_WITHOUT_FRAMES "rbp", CPU_LOST_BY_ALL

// Builds that keep frame pointers (tests) cannot declare RBP lost, and have a red zone.
#define CPU_FRAME_KEEP "leaq -128(%%rsp), %%rsp; pushq %%rbp;"
#define CPU_FRAME_BACK "popq %%rbp; leaq 128(%%rsp), %%rsp;"

// `from` and `to` are in RDI and RSI; a function is called, inline code follows as it is. Returns
// `from`, out of a register that is right at the moment of coming back: `own` is that of the two.
#define CPU_SWITCH_FORM(name, context, own, text, function, lost_with_frames, lost)                \
    static inline __attribute__((always_inline)) struct context *name(struct context *from,        \
                                                                      struct context *to)          \
    {                                                                                              \
        if (CONFIG_FRAME_POINTER)                                                                  \
            __asm__ volatile(CPU_FRAME_KEEP text CPU_FRAME_BACK                                    \
                             : "+D"(from), "+S"(to)                                                \
                             : "i"(function)                                                       \
                             : lost_with_frames);                                                  \
        else                                                                                       \
            __asm__ volatile(text : "+D"(from), "+S"(to) : "i"(function) : lost);                  \
        return own;                                                                                \
    }

#define CPU_SWITCH_FUNCTION static __attribute__((naked, noinline, unused)) void
#define CPU_CALL            "call %P2;"

// ---- window -------------------------------------------------------------------------------------

// windowed_context_switch(old_rsp, new_rsp) of Exo-OS: RIP is on the stack.
CPU_SWITCH_FUNCTION cpu_window_ret_function(void)
{
    __asm__("movq %rsp, (%rdi); movq (%rsi), %rsp; ret");
}

CPU_SWITCH_FUNCTION cpu_window_jmp_function(void)
{
    __asm__("popq %rax; movq %rsp, (%rdi); movq %rax, 8(%rdi);"
            "movq (%rsi), %rsp; jmpq *8(%rsi)");
}

CPU_SWITCH_FORM(cpu_window_inline, cpu_window, to,
                "leaq 1f(%%rip), %%rax; movq %%rsp, (%%rdi); movq %%rax, 8(%%rdi);"
                "movq (%%rsi), %%rsp; jmpq *8(%%rsi); 1:",
                0, CPU_LOST_BY_ALL, CPU_LOST_WITHOUT_FRAMES)
CPU_SWITCH_FORM(cpu_window_jmp, cpu_window, to, CPU_CALL, cpu_window_jmp_function, CPU_LOST_BY_ALL,
                CPU_LOST_WITHOUT_FRAMES)
CPU_SWITCH_FORM(cpu_window_ret, cpu_window, to, CPU_CALL, cpu_window_ret_function, CPU_LOST_BY_ALL,
                CPU_LOST_WITHOUT_FRAMES)

// ---- full ---------------------------------------------------------------------------------------

#define CPU_FULL_SAVE(p)                                                                           \
    "movq " p "rbp, 16(" p "rdi); movq " p "rbx, 24(" p "rdi); movq " p "r12, 32(" p "rdi);"       \
    "movq " p "r13, 40(" p "rdi); movq " p "r14, 48(" p "rdi); movq " p "r15, 56(" p "rdi);"
#define CPU_FULL_LOAD(p)                                                                           \
    "movq 16(" p "rsi), " p "rbp; movq 24(" p "rsi), " p "rbx; movq 32(" p "rsi), " p "r12;"       \
    "movq 40(" p "rsi), " p "r13; movq 48(" p "rsi), " p "r14; movq 56(" p "rsi), " p "r15;"

CPU_SWITCH_FUNCTION cpu_full_ret_function(void)
{
    __asm__("movq %rsp, (%rdi);" CPU_FULL_SAVE("%") "movq (%rsi), %rsp;" CPU_FULL_LOAD("%") "ret");
}

CPU_SWITCH_FUNCTION cpu_full_jmp_function(void)
{
    __asm__("popq %rax; movq %rsp, (%rdi); movq %rax, 8(%rdi);" CPU_FULL_SAVE(
        "%") "movq (%rsi), %rsp;" CPU_FULL_LOAD("%") "jmpq *8(%rsi)");
}

CPU_SWITCH_FORM(cpu_full_inline, cpu_full, to,
                "leaq 1f(%%rip), %%rax; movq %%rsp, (%%rdi); movq %%rax, 8(%%rdi);" CPU_FULL_SAVE(
                    "%%") "movq (%%rsi), %%rsp;" CPU_FULL_LOAD("%%") "jmpq *8(%%rsi); 1:",
                0, CPU_LOST_BY_CALL, CPU_LOST_BY_CALL)
CPU_SWITCH_FORM(cpu_full_jmp, cpu_full, to, CPU_CALL, cpu_full_jmp_function, CPU_LOST_BY_CALL,
                CPU_LOST_BY_CALL)
CPU_SWITCH_FORM(cpu_full_ret, cpu_full, to, CPU_CALL, cpu_full_ret_function, CPU_LOST_BY_CALL,
                CPU_LOST_BY_CALL)

// ---- classic ------------------------------------------------------------------------------------

#define CPU_LOST_BY_CLASSIC_JMP "r11", CPU_LOST_BY_NOTHING

#define CPU_CLASSIC_SAVE(p)                                                                        \
    "movq " p "rax, 0(" p "rdi); movq " p "rcx, 8(" p "rdi); movq " p "rdx, 16(" p "rdi);"         \
    "movq " p "rbx, 24(" p "rdi); movq " p "rbp, 40(" p "rdi); movq " p "rsi, 48(" p "rdi);"       \
    "movq " p "rdi, 56(" p "rdi); movq " p "r8, 64(" p "rdi); movq " p "r9, 72(" p "rdi);"         \
    "movq " p "r10, 80(" p "rdi); movq " p "r11, 88(" p "rdi); movq " p "r12, 96(" p "rdi);"       \
    "movq " p "r13, 104(" p "rdi); movq " p "r14, 112(" p "rdi); movq " p "r15, 120(" p "rdi);"    \
    "pushfq; popq 128(" p "rdi);"
// All but RSI, which points at the context until the last moment.
#define CPU_CLASSIC_LOAD(p)                                                                        \
    "movq 32(" p "rsi), " p "rsp; pushq 128(" p "rsi); popfq;"                                     \
    "movq 0(" p "rsi), " p "rax; movq 8(" p "rsi), " p "rcx; movq 16(" p "rsi), " p "rdx;"         \
    "movq 24(" p "rsi), " p "rbx; movq 40(" p "rsi), " p "rbp; movq 56(" p "rsi), " p "rdi;"       \
    "movq 64(" p "rsi), " p "r8; movq 72(" p "rsi), " p "r9; movq 80(" p "rsi), " p "r10;"         \
    "movq 88(" p "rsi), " p "r11; movq 96(" p "rsi), " p "r12; movq 104(" p "rsi), " p "r13;"      \
    "movq 112(" p "rsi), " p "r14; movq 120(" p "rsi), " p "r15;"

CPU_SWITCH_FUNCTION cpu_classic_ret_function(void)
{
    __asm__(CPU_CLASSIC_SAVE("%") "movq %rsp, 32(%rdi);" CPU_CLASSIC_LOAD(
        "%") "movq 48(%rsi), %rsi; ret");
}

// A JMP with all registers as they were has no place for its address but memory. A caller of a
// function gives R11 up, so it comes back as the address.
CPU_SWITCH_FUNCTION cpu_classic_jmp_function(void)
{
    __asm__(CPU_CLASSIC_SAVE("%") "popq 136(%rdi); movq %rsp, 32(%rdi);" CPU_CLASSIC_LOAD(
        "%") "movq 136(%rsi), %r11; movq 48(%rsi), %rsi; jmpq *%r11");
}

CPU_SWITCH_FORM(cpu_classic_inline, cpu_classic, from,
                CPU_CLASSIC_SAVE("%%") "leaq 1f(%%rip), %%r11; movq %%r11, 136(%%rdi);"
                                       "movq %%rsp, 32(%%rdi);" CPU_CLASSIC_LOAD(
                                           "%%") "movq 136(%%rsi), %%r11; movq 48(%%rsi), %%rsi;"
                                                 "jmpq *%%r11; 1:",
                0, CPU_LOST_BY_CLASSIC_JMP, CPU_LOST_BY_CLASSIC_JMP)
CPU_SWITCH_FORM(cpu_classic_jmp, cpu_classic, from, CPU_CALL, cpu_classic_jmp_function,
                CPU_LOST_BY_CLASSIC_JMP, CPU_LOST_BY_CLASSIC_JMP)
CPU_SWITCH_FORM(cpu_classic_ret, cpu_classic, from, CPU_CALL, cpu_classic_ret_function,
                CPU_LOST_BY_NOTHING, CPU_LOST_BY_NOTHING)

static inline uint64_t cpu_flags(void)
{
    uint64_t flags;
    __asm__ volatile("pushfq; popq %0" : "=r"(flags));
    return flags;
}

// ---- x87, SSE and wider state -------------------------------------------------------------------

#define CPU_FX_BYTES    512u
#define CPU_XSAVE_MASK  7u    // x87, SSE, AVX
#define CPU_XSAVE_BYTES 1024u // in the standard form: 512 + 64 + 256, rounded up

// `area` is 16-byte aligned, of CPU_FX_BYTES.
static inline __attribute__((always_inline)) void cpu_fx_save(void *area)
{
    __asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
}

static inline __attribute__((always_inline)) void cpu_fx_restore(const void *area)
{
    __asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
}

// XSAVE works here: the CPU has it and the operating system has enabled it.
static inline bool cpu_has_xsave(void)
{
    return cpu_cpuid(1, 0).ecx >> 27 & 1;
}

// `area` is 64-byte aligned, of CPU_XSAVE_BYTES, zeroed before its first use.
static inline __attribute__((always_inline)) void cpu_xsave_save(void *area)
{
    __asm__ volatile("xsave64 (%0)" : : "r"(area), "a"(CPU_XSAVE_MASK), "d"(0) : "memory");
}

static inline __attribute__((always_inline)) void cpu_xsave_restore(const void *area)
{
    __asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"(CPU_XSAVE_MASK), "d"(0) : "memory");
}

#endif
