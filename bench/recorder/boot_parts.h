// SPDX-License-Identifier: MIT
// What the files of a boot share (boot.h): nobody else looks in here.
#ifndef BOOT_PARTS_H
#define BOOT_PARTS_H

#include "answers.h"
#include "attached.h"
#include "boot.h"
#include "process.h"
#include "qmp.h"

struct boot {
    const struct request *request;
    uint32_t index;
    int signals;
    struct capture *capture;
    struct progress *progress;
    struct boot_result *result;
    struct process process;
    struct attached *attached; // the machine at a port instead; NULL: the process
    uint32_t restarts;
    int64_t looked; // ms, for it where it begins
    int64_t late;   // ms, since when it may be starting again; 0: it is not late
    struct session *session;
    struct qmp qmp;
    bool line_open;
    struct buffer gathered; // of the line, not yet in the capture
    int64_t flushed;        // ms
    uint64_t line_bytes, output_bytes;
    char output_line[256], last_output[256]; // gathered, and the last one that is not empty
    size_t output_length;
    bool failed;   // capture or log could not be written
    bool overlong; // more bytes than a boot may send
    struct answers answers;
    int wait_ms; // for news, at the most
    // Times, ms. waiting: since the port is open; started: or the machine called last. informed:
    // something new about the results came; end_heard: an END came.
    int64_t waiting, started, moved, case_began, concluded, informed, end_heard;
    uint64_t progress_seen, known;
    uint32_t ends;
    uint32_t cases_seen;
};

// Hands what has gathered of the line to the capture.
void boot_flush_line(struct boot *boot);

// Shows and keeps a text of the recorder's own, and frees it.
void boot_report(struct boot *boot, struct buffer *text);

// A new session, and all that is known of the boot begins with it.
void boot_open_session(struct boot *boot, const struct session_expect *expect);

// The port's and the machine's part of a turn, of a boot that has one. True once the outcome is
// known.
bool boot_turn_attached(struct boot *boot);

// A machine at a port that is late may have been reset, and its firmware takes a while: true while
// it is waited for. Called with what is_late says, each turn.
bool boot_may_start_again(struct boot *boot, bool late, const char *why);

#endif
