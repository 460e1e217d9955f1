// SPDX-License-Identifier: MIT
// kernel/hardware: which protections a CPU gets, whose stack an address is, and faults and machine
// checks in words.
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "compiler.h"
#include "cpu_features.h"
#include "fault_text.h"
#include "machine_check.h"
#include "run_checks.h"
#include "stack_table.h"

// ---- features -----------------------------------------------------------------------------------

static const struct cpu_leaves EVERYTHING = {.signature_edx = 1u << 7 | 1u << 13 | 1u << 14,
                                             .signature_ecx = 1u << 17,
                                             .structured_ebx = 1u << 7 | 1u << 20,
                                             .structured_ecx = 1u << 2,
                                             .extended_edx = 1u << 20 | 1u << 26,
                                             .addresses_eax = 0x3028};

START_TEST(every_feature_there_is_is_turned_on)
{
    char text[96];
    const struct cpu_features f = cpu_features_of(&EVERYTHING);
    ck_assert_uint_eq(f.efer, 0x800);
    ck_assert_uint_eq(f.cr0, 0x10022);
    ck_assert_uint_eq(f.cr0_clear, 0xc);
    ck_assert_uint_eq(f.cr4, 0x300ec0);
    ck_assert_uint_eq(f.cr4_last, 0x20000);
    ck_assert(f.pages_1g && f.global && f.no_execute);
    ck_assert_uint_eq(f.physical_bits, 40);
    cpu_features_text(&f, true, text, sizeof(text));
    ck_assert_str_eq(text, "nx,wp,mce,pge,umip,pcid,smep,smap,1g");
    cpu_features_text(&f, false, text, sizeof(text));
    ck_assert_str_eq(text, "none");
}
END_TEST

START_TEST(nothing_is_turned_on_that_is_not_there)
{
    char text[96];
    const struct cpu_leaves nothing = {0};
    const struct cpu_features f = cpu_features_of(&nothing);
    ck_assert_uint_eq(f.efer | f.cr4_last | f.xcr0, 0);
    ck_assert_uint_eq(f.cr4, 0x600); // FXSAVE and SSE, without which there are no 64 bits
    ck_assert_uint_eq(f.cr0, 0x10022);
    ck_assert(!f.pages_1g && !f.global && !f.no_execute);
    ck_assert_uint_eq(f.physical_bits, 36);
    cpu_features_text(&f, true, text, sizeof(text));
    ck_assert_str_eq(text, "wp");
    cpu_features_text(&f, false, text, sizeof(text));
    ck_assert_str_eq(text, "nx,mce,pge,umip,pcid,smep,smap,1g");
}
END_TEST

START_TEST(state_is_kept_by_xsave_where_it_is_and_wider_registers_where_they_are)
{
    static const struct {
        uint32_t ecx;
        uint64_t cr4, xcr0;
    } cases[] = {{1u << 26, 0x40600, 3},
                 {1u << 26 | 1u << 28, 0x40600, 7},
                 {1u << 28, 0x600, 0}, // AVX without XSAVE is nothing
                 {0, 0x600, 0}};
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct cpu_leaves leaves = {.signature_ecx = cases[i].ecx};
        const struct cpu_features f = cpu_features_of(&leaves);
        ck_assert_uint_eq(f.cr4, cases[i].cr4);
        ck_assert_uint_eq(f.xcr0, cases[i].xcr0);
    }
}
END_TEST

START_TEST(each_feature_depends_on_its_own_bit)
{
    static const struct {
        size_t leaf;
        unsigned bit;
        const char *name;
    } bits[] = {
        {offsetof(struct cpu_leaves, signature_edx), 7, "mce"},
        {offsetof(struct cpu_leaves, signature_edx), 13, "pge"},
        {offsetof(struct cpu_leaves, signature_ecx), 17, "pcid"},
        {offsetof(struct cpu_leaves, structured_ebx), 7, "smep"},
        {offsetof(struct cpu_leaves, structured_ebx), 20, "smap"},
        {offsetof(struct cpu_leaves, structured_ecx), 2, "umip"},
        {offsetof(struct cpu_leaves, extended_edx), 20, "nx"},
        {offsetof(struct cpu_leaves, extended_edx), 26, "1g"},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(bits); i++) {
        struct cpu_leaves leaves = EVERYTHING;
        *(uint32_t *)((char *)&leaves + bits[i].leaf) &= ~(1u << bits[i].bit);
        char text[96];
        const struct cpu_features f = cpu_features_of(&leaves);
        cpu_features_text(&f, false, text, sizeof(text));
        ck_assert_str_eq(text, bits[i].name);
    }
}
END_TEST

START_TEST(absurd_numbers_of_address_bits_are_brought_into_range)
{
    const unsigned cases[][2] = {{1, 32}, {31, 32}, {52, 52}, {57, 52}, {255, 52}};
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct cpu_leaves leaves = {.addresses_eax = cases[i][0]};
        ck_assert_uint_eq(cpu_features_of(&leaves).physical_bits, cases[i][1]);
    }
}
END_TEST

START_TEST(names_of_features_are_cut_to_fit)
{
    char text[8];
    const struct cpu_features f = cpu_features_of(&EVERYTHING);
    ck_assert_uint_lt(cpu_features_text(&f, true, text, sizeof(text)), sizeof(text));
    ck_assert_str_eq(text, "nx,wp,m");
}
END_TEST

// ---- stacks -------------------------------------------------------------------------------------

static struct stack_table table;

static void empty_table(void)
{
    memset(&table, 0, sizeof(table));
}

START_TEST(stack_is_found_by_its_memory_and_its_guard_page)
{
    struct stack found;
    ck_assert_int_eq(stack_table_add(&table, 0x10000, 0x14000, 3, "kernel"), STATUS_OK);
    ck_assert_int_eq(stack_table_add(&table, 0x20000, 0x21000, STACK_NO_CPU, "idle"), STATUS_OK);
    const uint64_t inside[] = {0xf000, 0xffff, 0x10000, 0x13fff};
    for (unsigned i = 0; i < ARRAY_COUNT(inside); i++) {
        ck_assert(stack_table_find(&table, inside[i], &found));
        ck_assert(found.bottom == 0x10000 && found.top == 0x14000 && found.cpu == 3);
        ck_assert_str_eq(found.name, "kernel");
    }
    ck_assert(!stack_table_find(&table, 0xefff, &found));
    ck_assert(!stack_table_find(&table, 0x14000, &found));
    ck_assert(stack_table_find(&table, 0x1f000, &found) && found.cpu == STACK_NO_CPU);
}
END_TEST

START_TEST(what_is_no_stack_is_refused)
{
    ck_assert_int_eq(stack_table_add(&table, 0x10001, 0x14000, 0, "x"), STATUS_INVALID);
    ck_assert_int_eq(stack_table_add(&table, 0x10000, 0x14008, 0, "x"), STATUS_INVALID);
    ck_assert_int_eq(stack_table_add(&table, 0x10000, 0x10000, 0, "x"), STATUS_INVALID);
    ck_assert_int_eq(stack_table_add(&table, 0x14000, 0x10000, 0, "x"), STATUS_INVALID);
    ck_assert_int_eq(stack_table_add(&table, 0, 0x10000, 0, "x"), STATUS_INVALID); // no guard page
}
END_TEST

START_TEST(stacks_that_overlap_are_refused)
{
    ck_assert_int_eq(stack_table_add(&table, 0x10000, 0x14000, 0, "a"), STATUS_OK);
    const uint64_t others[][2] = {{0x10000, 0x14000}, {0x13000, 0x16000},
                                  {0x14000, 0x16000}, // its guard page is ours
                                  {0xd000, 0x10000},  // ours is its memory
                                  {0xc000, 0x18000},  {0x11000, 0x12000}};
    for (unsigned i = 0; i < ARRAY_COUNT(others); i++)
        ck_assert_int_eq(stack_table_add(&table, others[i][0], others[i][1], 0, "b"),
                         STATUS_DOUBLE);
    ck_assert_int_eq(stack_table_add(&table, 0x15000, 0x16000, 0, "b"), STATUS_OK);
    ck_assert_int_eq(stack_table_add(&table, 0xc000, 0xf000, 0, "c"), STATUS_OK);
}
END_TEST

START_TEST(table_takes_as_many_as_stated_and_reuses_slots)
{
    struct stack found;
    for (uint64_t i = 1; i <= STACK_TABLE_MOST; i++)
        ck_assert_int_eq(stack_table_add(&table, i << 20, (i << 20) + 4096, i, "s"), STATUS_OK);
    const uint64_t next = (STACK_TABLE_MOST + 1ul) << 20;
    ck_assert_int_eq(stack_table_add(&table, next, next + 4096, 0, "s"), STATUS_FULL);
    ck_assert_int_eq(stack_table_remove(&table, 77 << 20), STATUS_OK);
    ck_assert_int_eq(stack_table_remove(&table, 77 << 20), STATUS_EMPTY);
    ck_assert(!stack_table_find(&table, 77 << 20, &found));
    ck_assert_int_eq(stack_table_add(&table, next, next + 4096, 5, "new"), STATUS_OK);
    ck_assert(stack_table_find(&table, next, &found) && found.cpu == 5);
}
END_TEST

START_TEST(long_names_are_cut)
{
    struct stack found;
    stack_table_add(&table, 0x10000, 0x14000, 0, "a name that is far too long for its place");
    ck_assert(stack_table_find(&table, 0x10000, &found));
    ck_assert_str_eq(found.name, "a name that is far too ");
}
END_TEST

static bool stop;

static void *add_and_remove(void *context)
{
    const uint64_t which = *(const uint64_t *)context;
    char name[3] = {(char)('a' + which), (char)('A' + which), '\0'};
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        // All in the same slots and at the same address, one after the other of each thread.
        const uint64_t bottom = (which + 1) << 20;
        if (stack_table_add(&table, bottom, bottom + 4096, which, name) == STATUS_OK)
            stack_table_remove(&table, bottom);
    }
    return NULL;
}

START_TEST(stack_is_found_whole_while_others_come_and_go)
{
    static const uint64_t which[3] = {0, 1, 2};
    pthread_t threads[3];
    unsigned found_count = 0;
    stop = false;
    for (unsigned i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, add_and_remove, (void *)&which[i]);
    bool whole = true;
    for (unsigned i = 0; (i < 20000 || (found_count == 0 && i < 10000000)) && whole; i++) {
        struct stack found;
        const uint64_t at = i % 3;
        if (!stack_table_find(&table, (at + 1) << 20, &found))
            continue;
        found_count++;
        whole = found.cpu == at && found.top == found.bottom + 4096 &&
                found.name[0] == (char)('a' + at) && found.name[1] == (char)('A' + at);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    ck_assert(whole);
    ck_assert_uint_gt(found_count, 0);
}
END_TEST

// ---- faults -------------------------------------------------------------------------------------

START_TEST(page_fault_is_told_by_its_error_code)
{
    static const struct {
        uint64_t error, address;
        const char *text;
    } cases[] = {
        {0, 0x5000, "page fault: read of 5000, not mapped"},
        {2, 0xffff800000001000, "page fault: write to ffff800000001000, not mapped"},
        {16, 0x1000, "page fault: execution of 1000, not mapped"},
        {3, 0x5000, "page fault: write to 5000, not permitted"},
        {17, 0x5000, "page fault: execution of 5000, not permitted"},
        {0, 0xfff, "page fault: read of fff, a null pointer"},
        {1, 0xfff, "page fault: read of fff, not permitted"},
        {9, 0x5000, "page fault: read of 5000, a reserved bit is set in the page tables"},
        {0x21, 0x5000, "page fault: read of 5000, forbidden by its protection key"},
        {0x43, 0x5000, "page fault: write to 5000, wrong for a shadow stack"},
        {0x8001, 0x5000, "page fault: read of 5000, forbidden by an enclave"},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        char text[128];
        fault_text(text, sizeof(text), cases[i].error, cases[i].address, NULL);
        ck_assert_str_eq(text, cases[i].text);
    }
}
END_TEST

START_TEST(stack_overflow_names_the_cpu_or_the_thread)
{
    char text[128];
    struct stack stack = {.bottom = 0x10000, .top = 0x14000, .cpu = 1, .name = "kernel"};
    fault_text(text, sizeof(text), 2, 0xfff8, &stack);
    ck_assert_str_eq(text, "stack overflow of CPU 1: write to fff8 below the kernel stack");
    fault_text(text, sizeof(text), 16 + 1, 0x10000, &stack); // its memory: no overflow
    ck_assert_str_eq(text, "page fault: execution of 10000, not permitted");
    stack.cpu = STACK_NO_CPU;
    memcpy(stack.name, "writer", 7);
    fault_text(text, sizeof(text), 0, 0xf000, &stack);
    ck_assert_str_eq(text, "stack overflow of thread writer: read of f000 below its stack");
}
END_TEST

// ---- machine checks -----------------------------------------------------------------------------

// Registers of a CPU with machine checks. Reading or writing one that is not there fails the test:
// a CPU would fault.
struct registers {
    uint64_t capabilities, status, control;
    uint64_t bank[40][4];
    bool has_address[40];
};

static uint64_t read_register(void *context, uint32_t msr)
{
    const struct registers *r = context;
    if (msr == 0x179)
        return r->capabilities;
    if (msr == 0x17a)
        return r->status;
    const uint32_t bank = (msr - 0x400) / 4, which = msr % 4;
    if (msr < 0x400 || bank >= (r->capabilities & 0xff) || bank >= 32 || which == 3 ||
        (which == 2 && !r->has_address[bank]))
        ck_abort_msg("read of %x", msr);
    return r->bank[bank][which];
}

static void write_register(void *context, uint32_t msr, uint64_t value)
{
    struct registers *r = context;
    if (msr == 0x17b && (r->capabilities & 0x100) != 0) {
        r->control = value;
        return;
    }
    const uint32_t bank = (msr - 0x400) / 4;
    if (msr < 0x400 || bank >= (r->capabilities & 0xff) || bank >= 32 || msr % 4 > 1 ||
        (msr % 4 == 1 && value != 0))
        ck_abort_msg("write to %x", msr);
    r->bank[bank][msr % 4] = value;
}

static void check_text(struct registers *registers, const char *expected)
{
    struct machine_check check;
    char text[160];
    machine_check_read(&(struct msr_access){registers, read_register, write_register}, &check);
    machine_check_text(&check, text, sizeof(text));
    ck_assert_str_eq(text, expected);
}

START_TEST(machine_check_tells_the_first_bank_with_an_error)
{
    struct registers r = {.capabilities = 10};
    r.bank[3][1] = 0xbd00000000000000;
    r.bank[3][2] = 0x1000;
    r.has_address[3] = true;
    check_text(&r, "machine check: bank 3, status bd00000000000000, address 1000, uncorrected");
    r.bank[7][1] = 0x8000000000000000;
    check_text(&r, "machine check: bank 3, status bd00000000000000, address 1000, uncorrected, "
                   "more in other banks");
}
END_TEST

START_TEST(machine_check_without_address_reads_none)
{
    struct registers r = {.capabilities = 10};
    r.bank[0][1] = 0xc200000000000005;
    r.bank[0][2] = 0x1234;
    check_text(&r, "machine check: bank 0, status c200000000000005, no address, corrected, "
                   "state of the CPU damaged, errors lost");
}
END_TEST

START_TEST(machine_check_without_error_says_so)
{
    struct registers r = {.capabilities = 4, .status = 5};
    r.bank[1][1] = 0x7fffffffffffffff; // not valid
    check_text(&r, "machine check: no bank of 4 holds an error, global 5");
}
END_TEST

START_TEST(no_more_than_32_banks_are_looked_at)
{
    struct registers r = {.capabilities = 0xff};
    check_text(&r, "machine check: no bank of 32 holds an error, global 0");
    machine_check_enable(&(struct msr_access){&r, read_register, write_register});
}
END_TEST

START_TEST(all_banks_are_let_report_and_forget)
{
    for (unsigned control = 0; control < 2; control++) {
        struct registers r = {.capabilities = 5 | control << 8};
        r.bank[2][1] = UINT64_MAX;
        machine_check_enable(&(struct msr_access){&r, read_register, write_register});
        ck_assert(r.control == (control ? UINT64_MAX : 0));
        for (unsigned i = 0; i < 5; i++)
            ck_assert(r.bank[i][0] == UINT64_MAX && r.bank[i][1] == 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("protection");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, empty_table, NULL);
    tcase_set_timeout(all, 60);
    tcase_add_test(all, every_feature_there_is_is_turned_on);
    tcase_add_test(all, nothing_is_turned_on_that_is_not_there);
    tcase_add_test(all, state_is_kept_by_xsave_where_it_is_and_wider_registers_where_they_are);
    tcase_add_test(all, each_feature_depends_on_its_own_bit);
    tcase_add_test(all, absurd_numbers_of_address_bits_are_brought_into_range);
    tcase_add_test(all, names_of_features_are_cut_to_fit);
    tcase_add_test(all, stack_is_found_by_its_memory_and_its_guard_page);
    tcase_add_test(all, what_is_no_stack_is_refused);
    tcase_add_test(all, stacks_that_overlap_are_refused);
    tcase_add_test(all, table_takes_as_many_as_stated_and_reuses_slots);
    tcase_add_test(all, long_names_are_cut);
    tcase_add_test(all, stack_is_found_whole_while_others_come_and_go);
    tcase_add_test(all, page_fault_is_told_by_its_error_code);
    tcase_add_test(all, stack_overflow_names_the_cpu_or_the_thread);
    tcase_add_test(all, machine_check_tells_the_first_bank_with_an_error);
    tcase_add_test(all, machine_check_without_address_reads_none);
    tcase_add_test(all, machine_check_without_error_says_so);
    tcase_add_test(all, no_more_than_32_banks_are_looked_at);
    tcase_add_test(all, all_banks_are_let_report_and_forget);
    suite_add_tcase(suite, all);
    return run_checks(suite);
}
