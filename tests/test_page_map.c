// SPDX-License-Identifier: MIT
// kernel/memory/page_map by hand: which pages and tables it makes, and all it refuses.
#include <check.h>

#include "page_map_subject.h"
#include "run_checks.h"

// ---- by hand ------------------------------------------------------------------------------------

static enum status map_at(uint64_t address, uint64_t physical, uint64_t length)
{
    return page_map_map(&map, address, physical, length, DATA);
}

START_TEST(largest_pages_that_alignment_allows_are_used)
{
    struct page_counts counts;
    // 4 KiB below 2 MiB, up to 1 GiB, two of 1 GiB, and 6 MiB + 8 KiB behind.
    ck_assert_int_eq(map_at(2 * MIB - 4096, 2 * MIB - 4096, 3 * GIB + 4 * MIB + 12 * KIB),
                     STATUS_OK);
    page_map_count(&map, &counts);
    ck_assert_uint_eq(counts.pages_1g, 2);
    ck_assert_uint_eq(counts.pages_2m, 511 + 3);
    ck_assert_uint_eq(counts.pages_4k, 1 + 2);
    ck_assert_uint_eq(counts.writable, counts.bytes);
    ck_assert_uint_eq(counts.executable + counts.uncached, 0);
    // root, one of 1 GiB pages, two of 2 MiB pages, two of 4 KiB pages
    ck_assert_uint_eq(map.tables, 6);
}
END_TEST

START_TEST(physical_address_out_of_step_takes_small_pages)
{
    struct page_counts counts;
    ck_assert_int_eq(map_at(4 * GIB, 8 * GIB + 4096, 4 * MIB), STATUS_OK);
    page_map_count(&map, &counts);
    ck_assert_uint_eq(counts.pages_4k, 1024);
    ck_assert_int_eq(map_at(6 * GIB, 8 * GIB + 2 * MIB, GIB), STATUS_OK);
    page_map_count(&map, &counts);
    ck_assert_uint_eq(counts.pages_2m, 512);
}
END_TEST

START_TEST(pages_of_1_gib_need_a_cpu_that_has_them)
{
    struct page_counts counts;
    teardown();
    setup_with(false);
    ck_assert_int_eq(map_at(0, 0, 2 * GIB), STATUS_OK);
    page_map_count(&map, &counts);
    ck_assert_uint_eq(counts.pages_1g, 0);
    ck_assert_uint_eq(counts.pages_2m, 1024);
    ck_assert_int_eq(page_map_merge(&map, 0, PAGE_BYTES_1G), STATUS_INVALID);
}
END_TEST

START_TEST(counts_tell_rights_and_caching)
{
    struct page_counts counts;
    ck_assert_int_eq(page_map_map(&map, 0x1000, 0x1000, 0x3000, TEXT), STATUS_OK);
    ck_assert_int_eq(page_map_map(&map, 0xfed00000, 0xfed00000, 0x1000, DEVICE), STATUS_OK);
    page_map_count(&map, &counts);
    ck_assert_uint_eq(counts.executable, 0x3000);
    ck_assert_uint_eq(counts.writable, 0x1000);
    ck_assert_uint_eq(counts.uncached, 0x1000);
}
END_TEST

#define INVALID(call) ck_assert_int_eq(call, STATUS_INVALID)

START_TEST(ranges_that_are_none_are_refused)
{
    const uint64_t half = (uint64_t)1 << 47;
    INVALID(map_at(0x1000, 0x1000, 0));
    INVALID(map_at(0x1001, 0x1000, 0x1000));
    INVALID(map_at(0x1000, 0x1800, 0x1000));
    INVALID(map_at(0x1000, 0x1000, 0x1800));
    INVALID(map_at(half, 0, 0x1000));                                   // in the hole
    INVALID(map_at(half - 0x1000, 0, 0x2000));                          // into it
    INVALID(map_at((uint64_t)0 - half - 0x1000, 0, 0x2000));            // out of it
    INVALID(map_at(half - 0x1000, 0, (uint64_t)0 - 2 * half + 0x2000)); // over it
    INVALID(map_at((uint64_t)0 - 0x1000, 0, 0x2000));                   // around the end
    INVALID(map_at(0x1000, (uint64_t)1 << 46, 0x1000));                 // above all memory
    INVALID(map_at(0x1000, ((uint64_t)1 << 46) - 0x1000, 0x2000));
    INVALID(map_at(0x1000, (uint64_t)0 - 0x1000, 0x1000));
    ck_assert_int_eq(map_at(half - 0x1000, ((uint64_t)1 << 46) - 0x1000, 0x1000), STATUS_OK);
    ck_assert_int_eq(map_at((uint64_t)0 - 0x1000, 0, 0x1000), STATUS_OK);
    ck_assert_uint_eq(map.tables, 7);

    INVALID(page_map_unmap(&map, half - 0x1000, 0));
    INVALID(page_map_unmap(&map, half - 0x0fff, 0x1000));
    INVALID(page_map_unmap(&map, half - 0x1000, 0x2000));
    INVALID(page_map_unmap(&map, half - 0x1000, (uint64_t)0 - 2 * half + 0x2000)); // over the hole
    INVALID(page_map_unmap(&map, (uint64_t)0 - 0x1000, 0x2000));                   // to the start
    INVALID(page_map_unmap(&map, (uint64_t)0 - 0x1000, (uint64_t)0 - 0x1000));     // all around
    INVALID(page_map_protect(&map, half - 0x1000, 0x800, DATA));
    INVALID(page_map_protect(&map, half, 0x1000, DATA));
    INVALID(page_map_split(&map, half, PAGE_BYTES_4K));
    INVALID(page_map_split(&map, 0x1001, PAGE_BYTES_4K));
    INVALID(page_map_split(&map, 0, PAGE_BYTES_1G));
    INVALID(page_map_split(&map, 0, 0x3000));
    INVALID(page_map_merge(&map, 0x1000, PAGE_BYTES_2M));
    INVALID(page_map_merge(&map, 0, PAGE_BYTES_4K));
    INVALID(page_map_merge(&map, half, PAGE_BYTES_2M));
    INVALID(page_map_map_by(&map, 0, 0, 0x1000, DATA, 0x3000));
}
END_TEST

START_TEST(page_both_writable_and_executable_is_refused)
{
    const struct page_kind both = {.rights = PAGE_READ | PAGE_WRITE | PAGE_EXECUTE};
    INVALID(page_map_map(&map, 0x1000, 0x1000, 0x1000, both));
    ck_assert_int_eq(map_at(0x1000, 0x1000, 0x1000), STATUS_OK);
    INVALID(page_map_protect(&map, 0x1000, 0x1000, both));
}
END_TEST

START_TEST(kinds_that_no_page_can_have_are_refused)
{
    const unsigned rights[] = {0, PAGE_WRITE, PAGE_EXECUTE, PAGE_READ | 8};
    for (unsigned i = 0; i < ARRAY_COUNT(rights); i++)
        INVALID(page_map_map(&map, 0, 0, 0x1000, (struct page_kind){.rights = rights[i]}));
    const struct page_kind strange = {.rights = READ, .cache = (enum page_cache)3};
    INVALID(page_map_map(&map, 0, 0, 0x1000, strange));
    ck_assert_uint_eq(map.tables, 1);
}
END_TEST

START_TEST(limits_that_no_cpu_has_are_refused)
{
    struct page_map other;
    const unsigned bits[] = {0, 31, 53, 64};
    for (unsigned i = 0; i < ARRAY_COUNT(bits); i++)
        INVALID(page_map_init(&other, &memory, (struct page_limits){.physical_bits = bits[i]}));
    tables_left = 0;
    const struct page_limits limits = {.physical_bits = 52};
    ck_assert_int_eq(page_map_init(&other, &memory, limits), STATUS_NO_MEMORY);
    ck_assert_uint_eq(tables_live, 1);
}
END_TEST

START_TEST(refused_mapping_leaves_what_was_there)
{
    struct page page;
    ck_assert_int_eq(map_at(4 * MIB, 4 * MIB, 2 * MIB), STATUS_OK);
    ck_assert_int_eq(map_at(4 * MIB + 4096, 0, 4096), STATUS_FULL);
    ck_assert_int_eq(map_at(0, 0, GIB), STATUS_FULL);           // a table stands there
    ck_assert_int_eq(map_at(2 * MIB, 0, 4 * MIB), STATUS_FULL); // the second half
    ck_assert_uint_eq(map.tables, 3);
    ck_assert(page_map_query(&map, 4 * MIB, &page) && page.bytes == 2 * MIB);
    ck_assert(!page_map_query(&map, 4 * MIB - 1, &page));
    ck_assert(!page_map_query(&map, 6 * MIB, &page));
}
END_TEST

START_TEST(mapping_without_memory_gives_back_its_tables)
{
    struct page page;
    // Four MiB over a boundary of root entries, by small pages: 1 + 2 * 3 tables.
    for (unsigned left = 0; left < 6; left++) {
        tables_left = left;
        invalidated = false;
        ck_assert_int_eq(map_at(512 * GIB - 2 * MIB, 4096, 4 * MIB), STATUS_NO_MEMORY);
        ck_assert_uint_eq(map.tables, 1);
        ck_assert_uint_eq(tables_live, 1);
        ck_assert(!page_map_next(&map, 0, &page));
    }
    tables_left = 6;
    ck_assert_int_eq(map_at(512 * GIB - 2 * MIB, 4096, 4 * MIB), STATUS_OK);
    tables_left = 100;
}
END_TEST

START_TEST(change_of_rights_splits_no_more_than_it_must)
{
    struct page_counts counts;
    struct page page;
    ck_assert_int_eq(map_at(GIB, GIB, GIB), STATUS_OK);
    ck_assert_int_eq(page_map_protect(&map, GIB + 2 * MIB, 4 * MIB + 4096, TEXT), STATUS_OK);
    page_map_count(&map, &counts);
    ck_assert_uint_eq(counts.pages_1g, 0);
    ck_assert_uint_eq(counts.pages_2m, 511);
    ck_assert_uint_eq(counts.pages_4k, 512);
    ck_assert_uint_eq(counts.executable, 4 * MIB + 4096);
    ck_assert(page_map_query(&map, GIB + 6 * MIB + 4096, &page) && same_kind(page.kind, DATA));
    // Without memory for the split nothing changes.
    ck_assert_int_eq(map_at(4 * GIB, 4 * GIB, GIB), STATUS_OK);
    tables_left = 1;
    ck_assert_int_eq(page_map_unmap(&map, 4 * GIB, 4096), STATUS_NO_MEMORY);
    ck_assert(page_map_query(&map, 4 * GIB, &page) && page.physical == 4 * GIB);
    tables_left = 100;
}
END_TEST

START_TEST(hole_in_a_range_refuses_the_change)
{
    struct page page;
    ck_assert_int_eq(map_at(0x1000, 0x1000, 0x2000), STATUS_OK);
    ck_assert_int_eq(map_at(0x4000, 0x4000, 0x1000), STATUS_OK);
    const uint64_t before = invalidations;
    ck_assert_int_eq(page_map_unmap(&map, 0x1000, 0x4000), STATUS_EMPTY);
    ck_assert_int_eq(page_map_protect(&map, 0x2000, 0x2000, TEXT), STATUS_EMPTY);
    ck_assert_int_eq(page_map_unmap(&map, 0, 0x1000), STATUS_EMPTY);
    ck_assert_int_eq(page_map_split(&map, 0x3000, PAGE_BYTES_4K), STATUS_EMPTY);
    ck_assert_uint_eq(invalidations, before);
    ck_assert(page_map_query(&map, 0x4000, &page) && same_kind(page.kind, DATA));
}
END_TEST

START_TEST(unmapping_gives_empty_tables_back)
{
    ck_assert_int_eq(map_at(0x1000, 0x1000, 4 * MIB), STATUS_OK);
    ck_assert_uint_gt(map.tables, 3);
    invalidated = false;
    ck_assert_int_eq(page_map_unmap(&map, 0x1000, 4 * MIB), STATUS_OK);
    ck_assert(invalidated);
    ck_assert_uint_eq(map.tables, 1);
}
END_TEST

START_TEST(pages_merge_when_they_are_alike_and_lie_together)
{
    struct page page;
    ck_assert_int_eq(page_map_map_by(&map, GIB, GIB, GIB, DATA, PAGE_BYTES_4K), STATUS_OK);
    ck_assert_uint_eq(map.tables, 3 + 512);
    invalidated = false;
    ck_assert_int_eq(page_map_merge(&map, GIB, PAGE_BYTES_2M), STATUS_OK);
    ck_assert_uint_eq(map.tables, 3 + 511);
    ck_assert_int_eq(page_map_protect(&map, GIB + 4 * MIB, 4096, TEXT), STATUS_OK);
    ck_assert_int_eq(page_map_merge(&map, GIB, PAGE_BYTES_1G), STATUS_FOREIGN);
    ck_assert_int_eq(page_map_protect(&map, GIB + 4 * MIB, 4096, DATA), STATUS_OK);
    ck_assert_int_eq(page_map_merge(&map, GIB, PAGE_BYTES_1G), STATUS_OK);
    ck_assert_uint_eq(map.tables, 2);
    ck_assert(page_map_query(&map, 2 * GIB - 1, &page) && page.bytes == GIB);
    ck_assert_int_eq(page_map_merge(&map, GIB + 2 * MIB, PAGE_BYTES_2M), STATUS_OK); // as large
    ck_assert_int_eq(page_map_split(&map, GIB + 5 * MIB, PAGE_BYTES_4K), STATUS_OK);
    ck_assert_uint_eq(map.tables, 4);
}
END_TEST

START_TEST(pages_that_differ_in_anything_do_not_merge)
{
    const struct page_kind different[] = {
        {.rights = READ},
        {.rights = EXECUTE},
        {.rights = WRITE, .global = true},
        {.rights = WRITE, .cache = PAGE_WRITE_THROUGH},
    };
    ck_assert_int_eq(page_map_map_by(&map, 0, 0, 2 * MIB, DATA, PAGE_BYTES_4K), STATUS_OK);
    for (unsigned i = 0; i < ARRAY_COUNT(different); i++) {
        const uint64_t last = 2 * MIB - 4096;
        ck_assert_int_eq(page_map_protect(&map, last, 4096, different[i]), STATUS_OK);
        ck_assert_int_eq(page_map_merge(&map, 0, PAGE_BYTES_2M), STATUS_FOREIGN);
        ck_assert_int_eq(page_map_protect(&map, last, 4096, DATA), STATUS_OK);
    }
    ck_assert_int_eq(page_map_merge(&map, 0, PAGE_BYTES_2M), STATUS_OK);
}
END_TEST

START_TEST(merging_needs_aligned_and_complete_memory)
{
    ck_assert_int_eq(map_at(2 * MIB, 8 * MIB + 4096, 2 * MIB), STATUS_OK);
    ck_assert_int_eq(page_map_merge(&map, 2 * MIB, PAGE_BYTES_2M), STATUS_FOREIGN);
    ck_assert_int_eq(map_at(4 * MIB, 4 * MIB, 2 * MIB - 4096), STATUS_OK);
    ck_assert_int_eq(page_map_merge(&map, 4 * MIB, PAGE_BYTES_2M), STATUS_EMPTY);
}
END_TEST

START_TEST(entries_say_what_they_were_made_of)
{
    const struct page_kind kinds[] = {DATA, TEXT, DEVICE, {.rights = READ, .cache = 1}};
    for (unsigned i = 0; i < ARRAY_COUNT(kinds); i++) {
        for (unsigned level = 0; level < 3; level++) {
            const uint64_t entry = page_entry_of(8 * GIB, level, kinds[i]);
            ck_assert(page_entry_present(entry) && page_entry_is_page(entry, level));
            ck_assert(!page_entry_is_table(entry, level));
            ck_assert(page_entry_huge(entry, level) == (level > 0));
            ck_assert_uint_eq(page_entry_address(entry), 8 * GIB);
            ck_assert_uint_eq(page_entry_flags(entry), entry - 8 * GIB);
            ck_assert(same_kind(page_entry_kind(entry), kinds[i]));
        }
    }
    const uint64_t table = page_entry_of_table(0x5000, 512);
    ck_assert(page_entry_present(table) && !page_entry_is_page(table, 1));
    ck_assert(page_entry_is_table(table, 1) && !page_entry_is_table(table, 0));
    ck_assert_uint_eq(page_entry_address(table), 0x5000);
    ck_assert_uint_eq(page_entry_used(table), 512);
    ck_assert_uint_eq(page_entry_flags(table), 0x23);
    ck_assert(!page_entry_present(0) && !page_entry_huge(0, 1) && !page_entry_is_table(0, 3));
}
END_TEST

START_TEST(single_page_is_mapped_translated_and_unmapped)
{
    const uint64_t sizes[] = {PAGE_BYTES_4K, PAGE_BYTES_2M, PAGE_BYTES_1G};
    uint64_t physical = 0;
    ck_assert_int_eq(page_map_page(&map, 0x10000000, 0x200000, PAGE_BYTES_4K, DATA), STATUS_OK);
    ck_assert(page_translate(&map, 0x10000123, &physical) && physical == 0x200123);
    ck_assert_int_eq(page_unmap_page(&map, 0x10000000, PAGE_BYTES_4K, &physical), STATUS_OK);
    ck_assert_uint_eq(physical, 0x200000);
    ck_assert(!page_translate(&map, 0x10000000, &physical));
    ck_assert(!page_translate(&map, (uint64_t)1 << 47, &physical));
    ck_assert_uint_eq(map.tables, 1);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(page_map_page(&map, 4 * GIB, 8 * GIB, sizes[i], TEXT), STATUS_OK);
        ck_assert_int_eq(page_map_page(&map, 4 * GIB, 8 * GIB, sizes[i], TEXT), STATUS_FULL);
        ck_assert(page_translate(&map, 4 * GIB + sizes[i] - 1, &physical));
        ck_assert_uint_eq(physical, 8 * GIB + sizes[i] - 1);
        ck_assert(!page_translate(&map, 4 * GIB + sizes[i], &physical));
        // Of that size only; larger and smaller ones are not in its way either.
        for (unsigned k = 0; k < 3; k++) {
            if (k != i)
                ck_assert_int_eq(page_unmap_page(&map, 4 * GIB, sizes[k], NULL), STATUS_EMPTY);
            ck_assert_int_eq(page_map_page(&map, 4 * GIB, 0, sizes[k], DATA), STATUS_FULL);
        }
        ck_assert_int_eq(page_unmap_page(&map, 4 * GIB, sizes[i], NULL), STATUS_OK);
        ck_assert_uint_eq(map.tables, 1);
    }
}
END_TEST

START_TEST(single_pages_that_are_none_are_refused)
{
    INVALID(page_map_page(&map, 0x1000, 0x1000, 0x3000, DATA));
    INVALID(page_map_page(&map, 0x1800, 0x1000, PAGE_BYTES_4K, DATA));
    INVALID(page_map_page(&map, 2 * MIB, 3 * MIB, PAGE_BYTES_2M, DATA));
    INVALID(page_map_page(&map, 2 * MIB, GIB, PAGE_BYTES_1G, DATA));
    INVALID(page_map_page(&map, (uint64_t)1 << 47, 0, PAGE_BYTES_4K, DATA));
    INVALID(page_map_page(&map, 0, (uint64_t)1 << 46, PAGE_BYTES_4K, DATA));
    INVALID(page_map_page(&map, 0, 0, PAGE_BYTES_4K, (struct page_kind){.rights = 7}));
    INVALID(page_unmap_page(&map, 0x1800, PAGE_BYTES_4K, NULL));
    INVALID(page_unmap_page(&map, 0, 0, NULL));
    INVALID(page_unmap_page(&map, (uint64_t)1 << 47, PAGE_BYTES_4K, NULL));
    ck_assert_uint_eq(map.tables, 1);
    teardown();
    setup_with(false);
    INVALID(page_map_page(&map, 0, 0, PAGE_BYTES_1G, DATA));
}
END_TEST

START_TEST(queries_outside_the_canonical_halves_find_nothing)
{
    struct page page;
    ck_assert_int_eq(map_at(~(uint64_t)0 << 47, 0, 0x1000), STATUS_OK); // root entry 256
    ck_assert(!page_map_query(&map, (uint64_t)1 << 47, &page));
    ck_assert(page_map_next(&map, (uint64_t)1 << 47, &page));
    ck_assert(page.address == ~(uint64_t)0 << 47);
    ck_assert(!page_map_next(&map, page.address + 0x1000, &page));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("page_map");
    TCase *hand = tcase_create("by hand");
    tcase_add_checked_fixture(hand, setup, teardown);
    tcase_add_test(hand, largest_pages_that_alignment_allows_are_used);
    tcase_add_test(hand, physical_address_out_of_step_takes_small_pages);
    tcase_add_test(hand, pages_of_1_gib_need_a_cpu_that_has_them);
    tcase_add_test(hand, counts_tell_rights_and_caching);
    tcase_add_test(hand, ranges_that_are_none_are_refused);
    tcase_add_test(hand, page_both_writable_and_executable_is_refused);
    tcase_add_test(hand, kinds_that_no_page_can_have_are_refused);
    tcase_add_test(hand, limits_that_no_cpu_has_are_refused);
    tcase_add_test(hand, refused_mapping_leaves_what_was_there);
    tcase_add_test(hand, mapping_without_memory_gives_back_its_tables);
    tcase_add_test(hand, change_of_rights_splits_no_more_than_it_must);
    tcase_add_test(hand, hole_in_a_range_refuses_the_change);
    tcase_add_test(hand, unmapping_gives_empty_tables_back);
    tcase_add_test(hand, pages_merge_when_they_are_alike_and_lie_together);
    tcase_add_test(hand, pages_that_differ_in_anything_do_not_merge);
    tcase_add_test(hand, merging_needs_aligned_and_complete_memory);
    tcase_add_test(hand, entries_say_what_they_were_made_of);
    tcase_add_test(hand, single_page_is_mapped_translated_and_unmapped);
    tcase_add_test(hand, single_pages_that_are_none_are_refused);
    tcase_add_test(hand, queries_outside_the_canonical_halves_find_nothing);
    suite_add_tcase(suite, hand);
    return run_checks(suite);
}
