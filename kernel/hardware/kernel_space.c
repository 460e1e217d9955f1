// SPDX-License-Identifier: MIT
#include "kernel_space.h"

#include "compiler.h"

#define LOW_HALF_END ((uint64_t)1 << 47)

static uint64_t page_down(uint64_t address)
{
    return address & ~(PAGE_BYTES_4K - 1);
}

// How many aligned blocks of 2^shift bytes [start, end) touches.
static uint64_t touched(uint64_t start, uint64_t end, unsigned shift)
{
    return start < end ? ((end - 1) >> shift) - (start >> shift) + 1 : 0;
}

static uint64_t tables_of_range(uint64_t start, uint64_t end)
{
    return 2 + touched(start, end, 30) + touched(start, end, 39);
}

uint64_t kernel_space_tables(const struct boot_info *info, const struct kernel_image *image)
{
    uint64_t tables =
        1 + touched(image->start, image->end, 21) + tables_of_range(image->start, image->end);
    for (unsigned i = 0; i < info->available_count; i++)
        tables += tables_of_range(info->available[i].start, info->available[i].end);
    for (unsigned i = 0; i < info->firmware_count; i++)
        tables += tables_of_range(page_down(info->firmware[i].start),
                                  align_up(info->firmware[i].end, PAGE_BYTES_4K));
    return tables;
}

// The first address in [start, end) that is not mapped, and in *hole_end how far that goes; `end`
// if all is mapped.
static uint64_t next_hole(const struct page_map *map, uint64_t start, uint64_t end,
                          uint64_t *hole_end)
{
    struct page page;
    *hole_end = end;
    while (start < end && page_map_next(map, start, &page) && page.address < end) {
        if (page.address > start) {
            *hole_end = page.address;
            return start;
        }
        start = page.address + page.bytes;
    }
    return min_u64(start, end);
}

// Maps what of [start, end) is not mapped. Adds to *done, also on failure. By the GiB: what can be
// mapped is mapped.
static enum status map_missing(struct page_map *map, uint64_t start, uint64_t end,
                               struct page_kind kind, uint64_t *done)
{
    uint64_t hole_end;
    enum status status = STATUS_OK;
    while ((start = next_hole(map, start, end, &hole_end)) < end && status == STATUS_OK) {
        const uint64_t chunk_end = min_u64(hole_end, align_up(start + 1, PAGE_BYTES_1G));
        status = page_map_map(map, start, start, chunk_end - start, kind);
        if (status == STATUS_OK)
            *done += chunk_end - start;
    }
    return status;
}

static enum status map_image(struct page_map *map, const struct kernel_image *image, bool global,
                             struct kernel_space *space)
{
    const struct {
        uint64_t start, end;
        unsigned rights;
    } parts[] = {{image->start, image->text, PAGE_READ},
                 {image->text, image->data, PAGE_READ | PAGE_EXECUTE},
                 {image->data, image->end, PAGE_READ | PAGE_WRITE}};
    enum status status = STATUS_OK;
    for (unsigned i = 0; i < ARRAY_COUNT(parts) && status == STATUS_OK; i++) {
        const struct page_kind kind = {.rights = parts[i].rights, .global = global};
        status = map_missing(map, parts[i].start, parts[i].end, kind, &space->ram_bytes);
    }
    return status;
}

static void leave_out(struct kernel_space *space, uint64_t start, uint64_t end)
{
    if (start >= end)
        return;
    if (space->left_out_bytes == 0)
        space->left_out = start;
    space->left_out_bytes += end - start;
}

// Maps the RAM in [lowest, highest): whole pages only, what shares one with RAM may be anything.
static enum status map_ram(struct page_map *map, const struct boot_info *info, bool global,
                           uint64_t lowest, uint64_t highest, struct kernel_space *space)
{
    const struct page_kind kind = {.rights = PAGE_READ | PAGE_WRITE, .global = global};
    const uint64_t top = min_u64((uint64_t)1 << map->limits.physical_bits, LOW_HALF_END);
    enum status first = STATUS_OK;
    for (unsigned i = 0; i < info->available_count; i++) {
        const struct boot_range *range = &info->available[i];
        const uint64_t start = max_u64(align_up(range->start, PAGE_BYTES_4K), lowest);
        const uint64_t end = min_u64(page_down(range->end), highest);
        if (start >= end)
            continue;
        const uint64_t reachable = max_u64(min_u64(end, top), start);
        const enum status status = map_missing(map, start, reachable, kind, &space->ram_bytes);
        uint64_t hole_end;
        leave_out(space, status == STATUS_OK ? reachable : next_hole(map, start, end, &hole_end),
                  end);
        first = first == STATUS_OK ? status : first;
    }
    return first;
}

static enum status map_firmware(struct page_map *map, const struct boot_info *info, bool global)
{
    const struct page_kind kind = {.rights = PAGE_READ, .global = global};
    enum status status = STATUS_OK;
    for (unsigned i = 0; i < info->firmware_count && status == STATUS_OK; i++) {
        const uint64_t start = max_u64(page_down(info->firmware[i].start), PAGE_BYTES_4K);
        const uint64_t end =
            min_u64(align_up(info->firmware[i].end, PAGE_BYTES_4K), KERNEL_SPACE_NEEDED);
        uint64_t done = 0;
        status = map_missing(map, start, end, kind, &done);
    }
    return status;
}

enum status kernel_space_map(struct page_map *map, const struct boot_info *info,
                             const struct kernel_image *image, bool global,
                             struct kernel_space *space)
{
    *space = (struct kernel_space){0};
    enum status status = map_image(map, image, global, space);
    if (status == STATUS_OK)
        status = map_ram(map, info, global, PAGE_BYTES_4K, KERNEL_SPACE_NEEDED, space);
    if (status == STATUS_OK)
        status = map_firmware(map, info, global);
    // Last: what is needed must not run out of tables for what is not.
    if (status == STATUS_OK)
        (void)map_ram(map, info, global, KERNEL_SPACE_NEEDED, UINT64_MAX, space);
    return status;
}

enum status kernel_space_add(struct page_map *map, uint64_t physical, uint64_t length, bool device)
{
    const uint64_t top = min_u64((uint64_t)1 << map->limits.physical_bits, LOW_HALF_END);
    const uint64_t start = page_down(physical);
    if (length == 0 || physical < PAGE_BYTES_4K || physical >= top || length > top - physical)
        return STATUS_INVALID;
    const uint64_t end = align_up(physical + length, PAGE_BYTES_4K);
    struct page page;
    // Two kinds of caching for one address would be undefined (AMD64 vol. 2, 7.3).
    for (uint64_t at = start; device && page_map_next(map, at, &page) && page.address < end;
         at = page.address + page.bytes) {
        if (page.kind.cache != PAGE_UNCACHED)
            return STATUS_FOREIGN;
    }
    const struct page_kind kind = {.rights = device ? PAGE_READ | PAGE_WRITE : PAGE_READ,
                                   .cache = device ? PAGE_UNCACHED : PAGE_WRITE_BACK};
    uint64_t done = 0;
    return map_missing(map, start, end, kind, &done);
}
