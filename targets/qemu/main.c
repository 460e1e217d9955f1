// SPDX-License-Identifier: MIT
// The freestanding kernel, from its entry to the benchmarks.
//
// Nothing here and below may use what cpu_has_baseline() asks for: this code tells an older CPU
// that it will not do, so it is built for plain x86-64.
#include "machine.h"

#include "compiler.h"
#include "hpet.h"
#include "kernel.h"
#include "kernel_map.h"
#include "last_words.h"
#include "linker.h"
#include "run.h"
#include "string.h"
#include "traps.h"
#include "x86.h"

#define COM1            0x3f8u
#define ARENA_ALIGNMENT ((uint64_t)2 << 20)
#define ARENA_LEAST     ((uint64_t)16 << 20)
#define ARENA_MOST      ((uint64_t)512 << 20) // all of it is touched: more would only take longer

struct kernel kernel;

// The entry of the portable object. Returns 0 when everything planned was measured.
int bench_main_plain(struct bench_run *run);
int bench_main_traced(struct bench_run *run);

static void set_cpu_base(void)
{
    kernel.boot_cpu.self = &kernel.boot_cpu;
    x86_write_msr(X86_MSR_GS_BASE, (uintptr_t)&kernel.boot_cpu);
}

static enum platform_clock clock_from(const char *arguments)
{
    char word[16];
    string_option(arguments, "clock", word, sizeof(word));
    if (string_equal(word, "insn"))
        return PLATFORM_CLOCK_INSN;
    // The lesser claim unless told otherwise: an emulated clock is never judged.
    return string_equal(word, "tsc") ? PLATFORM_CLOCK_TSC : PLATFORM_CLOCK_EMULATED;
}

static void read_options(void)
{
    char word[16];
    uint64_t session = 0;
    string_option(kernel.boot.arguments, "session", word, sizeof(word));
    if (string_to_u64(word, UINT32_MAX, &session))
        kernel.session = (uint32_t)session;
    string_option(kernel.boot.arguments, "output", word, sizeof(word));
    kernel.framed = string_equal(word, "framed");
    kernel.clock = clock_from(kernel.boot.arguments);
}

static void read_boot_info(uint32_t protocol, uint32_t information)
{
    const struct boot_memory memory = {.bytes = NULL, .base = 0, .length = KERNEL_MAP_END};
    const enum status status = boot_info_read(&kernel.boot, protocol, memory, information);
    read_options();
    if (status == STATUS_TOO_LARGE)
        last_words_refused("the boot loader's command line or memory map is longer than supported");
    if (status != STATUS_OK)
        last_words_refused("the boot loader's tables are damaged");
}

static void choose_arena(void)
{
    const uint64_t image = (uintptr_t)linker_image;
    const uint64_t image_end = (uintptr_t)linker_image_end;
    if (boot_info_take(&kernel.boot, image, image_end - image) != STATUS_OK ||
        !boot_info_longest(&kernel.boot, image_end, KERNEL_MAP_END, ARENA_ALIGNMENT,
                           &kernel.arena) ||
        kernel.arena.end - kernel.arena.start < ARENA_LEAST)
        last_words_refused("less than 16 MiB of memory in one piece");
    kernel.arena.end = min_u64(kernel.arena.end, kernel.arena.start + ARENA_MOST);
}

void kernel_main(uint32_t protocol, uint32_t information)
{
    traps_init(last_words_trap);
    set_cpu_base();
    hpet_init();
    uart_init(&kernel.line, COM1, hpet_ns);
    read_boot_info(protocol, information);
    kernel_map_protect();
    if (!cpu_has_baseline())
        last_words_refused("this CPU lacks POPCNT or BMI1, which the object code is built for");
    choose_arena();
    static struct bench_run run;
    const bool failed = bench_main_plain(&run) != 0 || bench_main_traced(&run) != 0;
    platform_exit(!failed);
}
