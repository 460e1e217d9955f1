// SPDX-License-Identifier: MIT
// Entries: AMD64 Architecture Programmer's Manual vol. 2, 5.3.
#include "kernel_map.h"

#include "assert.h"
#include "compiler.h"
#include "linker.h"
#include "stacks.h"
#include "x86.h"

#define ENTRY_PRESENT    ((uint64_t)1 << 0)
#define ENTRY_WRITABLE   ((uint64_t)1 << 1)
#define ENTRY_LARGE      ((uint64_t)1 << 7)
#define ENTRY_NO_EXECUTE ((uint64_t)1 << 63)
#define LARGE_PAGE       ((uint64_t)2 << 20)
#define ENTRIES          512u
#define DIRECTORIES      4u

// boot.S fills them with large, writable, executable pages.
extern uint64_t boot_directories[DIRECTORIES * ENTRIES];

// The first 2 MiB, and those the image touches (it may begin in the middle of one).
#define TABLES (1 + KERNEL_MAP_IMAGE_MOST / LARGE_PAGE + 1)
static uint64_t tables[TABLES][ENTRIES] __attribute__((aligned(PAGE_SIZE)));
static unsigned tables_used;

static uint64_t *directory_entry(uint64_t address)
{
    return &boot_directories[address / LARGE_PAGE];
}

// The entry of the small page at `address`, which lies in a large page already split.
static uint64_t *page_entry(uint64_t address)
{
    const uint64_t directory = *directory_entry(address);
    assert((directory & ENTRY_LARGE) == 0);
    uint64_t *table = (uint64_t *)(uintptr_t)(directory & ~(uint64_t)(PAGE_SIZE - 1));
    return &table[address / PAGE_SIZE % ENTRIES];
}

// Replaces the large page that holds `address` by small ones, writable and not executable.
static void split(uint64_t address)
{
    uint64_t *entry = directory_entry(address);
    if ((*entry & ENTRY_LARGE) == 0)
        return;
    assert(tables_used < TABLES);
    uint64_t *table = tables[tables_used++];
    const uint64_t base = address & ~(LARGE_PAGE - 1);
    for (unsigned i = 0; i < ENTRIES; i++)
        table[i] =
            (base + i * (uint64_t)PAGE_SIZE) | ENTRY_PRESENT | ENTRY_WRITABLE | ENTRY_NO_EXECUTE;
    // Rights of a directory are the most its pages can have.
    *entry = (uintptr_t)table | ENTRY_PRESENT | ENTRY_WRITABLE;
}

static void restrict_pages(const uint8_t *start, const uint8_t *end, uint64_t rights)
{
    for (uint64_t at = (uintptr_t)start; at < (uintptr_t)end; at += PAGE_SIZE)
        *page_entry(at) = at | ENTRY_PRESENT | rights;
}

void kernel_map_protect(void)
{
    x86_write_msr(X86_MSR_EFER, x86_read_msr(X86_MSR_EFER) | X86_EFER_NXE);
    x86_write_cr0(x86_read_cr0() | X86_CR0_WP);

    split(0);
    for (uint64_t at = (uintptr_t)linker_image; at < (uintptr_t)linker_image_end; at += PAGE_SIZE)
        split(at);
    for (unsigned i = 0; i < DIRECTORIES * ENTRIES; i++) {
        if (boot_directories[i] & ENTRY_LARGE)
            boot_directories[i] |= ENTRY_NO_EXECUTE;
    }
    restrict_pages(linker_image, linker_text, ENTRY_NO_EXECUTE);
    restrict_pages(linker_text, linker_data, 0);
    *page_entry(0) = 0;
    for (unsigned i = 0; i < STACKS; i++)
        *page_entry((uintptr_t)stacks[i].bottom - PAGE_SIZE) = 0;
    // Not before here: until the translations are dropped the CPU may use the old rights.
    x86_write_cr3(x86_read_cr3());
}

bool kernel_map_present(uint64_t address)
{
    if (address >= KERNEL_MAP_END)
        return false;
    const uint64_t directory = *directory_entry(address);
    if ((directory & ENTRY_PRESENT) == 0)
        return false;
    return (directory & ENTRY_LARGE) != 0 || (*page_entry(address) & ENTRY_PRESENT) != 0;
}
