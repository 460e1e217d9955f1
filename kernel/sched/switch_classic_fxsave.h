// SPDX-License-Identifier: MIT
// The second baseline: classic, and the x87 and SSE state of both contexts, every time (eager).
#ifndef SWITCH_CLASSIC_FXSAVE_H
#define SWITCH_CLASSIC_FXSAVE_H

#include "compiler.h"
#include "cpu.h"
#include "string.h"
#include "switch.h"

struct switch_classic_fxsave {
    struct cpu_classic classic;
    uint8_t state[CPU_FX_BYTES] __attribute__((aligned(16)));
};

ALWAYS_INLINE void *switch_classic_fxsave_inline(void *from, void *to)
{
    struct switch_classic_fxsave *left = from, *const next = to;
    cpu_fx_save(left->state);
    cpu_classic_inline(&left->classic, &next->classic);
    cpu_fx_restore(left->state);
    return left;
}

ALWAYS_INLINE void *switch_classic_fxsave_jmp(void *from, void *to)
{
    struct switch_classic_fxsave *left = from, *const next = to;
    cpu_fx_save(left->state);
    cpu_classic_jmp(&left->classic, &next->classic);
    cpu_fx_restore(left->state);
    return left;
}

ALWAYS_INLINE void *switch_classic_fxsave_ret(void *from, void *to)
{
    struct switch_classic_fxsave *left = from, *const next = to;
    cpu_fx_save(left->state);
    cpu_classic_ret(&left->classic, &next->classic);
    cpu_fx_restore(left->state);
    return left;
}

static inline void switch_classic_fxsave_make(void *context, void *top,
                                              void (*function)(void *argument), void *argument,
                                              bool by_ret)
{
    struct cpu_classic *const made = &((struct switch_classic_fxsave *)context)->classic;
    void *rsp;
    void *const ret = cpu_new_context(top, function, argument, &rsp, &made->rip);
    made->registers[CPU_CLASSIC_RSP] = (uintptr_t)(by_ret ? ret : rsp);
    made->flags = cpu_flags();
    memset(((struct switch_classic_fxsave *)context)->state, 0, CPU_FX_BYTES);
}

static const struct switch_ops switch_classic_fxsave_ops = {
    .about = {.name = "classic_fxsave",
              .what = "classic, and x87 and SSE state by FXSAVE",
              .role = VARIANT_PRODUCT},
    .context_bytes = sizeof(struct switch_classic_fxsave),
    .context_alignment = _Alignof(struct switch_classic_fxsave),
    .register_bytes = 128,
    .make = switch_classic_fxsave_make,
    .inline_ = switch_classic_fxsave_inline,
    .jmp = switch_classic_fxsave_jmp,
    .ret = switch_classic_fxsave_ret,
};

#endif
