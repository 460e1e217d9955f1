// SPDX-License-Identifier: MIT
// What is missing of a session, and what of it can be asked for.
#include <stdlib.h>
#include <string.h>

#include "session.h"

static int by_offset(const void *a, const void *b)
{
    const struct session_gap *left = a, *right = b;
    return left->offset < right->offset ? -1 : left->offset > right->offset;
}

size_t session_gaps(const struct session *session, struct session_gap *gaps, size_t most)
{
    const size_t pieces = session->pending_count;
    struct session_gap *known = memory_get((pieces + 1) * sizeof(*known));
    size_t count = 0;
    uint64_t at = session->stream.length;
    for (size_t i = 0; i < pieces; i++)
        known[i] = (struct session_gap){session->pending[i].offset, session->pending[i].length};
    qsort(known, pieces, sizeof(*known), by_offset);
    // What END says is the last thing that can be missing a beginning.
    known[pieces] = (struct session_gap){session->end_seen ? (uint32_t)session->end.length : 0, 0};
    for (size_t i = 0; i <= pieces && count < most; i++) {
        if (known[i].offset > at)
            gaps[count++] = (struct session_gap){(uint32_t)at, (uint32_t)(known[i].offset - at)};
        const uint64_t end = (uint64_t)known[i].offset + known[i].length;
        at = end > at ? end : at;
    }
    free(known);
    return count;
}

bool session_lacks_hello(const struct session *session)
{
    bool speaks = false;
    for (unsigned i = 0; i < WIRE_CHANNELS; i++)
        speaks = speaks || session->channels[i].frames > 0;
    return speaks && !session->hello_seen;
}

bool session_misses(const struct session *session)
{
    return session_lacks_hello(session) || session->pending_count > 0 ||
           (session->end_seen && session->stream.length < session->end.length);
}

void session_describe_gap(const struct session *session, char *out, size_t capacity)
{
    struct session_gap gaps[2];
    char others[32] = "";
    const size_t count = session_gaps(session, gaps, 2);
    out[0] = '\0';
    if (count == 2)
        text_format(others, sizeof(others), ", and more after them,");
    if (count > 0)
        text_format(out, capacity, "%u bytes of results at %u%s never came", gaps[0].length,
                    gaps[0].offset, others);
    else if (session_lacks_hello(session))
        text_format(out, capacity, "HELLO never came");
}

uint64_t session_known(const struct session *session)
{
    return session->stream.length + session->pending_bytes + session->hello_seen +
           session->end_seen;
}

bool session_is_new(struct session_channel *channel, uint32_t sequence)
{
    const bool repeated = channel->frames > 0 && sequence == channel->last_sequence;
    bool new = !repeated;
    channel->last_sequence = sequence;
    if (sequence < SESSION_SEQUENCES_MOST) {
        if (channel->seen == NULL)
            channel->seen = memory_get(SESSION_SEQUENCES_MOST / 8);
        uint8_t *byte = &channel->seen[sequence / 8];
        new = (*byte >> sequence % 8 & 1) == 0;
        *byte |= (uint8_t)(1u << sequence % 8);
    }
    channel->different += new;
    if (sequence >= channel->next_sequence)
        channel->next_sequence = (uint64_t)sequence + 1;
    return new;
}

uint64_t session_lost(const struct session *session, enum wire_channel channel)
{
    const struct session_channel *came = &session->channels[channel];
    const uint64_t sent = session->end_seen ? session->end.frames[channel] : came->next_sequence;
    return sent > came->different ? sent - came->different : 0;
}
