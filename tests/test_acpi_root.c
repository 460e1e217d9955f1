// SPDX-License-Identifier: MIT
// The way to ACPI's root pointer: what the loaders tell (boot_info), what UEFI leaves behind
// (efi_tables), and the search in the BIOS's memory (acpi_root).
#include <signal.h>

#include "acpi_builder.h"
#include "acpi_root.h"
#include "boot_info.h"
#include "efi_tables.h"
#include "run_checks.h"

#define MIB ((uint64_t)1 << 20)

static struct boot_info boot;
static struct acpi_info info;

static struct boot_memory memory_of(const struct build *build)
{
    uint8_t *copy = malloc(build->used > 0 ? build->used : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, build->bytes, build->used);
    return (struct boot_memory){.bytes = copy, .base = BUILD_BASE, .length = build->used};
}

// ---- the root pointer itself -------------------------------------------------------------------

static bool root_at(const struct build *build, uint64_t at, struct acpi_root *root)
{
    const struct boot_memory memory = memory_of(build);
    const bool found = acpi_root_at(&memory, at, root);
    free((void *)memory.bytes);
    return found;
}

START_TEST(a_root_pointer_of_either_age_is_read)
{
    struct build build = {.used = 0};
    struct acpi_root root;
    put(&build, 0, 8); // only the search cares for alignment
    const uint64_t old = put_rsdp(&build, 0, 0x12345678);
    const uint64_t new = put_rsdp(&build, 0x123456789abcdef0, 0x87654321);
    ck_assert(root_at(&build, old, &root));
    ck_assert(root.address == old && root.rsdt == 0x12345678 && root.xsdt == 0 && !root.broken);
    ck_assert(root_at(&build, new, &root));
    ck_assert(root.address == new &&root.rsdt == 0x87654321 && !root.broken);
    ck_assert_uint_eq(root.xsdt, 0x123456789abcdef0);
}
END_TEST

START_TEST(a_root_pointer_that_does_not_add_up_is_none)
{
    struct build build = {.used = 0};
    struct acpi_root root;
    const uint64_t at = put_rsdp(&build, 0x1000, 0x2000);
    for (unsigned byte = 0; byte < 36; byte++) {
        struct build changed = build;
        changed.bytes[byte] ^= 4;
        const bool found = root_at(&changed, at, &root);
        ck_assert_int_eq(found, byte >= 20);
        if (found) // what is left is one of ACPI 1.0
            ck_assert(root.broken && root.xsdt == 0 && root.rsdt == 0x2000);
    }
    memcpy(build.bytes, "RSD QTR ", 8);
    add_up(&build, 0, 20, 8);
    ck_assert(!root_at(&build, at, &root));
}
END_TEST

START_TEST(a_root_pointer_of_a_length_that_cannot_be_is_an_old_one)
{
    static const struct {
        uint32_t length;
        bool broken;
    } cases[] = {{0, true},     {35, true},   {36, false},        {40, false},
                 {4096, false}, {4097, true}, {UINT32_MAX, true}, {BUILD_BYTES + 1, true}};
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct build build = {.used = 0};
        struct acpi_root root;
        const uint64_t at = put_rsdp(&build, 0x1000, 0x2000);
        put(&build, 0, 5000);
        put_at(&build, 20, cases[i].length, 4);
        add_up(&build, 0, min_u64(cases[i].length, build.used), 32);
        ck_assert(root_at(&build, at, &root));
        ck_assert_int_eq(root.broken, cases[i].broken);
    }
}
END_TEST

START_TEST(a_root_pointer_cut_anywhere_is_not_read_beyond)
{
    struct build build = {.used = 0};
    struct acpi_root root;
    const uint64_t at = put_rsdp(&build, 0x1000, 0x2000);
    for (unsigned length = 0; length <= 36; length++) {
        build.used = length;
        ck_assert_int_eq(root_at(&build, at, &root), length >= 20);
        ck_assert(length < 20 || root.broken == (length < 36));
    }
    ck_assert(!root_at(&build, at - 1, &root) && !root_at(&build, UINT64_MAX, &root));
}
END_TEST

START_TEST(a_broken_half_of_the_root_pointer_is_a_line_in_the_log)
{
    struct build build = {.used = 0};
    const uint64_t madt = begin_madt(&build);
    put_xapic(&build, 0, 0, 1);
    put_xapic(&build, 1, 1, 1);
    end_table(&build, madt);
    const uint64_t rsdp = put_roots(&build);
    build.bytes[rsdp - BUILD_BASE + 24] ^= 1;
    read_build(&build, &info, rsdp);
    ck_assert_uint_eq(info.problems, 1);
    ck_assert(was_said("later half of the root pointer") && info.cpus.enabled_count == 2);
    ck_assert_str_eq(info.tables[0].signature, "RSDT");
}
END_TEST

// ---- the search --------------------------------------------------------------------------------

#define LOW_BYTES 0x101000u

// The whole of a PC's low memory with a root pointer at `at`; NULL on failure. To be freed.
static struct boot_memory low_memory(uint64_t ebda, uint64_t at)
{
    struct build build = {.used = 0};
    uint8_t *bytes = calloc(1, LOW_BYTES);
    ck_assert_ptr_nonnull(bytes);
    put_rsdp(&build, 0, 0x1000);
    bytes[0x40e] = (uint8_t)(ebda >> 4);
    bytes[0x40f] = (uint8_t)(ebda >> 12);
    memcpy(bytes + at, build.bytes, build.used);
    return (struct boot_memory){bytes, 0, LOW_BYTES};
}

START_TEST(the_search_finds_it_where_a_bios_puts_it_and_nowhere_else)
{
    static const struct {
        uint64_t ebda, at;
        bool found;
    } cases[] = {
        {0x9fc00, 0x9fc00, true},
        {0x9fc00, 0x9fc00 + 1008, true},
        {0x9fc00, 0x9fc00 + 1024, false},
        {0x9fc00, 0x9fc08, false},
        {0x9fc00, 0x9fbf0, false},
        {0x500, 0x500, true},
        {0x4f0, 0x4f0, false},
        {0, 0x10, false},
        {0, 0xe0000, true},
        {0, 0xffff0 - 16, true},
        {0, 0xdfff0, false},
        {0, 0x100000, false},
        {0, 0xe0008, false},
        {0xffff0, 0x100000, true},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct acpi_root root = {0};
        const struct boot_memory memory = low_memory(cases[i].ebda, cases[i].at);
        ck_assert_msg(acpi_root_search(&memory, &root) == cases[i].found, "case %u", i);
        ck_assert_uint_eq(root.address, cases[i].found ? cases[i].at : 0);
        free((void *)memory.bytes);
    }
}
END_TEST

START_TEST(a_root_pointer_that_was_told_wrongly_is_searched_for)
{
    struct build build = {.used = 0};
    const uint64_t told[] = {0x1000, UINT64_MAX, BUILD_BASE, 0};
    const uint64_t madt = begin_madt(&build);
    put_xapic(&build, 0, 0, 1);
    end_table(&build, madt);
    const uint64_t rsdp = put_roots(&build);
    for (unsigned i = 0; i < ARRAY_COUNT(told); i++) {
        read_build(&build, &info, told[i]);
        ck_assert_uint_eq(info.rsdp, rsdp);
        ck_assert(info.cpus.described);
        ck_assert_uint_eq(info.problems, told[i] != 0);
        ck_assert_int_eq(was_said("where one was said to be"), told[i] != 0);
    }
}
END_TEST

START_TEST(without_a_root_pointer_one_line_says_so)
{
    struct build build = {.used = 0};
    char text[8] = "before";
    put(&build, 0, 4096);
    read_build(&build, &info, 0);
    ck_assert(info.rsdp == 0 && info.problems == 1 && heard_count == 1);
    ck_assert(was_said("no root pointer: no table is read, one CPU is assumed"));
    ck_assert(!info.cpus.described && info.cpus.cpu_count == 1 && info.cpus.cpus[0].enabled);
    ck_assert(info.numa.node_count == 1 && info.table_count == 0);
    ck_assert_uint_eq(acpi_tables_text(&info, text, sizeof(text)), 0);
    ck_assert_str_eq(text, "");
}
END_TEST

// ---- UEFI --------------------------------------------------------------------------------------

static const uint8_t acpi_2[16] = {0x71, 0xe8, 0x68, 0x88, 0xf1, 0xe4, 0xd3, 0x11,
                                   0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81};
static const uint8_t acpi_1[16] = {0x30, 0x2d, 0x9d, 0xeb, 0x88, 0x2d, 0xd3, 0x11,
                                   0x9a, 0x16, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d};
static const uint8_t other[16] = {1, 2, 3};

// Appends a system table, and a configuration table with the pointers 0x1000, 0x1001, ...; returns
// the offset of the system table.
static uint64_t put_efi(struct build *build, bool wide, const uint8_t *const guids[],
                        unsigned count)
{
    const uint64_t at = build->used = align_up(build->used, 8);
    const unsigned word = wide ? 8 : 4;
    put_text(build, "IBI SYST");
    put(build, 0, wide ? 104 - 8 : 64 - 8);
    put(build, count, word);
    put(build, BUILD_BASE + at + (wide ? 120 : 72), word);
    for (unsigned i = 0; i < count; i++) {
        for (unsigned k = 0; k < 16; k++)
            put(build, guids[i][k], 1);
        put(build, (wide ? (uint64_t)7 << 32 : 0) + 0x1000 + i, word);
    }
    return at;
}

static uint64_t find(const struct build *build, uint64_t offset, bool wide)
{
    const struct boot_memory memory = memory_of(build);
    const uint64_t found = efi_find_rsdp(&memory, BUILD_BASE + offset, wide);
    free((void *)memory.bytes);
    return found;
}

START_TEST(the_configuration_table_tells_the_newer_root_pointer)
{
    for (unsigned wide = 0; wide < 2; wide++) {
        const uint8_t *const both[] = {other, acpi_1, other, acpi_2, acpi_1};
        const uint64_t base = (wide ? (uint64_t)7 << 32 : 0) + 0x1000;
        struct build build = {.used = 0};
        ck_assert_uint_eq(find(&build, put_efi(&build, wide, both, 5), wide), base + 3);
        ck_assert_uint_eq(find(&build, put_efi(&build, wide, both, 3), wide), base + 1);
        ck_assert_uint_eq(find(&build, put_efi(&build, wide, both, 1), wide), 0);
        ck_assert_uint_eq(find(&build, put_efi(&build, wide, both, 0), wide), 0);
    }
}
END_TEST

START_TEST(the_system_table_may_be_the_last_thing_in_memory)
{
    for (unsigned wide = 0; wide < 2; wide++) {
        const uint8_t *const guids[] = {acpi_2};
        struct build build = {.used = 0};
        put_efi(&build, wide, guids, 1);
        const uint64_t length = wide ? 120 : 72, at = build.used;
        for (uint64_t i = 0; i < length; i++) // it points at the configuration table of the first
            put(&build, build.bytes[i], 1);
        ck_assert_uint_ne(find(&build, at, wide), 0);
    }
}
END_TEST

START_TEST(the_system_table_is_not_believed)
{
    for (unsigned wide = 0; wide < 2; wide++) {
        const uint8_t *const guids[] = {acpi_2};
        const unsigned word = wide ? 8 : 4;
        const unsigned count = wide ? 104 : 64, pointer = count + word;
        struct build build = {.used = 0};
        put_efi(&build, wide, guids, 1);
        const uint64_t whole = build.used;
        for (build.used = 0; build.used < whole; build.used++) // cut anywhere
            ck_assert_uint_eq(find(&build, 0, wide), 0);
        ck_assert_uint_ne(find(&build, 0, wide), 0);
        const struct {
            unsigned at;
            uint64_t value;
        } fields[] = {{0, 0},
                      {count, 2},
                      {count, EFI_CONFIGURATION_MOST + 1},
                      {pointer, 0},
                      {pointer, 0x500},
                      {count, UINT64_MAX},
                      {pointer, UINT64_MAX - 8}};
        for (unsigned i = 0; i < ARRAY_COUNT(fields); i++) {
            struct build changed = build;
            put_at(&changed, fields[i].at, fields[i].value, word);
            ck_assert_uint_eq(find(&changed, 0, wide), 0);
        }
        ck_assert_uint_eq(find(&build, 1, wide), 0);
    }
}
END_TEST

// ---- what the loaders tell ---------------------------------------------------------------------

static enum status read_boot(const struct build *build, unsigned protocol)
{
    const struct boot_memory memory = memory_of(build);
    const enum status status = boot_info_read(&boot, protocol, memory, BUILD_BASE);
    free((void *)memory.bytes);
    return status;
}

static void put_range(struct build *build, uint64_t start, uint64_t length, uint32_t type)
{
    put(build, start, 8);
    put(build, length, 8);
    put(build, type, 8);
}

START_TEST(pvh_tells_the_root_pointer)
{
    struct build build = {.used = 0};
    put(&build, 0x1336ec578, 8); // magic, version
    put(&build, 0, 8 + 8 + 8);   // flags, modules, command line
    put(&build, 0x123456789a, 8);
    put(&build, BUILD_BASE + 56, 8);
    put(&build, 1, 8);
    put_range(&build, MIB, MIB, 1);
    ck_assert_int_eq(read_boot(&build, BOOT_BY_PVH), STATUS_OK);
    ck_assert_uint_eq(boot.rsdp, 0x123456789a);
}
END_TEST

// The head of the tables of Multiboot2 and a map.
static void begin_multiboot2(struct build *build)
{
    put(build, 0, 8);
    put(build, 6 | (uint64_t)(16 + 4 * 24) << 32, 8);
    put(build, 24, 8);
    put_range(build, MIB, 63 * MIB, 1);
    put_range(build, 64 * MIB, MIB, 3); // ACPI's tables, reclaimable
    put_range(build, 65 * MIB, MIB, 4); // what ACPI keeps while the machine sleeps
    put_range(build, 66 * MIB, MIB, 5); // broken memory
}

static enum status end_multiboot2(struct build *build)
{
    build->used = align_up(build->used, 8);
    put(build, (uint64_t)8 << 32, 8);
    put_at(build, 0, build->used, 4);
    return read_boot(build, BOOT_BY_MULTIBOOT2);
}

// A tag with `bytes` of content; returns the address of that.
static uint64_t put_tag(struct build *build, uint32_t type, uint64_t value, unsigned bytes)
{
    build->used = align_up(build->used, 8);
    put(build, type, 4);
    put(build, 8 + bytes, 4);
    put(build, value, bytes);
    return BUILD_BASE + build->used - bytes;
}

START_TEST(multiboot2_tells_the_newest_root_pointer_it_has)
{
    // In any order: the copy of ACPI 2.0 rather than that of 1.0, rather than what UEFI says.
    for (unsigned which = 0; which < 16; which++) {
        for (unsigned backwards = 0; backwards < 2; backwards++) {
            const uint8_t *const guids[] = {acpi_2};
            struct build build = {.used = 0};
            uint64_t expected = 0;
            begin_multiboot2(&build);
            const uint64_t start = build.used;
            build.used = 4096; // where the firmware has them
            const uint64_t narrow = BUILD_BASE + put_efi(&build, false, guids, 1);
            const uint64_t wide = BUILD_BASE + put_efi(&build, true, guids, 1);
            const uint64_t all = build.used;
            build.used = start;
            uint64_t best = 0;
            for (unsigned turn = 0; turn < 4; turn++) {
                const unsigned i = backwards ? 3 - turn : turn;
                if ((which >> i & 1) == 0)
                    continue;
                const uint32_t types[] = {11, 12, 14, 15};
                const uint64_t values[] = {narrow, wide, 0, 0};
                const unsigned sizes[] = {4, 8, 20, 36};
                const uint64_t at = put_tag(&build, types[i], values[i], sizes[i]);
                if (types[i] >= best) {
                    const uint64_t told[] = {0x1000, ((uint64_t)7 << 32) + 0x1000, at, at};
                    best = types[i];
                    expected = told[i];
                }
            }
            build.used = align_up(build.used, 8);
            put(&build, (uint64_t)8 << 32, 8);
            put_at(&build, 0, build.used, 4);
            build.used = all;
            ck_assert_int_eq(read_boot(&build, BOOT_BY_MULTIBOOT2), STATUS_OK);
            ck_assert_uint_eq(boot.rsdp, expected);
        }
    }
}
END_TEST

START_TEST(tags_that_tell_nothing_are_passed_over)
{
    static const struct {
        uint32_t type;
        unsigned bytes;
    } tags[] = {{11, 0}, {11, 3}, {12, 7}, {12, 8}, {13, 40}, {14, 0}, {15, 0}, {16, 36}, {10, 28}};
    for (unsigned i = 0; i < ARRAY_COUNT(tags); i++) {
        struct build build = {.used = 0};
        begin_multiboot2(&build);
        put_tag(&build, tags[i].type, 0x1000, tags[i].bytes);
        ck_assert_int_eq(end_multiboot2(&build), STATUS_OK);
        ck_assert_uint_eq(boot.rsdp, 0);
    }
}
END_TEST

START_TEST(memory_of_acpi_is_never_free)
{
    struct build build = {.used = 0};
    begin_multiboot2(&build);
    ck_assert_int_eq(end_multiboot2(&build), STATUS_OK);
    ck_assert_uint_eq(boot.available_count, 1);
    for (uint64_t at = 64 * MIB; at < 67 * MIB; at += MIB) {
        bool taken = false;
        for (unsigned i = 0; i < boot.taken_count; i++)
            taken |= boot.taken[i].start == at && boot.taken[i].end == at + MIB;
        ck_assert(taken);
    }
    struct boot_range longest;
    ck_assert(boot_info_longest(&boot, 0, 4096 * MIB, MIB, &longest));
    ck_assert(longest.start == MIB && longest.end == 64 * MIB);
}
END_TEST

static Suite *root_suite(void)
{
    Suite *suite = suite_create("acpi_root");
    TCase *pointer = tcase_create("root pointer");
    tcase_add_test(pointer, a_root_pointer_of_either_age_is_read);
    tcase_add_test(pointer, a_root_pointer_that_does_not_add_up_is_none);
    tcase_add_test(pointer, a_root_pointer_of_a_length_that_cannot_be_is_an_old_one);
    tcase_add_test(pointer, a_root_pointer_cut_anywhere_is_not_read_beyond);
    tcase_add_test(pointer, a_broken_half_of_the_root_pointer_is_a_line_in_the_log);
    tcase_add_test(pointer, the_search_finds_it_where_a_bios_puts_it_and_nowhere_else);
    tcase_add_test(pointer, a_root_pointer_that_was_told_wrongly_is_searched_for);
    tcase_add_test(pointer, without_a_root_pointer_one_line_says_so);
    suite_add_tcase(suite, pointer);

    TCase *told = tcase_create("told");
    tcase_add_test(told, the_configuration_table_tells_the_newer_root_pointer);
    tcase_add_test(told, the_system_table_may_be_the_last_thing_in_memory);
    tcase_add_test(told, the_system_table_is_not_believed);
    tcase_add_test(told, pvh_tells_the_root_pointer);
    tcase_add_test(told, multiboot2_tells_the_newest_root_pointer_it_has);
    tcase_add_test(told, tags_that_tell_nothing_are_passed_over);
    tcase_add_test(told, memory_of_acpi_is_never_free);
    suite_add_tcase(suite, told);
    return suite;
}

int main(void)
{
    return run_checks(root_suite());
}
