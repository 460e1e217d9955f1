// SPDX-License-Identifier: MIT
#include "page_floor.h"

// The table that the entry refers to, made.
static uint64_t *make_below(struct page_floor *floor, const struct page_memory *memory,
                            uint64_t *entry)
{
    const uint64_t table = memory->allocate(memory->context);
    if (table == 0)
        return NULL;
    floor->tables++;
    *entry = page_entry_of_table(table, 0);
    return (uint64_t *)(floor->direct + table);
}

enum status page_floor_init(void *state, const struct page_memory *memory)
{
    struct page_floor *floor = state;
    *floor = (struct page_floor){.direct = memory->direct, .tables = 2};
    floor->root = memory->allocate(memory->context);
    floor->spare = memory->allocate(memory->context);
    if (floor->root == 0 || floor->spare == 0)
        return STATUS_NO_MEMORY;
    uint64_t *root = (uint64_t *)(floor->direct + floor->root);
    uint64_t *level_2 = make_below(floor, memory, &root[page_index(PAGE_BASE, 3)]);
    if (level_2 == NULL)
        return STATUS_NO_MEMORY;
    uint64_t *small = make_below(floor, memory, &level_2[page_index(PAGE_BASE, 2)]);
    uint64_t *huge = make_below(floor, memory, &level_2[page_index(PAGE_BASE_HUGE, 2)]);
    for (unsigned i = 0; i < PAGE_FLOOR_TABLES && small != NULL; i++) {
        if (make_below(floor, memory, &small[i]) == NULL)
            return STATUS_NO_MEMORY;
    }
    return small != NULL && huge != NULL ? STATUS_OK : STATUS_NO_MEMORY;
}
