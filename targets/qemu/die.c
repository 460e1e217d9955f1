// SPDX-License-Identifier: MIT
// platform_die: failures on purpose, each by the real thing.
#include "compiler.h"
#include "kernel.h"
#include "platform.h"
#include "string.h"
#include "x86.h"

static void die_triple(void)
{
    // With no gate for it, nor for the double fault, the exception shuts the CPU down.
    const struct x86_table none = {0, 0};
    x86_load_idt(&none);
    __asm__ volatile("ud2");
}

static void die_fault(void)
{
    // Canonical, so that it is a page fault, and in the half this kernel never maps.
    *(volatile uint8_t *)0xffff800000dead00u = 1;
}

static NOINLINE uint64_t recurse(uint64_t depth)
{
    // The volatile array and the sum behind the call keep this from becoming a loop.
    volatile uint64_t kept[8];
    kept[depth % ARRAY_COUNT(kept)] = depth;
    return depth == UINT64_MAX ? 0 : recurse(depth + 1) + kept[depth % ARRAY_COUNT(kept)];
}

static void die_overflow(void)
{
    (void)recurse(0);
}

static void die_exit(void)
{
    kernel_stop(KERNEL_EXIT_SUCCESS);
}

static void die_divide(void)
{
    // By instruction: a division by zero in C has no meaning to rely on.
    __asm__ volatile("xorl %%ecx, %%ecx; divl %%ecx" : : : "eax", "ecx", "edx", "cc");
}

static const struct {
    const char *name;
    void (*die)(void);
} ways[] = {
    {"triple", die_triple}, {"fault", die_fault},   {"overflow", die_overflow},
    {"exit", die_exit},     {"divide", die_divide},
};

void platform_die(const char *kind)
{
    for (unsigned i = 0; i < ARRAY_COUNT(ways); i++) {
        if (string_equal(kind, ways[i].name))
            ways[i].die();
    }
}
