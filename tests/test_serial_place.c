// SPDX-License-Identifier: MIT
// kernel/hardware/serial_place, and ACPI's table DBG2: which serial ports tables tell of.
#include "acpi_builder.h"
#include "run_checks.h"
#include "serial_place.h"

START_TEST(registers_are_as_far_apart_as_they_are_wide)
{
    static const struct {
        unsigned interface;
        struct acpi_register at;
        bool found;
        struct serial_place place;
    } cases[] = {
        {0, {ACPI_SPACE_PORT, 8, 0, 0x3f8}, true, {false, 1, 1, 0x3f8}},
        {1, {ACPI_SPACE_PORT, 32, 3, 0xfff8}, true, {false, 1, 1, 0xfff8}},
        {0, {ACPI_SPACE_PORT, 8, 0, 0xfff9}, false, {0}},
        {0x12, {ACPI_SPACE_MEMORY, 32, 3, 0xfe030000}, true, {true, 4, 4, 0xfe030000}},
        {0x12, {ACPI_SPACE_MEMORY, 32, 1, 0xfe030001}, true, {true, 4, 1, 0xfe030001}},
        {0x12, {ACPI_SPACE_MEMORY, 32, 0, 0xfe030000}, true, {true, 4, 4, 0xfe030000}},
        {0x12, {ACPI_SPACE_MEMORY, 8, 3, 0xfe030001}, true, {true, 1, 1, 0xfe030001}},
        {0, {ACPI_SPACE_MEMORY, 16, 2, 0x1fe030000}, true, {true, 2, 2, 0x1fe030000}},
        {0, {ACPI_SPACE_MEMORY, 0, 0, 0xfe030000}, true, {true, 1, 1, 0xfe030000}},
        {0, {ACPI_SPACE_MEMORY, 32, 3, 0xfe030002}, false, {0}},
        {0, {ACPI_SPACE_MEMORY, 64, 4, 0xfe030000}, false, {0}},
        {0, {ACPI_SPACE_MEMORY, 24, 0, 0xfe030000}, false, {0}},
        {0, {ACPI_SPACE_MEMORY, 9, 0, 0xfe030000}, false, {0}},
        {0, {ACPI_SPACE_MEMORY, 32, 4, 0xfe030000}, false, {0}},
        {0, {ACPI_SPACE_MEMORY, 8, 1, 0xff8}, false, {0}},
        {0, {ACPI_SPACE_MEMORY, 32, 3, UINT64_MAX - 27}, false, {0}},
        {0, {ACPI_SPACE_NONE, 0, 0, 0}, false, {0}},
        {0, {ACPI_SPACE_PCI, 8, 1, 0x100}, false, {0}},
        {3, {ACPI_SPACE_MEMORY, 32, 3, 0xfe030000}, false, {0}}, // ARM's PL011
        {2, {ACPI_SPACE_PORT, 8, 1, 0x3f8}, false, {0}},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct serial_place place;
        const bool found = serial_place_of(cases[i].interface, cases[i].at, &place);
        ck_assert_msg(found == cases[i].found, "case %u", i);
        if (!found)
            continue;
        const struct serial_place *wanted = &cases[i].place;
        ck_assert_msg(place.memory == wanted->memory && place.stride == wanted->stride &&
                          place.width == wanted->width && place.address == wanted->address,
                      "case %u", i);
    }
}
END_TEST

// ---- DBG2 ---------------------------------------------------------------------------------------

#define ENTRY_LENGTH 22u
#define SERIAL       0x8000u
#define USB          0x8002u

static struct acpi_devices devices;

// An entry with one generic address behind it, and a name that nobody reads.
static void put_entry(struct build *build, uint16_t kind, uint16_t subkind, uint64_t address)
{
    put(build, 0, 1);
    put(build, ENTRY_LENGTH + 12 + 4 + 2, 2);
    put(build, 1, 1);
    put(build, 2, 2);
    put(build, ENTRY_LENGTH + 16, 2);
    put(build, 0, 4);
    put(build, kind, 2);
    put(build, subkind, 2);
    put(build, 0, 2);
    put(build, ENTRY_LENGTH, 2);
    put(build, ENTRY_LENGTH + 12, 2);
    put(build, 0, 1); // memory
    put(build, 32, 1);
    put(build, 0, 1);
    put(build, 3, 1);
    put(build, address, 8);
    put(build, 0x1000, 4);
    put_text(build, ".");
    put(build, 0, 1);
}

static uint64_t begin_dbg2(struct build *build, uint32_t count)
{
    const uint64_t at = begin_table(build, "DBG2", 0);
    put(build, ACPI_DBG2_LEAST, 4);
    put(build, count, 4);
    return at;
}

// Reads the table from memory of exactly its length; every refusal is one line.
static bool read_table(const struct build *build, uint64_t at)
{
    struct acpi_log log = listener();
    const struct acpi_bytes table = alone(build, at);
    devices = (struct acpi_devices){0};
    const bool right = acpi_dbg2_read(&devices, &table, &log);
    free((void *)table.bytes);
    ck_assert_uint_eq(log.problems, !right);
    return right;
}

START_TEST(serial_ports_for_a_debugger_are_taken_and_others_are_not)
{
    struct build build = {.used = 0};
    const uint64_t at = begin_dbg2(&build, 6);
    put_entry(&build, USB, 0, 0xfe000000);
    for (unsigned i = 0; i < ACPI_DEBUG_PORTS_MOST + 1; i++)
        put_entry(&build, SERIAL, 0x12, 0xfe030000 + 0x1000 * i);
    end_table(&build, at);
    ck_assert(read_table(&build, at));
    ck_assert_uint_eq(devices.debug.count, ACPI_DEBUG_PORTS_MOST);
    for (unsigned i = 0; i < ACPI_DEBUG_PORTS_MOST; i++) {
        const struct acpi_serial *port = &devices.debug.ports[i];
        struct serial_place place;
        ck_assert(serial_place_of(port->interface, port->registers, &place));
        ck_assert(place.memory && place.stride == 4);
        ck_assert_uint_eq(place.address, 0xfe030000 + 0x1000 * i);
    }
}
END_TEST

START_TEST(a_table_without_entries_is_fine)
{
    struct build build = {.used = 0};
    const uint64_t at = begin_dbg2(&build, 0);
    end_table(&build, at);
    ck_assert(read_table(&build, at));
    ck_assert_uint_eq(devices.debug.count, 0);
}
END_TEST

START_TEST(entries_that_leave_the_table_are_a_problem_and_what_came_before_is_kept)
{
    // By offset in the table; the first entry is whole.
    static const struct {
        const char *what;
        unsigned at, bytes;
        uint64_t value;
        unsigned kept;
    } changes[] = {
        {"too many entries", 40, 4, 65, 0},
        {"one more entry than there is", 40, 4, 3, 2},
        {"the first before the table's own fields", 36, 4, 40, 0},
        {"the first behind the end", 36, 4, 4000, 0},
        {"an entry of no length", 44 + 40 + 1, 2, 0, 1},
        {"an entry that is too short", 44 + 40 + 1, 2, 21, 1},
        {"an entry that is too long", 44 + 40 + 1, 2, 41, 1},
        {"an address in the entry's own fields", 44 + 40 + 18, 2, 21, 1},
        {"an address half outside", 44 + 40 + 18, 2, 29, 1},
        {"an address far away", 44 + 40 + 18, 2, 65535, 1},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(changes); i++) {
        struct build build = {.used = 0};
        const uint64_t at = begin_dbg2(&build, 2);
        put_entry(&build, SERIAL, 0, 0xfe030000);
        put_entry(&build, SERIAL, 0, 0xfe040000);
        end_table(&build, at);
        put_at(&build, at + changes[i].at, changes[i].value, changes[i].bytes);
        ck_assert_msg(!read_table(&build, at), "%s", changes[i].what);
        ck_assert_msg(devices.debug.count == changes[i].kept, "%s", changes[i].what);
    }
}
END_TEST

START_TEST(the_table_is_found_below_the_root_pointer)
{
    static struct acpi_info info;
    struct build build = {.used = 0};
    const uint64_t at = begin_dbg2(&build, 1);
    put_entry(&build, SERIAL, 0, 0xfe030000);
    end_table(&build, at);
    read_build(&build, &info, put_roots(&build));
    ck_assert_uint_eq(info.devices.debug.count, 1);
    char text[64];
    acpi_tables_text(&info, text, sizeof(text));
    ck_assert_ptr_nonnull(strstr(text, "DBG2"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("serial_place");
    TCase *tests = tcase_create("places");
    tcase_add_test(tests, registers_are_as_far_apart_as_they_are_wide);
    tcase_add_test(tests, serial_ports_for_a_debugger_are_taken_and_others_are_not);
    tcase_add_test(tests, a_table_without_entries_is_fine);
    tcase_add_test(tests, entries_that_leave_the_table_are_a_problem_and_what_came_before_is_kept);
    tcase_add_test(tests, the_table_is_found_below_the_root_pointer);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
