// SPDX-License-Identifier: MIT
// What a person sees while a run goes on: on a terminal one line that is rewritten, elsewhere one
// line a case; the target's log between them. And the two text files of a run.
//
// Text from the target is made safe here: only printable ASCII, line ends and spaces get through.
#ifndef PROGRESS_H
#define PROGRESS_H

#include "common.h"

#define PROGRESS_LOG_MOST   (16u << 20) // bytes of log.txt
#define PROGRESS_TABLE_MOST (4u << 20)

struct progress {
    FILE *out;
    bool terminal, shown; // shown: the rewritten line stands there
    int log;              // log.txt
    const char *log_path; // the caller's
    uint64_t log_bytes;
    bool failed;     // a write to log.txt failed; complained
    char line[1024]; // of the target's log, gathered until it ends
    size_t line_length;
    struct buffer tables;               // of this boot
    uint32_t boot, boots, cases, which; // which: case of this boot, from 1
    uint32_t done;                      // cases of all boots
    char id[65];
    int64_t started, case_started; // ms
    char waiting[192];             // for what
    int64_t waiting_since;
};

// Opens log.txt. False after one line of complaint.
bool progress_init(struct progress *progress, const char *log_path, uint32_t boots);
void progress_free(struct progress *progress);

void progress_boot(struct progress *progress, uint32_t boot);

// A case begins: k-th of `cases` in this boot, k from 1.
void progress_case(struct progress *progress, const char *id, uint32_t k, uint32_t cases);
void progress_case_done(struct progress *progress);

// Elapsed time on the rewritten line; cheap, to be called often.
void progress_tick(struct progress *progress);

// What is waited for before a case begins; on a terminal in place.
void progress_wait(struct progress *progress, const char *text);

// Log text of the target: shown and kept. Noise: kept only. A table: kept for
// progress_write_tables; on the screen stands the report's own, of all machines.
void progress_log(struct progress *progress, const char *text, size_t length);
void progress_noise(struct progress *progress, const char *text, size_t length);
void progress_table(struct progress *progress, const char *text, size_t length);

// The recorder's own report: shown and kept, line by line.
void progress_report(struct progress *progress, const char *text, size_t length);

// Ends the rewritten line; what is left of a log line is shown.
void progress_end(struct progress *progress);

// Writes this boot's tables. False after one line of complaint.
bool progress_write_tables(struct progress *progress, const char *path);

#endif
