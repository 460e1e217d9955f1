// SPDX-License-Identifier: MIT
#include "attached.h"

#include <string.h>
#include <unistd.h>

#define REOPEN_MS  250
#define PRESS_MS   200  // a menu may be drawn in pieces
#define KNOCK_MS   5000 // nothing is heard: it may have been drawn unseen
#define TEXT_LEAST 12u  // characters
#define SPEAKS_MS  3000 // after text: who says it (a firmware's setup, a shell) may take keys

// A menu that was drawn while nobody looked is not drawn again. To anything else that may be there
// one letter means nothing.
static bool knock(struct attached *attached)
{
    const struct request *request = attached->request;
    attached->knocked = now_ms();
    return request->menu_text[0] != '\0' && attached->port.fd >= 0 &&
           write(attached->port.fd, request->menu_key, 1) == 1;
}

bool attached_open(struct attached *attached, const struct request *request, char *why,
                   size_t capacity)
{
    *attached = (struct attached){.request = request};
    meeting_init(&attached->meeting, attached->words, request->speed);
    if (!port_open(&attached->port, request->port, request->speed, request->flow, why, capacity))
        return false;
    knock(attached);
    return true;
}

void attached_close(struct attached *attached)
{
    port_close(&attached->port);
    meeting_free(&attached->meeting);
    buffer_free(&attached->news);
}

void attached_begin(struct attached *attached, uint32_t session, uint32_t boot)
{
    text_format(attached->words, sizeof(attached->words),
                "session=%u boot=%u output=framed linger=%d%s%s%s", session, boot,
                ATTACHED_LINGER_SECONDS, attached->port.waits_cts ? " flow=on" : "",
                attached->request->arguments[0] != '\0' ? " " : "", attached->request->arguments);
    attached->meeting.again = false;
}

void attached_lost(struct attached *attached)
{
    port_close(&attached->port);
    attached->gone = attached->tried = now_ms();
    buffer_print(&attached->news, "%s is gone: waiting until it is back\n", attached->port.path);
}

// ---- text between the frames -------------------------------------------------------------------

static void press(struct attached *attached)
{
    const int64_t now = now_ms();
    if (attached->pressed != 0 && now - attached->pressed < PRESS_MS)
        return;
    attached->pressed = now;
    if (knock(attached))
        buffer_print(&attached->news, "the machine shows its menu: pressed %c\n",
                     attached->request->menu_key[0]);
}

static void look_for_menu(struct attached *attached, uint8_t byte)
{
    const char *text = attached->request->menu_text;
    if (text[0] == '\0')
        return;
    if ((char)byte != text[attached->matched])
        attached->matched = 0;
    attached->matched += (char)byte == text[attached->matched];
    if (text[attached->matched] != '\0')
        return;
    attached->matched = 0;
    attached->menu_shown = true;
    press(attached);
}

static void gather_line(struct attached *attached, uint8_t byte)
{
    const bool text = byte >= ' ' && byte <= '~';
    if (text && attached->saying_length < sizeof(attached->saying) - 1)
        attached->saying[attached->saying_length++] = (char)byte;
    // Single characters between escapes, and what of a frame looks like text, say nothing.
    if (attached->saying_length >= TEXT_LEAST)
        attached->texted = now_ms();
    if (text)
        return;
    if (attached->saying_length >= TEXT_LEAST)
        text_clean(attached->said, sizeof(attached->said), attached->saying,
                   attached->saying_length);
    attached->saying_length = 0;
}

void attached_bytes(struct attached *attached, const uint8_t *bytes, size_t length)
{
    meeting_bytes(&attached->meeting, bytes, length, now_ms());
    for (size_t i = 0; i < length; i++) {
        look_for_menu(attached, bytes[i]);
        gather_line(attached, bytes[i]);
    }
}

// ---- the meeting -------------------------------------------------------------------------------

void attached_frame(struct attached *attached, const struct wire_header *header,
                    const uint8_t *payload)
{
    struct meeting *meeting = &attached->meeting;
    const uint32_t boot = meeting->boot;
    meeting_frame(meeting, header, payload, now_ms());
    attached->called = now_ms();
    if (meeting->boot != boot)
        buffer_print(&attached->news, "the machine calls (boot %08x): its port can do %u\n",
                     meeting->boot, meeting->fastest);
    if (meeting->strange && !attached->strange_told)
        buffer_print(&attached->news, "a machine calls that speaks another version: make its image "
                                      "again\n");
    attached->strange_told = meeting->strange;
}

static void tell_start(struct attached *attached)
{
    const bool begun = attached->meeting.state == MEETING_STARTED;
    if (begun && !attached->begun)
        buffer_print(&attached->news, "the run has begun, at %u bits a second\n",
                     attached->meeting.speed);
    attached->begun = begun;
}

static void follow_speed(struct attached *attached)
{
    const uint32_t from = attached->port.speed, to = attached->meeting.speed;
    if (from == to)
        return;
    if (port_set_speed(&attached->port, to)) {
        buffer_print(&attached->news, "trying %u bits a second\n", to);
    } else {
        if (attached->refused != to)
            buffer_print(&attached->news, "%s cannot be set to %u\n", attached->port.path, to);
        attached->refused = to;
        meeting_refused(&attached->meeting);
        return;
    }
    if (attached->meeting.hunting != 0)
        knock(attached);
}

void attached_look_again(struct attached *attached)
{
    meeting_look_again(&attached->meeting, now_ms());
    if (attached->meeting.speed == attached->port.speed)
        knock(attached);
}

static void send(struct attached *attached)
{
    struct buffer *say = &attached->meeting.say;
    // What is not taken is lost, as it may be on any line, and said again.
    if (say->length > 0 && attached->port.fd >= 0 &&
        write(attached->port.fd, say->bytes, say->length) < 0)
        say->length = 0;
    say->length = 0;
}

// ---- the port ----------------------------------------------------------------------------------

static enum attached_news look_for_port(struct attached *attached)
{
    const int64_t now = now_ms(), gone = now - attached->gone;
    if (gone > (int64_t)attached->request->gone_seconds * 1000)
        return ATTACHED_GONE;
    if (now - attached->tried < REOPEN_MS)
        return ATTACHED_NOTHING;
    attached->tried = now;
    if (!port_reopen(&attached->port))
        return ATTACHED_NOTHING;
    attached->gone = 0;
    buffer_print(&attached->news, "%s is back after %lld.%lld s\n", attached->port.path,
                 (long long)(gone / 1000), (long long)(gone % 1000 / 100));
    knock(attached);
    return ATTACHED_BACK;
}

enum attached_news attached_turn(struct attached *attached, int *wait_ms)
{
    enum attached_news news = ATTACHED_NOTHING;
    *wait_ms = REOPEN_MS;
    if (attached->gone != 0)
        news = look_for_port(attached);
    if (attached->gone != 0)
        return news;
    tell_start(attached);
    const int64_t now = now_ms();
    if (attached->meeting.state != MEETING_STARTED && now - attached->called > KNOCK_MS &&
        now - attached->knocked > KNOCK_MS && now - attached->texted > SPEAKS_MS)
        knock(attached);
    // What was to be said at the old speed is said there.
    send(attached);
    *wait_ms = meeting_tick(&attached->meeting, now_ms());
    follow_speed(attached);
    send(attached);
    return attached->meeting.again ? ATTACHED_AGAIN : news;
}

void attached_describe(const struct attached *attached, bool with_text, char *out, size_t capacity)
{
    const struct port *port = &attached->port;
    if (attached->gone != 0)
        text_format(out, capacity, "waiting for %s to come back", port->path);
    else
        text_format(out, capacity, "waiting for the machine on %s at %u%s%s", port->path,
                    port->speed, with_text && attached->said[0] != '\0' ? ", which says: " : "",
                    with_text ? attached->said : "");
}
