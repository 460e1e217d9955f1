// SPDX-License-Identifier: MIT
#include "answers.h"

#include <unistd.h>

#define TICK_MS 250
// While it measures, a target does not listen: it is asked less and less often. After END it does
// nothing else.
#define FIRST_MS   100
#define LONGEST_MS 2000
#define ENDED_MS   60
// At a port one is asked only while one speaks: a machine that starts again would take what it gets
// for keys of its boot loader's menu.
#define SPEAKS_MS 400

void answers_init(struct answers *answers)
{
    *answers = (struct answers){.quiet = now_ms(), .patience = FIRST_MS};
}

static void add_frame(struct buffer *out, const struct session *session, enum wire_type type,
                      enum wire_channel channel, uint32_t offset, const uint32_t *length)
{
    uint8_t frame[WIRE_FRAME_MOST], payload[4] = {0};
    const struct wire_header header = {.version = WIRE_VERSION,
                                       .type = (uint8_t)type,
                                       .channel = (uint8_t)channel,
                                       .session = session->expect.session,
                                       .offset = offset,
                                       .length = length != NULL ? sizeof(payload) : 0};
    for (unsigned i = 0; i < 4 && length != NULL; i++)
        payload[i] = (uint8_t)(*length >> (8 * i));
    buffer_add(out, frame, wire_encode(&header, payload, frame));
}

// Each HELLO and each END: the target repeats them because it heard nothing.
static void acknowledge(struct answers *answers, const struct session *session, struct buffer *out)
{
    if (session->hellos != answers->hellos)
        add_frame(out, session, WIRE_ACK, WIRE_CONTROL, 0, NULL);
    if (session_state(session) == SESSION_ENDED && session->ends != answers->ends)
        add_frame(out, session, WIRE_ACK, WIRE_RESULTS, (uint32_t)session->end.length, NULL);
    answers->hellos = session->hellos;
    if (session_state(session) == SESSION_ENDED)
        answers->ends = session->ends;
}

static void ask(struct session *session, struct buffer *out)
{
    struct session_gap gaps[ANSWERS_GAPS_MOST];
    const size_t count = session_gaps(session, gaps, ANSWERS_GAPS_MOST);
    if (session_lacks_hello(session))
        add_frame(out, session, WIRE_RESEND, WIRE_CONTROL, 0, NULL);
    for (size_t i = 0; i < count; i++)
        add_frame(out, session, WIRE_RESEND, WIRE_RESULTS, gaps[i].offset, &gaps[i].length);
}

int answers_give(struct answers *answers, struct session *session, int line, uint64_t line_bytes)
{
    struct buffer out = {0};
    const int64_t now = now_ms();
    const uint64_t known = session_known(session);
    if (line_bytes != answers->line_bytes)
        answers->quiet = now;
    if (known != answers->known)
        answers->patience = FIRST_MS;
    if (session->decoder.counts.frames != answers->frames)
        answers->heard = now;
    answers->frames = session->decoder.counts.frames;
    answers->line_bytes = line_bytes;
    answers->known = known;
    acknowledge(answers, session, &out);
    const bool misses = session_misses(session);
    const int64_t patience = session->end_seen ? ENDED_MS : answers->patience;
    const int64_t since = answers->asked > answers->quiet ? answers->asked : answers->quiet;
    const bool listens = answers->speed == 0 || now - answers->heard <= SPEAKS_MS;
    if (misses && listens && now - since >= patience) {
        ask(session, &out);
        answers->asked = now;
        answers->patience = patience * 2 < LONGEST_MS ? patience * 2 : LONGEST_MS;
    }
    // What does not fit is lost, as it may be on any line.
    if (out.length > 0 && line >= 0 && write(line, out.bytes, out.length) < 0)
        answers->asked = now;
    // And what was asked has to get there first.
    if (answers->speed > 0)
        answers->asked += (int64_t)(out.length * 10000 / answers->speed);
    buffer_free(&out);
    return misses ? ENDED_MS / 2 : TICK_MS;
}
