// SPDX-License-Identifier: MIT
// Calls between threads of the process, over futexes; also under ThreadSanitizer.
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "call.h"
#include "random.h"
#include "ring_futex.h"
#include "ring_subject.h"
#include "run_checks.h"
#include "seed.h"
#include "soak.h"
#include "test_platform.h"

#define SEATS 4u

static struct ring_wait requests;
static struct ring_waiter waiter;
static struct subject subject;
static struct call_channel channel;
static struct call_seat seats[SEATS];
static uint64_t seed, each;

static void begin(const struct ring_ops *ops, size_t slots, uint32_t looks)
{
    test_cpu_enter(0);
    subject = create(ops, slots);
    (void)ring_futex(&waiter, true);
    waiter.looks = looks;
    ring_wait_init(&requests, ops, subject.ring, slots, &waiter);
    ck_assert_int_eq(call_init(&channel, &requests, seats, SEATS), STATUS_OK);
}

static uint64_t in_ms(uint64_t ms)
{
    return waiter.now_ns(waiter.place) + ms * 1000000;
}

static enum status ask(uint32_t seat, uint64_t number, uint64_t *answer, uint64_t until_ns)
{
    uint64_t reply[CALL_PAYLOAD_MOST / 8];
    size_t length = 0;
    const enum status status =
        call_ask(&channel, seat, &number, sizeof(number), reply, &length, until_ns);
    *answer = length >= 8 ? reply[0] : 0;
    return status;
}

// Answers n with 3n + 1, in replies of two lengths.
static void *serving(void *argument)
{
    uint64_t request[CALL_PAYLOAD_MOST / 8], reply[CALL_PAYLOAD_MOST / 8] = {0};
    struct call_ticket ticket;
    size_t length;
    enum status status;
    test_cpu_enter((unsigned)(uintptr_t)argument);
    while ((status = call_next(&channel, request, &length, &ticket, RING_FOREVER)) == STATUS_OK) {
        reply[0] = 3 * request[0] + 1;
        (void)call_answer(&channel, ticket, reply, request[0] % 2 ? 8 : CALL_PAYLOAD_MOST);
    }
    return (void *)(intptr_t)status;
}

static void *calling(void *argument)
{
    const uint32_t seat = (uint32_t)(uintptr_t)argument;
    struct random random = random_seeded(seed + seat);
    intptr_t wrong = 0;
    test_cpu_enter(1 + seat);
    for (uint64_t i = 0; i < each; i++) {
        uint64_t answer;
        const uint64_t number = random_below(&random, UINT32_MAX);
        wrong += ask(seat, number, &answer, RING_FOREVER) != STATUS_OK || answer != 3 * number + 1;
        if (random_below(&random, 256) == 0)
            usleep(50);
    }
    return (void *)wrong;
}

static void *join(pthread_t thread)
{
    void *result;
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    return result;
}

static void calls(const struct ring_ops *ops, unsigned callers, unsigned servers)
{
    pthread_t threads[8];
    struct random random = seeded_for("calls");
    seed = random_u64(&random);
    each = soaked(4000 / callers, 1000000);
    begin(ops, 16, 32);
    for (unsigned i = 0; i < servers; i++)
        pthread_create(&threads[4 + i], NULL, serving, (void *)(uintptr_t)(6 + i));
    for (unsigned i = 0; i < callers; i++)
        pthread_create(&threads[i], NULL, calling, (void *)(uintptr_t)i);
    for (unsigned i = 0; i < callers; i++)
        ck_assert_ptr_null(join(threads[i]));
    call_end(&channel, STATUS_CLOSED);
    for (unsigned i = 0; i < servers; i++)
        ck_assert_int_eq((enum status)(intptr_t)join(threads[4 + i]), STATUS_CLOSED);
    destroy(&subject);
}

START_TEST(each_caller_gets_the_reply_to_its_own_request)
{
    const struct ring_ops *const many[] = {&ring_fusion_mpmc_ops, &ring_locked_queue_ops};
    calls(many[_i], 4, 2);
}
END_TEST

START_TEST(one_caller_and_one_server_need_no_ring_of_many)
{
    calls(&ring_fusion_spsc_ops, 1, 1);
}
END_TEST

START_TEST(late_server_finds_its_ticket_stale_and_frees_the_seat)
{
    uint64_t answer, request[CALL_PAYLOAD_MOST / 8];
    struct call_ticket ticket;
    size_t length;
    begin(&ring_fusion_spsc_ops, 4, 0);
    ck_assert_int_eq(ask(0, 5, &answer, in_ms(3)), STATUS_TIMEOUT);
    ck_assert_int_eq(ask(0, 6, &answer, in_ms(3)), STATUS_FULL);
    ck_assert_int_eq(call_next(&channel, request, &length, &ticket, 0), STATUS_OK);
    ck_assert_uint_eq(request[0], 5);
    ck_assert_uint_eq(length, 8);
    ck_assert_int_eq(call_answer(&channel, ticket, request, 8), STATUS_STALE);
    ck_assert_int_eq(call_answer(&channel, ticket, request, 8), STATUS_STALE);
    ck_assert_int_eq(ask(0, 7, &answer, in_ms(3)), STATUS_TIMEOUT); // the seat takes calls again
    destroy(&subject);
}
END_TEST

static void *ask_forever(void *argument)
{
    uint64_t answer;
    test_cpu_enter(2);
    return (void *)(intptr_t)ask((uint32_t)(uintptr_t)argument, 1, &answer, RING_FOREVER);
}

START_TEST(end_of_the_channel_wakes_who_waits_for_a_reply)
{
    const enum status ends[] = {STATUS_CLOSED, STATUS_DEAD};
    uint64_t answer;
    pthread_t caller;
    begin(&ring_fusion_mpmc_ops, 4, 0);
    pthread_create(&caller, NULL, ask_forever, NULL);
    usleep(20000); // asleep, most likely; must not matter
    call_end(&channel, ends[_i]);
    ck_assert_int_eq((enum status)(intptr_t)join(caller), ends[_i]);
    ck_assert_int_eq(ask(1, 1, &answer, RING_FOREVER), ends[_i]);
    destroy(&subject);
}
END_TEST

START_TEST(forged_and_oversized_requests_are_refused)
{
    uint64_t big[8] = {99ull << 32 | 1}, answer;
    struct call_ticket ticket;
    size_t length;
    begin(&ring_fusion_spsc_ops, 4, 0);
    ck_assert_int_eq(call_ask(&channel, 0, big, CALL_PAYLOAD_MOST + 1, big, &length, 0),
                     STATUS_TOO_LARGE);
    ck_assert_int_eq(requests.ops->send(subject.ring, big, 16), STATUS_OK); // seat 99
    ck_assert_int_eq(call_next(&channel, big, &length, &ticket, 0), STATUS_CORRUPT);
    big[0] = 1;
    ck_assert_int_eq(requests.ops->send(subject.ring, big, 4), STATUS_OK);
    ck_assert_int_eq(call_next(&channel, big, &length, &ticket, 0), STATUS_CORRUPT);
    ck_assert_int_eq(requests.ops->send(subject.ring, big, 56), STATUS_OK);
    ck_assert_int_eq(call_next(&channel, big, &length, &ticket, 0), STATUS_CORRUPT);
    ticket = (struct call_ticket){.seat = 0, .call = 77};
    ck_assert_int_eq(call_answer(&channel, ticket, big, CALL_PAYLOAD_MOST + 1), STATUS_TOO_LARGE);
    ck_assert_int_eq(call_answer(&channel, ticket, big, 8), STATUS_STALE);
    ck_assert_int_eq(ask(0, 1, &answer, 0), STATUS_TIMEOUT);
    ck_assert_int_eq(call_init(&channel, &requests, seats, 0), STATUS_INVALID);
    ck_assert_int_eq(call_init(&channel, &requests, seats, CALL_SEATS_MOST + 1), STATUS_INVALID);
    destroy(&subject);
}
END_TEST

START_TEST(seat_that_is_none_panics)
{
    uint64_t answer;
    begin(&ring_fusion_spsc_ops, 4, 0);
    (void)ask(SEATS, 1, &answer, 0);
}
END_TEST

START_TEST(answer_to_a_seat_that_is_none_panics)
{
    const struct call_ticket ticket = {.seat = SEATS};
    begin(&ring_fusion_spsc_ops, 4, 0);
    (void)call_answer(&channel, ticket, &ticket, 0);
}
END_TEST

START_TEST(end_without_a_reason_panics)
{
    begin(&ring_fusion_spsc_ops, 4, 0);
    call_end(&channel, STATUS_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("call");
    TCase *tests = tcase_create("call");
    tcase_set_timeout(tests, 300);
    tcase_add_loop_test(tests, each_caller_gets_the_reply_to_its_own_request, 0, 2);
    tcase_add_test(tests, one_caller_and_one_server_need_no_ring_of_many);
    tcase_add_test(tests, late_server_finds_its_ticket_stale_and_frees_the_seat);
    tcase_add_loop_test(tests, end_of_the_channel_wakes_who_waits_for_a_reply, 0, 2);
    tcase_add_test(tests, forged_and_oversized_requests_are_refused);
    tcase_add_test_raise_signal(tests, seat_that_is_none_panics, SIGABRT);
    tcase_add_test_raise_signal(tests, answer_to_a_seat_that_is_none_panics, SIGABRT);
    tcase_add_test_raise_signal(tests, end_without_a_reason_panics, SIGABRT);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
