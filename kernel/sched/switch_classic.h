// SPDX-License-Identifier: MIT
// The baseline: all 16 general registers and the flags, as if nothing were known of the code
// around.
#ifndef SWITCH_CLASSIC_H
#define SWITCH_CLASSIC_H

#include "compiler.h"
#include "cpu.h"
#include "switch.h"

ALWAYS_INLINE void *switch_classic_inline(void *from, void *to)
{
    return cpu_classic_inline(from, to);
}

ALWAYS_INLINE void *switch_classic_jmp(void *from, void *to)
{
    return cpu_classic_jmp(from, to);
}

ALWAYS_INLINE void *switch_classic_ret(void *from, void *to)
{
    return cpu_classic_ret(from, to);
}

static inline void switch_classic_make(void *context, void *top, void (*function)(void *argument),
                                       void *argument, bool by_ret)
{
    struct cpu_classic *const made = context;
    void *rsp;
    void *const ret = cpu_new_context(top, function, argument, &rsp, &made->rip);
    made->registers[CPU_CLASSIC_RSP] = (uintptr_t)(by_ret ? ret : rsp);
    made->flags = cpu_flags();
}

static const struct switch_ops switch_classic_ops = {
    .about = {.name = "classic",
              .what = "all 16 general registers and the flags: the claims' baseline",
              .role = VARIANT_BASELINE},
    .context_bytes = sizeof(struct cpu_classic),
    .context_alignment = _Alignof(struct cpu_classic),
    .register_bytes = 128,
    .make = switch_classic_make,
    .inline_ = switch_classic_inline,
    .jmp = switch_classic_jmp,
    .ret = switch_classic_ret,
};

#endif
