// SPDX-License-Identifier: MIT
// What `recorder bench` was asked for.
#ifndef REQUEST_H
#define REQUEST_H

#include "model.h"
#include "port.h"
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
    char *const *command;   // NULL-terminated; NULL: the target is at `port`
    // Of a machine at a serial port; NULL: none. menu_text: what its boot loader writes when it
    // takes the key menu_key; may be empty.
    const char *port, *menu_text, *menu_key;
    uint32_t speed; // bits a second, at the start
    enum port_flow flow;
    uint32_t gone_seconds;  // for a port that is gone to come back
    uint32_t reset_seconds; // for a machine that has stopped to call again
    uint32_t restarts; // of the machine by itself, in one boot, after which it is measured anew
};

// Reads the words behind `bench`. False after one line that names the choices. The words stay the
// caller's and must outlive the request; request_free gives back the facts.
bool request_read(struct request *request, int count, char **words);
void request_free(struct request *request);

#endif
