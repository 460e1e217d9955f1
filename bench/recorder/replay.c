// SPDX-License-Identifier: MIT
#include "replay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "session.h"

struct replay {
    struct run *run;
    struct session *session; // of the boot that is open, else NULL
    uint32_t boots;
    // Sums over the boots: facts about the line.
    uint64_t line_bytes, noise_bytes, damaged_frames, foreign_frames, trace_bytes;
    uint64_t lost_log_frames, lost_trace_frames, given_up_frames;
    unsigned restarts; // of a machine by itself, in the middle of a boot
};

// ---- the begin chunk ---------------------------------------------------------------------------

struct metadata_field {
    const char *key;
    char *value; // RECORD_NAME_MOST + 1 bytes
};

static bool take_number(const char *key, const char *value, struct run *run)
{
    uint64_t number;
    if (strcmp(key, "capture") == 0)
        return text_number(value, UINT64_MAX, &number) && number == CAPTURE_VERSION;
    if (strcmp(key, "dirty") == 0) {
        run->dirty = strcmp(value, "1") == 0;
        return run->dirty || strcmp(value, "0") == 0;
    }
    if (!text_number(value, MODEL_BOOTS_MOST, &number) || number == 0)
        return false;
    run->boots_planned = (uint32_t)number;
    return true;
}

static bool take_metadata(struct run *run, char *line)
{
    const struct metadata_field fields[] = {
        {"run", run->run},     {"target", run->target}, {"machine", run->machine},
        {"clock", run->clock}, {"utc", run->utc},       {"commit", run->commit},
        {"size", run->size},
    };
    char clean[FACT_MOST + 1];
    const bool fact = strncmp(line, "fact:", 5) == 0;
    char *key = fact ? line + 5 : line, *value = strchr(line, '=');
    if (value == NULL)
        return false;
    *value++ = '\0';
    if (fact) {
        text_clean(clean, sizeof(clean), value, strlen(value));
        return text_is_name(key) && facts_set(&run->facts, key, clean);
    }
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (strcmp(key, fields[i].key) != 0)
            continue;
        const bool may_be_empty = fields[i].value == run->clock;
        if (!text_is_name(value) && !(may_be_empty && *value == '\0'))
            return false;
        text_format(fields[i].value, RECORD_NAME_MOST + 1, "%s", value);
        return true;
    }
    return take_number(key, value, run);
}

static bool take_begin(struct run *run, const struct capture_chunk *chunk)
{
    char *text = memory_get(chunk->length + 1), *rest = text;
    memcpy(text, chunk->payload, chunk->length);
    bool right = strlen(text) == chunk->length && strncmp(text, "capture=", 8) == 0;
    for (char *line; right && (line = strsep(&rest, "\n")) != NULL;)
        right = line[0] == '\0' || take_metadata(run, line);
    free(text);
    return right && run->run[0] != '\0' && run->target[0] != '\0' && run->machine[0] != '\0' &&
           run->utc[0] != '\0' && run->commit[0] != '\0' && run->size[0] != '\0' &&
           run->boots_planned > 0;
}

// ---- boots -------------------------------------------------------------------------------------

static uint32_t get_u32(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void open_session(struct replay *replay, uint32_t boot, uint32_t session)
{
    const struct session_expect expect = {.boot = boot, .session = session, .clock = ""};
    replay->session = memory_get(sizeof(*replay->session));
    session_init(replay->session, &expect, (struct session_listener){0});
    replay->session->keep_trace = boot == 0; // the others have none
}

static void close_session(struct replay *replay)
{
    if (replay->session != NULL)
        session_free(replay->session);
    free(replay->session);
    replay->session = NULL;
}

static bool open_boot(struct replay *replay, const struct capture_chunk *chunk)
{
    if (replay->session != NULL || chunk->length < 8 || get_u32(chunk->payload) != replay->boots ||
        replay->boots >= replay->run->boots_planned)
        return false;
    open_session(replay, replay->boots, get_u32(chunk->payload + 4));
    replay->boots++;
    return true;
}

// Facts of the guest: the first boot's; what a later one says otherwise stands beside it.
static void add_facts(struct run *run, const struct facts *facts, uint32_t boot)
{
    for (size_t i = 0; i < facts->count; i++) {
        char key[RECORD_NAME_MOST + 32];
        text_format(key, sizeof(key), "guest.%s", facts->fact[i].key);
        const char *known = facts_get(&run->facts, key);
        if (known != NULL && strcmp(known, facts->fact[i].value) == 0)
            continue;
        if (known != NULL)
            text_format(key, sizeof(key), "guest.%s:boot%u", facts->fact[i].key, boot);
        facts_set(&run->facts, key, facts->fact[i].value);
    }
}

static void set_outcome(struct run *run, uint32_t boot, enum outcome outcome, const char *detail)
{
    if (run->outcome != OUTCOME_COMPLETE)
        return;
    run->outcome = outcome;
    if (run->boots_planned > 1 && outcome != OUTCOME_COMPLETE)
        text_format(run->detail, sizeof(run->detail), "boot %u of %u: %s", boot + 1,
                    run->boots_planned, detail);
    else
        text_format(run->detail, sizeof(run->detail), "%s", detail);
}

static void count_line(struct replay *replay, const struct session *session)
{
    replay->line_bytes += session->decoder.counts.bytes;
    replay->noise_bytes += session->decoder.counts.noise_bytes;
    replay->damaged_frames += session->decoder.counts.damaged;
    replay->foreign_frames += session->foreign;
    replay->trace_bytes += session->channels[WIRE_TRACE].bytes;
    replay->lost_log_frames += session_lost(session, WIRE_LOG);
    replay->lost_trace_frames += session_lost(session, WIRE_TRACE);
    for (unsigned i = 0; i < WIRE_CHANNELS; i++)
        replay->given_up_frames += session->end.dropped[i];
}

static void take_clock(struct run *run, const struct session *session, uint32_t boot)
{
    if (!session->hello_seen)
        return;
    if (run->clock_known && strcmp(run->clock, session->clock) != 0)
        set_outcome(run, boot, OUTCOME_DAMAGED, "boots have different clocks");
    if (run->clock_known)
        return;
    run->clock_known = true;
    text_format(run->clock, sizeof(run->clock), "%s", session->clock);
    run->hz = session->hz;
}

static void take_rows(struct run *run, struct results *results, uint32_t boot)
{
    char why[DETAIL_MOST];
    for (size_t i = 0; i < run->row_count && results->described == 0; i++) {
        if (run->rows[i].status == ROW_OK)
            run->rows[i].status = ROW_MISSING;
    }
    if (results->described > 0 &&
        !run_add_rows(run, results->rows, results->described, why, sizeof(why)))
        set_outcome(run, boot, OUTCOME_DAMAGED, why);
}

static bool close_boot(struct replay *replay, const struct capture_chunk *chunk)
{
    struct session *session = replay->session;
    struct run *run = replay->run;
    const uint32_t boot = replay->boots - 1;
    char detail[DETAIL_MOST];
    if (session == NULL || chunk->length < 1 || chunk->payload[0] >= OUTCOME_REJECTED)
        return false;
    session_finish(session);
    text_clean(detail, sizeof(detail), chunk->payload + 1, chunk->length - 1);
    enum outcome outcome = chunk->payload[0];
    if (outcome == OUTCOME_COMPLETE &&
        (session_state(session) != SESSION_ENDED || !results_all_finished(&session->results))) {
        outcome = OUTCOME_DAMAGED;
        text_format(detail, sizeof(detail), "noted as complete, but it is not: %.300s",
                    session->error);
    }
    set_outcome(run, boot, outcome, detail);
    // What another program said is nothing of this run.
    if (outcome != OUTCOME_NO_START && session->hello_seen) {
        take_clock(run, session, boot);
        add_facts(run, &session->results.facts, boot);
        take_rows(run, &session->results, boot);
        const uint64_t sent =
            session->end_seen ? session->end.bytes[WIRE_TRACE] : TRACE_SENT_UNKNOWN;
        trace_assemble(&session->trace, sent, run);
    }
    count_line(replay, session);
    close_session(replay);
    return true;
}

// A machine that started by itself: nothing is taken of what it had said.
static bool open_again(struct replay *replay, const struct capture_chunk *chunk)
{
    if (replay->session == NULL || chunk->length != 4)
        return false;
    count_line(replay, replay->session);
    close_session(replay);
    open_session(replay, replay->boots - 1, get_u32(chunk->payload));
    replay->restarts++;
    return true;
}

// ---- the whole ---------------------------------------------------------------------------------

static void note_counts(const struct replay *replay)
{
    const struct {
        const char *key;
        uint64_t value;
    } counts[] = {
        {"line.bytes", replay->line_bytes},
        {"line.noise_bytes", replay->noise_bytes},
        {"line.damaged_frames", replay->damaged_frames},
        {"line.foreign_frames", replay->foreign_frames},
        {"line.trace_bytes", replay->trace_bytes},
        {"line.lost_log_frames", replay->lost_log_frames},
        {"line.lost_trace_frames", replay->lost_trace_frames},
        // That the target could not get rid of: the line took nothing.
        {"line.given_up_frames", replay->given_up_frames},
        {"line.lost_trace_bytes", replay->run->trace_lost},
    };
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        char text[32];
        text_format(text, sizeof(text), "%" PRIu64, counts[i].value);
        facts_set(&replay->run->facts, counts[i].key, text);
    }
    if (replay->restarts > 0) {
        char text[32];
        text_format(text, sizeof(text), "%u", replay->restarts);
        facts_set(&replay->run->facts, "line.restarts", text);
    }
    // Bytes that were never announced are in none of the counts.
    if (replay->run->trace_end_unknown)
        facts_set(&replay->run->facts, "line.trace_end", "unknown");
}

#define REJECTED_NAMED_MOST 64u

// Rows that came whole and are not usable; why stands in a fact of each, for the reports.
static size_t note_rejected(struct run *run, char *why, size_t capacity)
{
    size_t rejected = 0;
    for (size_t i = 0; i < run->row_count; i++) {
        const struct row *row = &run->rows[i];
        const char *const status = row_status_names[row->status];
        char key[RECORD_NAME_MOST + 32];
        if (row->status == ROW_OK || row->status == ROW_MISSING)
            continue;
        if (rejected++ == 0)
            text_format(why, capacity, "%s: %s%s%s", row->id, status,
                        row->detail[0] != '\0' ? ": " : "", row->detail);
        text_format(key, sizeof(key), "rejected.%s%s", row->id, row->aa != 0 ? "#aa" : "");
        if (row->detail[0] != '\0' && rejected <= REJECTED_NAMED_MOST)
            facts_set(&run->facts, key, row->detail);
    }
    if (rejected > 1)
        text_format(why + strlen(why), capacity - strlen(why), "; and %zu more", rejected - 1);
    return rejected;
}

static void judge(struct replay *replay)
{
    struct run *run = replay->run;
    char row[DETAIL_MOST], why[DETAIL_MOST] = "";
    run->boots = replay->boots;
    if (!run->clock_known)
        text_format(run->clock, sizeof(run->clock), "unknown");
    note_counts(replay);
    run_check_equality(run, row, sizeof(row));
    const size_t rejected = note_rejected(run, why, sizeof(why));
    if (run->outcome == OUTCOME_COMPLETE && run->boots < run->boots_planned) {
        run->outcome = OUTCOME_DAMAGED;
        text_format(run->detail, sizeof(run->detail), "%u of %u boots", run->boots,
                    run->boots_planned);
    }
    // What came whole stays worth what it is: a row that is rejected costs nothing but itself.
    if (run->outcome == OUTCOME_COMPLETE && rejected > 0) {
        run->outcome = OUTCOME_REJECTED;
        memcpy(run->detail, why, sizeof(why));
    }
}

static bool take_chunk(struct replay *replay, const struct capture_chunk *chunk, bool first)
{
    if (first != (chunk->type == CAPTURE_BEGIN))
        return false;
    switch (chunk->type) {
    case CAPTURE_BEGIN:
        return take_begin(replay->run, chunk);
    case CAPTURE_BOOT:
        return open_boot(replay, chunk);
    case CAPTURE_AGAIN:
        return open_again(replay, chunk);
    case CAPTURE_LINE:
        if (replay->session != NULL)
            session_feed(replay->session, chunk->payload, chunk->length);
        return replay->session != NULL;
    case CAPTURE_NOTE:
        return replay->session != NULL;
    case CAPTURE_ENDED:
        return close_boot(replay, chunk);
    default:
        return false;
    }
}

enum capture_status replay_capture(const char *path, struct run *run, char *why, size_t capacity)
{
    struct capture_reader reader;
    struct capture_chunk chunk;
    struct replay replay = {.run = run};
    if (!capture_open(&reader, path)) {
        text_format(why, capacity, "%s: %s", path, strerror(errno));
        return CAPTURE_DAMAGED;
    }
    enum capture_status status;
    for (bool first = true; (status = capture_read(&reader, &chunk)) == CAPTURE_CHUNK;
         first = false) {
        if (!take_chunk(&replay, &chunk, first)) {
            status = CAPTURE_DAMAGED;
            break;
        }
    }
    if (status == CAPTURE_WHOLE && (replay.session != NULL || replay.boots == 0))
        status = CAPTURE_DAMAGED;
    if (status == CAPTURE_WHOLE)
        judge(&replay);
    else
        text_format(why, capacity, "%s: %s at byte %" PRIu64, path,
                    status == CAPTURE_TRUNCATED ? "ends" : "damaged", reader.bytes);
    close_session(&replay);
    capture_reader_close(&reader);
    return status;
}
