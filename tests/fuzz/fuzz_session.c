// SPDX-License-Identifier: MIT
// What stands behind the decoder: the session, the results and the run they come to. Whatever
// comes, what is taken is in range, of its charset and within its caps, however the line was cut.
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "mutator.h"
#include "session.h"

static void check(bool right)
{
    if (!right)
        abort();
}

static void check_text(const char *text, size_t most)
{
    const size_t length = strlen(text);
    check(length <= most);
    for (size_t i = 0; i < length; i++)
        check(text[i] >= ' ' && text[i] <= '~');
}

static void check_row(const struct row *row)
{
    check(text_is_name(row->id));
    check_text(row->what, RECORD_TEXT_MOST);
    check_text(row->unit, MODEL_UNIT_MOST);
    check_text(row->detail, RECORD_TEXT_MOST);
    check(row->aa <= 1 && row->role <= VARIANT_PEER && row->status < ROW_STATUSES);
    check(row->series_count <= row->rounds && row->rounds <= RECORD_ROUNDS_MOST);
    check(row->counter_count <= MODEL_COUNTERS_MOST);
    for (size_t i = 0; i < row->series_count; i++) {
        const struct series *series = &row->series[i];
        int64_t *values = malloc(2 * series->count * sizeof(*values));
        check(series->count > 0 && series->count <= RECORD_SAMPLES_MOST && series->operations > 0);
        check(series_decode(series, values, values + series->count));
        free(values);
    }
    for (size_t i = 0; i < row->counter_count; i++)
        check(counter_curve(row->counters[i].name) > 0 && row->counters[i].denominator > 0);
}

static void check_gaps(const struct session *session)
{
    struct session_gap gaps[8];
    char words[DETAIL_MOST];
    uint64_t at = session->stream.length;
    const size_t count = session_gaps(session, gaps, 8);
    for (size_t i = 0; i < count; i++) {
        check(gaps[i].offset >= at && gaps[i].length > 0);
        at = (uint64_t)gaps[i].offset + gaps[i].length;
    }
    session_describe_gap(session, words, sizeof(words));
    check_text(words, DETAIL_MOST);
    check(session->pending_bytes <= SESSION_WINDOW);
    check(session->pending_count <= SESSION_PENDING_MOST);
}

static void check_session(const struct session *session)
{
    const struct results *results = &session->results;
    check(session->stream.length <= SESSION_RESULTS_MOST);
    check(session->parsed <= session->stream.length);
    check(results->described <= results->plan_rows && results->plan_rows <= RECORD_ROWS_MOST);
    for (uint32_t i = 0; i < results->described; i++)
        check_row(&results->rows[i]);
    for (size_t i = 0; i < results->facts.count; i++) {
        check(text_is_name(results->facts.fact[i].key));
        check_text(results->facts.fact[i].value, RECORD_TEXT_MOST);
    }
    check_text(session->error, DETAIL_MOST);
    check_text(session->panic.reason, RECORD_TEXT_MOST);
    check(session_stack_length(session) <= RECORD_STACK_MOST);
    check_gaps(session);
    if (session_state(session) != SESSION_ENDED)
        return;
    check(session->stream.length == session->end.length && session->hello_seen);
    check(wire_crc32c(0, session->stream.bytes, session->stream.length) == session->end.crc);
    check(!session->end.success || results_all_finished(results));
}

static void open_session(struct session *session)
{
    const struct session_expect expect = {.session = MUTATOR_SESSION, .clock = ""};
    session_init(session, &expect, (struct session_listener){0});
}

// As the recorder does with the rows of a boot, twice: a run whose two boots are equal.
static void check_run(struct session *first, struct session *second)
{
    struct run run = {0};
    char why[DETAIL_MOST] = "";
    text_format(run.clock, sizeof(run.clock), "insn");
    check(run_add_rows(&run, first->results.rows, first->results.described, why, sizeof(why)));
    check(run_add_rows(&run, second->results.rows, second->results.described, why, sizeof(why)));
    run_check_equality(&run, why, sizeof(why));
    for (size_t i = 0; i < run.row_count; i++)
        check(run.rows[i].status < ROW_STATUSES);
    run_free(&run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct session whole, pieces;
    open_session(&whole);
    session_feed(&whole, data, size);
    session_finish(&whole);
    check_session(&whole);
    open_session(&pieces);
    for (size_t at = 0, step = 1; at < size; at += step, step = step % 97 + 1) {
        const size_t left = size - at;
        session_feed(&pieces, data + at, step < left ? step : left);
    }
    session_finish(&pieces);
    check(session_state(&pieces) == session_state(&whole));
    check(strcmp(pieces.error, whole.error) == 0);
    check(pieces.stream.length == whole.stream.length && pieces.crc == whole.crc);
    check(pieces.results.described == whole.results.described);
    check_run(&whole, &pieces);
    session_free(&whole);
    session_free(&pieces);
    return 0;
}
