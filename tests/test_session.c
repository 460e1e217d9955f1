// SPDX-License-Identifier: MIT
// bench/recorder/session: pieces, gaps, repetitions and stacks, frame by frame.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "run_checks.h"
#include "session.h"

#define SESSION 500u

static void open_session(struct session *session)
{
    const struct session_expect expect = {.session = SESSION, .clock = ""};
    session_init(session, &expect, (struct session_listener){0});
}

static void feed_piece(struct session *session, uint32_t offset, const void *bytes, uint16_t length)
{
    uint8_t frame[WIRE_FRAME_MOST];
    const struct wire_header header = {.version = WIRE_VERSION,
                                       .type = WIRE_DATA,
                                       .channel = WIRE_RESULTS,
                                       .session = SESSION,
                                       .offset = offset,
                                       .length = length};
    session_feed(session, frame, wire_encode(&header, bytes, frame));
}

START_TEST(pieces_beyond_the_window_are_dropped_and_counted)
{
    static struct session session;
    static uint8_t zeros[WIRE_PAYLOAD_MOST];
    open_session(&session);
    feed_piece(&session, SESSION_WINDOW + 1, zeros, 10);
    ck_assert_uint_eq(session.too_far, 1);
    ck_assert_uint_eq(session.pending_count, 0);
    // One window of pieces fits, and not a byte more.
    for (uint32_t at = 1; at + 1024 <= SESSION_WINDOW; at += 1024)
        feed_piece(&session, at, zeros, 1024);
    ck_assert_uint_eq(session.too_far, 1);
    feed_piece(&session, SESSION_WINDOW - 1023, zeros, 1024);
    feed_piece(&session, SESSION_WINDOW - 1022, zeros, 1024);
    ck_assert_uint_gt(session.too_far, 1);
    ck_assert_uint_le(session.pending_bytes, SESSION_WINDOW);
    struct session_gap gaps[2];
    ck_assert_uint_ge(session_gaps(&session, gaps, 2), 1);
    ck_assert_uint_eq(gaps[0].offset, 0);
    session_free(&session);
}
END_TEST

START_TEST(many_tiny_pieces_are_bounded)
{
    static struct session session;
    open_session(&session);
    for (uint32_t i = 0; i < 2 * SESSION_PENDING_MOST; i++)
        feed_piece(&session, 10 + 2 * i, "x", 1);
    ck_assert_uint_eq(session.pending_count, SESSION_PENDING_MOST);
    ck_assert_uint_eq(session.too_far, SESSION_PENDING_MOST);
    session_free(&session);
}
END_TEST

START_TEST(gaps_are_named_in_order_whatever_the_order_of_the_pieces)
{
    static struct session session;
    struct session_gap gaps[4];
    char words[DETAIL_MOST];
    open_session(&session);
    const uint32_t offsets[] = {500, 100, 300, 120, 90};
    for (size_t i = 0; i < 5; i++)
        feed_piece(&session, offsets[i], "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 40);
    ck_assert(session_misses(&session));
    ck_assert_uint_eq(session_gaps(&session, gaps, 4), 3);
    const struct session_gap expected[] = {{0, 90}, {160, 140}, {340, 160}};
    ck_assert_int_eq(memcmp(gaps, expected, sizeof(expected)), 0);
    ck_assert_uint_eq(session_gaps(&session, gaps, 2), 2);
    session_describe_gap(&session, words, sizeof(words));
    ck_assert_str_eq(words, "90 bytes of results at 0, and more after them, never came");
    session_free(&session);
}
END_TEST

static void count_text(void *context, enum session_text kind, const char *text, size_t length)
{
    (void)kind, (void)text;
    *(size_t *)context += length;
}

START_TEST(repeated_and_lost_log_frames_are_told_apart)
{
    static struct session session;
    size_t shown = 0;
    uint8_t frame[WIRE_FRAME_MOST];
    const struct session_expect expect = {.session = SESSION, .clock = ""};
    session_init(&session, &expect,
                 (struct session_listener){.context = &shown, .text = count_text});
    // 12 and 13 never come; the last is beyond what is remembered.
    const uint32_t sequences[] = {0, 1, 0, 11, 3, 2, 3, 4, 5, 10, 6, 7, 9, 8, 14, 1 << 20, 1 << 20};
    for (size_t i = 0; i < sizeof(sequences) / sizeof(sequences[0]); i++) {
        const struct wire_header header = {.version = WIRE_VERSION,
                                           .type = WIRE_TEXT,
                                           .channel = WIRE_LOG,
                                           .session = SESSION,
                                           .sequence = sequences[i],
                                           .length = 1};
        session_feed(&session, frame, wire_encode(&header, "x", frame));
        if (sequences[i] == 14)
            ck_assert_uint_eq(session_lost(&session, WIRE_LOG), 2);
    }
    ck_assert_uint_eq(shown, 14);
    ck_assert_uint_eq(session_lost(&session, WIRE_LOG), (1 << 20) + 1 - 14);
    session_free(&session);
}
END_TEST

START_TEST(a_stack_may_begin_above_a_guard_page)
{
    static struct session session;
    uint8_t frame[WIRE_FRAME_MOST];
    const uint32_t offsets[] = {4097, 4000, 16};
    const size_t known[] = {0, 4001, 18};
    for (size_t i = 0; i < 3; i++) {
        const struct wire_header header = {.version = WIRE_VERSION,
                                           .type = WIRE_STACK,
                                           .session = SESSION,
                                           .offset = offsets[i],
                                           .length = i == 2 ? 2 : 1};
        open_session(&session);
        session_feed(&session, frame, wire_encode(&header, "xy", frame));
        ck_assert_uint_eq(session_stack_length(&session), known[i]);
        session_free(&session);
    }
}
END_TEST

START_TEST(stack_counts_only_without_gaps)
{
    static struct session session;
    uint8_t frame[WIRE_FRAME_MOST], bytes[100];
    memset(bytes, 0xab, sizeof(bytes));
    open_session(&session);
    const uint32_t offsets[] = {0, 200, 100, 8192 - 100, 8192 - 99, UINT32_MAX};
    const size_t known[] = {100, 100, 300, 300, 300, 300};
    for (size_t i = 0; i < 6; i++) {
        const struct wire_header header = {.version = WIRE_VERSION,
                                           .type = WIRE_STACK,
                                           .session = SESSION,
                                           .sequence = (uint32_t)i,
                                           .offset = offsets[i],
                                           .length = sizeof(bytes)};
        session_feed(&session, frame, wire_encode(&header, bytes, frame));
        ck_assert_uint_eq(session_stack_length(&session), known[i]);
    }
    session_free(&session);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("session");
    TCase *tests = tcase_create("frames");
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, pieces_beyond_the_window_are_dropped_and_counted);
    tcase_add_test(tests, many_tiny_pieces_are_bounded);
    tcase_add_test(tests, gaps_are_named_in_order_whatever_the_order_of_the_pieces);
    tcase_add_test(tests, repeated_and_lost_log_frames_are_told_apart);
    tcase_add_test(tests, a_stack_may_begin_above_a_guard_page);
    tcase_add_test(tests, stack_counts_only_without_gaps);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
