// SPDX-License-Identifier: MIT
// Full: RSP, RIP and the six registers that a function must keep, in one cache line.
#ifndef SWITCH_FULL_H
#define SWITCH_FULL_H

#include "compiler.h"
#include "cpu.h"
#include "switch.h"

ALWAYS_INLINE void *switch_full_inline(void *from, void *to)
{
    return cpu_full_inline(from, to);
}

ALWAYS_INLINE void *switch_full_jmp(void *from, void *to)
{
    return cpu_full_jmp(from, to);
}

ALWAYS_INLINE void *switch_full_ret(void *from, void *to)
{
    return cpu_full_ret(from, to);
}

static inline void switch_full_make(void *context, void *top, void (*function)(void *argument),
                                    void *argument, bool by_ret)
{
    struct cpu_full *const made = context;
    void *const ret = cpu_new_context(top, function, argument, &made->rsp, &made->rip);
    if (by_ret)
        made->rsp = ret;
}

static const struct switch_ops switch_full_ops = {
    .about = {.name = "full",
              .what = "RSP, RIP and the callee-saved registers, one cache line",
              .role = VARIANT_PRODUCT},
    .context_bytes = sizeof(struct cpu_full),
    .context_alignment = _Alignof(struct cpu_full),
    .register_bytes = 64,
    .make = switch_full_make,
    .inline_ = switch_full_inline,
    .jmp = switch_full_jmp,
    .ret = switch_full_ret,
};

#endif
