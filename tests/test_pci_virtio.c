// SPDX-License-Identifier: MIT
// kernel/hardware/pci_virtio: where a function says its structures are, and where they cannot be.
#include "pci_fixture.h"
#include "pci_virtio.h"
#include "random.h"
#include "run_checks.h"
#include "seed.h"

#define IDS       (PCI_VIRTIO_BLOCK << 16 | PCI_VIRTIO_VENDOR)
#define BAR_BYTES 0x4000u

// Places of the capabilities.
#define COMMON_AT 0x40u
#define NOTIFY_AT 0x54u
#define DEVICE_AT 0x70u
#define SECOND_AT 0x84u

static struct space_function *function;

static void capability(unsigned at, uint8_t length, uint8_t kind, uint8_t bar, uint32_t offset,
                       uint32_t bytes)
{
    space_capability(function, at, 0x09);
    function->bytes[at + 2] = length;
    function->bytes[at + 3] = kind;
    function->bytes[at + 4] = bar;
    space_put(function, at + 8, 4, offset);
    space_put(function, at + 12, 4, bytes);
}

// As QEMU lays them out.
static void make(void)
{
    space_init(&space);
    function = space_add(&space, SPACE_AT(0, 3, 0), IDS, 0x010000);
    space_bar(function, 0, 0xc000, 0x80, 1);
    space_bar(function, 4, 0xfe000000, BAR_BYTES, 4);
    capability(DEVICE_AT, 16, 4, 4, 0x2000, 0x1000);
    capability(NOTIFY_AT, 20, 2, 4, 0x3000, 0x1000);
    space_put(function, NOTIFY_AT + 16, 4, 4);
    capability(COMMON_AT, 16, 1, 4, 0, 0x1000);
}

static enum status find(struct pci_virtio *virtio)
{
    const struct pci_access access = space_access(&space);
    enumerate();
    ck_assert_uint_eq(pci.count, 1);
    return pci_virtio_find(&access, &pci.functions[0], virtio);
}

START_TEST(structures_are_where_the_capabilities_say)
{
    struct pci_virtio virtio;
    make();
    ck_assert_int_eq(find(&virtio), STATUS_OK);
    ck_assert(virtio.common.bar == 4 && virtio.common.offset == 0);
    ck_assert_uint_eq(virtio.common.bytes, 0x1000);
    ck_assert(virtio.notify.offset == 0x3000 && virtio.device.offset == 0x2000);
    ck_assert_uint_eq(virtio.notify_multiplier, 4);
}
END_TEST

// 4.1.4: the device lists them in the order in which it likes them to be used.
START_TEST(the_first_that_can_be_used_is)
{
    struct pci_virtio virtio;
    make();
    capability(SECOND_AT, 16, 1, 4, 0x1000, 0x800); // in front of the list
    ck_assert_int_eq(find(&virtio), STATUS_OK);
    ck_assert_uint_eq(virtio.common.offset, 0x1000);
    function->bytes[SECOND_AT + 4] = 0; // in ports
    ck_assert_int_eq(find(&virtio), STATUS_OK);
    ck_assert_uint_eq(virtio.common.offset, 0);
}
END_TEST

START_TEST(a_disk_may_have_no_configuration_of_its_own)
{
    struct pci_virtio virtio;
    make();
    function->bytes[DEVICE_AT + 3] = 9; // the vendor's
    ck_assert_int_eq(find(&virtio), STATUS_OK);
    ck_assert_uint_eq(virtio.device.bytes, 0);
}
END_TEST

// A field of the common or the notify structure, and a value it must not have.
START_TEST(a_structure_that_cannot_be_there_is_none)
{
    static const struct {
        unsigned at, bytes;
        uint32_t value;
    } wrong[] = {
        {COMMON_AT + 2, 1, 15}, // shorter than a capability
        {COMMON_AT + 3, 1, 0},  // no kind
        {COMMON_AT + 4, 1, 0},  // ports
        {COMMON_AT + 4, 1, 1},  // a BAR that is absent
        {COMMON_AT + 4, 1, 5},  // an upper half
        {COMMON_AT + 4, 1, 6},  // reserved
        {COMMON_AT + 4, 1, 255},
        {COMMON_AT + 8, 4, 2},      // not aligned
        {COMMON_AT + 8, 4, 0x3004}, // its end outside
        {COMMON_AT + 8, 4, 0xfffffffc},
        {COMMON_AT + 12, 4, 0},             // empty
        {COMMON_AT + 12, 4, 55},            // too short for what stands there
        {COMMON_AT + 12, 4, BAR_BYTES + 1}, // larger than its BAR
        {COMMON_AT + 12, 4, 0xffffffff},
        {NOTIFY_AT + 2, 1, 16}, // without a multiplier
        {NOTIFY_AT + 8, 4, 0x3001},
        {NOTIFY_AT + 12, 4, 0x1001},
    };
    struct pci_virtio virtio;
    make();
    ck_assert_uint_lt((unsigned)_i, ARRAY_COUNT(wrong));
    space_put(function, wrong[_i].at, wrong[_i].bytes, wrong[_i].value);
    ck_assert_int_eq(find(&virtio), STATUS_INVALID);
}
END_TEST

// Too near to the end of configuration space to be whole.
START_TEST(a_capability_at_the_end_of_the_space_is_none)
{
    struct pci_virtio virtio;
    make();
    function->bytes[COMMON_AT] = 0x05;
    space_capability(function, 0xf4, 0x09);
    ck_assert_int_eq(find(&virtio), STATUS_INVALID);
}
END_TEST

START_TEST(whatever_stands_there_what_is_found_lies_in_a_bar)
{
    struct random random = seeded_for("whatever_stands_there");
    for (unsigned round = 0; round < 2000; round++) {
        struct pci_virtio virtio;
        make();
        for (uint64_t i = random_below(&random, 12); i > 0; i--)
            function->bytes[COMMON_AT + random_below(&random, 0xc0)] = (uint8_t)random_u64(&random);
        if (find(&virtio) != STATUS_OK)
            continue;
        const struct pci_virtio_place *const places[] = {&virtio.common, &virtio.notify,
                                                         &virtio.device};
        for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
            ck_assert(places[i]->bytes == 0 || places[i]->bar == 4);
            ck_assert_uint_le(places[i]->offset + places[i]->bytes, BAR_BYTES);
        }
        ck_assert_uint_ge(virtio.common.bytes, PCI_VIRTIO_COMMON_BYTES);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pci_virtio");
    TCase *all = tcase_create("all");
    tcase_add_test(all, structures_are_where_the_capabilities_say);
    tcase_add_test(all, the_first_that_can_be_used_is);
    tcase_add_test(all, a_disk_may_have_no_configuration_of_its_own);
    tcase_add_loop_test(all, a_structure_that_cannot_be_there_is_none, 0, 17);
    tcase_add_test(all, a_capability_at_the_end_of_the_space_is_none);
    tcase_add_test(all, whatever_stands_there_what_is_found_lies_in_a_bar);
    suite_add_tcase(suite, all);
    return run_checks(suite);
}
