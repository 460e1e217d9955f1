// SPDX-License-Identifier: MIT
#include "meeting.h"

#include <string.h>

#include "meet.h"
#include "port.h"

#define TICK_MS     250
#define ASK_MS      1500 // for SPEED_TAKEN
#define ASKS_MOST   5u
#define SETTLE_MS   20   // for both ends to be there
#define PROBE_MS    1200 // for MEET_PROBES to come back: less than the target's MEET_LOST_MS
#define PROBE_GAP   60   // ms from one to the next if it does not come back, and its own time
#define MISSES_MOST 1u   // of the probes at a speed that is taken
#define LATE_MS     200  // for one more to come back at last, on a busy computer
#define START_MS    3000 // for a sign of life at a speed that is not the first
#define BITS        10u  // of a byte with its start and stop bit
// Bytes that are no frames for so long: the other end may be at another speed. Each is listened to
// for a while, and where there is readable text (a boot loader's menu) for longer.
#define GARBAGE_LEAST 32u
#define GARBAGE_MS    2000
#define HUNT_MS       3000
#define TEXT_LEAST    16u
#define TEXT_OF_TEN   9u

static void say(struct meeting *meeting, enum wire_type type, uint32_t offset, const void *payload,
                size_t length)
{
    uint8_t frame[WIRE_FRAME_MOST];
    const struct wire_header header = {.version = WIRE_VERSION,
                                       .type = (uint8_t)type,
                                       .channel = WIRE_CONTROL,
                                       .session = meeting->boot,
                                       .offset = offset,
                                       .length = (uint16_t)length};
    buffer_add(&meeting->say, frame, wire_encode(&header, payload, frame));
}

// ---- speeds ------------------------------------------------------------------------------------

// The fastest that both can have, that has not failed, and that is faster than the first.
static size_t candidate(const struct meeting *meeting)
{
    size_t i = 0;
    while (i < MEETING_MOST && port_speeds[i] > meeting->first &&
           (meeting->failures[i] >= MEETING_TRIES ||
            meet_divisor(meeting->fastest, port_speeds[i]) == 0))
        i++;
    return i < MEETING_MOST && port_speeds[i] > meeting->first ? i : MEETING_MOST;
}

static void say_speed(struct meeting *meeting)
{
    uint8_t payload[MEET_SPEED_BYTES];
    meet_put_u32(payload, meeting->asked);
    say(meeting, WIRE_SPEED, 0, payload, sizeof(payload));
    meeting->turns++;
}

// How long bytes are under way.
static int64_t under_way_ms(const struct meeting *meeting, size_t length)
{
    return (int64_t)(BITS * 1000u * length / meeting->speed);
}

// Not again before the last one has come.
static void say_start(struct meeting *meeting, int64_t now)
{
    const size_t length = strlen(meeting->words);
    if (meeting->state == MEETING_STARTS && now < meeting->next)
        return;
    if (meeting->state != MEETING_STARTS)
        meeting->deadline = now + START_MS;
    meeting->next = now + 2 * under_way_ms(meeting, length);
    meeting->state = MEETING_STARTS;
    say(meeting, WIRE_START, 0, meeting->words, length);
}

static void fail(struct meeting *meeting)
{
    for (size_t i = 0; i < MEETING_MOST && port_speeds[i] != 0; i++)
        meeting->failures[i] += port_speeds[i] == meeting->asked;
    meeting->speed = meeting->first;
    meeting->state = MEETING_WAITS;
}

// ---- frames ------------------------------------------------------------------------------------

static bool is_earlier(const struct meeting *meeting, uint32_t boot)
{
    for (unsigned i = 0; i < meeting->earlier_count && i < MEETING_EARLIER; i++) {
        if (meeting->earlier[i] == boot)
            return true;
    }
    return false;
}

static void take_boot(struct meeting *meeting, uint32_t boot)
{
    if (meeting->boot != 0)
        meeting->earlier[meeting->earlier_count++ % MEETING_EARLIER] = meeting->boot;
    meeting->again = meeting->again || meeting->state >= MEETING_STARTS;
    memset(meeting->failures, 0, sizeof(meeting->failures));
    meeting->state = MEETING_WAITS;
    meeting->agreed = 0;
    meeting->boot = boot;
    // It has called, so it is here; and where it begins is where it comes back to.
    meeting->speed = meeting->first;
}

static void be_called(struct meeting *meeting, uint32_t boot, int64_t now)
{
    if (boot != meeting->boot)
        take_boot(meeting, boot);
    if (meeting->again)
        return;
    if (meeting->state == MEETING_ASKS && meeting->turns < ASKS_MOST)
        say_speed(meeting);
    else if (meeting->state == MEETING_STARTS)
        say_start(meeting, now);
    if (meeting->state != MEETING_WAITS)
        return;
    const size_t which = candidate(meeting);
    if (which == MEETING_MOST) {
        meeting->agreed = meeting->speed;
        say_start(meeting, now);
        return;
    }
    meeting->state = MEETING_ASKS;
    meeting->asked = port_speeds[which];
    meeting->deadline = now + ASK_MS;
    meeting->turns = 0;
    say_speed(meeting);
}

static void go(struct meeting *meeting, int64_t now)
{
    meeting->state = MEETING_PROBES;
    meeting->speed = meeting->asked;
    meeting->turns = 0;
    meeting->good = 0;
    meeting->next = now + SETTLE_MS;
    meeting->deadline = now + PROBE_MS;
}

static void take_probe(struct meeting *meeting, const struct wire_header *header,
                       const uint8_t *payload, int64_t now)
{
    if (header->offset >= meeting->turns || !meet_pattern_is_right(header, payload))
        return;
    meeting->good |= 1u << header->offset;
    meeting->next = now;
    if ((unsigned)__builtin_popcount(meeting->good) < MEET_PROBES)
        return;
    meeting->agreed = meeting->speed;
    say_start(meeting, now);
}

static void heard(struct meeting *meeting)
{
    meeting->hunting = 0;
    meeting->garbage = meeting->text = 0;
}

void meeting_frame(struct meeting *meeting, const struct wire_header *header,
                   const uint8_t *payload, int64_t now)
{
    if (header->channel != WIRE_CONTROL || header->session == 0)
        return;
    if (header->type == WIRE_CALL && header->length >= MEET_CALL_BYTES) {
        meeting->strange = meet_get_u32(payload) != MEET_VERSION;
        if (meeting->strange)
            return;
        if (is_earlier(meeting, header->session))
            return;
        heard(meeting);
        meeting->fastest = meet_get_u32(payload + 4);
        be_called(meeting, header->session, now);
        return;
    }
    if (header->session != meeting->boot)
        return;
    if (header->type == WIRE_SPEED_TAKEN && header->length == MEET_SPEED_BYTES &&
        meeting->state == MEETING_ASKS && meet_get_u32(payload) == meeting->asked)
        go(meeting, now);
    else if (header->type == WIRE_PROBED && meeting->state == MEETING_PROBES)
        take_probe(meeting, header, payload, now);
    else if (header->type == WIRE_STARTED && meeting->state == MEETING_STARTS)
        meeting_run_heard(meeting);
    else
        return;
    heard(meeting);
}

void meeting_run_heard(struct meeting *meeting)
{
    heard(meeting);
    meeting->state = MEETING_STARTED; // also where its STARTED was lost
    meeting->agreed = meeting->speed;
}

void meeting_bytes(struct meeting *meeting, const uint8_t *bytes, size_t length, int64_t now)
{
    if (meeting->garbage == 0)
        meeting->since = now;
    for (size_t i = 0; i < length; i++)
        meeting->text += (bytes[i] >= ' ' && bytes[i] <= '~') || bytes[i] == '\n' ||
                         bytes[i] == '\r' || bytes[i] == '\033';
    meeting->garbage += length;
}

// ---- time --------------------------------------------------------------------------------------

static void probe(struct meeting *meeting, int64_t now)
{
    uint8_t pattern[MEET_PATTERN_BYTES];
    const unsigned missing = meeting->turns - (unsigned)__builtin_popcount(meeting->good);
    const bool lossy = missing > MISSES_MOST;
    if (now > meeting->deadline || (lossy && now >= meeting->next + LATE_MS)) {
        fail(meeting);
        return;
    }
    if (now < meeting->next || lossy)
        return;
    meet_pattern(meeting->turns, false, pattern);
    say(meeting, WIRE_PROBE, meeting->turns++, pattern, sizeof(pattern));
    meeting->next = now + PROBE_GAP + 2 * under_way_ms(meeting, sizeof(pattern));
}

static bool is_text(const struct meeting *meeting)
{
    return meeting->garbage >= TEXT_LEAST && meeting->text * 10 >= meeting->garbage * TEXT_OF_TEN;
}

void meeting_refused(struct meeting *meeting)
{
    if (meeting->state != MEETING_PROBES)
        return;
    for (size_t i = 0; i < MEETING_MOST && port_speeds[i] != 0; i++) {
        if (port_speeds[i] == meeting->asked)
            meeting->failures[i] = MEETING_TRIES;
    }
    fail(meeting);
}

void meeting_look_again(struct meeting *meeting, int64_t now)
{
    if (meeting->state < MEETING_STARTS || meeting->speed == meeting->first)
        return;
    meeting->speed = meeting->first;
    meeting->hunting = now;
    meeting->garbage = meeting->text = 0;
}

// A target that has begun anew is at the first speed; so is one that START did not reach in time.
static void hunt(struct meeting *meeting, int64_t now)
{
    const bool lost = meeting->garbage >= GARBAGE_LEAST && now - meeting->since > GARBAGE_MS;
    const bool silent = meeting->state == MEETING_STARTS && now > meeting->deadline;
    if (meeting->agreed == 0 || meeting->agreed == meeting->first)
        return;
    if (meeting->hunting == 0 && (lost || silent)) {
        meeting_look_again(meeting, now);
    } else if (meeting->hunting != 0 && now - meeting->hunting > HUNT_MS && is_text(meeting)) {
        meeting->hunting = now; // a little longer
    } else if (meeting->hunting != 0 && now - meeting->hunting > HUNT_MS) {
        meeting->speed = meeting->agreed;
        meeting->hunting = 0;
        meeting->deadline = now + START_MS;
    } else {
        return;
    }
    meeting->garbage = meeting->text = 0;
}

int meeting_tick(struct meeting *meeting, int64_t now)
{
    if (meeting->state == MEETING_ASKS && now > meeting->deadline)
        fail(meeting);
    else if (meeting->state == MEETING_PROBES)
        probe(meeting, now);
    else if (meeting->state >= MEETING_STARTS)
        hunt(meeting, now);
    return meeting->state == MEETING_PROBES ? SETTLE_MS : TICK_MS;
}

void meeting_init(struct meeting *meeting, const char *words, uint32_t speed)
{
    *meeting = (struct meeting){.words = words, .first = speed, .speed = speed};
}

void meeting_free(struct meeting *meeting)
{
    buffer_free(&meeting->say);
}
