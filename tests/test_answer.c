// SPDX-License-Identifier: MIT
// bench/framework: the target's half of the line that loses nothing, against hosts of all kinds.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "run_checks.h"
#include "test_platform.h"

#define SESSION     9u
#define STREAM_MOST ((size_t)1 << 20)

// The other end of the line: what it heard, and how it behaves.
static struct host {
    struct wire_decoder decoder;
    uint8_t stream[STREAM_MOST]; // what came, by offset
    bool known[STREAM_MOST];
    uint64_t length, crc; // by END
    unsigned hellos, ends, pieces;
    size_t bytes; // of results
    uint8_t said[1 << 16];
    size_t said_length, heard;
    // Behaviour.
    unsigned lose_every;  // piece of the results; 0: none
    unsigned deaf_for;    // ENDs it does not notice
    bool silent;          // says nothing
    bool echoes;          // says what it hears
    uint32_t session;     // it takes itself to be in
    void (*babble)(void); // called when the target has heard everything
} host;

static struct options options;
static struct clock measured = {.class = PLATFORM_CLOCK_EMULATED};
static struct report report;
static uint8_t memory[STREAM_MOST];

// ---- the host -----------------------------------------------------------------------------------

static void say(enum wire_type type, enum wire_channel channel, uint32_t offset, uint32_t length)
{
    uint8_t frame[WIRE_FRAME_MOST];
    const uint8_t payload[4] = {(uint8_t)length, (uint8_t)(length >> 8), (uint8_t)(length >> 16),
                                (uint8_t)(length >> 24)};
    const struct wire_header header = {.version = WIRE_VERSION,
                                       .type = (uint8_t)type,
                                       .channel = (uint8_t)channel,
                                       .session = host.session,
                                       .offset = offset,
                                       .length = type == WIRE_RESEND ? 4 : 0};
    const size_t coded = wire_encode(&header, payload, frame);
    if (host.said_length + coded > sizeof(host.said))
        return;
    memcpy(host.said + host.said_length, frame, coded);
    host.said_length += coded;
}

static uint64_t first_gap(void)
{
    uint64_t at = 0;
    while (at < host.length && host.known[at])
        at++;
    return at;
}

static void take_end(const uint8_t *payload, size_t length)
{
    struct record_reader reader;
    record_reader_init(&reader, payload, length);
    record_get_u64(&reader);
    host.length = record_get_u64(&reader);
    host.crc = record_get_u64(&reader);
    ck_assert_uint_le(host.length, STREAM_MOST);
    if (++host.ends <= host.deaf_for || host.silent)
        return;
    const uint64_t gap = first_gap();
    if (gap == host.length)
        say(WIRE_ACK, WIRE_RESULTS, (uint32_t)gap, 0);
    else
        say(WIRE_RESEND, WIRE_RESULTS, (uint32_t)gap, 2000);
}

static void take_frame(void *context, const struct wire_header *header, const uint8_t *payload)
{
    (void)context;
    ck_assert_uint_eq(header->session, SESSION);
    host.hellos += header->type == WIRE_HELLO;
    if (header->type == WIRE_END)
        take_end(payload, header->length);
    if (header->type != WIRE_DATA)
        return;
    host.pieces++;
    host.bytes += header->length;
    if (host.lose_every > 0 && host.pieces % host.lose_every == 0)
        return;
    ck_assert_uint_le(header->offset + header->length, STREAM_MOST);
    memcpy(host.stream + header->offset, payload, header->length);
    memset(host.known + header->offset, true, header->length);
}

static size_t hear(const void *bytes, size_t length)
{
    wire_decode(&host.decoder, bytes, length);
    if (host.echoes && host.said_length + length <= sizeof(host.said)) {
        memcpy(host.said + host.said_length, bytes, length);
        host.said_length += length;
    }
    return 0;
}

static size_t speak(void *bytes, size_t capacity)
{
    if (host.heard == host.said_length) {
        host.heard = host.said_length = 0;
        if (host.babble != NULL)
            host.babble();
    }
    const size_t left = host.said_length - host.heard;
    const size_t length = left < capacity ? left : capacity;
    memcpy(bytes, host.said + host.heard, length);
    host.heard += length;
    return length;
}

// ---- the target ---------------------------------------------------------------------------------

static void put_results(unsigned facts)
{
    char value[RECORD_TEXT_MOST + 1];
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    for (unsigned i = 0; i < facts; i++)
        report_fact(&report, "key", value);
    report_begin(&report, 0, "suite/case", 0, 1, 1);
}

static void set_up(void)
{
    char why[256];
    memset(&host, 0, sizeof(host));
    host.session = SESSION;
    wire_decoder_init(&host.decoder, (struct wire_sink){NULL, take_frame, NULL});
    test_line_write = hear;
    test_line_read = speak;
    test_clock_stopped = true;
    ck_assert(options_read("output=framed session=9", &options, why, sizeof(why)));
    report_open(&report, &options, &measured, memory, sizeof(memory));
}

static void check_whole(void)
{
    ck_assert_uint_eq(host.length, report.stream.length);
    ck_assert_uint_eq(first_gap(), host.length);
    ck_assert_int_eq(memcmp(host.stream, report.stream.bytes, host.length), 0);
    ck_assert_uint_eq(wire_crc32c(0, host.stream, host.length), host.crc);
}

// ---- tests --------------------------------------------------------------------------------------

START_TEST(a_good_line_costs_one_end_and_no_repetition)
{
    put_results(100);
    report_end(&report, true);
    check_whole();
    ck_assert_uint_eq(host.ends, 1);
    ck_assert_uint_eq(host.hellos, 1);
    ck_assert_uint_eq(host.bytes, host.length);
}
END_TEST

START_TEST(what_is_asked_for_is_sent_again_until_it_came)
{
    host.lose_every = 5;
    put_results(300);
    report_end(&report, true);
    check_whole();
    ck_assert_uint_gt(host.bytes, host.length);
    ck_assert_uint_eq(host.hellos, 1);
}
END_TEST

START_TEST(end_is_repeated_until_it_is_noticed)
{
    host.deaf_for = 3;
    put_results(1);
    report_end(&report, true);
    check_whole();
    ck_assert_uint_eq(host.ends, 4);
}
END_TEST

START_TEST(without_a_way_back_everything_is_sent_three_times)
{
    host.silent = true;
    put_results(50);
    report_end(&report, true);
    check_whole();
    ck_assert_uint_eq(host.hellos, WIRE_COPIES);
    ck_assert_uint_eq(host.bytes, WIRE_COPIES * host.length);
    ck_assert_uint_ge(host.ends, WIRE_COPIES);
    ck_assert_uint_le(host.ends, ANSWER_ONE_WAY + WIRE_COPIES);
}
END_TEST

START_TEST(an_echo_is_no_host)
{
    host.silent = host.echoes = true;
    put_results(20);
    report_end(&report, true);
    ck_assert_uint_eq(report.listener.heard, 0);
    ck_assert_uint_eq(host.bytes, WIRE_COPIES * host.length);
}
END_TEST

START_TEST(a_host_of_another_session_is_no_host)
{
    host.session = SESSION + 1;
    put_results(20);
    report_end(&report, true);
    ck_assert_uint_eq(report.listener.heard, 0);
    ck_assert_uint_eq(host.bytes, WIRE_COPIES * host.length);
}
END_TEST

START_TEST(a_host_that_falls_silent_is_given_up)
{
    host.silent = true;
    put_results(20);
    say(WIRE_ACK, WIRE_CONTROL, 0, 0);
    report_end(&report, true);
    ck_assert_uint_eq(report.listener.heard, 1);
    ck_assert_uint_eq(host.bytes, host.length);
    ck_assert_uint_ge(host.ends, ANSWER_SILENT);
    ck_assert_uint_le(host.ends, ANSWER_SILENT + 2);
}
END_TEST

static void ask_for_everything(void)
{
    say(WIRE_RESEND, WIRE_RESULTS, 0, UINT32_MAX);
    say(WIRE_RESEND, WIRE_CONTROL, 0, 0);
}

static void ask_for_bytes(void)
{
    for (uint32_t i = 0; i < 2 * LISTEN_RANGES_MOST; i++)
        say(WIRE_RESEND, WIRE_RESULTS, i, 1);
}

// Whatever is asked, as often as it can be heard: the target ends, and what it sends is bounded.
static void check_bounded(void (*babble)(void))
{
    host.babble = babble;
    host.silent = true;
    put_results(1000);
    report_end(&report, true);
    ck_assert_uint_le(host.ends, ANSWER_TRIES * (ANSWER_BYTES_A_TRY / WIRE_PAYLOAD_MOST + 1) + 1);
    ck_assert_uint_le(host.bytes, host.length + ANSWER_TRIES * (size_t)ANSWER_BYTES_A_TRY);
    ck_assert_uint_le(host.pieces,
                      host.length / 200 + ANSWER_TRIES * ANSWER_BYTES_A_TRY / WIRE_PAYLOAD_MOST);
}

START_TEST(a_host_that_asks_for_ever_does_not_hold_the_target)
{
    check_bounded(ask_for_everything);
}
END_TEST

START_TEST(many_tiny_requests_do_not_hold_the_target)
{
    check_bounded(ask_for_bytes);
}
END_TEST

START_TEST(the_same_range_asked_for_many_times_at_once_is_sent_once)
{
    put_results(40);
    const size_t before = host.bytes;
    for (unsigned i = 0; i < 50; i++)
        say(WIRE_RESEND, WIRE_RESULTS, 1000, 500);
    answer_between(&report);
    ck_assert_uint_eq(host.bytes - before, 500);
    ck_assert_int_eq(memcmp(host.stream + 1000, report.stream.bytes + 1000, 500), 0);
    answer_between(&report);
    ck_assert_uint_eq(host.bytes - before, 500);
    say(WIRE_RESEND, WIRE_RESULTS, 1000, 500);
    answer_between(&report);
    ck_assert_uint_eq(host.bytes - before, 1000);
}
END_TEST

START_TEST(between_benchmarks_the_work_is_bounded)
{
    put_results(2000);
    const size_t before = host.bytes;
    say(WIRE_RESEND, WIRE_RESULTS, 0, UINT32_MAX);
    answer_between(&report);
    ck_assert_uint_eq(host.bytes - before, ANSWER_BYTES_BETWEEN);
}
END_TEST

START_TEST(ranges_that_do_not_exist_are_not_answered)
{
    put_results(10);
    const size_t before = host.bytes;
    const uint32_t length = (uint32_t)report.stream.length;
    say(WIRE_RESEND, WIRE_RESULTS, length, 1);
    say(WIRE_RESEND, WIRE_RESULTS, UINT32_MAX, UINT32_MAX);
    say(WIRE_RESEND, WIRE_RESULTS, 5, 0);
    say(WIRE_RESEND, WIRE_TRACE, 0, 100);
    say(WIRE_DATA, WIRE_RESULTS, 0, 0);
    answer_between(&report);
    ck_assert_uint_eq(host.bytes, before);
    say(WIRE_RESEND, WIRE_RESULTS, length - 1, UINT32_MAX);
    answer_between(&report);
    ck_assert_uint_eq(host.bytes, before + 1);
}
END_TEST

START_TEST(a_lost_hello_is_sent_again_and_end_only_once_it_is_out)
{
    put_results(1);
    say(WIRE_RESEND, WIRE_CONTROL, 0, 0);
    answer_between(&report);
    ck_assert_uint_eq(host.hellos, 2);
    ck_assert_uint_eq(host.ends, 0);
    host.deaf_for = 1;
    say(WIRE_RESEND, WIRE_CONTROL, 0, 0);
    report_end(&report, false);
    ck_assert_uint_eq(host.hellos, 3);
    ck_assert_uint_eq(host.ends, 2);
    check_whole();
}
END_TEST

START_TEST(requests_hidden_in_garbage_are_found)
{
    put_results(10);
    const size_t before = host.bytes;
    memset(host.said, 'x', 3000);
    host.said_length = 3000;
    say(WIRE_RESEND, WIRE_RESULTS, 0, 100);
    answer_between(&report);
    ck_assert_uint_eq(host.bytes, before + 100);
}
END_TEST

START_TEST(text_output_never_listens)
{
    char why[256];
    ck_assert(options_read("output=text session=9", &options, why, sizeof(why)));
    report_open(&report, &options, &measured, memory, sizeof(memory));
    ask_for_everything();
    answer_between(&report);
    report_end(&report, true);
    ck_assert_uint_eq(report.listener.heard, 0);
    ck_assert_uint_eq(host.heard, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("answer");
    TCase *tests = tcase_create("answers");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, NULL);
    tcase_add_test(tests, a_good_line_costs_one_end_and_no_repetition);
    tcase_add_test(tests, what_is_asked_for_is_sent_again_until_it_came);
    tcase_add_test(tests, end_is_repeated_until_it_is_noticed);
    tcase_add_test(tests, without_a_way_back_everything_is_sent_three_times);
    tcase_add_test(tests, an_echo_is_no_host);
    tcase_add_test(tests, a_host_of_another_session_is_no_host);
    tcase_add_test(tests, a_host_that_falls_silent_is_given_up);
    tcase_add_test(tests, a_host_that_asks_for_ever_does_not_hold_the_target);
    tcase_add_test(tests, many_tiny_requests_do_not_hold_the_target);
    tcase_add_test(tests, the_same_range_asked_for_many_times_at_once_is_sent_once);
    tcase_add_test(tests, between_benchmarks_the_work_is_bounded);
    tcase_add_test(tests, ranges_that_do_not_exist_are_not_answered);
    tcase_add_test(tests, a_lost_hello_is_sent_again_and_end_only_once_it_is_out);
    tcase_add_test(tests, requests_hidden_in_garbage_are_found);
    tcase_add_test(tests, text_output_never_listens);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
