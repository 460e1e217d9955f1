// SPDX-License-Identifier: MIT
// kernel/hardware/pci: searching the buses on simulated configuration spaces, whole and damaged.
#include <signal.h>

#include "pci_fixture.h"
#include "run_checks.h"

// ---- functions ---------------------------------------------------------------------------------

START_TEST(empty_buses_hold_nothing)
{
    space_init(&space);
    enumerate();
    ck_assert(pci.count == 0 && pci.left_out == 0 && pci.problems == 0 && lines == 0);
    ck_assert_uint_eq(space.reads, 32); // bus 0 alone, one register of each device
}
END_TEST

START_TEST(function_is_recorded_with_all_it_says)
{
    space_init(&space);
    struct space_function *disk = space_add(&space, SPACE_AT(0, 31, 0), DISK, NVME);
    disk->bytes[PCI_INTERRUPT_LINE] = 11;
    disk->bytes[PCI_INTERRUPT_PIN] = 1;
    enumerate();
    ck_assert_uint_eq(pci.count, 1);
    const struct pci_function *function = &pci.functions[0];
    ck_assert_uint_eq(function->vendor, 0x1b36);
    ck_assert_uint_eq(function->device, 0x0010);
    ck_assert_uint_eq(function->class_code, NVME);
    ck_assert_uint_eq(function->revision, 2);
    ck_assert_uint_eq(function->header, PCI_HEADER_DEVICE);
    ck_assert_uint_eq(function->interrupt_line, 11);
    ck_assert_uint_eq(function->interrupt_pin, 1);
    ck_assert_uint_eq(function->command, 7);
    ck_assert(function->sized && function->msi == 0 && function->msix == 0);
    ck_assert_ptr_eq(pci_find(&pci, NULL, 0x1b36, 0x0010), function);
    ck_assert_ptr_null(pci_find(&pci, function, 0x1b36, 0x0010));
    ck_assert_ptr_null(pci_find(&pci, NULL, 0x1b36, 0x0011));
    ck_assert_uint_eq(lines, 0);
}
END_TEST

START_TEST(further_functions_count_only_if_the_first_says_so)
{
    space_init(&space);
    struct space_function *first = space_add(&space, SPACE_AT(0, 3, 0), DISK, OTHER);
    space_add(&space, SPACE_AT(0, 3, 2), DISK, OTHER);
    space_add(&space, SPACE_AT(0, 3, 7), DISK, OTHER);
    space_add(&space, SPACE_AT(0, 4, 1), DISK, OTHER)->bytes[PCI_HEADER] = 0x80; // no function 0
    enumerate();
    ck_assert_uint_eq(pci.count, 1);
    first->bytes[PCI_HEADER] = 0x80;
    enumerate();
    ck_assert_uint_eq(pci.count, 3);
    ck_assert(found(0, 3, 2) != NULL && found(0, 3, 7) != NULL && found(0, 4, 1) == NULL);
    ck_assert_uint_eq(found(0, 3, 0)->header, PCI_HEADER_DEVICE);
}
END_TEST

START_TEST(vendors_that_are_none_are_passed_over)
{
    static const struct {
        uint32_t ids;
        unsigned problems;
    } cases[] = {{0x1234ffff, 0}, {0x12340000, 0}, {0x00000000, 0}, {0xffff0001, 1}};
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        space_init(&space);
        space_add(&space, SPACE_AT(0, 3, 0), cases[i].ids, OTHER);
        enumerate();
        ck_assert(pci.count == 0 && pci.left_out == 0);
        ck_assert_uint_eq(pci.problems, cases[i].problems);
    }
    ck_assert_str_eq(last_line, "pci 0:00:03.0: not ready yet: left out");
}
END_TEST

START_TEST(header_of_no_known_type_is_recorded_and_not_interpreted)
{
    space_init(&space);
    struct space_function *odd = space_add(&space, SPACE_AT(0, 3, 0), DISK, OTHER);
    odd->bytes[PCI_HEADER] = 3;
    space_bar(odd, 0, 0xfe000000, 4096, 0);
    space_capability(odd, 0x40, PCI_CAPABILITY_MSI);
    odd->bytes[PCI_INTERRUPT_PIN] = 5;
    enumerate();
    ck_assert_uint_eq(pci.count, 1);
    ck_assert(pci.functions[0].bars[0].state == PCI_BAR_ABSENT && pci.functions[0].msi == 0);
    ck_assert_uint_eq(pci.functions[0].interrupt_pin, 0);
    ck_assert(logged("header of a type"));
}
END_TEST

START_TEST(functions_beyond_the_room_are_counted_and_their_bridges_followed)
{
    space_init(&space);
    for (unsigned i = 0; i < PCI_FUNCTIONS_MOST - 1; i++)
        space_add(&space, SPACE_AT(0, i / 8, i % 8), DISK, OTHER)->bytes[PCI_HEADER] = 0x80;
    space_add_bridge(&space, SPACE_AT(0, 31, 7), 1, 2)->bytes[PCI_HEADER] |= 0x80;
    space_add_bridge(&space, SPACE_AT(1, 0, 0), 2, 2); // the first without room
    struct space_function *left = space_add(&space, SPACE_AT(2, 0, 0), DISK, OTHER);
    enumerate();
    ck_assert_uint_eq(pci.count, PCI_FUNCTIONS_MOST);
    ck_assert_uint_eq(pci.left_out, 2);
    ck_assert_uint_eq(space.visits[2], 1);
    ck_assert_uint_eq(left->writes, 0);
}
END_TEST

// ---- bridges -----------------------------------------------------------------------------------

START_TEST(bridges_lead_to_what_is_behind_them)
{
    space_init(&space);
    space_add_bridge(&space, SPACE_AT(0, 2, 0), 1, 3);
    space_add_bridge(&space, SPACE_AT(0, 1, 0), 4, 255);
    space_add_bridge(&space, SPACE_AT(1, 5, 0), 3, 3);
    space_add(&space, SPACE_AT(1, 6, 0), DISK, OTHER);
    space_add(&space, SPACE_AT(3, 7, 0), DISK, OTHER);
    space_add_bridge(&space, SPACE_AT(4, 0, 0), 255, 255);
    space_add(&space, SPACE_AT(255, 31, 0), DISK, OTHER);
    space_add(&space, SPACE_AT(2, 0, 0), DISK, OTHER); // on a bus no bridge leads to
    enumerate();
    ck_assert_uint_eq(pci.count, 7);
    ck_assert_uint_eq(lines, 0);
    ck_assert(found(2, 0, 0) == NULL && found(3, 7, 0) != NULL && found(255, 31, 0) != NULL);
    ck_assert_uint_eq(found(1, 5, 0)->secondary, 3);
    ck_assert_uint_eq(found(0, 1, 0)->subordinate, 255);
    for (unsigned i = 1; i < pci.count; i++)
        ck_assert_uint_le(pci.functions[i - 1].address.bus, pci.functions[i].address.bus);
}
END_TEST

START_TEST(bridge_with_bus_numbers_that_make_no_sense_is_not_followed)
{
    static const struct {
        uint8_t secondary, subordinate;
        const char *why;
    } cases[] = {
        {0, 0, "without bus numbers"},
        {0, 5, "without bus numbers"},
        {5, 0, "without bus numbers"},
        {2, 5, "outside its parent's"}, // its own bus
        {1, 5, "outside its parent's"},
        {4, 3, "outside its parent's"},
        {3, 10, "outside its parent's"},
        {10, 10, "outside its parent's"},
        {255, 255, "outside its parent's"},
        {6, 9, "of another"},
        {8, 8, "of another"},
        {3, 7, "of another"},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        space_init(&space);
        space_add_bridge(&space, SPACE_AT(0, 1, 0), 2, 9);
        space_add_bridge(&space, SPACE_AT(2, 1, 0), 7, 8);
        space_add_bridge(&space, SPACE_AT(2, 2, 0), cases[i].secondary, cases[i].subordinate);
        for (unsigned bus = 3; bus < 7; bus++)
            space_add(&space, SPACE_AT(bus, 0, 0), DISK, OTHER);
        enumerate();
        ck_assert_uint_eq(pci.count, 3);
        ck_assert_uint_eq(pci.problems, 1);
        ck_assert_msg(logged(cases[i].why), "case %u: %s", i, last_line);
        ck_assert(logged("pci 0:02:02.0: "));
        ck_assert_uint_eq(found(2, 2, 0)->secondary, 0);
        ck_assert_uint_eq(found(2, 2, 0)->subordinate, 0);
    }
}
END_TEST

START_TEST(bridges_of_different_depths_do_not_share_buses)
{
    space_init(&space);
    space_add_bridge(&space, SPACE_AT(0, 1, 0), 1, 9);
    space_add_bridge(&space, SPACE_AT(0, 2, 0), 5, 5); // inside the first one's
    space_add_bridge(&space, SPACE_AT(1, 0, 0), 5, 5);
    space_add(&space, SPACE_AT(5, 0, 0), DISK, OTHER);
    enumerate();
    ck_assert_uint_eq(pci.count, 4);
    ck_assert_uint_eq(space.visits[5], 1);
    ck_assert(logged("pci 0:00:02.0: a bridge with the bus numbers of another"));
}
END_TEST

START_TEST(link_of_a_port_has_one_device)
{
    static const struct {
        unsigned kind, devices;
    } cases[] = {{4, 1}, {6, 1}, {5, 32}, {7, 32}, {8, 32}};
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        space_init(&space);
        struct space_function *port = space_add_bridge(&space, SPACE_AT(0, 1, 0), 1, 1);
        space_capability(port, 0x40, PCI_CAPABILITY_EXPRESS);
        space_put(port, 0x42, 2, 2 | cases[i].kind << 4);
        for (unsigned device = 0; device < 32; device++) // one device that answers to all
            space_add(&space, SPACE_AT(1, device, 0), DISK, OTHER);
        enumerate();
        ck_assert_uint_eq(pci.count, 1 + cases[i].devices);
    }
}
END_TEST

START_TEST(roots_begin_where_their_segments_do)
{
    static const struct pci_root roots[] = {{0, 0, 127}, {0, 128, 255}, {2, 16, 31}};
    space_init(&space);
    space_add(&space, SPACE_AT(0, 1, 0), DISK, OTHER);
    space_add(&space, SPACE_AT(128, 1, 0), DISK, OTHER);
    space_add(&space, (struct pci_address){2, 16, 3, 0}, DISK, OTHER);
    space_add(&space, (struct pci_address){2, 0, 3, 0}, DISK, OTHER);
    space_add_bridge(&space, SPACE_AT(0, 2, 0), 128, 129); // not this root's
    enumerate_roots(roots, 3);
    ck_assert_uint_eq(pci.count, 4);
    ck_assert_uint_eq(pci.functions[3].address.segment, 2);
    ck_assert(logged("outside its parent's"));
}
END_TEST

START_TEST(roots_that_overlap_are_searched_once)
{
    static const struct pci_root roots[] = {
        {0, 0, 20}, {0, 10, 30}, {2, 9, 3}, {1, 10, 30}, {0, 31, 31}};
    space_init(&space);
    space_add(&space, SPACE_AT(10, 1, 0), DISK, OTHER);
    space_add(&space, (struct pci_address){1, 10, 1, 0}, DISK, OTHER);
    space_add(&space, SPACE_AT(31, 1, 0), DISK, OTHER);
    enumerate_roots(roots, ARRAY_COUNT(roots));
    ck_assert_uint_eq(pci.count, 2);
    ck_assert_uint_eq(pci.problems, 2);
    ck_assert(logged("pci 0:0a:00.0: a host bridge's buses") && logged("pci 2:09:00.0: "));
}
END_TEST

// ---- damage ------------------------------------------------------------------------------------

static uint32_t ones(struct space *twisted, struct space_function *function, unsigned offset,
                     unsigned bytes, uint32_t value)
{
    (void)function;
    (void)offset;
    unsigned *left = twisted->twist_context;
    if (*left == 0)
        return UINT32_MAX >> (32 - 8 * bytes);
    (*left)--;
    return value;
}

// A whole function, which says the truth for `i` reads and is gone then.
START_TEST(device_may_vanish_at_any_moment)
{
    unsigned whole = 0;
    for (unsigned i = 0; i < 400 && whole == 0; i++) {
        unsigned left = i;
        space_init(&space);
        struct space_function *disk = space_add(&space, SPACE_AT(0, 3, 0), DISK, NVME);
        space_bar(disk, 0, 0xfe0000000000, 0x4000, 0xc);
        space_bar(disk, 2, 0xc000, 0x20, 1);
        space_capability(disk, 0x40, PCI_CAPABILITY_MSIX);
        space_capability(disk, 0x50, PCI_CAPABILITY_MSI);
        space_capability(disk, 0x70, PCI_CAPABILITY_EXPRESS);
        space_add_bridge(&space, SPACE_AT(0, 4, 0), 1, 1);
        space.twist = ones;
        space.twist_context = &left;
        enumerate();
        ck_assert_uint_le(pci.count, 2);
        if (left > 0)
            whole = i;
    }
    ck_assert_uint_gt(whole, 30);
    ck_assert_uint_eq(pci.count, 2);
}
END_TEST

static uint32_t other_ids(struct space *twisted, struct space_function *function, unsigned offset,
                          unsigned bytes, uint32_t value)
{
    unsigned *reads = twisted->twist_context;
    (void)function;
    (void)bytes;
    return offset == PCI_IDS && ++*reads > 1 ? value ^ 0x10000 : value;
}

START_TEST(device_that_changes_its_name_is_left_out)
{
    unsigned reads = 0;
    space_init(&space);
    space_add_bridge(&space, SPACE_AT(0, 3, 0), 1, 1);
    space.twist = other_ids;
    space.twist_context = &reads;
    enumerate();
    ck_assert(pci.count == 0 && pci.left_out == 0 && pci.problems == 1);
    ck_assert_uint_eq(space.visits[1], 0); // nor is it followed
    ck_assert(logged("answers differently"));
}
END_TEST

START_TEST(log_is_bounded_and_problems_are_counted)
{
    space_init(&space);
    for (unsigned i = 0; i < 200; i++)
        space_add(&space, SPACE_AT(0, i / 8, i % 8), DISK, OTHER)->bytes[PCI_HEADER] = 0x83;
    enumerate();
    ck_assert_uint_eq(pci.problems, 200);
    ck_assert_uint_eq(lines, PCI_LOG_MOST + 1);
    ck_assert_str_eq(last_line, "pci: further problems are counted only");
    struct pci_search search = searched();
    search.log = NULL;
    pci_enumerate(&pci, &search);
    ck_assert_uint_eq(pci.problems, 200);
}
END_TEST

// ---- misuse ------------------------------------------------------------------------------------

START_TEST(register_that_is_not_aligned_is_a_mistake)
{
    const struct pci_access access = space_access(&space);
    pci_read16(&access, SPACE_AT(0, 0, 0), 3);
}
END_TEST

START_TEST(register_outside_the_space_is_a_mistake)
{
    const struct pci_access access = space_access(&space);
    pci_write32(&access, SPACE_AT(0, 0, 0), PCI_BYTES_EXTENDED, 0);
}
END_TEST

START_TEST(width_that_does_not_exist_is_a_mistake)
{
    const struct pci_access access = space_access(&space);
    pci_read(&access, SPACE_AT(0, 0, 0), 0, 8);
}
END_TEST

START_TEST(more_roots_than_there_are_windows_are_a_mistake)
{
    static const struct pci_root roots[PCI_ROOTS_MOST + 1];
    struct pci_search search = searched();
    search.roots = roots;
    search.root_count = PCI_ROOTS_MOST + 1;
    space_init(&space);
    pci_enumerate(&pci, &search);
}
END_TEST

START_TEST(what_is_not_reached_reads_ones_and_takes_nothing)
{
    space_init(&space);
    const struct pci_access access = space_access(&space);
    struct space_function *function = space_add(&space, SPACE_AT(0, 1, 0), DISK, OTHER);
    ck_assert_uint_eq(pci_read32(&access, function->at, 0x100), UINT32_MAX);
    ck_assert_uint_eq(pci_read16(&access, function->at, 0x100), UINT16_MAX);
    ck_assert_uint_eq(pci_read8(&access, function->at, 0xfff), UINT8_MAX);
    pci_write32(&access, function->at, 0x100, 0);
    ck_assert_uint_eq(function->writes, 0);
    pci_command(&access, function->at, PCI_COMMAND_INTX_OFF, PCI_COMMAND_MASTER);
    ck_assert_uint_eq(space_get(function, PCI_COMMAND, 4), 0xa9000403); // and no status is lost
}
END_TEST

static Suite *pci_suite(void)
{
    Suite *suite = suite_create("pci");
    TCase *functions = tcase_create("functions");
    tcase_add_test(functions, empty_buses_hold_nothing);
    tcase_add_test(functions, function_is_recorded_with_all_it_says);
    tcase_add_test(functions, further_functions_count_only_if_the_first_says_so);
    tcase_add_test(functions, vendors_that_are_none_are_passed_over);
    tcase_add_test(functions, header_of_no_known_type_is_recorded_and_not_interpreted);
    tcase_add_test(functions, functions_beyond_the_room_are_counted_and_their_bridges_followed);
    tcase_add_test(functions, device_may_vanish_at_any_moment);
    tcase_add_test(functions, device_that_changes_its_name_is_left_out);
    tcase_add_test(functions, log_is_bounded_and_problems_are_counted);
    suite_add_tcase(suite, functions);

    TCase *bridges = tcase_create("bridges");
    tcase_add_test(bridges, bridges_lead_to_what_is_behind_them);
    tcase_add_test(bridges, bridge_with_bus_numbers_that_make_no_sense_is_not_followed);
    tcase_add_test(bridges, bridges_of_different_depths_do_not_share_buses);
    tcase_add_test(bridges, link_of_a_port_has_one_device);
    tcase_add_test(bridges, roots_begin_where_their_segments_do);
    tcase_add_test(bridges, roots_that_overlap_are_searched_once);
    suite_add_tcase(suite, bridges);

    TCase *misuse = tcase_create("misuse");
    tcase_add_test_raise_signal(misuse, register_that_is_not_aligned_is_a_mistake, SIGABRT);
    tcase_add_test_raise_signal(misuse, register_outside_the_space_is_a_mistake, SIGABRT);
    tcase_add_test_raise_signal(misuse, width_that_does_not_exist_is_a_mistake, SIGABRT);
    tcase_add_test_raise_signal(misuse, more_roots_than_there_are_windows_are_a_mistake, SIGABRT);
    tcase_add_test(misuse, what_is_not_reached_reads_ones_and_takes_nothing);
    suite_add_tcase(suite, misuse);
    return suite;
}

int main(void)
{
    return run_checks(pci_suite());
}
