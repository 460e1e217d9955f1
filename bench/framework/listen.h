// SPDX-License-Identifier: MIT
// What the host says back (trace/wire.h): heard here, answered in answer.h.
//
// Belongs to the thread that measures; used outside measured windows only. Nothing here trusts the
// host: what it may ask at once is bounded, and what is not understood is forgotten.
#ifndef LISTEN_H
#define LISTEN_H

#include "wire.h"

#define LISTEN_RANGES_MOST 64u   // ranges asked for and not yet answered; more are forgotten
#define LISTEN_BYTES_MOST  4096u // taken off the line in one call

struct listen_range {
    uint32_t offset, length; // of the results, not checked
};

struct listener {
    struct wire_decoder decoder;
    uint32_t session;
    uint32_t heard;     // frames from the host; 0: perhaps there is no way back
    bool control_asked; // for HELLO, and END if it is out
    uint32_t whole;     // END and the results up to here are acknowledged
    uint32_t range_count;
    struct listen_range ranges[LISTEN_RANGES_MOST];
};

void listen_init(struct listener *listener, uint32_t session);

// Takes what has arrived, at most LISTEN_BYTES_MOST bytes; never waits. Returns how many.
size_t listen_now(struct listener *listener);

#endif
