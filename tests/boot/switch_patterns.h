// SPDX-License-Identifier: MIT
// Registers full of patterns around a switch, for its tests in the Linux process and in the kernel:
// what the switch keeps must come back, whatever came between.
#ifndef SWITCH_PATTERNS_H
#define SWITCH_PATTERNS_H

#include "switch_variants.h"

enum form { FORM_INLINE, FORM_JMP, FORM_RET, FORMS };
static const char *const form_names[FORMS] = {"inline", "jmp", "ret"};

struct registers {
    uint64_t rax, rcx, rdx, rbx, rbp, r8, r9, r10, r11, r12, r13, r14, r15, flags;
};

// Loads all of *in, calls function(from, to), stores what is there then into *out.
__attribute__((naked, noinline)) static void
with_registers(__attribute__((unused)) const struct registers *in,
               __attribute__((unused)) struct registers *out, __attribute__((unused)) void *from,
               __attribute__((unused)) void *to, __attribute__((unused)) void (*function)(void))
{
    __asm__("pushq %rbx; pushq %rbp; pushq %r12; pushq %r13; pushq %r14; pushq %r15;"
            "pushq %rsi; pushq %r8; pushq 104(%rdi); popfq;"
            "movq %rcx, %rsi; movq %rdi, %r11; movq %rdx, %rdi;"
            "movq 0(%r11), %rax; movq 8(%r11), %rcx; movq 16(%r11), %rdx; movq 24(%r11), %rbx;"
            "movq 32(%r11), %rbp; movq 40(%r11), %r8; movq 48(%r11), %r9; movq 56(%r11), %r10;"
            "movq 72(%r11), %r12; movq 80(%r11), %r13; movq 88(%r11), %r14; movq 96(%r11), %r15;"
            "movq 64(%r11), %r11;"
            "call *(%rsp);"
            "pushfq; pushq %r11; movq 24(%rsp), %r11;"
            "movq %rax, 0(%r11); movq %rcx, 8(%r11); movq %rdx, 16(%r11); movq %rbx, 24(%r11);"
            "movq %rbp, 32(%r11); movq %r8, 40(%r11); movq %r9, 48(%r11); movq %r10, 56(%r11);"
            "movq %r12, 72(%r11); movq %r13, 80(%r11); movq %r14, 88(%r11); movq %r15, 96(%r11);"
            "popq 64(%r11); popq 104(%r11);"
            "cld; popq %r8; popq %rsi;"
            "popq %r15; popq %r14; popq %r13; popq %r12; popq %rbp; popq %rbx; ret");
}

// Carry, parity, auxiliary, zero, sign, direction, overflow.
#define FLAGS_SEEN 0xcd5u
#define FLAGS_ON   0x202u // interrupts

enum kept { KEEPS_CALLEE_SAVED, KEEPS_ALL_BUT_R11, KEEPS_ALL };

// Where a variant's function keeps registers by itself. Elsewhere the compiler does, or a caller
// does not expect it.
struct function {
    const char *name;
    void (*function)(void);
    const struct switch_ops *ops;
    enum form form;
    enum kept kept;
};

static const struct function functions[] = {
    {"full, jmp", cpu_full_jmp_function, &switch_full_ops, FORM_JMP, KEEPS_CALLEE_SAVED},
    {"full, ret", cpu_full_ret_function, &switch_full_ops, FORM_RET, KEEPS_CALLEE_SAVED},
    {"classic, jmp", cpu_classic_jmp_function, &switch_classic_ops, FORM_JMP, KEEPS_ALL_BUT_R11},
    {"classic, ret", cpu_classic_ret_function, &switch_classic_ops, FORM_RET, KEEPS_ALL},
};

// NULL if all is there that is to be kept.
static const char *what_changed(enum kept kept, const struct registers *in,
                                const struct registers *out)
{
    if (in->rbx != out->rbx || in->rbp != out->rbp || in->r12 != out->r12 || in->r13 != out->r13 ||
        in->r14 != out->r14 || in->r15 != out->r15)
        return "a callee-saved register";
    if (kept == KEEPS_CALLEE_SAVED)
        return NULL;
    if (in->rax != out->rax || in->rcx != out->rcx || in->rdx != out->rdx || in->r8 != out->r8 ||
        in->r9 != out->r9 || in->r10 != out->r10)
        return "a register";
    if ((in->flags ^ out->flags) & FLAGS_SEEN)
        return "a flag";
    return kept == KEEPS_ALL && in->r11 != out->r11 ? "R11" : NULL;
}

static inline bool keeps_vectors(const struct switch_ops *ops)
{
    return ops->context_bytes >= CPU_FX_BYTES;
}

static inline uint32_t read_mxcsr(void)
{
    uint32_t value;
    __asm__ volatile("stmxcsr %0" : "=m"(value));
    return value;
}

static inline void set_mxcsr(uint32_t value)
{
    __asm__ volatile("ldmxcsr %0" : : "m"(value));
}

#define MXCSR_USUAL 0x1f80u

#endif
