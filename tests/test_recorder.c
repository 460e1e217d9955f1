// SPDX-License-Identifier: MIT
// The recorder's parts that need no target: captures, the session, what several boots come to.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture.h"
#include "platform.h"
#include "replay.h"
#include "run_checks.h"
#include "session.h"

#define SESSION 4242u

// ---- a target's words --------------------------------------------------------------------------

static uint8_t stream_bytes[65536];
static struct record_writer stream;
static struct buffer line;

static size_t line_write(const void *bytes, size_t length)
{
    buffer_add(&line, bytes, length);
    return 0; // dropped
}

static void put_plan_row(unsigned index, const char *id, unsigned rounds, unsigned samples)
{
    record_open(&stream, RECORD_PLAN_ROW);
    record_put_u64(&stream, index);
    record_put_text(&stream, id);
    record_put_u64(&stream, 0);
    record_put_u64(&stream, VARIANT_PRODUCT);
    record_put_text(&stream, "one of something");
    record_put_text(&stream, "instructions");
    record_put_u64(&stream, 99);
    record_put_u64(&stream, 4);
    record_put_u64(&stream, rounds);
    record_put_u64(&stream, samples);
    record_close(&stream);
}

static void put_round(unsigned row, unsigned round, const int64_t *values, size_t count)
{
    const int64_t tags[8] = {0};
    record_open(&stream, RECORD_SAMPLES);
    record_put_u64(&stream, row);
    record_put_u64(&stream, round);
    record_put_u64(&stream, 4);
    record_put_i64(&stream, 2);
    record_put_i64(&stream, -7);
    record_put_u64(&stream, count);
    record_put_samples(&stream, values, count);
    record_put_samples(&stream, tags, count);
    record_close(&stream);
}

// Two rows in one case, two rounds each; `last` is the last sample of all.
static void make_stream(unsigned boot, int64_t last)
{
    const int64_t values[] = {10, 10, 10, 12}, others[] = {5, 4, 3, last};
    record_writer_init(&stream, stream_bytes, sizeof(stream_bytes));
    record_open(&stream, RECORD_PLAN);
    record_put_u64(&stream, 2);
    record_put_u64(&stream, 1);
    record_put_u64(&stream, 1000);
    record_put_u64(&stream, boot);
    record_close(&stream);
    put_plan_row(0, "suite/case/one", 2, 4);
    put_plan_row(1, "suite/case/two", 2, 4);
    record_open(&stream, RECORD_BEGIN);
    record_put_u64(&stream, 0);
    record_put_text(&stream, "suite/case");
    record_put_u64(&stream, 0);
    record_put_u64(&stream, 2);
    record_put_u64(&stream, 9);
    record_close(&stream);
    for (unsigned round = 0; round < 2; round++) {
        put_round(0, round, values, 4);
        put_round(1, round, others, 4);
    }
    for (unsigned row = 0; row < 2; row++) {
        record_open(&stream, RECORD_FINISH);
        record_put_u64(&stream, row);
        record_put_u64(&stream, RECORD_ROW_OK);
        record_put_text(&stream, "");
        record_close(&stream);
    }
    ck_assert(!stream.failed);
}

static void send_hello(struct wire_sender *sender, unsigned boot)
{
    uint8_t payload[128];
    struct record_writer hello;
    record_writer_init(&hello, payload, sizeof(payload));
    record_put_u64(&hello, 1);
    record_put_bytes(&hello, "id", 2);
    record_put_u64(&hello, PLATFORM_CLOCK_INSN);
    record_put_u64(&hello, 1000000000);
    record_put_u64(&hello, boot);
    record_put_text(&hello, "x86_64");
    wire_send(sender, WIRE_CONTROL, WIRE_HELLO, payload, hello.length);
}

static void send_end(struct wire_sender *sender)
{
    uint8_t payload[256];
    struct record_writer end;
    record_writer_init(&end, payload, sizeof(payload));
    record_put_u64(&end, 1);
    record_put_u64(&end, stream.length);
    record_put_u64(&end, wire_crc32c(0, stream.bytes, stream.length));
    record_put_u64(&end, record_hash(RECORD_HASH_START, stream.bytes, stream.length));
    for (unsigned i = 0; i < WIRE_CHANNELS; i++) {
        record_put_u64(&end, sender->sequence[i]);
        record_put_u64(&end, sender->offset[i]);
        record_put_u64(&end, 0);
    }
    wire_send(sender, WIRE_CONTROL, WIRE_END, payload, end.length);
}

// All that a complete boot sends is in `line`.
static void make_line(unsigned boot, int64_t last)
{
    struct wire_sender sender;
    make_stream(boot, last);
    line.length = 0;
    wire_sender_init(&sender, SESSION + boot, line_write);
    send_hello(&sender, boot);
    wire_send(&sender, WIRE_LOG, WIRE_TEXT, "words\n", 6);
    for (size_t at = 0; at < stream.length; at += 50)
        wire_send(&sender, WIRE_RESULTS, WIRE_DATA, stream.bytes + at,
                  stream.length - at < 50 ? stream.length - at : 50);
    send_end(&sender);
}

static void open_session(struct session *session)
{
    const struct session_expect expect = {.session = SESSION, .clock = ""};
    session_init(session, &expect, (struct session_listener){0});
}

// ---- sessions ----------------------------------------------------------------------------------

START_TEST(any_split_of_the_line_gives_the_same_rows)
{
    static struct session session;
    make_line(0, 7);
    for (size_t piece = 1; piece < 70; piece++) {
        open_session(&session);
        for (size_t at = 0; at < line.length; at += piece)
            session_feed(&session, line.bytes + at,
                         line.length - at < piece ? line.length - at : piece);
        session_finish(&session);
        ck_assert_int_eq(session_state(&session), SESSION_ENDED);
        ck_assert_uint_eq(session.results.rows_finished, 2);
        int64_t values[4], tags[4];
        ck_assert(series_decode(&session.results.rows[1].series[1], values, tags));
        ck_assert_int_eq(values[0], 5);
        ck_assert_int_eq(values[3], 7);
        ck_assert_int_eq(session.results.rows[1].series[1].cold, -7);
        session_free(&session);
    }
}
END_TEST

START_TEST(a_line_cut_anywhere_is_never_whole)
{
    static struct session session;
    make_line(0, 7);
    // The closing zero of the last frame is the last byte that matters.
    for (size_t length = 0; length < line.length; length++) {
        open_session(&session);
        session_feed(&session, line.bytes, length);
        session_finish(&session);
        ck_assert_int_ne(session_state(&session), SESSION_ENDED);
        ck_assert_int_ne(session_state(&session), SESSION_DAMAGED);
        session_free(&session);
    }
}
END_TEST

START_TEST(an_altered_byte_never_gives_other_rows)
{
    static struct session session;
    make_line(0, 7);
    for (size_t at = 0; at < line.length; at++) {
        line.bytes[at] ^= 0x11;
        open_session(&session);
        session_feed(&session, line.bytes, line.length);
        session_finish(&session);
        if (session_state(&session) == SESSION_ENDED) {
            ck_assert_uint_eq(session.stream.length, stream.length);
            ck_assert_int_eq(memcmp(session.stream.bytes, stream.bytes, stream.length), 0);
        }
        session_free(&session);
        line.bytes[at] ^= 0x11;
    }
}
END_TEST

START_TEST(a_hello_may_come_last)
{
    static struct session session;
    struct wire_sender sender;
    make_line(0, 7);
    open_session(&session);
    // The first frame is HELLO: left out, then sent again.
    const uint8_t *second = memchr(line.bytes + 1, 0, line.length);
    const size_t first = (size_t)(second + 1 - line.bytes);
    session_feed(&session, line.bytes + first, line.length - first);
    ck_assert_int_eq(session_state(&session), SESSION_GAP);
    ck_assert(session_lacks_hello(&session) && session_misses(&session));
    line.length = 0;
    wire_sender_init(&sender, SESSION, line_write);
    send_hello(&sender, 0);
    session_feed(&session, line.bytes, line.length);
    ck_assert_int_eq(session_state(&session), SESSION_ENDED);
    ck_assert(!session_misses(&session));
    session_free(&session);
}
END_TEST

// ---- captures ----------------------------------------------------------------------------------

static const char path[] = "build/test/recorder_capture.bin";

static void make_capture(unsigned boots, int64_t last_of_second)
{
    static const char begin[] = "capture=1\nrun=r\ntarget=host\nmachine=m\nclock=\nutc=now\n"
                                "commit=unknown\ndirty=0\nsize=quick\nboots=2\nfact:a=b c\n";
    struct capture capture;
    mkdir("build", 0777);
    mkdir("build/test", 0777);
    unlink(path);
    ck_assert(capture_create(&capture, path));
    ck_assert(capture_add(&capture, CAPTURE_BEGIN, begin, strlen(begin)));
    for (unsigned boot = 0; boot < boots; boot++) {
        const uint8_t header[8] = {
            (uint8_t)boot, 0, 0, 0, (uint8_t)(SESSION + boot), (uint8_t)((SESSION + boot) >> 8)};
        make_line(boot, boot == 0 ? 7 : last_of_second);
        ck_assert(capture_add(&capture, CAPTURE_BOOT, header, sizeof(header)));
        ck_assert(capture_add(&capture, CAPTURE_LINE, line.bytes, line.length));
        ck_assert(capture_add(&capture, CAPTURE_ENDED, "", 1)); // outcome 0: complete
    }
    ck_assert(capture_finish(&capture));
    capture_close(&capture);
}

static size_t read_capture(uint8_t *bytes, size_t capacity)
{
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    const size_t length = fread(bytes, 1, capacity, file);
    fclose(file);
    return length;
}

static void write_capture(const uint8_t *bytes, size_t length)
{
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, length, file), length);
    fclose(file);
}

static enum capture_status replay(struct run *run)
{
    char why[512];
    *run = (struct run){0};
    return replay_capture(path, run, why, sizeof(why));
}

START_TEST(a_capture_gives_the_run_back)
{
    struct run run;
    make_capture(2, 7);
    ck_assert_int_eq(replay(&run), CAPTURE_WHOLE);
    ck_assert_int_eq(run.outcome, OUTCOME_COMPLETE);
    ck_assert_str_eq(run.clock, "insn");
    ck_assert_str_eq(facts_get(&run.facts, "a"), "b c");
    ck_assert_uint_eq(run.row_count, 2);
    ck_assert_uint_eq(run.rows[0].series_count, 4);
    ck_assert_uint_eq(run.rows[0].series[3].boot, 1);
    ck_assert_uint_eq(run.samples, 32);
    run_free(&run);
    unlink(path);
}
END_TEST

START_TEST(a_planned_difference_between_boots_is_found)
{
    struct run run;
    make_capture(2, 8);
    ck_assert_int_eq(replay(&run), CAPTURE_WHOLE);
    ck_assert_int_eq(run.outcome, OUTCOME_REJECTED);
    ck_assert_int_eq(run.rows[0].status, ROW_OK);
    ck_assert_int_eq(run.rows[1].status, ROW_UNSTEADY);
    ck_assert_ptr_nonnull(strstr(run.detail, "suite/case/two: not deterministic: window "));
    ck_assert_ptr_nonnull(facts_get(&run.facts, "rejected.suite/case/two"));
    ck_assert_ptr_null(facts_get(&run.facts, "rejected.suite/case/one"));
    run_free(&run);
    unlink(path);
}
END_TEST

START_TEST(fewer_boots_than_planned_are_not_complete)
{
    struct run run;
    make_capture(1, 7);
    ck_assert_int_eq(replay(&run), CAPTURE_WHOLE);
    ck_assert_int_eq(run.outcome, OUTCOME_DAMAGED);
    run_free(&run);
    unlink(path);
}
END_TEST

START_TEST(a_capture_cut_anywhere_is_truncated)
{
    static uint8_t bytes[65536];
    struct run run;
    make_capture(2, 7);
    const size_t length = read_capture(bytes, sizeof(bytes));
    for (size_t cut = 0; cut < length; cut++) {
        write_capture(bytes, cut);
        ck_assert_int_eq(replay(&run), CAPTURE_TRUNCATED);
        run_free(&run);
    }
    unlink(path);
}
END_TEST

START_TEST(any_altered_byte_of_a_capture_is_noticed)
{
    static uint8_t bytes[65536];
    struct run run;
    make_capture(2, 7);
    const size_t length = read_capture(bytes, sizeof(bytes));
    for (size_t at = 0; at < length; at++) {
        bytes[at] ^= (uint8_t)(1u << at % 8);
        write_capture(bytes, length);
        ck_assert_int_ne(replay(&run), CAPTURE_WHOLE);
        run_free(&run);
        bytes[at] ^= (uint8_t)(1u << at % 8);
    }
    bytes[length] = 0;
    write_capture(bytes, length + 1);
    ck_assert_int_eq(replay(&run), CAPTURE_DAMAGED);
    run_free(&run);
    unlink(path);
}
END_TEST

// ---- runs --------------------------------------------------------------------------------------

START_TEST(facts_are_bounded_and_replaced)
{
    static char long_value[FACT_MOST + 2];
    struct facts facts = {0};
    char key[16];
    memset(long_value, 'x', sizeof(long_value) - 1);
    ck_assert(!facts_set(&facts, "long", long_value));
    for (unsigned i = 0; i < MODEL_FACTS_MOST; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        ck_assert(facts_set(&facts, key, "v"));
    }
    ck_assert(!facts_set(&facts, "more", "v"));
    ck_assert(facts_set(&facts, "k7", "other"));
    ck_assert_str_eq(facts_get(&facts, "k7"), "other");
    ck_assert_ptr_null(facts_get(&facts, "more"));
    facts_free(&facts);
}
END_TEST

static Suite *recorder_suite(void)
{
    Suite *suite = suite_create("recorder");
    TCase *sessions = tcase_create("sessions");
    tcase_set_timeout(sessions, 30);
    tcase_add_test(sessions, any_split_of_the_line_gives_the_same_rows);
    tcase_add_test(sessions, a_line_cut_anywhere_is_never_whole);
    tcase_add_test(sessions, an_altered_byte_never_gives_other_rows);
    tcase_add_test(sessions, a_hello_may_come_last);
    suite_add_tcase(suite, sessions);
    TCase *captures = tcase_create("captures");
    tcase_set_timeout(captures, 30);
    tcase_add_test(captures, a_capture_gives_the_run_back);
    tcase_add_test(captures, a_planned_difference_between_boots_is_found);
    tcase_add_test(captures, fewer_boots_than_planned_are_not_complete);
    tcase_add_test(captures, a_capture_cut_anywhere_is_truncated);
    tcase_add_test(captures, any_altered_byte_of_a_capture_is_noticed);
    tcase_add_test(captures, facts_are_bounded_and_replaced);
    suite_add_tcase(suite, captures);
    return suite;
}

int main(void)
{
    const int status = run_checks(recorder_suite());
    buffer_free(&line);
    return status;
}
