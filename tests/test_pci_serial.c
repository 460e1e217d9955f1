// SPDX-License-Identifier: MIT
// kernel/hardware/pci_serial: which functions are serial ports that can be the line.
#include "pci_fixture.h"
#include "pci_serial.h"
#include "run_checks.h"

#define SERIAL 0x070002u // a 16550
#define MODEM  0x070300u
#define IO_BAR 1u // flags of the register
#define MEMORY 0u

static struct space_function *card(unsigned device, uint32_t class_code)
{
    return space_add(&space, SPACE_AT(0, device, 0), DISK, class_code);
}

// Device numbers of what is found, in order, after each the port or, behind an m, the address in
// memory: "3:c000 5:mfebf0000".
static const char *all_found(void)
{
    static char text[256];
    size_t used = 0;
    struct serial_place place;
    enumerate();
    text[0] = '\0';
    for (const struct pci_function *at = pci_serial_find(&pci, NULL, &place); at != NULL;
         at = pci_serial_find(&pci, at, &place))
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%u:%s%lx",
                                 used > 0 ? " " : "", at->address.device, place.memory ? "m" : "",
                                 (unsigned long)place.address);
    return text;
}

START_TEST(cards_are_found_in_order_by_class)
{
    space_init(&space);
    space_bar(card(2, OTHER), 0, 0xb000, 8, IO_BAR);
    space_bar(card(3, SERIAL), 0, 0xc000, 8, IO_BAR);
    space_bar(card(4, MODEM), 0, 0xc100, 8, IO_BAR);
    space_bar(card(5, 0x070000), 0, 0xd008, 8, IO_BAR);
    ck_assert_str_eq(all_found(), "3:c000 5:d008");
}
END_TEST

START_TEST(the_first_bar_that_has_eight_ports_is_taken)
{
    space_init(&space);
    struct space_function *function = card(3, SERIAL);
    space_bar(function, 0, 0xfebf1000, 0x1000, MEMORY);
    space_bar(function, 1, 0xc004, 4, IO_BAR);
    space_bar(function, 2, 0xc040, 32, IO_BAR);
    space_bar(function, 3, 0xc080, 8, IO_BAR);
    ck_assert_str_eq(all_found(), "3:c040");
}
END_TEST

START_TEST(memory_is_taken_where_there_are_no_ports)
{
    space_init(&space);
    space_bar(card(3, SERIAL), 0, 0xfebf1000, 0x1000, MEMORY);
    space_bar(card(4, SERIAL), 1, 0xfebf2000, 0x1000, MEMORY | 8); // prefetchable
    struct space_function *both = card(5, SERIAL);
    space_bar(both, 0, 0xfebf3000, 0x1000, MEMORY);
    space_bar(both, 1, 0xc000, 8, IO_BAR);
    ck_assert_str_eq(all_found(), "3:mfebf1000 5:c000");
}
END_TEST

START_TEST(registers_in_memory_may_be_apart_where_there_is_room)
{
    static const struct {
        uint64_t address, size;
        bool memory, apart;
    } cases[] = {{0xfebf1000, 32, true, true},
                 {0xfebf1000, 31, true, false},
                 {0xfebf1000, 0, true, false},
                 {0xfebf1002, 64, true, false},
                 {0xfebf1000, 32, false, false}};
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct serial_place place = {.memory = cases[i].memory, .stride = 1, .width = 1};
        const struct pci_function at = {
            .bars[1] = {PCI_BAR_ASSIGNED, .address = cases[i].address, .size = cases[i].size}};
        ck_assert_msg(pci_serial_apart(&at, &place) == cases[i].apart, "case %u", i);
        ck_assert(!cases[i].apart || (place.stride == 4 && place.width == 4));
    }
}
END_TEST

START_TEST(a_card_without_ports_is_passed_over)
{
    space_init(&space);
    space_bar(card(3, OTHER), 0, 0xfebf1000, 0x1000, MEMORY);
    card(4, SERIAL);
    space_bar(card(5, SERIAL), 0, 0, 8, IO_BAR); // not assigned
    space_bar(card(6, SERIAL), 0, 0xc004, 4, IO_BAR);
    ck_assert_str_eq(all_found(), "");
    space_bar(card(7, SERIAL), 5, 0xfff0, 8, IO_BAR);
    ck_assert_str_eq(all_found(), "7:fff0");
}
END_TEST

START_TEST(nothing_found_leaves_the_port_alone)
{
    struct serial_place place = {.address = 0x1234};
    space_init(&space);
    enumerate();
    ck_assert_ptr_null(pci_serial_find(&pci, NULL, &place));
    ck_assert_uint_eq(place.address, 0x1234);
}
END_TEST

START_TEST(a_size_that_is_not_known_is_trusted_and_an_address_beyond_the_ports_is_not)
{
    static const struct {
        uint64_t address, size;
        bool taken;
    } cases[] = {
        {0xc000, 0, true},  {0xc004, 0, false},  {0xfff8, 0, true},     {0xfffc, 0, false},
        {0xc000, 4, false}, {0x10000, 0, false}, {0x100c000, 8, false}, {0, 8, false},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct serial_place place = {.address = 0};
        pci = (struct pci){.count = 1};
        pci.functions[0] =
            (struct pci_function){.class_code = SERIAL,
                                  .bars[4] = {PCI_BAR_ASSIGNED, .io = true,
                                              .address = cases[i].address, .size = cases[i].size}};
        const bool taken = pci_serial_find(&pci, NULL, &place) != NULL;
        ck_assert_msg(taken == cases[i].taken, "case %u", i);
        ck_assert_uint_eq(place.address, taken ? cases[i].address : 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pci_serial");
    TCase *tests = tcase_create("cards");
    tcase_add_test(tests, cards_are_found_in_order_by_class);
    tcase_add_test(tests, the_first_bar_that_has_eight_ports_is_taken);
    tcase_add_test(tests, memory_is_taken_where_there_are_no_ports);
    tcase_add_test(tests, registers_in_memory_may_be_apart_where_there_is_room);
    tcase_add_test(tests, a_card_without_ports_is_passed_over);
    tcase_add_test(tests, nothing_found_leaves_the_port_alone);
    tcase_add_test(tests,
                   a_size_that_is_not_known_is_trusted_and_an_address_beyond_the_ports_is_not);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
