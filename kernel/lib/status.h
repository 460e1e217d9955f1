// SPDX-License-Identifier: MIT
// Status codes of calls whose caller can act on a failure. Programmer's errors assert instead.
#ifndef STATUS_H
#define STATUS_H

enum status {
    STATUS_OK = 0,
    STATUS_FULL = -1,      // no room now; try again after a consumer ran
    STATUS_EMPTY = -2,     // nothing there now
    STATUS_NO_MEMORY = -3, // the memory handed over at init is used up
    STATUS_TOO_LARGE = -4, // the request exceeds the largest size served
    STATUS_INVALID = -5,   // an argument is outside its stated range
    STATUS_FOREIGN = -6,   // a pointer that does not belong to the object
    STATUS_DOUBLE = -7,    // freed twice
    STATUS_CORRUPT = -8,   // data fails its check
    STATUS_CLOSED = -9,    // the peer is gone
    STATUS_STALE = -10,    // names something that was given up since
    STATUS_FAILED = -11,   // a device reports that it could not do it
    STATUS_TIMEOUT = -12,  // did not happen within the stated bound
    STATUS_ABORTED = -13,  // given up because of somebody else's failure; may be tried again
    STATUS_REFUSED = -14,  // not allowed here, and nothing was done
    STATUS_DEAD = -15,     // who was waited for died
};

#endif
