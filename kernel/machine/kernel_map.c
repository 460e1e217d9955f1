// SPDX-License-Identifier: MIT
#include "kernel_map.h"

#include "compiler.h"
#include "cpu.h"
#include "cpu_features.h"
#include "format.h"
#include "linker.h"
#include "machine_checks.h"
#include "spinlock.h"
#include "stacks.h"
#include "string.h"
#include "tlb.h"
#include "vectors.h"
#include "x86.h"

// Tables for what comes later: devices, and guard pages, which split large pages. One serves 2 MiB
// in which there is any number of them.
#define TABLES_SPARE 256u

#define LOW_MEMORY ((uint64_t)1 << 20) // below lies what firmware uses, and trampolines go there

static struct page_map map; // root is 0 until it is built
static struct kernel_space space;
static struct cpu_features boot_features;
static void (*invalidate_others)(uint64_t address, uint64_t length);
static struct spinlock changes; // of `map` and the pool, once they are built

// Tables never used are [next, end); those given back are chained through their first words.
static struct {
    uint64_t next, end, free;
} pool;

// ---- what page_map asks for --------------------------------------------------------------------

static uint64_t *table_at(void *context, uint64_t table)
{
    (void)context;
    return (uint64_t *)(uintptr_t)table; // one to one, before and after the switch
}

static uint64_t allocate_table(void *context)
{
    uint64_t table = pool.free;
    if (table != 0)
        pool.free = *table_at(context, table);
    else if (pool.next < pool.end)
        table = pool.next, pool.next += PAGE_SIZE;
    else
        return 0;
    memset(table_at(context, table), 0, PAGE_SIZE);
    return table;
}

static void release_table(void *context, uint64_t table)
{
    *table_at(context, table) = pool.free;
    pool.free = table;
}

static void invalidate(void *context, uint64_t address, uint64_t length)
{
    (void)context;
    tlb_drop_kernel(address, length);
    if (invalidate_others != NULL)
        invalidate_others(address, length);
}

// ---- build and enter ----------------------------------------------------------------------------

static struct cpu_features read_features(void)
{
    const uint32_t most = cpu_cpuid(0, 0).eax, extended = cpu_cpuid(0x80000000, 0).eax;
    struct cpu_leaves leaves = {.signature_edx = cpu_cpuid(1, 0).edx,
                                .signature_ecx = cpu_cpuid(1, 0).ecx};
    if (most >= 7) {
        leaves.structured_ebx = cpu_cpuid(7, 0).ebx;
        leaves.structured_ecx = cpu_cpuid(7, 0).ecx;
    }
    if (extended >= 0x80000001)
        leaves.extended_edx = cpu_cpuid(0x80000001, 0).edx;
    if (extended >= 0x80000008)
        leaves.addresses_eax = cpu_cpuid(0x80000008, 0).eax;
    return cpu_features_of(&leaves);
}

// Below the image if there is room, where the arena never is.
static enum status take_pool(struct boot_info *info, const struct kernel_image *image)
{
    const uint64_t bytes = (kernel_space_tables(info, image) + TABLES_SPARE) * PAGE_SIZE;
    struct boot_range range;
    if ((!boot_info_longest(info, LOW_MEMORY, image->start, PAGE_SIZE, &range) ||
         range.end - range.start < bytes) &&
        !boot_info_longest(info, LOW_MEMORY, KERNEL_MAP_BOOT_END, PAGE_SIZE, &range))
        return STATUS_NO_MEMORY;
    // From the top: what is left of the range stays in one piece, where it was.
    range.start = max_u64(range.start, range.end - min_u64(bytes, range.end));
    pool.next = range.start;
    pool.end = range.end;
    return boot_info_take(info, range.start, range.end - range.start);
}

enum status kernel_map_build(struct boot_info *info)
{
    const struct kernel_image image = {(uintptr_t)linker_image, (uintptr_t)linker_text,
                                       (uintptr_t)linker_data, (uintptr_t)linker_image_end};
    const struct page_memory memory = {
        .allocate = allocate_table, .release = release_table, .invalidate = invalidate};
    boot_features = read_features();
    const struct page_limits limits = {.physical_bits = boot_features.physical_bits,
                                       .pages_1g = boot_features.pages_1g};
    enum status status = boot_info_take(info, image.start, image.end - image.start);
    if (status == STATUS_OK)
        status = take_pool(info, &image);
    if (status == STATUS_OK)
        status = page_map_init(&map, &memory, limits);
    if (status == STATUS_OK)
        status = kernel_space_map(&map, info, &image, boot_features.global, &space);
    return status == STATUS_OK ? stacks_guard() : status;
}

void kernel_map_enter(void)
{
    const struct cpu_features features = read_features();
    x86_write_msr(X86_MSR_EFER, x86_read_msr(X86_MSR_EFER) | features.efer);
    x86_write_cr0((x86_read_cr0() | features.cr0) & ~features.cr0_clear);
    machine_checks_enable();
    // With SMAP, AC would allow what it forbids.
    x86_clear_flags(CPU_RFLAGS_AC);
    // Global pages of the old tables, should there be any, go with PGE.
    x86_write_cr4(x86_read_cr4() & ~CPU_CR4_PGE);
    x86_write_cr3(map.root);
    x86_write_cr4(x86_read_cr4() | features.cr4);
    x86_write_cr4(x86_read_cr4() | features.cr4_last);
    vectors_enable(features.xcr0);
}

// ---- changes ------------------------------------------------------------------------------------

// Whoever holds the lock may be waiting for this CPU, whose interrupts may be masked.
static void begin_change(void)
{
    cpu_preempt_disable();
    while (!spinlock_try_acquire(&changes)) {
        tlb_poll();
        cpu_pause();
    }
}

static enum status end_change(enum status status)
{
    spinlock_release(&changes);
    cpu_preempt_enable();
    return status;
}

enum status kernel_map_device(uint64_t physical, uint64_t length)
{
    begin_change();
    return end_change(kernel_space_add(&map, physical, length, true));
}

enum status kernel_map_firmware(uint64_t physical, uint64_t length)
{
    begin_change();
    return end_change(kernel_space_add(&map, physical, length, false));
}

enum status kernel_map_guard(uint64_t page)
{
    begin_change();
    return end_change(page_map_unmap(&map, page, PAGE_SIZE));
}

enum status kernel_map_unguard(uint64_t page)
{
    const struct page_kind data = {.rights = PAGE_READ | PAGE_WRITE,
                                   .global = boot_features.global};
    begin_change();
    return end_change(page_map_map(&map, page, page, PAGE_SIZE, data));
}

void kernel_map_set_shootdown(void (*others)(uint64_t address, uint64_t length))
{
    invalidate_others = others;
}

// ---- questions ----------------------------------------------------------------------------------

bool kernel_map_present(uint64_t address)
{
    struct page page;
    return map.root == 0 ? address < KERNEL_MAP_BOOT_END : page_map_query(&map, address, &page);
}

const struct page_map *kernel_map_pages(void)
{
    return &map;
}

const struct kernel_space *kernel_map_space(void)
{
    return &space;
}

void kernel_map_describe(void (*emit)(void *context, const char *key, const char *value),
                         void *context)
{
    struct page_counts counts;
    char text[96];
    const struct cpu_features features = read_features();
    cpu_features_text(&features, true, text, sizeof(text));
    emit(context, "cpu.protection", text);
    cpu_features_text(&features, false, text, sizeof(text));
    emit(context, "cpu.protection_absent", text);
    vectors_describe(emit, context);
    page_map_count(&map, &counts);
    format(text, sizeof(text), "%lu", space.ram_bytes);
    emit(context, "map.ram_bytes", text);
    format(text, sizeof(text), "%lu", space.left_out_bytes);
    emit(context, "map.left_out_bytes", text);
    format(text, sizeof(text), "%lu/%lu/%lu", counts.pages_4k, counts.pages_2m, counts.pages_1g);
    emit(context, "map.pages_4k_2m_1g", text);
    format(text, sizeof(text), "%lu", map.tables);
    emit(context, "map.tables", text);
}
