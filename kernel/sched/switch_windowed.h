// SPDX-License-Identifier: MIT
// Windowed: 16 bytes, RSP and RIP. Where a switch stands, the compiler saves the registers that are
// live there, and no others: it knows best.
#ifndef SWITCH_WINDOWED_H
#define SWITCH_WINDOWED_H

#include "compiler.h"
#include "cpu.h"
#include "switch.h"

ALWAYS_INLINE void *switch_windowed_inline(void *from, void *to)
{
    return cpu_window_inline(from, to);
}

ALWAYS_INLINE void *switch_windowed_jmp(void *from, void *to)
{
    return cpu_window_jmp(from, to);
}

ALWAYS_INLINE void *switch_windowed_ret(void *from, void *to)
{
    return cpu_window_ret(from, to);
}

static inline void switch_windowed_make(void *context, void *top, void (*function)(void *argument),
                                        void *argument, bool by_ret)
{
    struct cpu_window *const made = context;
    void *const ret = cpu_new_context(top, function, argument, &made->rsp, &made->rip);
    if (by_ret)
        made->rsp = ret;
}

static const struct switch_ops switch_windowed_ops = {
    .about = {.name = "windowed",
              .what = "RSP and RIP; the compiler saves what else is live",
              .role = VARIANT_PRODUCT},
    .context_bytes = sizeof(struct cpu_window),
    .context_alignment = _Alignof(struct cpu_window),
    .register_bytes = 16,
    .make = switch_windowed_make,
    .inline_ = switch_windowed_inline,
    .jmp = switch_windowed_jmp,
    .ret = switch_windowed_ret,
};

#endif
