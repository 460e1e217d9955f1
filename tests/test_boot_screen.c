// SPDX-License-Identifier: MIT
// kernel/hardware/boot_info: the screen that a Multiboot2 loader tells of, whole, cut, and such as
// cannot be.
#include <stdlib.h>
#include <string.h>

#include "boot_info.h"
#include "compiler.h"
#include "run_checks.h"

#define BASE      0x10000u
#define MAP_BYTES 40u
#define TAG       (8u + MAP_BYTES) // where the screen's tag begins

static struct boot_info info;
static uint8_t bytes[256];
static unsigned used;

static void put(uint64_t value, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        bytes[used++] = (uint8_t)(value >> 8 * i);
}

// Tables with one piece of RAM and a screen's tag of `size` bytes, of the kind 1 or 2.
static void make(unsigned kind, uint32_t size)
{
    used = 0;
    put(0, 8);
    put(6, 4); // a memory map of one entry
    put(MAP_BYTES, 4);
    put(24, 4);
    put(0, 4);
    put(1 << 20, 8);
    put(1 << 20, 8);
    put(1, 8);
    put(8, 4);
    put(size, 4);
    put(kind == 2 ? 0xb8000 : 0xfd000000, 8);
    put(kind == 2 ? 160 : 4096, 4);
    put(kind == 2 ? 80 : 1024, 4);
    put(kind == 2 ? 25 : 768, 4);
    put(kind == 2 ? 16 : 32, 1);
    put(kind, 1);
    put(0, 2);
    static const uint8_t colours[] = {16, 8, 8, 8, 0, 8};
    for (unsigned i = 0; i < sizeof(colours) && TAG + size > used; i++)
        put(colours[i], 1);
    used = TAG + (unsigned)align_up(size, 8);
    put(0, 4);
    put(8, 4);
    memcpy(bytes, &used, 4);
}

static enum screen_kind kind_of(void)
{
    uint8_t *copy = malloc(used);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, bytes, used);
    memset(&info, 0x5a, sizeof(info));
    const struct boot_memory memory = {copy, BASE, used};
    ck_assert_int_eq(boot_info_read(&info, BOOT_BY_MULTIBOOT2, memory, BASE), STATUS_OK);
    free(copy);
    return info.screen.kind;
}

START_TEST(pixels_and_text_are_taken_as_they_are_told)
{
    make(1, 38);
    ck_assert_int_eq(kind_of(), SCREEN_PIXELS);
    ck_assert_uint_eq(info.screen.address, 0xfd000000);
    ck_assert_uint_eq(info.screen.pitch, 4096);
    ck_assert_uint_eq(info.screen.width, 1024);
    ck_assert_uint_eq(info.screen.height, 768);
    ck_assert_uint_eq(info.screen.bits, 32);
    ck_assert_uint_eq(info.screen.red.at, 16);
    ck_assert_uint_eq(info.screen.green.at, 8);
    ck_assert_uint_eq(info.screen.blue.bits, 8);
    make(2, 32);
    ck_assert_int_eq(kind_of(), SCREEN_TEXT);
    ck_assert_uint_eq(info.screen.width, 80);
}
END_TEST

START_TEST(without_a_tag_or_with_a_palette_there_is_no_screen)
{
    make(1, 38);
    bytes[TAG] = 77;
    ck_assert_int_eq(kind_of(), SCREEN_NONE);
    make(0, 38);
    ck_assert_int_eq(kind_of(), SCREEN_NONE);
}
END_TEST

START_TEST(a_tag_that_is_cut_or_tells_nonsense_is_no_screen_and_no_damage)
{
    for (uint32_t size = 8; size < 38; size++) {
        make(1, size);
        ck_assert_msg(kind_of() == SCREEN_NONE, "%u bytes", size);
    }
    static const struct {
        unsigned at, count;
        uint64_t value;
    } changes[] = {{8, 8, 0},  {16, 4, 4095}, {20, 4, 0}, {24, 4, UINT32_MAX},
                   {28, 1, 8}, {29, 1, 3},    {33, 1, 0}, {36, 1, 31}};
    for (unsigned i = 0; i < ARRAY_COUNT(changes); i++) {
        make(1, 38);
        memcpy(bytes + TAG + changes[i].at, &changes[i].value, changes[i].count);
        ck_assert_msg(kind_of() == SCREEN_NONE, "change %u", i);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("boot_screen");
    TCase *tests = tcase_create("screen");
    tcase_add_test(tests, pixels_and_text_are_taken_as_they_are_told);
    tcase_add_test(tests, without_a_tag_or_with_a_palette_there_is_no_screen);
    tcase_add_test(tests, a_tag_that_is_cut_or_tells_nonsense_is_no_screen_and_no_damage);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
