// SPDX-License-Identifier: MIT
// What `recorder bench` was asked for.
#ifndef REQUEST_H
#define REQUEST_H

#include "model.h"
#include "session.h"

struct request {
    const char *run, *target, *machine, *clock; // clock "": whatever the target has
    const char *image, *results;
    const char *commit, *size, *arguments;
    bool dirty;
    uint32_t boots;
    uint32_t session;       // of the first boot; each further one has the next number
    uint32_t success_exit;  // exit code of a target that succeeded
    uint32_t start_seconds; // until HELLO
    uint32_t idle_seconds;  // without a case running and without progress; then for the exit
    uint32_t boot_seconds;  // for a whole boot
    uint32_t line_mib;      // a boot may send
    struct facts facts;     // from fact:KEY=VALUE
    char *const *command;   // NULL-terminated
};

// Reads the words behind `bench`. False after one line that names the choices. The words stay the
// caller's and must outlive the request; request_free gives back the facts.
bool request_read(struct request *request, int count, char **words);
void request_free(struct request *request);

#endif
