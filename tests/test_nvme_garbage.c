// SPDX-License-Identifier: MIT
// NVMe controllers that vanish, or say of themselves what makes no sense.
#include "nvme_subject.h"

#include "random.h"
#include "run_checks.h"
#include "seed.h"

// ---- gone ---------------------------------------------------------------------------------------

START_TEST(a_controller_that_vanishes_closes_its_requests)
{
    struct subject subject;
    subject_begin(&subject);
    subject.fake->latency_ns = UINT64_MAX / 2;
    struct reading readings[4];
    for (unsigned i = 0; i < 4; i++)
        reading_submit(&subject, &readings[i], i % 2, i);
    subject.fake->gone = true;
    const uint64_t start = subject.fake->now;
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_int_eq(block_poll_wait(subject.device, &readings[i].request), STATUS_CLOSED);
        reading_free(&subject, &readings[i]);
    }
    ck_assert_uint_lt(subject.fake->now - start, 3 * MILLISECOND);
    ck_assert_int_eq(block_device_state(subject.device), BLOCK_DEVICE_GONE);
    ck_assert(!subject.fake->master);
    subject_free(&subject);
}
END_TEST

// Some buses answer with zeros where nobody is.
static uint32_t read_zero(void *context, uint64_t offset, unsigned bytes)
{
    (void)context;
    (void)offset;
    (void)bytes;
    return 0;
}

START_TEST(a_bus_that_answers_with_zeros_means_gone_as_well)
{
    struct subject subject;
    subject_begin(&subject);
    ck_assert_int_eq(nvme_ops.health(subject.nvme), BLOCK_HEALTHY);
    subject.nvme->config.registers.read = read_zero;
    ck_assert_int_eq(nvme_ops.health(subject.nvme), BLOCK_GONE);
    ck_assert_int_eq(nvme_ops.reset(subject.nvme), STATUS_CLOSED);
    ck_assert(!subject.fake->master);
    subject_free(&subject);
}
END_TEST

// At each single access, from the first on, while it is brought up, read from and reset.
START_TEST(it_may_vanish_at_any_access)
{
    unsigned accesses = 1;
    bool whole = false;
    for (; !whole; accesses++) {
        struct subject subject;
        subject_prepare(&subject);
        subject.fake->look_ns = 20000;
        subject.fake->gone_after = accesses;
        enum status status = subject_try(&subject);
        const bool up = status == STATUS_OK;
        if (up) {
            status = subject_read(&subject, 0, 3);
            if (status == STATUS_OK)
                status = nvme_ops.reset(subject.nvme);
        }
        whole = !subject.fake->gone;
        ck_assert(status == STATUS_CLOSED || status == STATUS_OK);
        if (status == STATUS_CLOSED)
            ck_assert(!whole && !subject.fake->master);
        else // at the last access of all
            ck_assert(whole || nvme_ops.health(subject.nvme) == BLOCK_GONE);
        ck_assert_uint_lt(accesses, 20000);
        subject_free(&subject);
    }
    ck_assert_uint_gt(accesses, 100);
}
END_TEST

// ---- garbage ------------------------------------------------------------------------------------

START_TEST(registers_that_make_no_sense_are_told)
{
    static const struct {
        uint64_t cap, length;
        uint32_t version;
        enum status status;
    } rows[] = {
        {UINT64_MAX, 16384, UINT32_MAX, STATUS_CLOSED},
        {0, 16384, 0, STATUS_CORRUPT},
        {UINT64_C(1) << 37, 16384, 0x10400, STATUS_CORRUPT}, // one entry
        {1023, 16384, 0x10400, STATUS_FAILED},               // no NVM command set
        {UINT64_C(1) << 37 | UINT64_C(5) << 48 | 1023, 16384, 0x10400, STATUS_FAILED}, // 128 KiB
        {UINT64_C(1) << 37 | UINT64_C(9) << 32 | 1023, 8192, 0x10400, STATUS_CORRUPT}, // stride
        {UINT64_C(1) << 37 | 1023, 4096, 0x10400, STATUS_CORRUPT},
        {UINT64_C(1) << 37 | 1023, 16, 0x10400, STATUS_CORRUPT},
    };
    struct subject subject;
    subject_prepare(&subject);
    subject.fake->cap = rows[_i].cap;
    subject.fake->length = rows[_i].length;
    subject.fake->version = rows[_i].version;
    ck_assert_int_eq(subject_try(&subject), rows[_i].status);
    ck_assert_ptr_nonnull(subject.nvme->problem);
    ck_assert(!subject.fake->enabled && !subject.fake->master);
    subject_free(&subject);
}
END_TEST

START_TEST(entries_of_another_size_or_another_kind_of_controller_are_told)
{
    struct subject subject;
    subject_prepare(&subject);
    subject.fake->sq_entry = _i == 0 ? 0x77 : _i == 1 ? 0x55 : 0x66;
    subject.fake->cq_entry = _i == 2 ? 0x55 : 0x44;
    subject.fake->type = _i == 3 ? 3 : 1; // an administrative controller
    ck_assert_int_eq(subject_try(&subject), _i == 3 ? STATUS_FAILED : STATUS_CORRUPT);
    ck_assert_ptr_nonnull(subject.nvme->problem);
    subject_free(&subject);
}
END_TEST

static void fill_with_random(void *context, unsigned what, uint8_t *page)
{
    struct random *random = context;
    (void)what;
    for (unsigned i = 0; i < NVME_IDENTIFY_BYTES; i++)
        page[i] = (uint8_t)random_below(random, 256);
    if (random_below(random, 2) == 0) { // or nothing gets behind these
        page[NVME_CONTROLLER_SQ_ENTRY] = 0x66;
        page[NVME_CONTROLLER_CQ_ENTRY] = 0x44;
        page[NVME_CONTROLLER_TYPE] = 0;
    }
    if (what == NVME_IDENTIFY_LIST)
        for (unsigned i = 0; i < 3; i++)
            memcpy(page + 4 * i, (uint32_t[]){i + 1, 0}, 8);
    if (what == NVME_IDENTIFY_NAMESPACE && random_below(random, 2) == 0) {
        page[NVME_NAMESPACE_FORMATS] = 63;
        page[NVME_NAMESPACE_BLOCKS + 7] = 0;
        for (unsigned i = 0; i < 64; i++)
            memcpy(page + NVME_NAMESPACE_FORMAT_0 + 4 * i, (uint32_t[]){9 << 16}, 4);
    }
}

START_TEST(garbage_in_identify_breaks_nothing)
{
    struct random random = seeded_for("garbage_in_identify_breaks_nothing");
    unsigned up = 0;
    for (unsigned i = 0; i < 200; i++) {
        struct subject subject;
        subject_prepare(&subject);
        subject.fake->mangle = fill_with_random;
        subject.fake->mangle_context = &random;
        subject.fake->forgiving = true;
        const enum status status = subject_try(&subject);
        if (status == STATUS_OK) {
            up++;
            const struct block_facts *facts = &subject.device->facts;
            ck_assert_uint_lt(strlen(facts->serial), sizeof(facts->serial));
            ck_assert_uint_lt(strlen(facts->model), sizeof(facts->model));
            for (const char *at = facts->model; *at != '\0'; at++)
                ck_assert(*at >= ' ' && *at <= '~');
            subject.fake->bad_all = true; // it has other blocks than the model
            subject.fake->read_status = 0x80;
            ck_assert_int_eq(subject_read(&subject, 0, facts->blocks - 1), STATUS_FAILED);
        } else {
            ck_assert_ptr_nonnull(subject.nvme->problem);
            ck_assert(!subject.fake->enabled && !subject.fake->master);
        }
        subject_free(&subject);
    }
    ck_assert_uint_gt(up, 0);
    ck_assert_uint_lt(up, 200);
}
END_TEST

static void wrong_order(void *context, unsigned what, uint8_t *page)
{
    (void)context;
    if (what == NVME_IDENTIFY_LIST)
        memcpy(page, (uint32_t[]){3, 2, 0}, 12);
}

START_TEST(a_list_of_namespaces_out_of_order_is_told)
{
    struct subject subject;
    subject_prepare(&subject);
    subject.fake->mangle = wrong_order;
    if (_i == 1) {
        subject.fake->mangle = NULL;
        subject.fake->namespaces[0] = 17; // more than there may be
    }
    ck_assert_int_eq(subject_try(&subject), STATUS_CORRUPT);
    subject_free(&subject);
}
END_TEST

START_TEST(without_memory_it_is_not_used)
{
    struct subject subject;
    subject_prepare(&subject);
    subject.fake->pages_most = (size_t)_i; // admin queues and page take four, a queue nineteen
    ck_assert_int_eq(subject_try(&subject), STATUS_NO_MEMORY);
    ck_assert(!subject.fake->enabled && !subject.fake->master);
    subject_free(&subject);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("nvme_garbage");
    TCase *cases = tcase_create("garbage");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, a_controller_that_vanishes_closes_its_requests);
    tcase_add_test(cases, a_bus_that_answers_with_zeros_means_gone_as_well);
    tcase_add_test(cases, it_may_vanish_at_any_access);
    tcase_add_loop_test(cases, registers_that_make_no_sense_are_told, 0, 8);
    tcase_add_loop_test(cases, entries_of_another_size_or_another_kind_of_controller_are_told, 0,
                        4);
    tcase_add_test(cases, garbage_in_identify_breaks_nothing);
    tcase_add_loop_test(cases, a_list_of_namespaces_out_of_order_is_told, 0, 2);
    tcase_add_loop_test(cases, without_memory_it_is_not_used, 0, 22);
    suite_add_tcase(suite, cases);
    return run_checks(suite);
}
