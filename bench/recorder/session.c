// SPDX-License-Identifier: MIT
#include "session.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "platform.h"

#define HZ_MOST          UINT64_C(1000000000000)
#define STACK_GUARD_MOST 4096u // a page

static const char *const clock_names[] = {
    [PLATFORM_CLOCK_TSC] = "tsc",
    [PLATFORM_CLOCK_INSN] = "insn",
    [PLATFORM_CLOCK_EMULATED] = "emulated",
};

#define CLOCKS (sizeof(clock_names) / sizeof(clock_names[0]))

// The first thing that is wrong is the one that is told.
static void damage(struct session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void damage(struct session *session, const char *format, ...)
{
    va_list arguments;
    if (session->error[0] != '\0')
        return;
    va_start(arguments, format);
    vsnprintf(session->error, sizeof(session->error), format, arguments);
    va_end(arguments);
}

// ---- results -----------------------------------------------------------------------------------

static void parse_records(struct session *session)
{
    while (session->stream.length - session->parsed >= RECORD_HEADER_BYTES) {
        const uint8_t *at = session->stream.bytes + session->parsed;
        const size_t length = (size_t)at[1] | (size_t)at[2] << 8;
        if (length > RECORD_PAYLOAD_MOST) {
            damage(session, "a record of %zu bytes at %zu", length, session->parsed);
            return;
        }
        if (session->stream.length - session->parsed < RECORD_HEADER_BYTES + length)
            return;
        if (!results_record(&session->results, at[0], at + RECORD_HEADER_BYTES, length)) {
            damage(session, "%s", session->results.error);
            return;
        }
        session->parsed += RECORD_HEADER_BYTES + length;
    }
}

static void append(struct session *session, const uint8_t *bytes, size_t length)
{
    session->crc = wire_crc32c(session->crc, bytes, length);
    session->hash = record_hash(session->hash, bytes, length);
    buffer_add(&session->stream, bytes, length);
}

// Takes what is new of a piece that begins at or before the end of what is known.
static void join(struct session *session, const struct session_piece *piece)
{
    const size_t known = session->stream.length - piece->offset;
    const size_t again = known < piece->length ? known : piece->length;
    if (again > 0) {
        session->duplicates++;
        if (memcmp(session->stream.bytes + piece->offset, piece->bytes, again) != 0)
            damage(session, "results at %u came twice and differ", piece->offset);
    }
    append(session, piece->bytes + again, piece->length - again);
}

static void join_pending(struct session *session)
{
    for (size_t i = 0; i < session->pending_count;) {
        struct session_piece *piece = &session->pending[i];
        if (piece->offset > session->stream.length) {
            i++;
            continue;
        }
        join(session, piece);
        session->pending_bytes -= piece->length;
        free(piece->bytes);
        *piece = session->pending[--session->pending_count];
        i = 0; // what was joined may let an earlier one follow
    }
}

static void keep_pending(struct session *session, const struct session_piece *piece)
{
    for (size_t i = 0; i < session->pending_count; i++) {
        if (session->pending[i].offset == piece->offset &&
            session->pending[i].length >= piece->length) {
            session->duplicates++;
            return;
        }
    }
    if (piece->offset - session->stream.length > SESSION_WINDOW ||
        session->pending_count == SESSION_PENDING_MOST ||
        session->pending_bytes + piece->length > SESSION_WINDOW) {
        session->too_far++;
        return;
    }
    struct session_piece kept = *piece;
    kept.bytes = memory_get(piece->length);
    memcpy(kept.bytes, piece->bytes, piece->length);
    if (session->pending == NULL)
        session->pending = memory_get(SESSION_PENDING_MOST * sizeof(kept));
    session->pending[session->pending_count++] = kept;
    session->pending_bytes += kept.length;
}

static void take_data(struct session *session, const struct wire_header *header,
                      const uint8_t *payload)
{
    const struct session_piece piece = {header->offset, header->length, (uint8_t *)payload};
    if (piece.length == 0)
        return;
    if ((uint64_t)piece.offset + piece.length > SESSION_RESULTS_MOST) {
        damage(session, "results beyond %u MiB", SESSION_RESULTS_MOST >> 20);
        return;
    }
    if (piece.offset > session->stream.length) {
        keep_pending(session, &piece);
        return;
    }
    join(session, &piece);
    join_pending(session);
    parse_records(session);
}

// ---- control -----------------------------------------------------------------------------------

static void hex(char *out, const uint8_t *bytes, size_t length)
{
    out[0] = '\0';
    for (size_t i = 0; i < length; i++)
        text_format(out + 2 * i, 3, "%02x", bytes[i]);
}

static void be_stranger(struct session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void be_stranger(struct session *session, const char *format, ...)
{
    va_list arguments;
    if (session->stranger)
        return;
    session->stranger = true;
    va_start(arguments, format);
    vsnprintf(session->error, sizeof(session->error), format, arguments);
    va_end(arguments);
}

static void check_hello(struct session *session, const uint8_t *id, size_t id_length,
                        const char *clock)
{
    const struct session_expect *expect = &session->expect;
    char theirs[2 * SESSION_BUILD_ID_MOST + 1], ours[2 * SESSION_BUILD_ID_MOST + 1];
    if (expect->build_id_length > 0 &&
        (id_length != expect->build_id_length || memcmp(id, expect->build_id, id_length) != 0)) {
        hex(theirs, id, id_length);
        hex(ours, expect->build_id, expect->build_id_length);
        be_stranger(session, "another program answered: its build id is %s, the image's %s",
                    id_length > 0 ? theirs : "empty", ours);
    } else if (expect->clock[0] != '\0' && strcmp(clock, expect->clock) != 0) {
        be_stranger(session, "the target's clock is %s, not %s as asked for", clock, expect->clock);
    }
}

static void take_hello(struct session *session, struct record_reader *reader)
{
    uint8_t id[SESSION_BUILD_ID_MOST];
    char architecture[RECORD_NAME_MOST + 1];
    const uint64_t version = record_get_u64(reader);
    if (version != 1 && !reader->failed) {
        be_stranger(session, "the target speaks protocol version %" PRIu64 ", not 1", version);
        return;
    }
    const size_t id_length = record_get_bytes(reader, id, sizeof(id));
    const uint64_t clock = record_get_u64(reader), hz = record_get_u64(reader);
    const uint64_t boot = record_get_u64(reader);
    record_get_text(reader, architecture, RECORD_NAME_MOST, true);
    if (reader->failed || clock >= CLOCKS || hz > HZ_MOST || boot != session->expect.boot) {
        damage(session, "a HELLO that cannot be read, or of another boot");
        return;
    }
    if (session->hello_seen &&
        (session->hz != hz || strcmp(session->clock, clock_names[clock]) != 0)) {
        damage(session, "two HELLOs that differ");
        return;
    }
    check_hello(session, id, id_length, clock_names[clock]);
    session->hello_seen = true;
    session->hellos++;
    session->clock = clock_names[clock];
    session->hz = hz;
}

// Results may be sent more than once, never less.
static bool end_is_possible(const struct session_end *end)
{
    return end->length <= SESSION_RESULTS_MOST && end->bytes[WIRE_RESULTS] >= end->length &&
           end->frames[WIRE_RESULTS] >= (end->length + WIRE_PAYLOAD_MOST - 1) / WIRE_PAYLOAD_MOST;
}

static void take_end(struct session *session, struct record_reader *reader)
{
    struct session_end end;
    memset(&end, 0, sizeof(end)); // compared as bytes
    const uint64_t success = record_get_u64(reader);
    end.length = record_get_u64(reader);
    end.crc = record_get_u64(reader);
    end.hash = record_get_u64(reader);
    for (unsigned i = 0; i < WIRE_CHANNELS; i++) {
        end.frames[i] = record_get_u64(reader);
        end.bytes[i] = record_get_u64(reader);
        end.dropped[i] = record_get_u64(reader);
    }
    end.success = success == 1;
    if (reader->failed || success > 1 || !end_is_possible(&end)) {
        damage(session, "an END that cannot be read or whose totals cannot be");
        return;
    }
    if (session->end_seen &&
        (session->end.success != end.success || session->end.length != end.length ||
         session->end.crc != end.crc || session->end.hash != end.hash)) {
        damage(session, "two ENDs that differ");
        return;
    }
    session->end_seen = true;
    session->ends++;
    session->end = end;
}

static void take_panic(struct session *session, struct record_reader *reader)
{
    struct session_panic panic = {0};
    record_get_text(reader, panic.reason, RECORD_TEXT_MOST, false);
    panic.vector = record_get_u64(reader);
    panic.error = record_get_u64(reader);
    panic.rip = record_get_u64(reader);
    panic.rsp = record_get_u64(reader);
    panic.rflags = record_get_u64(reader);
    panic.cr2 = record_get_u64(reader);
    panic.cr3 = record_get_u64(reader);
    panic.cpu = record_get_u64(reader);
    record_get_text(reader, panic.running, RECORD_NAME_MOST, true);
    const uint64_t count = record_get_u64(reader);
    for (unsigned i = 0; i < RECORD_REGISTERS && i < count; i++)
        panic.registers[i] = record_get_u64(reader);
    if (session->panic_seen)
        return;
    // A panic that cannot be read in full is still one: what was read stays.
    session->panic_seen = true;
    session->panic = panic;
    if (panic.running[0] == '\0' && session->results.case_rows != 0)
        memcpy(session->panic.running, session->results.case_id, sizeof(panic.running));
}

static void take_stack(struct session *session, const struct wire_header *header,
                       const uint8_t *payload)
{
    if (header->offset >= RECORD_STACK_MOST || header->length > RECORD_STACK_MOST - header->offset)
        return;
    memcpy(session->stack + header->offset, payload, header->length);
    memset(session->stack_known + header->offset, 1, header->length);
}

static void take_refused(struct session *session, const struct wire_header *header,
                         const uint8_t *payload)
{
    if (session->refused)
        return;
    session->refused = true;
    text_clean(session->error, RECORD_TEXT_MOST, payload, header->length);
}

static void take_control(struct session *session, const struct wire_header *header,
                         const uint8_t *payload)
{
    struct record_reader reader;
    record_reader_init(&reader, payload, header->length);
    if (header->type == WIRE_HELLO)
        take_hello(session, &reader);
    else if (header->type == WIRE_END)
        take_end(session, &reader);
    else if (header->type == WIRE_PANIC)
        take_panic(session, &reader);
    else if (header->type == WIRE_STACK)
        take_stack(session, header, payload);
    else if (header->type == WIRE_REFUSED)
        take_refused(session, header, payload);
}

// All results are there: do they say what END says? A HELLO that is late can still come.
static void check_end(struct session *session)
{
    const struct session_end *end = &session->end;
    if (!session->end_seen || !session->hello_seen || session->stream.length < end->length)
        return;
    if (session->pending_count > 0)
        damage(session, "results at %u came, END says %" PRIu64 " bytes are all",
               session->pending[0].offset, end->length);
    else if (session->stream.length > end->length)
        damage(session, "%zu bytes of results came, END says %" PRIu64, session->stream.length,
               end->length);
    else if (session->crc != end->crc || session->hash != end->hash)
        damage(session, "the digest of the results is not the one that END says");
    else if (session->parsed != session->stream.length)
        damage(session, "the results end within a record");
    else if (end->success && !results_all_finished(&session->results))
        damage(session, "END says success, but rows are not finished");
}

// ---- frames ------------------------------------------------------------------------------------

static void give_text(struct session *session, enum session_text kind, const void *text,
                      size_t length)
{
    if (session->listener.text != NULL && length > 0)
        session->listener.text(session->listener.context, kind, text, length);
}

static void take_frame(void *context, const struct wire_header *header, const uint8_t *payload)
{
    struct session *session = context;
    struct session_channel *channel = &session->channels[header->channel];
    if (header->channel == WIRE_CONTROL && header->type >= WIRE_CALL) {
        if (session->listener.meet != NULL)
            session->listener.meet(session->listener.context, header, payload);
        return;
    }
    // A target that cannot read its command line refuses, or panics, without knowing its session.
    const bool early = header->session == 0 && header->channel == WIRE_CONTROL &&
                       header->type >= WIRE_PANIC && header->type <= WIRE_REFUSED &&
                       !session->hello_seen;
    if (header->session != session->expect.session && !early) {
        session->foreign++;
        return;
    }
    if (session->listener.heard != NULL)
        session->listener.heard(session->listener.context);
    const bool lossy = header->channel == WIRE_LOG || header->channel == WIRE_TRACE;
    const bool again = lossy && !session_is_new(channel, header->sequence);
    channel->frames++;
    channel->bytes += header->length;
    if (header->channel == WIRE_CONTROL)
        take_control(session, header, payload);
    else if (header->channel == WIRE_RESULTS && header->type == WIRE_DATA)
        take_data(session, header, payload);
    else if (header->channel == WIRE_TRACE && session->keep_trace &&
             (header->type == WIRE_PACKETS || header->type == WIRE_PACKETS_MORE))
        trace_frames_add(&session->trace, header, payload);
    else if (header->channel == WIRE_LOG && header->type == WIRE_TEXT && !again)
        give_text(session, SESSION_LOG, payload, header->length);
    else if (header->channel == WIRE_LOG && header->type == WIRE_TABLE && !again)
        give_text(session, SESSION_TABLE, payload, header->length);
    check_end(session);
}

static void take_noise(void *context, const char *text, size_t length)
{
    give_text(context, SESSION_NOISE, text, length);
}

// ---- the session -------------------------------------------------------------------------------

void session_init(struct session *session, const struct session_expect *expect,
                  struct session_listener listener)
{
    memset(session, 0, sizeof(*session));
    session->expect = *expect;
    session->listener = listener;
    session->hash = RECORD_HASH_START;
    session->clock = "unknown";
    results_init(&session->results, expect->boot);
    wire_decoder_init(&session->decoder, (struct wire_sink){session, take_frame, take_noise});
}

void session_free(struct session *session)
{
    for (size_t i = 0; i < session->pending_count; i++)
        free(session->pending[i].bytes);
    free(session->pending);
    for (unsigned i = 0; i < WIRE_CHANNELS; i++)
        free(session->channels[i].seen);
    buffer_free(&session->stream);
    results_free(&session->results);
    memset(session->channels, 0, sizeof(session->channels));
    trace_frames_free(&session->trace);
    session->pending = NULL;
    session->pending_count = 0;
}

void session_feed(struct session *session, const void *bytes, size_t length)
{
    wire_decode(&session->decoder, bytes, length);
}

void session_finish(struct session *session)
{
    wire_decoder_finish(&session->decoder);
}

enum session_state session_state(const struct session *session)
{
    if (session->panic_seen)
        return SESSION_PANIC;
    if (session->stranger)
        return SESSION_STRANGER;
    if (session->refused)
        return SESSION_REFUSED;
    if (session->error[0] != '\0')
        return SESSION_DAMAGED;
    if (session->end_seen)
        return session->hello_seen && session->stream.length >= session->end.length ? SESSION_ENDED
                                                                                    : SESSION_GAP;
    const bool results = session->stream.length > 0 || session->pending_count > 0;
    return session->hello_seen || results ? SESSION_RUNNING : SESSION_WAITING;
}

size_t session_stack_length(const struct session *session)
{
    size_t length = 0;
    while (length < STACK_GUARD_MOST && !session->stack_known[length])
        length++;
    if (length == STACK_GUARD_MOST)
        return 0;
    while (length < RECORD_STACK_MOST && session->stack_known[length])
        length++;
    return length;
}

uint64_t session_progress(const struct session *session)
{
    return session->channels[WIRE_CONTROL].frames + session->channels[WIRE_TRACE].frames +
           session->stream.length;
}
