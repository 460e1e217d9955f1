// SPDX-License-Identifier: MIT
// The floor: RSP and RIP must change hands, which takes five instructions. The windowed switch adds
// nothing to them: its code is the same, and what differs between the two rows is noise.
#ifndef SWITCH_FLOOR_H
#define SWITCH_FLOOR_H

#include "compiler.h"
#include "cpu.h"
#include "switch.h"

ALWAYS_INLINE void *switch_floor_inline(void *from, void *to)
{
    return cpu_window_inline(from, to);
}

ALWAYS_INLINE void *switch_floor_jmp(void *from, void *to)
{
    return cpu_window_jmp(from, to);
}

ALWAYS_INLINE void *switch_floor_ret(void *from, void *to)
{
    return cpu_window_ret(from, to);
}

static inline void switch_floor_make(void *context, void *top, void (*function)(void *argument),
                                     void *argument, bool by_ret)
{
    struct cpu_window *const made = context;
    void *const ret = cpu_new_context(top, function, argument, &made->rsp, &made->rip);
    if (by_ret)
        made->rsp = ret;
}

static const struct switch_ops switch_floor_ops = {
    .about = {.name = "floor",
              .what = "RSP and RIP in five instructions; a bound, not a product",
              .role = VARIANT_FLOOR},
    .context_bytes = sizeof(struct cpu_window),
    .context_alignment = _Alignof(struct cpu_window),
    .register_bytes = 16,
    .make = switch_floor_make,
    .inline_ = switch_floor_inline,
    .jmp = switch_floor_jmp,
    .ret = switch_floor_ret,
};

#endif
