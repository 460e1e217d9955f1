// SPDX-License-Identifier: MIT
// One boot, live: starts the target, keeps what comes in the capture, watches the deadlines, and
// finds out how it ended.
#ifndef BOOT_H
#define BOOT_H

#include "capture.h"
#include "progress.h"
#include "request.h"

struct boot_result {
    enum outcome outcome;
    char detail[DETAIL_MOST];
    int signal; // not 0: the recorder was told to stop; nothing else is valid
};

// Signals that end the recorder, or tell of the target's end, are read from `signals` (a signalfd,
// non-blocking). `obstacle`, if not NULL, says why the target cannot start: then nothing is
// started. Writes the boot's chunks, `ended` included. False if the capture or the log could not be
// written (complained); the target is gone in any case.
bool boot_run(const struct request *request, const struct session_expect *expect,
              const char *obstacle, int signals, struct capture *capture, struct progress *progress,
              struct boot_result *result);

#endif
