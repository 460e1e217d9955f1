// SPDX-License-Identifier: MIT
// kernel/hardware/kernel_space: what the kernel maps of a memory map, against a plain array of
// pages; the bound of its tables; what it does without enough of them.
#include <check.h>
#include <string.h>

#include "kernel_space.h"
#include "page_map_subject.h"
#include "run_checks.h"
#include "seed.h"

static struct boot_info info;
static struct kernel_space space;
static const struct kernel_image image = {16 * MIB, 16 * MIB + 0x5000, 16 * MIB + 0x9000,
                                          18 * MIB + 0x3000};

static void begin(void)
{
    memset(&info, 0, sizeof(info));
    setup();
}

static void ram(uint64_t start, uint64_t end)
{
    info.available[info.available_count++] = (struct boot_range){start, end};
}

static void firmware(uint64_t start, uint64_t end)
{
    info.firmware[info.firmware_count++] = (struct boot_range){start, end};
}

static enum status build(void)
{
    return kernel_space_map(&map, &info, &image, true, &space);
}

// Rights of the page at `address`, 0 if none is mapped.
static unsigned rights_at(uint64_t address)
{
    struct page page;
    if (!page_map_query(&map, address, &page))
        return 0;
    must(page.address == page.physical);
    return page.kind.rights;
}

// ---- random maps --------------------------------------------------------------------------------

#define MODEL_PAGES (64 * MIB / 4096)
static unsigned expected[MODEL_PAGES]; // rights

static void expect(uint64_t start, uint64_t end, unsigned rights)
{
    for (uint64_t page = start / 4096; page < end / 4096; page++)
        expected[page] = rights;
}

static void random_info(struct random *random)
{
    begin();
    memset(expected, 0, sizeof(expected));
    const unsigned tables = (unsigned)random_below(random, 4);
    for (unsigned i = 0; i < tables; i++) {
        const uint64_t start = random_below(random, 60 * MIB);
        const uint64_t end = start + 1 + random_below(random, 64 * KIB);
        firmware(start, end);
        expect(start & ~(uint64_t)4095, align_up(end, 4096), READ);
    }
    const unsigned ranges = 1 + (unsigned)random_below(random, 8);
    for (unsigned i = 0; i < ranges; i++) {
        uint64_t start = random_below(random, 48 * MIB);
        if (random_below(random, 2) == 0)
            start &= ~(2 * MIB - 1);
        const uint64_t end = start + 1 + random_below(random, 15 * MIB);
        ram(start, end); // they may overlap
        expect(align_up(start, 4096), end & ~(uint64_t)4095, WRITE);
    }
    expect(image.start, image.text, READ);
    expect(image.text, image.data, EXECUTE);
    expect(image.data, image.end, WRITE);
    expected[0] = 0;
}

START_TEST(any_memory_map_is_mapped_page_by_page_as_promised)
{
    struct random random = seeded_for("kernel_space");
    for (unsigned round = 0; round < 200; round++) {
        random_info(&random);
        must(build() == STATUS_OK);
        uint64_t bytes = 0;
        for (unsigned i = 0; i < MODEL_PAGES; i++) {
            must(rights_at(i * (uint64_t)4096) == expected[i]);
            const bool in_image = i * (uint64_t)4096 - image.start < image.end - image.start;
            bytes += expected[i] == WRITE || in_image ? 4096 : 0;
        }
        ck_assert_uint_eq(space.ram_bytes, bytes);
        ck_assert_uint_eq(space.left_out_bytes, 0);
        ck_assert_uint_le(map.tables, kernel_space_tables(&info, &image));
        teardown();
    }
    begin();
}
END_TEST

// ---- the bound ----------------------------------------------------------------------------------

START_TEST(half_a_tebibyte_needs_no_more_tables_than_stated)
{
    teardown();
    setup_with(false);
    ram(0, 640 * KIB);
    ram(MIB, 3 * GIB + 123 * 4096);
    ram(4 * GIB, 513 * GIB);
    const uint64_t bound = kernel_space_tables(&info, &image);
    ck_assert_uint_lt(bound, 540);
    tables_left = (unsigned)bound;
    ck_assert_int_eq(build(), STATUS_OK);
    ck_assert_uint_eq(space.left_out_bytes, 0);
    ck_assert(rights_at(513 * GIB - 1) == WRITE && rights_at(513 * GIB) == 0);
    ck_assert_uint_le(map.tables, bound + 1); // the root was made before
    tables_left = 0;
}
END_TEST

START_TEST(bound_holds_for_many_ragged_ranges)
{
    struct random random = seeded_for("kernel_space bound");
    for (unsigned round = 0; round < 20; round++) {
        memset(&info, 0, sizeof(info));
        teardown();
        setup_with(round % 2);
        for (unsigned i = 0; i < BOOT_AVAILABLE_MOST; i++) {
            const uint64_t start = i * 8 * GIB + random_below(&random, 4 * GIB);
            ram(start, start + random_below(&random, 4 * GIB));
        }
        const uint64_t bound = kernel_space_tables(&info, &image);
        ck_assert_int_eq(build(), STATUS_OK);
        ck_assert_uint_le(map.tables, bound);
    }
}
END_TEST

START_TEST(bound_holds_when_no_two_ranges_share_a_table)
{
    for (unsigned i = 1; i < 100; i++)
        ram(i * 512 * GIB + 2 * MIB - 4096, i * 512 * GIB + 8 * MIB + 4096);
    ck_assert_int_eq(build(), STATUS_OK);
    ck_assert_uint_ge(map.tables, 1 + 99 * 4);
    ck_assert_uint_le(map.tables, kernel_space_tables(&info, &image));
}
END_TEST

// ---- too little ---------------------------------------------------------------------------------

START_TEST(memory_above_4_gib_is_left_out_when_tables_run_out)
{
    teardown();
    setup_with(false);
    ram(0, 2 * GIB);
    ram(3 * GIB, 20 * GIB); // over the boundary of what is needed
    ram(32 * GIB, 36 * GIB);
    tables_left = 16;
    ck_assert_int_eq(build(), STATUS_OK);
    ck_assert_uint_gt(space.left_out, 4 * GIB);
    ck_assert_uint_eq(space.left_out_bytes, 20 * GIB - space.left_out + 4 * GIB);
    ck_assert_uint_eq(space.ram_bytes + space.left_out_bytes, 23 * GIB - 4096);
    ck_assert(rights_at(space.left_out - 1) == WRITE && rights_at(space.left_out) == 0);
    ck_assert(rights_at(4 * GIB - 1) == WRITE && rights_at(32 * GIB) == 0);
}
END_TEST

START_TEST(without_tables_for_what_is_needed_it_fails)
{
    ram(0, 4 * GIB);
    for (unsigned left = 0; left < 5; left++) {
        tables_left = left;
        ck_assert_int_eq(build(), STATUS_NO_MEMORY);
        teardown();
        setup();
    }
}
END_TEST

START_TEST(memory_beyond_the_addresses_of_the_cpu_is_left_out)
{
    ram(0, GIB);
    ram(((uint64_t)1 << 46) - GIB, ((uint64_t)1 << 46) + GIB);
    ram((uint64_t)1 << 51, ((uint64_t)1 << 51) + GIB);
    ck_assert_int_eq(build(), STATUS_OK);
    ck_assert_uint_eq(space.left_out, (uint64_t)1 << 46);
    ck_assert_uint_eq(space.left_out_bytes, 2 * GIB);
    ck_assert_uint_eq(space.ram_bytes, 2 * GIB - 4096);
}
END_TEST

// PVH's start info (boot_info.c) with a map of RAM, a type of the test's own, and RAM.
static enum status read_map(uint32_t type, unsigned entries)
{
    static struct {
        uint32_t words[6]; // magic, version, flags, modules, and where those are
        uint64_t line, rsdp, map;
        uint32_t entries, reserved;
        struct {
            uint64_t start, length;
            uint32_t type, reserved;
        } entry[64];
    } tables;
    memset(&tables, 0, sizeof(tables));
    tables.words[0] = 0x336ec578;
    tables.words[1] = 1;
    tables.map = GIB + offsetof(__typeof__(tables), entry);
    tables.entries = entries;
    for (unsigned i = 0; i < entries; i++) {
        tables.entry[i].start = (64 + i) * MIB;
        tables.entry[i].length = 0x1800;
        tables.entry[i].type = i == 0 ? 1 : type;
    }
    const struct boot_memory memory_read = {(const uint8_t *)&tables, GIB, sizeof(tables)};
    return boot_info_read(&info, BOOT_BY_PVH, memory_read, GIB);
}

START_TEST(memory_of_acpi_in_the_loaders_map_is_readable)
{
    for (uint32_t type = 2; type <= 5; type++) {
        const bool acpi = type == 3 || type == 4;
        ck_assert_int_eq(read_map(type, 3), STATUS_OK);
        ck_assert_uint_eq(info.firmware_count, acpi ? 2 : 0);
        ck_assert_uint_ge(info.taken_count, 2);
        ck_assert_int_eq(build(), STATUS_OK);
        ck_assert(rights_at(64 * MIB) == WRITE && rights_at(64 * MIB + 0x1000) == 0);
        ck_assert(rights_at(65 * MIB) == (acpi ? READ : 0));
        ck_assert(rights_at(66 * MIB + 0x17ff) == (acpi ? READ : 0));
        teardown();
        setup();
    }
}
END_TEST

START_TEST(more_ranges_of_acpi_than_there_is_room_for_are_taken_only)
{
    ck_assert_int_eq(read_map(3, BOOT_FIRMWARE_MOST + 9), STATUS_OK);
    ck_assert_uint_eq(info.firmware_count, BOOT_FIRMWARE_MOST);
    ck_assert_uint_ge(info.taken_count, BOOT_FIRMWARE_MOST + 8);
}
END_TEST

START_TEST(page_0_stays_unmapped_whoever_claims_it)
{
    ram(0, 0x2000);
    firmware(0, 0x3000);
    ck_assert_int_eq(build(), STATUS_OK);
    ck_assert(rights_at(0) == 0 && rights_at(0x1000) == WRITE && rights_at(0x2000) == READ);
}
END_TEST

START_TEST(memory_that_does_not_begin_or_end_with_a_page_loses_the_rest)
{
    ram(0x1001, 0x3fff);
    ck_assert_int_eq(build(), STATUS_OK);
    ck_assert(rights_at(0x1000) == 0 && rights_at(0x2000) == WRITE && rights_at(0x3000) == 0);
}
END_TEST

// ---- devices ------------------------------------------------------------------------------------

START_TEST(device_is_mapped_uncached_as_often_as_asked)
{
    struct page page;
    ram(0, GIB);
    ck_assert_int_eq(build(), STATUS_OK);
    ck_assert_int_eq(kernel_space_add(&map, 0xfed00010, 0x400, true), STATUS_OK);
    ck_assert_int_eq(kernel_space_add(&map, 0xfed00000, 0x1001, true),
                     STATUS_OK); // and a page more
    ck_assert(page_map_query(&map, 0xfed01fff, &page));
    ck_assert(page.kind.cache == PAGE_UNCACHED && page.kind.rights == WRITE);
    ck_assert_uint_eq(page.physical, 0xfed01000);
    ck_assert(rights_at(0xfecff000) == 0 && rights_at(0xfed02000) == 0);
    ck_assert_uint_eq(space.ram_bytes, GIB - 4096);
}
END_TEST

START_TEST(memory_is_no_device)
{
    ram(0, GIB);
    ck_assert_int_eq(build(), STATUS_OK);
    ck_assert_int_eq(kernel_space_add(&map, GIB - 4096, 8192, true), STATUS_FOREIGN);
    ck_assert_int_eq(kernel_space_add(&map, 16 * MIB, 4096, true), STATUS_FOREIGN);
    ck_assert_uint_eq(rights_at(GIB), 0);
}
END_TEST

START_TEST(tables_of_firmware_become_readable_on_request)
{
    ram(0, GIB);
    ck_assert_int_eq(build(), STATUS_OK);
    // Half of it is RAM, which stays writable.
    ck_assert_int_eq(kernel_space_add(&map, GIB - 100, 200, false), STATUS_OK);
    ck_assert(rights_at(GIB - 1) == WRITE && rights_at(GIB) == READ);
}
END_TEST

START_TEST(requests_for_nothing_or_for_too_much_are_refused)
{
    ck_assert_int_eq(kernel_space_add(&map, 0xfed00000, 0, true), STATUS_INVALID);
    ck_assert_int_eq(kernel_space_add(&map, 0xfff, 0x1000, false), STATUS_INVALID); // page 0
    ck_assert_int_eq(kernel_space_add(&map, 4096, UINT64_MAX, true), STATUS_INVALID);
    ck_assert_int_eq(kernel_space_add(&map, ((uint64_t)1 << 46) - 4096, 4097, true),
                     STATUS_INVALID);
    ck_assert_int_eq(kernel_space_add(&map, (uint64_t)1 << 50, 4096, true), STATUS_INVALID);
    tables_left = 0;
    ck_assert_int_eq(kernel_space_add(&map, 0xfed00000, 4096, true), STATUS_NO_MEMORY);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kernel_space");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, begin, teardown);
    tcase_set_timeout(all, 120);
    tcase_add_test(all, any_memory_map_is_mapped_page_by_page_as_promised);
    tcase_add_test(all, half_a_tebibyte_needs_no_more_tables_than_stated);
    tcase_add_test(all, bound_holds_for_many_ragged_ranges);
    tcase_add_test(all, bound_holds_when_no_two_ranges_share_a_table);
    tcase_add_test(all, memory_of_acpi_in_the_loaders_map_is_readable);
    tcase_add_test(all, more_ranges_of_acpi_than_there_is_room_for_are_taken_only);
    tcase_add_test(all, page_0_stays_unmapped_whoever_claims_it);
    tcase_add_test(all, memory_above_4_gib_is_left_out_when_tables_run_out);
    tcase_add_test(all, without_tables_for_what_is_needed_it_fails);
    tcase_add_test(all, memory_beyond_the_addresses_of_the_cpu_is_left_out);
    tcase_add_test(all, memory_that_does_not_begin_or_end_with_a_page_loses_the_rest);
    tcase_add_test(all, device_is_mapped_uncached_as_often_as_asked);
    tcase_add_test(all, memory_is_no_device);
    tcase_add_test(all, tables_of_firmware_become_readable_on_request);
    tcase_add_test(all, requests_for_nothing_or_for_too_much_are_refused);
    suite_add_tcase(suite, all);
    return run_checks(suite);
}
