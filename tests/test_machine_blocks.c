// SPDX-License-Identifier: MIT
// targets/qemu/blocks.c, with disks that answer as a test says and a clock that they move: which of
// the machine's disks benchmarks get, and how long the machine is kept by those that do not answer.
#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "boot_log.h"
#include "compiler.h"
#include "nvme_machine.h"
#include "run_checks.h"
#include "test_platform.h"
#include "virtio_machine.h"

#define SECOND UINT64_C(1000000000)
#define DISKS  8u

bool machine_block(unsigned index, struct platform_block *found);

const struct block_machine_kind nvme_machine_disks = {.count = 1}, virtio_machine_disks = {0};

static struct block_device devices[2][DISKS];
static uint8_t memory[PLATFORM_BLOCK_BYTES];
static struct {
    unsigned present[2]; // disks of each kind
    enum status status;  // of each
    uint64_t takes_ns;   // each
    uint64_t now_ns;
    unsigned asked;
    char said[2048];
} machine;

enum status block_machine_disk(const struct block_machine_kind *kind, unsigned index,
                               struct block_device **device)
{
    const unsigned which = kind == &virtio_machine_disks;
    if (index >= machine.present[which])
        return STATUS_EMPTY;
    machine.asked++;
    machine.now_ns += machine.takes_ns;
    *device = &devices[which][index];
    return machine.status;
}

void block_machine_shut_down(const struct block_machine_kind *kind)
{
    (void)kind;
}

static void *allocate(void *context, size_t pages, uint64_t *address)
{
    (void)context;
    ck_assert_uint_eq(pages * PAGE_SIZE, PLATFORM_BLOCK_BYTES);
    *address = 0x1000;
    return memory;
}

struct device_dma block_machine_dma(void)
{
    return (struct device_dma){.allocate = allocate};
}

void boot_log(const char *format, ...)
{
    const size_t length = strlen(machine.said);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(machine.said + length, sizeof(machine.said) - length, format, arguments);
    va_end(arguments);
}

static uint64_t now_ns(void)
{
    return machine.now_ns;
}

static void set_up(void)
{
    test_clock_ns = now_ns;
    machine.now_ns = 5 * SECOND;
}

START_TEST(disks_are_there_in_the_order_in_which_claims_are_judged_on_them)
{
    struct platform_block found;
    machine.present[0] = 2;
    machine.present[1] = 1;
    memcpy(devices[0][1].facts.serial, "pattern-4711", sizeof("pattern-4711"));
    for (unsigned i = 0; i < 3; i++) {
        ck_assert(machine_block(i, &found));
        ck_assert_str_eq(found.name, i < 2 ? "nvme" : "virtio");
        ck_assert_ptr_eq(found.device, i < 2 ? &devices[0][i] : &devices[1][0]);
        ck_assert_uint_eq(found.generation, i == 1 ? 4711 : 0);
        ck_assert_ptr_eq(found.memory, memory);
    }
    ck_assert(!machine_block(3, &found));
    ck_assert_uint_eq(machine.asked, 3);
    ck_assert_str_eq(machine.said, "");
}
END_TEST

// How long each takes, and how many of them are waited for: none is begun when 60 s are over.
static const struct {
    uint64_t takes_ns;
    unsigned asked;
} slow[] = {{31 * SECOND, 2}, {30 * SECOND, 3}, {61 * SECOND, 1}, {8 * SECOND, 8}};

START_TEST(disks_that_do_not_answer_keep_the_machine_for_a_minute_and_the_last_of_them)
{
    struct platform_block found;
    char expected[64];
    machine.present[0] = machine.present[1] = DISKS;
    machine.status = STATUS_FAILED;
    machine.takes_ns = slow[_i].takes_ns;
    ck_assert(!machine_block(0, &found));
    ck_assert_uint_eq(machine.asked, slow[_i].asked);
    snprintf(expected, sizeof(expected), "none is looked at from %s disk %u on",
             slow[_i].asked < DISKS ? "nvme" : "virtio", slow[_i].asked % DISKS);
    ck_assert_msg(strstr(machine.said, expected) != NULL, "%s", machine.said);
    // They are not asked again.
    ck_assert(!machine_block(0, &found));
    ck_assert_uint_eq(machine.asked, slow[_i].asked);
}
END_TEST

START_TEST(a_disk_that_answered_late_is_used_and_told)
{
    struct platform_block found;
    machine.present[0] = 1;
    machine.takes_ns = 2 * SECOND;
    ck_assert(machine_block(0, &found) && !machine_block(1, &found));
    ck_assert_str_eq(machine.said, "nvme disk 0 took 2000 ms");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("machine_blocks");
    TCase *tests = tcase_create("machine_blocks");
    tcase_add_checked_fixture(tests, set_up, NULL);
    suite_add_tcase(suite, tests);
    tcase_add_test(tests, disks_are_there_in_the_order_in_which_claims_are_judged_on_them);
    tcase_add_loop_test(tests,
                        disks_that_do_not_answer_keep_the_machine_for_a_minute_and_the_last_of_them,
                        0, (int)ARRAY_COUNT(slow));
    tcase_add_test(tests, a_disk_that_answered_late_is_used_and_told);
    return run_checks(suite);
}
