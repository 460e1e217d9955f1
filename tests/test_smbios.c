// SPDX-License-Identifier: MIT
// kernel/hardware/smbios: firmware's words about the machine, whole, cut and damaged, in memory of
// exactly the readable length.
#include <stdlib.h>
#include <string.h>

#include "compiler.h"
#include "run_checks.h"
#include "seed.h"
#include "smbios.h"

#define BASE   0xf0000u
#define BYTES  4096u
#define TABLES 0x100u // where the structures begin
#define ENTRY  0x20u  // where the entry point is

static uint8_t bytes[BYTES];
static unsigned used;
static struct smbios_info info;

static void put(uint64_t value, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        bytes[used++] = (uint8_t)(value >> 8 * i);
}

static void put_text(const char *text)
{
    memcpy(bytes + used, text, strlen(text) + 1);
    used += (unsigned)strlen(text) + 1;
}

static void add_up(unsigned at, unsigned length, unsigned sum_at)
{
    bytes[sum_at] = 0;
    uint8_t sum = 0;
    for (unsigned i = at; i < at + length; i++)
        sum = (uint8_t)(sum + bytes[i]);
    bytes[sum_at] = (uint8_t)-sum;
}

// The entry point of either kind, of the structures that are there.
static void put_entry(bool wide)
{
    const unsigned length = used - TABLES;
    used = ENTRY;
    memcpy(bytes + ENTRY, wide ? "_SM3_" : "_SM_", wide ? 5 : 4);
    if (wide) {
        bytes[ENTRY + 6] = 24;
        used = ENTRY + 0x0c;
        put(length, 4);
        put(BASE + TABLES, 8);
        add_up(ENTRY, 24, ENTRY + 5);
    } else {
        bytes[ENTRY + 5] = 31;
        used = ENTRY + 0x16;
        put(length, 2);
        put(BASE + TABLES, 4);
        add_up(ENTRY, 31, ENTRY + 4);
    }
    used = TABLES + length;
}

// A memory device; `extended` counts where size is 7fffh; `set` is the speed it runs at.
static void put_memory(unsigned size, unsigned speed, unsigned extended, unsigned set)
{
    const unsigned at = used;
    put(17 | 0x28 << 8, 2);
    used = at + 0x0c;
    put(size, 2);
    used = at + 0x15;
    put(speed, 2);
    used = at + 0x1c;
    put(extended, 4);
    put(set, 2);
    used = at + 0x28;
    put(0, 2);
}

static unsigned set_speed; // of one memory device

static void make(bool wide)
{
    memset(bytes, 0, sizeof(bytes));
    used = TABLES;
    put(0 | 24 << 8, 4); // firmware: maker 1, version 2, date 3
    put(1 | 2 << 8, 4);
    bytes[TABLES + 8] = 3;
    used = TABLES + 24;
    put_text("  Firm & Co.  ");
    put_text("1.\x1b[2J7");
    put_text("04/01/2014");
    put(0, 1);
    put(1 | 8 << 8, 4); // system: without a product
    put(1, 4);
    put_text("A maker whose name is longer than there is room for, so that it has to be cut");
    put(0, 1);
    put(2 | 8 << 8, 4); // board: both are the same string, one does not exist
    put(1 | 9 << 8, 4);
    put_text("Board");
    put(0, 1);
    put_memory(0, 0, 0, 0); // nothing is plugged in
    put_memory(8192, 3200, 0, set_speed);
    put_memory(0x8400, 0xffff, 0, 0xffff); // 1024 KiB
    put_memory(0x7fff, 2933, 65536, 0);
    put_memory(0xffff, 0, 0, 0); // unknown
    put(127 | 4 << 8, 4);
    put(0, 2);
    put_entry(wide);
}

static void read_cut(unsigned length, uint64_t told)
{
    uint8_t *copy = malloc(length > 0 ? length : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, bytes, length);
    memset(&info, 0x5a, sizeof(info));
    smbios_read(&info, (struct boot_memory){copy, BASE, length}, told);
    free(copy);
}

START_TEST(both_entry_points_lead_to_what_firmware_says)
{
    for (unsigned i = 0; i < 4; i++) {
        make(i % 2 == 0);
        read_cut(used, i < 2 ? BASE + ENTRY : 0);
        ck_assert_uint_eq(info.entry, BASE + ENTRY);
        ck_assert(!info.broken);
        ck_assert_uint_eq(info.structures, 9);
        ck_assert_str_eq(info.firmware_maker, "Firm & Co.");
        ck_assert_str_eq(info.firmware_version, "1.?[2J7");
        ck_assert_str_eq(info.firmware_date, "04/01/2014");
        ck_assert_uint_eq(strlen(info.system_maker), SMBIOS_TEXT_BYTES - 1);
        ck_assert_str_eq(info.system_product, "");
        ck_assert_str_eq(info.board_maker, "Board");
        ck_assert_str_eq(info.board_product, "");
        ck_assert_uint_eq(info.memory_devices, 4);
        ck_assert_uint_eq(info.memory_mib, 8192 + 1 + 65536);
        ck_assert_uint_eq(info.memory_speed, 2933);
        ck_assert(info.memory_rated);
    }
}
END_TEST

START_TEST(memory_is_as_fast_as_it_is_set_to)
{
    static const struct {
        unsigned set, told;
        bool rated;
    } cases[] = {{2400, 2400, false}, {2999, 2933, true}, {0xffff, 2933, true}};
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        set_speed = cases[i].set;
        make(true);
        read_cut(used, BASE + ENTRY);
        ck_assert_uint_eq(info.memory_speed, cases[i].told);
        ck_assert(info.memory_rated == cases[i].rated);
    }
}
END_TEST

START_TEST(an_entry_point_that_does_not_add_up_is_none)
{
    make(true);
    bytes[ENTRY + 9]++;
    read_cut(used, BASE + ENTRY);
    ck_assert_uint_eq(info.entry, 0);
    ck_assert_str_eq(info.firmware_maker, "");
    read_cut(used, 0);
    ck_assert_uint_eq(info.entry, 0);
}
END_TEST

START_TEST(tables_cut_anywhere_keep_what_came_before)
{
    make(false);
    const unsigned whole = used;
    unsigned last = 0;
    for (unsigned length = TABLES; length < whole; length++) {
        // As if the tables were shorter, and the memory with them.
        make(false);
        used = length;
        put_entry(false);
        read_cut(length, BASE + ENTRY);
        // Whole where one ends here.
        ck_assert(info.broken || info.structures == last + 1 || length == TABLES);
        ck_assert_uint_ge(info.structures, last);
        last = info.structures;
    }
    ck_assert_uint_eq(last, 8);
    make(false);
    used = TABLES + 24 + 20;
    put_entry(false);
    read_cut(used, 0);
    ck_assert(info.broken && info.structures == 0);
}
END_TEST

START_TEST(damaged_tables_never_lead_outside)
{
    struct random random = seeded_for("damaged_tables_never_lead_outside");
    for (unsigned turn = 0; turn < 4000; turn++) {
        const bool wide = random_below(&random, 2) != 0;
        make(wide);
        const unsigned changes = 1 + (unsigned)random_below(&random, 4);
        for (unsigned i = 0; i < changes; i++) {
            const unsigned at = (unsigned)random_below(&random, 3) == 0
                                    ? ENTRY + (unsigned)random_below(&random, 32)
                                    : TABLES + (unsigned)random_below(&random, used - TABLES);
            bytes[at] = (uint8_t)random_below(&random, 256);
        }
        add_up(ENTRY, wide ? 24 : 31, ENTRY + (wide ? 5 : 4));
        read_cut(used, BASE + ENTRY);
        ck_assert_uint_le(info.structures, SMBIOS_STRUCTURES_MOST);
        const char *const texts[] = {info.firmware_maker, info.firmware_version, info.firmware_date,
                                     info.system_maker,   info.system_product,   info.board_maker,
                                     info.board_product};
        for (unsigned i = 0; i < ARRAY_COUNT(texts); i++) {
            const size_t length = strnlen(texts[i], SMBIOS_TEXT_BYTES);
            ck_assert_uint_lt(length, SMBIOS_TEXT_BYTES);
            for (size_t k = 0; k < length; k++)
                ck_assert(texts[i][k] >= ' ' && texts[i][k] <= '~');
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("smbios");
    TCase *tests = tcase_create("tables");
    tcase_add_test(tests, memory_is_as_fast_as_it_is_set_to);
    tcase_add_test(tests, both_entry_points_lead_to_what_firmware_says);
    tcase_add_test(tests, an_entry_point_that_does_not_add_up_is_none);
    tcase_add_test(tests, tables_cut_anywhere_keep_what_came_before);
    tcase_add_test(tests, damaged_tables_never_lead_outside);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
