// SPDX-License-Identifier: MIT
// kernel/hardware/boot_info: both loaders' tables, whole, truncated and hostile. Physical memory is
// one allocation of exactly the readable length, so that a sanitizer sees every read beyond it.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "boot_info.h"
#include "compiler.h"
#include "random.h"
#include "run_checks.h"
#include "seed.h"

#define BASE  0x10000u // address of the memory's first byte
#define BYTES 8192u
#define MIB   ((uint64_t)1 << 20)
enum { RAM = 1, OTHER };

// A physical memory that is filled from the bottom.
struct tables {
    uint8_t bytes[BYTES];
    uint64_t used;
};
static struct boot_info info; // too large for some stacks

static void put(struct tables *tables, uint64_t value, unsigned bytes)
{
    if (tables->used + bytes > BYTES)
        ck_abort_msg("the test's own memory is too small");
    for (unsigned i = 0; i < bytes; i++)
        tables->bytes[tables->used++] = (uint8_t)(value >> 8 * i);
}

static void put_at(struct tables *tables, uint64_t at, uint64_t value, unsigned bytes)
{
    const uint64_t used = tables->used;
    tables->used = at;
    put(tables, value, bytes);
    tables->used = used;
}

// Several of `bytes` bytes each.
#define PUT(tables, bytes, ...)                                                                    \
    do {                                                                                           \
        const uint64_t values[] = {__VA_ARGS__};                                                   \
        for (size_t index = 0; index < ARRAY_COUNT(values); index++)                               \
            put(tables, values[index], bytes);                                                     \
    } while (0)

static void put_text(struct tables *tables, const char *text)
{
    for (size_t i = 0; i <= strlen(text); i++)
        put(tables, (uint8_t)text[i], 1);
}

// Reads with `length` bytes of memory.
static enum status read_cut(const struct tables *tables, unsigned protocol, uint64_t length)
{
    uint8_t *copy = malloc(length > 0 ? length : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, tables->bytes, length);
    const struct boot_memory memory = {.bytes = copy, .base = BASE, .length = length};
    const enum status status = boot_info_read(&info, protocol, memory, BASE);
    free(copy);
    return status;
}

static enum status read_all(const struct tables *tables, unsigned protocol)
{
    return read_cut(tables, protocol, tables->used);
}

static bool holds(const struct boot_range *ranges, unsigned count, uint64_t start, uint64_t end)
{
    for (unsigned i = 0; i < count; i++) {
        if (ranges[i].start == start && ranges[i].end == end)
            return true;
    }
    return false;
}

// What must be true after every read, whatever it returned. One assertion for all: each is slow.
static void check_sound(void)
{
    bool sound = info.available_count <= BOOT_AVAILABLE_MOST &&
                 info.taken_count <= BOOT_TAKEN_MOST && info.firmware_count <= BOOT_FIRMWARE_MOST &&
                 memchr(info.arguments, 0, sizeof(info.arguments)) != NULL;
    for (unsigned i = 0; sound && info.arguments[i] != '\0'; i++)
        sound = info.arguments[i] >= 0x20 && info.arguments[i] <= 0x7e;
    for (unsigned i = 0; sound && i < info.available_count; i++)
        sound = info.available[i].start < info.available[i].end;
    for (unsigned i = 0; sound && i < info.taken_count; i++)
        sound = info.taken[i].start < info.taken[i].end;
    ck_assert(sound);
}

static void check_longest(uint64_t lowest, uint64_t highest, uint64_t alignment)
{
    struct boot_range longest;
    if (!boot_info_longest(&info, lowest, highest, alignment, &longest))
        return;
    bool inside = false, free = true;
    for (unsigned i = 0; i < info.available_count; i++)
        inside |= info.available[i].start <= longest.start && longest.end <= info.available[i].end;
    for (unsigned i = 0; i < info.taken_count; i++)
        free &= info.taken[i].end <= longest.start || info.taken[i].start >= longest.end;
    ck_assert(inside && free && longest.start < longest.end && longest.start >= lowest &&
              longest.end <= highest && longest.start % alignment == 0 &&
              longest.end % alignment == 0);
}

// ---- PVH ---------------------------------------------------------------------------------------

#define PVH_VERSION_AT  4
#define PVH_MODULES_AT  12
#define PVH_LIST_AT     16
#define PVH_LINE_AT     24
#define PVH_MAP_AT      40
#define PVH_ENTRIES_AT  48
#define PVH_LINE_OFFSET (56 + 32)
#define PVH_LINE        "session=5 clock=insn"
#define PVH_MAP_OFFSET  (PVH_LINE_OFFSET + sizeof(PVH_LINE))

// A start info with one module of 3 MiB at 64 MiB, a command line, and a map of three entries.
static struct tables pvh(void)
{
    struct tables t = {.used = 0};
    PUT(&t, 4, 0x336ec578, 1, 0, 1); // version, flags, modules
    PUT(&t, 8, BASE + 56, BASE + PVH_LINE_OFFSET, 0, BASE + PVH_MAP_OFFSET);
    PUT(&t, 4, 3, 0);
    PUT(&t, 8, 64 * MIB, 3 * MIB, 0, 0);
    put_text(&t, PVH_LINE);
    // The type and the reserved word behind it in one.
    PUT(&t, 8, 0, 0x9f000, RAM, 0xf0000, 0x10000, OTHER, MIB, 255 * MIB, RAM);
    return t;
}

START_TEST(pvh_gives_map_modules_and_command_line)
{
    const struct tables t = pvh();
    ck_assert_int_eq(read_all(&t, BOOT_BY_PVH), STATUS_OK);
    check_sound();
    ck_assert_uint_eq(info.protocol, BOOT_BY_PVH);
    ck_assert_str_eq(info.arguments, PVH_LINE);
    ck_assert(info.available_count == 2 && holds(info.available, 2, 0, 0x9f000));
    ck_assert(holds(info.available, 2, MIB, 256 * MIB));
    ck_assert_uint_eq(info.memory_bytes, 0x9f000 + 255 * MIB);
    ck_assert(holds(info.taken, info.taken_count, 64 * MIB, 67 * MIB));
    ck_assert(holds(info.taken, info.taken_count, 0xf0000, 0x100000));
    ck_assert(holds(info.taken, info.taken_count, BASE, BASE + 56));
    ck_assert(holds(info.taken, info.taken_count, BASE + PVH_MAP_OFFSET, BASE + t.used));
}
END_TEST

START_TEST(pvh_cut_anywhere_is_refused)
{
    const struct tables t = pvh();
    for (uint64_t length = 0; length < t.used; length++) {
        ck_assert_int_ne(read_cut(&t, BOOT_BY_PVH, length), STATUS_OK);
        check_sound();
    }
}
END_TEST

// One field at a time, with the status it must give.
START_TEST(pvh_with_a_hostile_field_is_refused)
{
    static const struct {
        unsigned at, bytes;
        uint64_t value;
        enum status status;
    } fields[] = {
        {0, 4, 0x336ec579, STATUS_INVALID},
        {PVH_VERSION_AT, 4, 0, STATUS_CORRUPT},
        {PVH_MODULES_AT, 4, UINT32_MAX, STATUS_CORRUPT},
        {PVH_MODULES_AT, 4, BOOT_ENTRIES_MOST + 1, STATUS_CORRUPT},
        {PVH_LIST_AT, 8, BASE - 1, STATUS_CORRUPT},
        {PVH_LIST_AT, 8, 0, STATUS_CORRUPT},
        {PVH_LINE_AT, 8, UINT64_MAX, STATUS_CORRUPT},
        {PVH_MAP_AT, 8, UINT64_MAX - 71, STATUS_CORRUPT}, // would wrap around
        {PVH_ENTRIES_AT, 4, 0, STATUS_CORRUPT},
        {PVH_ENTRIES_AT, 4, 4, STATUS_CORRUPT},              // one more than there is memory for
        {56, 8, UINT64_MAX, STATUS_CORRUPT},                 // a module that wraps around
        {PVH_MAP_OFFSET + 8, 8, UINT64_MAX, STATUS_CORRUPT}, // RAM that does
        {PVH_MAP_OFFSET, 8, (uint64_t)1 << 52, STATUS_CORRUPT},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(fields); i++) {
        struct tables t = pvh();
        put_at(&t, fields[i].at, fields[i].value, fields[i].bytes);
        ck_assert_msg(read_all(&t, BOOT_BY_PVH) == fields[i].status, "field %u", i);
        check_sound();
    }
}
END_TEST

START_TEST(pvh_without_command_line_and_modules_is_fine)
{
    struct tables t = pvh();
    put_at(&t, PVH_MODULES_AT, 0, 4);
    put_at(&t, PVH_LIST_AT, UINT64_MAX, 8); // not looked at
    put_at(&t, PVH_LINE_AT, 0, 8);
    ck_assert_int_eq(read_all(&t, BOOT_BY_PVH), STATUS_OK);
    ck_assert_str_eq(info.arguments, "");
}
END_TEST

START_TEST(map_without_memory_is_refused)
{
    struct tables t = pvh();
    for (unsigned i = 0; i < 3; i++)
        put_at(&t, PVH_MAP_OFFSET + 24 * i + 16, OTHER, 4);
    ck_assert_int_eq(read_all(&t, BOOT_BY_PVH), STATUS_CORRUPT);
}
END_TEST

START_TEST(empty_and_absurd_entries_nobody_would_use_are_skipped)
{
    struct tables t = pvh();
    put_at(&t, PVH_MAP_OFFSET + 8, 0, 8);               // no RAM there
    put_at(&t, PVH_MAP_OFFSET + 24 + 8, UINT64_MAX, 8); // reserved up to the sky
    ck_assert_int_eq(read_all(&t, BOOT_BY_PVH), STATUS_OK);
    check_sound();
    ck_assert_uint_eq(info.available_count, 1);
}
END_TEST

START_TEST(more_ranges_than_there_is_room_for_are_refused)
{
    static const struct {
        unsigned entries;
        uint32_t type;
        enum status status;
    } cases[] = {
        {BOOT_AVAILABLE_MOST, RAM, STATUS_OK},
        {BOOT_AVAILABLE_MOST + 1, RAM, STATUS_TOO_LARGE},
        {BOOT_TAKEN_MOST + 1, OTHER, STATUS_TOO_LARGE},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct tables t = pvh();
        put_at(&t, PVH_MAP_AT, BASE + t.used, 8);
        put_at(&t, PVH_ENTRIES_AT, cases[i].entries, 4);
        for (unsigned k = 0; k < cases[i].entries; k++)
            PUT(&t, 8, k * MIB, MIB, cases[i].type);
        ck_assert_int_eq(read_all(&t, BOOT_BY_PVH), cases[i].status);
        check_sound();
    }
}
END_TEST

// ---- command line ------------------------------------------------------------------------------

// Puts `length` times `c` and a terminator behind everything, as the command line.
static struct tables pvh_with_line(size_t length, char c)
{
    struct tables t = pvh();
    put_at(&t, PVH_LINE_AT, BASE + t.used, 8);
    for (size_t i = 0; i < length; i++)
        put(&t, (uint8_t)c, 1);
    put(&t, 0, 1);
    return t;
}

START_TEST(command_line_may_fill_the_room_and_no_more)
{
    struct tables t = pvh_with_line(BOOT_ARGUMENTS_MOST - 1, 'x');
    ck_assert_int_eq(read_all(&t, BOOT_BY_PVH), STATUS_OK);
    ck_assert_uint_eq(strlen(info.arguments), BOOT_ARGUMENTS_MOST - 1);
    t = pvh_with_line(BOOT_ARGUMENTS_MOST, 'x');
    ck_assert_int_eq(read_all(&t, BOOT_BY_PVH), STATUS_TOO_LARGE);
    check_sound();
    ck_assert_uint_eq(strlen(info.arguments), BOOT_ARGUMENTS_MOST - 1); // for the refusal
}
END_TEST

START_TEST(command_line_is_printable)
{
    for (int c = 1; c < 256; c++) {
        const struct tables t = pvh_with_line(3, (char)c);
        ck_assert_int_eq(read_all(&t, BOOT_BY_PVH), STATUS_OK);
        const char kept = c >= 0x20 && c <= 0x7e ? (char)c : ' ';
        const char expected[] = {kept, kept, kept, '\0'};
        ck_assert_str_eq(info.arguments, expected);
    }
}
END_TEST

// ---- Multiboot2 --------------------------------------------------------------------------------

#define MB2_LINE     "session=9 output=framed"
#define MB2_LINE_TAG 8
#define MB2_NEWS_TAG (MB2_LINE_TAG + 32)
#define MB2_MOD_TAG  (MB2_NEWS_TAG + 16)
#define MB2_MAP_TAG  (MB2_MOD_TAG + 24)

static void pad(struct tables *t)
{
    while (t->used % 8 != 0)
        put(t, 0xee, 1);
}

// A command line, a tag nobody knows, a module, a map of two entries whose size is not the least.
static struct tables multiboot2(void)
{
    struct tables t = {.used = 0};
    put(&t, 0, 8); // total size: below
    PUT(&t, 4, 1, 8 + sizeof(MB2_LINE));
    put_text(&t, MB2_LINE);
    pad(&t);
    ck_assert_uint_eq(t.used, MB2_NEWS_TAG);
    PUT(&t, 4, 4711, 9);
    put(&t, 0, 1);
    pad(&t);
    ck_assert_uint_eq(t.used, MB2_MOD_TAG);
    PUT(&t, 4, 3, 18, 32 * MIB, 40 * MIB);
    put_text(&t, "m");
    pad(&t);
    ck_assert_uint_eq(t.used, MB2_MAP_TAG);
    PUT(&t, 4, 6, 16 + 2 * 32, 32, 0);
    PUT(&t, 8, MIB, 127 * MIB, RAM, 0, 3072 * MIB, MIB, OTHER, 0);
    PUT(&t, 4, 0, 8);
    put_at(&t, 0, t.used, 4);
    return t;
}

START_TEST(multiboot2_gives_map_modules_and_command_line)
{
    const struct tables t = multiboot2();
    ck_assert_int_eq(read_all(&t, BOOT_BY_MULTIBOOT2), STATUS_OK);
    check_sound();
    ck_assert_uint_eq(info.protocol, BOOT_BY_MULTIBOOT2);
    ck_assert_str_eq(info.arguments, MB2_LINE);
    ck_assert_uint_eq(info.available_count, 1);
    ck_assert(holds(info.available, 1, MIB, 128 * MIB));
    ck_assert_uint_eq(info.memory_bytes, 127 * MIB);
    ck_assert_uint_eq(info.taken_count, 3);
    ck_assert(holds(info.taken, 3, BASE, BASE + t.used));
    ck_assert(holds(info.taken, 3, 32 * MIB, 40 * MIB));
    ck_assert(holds(info.taken, 3, 3072 * MIB, 3073 * MIB));
}
END_TEST

START_TEST(multiboot2_cut_anywhere_is_refused)
{
    struct tables t = multiboot2();
    const uint64_t whole = t.used;
    for (uint64_t length = 0; length < whole; length++) {
        // The memory ends early; then the tables say so themselves.
        ck_assert_int_ne(read_cut(&t, BOOT_BY_MULTIBOOT2, length), STATUS_OK);
        check_sound();
        put_at(&t, 0, length, 4);
        ck_assert_int_ne(read_cut(&t, BOOT_BY_MULTIBOOT2, whole), STATUS_OK);
        check_sound();
        put_at(&t, 0, whole, 4);
    }
}
END_TEST

START_TEST(multiboot2_with_a_hostile_field_is_refused)
{
    static const struct {
        unsigned at;
        uint32_t value;
    } fields[] = {
        {0, 0},
        {0, UINT32_MAX},
        {MB2_LINE_TAG + 4, 0}, // a tag without end
        {MB2_LINE_TAG + 4, 8}, // no terminator
        {MB2_LINE_TAG + 4, UINT32_MAX},
        {MB2_LINE_TAG + 4, UINT32_MAX - 6}, // rounds up to 0
        {MB2_MOD_TAG + 4, 15},
        {MB2_MOD_TAG + 8, 41 * MIB}, // ends before it starts
        {MB2_MAP_TAG + 4, 15},
        {MB2_MAP_TAG + 4, 16}, // no entry
        {MB2_MAP_TAG + 8, 0},
        {MB2_MAP_TAG + 8, 16},
        {MB2_MAP_TAG + 8, 25},
        {MB2_MAP_TAG + 8, UINT32_MAX - 7},
        {MB2_MAP_TAG, 4711}, // no map
    };
    for (unsigned i = 0; i < ARRAY_COUNT(fields); i++) {
        struct tables t = multiboot2();
        put_at(&t, fields[i].at, fields[i].value, 4);
        ck_assert_msg(read_all(&t, BOOT_BY_MULTIBOOT2) == STATUS_CORRUPT, "field %u", i);
        check_sound();
    }
}
END_TEST

START_TEST(tables_elsewhere_or_of_no_known_protocol_are_refused)
{
    const struct tables t = multiboot2();
    const struct boot_memory memory = {.bytes = t.bytes, .base = BASE, .length = t.used};
    const uint64_t places[] = {0, BASE - 8, BASE + 4, BASE + t.used, UINT64_MAX & ~(uint64_t)7};
    for (unsigned i = 0; i < ARRAY_COUNT(places); i++)
        ck_assert_int_eq(boot_info_read(&info, BOOT_BY_MULTIBOOT2, memory, places[i]),
                         STATUS_INVALID);
    ck_assert_int_eq(boot_info_read(&info, BOOT_BY_PVH, memory, BASE), STATUS_INVALID);
    ck_assert_int_eq(boot_info_read(&info, 0, memory, BASE), STATUS_INVALID);
    ck_assert_int_eq(boot_info_read(&info, 3, memory, BASE), STATUS_INVALID);
}
END_TEST

// ---- random damage -----------------------------------------------------------------------------

START_TEST(damaged_tables_never_lead_outside)
{
    struct random random = seeded_for("damaged_tables_never_lead_outside");
    const struct tables whole[] = {pvh(), multiboot2()};
    unsigned accepted = 0;
    for (unsigned turn = 0; turn < 20000; turn++) {
        const unsigned protocol = turn % 2 == 0 ? BOOT_BY_PVH : BOOT_BY_MULTIBOOT2;
        struct tables t = whole[turn % 2];
        for (uint64_t damage = random_below(&random, 4); damage < 4; damage++) {
            // Values near the edges do more harm than any others.
            const uint64_t edges[] = {0,    1,          7,          8,          UINT64_MAX,
                                      BASE, BASE + 100, UINT32_MAX, t.used - 8, t.used};
            const uint64_t value = random_below(&random, 2) != 0
                                       ? edges[random_below(&random, ARRAY_COUNT(edges))]
                                       : random_u64(&random);
            const unsigned bytes = 1u << random_below(&random, 4);
            put_at(&t, random_below(&random, t.used - 8), value, bytes);
        }
        accepted += read_all(&t, protocol) == STATUS_OK;
        check_sound();
        check_longest(MIB, 4096 * MIB, 2 * MIB);
    }
    // Neither all nor nothing: the damage has reached what it should and not only that.
    ck_assert_uint_gt(accepted, 500);
    ck_assert_uint_lt(accepted, 19500);
}
END_TEST

// ---- the longest range -------------------------------------------------------------------------

// Compares with a map of single units, counted one by one.
START_TEST(longest_range_is_that_of_a_unit_by_unit_search)
{
    enum { UNITS = 64, TURNS = 10000 };
    const uint64_t unit = 512 * 1024;
    struct random random = seeded_for("longest_range_is_that_of_a_unit_by_unit_search");
    for (unsigned turn = 0; turn < TURNS; turn++) {
        bool taken[UNITS] = {false};
        uint64_t best = 0;
        memset(&info, 0, sizeof(info));
        // One range of RAM: a run never spans two, whether they touch or not.
        const uint64_t ram = random_below(&random, 16);
        const uint64_t ram_end = ram + 1 + random_below(&random, UNITS - ram);
        info.available[info.available_count++] = (struct boot_range){ram * unit, ram_end * unit};
        for (uint64_t left = random_below(&random, 6); left > 0; left--) {
            const uint64_t start = random_below(&random, UNITS);
            const uint64_t count = random_below(&random, min_u64(UNITS - start, 8) + 1);
            boot_info_take(&info, start * unit, count * unit);
            for (uint64_t i = 0; i < count; i++)
                taken[start + i] = true;
        }
        const uint64_t low = random_below(&random, 8), high = UNITS - random_below(&random, 8);
        for (uint64_t start = 0; start < UNITS; start += 4) {
            uint64_t end = start;
            while (end < UNITS && !taken[end] && end >= ram && end < ram_end && end >= low &&
                   end < high)
                end++;
            best = max_u64(best, (end - start) & ~(uint64_t)3);
        }
        struct boot_range longest;
        const bool found = boot_info_longest(&info, low * unit, high * unit, 4 * unit, &longest);
        ck_assert_uint_eq(found, best > 0);
        ck_assert_uint_eq(longest.end - longest.start, best * unit);
        check_longest(low * unit, high * unit, 4 * unit);
    }
}
END_TEST

START_TEST(longest_range_of_several_is_taken)
{
    memset(&info, 0, sizeof(info));
    info.available[0] = (struct boot_range){MIB, 20 * MIB};
    info.available[1] = (struct boot_range){32 * MIB, 100 * MIB};
    info.available[2] = (struct boot_range){4096 * MIB, 9000 * MIB};
    info.available_count = 3;
    struct boot_range longest;
    ck_assert(boot_info_longest(&info, 0, 4096 * MIB, 2 * MIB, &longest));
    ck_assert_uint_eq(longest.start, 32 * MIB);
    ck_assert_uint_eq(longest.end, 100 * MIB);
    ck_assert_int_eq(boot_info_take(&info, 33 * MIB, 60 * MIB), STATUS_OK);
    ck_assert(boot_info_longest(&info, 0, 4096 * MIB, 2 * MIB, &longest));
    ck_assert_uint_eq(longest.start, 2 * MIB);
    ck_assert(!boot_info_longest(&info, 21 * MIB, 32 * MIB, 2 * MIB, &longest));
}
END_TEST

START_TEST(taking_is_bounded)
{
    memset(&info, 0, sizeof(info));
    ck_assert_int_eq(boot_info_take(&info, 5, 0), STATUS_OK);
    ck_assert_uint_eq(info.taken_count, 0);
    ck_assert_int_eq(boot_info_take(&info, 2, UINT64_MAX - 1), STATUS_INVALID);
    for (unsigned i = 0; i < BOOT_TAKEN_MOST; i++)
        ck_assert_int_eq(boot_info_take(&info, i, 1), STATUS_OK);
    ck_assert_int_eq(boot_info_take(&info, 5, 1), STATUS_TOO_LARGE);
}
END_TEST

static Suite *boot_info_suite(void)
{
    Suite *suite = suite_create("boot_info");
    TCase *tables = tcase_create("tables");
    tcase_add_test(tables, pvh_gives_map_modules_and_command_line);
    tcase_add_test(tables, pvh_cut_anywhere_is_refused);
    tcase_add_test(tables, pvh_with_a_hostile_field_is_refused);
    tcase_add_test(tables, pvh_without_command_line_and_modules_is_fine);
    tcase_add_test(tables, map_without_memory_is_refused);
    tcase_add_test(tables, empty_and_absurd_entries_nobody_would_use_are_skipped);
    tcase_add_test(tables, more_ranges_than_there_is_room_for_are_refused);
    tcase_add_test(tables, command_line_may_fill_the_room_and_no_more);
    tcase_add_test(tables, command_line_is_printable);
    tcase_add_test(tables, multiboot2_gives_map_modules_and_command_line);
    tcase_add_test(tables, multiboot2_cut_anywhere_is_refused);
    tcase_add_test(tables, multiboot2_with_a_hostile_field_is_refused);
    tcase_add_test(tables, tables_elsewhere_or_of_no_known_protocol_are_refused);
    tcase_add_test(tables, damaged_tables_never_lead_outside);
    suite_add_tcase(suite, tables);

    TCase *ranges = tcase_create("ranges");
    tcase_add_test(ranges, longest_range_is_that_of_a_unit_by_unit_search);
    tcase_add_test(ranges, longest_range_of_several_is_taken);
    tcase_add_test(ranges, taking_is_bounded);
    suite_add_tcase(suite, ranges);
    return suite;
}

int main(void)
{
    return run_checks(boot_info_suite());
}
