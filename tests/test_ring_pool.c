// SPDX-License-Identifier: MIT
// Pages of a pool, descriptors of all kinds of wrongness, messages that are pages.
#include <check.h>
#include <signal.h>
#include <stdio.h>

#include "random.h"
#include "ring_pool_subject.h"
#include "run_checks.h"
#include "seed.h"

static const struct ring_ops *const rings[] = {&ring_fusion_spsc_ops, &ring_fusion_mpmc_ops};
#define RINGS ((int)ARRAY_COUNT(rings))

START_TEST(a_page_is_allocated_sent_received_and_freed_without_a_copy)
{
    struct fixture f = create_with_ring(4, rings[_i], 4);
    struct ring_descriptor received;
    void *bytes, *there;
    struct ring_descriptor sent = allocate(&f, ALICE, &bytes);
    memset(bytes, 'x', PAGE_SIZE);
    sent.offset = 96;
    sent.length = 4000;
    ck_assert_int_eq(ring_send_page(rings[_i], f.ring, &f.pool, alice_to_bob, &sent), STATUS_OK);
    ck_assert_int_eq(ring_receive_page(rings[_i], f.ring, &f.pool, BOB, &received, &there),
                     STATUS_OK);
    ck_assert_ptr_eq(there, (uint8_t *)bytes + 96);
    ck_assert_uint_eq(received.length, 4000);
    ck_assert(ring_pool_holds(&f.pool, BOB, &received));
    ck_assert_int_eq(ring_pool_free(&f.pool, BOB, &received), STATUS_OK);
    ck_assert(!ring_pool_holds(&f.pool, BOB, &received));
    const struct ring_pool_statistics statistics = statistics_of(&f);
    ck_assert_uint_eq(statistics.bytes_copied, 0);
    ck_assert_uint_eq(statistics.allocated, 1);
    ck_assert_uint_eq(statistics.freed, 1);
    ck_assert_uint_eq(statistics.held, 0);
    ck_assert_uint_eq(statistics.rejected, 0);
    destroy(&f);
}
END_TEST

// Counts around the words of the bitmap.
START_TEST(every_page_is_given_out_once_and_then_the_pool_is_empty)
{
    static const size_t counts[] = {1, 2, 63, 64, 65, 127, 128, 200};
    const size_t count = counts[_i];
    struct fixture f = create(count);
    struct ring_descriptor all[200];
    uint8_t seen[200] = {0};
    void *bytes;
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < count; i++) {
            all[i] = allocate(&f, 1 + (unsigned)i % 3, &bytes);
            ck_assert_uint_lt(all[i].index, count);
            ck_assert_uint_eq(seen[all[i].index]++, round);
            ck_assert_ptr_eq(bytes, f.pages + (size_t)all[i].index * PAGE_SIZE);
            memset(bytes, 0, PAGE_SIZE); // the sanitizer looks whether it is all there
        }
        struct ring_descriptor none;
        ck_assert_int_eq(ring_pool_allocate(&f.pool, 5, &none, &bytes), STATUS_NO_MEMORY);
        for (size_t i = 0; i < count; i++)
            ck_assert_int_eq(ring_pool_free(&f.pool, 1 + (unsigned)i % 3, &all[i]), STATUS_OK);
    }
    ck_assert_uint_eq(statistics_of(&f).refused, 3);
    ck_assert_uint_eq(statistics_of(&f).allocated, 3 * count);
    destroy(&f);
}
END_TEST

START_TEST(a_pool_of_no_page_or_too_many_is_invalid)
{
    struct fixture f = create(1);
    struct ring_pool pool;
    ck_assert_int_eq(ring_pool_init(&pool, f.pages, f.shared, 0, 0), STATUS_INVALID);
    ck_assert_int_eq(ring_pool_init(&pool, f.pages, f.shared, (size_t)RING_POOL_PAGES_MOST + 1, 0),
                     STATUS_INVALID);
    ck_assert_int_eq(ring_pool_init(&pool, f.pages, f.shared, 1, 65536), STATUS_INVALID);
    destroy(&f);
}
END_TEST

// What the pool says of a descriptor, by a model of what it must say.
static enum status expected_of(const struct fixture *f, const struct ring_descriptor *good,
                               const struct ring_descriptor *tried)
{
    if (tried->pool != POOL || tried->index >= f->pool.count)
        return STATUS_FOREIGN;
    if (tried->offset + tried->length > 4096)
        return STATUS_INVALID;
    const bool same = tried->index == good->index && tried->generation == good->generation;
    return same ? STATUS_OK : STATUS_STALE;
}

// Every field takes all values that are near a bound, with all of the others.
START_TEST(a_forged_descriptor_is_a_status_whatever_its_fields_say)
{
    static const uint32_t pools[] = {POOL, 0, POOL + 1, 65535, UINT32_MAX};
    static const uint32_t indexes[] = {0,  1,     2,        3,        4,         63,
                                       64, 65535, 1u << 20, 1u << 31, UINT32_MAX};
    static const uint32_t turns[] = {0, 1, 2, 3, 1u << 31, UINT32_MAX};
    static const uint16_t ends[] = {0, 1, 2047, 2048, 2049, 4095, 4096, 4097, 32768, 65535};
    struct fixture f = create(3);
    unsigned tried = 0, good_ones = 0;
    void *bytes;
    for (unsigned i = 0; i < 2; i++) { // so that generations differ
        const struct ring_descriptor old = allocate(&f, BOB, &bytes);
        ck_assert_int_eq(ring_pool_free(&f.pool, BOB, &old), STATUS_OK);
    }
    const struct ring_descriptor good = allocate(&f, BOB, &bytes);
    for (size_t p = 0; p < ARRAY_COUNT(pools); p++)
        for (size_t x = 0; x < ARRAY_COUNT(indexes); x++)
            for (size_t g = 0; g < ARRAY_COUNT(turns); g++)
                for (size_t o = 0; o < ARRAY_COUNT(ends) * ARRAY_COUNT(ends); o++) {
                    const struct ring_descriptor d = {pools[p], indexes[x], turns[g],
                                                      ends[o / ARRAY_COUNT(ends)],
                                                      ends[o % ARRAY_COUNT(ends)]};
                    const enum status expected = expected_of(&f, &good, &d);
                    if (ring_pool_open(&f.pool, BOB, &d, &bytes) != expected)
                        ck_abort_msg("open of %x %x %x", d.pool, d.index, d.generation);
                    good_ones += expected == STATUS_OK;
                    for (size_t b = 0; expected == STATUS_OK && b < d.length; b++)
                        ((uint8_t *)bytes)[b] = 1;
                    // Nor may the wrong one free it, nor another owner.
                    if (expected != STATUS_OK && ring_pool_free(&f.pool, BOB, &d) != expected)
                        ck_abort_msg("free of %x %x %x", d.pool, d.index, d.generation);
                    if (ring_pool_free(&f.pool, ALICE, &d) == STATUS_OK)
                        ck_abort_msg("another owner freed it");
                    tried++;
                }
    ck_assert_uint_gt(tried, 30000);
    ck_assert_uint_gt(good_ones, 20);
    ck_assert_int_eq(ring_pool_free(&f.pool, BOB, &good), STATUS_OK);
    destroy(&f);
}
END_TEST

START_TEST(random_descriptors_reach_nothing)
{
    struct random random = seeded_for("random descriptors");
    struct fixture f = create(5);
    void *bytes;
    const struct ring_descriptor good = allocate(&f, BOB, &bytes);
    for (unsigned i = 0; i < 200000; i++) {
        struct ring_descriptor d = good;
        uint8_t raw[sizeof(d)];
        memcpy(raw, &d, sizeof(d));
        for (uint64_t flips = 1 + random_below(&random, 4); flips > 0; flips--)
            raw[random_below(&random, sizeof(d))] ^= (uint8_t)(1u << random_below(&random, 8));
        memcpy(&d, raw, sizeof(d));
        const enum status expected = expected_of(&f, &good, &d);
        ck_assert_msg(ring_pool_open(&f.pool, BOB, &d, &bytes) == expected, "another status");
        if (expected == STATUS_OK)
            memset(bytes, 0, d.length);
    }
    destroy(&f);
}
END_TEST

START_TEST(a_descriptor_is_stale_after_its_page_was_freed)
{
    struct fixture f = create(1);
    void *bytes;
    const struct ring_descriptor first = allocate(&f, ALICE, &bytes);
    ck_assert_int_eq(ring_pool_free(&f.pool, ALICE, &first), STATUS_OK);
    ck_assert_int_eq(ring_pool_free(&f.pool, ALICE, &first), STATUS_STALE);
    const struct ring_descriptor second = allocate(&f, ALICE, &bytes);
    ck_assert_uint_eq(second.index, first.index);
    ck_assert_int_eq(ring_pool_open(&f.pool, ALICE, &first, &bytes), STATUS_STALE);
    ck_assert_int_eq(ring_pool_free(&f.pool, ALICE, &first), STATUS_STALE);
    ck_assert_int_eq(ring_pool_pass(&f.pool, ALICE, BOB, &first), STATUS_STALE);
    ck_assert_int_eq(ring_pool_open(&f.pool, ALICE, &second, &bytes), STATUS_OK);
    ck_assert_uint_eq(statistics_of(&f).rejected, 4);
    destroy(&f);
}
END_TEST

START_TEST(a_page_sent_is_no_longer_the_senders)
{
    struct fixture f = create_with_ring(1, &ring_fusion_spsc_ops, 2);
    void *bytes;
    const struct ring_descriptor page = allocate(&f, ALICE, &bytes);
    ck_assert_int_eq(ring_send_page(&ring_fusion_spsc_ops, f.ring, &f.pool, alice_to_bob, &page),
                     STATUS_OK);
    ck_assert_int_eq(ring_pool_open(&f.pool, ALICE, &page, &bytes), STATUS_STALE);
    ck_assert_int_eq(ring_send_page(&ring_fusion_spsc_ops, f.ring, &f.pool, alice_to_bob, &page),
                     STATUS_STALE);
    destroy(&f);
}
END_TEST

START_TEST(sending_with_the_pool_is_all_or_nothing)
{
    const struct ring_ops *ops = rings[_i];
    struct fixture f = create_with_ring(3, ops, 2);
    static _Alignas(8) char text[PAGE_SIZE + 8] = "payload";
    struct ring_descriptor received;
    void *bytes;
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(ring_send_with_pool(ops, f.ring, &f.pool, alice_to_bob, text, 1001),
                         STATUS_OK);
    // The ring is full: no page stays behind.
    ck_assert_int_eq(ring_send_with_pool(ops, f.ring, &f.pool, alice_to_bob, text, 1), STATUS_FULL);
    ck_assert_uint_eq(statistics_of(&f).held, 2);
    ck_assert_int_eq(ring_send_with_pool(ops, f.ring, &f.pool, alice_to_bob, text, PAGE_SIZE + 1),
                     STATUS_TOO_LARGE);
    ck_assert_int_eq(ring_receive_page(ops, f.ring, &f.pool, BOB, &received, &bytes), STATUS_OK);
    ck_assert_uint_eq(received.length, 1001);
    ck_assert_mem_eq(bytes, text, 1001);
    // The pool is empty: nothing is sent.
    while (ring_pool_allocate(&f.pool, ALICE, &received, &bytes) == STATUS_OK)
        ;
    ck_assert_int_eq(ring_send_with_pool(ops, f.ring, &f.pool, alice_to_bob, text, 1),
                     STATUS_NO_MEMORY);
    ck_assert_uint_eq(ops->free_slots(f.ring), 1);
    ck_assert_uint_eq(statistics_of(&f).bytes_copied, 2 * 1001 + 1);
    destroy(&f);
}
END_TEST

static struct ring_pages pages_for(struct fixture *f, unsigned count, uint32_t length, void **bytes)
{
    struct ring_pages pages = {.pool = POOL, .count = (uint16_t)count, .length = length};
    for (unsigned i = 0; i < count; i++) {
        const struct ring_descriptor d = allocate(f, ALICE, &bytes[i]);
        pages.page[i].index = d.index;
        pages.page[i].generation = d.generation;
    }
    return pages;
}

START_TEST(several_pages_are_one_message)
{
    const struct ring_ops *ops = rings[_i];
    for (unsigned count = 1; count <= RING_PAGES_MOST; count++) {
        struct fixture f = create_with_ring(8, ops, 4);
        void *from[RING_PAGES_MOST], *to[RING_PAGES_MOST];
        struct ring_pages received;
        const struct ring_pages sent = pages_for(&f, count, count * PAGE_SIZE - 5, from);
        ck_assert_int_eq(ring_send_pages(ops, f.ring, &f.pool, alice_to_bob, &sent), STATUS_OK);
        ck_assert_int_eq(ring_receive_pages(ops, f.ring, &f.pool, BOB, &received, to), STATUS_OK);
        ck_assert_int_eq(memcmp(from, to, count * sizeof(from[0])), 0);
        ck_assert_uint_eq(received.length, sent.length);
        ck_assert_int_eq(ring_free_pages(&f.pool, BOB, &received), STATUS_OK);
        ck_assert_int_eq(ring_free_pages(&f.pool, BOB, &received), STATUS_STALE);
        ck_assert_uint_eq(statistics_of(&f).held, 0);
        ck_assert_uint_eq(statistics_of(&f).bytes_copied, 0);
        destroy(&f);
    }
}
END_TEST

START_TEST(pages_with_one_that_is_not_the_senders_are_not_sent)
{
    const struct ring_ops *ops = &ring_fusion_spsc_ops;
    for (unsigned wrong = 0; wrong < RING_PAGES_MOST; wrong++) {
        struct fixture f = create_with_ring(8, ops, 4);
        void *bytes[RING_PAGES_MOST];
        struct ring_pages pages = pages_for(&f, RING_PAGES_MOST, 6 * PAGE_SIZE, bytes);
        pages.page[wrong].generation++;
        ck_assert_int_eq(ring_send_pages(ops, f.ring, &f.pool, alice_to_bob, &pages), STATUS_STALE);
        pages.page[wrong].generation--;
        ck_assert_int_eq(ring_send_pages(ops, f.ring, &f.pool, alice_to_bob, &pages), STATUS_OK);
        destroy(&f);
    }
}
END_TEST

// A message whose sender made some of its names up. By a plain model of who has what: a message
// with a wrong name gives the status of the first, and all pages that it names rightly are free
// again, once; one without is the receiver's.
START_TEST(a_message_with_wrong_names_gives_the_right_ones_back)
{
    const struct ring_ops *ops = rings[_i];
    struct random random = seeded_for("wrong names");
    unsigned whole = 0, refused = 0;
    for (unsigned turn = 0; turn < 3000; turn++) {
        struct fixture f = create_with_ring(8, ops, 4);
        enum status expected = STATUS_OK;
        bool bobs[8] = {false};
        void *bytes[RING_PAGES_MOST];
        struct ring_pages received, pages = {.pool = POOL};
        pages.count = (uint16_t)(1 + random_below(&random, RING_PAGES_MOST));
        pages.length = pages.count * PAGE_SIZE;
        for (unsigned i = 0; i < pages.count; i++) {
            const uint64_t how = random_below(&random, 12);
            const struct ring_descriptor d = allocate(&f, how == 0 ? ALICE : BOB, &bytes[0]);
            enum status one = how < 2 ? STATUS_STALE : STATUS_OK;
            pages.page[i].index = d.index;
            pages.page[i].generation = d.generation + (how == 1); // of a life to come
            bobs[d.index] = how != 0;
            if (how == 2) {
                pages.page[i].index = 8 + (uint32_t)random_below(&random, 1000);
                one = STATUS_FOREIGN;
            }
            expected = expected == STATUS_OK ? one : expected;
            bobs[d.index] &= one != STATUS_OK; // what he has when the message was refused
        }
        ck_assert_int_eq(ops->send_kind(f.ring, &pages, sizeof(pages), RING_PAGES), STATUS_OK);
        ck_assert_int_eq(ring_receive_pages(ops, f.ring, &f.pool, BOB, &received, bytes), expected);
        if (expected == STATUS_OK) {
            whole++;
            ck_assert_uint_eq(statistics_of(&f).held, pages.count);
            ck_assert_int_eq(ring_free_pages(&f.pool, BOB, &received), STATUS_OK);
            ck_assert_uint_eq(statistics_of(&f).held, 0);
        } else {
            refused++;
            size_t his = 0;
            for (unsigned i = 0; i < ARRAY_COUNT(bobs); i++)
                his += bobs[i];
            ck_assert_uint_eq(ring_pool_reclaim(&f.pool, BOB, 0), his);
            ck_assert_int_eq(ring_receive_pages(ops, f.ring, &f.pool, BOB, &received, bytes),
                             STATUS_EMPTY);
        }
        destroy(&f);
    }
    ck_assert_uint_gt(whole, 100);
    ck_assert_uint_gt(refused, 100);
}
END_TEST

START_TEST(pages_of_impossible_counts_and_lengths_are_invalid)
{
    const struct ring_ops *ops = &ring_fusion_spsc_ops;
    static const struct {
        uint16_t count;
        uint32_t length;
    } bad[] = {{0, 0},    {0, 1},     {1, 0},     {1, 4097},  {2, 4096},
               {2, 8193}, {6, 24577}, {7, 28672}, {65535, 1}, {6, UINT32_MAX}};
    struct fixture f = create_with_ring(8, ops, 16);
    void *bytes[RING_PAGES_MOST];
    struct ring_pages pages = pages_for(&f, RING_PAGES_MOST, 6 * PAGE_SIZE, bytes), received;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        pages.count = bad[i].count;
        pages.length = bad[i].length;
        ck_assert_int_eq(ring_send_pages(ops, f.ring, &f.pool, alice_to_bob, &pages),
                         STATUS_INVALID);
        ck_assert_int_eq(ring_free_pages(&f.pool, ALICE, &pages), STATUS_INVALID);
        // Forged, past the check.
        ck_assert_int_eq(ops->send_kind(f.ring, &pages, sizeof(pages), RING_PAGES), STATUS_OK);
        ck_assert_int_eq(ring_receive_pages(ops, f.ring, &f.pool, BOB, &received, bytes),
                         STATUS_CORRUPT);
    }
    ck_assert_uint_eq(statistics_of(&f).held, RING_PAGES_MOST);
    destroy(&f);
}
END_TEST

START_TEST(a_message_of_another_kind_is_no_page)
{
    const struct ring_ops *ops = rings[_i];
    struct fixture f = create_with_ring(2, ops, 4);
    struct ring_descriptor received;
    void *bytes;
    const struct ring_descriptor mine = allocate(&f, BOB, &bytes);
    ck_assert_int_eq(ops->send(f.ring, &mine, sizeof(mine)), STATUS_OK); // looks like one
    ck_assert_int_eq(ops->send_kind(f.ring, &mine, 8, RING_DESCRIPTOR), STATUS_OK);
    ck_assert_int_eq(ops->send_kind(f.ring, &mine, sizeof(mine), RING_PAGES), STATUS_OK);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(ring_receive_page(ops, f.ring, &f.pool, BOB, &received, &bytes),
                         STATUS_CORRUPT);
    ck_assert_int_eq(ring_receive_page(ops, f.ring, &f.pool, BOB, &received, &bytes), STATUS_EMPTY);
    ck_assert_int_eq(ops->send_kind(f.ring, &mine, 16, RING_VOID), STATUS_INVALID);
    destroy(&f);
}
END_TEST

START_TEST(pages_of_a_dead_receiver_are_reclaimed)
{
    struct fixture f = create(100);
    struct ring_descriptor bobs[30];
    void *bytes;
    for (unsigned i = 0; i < 30; i++) {
        bobs[i] = allocate(&f, BOB, &bytes);
        allocate(&f, ALICE, &bytes);
    }
    ck_assert_int_eq(ring_pool_free(&f.pool, BOB, &bobs[0]), STATUS_OK);
    ck_assert_uint_eq(ring_pool_reclaim(&f.pool, BOB, 0), 29);
    ck_assert_uint_eq(ring_pool_reclaim(&f.pool, BOB, 0), 0);
    for (unsigned i = 0; i < 30; i++) // it was not dead after all
        ck_assert_int_eq(ring_pool_free(&f.pool, BOB, &bobs[i]), STATUS_STALE);
    const struct ring_pool_statistics statistics = statistics_of(&f);
    ck_assert_uint_eq(statistics.held, 30);
    ck_assert_uint_eq(statistics.freed, 1);
    ck_assert_uint_eq(statistics.reclaimed, 29);
    destroy(&f);
}
END_TEST

START_TEST(pages_that_are_never_freed_are_reclaimed_by_their_age)
{
    struct fixture f = create(10);
    void *bytes;
    for (unsigned begin = 0; begin < 2; begin++) {
        f.pool.shared->epoch = begin * 65530; // around the 16 bits, too
        for (unsigned epoch = 0; epoch < 20; epoch++) {
            const struct ring_descriptor d = allocate(&f, BOB, &bytes);
            ck_assert_uint_eq(ring_pool_reclaim(&f.pool, BOB, 3), epoch >= 3);
            ck_assert(ring_pool_holds(&f.pool, BOB, &d));
            ring_pool_advance(&f.pool);
        }
        ck_assert_uint_eq(ring_pool_reclaim(&f.pool, BOB, 0), 3);
    }
    destroy(&f);
}
END_TEST

START_TEST(a_pool_off_a_page_boundary_dies)
{
    struct fixture f = create(2);
    ring_pool_init(&f.pool, f.pages + 64, f.shared, 1, 0);
}
END_TEST

START_TEST(an_owner_of_0_dies)
{
    struct fixture f = create(2);
    struct ring_descriptor d;
    void *bytes;
    ring_pool_allocate(&f.pool, 0, &d, &bytes);
}
END_TEST

START_TEST(passing_to_nobody_dies)
{
    struct fixture f = create(2);
    void *bytes;
    const struct ring_descriptor d = allocate(&f, ALICE, &bytes);
    ring_pool_pass(&f.pool, ALICE, 0, &d);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ring_pool");
    TCase *pool = tcase_create("pool");
    tcase_set_timeout(pool, 120);
    tcase_add_loop_test(pool, a_page_is_allocated_sent_received_and_freed_without_a_copy, 0, RINGS);
    tcase_add_loop_test(pool, every_page_is_given_out_once_and_then_the_pool_is_empty, 0, 8);
    tcase_add_test(pool, a_pool_of_no_page_or_too_many_is_invalid);
    tcase_add_test(pool, a_forged_descriptor_is_a_status_whatever_its_fields_say);
    tcase_add_test(pool, random_descriptors_reach_nothing);
    tcase_add_test(pool, a_descriptor_is_stale_after_its_page_was_freed);
    tcase_add_test(pool, a_page_sent_is_no_longer_the_senders);
    tcase_add_loop_test(pool, sending_with_the_pool_is_all_or_nothing, 0, RINGS);
    tcase_add_loop_test(pool, several_pages_are_one_message, 0, RINGS);
    tcase_add_test(pool, pages_with_one_that_is_not_the_senders_are_not_sent);
    tcase_add_loop_test(pool, a_message_with_wrong_names_gives_the_right_ones_back, 0, RINGS);
    tcase_add_test(pool, pages_of_impossible_counts_and_lengths_are_invalid);
    tcase_add_loop_test(pool, a_message_of_another_kind_is_no_page, 0, RINGS);
    tcase_add_test(pool, pages_of_a_dead_receiver_are_reclaimed);
    tcase_add_test(pool, pages_that_are_never_freed_are_reclaimed_by_their_age);
    tcase_add_test_raise_signal(pool, a_pool_off_a_page_boundary_dies, SIGABRT);
    tcase_add_test_raise_signal(pool, an_owner_of_0_dies, SIGABRT);
    tcase_add_test_raise_signal(pool, passing_to_nobody_dies, SIGABRT);
    suite_add_tcase(suite, pool);
    return run_checks(suite);
}
