// SPDX-License-Identifier: MIT
// kernel/hardware/pci_bar: addresses and sizes, what is left alone, what is restored.
#include "pci_bar.h"
#include "pci_fixture.h"
#include "run_checks.h"

static uint8_t before[PCI_BYTES_EXTENDED];

// One device, looked at; everything must be as it was.
static struct space_function *device(void)
{
    space_init(&space);
    return space_add(&space, SPACE_AT(0, 3, 0), DISK, OTHER);
}

static const struct pci_bar *look(const struct space_function *function, unsigned slot)
{
    memcpy(before, function->bytes, sizeof(before));
    enumerate();
    ck_assert_mem_eq(before, function->bytes, sizeof(before));
    ck_assert_uint_eq(pci.count, 1);
    return &pci.functions[0].bars[slot];
}

// ---- kinds -------------------------------------------------------------------------------------

START_TEST(bar_of_each_kind_has_address_and_size)
{
    static const struct {
        unsigned slot;
        uint64_t address, size;
        uint32_t flags;
        bool io, wide, prefetchable;
    } cases[] = {
        {0, 0xfebf1000, 0x1000, 0, false, false, false},
        {5, 0xfebf1000, 0x10, 8, false, false, true},
        {1, 0x80000000, 0x80000000 / 2, 0, false, false, false},
        {2, 0xd0000, 0x4000, 2, false, false, false}, // below 1 MiB
        {0, 0xfe800000, 0x4000, 4, false, true, false},
        {4, 0x8000000000, 0x100000000, 0xc, false, true, true}, // all of the low half is address
        {2, 0x4000000000000, 0x1000000000000, 4, false, true, false},
        {0, 0xc000, 0x4, 1, true, false, false},
        {3, 0xc100, 0x100, 1, true, false, false},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct space_function *function = device();
        space_bar(function, cases[i].slot, cases[i].address, cases[i].size, cases[i].flags);
        const struct pci_bar *bar = look(function, cases[i].slot);
        ck_assert_msg(bar->state == PCI_BAR_ASSIGNED, "case %u", i);
        ck_assert_uint_eq(bar->address, cases[i].address);
        ck_assert_uint_eq(bar->size, cases[i].size);
        ck_assert(bar->io == cases[i].io && bar->wide == cases[i].wide &&
                  bar->prefetchable == cases[i].prefetchable);
        for (unsigned k = 0; k < PCI_BARS; k++) {
            const bool upper = cases[i].wide && k == cases[i].slot + 1;
            if (k != cases[i].slot)
                ck_assert_int_eq(pci.functions[0].bars[k].state,
                                 upper ? PCI_BAR_UPPER : PCI_BAR_ABSENT);
        }
        ck_assert(pci.functions[0].sized && lines == 0);
    }
}
END_TEST

START_TEST(port_may_have_an_upper_half_of_zeros)
{
    struct space_function *function = device();
    space_bar(function, 0, 0xc000, 0x20, 1);
    space_writable(function, PCI_BAR_0, 4, 0xffe0);
    const struct pci_bar *bar = look(function, 0);
    ck_assert(bar->state == PCI_BAR_ASSIGNED && bar->size == 0x20 && bar->address == 0xc000);
}
END_TEST

START_TEST(bar_without_a_place_is_unassigned)
{
    static const struct {
        uint64_t address, size;
        uint32_t flags;
    } cases[] = {
        {0, 0x1000, 0},
        {0, 0x4000, 0xc},
        {0, 0x20, 1},
        {0x10000, 0x20, 1},             // no such port
        {0xffe0, 0x20, 1},              // all bits of an address: left from sizing
        {0xfffff000, 0x1000, 0},        // the same
        {(uint64_t)1 << 52, 0x4000, 4}, // no such memory
        {-(uint64_t)0x4000, 0x4000, 4},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct space_function *function = device();
        space_bar(function, 0, cases[i].address, cases[i].size, cases[i].flags);
        const struct pci_bar *bar = look(function, 0);
        ck_assert_msg(bar->state == PCI_BAR_UNASSIGNED, "case %u", i);
        ck_assert_uint_eq(bar->size, cases[i].size);
        ck_assert_uint_eq(pci.problems, 0);
    }
}
END_TEST

START_TEST(bar_that_is_none_is_broken)
{
    static const struct {
        unsigned slot;
        uint32_t found, writable;
        const char *why;
    } cases[] = {
        {5, 0xfe800004, 0xfffff000, "64-bit BAR in the last slot"},
        {0, 0xfe800006, 0xfffff000, "a type that does not exist"},
        {0, 0xfe800000, 0xfffff00f, "changes what it is"}, // takes its flags too
        {0, 0xc001, 0xffffffe2, "changes what it is"},
        {0, 0xfe800000, 0xff00f000, "no power of two"},
        {0, 0xfe000000, 0xfffff100, "no power of two"},
        {0, 0x0000c001, 0x0000fee0, "no power of two"},
        {0, 0x00000001, 0xffff0000, "no power of two"}, // all ports
        {0, 0x00000008, 0, "no power of two"},
        {0, 0xfe800400, 0xfffff000, "no power of two"}, // a bit stuck below the size
        {0, UINT32_MAX, 0, "a type that does not exist"},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct space_function *function = device();
        space_put(function, PCI_BAR_0 + 4 * cases[i].slot, 4, cases[i].found);
        space_writable(function, PCI_BAR_0 + 4 * cases[i].slot, 4, cases[i].writable);
        const struct pci_bar *bar = look(function, cases[i].slot);
        ck_assert_msg(bar->state == PCI_BAR_BROKEN, "case %u: %d", i, bar->state);
        ck_assert(bar->address == 0 && bar->size == 0);
        ck_assert_msg(logged(cases[i].why), "case %u: %s", i, last_line);
        ck_assert_uint_eq(pci.problems, 1);
    }
}
END_TEST

START_TEST(headers_have_as_many_bars_as_they_have)
{
    static const unsigned counts[] = {6, 2, 1, 0};
    for (unsigned header = 0; header < ARRAY_COUNT(counts); header++) {
        struct space_function *function = device();
        for (unsigned i = 0; i < PCI_BARS; i++)
            space_bar(function, i, 0xfe000000 + 0x1000 * i, 0x1000, 0);
        function->bytes[PCI_HEADER] = (uint8_t)header;
        // The model decides what is a BAR by the header too: elsewhere a write would show.
        look(function, 0);
        unsigned assigned = 0;
        for (unsigned i = 0; i < PCI_BARS; i++)
            assigned += pci.functions[0].bars[i].state == PCI_BAR_ASSIGNED;
        ck_assert_uint_eq(assigned, counts[header]);
    }
    struct space_function *bridge = device(); // a wide one in its last slot
    bridge->bytes[PCI_HEADER] = PCI_HEADER_BRIDGE;
    space_bar(bridge, 1, 0xfe000000, 0x1000, 4);
    look(bridge, 1);
    ck_assert(logged("64-bit BAR in the last slot"));
}
END_TEST

// ---- what happens meanwhile --------------------------------------------------------------------

START_TEST(decoding_is_off_while_bars_move_and_on_again)
{
    for (uint32_t command = 0; command < 8; command++) {
        struct space_function *function = device();
        space_put(function, PCI_COMMAND, 2, 0x0540 | command);
        space_bar(function, 0, 0xfe000000, 0x1000, 0);
        space_bar(function, 1, 0xc000, 0x20, 1);
        look(function, 0); // which asks the model whether a BAR moved while it was on
        ck_assert_uint_eq(space_get(function, PCI_COMMAND, 2), 0x0540 | command);
        ck_assert_uint_eq(pci.functions[0].command, 0x0540 | command);
        ck_assert_uint_eq(pci.functions[0].bars[0].size, 0x1000);
    }
}
END_TEST

START_TEST(function_whose_decoding_stays_on_is_not_sized)
{
    struct space_function *function = device();
    space_bar(function, 0, 0xfe000000, 0x1000, 0);
    function->writable[PCI_COMMAND] = 0;
    const struct pci_bar *bar = look(function, 0);
    ck_assert(!pci.functions[0].sized);
    ck_assert(bar->state == PCI_BAR_ASSIGNED && bar->address == 0xfe000000 && bar->size == 0);
    ck_assert(logged("decoding of addresses does not go off"));
}
END_TEST

struct change {
    // What is read at `offset` behind the first `from` reads is another; `once`: the next only.
    unsigned offset, from, reads;
    bool once;
    uint32_t other;
};

static uint32_t changed(struct space *twisted, struct space_function *function, unsigned offset,
                        unsigned bytes, uint32_t value)
{
    struct change *change = twisted->twist_context;
    (void)function;
    (void)bytes;
    if (offset != change->offset)
        return value;
    change->reads++;
    return change->reads == change->from + 1 || (!change->once && change->reads > change->from)
               ? change->other
               : value;
}

START_TEST(what_is_not_taken_back_is_noticed)
{
    static const struct {
        struct change change;
        const char *why;
    } cases[] = {
        // The console's check reads a BAR first, then what is found, ones, and what is restored.
        {{.offset = 0x10, .from = 3, .other = 0xfe001000}, "does not take its address back"},
        {{.offset = 0x1c, .from = 3, .other = 1}, "does not take its address back"}, // upper half
        {{.offset = 0x10, .from = 2, .other = 0x12345670}, "does not take its address back"},
        {{.offset = 0x24, .from = 3, .other = 5}, "does not take its address back"}, // an empty one
        {{.offset = 0x10, .from = 2, .once = true, .other = 0xfc000000}, "not aligned"},
        {{.offset = PCI_COMMAND, .from = 2, .other = 0}, "command register does not take"},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct change change = cases[i].change;
        struct space_function *function = device();
        space_bar(function, 0, 0xfe000000, 0x1000, 0);
        space_bar(function, 2, 0xfe00000000, 0x1000, 4);
        space.twist = changed;
        space.twist_context = &change;
        look(function, 0);
        ck_assert_msg(pci.problems == 1 && logged(cases[i].why), "case %u: %s", i, last_line);
        const unsigned slot = (change.offset - 0x10) / 4 & ~1u;
        if (change.offset == 0x24)
            ck_assert_int_eq(pci.functions[0].bars[5].state, PCI_BAR_BROKEN);
        else if (change.offset != PCI_COMMAND)
            ck_assert_int_eq(pci.functions[0].bars[slot].state, PCI_BAR_BROKEN);
    }
}
END_TEST

// ---- what is left alone ------------------------------------------------------------------------

static const struct pci_in_use used[] = {{true, 0x3f8, 0x400}, {false, 0xe0001000, 0xe0002000}};

static bool is_sized(const struct space_function *function)
{
    struct pci_search search = searched();
    search.in_use = used;
    search.in_use_count = ARRAY_COUNT(used);
    memcpy(before, function->bytes, sizeof(before));
    pci_enumerate(&pci, &search);
    ck_assert_mem_eq(before, function->bytes, sizeof(before));
    ck_assert_uint_eq(pci.count, 1);
    ck_assert(pci.functions[0].sized == (function->writes > 0));
    return pci.functions[0].sized;
}

START_TEST(bridges_to_other_things_than_pci_are_left_alone)
{
    static const struct {
        uint32_t class_code;
        bool sized;
    } cases[] = {{0x060000, false}, {0x060100, false}, {0x060200, false}, {0x068000, false},
                 {0x060401, false}, {0x060400, true},  {0x070002, true},  {0x030000, true}};
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct space_function *function = device();
        space_put(function, PCI_CLASS, 4, cases[i].class_code << 8);
        space_bar(function, 0, 0xfe000000, 0x1000, 0);
        ck_assert_msg(is_sized(function) == cases[i].sized, "case %u", i);
        const struct pci_bar *bar = &pci.functions[0].bars[0];
        ck_assert(bar->state == PCI_BAR_ASSIGNED && bar->address == 0xfe000000);
        ck_assert_uint_eq(bar->size, cases[i].sized ? 0x1000 : 0);
    }
}
END_TEST

START_TEST(function_that_may_carry_the_console_is_left_alone)
{
    static const struct {
        uint64_t address, size;
        uint32_t flags;
        bool sized;
    } cases[] = {
        {0x3f8, 8, 1, false},
        {0x3c0, 8, 1, false}, // up to 64 ports from there
        {0x3e0, 8, 1, false},
        {0x3f0, 8, 1, false},
        {0x3f4, 4, 1, true},
        {0x400, 8, 1, true},
        {0x3f8, 8, 0, true}, // memory at that address is another thing
        {0xe0001000, 16, 0, false},
        {0xe0000000, 16, 8, false},
        {0xe0002000, 16, 0, true},
        {0xe0001ff0, 16, 4, false},
        {0x1e0001000, 16, 4, true},
        {0xe0000ff0, 16, 0, true},
        {0x8000000000000000, 16, 4, true},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct space_function *function = device();
        space_bar(function, 2, cases[i].address, cases[i].size, cases[i].flags);
        ck_assert_msg(is_sized(function) == cases[i].sized, "case %u", i);
    }
}
END_TEST

START_TEST(bridge_with_the_console_behind_it_is_left_alone)
{
    static const struct {
        unsigned offset, bytes;
        uint32_t value;
        bool sized;
    } cases[] = {
        {0x1c, 2, 0x0000, false}, // ports 0..fff
        {0x1c, 2, 0x1000, false}, // 0..1fff
        {0x1c, 2, 0xf010, true},  // 1000..ffff
        {0x1c, 2, 0x0101, true},  // 32 bits, upper halves below
        {0x20, 4, 0xe000e000, false}, {0x20, 4, 0xe010e010, true}, {0x20, 4, 0xe000d000, false},
        {0x24, 4, 0xe000e000, false}, {0x24, 4, 0xe001e001, true}, // 64 bits
        {0x24, 4, 0xfff1e001, true},  {0x3e, 2, 0x0008, true}, // a VGA's old ports are not in use
                                                               // here
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        space_init(&space);
        struct space_function *bridge = space_add_bridge(&space, SPACE_AT(0, 3, 0), 1, 1);
        space_put(bridge, 0x28, 4, 0x10);
        space_put(bridge, 0x2c, 4, UINT32_MAX);
        space_put(bridge, 0x30, 4, 0x00020001);
        space_bar(bridge, 0, 0xfe000000, 0x100, 0);
        ck_assert(is_sized(bridge));
        bridge->writes = 0;
        space_put(bridge, cases[i].offset, cases[i].bytes, cases[i].value);
        ck_assert_msg(is_sized(bridge) == cases[i].sized, "case %u", i);
    }
    space_init(&space);
    struct space_function *bridge = space_add_bridge(&space, SPACE_AT(0, 3, 0), 1, 1);
    space_put(bridge, 0x24, 4, 0x0001d001); // from d0000000 to the sky
    space_put(bridge, 0x2c, 4, UINT32_MAX);
    ck_assert(!is_sized(bridge));
}
END_TEST

START_TEST(closed_window_touches_nothing)
{
    static const struct pci_in_use everything[] = {{true, 0, 0x10000}, {false, 0, UINT64_MAX}};
    struct pci_search search = searched();
    search.in_use = everything;
    search.in_use_count = ARRAY_COUNT(everything);
    space_init(&space);
    space_add_bridge(&space, SPACE_AT(0, 3, 0), 1, 1);
    pci_enumerate(&pci, &search);
    ck_assert(pci.functions[0].sized);
}
END_TEST

START_TEST(vga_is_left_alone_if_it_is_the_console)
{
    static const struct pci_in_use screens[] = {
        {false, 0xb8000, 0xb9000}, {true, 0x3d4, 0x3d6}, {true, 0x3f8, 0x400}};
    for (unsigned i = 0; i < 6; i++) {
        struct pci_search search = searched();
        search.in_use = &screens[i / 2];
        search.in_use_count = 1;
        space_init(&space);
        if (i % 2 == 0) {
            space_add(&space, SPACE_AT(0, 3, 0), DISK, 0x030000);
        } else {
            struct space_function *bridge = space_add_bridge(&space, SPACE_AT(0, 3, 0), 1, 1);
            bridge->bytes[0x3e] = 0x08;
        }
        pci_enumerate(&pci, &search);
        ck_assert_int_eq(pci.functions[0].sized, i / 2 == 2);
    }
}
END_TEST

static Suite *bar_suite(void)
{
    Suite *suite = suite_create("pci_bar");
    TCase *kinds = tcase_create("kinds");
    tcase_add_test(kinds, bar_of_each_kind_has_address_and_size);
    tcase_add_test(kinds, port_may_have_an_upper_half_of_zeros);
    tcase_add_test(kinds, bar_without_a_place_is_unassigned);
    tcase_add_test(kinds, bar_that_is_none_is_broken);
    tcase_add_test(kinds, headers_have_as_many_bars_as_they_have);
    suite_add_tcase(suite, kinds);

    TCase *sizing = tcase_create("sizing");
    tcase_add_test(sizing, decoding_is_off_while_bars_move_and_on_again);
    tcase_add_test(sizing, function_whose_decoding_stays_on_is_not_sized);
    tcase_add_test(sizing, what_is_not_taken_back_is_noticed);
    tcase_add_test(sizing, bridges_to_other_things_than_pci_are_left_alone);
    tcase_add_test(sizing, function_that_may_carry_the_console_is_left_alone);
    tcase_add_test(sizing, bridge_with_the_console_behind_it_is_left_alone);
    tcase_add_test(sizing, closed_window_touches_nothing);
    tcase_add_test(sizing, vga_is_left_alone_if_it_is_the_console);
    suite_add_tcase(suite, sizing);
    return suite;
}

int main(void)
{
    return run_checks(bar_suite());
}
