// SPDX-License-Identifier: MIT
#include "vectors.h"

#include "format.h"
#include "string.h"

#define CONTROL_RESET 0x37fu  // of the x87 unit: all exceptions masked
#define MXCSR_RESET   0x1f80u // likewise
#define MXCSR_AT      24u     // in the area of FXSAVE (Intel SDM vol. 1, table 10-2)

struct vectors_lazy vectors_lazy[CPU_MOST];

void vectors_enable(uint64_t xcr0)
{
    static const uint32_t mxcsr = MXCSR_RESET;
    if (xcr0 != 0)
        x86_write_xcr0(xcr0);
    __asm__ volatile("fninit; ldmxcsr %0" : : "m"(mxcsr));
}

void vectors_reset(struct vectors *state)
{
    const uint16_t control = CONTROL_RESET;
    const uint32_t mxcsr = MXCSR_RESET;
    memset(state->kept, 0, sizeof(state->kept));
    memcpy(state->kept, &control, sizeof(control));
    memcpy(state->kept + MXCSR_AT, &mxcsr, sizeof(mxcsr));
}

static struct vectors_lazy *here(void)
{
    return &vectors_lazy[cpu_local()->index];
}

void vectors_lazy_begin(struct vectors *running, bool xsave)
{
    *here() = (struct vectors_lazy){.owner = running, .running = running, .xsave = xsave};
    __asm__ volatile("clts" : : : "memory");
    here()->on = true;
}

void vectors_lazy_end(void)
{
    here()->on = here()->stopped = false;
    __asm__ volatile("clts" : : : "memory");
}

bool vectors_hand_over(void)
{
    struct vectors_lazy *const lazy = here();
    if (!lazy->on || !lazy->stopped)
        return false;
    __asm__ volatile("clts" : : : "memory");
    lazy->stopped = false;
    if (lazy->xsave) {
        cpu_xsave_save(lazy->owner->kept);
        cpu_xsave_restore(lazy->running->kept);
    } else {
        cpu_fx_save(lazy->owner->kept);
        cpu_fx_restore(lazy->running->kept);
    }
    lazy->owner = lazy->running;
    lazy->handed++;
    return true;
}

void vectors_describe(void (*emit)(void *context, const char *key, const char *value),
                      void *context)
{
    char text[32];
    format(text, sizeof(text), "xcr0=%lx", cpu_has_xsave() ? x86_read_xcr0() : 0);
    emit(context, "cpu.vectors", cpu_has_xsave() ? text : "fxsave");
}
