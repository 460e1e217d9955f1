// SPDX-License-Identifier: MIT
// Classic, and the x87, SSE and AVX state of both contexts by XSAVE, every time (eager).
#ifndef SWITCH_CLASSIC_XSAVE_H
#define SWITCH_CLASSIC_XSAVE_H

#include "compiler.h"
#include "cpu.h"
#include "string.h"
#include "switch.h"

struct switch_classic_xsave {
    struct cpu_classic classic;
    uint8_t state[CPU_XSAVE_BYTES] __attribute__((aligned(64)));
};

ALWAYS_INLINE void *switch_classic_xsave_inline(void *from, void *to)
{
    struct switch_classic_xsave *left = from, *const next = to;
    cpu_xsave_save(left->state);
    cpu_classic_inline(&left->classic, &next->classic);
    cpu_xsave_restore(left->state);
    return left;
}

ALWAYS_INLINE void *switch_classic_xsave_jmp(void *from, void *to)
{
    struct switch_classic_xsave *left = from, *const next = to;
    cpu_xsave_save(left->state);
    cpu_classic_jmp(&left->classic, &next->classic);
    cpu_xsave_restore(left->state);
    return left;
}

ALWAYS_INLINE void *switch_classic_xsave_ret(void *from, void *to)
{
    struct switch_classic_xsave *left = from, *const next = to;
    cpu_xsave_save(left->state);
    cpu_classic_ret(&left->classic, &next->classic);
    cpu_xsave_restore(left->state);
    return left;
}

static inline void switch_classic_xsave_make(void *context, void *top,
                                             void (*function)(void *argument), void *argument,
                                             bool by_ret)
{
    struct cpu_classic *const made = &((struct switch_classic_xsave *)context)->classic;
    void *rsp;
    void *const ret = cpu_new_context(top, function, argument, &rsp, &made->rip);
    made->registers[CPU_CLASSIC_RSP] = (uintptr_t)(by_ret ? ret : rsp);
    made->flags = cpu_flags();
    memset(((struct switch_classic_xsave *)context)->state, 0, CPU_XSAVE_BYTES);
}

static const struct switch_ops switch_classic_xsave_ops = {
    .about = {.name = "classic_xsave",
              .what = "classic, and x87, SSE and AVX state by XSAVE",
              .role = VARIANT_PRODUCT},
    .context_bytes = sizeof(struct switch_classic_xsave),
    .context_alignment = _Alignof(struct switch_classic_xsave),
    .register_bytes = 128,
    .works = cpu_has_xsave,
    .make = switch_classic_xsave_make,
    .inline_ = switch_classic_xsave_inline,
    .jmp = switch_classic_xsave_jmp,
    .ret = switch_classic_xsave_ret,
};

#endif
