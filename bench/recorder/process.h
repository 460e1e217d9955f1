// SPDX-License-Identifier: MIT
// The target as a process: started with its ends of the serial line and of QMP, in a process group
// of its own, and never outliving the recorder (the kernel kills it when the recorder dies).
#ifndef PROCESS_H
#define PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "unwind.h"

struct process {
    pid_t pid;  // 0: none
    int line;   // our end of the serial line, non-blocking
    int qmp;    // our end of QMP, non-blocking; -1: the command has no {qmp}
    int output; // what the process prints, non-blocking
    bool ended;
    int status; // of waitpid, valid when ended
};

// Starts `words` (NULL-terminated; {line}, {qmp} and {arguments} are replaced in them). Signals are
// as at the start of a program. False, with a line in `why`, if it cannot be executed.
bool process_start(struct process *process, char *const *words, const char *arguments, char *why,
                   size_t capacity);

// Notices the end of the process and then kills what is left of its group; never waits.
void process_poll(struct process *process);

// Kills the process and everything in its group, waits for it, closes the files. `status` stays.
void process_end(struct process *process);

// "exit code 3", "killed by signal 9 (Killed)"; valid when ended.
void process_describe(const struct process *process, char *out, size_t capacity);

// Registers and stack of the first thread of a process, stopped for that; false if the system does
// not let us.
bool process_state(const struct process *process, const char *image, struct machine_state *state);

#endif
