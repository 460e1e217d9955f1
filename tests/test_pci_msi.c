// SPDX-License-Identifier: MIT
// kernel/hardware/pci_msi: messages, MSI of every shape in configuration space, MSI-X over a table
// in a device's memory; damaged ones are refused before anything is written.
#include <signal.h>

#include "pci_fixture.h"
#include "pci_msi.h"
#include "run_checks.h"

#define VECTOR 0x51u
#define APIC   7u

// ---- messages ----------------------------------------------------------------------------------

START_TEST(message_names_vector_and_cpu)
{
    static const struct {
        unsigned vector;
        uint32_t apic_id;
        enum status status;
        uint32_t address;
    } cases[] = {
        {32, 0, STATUS_OK, 0xfee00000},
        {254, 254, STATUS_OK, 0xfeefe000},
        {VECTOR, APIC, STATUS_OK, 0xfee07000},
        {31, 0, STATUS_INVALID, 0},
        {255, 0, STATUS_INVALID, 0},
        {0, 0, STATUS_INVALID, 0},
        {256 + VECTOR, 0, STATUS_INVALID, 0},
        {VECTOR, 255, STATUS_TOO_LARGE, 0},
        {VECTOR, 256, STATUS_TOO_LARGE, 0},
        {VECTOR, 0x100000, STATUS_TOO_LARGE, 0},
        {VECTOR, UINT32_MAX, STATUS_TOO_LARGE, 0},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct pci_message message = {0, 0};
        ck_assert_int_eq(pci_message_make(&message, cases[i].vector, cases[i].apic_id),
                         cases[i].status);
        ck_assert_uint_eq(message.address, cases[i].address);
        ck_assert_uint_eq(message.data, cases[i].address != 0 ? cases[i].vector : 0);
    }
}
END_TEST

// ---- MSI ---------------------------------------------------------------------------------------

#define WIDE     (1u << 7)
#define MASKABLE (1u << 8)

static struct pci_access reached;

// A function with MSI at `offset` whose control register reads `control`, and that takes as much as
// it should.
static struct space_function *with_msi(unsigned offset, uint16_t control)
{
    space_init(&space);
    reached = space_access(&space);
    struct space_function *function = space_add(&space, SPACE_AT(0, 3, 0), DISK, NVME);
    space_capability(function, offset, PCI_CAPABILITY_MSI);
    space_put(function, offset + 2, 2, control);
    space_writable(function, offset + 2, 2, 0x0071);
    const unsigned data = (control & WIDE) != 0 ? 12 : 8;
    space_writable(function, offset + 4, 4, 0xfffffffc);
    if ((control & WIDE) != 0)
        space_writable(function, offset + 8, 4, UINT32_MAX);
    if (offset + data + 2 <= PCI_BYTES)
        space_writable(function, offset + data, 2, UINT16_MAX);
    if ((control & MASKABLE) != 0 && offset + data + 8 <= PCI_BYTES)
        space_writable(function, offset + data + 4, 4, UINT32_MAX);
    return function;
}

START_TEST(msi_of_each_shape_is_routed_enabled_and_masked)
{
    static const uint16_t shapes[] = {0, WIDE, MASKABLE, WIDE | MASKABLE};
    for (unsigned i = 0; i < ARRAY_COUNT(shapes); i++) {
        struct pci_msi msi;
        // Five vectors' worth, and left enabled with some of them by whoever was there before.
        struct space_function *function = with_msi(0x60, shapes[i] | 5 << 1 | 3 << 4 | 1);
        const bool wide = (shapes[i] & WIDE) != 0;
        const unsigned data = wide ? 0x6c : 0x68;
        space_put(function, data + 2, 2, 0xbeef); // not the message's
        if (wide)
            space_put(function, 0x68, 4, 0x12345678);
        enumerate();
        ck_assert_uint_eq(pci.functions[0].msi_vectors, 32);
        ck_assert_uint_eq(space_get(function, 0x62, 2) & 1, 1);
        ck_assert_int_eq(pci_msi_open(&msi, &reached, &pci.functions[0]), STATUS_OK);
        ck_assert_uint_eq(space_get(function, 0x62, 2) & 1, 0);

        ck_assert_int_eq(pci_msi_route(&msi, VECTOR, APIC), STATUS_OK);
        ck_assert_uint_eq(space_get(function, 0x62, 2), shapes[i] | 5 << 1); // one vector, off
        ck_assert_uint_eq(space_get(function, 0x64, 4), 0xfee00000 | APIC << 12);
        ck_assert_uint_eq(space_get(function, data, 4), 0xbeef0000 | VECTOR);
        if (wide)
            ck_assert_uint_eq(space_get(function, 0x68, 4), 0);

        pci_msi_enable(&msi, true);
        ck_assert_uint_eq(space_get(function, 0x62, 2), shapes[i] | 5 << 1 | 1);
        ck_assert_int_eq(pci_msi_route(&msi, VECTOR + 1, APIC + 1), STATUS_OK);
        ck_assert_uint_eq(space_get(function, 0x62, 2), shapes[i] | 5 << 1 | 1); // still on
        pci_msi_enable(&msi, false);
        ck_assert_uint_eq(space_get(function, 0x62, 2), shapes[i] | 5 << 1);

        const bool maskable = (shapes[i] & MASKABLE) != 0;
        ck_assert_int_eq(pci_msi_mask(&msi, true), maskable ? STATUS_OK : STATUS_INVALID);
        ck_assert_uint_eq(space_get(function, data + 4, 4), maskable);
        ck_assert(!pci_msi_pending(&msi));
        space_put(function, data + 8, 4, 1);
        ck_assert(pci_msi_pending(&msi) == maskable);
        space_put(function, data + 4, 4, 0xff);
        ck_assert_int_eq(pci_msi_mask(&msi, false), maskable ? STATUS_OK : STATUS_INVALID);
        ck_assert_uint_eq(space_get(function, data + 4, 4), maskable ? 0xfe : 0xff);
    }
}
END_TEST

START_TEST(msi_that_leaves_the_space_is_none)
{
    static const struct {
        unsigned offset;
        uint16_t control;
        unsigned vectors;
    } cases[] = {
        {0xf4, 0, 1},
        {0xf8, 0, 0},
        {0xf0, WIDE, 1},
        {0xf4, WIDE, 0},
        {0xec, MASKABLE, 1},
        {0xf0, MASKABLE, 0},
        {0xe8, WIDE | MASKABLE, 1},
        {0xec, WIDE | MASKABLE, 0},
        {0x40, 5 << 1, 32},
        {0x40, 6 << 1, 0},
        {0x40, 7 << 1, 0},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct pci_msi msi;
        with_msi(cases[i].offset, cases[i].control);
        enumerate();
        ck_assert_msg(pci.functions[0].msi_vectors == cases[i].vectors, "case %u", i);
        ck_assert_int_eq(pci_msi_open(&msi, &reached, &pci.functions[0]),
                         cases[i].vectors != 0 ? STATUS_OK : STATUS_INVALID);
    }
}
END_TEST

START_TEST(msi_that_changed_since_it_was_found_is_refused)
{
    struct pci_msi msi;
    struct space_function *function = with_msi(0xf0, WIDE);
    enumerate();
    space_put(function, 0xf2, 2, WIDE | MASKABLE); // no longer fits
    ck_assert_int_eq(pci_msi_open(&msi, &reached, &pci.functions[0]), STATUS_CORRUPT);
    space_put(function, 0xf2, 2, WIDE | 1 << 1);
    ck_assert_int_eq(pci_msi_open(&msi, &reached, &pci.functions[0]), STATUS_CORRUPT);
}
END_TEST

START_TEST(msi_that_does_not_take_its_message_stays_off)
{
    static const struct {
        unsigned offset, bytes;
        uint32_t writable;
    } stuck[] = {{0x64, 4, 0xffff0000}, {0x68, 4, 0}, {0x6c, 2, 0xff0f}};
    for (unsigned i = 0; i < ARRAY_COUNT(stuck); i++) {
        struct pci_msi msi;
        struct space_function *function = with_msi(0x60, WIDE);
        space_put(function, 0x68, 4, 1);
        space_writable(function, stuck[i].offset, stuck[i].bytes, stuck[i].writable);
        enumerate();
        ck_assert_int_eq(pci_msi_open(&msi, &reached, &pci.functions[0]), STATUS_OK);
        pci_msi_enable(&msi, true);
        ck_assert_int_eq(pci_msi_route(&msi, VECTOR, APIC), STATUS_CORRUPT);
        ck_assert_uint_eq(space_get(function, 0x62, 2) & 1, 0);
    }
}
END_TEST

START_TEST(refused_message_changes_nothing)
{
    struct pci_msi msi;
    struct space_function *function = with_msi(0x60, WIDE);
    enumerate();
    ck_assert_int_eq(pci_msi_open(&msi, &reached, &pci.functions[0]), STATUS_OK);
    function->writes = 0;
    ck_assert_int_eq(pci_msi_route(&msi, VECTOR, 256), STATUS_TOO_LARGE);
    ck_assert_int_eq(pci_msi_route(&msi, 8, 0), STATUS_INVALID);
    ck_assert_uint_eq(function->writes, 0);
}
END_TEST

// ---- MSI-X -------------------------------------------------------------------------------------

#define ENABLE   (1u << 15)
#define MASK_ALL (1u << 14)
#define BAR_AT   0xfe000000u
#define BAR_SIZE 0x4000u
#define ENTRIES  65u
#define TABLE    0x2000u
#define PENDING  0x3000u

static struct pci_msix msix;
static struct space_memory table, pending;
static struct space_function *device;

static void put_memory(struct space_memory *memory, uint64_t length)
{
    free(memory->bytes);
    // Exactly as long as was asked for, so that a sanitizer sees what lies beyond.
    *memory = (struct space_memory){calloc(1, length), length, UINT64_MAX, 0};
    ck_assert_ptr_nonnull(memory->bytes);
}

// NVMe as QEMU has it: 65 vectors, table and pending bits in one BAR.
static void with_msix(uint32_t table_at, uint32_t pending_at)
{
    space_init(&space);
    reached = space_access(&space);
    device = space_add(&space, SPACE_AT(0, 3, 0), DISK, NVME);
    space_bar(device, 0, BAR_AT, BAR_SIZE, 4);
    space_bar(device, 2, 0xc000, 0x80, 1);
    space_bar(device, 3, 0, 0x4000, 0);
    space_bar(device, 4, 0x10fe000000, 0x1000, 4);
    space_capability(device, 0x40, PCI_CAPABILITY_MSIX);
    space_put(device, 0x42, 2, ENTRIES - 1);
    space_writable(device, 0x42, 2, ENABLE | MASK_ALL);
    space_put(device, 0x44, 4, table_at);
    space_put(device, 0x48, 4, pending_at);
    enumerate();
    ck_assert_uint_eq(pci.functions[0].msix_vectors, ENTRIES);
}

static enum status open_msix(void)
{
    return pci_msix_open(&msix, &reached, &pci.functions[0]);
}

static enum status attach_msix(void)
{
    put_memory(&table, msix.table_bytes);
    put_memory(&pending, msix.pending_bytes);
    memset(table.bytes, 0xa4, table.length); // no entry is masked
    return pci_msix_attach(&msix, space_memory_access(&table), space_memory_access(&pending));
}

static uint32_t word(unsigned entry, unsigned field)
{
    return space_memory_read(&table, entry * 16 + field, 4);
}

START_TEST(msix_is_found_routed_masked_and_enabled)
{
    with_msix(TABLE, PENDING);
    space_put(device, 0x42, 2, ENABLE | (ENTRIES - 1));
    ck_assert_int_eq(open_msix(), STATUS_OK);
    ck_assert_uint_eq(space_get(device, 0x42, 2), ENTRIES - 1);
    ck_assert(msix.entries == ENTRIES && msix.table_bytes == ENTRIES * 16);
    ck_assert(msix.table_address == BAR_AT + TABLE && msix.pending_address == BAR_AT + PENDING);
    ck_assert_uint_eq(msix.pending_bytes, 16);
    ck_assert_int_eq(attach_msix(), STATUS_OK);
    ck_assert_uint_eq(space_get(device, 0x42, 2), ENABLE | MASK_ALL | (ENTRIES - 1));
    for (unsigned i = 0; i < ENTRIES; i++)
        ck_assert_uint_eq(word(i, 12), 0xa4a4a4a5);

    ck_assert_int_eq(pci_msix_route(&msix, ENTRIES - 1, VECTOR, APIC), STATUS_OK);
    ck_assert_uint_eq(word(ENTRIES - 1, 0), 0xfee00000 | APIC << 12);
    ck_assert_uint_eq(word(ENTRIES - 1, 4), 0);
    ck_assert_uint_eq(word(ENTRIES - 1, 8), VECTOR);
    ck_assert_uint_eq(word(ENTRIES - 1, 12), 0xa4a4a4a5); // still masked, the rest as it was
    ck_assert_uint_eq(word(ENTRIES - 2, 8), 0xa4a4a4a4);
    pci_msix_mask(&msix, ENTRIES - 1, false);
    ck_assert_uint_eq(word(ENTRIES - 1, 12), 0xa4a4a4a4);
    ck_assert_int_eq(pci_msix_route(&msix, ENTRIES - 1, VECTOR, APIC), STATUS_OK);
    ck_assert_uint_eq(word(ENTRIES - 1, 12), 0xa4a4a4a5);

    pci_msix_enable(&msix, true);
    ck_assert_uint_eq(space_get(device, 0x42, 2), ENABLE | (ENTRIES - 1));
    pci_msix_mask_all(&msix, true);
    ck_assert_uint_eq(space_get(device, 0x42, 2), ENABLE | MASK_ALL | (ENTRIES - 1));
    pci_msix_mask_all(&msix, false);
    pci_msix_enable(&msix, false);
    ck_assert_uint_eq(space_get(device, 0x42, 2), ENTRIES - 1);
}
END_TEST

START_TEST(pending_bit_is_that_of_its_entry)
{
    with_msix(TABLE, PENDING);
    ck_assert_int_eq(open_msix(), STATUS_OK);
    ck_assert_int_eq(attach_msix(), STATUS_OK);
    for (unsigned i = 0; i < ENTRIES; i++) {
        memset(pending.bytes, 0, pending.length);
        pending.bytes[i / 8] = (uint8_t)(1u << i % 8);
        bool right = true;
        for (unsigned k = 0; k < ENTRIES; k++)
            right &= pci_msix_pending(&msix, k) == (k == i);
        ck_assert_msg(right, "entry %u", i);
    }
}
END_TEST

START_TEST(msix_outside_its_bar_is_refused)
{
    static const struct {
        uint32_t table, pending;
        enum status status;
    } cases[] = {
        {BAR_SIZE - ENTRIES * 16, 0, STATUS_OK},
        {BAR_SIZE - ENTRIES * 16 + 8, 0, STATUS_CORRUPT}, // its end is beyond
        {BAR_SIZE, 0, STATUS_CORRUPT},
        {0xfffffff8, 0, STATUS_CORRUPT},
        {0, BAR_SIZE - 16, STATUS_OK},
        {0, BAR_SIZE - 8, STATUS_CORRUPT},
        {0, ENTRIES * 16, STATUS_OK},
        {0, ENTRIES * 16 - 8, STATUS_CORRUPT}, // inside the table
        {16, 0, STATUS_OK},
        {8, 0, STATUS_CORRUPT},
        {0, 4, STATUS_OK}, // each in a BAR of its own
        {0x800 | 4, 0, STATUS_OK},
        {0, 1, STATUS_CORRUPT}, // the upper half of BAR 0
        {2, 0, STATUS_CORRUPT}, // ports
        {3, 0, STATUS_CORRUPT}, // not assigned
        {0, 5, STATUS_CORRUPT},
        {6, 0, STATUS_CORRUPT}, // BARs that do not exist
        {7, 0, STATUS_CORRUPT},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        with_msix(cases[i].table, cases[i].pending);
        device->writes = 0;
        ck_assert_msg(open_msix() == cases[i].status, "case %u", i);
        ck_assert(cases[i].status == STATUS_OK || device->writes == 0);
    }
}
END_TEST

START_TEST(msix_in_a_bar_of_unknown_size_is_refused)
{
    with_msix(TABLE, PENDING);
    space_put(device, PCI_CLASS, 4, 0x068000 << 8); // a bridge that is left alone
    enumerate();
    ck_assert_int_eq(pci.functions[0].bars[0].state, PCI_BAR_ASSIGNED);
    ck_assert_int_eq(open_msix(), STATUS_CORRUPT);
}
END_TEST

START_TEST(msix_that_changed_or_leaves_the_space_is_refused)
{
    with_msix(TABLE, PENDING);
    space_put(device, 0x42, 2, ENTRIES);
    ck_assert_int_eq(open_msix(), STATUS_CORRUPT);
    for (unsigned offset = 0xf4; offset <= 0xf8; offset += 4) {
        space_init(&space);
        device = space_add(&space, SPACE_AT(0, 3, 0), DISK, NVME);
        space_capability(device, offset, PCI_CAPABILITY_MSIX);
        enumerate();
        ck_assert_uint_eq(pci.functions[0].msix_vectors, offset == 0xf4);
    }
    ck_assert_int_eq(open_msix(), STATUS_INVALID);
}
END_TEST

START_TEST(largest_table_is_served)
{
    with_msix(0, 4);
    space_bar(device, 0, BAR_AT, 0x8000, 4);
    space_put(device, 0x42, 2, 0x7ff);
    enumerate();
    ck_assert_uint_eq(pci.functions[0].msix_vectors, PCI_MSIX_ENTRIES);
    ck_assert_int_eq(open_msix(), STATUS_OK);
    ck_assert_int_eq(attach_msix(), STATUS_OK);
    ck_assert_int_eq(pci_msix_route(&msix, PCI_MSIX_ENTRIES - 1, VECTOR, 0), STATUS_OK);
    ck_assert(!pci_msix_pending(&msix, PCI_MSIX_ENTRIES - 1));
}
END_TEST

START_TEST(table_that_takes_no_writes_is_refused)
{
    with_msix(TABLE, PENDING);
    ck_assert_int_eq(open_msix(), STATUS_OK);
    for (unsigned field = 0; field < 12; field += 4) {
        ck_assert_int_eq(attach_msix(), STATUS_OK);
        table.stuck_at = 3 * 16 + field;
        ck_assert_int_eq(pci_msix_route(&msix, 3, VECTOR, APIC), STATUS_CORRUPT);
        ck_assert_uint_eq(word(3, 12) & 1, 1);
        ck_assert_int_eq(pci_msix_route(&msix, 2, VECTOR, APIC), STATUS_OK);
    }
    put_memory(&table, msix.table_bytes);
    table.stuck_at = 12;
    ck_assert_int_eq(
        pci_msix_attach(&msix, space_memory_access(&table), space_memory_access(&pending)),
        STATUS_CORRUPT);
    table.writes = 0;
    ck_assert_int_eq(pci_msix_route(&msix, 2, VECTOR, 255), STATUS_TOO_LARGE);
    ck_assert_int_eq(pci_msix_route(&msix, 2, 16, 0), STATUS_INVALID);
    ck_assert_uint_eq(table.writes, 0);
}
END_TEST

// ---- misuse ------------------------------------------------------------------------------------

static void attached(void)
{
    with_msix(TABLE, PENDING);
    ck_assert_int_eq(open_msix(), STATUS_OK);
    ck_assert_int_eq(attach_msix(), STATUS_OK);
}

START_TEST(entry_beyond_the_table_is_a_mistake)
{
    attached();
    pci_msix_mask(&msix, ENTRIES, true);
}
END_TEST

START_TEST(pending_bit_beyond_the_table_is_a_mistake)
{
    attached();
    pci_msix_pending(&msix, ENTRIES);
}
END_TEST

START_TEST(memory_shorter_than_the_table_is_a_mistake)
{
    attached();
    table.length--;
    pci_msix_attach(&msix, space_memory_access(&table), space_memory_access(&pending));
}
END_TEST

START_TEST(memory_shorter_than_the_pending_bits_is_a_mistake)
{
    attached();
    pending.length--;
    pci_msix_attach(&msix, space_memory_access(&table), space_memory_access(&pending));
}
END_TEST

static Suite *msi_suite(void)
{
    Suite *suite = suite_create("pci_msi");
    TCase *msi = tcase_create("msi");
    tcase_add_test(msi, message_names_vector_and_cpu);
    tcase_add_test(msi, msi_of_each_shape_is_routed_enabled_and_masked);
    tcase_add_test(msi, msi_that_leaves_the_space_is_none);
    tcase_add_test(msi, msi_that_changed_since_it_was_found_is_refused);
    tcase_add_test(msi, msi_that_does_not_take_its_message_stays_off);
    tcase_add_test(msi, refused_message_changes_nothing);
    suite_add_tcase(suite, msi);

    TCase *tables = tcase_create("msix");
    tcase_add_test(tables, msix_is_found_routed_masked_and_enabled);
    tcase_add_test(tables, pending_bit_is_that_of_its_entry);
    tcase_add_test(tables, msix_outside_its_bar_is_refused);
    tcase_add_test(tables, msix_in_a_bar_of_unknown_size_is_refused);
    tcase_add_test(tables, msix_that_changed_or_leaves_the_space_is_refused);
    tcase_add_test(tables, largest_table_is_served);
    tcase_add_test(tables, table_that_takes_no_writes_is_refused);
    tcase_add_test_raise_signal(tables, entry_beyond_the_table_is_a_mistake, SIGABRT);
    tcase_add_test_raise_signal(tables, pending_bit_beyond_the_table_is_a_mistake, SIGABRT);
    tcase_add_test_raise_signal(tables, memory_shorter_than_the_table_is_a_mistake, SIGABRT);
    tcase_add_test_raise_signal(tables, memory_shorter_than_the_pending_bits_is_a_mistake, SIGABRT);
    suite_add_tcase(suite, tables);
    return suite;
}

int main(void)
{
    return run_checks(msi_suite());
}
