// SPDX-License-Identifier: MIT
#include "heap_boot.h"

#include "compiler.h"

#define LIVE 0x4556494c544f4f42u // in header.state of what was handed out
#define DEAD 0x44414544544f4f42u

struct header {
    uint64_t state;
    uint64_t bytes; // header included, a multiple of 16
} __attribute__((may_alias));

_Static_assert(sizeof(struct header) == HEAP_BOOT_HEADER, "stated in the header file");

enum status heap_boot_init(struct heap_boot *boot, void *memory, size_t length)
{
    const uintptr_t start = (uintptr_t)memory;
    if (start == 0 || start % 16 != 0 || length < 64 || start + length < start)
        return STATUS_INVALID;
    *boot =
        (struct heap_boot){.start = start, .end = start + (length & ~(size_t)15), .next = start};
    return STATUS_OK;
}

void *heap_boot_allocate(struct heap_boot *boot, size_t size)
{
    const uint64_t room = boot->end - boot->next;
    if (size > room || align_up(max_u64(size, 1), 16) + HEAP_BOOT_HEADER > room) {
        boot->failures++;
        return NULL;
    }
    struct header *header = (struct header *)boot->next;
    header->state = LIVE;
    header->bytes = align_up(max_u64(size, 1), 16) + HEAP_BOOT_HEADER;
    boot->next += header->bytes;
    boot->allocations++;
    return header + 1;
}

enum status heap_boot_release(struct heap_boot *boot, void *pointer)
{
    const uintptr_t at = (uintptr_t)pointer - HEAP_BOOT_HEADER;
    if (at < boot->start || at >= boot->end || at % 16 != 0)
        return STATUS_FOREIGN;
    struct header *header = (struct header *)at;
    // What was cut off again lies beyond `next`, its mark intact.
    if (header->state == DEAD)
        return STATUS_DOUBLE;
    if (at >= boot->next || header->state != LIVE || header->bytes > boot->next - at)
        return STATUS_FOREIGN;
    header->state = DEAD;
    boot->frees++;
    if (boot->frees == boot->allocations)
        boot->next = boot->start;
    else if (at + header->bytes == boot->next)
        boot->next = at;
    return STATUS_OK;
}
