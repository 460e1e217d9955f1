// SPDX-License-Identifier: MIT
// A target that nobody here starts: a machine at the other end of a serial port. It is waited for,
// met (meeting.h), lost with the port and found again.
#ifndef ATTACHED_H
#define ATTACHED_H

#include "meet.h"
#include "meeting.h"
#include "port.h"
#include "request.h"

#define ATTACHED_LINGER_SECONDS 600 // the target waits so long after END for a line that is gone

enum attached_news {
    ATTACHED_NOTHING,
    ATTACHED_BACK,  // the port is there again
    ATTACHED_GONE,  // it did not come back in time
    ATTACHED_AGAIN, // the machine has begun anew: attached_begin, with a new session
};

struct attached {
    const struct request *request;
    struct port port;
    struct meeting meeting;
    char words[MEET_WORDS_MOST + 1];
    int64_t gone;             // ms, since when the port is; 0: it is there
    int64_t tried;            // ms, to open it again
    int64_t called;           // ms, when the machine was last heard outside a run; 0: never
    int64_t pressed, knocked; // ms, the key of the menu: seen, and in any case
    int64_t texted;           // ms, when text came last
    uint32_t refused;         // speed that the port could not go to last, and it was told
    size_t matched;           // characters of request->menu_text that came last
    bool strange_told, begun;
    bool menu_shown; // and the caller has not taken note of it
    char said[80];   // last line of text on the line, cleaned: what a boot loader says
    char saying[80];
    size_t saying_length;
    struct buffer news; // lines for a person; the caller takes them
};

// Opens the port. False with a line in `why`. `request` must outlive the object.
bool attached_open(struct attached *attached, const struct request *request, char *why,
                   size_t capacity);
void attached_close(struct attached *attached);

// What the machine is to be told, for this session and boot.
void attached_begin(struct attached *attached, uint32_t session, uint32_t boot);

// Reading has failed: the port is not there any more.
void attached_lost(struct attached *attached);

// Bytes that came, before the frames in them are handed over.
void attached_bytes(struct attached *attached, const uint8_t *bytes, size_t length);

// A frame of the meeting came.
void attached_frame(struct attached *attached, const struct wire_header *header,
                    const uint8_t *payload);

// Does what is due; `*wait_ms` is how long it may take until the next time, at the most.
enum attached_news attached_turn(struct attached *attached, int *wait_ms);

// The machine has been silent for longer than it should: perhaps it is where it begins.
void attached_look_again(struct attached *attached);

// What it is waiting for, as a line for a person.
// with_text: also the last text that came, which changes often.
void attached_describe(const struct attached *attached, bool with_text, char *out, size_t capacity);

#endif
