// SPDX-License-Identifier: MIT
// Page tables as textbooks and small kernels have them: each page by a walk of its own from the
// root, and a table is empty when all its 512 entries were looked at. The baseline.
#ifndef PAGE_SCAN_H
#define PAGE_SCAN_H

#include "page.h"

struct page_scan {
    struct page_memory memory; // by `direct`
    uint64_t root, tables;
};

enum status page_scan_init(void *state, const struct page_memory *memory);
enum status page_scan_map(void *state, uint64_t address, uint64_t physical, uint64_t bytes,
                          struct page_kind kind);
enum status page_scan_unmap(void *state, uint64_t address, uint64_t bytes);
bool page_scan_translate(const void *state, uint64_t address, uint64_t *physical);
enum status page_scan_protect(void *state, uint64_t address, struct page_kind kind);
unsigned page_scan_rights(const void *state, uint64_t address);
enum status page_scan_split(void *state, uint64_t address);
enum status page_scan_merge(void *state, uint64_t address);
enum status page_scan_map_range(void *state, uint64_t address, uint64_t physical, uint64_t length,
                                struct page_kind kind);
uint64_t page_scan_tables(const void *state);

static const struct page_ops page_scan_ops = {
    .about = {.name = "scan",
              .what = "four levels, a walk for each page, all 512 entries looked at on unmapping",
              .role = VARIANT_BASELINE},
    .state_bytes = sizeof(struct page_scan),
    .init = page_scan_init,
    .map = page_scan_map,
    .unmap = page_scan_unmap,
    .translate = page_scan_translate,
    .protect = page_scan_protect,
    .rights = page_scan_rights,
    .split = page_scan_split,
    .merge = page_scan_merge,
    .map_range = page_scan_map_range,
    .tables = page_scan_tables,
};

#endif
