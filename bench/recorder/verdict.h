// SPDX-License-Identifier: MIT
// How a boot ended, as one of the closed set of outcomes and a line of detail; and the report that
// names the place in the program.
#ifndef VERDICT_H
#define VERDICT_H

#include "boot.h"
#include "process.h"
#include "session.h"

// What is known when it is judged.
struct verdict_evidence {
    const struct session *session;
    const struct process *process; // NULL: the target is at a port, nothing is known but the line
    const char *last_output;       // last line the process printed, cleaned; may be empty
    uint32_t success_exit;
};

// The process is gone and everything it sent was read.
void verdict_at_exit(const struct verdict_evidence *evidence, struct boot_result *result);

// A deadline passed: `state` is where the target was found, NULL if it could not be asked; `text`
// gets the report.
void verdict_hang(const struct verdict_evidence *evidence, const char *image, const char *why,
                  const struct machine_state *state, struct buffer *text,
                  struct boot_result *result);

// A triple fault, with or without the registers.
void verdict_triple_fault(const struct verdict_evidence *evidence, const char *image,
                          const struct machine_state *state, struct buffer *text,
                          struct boot_result *result);

// A PANIC came.
void verdict_panic(const struct session *session, const char *image, struct buffer *text,
                   struct boot_result *result);

// " during CASE" into `out`, or nothing; returns `out`.
const char *verdict_during(const struct session *session, char *out, size_t capacity);

void verdict_set(struct boot_result *result, enum outcome outcome, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
