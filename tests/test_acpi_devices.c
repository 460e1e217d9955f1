// SPDX-License-Identifier: MIT
// kernel/hardware/acpi_devices: FADT, MCFG, HPET and SPCR, whole and with one thing wrong in them.
#include <signal.h>

#include "acpi_builder.h"
#include "run_checks.h"

#define MIB ((uint64_t)1 << 20)

static struct acpi_devices devices;
static struct acpi_register none;

typedef bool reader(struct acpi_devices *devices, const struct acpi_bytes *table,
                    struct acpi_log *log);

// Reads a table into a zeroed `devices`; every refusal is one line.
static bool read_with(reader *read, const struct build *build, uint64_t at)
{
    struct acpi_log log = listener();
    const struct acpi_bytes table = alone(build, at);
    devices = (struct acpi_devices){0};
    const bool right = read(&devices, &table, &log);
    free((void *)table.bytes);
    ck_assert_uint_eq(log.problems, right ? 0 : 1);
    return right;
}

static bool same_register(struct acpi_register a, struct acpi_register b)
{
    return a.space == b.space && a.bits == b.bits && a.address == b.address;
}

// ---- generic addresses -------------------------------------------------------------------------

START_TEST(a_generic_address_is_one_of_memory_ports_or_configuration_space)
{
    static const struct {
        uint8_t space;
        uint64_t address;
        enum acpi_space expected;
    } cases[] = {
        {0, 0x1fed00000, ACPI_SPACE_MEMORY},
        {1, 0xffff, ACPI_SPACE_PORT},
        {1, 0x10000, ACPI_SPACE_NONE},
        {2, 0x1f0000, ACPI_SPACE_PCI},
        {3, 0x100, ACPI_SPACE_NONE},
        {0x7f, 0x100, ACPI_SPACE_NONE},
        {0, 0, ACPI_SPACE_NONE},
        {1, 0, ACPI_SPACE_NONE},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct build build = {.used = 0};
        put_register(&build, cases[i].space, 17, cases[i].address);
        const struct acpi_register found = acpi_register_at(build.bytes);
        ck_assert_int_eq(found.space, cases[i].expected);
        ck_assert_uint_eq(found.bits, found.space == ACPI_SPACE_NONE ? 0 : 17);
        ck_assert_uint_eq(found.address, found.space == ACPI_SPACE_NONE ? 0 : cases[i].address);
    }
}
END_TEST

// ---- FADT --------------------------------------------------------------------------------------

#define FADT_BYTES 244u
#define AT_TIMER   76
#define AT_FLAGS   112
#define AT_RESET   116
#define AT_X_TIMER 208

#define TIMER_32  (1u << 8)
#define RESET_SUP (1u << 10)

// A FADT of `length` bytes with everything that fits into it.
static uint64_t put_fadt(struct build *build, uint8_t revision, unsigned length)
{
    struct build whole = {.used = 0};
    begin_table(&whole, "FACP", revision);
    put(&whole, 0, FADT_BYTES - whole.used);
    put_at(&whole, 46, 9, 2);
    put_at(&whole, AT_TIMER, 0x608, 4);
    put_at(&whole, 91, 4, 1);
    put_at(&whole, 109, 0xffff, 2);
    put_at(&whole, AT_FLAGS, TIMER_32 | RESET_SUP, 4);
    whole.used = AT_RESET;
    put_register(&whole, 1, 8, 0xcf9);
    put(&whole, 0x0f, 1);
    whole.used = AT_X_TIMER;
    put_register(&whole, 1, 32, 0x1608);
    const uint64_t at = build->used = align_up(build->used, 16);
    for (unsigned i = 0; i < length; i++)
        put(build, whole.bytes[i], 1);
    put_at(build, at + AT_LENGTH, length, 4);
    seal(build, at);
    return at;
}

START_TEST(a_whole_fadt_gives_timer_reset_and_flags)
{
    struct build build = {.used = 0};
    ck_assert(read_with(acpi_fadt_read, &build, put_fadt(&build, 3, FADT_BYTES)));
    const struct acpi_fixed *fixed = &devices.fixed;
    ck_assert(fixed->described && fixed->sci == 9 && !fixed->reduced);
    ck_assert(
        same_register(fixed->pm_timer, (struct acpi_register){ACPI_SPACE_PORT, 32, 0, 0x1608}));
    ck_assert(fixed->pm_timer_32);
    ck_assert(same_register(fixed->reset, (struct acpi_register){ACPI_SPACE_PORT, 8, 0, 0xcf9}));
    ck_assert_uint_eq(fixed->reset_value, 0x0f);
    ck_assert(fixed->flags_told && fixed->has_8042 && fixed->no_vga && fixed->no_msi);
}
END_TEST

START_TEST(each_flag_of_the_fadt_is_its_own)
{
    struct build build = {.used = 0};
    const uint64_t at = put_fadt(&build, 3, FADT_BYTES);
    for (unsigned bit = 0; bit < 16; bit++) {
        put_at(&build, at + 109, 1u << bit, 2);
        ck_assert(read_with(acpi_fadt_read, &build, at));
        ck_assert_int_eq(devices.fixed.has_8042, bit == 1);
        ck_assert_int_eq(devices.fixed.no_vga, bit == 2);
        ck_assert_int_eq(devices.fixed.no_msi, bit == 3);
    }
    for (unsigned bit = 0; bit < 32; bit++) {
        put_at(&build, at + AT_FLAGS, 1u << bit, 4);
        ck_assert(read_with(acpi_fadt_read, &build, at));
        ck_assert_int_eq(devices.fixed.pm_timer_32, bit == 8);
        ck_assert_int_eq(devices.fixed.reset.space != ACPI_SPACE_NONE, bit == 10);
        ck_assert_int_eq(devices.fixed.reduced, bit == 20);
    }
}
END_TEST

START_TEST(an_old_fadt_gives_what_it_has)
{
    struct build newer = {.used = 0};
    ck_assert(read_with(acpi_fadt_read, &newer, put_fadt(&newer, 2, FADT_BYTES)));
    ck_assert(devices.fixed.flags_told);
    for (unsigned length = ACPI_FADT_LEAST; length <= FADT_BYTES; length++) {
        struct build build = {.used = 0};
        ck_assert(read_with(acpi_fadt_read, &build, put_fadt(&build, 1, length)));
        const struct acpi_fixed *fixed = &devices.fixed;
        ck_assert_uint_eq(fixed->pm_timer.address, length >= AT_X_TIMER + 12 ? 0x1608 : 0x608);
        ck_assert_int_eq(fixed->reset.space != ACPI_SPACE_NONE, length >= 129);
        ck_assert(!fixed->flags_told && !fixed->has_8042 && !fixed->no_vga);
    }
}
END_TEST

START_TEST(the_newer_timer_field_is_used_if_it_can_be)
{
    static const struct {
        uint8_t space;
        uint64_t address;
        struct acpi_register expected;
    } cases[] = {
        {0, 0x1fed40000, {ACPI_SPACE_MEMORY, 32, 0, 0x1fed40000}},
        {1, 0, {ACPI_SPACE_PORT, 32, 0, 0x608}},
        {1, 0x10000, {ACPI_SPACE_PORT, 32, 0, 0x608}},
        {2, 0x1000, {ACPI_SPACE_PORT, 32, 0, 0x608}},
        {9, 0x1000, {ACPI_SPACE_PORT, 32, 0, 0x608}},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct build build = {.used = 0};
        const uint64_t at = put_fadt(&build, 3, FADT_BYTES), used = build.used;
        build.used = at + AT_X_TIMER;
        put_register(&build, cases[i].space, 32, cases[i].address);
        build.used = used;
        ck_assert(read_with(acpi_fadt_read, &build, at));
        ck_assert(same_register(devices.fixed.pm_timer, cases[i].expected));
    }
}
END_TEST

START_TEST(a_timer_that_cannot_be_is_none)
{
    static const struct {
        uint32_t port;
        uint8_t length;
        bool right, there;
    } cases[] = {
        {0x608, 4, true, true},    {0xfffc, 4, true, true},       {0, 4, true, false},
        {0, 0, true, false},       {0x608, 3, false, false},      {0x608, 0, false, false},
        {0xfffd, 4, false, false}, {UINT32_MAX, 4, false, false},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct build build = {.used = 0};
        const uint64_t at = put_fadt(&build, 1, ACPI_FADT_LEAST);
        put_at(&build, at + AT_TIMER, cases[i].port, 4);
        put_at(&build, at + 91, cases[i].length, 1);
        ck_assert_int_eq(read_with(acpi_fadt_read, &build, at), cases[i].right);
        ck_assert_int_eq(devices.fixed.pm_timer.space != ACPI_SPACE_NONE, cases[i].there);
        ck_assert_uint_eq(devices.fixed.sci, 9);
    }
}
END_TEST

START_TEST(a_reset_register_that_cannot_be_is_none)
{
    static const struct {
        uint8_t space, bits;
        uint64_t address;
        bool right;
    } cases[] = {{2, 8, 0x1f0000, true}, {0, 8, 0xfed00000, true}, {1, 16, 0xcf9, false},
                 {1, 8, 0, false},       {1, 8, 0x10cf9, false},   {5, 8, 0xcf9, false}};
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct build build = {.used = 0};
        const uint64_t at = put_fadt(&build, 3, FADT_BYTES), used = build.used;
        build.used = at + AT_RESET;
        put_register(&build, cases[i].space, cases[i].bits, cases[i].address);
        build.used = used;
        ck_assert_int_eq(read_with(acpi_fadt_read, &build, at), cases[i].right);
        ck_assert_uint_eq(devices.fixed.reset.address, cases[i].right ? cases[i].address : 0);
        ck_assert_uint_eq(devices.fixed.pm_timer.address, 0x1608); // the rest is kept
    }
}
END_TEST

// ---- MCFG --------------------------------------------------------------------------------------

static uint64_t begin_mcfg(struct build *build)
{
    const uint64_t at = begin_table(build, "MCFG", 1);
    put(build, 0, 8);
    return at;
}

static void put_segment(struct build *build, uint64_t base, uint16_t segment, uint8_t first,
                        uint8_t last)
{
    put(build, base, 8);
    put(build, segment, 2);
    put(build, first, 1);
    put(build, last, 1);
    put(build, 0, 4);
}

START_TEST(segments_are_kept_up_to_a_limit)
{
    for (unsigned count = 0; count <= ACPI_PCI_SEGMENTS_MOST + 2; count++) {
        struct build build = {.used = 0};
        const uint64_t at = begin_mcfg(&build);
        const unsigned kept = (unsigned)min_u64(count, ACPI_PCI_SEGMENTS_MOST);
        for (unsigned i = 0; i < count; i++)
            put_segment(&build, (i + 1) * 256 * MIB, (uint16_t)(i * 3), (uint8_t)i, 255);
        end_table(&build, at);
        ck_assert_int_eq(read_with(acpi_mcfg_read, &build, at), count == kept);
        ck_assert_uint_eq(devices.segment_count, kept);
        for (unsigned i = 0; i < kept; i++) {
            const struct acpi_pci_segment *segment = &devices.segments[i];
            ck_assert(segment->base == (i + 1) * 256 * MIB && segment->segment == i * 3 &&
                      segment->first_bus == i && segment->last_bus == 255);
        }
    }
}
END_TEST

START_TEST(a_segment_that_cannot_be_is_left_out)
{
    static const struct {
        uint64_t base;
        uint8_t first, last;
    } broken[] = {
        {0, 0, 255}, {MIB + 4096, 0, 255}, {256 * MIB, 5, 4}, {UINT64_MAX & ~(MIB - 1), 0, 0}};
    for (unsigned i = 0; i < ARRAY_COUNT(broken); i++) {
        struct build build = {.used = 0};
        const uint64_t at = begin_mcfg(&build);
        put_segment(&build, broken[i].base, 0, broken[i].first, broken[i].last);
        put_segment(&build, 512 * MIB, 1, 4, 4);
        end_table(&build, at);
        ck_assert(!read_with(acpi_mcfg_read, &build, at));
        ck_assert(devices.segment_count == 1 && devices.segments[0].segment == 1);
    }
}
END_TEST

START_TEST(a_segment_cut_off_is_left_out)
{
    struct build build = {.used = 0};
    const uint64_t at = begin_mcfg(&build);
    put_segment(&build, 256 * MIB, 0, 0, 255);
    put_segment(&build, 512 * MIB, 1, 0, 255);
    end_table(&build, at);
    for (unsigned length = ACPI_MCFG_LEAST; length <= ACPI_MCFG_LEAST + 32; length++) {
        put_at(&build, at + AT_LENGTH, length, 4);
        ck_assert_int_eq(read_with(acpi_mcfg_read, &build, at), (length - 44) % 16 == 0);
        ck_assert_uint_eq(devices.segment_count, (length - 44) / 16);
    }
}
END_TEST

// ---- HPET, SPCR --------------------------------------------------------------------------------

START_TEST(the_hpet_is_in_memory_or_nowhere)
{
    static const struct {
        uint8_t space;
        uint64_t address;
        bool right;
    } cases[] = {{0, 0xfed00000, true},  {0, 0x1fed00400, true}, {1, 0x400, false},
                 {0, 0xfed00200, false}, {0, 0, false},          {2, 0xfed00000, false}};
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct build build = {.used = 0};
        const uint64_t at = begin_table(&build, "HPET", 1);
        put(&build, 0x8086a201, 4);
        put_register(&build, cases[i].space, 0, cases[i].address);
        put(&build, 3, 1);
        put(&build, 100, 2);
        put(&build, 0, 1);
        end_table(&build, at);
        ck_assert_int_eq(read_with(acpi_hpet_read, &build, at), cases[i].right);
        ck_assert_uint_eq(devices.hpet.address, cases[i].right ? cases[i].address : 0);
        ck_assert_uint_eq(devices.hpet.id, cases[i].right ? 0x8086a201 : 0);
        ck_assert_uint_eq(devices.hpet.number, cases[i].right ? 3 : 0);
    }
}
END_TEST

START_TEST(the_serial_console_has_registers_or_there_is_none)
{
    const uint64_t addresses[] = {0x2f8, 0};
    for (unsigned i = 0; i < ARRAY_COUNT(addresses); i++) {
        struct build build = {.used = 0};
        const uint64_t at = begin_table(&build, "SPCR", 2);
        put(&build, 1, 4);
        put_register(&build, 1, 8, addresses[i]);
        end_table(&build, at);
        ck_assert(read_with(acpi_spcr_read, &build, at));
        ck_assert_uint_eq(devices.serial.interface, 1);
        ck_assert(same_register(
            devices.serial.registers,
            addresses[i] != 0 ? (struct acpi_register){ACPI_SPACE_PORT, 8, 0, 0x2f8} : none));
    }
}
END_TEST

static reader *const readers[] = {acpi_fadt_read, acpi_mcfg_read, acpi_hpet_read, acpi_spcr_read,
                                  acpi_dbg2_read};
static const uint32_t least[] = {ACPI_FADT_LEAST, ACPI_MCFG_LEAST, ACPI_HPET_LEAST, ACPI_SPCR_LEAST,
                                 ACPI_DBG2_LEAST};

START_TEST(a_table_shorter_than_what_is_read_dies)
{
    static const uint8_t bytes[ACPI_FADT_LEAST];
    struct acpi_log log = listener();
    const struct acpi_bytes table = {bytes, least[_i] - 1};
    readers[_i](&devices, &table, &log);
}
END_TEST

static Suite *devices_suite(void)
{
    Suite *suite = suite_create("acpi_devices");
    TCase *all = tcase_create("devices");
    tcase_add_test(all, a_generic_address_is_one_of_memory_ports_or_configuration_space);
    tcase_add_test(all, a_whole_fadt_gives_timer_reset_and_flags);
    tcase_add_test(all, each_flag_of_the_fadt_is_its_own);
    tcase_add_test(all, an_old_fadt_gives_what_it_has);
    tcase_add_test(all, the_newer_timer_field_is_used_if_it_can_be);
    tcase_add_test(all, a_timer_that_cannot_be_is_none);
    tcase_add_test(all, a_reset_register_that_cannot_be_is_none);
    tcase_add_test(all, segments_are_kept_up_to_a_limit);
    tcase_add_test(all, a_segment_that_cannot_be_is_left_out);
    tcase_add_test(all, a_segment_cut_off_is_left_out);
    tcase_add_test(all, the_hpet_is_in_memory_or_nowhere);
    tcase_add_test(all, the_serial_console_has_registers_or_there_is_none);
    tcase_add_loop_test_raise_signal(all, a_table_shorter_than_what_is_read_dies, SIGABRT, 0,
                                     ARRAY_COUNT(readers));
    suite_add_tcase(suite, all);
    return suite;
}

int main(void)
{
    return run_checks(devices_suite());
}
