// SPDX-License-Identifier: MIT
// bench/recorder/session: what the control frames say, against the results and each other.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "run_checks.h"
#include "session.h"

#define SESSION 500u

static struct session session;
static uint32_t frames_sent;

static void open_session(void)
{
    const struct session_expect expect = {.session = SESSION, .clock = ""};
    session_init(&session, &expect, (struct session_listener){0});
}

static void feed(uint32_t number, enum wire_channel channel, enum wire_type type, uint32_t offset,
                 const void *bytes, size_t length)
{
    uint8_t frame[WIRE_FRAME_MOST];
    const struct wire_header header = {.version = WIRE_VERSION,
                                       .type = (uint8_t)type,
                                       .channel = (uint8_t)channel,
                                       .session = number,
                                       .sequence = frames_sent++,
                                       .offset = offset,
                                       .length = (uint16_t)length};
    session_feed(&session, frame, wire_encode(&header, bytes, frame));
}

static void feed_results(uint32_t offset, const void *bytes, size_t length)
{
    feed(SESSION, WIRE_RESULTS, WIRE_DATA, offset, bytes, length);
}

static void feed_hello(void)
{
    uint8_t bytes[64];
    struct record_writer writer;
    record_writer_init(&writer, bytes, sizeof(bytes));
    record_put_u64(&writer, 1);
    record_put_bytes(&writer, "id", 2);
    record_put_u64(&writer, 1);
    record_put_u64(&writer, 1000000000);
    record_put_u64(&writer, 0);
    record_put_text(&writer, "x86_64");
    ck_assert(!writer.failed);
    feed(SESSION, WIRE_CONTROL, WIRE_HELLO, 0, bytes, writer.length);
}

// What END says; the totals of each channel are the same.
struct said {
    uint64_t success, length, crc, hash, frames, bytes;
};

static struct said end_of(const void *stream, size_t length)
{
    return (struct said){.success = 1,
                         .length = length,
                         .crc = wire_crc32c(0, stream, length),
                         .hash = record_hash(RECORD_HASH_START, stream, length),
                         .frames = 1,
                         .bytes = length};
}

static void feed_end(struct said said)
{
    uint8_t bytes[256];
    struct record_writer writer;
    record_writer_init(&writer, bytes, sizeof(bytes));
    record_put_u64(&writer, said.success);
    record_put_u64(&writer, said.length);
    record_put_u64(&writer, said.crc);
    record_put_u64(&writer, said.hash);
    for (unsigned i = 0; i < WIRE_CHANNELS; i++) {
        record_put_u64(&writer, said.frames);
        record_put_u64(&writer, said.bytes);
        record_put_u64(&writer, 0);
    }
    ck_assert(!writer.failed);
    feed(SESSION, WIRE_CONTROL, WIRE_END, 0, bytes, writer.length);
}

// A plan without rows: the least results of which all rows are finished. Returns the length.
static size_t least_results(uint8_t bytes[32])
{
    struct record_writer writer;
    record_writer_init(&writer, bytes, 32);
    record_open(&writer, RECORD_PLAN);
    for (unsigned i = 0; i < 4; i++)
        record_put_u64(&writer, 0);
    record_close(&writer);
    ck_assert(!writer.failed);
    return writer.length;
}

// ---- END and the results -----------------------------------------------------------------------

START_TEST(results_of_the_length_that_end_says_are_whole)
{
    uint8_t stream[32];
    const size_t length = least_results(stream);
    open_session();
    feed_hello();
    feed_end(end_of(stream, length));
    ck_assert_int_eq(session_state(&session), SESSION_GAP);
    feed_results(0, stream, length);
    ck_assert_int_eq(session_state(&session), SESSION_ENDED);
    ck_assert_str_eq(session.error, "");
    session_free(&session);
}
END_TEST

// Which of results, a piece beyond their end and END comes when.
static const char *const orders[] = {"rbe", "reb", "bre", "ber", "erb", "ebr"};

START_TEST(results_beyond_the_length_that_end_says_are_damage)
{
    uint8_t stream[32];
    const size_t length = least_results(stream);
    open_session();
    feed_hello();
    for (const char *at = orders[_i]; *at != '\0'; at++) {
        ck_assert_int_ne(session_state(&session), SESSION_DAMAGED);
        if (*at == 'r')
            feed_results(0, stream, length);
        else if (*at == 'b')
            feed_results(100, "beyond", 6);
        else
            feed_end(end_of(stream, length));
    }
    ck_assert_int_eq(session_state(&session), SESSION_DAMAGED);
    ck_assert_str_eq(session.error, "results at 100 came, END says 7 bytes are all");
    session_free(&session);
}
END_TEST

START_TEST(results_without_a_gap_that_are_longer_than_end_says_are_damage)
{
    uint8_t stream[32];
    const size_t length = least_results(stream);
    open_session();
    feed_hello();
    feed_results(0, stream, length);
    feed_results((uint32_t)length, "x", 1);
    feed_end(end_of(stream, length));
    ck_assert_str_eq(session.error, "8 bytes of results came, END says 7");
    session_free(&session);
}
END_TEST

START_TEST(results_of_another_digest_are_damage)
{
    uint8_t stream[32];
    const size_t length = least_results(stream);
    struct said said[] = {end_of(stream, length), end_of(stream, length)};
    said[0].crc ^= 1;
    said[1].hash ^= 1;
    for (size_t i = 0; i < 2; i++) {
        open_session();
        feed_hello();
        feed_results(0, stream, length);
        feed_end(said[i]);
        ck_assert_int_eq(session_state(&session), SESSION_DAMAGED);
        ck_assert_str_eq(session.error, "the digest of the results is not the one that END says");
        session_free(&session);
    }
}
END_TEST

START_TEST(results_that_end_inside_a_record_are_damage)
{
    uint8_t stream[32];
    const size_t whole = least_results(stream);
    const uint8_t unknown[] = {200, 4, 0, 1, 2, 3, 4}; // a record of a later version
    memcpy(stream + whole, unknown, sizeof(unknown));
    for (size_t more = 0; more <= sizeof(unknown); more++) {
        open_session();
        feed_hello();
        feed_results(0, stream, whole + more);
        feed_end(end_of(stream, whole + more));
        const bool cut = more > 0 && more < sizeof(unknown);
        ck_assert_int_eq(session_state(&session), cut ? SESSION_DAMAGED : SESSION_ENDED);
        ck_assert_str_eq(session.error, cut ? "the results end within a record" : "");
        session_free(&session);
    }
}
END_TEST

// ---- END and END -------------------------------------------------------------------------------

START_TEST(two_ends_that_differ_in_anything_but_totals_are_damage)
{
    uint8_t stream[32];
    const struct said first = end_of(stream, least_results(stream));
    struct said second[] = {first, first, first, first, first, first};
    second[0].success = 0;
    second[1].length--;
    second[2].crc ^= 1;
    second[3].hash ^= 1;
    second[4].frames++; // totals grow
    second[5].bytes++;
    for (size_t i = 0; i < 6; i++) {
        open_session();
        feed_hello();
        feed_end(first);
        feed_end(second[i]);
        ck_assert_str_eq(session.error, i < 4 ? "two ENDs that differ" : "");
        ck_assert_uint_eq(session.ends, i < 4 ? 1 : 2);
        session_free(&session);
    }
}
END_TEST

START_TEST(an_end_of_more_results_than_its_totals_can_carry_is_damage)
{
    const struct {
        uint64_t length, frames, bytes;
        bool possible;
    } ends[] = {
        {0, 0, 0, true},
        {1, 1, 1, true},
        {1, 0, 1, false},
        {1, 1, 0, false},
        {WIRE_PAYLOAD_MOST, 1, WIRE_PAYLOAD_MOST, true},
        {WIRE_PAYLOAD_MOST + 1, 1, WIRE_PAYLOAD_MOST + 1, false},
        {WIRE_PAYLOAD_MOST + 1, 2, WIRE_PAYLOAD_MOST + 1, true},
        {WIRE_PAYLOAD_MOST + 1, 2, WIRE_PAYLOAD_MOST, false},
        {10 * WIRE_PAYLOAD_MOST, 9, 10 * WIRE_PAYLOAD_MOST, false},
        {10 * WIRE_PAYLOAD_MOST, 1000, 1000 * WIRE_PAYLOAD_MOST, true}, // sent again
        {SESSION_RESULTS_MOST, SESSION_RESULTS_MOST, SESSION_RESULTS_MOST, true},
        {SESSION_RESULTS_MOST + 1, UINT32_MAX, UINT32_MAX, false},
    };
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        open_session();
        feed_hello();
        feed_end((struct said){
            .length = ends[i].length, .frames = ends[i].frames, .bytes = ends[i].bytes});
        ck_assert_msg(session.end_seen == ends[i].possible, "END %zu", i);
        // Of no results the digest is wrong here, and told: the END itself was taken.
        ck_assert_msg(ends[i].possible || session_state(&session) == SESSION_DAMAGED, "END %zu", i);
        session_free(&session);
    }
}
END_TEST

// ---- words without a session -------------------------------------------------------------------

static void feed_panic(uint32_t number)
{
    uint8_t bytes[256];
    struct record_writer writer;
    const struct record_panic panic = {.reason = "planted", .vector = RECORD_NO_VECTOR};
    record_writer_init(&writer, bytes, sizeof(bytes));
    record_put_panic(&writer, &panic);
    ck_assert(!writer.failed);
    feed(number, WIRE_CONTROL, WIRE_PANIC, 0, bytes, writer.length);
}

START_TEST(last_words_of_session_0_count_before_hello)
{
    open_session();
    feed(0, WIRE_CONTROL, WIRE_REFUSED, 0, "no", 2);
    ck_assert_int_eq(session_state(&session), SESSION_REFUSED);
    ck_assert_str_eq(session.error, "no");
    session_free(&session);
    open_session();
    feed_panic(0);
    feed(0, WIRE_CONTROL, WIRE_STACK, 0, "stack", 5);
    ck_assert_int_eq(session_state(&session), SESSION_PANIC);
    ck_assert_str_eq(session.panic.reason, "planted");
    ck_assert_uint_eq(session_stack_length(&session), 5);
    ck_assert_uint_eq(session.foreign, 0);
    session_free(&session);
}
END_TEST

START_TEST(last_words_of_session_0_are_foreign_after_hello)
{
    uint8_t stream[32];
    const size_t length = least_results(stream);
    open_session();
    feed_hello();
    feed(0, WIRE_CONTROL, WIRE_REFUSED, 0, "no", 2);
    feed_panic(0);
    feed(0, WIRE_CONTROL, WIRE_STACK, 0, "stack", 5);
    ck_assert_int_eq(session_state(&session), SESSION_RUNNING);
    ck_assert_uint_eq(session.foreign, 3);
    ck_assert_uint_eq(session.channels[WIRE_CONTROL].frames, 1);
    ck_assert_uint_eq(session_stack_length(&session), 0);
    // Nothing of them is left: the boot ends as if they had not come.
    feed_results(0, stream, length);
    feed_end(end_of(stream, length));
    ck_assert_int_eq(session_state(&session), SESSION_ENDED);
    session_free(&session);
}
END_TEST

START_TEST(other_words_of_session_0_are_foreign_before_hello)
{
    const struct {
        enum wire_channel channel;
        enum wire_type type;
    } words[] = {{WIRE_CONTROL, WIRE_HELLO}, {WIRE_CONTROL, WIRE_END},  {WIRE_RESULTS, WIRE_DATA},
                 {WIRE_RESULTS, WIRE_PANIC}, {WIRE_LOG, WIRE_TEXT},     {WIRE_LOG, WIRE_REFUSED},
                 {WIRE_TRACE, WIRE_STACK},   {WIRE_TRACE, WIRE_PACKETS}};
    const size_t count = sizeof(words) / sizeof(words[0]);
    open_session();
    for (size_t i = 0; i < count; i++)
        feed(0, words[i].channel, words[i].type, 0, "word", 4);
    ck_assert_uint_eq(session.foreign, count);
    ck_assert_int_eq(session_state(&session), SESSION_WAITING);
    session_free(&session);
}
END_TEST

// ---- pieces that wait --------------------------------------------------------------------------

START_TEST(a_longer_piece_at_the_offset_of_one_that_waits_is_kept_too)
{
    uint8_t stream[32];
    const size_t length = least_results(stream);
    open_session();
    feed_hello();
    feed_end(end_of(stream, length));
    feed_results(3, stream + 3, 2);
    feed_results(3, stream + 3, length - 3);
    ck_assert_uint_eq(session.duplicates, 0);
    ck_assert_uint_eq(session.pending_count, 2);
    // What says nothing new is only counted.
    feed_results(3, stream + 3, 2);
    feed_results(3, stream + 3, 1);
    feed_results(3, stream + 3, length - 3);
    ck_assert_uint_eq(session.duplicates, 3);
    ck_assert_uint_eq(session.pending_count, 2);
    ck_assert_uint_eq(session.pending_bytes, length - 1);
    feed_results(0, stream, 3);
    ck_assert_uint_eq(session.stream.length, length);
    ck_assert_int_eq(session_state(&session), SESSION_ENDED);
    session_free(&session);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("session_end");
    TCase *tests = tcase_create("control");
    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, results_of_the_length_that_end_says_are_whole);
    tcase_add_loop_test(tests, results_beyond_the_length_that_end_says_are_damage, 0, 6);
    tcase_add_test(tests, results_without_a_gap_that_are_longer_than_end_says_are_damage);
    tcase_add_test(tests, results_of_another_digest_are_damage);
    tcase_add_test(tests, results_that_end_inside_a_record_are_damage);
    tcase_add_test(tests, two_ends_that_differ_in_anything_but_totals_are_damage);
    tcase_add_test(tests, an_end_of_more_results_than_its_totals_can_carry_is_damage);
    tcase_add_test(tests, last_words_of_session_0_count_before_hello);
    tcase_add_test(tests, last_words_of_session_0_are_foreign_after_hello);
    tcase_add_test(tests, other_words_of_session_0_are_foreign_before_hello);
    tcase_add_test(tests, a_longer_piece_at_the_offset_of_one_that_waits_is_kept_too);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
