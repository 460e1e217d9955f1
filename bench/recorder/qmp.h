// SPDX-License-Identifier: MIT
// QEMU's machine protocol, as far as the recorder needs it: why the machine stopped, and the
// monitor's `info registers` and `x` when it hangs or has triple-faulted.
#ifndef QMP_H
#define QMP_H

#include "common.h"
#include "unwind.h"

#define QMP_LINE_MOST (1u << 20)

struct qmp {
    int fd;          // -1: there is none
    bool ready;      // the greeting came and was answered
    bool shut_down;  // the machine stopped itself
    char reason[64]; // of that: "guest-reset" after a triple fault
    struct buffer line;
    // The answer that is waited for.
    unsigned awaited, answered; // ids
    struct buffer answer;
};

void qmp_init(struct qmp *qmp, int fd);
void qmp_free(struct qmp *qmp);

// Takes what has come; never waits. False when the other end is closed.
bool qmp_poll(struct qmp *qmp);

// Stops the machine and reads registers and stack; a few seconds at most. False if QEMU does not
// answer.
bool qmp_state(struct qmp *qmp, struct machine_state *state);

// ---- text, apart for tests ---------------------------------------------------------------------

// The value at `path` (keys joined by dots) in one line of JSON: a string unescaped, anything else
// as it stands. False if there is none or the text is no JSON; nesting is followed 32 deep.
bool qmp_json(const char *json, const char *path, struct buffer *value);

// Reads `info registers` of an x86 CPU. False if RIP or RSP is not among them.
bool qmp_registers(const char *text, struct machine_state *state);

// Reads the words of `x /Nxg`; returns the bytes stored, at most `capacity`.
size_t qmp_words(const char *text, uint8_t *bytes, size_t capacity);

#endif
