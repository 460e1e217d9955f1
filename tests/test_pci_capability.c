// SPDX-License-Identifier: MIT
// kernel/hardware/pci_capability: both lists, whole and damaged.
#include "pci_capability.h"
#include "pci_fixture.h"
#include "run_checks.h"

// ---- capabilities ------------------------------------------------------------------------------

static struct pci_capabilities list;

static struct space_function *read_list(struct space_function *function)
{
    const struct pci_access access = space_access(&space);
    pci_capabilities_read(&access, function->at, function->bytes[PCI_HEADER], &list);
    ck_assert_uint_le(list.count, PCI_CAPABILITIES_MOST);
    return function;
}

static struct space_function *three_capabilities(void)
{
    space_init(&space);
    struct space_function *function = space_add(&space, SPACE_AT(0, 3, 0), DISK, OTHER);
    space_capability(function, 0xfc, 0x09);
    space_capability(function, 0x40, PCI_CAPABILITY_MSI);
    space_capability(function, 0x80, 0x09);
    return function;
}

START_TEST(capabilities_come_in_the_lists_order)
{
    read_list(three_capabilities());
    ck_assert_ptr_null(list.problem);
    ck_assert_uint_eq(list.count, 3);
    ck_assert(list.entries[0].offset == 0x80 && list.entries[1].offset == 0x40 &&
              list.entries[2].offset == 0xfc);
    ck_assert_uint_eq(pci_capability_find(&list, 0x09), 0x80);
    ck_assert_uint_eq(pci_capability_find(&list, PCI_CAPABILITY_MSI), 0x40);
    ck_assert_uint_eq(pci_capability_find(&list, PCI_CAPABILITY_MSIX), 0);
    enumerate();
    ck_assert_uint_eq(pci.functions[0].msi, 0x40);
}
END_TEST

START_TEST(list_exists_only_if_the_status_says_so)
{
    struct space_function *function = three_capabilities();
    function->bytes[PCI_STATUS] = 0;
    read_list(function);
    ck_assert(list.count == 0 && list.problem == NULL);
}
END_TEST

START_TEST(cardbus_bridge_has_its_list_elsewhere)
{
    struct space_function *function = three_capabilities();
    function->bytes[PCI_HEADER] = PCI_HEADER_CARDBUS;
    function->bytes[0x14] = 0x40;
    function->bytes[0x34] = 0x10;
    read_list(function);
    ck_assert(list.count == 2 && list.problem == NULL && list.entries[0].offset == 0x40);
}
END_TEST

START_TEST(damaged_list_ends_where_the_damage_is)
{
    static const struct {
        unsigned at;
        uint8_t value;
        unsigned count;
        const char *why;
    } cases[] = {
        {0x34, 0x3c, 0, "into the header"},
        {0x81, 0x04, 1, "into the header"},
        {0xfd, 0x80, 3, "loop"},
        {0x81, 0x80, 1, "loop"},
        {0x81, 0x42, 3, "reserved bits"},
        {0x34, 0x81, 3, "reserved bits"},
        {0x40, 0xff, 1, "all ones"},
        {0x81, 0x02, 1, "into the header"},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct space_function *function = three_capabilities();
        function->bytes[cases[i].at] = cases[i].value;
        read_list(function);
        ck_assert_msg(list.count == cases[i].count, "case %u", i);
        ck_assert_msg(list.problem != NULL && strstr(list.problem, cases[i].why) != NULL,
                      "case %u: %s", i, list.problem);
        enumerate();
        ck_assert_uint_eq(pci.problems, 1);
        ck_assert(logged(cases[i].why));
    }
}
END_TEST

START_TEST(list_may_fill_the_space_and_null_entries_are_passed_over)
{
    space_init(&space);
    struct space_function *function = space_add(&space, SPACE_AT(0, 3, 0), DISK, OTHER);
    for (unsigned offset = 0x40; offset < 0x100; offset += 4)
        space_capability(function, offset, 0x09);
    read_list(function);
    ck_assert(list.count == PCI_CAPABILITIES_MOST && list.problem == NULL);
    function->bytes[0x80] = 0;
    read_list(function);
    ck_assert(list.count == PCI_CAPABILITIES_MOST - 1 && list.problem == NULL);
}
END_TEST

// ---- extended capabilities ---------------------------------------------------------------------

static struct space_function *extended(void)
{
    space_init(&space);
    space.reach = PCI_BYTES_EXTENDED;
    struct space_function *function = space_add(&space, SPACE_AT(0, 3, 0), DISK, OTHER);
    space_capability(function, 0x40, PCI_CAPABILITY_EXPRESS);
    space_put(function, 0x100, 4, 0x20010001); // id 1, version 1, next 200h
    space_put(function, 0x200, 4, 0xffc10003);
    space_put(function, 0xffc, 4, 0x00010010);
    return function;
}

static void read_extended(const struct space_function *function)
{
    const struct pci_access access = space_access(&space);
    pci_extended_read(&access, function->at, &list);
    ck_assert_uint_le(list.count, PCI_EXTENDED_MOST);
}

START_TEST(extended_list_is_read_where_it_is_reached)
{
    struct space_function *function = extended();
    read_extended(function);
    ck_assert(list.count == 3 && list.problem == NULL);
    ck_assert_uint_eq(pci_capability_find(&list, 0x10), 0xffc);
    enumerate();
    ck_assert_uint_eq(pci.functions[0].extended_count, 3);
    function->bytes[0x40] = 0x09; // no Express capability: not looked at
    enumerate();
    ck_assert_uint_eq(pci.functions[0].extended_count, 0);
    function->bytes[0x40] = PCI_CAPABILITY_EXPRESS;
    space.reach = PCI_BYTES;
    enumerate();
    ck_assert(pci.functions[0].extended_count == 0 && pci.problems == 0);
}
END_TEST

START_TEST(function_may_have_no_extended_list)
{
    struct space_function *function = extended();
    space_put(function, 0x100, 4, 0);
    read_extended(function);
    ck_assert(list.count == 0 && list.problem == NULL);
}
END_TEST

START_TEST(damaged_extended_list_ends_where_the_damage_is)
{
    static const struct {
        unsigned at;
        uint32_t value;
        unsigned count;
        const char *why;
    } cases[] = {
        {0x100, UINT32_MAX, 0, "all ones"},   {0x200, UINT32_MAX, 1, "all ones"},
        {0x200, 0x0fc10003, 2, "below 100h"}, {0x200, 0x10010003, 2, "loop"},
        {0xffc, 0xffc10010, 3, "loop"},       {0x200, 0xffd10003, 3, "reserved bits"},
        {0x100, 0x00210001, 1, "below 100h"},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct space_function *function = extended();
        space_put(function, cases[i].at, 4, cases[i].value);
        read_extended(function);
        ck_assert_msg(list.count == cases[i].count, "case %u: %u", i, list.count);
        ck_assert_msg(list.problem != NULL && strstr(list.problem, cases[i].why) != NULL,
                      "case %u: %s", i, list.problem);
        enumerate();
        ck_assert(pci.problems == 1 && logged(cases[i].why));
    }
}
END_TEST

START_TEST(extended_list_is_bounded)
{
    for (unsigned count = PCI_EXTENDED_MOST; count <= PCI_EXTENDED_MOST + 1; count++) {
        struct space_function *function = extended();
        for (unsigned i = 0; i < count; i++) {
            const unsigned next = i + 1 < count ? 0x104 + 4 * i : 0;
            space_put(function, 0x100 + 4 * i, 4, next << 20 | 0x1000b);
        }
        read_extended(function);
        ck_assert_uint_eq(list.count, PCI_EXTENDED_MOST);
        ck_assert_int_eq(list.problem != NULL, count > PCI_EXTENDED_MOST);
    }
}
END_TEST

static Suite *capability_suite(void)
{
    Suite *suite = suite_create("pci_capability");
    TCase *capabilities = tcase_create("capabilities");
    tcase_add_test(capabilities, capabilities_come_in_the_lists_order);
    tcase_add_test(capabilities, list_exists_only_if_the_status_says_so);
    tcase_add_test(capabilities, cardbus_bridge_has_its_list_elsewhere);
    tcase_add_test(capabilities, damaged_list_ends_where_the_damage_is);
    tcase_add_test(capabilities, list_may_fill_the_space_and_null_entries_are_passed_over);
    tcase_add_test(capabilities, extended_list_is_read_where_it_is_reached);
    tcase_add_test(capabilities, function_may_have_no_extended_list);
    tcase_add_test(capabilities, damaged_extended_list_ends_where_the_damage_is);
    tcase_add_test(capabilities, extended_list_is_bounded);
    suite_add_tcase(suite, capabilities);

    return suite;
}

int main(void)
{
    return run_checks(capability_suite());
}
