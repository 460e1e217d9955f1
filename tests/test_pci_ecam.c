// SPDX-License-Identifier: MIT
// kernel/hardware/pci_ecam and pci_describe: configuration space as memory, and what was found as
// facts.
#include <ctype.h>

#include "pci_describe.h"
#include "pci_ecam.h"
#include "pci_fixture.h"
#include "run_checks.h"

#define BUS PCI_ECAM_BUS_BYTES

// ---- ECAM --------------------------------------------------------------------------------------

START_TEST(window_lies_behind_its_base)
{
    static const struct {
        uint64_t base;
        uint8_t first, last;
        enum status status;
        uint64_t start, length;
    } cases[] = {
        {0xb0000000, 0, 255, STATUS_OK, 0xb0000000, 256 * BUS},
        {0xb0000000, 16, 31, STATUS_OK, 0xb1000000, 16 * BUS},
        {0x7f000000000, 255, 255, STATUS_OK, 0x7f000000000 + 255 * BUS, BUS},
        {0xb0000000, 5, 4, STATUS_INVALID, 0, 0},
        {0, 0, 255, STATUS_INVALID, 0, 0},
        {0xb0001000, 0, 255, STATUS_INVALID, 0, 0},
        {-BUS, 0, 255, STATUS_INVALID, 0, 0},
        {-256 * BUS, 1, 255, STATUS_INVALID, 0, 0}, // its end would be 0
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        uint64_t start = 0, length = 0;
        ck_assert_int_eq(
            pci_ecam_place(cases[i].base, cases[i].first, cases[i].last, &start, &length),
            cases[i].status);
        ck_assert(start == cases[i].start && length == cases[i].length);
    }
}
END_TEST

// Memory behind a window: where it was touched last, and what it reads.
struct touched {
    uint64_t offset;
    unsigned bytes, reads, writes;
    uint32_t value, written;
};

static uint32_t touch_read(void *context, uint64_t offset, unsigned bytes)
{
    struct touched *touched = context;
    touched->offset = offset;
    touched->bytes = bytes;
    touched->reads++;
    return touched->value & UINT32_MAX >> (32 - 8 * bytes);
}

static void touch_write(void *context, uint64_t offset, unsigned bytes, uint32_t value)
{
    struct touched *touched = context;
    touched->offset = offset;
    touched->bytes = bytes;
    touched->writes++;
    touched->written = value;
}

static struct pci_ecam_window window_of(struct touched *touched, uint16_t segment, uint8_t first,
                                        uint8_t last)
{
    const uint64_t length = (last - first + 1u) * BUS;
    return (struct pci_ecam_window){
        segment, first, last, {touched, length, touch_read, touch_write}};
}

static struct pci_ecam ecam;
static const struct pci_access nothing;

START_TEST(address_is_bus_device_function_and_register)
{
    struct touched touched = {.value = 0xaabbccdd};
    const struct pci_ecam_window window = window_of(&touched, 3, 16, 31);
    pci_ecam_init(&ecam, nothing);
    ck_assert_int_eq(pci_ecam_add(&ecam, &window), STATUS_OK);
    const struct pci_access access = pci_ecam_access(&ecam);
    const struct pci_address at = {3, 18, 31, 7};
    ck_assert_uint_eq(pci_read16(&access, at, 0xffe), 0xccdd);
    ck_assert_uint_eq(touched.offset, 0x200000 | 31 << 15 | 7 << 12 | 0xffe);
    ck_assert_uint_eq(touched.bytes, 2);
    pci_write(&access, at, 0x45, 1, 0x12);
    ck_assert_uint_eq(touched.offset, 0x200000 | 31 << 15 | 7 << 12 | 0x45);
    ck_assert(touched.bytes == 1 && touched.written == 0x12 && touched.writes == 1);
    // Beyond the window, and in another segment, there is nothing.
    const struct pci_address others[] = {{3, 15, 0, 0}, {3, 32, 0, 0}, {0, 18, 0, 0}};
    for (unsigned i = 0; i < ARRAY_COUNT(others); i++) {
        ck_assert_uint_eq(pci_read32(&access, others[i], 0), UINT32_MAX);
        pci_write32(&access, others[i], 4, 0);
    }
    ck_assert(touched.reads == 1 && touched.writes == 1);
}
END_TEST

START_TEST(what_no_window_has_is_asked_below)
{
    struct touched touched = {.value = UINT32_MAX};
    const struct pci_ecam_window window = window_of(&touched, 0, 1, 1);
    space_init(&space);
    space_add(&space, SPACE_AT(0, 5, 0), DISK, OTHER);
    pci_ecam_init(&ecam, space_access(&space));
    ck_assert_int_eq(pci_ecam_add(&ecam, &window), STATUS_OK);
    const struct pci_access access = pci_ecam_access(&ecam);
    ck_assert_uint_eq(pci_read32(&access, SPACE_AT(0, 5, 0), 0), DISK);
    ck_assert_uint_eq(access.reach(access.context, SPACE_AT(0, 5, 0)), PCI_BYTES);
    ck_assert_uint_eq(access.reach(access.context, SPACE_AT(1, 5, 0)), PCI_BYTES_EXTENDED);
    pci_write16(&access, SPACE_AT(0, 5, 0), PCI_COMMAND, 0);
    ck_assert_uint_eq(space.functions[0].writes, 1);
}
END_TEST

START_TEST(window_that_shows_something_else_than_below_is_refused)
{
    struct touched touched = {.value = UINT32_MAX};
    const struct pci_ecam_window window = window_of(&touched, 0, 0, 255);
    space_init(&space);
    space_add(&space, SPACE_AT(0, 31, 0), DISK, OTHER);
    pci_ecam_init(&ecam, space_access(&space));
    ck_assert_int_eq(pci_ecam_add(&ecam, &window), STATUS_CORRUPT);
    ck_assert_uint_eq(ecam.count, 0);
    space.reach = 0; // nobody to ask
    ck_assert_int_eq(pci_ecam_add(&ecam, &window), STATUS_OK);
}
END_TEST

START_TEST(window_that_makes_no_sense_is_refused)
{
    struct touched touched = {0};
    struct pci_ecam_window window = window_of(&touched, 0, 16, 31);
    pci_ecam_init(&ecam, nothing);
    ck_assert_int_eq(pci_ecam_add(&ecam, &window), STATUS_OK);
    window = window_of(&touched, 0, 31, 40);
    ck_assert_int_eq(pci_ecam_add(&ecam, &window), STATUS_DOUBLE);
    window = window_of(&touched, 0, 0, 16);
    ck_assert_int_eq(pci_ecam_add(&ecam, &window), STATUS_DOUBLE);
    window = window_of(&touched, 0, 32, 40);
    window.memory.length--;
    ck_assert_int_eq(pci_ecam_add(&ecam, &window), STATUS_INVALID);
    window = window_of(&touched, 0, 32, 40);
    window.last = 31;
    ck_assert_int_eq(pci_ecam_add(&ecam, &window), STATUS_INVALID);
    for (unsigned i = 1; i < PCI_WINDOWS_MOST; i++) {
        window = window_of(&touched, (uint16_t)i, 0, 255);
        ck_assert_int_eq(pci_ecam_add(&ecam, &window), STATUS_OK);
    }
    window = window_of(&touched, PCI_WINDOWS_MOST, 0, 255);
    ck_assert_int_eq(pci_ecam_add(&ecam, &window), STATUS_TOO_LARGE);
}
END_TEST

START_TEST(search_begins_at_bus_0_and_at_each_window)
{
    struct touched touched = {0};
    struct pci_root roots[PCI_ROOTS_MOST];
    pci_ecam_init(&ecam, nothing);
    ck_assert_uint_eq(pci_ecam_roots(&ecam, roots), 1);
    ck_assert(roots[0].segment == 0 && roots[0].first == 0 && roots[0].last == 255);
    const struct pci_ecam_window windows[] = {
        window_of(&touched, 0, 0, 63), window_of(&touched, 0, 192, 255),
        window_of(&touched, 0, 128, 191), window_of(&touched, 7, 3, 9)};
    for (unsigned i = 0; i < ARRAY_COUNT(windows); i++)
        ck_assert_int_eq(pci_ecam_add(&ecam, &windows[i]), STATUS_OK);
    ck_assert_uint_eq(pci_ecam_roots(&ecam, roots), 4);
    ck_assert(roots[0].segment == 0 && roots[0].first == 0 && roots[0].last == 127);
    ck_assert(roots[1].first == 192 && roots[2].first == 128 && roots[2].last == 191);
    ck_assert(roots[3].segment == 7 && roots[3].first == 3 && roots[3].last == 9);
}
END_TEST

// ---- facts -------------------------------------------------------------------------------------

static char facts[PCI_FUNCTIONS_MOST * 300];

static void take_fact(void *context, const char *key, const char *value)
{
    const size_t used = strlen(facts);
    ck_assert_ptr_eq(context, facts);
    ck_assert_uint_lt(strlen(key), 32);
    ck_assert_uint_le(strlen(value), PCI_VALUE_MOST);
    bool right = value[0] != '\0';
    for (const char *at = key; *at != '\0'; at++)
        right &= isalnum((unsigned char)*at) || strchr("_.:/-", *at) != NULL;
    for (const char *at = value; *at != '\0'; at++)
        right &= *at >= ' ' && *at <= '~';
    ck_assert_msg(right, "%s=%s", key, value);
    snprintf(facts + used, sizeof(facts) - used, "%s=%s\n", key, value);
}

static const char *described(void)
{
    facts[0] = '\0';
    pci_describe(&pci, take_fact, facts);
    return facts;
}

START_TEST(facts_name_what_was_found)
{
    space_init(&space);
    space_add(&space, SPACE_AT(0, 0, 0), 0x29c08086, 0x060000);
    struct space_function *bridge = space_add_bridge(&space, SPACE_AT(0, 2, 0), 1, 10);
    space_bar(bridge, 0, 0xfea10000, 0x1000, 0);
    space_add_bridge(&space, SPACE_AT(0, 3, 0), 0, 0);
    space_add(&space, SPACE_AT(10, 31, 0), DISK, NVME); // no bridge leads there
    struct space_function *other = space_add(&space, SPACE_AT(1, 0, 0), 0x10051af4, 0x00ff00);
    space_bar(other, 0, 0xc040, 0x20, 1);
    space_bar(other, 1, 0, 0x1000, 0);
    space_bar(other, 2, 0xfea0000000, 0x4000, 0xc);
    space_put(other, PCI_BAR_0 + 20, 4, 4); // 64 bits, the last slot
    space_capability(other, 0x40, PCI_CAPABILITY_MSIX);
    space_put(other, 0x42, 2, 64);
    space_capability(other, 0x50, PCI_CAPABILITY_MSI);
    space_put(other, 0x52, 2, 2 << 1);
    enumerate();
    ck_assert_str_eq(described(),
                     "pci.functions=4\n"
                     "pci.problems=2\n"
                     "pci.0:00:00.0=8086:29c0 class 060000 host\n"
                     "pci.0:00:02.0=1b36:000c class 060400 bridge bus=01-0a "
                     "bars=0:m32@fea10000+1000\n"
                     "pci.0:00:03.0=1b36:000c class 060400 bridge\n"
                     "pci.0:01:00.0=1af4:1005 class 00ff00 other "
                     "bars=0:io@c040+20,1:m32@none+1000,2:m64p@fea0000000+4000,5:broken "
                     "msi=4 msix=65\n");
}
END_TEST

START_TEST(longest_facts_fit)
{
    for (unsigned wide = 0; wide < 2; wide++) {
        struct pci_function *function = &pci.functions[0];
        memset(&pci, 0, sizeof(pci));
        pci.count = 1;
        pci.left_out = pci.problems = UINT32_MAX;
        *function = (struct pci_function){.address = {UINT16_MAX, 255, 31, 7},
                                          .vendor = UINT16_MAX,
                                          .device = UINT16_MAX,
                                          .class_code = 0x030000,
                                          .secondary = 255,
                                          .subordinate = 255,
                                          .sized = true,
                                          .msi_vectors = 32,
                                          .msix_vectors = 2048};
        for (unsigned i = 0; i < PCI_BARS; i++) {
            function->bars[i] = (struct pci_bar){
                .state = wide != 0 && i % 2 == 1 ? PCI_BAR_UPPER : PCI_BAR_ASSIGNED,
                .wide = wide != 0,
                .prefetchable = true,
                .address = wide != 0 ? 0xfffffffffffff : UINT32_MAX,
                .size = wide != 0 ? (uint64_t)1 << 51 : 0x80000000};
        }
        const char *all = described();
        ck_assert_ptr_nonnull(strstr(all, "pci.ffff:ff:1f.7="));
        ck_assert_ptr_nonnull(strstr(all, " msi=32 msix=2048\n")); // nothing was cut
    }
}
END_TEST

static Suite *ecam_suite(void)
{
    Suite *suite = suite_create("pci_ecam");
    TCase *windows = tcase_create("ecam");
    tcase_add_test(windows, window_lies_behind_its_base);
    tcase_add_test(windows, address_is_bus_device_function_and_register);
    tcase_add_test(windows, what_no_window_has_is_asked_below);
    tcase_add_test(windows, window_that_shows_something_else_than_below_is_refused);
    tcase_add_test(windows, window_that_makes_no_sense_is_refused);
    tcase_add_test(windows, search_begins_at_bus_0_and_at_each_window);
    suite_add_tcase(suite, windows);

    TCase *described_facts = tcase_create("facts");
    tcase_add_test(described_facts, facts_name_what_was_found);
    tcase_add_test(described_facts, longest_facts_fit);
    suite_add_tcase(suite, described_facts);
    return suite;
}

int main(void)
{
    return run_checks(ecam_suite());
}
